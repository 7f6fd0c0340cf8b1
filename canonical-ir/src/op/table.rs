//! The op table: one row per op. This file is long because it is one table.
//!
//! ```text
//! family {
//!     /// Documentation.
//!     Variant name tier since effects "operands" -> "results" { field: type = default, ... }
//! }
//! ```
//!
//! `tier` is `core`, `composite` or `reference`; `since` is the minor version of format
//! 0.x; a field without a default is required. Each row has an inference rule
//! `infer::family::name`, a composite has `decompose::family::name`, any other op has
//! `interp::family::name`; the build fails while one is missing.

use super::{op_decompose, op_eval, op_field_default, op_payload_from, op_table, op_tier};
use crate::attr::{Float, SourceOp, attr_enum};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{FuncId, RegionId, TensorId};
use crate::types::Type;

attr_enum! {
    /// How an integer division rounds. Floating-point division is not affected.
    IntRounding {
        /// Toward zero, as in C.
        Trunc = "trunc",
        /// Toward minus infinity, as in Python.
        Floor = "floor",
    }
    /// What `min` and `max` give when one operand is NaN.
    NanRule {
        /// NaN.
        Propagate = "propagate",
        /// The operand that is a number.
        Number = "number",
    }
    /// How a cast rounds a float to `f8e8m0`.
    CastRounding {
        /// To the nearest power of two, half upward.
        Up = "up",
        /// Toward zero.
        Down = "down",
        /// To nearest, ties to even.
        Nearest = "nearest",
    }
    /// What stands beyond the edges of a padded tensor.
    PadMode {
        /// The pad value.
        Constant = "constant",
        /// The mirror image without the edge itself.
        Reflect = "reflect",
        /// The edge value.
        Edge = "edge",
        /// The opposite side.
        Wrap = "wrap",
    }
    /// How window padding is found.
    AutoPad {
        /// From the `pads` field.
        Explicit = "explicit",
        /// Output size `ceil(input / stride)`, odd padding at the end.
        SameUpper = "same_upper",
        /// Output size `ceil(input / stride)`, odd padding at the start.
        SameLower = "same_lower",
        /// No padding.
        Valid = "valid",
    }
    /// An associative combination of elements.
    ReduceKind {
        /// Sum; of nothing 0.
        Sum = "sum",
        /// Product; of nothing 1.
        Prod = "prod",
        /// Greatest, NaN wins; of nothing the lowest value of the dtype.
        Max = "max",
        /// Least, NaN wins; of nothing the highest value of the dtype.
        Min = "min",
        /// All true; of nothing true. Bool only.
        And = "and",
        /// Any true; of nothing false. Bool only.
        Or = "or",
    }
    /// Which extreme `arg_reduce` looks for.
    ArgKind {
        /// The greatest element.
        Max = "max",
        /// The least element.
        Min = "min",
    }
    /// How `scatter` combines an update with what is there.
    ScatterReduction {
        /// The update replaces it; the last one wins.
        None = "none",
        /// Sum.
        Add = "add",
        /// Product.
        Mul = "mul",
        /// The lesser.
        Min = "min",
        /// The greater.
        Max = "max",
    }
    /// Order of depth in `depth_to_space`.
    DepthOrder {
        /// Depth, column, row.
        Dcr = "DCR",
        /// Column, row, depth.
        Crd = "CRD",
    }
    /// Which gelu.
    GeluKind {
        /// With the error function.
        Exact = "none",
        /// With the hyperbolic tangent.
        Tanh = "tanh",
    }
    /// How a loss is summed up.
    LossReduction {
        /// One loss per element.
        None = "none",
        /// Their sum.
        Sum = "sum",
        /// Their weighted mean.
        Mean = "mean",
    }
    /// Direction of a recurrent layer.
    RnnDirection {
        /// First step first.
        Forward = "forward",
        /// Last step first.
        Reverse = "reverse",
        /// Both, concatenated.
        Bidirectional = "bidirectional",
    }
    /// Interpolation of `resize`.
    ResizeMode {
        /// Nearest neighbour.
        Nearest = "nearest",
        /// Multilinear.
        Linear = "linear",
        /// Bicubic.
        Cubic = "cubic",
    }
    /// How `resize` maps an output coordinate to the input.
    CoordinateMode {
        /// Pixel centres at half.
        HalfPixel = "half_pixel",
        /// Half pixel, corrected for a rounded output size.
        HalfPixelSymmetric = "half_pixel_symmetric",
        /// Half pixel; 0 where the output has one pixel.
        PytorchHalfPixel = "pytorch_half_pixel",
        /// Corners fall on corners.
        AlignCorners = "align_corners",
        /// Plain division by the scale.
        Asymmetric = "asymmetric",
        /// As TensorFlow 1 half-pixel for nearest.
        TfHalfPixelForNn = "tf_half_pixel_for_nn",
        /// Within a region of interest.
        TfCropAndResize = "tf_crop_and_resize",
    }
    /// How `resize` rounds a coordinate in nearest mode.
    NearestMode {
        /// Nearest, half toward floor.
        RoundPreferFloor = "round_prefer_floor",
        /// Nearest, half toward ceil.
        RoundPreferCeil = "round_prefer_ceil",
        /// Down.
        Floor = "floor",
        /// Up.
        Ceil = "ceil",
    }
    /// What `resize` does with the aspect ratio when sizes are given.
    AspectPolicy {
        /// Nothing.
        Stretch = "stretch",
        /// Keep it, no side larger than asked.
        NotLarger = "not_larger",
        /// Keep it, no side smaller than asked.
        NotSmaller = "not_smaller",
    }
    /// Interpolation of `grid_sample`.
    GridMode {
        /// Multilinear.
        Linear = "linear",
        /// Nearest neighbour.
        Nearest = "nearest",
        /// Bicubic.
        Cubic = "cubic",
    }
    /// What `grid_sample` reads outside the image.
    GridPadding {
        /// Zero.
        Zeros = "zeros",
        /// The nearest border pixel.
        Border = "border",
        /// The reflection at the border.
        Reflection = "reflection",
    }
    /// How `roi_align` combines the samples of a bin.
    RoiMode {
        /// Mean.
        Avg = "avg",
        /// Greatest.
        Max = "max",
    }
    /// Distribution of `rng`.
    Distribution {
        /// Uniform in [0, 1).
        Uniform = "uniform",
        /// Normal, mean 0, variance 1.
        Normal = "normal",
    }
    /// Named random algorithms.
    RngAlgorithm {
        /// The executor's own choice; two runs may differ unless a seed is given.
        Unspecified = "unspecified",
        /// Philox 4x32-10, counter from 0, key from the seed.
        Philox = "philox4x32_10",
    }
    /// Which state update a linear attention makes.
    LinearAttentionRule {
        /// Plain sum of outer products.
        Linear = "linear",
        /// Decayed by a gate.
        Gated = "gated",
        /// Delta rule.
        Delta = "delta",
        /// Delta rule with decay.
        GatedDelta = "gated_delta",
    }
    /// How `tensor_scatter` wraps.
    CacheMode {
        /// Updates must fit.
        Linear = "linear",
        /// Indices wrap around.
        Circular = "circular",
    }
    /// Weighting of `tfidf_vectorizer`.
    TfIdfMode {
        /// Counts.
        Tf = "TF",
        /// 1 where present.
        Idf = "IDF",
        /// Counts times weight.
        TfIdf = "TFIDF",
    }
    /// Case change of `string_normalizer`.
    CaseChange {
        /// To lower case.
        Lower = "LOWER",
        /// To upper case.
        Upper = "UPPER",
        /// As it is.
        None = "NONE",
    }
}

op_table! {
    elementwise {
        /// Sum of two tensors of equal type. Integers wrap.
        Add add core 1 Pure "a, b" -> "sum" {}
        /// Difference of two tensors of equal type. Integers wrap.
        Sub sub core 1 Pure "a, b" -> "difference" {}
        /// Product of two tensors of equal type. Integers wrap.
        Mul mul core 1 Pure "a, b" -> "product" {}
        /// Quotient of two tensors of equal type. Integer division by zero fails; MIN / -1 wraps to MIN.
        Div div core 1 MayFail "a, b" -> "quotient" {
            /// Rounding of integer division.
            rounding: IntRounding = IntRounding::Trunc,
        }
        /// Remainder of a division with the given rounding: `trunc` takes the sign of the dividend, `floor` that of the divisor. Integer remainder by zero fails; MIN rem -1 is 0.
        Rem rem core 1 MayFail "a, b" -> "remainder" {
            /// Rounding of the division.
            rounding: IntRounding = IntRounding::Trunc,
        }
        /// Power. The exponent may have another numeric dtype; the result has the base's. Integer powers wrap; a negative exponent of an integer base gives the truncated quotient, 0 to a negative power fails.
        Pow pow core 1 MayFail "base, exponent" -> "power" {}
        /// The greater of two tensors of equal type; of equal elements (zeros of either sign too) that of a.
        Max max core 1 Pure "a, b" -> "max" {
            /// What NaN does.
            nan: NanRule = NanRule::Propagate,
        }
        /// The lesser of two tensors of equal type; of equal elements (zeros of either sign too) that of a.
        Min min core 1 Pure "a, b" -> "min" {
            /// What NaN does.
            nan: NanRule = NanRule::Propagate,
        }
        /// Negation. Integers wrap.
        Neg neg core 1 Pure "x" -> "y" {}
        /// Absolute value. MIN stays MIN; of a complex number its magnitude.
        Abs abs core 1 Pure "x" -> "y" {}
        /// -1, 0 or 1; NaN stays NaN, zero of either sign gives +0.
        Sign sign core 1 Pure "x" -> "y" {}
        /// Greatest integer not above.
        Floor floor core 1 Pure "x" -> "y" {}
        /// Least integer not below.
        Ceil ceil core 1 Pure "x" -> "y" {}
        /// Nearest integer, ties to even.
        Round round core 1 Pure "x" -> "y" {}
        /// Square root; NaN below zero.
        Sqrt sqrt core 1 Pure "x" -> "y" {}
        /// e to the power.
        Exp exp core 1 Pure "x" -> "y" {}
        /// Natural logarithm; NaN below zero, -inf at zero.
        Log log core 1 Pure "x" -> "y" {}
        /// Sine of radians.
        Sin sin core 1 Pure "x" -> "y" {}
        /// Cosine of radians.
        Cos cos core 1 Pure "x" -> "y" {}
        /// Tangent of radians.
        Tan tan core 1 Pure "x" -> "y" {}
        /// Arc sine in radians.
        Asin asin core 1 Pure "x" -> "y" {}
        /// Arc cosine in radians.
        Acos acos core 1 Pure "x" -> "y" {}
        /// Arc tangent in radians.
        Atan atan core 1 Pure "x" -> "y" {}
        /// Hyperbolic sine.
        Sinh sinh core 1 Pure "x" -> "y" {}
        /// Hyperbolic cosine.
        Cosh cosh core 1 Pure "x" -> "y" {}
        /// Hyperbolic tangent.
        Tanh tanh core 1 Pure "x" -> "y" {}
        /// Inverse hyperbolic sine.
        Asinh asinh core 1 Pure "x" -> "y" {}
        /// Inverse hyperbolic cosine.
        Acosh acosh core 1 Pure "x" -> "y" {}
        /// Inverse hyperbolic tangent.
        Atanh atanh core 1 Pure "x" -> "y" {}
        /// Error function.
        Erf erf core 1 Pure "x" -> "y" {}
        /// Logical complement of bools.
        Not not core 1 Pure "x" -> "y" {}
        /// Logical and of bools.
        And and core 1 Pure "a, b" -> "y" {}
        /// Logical or of bools.
        Or or core 1 Pure "a, b" -> "y" {}
        /// Logical exclusive or of bools.
        Xor xor core 1 Pure "a, b" -> "y" {}
        /// Complement of every bit of integers.
        BitNot bit_not core 1 Pure "x" -> "y" {}
        /// Bitwise and of integers.
        BitAnd bit_and core 1 Pure "a, b" -> "y" {}
        /// Bitwise or of integers.
        BitOr bit_or core 1 Pure "a, b" -> "y" {}
        /// Bitwise exclusive or of integers.
        BitXor bit_xor core 1 Pure "a, b" -> "y" {}
        /// Left shift of integers; a shift by the width or more, or by a negative count, gives 0.
        ShiftLeft shift_left core 1 Pure "x, count" -> "y" {}
        /// Right shift of integers, arithmetic for signed ones; a shift by the width or more, or by a negative count, gives 0 or -1.
        ShiftRight shift_right core 1 Pure "x, count" -> "y" {}
        /// Whether elements are equal; NaN equals nothing. Any dtype.
        Equal equal core 1 Pure "a, b" -> "y" {}
        /// Whether a < b; false with NaN.
        Less less core 1 Pure "a, b" -> "y" {}
        /// Whether a <= b; false with NaN.
        LessOrEqual less_or_equal core 1 Pure "a, b" -> "y" {}
        /// Whether elements are NaN.
        IsNan is_nan core 1 Pure "x" -> "y" {}
        /// x where the condition holds, y elsewhere. Any dtype.
        Select select core 1 Pure "condition, x, y" -> "result" {}
        /// Conversion to another dtype. Float to integer truncates toward zero; see SPEC for values out of range. Strings convert as ONNX Cast states.
        Cast cast core 1 MayFail "x" -> "y" {
            /// The dtype of the result.
            to: DType,
            /// Whether a float8 result saturates instead of becoming infinite or NaN.
            saturate: bool = true,
            /// Rounding to `f8e8m0`.
            rounding: CastRounding = CastRounding::Up,
        }
        /// The same bits under another dtype of the same width.
        Bitcast bitcast core 1 Pure "x" -> "y" {
            /// The dtype of the result.
            to: DType,
        }
        /// A complex number from its parts, two equal tensors of f32 or f64.
        Complex complex core 1 Pure "re, im" -> "z" {}
        /// The real part.
        Real real core 1 Pure "z" -> "re" {}
        /// The imaginary part.
        Imag imag core 1 Pure "z" -> "im" {}

        /// The operand itself; any type.
        Identity identity composite 1 Pure "x" -> "y" {}
        /// Conversion to the dtype of another tensor, whose values do not matter.
        CastLike cast_like composite 1 MayFail "x, target" -> "y" {
            /// Whether a float8 result saturates.
            saturate: bool = true,
            /// Rounding to `f8e8m0`.
            rounding: CastRounding = CastRounding::Up,
        }
        /// 1 / x.
        Reciprocal reciprocal composite 1 Pure "x" -> "y" {}
        /// x limited to [min, max]; the bounds are scalars of x's dtype. Where min > max the result is max.
        Clip clip composite 1 Pure "x, min?, max?" -> "y" {}
        /// Whether a > b.
        Greater greater composite 1 Pure "a, b" -> "y" {}
        /// Whether a >= b.
        GreaterOrEqual greater_or_equal composite 1 Pure "a, b" -> "y" {}
        /// Whether elements are infinite.
        IsInf is_inf composite 1 Pure "x" -> "y" {
            /// Whether -inf counts.
            detect_negative: bool = true,
            /// Whether +inf counts.
            detect_positive: bool = true,
        }
        /// Sum of any number of tensors of equal type.
        VariadicSum variadic_sum composite 1 Pure "first, more*" -> "y" {}
        /// Mean of any number of tensors of equal type.
        VariadicMean variadic_mean composite 1 Pure "first, more*" -> "y" {}
        /// Greatest of any number of tensors of equal type, NaN wins.
        VariadicMax variadic_max composite 1 Pure "first, more*" -> "y" {}
        /// Least of any number of tensors of equal type, NaN wins.
        VariadicMin variadic_min composite 1 Pure "first, more*" -> "y" {}
    }

    shape {
        /// A tensor of the module.
        Constant constant core 1 Pure "" -> "y" {
            /// The tensor; it has the type of the result.
            tensor: TensorId,
        }
        /// A value known to consist of sizes: the elements of a rank-1 (or single element of a rank-0) i64 tensor.
        DimValue dim_value core 1 Pure "" -> "y" {
            /// The elements.
            dims: Vec<Dim>,
            /// Whether the result is a scalar.
            scalar: bool = false,
        }
        /// States that the elements of an integer tensor of rank 0 or 1 are these sizes, and binds those that are symbols not bound before. Fails when they are not.
        DimsOf dims_of core 1 MayFail "x" -> "" {
            /// The elements.
            dims: Vec<Dim>,
        }
        /// NumPy broadcasting to a larger shape: axes align at the end; an axis of size 1 repeats.
        Broadcast broadcast core 1 Pure "x" -> "y" {
            /// The shape of the result.
            dims: Vec<Dim>,
            /// Whether the source format leaves it implicit; has no bearing on the value.
            implicit: bool = false,
        }
        /// The same elements in row-major order under another shape.
        Reshape reshape core 1 Pure "x" -> "y" {
            /// The shape of the result.
            dims: Vec<Dim>,
        }
        /// Permutes axes: axis i of the result is axis perm[i] of the operand.
        Transpose transpose core 1 Pure "x" -> "y" {
            /// The permutation.
            perm: Vec<i64>,
        }
        /// NumPy basic slicing: per listed axis from start towards end by step. Negative starts and ends count from the end; out-of-range ones are clamped. Steps are not zero.
        Slice slice core 1 Pure "x" -> "y" {
            /// The axes, distinct and not negative.
            axes: Vec<i64>,
            /// One start per axis.
            starts: Vec<Dim>,
            /// One end per axis, exclusive.
            ends: Vec<Dim>,
            /// One step per axis.
            steps: Vec<i64>,
        }
        /// Adds to (or, where negative, removes from) the ends of every axis.
        Pad pad core 1 MayFail "x, value?" -> "y" {
            /// What is added before, per axis.
            low: Vec<Dim>,
            /// What is added after, per axis.
            high: Vec<Dim>,
            /// What it is filled with; `value` (default zero) counts in constant mode only.
            mode: PadMode = PadMode::Constant,
        }
        /// Joins tensors along an axis.
        Concat concat core 1 Pure "first, more*" -> "y" {
            /// The axis, not negative.
            axis: i64,
        }
        /// 0, 1, 2 ... along one axis.
        Iota iota core 1 Pure "" -> "y" {
            /// The dtype of the result, numeric.
            dtype: DType,
            /// The shape of the result.
            dims: Vec<Dim>,
            /// The axis that counts.
            axis: i64,
        }

        /// A tensor with all elements equal to one scalar constant.
        Full full composite 1 Pure "" -> "y" {
            /// The shape of the result.
            dims: Vec<Dim>,
            /// A tensor of one element.
            value: TensorId,
        }
        /// The shape as an i64 vector, or the part [start, end) of it.
        ShapeOf shape_of composite 1 Pure "x" -> "shape" {
            /// First axis, 0 <= start <= rank.
            start: i64 = 0,
            /// Axis after the last; `None` for all.
            end: Option<i64> = None,
        }
        /// The number of elements as an i64 scalar.
        Size size composite 1 Pure "x" -> "size" {}
        /// Merges axes into two groups: [0, axis) and [axis, rank).
        Flatten flatten composite 1 Pure "x" -> "y" {
            /// The first axis of the second group, not negative.
            axis: i64,
        }
        /// Removes axes of size 1.
        Squeeze squeeze composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
        }
        /// Inserts axes of size 1.
        Unsqueeze unsqueeze composite 1 Pure "x" -> "y" {
            /// Their positions in the result, not negative.
            axes: Vec<i64>,
        }
        /// Cuts a tensor along an axis into parts.
        Split split composite 1 Pure "x" -> "parts*" {
            /// The axis, not negative.
            axis: i64,
            /// The size of each part.
            sizes: Vec<Dim>,
        }
        /// Repeats a tensor along every axis.
        Tile tile composite 1 Pure "x" -> "y" {
            /// How often, per axis.
            repeats: Vec<Dim>,
        }
        /// Moves blocks of channels of an NCHW tensor into space.
        DepthToSpace depth_to_space composite 1 Pure "x" -> "y" {
            /// Side of a block.
            blocksize: i64,
            /// Order of the channels.
            mode: DepthOrder = DepthOrder::Dcr,
        }
        /// Moves blocks of space of an NCHW tensor into channels.
        SpaceToDepth space_to_depth composite 1 Pure "x" -> "y" {
            /// Side of a block.
            blocksize: i64,
        }
        /// Crops or zero-pads the listed axes, centred, to the given sizes.
        CenterCropPad center_crop_pad composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Their sizes in the result.
            dims: Vec<Dim>,
        }
        /// Keeps the upper or lower triangle of the last two axes, zero elsewhere.
        Trilu trilu composite 1 Pure "x" -> "y" {
            /// Upper or lower.
            upper: bool = true,
            /// The diagonal, counted upward from the main one.
            k: Dim = Dim::Known(0),
        }
        /// Ones on a diagonal, zero elsewhere, in the shape of a matrix.
        EyeLike eye_like composite 1 Pure "x" -> "y" {
            /// The dtype; that of x when absent.
            dtype: Option<DType> = None,
            /// The diagonal, counted upward from the main one.
            k: i64 = 0,
        }
        /// start, start + delta ... up to but without limit. Operands are scalars of one dtype.
        Range range composite 1 MayFail "start, limit, delta" -> "y" {
            /// The number of elements, where it is known.
            size: Option<Dim> = None,
        }
    }

    index {
        /// NumPy-like gathering by index tuples: the last axis of `indices` indexes the axes of x after the batch axes. Negative indices count from the end; out of range fails.
        GatherNd gather_nd core 1 MayFail "x, indices" -> "y" {
            /// Leading axes that x and indices share.
            batch_dims: i64 = 0,
        }
        /// A copy of x with slices replaced or combined at index tuples, one after the other. Negative indices count from the end; out of range fails. Integers wrap; NaN wins in min and max; bools are joined by or (add, max) and by and (mul, min).
        ScatterNd scatter_nd core 1 MayFail "x, indices, updates" -> "y" {
            /// How an update combines with what is there.
            reduction: ScatterReduction = ScatterReduction::None,
        }
        /// The k greatest or least elements along an axis with their i64 positions; of equal ones the lower position comes first. NaN counts as greatest.
        TopK top_k core 1 MayFail "x" -> "values, indices" {
            /// How many.
            k: Dim,
            /// The axis, not negative.
            axis: i64,
            /// Greatest or least.
            largest: bool = true,
            /// Whether the result must be in order.
            sorted: bool = true,
        }
        /// The index tuples of elements that are not zero (false, the empty string), one column each, row-major: i64[rank, n]. NaN is not zero.
        Nonzero nonzero core 1 Pure "x" -> "indices" {}
        /// The distinct elements (or slices along an axis, compared in row-major order), with first positions, the position of each element among them, and counts. NaN equals itself and comes last, -0 equals 0; of equal ones the first stands for all.
        Unique unique core 1 Pure "x" -> "y, indices?, inverse?, counts?" {
            /// The axis; all elements when absent.
            axis: Option<i64> = None,
            /// In order of value, or of first occurrence.
            sorted: bool = true,
        }

        /// Slices of x along an axis at indices (`numpy.take`).
        Gather gather composite 1 MayFail "x, indices" -> "y" {
            /// The axis, not negative.
            axis: i64 = 0,
        }
        /// One element per index, along an axis (`numpy.take_along_axis`).
        GatherElements gather_elements composite 1 MayFail "x, indices" -> "y" {
            /// The axis, not negative.
            axis: i64 = 0,
        }
        /// A copy of x with one element per index replaced or combined.
        ScatterElements scatter_elements composite 1 MayFail "x, indices, updates" -> "y" {
            /// The axis, not negative.
            axis: i64 = 0,
            /// How an update combines with what is there.
            reduction: ScatterReduction = ScatterReduction::None,
        }
        /// Slices along an axis (or elements of the flattened tensor) where a bool vector is true. The vector may be shorter than the axis.
        Compress compress composite 1 MayFail "x, condition" -> "y" {
            /// The axis, not negative; flattened when absent.
            axis: Option<i64> = None,
        }
        /// One-hot vectors along a new axis. `values` holds the off and the on value. Negative indices count from the end; an index out of range gives a vector that is off everywhere.
        OneHot one_hot composite 1 Pure "indices, values" -> "y" {
            /// Length of the new axis.
            depth: Dim,
            /// Its position in the result, not negative.
            axis: i64,
        }
        /// Reverses the first n elements along the time axis, n given per batch; more than there are fails.
        ReverseSequence reverse_sequence composite 1 MayFail "x, lengths" -> "y" {
            /// Batch axis, 0 or 1.
            batch_axis: i64 = 1,
            /// Time axis, 0 or 1.
            time_axis: i64 = 0,
        }
        /// Writes updates into a cache along an axis, starting at one position per batch (0 by default).
        TensorScatter tensor_scatter composite 1 MayFail "cache, update, indices?" -> "present" {
            /// The axis, greater than 0: axis 0 is the batch.
            axis: i64,
            /// Whether positions wrap.
            mode: CacheMode = CacheMode::Linear,
        }
    }

    reduce {
        /// Combines all elements along axes. No axes: no change.
        Reduce reduce core 1 Pure "x" -> "y" {
            /// How.
            kind: ReduceKind,
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// The i64 position of an extreme along an axis; NaN is the extreme where there is one.
        ArgReduce arg_reduce core 1 MayFail "x" -> "index" {
            /// Greatest or least.
            kind: ArgKind,
            /// The axis, not negative.
            axis: i64,
            /// Whether it stays with size 1.
            keepdims: bool = false,
            /// Whether the last of equal ones wins.
            select_last: bool = false,
        }
        /// Running combination along an axis.
        ScanReduce scan_reduce core 1 Pure "x" -> "y" {
            /// How; sum, prod, max or min.
            kind: ReduceKind,
            /// The axis, not negative.
            axis: i64,
            /// Whether an element is left out of its own result.
            exclusive: bool = false,
            /// Whether it runs from the end.
            reverse: bool = false,
        }
        /// Arithmetic mean along axes.
        ReduceMean reduce_mean composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// Sum of magnitudes along axes.
        ReduceL1 reduce_l1 composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// Euclidean norm along axes.
        ReduceL2 reduce_l2 composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// Logarithm of the sum along axes.
        ReduceLogSum reduce_log_sum composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// Logarithm of the sum of exponentials along axes, without overflow.
        ReduceLogSumExp reduce_log_sum_exp composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
        /// Sum of squares along axes.
        ReduceSumSquare reduce_sum_square composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// Whether they stay with size 1.
            keepdims: bool = false,
        }
    }

    linear {
        /// General product (`dot_general`): the result has the batch axes, then the free axes of lhs, then those of rhs. Floats accumulate at least in f32, integers wrap in their dtype.
        Contract contract core 1 Pure "lhs, rhs" -> "y" {
            /// Batch axes of lhs, paired with `rhs_batch`.
            lhs_batch: Vec<i64>,
            /// Batch axes of rhs.
            rhs_batch: Vec<i64>,
            /// Contracted axes of lhs, paired with `rhs_contract`.
            lhs_contract: Vec<i64>,
            /// Contracted axes of rhs.
            rhs_contract: Vec<i64>,
        }
        /// `numpy.matmul`.
        Matmul matmul composite 1 Pure "a, b" -> "y" {}
        /// alpha * op(a) * op(b) + beta * c, with c broadcast to the result.
        Gemm gemm composite 1 Pure "a, b, c?" -> "y" {
            /// Factor of the product.
            alpha: Float = Float(1.0),
            /// Factor of c.
            beta: Float = Float(1.0),
            /// Whether a is transposed.
            trans_a: bool = false,
            /// Whether b is transposed.
            trans_b: bool = false,
        }
        /// Einstein summation over any number of operands; the equation follows `numpy.einsum` with letters, commas, an arrow and ellipses.
        Einsum einsum composite 1 Pure "first, more*" -> "y" {
            /// The equation without spaces.
            equation: String,
        }
        /// Determinant of the last two axes.
        Det det composite 1 Pure "x" -> "y" {}
        /// matmul of operands whose last two axes may be swapped first, times alpha.
        FusedMatmul fused_matmul composite 1 Pure "a, b" -> "y" {
            /// Factor.
            alpha: Float = Float(1.0),
            /// Whether the last two axes of a are swapped.
            trans_a: bool = false,
            /// Whether the last two axes of b are swapped.
            trans_b: bool = false,
            /// Whether a's first axis moves before its last first.
            trans_batch_a: bool = false,
            /// Whether b's first axis moves before its last first.
            trans_batch_b: bool = false,
        }
    }

    conv {
        /// Convolution of x[N, C, spatial...] with w[M, C/groups, kernel...], plus an optional bias[M].
        Conv conv core 1 Pure "x, w, b?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Added before each spatial axis, then after each; empty unless `auto_pad` is explicit.
            pads: Vec<i64>,
            /// Distance of kernel elements, one per spatial axis.
            dilations: Vec<i64>,
            /// Distance of input elements (zeros between), one per spatial axis.
            input_dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
        }
        /// Combines the elements of sliding windows over all axes. Padding holds the neutral element.
        ReduceWindow reduce_window core 1 Pure "x" -> "y" {
            /// How: sum, prod, max or min.
            kind: ReduceKind,
            /// Window size per axis.
            window: Vec<i64>,
            /// Step per axis.
            strides: Vec<i64>,
            /// Distance of window elements per axis.
            dilations: Vec<i64>,
            /// Added before each axis, then after each.
            pads: Vec<i64>,
        }
        /// Transposed convolution of x[N, C, spatial...] with w[C, M/groups, kernel...].
        ConvTranspose conv_transpose composite 1 Pure "x, w, b?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Removed before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// Added at the end of each spatial axis of the result.
            output_padding: Vec<i64>,
            /// Spatial sizes of the result; padding is found from them. Empty when not given.
            output_shape: Vec<i64> = Vec::new(),
        }
        /// Convolution followed by a named activation (`Relu`, `Tanh`, `Sigmoid`, `LeakyRelu`, `Clip`, `HardSigmoid`), with an optional summand.
        FusedConv fused_conv composite 1 Pure "x, w, b?, z?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Added before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// The activation.
            activation: String,
            /// Its parameters.
            activation_params: Vec<Float> = Vec::new(),
        }
        /// Greatest element of windows over the spatial axes of x[N, C, spatial...], and its flat i64 position in x.
        MaxPool max_pool composite 1 Pure "x" -> "y, indices?" {
            /// Window per spatial axis.
            kernel_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// Whether a last partial window counts.
            ceil_mode: bool = false,
            /// Whether positions are column-major.
            column_major: bool = false,
        }
        /// Mean of windows over the spatial axes.
        AveragePool average_pool composite 1 Pure "x" -> "y" {
            /// Window per spatial axis.
            kernel_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// Whether a last partial window counts.
            ceil_mode: bool = false,
            /// Whether padding counts in the mean.
            count_include_pad: bool = false,
        }
        /// p-norm of windows over the spatial axes.
        LpPool lp_pool composite 1 Pure "x" -> "y" {
            /// Window per spatial axis.
            kernel_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// Whether a last partial window counts.
            ceil_mode: bool = false,
            /// The exponent.
            p: i64 = 2,
        }
        /// Mean over all spatial axes, kept with size 1.
        GlobalAveragePool global_average_pool composite 1 Pure "x" -> "y" {}
        /// Greatest over all spatial axes, kept with size 1.
        GlobalMaxPool global_max_pool composite 1 Pure "x" -> "y" {}
        /// p-norm over all spatial axes, kept with size 1.
        GlobalLpPool global_lp_pool composite 1 Pure "x" -> "y" {
            /// The exponent.
            p: i64 = 2,
        }
        /// Puts elements back at the positions that `max_pool` gave, zero elsewhere. Positions are flat in a tensor of the size that the windows imply; the result may be larger.
        MaxUnpool max_unpool composite 1 MayFail "x, indices" -> "y" {
            /// Window per spatial axis.
            kernel_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each.
            pads: Vec<i64>,
            /// The full shape of the result; implied by the windows when empty.
            dims: Vec<Dim> = Vec::new(),
        }
        /// Convolution whose sampling points are moved by learned offsets.
        DeformConv deform_conv composite 1 Pure "x, w, offset, b?, mask?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// Groups of offsets.
            offset_groups: i64 = 1,
        }
        /// Sums columns of blocks back into an image (the adjoint of im2col).
        Col2Im col2im composite 1 Pure "x" -> "y" {
            /// Spatial sizes of the image.
            image_dims: Vec<Dim>,
            /// Sizes of a block.
            block_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
        }
        /// Local response normalisation over channels.
        Lrn lrn composite 1 Pure "x" -> "y" {
            /// Scale.
            alpha: Float = Float(1e-4f32 as f64),
            /// Exponent.
            beta: Float = Float(0.75),
            /// Added constant.
            bias: Float = Float(1.0),
            /// Channels summed over.
            size: i64,
        }
        /// Depthwise causal 1-D convolution over x[N, C, L] that carries its last inputs as state, with an optional `silu` activation.
        CausalConvWithState causal_conv_with_state composite 1 Pure "x, w, b?, past?" -> "y, present" {
            /// `none`, `silu` or `swish`.
            activation: String = "none".to_owned(),
        }
    }

    activation {
        /// max(x, 0).
        Relu relu composite 1 Pure "x" -> "y" {}
        /// x where x >= 0, alpha * x elsewhere.
        LeakyRelu leaky_relu composite 1 Pure "x" -> "y" {
            /// Slope below zero.
            alpha: Float = Float(0.01f32 as f64),
        }
        /// x where x >= 0, slope * x elsewhere; the slope broadcasts to x.
        Prelu prelu composite 1 Pure "x, slope" -> "y" {}
        /// x above 0, alpha * (e^x - 1) elsewhere.
        Elu elu composite 1 Pure "x" -> "y" {
            /// Scale below zero.
            alpha: Float = Float(1.0),
        }
        /// max(0, x) + min(0, alpha * (e^(x / alpha) - 1)).
        Celu celu composite 1 Pure "x" -> "y" {
            /// Scale below zero.
            alpha: Float = Float(1.0),
        }
        /// gamma * x above 0, gamma * alpha * (e^x - 1) elsewhere.
        Selu selu composite 1 Pure "x" -> "y" {
            /// Scale below zero.
            alpha: Float = Float(1.673_263_2_f32 as f64),
            /// Scale.
            gamma: Float = Float(1.050_701_f32 as f64),
        }
        /// 1 / (1 + e^-x).
        Sigmoid sigmoid composite 1 Pure "x" -> "y" {}
        /// max(0, min(1, alpha * x + beta)).
        HardSigmoid hard_sigmoid composite 1 Pure "x" -> "y" {
            /// Slope.
            alpha: Float = Float(0.2f32 as f64),
            /// Offset.
            beta: Float = Float(0.5),
        }
        /// x * max(0, min(1, x / 6 + 0.5)).
        HardSwish hard_swish composite 1 Pure "x" -> "y" {}
        /// ln(1 + e^x), without overflow.
        Softplus softplus composite 1 Pure "x" -> "y" {}
        /// x / (1 + |x|).
        Softsign softsign composite 1 Pure "x" -> "y" {}
        /// x above alpha, 0 elsewhere.
        ThresholdedRelu thresholded_relu composite 1 Pure "x" -> "y" {
            /// The threshold.
            alpha: Float = Float(1.0),
        }
        /// x * tanh(softplus(x)).
        Mish mish composite 1 Pure "x" -> "y" {}
        /// x * Phi(x), exactly or by the hyperbolic tangent.
        Gelu gelu composite 1 Pure "x" -> "y" {
            /// Which.
            approximate: GeluKind = GeluKind::Exact,
        }
        /// x * sigmoid(alpha * x); silu for alpha 1.
        Swish swish composite 1 Pure "x" -> "y" {
            /// Slope of the gate.
            alpha: Float = Float(1.0),
        }
        /// x + bias below -lambd, x - bias above lambd, 0 between.
        Shrink shrink composite 1 Pure "x" -> "y" {
            /// Offset.
            bias: Float = Float(0.0),
            /// Threshold.
            lambd: Float = Float(0.5),
        }
        /// gelu(x + bias), the bias along the last axis.
        BiasGelu bias_gelu composite 1 Pure "x, bias" -> "y" {}
        /// Tanh gelu of x plus an optional bias along the last axis.
        FastGelu fast_gelu composite 1 Pure "x, bias?" -> "y" {}
    }

    norm {
        /// e^x normalised to sum 1 over axes jointly.
        Softmax softmax composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
        }
        /// Logarithm of the softmax over axes jointly.
        LogSoftmax log_softmax composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
        }
        /// 1 at the first greatest element over consecutive axes jointly, 0 elsewhere.
        Hardmax hardmax composite 1 Pure "x" -> "y" {
            /// The axes, consecutive, not negative.
            axes: Vec<i64>,
        }
        /// (x - mean) / sqrt(var + epsilon) * scale + bias per channel (axis 1). In training mode mean and variance come from x and the running ones are updated.
        BatchNormalization batch_normalization composite 1 Pure
        "x, scale, bias, mean, var" -> "y, running_mean?, running_var?" {
            /// Added to the variance.
            epsilon: Float = Float(1e-5f32 as f64),
            /// Weight of the old running value.
            momentum: Float = Float(0.9f32 as f64),
            /// Whether statistics come from x.
            training_mode: bool = false,
        }
        /// Normalisation per sample and channel over the spatial axes.
        InstanceNormalization instance_normalization composite 1 Pure "x, scale, bias" -> "y" {
            /// Added to the variance.
            epsilon: Float = Float(1e-5f32 as f64),
        }
        /// Normalisation per sample and group of channels. Scale and bias have one element per channel, or per group.
        GroupNormalization group_normalization composite 1 Pure "x, scale, bias" -> "y" {
            /// The number of groups.
            num_groups: i64,
            /// Added to the variance.
            epsilon: Float = Float(1e-5f32 as f64),
            /// The dtype of the statistics; that of x when absent.
            stash: Option<DType> = None,
        }
        /// Normalisation over the axes from `axis` on.
        LayerNormalization layer_normalization composite 1 Pure
        "x, scale, bias?" -> "y, mean?, inv_std?" {
            /// The first axis, not negative.
            axis: i64,
            /// Added to the variance.
            epsilon: Float = Float(1e-5f32 as f64),
            /// The dtype of the statistics; that of x when absent.
            stash: Option<DType> = None,
        }
        /// x / sqrt(mean(x^2) + epsilon) * scale over the axes from `axis` on.
        RmsNormalization rms_normalization composite 1 Pure "x, scale" -> "y" {
            /// The first axis, not negative.
            axis: i64,
            /// Added to the mean square.
            epsilon: Float = Float(1e-5f32 as f64),
            /// The dtype of the statistics; that of x when absent.
            stash: Option<DType> = None,
        }
        /// layer_normalization of input + skip (+ bias) over the last axis.
        SkipLayerNormalization skip_layer_normalization composite 1 Pure
        "input, skip, gamma, beta?, bias?" -> "y, mean?, inv_std?, sum?" {
            /// Added to the variance.
            epsilon: Float = Float(1e-12f32 as f64),
        }
        /// rms_normalization of input + skip (+ bias) over the last axis.
        SkipRmsNormalization skip_rms_normalization composite 1 Pure
        "input, skip, gamma, bias?" -> "y, mean?, inv_std?, sum?" {
            /// Added to the mean square.
            epsilon: Float = Float(1e-12f32 as f64),
        }
        /// x divided by its p-norm along an axis; 0 stays 0.
        LpNormalization lp_normalization composite 1 Pure "x" -> "y" {
            /// The axis, not negative.
            axis: i64,
            /// 1 or 2.
            p: i64 = 2,
        }
        /// (x - mean) / (standard deviation + 1e-9) over axes.
        MeanVarianceNormalization mean_variance_normalization composite 1 Pure "x" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
        }
        /// Negative log likelihood of class targets; input[N, C, ...] holds log probabilities.
        NegativeLogLikelihoodLoss negative_log_likelihood_loss composite 1 MayFail
        "input, target, weight?" -> "loss" {
            /// A target that does not count.
            ignore_index: Option<i64> = None,
            /// How losses are summed up.
            reduction: LossReduction = LossReduction::Mean,
        }
        /// Cross entropy of the softmax of scores[N, C, ...] with class labels; also the log probabilities.
        SoftmaxCrossEntropyLoss softmax_cross_entropy_loss composite 1 MayFail
        "scores, labels, weights?" -> "loss, log_prob?" {
            /// A label that does not count.
            ignore_index: Option<i64> = None,
            /// How losses are summed up.
            reduction: LossReduction = LossReduction::Mean,
        }
    }

    attention {
        /// Scaled dot-product attention as ONNX Attention (opset 23, 24): grouped heads, mask, causal, cache, soft cap. A mask that is shorter than the keys is filled up with -inf; a row that is masked throughout gives NaN.
        Attention attention composite 1 Pure
        "q, k, v, mask?, past_key?, past_value?, nonpad_kv_seqlen?"
        -> "y, present_key?, present_value?, qk?" {
            /// Whether later positions are hidden.
            is_causal: bool = false,
            /// Query heads; required when q has rank 3.
            q_num_heads: Option<i64> = None,
            /// Key and value heads; required when k has rank 3.
            kv_num_heads: Option<i64> = None,
            /// Factor of the scores; 1 / sqrt(head size) when absent.
            scale: Option<Float> = None,
            /// Soft cap of the scores; 0 for none.
            softcap: Float = Float(0.0),
            /// The dtype of the softmax; that of q when absent.
            softmax_precision: Option<DType> = None,
            /// Which scores `qk` holds: 0 raw, 1 capped, 2 capped and masked, 3 after the softmax.
            qk_mode: i64 = 0,
        }
        /// Rotary position embedding as ONNX RotaryEmbedding (opset 23). Position ids are [batch, sequence], or one element: the position of the first step.
        RotaryEmbedding rotary_embedding composite 1 MayFail "x, cos, sin, position_ids?" -> "y" {
            /// Whether pairs are neighbours rather than halves.
            interleaved: bool = false,
            /// Heads; required when x has rank 3.
            num_heads: i64 = 0,
            /// Size of the rotated part of a head; 0 for all.
            rotary_dim: i64 = 0,
        }
        /// Linear attention with recurrent state as ONNX LinearAttention (opset 27).
        LinearAttention linear_attention composite 1 Pure
        "q, k, v, past?, decay?, beta?" -> "y, present" {
            /// Query heads.
            q_num_heads: i64,
            /// Key and value heads.
            kv_num_heads: i64,
            /// Factor of the output; 0 for 1 / sqrt(head size).
            scale: Float = Float(0.0),
            /// The state update.
            update_rule: LinearAttentionRule = LinearAttentionRule::GatedDelta,
            /// A hint of how many steps to process together.
            chunk_size: i64 = 64,
        }
        /// Attention whose scores and probabilities are changed by regions, as ONNX FlexAttention. Each region takes a tensor of rank 4, then all captures, and gives a tensor of the same type.
        FlexAttention flex_attention composite 1 Pure "q, k, v, captures*" -> "y" {
            /// Factor of the scores; 1 / sqrt(head size) when absent.
            scale: Option<Float> = None,
            /// The dtype of scores and probabilities; f64 for operands of f64, else f32, when absent.
            softmax_precision: Option<DType> = None,
            /// From scores to scores.
            score_mod: Option<RegionId> = None,
            /// From probabilities to probabilities.
            prob_mod: Option<RegionId> = None,
        }
        /// Multi-head attention of com.microsoft: q, k and v of rank 3 (k and v also of rank 4, heads first), or packed as [batch, sequence, heads, 3, size], or k and v packed as [batch, sequence, heads, 2, size].
        MultiHeadAttention multi_head_attention composite 1 Pure
        "q, k?, v?, bias?, key_padding_mask?, attention_bias?, past_key?, past_value?"
        -> "y, present_key?, present_value?" {
            /// Heads.
            num_heads: i64,
            /// Factor of the scores; 1 / sqrt(head size) when absent.
            scale: Option<Float> = None,
            /// Score of masked positions.
            mask_filter_value: Float = Float(-10000.0),
            /// Whether later positions are hidden.
            unidirectional: bool = false,
        }
        /// Self-attention of com.microsoft with a packed projection of the input.
        PackedAttention packed_attention composite 1 Pure
        "input, weights, bias?, mask_index?, past?, attention_bias?" -> "y, present?" {
            /// Heads.
            num_heads: i64,
            /// Factor of the scores; 1 / sqrt(head size) when absent.
            scale: Option<Float> = None,
            /// Score of masked positions.
            mask_filter_value: Float = Float(-10000.0),
            /// Whether later positions are hidden.
            unidirectional: bool = false,
            /// Sizes of the q, k and v projections; thirds when empty.
            qkv_hidden_sizes: Vec<i64> = Vec::new(),
        }
        /// Sum of word, position and segment embeddings, layer-normalised, and a mask index, of com.microsoft.
        EmbedLayerNormalization embed_layer_normalization composite 1 MayFail
        "input_ids, segment_ids?, word, position, segment?, gamma, beta, mask?, position_ids?"
        -> "y, mask_index?, sum?" {
            /// Added to the variance.
            epsilon: Float = Float(1e-12f32 as f64),
            /// Whether the mask index counts the mask (1) or is zero (0).
            mask_index_type: i64 = 0,
        }
    }

    rnn {
        /// Elman layer as ONNX RNN.
        Rnn rnn composite 1 MayFail "x, w, r, b?, lengths?, initial_h?" -> "y?, y_h?" {
            /// Activation names, one per direction.
            activations: Vec<String>,
            /// Their alpha parameters.
            activation_alpha: Vec<Float> = Vec::new(),
            /// Their beta parameters.
            activation_beta: Vec<Float> = Vec::new(),
            /// Limit of the pre-activations.
            clip: Option<Float> = None,
            /// Direction.
            direction: RnnDirection = RnnDirection::Forward,
            /// Size of the state.
            hidden_size: i64,
            /// Whether the batch axis comes first.
            batch_first: bool = false,
        }
        /// Gated recurrent unit as ONNX GRU.
        Gru gru composite 1 MayFail "x, w, r, b?, lengths?, initial_h?" -> "y?, y_h?" {
            /// Activation names, two per direction.
            activations: Vec<String>,
            /// Their alpha parameters.
            activation_alpha: Vec<Float> = Vec::new(),
            /// Their beta parameters.
            activation_beta: Vec<Float> = Vec::new(),
            /// Limit of the pre-activations.
            clip: Option<Float> = None,
            /// Direction.
            direction: RnnDirection = RnnDirection::Forward,
            /// Size of the state.
            hidden_size: i64,
            /// Whether the batch axis comes first.
            batch_first: bool = false,
            /// Whether the reset gate comes after the matrix product.
            linear_before_reset: bool = false,
        }
        /// Long short-term memory as ONNX LSTM.
        Lstm lstm composite 1 MayFail
        "x, w, r, b?, lengths?, initial_h?, initial_c?, p?" -> "y?, y_h?, y_c?" {
            /// Activation names, three per direction.
            activations: Vec<String>,
            /// Their alpha parameters.
            activation_alpha: Vec<Float> = Vec::new(),
            /// Their beta parameters.
            activation_beta: Vec<Float> = Vec::new(),
            /// Limit of the pre-activations.
            clip: Option<Float> = None,
            /// Direction.
            direction: RnnDirection = RnnDirection::Forward,
            /// Size of the state.
            hidden_size: i64,
            /// Whether the batch axis comes first.
            batch_first: bool = false,
            /// Whether the input gate is one minus the forget gate.
            input_forget: bool = false,
        }
        /// LSTM with quantised weights w[d, input, 4h] and r[d, h, 4h] whose inputs are quantised as they come, as com.microsoft.
        DynamicQuantizeLstm dynamic_quantize_lstm composite 1 MayFail
        "x, w, r, b?, lengths?, initial_h?, initial_c?, p?, w_scale, w_zero_point, r_scale, r_zero_point"
        -> "y?, y_h?, y_c?" {
            /// Activation names, three per direction.
            activations: Vec<String>,
            /// Their alpha parameters.
            activation_alpha: Vec<Float> = Vec::new(),
            /// Their beta parameters.
            activation_beta: Vec<Float> = Vec::new(),
            /// Limit of the pre-activations.
            clip: Option<Float> = None,
            /// Direction.
            direction: RnnDirection = RnnDirection::Forward,
            /// Size of the state.
            hidden_size: i64,
            /// Whether the input gate is one minus the forget gate.
            input_forget: bool = false,
        }
    }

    quant {
        /// round(x / scale) + zero_point, saturated: per tensor, per axis, or per block.
        QuantizeLinear quantize_linear composite 1 Pure "x, scale, zero_point?" -> "y" {
            /// The axis of scales, not negative; ignored when the scale is a scalar.
            axis: i64 = 1,
            /// Elements per block along the axis; 0 for none.
            block_size: i64 = 0,
            /// The dtype of the result; it agrees with the zero point where that is given.
            dtype: DType,
            /// Whether a float8 result saturates.
            saturate: bool = true,
            /// The dtype of the division; that of the scale when absent.
            precision: Option<DType> = None,
        }
        /// (x - zero_point) * scale: per tensor, per axis, or per block.
        DequantizeLinear dequantize_linear composite 1 Pure "x, scale, zero_point?" -> "y" {
            /// The axis of scales, not negative; ignored when the scale is a scalar.
            axis: i64 = 1,
            /// Elements per block along the axis; 0 for none.
            block_size: i64 = 0,
            /// The dtype of the result; that of the scale when absent.
            dtype: Option<DType> = None,
        }
        /// Quantises to u8 with scale and zero point from the range of x.
        DynamicQuantizeLinear dynamic_quantize_linear composite 1 Pure
        "x" -> "y, scale, zero_point" {}
        /// Matrix product of 8-bit integers minus zero points, in i32.
        MatmulInteger matmul_integer composite 1 Pure
        "a, b, a_zero_point?, b_zero_point?" -> "y" {}
        /// Convolution of 8-bit integers minus zero points, in i32.
        ConvInteger conv_integer composite 1 Pure "x, w, x_zero_point?, w_zero_point?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
        }
        /// Matrix product of quantised tensors, requantised.
        QlinearMatmul qlinear_matmul composite 1 Pure
        "a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point" -> "y" {}
        /// Convolution of quantised tensors, requantised.
        QlinearConv qlinear_conv composite 1 Pure
        "x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, b?" -> "y" {
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// One per spatial axis.
            dilations: Vec<i64>,
            /// Groups of channels.
            groups: i64 = 1,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
        }
        /// matmul_integer times scales, plus bias, in float.
        MatmulIntegerToFloat matmul_integer_to_float composite 1 Pure
        "a, b, a_scale, b_scale, a_zero_point?, b_zero_point?, bias?" -> "y" {}
        /// matmul_integer_to_float of a float operand that is quantised as it comes.
        DynamicQuantizeMatmul dynamic_quantize_matmul composite 1 Pure
        "a, b, b_scale, b_zero_point?, bias?" -> "y" {}
        /// Sum of quantised tensors, requantised; broadcasts.
        QlinearAdd qlinear_add composite 1 Pure
        "a, a_scale, a_zero_point?, b, b_scale, b_zero_point?, y_scale, y_zero_point?" -> "y" {}
        /// Product of quantised tensors, requantised; broadcasts.
        QlinearMul qlinear_mul composite 1 Pure
        "a, a_scale, a_zero_point?, b, b_scale, b_zero_point?, y_scale, y_zero_point?" -> "y" {}
        /// Sigmoid of a quantised tensor, requantised.
        QlinearSigmoid qlinear_sigmoid composite 1 Pure
        "x, x_scale, x_zero_point?, y_scale, y_zero_point?" -> "y" {}
        /// leaky_relu of a quantised tensor, requantised.
        QlinearLeakyRelu qlinear_leaky_relu composite 1 Pure
        "x, x_scale, x_zero_point?, y_scale, y_zero_point?" -> "y" {
            /// Slope below zero.
            alpha: Float = Float(0.01f32 as f64),
        }
        /// Softmax of a quantised tensor, requantised.
        QlinearSoftmax qlinear_softmax composite 1 Pure
        "x, x_scale, x_zero_point?, y_scale, y_zero_point" -> "y" {
            /// The axes, not negative.
            axes: Vec<i64>,
            /// The opset whose softmax is meant; for writing back.
            opset: i64,
        }
        /// Mean over the spatial axes of a quantised tensor, requantised.
        QlinearGlobalAveragePool qlinear_global_average_pool composite 1 Pure
        "x, x_scale, x_zero_point, y_scale, y_zero_point" -> "y" {
            /// Whether channels are last.
            channels_last: bool = false,
        }
        /// average_pool of a quantised tensor, requantised.
        QlinearAveragePool qlinear_average_pool composite 1 Pure
        "x, x_scale, x_zero_point?, y_scale, y_zero_point?" -> "y" {
            /// Window per spatial axis.
            kernel_shape: Vec<i64>,
            /// One per spatial axis.
            strides: Vec<i64>,
            /// Before each spatial axis, then after each; empty unless explicit.
            pads: Vec<i64>,
            /// How padding is found.
            auto_pad: AutoPad = AutoPad::Explicit,
            /// Whether a last partial window counts.
            ceil_mode: bool = false,
            /// Whether padding counts in the mean.
            count_include_pad: bool = false,
            /// Whether channels are last.
            channels_last: bool = false,
        }
        /// Concatenation of quantised tensors (each with scale and zero point), requantised.
        QlinearConcat qlinear_concat composite 1 Pure
        "y_scale, y_zero_point, inputs*" -> "y" {
            /// The axis, not negative.
            axis: i64,
        }
        /// gemm of quantised tensors; float result unless a result scale is given.
        Qgemm qgemm composite 1 Pure
        "a, a_scale, a_zero_point, b, b_scale, b_zero_point, c?, y_scale?, y_zero_point?" -> "y" {
            /// Factor of the product.
            alpha: Float = Float(1.0),
            /// Whether a is transposed.
            trans_a: bool = false,
            /// Whether b is transposed.
            trans_b: bool = false,
        }
        /// a times the transpose of a block-quantised matrix [n, k] of `bits` wide elements packed into u8, as com.microsoft MatMulNBits.
        MatmulNbits matmul_nbits composite 1 MayFail
        "a, b, scales, zero_points?, g_idx?, bias?" -> "y" {
            /// Columns of the matrix.
            k: i64,
            /// Rows of the matrix.
            n: i64,
            /// Width of an element.
            bits: i64 = 4,
            /// Elements per block.
            block_size: i64,
            /// The source's hint on accumulation; has no bearing on the contract.
            accuracy_level: i64 = 0,
        }
    }

    image {
        /// Resampling as ONNX Resize. Coordinates are computed in f32; a size from a scale is rounded down. Integers of plain linear interpolation are truncated, others rounded.
        Resize resize composite 1 MayFail "x, roi?" -> "y" {
            /// The axes that change, not negative; all when empty.
            axes: Vec<i64> = Vec::new(),
            /// Factor per axis; empty when sizes are given.
            scales: Vec<Float> = Vec::new(),
            /// Size per axis; empty when scales are given.
            sizes: Vec<Dim> = Vec::new(),
            /// Interpolation.
            mode: ResizeMode = ResizeMode::Nearest,
            /// Coordinate mapping.
            coordinates: CoordinateMode = CoordinateMode::HalfPixel,
            /// Rounding in nearest mode.
            nearest: NearestMode = NearestMode::RoundPreferFloor,
            /// Whether shrinking filters first.
            antialias: bool = false,
            /// Parameter of the cubic kernel.
            cubic_coeff: Float = Float(-0.75),
            /// Whether weights outside the image are dropped.
            exclude_outside: bool = false,
            /// Value outside the region of interest.
            extrapolation_value: Float = Float(0.0),
            /// Policy when sizes are given.
            aspect: AspectPolicy = AspectPolicy::Stretch,
        }
        /// Samples x[N, C, spatial...] at grid[N, out..., spatial rank] of coordinates in [-1, 1], last axis first.
        GridSample grid_sample composite 1 Pure "x, grid" -> "y" {
            /// Interpolation.
            mode: GridMode = GridMode::Linear,
            /// Outside the image.
            padding: GridPadding = GridPadding::Zeros,
            /// Whether -1 and 1 are the centres of the corner pixels.
            align_corners: bool = false,
        }
        /// Sampling grid of an affine map theta[N, rank, rank + 1] for an image of the given size; a lone pixel between aligned corners is at 0.
        AffineGrid affine_grid composite 1 Pure "theta" -> "grid" {
            /// N, C and the spatial sizes.
            dims: Vec<Dim>,
            /// Whether -1 and 1 are the centres of the corner pixels.
            align_corners: bool = false,
        }
        /// Averages or maxima of bilinear samples in the bins of regions [x1, y1, x2, y2]. A maximum is one of the weighted neighbours of all samples.
        RoiAlign roi_align composite 1 MayFail "x, rois, batch_indices" -> "y" {
            /// How samples combine.
            mode: RoiMode = RoiMode::Avg,
            /// Bins per column.
            output_height: i64 = 1,
            /// Bins per row.
            output_width: i64 = 1,
            /// Samples per bin and axis; 0 for one per pixel.
            sampling_ratio: i64 = 0,
            /// From region coordinates to x.
            spatial_scale: Float = Float(1.0),
            /// Whether pixels are shifted by half.
            half_pixel: bool = true,
        }
        /// Greatest elements in the bins of regions [batch, x1, y1, x2, y2]; 0 in an empty bin.
        MaxRoiPool max_roi_pool composite 1 MayFail "x, rois" -> "y" {
            /// Bins per column and row.
            pooled_shape: Vec<i64>,
            /// From region coordinates to x.
            spatial_scale: Float = Float(1.0),
        }
        /// Boxes kept by greedy suppression, from the highest score down and of equal scores from the lower position up: i64[n, 3] of batch, class, box. Absent operands are 0, no output and no threshold, and no score threshold.
        NonMaxSuppression non_max_suppression core 1 Pure
        "boxes, scores, max_output?, iou_threshold?, score_threshold?" -> "selected" {
            /// Whether boxes are centre, size instead of two corners.
            center_point_box: bool = false,
        }
    }

    signal {
        /// Discrete Fourier transform of a c64 or c128 tensor along one axis; the inverse divides by the length.
        Fft fft core 1 Pure "x" -> "y" {
            /// The axis, not negative.
            axis: i64,
            /// Whether it is the inverse.
            inverse: bool = false,
        }
        /// ONNX DFT: the last axis holds real (size 1) or real and imaginary (size 2) parts.
        Dft dft composite 1 Pure "x" -> "y" {
            /// The axis, not negative.
            axis: i64,
            /// Length of the transform; that of the axis when absent.
            length: Option<Dim> = None,
            /// Whether it is the inverse.
            inverse: bool = false,
            /// Whether only the first half is kept.
            onesided: bool = false,
        }
        /// ONNX STFT: transforms of windows of signal[batch, length, 1 or 2] or signal[batch, length]. A window shorter than a frame is zero after its end.
        Stft stft composite 1 Pure "signal, window?" -> "y" {
            /// Distance of frames.
            frame_step: Dim,
            /// Length of a frame.
            frame_length: Dim,
            /// Whether only the first half is kept.
            onesided: bool = true,
        }
        /// Hann window.
        HannWindow hann_window composite 1 Pure "" -> "y" {
            /// Number of points.
            size: Dim,
            /// Whether it is periodic rather than symmetric.
            periodic: bool = true,
            /// The dtype of the result.
            dtype: DType,
        }
        /// Hamming window with coefficients 25/46 and 21/46.
        HammingWindow hamming_window composite 1 Pure "" -> "y" {
            /// Number of points.
            size: Dim,
            /// Whether it is periodic rather than symmetric.
            periodic: bool = true,
            /// The dtype of the result.
            dtype: DType,
        }
        /// Blackman window.
        BlackmanWindow blackman_window composite 1 Pure "" -> "y" {
            /// Number of points.
            size: Dim,
            /// Whether it is periodic rather than symmetric.
            periodic: bool = true,
            /// The dtype of the result.
            dtype: DType,
        }
        /// Matrix from spectrogram bins to mel bands: [dft_length / 2 + 1, num_mel_bins].
        MelWeightMatrix mel_weight_matrix composite 1 MayFail
        "lower_edge_hertz, upper_edge_hertz" -> "y" {
            /// Bands.
            num_mel_bins: i64,
            /// Size of the transform.
            dft_length: i64,
            /// Samples per second.
            sample_rate: i64,
            /// The dtype of the result.
            dtype: DType,
        }
    }

    random {
        /// Random numbers. The same bits everywhere for a named algorithm; SPEC states how a seed becomes numbers.
        Rng rng core 1 Nondet "" -> "y" {
            /// The algorithm.
            algorithm: RngAlgorithm,
            /// The distribution.
            distribution: Distribution,
            /// The dtype of the result: f16, bf16, f32 or f64.
            dtype: DType,
            /// The shape of the result.
            dims: Vec<Dim>,
            /// The seed; a whole number within i64 is the key as it is, another one by its bits.
            seed: Option<Float> = None,
        }
        /// Normal random numbers.
        RandomNormal random_normal composite 1 Nondet "" -> "y" {
            /// The shape of the result.
            dims: Vec<Dim>,
            /// The dtype of the result.
            dtype: DType,
            /// Mean.
            mean: Float = Float(0.0),
            /// Standard deviation.
            scale: Float = Float(1.0),
            /// Seed.
            seed: Option<Float> = None,
        }
        /// Uniform random numbers in [low, high).
        RandomUniform random_uniform composite 1 Nondet "" -> "y" {
            /// The shape of the result.
            dims: Vec<Dim>,
            /// The dtype of the result.
            dtype: DType,
            /// Least.
            low: Float = Float(0.0),
            /// Bound.
            high: Float = Float(1.0),
            /// Seed.
            seed: Option<Float> = None,
        }
        /// random_normal in the shape of a tensor.
        RandomNormalLike random_normal_like composite 1 Nondet "x" -> "y" {
            /// The dtype of the result; that of x when absent.
            dtype: Option<DType> = None,
            /// Mean.
            mean: Float = Float(0.0),
            /// Standard deviation.
            scale: Float = Float(1.0),
            /// Seed.
            seed: Option<Float> = None,
        }
        /// random_uniform in the shape of a tensor.
        RandomUniformLike random_uniform_like composite 1 Nondet "x" -> "y" {
            /// The dtype of the result; that of x when absent.
            dtype: Option<DType> = None,
            /// Least.
            low: Float = Float(0.0),
            /// Bound.
            high: Float = Float(1.0),
            /// Seed.
            seed: Option<Float> = None,
        }
        /// 1 with probability x, else 0.
        Bernoulli bernoulli composite 1 Nondet "x" -> "y" {
            /// The dtype of the result; that of x when absent.
            dtype: Option<DType> = None,
            /// Seed.
            seed: Option<Float> = None,
        }
        /// Samples of classes from unnormalised log probabilities [batch, classes].
        Multinomial multinomial composite 1 Nondet "x" -> "y" {
            /// The dtype of the result, i32 or i64.
            dtype: DType = DType::I32,
            /// Samples per row.
            sample_size: i64 = 1,
            /// Seed.
            seed: Option<Float> = None,
        }
        /// In training mode zeroes elements with probability `ratio` (0.5 by default) and divides the rest by 1 - ratio; else, and by default, the identity. The operands `ratio` and `training_mode` are scalars. The mask is true where elements are kept.
        Dropout dropout composite 1 Nondet "x, ratio?, training_mode?" -> "y, mask?" {
            /// Seed.
            seed: Option<Float> = None,
        }
    }

    control {
        /// Runs one of two regions. Both take the captures as parameters.
        If if_ core 1 MayFail "condition, captures*" -> "results*" {
            /// Where the condition holds.
            then_branch: RegionId,
            /// Elsewhere.
            else_branch: RegionId,
        }
        /// Runs a region repeatedly. Operands after the first two are `carried` initial values, then captures. The region takes the i64 iteration number, the bool condition, the carried values and the captures; it gives the next condition, the carried values and one element per stacked output. Results are the final carried values and the stacked outputs with a new first axis. A carried value may start as an optional of what the body gives; if the body never runs it has to hold an element.
        Loop loop_ core 1 MayFail "trip_count?, condition?, values*" -> "results*" {
            /// The body.
            body: RegionId,
            /// The number of carried values.
            carried: i64,
        }
        /// Runs a region over slices, as ONNX Scan (opset 9). Operands are the initial states, the scanned tensors, then captures.
        Scan scan composite 1 MayFail "values*" -> "results*" {
            /// The body: states, slices and captures to states and output slices.
            body: RegionId,
            /// The number of states.
            states: i64,
            /// The number of scanned tensors.
            scanned: i64,
            /// The axis of each scanned tensor, not negative.
            input_axes: Vec<i64>,
            /// Whether each scanned tensor runs from the end.
            input_reverse: Vec<i64>,
            /// The axis of each stacked output, not negative.
            output_axes: Vec<i64>,
            /// Whether each stacked output is filled from the end.
            output_reverse: Vec<i64>,
        }
        /// Runs a region on every element of a sequence. Operands are `inputs` sequences or tensors, then captures.
        SequenceMap sequence_map composite 1 MayFail "first, values*" -> "results*" {
            /// The body.
            body: RegionId,
            /// The number of operands that are not captures.
            inputs: i64,
        }
        /// Fails with a message unless a bool scalar holds; gives the other operand.
        Assert assert core 1 MayFail "condition, x" -> "y" {
            /// The message.
            message: String,
        }
        /// Use of a function of the module.
        Call call reference 1 MayFail "inputs*" -> "results*" {
            /// The function.
            function: FuncId,
            /// The op that the source format calls it.
            source: Option<SourceOp> = None,
        }
        /// An op without meaning here; passes through with the types that were declared.
        Opaque opaque reference 1 Io "inputs*" -> "results*" {
            /// The op.
            source: SourceOp,
            /// How many of the last operands are captures of the regions in its attributes.
            captures: i64 = 0,
            /// Why the reader gave it no meaning.
            reason: String = String::new(),
        }
    }

    sequence {
        /// A sequence of tensors.
        SequenceConstruct sequence_construct core 1 Pure "first, more*" -> "sequence" {}
        /// An empty sequence of tensors.
        SequenceEmpty sequence_empty core 1 Pure "" -> "sequence" {
            /// The dtype of its elements.
            dtype: DType,
        }
        /// A sequence with a tensor inserted, at the end when no position is given.
        SequenceInsert sequence_insert core 1 MayFail "sequence, x, position?" -> "y" {}
        /// An element of a sequence; negative positions count from the end.
        SequenceAt sequence_at core 1 MayFail "sequence, position" -> "x" {}
        /// A sequence without one element, the last when no position is given.
        SequenceErase sequence_erase core 1 MayFail "sequence, position?" -> "y" {}
        /// The number of elements as an i64 scalar.
        SequenceLength sequence_length core 1 Pure "sequence" -> "length" {}
        /// Parts of a tensor along an axis: of size 1 (dropped unless kept), of a scalar size, or of listed sizes.
        SplitToSequence split_to_sequence core 1 MayFail "x, split?" -> "sequence" {
            /// The axis, not negative.
            axis: i64 = 0,
            /// Whether parts of size 1 keep the axis; counts only without `split`.
            keepdims: bool = true,
        }
        /// Joins a sequence along an axis, or along a new one.
        ConcatFromSequence concat_from_sequence core 1 MayFail "sequence" -> "y" {
            /// The axis; may be negative.
            axis: i64,
            /// Whether the axis is new.
            new_axis: bool = false,
        }
        /// An optional holding the operand, or nothing of a stated type.
        Optional optional core 1 Pure "x?" -> "y" {
            /// The type of the element, when there is no operand.
            ty: Option<Type> = None,
        }
        /// The element of an optional; of anything else the operand itself.
        OptionalGetElement optional_get_element core 1 MayFail "x" -> "y" {}
        /// Whether an optional holds an element, as a bool scalar; false without operand, true for anything else.
        OptionalHasElement optional_has_element core 1 Pure "x?" -> "y" {}
    }

    string {
        /// Elementwise concatenation of two string tensors of equal shape.
        StringConcat string_concat core 1 Pure "a, b" -> "y" {}
        /// Splits strings at a delimiter (runs of white space when empty) into a new last axis, padded with "", and the number of parts.
        StringSplit string_split core 1 Pure "x" -> "y, counts" {
            /// The delimiter.
            delimiter: String = String::new(),
            /// The most splits made; all when absent.
            maxsplit: Option<i64> = None,
        }
        /// Removes stop words and changes case of strings [c] or [1, c]; when nothing is left, one empty string.
        StringNormalizer string_normalizer core 1 Pure "x" -> "y" {
            /// How case changes.
            case_change: CaseChange = CaseChange::None,
            /// Whether stop words are compared with case.
            case_sensitive: bool = false,
            /// Words to remove.
            stopwords: Vec<String> = Vec::new(),
            /// Locale name; has no bearing on the result here.
            locale: String = String::new(),
        }
        /// Whether whole strings match an RE2 pattern. Strings are taken as UTF-8; other bytes match nothing that stands for a character. `\d`, `\s`, `\w` and `\b` know ASCII only.
        RegexFullMatch regex_full_match core 1 Pure "x" -> "y" {
            /// The pattern.
            pattern: String,
        }
        /// n-gram counts or weights of integer or string sequences, as ONNX TfIdfVectorizer.
        TfidfVectorizer tfidf_vectorizer core 1 Pure "x" -> "y" {
            /// Weighting.
            mode: TfIdfMode,
            /// Shortest n-gram.
            min_gram_length: i64,
            /// Longest n-gram.
            max_gram_length: i64,
            /// Most items skipped between the items of an n-gram.
            max_skip_count: i64,
            /// Where the pool of each n starts.
            ngram_counts: Vec<i64>,
            /// Output position of each n-gram of the pool.
            ngram_indexes: Vec<i64>,
            /// Integer pool.
            pool_int64s: Vec<i64> = Vec::new(),
            /// String pool.
            pool_strings: Vec<String> = Vec::new(),
            /// Weight of each n-gram of the pool; 1 when empty.
            weights: Vec<Float> = Vec::new(),
        }
    }

    ml {
        /// Columns of a matrix at indices: the last axis of x at y.
        ArrayFeatureExtractor array_feature_extractor composite 1 MayFail "x, y" -> "z" {}
        /// 1 above a threshold, else 0.
        Binarizer binarizer composite 1 Pure "x" -> "y" {
            /// The threshold.
            threshold: Float = Float(0.0),
        }
        /// A vector of the values of a map, in order of keys or dense.
        CastMap cast_map core 1 MayFail "x" -> "y" {
            /// The dtype of the result.
            cast_to: DType = DType::F32,
            /// Whether keys are positions of a dense vector with zeros between (else values packed).
            sparse: bool = false,
            /// Length of the sparse form.
            max_map: i64 = 1,
        }
        /// Strings to integers or back by a list of pairs.
        CategoryMapper category_mapper core 1 Pure "x" -> "y" {
            /// Integers.
            cats_int64s: Vec<i64>,
            /// Strings.
            cats_strings: Vec<String>,
            /// For strings not in the list.
            default_int64: i64 = -1,
            /// For integers not in the list.
            default_string: String = "_Unused".to_owned(),
        }
        /// A vector of a map's values at the keys of a vocabulary, zero where absent.
        DictVectorizer dict_vectorizer core 1 Pure "x" -> "y" {
            /// Integer keys.
            int64_vocabulary: Vec<i64> = Vec::new(),
            /// String keys.
            string_vocabulary: Vec<String> = Vec::new(),
        }
        /// Features side by side as f32.
        FeatureVectorizer feature_vectorizer composite 1 Pure "first, more*" -> "y" {
            /// Width of each input.
            input_dimensions: Vec<i64> = Vec::new(),
        }
        /// Replaces a marker value (NaN for floats) by one value or one per feature.
        Imputer imputer composite 1 Pure "x" -> "y" {
            /// Replacements for floats.
            imputed_value_floats: Vec<Float> = Vec::new(),
            /// Replacements for integers.
            imputed_value_int64s: Vec<i64> = Vec::new(),
            /// Marker for floats.
            replaced_value_float: Float = Float(0.0),
            /// Marker for integers.
            replaced_value_int64: i64 = 0,
        }
        /// A map of elements by a table of keys and values; NaN finds NaN, and of equal keys the last counts.
        LabelEncoder label_encoder core 1 Pure "x" -> "y" {
            /// Keys, rank 1, of the dtype of x.
            keys: TensorId,
            /// Values, as many, of the dtype of the result.
            values: TensorId,
            /// For keys that are not there: one element.
            default: TensorId,
        }
        /// Linear scores, post-transformed, and the class of the greatest.
        LinearClassifier linear_classifier core 1 Pure "x" -> "labels, scores" {
            /// One row per class.
            coefficients: Vec<Float>,
            /// One per class.
            intercepts: Vec<Float> = Vec::new(),
            /// Class labels, integers.
            classlabels_ints: Vec<i64> = Vec::new(),
            /// Class labels, strings.
            classlabels_strings: Vec<String> = Vec::new(),
            /// Has no bearing on the result.
            multi_class: i64 = 0,
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
        }
        /// Linear regression, post-transformed.
        LinearRegressor linear_regressor composite 1 Pure "x" -> "y" {
            /// One row per target.
            coefficients: Vec<Float>,
            /// One per target.
            intercepts: Vec<Float> = Vec::new(),
            /// Targets.
            targets: i64 = 1,
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
        }
        /// Rows divided by their greatest element (MAX), sum of magnitudes (L1) or norm (L2), as f32; a row whose divisor is 0 stays.
        Normalizer normalizer composite 1 Pure "x" -> "y" {
            /// MAX, L1 or L2.
            norm: String = "MAX".to_owned(),
        }
        /// One-hot of categories along a new last axis.
        OneHotEncoder one_hot_encoder core 1 MayFail "x" -> "y" {
            /// Integer categories.
            cats_int64s: Vec<i64> = Vec::new(),
            /// String categories.
            cats_strings: Vec<String> = Vec::new(),
            /// Whether an unknown category gives zeros instead of failing.
            zeros: bool = true,
        }
        /// (x - offset) * scale per feature, as f32.
        Scaler scaler composite 1 Pure "x" -> "y" {
            /// One, or one per feature.
            offset: Vec<Float> = Vec::new(),
            /// One, or one per feature.
            scale: Vec<Float> = Vec::new(),
        }
        /// Support vector classifier as ai.onnx.ml SVMClassifier.
        SvmClassifier svm_classifier core 1 Pure "x" -> "labels, scores" {
            /// Class labels, integers.
            classlabels_ints: Vec<i64> = Vec::new(),
            /// Class labels, strings.
            classlabels_strings: Vec<String> = Vec::new(),
            /// Dual coefficients.
            coefficients: Vec<Float>,
            /// gamma, coef0, degree.
            kernel_params: Vec<Float> = Vec::new(),
            /// LINEAR, POLY, RBF or SIGMOID.
            kernel_type: String = "LINEAR".to_owned(),
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
            /// First Platt coefficients.
            prob_a: Vec<Float> = Vec::new(),
            /// Second Platt coefficients.
            prob_b: Vec<Float> = Vec::new(),
            /// Offsets.
            rho: Vec<Float> = Vec::new(),
            /// Support vectors, row-major.
            support_vectors: Vec<Float> = Vec::new(),
            /// Support vectors per class.
            vectors_per_class: Vec<i64> = Vec::new(),
        }
        /// Support vector regressor as ai.onnx.ml SVMRegressor.
        SvmRegressor svm_regressor core 1 Pure "x" -> "y" {
            /// Dual coefficients.
            coefficients: Vec<Float>,
            /// gamma, coef0, degree.
            kernel_params: Vec<Float> = Vec::new(),
            /// LINEAR, POLY, RBF or SIGMOID.
            kernel_type: String = "LINEAR".to_owned(),
            /// Number of support vectors.
            n_supports: i64 = 0,
            /// Whether the result is the sign.
            one_class: bool = false,
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
            /// Offsets.
            rho: Vec<Float> = Vec::new(),
            /// Support vectors, row-major.
            support_vectors: Vec<Float> = Vec::new(),
        }
        /// Trees as ai.onnx.ml TreeEnsemble (version 5).
        TreeEnsemble tree_ensemble core 1 Pure "x" -> "y" {
            /// 0 average, 1 sum, 2 min, 3 max.
            aggregate_function: i64 = 1,
            /// 0 none, 1 softmax, 2 logistic, 3 softmax zero, 4 probit.
            post_transform: i64 = 0,
            /// Targets.
            n_targets: i64 = 1,
            /// Root nodes.
            tree_roots: Vec<i64>,
            /// Feature per node.
            nodes_featureids: Vec<i64>,
            /// Comparison per node: 0 <=, 1 <, 2 >=, 3 >, 4 ==, 5 !=, 6 member.
            nodes_modes: TensorId,
            /// Threshold per node.
            nodes_splits: TensorId,
            /// Next node or leaf where it holds.
            nodes_truenodeids: Vec<i64>,
            /// Whether that is a leaf.
            nodes_trueleafs: Vec<i64>,
            /// Next node or leaf elsewhere.
            nodes_falsenodeids: Vec<i64>,
            /// Whether that is a leaf.
            nodes_falseleafs: Vec<i64>,
            /// Whether NaN counts as true, per node.
            nodes_missing_value_tracks_true: Vec<i64> = Vec::new(),
            /// How often nodes were hit; no bearing on the result.
            nodes_hitrates: Option<TensorId> = None,
            /// Sets of member nodes, separated by NaN.
            membership_values: Option<TensorId> = None,
            /// Target per leaf.
            leaf_targetids: Vec<i64>,
            /// Weight per leaf.
            leaf_weights: TensorId,
        }
        /// Trees as ai.onnx.ml TreeEnsembleClassifier (version 1, 3), with ONNX Runtime's rules for one and two classes: where all votes go to one of two classes, the other one's score follows from it; otherwise integer labels are 1 above zero and 0 below.
        TreeEnsembleClassifier tree_ensemble_classifier core 1 Pure "x" -> "labels, scores" {
            /// Start of the scores.
            base_values: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            base_values_as_tensor: Option<TensorId> = None,
            /// Class per leaf weight.
            class_ids: Vec<i64>,
            /// Node per leaf weight.
            class_nodeids: Vec<i64>,
            /// Tree per leaf weight.
            class_treeids: Vec<i64>,
            /// Leaf weights.
            class_weights: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            class_weights_as_tensor: Option<TensorId> = None,
            /// Class labels, integers.
            classlabels_int64s: Vec<i64> = Vec::new(),
            /// Class labels, strings.
            classlabels_strings: Vec<String> = Vec::new(),
            /// Next node elsewhere.
            nodes_falsenodeids: Vec<i64>,
            /// Feature per node.
            nodes_featureids: Vec<i64>,
            /// No bearing on the result.
            nodes_hitrates: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            nodes_hitrates_as_tensor: Option<TensorId> = None,
            /// Whether NaN counts as true, per node.
            nodes_missing_value_tracks_true: Vec<i64> = Vec::new(),
            /// Comparison per node: BRANCH_LEQ ... or LEAF.
            nodes_modes: Vec<String>,
            /// Node ids within trees.
            nodes_nodeids: Vec<i64>,
            /// Tree per node.
            nodes_treeids: Vec<i64>,
            /// Next node where it holds.
            nodes_truenodeids: Vec<i64>,
            /// Threshold per node.
            nodes_values: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            nodes_values_as_tensor: Option<TensorId> = None,
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
        }
        /// Trees as ai.onnx.ml TreeEnsembleRegressor (version 1, 3).
        TreeEnsembleRegressor tree_ensemble_regressor core 1 Pure "x" -> "y" {
            /// SUM, AVERAGE, MIN or MAX.
            aggregate_function: String = "SUM".to_owned(),
            /// Start of the scores.
            base_values: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            base_values_as_tensor: Option<TensorId> = None,
            /// Targets.
            n_targets: i64 = 1,
            /// Next node elsewhere.
            nodes_falsenodeids: Vec<i64>,
            /// Feature per node.
            nodes_featureids: Vec<i64>,
            /// No bearing on the result.
            nodes_hitrates: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            nodes_hitrates_as_tensor: Option<TensorId> = None,
            /// Whether NaN counts as true, per node.
            nodes_missing_value_tracks_true: Vec<i64> = Vec::new(),
            /// Comparison per node: BRANCH_LEQ ... or LEAF.
            nodes_modes: Vec<String>,
            /// Node ids within trees.
            nodes_nodeids: Vec<i64>,
            /// Tree per node.
            nodes_treeids: Vec<i64>,
            /// Next node where it holds.
            nodes_truenodeids: Vec<i64>,
            /// Threshold per node.
            nodes_values: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            nodes_values_as_tensor: Option<TensorId> = None,
            /// NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
            post_transform: String = "NONE".to_owned(),
            /// Target per leaf weight.
            target_ids: Vec<i64>,
            /// Node per leaf weight.
            target_nodeids: Vec<i64>,
            /// Tree per leaf weight.
            target_treeids: Vec<i64>,
            /// Leaf weights.
            target_weights: Vec<Float> = Vec::new(),
            /// The same, in double precision.
            target_weights_as_tensor: Option<TensorId> = None,
        }
        /// A sequence of maps from class labels to the scores of a row.
        ZipMap zip_map core 1 MayFail "x" -> "maps" {
            /// Class labels, integers.
            classlabels_int64s: Vec<i64> = Vec::new(),
            /// Class labels, strings.
            classlabels_strings: Vec<String> = Vec::new(),
        }
    }

    training {
        /// One Adagrad step for each of n tensors: operands are the rate, the step, then n values, gradients and sums of squares; results are n values and sums.
        Adagrad adagrad composite 1 Pure "rate, step, tensors*" -> "updated*" {
            /// Decay of the rate.
            decay_factor: Float = Float(0.0),
            /// Added to the root.
            epsilon: Float = Float(1e-6f32 as f64),
            /// Weight of the L2 penalty.
            norm_coefficient: Float = Float(0.0),
        }
        /// One Adam step for each of n tensors: operands are the rate, the step, then n values, gradients, first and second moments.
        Adam adam composite 1 Pure "rate, step, tensors*" -> "updated*" {
            /// Decay of the first moment.
            alpha: Float = Float(0.9f32 as f64),
            /// Decay of the second moment.
            beta: Float = Float(0.999f32 as f64),
            /// Added to the root.
            epsilon: Float = Float(1e-6f32 as f64),
            /// Weight of the L2 penalty.
            norm_coefficient: Float = Float(0.0),
            /// Weight of the L2 penalty after the step.
            norm_coefficient_post: Float = Float(0.0),
        }
        /// One step with momentum for each of n tensors: operands are the rate, the step, then n values, gradients and momenta.
        Momentum momentum composite 1 Pure "rate, step, tensors*" -> "updated*" {
            /// Decay of the momentum.
            alpha: Float,
            /// Weight of the gradient after the first step.
            beta: Float,
            /// `standard` or `nesterov`.
            mode: String,
            /// Weight of the L2 penalty.
            norm_coefficient: Float,
        }
    }
}
