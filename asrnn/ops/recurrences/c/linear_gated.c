/* h_t = h_{t-1} + s (g - h_{t-1}), with the share s and the candidate g functions of u alone. s = sigmoid(u_0), or with
 * two gates (NORMALIZED) s = sigmoid(u_1) / (sigmoid(u_0) + sigmoid(u_1)). g is u_CANDIDATE, or where POSITIVE that plus
 * 1/2 above 0, and its sigmoid below. Kept: s and g, or sigmoid(-u_0), sigmoid(-u_1), g and s. */
#ifdef NORMALIZED
enum { CANDIDATE = 2, SHARE = 3 };
#else
enum { SHARE = 0, CANDIDATE = 1 };
#endif

INLINE void activate(int half, const vec *r, vec *u, const vec *h, const vec *vector, const float *scalars) {
#ifdef NORMALIZED
    /* s by 1 / sigmoid(u) = 1 + e^-u, divided by the largest number in both of them, so that none overflows. */
    vec most = where(u[0] < u[1], -u[0], -u[1]);
    most = where(most < constant(0.0f), constant(0.0f), most);
    vec one = exponential(-most), forget = exponential(-u[0] - most), input = exponential(-u[1] - most);
    u[SHARE] = (one + forget) / ((one + forget) + (one + input));
    u[0] = forget / (one + forget);
    u[1] = input / (one + input);
#else
    u[SHARE] = sigmoid(u[SHARE]);
#endif
#ifdef POSITIVE
    vec x = u[CANDIDATE];
    u[CANDIDATE] = where(x > constant(0.0f), x + 0.5f, sigmoid(x));
#endif
}

INLINE void advance(int half, const vec *u, vec *h, const vec *vector, const float *scalars) {
    h[0] += u[SHARE] * (u[CANDIDATE] - h[0]);
}

INLINE void go_back(int half, vec *u, const vec *h, const vec *after, vec *grad, vec *product_grad, const vec *vector,
                    vec *vector_grad, const float *scalars) {
    vec share = u[SHARE], candidate = u[CANDIDATE], kept = 1.0f - share, through = share * grad[0];
    vec towards_odds = through * kept * (candidate - h[0]);
#ifdef NORMALIZED
    u[0] *= -towards_odds;
    u[1] *= towards_odds;
#else
    u[SHARE] = towards_odds;
#endif
#ifdef POSITIVE
    through *= where(candidate > constant(0.5f), constant(1.0f), candidate * (1.0f - candidate));
#endif
    u[CANDIDATE] = through;
    grad[0] *= kept;
}
