/* Products of float32 matrices for AVX-512, with the bits of OpenBLAS's for the same processors, see
   blas.py. Those copy large matrices first, so that what is read together lies together; ours are so
   small that what is read again is still in the processor's cache. Included by loops.c. */

/* C <- A B (k, m) of A (k, n) and B (n, m), for P of them, or of one A for all. How many numbers lie
   between two matrices, rows, and (of A, which may be turned) columns; if none lies between matrices
   of C, it is their sum. */
typedef struct {
    int64_t P, k, n, m;
    const float *A, *B;
    float *C;
    int64_t next_A, row_A, column_A, next_B, row_B, next_C, row_C;
    int add; /* to what is in C */
} Product;

static int is_sum(const Product *p)
{
    return p->P > 1 && !p->next_C;
}

#define WITHOUT_CUT 448 /* terms of a sum that OpenBLAS adds in one go */
#define ROWS 12         /* the most that a tile has: 6, 8 or 12 */
#define COLUMNS 32      /* two vectors */

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define AVX512 __attribute__((target("avx512f")))
#define INLINED static inline __attribute__((always_inline)) AVX512

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") != 0;
}

/* A strip of C is as wide as 1 to 4 vectors of 16, the last of which may be filled in part. */
typedef struct {
    const float *A, *B;
    float *C;
    int64_t rows, n, row_A, column_A, row_B, row_C;
    __mmask16 last;
    int add;
} Strip;

/* So many rows of a strip, from the one that A and C point to: all their sums stay in registers, and
   each number of A and vector of B is read once. */
INLINED void tile(const Strip *s, const float *A, float *C, const int rows, const int vectors)
{
    const float *B = s->B;
    __m512 sums[ROWS][4];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sums[i][v] = _mm512_setzero_ps();
    for (int64_t j = 0; j < s->n; j++, A += s->column_A, B += s->row_B) {
        __m512 b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) /* a strip's rows are far from each other */
            _mm_prefetch((const char *)(B + 8 * s->row_B + 16 * v), _MM_HINT_T0);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            b[v] = v < vectors - 1 ? _mm512_loadu_ps(B + 16 * v)
                                   : _mm512_maskz_loadu_ps(s->last, B + 16 * v);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            __m512 a = _mm512_set1_ps(A[i * s->row_A]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sums[i][v] = _mm512_fmadd_ps(a, b[v], sums[i][v]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++, C += s->row_C)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            __mmask16 some = v < vectors - 1 ? 0xffff : s->last;
            /* OpenBLAS adds to 0, too, which makes 0 of -0. */
            __m512 c = s->add ? _mm512_maskz_loadu_ps(some, C + 16 * v) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(C + 16 * v, some, _mm512_add_ps(c, sums[i][v]));
        }
}

/* A strip of so many vectors in tiles of so many rows that their sums fill the registers, and one of
   the rows that are left. */
INLINED void strip(const Strip *s, const int vectors, const int full)
{
    int64_t rows = s->rows;
    const float *A = s->A;
    float *C = s->C;
    for (; rows >= full; rows -= full, A += full * s->row_A, C += full * s->row_C)
        tile(s, A, C, full, vectors);
#define LEFT(some)                           \
    case some:                               \
        if (some < full)                     \
            tile(s, A, C, some, vectors);    \
        break
    switch (rows) {
        LEFT(1); LEFT(2); LEFT(3); LEFT(4); LEFT(5); LEFT(6);
        LEFT(7); LEFT(8); LEFT(9); LEFT(10); LEFT(11);
    }
#undef LEFT
}

/* How many of the vectors that are left a strip takes: of a turned A less, so that a tile has more
   of the rows that lie side by side; and never so that few are left alone. */
static int64_t wide(int64_t left, int turned)
{
    if (turned)
        return left < 2 ? left : 2;
    return left < 4 ? left : left == 5 || left == 6 ? 3 : 4;
}

/* Where OpenBLAS cuts long sums: how many of n in common it takes next. */
static int64_t at_once(int64_t n)
{
    return n >= 2 * WITHOUT_CUT ? WITHOUT_CUT : n > WITHOUT_CUT ? (n / 2 + 15) / 16 * 16 : n;
}

static AVX512 void multiply_one(const Product *p, int64_t matrix)
{
    const float *A = p->A + matrix * p->next_A, *B = p->B + matrix * p->next_B;
    float *C = p->C + matrix * p->next_C;
    int64_t all = (p->m + 15) / 16;
    for (int64_t done = 0, n; done < p->n; done += n, A += n * p->column_A, B += n * p->row_B) {
        n = at_once(p->n - done);
        for (int64_t first = 0, vectors; first < all; first += vectors) {
            vectors = wide(all - first, p->column_A != 1);
            int unfilled = first + vectors < all ? 0 : 16 * all - p->m;
            Strip s = {A, B + 16 * first, C + 16 * first, p->k, n,
                       p->row_A, p->column_A, p->row_B, p->row_C, 0xffff >> unfilled,
                       p->add || done || (matrix && is_sum(p))};
            switch (vectors) {
            case 1: strip(&s, 1, 12); break;
            case 2: strip(&s, 2, 12); break;
            case 3: strip(&s, 3, 8); break;
            default: strip(&s, 4, 6);
            }
        }
    }
}

static void multiply_own(const Product *p)
{
    for (int64_t i = 0; i < p->P; i++)
        multiply_one(p, i);
}
#else
static int has_avx512(void)
{
    return 0;
}

static void multiply_own(const Product *p)
{
    (void)p;
}
#endif

/* In how many parts threads may share a product: of each matrix, or of their sum. */
static int64_t parts_of(const Product *p)
{
    int64_t longer = p->k > p->m ? p->k : p->m, parts = longer / (is_sum(p) ? 40 : 120);
    return parts < 1 ? 1 : parts;
}

static int64_t cut(int64_t n, int64_t unit, int64_t part, int64_t parts)
{
    return part == parts ? n : n * part / parts / unit * unit;
}

/* One of the parts: some rows of all matrices, in whole tiles, or some columns, in whole vectors. */
static Product part_of(const Product *whole, int64_t number, int64_t parts)
{
    Product p = *whole;
    int64_t part = number % parts, matrix = number / parts;
    if (!is_sum(whole)) {
        p.P = 1;
        p.A += matrix * p.next_A;
        p.B += matrix * p.next_B;
        p.C += matrix * p.next_C;
    }
    if (p.k >= p.m) {
        int64_t first = cut(p.k, ROWS, part, parts);
        p.k = cut(p.k, ROWS, part + 1, parts) - first;
        p.A += first * p.row_A;
        p.C += first * p.row_C;
    } else {
        int64_t first = cut(p.m, COLUMNS, part, parts);
        p.m = cut(p.m, COLUMNS, part + 1, parts) - first;
        p.B += first;
        p.C += first;
    }
    return p;
}
