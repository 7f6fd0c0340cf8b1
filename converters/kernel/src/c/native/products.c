/* Matrix products made ready for the threads of a context. SPDX-License-Identifier: 0BSD */

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
    l.zero = x->zeros[right];
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

/* Whether the rows of an operand are evenly apart and their elements together; the step. */
static int ac_are_even(const struct ac_layout *l, int64_t *step)
{
    int64_t together;
    return ac_evenly(l->inner, l->inners, &together) && together == 1 &&
           ac_evenly(l->outer, l->outers, step);
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
        /* Runs of bytes are copied, so that short ones do. */
        if (run < AC_SHORT && p->code->of_bytes == NULL) {
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
    if (kinds > most || p->m > most || taps > most || (taps > 0 && kinds * p->m > most / taps)) {
        return 0;
    }
    const int64_t entries = kinds * p->m * taps + AC_AT_ONCE;
    int32_t *table = ac_memory(e, entries * (int64_t)sizeof *table);
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

/* The offsets of all combinations of axes; NULL without memory. */
static int64_t *ac_offsets(struct ac_engine *e, const struct ac_step *axes, int64_t count)
{
    const int64_t n = ac_count(axes, count);
    int64_t *offsets = ac_memory(e, n * (int64_t)sizeof *offsets);
    for (int64_t i = 0; offsets != NULL && i < n; i++) {
        offsets[i] = ac_offset(axes, count, i);
    }
    return offsets;
}

/* The tables of a right operand: 1, 0 where offsets are too great, -1 without memory. */
static int ac_tables(struct ac_engine *e, struct ac_product *p, const struct ac_layout *right)
{
    const int width = p->code->width, lanes = p->code->lanes;
    const int64_t whole = (p->n + width - 1) / width * width;
    if (p->k > INT64_C(1) << 40 || whole > INT64_C(1) << 40) {
        return 0;
    }
    int64_t *rows = ac_offsets(e, right->inner, right->inners);
    int32_t *columns = ac_memory(e, whole * (int64_t)sizeof *columns);
    int32_t *lies = ac_memory(e, whole / lanes * (int64_t)sizeof *lies);
    if (rows == NULL || columns == NULL || lies == NULL) {
        return -1;
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

/* The packing of an operand as a whole; an item is a panel of the right one, or a row. Each thread
 * has memory of its own. What is taken away from bytes is there. */
struct ac_packing {
    const struct ac_product *p;
    const float *from;
    float *to;
    unsigned char *scratch;
    int64_t scratch_bytes;
    const void *zeros;
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

static int64_t ac_whole(int64_t n, int64_t of)
{
    return (n + of - 1) / of;
}

/* Bytes of floats up to a multiple of what the workspace is aligned to. */
static int64_t ac_bytes(int64_t floats)
{
    return ac_whole(floats * (int64_t)sizeof(float), 64) * 64;
}

/* Elements that are made float. */
struct ac_widening {
    ac_convert_code *code;
    struct ac_convert call;
};

static void ac_widen(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_widening *x = context;
    (void)me;
    x->code(&x->call, begin, end);
}

static void ac_widen_all(struct ac_engine *e, const struct ac_product *p, int which,
                         const void *from, float *to)
{
    const struct ac_widening x = {p->code->widen[p->short_floats[which] - 1], {from, to}};
    ac_for(&e->pool,
           (struct ac_task){NULL, ac_widen, &x, (uint64_t)p->elements[which], 16384});
}

/* A constant operand as float; NULL without memory. */
static const float *ac_widened(struct ac_engine *e, struct ac_product *p, int which,
                               const float *from)
{
    for (const struct ac_packed *old = e->packed; old != NULL; old = old->next) {
        if (old->from == from && old->layout == NULL && old->form == p->short_floats[which]) {
            return old->packed;
        }
    }
    float *to = ac_memory(e, p->elements[which] * (int64_t)sizeof *to);
    struct ac_packed *made = ac_memory(e, (int64_t)sizeof *made);
    if (to == NULL || made == NULL) {
        return NULL;
    }
    ac_widen_all(e, p, which, from, to);
    *made = (struct ac_packed){e->packed, from, to, NULL, p->short_floats[which]};
    e->packed = made;
    return to;
}

/* Packs an operand into memory of the context, or finds that it was; NULL without memory. A thread
 * needs so many bytes of scratch for it. */
static const float *ac_keep(struct ac_engine *e, struct ac_product *p, const float *from,
                            const struct ac_layout *layout, int64_t form, int64_t floats,
                            uint64_t items, ac_part *part, int64_t scratch)
{
    for (const struct ac_packed *old = e->packed; old != NULL; old = old->next) {
        if (old->from == from && old->form == form && old->layout != NULL &&
            memcmp(old->layout, layout, sizeof *layout) == 0) {
            return old->packed;
        }
    }
    float *to = ac_memory(e, floats * (int64_t)sizeof *to);
    struct ac_packed *made = ac_memory(e, (int64_t)sizeof *made);
    if (to == NULL || made == NULL) {
        return NULL;
    }
    unsigned char *spare = NULL;
    if (scratch > 0) {
        spare = aligned_alloc(64, (size_t)(scratch * e->pool.threads / 64 + 1) * 64);
        if (spare == NULL) {
            return NULL;
        }
    }
    const struct ac_packing packing = {p, from, to, spare, scratch, layout->zero.constant};
    ac_for(&e->pool, (struct ac_task){NULL, part, &packing, items, 1});
    free(spare);
    *made = (struct ac_packed){e->packed, from, to, layout, form};
    e->packed = made;
    return to;
}


static void ac_needs(struct ac_engine *e, int64_t transient, int64_t scratch)
{
    e->transient = e->transient < transient ? transient : e->transient;
    e->scratch = e->scratch < scratch ? scratch : e->scratch;
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
    ac_needs(e, p->wide_bytes + (right != NULL ? 0 : ac_bytes(p->right_matrix)), 0);
    if (right == NULL) {
        return 1;
    }
    p->right_packed = ac_keep(e, p, right, p->right_layout, -lanes, p->right_matrix,
                              (uint64_t)vectors, ac_pack_window, 0);
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
    p->left_inner = ac_offsets(e, p->left_layout->inner, p->left_layout->inners);
    if (p->left_inner == NULL) {
        return -1;
    }
    if (left == NULL) {
        return 1;
    }
    p->left_packed = ac_keep(e, p, left, p->left_layout, 0, p->left_count * p->left_matrix,
                             (uint64_t)(p->left_count * p->m), ac_pack_left, 0);
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
    int64_t transient = p->wide_bytes;
    transient += p->left_packed != NULL ? 0 : ac_bytes(p->left_count * p->left_matrix);
    p->right_count = 0;
    p->right_matrix = p->panels * width * p->k;
    if (right != NULL || few) {
        p->right_count = ac_count(p->right_layout->batch, p->right_layout->batches);
    }
    if (right != NULL) {
        p->right_packed = ac_keep(e, p, right, p->right_layout, width,
                                  p->right_count * p->right_matrix,
                                  (uint64_t)(p->right_count * p->panels), ac_pack_right, 0);
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

/* Prepares the operands of a product of floats, and cuts it. */
static int ac_plan_floats(struct ac_engine *e, struct ac_product *p, const struct ac_shape *x,
                          const float *left, const float *right)
{
    const struct ac_code *code = p->code;
    const struct ac_layout *l = p->left_layout, *r = p->right_layout;
    for (int i = 0; i < 3; i++) {
        p->short_floats[i] = x->short_floats[i];
        p->elements[i] = x->elements[i];
        const float *constant = i == 0 ? left : i == 1 ? right : NULL;
        if (p->short_floats[i] != 0 && constant != NULL) {
            p->wide[i] = ac_widened(e, p, i, constant);
            if (p->wide[i] == NULL) {
                return -1;
            }
        } else if (p->short_floats[i] != 0) {
            p->wide_bytes += ac_bytes(p->elements[i]);
        }
    }
    left = p->wide[0] != NULL ? p->wide[0] : left;
    right = p->wide[1] != NULL ? p->wide[1] : right;
    int done;
    int64_t step = 0;
    if (code->even != NULL) {
        const int evenly = ac_are_even(l, &step);
        done = ac_prepare_left(e, p, evenly, step, left);
    } else {
        done = ac_runs(e, p, x, l);
        /* The code of windows has room for so many. */
        done = done == 1 && code->window != NULL && p->taps > AC_TAPS ? 0 : done;
    }
    if (done != 1 || code->window != NULL) {
        return done == 1 ? ac_cut_window(e, p, right) : done;
    }
    if (code->tiles != NULL && code->tiles->pays(p, code->tiles, right != NULL)) {
        p->tiles = code->tiles;
        p->code = &p->tiles->plain;
        p->panels = ac_whole(p->n, p->code->width);
    }
    if (!ac_evenly(r->inner, r->inners, &p->right_row) ||
        !ac_evenly(r->outer, r->outers, &p->right_column)) {
        done = ac_tables(e, p, r);
    }
    if (done != 1) {
        return done;
    }
    return p->tiles != NULL ? p->tiles->cut(e, p, right) : ac_cut(e, p, right);
}

/* Makes a product ready; operands that are constants are given. Gives 1, 0 where the product has
 * to be done loop by loop, and -1 where there is no memory. */
AC_UNUSED
static int ac_plan(struct ac_engine *e, struct ac_product *p, const struct ac_code *code,
                   struct ac_shape *x, const float *left, const float *right)
{
    if (code->even == NULL && code->gathered == NULL && code->window == NULL &&
        code->of_bytes == NULL) {
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
    const int done = code->of_bytes != NULL ? code->of_bytes->plan(e, p, x, right)
                                            : ac_plan_floats(e, p, x, left, right);
    if (done != 1) {
        p->code = NULL;
    }
    return done;
}
