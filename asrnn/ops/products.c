/* Matrix products in float32, for scan.c: products of few rows with a packed weight, whose sums stay in registers; the
 * projection of the inputs; and sums over many rows, as for the gradients of weights.
 *
 * Libraries do not always use the widest vectors of a processor. With AVX-512, torch's products reached 118 GFLOP/s,
 * and these up to 270.
 */

#define MAX_ROWS 12 /* the largest value of ROWS: AVX-512 and ARM have 32 registers, AVX2 has 16 */
#define PACKED 256 /* rows that are summed in registers, which is also the largest number of packed rows */

/* out [rows][PANEL]: rows of x, `stride` apart, times one panel of a weight, added to out if `add`. There is one
 * function for each number of rows, so that the sums stay in registers. None is inlined, so that no other code takes
 * registers. */
typedef vec sums[MAX_ROWS][2];
#define PRODUCT(rows)                                                                                                  \
    static __attribute__((noinline)) void product_##rows(const float *x, long stride, long width, const float *panel,  \
                                                         sums out, int add) {                                          \
        vec sum[rows][2];                                                                                              \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = constant(0.0f);                \
        for (long k = 0; k < width; k++) {                                                                             \
            vec left = load(panel + k * PANEL), right = load(panel + k * PANEL + LANES);                               \
            _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {                                                  \
                float value = x[i * stride + k];                                                                       \
                sum[i][0] += value * left;                                                                             \
                sum[i][1] += value * right;                                                                            \
            }                                                                                                          \
        }                                                                                                              \
        if (add) {                                                                                                     \
            _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) out[i][0] += sum[i][0], out[i][1] += sum[i][1];    \
        } else {                                                                                                       \
            _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) out[i][0] = sum[i][0], out[i][1] = sum[i][1];      \
        }                                                                                                              \
    }
PRODUCT(1) PRODUCT(2) PRODUCT(3) PRODUCT(4) PRODUCT(5) PRODUCT(6)
PRODUCT(7) PRODUCT(8) PRODUCT(9) PRODUCT(10) PRODUCT(11) PRODUCT(12)

static void (*const product[])(const float *, long, long, const float *, sums, int) = {
    0, product_1, product_2, product_3, product_4, product_5, product_6,
    product_7, product_8, product_9, product_10, product_11, product_12};

/* Compute u [steps][batch][outputs] = V x + b. V is packed as [outputs / PANEL][inputs][PANEL], and the samples of u
 * are `u_stride` apart. */
void project(long steps, long batch, long inputs, long outputs, const float *x, long x_step, long x_sample,
             const float *weight, const float *bias, float *u, long u_stride) {
    SUBNORMALS_ARE_ZERO;
    for (long t = 0; t < steps; t++, x += x_step, u += batch * u_stride)
        for (long unit = 0; unit < outputs; unit += PANEL)
            for (long row = 0; row < batch; row += ROWS) {
                const long rows = batch - row < ROWS ? batch - row : ROWS;
                sums sum;
                product[rows](x + row * x_sample, x_sample, inputs, weight + unit * inputs, sum, 0);
                for (long i = 0; i < rows; i++)
                    for (int j = 0; j < 2; j++) {
                        const long column = unit + j * LANES;
                        store(u + (row + i) * u_stride + column, sum[i][j] + load(bias + column));
                    }
            }
}

/* Add to out, whose rows are `out_stride` apart, the sums over samples and steps of x_i times one packed panel. */
#define SUM(rows)                                                                                                      \
    static __attribute__((noinline)) void sum_##rows(long steps, long batch, const float *x, long x_step,              \
                                                     long x_sample, const float *panel, float *out, long out_stride) { \
        vec sum[rows][2];                                                                                              \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = constant(0.0f);                \
        for (long t = 0; t < steps; t++)                                                                               \
            for (long k = 0; k < batch; k++, panel += PANEL) {                                                         \
                const float *values = x + t * x_step + k * x_sample;                                                   \
                vec left = load(panel), right = load(panel + LANES);                                                   \
                _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {                                              \
                    sum[i][0] += values[i] * left;                                                                     \
                    sum[i][1] += values[i] * right;                                                                    \
                }                                                                                                      \
            }                                                                                                          \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {                                                      \
            float *to = out + i * out_stride;                                                                          \
            store(to, load(to) + sum[i][0]), store(to + LANES, load(to + LANES) + sum[i][1]);                          \
        }                                                                                                              \
    }
SUM(1) SUM(2) SUM(3) SUM(4) SUM(5) SUM(6) SUM(7) SUM(8) SUM(9) SUM(10) SUM(11) SUM(12)

static void (*const sum_of[])(long, long, const float *, long, long, const float *, float *, long) = {
    0, sum_1, sum_2, sum_3, sum_4, sum_5, sum_6, sum_7, sum_8, sum_9, sum_10, sum_11, sum_12};

/* Add x^T y, summed over all steps and samples, to out [inputs][outputs]. y is [steps][batch][outputs], and its samples
 * are `y_stride` apart. */
void sum_over_rows(long steps, long batch, long inputs, long outputs, const float *x, long x_step, long x_sample,
                   const float *y, long y_stride, float *out) {
    SUBNORMALS_ARE_ZERO;
    float panel[PACKED * PANEL];
    const long max_steps = batch < PACKED ? PACKED / batch : 1;
    for (long t = 0; t < steps; t += max_steps)
        for (long row = 0; row < batch; row += PACKED) {
            const long num_steps = steps - t < max_steps ? steps - t : max_steps;
            const long rows = batch - row < PACKED ? batch - row : PACKED;
            for (long unit = 0; unit < outputs; unit += PANEL) {
                const float *from = y + (t * batch + row) * y_stride + unit;
                for (long k = 0; k < num_steps * rows; k++) {
                    store(panel + k * PANEL, load(from + k * y_stride));
                    store(panel + k * PANEL + LANES, load(from + k * y_stride + LANES));
                }
                for (long i = 0; i < inputs; i += ROWS)
                    sum_of[inputs - i < ROWS ? inputs - i : ROWS](num_steps, rows, x + t * x_step + row * x_sample + i,
                                                                  x_step, x_sample, panel, out + i * outputs + unit,
                                                                  outputs);
            }
        }
}
