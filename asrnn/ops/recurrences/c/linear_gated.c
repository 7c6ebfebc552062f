/* h_t = h_{t-1} + s (g - h_{t-1}), where the update gate s and the candidate g depend on u alone.
 * s = sigmoid(u_0). With NORMALIZED, s = sigmoid(u_1) / (sigmoid(u_0) + sigmoid(u_1)).
 * g = u_CANDIDATE. With POSITIVE, g = u_CANDIDATE + 1/2 where that input is above 0, else its sigmoid.
 * Slots: the inputs, replaced by s and g, or with NORMALIZED by sigmoid(-u_0), sigmoid(-u_1), g and s. */
#ifdef NORMALIZED
enum { CANDIDATE = 2, UPDATE = 3 };
#else
enum { UPDATE = 0, CANDIDATE = 1 };
#endif

INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
#ifdef NORMALIZED
    /* 1 / sigmoid(u) = 1 + e^-u. Both are divided by the largest of 1, e^-u_0 and e^-u_1, so that none overflows. */
    vec largest = where(u[0] < u[1], -u[0], -u[1]);
    largest = where(largest < constant(0.0f), constant(0.0f), largest);
    vec one = exponential(-largest), forget = exponential(-u[0] - largest), input = exponential(-u[1] - largest);
    u[UPDATE] = (one + forget) / ((one + forget) + (one + input));
    u[0] = forget / (one + forget);
    u[1] = input / (one + input);
#else
    u[UPDATE] = sigmoid(u[UPDATE]);
#endif
#ifdef POSITIVE
    vec x = u[CANDIDATE];
    u[CANDIDATE] = where(x > constant(0.0f), x + 0.5f, sigmoid(x));
#endif
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] += u[UPDATE] * (u[CANDIDATE] - h[0]);
}

INLINE void backward(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                     vec *vector_grad, const float *scalars) {
    vec update = u[UPDATE], candidate = u[CANDIDATE], kept = 1.0f - update, candidate_grad = update * grad[0];
    vec logit_grad = candidate_grad * kept * (candidate - h[0]);
#ifdef NORMALIZED
    u[0] *= -logit_grad;
    u[1] *= logit_grad;
#else
    u[UPDATE] = logit_grad;
#endif
#ifdef POSITIVE
    candidate_grad *= where(candidate > constant(0.5f), constant(1.0f), candidate * (1.0f - candidate));
#endif
    u[CANDIDATE] = candidate_grad;
    grad[0] *= kept;
}
