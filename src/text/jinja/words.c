// Python's str methods of the same names.
#include "text/jinja/words.h"

static void put(struct run *r, struct buf *text, int32_t c)
{
        char utf8[4];

        run_write(r, text, utf8, chars_put(utf8, c));
}

// The one letter whose capital is two and which templates may meet.
static void put_upper(struct run *r, struct buf *text, int32_t c)
{
        if (c == 0xdf)
                run_write(r, text, "SS", 2);
        else
                put(r, text, chars_upper(c));
}

struct str words_upper(struct run *r, struct str s)
{
        struct buf text = {0};

        for (size_t pos = 0; pos < s.len && run_ok(r);)
                put_upper(r, &text, chars_next(s, &pos));
        return run_take(r, &text);
}

struct str words_lower(struct run *r, struct str s)
{
        struct buf text = {0};

        for (size_t pos = 0; pos < s.len && run_ok(r);)
                put(r, &text, chars_lower(chars_next(s, &pos)));
        return run_take(r, &text);
}

static bool never(int32_t c)
{
        return false;
}

struct str words_capitalize(struct run *r, struct str s)
{
        return words_title(r, s, never, false);
}

struct str words_title(struct run *r, struct str s, bool (*breaks)(int32_t c), bool full)
{
        struct buf text = {0};
        bool first = true;

        for (size_t pos = 0; pos < s.len && run_ok(r);) {
                int32_t c = chars_next(s, &pos);

                if (first && !full && c == 0xdf)
                        run_write(r, &text, "Ss", 2);
                else if (first)
                        put_upper(r, &text, c);
                else
                        put(r, &text, chars_lower(c));
                first = breaks(c);
        }
        return run_take(r, &text);
}

struct str words_strip(struct run *r, struct str s, struct str set, enum strip_side side)
{
        size_t work = s.len / 64 * (set.len / 64 + 1);

        return run_spend(r, work) ? chars_strip(s, set, side) : s;
}

struct str words_replace(struct run *r, struct str s, struct str old, struct str fresh, int64_t count)
{
        struct buf text = {0};
        size_t pos = 0;

        run_spend(r, s.len / 64);
        while (count != 0 && run_spend(r, 1)) {
                size_t found = str_find(s, old, pos);

                if (found == SIZE_MAX)
                        break;
                run_write(r, &text, s.data + pos, found - pos);
                run_write_str(r, &text, fresh);
                pos = found + old.len;
                count -= count > 0;
                if (old.len == 0) {
                        size_t next = pos;

                        if (pos >= s.len)
                                break;
                        chars_next(s, &next);
                        run_write(r, &text, s.data + pos, next - pos);
                        pos = next;
                }
        }
        run_write(r, &text, s.data + pos, s.len - pos);
        return run_take(r, &text);
}

static void push_part(struct run *r, struct value list, struct str s, size_t from, size_t to)
{
        run_push(r, list, value_string(str_part(s, from, to)));
}

// Offset where the white space (or what is not) that starts at pos ends.
static size_t run_of(struct str s, size_t pos, bool space)
{
        while (pos < s.len) {
                size_t next = pos;

                if (chars_is_space(chars_next(s, &next)) != space)
                        break;
                pos = next;
        }
        return pos;
}

static void split_at_space(struct run *r, struct value list, struct str s, int64_t most)
{
        size_t pos = run_of(s, 0, true);

        while (pos < s.len && run_ok(r)) {
                if (most == 0)
                        return push_part(r, list, s, pos, s.len);
                size_t stop = run_of(s, pos, false);

                push_part(r, list, s, pos, stop);
                most -= most > 0;
                pos = run_of(s, stop, true);
        }
}

static void split_at(struct run *r, struct value list, struct str s, struct str separator, int64_t most)
{
        size_t pos = 0;

        for (; most != 0 && run_ok(r); most -= most > 0) {
                size_t found = str_find(s, separator, pos);

                if (found == SIZE_MAX)
                        break;
                push_part(r, list, s, pos, found);
                pos = found + separator.len;
        }
        push_part(r, list, s, pos, s.len);
}

static void reverse(struct list *list)
{
        for (size_t i = 0; i + 1 < list->n - i; i++) {
                struct value v = list->items[i];

                list->items[i] = list->items[list->n - 1 - i];
                list->items[list->n - 1 - i] = v;
        }
}

static void split_from_right(struct run *r, struct value list, struct str s, struct str separator, int64_t most)
{
        for (; most != 0 && run_ok(r); most -= most > 0) {
                struct str part = separator.data ? s : chars_strip(s, (struct str){0}, STRIP_RIGHT);
                size_t cut = part.len, found = 0;

                if (separator.data) {
                        run_spend(r, s.len / 64);
                        found = str_find_last(s, separator);
                        if (found == SIZE_MAX)
                                break;
                        cut = found + separator.len;
                } else {
                        for (size_t pos = 0; pos < part.len;)
                                if (chars_is_space(chars_next(part, &pos)))
                                        found = pos;
                        run_spend(r, s.len / 16);
                        cut = found;
                        if (part.len == 0)
                                break;
                }
                push_part(r, list, part, cut, part.len);
                s = str_part(s, 0, found);
        }
        if (separator.data)
                run_push(r, list, value_string(s));
        else if (chars_strip(s, (struct str){0}, STRIP_BOTH).len)
                run_push(r, list, value_string(chars_strip(s, (struct str){0}, STRIP_RIGHT)));
        reverse(list.list);
}

struct value words_split(struct run *r, struct str s, struct str separator, int64_t most, bool from_right)
{
        struct value list = run_list(r, VALUE_LIST);

        run_spend(r, s.len / 16);
        if (separator.data && separator.len == 0)
                return run_fail(r, "a string cannot be split at an empty separator");
        if (from_right && most >= 0)
                split_from_right(r, list, s, separator, most);
        else if (separator.data)
                split_at(r, list, s, separator, most);
        else
                split_at_space(r, list, s, most);
        return list;
}

struct value words_lines(struct run *r, struct str s, bool keep_ends)
{
        struct value list = run_list(r, VALUE_LIST);

        run_spend(r, s.len / 16);
        for (size_t pos = 0, from = 0; pos < s.len && run_ok(r); from = pos) {
                size_t stop = pos;
                int32_t c = 0;

                while (stop < s.len) {
                        stop = pos;
                        c = chars_next(s, &pos);
                        if (chars_is_line_end(c))
                                break;
                        stop = pos;
                }
                if (c == '\r' && pos < s.len && s.data[pos] == '\n')
                        pos++;
                push_part(r, list, s, from, keep_ends ? pos : stop);
        }
        return list;
}

struct str words_repeat(struct run *r, struct str s, int64_t times)
{
        struct buf text = {0};

        if (times > 0 && s.len > 0 && (uint64_t)times > RUN_MAX_BYTES / s.len)
                run_fail(r, "a string is repeated too often");
        for (; times > 0 && s.len > 0 && run_spend(r, 1); times--)
                run_write_str(r, &text, s);
        return run_take(r, &text);
}

struct str words_pad(struct run *r, struct str s, int64_t width, struct str fill, int left)
{
        int64_t n = (int64_t)chars_count(s), missing = width > n ? width - n : 0;
        int64_t before = left == 1 ? missing / 2 + (missing & width & 1) : left == 2 ? missing : 0;

        run_spend(r, s.len / 16);
        if (missing == 0)
                return s;
        struct str whole = run_join(r, words_repeat(r, fill, before), s);

        return run_join(r, whole, words_repeat(r, fill, missing - before));
}
