/* h_t = sign(z) relu(|z| + b), z = r + u.
 * Slot: u, replaced by z. Vector: b. r: the recurrent product.
 * Each comparison is written so that NaN, for which all comparisons are false, stays NaN. */
INLINE vec sign(vec z) {
    return where(z > constant(0.0f), constant(1.0f), where(z < constant(0.0f), constant(-1.0f), z));
}

INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] += r[0];
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    vec size = sign(u[0]) * u[0] + vector[0];
    h[0] = sign(u[0]) * where(size <= constant(0.0f), constant(0.0f), size);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec s = sign(u[0]);
    vec bias_grad = s * where(s * u[0] + vector[0] <= constant(0.0f), constant(0.0f), grad[0]);
    vector_grad[0] += bias_grad;
    u[0] = s * bias_grad;
    grad[0] = constant(0.0f);
}
