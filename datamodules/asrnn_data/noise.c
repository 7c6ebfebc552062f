/* The noise of some samples, as noise.py defines it: counters through SplitMix64's mixer, four look-ups a word. */

#include <stdint.h>

static inline uint64_t mix(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

/* Fill `rows` rows of `size` values, which begin `stride` values apart. */
void fill_rows(int64_t rows, int64_t size, int64_t stride, const uint64_t *keys, const float *quantiles, float *out) {
    for (int64_t row = 0; row < rows; row++, out += stride) {
        uint64_t counter = keys[row];
        int64_t at = 0;
        for (; at + 4 <= size; at += 4) {
            uint64_t word = mix(counter += 0x9E3779B97F4A7C15u);
            out[at] = quantiles[word & 0xFFFF];
            out[at + 1] = quantiles[word >> 16 & 0xFFFF];
            out[at + 2] = quantiles[word >> 32 & 0xFFFF];
            out[at + 3] = quantiles[word >> 48];
        }
        for (uint64_t word = mix(counter + 0x9E3779B97F4A7C15u); at < size; at++, word >>= 16)
            out[at] = quantiles[word & 0xFFFF];
    }
}
