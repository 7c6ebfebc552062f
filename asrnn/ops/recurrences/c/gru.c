/* h_t = n + z (h_{t-1} - n), r = sigmoid(r_0 + u_r), z = sigmoid(r_1 + u_z), n = tanh(u_n + r p), p = r_3 + b.
 * Slots: u_r, u_z, u_n and a free one, replaced by r, z, n and p. Vector: b. r_0, r_1, r_3: the recurrent products. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = sigmoid(r[0] + u[0]);
    u[1] = sigmoid(r[1] + u[1]);
    u[3] = r[3] + vector[0];
    u[2] = hyperbolic_tangent(u[2] + u[0] * u[3]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] = u[2] + u[1] * (h[0] - u[2]);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec r = u[0], z = u[1], n = u[2], p = u[3];
    u[1] = grad[0] * (h[0] - n) * z * (1.0f - z);
    u[2] = grad[0] * (1.0f - z) * (1.0f - n * n);
    u[0] = u[2] * p * r * (1.0f - r);
    u[3] = u[2] * r;
    grad[0] *= z;
    vector_grad[0] += u[3];
}
