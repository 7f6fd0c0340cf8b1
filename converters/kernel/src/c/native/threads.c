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

/* What a program may have no use for. */
#define AC_UNUSED __attribute__((unused))

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

/* The bytes of the digest at the end of a file with weights. */
#define AC_DIGEST 32

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

/* Maps a file of so many bytes that ends with this digest, which tells it from the file of another
 * model or another version. */
static inline int ac_map(struct ac_engine *e, const char *path, int64_t bytes,
                         const char *digest)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *memory = MAP_FAILED;
    if (file < 0) {
        return 0;
    }
    if (fstat(file, &status) == 0 && status.st_size == bytes + AC_DIGEST) {
        memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    }
    close(file);
    if (memory == MAP_FAILED) {
        return 0;
    }
    e->weights = memory;
    e->weights_bytes = (size_t)status.st_size;
    return memcmp(e->weights + bytes, digest, AC_DIGEST) == 0;
}

/* Runs a kernel loop by loop. */
AC_UNUSED
static void ac_run_nest(struct ac_engine *e, ac_nest *nest, const struct ac_bound *bound,
                        int64_t items, int64_t grain)
{
    if (items > 0) {
        ac_for(&e->pool,
               (struct ac_task){nest, NULL, bound, (uint64_t)items, (uint64_t)grain});
    }
}
