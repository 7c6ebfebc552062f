/* h_t = relu(|z| + b) z / |z|, z = r + u, with complex h, r and u.
 * Slots: Re u and Im u, replaced by Re z and Im z. States: Re h, Im h. Vector: b. r: the recurrent products.
 * Each comparison is written so that NaN, for which all comparisons are false, stays NaN. */
INLINE vec root(vec x) {
    vec y;
    for (int i = 0; i < LANES; i++) y[i] = __builtin_sqrtf(x[i]);
    return y;
}

INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] += r[0];
    u[1] += r[1];
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    vec square = u[0] * u[0] + u[1] * u[1];
    vec modulus = root(square), size = modulus + vector[0];
    mask active = ~((square <= constant(0.0f)) | (size <= constant(0.0f)));
    vec scale = where(active, size / modulus, constant(0.0f));
    h[0] = scale * u[0];
    h[1] = scale * u[1];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec square = u[0] * u[0] + u[1] * u[1];
    vec modulus = root(square);
    mask active = ~((square <= constant(0.0f)) | (modulus + vector[0] <= constant(0.0f)));
    vec re = u[0] / modulus, im = u[1] / modulus, ratio = vector[0] / modulus;
    vec along = re * grad[0] + im * grad[1];
    u[0] = where(active, grad[0] + ratio * (grad[0] - along * re), constant(0.0f));
    u[1] = where(active, grad[1] + ratio * (grad[1] - along * im), constant(0.0f));
    vector_grad[0] += where(active, along, constant(0.0f));
    grad[0] = grad[1] = constant(0.0f);
}
