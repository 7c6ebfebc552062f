/* z_t = z + dt (f - gamma y - epsilon z), y_t = y + dt z_t, f = tanh(r + u), r the products of y and z; scalars: dt, gamma,
 * epsilon; states: y, z. Kept: f. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = hyperbolic_tangent(r[0] + u[0]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[1] += scalars[0] * (u[0] - scalars[1] * h[0] - scalars[2] * h[1]);
    h[0] += scalars[0] * h[1];
}

INLINE void go_back(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                    vec *vector_grad, const float *scalars) {
    vec towards_new_z = grad[1] + scalars[0] * grad[0];
    u[0] = scalars[0] * towards_new_z * (1.0f - u[0] * u[0]);
    grad[0] -= scalars[0] * scalars[1] * towards_new_z;
    grad[1] = (1.0f - scalars[0] * scalars[2]) * towards_new_z;
}
