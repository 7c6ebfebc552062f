/* h_t = h_{t-1} + epsilon y, y = tanh(r + u).
 * Slot: u, replaced by y. Scalar: epsilon. r: the recurrent product. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = hyperbolic_tangent(r[0] + u[0]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] += scalars[0] * u[0];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    u[0] = scalars[0] * grad[0] * (1.0f - u[0] * u[0]);
}
