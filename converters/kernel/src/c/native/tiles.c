/* Matrix products on AMX tiles. SPDX-License-Identifier: 0BSD */

/* ---- Floats are sums of planes of bf16, and their products sums of products of planes, which
 * tiles add up. Where the planes of some rows are not exact (their numbers are not finite, very
 * large or very small) those rows are done with vectors. Numbers that begin with `ac_tile` are
 * those of the code that is called here. ---- */

/* How large numbers are, as the bits of floats without sign: the least of the largest numbers of
 * each row or column that is not all zeros, the largest number of all, and the bits of any. */
struct ac_range {
    uint32_t low, high, bits;
};

/* Rows of a left operand that are split. */
struct ac_split_rows {
    const float *a;
    unsigned char *out;
    struct ac_range *range;
    const int32_t *table;
    const float *zeros;
    float *rows;
    int64_t lda, k, taps, run, chunks;
};

/* Panels of a right operand that are split. */
struct ac_split_panels {
    const float *b;
    unsigned char *out;
    struct ac_range *ranges;
    float *scales;
    int64_t k, chunks;
};

/* A product of planes. */
struct ac_tile_call {
    const unsigned char *a, *b;
    const float *scales;
    float *c;
    const void *args;
    ac_kernel_code *kernel;
    unsigned char *sums;
    int64_t next_sums, ldc, chunks, begin, end, piece, variant;
};

static const struct ac_range ac_range_none = {UINT32_MAX, 0, 0};

static struct ac_range ac_range_of(const struct ac_range *ranges, int64_t count)
{
    struct ac_range all = ac_range_none;
    for (int64_t i = 0; i < count; i++) {
        all.low = ranges[i].low < all.low ? ranges[i].low : all.low;
        all.high = ranges[i].high > all.high ? ranges[i].high : all.high;
        all.bits |= ranges[i].bits;
    }
    return all;
}

/* Whether a product of sums of `k` products is as exact over planes as it should be. */
static int ac_exact(struct ac_range left, struct ac_range right, int64_t k)
{
    const uint32_t infinite = 0x7f800000;
    if (left.high >= infinite || right.high >= infinite) {
        return 0;
    }
    if (left.low == UINT32_MAX || right.low == UINT32_MAX) {
        return 1;
    }
    const int64_t low[2] = {left.low >> 23, right.low >> 23};
    const int64_t high[2] = {left.high >> 23, right.high >> 23};
    int64_t length = 0;
    for (int64_t rest = k < 1 ? 1 : k; rest > 0; rest >>= 1) {
        length++;
    }
    return high[0] + high[1] - 254 + length + 2 <= 126 && low[0] + low[1] - 254 >= -90 &&
           (low[0] < low[1] ? low[0] : low[1]) >= 27 &&
           (high[0] > high[1] ? high[0] : high[1]) <= 252;
}

/* How many planes are not all zeros, of so many. */
static int64_t ac_planes(struct ac_range range, int64_t planes)
{
    const int64_t some = (range.bits & 0xffff) == 0 ? 1 : (range.bits & 0xff) == 0 ? 2 : 3;
    return some < planes ? some : planes;
}

/* The number of the kernel for operands of such planes. */
static int64_t ac_variant(struct ac_range left, struct ac_range right, int64_t planes)
{
    return (ac_planes(left, planes) - 1) * planes + ac_planes(right, planes) - 1;
}

/* Whether tiles are faster by estimate: the time of each way in cycles of one core. */
static int ac_tiles_pay(const struct ac_product *p, const struct ac_tiles *t, int constant)
{
    if (ac_cost_always) {
        return 1;
    }
    if (p->m < 4 || p->n < 16 || p->k < 16) {
        return 0;
    }
    const int64_t run = p->run;
    const double m = (double)p->m, n = (double)p->n, k = (double)p->k;
    const double bytes = t->weights > ac_cost_cached ? ac_cost_far : ac_cost_near;
    const double long_k = (double)(ac_whole(p->k, ac_tile_chunk) * ac_tile_chunk);
    const double vectors = m * (double)ac_whole(p->n, 16), wide = (double)(ac_whole(p->n, 16) * 16);
    const double low = ceil(m / ac_cost_fma_rows) * ac_cost_fma_rows;
    const double tall = (double)(ac_whole(p->m, 16) * 16);
    const double split = run == 0                   ? ac_cost_split
                         : run % ac_tile_chunk == 0 ? ac_cost_split_runs
                                                    : ac_cost_split_uneven;
    double plain = low * n * k / ac_cost_fma;
    double tiles = tall * wide * long_k * (double)t->products / ac_cost_tiles;
    if (constant) {
        plain = fmax(plain, k * n * 4.0 / bytes);
        /* Rows that cannot be cut are done in blocks that fit a cache, each with all columns. */
        const double planes = 2.0 * (double)t->planes;
        const double again = run % ac_tile_chunk == 0
                                 ? 1.0
                                 : ceil(tall * long_k * planes / (double)ac_tile_block);
        tiles = fmax(tiles, again * k * n * planes / bytes);
    } else {
        plain += k * n * ac_cost_pack;
        tiles += long_k * wide * (ac_cost_pack + ac_cost_split);
    }
    plain += vectors * ac_cost_store;
    tiles += m * long_k * split + vectors * (ac_cost_finish + (t->is_long ? ac_cost_long : 0.0)) +
             tall * wide / 1024.0 * ac_cost_block + ac_cost_start;
    return tiles / plain < ac_cost_most;
}

/* Bytes of the planes of a tile of rows, or of one half of a panel, over so many chunks. */
static int64_t ac_strip(const struct ac_product *p, int64_t chunks)
{
    return chunks * p->tiles->planes * ac_tile_bytes;
}

/* Bytes of the planes of a panel. */
static int64_t ac_panel(const struct ac_product *p)
{
    return 2 * ac_strip(p, p->chunks);
}

static int64_t ac_tiles_of(int64_t rows)
{
    return ac_whole(rows, ac_tile_rows);
}

/* Bytes of the sums of so many tiles of rows. */
static int64_t ac_sums(int64_t tiles)
{
    return ac_whole(tiles, 2) * 2 * ac_tile_rows * ac_tile_columns * (int64_t)sizeof(float);
}

/* Makes planes of panels of a right operand, with their scales and ranges. */
static void ac_split_right(const struct ac_product *p, const float *panels, unsigned char *out,
                           float *scales, struct ac_range *ranges, int64_t begin, int64_t end)
{
    const struct ac_split_panels call = {panels, out, ranges, scales, p->k, p->chunks};
    p->tiles->right(&call, (uint64_t)begin, (uint64_t)end);
}

/* Where the scales and the ranges of a right operand begin that is split as a whole: after the
 * planes of all panels. */
static float *ac_scales(const struct ac_product *p, const void *planes)
{
    return ac_move(planes, p->right_count * p->right_matrix, 1);
}

static struct ac_range *ac_ranges(const struct ac_product *p, const void *planes)
{
    return ac_move(ac_scales(p, planes), p->right_count * p->panels * ac_tile_columns,
                   (int64_t)sizeof(float));
}

/* Splits a right operand as a whole; an item is a panel. */
static void ac_split_all(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_packing *x = context;
    const struct ac_product *p = x->p;
    const struct ac_layout *l = p->right_layout;
    float *room = (float *)(x->scratch + me * x->scratch_bytes);
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        const int64_t b = i / p->panels, panel = i % p->panels;
        const float *from = ac_at(x->from, l->base + ac_offset(l->batch, l->batches, b));
        float *floats = ac_at(room, -(panel * ac_tile_columns * p->k));
        ac_panels(p, from, floats, panel, panel + 1);
        ac_split_right(p, floats, ac_move(x->to, b * p->right_matrix, 1),
                       ac_scales(p, x->to) + b * p->panels * ac_tile_columns,
                       ac_ranges(p, x->to) + b * p->panels, panel, panel + 1);
    }
}

/* Panels that are packed at once. */
static int64_t ac_most_panels(const struct ac_product *p)
{
    const int64_t most = ac_tile_panels / (p->k * ac_tile_columns * (int64_t)sizeof(float));
    return most < 1 ? 1 : most;
}

/* Lays out the scratch memory of a thread. */
static void ac_lay_rooms(struct ac_product *p, int whole)
{
    const int64_t some = p->group < ac_most_panels(p) ? p->group : ac_most_panels(p);
    const int64_t group = whole ? 0 : p->group, tiles = ac_tiles_of(p->block);
    const int uneven = p->run % ac_tile_chunk != 0;
    p->room.planes = ac_bytes(some * ac_tile_columns * p->k);
    p->room.scales = p->room.planes + group * ac_panel(p);
    p->room.ranges = p->room.scales + ac_bytes(group * ac_tile_columns);
    p->room.left = p->room.ranges + ac_bytes(group * 3);
    p->room.rows = p->room.left + tiles * ac_strip(p, p->deep);
    p->room.sums = p->room.rows + (uneven ? ac_bytes(ac_tile_rows * p->deep * ac_tile_chunk) : 0);
    p->room.end = p->room.sums + ac_sums(tiles) * (p->deep < p->chunks ? p->group : 1);
}

/* Decides how many rows are split at once, and of how many chunks, so that their planes stay in
 * the cache of a core and the fewest bytes go through it: with fewer rows at once, all of the right
 * operand is read more often; with fewer chunks the sums of all columns are. */
static void ac_cut_blocks(struct ac_product *p)
{
    const int64_t chunks = p->chunks, of_chunk = ac_strip(p, 1), wide = p->group * ac_tile_columns;
    const int64_t columns = p->n < wide ? p->n : wide, run = p->run / ac_tile_chunk;
    const int64_t right = columns * chunks * of_chunk / ac_tile_rows;
    /* The number of chunks is a multiple of this. */
    int64_t unit = ac_tile_piece, best = INT64_MAX;
    if (p->run != 0) {
        unit = p->run % ac_tile_chunk == 0 ? ac_whole(ac_tile_piece, run) * run : chunks;
    }
    p->block = p->tall < ac_tile_short ? p->tall : ac_tile_short;
    p->deep = chunks;
    if (chunks <= ac_tile_few && right <= ac_tile_block) {
        return;
    }
    const int64_t units = ac_whole(chunks, unit);
    for (int64_t times = 1, blocks = 0; times <= units && blocks != 1; times++) {
        const int64_t some = ac_whole(units, times) * unit, deep = some < chunks ? some : chunks;
        const int64_t fit = ac_tile_block / (deep * of_chunk), most = fit < 2 ? 2 : fit;
        blocks = ac_whole(p->tall, most * ac_tile_rows);
        const int64_t again = ac_whole(chunks, deep) - 1;
        const int64_t bytes = blocks * right + again * p->tall * columns * 8;
        if (bytes < best) {
            best = bytes;
            p->block = ac_whole(p->tall, blocks);
            p->deep = deep;
        }
    }
}

/* Cuts a product into items, and splits a right operand that is constant. */
static int ac_cut_tiles(struct ac_engine *e, struct ac_product *p, const float *right)
{
    const int64_t threads = e->pool.threads;
    const double operations =
        2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batches;
    const int busy = operations > 4 * ac_grain && threads > 1;
    const int64_t wanted = busy ? threads : 1;
    const int whole = right != NULL || (busy && p->batches < threads);
    int64_t transient = p->wide_bytes;
    transient += p->left_packed != NULL ? 0 : ac_bytes(p->left_count * p->left_matrix);
    p->chunks = ac_whole(p->k, ac_tile_chunk);
    p->group = p->panels;
    p->tall = p->m;
    if (!whole && p->group > ac_most_panels(p)) {
        p->group = ac_most_panels(p);
    }
    if (ac_whole(p->panels, p->group) * p->batches < wanted) {
        /* Rows that are many share the planes of columns; else columns share those of rows. */
        const int64_t parts = ac_whole(wanted, p->batches), rows = 2 * ac_tile_rows;
        if ((whole && p->m < 4 * ac_tile_rows * parts) || (!whole && p->n > 4 * p->m)) {
            const int64_t most = ac_whole(p->panels, parts);
            p->group = most < p->group ? most : p->group;
        } else {
            p->tall = ac_whole(ac_whole(p->m, parts), rows) * rows;
        }
    }
    ac_cut_blocks(p);
    p->groups = ac_whole(p->panels, p->group);
    p->parts = ac_whole(p->m, p->tall);
    p->items = (uint64_t)(p->batches * p->groups * p->parts);
    const double each = operations / (double)p->items;
    p->grain = busy ? (uint64_t)(each > 2 * ac_grain ? 1 : 2 * ac_grain / each) : p->items;
    ac_lay_rooms(p, whole);
    p->right_matrix = p->panels * ac_panel(p);
    p->right_count = whole ? ac_count(p->right_layout->batch, p->right_layout->batches) : 0;
    const int64_t panels = p->right_count * p->panels;
    const int64_t floats =
        p->right_count * p->right_matrix / 4 + panels * (ac_tile_columns + 3);
    if (right != NULL) {
        const int64_t form = -1024 - p->tiles->planes;
        p->right_packed = ac_keep(e, p, right, p->right_layout, form, floats, (uint64_t)panels,
                                  ac_split_all, p->room.planes);
        if (p->right_packed == NULL) {
            return -1;
        }
    } else if (whole) {
        transient += ac_bytes(floats);
    }
    ac_needs(e, transient, p->room.end);
    return 1;
}

/* The planes of the panels of an item: where panel 0 and the scales of column 0 would be, and how
 * large the numbers are. */
struct ac_planes {
    const unsigned char *first;
    const float *scales;
    struct ac_range range;
};

/* An item: where its product is, its operands and result, panels, and the memory of the thread. */
struct ac_item {
    const struct ac_product *p;
    const struct ac_place *at;
    const float *a, *b;
    float *c;
    int64_t first, last;
    unsigned char *room;
};

/* The planes of the right operand of an item, which are made where they are not there. */
static struct ac_planes ac_right_planes(const struct ac_item *x, const float *made)
{
    const struct ac_product *p = x->p;
    const int64_t count = x->last - x->first, matrix = x->at->right_matrix * p->panels;
    if (made != NULL) {
        const struct ac_range *ranges = ac_ranges(p, made) + matrix + x->first;
        return (struct ac_planes){ac_move(made, x->at->right_matrix * p->right_matrix, 1),
                                  ac_scales(p, made) + matrix * ac_tile_columns,
                                  ac_range_of(ranges, count)};
    }
    float *panels = ac_at((float *)x->room, -(x->first * ac_tile_columns * p->k));
    unsigned char *out = ac_move(x->room + p->room.planes, -(x->first * ac_panel(p)), 1);
    float *scales =
        ac_at((float *)(x->room + p->room.scales), -(x->first * ac_tile_columns));
    struct ac_range *ranges = (struct ac_range *)(x->room + p->room.ranges);
    ac_panels(p, x->b, panels, x->first, x->last);
    ac_split_right(p, panels, out, scales,
                   ac_move(ranges, -x->first, (int64_t)sizeof *ranges), x->first, x->last);
    return (struct ac_planes){out, scales, ac_range_of(ranges, count)};
}

/* Makes planes of some rows and chunks of the left operand, of all chunks where rows are runs of
 * parts of them; gives how large their numbers are. */
static struct ac_range ac_split_left(const struct ac_item *x, struct ac_area area, int64_t begin,
                                     int64_t end)
{
    const struct ac_product *p = x->p;
    const int64_t first = begin * ac_tile_chunk, last = end * ac_tile_chunk;
    struct ac_range range = ac_range_none;
    struct ac_split_rows call = {.a = x->a,
                                 .out = x->room + p->room.left,
                                 .range = &range,
                                 .k = (last < p->k ? last : p->k) - first,
                                 .chunks = end - begin};
    ac_split_code *code = p->tiles->even;
    if (p->code->even != NULL) {
        call.a = ac_at(x->a, first);
        call.lda = p->left_rows;
    } else {
        code = p->tiles->gathered;
        call.table = x->at->table;
        call.zeros = p->zeros;
        call.lda = p->taps;
        call.taps = p->taps;
        call.run = p->run;
        if (p->run % ac_tile_chunk == 0) {
            call.table += first / p->run;
            call.taps = (last - first) / p->run;
        } else {
            call.rows = (float *)(x->room + p->room.rows);
        }
    }
    code(&call, (uint64_t)area.m0, (uint64_t)area.m1);
    return range;
}

/* Some rows of an item; gives whether their planes are exact, and so the result is there. */
static int ac_rows_on_tiles(const struct ac_item *x, const struct ac_planes *planes,
                            struct ac_area area)
{
    const struct ac_product *p = x->p;
    const int64_t sums = ac_sums(ac_tiles_of(area.m1 - area.m0));
    for (int64_t begin = 0, end; begin < p->chunks; begin = end) {
        end = begin + p->deep < p->chunks ? begin + p->deep : p->chunks;
        const struct ac_range range = ac_split_left(x, area, begin, end);
        if (!ac_exact(range, planes->range, p->k)) {
            return 0;
        }
        const struct ac_tile_call call = {
            .a = x->room + p->room.left,
            .b = planes->first,
            .scales = planes->scales,
            .c = x->c,
            .args = x->at->args,
            .kernel = p->tiles->kernel,
            .sums = x->room + p->room.sums,
            .next_sums = p->deep < p->chunks ? sums : 0,
            .ldc = p->out_rows,
            .chunks = p->chunks,
            .begin = begin,
            .end = end,
            .piece = ac_tile_piece,
            .variant = ac_variant(range, planes->range, p->tiles->planes),
        };
        p->tiles->code(&call, area.m0, area.m1, area.n0, area.n1);
    }
    return 1;
}

/* Some rows of an item with vectors. */
static void ac_inexact(const struct ac_item *x, int64_t m0, int64_t m1)
{
    const struct ac_product *p = x->p;
    const int64_t most = ac_most_panels(p), width = ac_tile_columns;
    for (int64_t begin = x->first; begin < x->last; begin += most) {
        const int64_t end = begin + most < x->last ? begin + most : x->last;
        const int64_t n1 = end * width < p->n ? end * width : p->n;
        float *panels = ac_at((float *)x->room, -(begin * width * p->k));
        ac_panels(p, x->b, panels, begin, end);
        ac_rows(p, x->at, x->a, panels, x->c, (struct ac_area){m0, m1, begin * width, n1});
    }
}

static void ac_multiply_tiles(const void *context, uint64_t begin, uint64_t end, int me)
{
    const struct ac_call *x = context;
    const struct ac_product *p = x->p;
    for (int64_t i = (int64_t)begin; i < (int64_t)end; i++) {
        struct ac_place at;
        struct ac_area area = ac_area_of(p, x->bound, i, &at);
        const int64_t first = area.n0 / ac_tile_columns, m1 = area.m1;
        const int64_t last = ac_whole(area.n1, ac_tile_columns);
        const float *a = x->left != NULL ? x->left + at.left_matrix * p->left_matrix
                                         : ac_at(x->plain[0], at.left);
        const struct ac_item item = {
            p,    &at,  a, ac_at(x->plain[1], at.right), ac_at(x->plain[2], at.out), first,
            last, x->scratch + me * x->scratch_bytes};
        const struct ac_planes planes = ac_right_planes(&item, x->right);
        for (; area.m0 < m1; area.m0 = area.m1) {
            area.m1 = area.m0 + p->block < m1 ? area.m0 + p->block : m1;
            if (!ac_rows_on_tiles(&item, &planes, area)) {
                ac_inexact(&item, area.m0, area.m1);
            }
        }
    }
}
