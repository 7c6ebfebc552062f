/* Some time steps of a recurrence with one square recurrent weight, for some samples of a batch, in float32.
 *
 * RECURRENCE is the file that says what a step does, by functions on vectors of units of one sample: `forward` puts what
 * is kept in place of the INPUTS inputs of a unit, `advance` makes the next state of that, and `backward` goes back.
 * LANES is the number of floats in a vector, ROWS the number of rows whose sums fit the registers. Everything else is here.
 *
 * A row of `width` units, a multiple of PANEL, holds one sample; beyond the hidden size its weights and values are zero,
 * so that no loop has a remainder. The weight comes packed, [width / PANEL][width][PANEL]: the innermost loop reads it
 * in order and keeps ROWS x PANEL sums in registers. Each step writes only what the backward needs.
 */

/* may_alias, because what is stored as vectors is read as floats too. */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define PANEL (2 * LANES)
#define MOST 12 /* the largest ROWS there is: AVX-512 and ARM have 32 registers, AVX2 has 16 */

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec value) { *(vec *)to = value; }
INLINE vec constant(float value) { return (vec){} + value; }

INLINE vec where(mask condition, vec yes, vec no) {
    return (vec)((condition & (mask)yes) | (~condition & (mask)no));
}
INLINE vec clamp(vec x, float bound) {
    x = where(x > constant(bound), constant(bound), x);
    return where(x < constant(-bound), constant(-bound), x);
}

/* x P(x^2) / Q(x^2), fitted to a relative error of 2e-8 for |x| <= 9.02, beyond which float32's tanh is 1. */
INLINE vec hyperbolic_tangent(vec x) {
    x = clamp(x, 9.02f);
    vec s = x * x;
    vec p = s * 1.3316938e-8f + 2.0582178e-5f;
    p = p * s + 3.4939677e-3f;
    p = p * s + 1.3379666e-1f;
    p = p * s + 1.0f;
    vec q = s * 7.7612123e-7f + 3.2829744e-4f;
    q = q * s + 2.5870834e-2f;
    q = q * s + 4.6712983e-1f;
    q = q * s + 1.0f;
    return clamp(x * p / q, 1.0f);
}

/* 1 / (1 + 2^n e^r), r the rest of -x after n log 2, |r| <= log(2) / 2, and e^r by seven terms of its series. */
INLINE vec sigmoid(vec x) {
    x = clamp(x, 87.0f);
    const float rounding = 12582912.0f; /* 1.5 * 2^23: what is added to it loses its fraction */
    vec n = (x * -1.44269504f + rounding) - rounding;
    vec r = (-x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec e = r * 1.98412698e-4f + 1.38888889e-3f;
    e = e * r + 8.33333333e-3f;
    e = e * r + 4.16666667e-2f;
    e = e * r + 1.66666667e-1f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    mask power = (__builtin_convertvector(n, mask) + 127) << 23; /* 2^n, by its exponent's bits */
    return 1.0f / (1.0f + e * (vec)power);
}

#include RECURRENCE

/* sum [rows][PANEL], rows of x, `width` apart, times one panel of the weight: a function for each number of rows, so that
 * the sums stay in registers, and not inlined, so that nothing else takes the registers from them. */
typedef vec sums[MOST][2];
#define PRODUCT(rows)                                                                                                  \
    static __attribute__((noinline)) void product_##rows(const float *x, long width, const float *panel,               \
                                                         sums out) {                                                   \
        vec sum[rows][2];                                                                                              \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = constant(0.0f);                \
        for (long k = 0; k < width; k++) {                                                                             \
            vec left = load(panel + k * PANEL), right = load(panel + k * PANEL + LANES);                               \
            _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {                                                  \
                float value = x[i * width + k];                                                                        \
                sum[i][0] += value * left;                                                                             \
                sum[i][1] += value * right;                                                                            \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) out[i][0] = sum[i][0], out[i][1] = sum[i][1];          \
    }
PRODUCT(1) PRODUCT(2) PRODUCT(3) PRODUCT(4) PRODUCT(5) PRODUCT(6)
PRODUCT(7) PRODUCT(8) PRODUCT(9) PRODUCT(10) PRODUCT(11) PRODUCT(12)

static void (*const product[])(const float *, long, const float *, sums) = {
    0, product_1, product_2, product_3, product_4, product_5, product_6,
    product_7, product_8, product_9, product_10, product_11, product_12};

/* u[INPUTS], the inputs of a vector of units, loaded, handed to `call`, and stored again. */
#define WITH_INPUTS(at, call)                                                                                          \
    vec u[INPUTS];                                                                                                     \
    for (int g = 0; g < INPUTS; g++) u[g] = load((at) + g * width);                                                    \
    call;                                                                                                              \
    for (int g = 0; g < INPUTS; g++) store((at) + g * width, u[g]);

/* inputs [steps][batch][INPUTS][width], in: V x + b, out: activations; states [steps + 1][batch][width]. */
void scan_forward(long steps, long batch, long width, const float *weight, float *inputs, float *states,
                  const float *scalars) {
    const long size = batch * width;
    for (long t = 0; t < steps; t++, inputs += INPUTS * size, states += size)
        for (long unit = 0; unit < width; unit += PANEL)
            for (long row = 0; row < batch; row += ROWS) {
                const long rows = batch - row < ROWS ? batch - row : ROWS;
                sums sum;
                product[rows](states + row * width, width, weight + unit * width, sum);
                for (long i = 0; i < rows; i++)
                    for (int j = 0; j < 2; j++) {
                        const long at = (row + i) * width + unit + j * LANES;
                        vec state = load(states + at);
                        WITH_INPUTS(inputs + at + (INPUTS - 1) * (row + i) * width,
                                    forward(sum[i][j], u); state = advance(state, u, scalars))
                        store(states + size + at, state);
                    }
            }
}

/* The states once more, from the first of them and the inputs that `scan_forward` left: the same numbers to the bit. */
void scan_replay(long steps, long batch, long width, const float *inputs, float *states, const float *scalars) {
    const long size = batch * width;
    for (long t = 0; t < steps; t++, inputs += INPUTS * size, states += size)
        for (long row = 0; row < batch; row++)
            for (long at = row * width; at < (row + 1) * width; at += LANES) {
                vec u[INPUTS];
                for (int g = 0; g < INPUTS; g++) u[g] = load(inputs + at + ((INPUTS - 1) * row + g) * width);
                store(states + size + at, advance(load(states + at), u, scalars));
            }
}

/* The gradient towards the state after step t, for one vector of units of one sample: add what comes from outside, and
 * go back through the step to the sum that the recurrent product adds to. */
INLINE void backward_units(long t, long at, long row, long size, long width, vec gradient, float *inputs, float *grad,
                           const float *more, float *delta, const float *scalars) {
    if (more) gradient += load(more + t * size + at);
    WITH_INPUTS(inputs + t * INPUTS * size + at + (INPUTS - 1) * row * width,
                vec difference = backward(u, &gradient, scalars))
    store(grad + at, gradient);
    if (delta) store(delta + t * size + at, difference);
}

/* inputs, in: activations, out: gradients towards V x + b; grad [batch][width], in: the gradient towards the last
 * state, out: towards the first; more [steps][batch][width] or null: gradients towards the state after each step;
 * delta [steps][batch][width], or null where the only input's gradient is it: the gradient towards the recurrent product. */
void scan_backward(long steps, long batch, long width, const float *weight, float *inputs, float *grad,
                   const float *more, float *delta, const float *scalars) {
    const long size = batch * width;
    for (long row = 0; row < batch; row++)
        for (long at = row * width; at < (row + 1) * width; at += LANES)
            backward_units(steps - 1, at, row, size, width, load(grad + at), inputs, grad, more, delta, scalars);
    for (long t = steps - 1; t >= 0; t--) {
        const float *x = (delta ? delta : inputs) + t * size;
        for (long unit = 0; unit < width; unit += PANEL)
            for (long row = 0; row < batch; row += ROWS) {
                const long rows = batch - row < ROWS ? batch - row : ROWS;
                sums sum;
                product[rows](x + row * width, width, weight + unit * width, sum);
                for (long i = 0; i < rows; i++)
                    for (int j = 0; j < 2; j++) {
                        const long at = (row + i) * width + unit + j * LANES;
                        vec gradient = load(grad + at) + sum[i][j];
                        if (t)
                            backward_units(t - 1, at, row + i, size, width, gradient, inputs, grad, more, delta,
                                           scalars);
                        else
                            store(grad + at, gradient);
                    }
            }
    }
}
