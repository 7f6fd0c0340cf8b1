use super::*;

fn conv(groups: i64) -> Conv {
    Conv {
        strides: vec![1, 1],
        pads: vec![1, 0, 1, 0],
        dilations: vec![1, 1],
        input_dilations: vec![1, 1],
        groups,
        auto_pad: AutoPad::Explicit,
    }
}

fn transposed(groups: i64) -> ConvTranspose {
    ConvTranspose {
        strides: vec![2, 2],
        pads: vec![0, 1, 0, 1],
        dilations: vec![1, 1],
        groups,
        auto_pad: AutoPad::Explicit,
        output_padding: vec![0, 0],
        output_shape: vec![],
    }
}

fn norm(training_mode: bool) -> BatchNormalization {
    BatchNormalization {
        epsilon: crate::attr::Float(1e-3),
        momentum: crate::attr::Float(0.9),
        training_mode,
    }
}

/// Variances, all above zero.
fn positive(n: usize) -> Array {
    let v: Vec<f64> = noise(n, 5).iter().map(|v| v.abs() + 0.1).collect();
    Array::from_f64s(DType::F32, vec![n], &v).unwrap()
}

fn normalised(b: &mut Builder<'_>, y: ValueId, channels: usize, training: bool) -> R {
    let mut operands = vec![Some(y)];
    for seed in 2..5 {
        operands.push(Some(b.constant(&f32s(&[channels], seed))?));
    }
    operands.push(Some(b.constant(&positive(channels))?));
    b.emit_opt(norm(training), &operands)
}

#[test]
fn batch_norm_goes_into_a_convolution() {
    for (groups, bias) in [(1, false), (2, true)] {
        let m = module(|b| {
            let n = size(b, "n");
            let x = input(b, "x", DType::F32, &[n, Dim::Known(4), Dim::Known(5), Dim::Known(5)]);
            let w = b.constant(&f32s(&[6, 4 / groups as usize, 3, 2], 1))?;
            let c = if bias { Some(b.constant(&f32s(&[6], 9))?) } else { None };
            let y = b.emit_opt(conv(groups), &[Some(x), Some(w), c])?;
            normalised(b, y, 6, false)
        });
        assert_eq!(ops(&opt(&m, "fuse_conv_bn,dce", 1e-5)), ["constant", "constant", "conv"]);
    }
}

#[test]
fn batch_norm_goes_into_a_transposed_convolution() {
    for groups in [1, 2] {
        let m = module(|b| {
            let x = x32(b, "x", &[2, 4, 3, 3]);
            let w = b.constant(&f32s(&[4, 6 / groups as usize, 2, 3], 1))?;
            let y = b.emit(transposed(groups), &[x, w])?;
            normalised(b, y, 6, false)
        });
        let new = opt(&m, "fuse_conv_bn,dce", 1e-5);
        assert_eq!(ops(&new), ["constant", "constant", "conv_transpose"]);
    }
}

#[test]
fn constants_per_channel_go_into_a_convolution() {
    let m = module(|b| {
        let x = x32(b, "x", &[1, 2, 5, 5]);
        let w = b.constant(&f32s(&[3, 2, 3, 2], 1))?;
        let y = b.emit(conv(1), &[x, w])?;
        let (s, c) = (b.constant(&f32s(&[1, 3, 1, 1], 2))?, b.constant(&f32s(&[3, 1, 1], 3))?);
        let y = b.mul(y, s)?;
        let y = b.sub(c, y)?;
        let half = b.scalar_like(y, 2.0)?;
        let y = b.div(y, half)?;
        b.add_const(y, 1.0)
    });
    assert_eq!(ops(&opt(&m, "fuse_conv_bn,dce", 1e-5)), ["constant", "constant", "conv"]);
}

#[test]
fn a_factor_alone_needs_no_bias() {
    let m = module(|b| {
        let x = x32(b, "x", &[1, 2, 5, 5]);
        let w = b.constant(&f32s(&[3, 2, 3, 2], 1))?;
        let y = b.emit(conv(1), &[x, w])?;
        b.mul_const(y, 0.5)
    });
    let new = opt(&m, "fuse_conv_bn,dce", 1e-5);
    assert_eq!(ops(&new), ["constant", "conv"]);
}

#[test]
fn convolutions_are_left_alone_where_it_would_not_be_the_same() {
    let why = |build: &dyn Fn(&mut Builder<'_>, ValueId, ValueId) -> R| {
        let m = module(|b| {
            let x = x32(b, "x", &[1, 2, 5, 5]);
            let w = b.constant(&f32s(&[3, 2, 3, 2], 1))?;
            build(b, x, w)
        });
        let mut cx = context();
        let new = opt_with(&m, "fuse_conv_bn", 0.0, &mut cx);
        assert_eq!(ops(&new), ops(&m));
        reasons(&cx).join("; ")
    };
    let found = why(&|b, x, w| {
        let y = b.emit(conv(1), &[x, w])?;
        normalised(b, y, 3, true)
    });
    assert_eq!(found, "the normalisation is in training mode");
    let found = why(&|b, x, w| {
        let y = b.emit(conv(1), &[x, w])?;
        let n = normalised(b, y, 3, false)?;
        let y = b.exp(y)?;
        b.add(y, n)
    });
    assert_eq!(found, "an intermediate value has other uses");
    let found = why(&|b, x, w| {
        let y = b.emit(conv(1), &[x, w])?;
        let c = b.constant(&f32s(&[4], 2))?;
        b.add(y, c)
    });
    assert_eq!(found, "the other operand is not a constant per channel");
    let found = why(&|b, x, w| {
        let p = b.emit(conv(1), &[x, w])?;
        let q = b.mul_const(p, 3e38)?;
        b.mul_const(q, 1.0)
    });
    assert_eq!(found, "a recomputed number is not finite");
    let found = why(&|b, x, w| {
        let w = b.exp(w)?;
        let y = b.emit(conv(1), &[x, w])?;
        b.mul_const(y, 2.0)
    });
    assert_eq!(found, "the weights are not constant");
}

#[test]
fn shared_weights_stay() {
    let m = module(|b| {
        let (x, z) = (x32(b, "x", &[1, 2, 5, 5]), x32(b, "z", &[1, 2, 5, 5]));
        let w = b.constant(&f32s(&[3, 2, 3, 2], 1))?;
        let (p, q) = (b.emit(conv(1), &[x, w])?, b.emit(conv(1), &[z, w])?);
        let p = b.mul_const(p, 2.0)?;
        b.add(p, q)
    });
    let mut cx = context();
    assert_eq!(ops(&opt_with(&m, "fuse_conv_bn", 0.0, &mut cx)), ops(&m));
    assert!(reasons(&cx).contains(&"the weights have other uses"));
}

#[test]
fn a_matrix_product_and_its_bias_become_gemm() {
    let flags = |m: &Module| {
        let f = m.main();
        match &f.nodes[*f.body().nodes.last().unwrap()].op {
            Op::Gemm(op) => (op.trans_a, op.trans_b),
            _ => panic!("no gemm"),
        }
    };
    let m = module(|b| {
        let n = size(b, "n");
        let x = input(b, "x", DType::F32, &[n, Dim::Known(4)]);
        let w = b.constant(&f32s(&[5, 4], 1))?;
        let w = b.transpose(w, &[1, 0])?;
        let c = b.constant(&f32s(&[5], 2))?;
        let y = b.matmul(x, w)?;
        b.add(c, y)
    });
    let new = opt(&m, "fuse_matmul_add,dce", 1e-5);
    assert_eq!(ops(&new), ["constant", "constant", "gemm"]);
    assert_eq!(flags(&new), (false, true));
    let m = module(|b| {
        let (x, w) = (x32(b, "x", &[4, 3]), x32(b, "w", &[4, 5]));
        let op = Gemm {
            alpha: crate::attr::Float(0.5),
            beta: crate::attr::Float(0.0),
            trans_a: true,
            trans_b: false,
        };
        let y = b.emit(op, &[x, w])?;
        let c = x32(b, "c", &[1, 5]);
        b.add(y, c)
    });
    let new = opt(&m, "fuse_matmul_add,dce", 1e-5);
    assert_eq!((ops(&new), flags(&new)), (vec!["gemm"], (true, false)));
}

#[test]
fn other_products_stay() {
    let why = |build: &dyn Fn(&mut Builder<'_>) -> R| {
        let m = module(|b| build(b));
        let mut cx = context();
        assert_eq!(ops(&opt_with(&m, "fuse_matmul_add", 0.0, &mut cx)), ops(&m));
        reasons(&cx).join("; ")
    };
    let found = why(&|b| {
        let (x, w) = (x32(b, "x", &[2, 3, 4]), x32(b, "w", &[4, 5]));
        let y = b.matmul(x, w)?;
        let c = x32(b, "c", &[5]);
        b.add(y, c)
    });
    assert_eq!(found, "the product is not of two matrices");
    let found = why(&|b| {
        let (x, w) = (x32(b, "x", &[3, 4]), x32(b, "w", &[4, 5]));
        let y = b.matmul(x, w)?;
        let c = x32(b, "c", &[3, 1]);
        b.add(y, c)
    });
    assert_eq!(found, "the summand is not one row");
    let found = why(&|b| {
        let (x, w) = (x32(b, "x", &[3, 4]), x32(b, "w", &[4, 5]));
        let y = b.matmul(x, w)?;
        let c = x32(b, "c", &[5]);
        let s = b.add(y, c)?;
        b.mul(y, s)
    });
    assert_eq!(found, "an intermediate value has other uses");
}

#[test]
fn a_pipeline_brings_it_all_together() {
    // A convolution block and an attention-like tail, as an exporter writes them.
    let m = module(|b| {
        let x = x32(b, "x", &[1, 3, 6, 6]);
        let w = b.constant(&f32s(&[4, 3, 3, 2], 1))?;
        let op = Conv { auto_pad: AutoPad::SameUpper, pads: vec![], ..conv(1) };
        let y = b.emit(op, &[x, w])?;
        let y = normalised(b, y, 4, false)?;
        let s = b.emit(Sigmoid {}, &[y])?;
        let y = b.mul(y, s)?;
        let y = b.emit(GlobalAveragePool {}, &[y])?;
        let shape = b.emit(ShapeOf { start: 0, end: Some(1) }, &[y])?;
        let minus = b.ints(&[-1])?;
        let shape = b.concat(&[shape, minus], 0)?;
        let p = size(b, "p");
        b.node(DimsOf { dims: vec![p.clone(), Dim::Known(-1)] }, &[Some(shape)])?;
        let y = b.emit(Flatten { axis: 1 }, &[y])?;
        let w = b.constant(&f32s(&[4, 5], 3))?;
        let y = b.matmul(y, w)?;
        let c = b.constant(&f32s(&[5], 4))?;
        let y = b.add(y, c)?;
        b.emit(Identity {}, &[y])
    });
    let mut cx = context();
    let new = opt_with(&m, "fuse", 1e-5, &mut cx);
    assert_eq!(core(&new), ["conv", "swish", "global_average_pool", "flatten", "gemm"]);
    assert!(cx.log.iter().map(|r| r.bytes).sum::<i64>() < 0);
}
