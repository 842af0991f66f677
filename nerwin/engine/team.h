/* What the threads of a team do, see team.py. Included by loops.c. */

#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define PAUSE() _mm_pause()
#else
#define PAUSE() ((void)0)
#endif

#define SHORT (1 << 11) /* pauses: about as long as it takes to wake a thread */
#define LONG (1 << 27)  /* some seconds */
#define CLOSED (-(1LL << 60)) /* calls waiting if none will ever come: so far below 0 that it stays */

/* cblas_sgemm of an OpenBLAS with 64-bit numbers, as in NumPy's wheels. */
typedef void (*Gemm)(int order, int a_is, int b_is, int64_t k, int64_t m, int64_t n, float alpha,
                     const float *A, int64_t row_A, const float *B, int64_t row_B, float beta, float *C,
                     int64_t row_C);
enum { BY_ROWS = 101, AS_IT_IS = 111, TURNED = 112 };

/* What the threads share: the calls that nobody has taken, and those that are not done, both in a
   cache line of its own; and what they are. */
typedef struct {
    _Atomic int64_t waiting;
    char pad[56];
    _Atomic int64_t left;
    char other_pad[56];
    Gemm gemm;
    Product product;
    int64_t parts; /* of a product of our own, a call each; 0: gemm is called for each matrix */
} Shared;

static void do_call(const Shared *s, int64_t number)
{
    const Product *p = &s->product;
    if (s->parts) {
        Product part = part_of(p, number, s->parts);
        multiply_own(&part);
        return;
    }
    int turned = p->column_A != 1;
    s->gemm(BY_ROWS, turned ? TURNED : AS_IT_IS, AS_IT_IS, p->k, p->m, p->n, 1,
            p->A + number * p->next_A, turned ? p->column_A : p->row_A, p->B + number * p->next_B,
            p->row_B, 0, p->C + number * p->next_C, p->row_C);
}

/* Do calls while there are any. */
static void take_calls(Shared *s)
{
    while (atomic_load_explicit(&s->waiting, memory_order_acquire) > 0) {
        int64_t number = atomic_fetch_sub_explicit(&s->waiting, 1, memory_order_acq_rel) - 1;
        if (number >= 0) {
            do_call(s, number);
            atomic_fetch_sub_explicit(&s->left, 1, memory_order_acq_rel);
        }
    }
}

/* A moment, after so many already. */
static void wait_a_moment(int64_t pauses)
{
    PAUSE();
    if (pauses > SHORT && pauses % 64 == 0)
        sched_yield();
}

/* What a helper does, until no more calls come, or none has come for seconds. */
static void help_others(Shared *s)
{
    int64_t idle = 0, waiting;
    while ((waiting = atomic_load_explicit(&s->waiting, memory_order_acquire)) > CLOSED && idle < LONG) {
        if (waiting > 0) {
            take_calls(s);
            idle = 0;
        }
        wait_a_moment(++idle);
    }
}

static void share_out(Shared *s, int64_t calls)
{
    atomic_store_explicit(&s->left, calls, memory_order_release);
    atomic_store_explicit(&s->waiting, calls, memory_order_release);
    take_calls(s);
    for (int64_t waited = 1; atomic_load_explicit(&s->left, memory_order_acquire) > 0; waited++)
        wait_a_moment(waited);
}
