/* Runs of matrix products that are ready. SPDX-License-Identifier: 0BSD */

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
    /* Both operands and the result where they lie as float. */
    float *plain[3];
};

/* Rows and columns of a product. */
struct ac_area {
    int64_t m0, m1, n0, n1;
};

/* A part of a product of a left operand and of panels of the right one. */
static void ac_rows(const struct ac_product *p, const struct ac_place *at, const float *a,
                    const float *panels, float *c, struct ac_area x)
{
    if (p->code->even != NULL) {
        p->code->even(a, p->left_rows, panels, c, p->out_rows, x.m0, x.m1, x.n0, x.n1, p->k, 0,
                      at->args);
    } else {
        const struct ac_gathered call = {a,        panels,      c,       at->args, at->table,
                                         p->zeros, p->out_rows, p->taps, p->run};
        p->code->gathered(&call, x.m0, x.m1, x.n0, x.n1);
    }
}

/* Rows and columns of an item, which are those of whole panels, and where its product is. */
static struct ac_area ac_area_of(const struct ac_product *p, const struct ac_bound *bound,
                                 int64_t item, struct ac_place *at)
{
    const int64_t part = item % p->parts, rest = item / p->parts, width = p->code->width;
    const int64_t first = rest % p->groups * p->group;
    const int64_t m1 = (part + 1) * p->tall, n1 = (first + p->group) * width;
    ac_locate(p, bound, rest / p->groups, at);
    return (struct ac_area){part * p->tall, m1 < p->m ? m1 : p->m, first * width,
                            n1 < p->n ? n1 : p->n};
}

static void ac_multiply(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_call *x = context;
    const struct ac_product *p = x->p;
    const int64_t width = p->code->width;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        struct ac_place at;
        const struct ac_area area = ac_area_of(p, x->bound, item, &at);
        const float *a = x->left != NULL
                             ? x->left + at.left_matrix * p->left_matrix
                             : ac_at(x->plain[0], at.left);
        float *c = ac_at(x->plain[2], at.out);
        const float *panels;
        if (x->right != NULL) {
            panels = x->right + at.right_matrix * p->right_matrix;
        } else {
            float *to = ac_at((float *)(x->scratch + me * x->scratch_bytes), -(area.n0 * p->k));
            ac_panels(p, ac_at(x->plain[1], at.right), to, area.n0 / width,
                      ac_whole(area.n1, width));
            panels = to;
        }
        ac_rows(p, &at, a, panels, c, area);
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
        const struct ac_window call = {ac_at(x->plain[0], at.left),
                                       x->right,
                                       ac_at(x->plain[2], at.out),
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

/* Narrows the result of a product of the batch for each item. */
static void ac_narrow_result(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_call *x = context;
    const struct ac_product *p = x->p;
    const int together = p->out_rows == p->n;
    const int64_t rows = together ? 1 : p->m, columns = together ? p->m * p->n : p->n;
    (void)me;
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        struct ac_place at;
        ac_locate(p, x->bound, item, &at);
        for (int64_t row = 0; row < rows; row++) {
            const int64_t first = at.out + row * p->out_rows;
            const struct ac_convert call = {ac_at(x->plain[2], first),
                                            ac_move(x->bound->buffers[p->out_param], first, 2)};
            p->code->narrow[p->short_floats[2] - 1](&call, 0, (uint64_t)columns);
        }
    }
}

/* Runs a product that is ready; `spare` is the memory of the run after that of the program. */
AC_UNUSED
static void ac_run_product(struct ac_engine *e, const struct ac_product *p,
                           const struct ac_bound *bound, unsigned char *spare)
{
    struct ac_call call = {p, bound, p->left_packed, p->right_packed, spare + e->transient,
                           e->scratch, {NULL, NULL, NULL}};
    const int params[3] = {p->left_param, p->right_param, p->out_param};
    if (p->items == 0) {
        return;
    }
    if (p->code->of_bytes != NULL) {
        p->code->of_bytes->run(e, p, bound, spare);
        return;
    }
    for (int i = 0; i < 3; i++) {
        call.plain[i] = bound->buffers[params[i]];
        if (p->wide[i] != NULL) {
            call.plain[i] = (float *)(uintptr_t)p->wide[i];
        } else if (p->short_floats[i] != 0) {
            call.plain[i] = (float *)spare;
            spare += ac_bytes(p->elements[i]);
            if (i < 2) {
                ac_widen_all(e, p, i, bound->buffers[params[i]], call.plain[i]);
            }
        }
    }
    if (p->code->window != NULL) {
        if (call.right == NULL) {
            const struct ac_packing packing = {p, call.plain[1], (float *)spare, NULL, 0, NULL};
            ac_pack_window(&packing, 0, (uint64_t)ac_whole(p->n, p->code->lanes), 0);
            call.right = packing.to;
        }
        ac_for(&e->pool, (struct ac_task){NULL, ac_windows, &call, p->items, p->grain});
    } else {
        if (call.left == NULL && p->left_count > 0) {
            const struct ac_packing packing = {p, call.plain[0], (float *)spare, NULL, 0, NULL};
            ac_pack_left(&packing, 0, (uint64_t)(p->left_count * p->m), 0);
            call.left = packing.to;
            spare += ac_bytes(p->left_count * p->left_matrix);
        }
        if (call.right == NULL && p->right_count > 0) {
            const struct ac_packing packing = {p, call.plain[1], (float *)spare, call.scratch,
                                               e->scratch, NULL};
            const uint64_t items = (uint64_t)(p->right_count * p->panels);
            ac_part *part = p->tiles != NULL ? p->tiles->pack_right : ac_pack_right;
            ac_for(&e->pool, (struct ac_task){NULL, part, &packing, items, 1});
            call.right = packing.to;
        }
        ac_part *part = p->tiles != NULL ? p->tiles->multiply : ac_multiply;
        ac_for(&e->pool, (struct ac_task){NULL, part, &call, p->items, p->grain});
    }
    if (p->short_floats[2] != 0) {
        const int64_t each = p->m * p->n;
        const uint64_t grain = each > 16384 ? 1 : (uint64_t)(16384 / each);
        ac_for(&e->pool,
               (struct ac_task){NULL, ac_narrow_result, &call, (uint64_t)p->batches, grain});
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
