/* The loops for one type of number, Number, whose functions are named Of(name): loops.c includes
   this once for float and once for double. Arrays are in C order. */

/* A share of Z. */
CLONES static void Of(sums)(const Number *restrict A, const int64_t *restrict words,
                            const Number *restrict b, Number share, Number *restrict Z, int64_t B,
                            int64_t P, int64_t k, int64_t m)
{
    for (int64_t i = 0; i < B; i++, words += P, Z += m) {
        const Number *x0 = A + words[0] * m;
        if (P == 5) {  /* the lecture's windows, in one go */
            const Number *x1 = A + (k + words[1]) * m, *x2 = A + (2 * k + words[2]) * m;
            const Number *x3 = A + (3 * k + words[3]) * m, *x4 = A + (4 * k + words[4]) * m;
            for (int64_t j = 0; j < m; j++)
                Z[j] = (x0[j] + x1[j] + x2[j] + x3[j] + x4[j] + b[j]) * share;
            continue;
        }
        memcpy(Z, x0, m * sizeof(Number));
        for (int64_t p = 1; p < P; p++) {
            const Number *x = A + (p * k + words[p]) * m;
            for (int64_t j = 0; j < m; j++)
                Z[j] += x[j];
        }
        for (int64_t j = 0; j < m; j++)
            Z[j] = (Z[j] + b[j]) * share;
    }
}

CLONES static void Of(add_rows)(const Number *restrict A, const int64_t *restrict which,
                                Number *restrict Z, int64_t B, int64_t m)
{
    for (int64_t i = 0; i < B; i++, Z += m)
        if (which[i] >= 0) {
            const Number *row = A + which[i] * m;
            for (int64_t j = 0; j < m; j++)
                Z[j] += row[j];
        }
}

/* Add z (m,) to the sums of a window's words (P,), or begin them: so they need not be zero, and are
   not read from far away to be so. */
CLONES static void Of(add_by_place)(const Number *restrict z, const int64_t *restrict words,
                                    Number *restrict dA, char *restrict begun, int64_t P, int64_t k,
                                    int64_t m)
{
    for (int64_t p = 0; p < P; p++) {
        int64_t cell = p * k + words[p];
        Number *total = dA + cell * m;
        if (begun[cell]) {
            for (int64_t j = 0; j < m; j++)
                total[j] += z[j];
        } else {
            begun[cell] = 1;
            for (int64_t j = 0; j < m; j++)
                total[j] = (Number)0 + z[j];  /* of -0 too it makes 0 */
        }
    }
}

static void Of(fill_with_zeros)(Number *dA, const char *begun, int64_t cells, int64_t m)
{
    for (int64_t cell = 0; cell < cells; cell++)
        if (!begun[cell])
            memset(dA + cell * m, 0, m * sizeof(Number));
}

static void Of(sum_by_place)(const Number *dZ, const int64_t *words, Number *dA, char *begun,
                             int64_t B, int64_t P, int64_t k, int64_t m)
{
    memset(begun, 0, P * k);
    for (int64_t i = 0; i < B; i++)
        Of(add_by_place)(dZ + i * m, words + i * P, dA, begun, P, k, m);
    Of(fill_with_zeros)(dA, begun, P * k, m);
}

CLONES static void Of(slopes)(const Number *restrict h, const Number *restrict d,
                              Number *restrict z, Number *restrict db, int64_t m)
{
    for (int64_t j = 0; j < m; j++) {
        z[j] = (1 - h[j]) * h[j] * d[j];
        db[j] += z[j];
    }
}

static void Of(deltas)(const Number *H, const Number *dH, const int64_t *words, Number *db,
                       Number *dA, Number *z, char *begun, int64_t B, int64_t P, int64_t k, int64_t m)
{
    memset(begun, 0, P * k);
    memset(db, 0, m * sizeof(Number));
    for (int64_t i = 0; i < B; i++) {
        Of(slopes)(H + i * m, dH + i * m, z, db, m);
        Of(add_by_place)(z, words + i * P, dA, begun, P, k, m);
    }
    Of(fill_with_zeros)(dA, begun, P * k, m);
}

CLONES static void Of(sum_by_row)(const int64_t *restrict rows, const Number *restrict values,
                                  const int64_t *restrict starts, Number *restrict summed, int64_t N,
                                  int64_t D)
{
    for (int64_t i = 0; i < N; i++, values += D)
        for (int64_t e = starts[i]; e < starts[i + 1]; e++) {
            Number *total = summed + rows[e] * D;
            for (int64_t j = 0; j < D; j++)
                total[j] += values[j];
        }
}

#if SQUARES
/* Eight rows of eight numbers, ``row`` numbers apart, written as eight columns, in the processor's
   registers. A number's row and column have three bits each: two rows at a time, which differ in one
   bit, exchange the numbers for which the columns' bit is not the rows'. */
INLINE static inline void Of(turn_eight)(const Number *source, int64_t row, Number *target,
                                         int64_t column)
{
    typedef Number Eight __attribute__((vector_size(8 * sizeof(Number))));
    Eight a[8], b[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        memcpy(&a[i], source + i * row, sizeof a[i]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i += 2) {
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
#pragma GCC unroll 8
    for (int k = 0; k < 4; k++) {
        int i = k + (k & 2);
        a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 2] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        b[i + 4] = __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        memcpy(target + i * column, &b[i], sizeof b[i]);
}
#endif

CLONES static void Of(turned)(const Number *restrict A, Number *restrict T, int64_t P, int64_t n,
                              int64_t m)
{
    for (int64_t p = 0; p < P; p++, A += n * m, T += n * m) {
#if SQUARES
        if (n >= 8 && m >= 8) {
            for (int64_t next_j = 0; next_j < m; next_j += 8) {
                int64_t j = next_j < m - 8 ? next_j : m - 8;  /* the last, in part turned already */
                for (int64_t next_i = 0; next_i < n; next_i += 8) {
                    int64_t i = next_i < n - 8 ? next_i : n - 8;
                    Of(turn_eight)(A + i * m + j, m, T + j * n + i, n);
                }
            }
            continue;
        }
#endif
        for (int64_t j = 0; j < m; j++)
            for (int64_t i = 0; i < n; i++)
                T[j * n + i] = A[i * m + j];
    }
}

CLONES static void Of(halve_above)(Number *T, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        T[j] = (T[j] + 1) * (Number)0.5;
}

CLONES static void Of(logistic_losses)(const Number *restrict S, const Number *restrict Y,
                                       Number *restrict L, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        L[j] = (S[j] > 0 ? S[j] : 0) - Y[j] * S[j] + L[j];
}

CLONES static void Of(logistic_slopes)(Number *restrict T, const Number *restrict Y, Number share,
                                       int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        T[j] = ((T[j] + 1) * (Number)0.5 - Y[j]) * share;
}

CLONES static void Of(sgd)(const int64_t *restrict rows, Number rate, const Number *restrict g,
                           Number *restrict theta, int64_t k, int64_t D)
{
    for (int64_t i = 0; i < k; i++, g += D) {
        Number *row = theta + rows[i] * D;
        for (int64_t j = 0; j < D; j++)
            row[j] -= rate * g[j];
    }
}

CLONES static void Of(adam_row)(Number *restrict theta, Number *restrict m, Number *restrict v,
                                const Number *restrict g, Number rate, Number epsilon, Number old1,
                                Number new1, Number old2, Number new2, int64_t D)
{
    for (int64_t j = 0; j < D; j++) {
        m[j] = m[j] * old1 + new1 * g[j];
        v[j] = v[j] * old2 + g[j] * g[j] * new2;
        theta[j] -= m[j] / (SquareRoot(v[j]) + epsilon) * rate;
    }
}

/* Rows (k,) of theta, m and v (n, D), and of t (n,); shares, see optim.py, (last + 1,). */
static void Of(adam)(const Number *m_shares, const Number *v_shares, int64_t last, Number epsilon,
                     double beta1, double beta2, const int64_t *rows, Number rate, const Number *g,
                     Number *theta, Number *m, Number *v, Number *t, int64_t k, int64_t D)
{
    Number old1 = beta1, new1 = 1 - beta1, old2 = beta2, new2 = 1 - beta2;
    for (int64_t i = 0; i < k; i++, g += D) {
        int64_t r = rows[i];
        t[r] += 1;
        int64_t step = t[r] < last ? (int64_t)t[r] : last;
        Of(adam_row)(theta + r * D, m + r * D, v + r * D, g, rate * v_shares[step] / m_shares[step],
                     epsilon * v_shares[step], old1, new1, old2, new2, D);
    }
}
