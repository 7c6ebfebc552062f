/* h_t = f(r + u), r the recurrent product; or with independent units h_t = f(v h_{t-1} + u), with a vector v.
 * f(a) = tanh(a) with TANH. With PARTLY_TANH, f(a) = tanh(a) for units whose vector is above 0, and a for the others.
 * Otherwise f(a) = a above 0, and scalars[0] a below. Slot: u, replaced by h_t. */
#ifdef PARTLY_TANH
#define INDEPENDENT 0
#else
#define INDEPENDENT VECTORS
#endif

INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
    vec a = u[0];
    if (INDEPENDENT)
        a += vector[0] * h[0];
    else
        a += r[0];
#ifdef TANH
    u[0] = hyperbolic_tangent(a);
#elif defined PARTLY_TANH
    u[0] = where(vector[0] > constant(0.0f), hyperbolic_tangent(a), a);
#else
    u[0] = where(a > constant(0.0f), a, scalars[0] * a);
#endif
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) { h[0] = u[0]; }

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
#ifdef TANH
    u[0] = grad[0] * (1.0f - u[0] * u[0]);
#elif defined PARTLY_TANH
    u[0] = where(vector[0] > constant(0.0f), grad[0] * (1.0f - u[0] * u[0]), grad[0]);
#else
    u[0] = where(u[0] > constant(0.0f), grad[0], scalars[0] * grad[0]);
#endif
    grad[0] = constant(0.0f);
    if (INDEPENDENT) {
        grad[0] = u[0] * vector[0];
        vector_grad[0] += u[0] * h[0];
    }
}
