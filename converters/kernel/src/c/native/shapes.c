/* What matrix products are to the threads of a context. SPDX-License-Identifier: 0BSD */

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
    /* Entries of a table that may be read beyond the last one. */
    AC_AT_ONCE = 8,
};

/* Operations that keep a thread busy for a few microseconds. */
static const double ac_grain = 400000.0;

/* An axis of a product: how often, and its step in each operand and in the result. */
struct ac_axis {
    int64_t extent, left, right, out;
};

struct ac_step {
    int64_t extent, step;
};

/* What is taken away from an operand: the number `at`, or elements of a parameter from that one on,
 * one for each column where there are axes of columns. */
struct ac_zero {
    int64_t is_element, param, at, axes;
    struct ac_step columns[AC_GROUP];
    /* The parameter, where it is a constant. */
    const void *constant;
};

/* A product at certain sizes. Axes of the batch, of rows, of columns and of what is summed follow
 * one another; a guard is a number and a step for each axis, and the left operand is zero where
 * one of them is negative. */
struct ac_shape {
    int batch, rows, columns, sums, guards, window, left_param, right_param, out_param;
    int64_t left, right, out;
    /* Of the left operand, the right one and the result: 0 for f32, 1 for f16, 2 for bf16, and how
     * many elements the buffer has. */
    int short_floats[3];
    int64_t elements[3];
    /* Of the left operand and the right one, where they are bytes. */
    struct ac_zero zeros[2];
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

/* Elements of 16 bits as float, or the other way round. */
struct ac_convert {
    const void *from;
    void *to;
};

/* From sums of products of bytes to some rows and the columns of a panel of the result. */
struct ac_finish {
    const int32_t *sums, *totals, *zeros, *rests;
    void *c;
    const void *args;
    int64_t ldc, row, rows, column, end, zero;
};

typedef void ac_convert_code(const struct ac_convert *, uint64_t begin, uint64_t end);
typedef void ac_even_code(const float *a, int64_t lda, const float *b, float *c, int64_t ldc,
                          int64_t m0, int64_t m1, int64_t n0, int64_t n1, int64_t k,
                          int64_t flags, const void *args);
typedef void ac_gathered_code(const struct ac_gathered *, int64_t m0, int64_t m1, int64_t n0,
                              int64_t n1);
typedef void ac_window_code(const struct ac_window *, uint64_t begin, uint64_t end);
typedef void ac_pack_code(const struct ac_pack *, uint64_t begin, uint64_t end);
typedef void ac_gather_code(const struct ac_gather *, uint64_t begin, uint64_t end);
typedef int64_t ac_sums_code(int64_t rows, const void *a, int64_t lda, const void *b,
                             int64_t steps, int32_t *sums);
typedef void ac_finish_code(const struct ac_finish *);

struct ac_tiles;
struct ac_of_bytes;

/* The code of a product on a level; one of the first three is there, or the last. */
struct ac_code {
    ac_even_code *even;
    ac_gathered_code *gathered;
    ac_window_code *window;
    ac_pack_code *pack;
    ac_gather_code *gather;
    /* Of the tile of the result that is kept in registers. */
    int rows, width, lanes;
    /* For f16 and bf16; there where an operand or the result is one. */
    ac_convert_code *widen[2], *narrow[2];
    /* What does it on tiles, where there is code for that. */
    const struct ac_tiles *tiles;
    /* What does it where operands are bytes. */
    const struct ac_of_bytes *of_bytes;
};

/* How the elements of an operand lie, and what is taken away from them. */
struct ac_layout {
    struct ac_zero zero;
    int64_t base;
    int64_t outers, inners, batches;
    struct ac_step outer[AC_GROUP], inner[AC_GROUP], batch[AC_BATCH];
};

/* A product that is ready to run. */
struct ac_product {
    const struct ac_code *code;
    /* Where it is done on tiles. */
    const struct ac_tiles *tiles;
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
    /* What is not f32 in memory, as in the shape; constants of it as float. */
    int short_floats[3];
    int64_t elements[3], wide_bytes;
    const float *wide[3];
    int64_t left_matrix, right_matrix, left_count, right_count;
    /* How it is cut into items. */
    int64_t panels, group, groups, tall, parts, block;
    uint64_t items, grain;
    /* On tiles: chunks of what is summed, those that are done for all panels before the next
     * ones, and where in the scratch memory of a thread things begin. */
    int64_t chunks, deep;
    struct {
        int64_t planes, scales, ranges, left, rows, sums, end;
    } room;
    /* Of bytes: groups of what is summed, bytes from row to row where rows are packed, and whether
     * zero points are left of a constant right operand. */
    int64_t steps, packed_rows;
    int has_zeros;
};

typedef void ac_tile_code(const void *call, int64_t m0, int64_t m1, int64_t n0, int64_t n1);
typedef void ac_split_code(const void *call, uint64_t begin, uint64_t end);
typedef void ac_kernel_code(void);

/* The code of a product on tiles, with what makes it ready and runs it. */
struct ac_tiles {
    int (*pays)(const struct ac_product *, const struct ac_tiles *, int constant);
    int (*cut)(struct ac_engine *, struct ac_product *, const float *right);
    ac_part *pack_right, *multiply;
    ac_tile_code *code;
    ac_kernel_code *kernel;
    ac_split_code *even, *gathered, *right;
    /* Planes of an operand, and products of planes for one of floats. */
    int64_t planes, products;
    /* Bytes of all constants that are right operands; whether what follows a sum is long. */
    int64_t weights;
    int is_long;
    /* Code without tiles whose panels are as wide. */
    struct ac_code plain;
};

/* The code of a product of bytes, with what makes it ready and runs it. */
struct ac_of_bytes {
    int (*plan)(struct ac_engine *, struct ac_product *, const struct ac_shape *,
                const float *right);
    void (*run)(struct ac_engine *, const struct ac_product *, const struct ac_bound *,
                unsigned char *spare);
    ac_sums_code *sums;
    ac_finish_code *finish;
    /* Whether 16 bits are multiplied; whether the left and the right operand are signed; bytes of
     * an element of the result, and rows that are packed at once. */
    int words, is_signed[2], size, block;
};
