/* What runs kernels that are compiled apart: memory, threads, matrix products.
 * SPDX-License-Identifier: 0BSD */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- The floating-point mode: subnormal numbers are flushed to zero. ---- */

static inline uint64_t ac_flush(void)
{
#if defined(__x86_64__)
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040u);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | UINT64_C(1) << 24));
    return before;
#else
    return 0;
#endif
}

static inline void ac_restore(uint64_t before)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

static inline void ac_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- Threads. A run of items is cut into chunks, and the chunks into a share for each thread.
 * A thread takes its own share first and then what is left of the others', so that one that comes
 * late holds nobody up. A run beside another one is done by its caller alone. ---- */

enum { AC_APART = 128, AC_MOST_CHUNKS = 0xffff, AC_SPIN_NS = 200000 };

/* What a kernel gets. */
struct ac_bound {
    void *const *buffers;
    const int64_t *sizes;
    int32_t *status;
};

typedef void ac_nest(const struct ac_bound *, uint64_t, uint64_t);
typedef void ac_part(const void *, uint64_t, uint64_t, int);

/* A run: one of the two functions for all items. */
struct ac_task {
    ac_nest *nest;
    ac_part *part;
    const void *context;
    uint64_t items, grain;
};

/* The number of the run, the next chunk and the one past the last, in 32, 16 and 16 bits. */
struct ac_share {
    _Alignas(AC_APART) _Atomic uint64_t value;
};

struct ac_pool {
    _Alignas(AC_APART) _Atomic uint32_t run;
    _Alignas(AC_APART) _Atomic uint64_t done;
    _Alignas(AC_APART) _Atomic int busy;
    _Alignas(AC_APART) _Atomic int asleep;
    _Atomic int quit;
    _Atomic(const struct ac_task *) task;
    struct ac_share *shares;
    pthread_t *handles;
    int threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

struct ac_start {
    struct ac_pool *pool;
    int me;
};

static void ac_do(const struct ac_task *task, uint64_t begin, uint64_t end, int me)
{
    if (task->part != NULL) {
        task->part(task->context, begin, end, me);
    } else {
        task->nest(task->context, begin, end);
    }
}

/* Takes chunks of a run until there are none. */
static void ac_take(struct ac_pool *pool, int me, uint32_t run)
{
    uint64_t done = 0;
    for (int i = 0; i < pool->threads; i++) {
        _Atomic uint64_t *share = &pool->shares[(me + i) % pool->threads].value;
        uint64_t now = atomic_load_explicit(share, memory_order_acquire);
        while ((uint32_t)(now >> 32) == run && (now >> 16 & 0xffff) < (now & 0xffff)) {
            const uint64_t next = now >> 16 & 0xffff, taken = now + (1u << 16);
            if (!atomic_compare_exchange_weak_explicit(share, &now, taken, memory_order_acq_rel,
                                                       memory_order_acquire)) {
                continue;
            }
            /* A chunk was left, so the run is on until this one is counted. */
            const struct ac_task *task = atomic_load_explicit(&pool->task, memory_order_relaxed);
            const uint64_t begin = next * task->grain, rest = task->items - begin;
            const uint64_t count = rest < task->grain ? rest : task->grain;
            ac_do(task, begin, begin + count, me);
            done += count;
            now = atomic_load_explicit(share, memory_order_acquire);
        }
    }
    if (done > 0) {
        atomic_fetch_add_explicit(&pool->done, done, memory_order_release);
    }
}

static int64_t ac_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Waits for another run than the one seen; spins for a while and then sleeps. */
static uint32_t ac_wait(struct ac_pool *pool, uint32_t seen)
{
    const int64_t until = ac_now() + AC_SPIN_NS;
    do {
        for (int i = 0; i < 64; i++) {
            const uint32_t run = atomic_load_explicit(&pool->run, memory_order_acquire);
            if (run != seen) {
                return run;
            }
            ac_pause();
        }
    } while (ac_now() < until);
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->asleep, 1);
    while (atomic_load(&pool->run) == seen && !atomic_load(&pool->quit)) {
        pthread_cond_wait(&pool->wake, &pool->mutex);
    }
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
    return atomic_load(&pool->run);
}

static void *ac_work(void *argument)
{
    const struct ac_start start = *(struct ac_start *)argument;
    uint32_t seen = 0;
    free(argument);
    ac_flush();
    while (!atomic_load(&start.pool->quit)) {
        const uint32_t run = ac_wait(start.pool, seen);
        if (run != seen) {
            seen = run;
            ac_take(start.pool, start.me, run);
        }
    }
    return NULL;
}

static void ac_for(struct ac_pool *pool, struct ac_task task)
{
    if (task.items == 0) {
        return;
    }
    const uint64_t least = (task.items + AC_MOST_CHUNKS - 1) / AC_MOST_CHUNKS;
    task.grain = task.grain < least ? least : task.grain;
    task.grain = task.grain < 1 ? 1 : task.grain;
    const uint64_t chunks = (task.items - 1) / task.grain + 1;
    if (pool->threads < 2 || chunks < 2 ||
        atomic_exchange_explicit(&pool->busy, 1, memory_order_acquire)) {
        ac_do(&task, 0, task.items, 0);
        return;
    }
    const uint64_t all = (uint64_t)pool->threads, shares = all < chunks ? all : chunks;
    const uint32_t run = atomic_load_explicit(&pool->run, memory_order_relaxed) + 1;
    atomic_store_explicit(&pool->task, &task, memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    for (uint64_t i = 0; i < all; i++) {
        const uint64_t first = i < shares ? chunks * i / shares : chunks;
        const uint64_t last = i < shares ? chunks * (i + 1) / shares : chunks;
        atomic_store_explicit(&pool->shares[i].value, (uint64_t)run << 32 | first << 16 | last,
                              memory_order_release);
    }
    /* Either a worker sees the run before it sleeps, or this thread sees that it sleeps. */
    atomic_store(&pool->run, run);
    if (atomic_load(&pool->asleep) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
    ac_take(pool, 0, run);
    for (unsigned spins = 1;
         atomic_load_explicit(&pool->done, memory_order_acquire) != task.items; spins++) {
        ac_pause();
        if (spins % 1024 == 0) {
            sched_yield();
        }
    }
    atomic_store_explicit(&pool->busy, 0, memory_order_release);
}

/* ---- Memory and threads of a context. ---- */

struct ac_block {
    struct ac_block *next;
    void *memory;
};

struct ac_layout;

/* A constant in the form that products want. */
struct ac_packed {
    struct ac_packed *next;
    const float *from, *packed;
    const struct ac_layout *layout;
    int64_t form;
};

struct ac_engine {
    struct ac_block *blocks;
    struct ac_packed *packed;
    struct ac_pool pool;
    int level;
    /* Bytes that a run needs after the workspace of the program: of one launch, of one thread. */
    int64_t transient, scratch;
    const unsigned char *weights;
    size_t weights_bytes;
};

/* Zeroed memory that lives as long as the context; on huge pages where it is large. */
static void *ac_memory(struct ac_engine *e, int64_t bytes)
{
    const size_t huge = (size_t)2 << 20;
    const size_t align = bytes >= (int64_t)(huge / 2) ? huge : 64;
    if (bytes < 0 || bytes > INT64_MAX / 2) {
        return NULL;
    }
    const size_t size = ((size_t)bytes / align + 1) * align;
    struct ac_block *block = malloc(sizeof *block);
    void *memory = block == NULL ? NULL : aligned_alloc(align, size);
    if (memory == NULL) {
        free(block);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (align == huge) {
        madvise(memory, size, MADV_HUGEPAGE);
    }
#endif
    memset(memory, 0, size);
    *block = (struct ac_block){e->blocks, memory};
    e->blocks = block;
    return memory;
}

/* As many threads as are wanted and there are; 0 wants all. Never fails: where the system refuses
 * a thread there are fewer. */
static int ac_open(struct ac_engine *e, int32_t wanted)
{
    struct ac_pool *pool = &e->pool;
    long most = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        most = CPU_COUNT(&set);
    }
#endif
    most = most < 1 ? 1 : most > 1024 ? 1024 : most;
    const int threads = wanted < 1 || wanted > most ? (int)most : (int)wanted;
    pool->shares = ac_memory(e, (int64_t)sizeof(struct ac_share) * (threads + 1));
    pool->handles = ac_memory(e, (int64_t)sizeof(pthread_t) * threads);
    if (pool->shares == NULL || pool->handles == NULL) {
        return 0;
    }
    const uintptr_t apart = AC_APART - 1;
    pool->shares = (struct ac_share *)(((uintptr_t)pool->shares + apart) & ~apart);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    int started = 1;
    /* Workers look at the number only once there is a run. */
    for (; started < threads; started++) {
        struct ac_start *start = malloc(sizeof *start);
        if (start == NULL) {
            break;
        }
        *start = (struct ac_start){pool, started};
        if (pthread_create(&pool->handles[started], NULL, ac_work, start) != 0) {
            free(start);
            break;
        }
    }
    pool->threads = started;
    return 1;
}

static void ac_close(struct ac_engine *e)
{
    struct ac_pool *pool = &e->pool;
    if (pool->threads > 0) {
        pthread_mutex_lock(&pool->mutex);
        atomic_store(&pool->quit, 1);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
        for (int i = 1; i < pool->threads; i++) {
            pthread_join(pool->handles[i], NULL);
        }
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->mutex);
    }
    while (e->blocks != NULL) {
        struct ac_block *block = e->blocks;
        e->blocks = block->next;
        free(block->memory);
        free(block);
    }
    if (e->weights != NULL) {
        munmap((void *)(uintptr_t)e->weights, e->weights_bytes);
    }
}

/* Maps a file of at least so many bytes. */
static inline int ac_map(struct ac_engine *e, const char *path, int64_t bytes)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *memory = MAP_FAILED;
    if (file < 0) {
        return 0;
    }
    if (fstat(file, &status) == 0 && status.st_size >= bytes) {
        memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    }
    close(file);
    if (memory == MAP_FAILED) {
        return 0;
    }
    e->weights = memory;
    e->weights_bytes = (size_t)status.st_size;
    return 1;
}

/* ---- Matrix products: for each combination of the batch axes, each row and each column the sum
 * of left times right. What is summed may lie anywhere that axes tell. ---- */

enum {
    AC_BATCH = 8,
    AC_GROUP = 16,
    AC_AXES = AC_BATCH + 3 * AC_GROUP,
    AC_GUARDS = 16,
    AC_PADDING = INT32_MIN,
    AC_SHORT = 4,
    AC_TAPS = 64,
};

/* Operations that keep a thread busy for a few microseconds. */
static const double ac_grain = 400000.0;

/* An axis of a product: how often, and its step in each operand and in the result. */
struct ac_axis {
    int64_t extent, left, right, out;
};

/* A product at certain sizes. Axes of the batch, of rows, of columns and of what is summed follow
 * one another; a guard is a number and a step for each axis, and the left operand is zero where
 * one of them is negative. */
struct ac_shape {
    int batch, rows, columns, sums, guards, window, left_param, right_param, out_param;
    int64_t left, right, out;
    struct ac_axis axes[AC_AXES];
    int64_t guard[AC_GUARDS][AC_AXES + 1];
};

/* Packs panels of a right operand whose rows and columns are evenly apart. */
struct ac_pack {
    const float *b;
    float *out;
    int64_t k, n, row_stride, column_stride;
};

/* The same for one whose offsets are in tables. */
struct ac_gather {
    const float *b;
    float *out;
    const int64_t *rows;
    const int32_t *columns, *lies;
    int64_t k;
};

/* A product whose left operand is read in runs. */
struct ac_gathered {
    const float *a, *b;
    float *c;
    const void *args;
    const int32_t *table;
    const float *zeros;
    int64_t ldc, taps, run;
};

/* Sums over windows that leave channels apart. */
struct ac_window {
    const float *a, *weights;
    float *c;
    const void *args;
    const int32_t *table;
    const float *zeros;
    int64_t ldc, taps, channels, block;
};

typedef void ac_even_code(const float *a, int64_t lda, const float *b, float *c, int64_t ldc,
                          int64_t m0, int64_t m1, int64_t n0, int64_t n1, int64_t k,
                          int64_t flags, const void *args);
typedef void ac_gathered_code(const struct ac_gathered *, int64_t m0, int64_t m1, int64_t n0,
                              int64_t n1);
typedef void ac_window_code(const struct ac_window *, uint64_t begin, uint64_t end);
typedef void ac_pack_code(const struct ac_pack *, uint64_t begin, uint64_t end);
typedef void ac_gather_code(const struct ac_gather *, uint64_t begin, uint64_t end);

/* The code of a product on a level; one of the first three is there. */
struct ac_code {
    ac_even_code *even;
    ac_gathered_code *gathered;
    ac_window_code *window;
    ac_pack_code *pack;
    ac_gather_code *gather;
    /* Of the tile of the result that is kept in registers. */
    int rows, width, lanes;
};

struct ac_step {
    int64_t extent, step;
};

/* How the elements of an operand lie. */
struct ac_layout {
    int64_t base;
    int64_t outers, inners, batches;
    struct ac_step outer[AC_GROUP], inner[AC_GROUP], batch[AC_BATCH];
};

/* A product that is ready to run. */
struct ac_product {
    const struct ac_code *code;
    int left_param, right_param, out_param, axes;
    struct ac_axis axis[AC_BATCH];
    int64_t m, n, k, batches, left, right, out, out_rows, left_rows;
    /* The right operand's steps, or its tables. */
    int64_t right_row, right_column;
    struct ac_gather tables;
    /* The left operand's runs. */
    int64_t run, taps;
    const int32_t *table;
    const float *zeros;
    int decided[AC_BATCH], decisions;
    /* Operands that are packed as a whole, at once or in each run. */
    const struct ac_layout *left_layout, *right_layout;
    const float *left_packed, *right_packed;
    const int64_t *left_inner;
    int64_t left_matrix, right_matrix, left_count, right_count;
    /* How it is cut into items. */
    int64_t panels, group, groups, tall, parts, block;
    uint64_t items, grain;
};

static inline void *ac_move(const void *p, int64_t elements, int64_t bytes)
{
    return (void *)((uintptr_t)p + (uintptr_t)elements * (uintptr_t)bytes);
}

static inline float *ac_at(const float *p, int64_t elements)
{
    return ac_move(p, elements, (int64_t)sizeof *p);
}

static int64_t ac_count(const struct ac_step *axes, int64_t count)
{
    int64_t n = 1;
    for (int64_t i = 0; i < count; i++) {
        n *= axes[i].extent;
    }
    return n;
}

/* The step of axes taken as one, where they walk evenly. */
static int ac_evenly(const struct ac_step *axes, int64_t count, int64_t *step)
{
    int64_t inner = 0, first = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        if (axes[i].extent == 1) {
            continue;
        }
        if (inner == 0 && first == 0) {
            inner = axes[i].extent;
            first = axes[i].step;
            if (inner == 0) {
                break;
            }
        } else {
            if (axes[i].step != inner * first) {
                return 0;
            }
            inner *= axes[i].extent;
        }
    }
    *step = inner == 0 && first == 0 ? 1 : first;
    return 1;
}

/* The offset of one combination of axes, numbered with the last one innermost. */
static int64_t ac_offset(const struct ac_step *axes, int64_t count, int64_t index)
{
    int64_t offset = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        offset += index % axes[i].extent * axes[i].step;
        index /= axes[i].extent;
    }
    return offset;
}

static struct ac_layout ac_lay(const struct ac_shape *x, int right, int64_t base, int outer,
                               int outers)
{
    struct ac_layout l;
    memset(&l, 0, sizeof l);
    l.base = base;
    l.outers = outers;
    l.inners = x->sums;
    const struct ac_axis *sums = x->axes + x->batch + x->rows + x->columns;
    for (int i = 0; i < outers; i++) {
        const struct ac_axis *a = x->axes + outer + i;
        l.outer[i] = (struct ac_step){a->extent, right ? a->right : a->left};
    }
    for (int i = 0; i < x->sums; i++) {
        l.inner[i] = (struct ac_step){sums[i].extent, right ? sums[i].right : sums[i].left};
    }
    for (int i = 0; i < x->batch; i++) {
        const int64_t step = right ? x->axes[i].right : x->axes[i].left;
        if (step != 0) {
            l.batch[l.batches++] = (struct ac_step){x->axes[i].extent, step};
        }
    }
    return l;
}

/* The runs of a left operand: 1 where it has them, 0 where not, -1 where there is no memory. */
static int ac_runs(struct ac_engine *e, struct ac_product *p, const struct ac_shape *x,
                   const struct ac_layout *left)
{
    const int rows = x->batch, columns = rows + x->rows, sums = columns + x->columns;
    int64_t run = 1, count = x->sums;
    if (x->window) {
        run = p->n;
    } else {
        for (; count > 0; count--) {
            const struct ac_step *inner = &left->inner[count - 1];
            int guarded = 0;
            for (int g = 0; g < x->guards; g++) {
                guarded |= x->guard[g][1 + sums + count - 1] != 0;
            }
            if (guarded || (inner->extent != 1 && inner->step != run)) {
                break;
            }
            run *= inner->extent;
        }
        if (run < AC_SHORT) {
            return 0;
        }
    }
    p->decisions = 0;
    for (int b = 0; b < x->batch; b++) {
        int decides = 0;
        for (int g = 0; g < x->guards; g++) {
            decides |= x->guard[g][1 + b] != 0;
        }
        if (decides) {
            p->decided[p->decisions++] = b;
        }
    }
    for (int g = 0; g < x->guards; g++) {
        for (int c = columns; c < sums; c++) {
            if (x->guard[g][1 + c] != 0) {
                return 0;
            }
        }
    }
    int64_t kinds = 1, taps = ac_count(left->inner, count);
    for (int i = 0; i < p->decisions; i++) {
        kinds *= x->axes[p->decided[i]].extent;
    }
    const int64_t most = INT64_C(1) << 27;
    if (kinds > most || p->m > most || taps > most || kinds * p->m > most / (taps + 1)) {
        return 0;
    }
    int32_t *table = ac_memory(e, kinds * p->m * taps * (int64_t)sizeof *table);
    p->zeros = ac_memory(e, run * (int64_t)sizeof(float));
    if (table == NULL || p->zeros == NULL) {
        return -1;
    }
    p->run = run;
    p->taps = taps;
    p->table = table;
    /* What each tap adds: to where it is, and to each guard. */
    int64_t *adds = malloc((size_t)((1 + x->guards) * taps + 1) * sizeof *adds);
    if (adds == NULL) {
        return -1;
    }
    for (int64_t tap = 0; tap < taps; tap++) {
        adds[tap] = ac_offset(left->inner, count, tap);
        for (int g = 0; g < x->guards; g++) {
            struct ac_step over[AC_GROUP];
            for (int64_t i = 0; i < count; i++) {
                over[i] = (struct ac_step){left->inner[i].extent, x->guard[g][1 + sums + i]};
            }
            adds[(1 + g) * taps + tap] = ac_offset(over, count, tap);
        }
    }
    int fits = 1;
    for (int64_t kind = 0; kind < kinds && fits; kind++) {
        for (int64_t row = 0; row < p->m && fits; row++) {
            int64_t base[AC_GUARDS];
            for (int g = 0; g < x->guards; g++) {
                struct ac_step of[AC_BATCH], along[AC_GROUP];
                for (int i = 0; i < p->decisions; i++) {
                    const int b = p->decided[i];
                    of[i] = (struct ac_step){x->axes[b].extent, x->guard[g][1 + b]};
                }
                for (int i = 0; i < x->rows; i++) {
                    along[i] = (struct ac_step){left->outer[i].extent, x->guard[g][1 + rows + i]};
                }
                base[g] = x->guard[g][0] + ac_offset(of, p->decisions, kind) +
                          ac_offset(along, x->rows, row);
            }
            const int64_t first = ac_offset(left->outer, x->rows, row);
            for (int64_t tap = 0; tap < taps; tap++) {
                int inside = 1;
                for (int g = 0; g < x->guards; g++) {
                    inside &= base[g] + adds[(1 + g) * taps + tap] >= 0;
                }
                const int64_t at = first + adds[tap];
                fits &= !inside || (at > INT32_MIN && at <= INT32_MAX);
                *table++ = inside ? (int32_t)at : AC_PADDING;
            }
        }
    }
    free(adds);
    return fits;
}

/* Floats between the first and the last tap of a row in the middle. */
static int64_t ac_reach(const struct ac_product *p)
{
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t i = 0; i < p->taps; i++) {
        const int32_t at = p->table[p->m / 2 * p->taps + i];
        if (at != AC_PADDING) {
            low = at < low ? at : low;
            high = at > high ? at : high;
        }
    }
    return low > high ? 0 : high - low;
}

/* How a vector of columns lies, as the code that gathers them wants to know it. */
static int32_t ac_lie(const int32_t *columns, int lanes)
{
    int together = 1, apart = 1, breaks = 0, at[2] = {0, lanes};
    for (int i = 1; i < lanes; i++) {
        const int64_t step = (int64_t)columns[i] - columns[i - 1];
        together &= step == 1;
        apart &= step == 2;
        if (step != 1) {
            if (breaks < 2) {
                at[breaks] = i;
            }
            breaks++;
        }
    }
    if (together) {
        return 0;
    }
    if (apart) {
        return 1;
    }
    return breaks > 2 ? 2 : 3 | at[0] << 8 | at[1] << 16;
}

/* The tables of a right operand: 1, 0 where offsets are too great, -1 without memory. */
static int ac_tables(struct ac_engine *e, struct ac_product *p, const struct ac_layout *right)
{
    const int width = p->code->width, lanes = p->code->lanes;
    const int64_t whole = (p->n + width - 1) / width * width;
    if (p->k > INT64_C(1) << 40 || whole > INT64_C(1) << 40) {
        return 0;
    }
    int64_t *rows = ac_memory(e, p->k * (int64_t)sizeof *rows);
    int32_t *columns = ac_memory(e, whole * (int64_t)sizeof *columns);
    int32_t *lies = ac_memory(e, whole / lanes * (int64_t)sizeof *lies);
    if (rows == NULL || columns == NULL || lies == NULL) {
        return -1;
    }
    for (int64_t i = 0; i < p->k; i++) {
        rows[i] = ac_offset(right->inner, right->inners, i);
    }
    for (int64_t i = 0; i < whole; i++) {
        const int64_t at = ac_offset(right->outer, right->outers, i < p->n ? i : p->n - 1);
        if (at < INT32_MIN || at > INT32_MAX) {
            return 0;
        }
        columns[i] = (int32_t)at;
    }
    for (int64_t i = 0; i < whole / lanes; i++) {
        lies[i] = ac_lie(columns + i * lanes, lanes);
    }
    p->tables = (struct ac_gather){NULL, NULL, rows, columns, lies, p->k};
    return 1;
}

/* Packs panels of one matrix of the right operand, to where all its panels begin. */
static void ac_panels(const struct ac_product *p, const float *from, float *to, int64_t begin,
                      int64_t end)
{
    if (p->tables.rows != NULL) {
        struct ac_gather call = p->tables;
        call.b = from;
        call.out = to;
        p->code->gather(&call, (uint64_t)begin, (uint64_t)end);
    } else {
        const struct ac_pack call = {from, to, p->k, p->n, p->right_row, p->right_column};
        p->code->pack(&call, (uint64_t)begin, (uint64_t)end);
    }
}

/* The packing of an operand as a whole; an item is a panel of the right one, or a row. */
struct ac_packing {
    const struct ac_product *p;
    const float *from;
    float *to;
};

static void ac_pack_right(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_packing *x = context;
    const struct ac_product *p = x->p;
    const struct ac_layout *l = p->right_layout;
    (void)me;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t b = i / p->panels, panel = i % p->panels;
        const float *from = ac_at(x->from, l->base + ac_offset(l->batch, l->batches, b));
        ac_panels(p, from, x->to + b * p->right_matrix, panel, panel + 1);
    }
}

static void ac_pack_left(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_packing *x = context;
    const struct ac_product *p = x->p;
    const struct ac_layout *l = p->left_layout;
    (void)me;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t b = i / p->m, row = i % p->m;
        const float *from = ac_at(x->from, l->base + ac_offset(l->batch, l->batches, b) +
                                               ac_offset(l->outer, l->outers, row));
        float *to = x->to + i * p->left_rows;
        for (int64_t k = 0; k < p->k; k++) {
            to[k] = *ac_at(from, p->left_inner[k]);
        }
    }
}

/* Weights of windows: for each vector of channels all taps. An item is a vector. */
static void ac_pack_window(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_packing *x = context;
    const struct ac_layout *l = x->p->right_layout;
    const int64_t lanes = x->p->code->lanes, channels = x->p->n, taps = x->p->taps;
    (void)me;
    for (int64_t v = (int64_t)begin; v < (int64_t)end; v++) {
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int64_t c = v * lanes + lane;
            for (int64_t t = 0; t < taps; t++) {
                float *to = x->to + (v * taps + t) * lanes + lane;
                if (c >= channels) {
                    *to = 0;
                    continue;
                }
                *to = *ac_at(x->from, l->base + ac_offset(l->outer, l->outers, c) +
                                          ac_offset(l->inner, l->inners, t));
            }
        }
    }
}

/* Packs an operand into memory of the context, or finds that it was; NULL without memory. */
static const float *ac_keep(struct ac_engine *e, struct ac_product *p, const float *from,
                            const struct ac_layout *layout, int64_t form, int64_t floats,
                            uint64_t items, ac_part *part)
{
    for (const struct ac_packed *old = e->packed; old != NULL; old = old->next) {
        if (old->from == from && old->form == form &&
            memcmp(old->layout, layout, sizeof *layout) == 0) {
            return old->packed;
        }
    }
    float *to = ac_memory(e, floats * (int64_t)sizeof *to);
    struct ac_packed *made = ac_memory(e, (int64_t)sizeof *made);
    if (to == NULL || made == NULL) {
        return NULL;
    }
    const struct ac_packing packing = {p, from, to};
    ac_for(&e->pool, (struct ac_task){NULL, part, &packing, items, 1});
    *made = (struct ac_packed){e->packed, from, to, layout, form};
    e->packed = made;
    return to;
}

static int64_t ac_whole(int64_t n, int64_t of)
{
    return (n + of - 1) / of;
}

static void ac_needs(struct ac_engine *e, int64_t transient, int64_t scratch)
{
    e->transient = e->transient < transient ? transient : e->transient;
    e->scratch = e->scratch < scratch ? scratch : e->scratch;
}

/* Bytes of floats up to a multiple of what the workspace is aligned to. */
static int64_t ac_bytes(int64_t floats)
{
    return ac_whole(floats * (int64_t)sizeof(float), 64) * 64;
}

/* Cuts sums over windows into items. */
static int ac_cut_window(struct ac_engine *e, struct ac_product *p, const float *right)
{
    const int64_t threads = e->pool.threads, lanes = p->code->lanes;
    const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->taps *
                              (double)p->batches;
    const int busy = operations > 2 * ac_grain && threads > 1;
    const int64_t wanted = busy ? threads * 2 : 1, vectors = ac_whole(p->n, lanes);
    p->tall = ac_whole(ac_whole(p->m, wanted), 8) * 8;
    p->parts = ac_whole(p->m, p->tall);
    p->items = (uint64_t)(p->batches * p->parts);
    p->grain = busy ? 1 : p->items;
    p->block = vectors;
    if (p->m * p->n * 4 <= 512 << 10) {
        /* Channels whose pixels under the windows stay in the nearest cache. */
        const int64_t pixels = ac_reach(p) / (p->n < 1 ? 1 : p->n) + 1;
        int64_t most = (24 << 10) / 4 / lanes / pixels;
        most = most < 1 ? 1 : most > vectors ? vectors : most;
        p->block = ac_whole(vectors, ac_whole(vectors, most));
    }
    p->right_matrix = vectors * p->taps * lanes;
    if (right == NULL) {
        ac_needs(e, ac_bytes(p->right_matrix), 0);
        return 1;
    }
    p->right_packed = ac_keep(e, p, right, p->right_layout, -lanes, p->right_matrix,
                              (uint64_t)vectors, ac_pack_window);
    return p->right_packed != NULL ? 1 : -1;
}

/* Prepares the left operand of a product whose rows are evenly apart. */
static int ac_prepare_left(struct ac_engine *e, struct ac_product *p, int evenly, int64_t step,
                           const float *left)
{
    if (evenly && !(left != NULL && step % 512 == 0 && p->m > 1)) {
        p->left_rows = step;
        return 1;
    }
    /* Not a multiple of what caches are confused by. */
    step = ac_whole(p->k, 16) * 16;
    p->left_rows = step % 512 == 0 ? step + 16 : step;
    p->left_matrix = p->m * p->left_rows;
    p->left_count = ac_count(p->left_layout->batch, p->left_layout->batches);
    int64_t *inner = ac_memory(e, p->k * (int64_t)sizeof *inner);
    if (inner == NULL) {
        return -1;
    }
    for (int64_t k = 0; k < p->k; k++) {
        inner[k] = ac_offset(p->left_layout->inner, p->left_layout->inners, k);
    }
    p->left_inner = inner;
    if (left == NULL) {
        return 1;
    }
    p->left_packed = ac_keep(e, p, left, p->left_layout, 0, p->left_count * p->left_matrix,
                             (uint64_t)(p->left_count * p->m), ac_pack_left);
    return p->left_packed != NULL ? 1 : -1;
}

/* Cuts a product into items: parts of columns, and where there are too few of them of rows. */
static int ac_cut(struct ac_engine *e, struct ac_product *p, const float *right)
{
    const int64_t threads = e->pool.threads, width = p->code->width, rows = p->code->rows;
    const double operations =
        2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batches;
    const int busy = operations > 2 * ac_grain && threads > 1;
    const int64_t wanted = busy ? threads * 2 : 1, all = p->panels * p->batches;
    const int few = busy && all < 2 * threads;
    int64_t transient = p->left_packed != NULL ? 0 : ac_bytes(p->left_count * p->left_matrix);
    p->right_count = 0;
    p->right_matrix = p->panels * width * p->k;
    if (right != NULL || few) {
        p->right_count = ac_count(p->right_layout->batch, p->right_layout->batches);
    }
    if (right != NULL) {
        p->right_packed = ac_keep(e, p, right, p->right_layout, width,
                                  p->right_count * p->right_matrix,
                                  (uint64_t)(p->right_count * p->panels), ac_pack_right);
        if (p->right_packed == NULL) {
            return -1;
        }
    } else if (few) {
        transient += ac_bytes(p->right_count * p->right_matrix);
    }
    p->group = all / wanted;
    p->group = p->group < 1 ? 1 : p->group > p->panels ? p->panels : p->group;
    p->tall = p->m;
    int64_t scratch = 0;
    if (p->right_count == 0) {
        const int64_t panel = p->k * width * 4;
        const int64_t most = (512 << 10) / (panel < 1 ? 1 : panel);
        p->group = p->group < most ? p->group : most < 1 ? 1 : most;
        scratch = ac_bytes(p->group * width * p->k);
    } else if (busy && all < wanted) {
        p->tall = ac_whole(ac_whole(p->m, rows), ac_whole(wanted, all)) * rows;
    }
    p->groups = ac_whole(p->panels, p->group);
    p->parts = ac_whole(p->m, p->tall);
    p->items = (uint64_t)(p->batches * p->groups * p->parts);
    const double each = operations / (double)p->items;
    p->grain = busy ? (uint64_t)(each > ac_grain ? 1 : ac_grain / each) : p->items;
    ac_needs(e, transient, scratch);
    return 1;
}

/* Makes a product ready; operands that are constants are given. Gives 1, 0 where the product has
 * to be done loop by loop, and -1 where there is no memory. */
static int ac_plan(struct ac_engine *e, struct ac_product *p, const struct ac_code *code,
                   struct ac_shape *x, const float *left, const float *right)
{
    if (code->even == NULL && code->gathered == NULL && code->window == NULL) {
        return 0;
    }
    for (int i = 0; i < x->batch + x->rows + x->columns + x->sums; i++) {
        x->axes[i].extent = x->axes[i].extent < 0 ? 0 : x->axes[i].extent;
    }
    memset(p, 0, sizeof *p);
    p->code = code;
    p->left_param = x->left_param;
    p->right_param = x->right_param;
    p->out_param = x->out_param;
    p->axes = x->batch;
    p->batches = 1;
    for (int i = 0; i < x->batch; i++) {
        p->axis[i] = x->axes[i];
        p->batches *= x->axes[i].extent;
    }
    const int rows = x->batch, columns = rows + x->rows;
    struct ac_layout *layouts = ac_memory(e, 2 * (int64_t)sizeof *layouts);
    if (layouts == NULL) {
        return -1;
    }
    layouts[0] = ac_lay(x, 0, x->left, rows, x->rows);
    layouts[1] = ac_lay(x, 1, x->right, columns, x->columns);
    p->left_layout = &layouts[0];
    p->right_layout = &layouts[1];
    p->m = ac_count(layouts[0].outer, x->rows);
    p->n = ac_count(layouts[1].outer, x->columns);
    p->k = ac_count(layouts[1].inner, x->sums);
    p->left = x->left;
    p->right = x->right;
    p->out = x->out;
    p->out_rows = x->rows > 0 ? x->axes[columns - 1].out : p->n;
    p->panels = ac_whole(p->n, code->width);
    if (p->m <= 0 || p->n <= 0 || p->batches <= 0) {
        p->items = 0;
        return 1;
    }
    if (p->k <= 0) {
        p->code = NULL;
        return 0;
    }
    int done = 1;
    int64_t together, step = 0;
    if (code->even != NULL) {
        const int evenly = ac_evenly(layouts[0].inner, x->sums, &together) && together == 1 &&
                           ac_evenly(layouts[0].outer, x->rows, &step);
        done = ac_prepare_left(e, p, evenly, step, left);
    } else {
        done = ac_runs(e, p, x, &layouts[0]);
        /* The code of windows has room for so many. */
        done = done == 1 && code->window != NULL && p->taps > AC_TAPS ? 0 : done;
    }
    if (done == 1 && code->window != NULL) {
        done = ac_cut_window(e, p, right);
    } else if (done == 1) {
        if (!ac_evenly(layouts[1].inner, x->sums, &p->right_row) ||
            !ac_evenly(layouts[1].outer, x->columns, &p->right_column)) {
            done = ac_tables(e, p, &layouts[1]);
        }
        done = done == 1 ? ac_cut(e, p, right) : done;
    }
    if (done != 1) {
        p->code = NULL;
    }
    return done;
}

/* Where a product of the batch is. */
struct ac_place {
    uint64_t args[3 + AC_BATCH];
    int64_t left, right, out, left_matrix, right_matrix;
    const int32_t *table;
};

static void ac_locate(const struct ac_product *p, const struct ac_bound *bound, int64_t index,
                      struct ac_place *at)
{
    int64_t left = 1, right = 1, kind = 0;
    at->args[0] = (uint64_t)(uintptr_t)bound->buffers;
    at->args[1] = (uint64_t)(uintptr_t)bound->sizes;
    at->args[2] = (uint64_t)(uintptr_t)bound->status;
    at->left = p->left;
    at->right = p->right;
    at->out = p->out;
    at->left_matrix = at->right_matrix = 0;
    for (int i = p->axes - 1; i >= 0; i--) {
        const struct ac_axis *a = &p->axis[i];
        const int64_t c = index % a->extent;
        index /= a->extent;
        at->args[3 + i] = (uint64_t)c;
        at->left += c * a->left;
        at->right += c * a->right;
        at->out += c * a->out;
        if (a->left != 0) {
            at->left_matrix += c * left;
            left *= a->extent;
        }
        if (a->right != 0) {
            at->right_matrix += c * right;
            right *= a->extent;
        }
    }
    for (int i = 0; i < p->decisions; i++) {
        kind = kind * p->axis[p->decided[i]].extent + (int64_t)at->args[3 + p->decided[i]];
    }
    at->table = p->table == NULL ? NULL : p->table + kind * p->m * p->taps;
}

/* A launch of a product. */
struct ac_call {
    const struct ac_product *p;
    const struct ac_bound *bound;
    const float *left, *right;
    unsigned char *scratch;
    int64_t scratch_bytes;
};

static void ac_multiply(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_call *x = context;
    const struct ac_product *p = x->p;
    const int64_t width = p->code->width;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t part = item % p->parts, rest = item / p->parts;
        const int64_t first = rest % p->groups * p->group;
        const int64_t last = first + p->group < p->panels ? first + p->group : p->panels;
        struct ac_place at;
        ac_locate(p, x->bound, rest / p->groups, &at);
        const float *a = x->left != NULL
                             ? x->left + at.left_matrix * p->left_matrix
                             : ac_at(x->bound->buffers[p->left_param], at.left);
        float *c = ac_at(x->bound->buffers[p->out_param], at.out);
        const float *panels;
        if (x->right != NULL) {
            panels = x->right + at.right_matrix * p->right_matrix;
        } else {
            float *to = ac_at((float *)(x->scratch + me * x->scratch_bytes),
                              -(first * width * p->k));
            ac_panels(p, ac_at(x->bound->buffers[p->right_param], at.right), to, first, last);
            panels = to;
        }
        const int64_t m0 = part * p->tall;
        const int64_t m1 = m0 + p->tall < p->m ? m0 + p->tall : p->m;
        const int64_t n0 = first * width, n1 = last * width < p->n ? last * width : p->n;
        if (p->code->even != NULL) {
            p->code->even(a, p->left_rows, panels, c, p->out_rows, m0, m1, n0, n1, p->k, 0,
                          at.args);
        } else {
            const struct ac_gathered call = {a,        panels,   c,           at.args, at.table,
                                             p->zeros, p->out_rows, p->taps, p->run};
            p->code->gathered(&call, m0, m1, n0, n1);
        }
    }
}

static void ac_windows(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_call *x = context;
    const struct ac_product *p = x->p;
    (void)me;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t part = item % p->parts;
        struct ac_place at;
        ac_locate(p, x->bound, item / p->parts, &at);
        const struct ac_window call = {ac_at(x->bound->buffers[p->left_param], at.left),
                                       x->right,
                                       ac_at(x->bound->buffers[p->out_param], at.out),
                                       at.args,
                                       at.table,
                                       p->zeros,
                                       p->out_rows,
                                       p->taps,
                                       p->n,
                                       p->block * p->code->lanes};
        const int64_t m0 = part * p->tall;
        const int64_t m1 = m0 + p->tall < p->m ? m0 + p->tall : p->m;
        p->code->window(&call, (uint64_t)m0, (uint64_t)m1);
    }
}

/* Runs a product that is ready; `spare` is the memory of the run after that of the program. */
static void ac_run_product(struct ac_engine *e, const struct ac_product *p,
                           const struct ac_bound *bound, unsigned char *spare)
{
    struct ac_call call = {p, bound, p->left_packed, p->right_packed, spare + e->transient,
                           e->scratch};
    if (p->items == 0) {
        return;
    }
    if (p->code->window != NULL) {
        if (call.right == NULL) {
            const struct ac_packing packing = {p, bound->buffers[p->right_param], (float *)spare};
            ac_pack_window(&packing, 0, (uint64_t)ac_whole(p->n, p->code->lanes), 0);
            call.right = packing.to;
        }
        ac_for(&e->pool, (struct ac_task){NULL, ac_windows, &call, p->items, p->grain});
        return;
    }
    if (call.left == NULL && p->left_count > 0) {
        const struct ac_packing packing = {p, bound->buffers[p->left_param], (float *)spare};
        ac_pack_left(&packing, 0, (uint64_t)(p->left_count * p->m), 0);
        call.left = packing.to;
        spare += ac_bytes(p->left_count * p->left_matrix);
    }
    if (call.right == NULL && p->right_count > 0) {
        const struct ac_packing packing = {p, bound->buffers[p->right_param], (float *)spare};
        const uint64_t items = (uint64_t)(p->right_count * p->panels);
        ac_for(&e->pool, (struct ac_task){NULL, ac_pack_right, &packing, items, 1});
        call.right = packing.to;
    }
    ac_for(&e->pool, (struct ac_task){NULL, ac_multiply, &call, p->items, p->grain});
}

/* Runs a kernel loop by loop. */
static void ac_run_nest(struct ac_engine *e, ac_nest *nest, const struct ac_bound *bound,
                        int64_t items, int64_t grain)
{
    if (items > 0) {
        ac_for(&e->pool,
               (struct ac_task){nest, NULL, bound, (uint64_t)items, (uint64_t)grain});
    }
}

/* Runs a product while a context is made, with memory of its own; 0 where there is none. */
static inline int ac_run_once(struct ac_engine *e, const struct ac_product *p,
                              const struct ac_bound *bound)
{
    const int64_t bytes = e->transient + e->scratch * e->pool.threads;
    unsigned char *spare = aligned_alloc(64, (size_t)(bytes / 64 + 1) * 64);
    if (spare == NULL) {
        return 0;
    }
    ac_run_product(e, p, bound, spare);
    free(spare);
    return 1;
}
