/* h_t = h_{t-1} + epsilon tanh(r + u), r the recurrent product; scalars: epsilon. Kept: y = tanh(r + u). */
#define INPUTS 1

INLINE void forward(vec r, vec *u) { u[0] = hyperbolic_tangent(r + u[0]); }

INLINE vec advance(vec h, const vec *u, const float *scalars) { return h + scalars[0] * u[0]; }

INLINE vec backward(vec *u, vec *grad, const float *scalars) {
    return u[0] = scalars[0] * *grad * (1.0f - u[0] * u[0]);
}
