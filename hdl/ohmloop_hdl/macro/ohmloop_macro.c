/* Analogue macro, real-number body: its arithmetic in C, for simulators with DPI-C.
 *
 * ohmloop_macro.sv imports these functions where OHMLOOP_DPI is defined. They are the tasks that stand there behind
 * `else`, step by step: the same operations on the same numbers, each sum in ascending order from the stored value. So
 * both give the same bits, as long as this file is compiled without fused multiply-add (-ffp-contract=off) and without
 * -ffast-math. What is different is the layout: matrices stand column by column, so that eight rows are eight sums side
 * by side in vector registers, none of which knows of the others.
 *
 * C and C++ both take this file; Verilator compiles it as C++.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svdpi.h"

/* loop.py: TAYLOR_ORDER, LAST_POWER, DECAYED, RUNAWAY, SMALLEST_PIVOT */
enum { TAYLOR_ORDER = 22, LAST_POWER = 24 };
static const double DECAYED = 1.0/1048576.0;
static const double RUNAWAY = 1048576.0;
static const double SMALLEST_PIVOT = 1.0e-12;

enum { WIDTH = 4, ROWS = 2*WIDTH, ALIGNMENT = 64 };
typedef double Four __attribute__((vector_size(WIDTH*sizeof(double)), may_alias));
typedef long long FourBits __attribute__((vector_size(WIDTH*sizeof(double))));

typedef struct {
    int n;
    int stride;                         /* from column to column: n, at least ROWS; rows from n on stay 0 */
    int diagonal;                       /* multiply mode: element by element, in the first column */
    int slaved;                         /* no node capacitance */
    int built;                          /* tables; below 1 it counts the halvings that table 0 still has */
    double inverse_gain, gf, w, leak, node;
    int *order;                         /* row order of the LU factors */
    double *matrix;                     /* A */
    double *factors;                    /* LU factors of A + L/A0 */
    double *generator;                  /* B, or all of J T without node capacitance */
    double *over_w;                     /* B/W */
    double *r1, *r2, *x1, *x2;
    double *s1[LAST_POWER + 1];         /* tables of 2^p clocks, made when first asked for */
    double *s2[LAST_POWER + 1];
    double *array_load, *load;          /* L, of the arrays and of the mode that is closed */
    double *node_rate;                  /* of each element: P of its column */
    double *dr;                         /* and Dr = (P - W/A0)/W */
    double *z, *next_e, *next_V, *held_e, *held_V;
} Loop;

static double *zeros(const Loop *loop, int count)
{
    size_t bytes = sizeof(double)*loop->stride*count;
    double *made = (double *)aligned_alloc(ALIGNMENT, bytes);
    if (made == NULL) {
        fprintf(stderr, "ohmloop_macro: no memory for %zu bytes\n", bytes);
        abort();
    }
    memset(made, 0, bytes);
    return made;
}

static double *reals(const svOpenArrayHandle array) { return (double *)svGetArrayPtr(array); }

static int columns(const Loop *loop) { return loop->diagonal ? 1 : loop->n; }

static int words(const Loop *loop) { return loop->stride*columns(loop); }

/* Where column j begins, or element j of multiply mode stands. */
static int column(const Loop *loop, int j) { return loop->diagonal ? j : j*loop->stride; }

/* c += x y: matrix product in blocks of 8 x 4, or element by element in multiply mode. */
static void multiply(const Loop *loop, double *c, const double *x, const double *y)
{
    const int n = loop->n, stride = loop->stride;
    if (loop->diagonal) {
        for (int i = 0; i < stride; i++) c[i] += x[i]*y[i];
        return;
    }
    for (int i = 0; i < n; i += ROWS) for (int j = 0; j < n; j += 4) {
        Four *t0 = (Four *)(c + i + j*stride), *t1 = (Four *)(c + i + (j + 1)*stride);
        Four *t2 = (Four *)(c + i + (j + 2)*stride), *t3 = (Four *)(c + i + (j + 3)*stride);
        Four c00 = t0[0], c10 = t0[1], c01 = t1[0], c11 = t1[1], c02 = t2[0], c12 = t2[1], c03 = t3[0], c13 = t3[1];
        const double *p = x + i, *q = y + j*stride;
        for (int k = 0; k < n; k++) {
            Four x0 = ((const Four *)p)[0], x1 = ((const Four *)p)[1];
            double y0 = q[0], y1 = q[stride], y2 = q[2*stride], y3 = q[3*stride];
            c00 += x0*y0;  c01 += x0*y1;  c02 += x0*y2;  c03 += x0*y3;
            c10 += x1*y0;  c11 += x1*y1;  c12 += x1*y2;  c13 += x1*y3;
            p += stride;
            q++;
        }
        t0[0] = c00;  t0[1] = c10;  t1[0] = c01;  t1[1] = c11;  t2[0] = c02;  t2[1] = c12;  t3[0] = c03;  t3[1] = c13;
    }
}

/* Constants of one clock, and the generator of the mode that closes; the identity in x2. */
static void set_rates(Loop *loop)
{
    const int n = loop->n, stride = loop->stride;
    loop->leak = loop->w*loop->inverse_gain;
    memset(loop->x2, 0, sizeof(double)*words(loop));
    for (int i = 0; i < n; i++)
        loop->load[i] = loop->diagonal ? loop->array_load[i] + loop->gf : loop->array_load[i];
    for (int j = 0; j < columns(loop); j++) for (int i = 0; i < n; i++) {
        int q = i + j*stride;
        double coupling = loop->diagonal ? loop->gf : loop->matrix[q];
        loop->node_rate[q] = loop->node*loop->load[loop->diagonal ? i : j];
        loop->dr[q] = (loop->node_rate[q] - loop->leak)/loop->w;
        loop->x2[q] = loop->diagonal || i == j ? 1.0 : 0.0;
        if (loop->slaved)
            loop->generator[q] = -loop->w*(coupling/loop->load[i] + loop->inverse_gain*loop->x2[q]);
        else
            loop->generator[q] = loop->node*coupling;
        loop->over_w[q] = loop->generator[q]/loop->w;
    }
}

static double generator_norm(const Loop *loop)
{
    double norm = 0.0;
    for (int j = 0; j < loop->n; j++) {
        double total = loop->slaved ? 0.0 : loop->leak;
        if (loop->diagonal) total += fabs(loop->generator[j]);
        else for (int i = 0; i < loop->n; i++) total += fabs(loop->generator[i + j*loop->stride]);
        if (total > norm) norm = total;
        if (!loop->slaved && loop->node_rate[column(loop, j)] + loop->w > norm)
            norm = loop->node_rate[column(loop, j)] + loop->w;
    }
    return norm;
}

static void make_room(Loop *loop, int power)
{
    if (loop->s2[power] != NULL) return;
    loop->s1[power] = zeros(loop, loop->n);
    loop->s2[power] = zeros(loop, loop->n);
}

/* (S1, S2) of h clocks: lower block row of exp(h J T), terms R = (r1, r2) of the series. */
static void taylor(Loop *loop, double h)
{
    const int fours = words(loop)/WIDTH;
    const size_t bytes = sizeof(double)*words(loop);
    const double w = loop->w, leak = loop->leak;
    const Four *p = (const Four *)loop->node_rate, *x2 = (const Four *)loop->x2;
    Four *r1 = (Four *)loop->r1, *r2 = (Four *)loop->r2, *s1 = (Four *)loop->s1[0], *s2 = (Four *)loop->s2[0];
    memset(r1, 0, bytes);
    memset(s1, 0, bytes);
    memcpy(r2, x2, bytes);
    memcpy(s2, x2, bytes);
    for (int k = 1; k <= TAYLOR_ORDER; k++) {
        double scale = h/k;
        memset(loop->x2, 0, bytes);
        multiply(loop, loop->x2, loop->slaved ? loop->r2 : loop->r1, loop->generator);
        for (int q = 0; q < fours; q++) {
            Four old1 = r1[q], old2 = r2[q];
            if (loop->slaved) r2[q] = scale*x2[q];
            else {
                r1[q] = scale*(-(old1*p[q]) - old2*w);
                r2[q] = scale*(x2[q] - old2*leak);
                s1[q] += r1[q];
            }
            s2[q] += r2[q];
        }
    }
}

/* Table `target` = table `source` applied twice: S1 <- S2 S1 + S1 E11, S2 <- S2 S2 + S1 E12 with E11 = S2 + S1 Dr and
 * E12 = -S1 B/W. */
static void square(Loop *loop, int source, int target)
{
    const size_t bytes = sizeof(double)*words(loop);
    double *r1 = loop->r1, *r2 = loop->r2, *x1 = loop->x1, *x2 = loop->x2;
    double *s1 = loop->s1[source], *s2 = loop->s2[source];
    memset(r1, 0, bytes);
    memset(r2, 0, bytes);
    if (loop->slaved) multiply(loop, r2, s2, s2);
    else {
        memset(x2, 0, bytes);
        multiply(loop, x2, s1, loop->over_w);
        for (int q = 0; q < words(loop); q += WIDTH) {
            *(Four *)(x1 + q) = *(Four *)(s2 + q) + *(Four *)(s1 + q)*(*(Four *)(loop->dr + q));
            *(Four *)(x2 + q) = -*(Four *)(x2 + q);
        }
        multiply(loop, r1, s2, s1);
        multiply(loop, r1, s1, x1);
        multiply(loop, r2, s2, s2);
        multiply(loop, r2, s1, x2);
    }
    memcpy(loop->s1[target], r1, bytes);
    memcpy(loop->s2[target], r2, bytes);
}

/* Squares up to the table of 2^power clocks. */
static void need_table(Loop *loop, int power)
{
    for (; loop->built <= power; loop->built++) {
        make_room(loop, loop->built < 1 ? 0 : loop->built);
        square(loop, loop->built < 1 ? 0 : loop->built - 1, loop->built < 1 ? 0 : loop->built);
    }
}

/* Whether all entries of a table are inside DECAYED, and whether they are inside RUNAWAY; not a number is neither. */
static void judge(const Loop *loop, int power, int *decayed, int *bounded)
{
    const Four *tables[] = {(const Four *)loop->s1[power], (const Four *)loop->s2[power]};
    FourBits small = {-1, -1, -1, -1}, finite = small;
    for (int t = 0; t < 2; t++) for (int q = 0; q < words(loop)/WIDTH; q++) {
        Four x = tables[t][q];
        small &= (x < DECAYED) & (x > -DECAYED);
        finite &= (x <= RUNAWAY) & (x >= -RUNAWAY);
    }
    *decayed = *bounded = 1;
    for (int i = 0; i < WIDTH; i++) {
        *decayed &= small[i] != 0;
        *bounded &= finite[i] != 0;
    }
}

/* z = Dr e - B V/W, e <- S2 e + S1 z, V <- S1 e_old + S2 V; without node capacitance V <- S2 V. */
static void step(Loop *loop, const double *s1, const double *s2)
{
    const int n = loop->n, stride = loop->stride, slaved = loop->slaved;
    const double *e = loop->held_e, *V = loop->held_V, *z = loop->z;
    if (loop->diagonal) {
        for (int i = 0; i < n; i++) {
            double vv = 0.0 + s2[i]*V[i];
            if (slaved) loop->held_V[i] = 0.0 + vv;
            else {
                double zi = loop->dr[i]*e[i] - (0.0 + loop->over_w[i]*V[i]);
                double ee = 0.0 + s2[i]*e[i], ez = 0.0 + s1[i]*zi, ve = 0.0 + s1[i]*e[i];
                loop->held_e[i] = ee + ez;
                loop->held_V[i] = ve + vv;
            }
        }
        return;
    }
    if (!slaved) for (int i = 0; i < n; i += ROWS) {
        Four v0 = {0.0}, v1 = {0.0};
        for (int k = 0; k < n; k++) {
            const Four *b = (const Four *)(loop->over_w + i + k*stride);
            v0 += b[0]*V[k];
            v1 += b[1]*V[k];
        }
        ((Four *)(loop->z + i))[0] = v0;
        ((Four *)(loop->z + i))[1] = v1;
    }
    if (!slaved) for (int i = 0; i < n; i++) loop->z[i] = loop->dr[column(loop, i)]*e[i] - z[i];
    for (int i = 0; i < n; i += ROWS) {
        Four ee0 = {0.0}, ee1 = {0.0}, ez0 = {0.0}, ez1 = {0.0}, ve0 = {0.0}, ve1 = {0.0}, vv0 = {0.0}, vv1 = {0.0};
        for (int k = 0; k < n; k++) {
            const Four *b = (const Four *)(s2 + i + k*stride);
            vv0 += b[0]*V[k];
            vv1 += b[1]*V[k];
            if (!slaved) {
                const Four *a = (const Four *)(s1 + i + k*stride);
                ee0 += b[0]*e[k];
                ee1 += b[1]*e[k];
                ez0 += a[0]*z[k];
                ez1 += a[1]*z[k];
                ve0 += a[0]*e[k];
                ve1 += a[1]*e[k];
            }
        }
        ((Four *)(loop->next_e + i))[0] = ee0 + ez0;
        ((Four *)(loop->next_e + i))[1] = ee1 + ez1;
        ((Four *)(loop->next_V + i))[0] = ve0 + vv0;
        ((Four *)(loop->next_V + i))[1] = ve1 + vv1;
    }
    if (!slaved) memcpy(loop->held_e, loop->next_e, sizeof(double)*n);
    memcpy(loop->held_V, loop->next_V, sizeof(double)*n);
}

#ifdef __cplusplus
extern "C" {
#endif

/* A loop of n outputs; ohmloop_free gives it back. */
void *ohmloop_new(int n)
{
    Loop *loop = (Loop *)calloc(1, sizeof(Loop));
    if (loop == NULL) abort();
    loop->n = n;
    loop->stride = n < ROWS ? ROWS : n;
    loop->order = (int *)zeros(loop, 1);
    double **matrices[] = {&loop->matrix, &loop->factors, &loop->generator, &loop->over_w, &loop->r1, &loop->r2,
                           &loop->x1, &loop->x2, &loop->node_rate, &loop->dr};
    for (size_t m = 0; m < sizeof matrices/sizeof *matrices; m++) *matrices[m] = zeros(loop, n);
    double **vectors[] = {&loop->array_load, &loop->load, &loop->z, &loop->next_e, &loop->next_V, &loop->held_e,
                          &loop->held_V};
    for (size_t v = 0; v < sizeof vectors/sizeof *vectors; v++) *vectors[v] = zeros(loop, 1);
    make_room(loop, 0);
    return loop;
}

void ohmloop_free(void *held)
{
    Loop *loop = (Loop *)held;
    if (loop == NULL) return;
    for (int power = 0; power <= LAST_POWER; power++) {
        free(loop->s1[power]);
        free(loop->s2[power]);
    }
    double *rest[] = {loop->matrix, loop->factors, loop->generator, loop->over_w, loop->r1, loop->r2, loop->x1,
                      loop->x2, loop->array_load, loop->load, loop->node_rate, loop->dr, loop->z, loop->next_e,
                      loop->next_V, loop->held_e, loop->held_V};
    for (size_t r = 0; r < sizeof rest/sizeof *rest; r++) free(rest[r]);
    free(loop->order);
    free(loop);
}

/* Takes A, row by row, and L; LU factors of A + L/A0 (partial pivoting: the first of the largest wins). Returns whether
 * it is singular. */
int ohmloop_factorise(void *held, const svOpenArrayHandle a, const svOpenArrayHandle l, double inverse_gain)
{
    Loop *loop = (Loop *)held;
    const double *matrix = reals(a), *array_load = reals(l);
    const int n = loop->n, stride = loop->stride;
    double *f = loop->factors;
    loop->inverse_gain = inverse_gain;
    memcpy(loop->array_load, array_load, sizeof(double)*n);
    for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) loop->matrix[i + j*stride] = matrix[i*n + j];
    memcpy(f, loop->matrix, sizeof(double)*stride*n);
    for (int i = 0; i < n; i++) {
        f[i + i*stride] += array_load[i]*inverse_gain;
        loop->order[i] = i;
    }
    for (int k = 0; k < n; k++) {
        double *left = f + k*stride;
        int best = k;
        for (int i = k + 1; i < n; i++) if (fabs(left[i]) > fabs(left[best])) best = i;
        if (best != k) {
            int held_order = loop->order[k];
            loop->order[k] = loop->order[best];
            loop->order[best] = held_order;
            for (int j = 0; j < n; j++) {
                double swap = f[k + j*stride];
                f[k + j*stride] = f[best + j*stride];
                f[best + j*stride] = swap;
            }
        }
        double pivot = left[k];
        if (fabs(pivot) < SMALLEST_PIVOT) return 1;
        for (int i = k + 1; i < n; i++) left[i] /= pivot;
        for (int j = k + 1; j < n; j++)
            for (int i = k + 1; i < n; i++) f[i + j*stride] -= left[i]*f[k + j*stride];
    }
    return 0;
}

/* Tables of one clock, then of 2^p clocks until they tell how the loop ends. Returns whether it is a runaway. */
int ohmloop_build_tables(void *held, int diagonal, double gf, double w, double node)
{
    Loop *loop = (Loop *)held;
    loop->diagonal = diagonal;
    loop->slaved = node == 0.0;
    loop->gf = gf;
    loop->w = w;
    loop->node = node;
    set_rates(loop);
    double norm = generator_norm(loop), h = 1.0;
    loop->built = 1;
    for (; norm > 2.0; norm *= 0.5) {
        h *= 0.5;
        loop->built--;
    }
    taylor(loop, h);
    for (int power = 0;; power++) {
        need_table(loop, power);
        int decayed, bounded;
        judge(loop, power, &decayed, &bounded);
        if (decayed) return 0;
        if (!bounded || power == LAST_POWER) return 1;
    }
}

/* Static equation: (A + L/A0) V = -b + L Vos, or V (gf + L/A0) = -A u + L Vos; into what ohmloop_held_V reads. */
void ohmloop_solve_point(void *held, const svOpenArrayHandle u, const svOpenArrayHandle vos)
{
    Loop *loop = (Loop *)held;
    const double *drive_V = reals(u), *offset_V = reals(vos);
    double *V = loop->held_V;
    const int n = loop->n, stride = loop->stride;
    double *total = loop->z;
    if (loop->diagonal) {
        memset(total, 0, sizeof(double)*n);
        for (int j = 0; j < n; j++) for (int i = 0; i < n; i++) total[i] += loop->matrix[i + j*stride]*drive_V[j];
        for (int i = 0; i < n; i++)
            V[i] = (loop->load[i]*offset_V[i] - total[i])/(loop->gf + loop->load[i]*loop->inverse_gain);
        return;
    }
    const double *f = loop->factors;
    for (int i = 0; i < n; i++) {
        int row = loop->order[i];
        total[i] = loop->load[row]*offset_V[row] - drive_V[row];
    }
    for (int j = 0; j < n; j++) for (int i = j + 1; i < n; i++) total[i] -= f[i + j*stride]*total[j];
    for (int i = n - 1; i >= 0; i--) {
        double sum = total[i];
        for (int j = i + 1; j < n; j++) sum -= f[i + j*stride]*V[j];
        V[i] = sum/f[i + i*stride];
    }
}

/* Takes (e, V) over any number of clocks in one go, low bits first, into what ohmloop_held_e and _V read. */
void ohmloop_advance(void *held, int clocks, const svOpenArrayHandle e, const svOpenArrayHandle v)
{
    Loop *loop = (Loop *)held;
    const size_t bytes = sizeof(double)*loop->n;
    memcpy(loop->held_e, reals(e), bytes);
    memcpy(loop->held_V, reals(v), bytes);
    for (int power = 0; power <= LAST_POWER; power++) if (clocks >> power & 1) {
        need_table(loop, power);
        step(loop, loop->s1[power], loop->s2[power]);
    }
}

double ohmloop_held_e(void *held, int i) { return ((const Loop *)held)->held_e[i]; }

double ohmloop_held_V(void *held, int i) { return ((const Loop *)held)->held_V[i]; }

#ifdef __cplusplus
}
#endif
