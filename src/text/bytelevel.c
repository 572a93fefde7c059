#include "text/bytelevel.h"

#include "text/utf8.h"

// The bytes that are not printable Latin-1, in order: byte n of them is written as U+0100 + n.
static bool is_hidden(unsigned char byte)
{
        return byte <= 0x20 || (byte >= 0x7f && byte <= 0xa0) || byte == 0xad;
}

static unsigned hidden_rank(unsigned char byte)
{
        return byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7fu + 0x21 : 0x43;
}

int bytelevel_put(char *p, unsigned char byte)
{
        return utf8_put(p, is_hidden(byte) ? 0x100 + hidden_rank(byte) : byte);
}

// The byte of a character, -1 if it is not in the alphabet.
static int byte_of(uint32_t code)
{
        if (code < 0x100)
                return is_hidden((unsigned char)code) ? -1 : (int)code;
        if (code > 0x143)
                return -1;
        unsigned n = code - 0x100;
        return (int)(n <= 0x20 ? n : n <= 0x42 ? n - 0x21 + 0x7f : 0xad);
}

void bytelevel_decode(struct buf *out, const char *token, size_t len)
{
        size_t start = out->len;
        uint32_t code;

        for (size_t i = 0; i < len;) {
                int n = utf8_next(token + i, token + len, &code);
                int byte = n > 0 ? byte_of(code) : -1;

                if (byte < 0) {
                        out->len = start;
                        buf_append(out, token, len);
                        return;
                }
                buf_putc(out, (char)byte);
                i += (size_t)n;
        }
}
