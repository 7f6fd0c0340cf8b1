/* Runs the model `net` of a test: twice at the same time, each with a context and
 * memory of its own that ends where nobody may write. Reads the inputs from `in` and writes the
 * outputs to `out`. `sizes.h` says how many bytes there are. */
#define _GNU_SOURCE
#include "net.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sizes.h"

static unsigned char *guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page) / page * page;
    unsigned char *all = mmap(NULL, pages + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all, pages, PROT_READ | PROT_WRITE) != 0)
        exit(2);
    return all + pages - bytes;
}

static void *run(void *argument)
{
    net_context *const context = argument;
    const size_t bytes = ((size_t)net_workspace(context) + 63) / 64 * 64;
    unsigned char *const workspace = guarded(bytes);
    const void *inputs[NET_INPUTS];
    void **const outputs = malloc(NET_OUTPUTS * sizeof *outputs);
    FILE *const in = fopen("in", "rb");
    for (int i = 0; in != NULL && i < NET_INPUTS; i++) {
        void *const x = guarded(in_bytes[i]);
        if (fread(x, 1, in_bytes[i], in) != in_bytes[i])
            exit(3);
        inputs[i] = x;
    }
    for (int i = 0; i < NET_OUTPUTS; i++)
        outputs[i] = guarded(out_bytes[i]);
    for (int round = 0; round < 3; round++) {
        memset(workspace, 255, bytes);
        for (int i = 0; i < NET_OUTPUTS; i++)
            memset(outputs[i], 255, out_bytes[i]);
        const int32_t status = net_run(context, inputs, outputs, NULL, workspace);
        if (status != 0) {
            puts(net_error(status));
            exit(1);
        }
    }
    fclose(in);
    return outputs;
}

int main(int argc, char **argv)
{
    const struct net_options options = {argc > 1 ? atoi(argv[1]) : 1, 0, NULL};
    net_context *contexts[2];
    pthread_t threads[2];
    void **got[2];
    for (int i = 0; i < 2; i++) {
        if (net_create(&contexts[i], shapes, &options) != 0)
            return 4;
    }
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, run, contexts[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], (void **)&got[i]);
    FILE *const out = fopen("out", "wb");
    for (int i = 0; i < NET_OUTPUTS; i++) {
        if (memcmp(got[0][i], got[1][i], out_bytes[i]) != 0) {
            puts("two contexts give different numbers");
            return 1;
        }
        if (out == NULL || fwrite(got[0][i], 1, out_bytes[i], out) != out_bytes[i])
            return 5;
    }
    fclose(out);
    for (int i = 0; i < 2; i++) {
        free(got[i]);
        net_destroy(contexts[i]);
    }
    return 0;
}
