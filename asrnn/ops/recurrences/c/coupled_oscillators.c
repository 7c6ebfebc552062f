/* z_t = z + dt (f - gamma y - epsilon z), y_t = y + dt z_t, f = tanh(r + u).
 * Slot: u, replaced by f. States: y, z. Scalars: dt, gamma, epsilon. r: the sum of the recurrent products of y and z.
 * */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = hyperbolic_tangent(r[0] + u[0]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[1] += scalars[0] * (u[0] - scalars[1] * h[0] - scalars[2] * h[1]);
    h[0] += scalars[0] * h[1];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec new_z_grad = grad[1] + scalars[0] * grad[0];
    u[0] = scalars[0] * new_z_grad * (1.0f - u[0] * u[0]);
    grad[0] -= scalars[0] * scalars[1] * new_z_grad;
    grad[1] = (1.0f - scalars[0] * scalars[2]) * new_z_grad;
}
