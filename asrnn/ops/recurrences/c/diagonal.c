/* x_t = lambda x + u, with complex x, lambda and u.
 * Slots: Re u and Im u, which stay. States: Re x, Im x. Vectors: Re lambda, Im lambda. */
INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    vec re = h[0], im = h[1];
    h[0] = vector[0] * re - vector[1] * im + u[0];
    h[1] = vector[0] * im + vector[1] * re + u[1];
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    u[0] = grad[0];
    u[1] = grad[1];
    vector_grad[0] += grad[0] * h[0] + grad[1] * h[1];
    vector_grad[1] += grad[1] * h[0] - grad[0] * h[1];
    grad[0] = vector[0] * u[0] + vector[1] * u[1];
    grad[1] = vector[0] * u[1] - vector[1] * u[0];
}
