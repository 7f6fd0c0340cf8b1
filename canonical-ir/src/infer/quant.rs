//! infer rules of the quant family.

use super::{InferCx, InferError, InferResult, one};
use crate::dim::{Dim, Shape, broadcast_shapes};
use crate::dtype::DType;
use crate::op::*;
use crate::types::{TensorType, Type};

type R<T> = Result<T, InferError>;

/// The dtypes that `quantize_linear` gives.
pub(crate) fn is_quantized(dtype: DType) -> bool {
    use DType::{F4E2M1, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ};
    match dtype {
        F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F4E2M1 => true,
        d => d.is_integer() && d.bits() <= 16,
    }
}

fn wide_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

fn byte(cx: &InferCx<'_>, slot: usize) -> R<DType> {
    let dtype = cx.tensor(slot)?.dtype;
    cx.require_dtype(dtype, matches!(dtype, DType::I8 | DType::U8), "i8 or u8")?;
    Ok(dtype)
}

/// Checks that an optional zero point has the dtype of the tensor that it belongs to.
fn zero_point(cx: &InferCx<'_>, of: usize, slot: usize) -> R<()> {
    if cx.opt(slot).is_some() { cx.same_dtype(of, slot) } else { Ok(()) }
}

fn float_scale(cx: &InferCx<'_>, slot: usize) -> R<()> {
    let dtype = cx.tensor(slot)?.dtype;
    cx.require_dtype(dtype, wide_float(dtype), "a float of 16 bits or more")
}

/// Checks scale and zero point of a tensor that is (de)quantised per tensor, axis or block.
fn granularity(cx: &InferCx<'_>, axis: i64, block: i64) -> R<()> {
    let name = cx.name();
    let (x, scale) = (cx.tensor(0)?, cx.tensor(1)?);
    if let Some(zero) = cx.opt_tensor(2)? {
        let single = |t: &TensorType| t.rank() == 0 || t.rank() == 1 && t.shape[0] == Dim::Known(1);
        if !(single(zero) && single(scale)) {
            cx.merge_shape(&scale.shape, &zero.shape)?;
        }
    }
    cx.require(block >= 0, &format!("{name}-c3"), || format!("block_size is {block}"))?;
    if block > 0 {
        let a = cx.axis(axis, x.rank())?;
        cx.require(scale.rank() == x.rank(), &format!("{name}-c3"), || {
            format!("a scale of rank {} for blocks of rank {}", scale.rank(), x.rank())
        })?;
        for (i, (s, d)) in scale.shape.iter().zip(&x.shape).enumerate() {
            if i == a {
                let blocks = d.ceil_div(&Dim::Known(block));
                let fits = match (s.as_known(), blocks.as_known()) {
                    (Some(s), Some(n)) => s == n,
                    _ => true,
                };
                cx.require(fits, &format!("{name}-c3"), || {
                    format!("{s:?} blocks of {block} for {d:?} elements")
                })?;
            } else {
                cx.merge_dim(s, d)?;
            }
        }
        return Ok(());
    }
    match scale.shape.as_slice() {
        [] | [Dim::Known(1)] => Ok(()),
        [n] => {
            let a = if x.rank() == 1 { 0 } else { cx.axis(axis, x.rank())? };
            match x.shape.get(a) {
                Some(d) => cx.merge_dim(n, d).map(|_| ()),
                None => cx.fail(&format!("{name}-c2"), "a scale per axis for a scalar"),
            }
        }
        _ => cx.fail(&format!("{name}-c2"), "a scale of rank 2 or more wants a block size"),
    }
}

/// Quantisation.
pub fn quantize_linear(cx: &InferCx<'_>, op: &QuantizeLinear) -> InferResult {
    let (x, scale) = (cx.tensor(0)?, cx.tensor(1)?);
    let input = wide_float(x.dtype) || x.dtype == DType::I32;
    cx.require_dtype(x.dtype, input, "a float of 16 bits or more, or i32")?;
    let divisor = wide_float(scale.dtype) || matches!(scale.dtype, DType::I32 | DType::F8E8M0);
    cx.require_dtype(scale.dtype, divisor, "a float, f8e8m0 or i32")?;
    cx.require_dtype(op.dtype, is_quantized(op.dtype), "a quantised dtype")?;
    if let Some(p) = op.precision {
        cx.require_dtype(p, wide_float(p), "a float of 16 bits or more")?;
    }
    if let Some(zero) = cx.opt_tensor(2)? {
        cx.require(zero.dtype == op.dtype, "quantize_linear-c1", || {
            format!("a zero point of {} for a result of {}", zero.dtype, op.dtype)
        })?;
    }
    granularity(cx, op.axis, op.block_size)?;
    one(TensorType::new(op.dtype, x.shape.iter().cloned()))
}

/// The dtype of a dequantised tensor.
pub(crate) fn dequantized(op: &DequantizeLinear, scale: DType) -> DType {
    op.dtype.unwrap_or(if scale == DType::F8E8M0 { DType::F32 } else { scale })
}

/// Dequantisation.
pub fn dequantize_linear(cx: &InferCx<'_>, op: &DequantizeLinear) -> InferResult {
    let (x, scale) = (cx.tensor(0)?, cx.tensor(1)?);
    let input = is_quantized(x.dtype) || x.dtype == DType::I32;
    cx.require_dtype(x.dtype, input, "a quantised dtype or i32")?;
    let factor = wide_float(scale.dtype) || scale.dtype == DType::F8E8M0;
    cx.require_dtype(scale.dtype, factor, "a float or f8e8m0")?;
    let dtype = dequantized(op, scale.dtype);
    cx.require_dtype(dtype, wide_float(dtype), "a float of 16 bits or more")?;
    zero_point(cx, 0, 2)?;
    granularity(cx, op.axis, op.block_size)?;
    one(TensorType::new(dtype, x.shape.iter().cloned()))
}

/// Quantisation with a range found at run time.
pub fn dynamic_quantize_linear(cx: &InferCx<'_>, _: &DynamicQuantizeLinear) -> InferResult {
    let x = cx.tensor(0)?;
    cx.require_dtype(x.dtype, x.dtype == DType::F32, "f32")?;
    Ok(vec![
        Type::tensor(DType::U8, x.shape.iter().cloned()),
        Type::tensor(DType::F32, []),
        Type::tensor(DType::U8, []),
    ])
}

/// The shape of a matrix product by NumPy's rules.
fn product_shape(cx: &InferCx<'_>, a: &[Dim], b: &[Dim]) -> R<Shape> {
    let name = cx.name();
    let fail = |m: &str| cx.fail(&format!("{name}-c1"), m.to_owned());
    let (mut rows, mut columns) = (None, None);
    let (k, a_batch) = match a {
        [] => return fail("a scalar has no product"),
        [k] => (k, &[][..]),
        [batch @ .., m, k] => {
            rows = Some(m.clone());
            (k, batch)
        }
    };
    let (l, b_batch) = match b {
        [] => return fail("a scalar has no product"),
        [l] => (l, &[][..]),
        [batch @ .., l, n] => {
            columns = Some(n.clone());
            (l, batch)
        }
    };
    cx.merge_dim(k, l)?;
    let mut out = match broadcast_shapes(a_batch, b_batch) {
        Ok(s) => s,
        Err(e) => return fail(&e.to_string()),
    };
    out.extend(rows);
    out.extend(columns);
    Ok(out)
}

/// Integer matrix product.
pub fn matmul_integer(cx: &InferCx<'_>, _: &MatmulInteger) -> InferResult {
    byte(cx, 0)?;
    byte(cx, 1)?;
    zero_point(cx, 0, 2)?;
    zero_point(cx, 1, 3)?;
    let shape = product_shape(cx, &cx.tensor(0)?.shape, &cx.tensor(1)?.shape)?;
    one(TensorType::new(DType::I32, shape))
}

/// What a window does to a spatial axis.
struct Windows<'a> {
    kernel: Vec<Dim>,
    strides: &'a [i64],
    pads: &'a [i64],
    dilations: &'a [i64],
    auto_pad: AutoPad,
    ceil: bool,
}

fn window_sizes(cx: &InferCx<'_>, sizes: &[Dim], w: &Windows<'_>) -> R<Vec<Dim>> {
    let name = cx.name();
    let n = sizes.len();
    let one_each = |v: &[i64]| v.is_empty() || v.len() == n;
    let fits = w.kernel.len() == n
        && one_each(w.strides)
        && one_each(w.dilations)
        && (w.pads.is_empty() || w.pads.len() == 2 * n);
    cx.require(fits, &format!("{name}-c2"), || {
        format!("window attributes do not fit {n} spatial axes")
    })?;
    let at = |v: &[i64], i: usize, or: i64| v.get(i).copied().unwrap_or(or);
    let mut out = Vec::with_capacity(n);
    for (i, size) in sizes.iter().enumerate() {
        let (stride, dilation) = (at(w.strides, i, 1), at(w.dilations, i, 1));
        cx.require(stride > 0 && dilation > 0, &format!("{name}-c2"), || {
            "strides and dilations are positive".to_owned()
        })?;
        let reach = &(&(&w.kernel[i] - 1) * dilation) + 1;
        let by = Dim::Known(stride);
        let result = match w.auto_pad {
            AutoPad::SameUpper | AutoPad::SameLower => size.ceil_div(&by),
            AutoPad::Valid => &(size - &reach).floor_div(&by) + 1,
            AutoPad::Explicit => {
                let (low, high) = (at(w.pads, i, 0), at(w.pads, i + n, 0));
                let room = &(&(size + low) + high) - &reach;
                if w.ceil {
                    // A last window that would start in the padding at the end does not count.
                    let all = &room.ceil_div(&by) + 1;
                    let begun = (size + low).ceil_div(&by);
                    Dim::min(&all, &begun)
                } else {
                    &room.floor_div(&by) + 1
                }
            }
        };
        cx.require(result.as_known().is_none_or(|r| r >= 0), &format!("{name}-c2"), || {
            format!("a window is larger than axis {i}")
        })?;
        out.push(result);
    }
    Ok(out)
}

/// The shape of a convolution of operand `x` with operand `w`.
fn conv_shape(
    cx: &InferCx<'_>,
    [x, w]: [usize; 2],
    groups: i64,
    mut windows: Windows<'_>,
) -> R<Shape> {
    let name = cx.name();
    let (x, w) = (cx.tensor(x)?, cx.tensor(w)?);
    cx.require(x.rank() == w.rank() && x.rank() >= 2, &format!("{name}-c1"), || {
        format!("an image of rank {} and a kernel of rank {}", x.rank(), w.rank())
    })?;
    cx.require(groups > 0, &format!("{name}-c1"), || format!("{groups} groups"))?;
    cx.merge_dim(&x.shape[1], &(&w.shape[1] * groups))?;
    windows.kernel = w.shape[2..].to_vec();
    let mut out: Shape = [x.shape[0].clone(), w.shape[0].clone()].into_iter().collect();
    out.extend(window_sizes(cx, &x.shape[2..], &windows)?);
    Ok(out)
}

/// Integer convolution.
pub fn conv_integer(cx: &InferCx<'_>, op: &ConvInteger) -> InferResult {
    byte(cx, 0)?;
    byte(cx, 1)?;
    zero_point(cx, 0, 2)?;
    zero_point(cx, 1, 3)?;
    let windows = Windows {
        kernel: Vec::new(),
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        auto_pad: op.auto_pad,
        ceil: false,
    };
    one(TensorType::new(DType::I32, conv_shape(cx, [0, 1], op.groups, windows)?))
}

/// Quantised matrix product.
pub fn qlinear_matmul(cx: &InferCx<'_>, _: &QlinearMatmul) -> InferResult {
    for (x, scale, zero) in [(0, 1, 2), (3, 4, 5)] {
        let dtype = cx.tensor(x)?.dtype;
        cx.require_dtype(dtype, is_quantized(dtype), "a quantised dtype")?;
        float_scale(cx, scale)?;
        cx.same_dtype(x, zero)?;
    }
    float_scale(cx, 6)?;
    let dtype = cx.tensor(7)?.dtype;
    cx.require_dtype(dtype, is_quantized(dtype), "a quantised dtype")?;
    let shape = product_shape(cx, &cx.tensor(0)?.shape, &cx.tensor(3)?.shape)?;
    one(TensorType::new(dtype, shape))
}

/// Quantised convolution.
pub fn qlinear_conv(cx: &InferCx<'_>, op: &QlinearConv) -> InferResult {
    for (x, scale, zero) in [(0, 1, 2), (3, 4, 5)] {
        byte(cx, x)?;
        float_scale(cx, scale)?;
        cx.same_dtype(x, zero)?;
    }
    float_scale(cx, 6)?;
    let dtype = byte(cx, 7)?;
    let windows = Windows {
        kernel: Vec::new(),
        strides: &op.strides,
        pads: &op.pads,
        dilations: &op.dilations,
        auto_pad: op.auto_pad,
        ceil: false,
    };
    let shape = conv_shape(cx, [0, 3], op.groups, windows)?;
    if let Some(b) = cx.opt_tensor(8)? {
        cx.require_dtype(b.dtype, b.dtype == DType::I32, "i32")?;
        cx.require(b.rank() == 1, "qlinear_conv-c3", || "a bias has rank 1".to_owned())?;
        cx.merge_dim(&b.shape[0], &shape[1])?;
    }
    one(TensorType::new(dtype, shape))
}

/// Integer matrix product, scaled.
pub fn matmul_integer_to_float(cx: &InferCx<'_>, _: &MatmulIntegerToFloat) -> InferResult {
    byte(cx, 0)?;
    byte(cx, 1)?;
    float_scale(cx, 2)?;
    cx.same_dtype(2, 3)?;
    zero_point(cx, 0, 4)?;
    zero_point(cx, 1, 5)?;
    if cx.opt(6).is_some() {
        cx.same_dtype(2, 6)?;
    }
    let shape = product_shape(cx, &cx.tensor(0)?.shape, &cx.tensor(1)?.shape)?;
    one(TensorType::new(cx.tensor(2)?.dtype, shape))
}

/// Matrix product of a float operand that is quantised as it comes.
pub fn dynamic_quantize_matmul(cx: &InferCx<'_>, _: &DynamicQuantizeMatmul) -> InferResult {
    let a = cx.tensor(0)?;
    cx.require_dtype(a.dtype, a.dtype == DType::F32, "f32")?;
    byte(cx, 1)?;
    cx.same_dtype(0, 2)?;
    zero_point(cx, 1, 3)?;
    if cx.opt(4).is_some() {
        cx.same_dtype(0, 4)?;
    }
    one(TensorType::new(DType::F32, product_shape(cx, &a.shape, &cx.tensor(1)?.shape)?))
}

fn qlinear_binary(cx: &InferCx<'_>) -> InferResult {
    let dtype = byte(cx, 0)?;
    cx.same_dtype(0, 3)?;
    for slot in [1, 4, 6] {
        float_scale(cx, slot)?;
    }
    for slot in [1, 2, 4, 5, 6, 7] {
        cx.scalar(slot)?;
    }
    for slot in [2, 5, 7] {
        zero_point(cx, 0, slot)?;
    }
    match broadcast_shapes(&cx.tensor(0)?.shape, &cx.tensor(3)?.shape) {
        Ok(shape) => one(TensorType::new(dtype, shape)),
        Err(e) => cx.fail(&format!("{}-c1", cx.name()), e.to_string()),
    }
}

/// Quantised sum.
pub fn qlinear_add(cx: &InferCx<'_>, _: &QlinearAdd) -> InferResult {
    qlinear_binary(cx)
}

/// Quantised product.
pub fn qlinear_mul(cx: &InferCx<'_>, _: &QlinearMul) -> InferResult {
    qlinear_binary(cx)
}

/// The type of a quantised operand with scalar scales and zero points: x, then its scale and
/// zero point, then those of the result.
fn qlinear_unary<'a>(cx: &InferCx<'a>) -> R<&'a TensorType> {
    byte(cx, 0)?;
    float_scale(cx, 1)?;
    float_scale(cx, 3)?;
    for slot in 1..5 {
        cx.scalar(slot)?;
    }
    zero_point(cx, 0, 2)?;
    zero_point(cx, 0, 4)?;
    cx.tensor(0)
}

/// Quantised sigmoid.
pub fn qlinear_sigmoid(cx: &InferCx<'_>, _: &QlinearSigmoid) -> InferResult {
    one(qlinear_unary(cx)?.clone())
}

/// Quantised leaky relu.
pub fn qlinear_leaky_relu(cx: &InferCx<'_>, _: &QlinearLeakyRelu) -> InferResult {
    one(qlinear_unary(cx)?.clone())
}

/// Quantised softmax.
pub fn qlinear_softmax(cx: &InferCx<'_>, op: &QlinearSoftmax) -> InferResult {
    let x = qlinear_unary(cx)?;
    cx.axes(&op.axes, x.rank())?;
    one(x.clone())
}

/// Quantised mean over the spatial axes.
pub fn qlinear_global_average_pool(cx: &InferCx<'_>, op: &QlinearGlobalAveragePool) -> InferResult {
    let mut ty = qlinear_unary(cx)?.clone();
    let rank = ty.rank();
    cx.require(rank >= 3, "qlinear_global_average_pool-c1", || {
        format!("x has rank {rank}, less than 3")
    })?;
    let channel = if op.channels_last { rank - 1 } else { 1 };
    for (i, d) in ty.shape.iter_mut().enumerate() {
        if i != 0 && i != channel {
            *d = Dim::Known(1);
        }
    }
    one(ty)
}

/// Quantised average pooling.
pub fn qlinear_average_pool(cx: &InferCx<'_>, op: &QlinearAveragePool) -> InferResult {
    let mut ty = qlinear_unary(cx)?.clone();
    let rank = ty.rank();
    cx.require(rank >= 3, "qlinear_average_pool-c1", || format!("x has rank {rank}, less than 3"))?;
    let first = if op.channels_last { 1 } else { 2 };
    let spatial = first..first + rank - 2;
    let windows = Windows {
        kernel: op.kernel_shape.iter().copied().map(Dim::Known).collect(),
        strides: &op.strides,
        pads: &op.pads,
        dilations: &[],
        auto_pad: op.auto_pad,
        ceil: op.ceil_mode,
    };
    let sizes = window_sizes(cx, &ty.shape[spatial.clone()], &windows)?;
    for (d, size) in ty.shape[spatial].iter_mut().zip(sizes) {
        *d = size;
    }
    one(ty)
}

/// Quantised concatenation.
pub fn qlinear_concat(cx: &InferCx<'_>, op: &QlinearConcat) -> InferResult {
    float_scale(cx, 0)?;
    cx.scalar(0)?;
    cx.scalar(1)?;
    let dtype = byte(cx, 1)?;
    let n = cx.operand_count().saturating_sub(2);
    cx.require(n > 0 && n.is_multiple_of(3), "qlinear_concat-c1", || {
        "wants a tensor, a scale and a zero point per input".to_owned()
    })?;
    let mut out = cx.tensor(2)?.clone();
    let axis = cx.axis(op.axis, out.rank())?;
    for slot in (2..cx.operand_count()).step_by(3) {
        byte(cx, slot)?;
        float_scale(cx, slot + 1)?;
        cx.scalar(slot + 1)?;
        cx.scalar(slot + 2)?;
        cx.same_dtype(slot, slot + 2)?;
        let ty = cx.tensor(slot)?;
        cx.require(ty.rank() == out.rank(), "qlinear_concat-c2", || {
            "inputs differ in rank".to_owned()
        })?;
        if slot == 2 {
            continue;
        }
        for (i, d) in ty.shape.iter().enumerate() {
            out.shape[i] =
                if i == axis { &out.shape[i] + d } else { cx.merge_dim(&out.shape[i], d)? };
        }
    }
    one(TensorType::new(dtype, out.shape))
}

/// Quantised gemm.
pub fn qgemm(cx: &InferCx<'_>, op: &Qgemm) -> InferResult {
    for (x, scale, zero) in [(0, 1, 2), (3, 4, 5)] {
        byte(cx, x)?;
        float_scale(cx, scale)?;
        cx.same_dtype(x, zero)?;
        cx.require(cx.tensor(x)?.rank() == 2, "qgemm-c1", || "a matrix has rank 2".to_owned())?;
    }
    let (a, b) = (&cx.tensor(0)?.shape, &cx.tensor(3)?.shape);
    let (m, k) = if op.trans_a { (&a[1], &a[0]) } else { (&a[0], &a[1]) };
    let (l, n) = if op.trans_b { (&b[1], &b[0]) } else { (&b[0], &b[1]) };
    cx.merge_dim(k, l)?;
    let shape: Shape = [m.clone(), n.clone()].into_iter().collect();
    if let Some(c) = cx.opt_tensor(6)? {
        cx.require_dtype(c.dtype, c.dtype == DType::I32, "i32")?;
        if let Err(e) = broadcast_shapes(&c.shape, &shape) {
            return cx.fail("qgemm-c2", e.to_string());
        }
    }
    let dtype = match (cx.opt_tensor(7)?, cx.opt_tensor(8)?) {
        (None, None) => cx.tensor(1)?.dtype,
        (Some(_), Some(_)) => byte(cx, 8)?,
        (Some(_), None) => cx.tensor(0)?.dtype,
        (None, Some(_)) => return cx.fail("qgemm-c3", "a zero point wants a scale"),
    };
    one(TensorType::new(dtype, shape))
}

/// Product with a block-quantised matrix.
pub fn matmul_nbits(cx: &InferCx<'_>, op: &MatmulNbits) -> InferResult {
    let (a, b, scales) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
    cx.require_dtype(a.dtype, wide_float(a.dtype), "a float of 16 bits or more")?;
    cx.require_dtype(b.dtype, b.dtype == DType::U8, "u8")?;
    cx.same_dtype(0, 2)?;
    let size = 1..=i64::from(i32::MAX);
    let sane =
        [op.k, op.n, op.block_size].iter().all(|v| size.contains(v)) && (1..=8).contains(&op.bits);
    cx.require(sane, "matmul_nbits-c1", || {
        format!("k {}, n {}, block {}, bits {}", op.k, op.n, op.block_size, op.bits)
    })?;
    let blocks = (op.k - 1) / op.block_size + 1;
    let bytes = op.block_size * op.bits / 8;
    cx.require(op.block_size * op.bits % 8 == 0, "matmul_nbits-c1", || {
        format!("a block of {} elements of {} bits does not fill bytes", op.block_size, op.bits)
    })?;
    cx.require(b.rank() == 3, "matmul_nbits-c2", || format!("b has rank {}", b.rank()))?;
    for (d, want) in b.shape.iter().zip([op.n, blocks, bytes]) {
        cx.merge_dim(d, &Dim::Known(want))?;
    }
    match scales.shape.as_slice() {
        [n, m] => {
            cx.merge_dim(n, &Dim::Known(op.n))?;
            cx.merge_dim(m, &Dim::Known(blocks))?;
        }
        [all] => {
            cx.merge_dim(all, &Dim::Known(op.n.saturating_mul(blocks)))?;
        }
        _ => return cx.fail("matmul_nbits-c3", "scales have rank 1 or 2"),
    }
    if let Some(z) = cx.opt_tensor(3)? {
        let fits = z.dtype == DType::U8 || z.dtype == a.dtype;
        cx.require_dtype(z.dtype, fits, "u8 or the dtype of a")?;
        cx.require(matches!(z.rank(), 1 | 2), "matmul_nbits-c3", || {
            format!("zero points of rank {}", z.rank())
        })?;
    }
    if let Some(g) = cx.opt_tensor(4)? {
        cx.require_dtype(g.dtype, g.dtype.is_integer(), "an integer")?;
        cx.require(g.rank() == 1, "matmul_nbits-c4", || format!("g_idx has rank {}", g.rank()))?;
    }
    if let Some(bias) = cx.opt_tensor(5)? {
        cx.same_dtype(0, 5)?;
        cx.require(bias.rank() == 1, "matmul_nbits-c5", || {
            format!("a bias of rank {}", bias.rank())
        })?;
        cx.merge_dim(&bias.shape[0], &Dim::Known(op.n))?;
    }
    let mut shape = a.shape.clone();
    let Some(last) = shape.last_mut() else {
        return cx.fail("matmul_nbits-c1", "a is a scalar");
    };
    cx.merge_dim(last, &Dim::Known(op.k))?;
    *last = Dim::Known(op.n);
    one(TensorType::new(a.dtype, shape))
}
