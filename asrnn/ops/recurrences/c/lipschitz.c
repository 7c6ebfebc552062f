/* h_t = h_{t-1} + epsilon (r_1 + y), y = tanh(r_0 + u).
 * Slots: u and a free one, replaced by y and r_1. Scalar: epsilon. r_0, r_1: the recurrent products. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = hyperbolic_tangent(r[0] + u[0]);
    u[1] = r[1];
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] += scalars[0] * (u[0] + u[1]);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    u[1] = scalars[0] * grad[0];
    u[0] = u[1] * (1.0f - u[0] * u[0]);
}
