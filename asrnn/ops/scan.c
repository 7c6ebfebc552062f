/* Compute some time steps of a recurrence, forward or backward, for some samples of a batch, in float32.
 *
 * The file RECURRENCE defines one step, with three functions on vectors of units of one sample. The state has STATES
 * parts, u has SLOTS slots, and each unit has VECTORS numbers of its own. A step has one half or two (HALVES). The
 * products of the second half read the state that the first half has computed.
 *
 *   activate: replaces the inputs in u by what the backward pass needs. r[slot] is the sum of the products of that slot
 *             in this half, and r[SLOTS] the sum of the products without a slot.
 *   advance:  computes the next state h from u, in place.
 *   backward: replaces what activate left in u by the gradients of the inputs and products. Replaces grad, the gradients
 *             of the state after this half, by those of the state before it, without the part that comes through the
 *             products. Stores in product_grad the gradient of the products without a slot, if there are any.
 *
 * LANES is the number of floats in a vector, ROWS the number of rows whose sums fit the registers. This file does
 * the rest.
 *
 * A row holds one sample and has `width` units, a multiple of PANEL. Beyond the hidden size its weights and values are
 * zero, so that no loop has a remainder. Weights are packed as [width / PANEL][width][PANEL]: the innermost loop reads
 * them in order and keeps ROWS x PANEL sums in registers. A step writes only what the backward pass needs.
 */

/* may_alias, because numbers that are stored as vectors are also read as floats. */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define PANEL (2 * LANES)
#define BLOCK (VECTORS ? 16 : 1) /* rows of one partial sum of a vector's gradient; without vectors there are no sums */
#define BLOCKS 32                /* blocks of rows whose partial sums are added together */

INLINE vec load(const float *from) { return *(const vec *)from; }
INLINE void store(float *to, vec value) { *(vec *)to = value; }
INLINE vec constant(float value) { return (vec){} + value; }

INLINE vec where(mask condition, vec yes, vec no) {
    return (vec)((condition & (mask)yes) | (~condition & (mask)no));
}

/* tanh x as x P(x^2) / Q(x^2), with a relative error of at most 3.1e-7, roundings included. The result is 1 with the
 * sign of x where |x| >= 9.02; float32's tanh is 1 from 9.011 on. For large x the quotient may be NaN, but is unused. */
INLINE vec hyperbolic_tangent(vec x) {
    vec s = x * x;
    vec p = s * 1.3316938e-8f + 2.0582178e-5f;
    p = p * s + 3.4939677e-3f;
    p = p * s + 1.3379666e-1f;
    p = p * s + 1.0f;
    vec q = s * 7.7612123e-7f + 3.2829744e-4f;
    q = q * s + 2.5870834e-2f;
    q = q * s + 4.6712983e-1f;
    q = q * s + 1.0f;
    vec y = x * p / q;
    y = where((x >= constant(9.02f)) | (y > constant(1.0f)), constant(1.0f), y);
    return where((x <= constant(-9.02f)) | (y < constant(-1.0f)), constant(-1.0f), y);
}

/* e^x for x clamped to [-87, 87], where the result is a normal float: 2^n e^r, with n the integer next to x / log 2 and
 * |r| <= log(2) / 2. Seven terms of the series give e^r with a relative error of at most 1.5e-7. */
INLINE vec exponential(vec x) {
    x = where(x > constant(87.0f), constant(87.0f), where(x < constant(-87.0f), constant(-87.0f), x));
    const float rounding = 12582912.0f; /* 1.5 * 2^23: a number added to it is rounded to an integer */
    vec n = (x * 1.44269504f + rounding) - rounding;
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec e = r * 1.98412698e-4f + 1.38888889e-3f;
    e = e * r + 8.33333333e-3f;
    e = e * r + 4.16666667e-2f;
    e = e * r + 1.66666667e-1f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    mask power = (__builtin_convertvector(n, mask) + 127) << 23; /* 2^n, from the bits of its exponent */
    return e * (vec)power;
}

/* 1 / (1 + e^-x), and 0 below -87, where it is less than 2e-38. */
INLINE vec sigmoid(vec x) { return where(x < constant(-87.0f), constant(0.0f), 1.0f / (1.0f + exponential(-x))); }

/* Treat subnormal numbers, below 1.2e-38, as 0 while these functions run. A gradient that vanishes over a thousand
 * steps becomes subnormal before it becomes 0, and Intel's processors need some hundred cycles for each subnormal
 * number: a step of an LSTM took ten times as long. ARM's and AMD's processors lose little. */
#ifdef __SSE__
INLINE void restore_subnormals(const unsigned *mode) { __builtin_ia32_ldmxcsr(*mode); }
#define SUBNORMALS_ARE_ZERO                                                                                            \
    const unsigned mode __attribute__((cleanup(restore_subnormals))) = __builtin_ia32_stmxcsr();                       \
    __builtin_ia32_ldmxcsr(mode | 0x8040) /* denormals are zeros, flush to zero */
#else
#define SUBNORMALS_ARE_ZERO
#endif

#include RECURRENCE

/* The recurrent products: the indices of weight and state, the slot of the gradient, and the half of the step. */
static const struct {
    int weight, state, slot, half;
} products[] = {PRODUCTS};
#define NUM_PRODUCTS ((int)(sizeof products / sizeof *products))
#define EACH_PRODUCT _Pragma("GCC unroll 8") for (int k = 0; k < NUM_PRODUCTS; k++)

#include "products.c"

/* Load or store one vector of units of each of several arrays. */
#define GATHER(count, name, from)                                                                                      \
    vec name[count + 1];                                                                                               \
    _Pragma("GCC unroll 8") for (int n = 0; n < count; n++) name[n] = load(from);
#define SCATTER(count, name, to) _Pragma("GCC unroll 8") for (int n = 0; n < count; n++) store(to, name[n]);

/* Compute one half of a step for one vector of units of a sample, at offset `at` in a state and `slot` in the slots. */
INLINE void forward_units(int half, const vec *r, long at, long unit, long slot, long width,
                          const float *const *vectors, float *inputs, float *const *before, float *const *after,
                          const float *scalars) {
    GATHER(SLOTS, u, inputs + slot + n * width)
    GATHER(STATES, h, (half ? after : before)[n] + at)
    GATHER(VECTORS, vector, vectors[n] + unit)
    activate(half, r, u, h, vector, scalars);
    advance(half, u, h, vector, scalars);
    SCATTER(SLOTS, u, inputs + slot + n * width)
    SCATTER(STATES, h, after[n] + at)
}

INLINE void forward_half(int half, long batch, long width, const float *const *weights, const float *const *vectors,
                         float *inputs, float *const *before, float *const *after, const float *scalars) {
    for (long unit = 0; unit < width; unit += PANEL)
        for (long row = 0; row < batch; row += ROWS) {
            const long rows = batch - row < ROWS ? batch - row : ROWS;
            sums sum[SLOTS + 1];
            int begun[SLOTS + 1] = {};
            EACH_PRODUCT if (products[k].half == half) {
                const float *x = (half ? after : before)[products[k].state] + row * width;
                const int to = products[k].slot;
                product[rows](x, width, width, weights[products[k].weight] + unit * width, sum[to], begun[to]);
                begun[to] = 1;
            }
            for (long i = 0; i < rows; i++)
                for (int j = 0; j < 2; j++) {
                    const long column = unit + j * LANES;
                    vec r[SLOTS + 1];
                    _Pragma("GCC unroll 8") for (int n = 0; n <= SLOTS; n++) if (begun[n]) r[n] = sum[n][i][j];
                    forward_units(half, r, (row + i) * width + column, column, (row + i) * SLOTS * width + column,
                                  width, vectors, inputs, before, after, scalars);
                }
        }
}

/* Compute the steps of a chunk.
 *   inputs [steps][batch][SLOTS][width]: in: V x + b in the first slots; out: what the backward pass needs.
 *   states, each [steps + 1][batch][width]: in: the first row; out: the others. */
void scan_forward(long steps, long batch, long width, const float *const *weights, const float *const *vectors,
                  float *inputs, float *const *states, const float *scalars) {
    SUBNORMALS_ARE_ZERO;
    const long size = batch * width;
    for (long t = 0; t < steps; t++, inputs += SLOTS * size) {
        float *before[STATES], *after[STATES];
        for (int n = 0; n < STATES; n++) before[n] = states[n] + t * size, after[n] = before[n] + size;
        forward_half(0, batch, width, weights, vectors, inputs, before, after, scalars);
        if (HALVES == 2) forward_half(1, batch, width, weights, vectors, inputs, before, after, scalars);
    }
}

/* Compute the states again from the first of them and the slots that `scan_forward` left, with the same bits. */
void scan_replay(long steps, long batch, long width, const float *const *vectors, const float *inputs,
                 float *const *states, const float *scalars) {
    SUBNORMALS_ARE_ZERO;
    const long size = batch * width;
    for (long t = 0; t < steps; t++, inputs += SLOTS * size)
        for (long row = 0; row < batch; row++)
            for (long unit = 0; unit < width; unit += LANES) {
                const long at = t * size + row * width + unit;
                GATHER(SLOTS, u, inputs + (row * SLOTS + n) * width + unit)
                GATHER(STATES, h, states[n] + at)
                GATHER(VECTORS, vector, vectors[n] + unit)
                for (int half = 0; half < HALVES; half++) advance(half, u, h, vector, scalars);
                SCATTER(STATES, h, states[n] + at + size)
            }
}

/* Compute the gradients of one half of a step for some rows, without the part that comes through the products. The sums
 * over these rows of the vectors' gradients are added to `partial`. */
INLINE void backward_units(int half, long row, long end, long width, const float *const *vectors, float *inputs,
                           float *const *before, float *const *after, float *const *grads, float *const *output_grads,
                           float *product_grad, float *const *partial, const float *scalars) {
    for (long unit = 0; unit < width; unit += LANES) {
        GATHER(VECTORS, vector, vectors[n] + unit)
        vec vector_grad[VECTORS + 1];
        for (int n = 0; n < VECTORS; n++) vector_grad[n] = constant(0.0f);
        for (long i = row; i < end; i++) {
            const long at = i * width + unit;
            GATHER(SLOTS, u, inputs + (i * SLOTS + n) * width + unit)
            GATHER(STATES, h, before[n] + at)
            GATHER(STATES, h_after, after[n] + at)
            GATHER(STATES, grad, grads[n] + at)
            if (output_grads && half == HALVES - 1)
                for (int n = 0; n < OUTPUTS; n++) grad[n] += load(output_grads[n] + at);
            vec step_product_grad;
            backward(half, u, h, h_after, grad, &step_product_grad, vector, vector_grad, scalars);
            SCATTER(SLOTS, u, inputs + (i * SLOTS + n) * width + unit)
            SCATTER(STATES, grad, grads[n] + at)
            if (PRODUCT_GRAD) store(product_grad + at, step_product_grad);
        }
        for (int n = 0; n < VECTORS; n++) store(partial[n] + unit, load(partial[n] + unit) + vector_grad[n]);
    }
}

/* Add the partial sums to the sums, and reset them. */
INLINE void add_up(long width, float *const *partial, float *const *sums) {
    for (int n = 0; n < VECTORS; n++)
        for (long unit = 0; unit < width; unit += LANES) {
            store(sums[n] + unit, load(sums[n] + unit) + load(partial[n] + unit));
            store(partial[n] + unit, constant(0.0f));
        }
}

/* Add the part that comes through the products to the gradient of one part of the state. */
INLINE void backward_products(int half, int state, long batch, long width, const float *const *weights,
                              const float *inputs, const float *product_grad, float *grad) {
    for (long unit = 0; unit < width; unit += PANEL)
        for (long row = 0; row < batch; row += ROWS) {
            const long rows = batch - row < ROWS ? batch - row : ROWS;
            sums sum;
            int begun = 0;
            EACH_PRODUCT if (products[k].half == half && products[k].state == state) {
                const int slot = products[k].slot, within = slot < SLOTS;
                const float *x = within ? inputs + (row * SLOTS + slot) * width : product_grad + row * width;
                product[rows](x, within ? SLOTS * width : width, width, weights[products[k].weight] + unit * width, sum,
                              begun);
                begun = 1;
            }
            for (long i = 0; begun && i < rows; i++)
                for (int j = 0; j < 2; j++) {
                    float *to = grad + (row + i) * width + unit + j * LANES;
                    store(to, load(to) + sum[i][j]);
                }
        }
}

/* Compute the gradients of a chunk.
 *   inputs: in: what `scan_forward` left; out: the gradients of V x + b and of the products with a slot.
 *   grads, each [batch][width]: in: the gradients of the last state; out: of the first.
 *   output_grads: null, or for each output [steps][batch][width], the gradients of the output of each step.
 *   product_grad [steps][batch][width]: out: the gradients of the products without a slot.
 *   vector_grads, each [width]: the gradients of the vectors are added.
 *   partial, each [width]: work memory, 0 before and after.
 *
 * The gradient of a vector is a sum over all steps and samples. In a running total each term would be rounded to the
 * precision of the whole sum. The terms are therefore summed in blocks of rows, and those sums in groups of blocks. */
void scan_backward(long steps, long batch, long width, const float *const *weights, const float *const *vectors,
                   float *inputs, float *const *states, float *const *grads, float *const *output_grads,
                   float *product_grad, float *const *vector_grads, float *const *partial, const float *scalars) {
    SUBNORMALS_ARE_ZERO;
    const long size = batch * width;
    long blocks = 0;
    for (long t = steps - 1; t >= 0; t--) {
        float *before[STATES], *after[STATES], *step_output_grads[OUTPUTS], *u = inputs + t * SLOTS * size;
        float *step_product_grad = PRODUCT_GRAD ? product_grad + t * size : product_grad;
        for (int n = 0; n < STATES; n++) before[n] = states[n] + t * size, after[n] = before[n] + size;
        for (int n = 0; output_grads && n < OUTPUTS; n++) step_output_grads[n] = output_grads[n] + t * size;
        _Pragma("GCC unroll 2") for (int half = HALVES - 1; half >= 0; half--) {
            for (long row = 0; row < batch; row += BLOCK) {
                const long end = row + BLOCK < batch ? row + BLOCK : batch;
                backward_units(half, row, end, width, vectors, u, before, after, grads,
                               output_grads ? step_output_grads : 0, step_product_grad, partial, scalars);
                if (VECTORS && ++blocks % BLOCKS == 0) add_up(width, partial, vector_grads);
            }
            _Pragma("GCC unroll 4") for (int n = 0; n < STATES; n++)
                backward_products(half, n, batch, width, weights, u, step_product_grad, grads[n]);
        }
    }
    add_up(width, partial, vector_grads);
}
