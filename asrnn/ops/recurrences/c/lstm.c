/* c_t = f c_{t-1} + i g, h_t = o tanh(c_t), with i, f and o = sigmoid(r + u) and g = tanh(r + u).
 * Slots: the inputs of i, f, g and o, replaced by these. States: h, c. r: the recurrent products. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    u[0] = sigmoid(r[0] + u[0]);
    u[1] = sigmoid(r[1] + u[1]);
    u[2] = hyperbolic_tangent(r[2] + u[2]);
    u[3] = sigmoid(r[3] + u[3]);
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[1] = u[1] * h[1] + u[0] * u[2];
    h[0] = u[3] * hyperbolic_tangent(h[1]);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec i = u[0], f = u[1], g = u[2], o = u[3], tanh_c = hyperbolic_tangent(after[1]);
    vec c_grad = grad[1] + grad[0] * o * (1.0f - tanh_c * tanh_c);
    u[0] = c_grad * g * i * (1.0f - i);
    u[1] = c_grad * h[1] * f * (1.0f - f);
    u[2] = c_grad * i * (1.0f - g * g);
    u[3] = grad[0] * tanh_c * o * (1.0f - o);
    grad[0] = constant(0.0f);
    grad[1] = c_grad * f;
}
