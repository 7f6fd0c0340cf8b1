/* Runs the model `net` of the tests on memory between guard pages: alone and on threads, with a
 * workspace of its own and with given ones, in turn and at the same time. Prints the outputs. */
#define _GNU_SOURCE
#include "net.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { IN = BATCH * 3 * 13 * 13, OUT = BATCH * 10 };

static const int64_t shape[] = {BATCH, 3, 13, 13}, trips_shape[] = {0};
static const int64_t *const shapes[] = {shape, trips_shape};

/* Bytes that end, or begin, where memory that nobody may touch begins, or ends. */
static unsigned char *guarded(size_t bytes, int at_end)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page) / page * page;
    unsigned char *all = mmap(NULL, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + page, pages, PROT_READ | PROT_WRITE) != 0)
        exit(2);
    return at_end ? all + page + pages - bytes : all + page;
}

static unsigned mode(void)
{
#ifdef __x86_64__
    return __builtin_ia32_stmxcsr() & 0xffc0; /* without what has happened */
#else
    return 0;
#endif
}

struct call {
    net_context *context;
    float *out;
    int at_end, own;
};

static void *call(void *argument)
{
    const struct call *c = argument;
    const unsigned before = mode();
    float *x = (float *)guarded(IN * sizeof *x, c->at_end);
    int64_t *trips = (int64_t *)guarded(sizeof *trips, c->at_end);
    float *y = (float *)guarded(OUT * sizeof *y, c->at_end);
    unsigned char *workspace =
        c->own ? NULL : guarded((size_t)net_workspace(c->context), c->at_end);
    const void *inputs[] = {x, trips};
    void *outputs[] = {y};
    for (int i = 0; i < IN; i++)
        x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
    *trips = 3;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t got[2];
        int64_t *const got_shapes[] = {got};
        memset(y, 255, OUT * sizeof *y);
        if (workspace != NULL)
            memset(workspace, 255, (size_t)net_workspace(c->context));
        const int32_t status = net_run(c->context, inputs, outputs, got_shapes, workspace);
        if (status != 0 || got[0] != BATCH || got[1] != 10) {
            puts(net_error(status));
            exit(1);
        }
    }
    if (mode() != before) {
        puts("the floating-point mode is another one");
        exit(1);
    }
    memcpy(c->out, y, OUT * sizeof *y);
    return NULL;
}

int main(int argc, char **argv)
{
    static float first[OUT], out[2][OUT];
    (void)argc;
    for (int threads = 1; threads <= 2; threads++) {
        const struct net_options options = {threads, 1, argv[1]};
        net_context *context;
        const int32_t status = net_create(&context, shapes, &options);
        if (status != 0) {
            puts(net_error(status));
            return 1;
        }
        struct call calls[2] = {{context, out[0], 1, 1}, {context, out[1], 0, 0}};
        call(&calls[0]);
        if (threads == 1)
            memcpy(first, out[0], sizeof first);
        pthread_t other;
        if (pthread_create(&other, NULL, call, &calls[1]) != 0)
            return 2;
        call(&calls[0]);
        pthread_join(other, NULL);
        for (int i = 0; i < 2; i++)
            if (memcmp(first, out[i], sizeof first) != 0) {
                puts("two runs gave different numbers");
                return 1;
            }
        net_destroy(context);
    }
    const int64_t wrong_shape[] = {BATCH, 3, 13, 14};
    const int64_t *const wrong[] = {wrong_shape, trips_shape};
    net_context *none;
    if (net_create(&none, wrong, NULL) == 0 || none != NULL) {
        puts("a wrong shape was taken");
        return 1;
    }
    for (int i = 0; i < OUT; i++)
        printf("%.9g\n", (double)first[i]);
    return 0;
}
