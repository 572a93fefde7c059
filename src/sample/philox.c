#include "sample/sample.h"

double sample_uniform(uint64_t seed, uint64_t position)
{
        uint32_t c[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
        uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

        for (int round = 0; round < 10; round++) {
                uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
                uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                        (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};

                for (int i = 0; i < 4; i++)
                        c[i] = next[i];
                k[0] += 0x9E3779B9u;
                k[1] += 0xBB67AE85u;
        }
        return (double)((((uint64_t)c[0] << 32) | c[1]) >> 11) * 0x1p-53;
}
