use super::*;
use crate::attr::Float;

const C: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The ops that a pass leaves, without constants and broadcasts.
fn raised(pass: &str, build: impl FnOnce(&mut Builder<'_>) -> R) -> Vec<&'static str> {
    core(&opt(&module(build), pass, 1e-5))
}

/// The same, and why candidates were declined.
fn declined(pass: &str, build: impl FnOnce(&mut Builder<'_>) -> R) -> (usize, Vec<String>) {
    let (m, mut cx) = (module(build), context());
    let new = opt_with(&m, pass, 0.0, &mut cx);
    assert_eq!(ops(&new), ops(&m));
    (ops(&new).len(), reasons(&cx).into_iter().map(str::to_owned).collect())
}

#[test]
fn exact_gelu_in_every_order() {
    let forms: [fn(&mut Builder<'_>, ValueId) -> R; 5] = [
        |b, x| {
            let r = b.scalar_like(x, std::f64::consts::SQRT_2)?;
            let u = b.div(x, r)?;
            let e = b.erf(u)?;
            let g = b.add_const(e, 1.0)?;
            let y = b.mul(x, g)?;
            b.mul_const(y, 0.5)
        },
        |b, x| {
            let u = b.mul_const(x, C)?;
            let e = b.erf(u)?;
            let g = b.add_const(e, 1.0)?;
            let h = b.mul_const(x, 0.5)?;
            b.mul(h, g)
        },
        |b, x| {
            let u = b.mul_const(x, C)?;
            let e = b.erf(u)?;
            let g = b.add_const(e, 1.0)?;
            let g = b.mul_const(g, 0.5)?;
            b.mul(g, x)
        },
        |b, x| {
            let u = b.mul_const(x, C)?;
            let e = b.erf(u)?;
            let e = b.mul_const(e, 0.5)?;
            let g = b.add_const(e, 0.5)?;
            b.mul(x, g)
        },
        |b, x| {
            let u = b.mul_const(x, C)?;
            let e = b.erf(u)?;
            let g = b.add_const(e, 1.0)?;
            let y = b.mul(g, x)?;
            let two = b.scalar_like(x, 2.0)?;
            b.div(y, two)
        },
    ];
    for form in forms {
        let new = opt(
            &module(|b| {
                let x = x32(b, "x", &[2, 5]);
                form(b, x)
            }),
            "raise_gelu",
            1e-6,
        );
        assert_eq!(core(&new), ["gelu"]);
        let f = new.main();
        let last = *f.body().nodes.last().unwrap();
        assert_eq!(f.nodes[last].op, Gelu { approximate: GeluKind::Exact }.into());
    }
}

#[test]
fn tanh_gelu_in_several_forms() {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let finish = |b: &mut Builder<'_>, x: ValueId, u: ValueId| -> R {
        let t = b.tanh(u)?;
        let g = b.add_const(t, 1.0)?;
        let h = b.mul_const(x, 0.5)?;
        b.mul(h, g)
    };
    let pow = raised("raise_gelu", |b| {
        let x = x32(b, "x", &[7]);
        let three = b.scalar_like(x, 3.0)?;
        let cube = b.pow(x, three)?;
        let cubic = b.mul_const(cube, 0.044715)?;
        let sum = b.add(x, cubic)?;
        let u = b.mul_const(sum, root)?;
        finish(b, x, u)
    });
    assert_eq!(pow, ["gelu"]);
    let products = raised("raise_gelu", |b| {
        let x = x32(b, "x", &[7]);
        let square = b.mul(x, x)?;
        let cube = b.mul(square, x)?;
        let cubic = b.mul_const(cube, 0.044715)?;
        let sum = b.add(cubic, x)?;
        let u = b.mul_const(sum, root)?;
        finish(b, x, u)
    });
    assert_eq!(products, ["gelu"]);
    let taken_out = raised("raise_gelu", |b| {
        let x = x32(b, "x", &[7]);
        let square = b.mul(x, x)?;
        let quad = b.mul_const(square, 0.044715)?;
        let sum = b.add_const(quad, 1.0)?;
        let scaled = b.mul_const(x, root)?;
        let u = b.mul(scaled, sum)?;
        finish(b, x, u)
    });
    assert_eq!(taken_out, ["gelu"]);
}

#[test]
fn other_constants_are_no_gelu() {
    let (_, why) = declined("raise_gelu", |b| {
        let x = x32(b, "x", &[7]);
        let u = b.mul_const(x, 0.70)?;
        let e = b.erf(u)?;
        let g = b.add_const(e, 1.0)?;
        let y = b.mul(x, g)?;
        b.mul_const(y, 0.5)
    });
    assert!(why.is_empty());
    let (_, why) = declined("raise_gelu", |b| {
        let x = x32(b, "x", &[7]);
        let u = b.mul_const(x, C)?;
        let e = b.erf(u)?;
        let g = b.add_const(e, 1.0)?;
        let y = b.mul(x, g)?;
        let y = b.mul_const(y, 0.5)?;
        b.add(y, e)
    });
    assert_eq!(why, ["an intermediate value has other uses"]);
}

#[test]
fn swish_and_sigmoid() {
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let s = b.emit(Sigmoid {}, &[x])?;
        b.mul(s, x)
    });
    assert_eq!(out, ["swish"]);
    let new = opt(
        &module(|b| {
            let x = x32(b, "x", &[7]);
            let u = b.mul_const(x, 1.702)?;
            let s = b.emit(Sigmoid {}, &[u])?;
            b.mul(x, s)
        }),
        "raise_swish",
        1e-6,
    );
    let f = new.main();
    let Op::Swish(op) = &f.nodes[*f.body().nodes.last().unwrap()].op else { panic!("no swish") };
    assert!((op.alpha.0 - 1.702).abs() < 1e-6);
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let m = b.neg(x)?;
        let e = b.exp(m)?;
        let d = b.add_const(e, 1.0)?;
        let one = b.scalar_like(x, 1.0)?;
        let s = b.div(one, d)?;
        b.sub(s, x)
    });
    assert_eq!(out, ["sigmoid", "sub"]);
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let m = b.neg(x)?;
        let e = b.exp(m)?;
        let d = b.add_const(e, 1.0)?;
        b.div(x, d)
    });
    assert_eq!(out, ["swish"]);
}

#[test]
fn products_with_another_gate_stay() {
    let (_, why) = declined("raise_swish", |b| {
        let (x, z) = (x32(b, "x", &[7]), x32(b, "z", &[7]));
        let s = b.emit(Sigmoid {}, &[z])?;
        let y = b.mul(s, x)?;
        let e = b.exp(z)?;
        let d = b.add_const(e, 2.0)?;
        b.div(y, d)
    });
    assert!(why.is_empty());
    let (_, why) = declined("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let s = b.emit(Sigmoid {}, &[x])?;
        let y = b.mul(s, x)?;
        b.add(y, s)
    });
    assert_eq!(why, ["an intermediate value has other uses"]);
}

fn clipped(b: &mut Builder<'_>, x: ValueId, three: f64) -> R {
    let u = b.add_const(x, three)?;
    let (low, high) = (b.scalar_like(x, 0.0)?, b.scalar_like(x, 6.0)?);
    b.emit(Clip {}, &[u, low, high])
}

#[test]
fn hard_swish_and_hard_sigmoid() {
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let c = clipped(b, x, 3.0)?;
        let y = b.mul(x, c)?;
        let six = b.scalar_like(x, 6.0)?;
        b.div(y, six)
    });
    assert_eq!(out, ["hard_swish"]);
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let u = b.add_const(x, 3.0)?;
        let u = b.emit(Relu {}, &[u])?;
        let six = b.scalar_like(x, 6.0)?;
        let c = b.min(u, six)?;
        let c = b.mul_const(c, 1.0 / 6.0)?;
        let y = b.mul(x, c)?;
        b.add(y, x)
    });
    assert_eq!(out, ["hard_swish", "add"]);
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let c = clipped(b, x, 3.0)?;
        b.mul_const(c, 1.0 / 6.0)
    });
    assert_eq!(out, ["hard_sigmoid"]);
    let (_, why) = declined("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let c = clipped(b, x, 2.0)?;
        b.mul_const(c, 1.0 / 6.0)
    });
    assert!(why.is_empty());
}

#[test]
fn mish() {
    let out = raised("raise_swish", |b| {
        let x = x32(b, "x", &[7]);
        let s = b.emit(Softplus {}, &[x])?;
        let t = b.tanh(s)?;
        b.mul(x, t)
    });
    assert_eq!(out, ["mish"]);
}

fn softmax_of(b: &mut Builder<'_>, x: ValueId, max_axis: Option<usize>) -> R {
    let x = match max_axis {
        Some(a) => {
            let m = b.reduce(ReduceKind::Max, x, &[a], true)?;
            b.sub(x, m)?
        }
        None => x,
    };
    let e = b.exp(x)?;
    let s = b.reduce(ReduceKind::Sum, e, &[1], true)?;
    b.div(e, s)
}

#[test]
fn softmax() {
    let out = raised("raise_softmax", |b| {
        let x = x32(b, "x", &[2, 5]);
        softmax_of(b, x, Some(1))
    });
    assert_eq!(out, ["softmax"]);
    let out = raised("raise_softmax", |b| {
        let n = size(b, "n");
        let x = input(b, "x", DType::F32, &[n, Dim::Known(5)]);
        let m = b.reduce(ReduceKind::Max, x, &[1, 0], true)?;
        let x = b.sub(x, m)?;
        let e = b.exp(x)?;
        let s = b.reduce(ReduceKind::Sum, e, &[0, 1], true)?;
        let r = b.emit(Reciprocal {}, &[s])?;
        b.mul(r, e)
    });
    assert_eq!(out, ["softmax"]);
    let (_, why) = declined("raise_softmax", |b| {
        let x = x32(b, "x", &[2, 5]);
        softmax_of(b, x, None)
    });
    assert_eq!(why, ["no maximum is subtracted"]);
    let (_, why) = declined("raise_softmax", |b| {
        let x = x32(b, "x", &[2, 5]);
        softmax_of(b, x, Some(0))
    });
    assert_eq!(why, ["no maximum is subtracted"]);
}

fn average(b: &mut Builder<'_>, x: ValueId, axis: i64) -> R {
    b.emit(ReduceMean { axes: vec![axis], keepdims: true }, &[x])
}

#[derive(Clone, Copy)]
enum Root {
    Quotient,
    Reciprocal,
    Power,
}

fn over_root(b: &mut Builder<'_>, d: ValueId, v: ValueId, root: Root) -> R {
    let v = b.add_const(v, 1e-5)?;
    match root {
        Root::Quotient => {
            let s = b.sqrt(v)?;
            b.div(d, s)
        }
        Root::Reciprocal => {
            let s = b.sqrt(v)?;
            let r = b.emit(Reciprocal {}, &[s])?;
            b.mul(r, d)
        }
        Root::Power => {
            let minus_half = b.scalar_like(v, -0.5)?;
            let r = b.pow(v, minus_half)?;
            b.mul(d, r)
        }
    }
}

fn layer_norm(b: &mut Builder<'_>, x: ValueId, axis: i64, root: Root) -> R {
    let m = average(b, x, axis)?;
    let d = b.sub(x, m)?;
    let two = b.scalar_like(x, 2.0)?;
    let sq = if matches!(root, Root::Power) { b.mul(d, d)? } else { b.pow(d, two)? };
    let var = average(b, sq, axis)?;
    over_root(b, d, var, root)
}

#[test]
fn layer_norm_with_scale_and_bias() {
    for root in [Root::Quotient, Root::Reciprocal, Root::Power] {
        let new = opt(
            &module(|b| {
                let n = size(b, "n");
                let x = input(b, "x", DType::F32, &[n, Dim::Known(3), Dim::Known(4)]);
                let y = layer_norm(b, x, 2, root)?;
                let (s, c) = (b.constant(&f32s(&[4], 1))?, b.constant(&f32s(&[4], 2))?);
                let y = b.mul(s, y)?;
                b.add(y, c)
            }),
            "raise_layer_norm,dce",
            1e-5,
        );
        assert_eq!(ops(&new), ["constant", "constant", "layer_normalization"]);
        let f = new.main();
        let Op::LayerNormalization(op) = &f.nodes[f.body().nodes[2]].op else { panic!("no norm") };
        assert_eq!((op.axis, op.epsilon.0 as f32), (2, 1e-5));
    }
}

#[test]
fn layer_norm_alone() {
    let out = raised("raise_layer_norm", |b| {
        let x = x32(b, "x", &[2, 4]);
        layer_norm(b, x, 1, Root::Quotient)
    });
    assert_eq!(out, ["layer_normalization"]);
    // A scale that is not along the last axis stays a product.
    let mut cx = context();
    let m = module(|b| {
        let x = x32(b, "x", &[2, 4]);
        let y = layer_norm(b, x, 1, Root::Quotient)?;
        let s = b.constant(&f32s(&[2, 1], 1))?;
        b.mul(y, s)
    });
    let new = opt_with(&m, "raise_layer_norm,raise_rms_norm", 1e-5, &mut cx);
    assert_eq!(core(&new), ["layer_normalization", "mul"]);
    assert_eq!(reasons(&cx), ["the factor is not along the normalised axes"]);
}

#[test]
fn norms_over_other_axes_stay() {
    let (_, why) = declined("raise_layer_norm", |b| {
        let x = x32(b, "x", &[2, 3, 4]);
        layer_norm(b, x, 1, Root::Quotient)
    });
    assert_eq!(why, ["the means are not over the last axes"]);
    let (_, why) = declined("raise_rms_norm", |b| {
        let x = x32(b, "x", &[2, 3, 4]);
        let sq = b.mul(x, x)?;
        let ms = average(b, sq, 0)?;
        over_root(b, x, ms, Root::Quotient)
    });
    assert_eq!(why, ["the mean is not over the last axes"]);
}

#[test]
fn rms_norm() {
    for root in [Root::Quotient, Root::Reciprocal, Root::Power] {
        let new = opt(
            &module(|b| {
                let x = x32(b, "x", &[2, 3, 4]);
                let two = b.scalar_like(x, 2.0)?;
                let sq = b.pow(x, two)?;
                let ms = average(b, sq, 2)?;
                let y = over_root(b, x, ms, root)?;
                let s = b.constant(&f32s(&[4], 1))?;
                b.mul(y, s)
            }),
            "raise_layer_norm,raise_rms_norm,dce",
            1e-5,
        );
        assert_eq!(ops(&new), ["constant", "rms_normalization"]);
    }
}

/// Attention written out: how q, k and the scores are scaled, and the mask.
fn attention(
    b: &mut Builder<'_>,
    heads: i64,
    scales: [Option<f64>; 3],
    mask: impl FnOnce(&mut Builder<'_>, ValueId) -> R,
) -> R {
    let n = size(b, "n");
    let four = |h: i64, d: i64| [Dim::Known(2), n.clone(), Dim::Known(h), Dim::Known(d)];
    let q = input(b, "q", DType::F32, &four(3, 4));
    let key = input(b, "k", DType::F32, &four(heads, 4));
    let v = input(b, "v", DType::F32, &four(heads, 5));
    let scaled = |b: &mut Builder<'_>, v: ValueId, s: Option<f64>| match s {
        Some(s) => b.mul_const(v, s),
        None => Ok(v),
    };
    let q = b.transpose(q, &[0, 2, 1, 3])?;
    let q = scaled(b, q, scales[0])?;
    let kt = b.transpose(key, &[0, 2, 3, 1])?;
    let kt = scaled(b, kt, scales[1])?;
    let v = b.transpose(v, &[0, 2, 1, 3])?;
    let s = b.matmul(q, kt)?;
    let s = scaled(b, s, scales[2])?;
    let s = mask(b, s)?;
    let p = b.emit(Softmax { axes: vec![3] }, &[s])?;
    b.matmul(p, v)
}

#[test]
fn attention_with_scales() {
    let all = [
        [None, None, Some(0.5)],
        [Some(0.5), None, None],
        [Some(0.7), Some(0.7), None],
        [None, None, None],
    ];
    for scales in all {
        let m = module(|b| attention(b, 3, scales, |_, s| Ok(s)));
        let new = opt(&m, "raise_attention,dce", 1e-5);
        assert_eq!(core(&new), ["transpose", "transpose", "transpose", "attention"]);
        let f = new.main();
        let Op::Attention(op) = &f.nodes[*f.body().nodes.last().unwrap()].op else {
            panic!("no attention")
        };
        let want: f64 = scales.iter().flatten().product();
        assert!((op.scale.unwrap_or(Float(0.0)).0 - want).abs() < 1e-6);
    }
}

#[test]
fn attention_with_masks() {
    let scales = [None, None, Some(0.5)];
    let m = module(|b| {
        attention(b, 3, scales, |b, s| {
            let dims = b.tensor_ty(s)?.shape;
            let mask = input(b, "mask", DType::F32, &[dims[2].clone(), dims[3].clone()]);
            b.add(mask, s)
        })
    });
    let new = opt(&m, "raise_attention,dce", 1e-5);
    assert_eq!(core(&new).last(), Some(&"attention"));
    assert!(!ops(&new).contains(&"broadcast"));
    let hidden = |value: f64| {
        module(move |b| {
            attention(b, 3, scales, |b, s| {
                let dims = b.tensor_ty(s)?.shape;
                let mask = input(b, "mask", DType::Bool, &[dims[2].clone(), dims[3].clone()]);
                let hidden = b.scalar_like(s, value)?;
                b.select(mask, s, hidden)
            })
        })
    };
    let new = opt(&hidden(f64::NEG_INFINITY), "raise_attention,dce", 1e-5);
    assert_eq!(core(&new).last(), Some(&"attention"));
    let mut cx = context();
    let new = opt_with(&hidden(-1e9), "raise_attention", 0.0, &mut cx);
    assert_eq!(core(&new).last(), Some(&"matmul"));
    assert_eq!(reasons(&cx), ["the score of hidden positions is finite"]);
}

#[test]
fn attention_of_unequal_heads_stays() {
    let (_, why) = declined("raise_attention", |b| attention(b, 1, [None; 3], |_, s| Ok(s)));
    assert_eq!(why, ["batches or heads of q, k and v differ"]);
    let (_, why) = declined("raise_attention", |b| {
        let (q, v) = (x32(b, "q", &[3, 4]), x32(b, "v", &[3, 5]));
        let key = x32(b, "k", &[3, 4]);
        let kt = b.transpose(key, &[1, 0])?;
        let s = b.matmul(q, kt)?;
        let p = b.emit(Softmax { axes: vec![1] }, &[s])?;
        b.matmul(p, v)
    });
    assert_eq!(why, ["q, k and v are not of rank 4"]);
}
