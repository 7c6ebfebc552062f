/* h_t = h_{t-1} + epsilon z y, z = sigmoid(r + u_z), y = tanh(r + u_y); scalars: epsilon. Kept: z and y. */
#define INPUTS 2

INLINE void forward(vec r, vec *u) {
    u[0] = sigmoid(r + u[0]);
    u[1] = hyperbolic_tangent(r + u[1]);
}

INLINE vec advance(vec h, const vec *u, const float *scalars) { return h + scalars[0] * u[0] * u[1]; }

INLINE vec backward(vec *u, vec *grad, const float *scalars) {
    vec z = u[0], y = u[1], step = scalars[0] * *grad;
    u[0] = step * y * z * (1.0f - z);
    u[1] = step * z * (1.0f - y * y);
    return u[0] + u[1];
}
