/* z_t = z + dt s_1 (f_z - z), then y_t = y + dt s_2 (f_y - y), with s_k = sigmoid(r + u) and f = tanh(r + u).
 * Slots: the inputs of s_1, s_2, f_z and f_y, replaced by these. States: y, z. Scalar: dt. r: the recurrent products of
 * y; for f_y, in the second half of the step, that of z_t. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    if (half) {
        u[3] = hyperbolic_tangent(r[3] + u[3]);
    } else {
        u[0] = sigmoid(r[0] + u[0]);
        u[1] = sigmoid(r[1] + u[1]);
        u[2] = hyperbolic_tangent(r[2] + u[2]);
    }
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    if (half)
        h[0] += scalars[0] * u[1] * (u[3] - h[0]);
    else
        h[1] += scalars[0] * u[0] * (u[2] - h[1]);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    const int gate = half, force = 2 + half, state = 1 - half;
    vec s = u[gate], f = u[force], step = scalars[0] * grad[state];
    u[gate] = step * (f - h[state]) * s * (1.0f - s);
    u[force] = step * s * (1.0f - f * f);
    grad[state] -= step * s;
}
