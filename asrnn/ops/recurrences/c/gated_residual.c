/* h_t = h_{t-1} + epsilon z y, z = sigmoid(r + u_z), y = tanh(r + u_y).
 * Slots: u_z and u_y, replaced by z and y. Scalar: epsilon. r: the recurrent product, which has no slot. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = sigmoid(r[2] + u[0]);
    u[1] = hyperbolic_tangent(r[2] + u[1]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] += scalars[0] * u[0] * u[1];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec z = u[0], y = u[1], step = scalars[0] * grad[0];
    u[0] = step * y * z * (1.0f - z);
    u[1] = step * z * (1.0f - y * y);
    *product_grad = u[0] + u[1];
}
