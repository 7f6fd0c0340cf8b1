//! The table of calls: which function of `tch` an ATen operator is.
//!
//! A row names an overload and as many of its parameters as the function takes, in the order of
//! the schema; a call that gives another one is refused. Rows are functional: none writes to what it is
//! given, so that weights can be used where they lie.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use airconv_torch::common::schema::Schema;
use airconv_torch::export::program::{Graph, Target};
use rustc_hash::FxHashMap;
use tch::{Device, Tensor};

use crate::bind::{self, Bound, IntoTensors};
use crate::error::{Result, fail};
use crate::helpers as own;

/// A row of the table.
struct Row {
    /// The overload, `aten::add.Tensor`.
    name: &'static str,
    /// How many of its parameters the function takes.
    takes: usize,
    run: fn(&[Bound]) -> Result<Vec<Tensor>>,
}

macro_rules! calls {
    ($($name:literal($($p:ident: $kind:ident),*) = $body:expr;)*) => {
        const ROWS: &[Row] = &[$(Row {
            name: $name,
            takes: [$(stringify!($p)),*].len(),
            run: {
                #[allow(clippy::needless_question_mark)]
                fn run(args: &[Bound]) -> Result<Vec<Tensor>> {
                    let [$($p),*] = args else { return fail("another number of arguments") };
                    $(let $p = bind::$kind($p)?;)*
                    Ok(IntoTensors::into_tensors($body))
                }
                run
            },
        }),*];
    };
}

const CPU: Device = Device::Cpu;

calls! {
    // Elementwise.
    "aten::add.Tensor"(a: Tensor, b: Tensor) = a.f_add(b)?;
    "aten::sub.Tensor"(a: Tensor, b: Tensor) = a.f_sub(b)?;
    "aten::rsub.Scalar"(a: Tensor, s: Scalar) = a.f_rsub_scalar(s)?;
    "aten::mul.Tensor"(a: Tensor, b: Tensor) = a.f_mul(b)?;
    "aten::div.Tensor"(a: Tensor, b: Tensor) = a.f_div(b)?;
    "aten::div.Tensor_mode"(a: Tensor, b: Tensor, mode: Str) = a.f_div_tensor_mode(b, mode)?;
    "aten::remainder.Tensor"(a: Tensor, b: Tensor) = a.f_remainder_tensor(b)?;
    "aten::remainder.Scalar"(a: Tensor, s: Scalar) = a.f_remainder(s)?;
    "aten::fmod.Tensor"(a: Tensor, b: Tensor) = a.f_fmod_tensor(b)?;
    "aten::fmod.Scalar"(a: Tensor, s: Scalar) = a.f_fmod(s)?;
    "aten::pow.Tensor_Tensor"(a: Tensor, b: Tensor) = a.f_pow(b)?;
    "aten::pow.Tensor_Scalar"(a: Tensor, s: Scalar) = a.f_pow_tensor_scalar(s)?;
    "aten::maximum"(a: Tensor, b: Tensor) = a.f_maximum(b)?;
    "aten::minimum"(a: Tensor, b: Tensor) = a.f_minimum(b)?;
    "aten::fmax"(a: Tensor, b: Tensor) = a.f_fmax(b)?;
    "aten::fmin"(a: Tensor, b: Tensor) = a.f_fmin(b)?;
    "aten::clamp"(x: Tensor, low: MaybeScalar, high: MaybeScalar) = own::clamp(x, low, high)?;
    "aten::clamp.Tensor"(x: Tensor, low: Maybe, high: Maybe) = x.f_clamp_tensor(low, high)?;
    "aten::abs"(x: Tensor) = x.f_abs()?;
    "aten::neg"(x: Tensor) = x.f_neg()?;
    "aten::sign"(x: Tensor) = x.f_sign()?;
    "aten::ceil"(x: Tensor) = x.f_ceil()?;
    "aten::floor"(x: Tensor) = x.f_floor()?;
    "aten::round"(x: Tensor) = x.f_round()?;
    "aten::sqrt"(x: Tensor) = x.f_sqrt()?;
    "aten::reciprocal"(x: Tensor) = x.f_reciprocal()?;
    "aten::exp"(x: Tensor) = x.f_exp()?;
    "aten::log"(x: Tensor) = x.f_log()?;
    "aten::sin"(x: Tensor) = x.f_sin()?;
    "aten::cos"(x: Tensor) = x.f_cos()?;
    "aten::tan"(x: Tensor) = x.f_tan()?;
    "aten::asin"(x: Tensor) = x.f_asin()?;
    "aten::acos"(x: Tensor) = x.f_acos()?;
    "aten::atan"(x: Tensor) = x.f_atan()?;
    "aten::sinh"(x: Tensor) = x.f_sinh()?;
    "aten::cosh"(x: Tensor) = x.f_cosh()?;
    "aten::tanh"(x: Tensor) = x.f_tanh()?;
    "aten::asinh"(x: Tensor) = x.f_asinh()?;
    "aten::acosh"(x: Tensor) = x.f_acosh()?;
    "aten::atanh"(x: Tensor) = x.f_atanh()?;
    "aten::erf"(x: Tensor) = x.f_erf()?;
    "aten::isnan"(x: Tensor) = x.f_isnan()?;
    "aten::isinf"(x: Tensor) = x.f_isinf()?;
    "aten::isneginf"(x: Tensor) = x.f_isneginf()?;
    "aten::isposinf"(x: Tensor) = x.f_isposinf()?;
    "aten::complex"(re: Tensor, im: Tensor) = Tensor::f_complex(re, im)?;
    "aten::real"(x: Tensor) = x.f_real()?;
    "aten::imag"(x: Tensor) = x.f_imag()?;
    "aten::to.dtype"(x: Tensor, dtype: Kind) = x.f_to_dtype(dtype, false, false)?;
    "aten::view.dtype"(x: Tensor, dtype: Kind) = x.f_view_dtype(dtype)?;

    // Logic and bits.
    "aten::eq.Tensor"(a: Tensor, b: Tensor) = a.f_eq_tensor(b)?;
    "aten::eq.Scalar"(a: Tensor, s: Scalar) = a.f_eq(s)?;
    "aten::ne.Tensor"(a: Tensor, b: Tensor) = a.f_ne_tensor(b)?;
    "aten::ne.Scalar"(a: Tensor, s: Scalar) = a.f_ne(s)?;
    "aten::lt.Tensor"(a: Tensor, b: Tensor) = a.f_lt_tensor(b)?;
    "aten::lt.Scalar"(a: Tensor, s: Scalar) = a.f_lt(s)?;
    "aten::le.Tensor"(a: Tensor, b: Tensor) = a.f_le_tensor(b)?;
    "aten::le.Scalar"(a: Tensor, s: Scalar) = a.f_le(s)?;
    "aten::gt.Tensor"(a: Tensor, b: Tensor) = a.f_gt_tensor(b)?;
    "aten::gt.Scalar"(a: Tensor, s: Scalar) = a.f_gt(s)?;
    "aten::ge.Tensor"(a: Tensor, b: Tensor) = a.f_ge_tensor(b)?;
    "aten::ge.Scalar"(a: Tensor, s: Scalar) = a.f_ge(s)?;
    "aten::logical_and"(a: Tensor, b: Tensor) = a.f_logical_and(b)?;
    "aten::logical_or"(a: Tensor, b: Tensor) = a.f_logical_or(b)?;
    "aten::logical_xor"(a: Tensor, b: Tensor) = a.f_logical_xor(b)?;
    "aten::logical_not"(x: Tensor) = x.f_logical_not()?;
    "aten::bitwise_and.Tensor"(a: Tensor, b: Tensor) = a.f_bitwise_and_tensor(b)?;
    "aten::bitwise_or.Tensor"(a: Tensor, b: Tensor) = a.f_bitwise_or_tensor(b)?;
    "aten::bitwise_xor.Tensor"(a: Tensor, b: Tensor) = a.f_bitwise_xor_tensor(b)?;
    "aten::bitwise_not"(x: Tensor) = x.f_bitwise_not()?;
    "aten::bitwise_left_shift.Tensor"(a: Tensor, b: Tensor) = a.f_bitwise_left_shift(b)?;
    "aten::bitwise_right_shift.Tensor"(a: Tensor, b: Tensor) = a.f_bitwise_right_shift(b)?;
    "aten::where.self"(c: Tensor, a: Tensor, b: Tensor) = a.f_where_self(c, b)?;
    "aten::_assert_async.msg"(x: Tensor, message: Str) = own::assert(x, message)?;

    // Activations.
    "aten::relu"(x: Tensor) = x.f_relu()?;
    "aten::sigmoid"(x: Tensor) = x.f_sigmoid()?;
    "aten::silu"(x: Tensor) = x.f_silu()?;
    "aten::mish"(x: Tensor) = x.f_mish()?;
    "aten::gelu"(x: Tensor, approximate: Str) = x.f_gelu(approximate)?;
    "aten::selu"(x: Tensor) = x.f_selu()?;
    "aten::elu"(x: Tensor, alpha: Float, scale: Float, inner: Float) =
        own::elu(x, alpha, scale, inner)?;
    "aten::celu"(x: Tensor, alpha: Float) = own::celu(x, alpha)?;
    "aten::leaky_relu"(x: Tensor, slope: Float) = own::leaky_relu(x, slope)?;
    "aten::prelu"(x: Tensor, slope: Tensor) = x.f_prelu(slope)?;
    "aten::hardsigmoid"(x: Tensor) = x.f_hardsigmoid()?;
    "aten::hardswish"(x: Tensor) = x.f_hardswish()?;
    "aten::hardshrink"(x: Tensor, lambda: Float) = own::hardshrink(x, lambda)?;
    "aten::softshrink"(x: Tensor, lambda: Float) = own::softshrink(x, lambda)?;
    "aten::softplus"(x: Tensor, beta: Float, threshold: Float) =
        own::softplus(x, beta, threshold)?;
    "aten::threshold"(x: Tensor, threshold: Scalar, value: Scalar) =
        x.f_threshold(threshold, value)?;
    "aten::softmax.int"(x: Tensor, dim: Int, dtype: MaybeKind) = x.f_softmax(dim, dtype)?;
    "aten::log_softmax.int"(x: Tensor, dim: Int, dtype: MaybeKind) = x.f_log_softmax(dim, dtype)?;

    // Making tensors.
    "aten::full"(size: Ints, value: Scalar, dtype: Kind) =
        Tensor::f_full(size, value, (dtype, CPU))?;
    "aten::scalar_tensor"(value: Scalar, dtype: Kind) =
        Tensor::f_scalar_tensor(value, (dtype, CPU))?;
    "aten::arange"(end: Scalar, dtype: Kind) = Tensor::f_arange(end, (dtype, CPU))?;
    "aten::arange.start"(start: Scalar, end: Scalar, dtype: Kind) =
        Tensor::f_arange_start(start, end, (dtype, CPU))?;
    "aten::arange.start_step"(start: Scalar, end: Scalar, step: Scalar, dtype: Kind) =
        Tensor::f_arange_start_step(start, end, step, (dtype, CPU))?;
    "aten::rand"(size: Ints, dtype: Kind) = Tensor::f_rand(size, (dtype, CPU))?;
    "aten::randn"(size: Ints, dtype: Kind) = Tensor::f_randn(size, (dtype, CPU))?;
    "aten::tril"(x: Tensor, diagonal: Int) = x.f_tril(diagonal)?;
    "aten::triu"(x: Tensor, diagonal: Int) = x.f_triu(diagonal)?;

    // Shapes. Values never change, so that a copy is the tensor itself.
    "aten::clone"(x: Tensor) = x.shallow_clone();
    "aten::reshape"(x: Tensor, shape: Ints) = x.f_reshape(shape)?;
    "aten::flatten.using_ints"(x: Tensor, start: Int, end: Int) = x.f_flatten(start, end)?;
    "aten::permute"(x: Tensor, dims: Ints) = x.f_permute(dims)?;
    "aten::unsqueeze"(x: Tensor, dim: Int) = x.f_unsqueeze(dim)?;
    "aten::squeeze.dim"(x: Tensor, dim: Int) = x.f_squeeze_dim(dim)?;
    "aten::squeeze.dims"(x: Tensor, dims: Ints) = x.f_squeeze_dims(dims)?;
    "aten::expand"(x: Tensor, size: Ints) = x.f_expand(size, false)?;
    "aten::repeat"(x: Tensor, repeats: Ints) = x.f_repeat(repeats)?;
    "aten::select.int"(x: Tensor, dim: Int, index: Int) = x.f_select(dim, index)?;
    "aten::slice.Tensor"(x: Tensor, dim: Int, start: MaybeInt, end: MaybeInt, step: Int) =
        x.f_slice(dim, start, end, step)?;
    "aten::flip"(x: Tensor, dims: Ints) = x.f_flip(dims)?;
    "aten::cat"(parts: Tensors, dim: Int) = Tensor::f_cat(&parts, dim)?;
    "aten::stack"(parts: Tensors, dim: Int) = Tensor::f_stack(&parts, dim)?;
    "aten::split_with_sizes"(x: Tensor, sizes: Ints, dim: Int) =
        x.f_split_with_sizes(sizes, dim)?;
    "aten::constant_pad_nd"(x: Tensor, pads: Ints, value: Scalar) =
        own::constant_pad(x, pads, value)?;
    "aten::pad"(x: Tensor, pads: Ints, mode: Str, value: MaybeFloat) = x.f_pad(pads, mode, value)?;
    "aten::unfold"(x: Tensor, dim: Int, size: Int, step: Int) = x.f_unfold(dim, size, step)?;
    "aten::pixel_shuffle"(x: Tensor, factor: Int) = x.f_pixel_shuffle(factor)?;

    // Indices.
    "aten::index.Tensor"(x: Tensor, indices: Maybes) = x.f_index(&indices)?;
    "aten::index_put"(x: Tensor, indices: Maybes, values: Tensor, accumulate: Bool) =
        x.f_index_put(&indices, values, accumulate)?;
    "aten::index_select"(x: Tensor, dim: Int, index: Tensor) = x.f_index_select(dim, index)?;
    "aten::gather"(x: Tensor, dim: Int, index: Tensor) = x.f_gather(dim, index, false)?;
    "aten::embedding"(weight: Tensor, indices: Tensor) =
        Tensor::f_embedding(weight, indices, -1, false, false)?;
    "aten::scatter.src"(x: Tensor, dim: Int, index: Tensor, src: Tensor) =
        x.f_scatter(dim, index, src)?;
    "aten::scatter_add"(x: Tensor, dim: Int, index: Tensor, src: Tensor) =
        x.f_scatter_add(dim, index, src)?;
    "aten::scatter_reduce.two"(x: Tensor, dim: Int, index: Tensor, src: Tensor, how: Str) =
        x.f_scatter_reduce(dim, index, src, how)?;
    "aten::nonzero"(x: Tensor) = x.f_nonzero()?;
    "aten::topk"(x: Tensor, k: Int, dim: Int, largest: Bool, sorted: Bool) =
        x.f_topk(k, dim, largest, sorted)?;
    "aten::sort.stable"(x: Tensor, stable: Bool, dim: Int, descending: Bool) =
        x.f_sort_stable(stable, dim, descending)?;
    "aten::argsort"(x: Tensor, dim: Int, descending: Bool) = x.f_argsort(dim, descending)?;
    "aten::_unique2"(x: Tensor, sorted: Bool, inverse: Bool, counts: Bool) =
        x.f_internal_unique2(sorted, inverse, counts)?;
    "aten::unique_dim"(x: Tensor, dim: Int, sorted: Bool, inverse: Bool, counts: Bool) =
        x.f_unique_dim(dim, sorted, inverse, counts)?;

    // Reductions.
    "aten::sum.dim_IntList"(x: Tensor, dims: MaybeInts, keep: Bool, dtype: MaybeKind) =
        x.f_sum_dim_intlist(dims, keep, dtype)?;
    "aten::mean.dim"(x: Tensor, dims: MaybeInts, keep: Bool, dtype: MaybeKind) =
        x.f_mean_dim(dims, keep, dtype)?;
    "aten::prod.dim_int"(x: Tensor, dim: Int, keep: Bool, dtype: MaybeKind) =
        x.f_prod_dim_int(dim, keep, dtype)?;
    "aten::amax"(x: Tensor, dims: Ints, keep: Bool) = x.f_amax(dims, keep)?;
    "aten::amin"(x: Tensor, dims: Ints, keep: Bool) = x.f_amin(dims, keep)?;
    "aten::argmax"(x: Tensor, dim: MaybeInt, keep: Bool) = x.f_argmax(dim, keep)?;
    "aten::argmin"(x: Tensor, dim: MaybeInt, keep: Bool) = x.f_argmin(dim, keep)?;
    "aten::all.dims"(x: Tensor, dims: MaybeInts, keep: Bool) = x.f_all_dims(dims, keep)?;
    "aten::any.dims"(x: Tensor, dims: MaybeInts, keep: Bool) = x.f_any_dims(dims, keep)?;
    "aten::logsumexp"(x: Tensor, dims: Ints, keep: Bool) = x.f_logsumexp(dims, keep)?;
    "aten::linalg_vector_norm"(x: Tensor, order: Scalar, dims: MaybeInts, keep: Bool) =
        own::vector_norm(x, order, dims, keep)?;
    "aten::cumsum"(x: Tensor, dim: Int, dtype: MaybeKind) = x.f_cumsum(dim, dtype)?;
    "aten::cumprod"(x: Tensor, dim: Int, dtype: MaybeKind) = x.f_cumprod(dim, dtype)?;
    "aten::cummax"(x: Tensor, dim: Int) = x.f_cummax(dim)?;
    "aten::cummin"(x: Tensor, dim: Int) = x.f_cummin(dim)?;

    // Products and transforms.
    "aten::mm"(a: Tensor, b: Tensor) = a.f_mm(b)?;
    "aten::matmul"(a: Tensor, b: Tensor) = a.f_matmul(b)?;
    "aten::addmm"(c: Tensor, a: Tensor, b: Tensor, beta: Float, alpha: Float) =
        own::addmm(c, a, b, beta, alpha)?;
    "aten::linear"(x: Tensor, w: Tensor, b: Maybe) = x.f_linear(w, b)?;
    "aten::einsum"(equation: Str, parts: Tensors) =
        Tensor::f_einsum(equation, &parts, None::<Vec<i64>>)?;
    "aten::linalg_det"(x: Tensor) = Tensor::f_linalg_det(x)?;
    "aten::fft_fft"(x: Tensor, n: MaybeInt, dim: Int, norm: Norm) = x.f_fft_fft(n, dim, norm)?;
    "aten::fft_ifft"(x: Tensor, n: MaybeInt, dim: Int, norm: Norm) = x.f_fft_ifft(n, dim, norm)?;
    "aten::scaled_dot_product_attention"(
        q: Tensor, k: Tensor, v: Tensor, mask: Maybe, dropout: Float, causal: Bool,
        scale: MaybeFloat, gqa: Bool
    ) = Tensor::f_scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale, gqa)?;

    // Convolutions, windows, images.
    "aten::conv1d"(x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, gap: Ints, g: Int) =
        x.f_conv1d(w, b, stride, pad, gap, g)?;
    "aten::conv2d"(x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, gap: Ints, g: Int) =
        x.f_conv2d(w, b, stride, pad, gap, g)?;
    "aten::conv3d"(x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, gap: Ints, g: Int) =
        x.f_conv3d(w, b, stride, pad, gap, g)?;
    "aten::conv_transpose1d"(
        x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, out: Ints, g: Int, gap: Ints
    ) = x.f_conv_transpose1d(w, b, stride, pad, out, g, gap)?;
    "aten::conv_transpose2d.input"(
        x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, out: Ints, g: Int, gap: Ints
    ) = x.f_conv_transpose2d(w, b, stride, pad, out, g, gap)?;
    "aten::conv_transpose3d.input"(
        x: Tensor, w: Tensor, b: Maybe, stride: Ints, pad: Ints, out: Ints, g: Int, gap: Ints
    ) = x.f_conv_transpose3d(w, b, stride, pad, out, g, gap)?;
    "aten::max_pool1d"(x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool) =
        x.f_max_pool1d(k, stride, pad, gap, ceil)?;
    "aten::max_pool2d"(x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool) =
        x.f_max_pool2d(k, stride, pad, gap, ceil)?;
    "aten::max_pool3d"(x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool) =
        x.f_max_pool3d(k, stride, pad, gap, ceil)?;
    "aten::max_pool1d_with_indices"(
        x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool
    ) = x.f_max_pool1d_with_indices(k, stride, pad, gap, ceil)?;
    "aten::max_pool2d_with_indices"(
        x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool
    ) = x.f_max_pool2d_with_indices(k, stride, pad, gap, ceil)?;
    "aten::max_pool3d_with_indices"(
        x: Tensor, k: Ints, stride: Ints, pad: Ints, gap: Ints, ceil: Bool
    ) = x.f_max_pool3d_with_indices(k, stride, pad, gap, ceil)?;
    "aten::avg_pool1d"(x: Tensor, k: Ints, stride: Ints, pad: Ints, ceil: Bool, count: Bool) =
        x.f_avg_pool1d(k, stride, pad, ceil, count)?;
    "aten::avg_pool2d"(
        x: Tensor, k: Ints, stride: Ints, pad: Ints, ceil: Bool, count: Bool, by: MaybeInt
    ) = x.f_avg_pool2d(k, stride, pad, ceil, count, by)?;
    "aten::avg_pool3d"(
        x: Tensor, k: Ints, stride: Ints, pad: Ints, ceil: Bool, count: Bool, by: MaybeInt
    ) = x.f_avg_pool3d(k, stride, pad, ceil, count, by)?;
    "aten::adaptive_avg_pool2d"(x: Tensor, size: Ints) = x.f_adaptive_avg_pool2d(size)?;
    "aten::upsample_nearest2d"(x: Tensor, size: Ints, h: MaybeFloat, w: MaybeFloat) =
        x.f_upsample_nearest2d(size, h, w)?;
    "aten::_upsample_nearest_exact2d"(x: Tensor, size: Ints, h: MaybeFloat, w: MaybeFloat) =
        x.f_internal_upsample_nearest_exact2d(size, h, w)?;
    "aten::upsample_bilinear2d"(
        x: Tensor, size: Ints, corners: Bool, h: MaybeFloat, w: MaybeFloat
    ) = x.f_upsample_bilinear2d(size, corners, h, w)?;
    "aten::upsample_bicubic2d"(
        x: Tensor, size: Ints, corners: Bool, h: MaybeFloat, w: MaybeFloat
    ) = x.f_upsample_bicubic2d(size, corners, h, w)?;
    "aten::affine_grid_generator"(theta: Tensor, size: Ints, corners: Bool) =
        Tensor::f_affine_grid_generator(theta, size, corners)?;
    "aten::grid_sampler"(x: Tensor, grid: Tensor, mode: Int, padding: Int, corners: Bool) =
        x.f_grid_sampler(grid, mode, padding, corners)?;

    // Norms.
    "aten::batch_norm"(
        x: Tensor, w: Maybe, b: Maybe, mean: Maybe, var: Maybe, training: Bool, momentum: Float,
        eps: Float, cudnn: Bool
    ) = match training {
        false => x.f_batch_norm(w, b, mean, var, false, momentum, eps, cudnn)?,
        true => return fail("a batch norm that changes its statistics"),
    };
    "aten::instance_norm"(
        x: Tensor, w: Maybe, b: Maybe, mean: Maybe, var: Maybe, own: Bool, momentum: Float,
        eps: Float, cudnn: Bool
    ) = match (own, mean) {
        (true, Some(_)) => return fail("an instance norm that changes its statistics"),
        _ => x.f_instance_norm(w, b, mean, var, own, momentum, eps, cudnn)?,
    };
    "aten::layer_norm"(x: Tensor, shape: Ints, w: Maybe, b: Maybe, eps: Float, cudnn: Bool) =
        x.f_layer_norm(shape, w, b, eps, cudnn)?;
    "aten::native_layer_norm"(x: Tensor, shape: Ints, w: Maybe, b: Maybe, eps: Float) =
        x.f_native_layer_norm(shape, w, b, eps)?;
    "aten::group_norm"(x: Tensor, groups: Int, w: Maybe, b: Maybe, eps: Float, cudnn: Bool) =
        x.f_group_norm(groups, w, b, eps, cudnn)?;
    "aten::rms_norm"(x: Tensor, shape: Ints, w: Maybe, eps: MaybeFloat) =
        x.f_rms_norm(shape, w, eps)?;

    // Recurrent layers.
    "aten::lstm.input"(
        x: Tensor, state: Tensors, weights: Tensors, biases: Bool, layers: Int, dropout: Float,
        train: Bool, both: Bool, batch_first: Bool
    ) = x.f_lstm(&state, &weights, biases, layers, dropout, train, both, batch_first)?;
    "aten::gru.input"(
        x: Tensor, state: Tensor, weights: Tensors, biases: Bool, layers: Int, dropout: Float,
        train: Bool, both: Bool, batch_first: Bool
    ) = x.f_gru(state, &weights, biases, layers, dropout, train, both, batch_first)?;
    "aten::rnn_tanh.input"(
        x: Tensor, state: Tensor, weights: Tensors, biases: Bool, layers: Int, dropout: Float,
        train: Bool, both: Bool, batch_first: Bool
    ) = x.f_rnn_tanh(state, &weights, biases, layers, dropout, train, both, batch_first)?;
    "aten::rnn_relu.input"(
        x: Tensor, state: Tensor, weights: Tensors, biases: Bool, layers: Int, dropout: Float,
        train: Bool, both: Bool, batch_first: Bool
    ) = x.f_rnn_relu(state, &weights, biases, layers, dropout, train, both, batch_first)?;
}

static TABLE: LazyLock<FxHashMap<&'static str, &'static Row>> =
    LazyLock::new(|| ROWS.iter().map(|row| (row.name, row)).collect());

fn key(schema: &Schema) -> String {
    match schema.overload.as_str() {
        "" => schema.name.clone(),
        overload => format!("{}.{overload}", schema.name),
    }
}

/// The operators of a graph, nested ones counted, that the table lacks.
pub fn missing(graph: &Graph) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for call in &graph.calls {
        match &call.target {
            Target::Operator(schema) if !TABLE.contains_key(key(schema).as_str()) => {
                out.insert(schema.display_name());
            }
            Target::Cond(a, b) | Target::While(a, b) => {
                out.append(&mut missing(a));
                out.append(&mut missing(b));
            }
            _ => {}
        }
    }
    out
}

/// Calls an operator.
pub fn run(schema: &Schema, mut args: Vec<Bound>) -> Result<Vec<Tensor>> {
    let Some(row) = TABLE.get(key(schema).as_str()) else {
        return fail("tch is not asked for it");
    };
    let mut beyond =
        args.drain(row.takes.min(args.len())..).zip(schema.params.iter().skip(row.takes));
    if let Some((_, param)) = beyond.find(|(arg, param)| !arg.is_default(param)) {
        return fail(format!("tch's function has no `{}`", param.name));
    }
    drop(beyond);
    for (i, param) in schema.params.iter().take(row.takes).enumerate() {
        match args.get_mut(i) {
            Some(arg @ Bound::Default) => *arg = bind::default_of(param)?,
            Some(_) => {}
            None => args.push(bind::default_of(param)?),
        }
    }
    (row.run)(&args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airconv_torch::common::schema::schemas;

    #[test]
    fn every_row_is_an_operator_with_as_many_parameters() {
        for row in ROWS {
            let (name, overload) = row.name.split_once('.').unwrap_or((row.name, ""));
            let schema = schemas().find(name, overload).expect(row.name);
            assert!(row.takes <= schema.params.len(), "{}", row.name);
            let written = schema.params.iter().any(|p| p.written);
            assert!(!written, "{} writes to what it is given", row.name);
        }
        assert_eq!(TABLE.len(), ROWS.len());
    }
}
