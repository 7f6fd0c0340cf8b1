/* Matrix products of bytes. SPDX-License-Identifier: 0BSD */

/* ---- Bytes less their zero points are multiplied in groups of four along what is summed, or as
 * two numbers of 16 bits, and added up exactly in 32 bits. Bytes are unsigned on the left and
 * signed on the right; what they are not is made up for where sums become results. The right
 * operand is packed as a whole: panels of columns, then for each column the sum of what was packed,
 * then what is left of its zero point. The left one is packed in blocks of rows, unless rows can be
 * read where they are. ---- */

/* What is added to signed bytes to make them unsigned ones. */
enum { AC_OFFSET = 128 };

/* Some numbers at once. */
typedef unsigned char ac_bytes_8 __attribute__((vector_size(8)));
typedef int16_t ac_words_8 __attribute__((vector_size(16)));

/* A run of a product of bytes. */
struct ac_byte_call {
    const struct ac_product *p;
    const struct ac_bound *bound;
    const void *right;
    unsigned char *scratch;
    int64_t scratch_bytes;
    /* Zero points of the right operand where some are left, and of the left one as unsigned. */
    const int32_t *zeros;
    int32_t zero;
};

/* A byte as a number. */
static int32_t ac_byte(const void *p, int64_t at, int is_signed)
{
    const unsigned char *byte = ac_move(p, at, 1);
    return is_signed ? (*byte ^ AC_OFFSET) - AC_OFFSET : *byte;
}

/* The zero point of a column; elements are looked for there. */
static int32_t ac_zero_point(const struct ac_zero *z, const void *there, int64_t column,
                             int is_signed)
{
    if (!z->is_element) {
        return (int32_t)z->at;
    }
    return ac_byte(there, z->at + ac_offset(z->columns, z->axes, column), is_signed);
}

/* Where elements of zero points are in a run. */
static const void *ac_zeros_there(const struct ac_zero *z, const struct ac_bound *bound)
{
    return z->is_element ? bound->buffers[z->param] : NULL;
}

/* Columns of all matrices of the right operand, with those that fill up panels. */
static int64_t ac_right_columns(const struct ac_product *p)
{
    return p->right_count * p->panels * p->code->width;
}

/* The sums of the columns of a packed right operand, and the zero points that are left. */
static int32_t *ac_totals(const struct ac_product *p, const void *packed)
{
    return ac_move(packed, p->right_count * p->right_matrix, 1);
}

static int32_t *ac_zeros(const struct ac_product *p, const void *packed)
{
    return ac_totals(p, packed) + ac_right_columns(p);
}

/* Whether some are. */
static int ac_some_zeros(const struct ac_product *p, const void *packed)
{
    const int32_t *zeros = ac_zeros(p, packed);
    uint32_t some = 0;
    for (int64_t i = 0; i < ac_right_columns(p); i++) {
        some |= (uint32_t)zeros[i];
    }
    return some != 0;
}

/* Packs column `c` of a panel, whose elements lie so from there on. Gives its sum, and puts what is
 * left of its zero point in place of that. */
static int32_t ac_pack_column(const struct ac_product *p, const void *from, int64_t c,
                              unsigned char *panel, int32_t *zero)
{
    const int words = p->code->of_bytes->words, is_signed = p->code->of_bytes->is_signed[1];
    const int64_t *rows = p->tables.rows, width = p->code->width;
    int32_t low = INT32_MAX, high = INT32_MIN, less = *zero;
    uint32_t sum = 0;
    for (int64_t k = 0; k < p->k; k++) {
        const int32_t x = ac_byte(from, rows[k], is_signed);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    if (!words && (low - *zero < -AC_OFFSET || high - *zero >= AC_OFFSET)) {
        less = is_signed ? 0 : AC_OFFSET;
    }
    *zero -= less;
    for (int64_t k = 0; k < p->k; k++) {
        const int32_t x = ac_byte(from, rows[k], is_signed) - less;
        sum += (uint32_t)x;
        if (words) {
            const int16_t word = (int16_t)x;
            memcpy(panel + (k / 2 * width + c) * 4 + k % 2 * 2, &word, sizeof word);
        } else {
            panel[(k / 4 * width + c) * 4 + k % 4] = (unsigned char)x;
        }
    }
    return (int32_t)sum;
}

static void ac_pack_bytes(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_packing *x = context;
    const struct ac_product *p = x->p;
    const struct ac_layout *l = p->right_layout;
    const int64_t width = p->code->width, bytes = p->steps * 4 * width;
    const int is_signed = p->code->of_bytes->is_signed[1];
    (void)me;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t first = i % p->panels * width;
        const int64_t base = l->base + ac_offset(l->batch, l->batches, i / p->panels);
        unsigned char *panel = ac_move(x->to, i * bytes, 1);
        int32_t *totals = ac_totals(p, x->to) + i * width, *zeros = ac_zeros(p, x->to) + i * width;
        memset(panel, 0, (size_t)bytes);
        for (int64_t c = 0; c < width; c++) {
            totals[c] = zeros[c] = 0;
            const int64_t column = first + c;
            if (column < p->n) {
                const int64_t at = base + ac_offset(l->outer, l->outers, column);
                zeros[c] = ac_zero_point(&l->zero, x->zeros, column, is_signed);
                totals[c] = ac_pack_column(p, ac_move(x->from, at, 1), c, panel, &zeros[c]);
            }
        }
    }
}

/* Adds bytes to a packed row, or zero points where there are none; gives where it goes on. */
static unsigned char *ac_add_bytes(const struct ac_byte_call *x, const unsigned char *from,
                                   int64_t count, unsigned char *to)
{
    const struct ac_of_bytes *code = x->p->code->of_bytes;
    const unsigned char flip = code->is_signed[0] ? AC_OFFSET : 0;
    const int64_t size = code->words ? 2 : 1;
    if (from == NULL) {
        memset(to, code->words ? 0 : x->zero, (size_t)(size * count));
        return to + size * count;
    }
    int64_t i = 0;
    for (ac_bytes_8 some; i + 8 <= count; i += 8) {
        memcpy(&some, from + i, sizeof some);
        some ^= flip;
        if (code->words) {
            const ac_words_8 words = __builtin_convertvector(some, ac_words_8) - (int16_t)x->zero;
            memcpy(to + 2 * i, &words, sizeof words);
        } else {
            memcpy(to + i, &some, sizeof some);
        }
    }
    for (; i < count; i++) {
        const int16_t word = (int16_t)((from[i] ^ flip) - x->zero);
        if (code->words) {
            memcpy(to + 2 * i, &word, sizeof word);
        } else {
            to[i] = from[i] ^ flip;
        }
    }
    return to + size * count;
}

/* The sum of unsigned bytes. */
static uint32_t ac_sum_bytes(const unsigned char *row, int64_t count)
{
    const uint64_t low = UINT64_C(0x00ff00ff00ff00ff), ones = UINT64_C(0x0001000100010001);
    uint64_t sum = 0;
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t eight;
        memcpy(&eight, row + i, sizeof eight);
        sum += ((eight & low) + (eight >> 8 & low)) * ones >> 48;
    }
    for (; i < count; i++) {
        sum += row[i];
    }
    return (uint32_t)sum;
}

/* Some rows of the left operand where they can be multiplied, and what is left of their sums where
 * that is asked for. */
static const unsigned char *ac_byte_rows(const struct ac_byte_call *x, const struct ac_place *at,
                                         int64_t m0, int64_t m1, unsigned char *to, int32_t *rests)
{
    const struct ac_product *p = x->p;
    const unsigned char *from = ac_move(x->bound->buffers[p->left_param], at->left, 1);
    const int64_t step = p->packed_rows != 0 ? p->packed_rows : p->left_rows;
    const unsigned char *rows = to;
    if (p->packed_rows == 0) {
        rows = ac_move(from, m0 * step, 1);
    } else if (p->table == NULL) {
        for (int64_t m = m0; m < m1; m++) {
            ac_add_bytes(x, ac_move(from, m * p->left_rows, 1), p->k, to + (m - m0) * step);
        }
    } else {
        const int32_t *entry = at->table + m0 * p->taps;
        for (int64_t m = m0; m < m1; m++) {
            unsigned char *row = to + (m - m0) * step;
            for (int64_t tap = 0; tap < p->taps; tap++, entry++) {
                const int is_there = *entry != AC_PADDING;
                row = ac_add_bytes(x, is_there ? ac_move(from, *entry, 1) : NULL, p->run, row);
            }
        }
    }
    for (int64_t r = 0; x->zeros != NULL && r < m1 - m0; r++) {
        const uint32_t less = (uint32_t)x->zero * (uint32_t)p->k;
        rests[r] = (int32_t)(ac_sum_bytes(rows + r * step, p->k) - less);
    }
    return rows;
}

static void ac_multiply_bytes(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_byte_call *x = context;
    const struct ac_product *p = x->p;
    const struct ac_of_bytes *code = p->code->of_bytes;
    const int64_t width = p->code->width;
    const int64_t lda = p->packed_rows != 0 ? p->packed_rows : p->left_rows;
    unsigned char *room = x->scratch + me * x->scratch_bytes;
    int32_t *rests = (int32_t *)(room + p->room.rows), *sums = (int32_t *)(room + p->room.sums);
    for (int64_t item = (int64_t)begin; item < (int64_t)end; item++) {
        struct ac_place at;
        const struct ac_area area = ac_area_of(p, x->bound, item, &at);
        const int64_t columns = at.right_matrix * p->panels * width;
        const unsigned char *panels = ac_move(x->right, at.right_matrix * p->right_matrix, 1);
        struct ac_finish call = {
            .sums = sums,
            .totals = ac_totals(p, x->right) + columns,
            .zeros = x->zeros != NULL ? x->zeros + columns : NULL,
            .c = ac_move(x->bound->buffers[p->out_param], at.out, code->size),
            .args = at.args,
            .ldc = p->out_rows,
            .end = area.n1,
            .zero = -(int64_t)x->zero,
        };
        for (int64_t m0 = area.m0, m1; m0 < area.m1; m0 = m1) {
            m1 = m0 + code->block < area.m1 ? m0 + code->block : area.m1;
            const unsigned char *rows = ac_byte_rows(x, &at, m0, m1, room, rests);
            for (call.column = area.n0; call.column < area.n1; call.column += width) {
                const unsigned char *panel = panels + call.column * p->steps * 4;
                for (call.row = m0; call.row < m1; call.row += call.rows) {
                    const unsigned char *a = rows + (call.row - m0) * lda;
                    call.rows = code->sums(m1 - call.row, a, lda, panel, p->steps, sums);
                    call.rests = rests + (call.row - m0);
                    code->finish(&call);
                }
            }
        }
    }
}

/* Cuts a product into items: parts of rows, and where there are few of them of columns. */
static void ac_cut_bytes(const struct ac_engine *e, struct ac_product *p)
{
    const int64_t threads = e->pool.threads, rows = p->code->rows;
    const double operations =
        2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batches;
    const int busy = threads > 1 && operations > 8 * ac_grain;
    const int64_t wanted = busy ? threads * 2 : 1, all = p->panels * p->batches;
    p->group = p->panels;
    p->tall = p->m;
    if (p->m >= wanted * p->code->of_bytes->block || all < wanted) {
        p->tall = ac_whole(ac_whole(p->m, rows), ac_whole(wanted, p->batches)) * rows;
    } else {
        const int64_t some = all / wanted;
        p->group = some < p->panels ? some : p->panels;
    }
    p->groups = ac_whole(p->panels, p->group);
    p->parts = ac_whole(p->m, p->tall);
    p->items = (uint64_t)(p->batches * p->groups * p->parts);
    const double each = operations / (double)p->items;
    p->grain = busy ? (uint64_t)(each > 4 * ac_grain ? 1 : 4 * ac_grain / each) : p->items;
}

/* Makes a product of bytes ready; 1, 0 or -1 as for all products. */
static int ac_plan_bytes(struct ac_engine *e, struct ac_product *p, const struct ac_shape *x,
                         const float *right)
{
    const struct ac_of_bytes *code = p->code->of_bytes;
    const struct ac_layout *l = p->right_layout;
    const int64_t width = p->code->width;
    const int evenly = x->guards == 0 && ac_are_even(p->left_layout, &p->left_rows);
    const int done = evenly ? 1 : ac_runs(e, p, x, p->left_layout);
    if (done != 1) {
        return done;
    }
    p->tables.rows = ac_offsets(e, l->inner, l->inners);
    if (p->tables.rows == NULL) {
        return -1;
    }
    p->steps = ac_whole(p->k, code->words ? 2 : 4);
    if (!evenly || code->words || code->is_signed[0] || p->k % 4 != 0) {
        /* Not a multiple of what caches are confused by. */
        p->packed_rows = p->steps * 4 % 1024 == 0 ? p->steps * 4 + 64 : p->steps * 4;
    }
    p->right_matrix = p->panels * width * p->steps * 4;
    p->right_count = ac_count(l->batch, l->batches);
    const int64_t panels = p->right_count * p->panels;
    const int64_t floats = p->right_count * p->right_matrix / 4 + 2 * panels * width;
    const int is_known = right != NULL && (!l->zero.is_element || l->zero.constant != NULL);
    if (is_known) {
        p->right_packed = ac_keep(e, p, right, l, width, floats, (uint64_t)panels, ac_pack_bytes, 0);
        if (p->right_packed == NULL) {
            return -1;
        }
        p->has_zeros = ac_some_zeros(p, p->right_packed);
    }
    ac_cut_bytes(e, p);
    const int64_t block = p->tall < code->block ? p->tall : code->block;
    p->room.rows = ac_bytes(ac_whole(block * p->packed_rows, 4));
    p->room.sums = p->room.rows + ac_bytes(block);
    p->room.end = p->room.sums + ac_bytes(p->code->rows * width);
    ac_needs(e, is_known ? 0 : ac_bytes(floats), p->room.end);
    return 1;
}

/* Runs a product of bytes that is ready. */
static void ac_run_bytes(struct ac_engine *e, const struct ac_product *p,
                         const struct ac_bound *bound, unsigned char *spare)
{
    const struct ac_zero *left = &p->left_layout->zero, *right = &p->right_layout->zero;
    const int is_signed = p->code->of_bytes->is_signed[0];
    const int32_t zero = ac_zero_point(left, ac_zeros_there(left, bound), 0, is_signed);
    struct ac_byte_call call = {p, bound, p->right_packed, spare + e->transient, e->scratch,
                                NULL, is_signed ? zero + AC_OFFSET : zero};
    int has_zeros = p->has_zeros;
    if (call.right == NULL) {
        const struct ac_packing packing = {p, bound->buffers[p->right_param], (float *)spare,
                                           NULL, 0, ac_zeros_there(right, bound)};
        const uint64_t items = (uint64_t)(p->right_count * p->panels);
        ac_for(&e->pool, (struct ac_task){NULL, ac_pack_bytes, &packing, items, 1});
        call.right = spare;
        has_zeros = ac_some_zeros(p, spare);
    }
    call.zeros = has_zeros ? ac_zeros(p, call.right) : NULL;
    ac_for(&e->pool, (struct ac_task){NULL, ac_multiply_bytes, &call, p->items, p->grain});
}
