//! The table of calls: what candle is asked to do, each as one Rust expression.
//!
//! The expression of a row is compiled for the executor and printed by the writer, with the
//! arguments in the place of the parameters. Paths into `ops` are functions of `helpers/`, which
//! the writer puts beside the model. A row of one result gives a tensor, any other a tuple.
//!
//! | parameter | what it is |
//! |---|---|
//! | `Tensor`, `Maybe`, `Tensors` | `&Tensor`, `Option<&Tensor>`, `&[&Tensor]` |
//! | `Size`, `Number`, `Index` | `usize`, `usize`, `i64` |
//! | `Shape`, `Numbers`, `Pair`, `Ints` | sizes, axes (each as a tuple or a vector), two numbers, `&[i64]` |
//! | `Float`, `Int`, `Bool`, `DType`, `Device` | `f64`, `i64`, `bool`, candle's types |

#[cfg(feature = "exec")]
use crate::exec::bind::{self, Bound, IntoTensors};
#[cfg(feature = "exec")]
use crate::helpers as ops;
#[cfg(feature = "exec")]
use candle_core::{D, DType, Tensor};

/// What an argument of a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Tensor,
    Maybe,
    Tensors,
    Size,
    Shape,
    Index,
    Number,
    Numbers,
    Pair,
    Int,
    Ints,
    Float,
    DType,
    Bool,
    Device,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Func {
    /// Its name, unique in the table.
    pub name: &'static str,
    /// Names and kinds of its parameters.
    pub params: &'static [(&'static str, Kind)],
    /// The Rust expression of its value.
    pub body: &'static str,
    /// The expression, compiled.
    #[cfg(feature = "exec")]
    pub run: fn(&[Bound]) -> candle_core::Result<Vec<Tensor>>,
}

impl std::fmt::Debug for Func {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($p:ident: $kind:ident),*) = $body:expr;)*) => {$(
        $(#[$doc])*
        pub static $name: Func = Func {
            name: stringify!($name),
            params: &[$((stringify!($p), Kind::$kind)),*],
            body: stringify!($body),
            #[cfg(feature = "exec")]
            run: {
                #[allow(non_snake_case, clippy::redundant_closure_call, clippy::needless_question_mark)]
                fn $name(args: &[Bound]) -> candle_core::Result<Vec<Tensor>> {
                    let [$($p),*] = args else { return bind::arity(stringify!($name)) };
                    $(let $p = bind::$kind($p)?;)*
                    Ok(IntoTensors::into_tensors($body))
                }
                $name
            },
        };
    )*
    #[cfg(test)]
    pub(crate) const ALL: &[&Func] = &[$(&$name),*];
    };
}

calls! {
    /// Sum of two tensors of one shape.
    ADD(a: Tensor, b: Tensor) = (a + b)?;
    /// Sum by broadcasting.
    BROADCAST_ADD(a: Tensor, b: Tensor) = a.broadcast_add(b)?;
    /// Sum with a number.
    ADD_SCALAR(a: Tensor, s: Float) = (a + s)?;
    /// Difference of two tensors of one shape.
    SUB(a: Tensor, b: Tensor) = (a - b)?;
    /// Difference by broadcasting.
    BROADCAST_SUB(a: Tensor, b: Tensor) = a.broadcast_sub(b)?;
    /// Difference with a number.
    SUB_SCALAR(a: Tensor, s: Float) = (a - s)?;
    /// Product of two tensors of one shape.
    MUL(a: Tensor, b: Tensor) = (a * b)?;
    /// Product by broadcasting.
    BROADCAST_MUL(a: Tensor, b: Tensor) = a.broadcast_mul(b)?;
    /// Product with a number.
    MUL_SCALAR(a: Tensor, s: Float) = (a * s)?;
    /// Product and sum with numbers.
    AFFINE(a: Tensor, mul: Float, add: Float) = a.affine(mul, add)?;
    /// Quotient of two tensors of one shape.
    DIV(a: Tensor, b: Tensor) = (a / b)?;
    /// Quotient by broadcasting.
    BROADCAST_DIV(a: Tensor, b: Tensor) = a.broadcast_div(b)?;
    /// Quotient with a number.
    DIV_SCALAR(a: Tensor, s: Float) = (a / s)?;
    /// Integer quotient.
    INT_DIV(a: Tensor, b: Tensor, floor: Bool) = ops::int_div(a, b, floor)?;
    /// Remainder.
    REM(a: Tensor, b: Tensor, floor: Bool) = ops::rem(a, b, floor)?;
    /// The greater of two.
    MAXIMUM(a: Tensor, b: Tensor) = a.broadcast_maximum(b)?;
    /// The greater of a tensor and a number.
    MAXIMUM_SCALAR(a: Tensor, s: Float) = a.maximum(s)?;
    /// The lesser of two.
    MINIMUM(a: Tensor, b: Tensor) = a.broadcast_minimum(b)?;
    /// The lesser of a tensor and a number.
    MINIMUM_SCALAR(a: Tensor, s: Float) = a.minimum(s)?;
    /// Limits.
    CLAMP(a: Tensor, low: Float, high: Float) = a.clamp(low, high)?;
    /// Power with a number as the exponent.
    POWF(a: Tensor, s: Float) = a.powf(s)?;
    /// Power, element by element.
    POW(a: Tensor, b: Tensor) = ops::pow(a, b)?;
    /// Square.
    SQR(a: Tensor) = a.sqr()?;
    /// Negation.
    NEG(a: Tensor) = a.neg()?;
    /// Negation of integers.
    INT_NEG(a: Tensor) = a.zeros_like()?.sub(a)?;
    /// Negation whose low bits count.
    WRAPPING_NEG(a: Tensor) = ops::zip_ints(a, a, |p, _| p.wrapping_neg())?;
    /// Magnitude.
    ABS(a: Tensor) = a.abs()?;
    /// Sign.
    SIGN(a: Tensor) = ops::sign(a)?;
    /// Greatest integer not above.
    FLOOR(a: Tensor) = a.floor()?;
    /// Least integer not below.
    CEIL(a: Tensor) = a.ceil()?;
    /// Nearest integer, ties to even.
    ROUND_TIES_EVEN(a: Tensor) = ops::round_ties_even(a)?;
    /// Square root.
    SQRT(a: Tensor) = a.sqrt()?;
    /// Reciprocal.
    RECIP(a: Tensor) = a.recip()?;
    /// Exponential.
    EXP(a: Tensor) = a.exp()?;
    /// Logarithm.
    LOG(a: Tensor) = a.log()?;
    /// Sine.
    SIN(a: Tensor) = a.sin()?;
    /// Cosine.
    COS(a: Tensor) = a.cos()?;
    /// Hyperbolic tangent.
    TANH(a: Tensor) = a.tanh()?;
    /// Error function.
    ERF(a: Tensor) = a.erf()?;
    /// `tan`, element by element.
    TAN(a: Tensor) = ops::map(a, f64::tan)?;
    /// `asin`, element by element.
    ASIN(a: Tensor) = ops::map(a, f64::asin)?;
    /// `acos`, element by element.
    ACOS(a: Tensor) = ops::map(a, f64::acos)?;
    /// `atan`, element by element.
    ATAN(a: Tensor) = ops::map(a, f64::atan)?;
    /// `sinh`, element by element.
    SINH(a: Tensor) = ops::map(a, f64::sinh)?;
    /// `cosh`, element by element.
    COSH(a: Tensor) = ops::map(a, f64::cosh)?;
    /// `asinh`, element by element.
    ASINH(a: Tensor) = ops::map(a, f64::asinh)?;
    /// `acosh`, element by element.
    ACOSH(a: Tensor) = ops::map(a, f64::acosh)?;
    /// `atanh`, element by element.
    ATANH(a: Tensor) = ops::map(a, f64::atanh)?;

    /// Sum whose low bits count.
    WRAPPING_ADD(a: Tensor, b: Tensor) = ops::zip_ints(a, b, i64::wrapping_add)?;
    /// Difference whose low bits count.
    WRAPPING_SUB(a: Tensor, b: Tensor) = ops::zip_ints(a, b, i64::wrapping_sub)?;
    /// Product whose low bits count.
    WRAPPING_MUL(a: Tensor, b: Tensor) = ops::zip_ints(a, b, i64::wrapping_mul)?;
    /// Rounding to a narrower float format.
    ROUND_FLOAT(
        x: Tensor, digits: Int, least: Int, greatest: Float, beyond: Float, none: Float
    ) = ops::round_float(x, digits, least, greatest, beyond, none)?;
    /// Rounding to a power of two.
    ROUND_TO_POWER(x: Tensor, up: Float, saturate: Bool) = ops::round_to_power(x, up, saturate)?;
    /// Complement of bits.
    BIT_NOT(a: Tensor) = ops::zip_ints(a, a, |p, _| !p)?;
    /// Bitwise and.
    BIT_AND(a: Tensor, b: Tensor) = ops::zip_ints(a, b, |p, q| p & q)?;
    /// Bitwise or.
    BIT_OR(a: Tensor, b: Tensor) = ops::zip_ints(a, b, |p, q| p | q)?;
    /// Bitwise exclusive or.
    BIT_XOR(a: Tensor, b: Tensor) = ops::zip_ints(a, b, |p, q| p ^ q)?;
    /// Left shift.
    SHIFT_LEFT(a: Tensor, b: Tensor, bits: Int) =
        ops::zip_ints(a, b, |p, q| if (0..bits).contains(&q) { p << q } else { 0 })?;
    /// Right shift, arithmetic.
    SHIFT_RIGHT(a: Tensor, b: Tensor, bits: Int) =
        ops::zip_ints(a, b, |p, q| p >> if (0..bits).contains(&q) { q } else { 63 })?;
    /// Sums of what trees vote for.
    TREE_VOTES(
        x: Tensor, nodes: Tensor, thresholds: Tensor, roots: Tensor, targets: Tensor,
        votes: Tensor, count: Number
    ) = ops::tree_votes(x, nodes, thresholds, roots, targets, votes, count)?;
    /// Values by keys.
    LOOKUP(x: Tensor, keys: Tensor, values: Tensor, default: Tensor) =
        ops::lookup(x, keys, values, default)?;

    /// Whether equal.
    EQ(a: Tensor, b: Tensor) = a.broadcast_eq(b)?;
    /// Whether different.
    NE(a: Tensor, b: Tensor) = a.broadcast_ne(b)?;
    /// Whether less.
    LT(a: Tensor, b: Tensor) = a.broadcast_lt(b)?;
    /// Whether less or equal.
    LE(a: Tensor, b: Tensor) = a.broadcast_le(b)?;
    /// Whether greater.
    GT(a: Tensor, b: Tensor) = a.broadcast_gt(b)?;
    /// Whether greater or equal.
    GE(a: Tensor, b: Tensor) = a.broadcast_ge(b)?;
    /// Whether equal to a number.
    EQ_SCALAR(a: Tensor, s: Float) = a.eq(s)?;
    /// Whether less than a number.
    LT_SCALAR(a: Tensor, s: Float) = a.lt(s)?;
    /// Whether less than a number or equal.
    LE_SCALAR(a: Tensor, s: Float) = a.le(s)?;
    /// Whether greater than a number.
    GT_SCALAR(a: Tensor, s: Float) = a.gt(s)?;
    /// Whether greater than a number or equal.
    GE_SCALAR(a: Tensor, s: Float) = a.ge(s)?;
    /// Whether equal to an integer.
    EQ_INT(a: Tensor, s: Int) = a.eq(s)?;
    /// Whether less than an integer.
    LT_INT(a: Tensor, s: Int) = a.lt(s)?;
    /// Logical complement.
    NOT(a: Tensor) = a.eq(0u8)?;
    /// Whether not a number.
    IS_NAN(a: Tensor) = a.ne(a)?;
    /// One or the other by a condition.
    WHERE(c: Tensor, a: Tensor, b: Tensor) = c.where_cond(a, b)?;
    /// The same with broadcasting.
    WHERE_BROADCAST(c: Tensor, a: Tensor, b: Tensor) = ops::select(c, a, b)?;
    /// Conversion to another dtype.
    TO_DTYPE(a: Tensor, dtype: DType) = a.to_dtype(dtype)?;
    /// Floats as narrow integers by their low bits.
    LOW_BITS(a: Tensor, dtype: DType) = ops::low_bits(a, dtype)?;
    /// Whether not zero.
    NONZERO_MASK(a: Tensor) = a.ne(0f64)?;

    /// One number.
    FULL(value: Float, shape: Shape, dtype: DType, device: Device) =
        Tensor::full(value, shape, device)?.to_dtype(dtype)?;
    /// One integer.
    FULL_INT(value: Int, shape: Shape, dtype: DType, device: Device) =
        Tensor::full(value, shape, device)?.to_dtype(dtype)?;
    /// Zeros.
    ZEROS(shape: Shape, dtype: DType, device: Device) = Tensor::zeros(shape, dtype, device)?;
    /// Ones.
    ONES(shape: Shape, dtype: DType, device: Device) = Tensor::ones(shape, dtype, device)?;
    /// Sizes as a vector.
    SIZES(values: Tensors) = Tensor::cat(values, 0)?;
    /// A size as a vector of one element.
    SIZE(value: Index, device: Device) = Tensor::new(&[value], device)?;
    /// A size as a scalar.
    SIZE_SCALAR(value: Index, device: Device) = Tensor::new(value, device)?;
    /// 0, 1, 2 ...
    ARANGE(end: Index, device: Device) = Tensor::arange(0, end, device)?;
    /// From start in steps up to but without end.
    ARANGE_STEP(start: Index, end: Index, step: Int, device: Device) =
        Tensor::arange_step(start, end, step, device)?;
    /// `range` of scalars.
    RANGE(start: Tensor, limit: Tensor, delta: Tensor) = ops::range(start, limit, delta)?;

    /// Another shape.
    RESHAPE(x: Tensor, shape: Shape) = x.reshape(shape)?;
    /// Axes from the first to the last listed one become one.
    FLATTEN_FROM(x: Tensor, axis: Number) = x.flatten_from(axis)?;
    /// All axes become one.
    FLATTEN_ALL(x: Tensor) = x.flatten_all()?;
    /// Broadcast to a shape.
    BROADCAST_AS(x: Tensor, shape: Shape) = x.broadcast_as(shape)?;
    /// The same tensor.
    CLONE(x: Tensor) = x.clone();
    /// Elements in order.
    CONTIGUOUS(x: Tensor) = x.contiguous()?;
    /// Two axes swapped.
    TRANSPOSE(x: Tensor, a: Number, b: Number) = x.transpose(a, b)?;
    /// The last two axes swapped.
    T(x: Tensor) = x.t()?;
    /// Axes in another order.
    PERMUTE(x: Tensor, axes: Numbers) = x.permute(axes)?;
    /// A new axis of size 1.
    UNSQUEEZE(x: Tensor, axis: Number) = x.unsqueeze(axis)?;
    /// An axis of size 1 less.
    SQUEEZE(x: Tensor, axis: Number) = x.squeeze(axis)?;
    /// A part of an axis.
    NARROW(x: Tensor, axis: Number, start: Size, len: Size) = x.narrow(axis, start, len)?;
    /// A part of an axis by bounds that count from the end where they are below zero.
    SLICE(x: Tensor, axis: Number, start: Index, end: Index) = ops::slice(x, axis, start, end)?;
    /// Equal parts of an axis.
    CHUNK(x: Tensor, count: Number, axis: Number) = x.chunk(count, axis)?;
    /// One position of an axis.
    GET_ON_DIM(x: Tensor, axis: Number, index: Number) = x.get_on_dim(axis, index)?;
    /// The first axis at a position.
    GET(x: Tensor, index: Number) = x.get(index)?;
    /// Joined along an axis.
    CAT(parts: Tensors, axis: Number) = Tensor::cat(parts, axis)?;
    /// Joined along a new axis.
    STACK(parts: Tensors, axis: Number) = Tensor::stack(parts, axis)?;
    /// Zeros around an axis.
    PAD_WITH_ZEROS(x: Tensor, axis: Number, low: Size, high: Size) =
        x.pad_with_zeros(axis, low, high)?;
    /// The edges repeated.
    PAD_WITH_SAME(x: Tensor, axis: Number, low: Size, high: Size) =
        x.pad_with_same(axis, low, high)?;
    /// A number around an axis.
    PAD_WITH(x: Tensor, axis: Number, low: Size, high: Size, value: Float) =
        ops::pad_with(x, axis, low, high, value)?;
    /// A scalar around an axis.
    PAD_WITH_TENSOR(x: Tensor, axis: Number, low: Size, high: Size, value: Tensor) =
        ops::pad_with_tensor(x, axis, low, high, value)?;
    /// The mirror image around an axis.
    PAD_REFLECT(x: Tensor, axis: Number, low: Size, high: Size) =
        ops::pad_reflect(x, axis, low, high)?;
    /// The opposite side around an axis.
    PAD_WRAP(x: Tensor, axis: Number, low: Size, high: Size) = ops::pad_wrap(x, axis, low, high)?;
    /// Repeated along every axis.
    REPEAT(x: Tensor, repeats: Shape) = x.repeat(repeats)?;

    /// Slices at indices.
    INDEX_SELECT(x: Tensor, ids: Tensor, axis: Number) = x.index_select(ids, axis)?;
    /// One element per index along an axis.
    GATHER(x: Tensor, ids: Tensor, axis: Number) = x.gather(ids, axis)?;
    /// Slices at a tensor of indices.
    TAKE(x: Tensor, ids: Tensor, axis: Number) = ops::take(x, ids, axis)?;
    /// Negative indices count from the end.
    WRAP_INDICES(ids: Tensor, len: Size) = ops::wrap_indices(ids, len)?;
    /// Gathering by tuples.
    GATHER_ND(x: Tensor, ids: Tensor, batch_dims: Number) = ops::gather_nd(x, ids, batch_dims)?;
    /// Scattering by tuples.
    SCATTER_ND(x: Tensor, ids: Tensor, updates: Tensor, add: Bool) =
        ops::scatter_nd(x, ids, updates, add)?;
    /// Scattering by tuples, multiplied.
    SCATTER_ND_MUL(x: Tensor, ids: Tensor, updates: Tensor) =
        ops::scatter_nd_with(x, ids, updates, |a: f64, b| a * b)?;
    /// Scattering by tuples, multiplied as integers whose low bits count.
    SCATTER_ND_MUL_INT(x: Tensor, ids: Tensor, updates: Tensor) =
        ops::scatter_nd_with(x, ids, updates, i64::wrapping_mul)?;
    /// Scattering by tuples, the greater of two.
    SCATTER_ND_MAX(x: Tensor, ids: Tensor, updates: Tensor) =
        ops::scatter_nd_with(x, ids, updates, |a: f64, b| if b > a || b.is_nan() { b } else { a })?;
    /// Scattering by tuples, the lesser of two.
    SCATTER_ND_MIN(x: Tensor, ids: Tensor, updates: Tensor) =
        ops::scatter_nd_with(x, ids, updates, |a: f64, b| if b < a || b.is_nan() { b } else { a })?;
    /// Elements put at indices along an axis.
    SCATTER(x: Tensor, ids: Tensor, updates: Tensor, axis: Number) =
        x.scatter(ids, updates, axis)?;
    /// Elements added at indices along an axis.
    SCATTER_ADD(x: Tensor, ids: Tensor, updates: Tensor, axis: Number) =
        x.scatter_add(ids, updates, axis)?;
    /// The greatest or least elements and where they are.
    TOP_K(x: Tensor, k: Size, axis: Number, largest: Bool) = ops::top_k(x, k, axis, largest)?;
    /// Distinct slices along an axis, where they are, which one each is, and how many of each.
    UNIQUE(x: Tensor, axis: Number, sorted: Bool) = ops::unique(x, axis, sorted)?;
    /// Positions of what is not zero.
    NONZERO(x: Tensor) = ops::nonzero(x)?;
    /// Boxes kept by greedy suppression.
    NON_MAX_SUPPRESSION(
        boxes: Tensor, scores: Tensor, max_output: Maybe, iou: Maybe, score: Maybe, center: Bool
    ) = ops::non_max_suppression(boxes, scores, max_output, iou, score, center)?;

    /// Sum over axes.
    SUM(x: Tensor, axes: Numbers) = x.sum(axes)?;
    /// Sum over axes, kept with size 1.
    SUM_KEEPDIM(x: Tensor, axes: Numbers) = x.sum_keepdim(axes)?;
    /// Mean over axes.
    MEAN(x: Tensor, axes: Numbers) = x.mean(axes)?;
    /// Mean over axes, kept with size 1.
    MEAN_KEEPDIM(x: Tensor, axes: Numbers) = x.mean_keepdim(axes)?;
    /// Greatest along an axis.
    MAX(x: Tensor, axis: Number) = x.max(axis)?;
    /// Greatest along an axis, kept with size 1.
    MAX_KEEPDIM(x: Tensor, axis: Number) = x.max_keepdim(axis)?;
    /// Least along an axis.
    MIN(x: Tensor, axis: Number) = x.min(axis)?;
    /// Least along an axis, kept with size 1.
    MIN_KEEPDIM(x: Tensor, axis: Number) = x.min_keepdim(axis)?;
    /// Product along an axis, kept with size 1.
    PROD_KEEPDIM(x: Tensor, axis: Number) = ops::prod_keepdim(x, axis)?;
    /// Where the greatest is.
    ARGMAX(x: Tensor, axis: Number) = x.argmax(axis)?;
    /// Where the greatest is, kept with size 1.
    ARGMAX_KEEPDIM(x: Tensor, axis: Number) = x.argmax_keepdim(axis)?;
    /// Where the least is.
    ARGMIN(x: Tensor, axis: Number) = x.argmin(axis)?;
    /// Where the least is, kept with size 1.
    ARGMIN_KEEPDIM(x: Tensor, axis: Number) = x.argmin_keepdim(axis)?;
    /// Where the last of the greatest or least is, kept with size 1.
    ARG_LAST(x: Tensor, axis: Number, greatest: Bool) = ops::arg_last(x, axis, greatest)?;
    /// Running sum, from either end.
    SCAN_SUM(x: Tensor, axis: Number, reverse: Bool, exclusive: Bool) =
        ops::scan(x, axis, reverse, exclusive, 0., |a, b| a + b)?;
    /// Running product, from either end.
    SCAN_PROD(x: Tensor, axis: Number, reverse: Bool, exclusive: Bool) =
        ops::scan(x, axis, reverse, exclusive, 1., |a, b| a * b)?;
    /// Running greatest, from either end.
    SCAN_MAX(x: Tensor, axis: Number, reverse: Bool, exclusive: Bool) =
        ops::scan(x, axis, reverse, exclusive, 0., |a, b| a.maximum(b))?;
    /// Running least, from either end.
    SCAN_MIN(x: Tensor, axis: Number, reverse: Bool, exclusive: Bool) =
        ops::scan(x, axis, reverse, exclusive, 0., |a, b| a.minimum(b))?;
    /// Running sum.
    CUMSUM(x: Tensor, axis: Number) = ops::cumsum(x, axis)?;
    /// Logarithm of the sum of exponentials.
    LOG_SUM_EXP(x: Tensor, axes: Numbers) = x.log_sum_exp(axes)?;

    /// Softmax of scaled products of rows, times values.
    ATTENTION(q: Tensor, k: Tensor, v: Tensor, mask: Maybe, scale: Float) =
        ops::attention(q, k, v, mask, scale)?;
    /// Which positions are not after one's own.
    CAUSAL_MASK(rows: Size, columns: Size, device: Device) =
        ops::causal_mask(rows, columns, device)?;
    /// Matrix product.
    MATMUL(a: Tensor, b: Tensor) = a.matmul(b)?;
    /// Matrix product with broadcasting.
    BROADCAST_MATMUL(a: Tensor, b: Tensor) = a.broadcast_matmul(b)?;
    /// Convolution over one axis.
    CONV1D(x: Tensor, w: Tensor, pad: Number, stride: Number, dilation: Number, groups: Number) =
        x.conv1d(w, pad, stride, dilation, groups)?;
    /// Convolution over two axes.
    CONV2D(x: Tensor, w: Tensor, pad: Number, stride: Number, dilation: Number, groups: Number) =
        x.conv2d(w, pad, stride, dilation, groups)?;
    /// Convolution over any number of axes, with a stride and a distance for each.
    CONV_ND(x: Tensor, w: Tensor, strides: Ints, dilations: Ints, groups: Number) =
        ops::conv_nd(x, w, strides, dilations, groups)?;
    /// Transposed convolution over one axis.
    CONV_TRANSPOSE1D(
        x: Tensor, w: Tensor, pad: Number, out_pad: Number, stride: Number, dilation: Number,
        groups: Number
    ) = ops::conv_transpose1d(x, w, pad, out_pad, stride, dilation, groups)?;
    /// Greatest of windows.
    MAX_POOL2D(x: Tensor, kernel: Pair, stride: Pair) =
        x.max_pool2d_with_stride(kernel, stride)?;
    /// Mean of windows.
    AVG_POOL2D(x: Tensor, kernel: Pair, stride: Pair) =
        x.avg_pool2d_with_stride(kernel, stride)?;
    /// Sums of windows along one axis.
    WINDOW_SUM(x: Tensor, axis: Number, window: Number, stride: Number, gap: Number) =
        ops::windows(x, axis, window, stride, gap, |a, b| a + b)?;
    /// Greatest of windows along one axis.
    WINDOW_MAX(x: Tensor, axis: Number, window: Number, stride: Number, gap: Number) =
        ops::windows(x, axis, window, stride, gap, |a, b| a.maximum(b))?;
    /// Least of windows along one axis.
    WINDOW_MIN(x: Tensor, axis: Number, window: Number, stride: Number, gap: Number) =
        ops::windows(x, axis, window, stride, gap, |a, b| a.minimum(b))?;
    /// Nearest neighbours.
    UPSAMPLE_NEAREST2D(x: Tensor, h: Size, w: Size) = x.upsample_nearest2d(h, w)?;
    /// Bilinear interpolation.
    UPSAMPLE_BILINEAR2D(x: Tensor, h: Size, w: Size, align_corners: Bool) =
        x.upsample_bilinear2d(h, w, align_corners)?;

    /// max(x, 0).
    RELU(x: Tensor) = x.relu()?;
    /// 1 / (1 + e^-x).
    SIGMOID(x: Tensor) = candle_nn::ops::sigmoid(x)?;
    /// x * sigmoid(x).
    SILU(x: Tensor) = x.silu()?;
    /// Exact gelu.
    GELU_ERF(x: Tensor) = x.gelu_erf()?;
    /// Gelu by tanh.
    GELU(x: Tensor) = x.gelu()?;
    /// Elu.
    ELU(x: Tensor, alpha: Float) = x.elu(alpha)?;
    /// Leaky relu.
    LEAKY_RELU(x: Tensor, slope: Float) = candle_nn::ops::leaky_relu(x, slope)?;
    /// x * relu6(x + 3) / 6.
    HARD_SWISH(x: Tensor) = ops::hard_swish(x)?;
    /// Softmax along an axis.
    SOFTMAX(x: Tensor, axis: Number) = candle_nn::ops::softmax(x, axis)?;
    /// Softmax along the last axis.
    SOFTMAX_LAST_DIM(x: Tensor) = candle_nn::ops::softmax_last_dim(x)?;
    /// Logarithm of the softmax.
    LOG_SOFTMAX(x: Tensor, axis: Number) = candle_nn::ops::log_softmax(x, axis)?;
    /// A vector of ranges of the last axis.
    LAST(x: Tensor, start: Size, len: Size) = x.narrow(D::Minus1, start, len)?;
    /// To `f32` and back, around what needs it.
    AS_F32(x: Tensor) = x.to_dtype(DType::F32)?;
    /// Layer normalisation whose weights are computed.
    LAYER_NORM(x: Tensor, w: Tensor, b: Maybe, eps: Float) = ops::layer_norm(x, w, b, eps)?;
    /// Rms normalisation over the last axis whose weight is computed.
    RMS_NORM(x: Tensor, w: Tensor, eps: Float) = ops::rms_norm(x, w, eps)?;
    /// A layer of long short-term memory.
    LSTM(
        x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe, b_hh: Maybe, h: Maybe, c: Maybe,
        reverse: Bool
    ) = ops::lstm(x, (w_ih, b_ih), (w_hh, b_hh), (h, c), reverse)?;
    /// A layer of gated recurrent units.
    GRU(
        x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe, b_hh: Maybe, h: Maybe, reverse: Bool,
        reset_after: Bool
    ) = ops::gru(x, (w_ih, b_ih), (w_hh, b_hh), h, reverse, reset_after)?;
    /// A layer of Elman units.
    RNN(
        x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe, b_hh: Maybe, h: Maybe, reverse: Bool
    ) = ops::rnn(x, (w_ih, b_ih), (w_hh, b_hh), h, reverse)?;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_expressions_and_use_each_parameter() {
        for func in ALL {
            let body: syn::Expr = syn::parse_str(func.body).expect(func.name);
            let text = quote::quote!(#body).to_string();
            for (param, _) in func.params {
                let found =
                    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == *param);
                assert!(found, "{} does not use {param}", func.name);
            }
        }
    }
}
