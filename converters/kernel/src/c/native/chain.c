/* Chains: a product, a kernel that does something with its rows, and a product of these rows. They
 * are done in blocks of rows, so that what lies between them stays in the cache of the thread that
 * makes it. SPDX-License-Identifier: 0BSD */

/* A chain that is ready to run. */
struct ac_chain {
    const struct ac_product *first, *second;
    /* Parameters of the kernel in the middle: what it reads and makes of rows, and how many. */
    int read, kept, params;
    /* Rows of a block, and blocks of a product. */
    int64_t rows, parts;
    /* Floats of packed right operands, and of a block of what lies between. */
    int64_t keys, values, between;
    uint64_t items, grain;
};

/* Decides on the blocks of a chain of products that are ready. */
static void ac_plan_chain(struct ac_engine *e, struct ac_chain *c, const struct ac_product *first,
                          const struct ac_product *second, int read, int kept, int params)
{
    const int64_t threads = e->pool.threads, tile = first->code->rows;
    *c = (struct ac_chain){first, second, read, kept, params, 0, 0, 0, 0, 0, 0, 0};
    /* A few blocks for each thread. */
    const int64_t parts = ac_whole(2 * threads, first->batches);
    int64_t rows = threads > 1 ? ac_whole(first->m, parts) : first->m;
    rows = rows > ac_chain_rows ? rows : ac_chain_rows;
    int64_t room = ac_chain_between / 8 / first->n;
    room = room > ac_chain_rows ? room : ac_chain_rows;
    rows = ac_whole(rows < room ? rows : room, tile) * tile;
    c->rows = rows < first->m ? rows : first->m;
    c->parts = ac_whole(first->m, c->rows);
    c->items = (uint64_t)(first->batches * c->parts);
    /* The blocks of one product together where there are enough of them, as each time its right
     * operands are packed anew. */
    c->grain = first->batches >= 2 * threads ? (uint64_t)c->parts : 1;
    c->keys = ac_whole(first->panels * first->code->width * first->k, 16) * 16;
    c->values = ac_whole(second->panels * second->code->width * second->k, 16) * 16;
    c->between = ac_whole(c->rows * first->n + 16, 16) * 16;
    ac_needs(e, 0, ac_bytes(c->keys + c->values + 2 * c->between));
}

/* A run of a chain. */
struct ac_linked {
    const struct ac_chain *c;
    ac_nest *middle;
    const struct ac_bound *bounds;
    const float *left;
    unsigned char *scratch;
    int64_t scratch_bytes;
};

static void ac_blocks(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_linked *x = context;
    const struct ac_chain *c = x->c;
    const struct ac_product *a = c->first, *b = c->second;
    float *keys = (float *)(x->scratch + me * x->scratch_bytes);
    float *values = keys + c->keys, *made = values + c->values, *kept = made + c->between;
    void *buffers[AC_PARAMS];
    memcpy(buffers, x->bounds[1].buffers, (size_t)c->params * sizeof *buffers);
    const struct ac_bound middle = {buffers, x->bounds[1].sizes, x->bounds[1].status};
    int64_t packed = -1;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        const int64_t batch = item / c->parts, m0 = item % c->parts * c->rows;
        const int64_t m1 = m0 + c->rows < a->m ? m0 + c->rows : a->m;
        struct ac_place here, there;
        ac_locate(a, &x->bounds[0], batch, &here);
        ac_locate(b, &x->bounds[2], batch, &there);
        if (packed != batch) {
            ac_panels(a, ac_at(x->bounds[0].buffers[a->right_param], here.right), keys, 0,
                      a->panels);
            ac_panels(b, ac_at(x->bounds[2].buffers[b->right_param], there.right), values, 0,
                      b->panels);
            packed = batch;
        }
        /* Where all rows would begin, so that those of this block are in its memory. */
        const int64_t first = batch * a->m + m0;
        buffers[c->read] = ac_at(made, -(first * a->n));
        buffers[c->kept] = ac_at(kept, -(first * a->n));
        const float *left = x->left != NULL
                                ? x->left + here.left_matrix * a->left_matrix
                                : ac_at(x->bounds[0].buffers[a->left_param], here.left);
        a->code->even(left, a->left_rows, keys, ac_at(buffers[c->read], here.out), a->n, m0, m1, 0,
                      a->n, a->k, 0, here.args);
        x->middle(&middle, (uint64_t)first, (uint64_t)(first + m1 - m0));
        b->code->even(ac_at(buffers[c->kept], there.left), b->k, values,
                      ac_at(x->bounds[2].buffers[b->out_param], there.out), b->out_rows, m0, m1, 0,
                      b->n, b->k, 0, there.args);
    }
}

/* Runs a chain, of launches with these bounds; `spare` is the memory of the run after that of the
 * program. */
static void ac_run_chain(struct ac_engine *e, const struct ac_chain *c, ac_nest *middle,
                         const struct ac_bound *bounds, unsigned char *spare)
{
    const struct ac_product *a = c->first;
    struct ac_linked x = {c, middle, bounds, a->left_packed, spare + e->transient, e->scratch};
    if (x.left == NULL && a->left_count > 0) {
        const struct ac_packing packing = {
            a, bounds[0].buffers[a->left_param], (float *)spare, NULL, 0, NULL};
        ac_pack_left(&packing, 0, (uint64_t)(a->left_count * a->m), 0);
        x.left = packing.to;
    }
    ac_for(&e->pool, (struct ac_task){NULL, ac_blocks, &x, c->items, c->grain});
}
