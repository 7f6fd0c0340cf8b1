//! Reading rules of Fourier transforms.

use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Complex, Fft, Gather, Mul, OpKind, Pad, PadMode, Real};

use super::DEFAULT_DTYPE;
use super::call::{CallCx, Stop};
use super::complex::{conjugate, parts};
use super::create::dtype_or;
use super::index::{counting, cut};
use super::layout::{reversed, rolled};
use super::promote::{Category, Number};
use super::rules::{ImportRule, Outcome};

const MAKES: &[OpKind] = &[OpKind::Fft, OpKind::Complex, OpKind::Real, OpKind::Mul];

pub(super) const RULES: &[ImportRule] = &[
    ImportRule::new("aten::_fft_c2c", MAKES, c2c),
    ImportRule::new("aten::_fft_c2r", MAKES, c2r),
    ImportRule::new("aten::_fft_r2c", MAKES, r2c),
    ImportRule::new("aten::fft_fft", MAKES, fft),
    ImportRule::new("aten::fft_fft2", MAKES, fft),
    ImportRule::new("aten::fft_fftfreq", &[OpKind::Iota], fftfreq),
    ImportRule::new("aten::fft_fftn", MAKES, fft),
    ImportRule::new("aten::fft_fftshift", &[OpKind::Slice, OpKind::Concat], fftshift),
    ImportRule::new("aten::fft_hfft", MAKES, hfft),
    ImportRule::new("aten::fft_hfft2", MAKES, hfft),
    ImportRule::new("aten::fft_hfftn", MAKES, hfft),
    ImportRule::new("aten::fft_ifft", MAKES, ifft),
    ImportRule::new("aten::fft_ifft2", MAKES, ifft),
    ImportRule::new("aten::fft_ifftn", MAKES, ifft),
    ImportRule::new("aten::fft_ifftshift", &[OpKind::Slice, OpKind::Concat], ifftshift),
    ImportRule::new("aten::fft_ihfft", MAKES, ihfft),
    ImportRule::new("aten::fft_ihfft2", MAKES, ihfft),
    ImportRule::new("aten::fft_ihfftn", MAKES, ihfft),
    ImportRule::new("aten::fft_irfft", MAKES, irfft),
    ImportRule::new("aten::fft_irfft2", MAKES, irfft),
    ImportRule::new("aten::fft_irfftn", MAKES, irfft),
    ImportRule::new("aten::fft_rfft", MAKES, rfft),
    ImportRule::new("aten::fft_rfft2", MAKES, rfft),
    ImportRule::new("aten::fft_rfftfreq", &[OpKind::Iota], rfftfreq),
    ImportRule::new("aten::fft_rfftn", MAKES, rfft),
    ImportRule::of("aten::stft", "", MAKES, stft),
    ImportRule::of("aten::stft", "center", MAKES, stft),
];

/// By what the result of a transform is divided.
#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Nothing,
    RootOfCount,
    Count,
}

impl Scale {
    /// The number that ATen's `normalization` stands for.
    fn of_number(cx: &mut CallCx<'_>) -> Result<Self, Stop> {
        Ok(match cx.int("normalization")? {
            0 => Self::Nothing,
            1 => Self::RootOfCount,
            2 => Self::Count,
            other => return cx.invalid(format!("the normalization is {other}")),
        })
    }
    /// What `norm` means for a transform in this direction.
    fn of_name(cx: &mut CallCx<'_>, forward: bool) -> Result<Self, Stop> {
        let name = cx.string("norm")?;
        Ok(match (&*name, forward) {
            ("" | "backward", true) | ("forward", false) => Self::Nothing,
            ("" | "backward", false) | ("forward", true) => Self::Count,
            ("ortho", _) => Self::RootOfCount,
            (other, _) => return cx.invalid(format!("the norm is `{other}`")),
        })
    }
}

/// Real numbers as complex ones; integers as c64.
fn complex_of(cx: &mut CallCx<'_>, x: ValueId) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(x)?;
    let x = match (Category::of(dtype), dtype) {
        (Category::Complex, _) => return Ok(x),
        (Category::Float, DType::F32 | DType::F64) => x,
        (Category::Float, _) => return cx.unsupported(format!("transforms of {dtype}")),
        _ => cx.cast(x, DEFAULT_DTYPE)?,
    };
    let zero = cx.b().full_like(x, 0.0)?;
    cx.emit(Complex {}, &[x, zero])
}

/// A complex or real tensor times the size of its axes to the power that a scale asks for.
fn rescaled(
    cx: &mut CallCx<'_>,
    x: ValueId,
    count: &Dim,
    scale: Scale,
    divided: bool,
) -> Result<ValueId, Stop> {
    if (scale == Scale::Count) == divided && scale != Scale::RootOfCount {
        return Ok(x);
    }
    let Some(n) = count.as_known() else {
        return cx.unsupported("a transform of unknown size with another norm than `backward`");
    };
    let n = n as f64;
    let factor = match scale {
        Scale::Nothing => n,
        Scale::Count => 1.0 / n,
        Scale::RootOfCount if divided => n.sqrt(),
        Scale::RootOfCount => 1.0 / n.sqrt(),
    };
    let dtype = cx.dtype(x)?;
    let number = match Category::of(dtype) {
        Category::Complex => Number::Complex(factor, 0.0),
        _ => Number::Float(factor),
    };
    let factor = cx.number_value(&number, dtype)?;
    let both = cx.broadcast(&[x, factor])?;
    cx.emit(Mul {}, &both)
}

/// A complex transform along axes; `count` is by how much it is scaled.
fn transformed(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axes: &[usize],
    forward: bool,
    scale: Scale,
) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let sizes: Vec<Dim> = axes.iter().filter_map(|&a| shape.get(a).cloned()).collect();
    let mut y = x;
    for &axis in axes {
        y = cx.emit(Fft { axis: axis as i64, inverse: !forward }, &[y])?;
    }
    rescaled(cx, y, &numel(&sizes), scale, !forward)
}

/// A transform of real numbers, of which the last axis keeps the first half.
fn real_transformed(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axes: &[usize],
    forward: bool,
    scale: Scale,
    half: bool,
) -> Result<ValueId, Stop> {
    let z = complex_of(cx, x)?;
    let y = transformed(cx, z, axes, forward, scale)?;
    let Some(&last) = axes.last().filter(|_| half) else { return Ok(y) };
    let size = &Dim::floor_div(&cx.shape(y)?[last], &2.into()) + 1;
    cut(cx, y, last, [0.into(), size], 1)
}

/// The real transform of half a spectrum along the last of the axes, whose result has `size`
/// elements there.
fn half_transformed(
    cx: &mut CallCx<'_>,
    z: ValueId,
    axes: &[usize],
    size: &Dim,
    forward: bool,
    scale: Scale,
) -> Result<ValueId, Stop> {
    let Some((&last, others)) = axes.split_last() else { return cx.invalid("there is no axis") };
    let z = complex_of(cx, z)?;
    let half = &Dim::floor_div(size, &2.into()) + 1;
    let z = resized(cx, z, last, &half)?;
    // What is missing mirrors what is there, after the other axes were transformed.
    let z = transformed(cx, z, others, forward, Scale::of_nothing(forward))?;
    let tail = &Dim::floor_div(&(size - 1), &2.into()) + 1;
    let mirrored = cut(cx, z, last, [1.into(), tail], 1)?;
    let mirrored = reversed(cx, mirrored, &[last])?;
    let mirrored = conjugate(cx, mirrored)?;
    let whole = cx.b().concat(&[z, mirrored], last)?;
    let mut dims = cx.shape(whole)?;
    dims[last] = size.clone();
    let whole = cx.b().reshape(whole, &dims)?;
    let y = transformed(cx, whole, &[last], forward, Scale::of_nothing(forward))?;
    let y = cx.emit(Real {}, &[y])?;
    let sizes: Vec<Dim> = axes.iter().filter_map(|&a| dims.get(a).cloned()).collect();
    rescaled(cx, y, &numel(&sizes), scale, !forward)
}

impl Scale {
    /// The scale that the hub's transform has by itself.
    fn of_nothing(forward: bool) -> Self {
        if forward { Self::Nothing } else { Self::Count }
    }
}

/// An axis cut or filled up with zeros at its end.
fn resized(cx: &mut CallCx<'_>, x: ValueId, axis: usize, size: &Dim) -> Result<ValueId, Stop> {
    let shape = cx.shape(x)?;
    let Some(own) = shape.get(axis) else { return cx.invalid("there is no such axis") };
    if own == size {
        return Ok(x);
    }
    let mut low = vec![Dim::Known(0); shape.len()];
    let mut high = low.clone();
    high[axis] = size - own;
    low[axis] = 0.into();
    let mut dims = shape.clone();
    dims[axis] = size.clone();
    if cx.category(x)? != Category::Complex {
        let y = cx.emit(Pad { low, high, mode: PadMode::Constant }, &[x])?;
        return Ok(cx.b().reshape(y, &dims)?);
    }
    let [re, im] = parts(cx, x)?;
    let pad = Pad { low, high, mode: PadMode::Constant };
    let (re, im) = (cx.emit(pad.clone(), &[re])?, cx.emit(pad, &[im])?);
    let (re, im) = (cx.b().reshape(re, &dims)?, cx.b().reshape(im, &dims)?);
    cx.emit(Complex {}, &[re, im])
}

// ATen's three transforms.

fn axes(cx: &mut CallCx<'_>, x: ValueId) -> Result<Vec<usize>, Stop> {
    let rank = cx.rank(x)?;
    cx.axes("dim", rank)
}

/// `_fft_c2c`: complex to complex.
fn c2c(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, forward) = (axes(cx, x)?, cx.bool("forward")?);
    let scale = Scale::of_number(cx)?;
    Ok(transformed(cx, x, &axes, forward, scale)?.into())
}

/// `_fft_r2c`: real to complex.
fn r2c(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, half) = (axes(cx, x)?, cx.bool("onesided")?);
    let scale = Scale::of_number(cx)?;
    Ok(real_transformed(cx, x, &axes, true, scale, half)?.into())
}

/// `_fft_c2r`: half a spectrum to real.
fn c2r(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, size) = (axes(cx, x)?, cx.dim("last_dim_size")?);
    let scale = Scale::of_number(cx)?;
    Ok(half_transformed(cx, x, &axes, &size, false, scale)?.into())
}

// The `torch.fft` operators.

/// The axes, and the sizes that are asked for along them.
fn arguments(cx: &mut CallCx<'_>, x: ValueId) -> Result<(Vec<usize>, Vec<Option<Dim>>), Stop> {
    let rank = cx.rank(x)?;
    let of_dim = |d: Dim| (d.as_known() != Some(-1)).then_some(d);
    if cx.has("n") {
        let size = cx.opt_dim("n")?.and_then(of_dim);
        return Ok((vec![cx.axis("dim", rank)?], vec![size]));
    }
    let sizes: Vec<Option<Dim>> = cx.dims("s")?.into_iter().map(of_dim).collect();
    let mut axes = cx.axes("dim", rank)?;
    if axes.is_empty() && !cx.given("dim")? {
        let count = if cx.given("s")? { sizes.len() } else { rank };
        axes = (rank.saturating_sub(count)..rank).collect();
    }
    let sizes = if cx.given("s")? { sizes } else { vec![None; axes.len()] };
    if sizes.len() != axes.len() {
        return cx.invalid("there are as many sizes as axes");
    }
    Ok((axes, sizes))
}

/// The tensor in the sizes that are asked for.
fn in_sizes(
    cx: &mut CallCx<'_>,
    mut x: ValueId,
    axes: &[usize],
    sizes: &[Option<Dim>],
) -> Result<ValueId, Stop> {
    for (&axis, size) in axes.iter().zip(sizes) {
        if let Some(size) = size {
            x = resized(cx, x, axis, size)?;
        }
    }
    Ok(x)
}

fn full(cx: &mut CallCx<'_>, forward: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, sizes) = arguments(cx, x)?;
    let scale = Scale::of_name(cx, forward)?;
    let x = complex_of(cx, x)?;
    let x = in_sizes(cx, x, &axes, &sizes)?;
    Ok(transformed(cx, x, &axes, forward, scale)?.into())
}

/// `fft`, in one or more dimensions.
fn fft(cx: &mut CallCx<'_>) -> Outcome {
    full(cx, true)
}

/// `ifft`.
fn ifft(cx: &mut CallCx<'_>) -> Outcome {
    full(cx, false)
}

fn to_half(cx: &mut CallCx<'_>, forward: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, sizes) = arguments(cx, x)?;
    let scale = Scale::of_name(cx, forward)?;
    let x = in_sizes(cx, x, &axes, &sizes)?;
    Ok(real_transformed(cx, x, &axes, forward, scale, true)?.into())
}

/// `rfft`: half the spectrum of real numbers.
fn rfft(cx: &mut CallCx<'_>) -> Outcome {
    to_half(cx, true)
}

/// `ihfft`: the inverse transform of real numbers, half of it.
fn ihfft(cx: &mut CallCx<'_>) -> Outcome {
    to_half(cx, false)
}

fn from_half(cx: &mut CallCx<'_>, forward: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let (axes, mut sizes) = arguments(cx, x)?;
    let scale = Scale::of_name(cx, forward)?;
    let (Some(&last), Some(wanted)) = (axes.last(), sizes.pop()) else {
        return cx.invalid("there is no axis");
    };
    let size = match wanted {
        Some(size) => size,
        None => &(&cx.shape(x)?[last] - 1) * 2,
    };
    let x = complex_of(cx, x)?;
    let x = in_sizes(cx, x, &axes[..axes.len() - 1], &sizes)?;
    Ok(half_transformed(cx, x, &axes, &size, forward, scale)?.into())
}

/// `irfft`: real numbers of half their spectrum.
fn irfft(cx: &mut CallCx<'_>) -> Outcome {
    from_half(cx, false)
}

/// `hfft`: the real spectrum of half a signal.
fn hfft(cx: &mut CallCx<'_>) -> Outcome {
    from_half(cx, true)
}

/// Axes rolled by half their size, rounded down or up.
fn shifted(cx: &mut CallCx<'_>, up: bool) -> Outcome {
    let x = cx.tensor("self")?;
    let shape = cx.shape(x)?;
    let axes = match cx.given("dim")? {
        true => cx.axes("dim", shape.len())?,
        false => (0..shape.len()).collect(),
    };
    let mut y = x;
    for axis in axes {
        let Some(size) = shape.get(axis) else { continue };
        let half =
            if up { Dim::ceil_div(size, &2.into()) } else { Dim::floor_div(size, &2.into()) };
        y = rolled(cx, y, axis, &half)?;
    }
    Ok(y.into())
}

/// `fftshift`: the zero frequency goes to the middle.
fn fftshift(cx: &mut CallCx<'_>) -> Outcome {
    shifted(cx, false)
}

/// `ifftshift`.
fn ifftshift(cx: &mut CallCx<'_>) -> Outcome {
    shifted(cx, true)
}

fn frequencies(cx: &mut CallCx<'_>, half: bool) -> Outcome {
    let (n, d) = (cx.int("n")?, cx.float("d")?);
    let dtype = dtype_or(cx, DEFAULT_DTYPE)?;
    let count = if half { n / 2 + 1 } else { n };
    let negative = (n + 1) / 2;
    let value = |i: i64| {
        let i = if !half && i >= negative { i - n } else { i };
        i as f64 / (n as f64 * d)
    };
    const MOST: i64 = 1 << 24;
    if !(0..=MOST).contains(&count) {
        return cx.unsupported(format!("{count} frequencies"));
    }
    let values: Vec<f64> = (0..count).map(value).collect();
    let array = airconv_ir::array::Array::from_f64s(dtype, vec![values.len()], &values)
        .map_err(|e| Stop::Invalid(e.to_string()))?;
    Ok(cx.b().constant(&array)?.into())
}

/// `fftfreq`: the frequencies of a transform.
fn fftfreq(cx: &mut CallCx<'_>) -> Outcome {
    frequencies(cx, false)
}

/// `rfftfreq`: those of half a spectrum.
fn rfftfreq(cx: &mut CallCx<'_>) -> Outcome {
    frequencies(cx, true)
}

/// `stft`: transforms of windows of a signal, frequencies before frames.
fn stft(cx: &mut CallCx<'_>) -> Outcome {
    let mut x = cx.tensor("self")?;
    let n = cx.int("n_fft")?;
    let hop = cx.opt_int("hop_length")?.unwrap_or(n / 4);
    let length = cx.opt_int("win_length")?.unwrap_or(n);
    if n <= 0 || hop <= 0 || length <= 0 || length > n {
        return cx.invalid("the sizes of windows are wrong");
    }
    if cx.has("align_to_window") && cx.bool("align_to_window")? {
        return cx.unsupported("frames that are aligned to the window");
    }
    let vector = cx.rank(x)? == 1;
    if vector {
        x = cx.b().unsqueeze(x, &[0])?;
    }
    if cx.has("center") && cx.bool("center")? {
        x = centred(cx, x, n / 2)?;
    }
    let complex = cx.category(x)? == Category::Complex;
    let whole = cx.shape(x)?[1].clone();
    let frames = &Dim::floor_div(&(&whole - n), &hop.into()) + 1;
    let dims = [frames, n.into()];
    let (first, within) = (counting(cx, &dims, 0)?, counting(cx, &dims, 1)?);
    let hop = cx.b().scalar_int(DType::I64, hop)?;
    let first = cx.b().mul(first, hop)?;
    let at = cx.b().add(first, within)?;
    let mut framed = cx.emit(Gather { axis: 1 }, &[x, at])?;
    if let Some(window) = stft_window(cx, n, length)? {
        let dtype = cx.dtype(framed)?;
        let window = cx.cast(window, dtype)?;
        framed = cx.b().mul(framed, window)?;
    }
    let half = match cx.given("onesided")? {
        true => cx.bool("onesided")?,
        false => !complex,
    };
    let scale = if cx.bool("normalized")? { Scale::RootOfCount } else { Scale::Nothing };
    let z = real_transformed(cx, framed, &[2], true, scale, half)?;
    let z = super::index::permuted(cx, z, &[0, 2, 1])?;
    let z = if vector { cx.b().squeeze(z, &[0])? } else { z };
    if cx.bool("return_complex")? {
        return Ok(z.into());
    }
    let rank = cx.rank(z)?;
    let [re, im] = parts(cx, z)?;
    let (re, im) = (cx.b().unsqueeze(re, &[rank])?, cx.b().unsqueeze(im, &[rank])?);
    Ok(cx.b().concat(&[re, im], rank)?.into())
}

/// A window in the middle of a frame.
fn stft_window(cx: &mut CallCx<'_>, n: i64, length: i64) -> Result<Option<ValueId>, Stop> {
    let window = match cx.opt_tensor("window")? {
        None if n == length => return Ok(None),
        None => {
            let one = cx.b().scalar(DEFAULT_DTYPE, 1.0)?;
            cx.b().broadcast_to(one, &[length.into()])?
        }
        Some(window) => window,
    };
    let left = (n - length) / 2;
    let right = n - length - left;
    if left == 0 && right == 0 {
        return Ok(Some(window));
    }
    let pad = Pad { low: vec![left.into()], high: vec![right.into()], mode: PadMode::Constant };
    Ok(Some(cx.emit(pad, &[window])?))
}

/// A signal with so many elements added on both sides.
fn centred(cx: &mut CallCx<'_>, x: ValueId, amount: i64) -> Result<ValueId, Stop> {
    let mode = match &*cx.string("pad_mode")? {
        "reflect" => PadMode::Reflect,
        "constant" => PadMode::Constant,
        "replicate" => PadMode::Edge,
        "circular" => PadMode::Wrap,
        other => return cx.invalid(format!("the mode of padding is `{other}`")),
    };
    let amounts = vec![Dim::Known(0), Dim::Known(amount)];
    cx.emit(Pad { low: amounts.clone(), high: amounts, mode }, &[x])
}
