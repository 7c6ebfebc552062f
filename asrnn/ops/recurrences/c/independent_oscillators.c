/* z_t = z - tau (f + alpha y), y_t = y + tau z_t, f = tanh(w y + u).
 * Slot: u, replaced by f. States: y, z. Vectors: w, tau. Scalar: alpha. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = hyperbolic_tangent(vector[0] * h[0] + u[0]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[1] -= vector[1] * (u[0] + scalars[0] * h[0]);
    h[0] += vector[1] * h[1];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec new_z_grad = grad[1] + vector[1] * grad[0];
    vector_grad[1] += grad[0] * after[1] - new_z_grad * (u[0] + scalars[0] * h[0]);
    vec pull_grad = -vector[1] * new_z_grad;
    u[0] = pull_grad * (1.0f - u[0] * u[0]);
    vector_grad[0] += u[0] * h[0];
    grad[0] += scalars[0] * pull_grad + vector[0] * u[0];
    grad[1] = new_z_grad;
}
