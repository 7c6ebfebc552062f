/* Fill the noise of some samples, as noise.py defines it: mix counters as SplitMix64 does, four look-ups a word. */

#include <stdint.h>

#define GAMMA 0x9E3779B97F4A7C15u

static inline uint64_t mix(uint64_t word) {
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
}

/* Fill `size` values of a row, from its value `first` on. */
static inline void fill(uint64_t key, int64_t first, int64_t size, const float *quantiles, float *out) {
    uint64_t counter = key + (uint64_t)(first / 4) * GAMMA;
    int64_t at = 0;
    if (first % 4) {
        uint64_t word = mix(counter += GAMMA) >> first % 4 * 16;
        for (; at < size && at < 4 - first % 4; at++, word >>= 16) out[at] = quantiles[word & 0xFFFF];
    }
    for (; at + 4 <= size; at += 4) {
        uint64_t word = mix(counter += GAMMA);
        out[at] = quantiles[word & 0xFFFF];
        out[at + 1] = quantiles[word >> 16 & 0xFFFF];
        out[at + 2] = quantiles[word >> 32 & 0xFFFF];
        out[at + 3] = quantiles[word >> 48];
    }
    for (uint64_t word = mix(counter + GAMMA); at < size; at++, word >>= 16) out[at] = quantiles[word & 0xFFFF];
}

/* Fill `rows` rows of `steps` steps of `size` values; rows and steps begin so many values apart. */
void fill_rows(int64_t rows, int64_t steps, int64_t size, int64_t row_stride, int64_t step_stride, const uint64_t *keys,
               const float *quantiles, float *out) {
    for (int64_t step = 0; step < steps; step++)
        for (int64_t row = 0; row < rows; row++)
            fill(keys[row], step * size, size, quantiles, out + step * step_stride + row * row_stride);
}
