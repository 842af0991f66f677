/* Loops that NumPy has no one function for: the same arithmetic in the same order as in kernels.py,
   fused.py and optim.py, which tell what they do, and the same bits. So nothing is reordered or
   contracted to gain speed. An index is not asked whether it is in range: that is the caller's care.

   They fill arrays that are given, in C order, indices int64; floats are those of the first array of
   them. Arrays come by the buffer protocol, so that one compiled file serves all versions of Python
   and of NumPy. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

/* Compiled for several generations of processors, of which the best that is there is taken. */
#if defined(__x86_64__) && defined(__GLIBC__) && __GNUC__ >= 12 && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#if defined(__has_builtin)
#define INLINE __attribute__((always_inline))
#define SQUARES __has_builtin(__builtin_shufflevector)
#else
#define SQUARES 0
#endif

#define Number float
#define Of(name) name##_float
#define SquareRoot sqrtf
#include "loops.h"
#undef Number
#undef Of
#undef SquareRoot

#define Number double
#define Of(name) name##_double
#define SquareRoot sqrt
#include "loops.h"
#undef Number
#undef Of
#undef SquareRoot

#include "products.h"
#include "team.h"

/* --- arguments ---------------------------------------------------------------------------- */

typedef struct {
    Py_buffer arrays[12];
    int n_arrays;
    double numbers[6];
    char number; /* what they are of: floats 'f' or 'd', indices 'i' or 'h', of 64 or 32 bits */
} Arguments;

static void release(Arguments *a)
{
    for (int i = 0; i < a->n_arrays; i++)
        PyBuffer_Release(&a->arrays[i]);
}

/* What an array is of: 'f', 'd', 'i', 'h', or 0 for anything else. */
static char what(const Py_buffer *array)
{
    char format = array->format[0];
    if (!format || array->format[1])
        return 0;
    if (format == 'f' || format == 'd')
        return format;
    if (strchr("ilq", format))
        return array->itemsize == 8 ? 'i' : 'h';
    return 0;
}

/* Take the arguments of a function, for each of which ``kinds`` has two characters: F, I for an array
   that is read, of floats or of 64-bit indices, or f, i for one that is written, and how many
   dimensions it has; X, x for indices of 32 or 64 bits; or a number, "n ". False with an exception,
   and nothing taken, if they are not so. */
static int take(Arguments *a, PyObject *const *given, Py_ssize_t n, const char *kinds)
{
    int n_numbers = 0;
    a->n_arrays = 0;
    a->number = 0;
    if (n != (Py_ssize_t)strlen(kinds) / 2) {
        PyErr_Format(PyExc_TypeError, "%d arguments, not %d", (int)strlen(kinds) / 2, (int)n);
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        char kind = kinds[2 * i], dimensions = kinds[2 * i + 1];
        if (kind == 'n') {
            double number = PyFloat_AsDouble(given[i]);
            if (number == -1 && PyErr_Occurred())
                break;
            a->numbers[n_numbers++] = number;
            continue;
        }
        int read = kind == 'F' || kind == 'I' || kind == 'X';
        Py_buffer *array = &a->arrays[a->n_arrays];
        if (PyObject_GetBuffer(given[i], array,
                               PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (read ? 0 : PyBUF_WRITABLE)))
            break;
        a->n_arrays++;
        char of = what(array);
        int right = strchr(kind == 'F' || kind == 'f'   ? "fd"
                           : kind == 'X' || kind == 'x' ? "ih"
                                                        : "i", of) && of;
        if (kind != 'I' && kind != 'i') {
            right = right && (!a->number || a->number == of);
            a->number = of;
        }
        if (!right || array->ndim != dimensions - '0') {
            PyErr_Format(PyExc_TypeError, "argument %d: %d dimensions of format %s", (int)i,
                         array->ndim, array->format);
            break;
        }
    }
    if (!PyErr_Occurred())
        return 1;
    release(a);
    return 0;
}

#define DATA(i) (a.arrays[i].buf)
#define SIZE(i, axis) ((int64_t)a.arrays[i].shape[axis])
/* Call what is compiled for the arguments' floats. */
#define CALL(name, ...) (a.number == 'd' ? name##_double(__VA_ARGS__) : name##_float(__VA_ARGS__))
#define FUNCTION(name) static PyObject *name(PyObject *module, PyObject *const *given, Py_ssize_t n)
#define TAKE(kinds)                      \
    Arguments a;                         \
    (void)module;                        \
    if (!take(&a, given, n, kinds))      \
        return NULL
#define DONE       \
    release(&a);   \
    Py_RETURN_NONE

/* --- functions ---------------------------------------------------------------------------- */

#define NUMBERED(Index)                                                     \
    do {                                                                    \
        const Index *in_order = DATA(0), *items = DATA(1);                  \
        Index *different = DATA(3);                                         \
        for (int64_t i = 0; i < N; i++)                                     \
            if (i == 0 || in_order[i] != in_order[i - 1]) {                 \
                place[in_order[i]] = k;                                     \
                different[k++] = in_order[i];                               \
            }                                                               \
        for (int64_t i = 0; i < N; i++)                                     \
            places[i] = place[items[i]];                                    \
    } while (0)

/* items (N,) in order, and as they are -> place, different (N,), places (N,): how many are different.
   The items and those that are different are of 32 or of 64 bits. */
FUNCTION(numbered)
{
    TAKE("X1X1i1x1i1");
    int64_t *place = DATA(2), *places = DATA(4), N = SIZE(0, 0), k = 0;
    if (a.number == 'h')
        NUMBERED(int32_t);
    else
        NUMBERED(int64_t);
    release(&a);
    return PyLong_FromLongLong(k);
}

/* A (P, k, m), words (B, P), b (m,) -> Z (B, m) */
FUNCTION(sum_over_places)
{
    TAKE("F3I2F1f2");
    CALL(sums, DATA(0), DATA(1), DATA(2), 1, DATA(3), SIZE(1, 0), SIZE(0, 0), SIZE(0, 1), SIZE(0, 2));
    DONE;
}

/* A (P, k, m), words (B, P), b (m,) -> Z (B, m), half of it */
FUNCTION(half_sums)
{
    TAKE("F3I2F1f2");
    CALL(sums, DATA(0), DATA(1), DATA(2), 0.5, DATA(3), SIZE(1, 0), SIZE(0, 0), SIZE(0, 1), SIZE(0, 2));
    DONE;
}

/* A (k, m), which (B,), negative for none -> Z (B, m), which they are added to */
FUNCTION(add_rows)
{
    TAKE("F2I1f2");
    CALL(add_rows, DATA(0), DATA(1), DATA(2), SIZE(1, 0), SIZE(0, 1));
    DONE;
}

/* Room for what is only needed meanwhile; NULL with an exception if there is none. */
static void *room(Arguments *a, int64_t bytes)
{
    void *found = PyMem_Malloc(bytes);
    if (!found) {
        release(a);
        PyErr_NoMemory();
    }
    return found;
}

/* dZ (B, m), words (B, P) -> dA (P, k, m) */
FUNCTION(sum_by_place)
{
    TAKE("F2I2f3");
    int64_t P = SIZE(2, 0), k = SIZE(2, 1);
    char *begun = room(&a, P * k);
    if (!begun)
        return NULL;
    CALL(sum_by_place, DATA(0), DATA(1), DATA(2), begun, SIZE(0, 0), P, k, SIZE(0, 1));
    PyMem_Free(begun);
    DONE;
}

/* H (B, m), dH (B, m), words (B, P) -> db (m,), dA (P, k, m) of dZ = (1 - h) h dH */
FUNCTION(deltas)
{
    TAKE("F2F2I2f1f3");
    int64_t m = SIZE(0, 1), P = SIZE(4, 0), k = SIZE(4, 1);
    char *begun = room(&a, m * a.arrays[0].itemsize + P * k);
    if (!begun)
        return NULL;
    void *z = begun;
    CALL(deltas, DATA(0), DATA(1), DATA(2), DATA(3), DATA(4), z,
         begun + m * a.arrays[0].itemsize, SIZE(0, 0), P, k, m);
    PyMem_Free(begun);
    DONE;
}

/* rows, values (N, D), starts (N + 1,) -> summed, which is zero */
FUNCTION(sum_by_row)
{
    TAKE("I1F2I1f2");
    CALL(sum_by_row, DATA(0), DATA(1), DATA(2), DATA(3), SIZE(1, 0), SIZE(1, 1));
    DONE;
}

/* A (P, n, m) -> T (P, m, n) */
FUNCTION(turned)
{
    TAKE("F3f3");
    CALL(turned, DATA(0), DATA(1), SIZE(0, 0), SIZE(0, 1), SIZE(0, 2));
    DONE;
}

/* T <- (T + 1) / 2 */
FUNCTION(halve_above)
{
    TAKE("f2");
    CALL(halve_above, DATA(0), SIZE(0, 0) * SIZE(0, 1));
    DONE;
}

/* S, Y -> L <- max(s, 0) - y s + l */
FUNCTION(logistic_losses)
{
    TAKE("F2F2f2");
    CALL(logistic_losses, DATA(0), DATA(1), DATA(2), SIZE(0, 0) * SIZE(0, 1));
    DONE;
}

/* T <- ((t + 1) / 2 - y) share */
FUNCTION(logistic_slopes)
{
    TAKE("f2F2n ");
    CALL(logistic_slopes, DATA(0), DATA(1), a.numbers[0], SIZE(0, 0) * SIZE(0, 1));
    DONE;
}

/* rows (k,), rate, g (k, D), theta (n, D) */
FUNCTION(sgd)
{
    TAKE("I1n F2f2");
    CALL(sgd, DATA(0), a.numbers[0], DATA(1), DATA(2), SIZE(0, 0), SIZE(2, 1));
    DONE;
}

/* m_shares, v_shares, epsilon, beta1, beta2, rows (k,), rate, g (k, D), theta, m, v (n, D), t (n, 1) */
FUNCTION(adam)
{
    TAKE("F1F1n n n I1n F2f2f2f2f2");
    double *x = a.numbers;
    CALL(adam, DATA(0), DATA(1), SIZE(1, 0) - 1, x[0], x[1], x[2], DATA(2), x[3], DATA(3), DATA(4),
         DATA(5), DATA(6), DATA(7), SIZE(2, 0), SIZE(4, 1));
    DONE;
}

/* --- teams: a capsule has what its threads share ------------------------------------------- */

static const char TEAM[] = "nerwin team";

static void forget(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, TEAM));
}

/* A team whose products are done by cblas_sgemm at this address. */
FUNCTION(team)
{
    (void)module;
    void *gemm = n == 1 ? PyLong_AsVoidPtr(given[0]) : NULL;
    if (!gemm) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "an address is wanted");
        return NULL;
    }
    Shared *shared = PyMem_Calloc(1, sizeof(Shared));
    if (!shared)
        return PyErr_NoMemory();
    shared->gemm = (Gemm)gemm;
    PyObject *capsule = PyCapsule_New(shared, TEAM, forget);
    if (!capsule)
        PyMem_Free(shared);
    return capsule;
}

/* Help a team until it is dismissed. */
FUNCTION(help_team)
{
    (void)module;
    Shared *shared = n == 1 ? PyCapsule_GetPointer(given[0], TEAM) : NULL;
    if (!shared)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    help_others(shared);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* Let a team's helpers go. */
FUNCTION(dismiss)
{
    (void)module;
    Shared *shared = n == 1 ? PyCapsule_GetPointer(given[0], TEAM) : NULL;
    if (!shared)
        return NULL;
    atomic_store(&shared->waiting, CLOSED);
    Py_RETURN_NONE;
}

/* A matrix, or several: their number, rows, columns, and how many numbers lie between them. */
typedef struct {
    char *data;
    int64_t P, rows, columns, next, row, column;
    int whole; /* whether they are whole numbers */
} Matrices;

static Matrices matrices(const Py_buffer *array)
{
    const Py_ssize_t *size = array->shape + array->ndim - 2, *step = array->strides + array->ndim - 2;
    int several = array->ndim == 3;
    Matrices found = {array->buf, several ? size[-1] : 1, size[0], size[1],
                      several ? step[-1] / 4 : 0, step[0] / 4, step[1] / 4, 1};
    for (int i = 0; i < array->ndim; i++)
        found.whole &= array->strides[i] % 4 == 0;
    return found;
}

/* Whether C <- A B is a product that BLAS makes of the arrays as they are, or the sum of several;
   which it is. */
static int describe(Product *p, Matrices A, Matrices B, Matrices C)
{
    int64_t k = A.rows, n = B.rows, m = B.columns;
    int fit = A.columns == n && C.rows == k && C.columns == m;
    if (!fit || (A.P != 1 && A.P != B.P) || (C.P != 1 && C.P != B.P))
        return 0;
    if (A.data == B.data || !A.whole || !B.whole || !C.whole)
        return 0; /* a matrix by itself is another function of BLAS */
    int by_rows = A.column == 1 && A.row >= n, by_columns = A.row == 1 && A.column >= k;
    int others = B.column == 1 && C.column == 1 && B.row >= m && C.row >= m;
    if (k < 2 || n < 2 || m < 2 || !(by_rows || by_columns) || !others)
        return 0; /* and so is one with a vector */
    *p = (Product){B.P, k, n, m, (const float *)A.data, (const float *)B.data, (float *)C.data,
                   A.P == 1 ? 0 : A.next, A.row, A.column, B.next, B.row,
                   C.P == 1 ? 0 : C.next, C.row, 0};
    return 1;
}

/* team or None, whether it is to be a product of our own, whether C is added to, A, B, C: C <- A B, or
   the sum of several; whether it is done. */
FUNCTION(multiply)
{
    (void)module;
    int alone = n == 6 && given[0] == Py_None;
    Shared *s = n == 6 && !alone ? PyCapsule_GetPointer(given[0], TEAM) : NULL;
    int own = s || alone ? PyObject_IsTrue(given[1]) : -1;
    int add = own == -1 ? -1 : PyObject_IsTrue(given[2]);
    if (add == -1) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a team, two truths and three arrays are wanted");
        return NULL;
    }
    Arguments a = {.n_arrays = 0};
    int fit = 1;
    for (int i = 0; i < 3; i++) {
        int flags = PyBUF_STRIDES | PyBUF_FORMAT | (i == 2 ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(given[3 + i], &a.arrays[i], flags)) {
            release(&a);
            return NULL;
        }
        a.n_arrays++;
        fit &= what(&a.arrays[i]) == 'f' && (a.arrays[i].ndim == 2 || a.arrays[i].ndim == 3);
    }
    Product p = {0};
    fit = fit && describe(&p, matrices(&a.arrays[0]), matrices(&a.arrays[1]), matrices(&a.arrays[2]));
    int sum = add || is_sum(&p); /* which takes the terms in whole */
    fit = fit && (own ? !sum || p.n <= WITHOUT_CUT : s && p.P > 1 && !sum);
    p.add = add;
    if (fit) {
        Py_BEGIN_ALLOW_THREADS
        if (s) {
            s->product = p;
            s->parts = own ? parts_of(&p) : 0;
            share_out(s, !own ? p.P : is_sum(&p) ? s->parts : p.P * s->parts);
        } else {
            multiply_own(&p);
        }
        Py_END_ALLOW_THREADS
    }
    release(&a);
    return PyBool_FromLong(fit);
}

/* Whether this processor has what products of our own take. */
FUNCTION(can_multiply)
{
    (void)module, (void)given, (void)n;
    return PyBool_FromLong(has_avx512());
}

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}
static PyMethodDef methods[] = {
    METHOD(numbered), METHOD(sum_over_places), METHOD(half_sums), METHOD(add_rows),
    METHOD(sum_by_place), METHOD(deltas), METHOD(sum_by_row), METHOD(turned), METHOD(halve_above),
    METHOD(logistic_losses), METHOD(logistic_slopes), METHOD(sgd), METHOD(adam),
    METHOD(team), METHOD(help_team), METHOD(dismiss), METHOD(multiply), METHOD(can_multiply), {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "loops", NULL, 0, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_loops(void)
{
    return PyModuleDef_Init(&definition);
}
