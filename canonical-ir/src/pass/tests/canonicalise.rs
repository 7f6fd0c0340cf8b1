use super::*;

fn canon(build: impl FnOnce(&mut Builder<'_>) -> R) -> Vec<&'static str> {
    let new = opt(&module(build), "canonicalise,dce", 0.0);
    ops(&new)
}

#[test]
fn identities_go() {
    let out = canon(|b| {
        let x = x32(b, "x", &[2]);
        let x = b.emit(Identity {}, &[x])?;
        let x = b.emit(Clip {}, &[x])?;
        b.neg(x)
    });
    assert_eq!(out, ["neg"]);
    let out = canon(|b| {
        let x = x32(b, "x", &[2]);
        let low = b.scalar(DType::F32, 0.0)?;
        b.emit(Clip {}, &[x, low])
    });
    assert_eq!(out, ["constant", "clip"]);
}

#[test]
fn transposes_merge() {
    let twice = |second: &[i64]| {
        let second = second.to_vec();
        canon(move |b| {
            let x = x32(b, "x", &[2, 3, 4]);
            let x = b.emit(Transpose { perm: vec![1, 2, 0] }, &[x])?;
            let x = b.emit(Transpose { perm: second }, &[x])?;
            b.neg(x)
        })
    };
    assert_eq!(twice(&[2, 0, 1]), ["neg"]);
    assert_eq!(twice(&[1, 0, 2]), ["transpose", "neg"]);
    assert_eq!(twice(&[0, 1, 2]), ["transpose", "neg"]);
}

#[test]
fn reshapes_merge() {
    let out = canon(|b| {
        let x = x32(b, "x", &[2, 3, 4]);
        let x = b.emit(Flatten { axis: 1 }, &[x])?;
        let x = b.emit(Reshape { dims: k(&[4, 6]) }, &[x])?;
        b.neg(x)
    });
    assert_eq!(out, ["reshape", "neg"]);
    let out = canon(|b| {
        let x = x32(b, "x", &[2, 3]);
        let x = b.emit(Unsqueeze { axes: vec![1] }, &[x])?;
        let x = b.emit(Squeeze { axes: vec![1] }, &[x])?;
        b.neg(x)
    });
    assert_eq!(out, ["neg"]);
}

#[test]
fn squeezes_merge_with_their_axes() {
    let axes_of = |m: &Module| match &m.main().nodes[m.main().body().nodes[0]].op {
        Op::Squeeze(op) => op.axes.clone(),
        Op::Unsqueeze(op) => op.axes.clone(),
        _ => Vec::new(),
    };
    let m = module(|b| {
        let x = x32(b, "x", &[1, 2, 1, 3, 1]);
        let x = b.emit(Squeeze { axes: vec![2] }, &[x])?;
        b.emit(Squeeze { axes: vec![0, 3] }, &[x])
    });
    let new = opt(&m, "canonicalise", 0.0);
    assert_eq!((ops(&new), axes_of(&new)), (vec!["squeeze"], vec![0, 2, 4]));
    let m = module(|b| {
        let x = x32(b, "x", &[2, 3]);
        let x = b.emit(Unsqueeze { axes: vec![1] }, &[x])?;
        b.emit(Unsqueeze { axes: vec![0, 4] }, &[x])
    });
    let new = opt(&m, "canonicalise", 0.0);
    assert_eq!((ops(&new), axes_of(&new)), (vec!["unsqueeze"], vec![0, 2, 4]));
    // A squeeze of other axes than were inserted is left alone.
    let m = module(|b| {
        let x = x32(b, "x", &[1, 3]);
        let x = b.emit(Unsqueeze { axes: vec![2] }, &[x])?;
        b.emit(Squeeze { axes: vec![0] }, &[x])
    });
    assert_eq!(ops(&opt(&m, "canonicalise", 0.0)), ["unsqueeze", "squeeze"]);
}

#[test]
fn casts_merge_only_where_values_are_kept() {
    let chain = |start: DType, first: DType, last: DType| {
        canon(move |b| {
            let x = input(b, "x", start, &k(&[3]));
            let y = b.cast(x, first)?;
            let y = b.emit(Cast { to: last, saturate: true, rounding: CastRounding::Up }, &[y])?;
            Ok(y)
        })
    };
    use DType::*;
    assert_eq!(chain(F16, F32, F16), Vec::<&str>::new());
    assert_eq!(chain(F16, F32, F64), ["cast"]);
    assert_eq!(chain(I32, I64, I8), ["cast"]);
    assert_eq!(chain(U8, F32, U8), Vec::<&str>::new());
    assert_eq!(chain(F32, F16, F32), ["cast", "cast"]);
    assert_eq!(chain(I64, F64, I64), ["cast", "cast"]);
    // A float out of range of i8 does not wrap.
    assert_eq!(chain(I32, F64, I8), ["cast", "cast"]);
    assert_eq!(chain(F32, F32, F32), Vec::<&str>::new());
}

#[test]
fn cast_like_becomes_a_cast() {
    let out = canon(|b| {
        let (x, t) = (x32(b, "x", &[3]), input(b, "t", DType::F16, &k(&[2])));
        b.emit(CastLike { saturate: true, rounding: CastRounding::Up }, &[x, t])
    });
    assert_eq!(out, ["cast"]);
    let out = canon(|b| {
        let (x, t) = (x32(b, "x", &[3]), x32(b, "t", &[2]));
        let y = b.emit(CastLike { saturate: true, rounding: CastRounding::Up }, &[x, t])?;
        b.neg(y)
    });
    assert_eq!(out, ["neg"]);
}

#[test]
fn repetitions_of_nothing_go() {
    let out = canon(|b| {
        let x = x32(b, "x", &[3]);
        let x = b.emit(Tile { repeats: k(&[1]) }, &[x])?;
        let x = b.emit(Broadcast { dims: k(&[3]), implicit: true }, &[x])?;
        let x = b.broadcast_to(x, &k(&[2, 3]))?;
        b.broadcast_to(x, &k(&[4, 2, 3]))
    });
    assert_eq!(out, ["broadcast"]);
    let out = canon(|b| {
        let x = x32(b, "x", &[3]);
        b.emit(Tile { repeats: k(&[2]) }, &[x])
    });
    assert_eq!(out, ["tile"]);
}

#[test]
fn moves_of_nothing_go() {
    let out = canon(|b| {
        let n = size(b, "n");
        let x = input(b, "x", DType::F32, &[n.clone(), Dim::Known(4)]);
        let all = Slice {
            axes: vec![0, 1],
            starts: k(&[0, 0]),
            ends: vec![n, Dim::Known(i64::MAX)],
            steps: vec![1, 1],
        };
        let x = b.emit(all, &[x])?;
        let pad = Pad { low: k(&[0, 0]), high: k(&[0, 0]), mode: PadMode::Reflect };
        let x = b.emit(pad, &[x])?;
        let x = b.reduce(ReduceKind::Sum, x, &[], true)?;
        let x = b.emit(Split { axis: 1, sizes: k(&[4]) }, &[x])?;
        b.neg(x)
    });
    assert_eq!(out, ["neg"]);
    let out = canon(|b| {
        let x = x32(b, "x", &[4]);
        let x = b.slice_axis(x, 0, Dim::Known(0), Dim::Known(3))?;
        let pad = Pad { low: k(&[0]), high: k(&[1]), mode: PadMode::Constant };
        let x = b.emit(pad, &[x])?;
        let back = Slice { axes: vec![0], starts: k(&[-1]), ends: k(&[-9]), steps: vec![-1] };
        b.emit(back, &[x])
    });
    assert_eq!(out, ["slice", "pad", "slice"]);
}

#[test]
fn concat_loses_empty_parts() {
    let out = canon(|b| {
        let (x, e) = (x32(b, "x", &[2, 3]), x32(b, "e", &[2, 0]));
        let y = b.emit(Concat { axis: 1 }, &[e, x, e])?;
        let y = b.emit(Concat { axis: 0 }, &[y])?;
        b.emit(VariadicMax {}, &[y])
    });
    assert_eq!(out, Vec::<&str>::new());
    let out = canon(|b| {
        let (x, e) = (x32(b, "x", &[2, 3]), x32(b, "e", &[2, 0]));
        b.emit(Concat { axis: 1 }, &[x, e, x])
    });
    assert_eq!(out, ["concat"]);
}

#[test]
fn pairs_of_negations_go() {
    let out = canon(|b| {
        let x = x32(b, "x", &[2]);
        let x = b.neg(x)?;
        b.neg(x)
    });
    assert_eq!(out, Vec::<&str>::new());
    let out = canon(|b| {
        let x = x32(b, "x", &[2]);
        let x = b.neg(x)?;
        b.abs(x)
    });
    assert_eq!(out, ["neg", "abs"]);
}

/// The ops left of `x op c`, and of `c op x` when swapped.
fn with_constant(dtype: DType, op: impl Into<Op>, c: f64, swapped: bool) -> Vec<&'static str> {
    let op = op.into();
    canon(|b| {
        let x = input(b, "x", dtype, &k(&[2, 3]));
        let c = b.scalar(dtype, c)?;
        let c = b.broadcast_like(c, x)?;
        if swapped { b.emit(op, &[c, x]) } else { b.emit(op, &[x, c]) }
    })
}

#[test]
fn neutral_operands_go() {
    use DType::*;
    let gone = Vec::<&str>::new();
    assert_eq!(with_constant(F32, Mul {}, 1.0, false), gone);
    assert_eq!(with_constant(F16, Mul {}, 1.0, true), gone);
    assert_eq!(with_constant(I32, Add {}, 0.0, true), gone);
    assert_eq!(with_constant(F32, Add {}, -0.0, false), gone);
    assert_eq!(with_constant(F32, Sub {}, 0.0, false), gone);
    assert_eq!(with_constant(F32, Div { rounding: IntRounding::Trunc }, 1.0, false), gone);
    assert_eq!(with_constant(F32, Pow {}, 1.0, false), gone);
    assert_eq!(with_constant(Bool, And {}, 1.0, false), gone);
    assert_eq!(with_constant(Bool, Or {}, 0.0, true), gone);
    assert_eq!(with_constant(U8, BitAnd {}, 255.0, true), gone);
    assert_eq!(with_constant(I8, BitXor {}, 0.0, false), gone);
    assert_eq!(with_constant(U8, ShiftLeft {}, 0.0, false), gone);
}

#[test]
fn other_operands_stay() {
    use DType::*;
    let stays = |v: Vec<&'static str>| v.len() == 3;
    // -0.0 + 0.0 is 0.0, and -0.0 - -0.0 is 0.0.
    assert!(stays(with_constant(F32, Add {}, 0.0, false)));
    assert!(stays(with_constant(F32, Sub {}, -0.0, false)));
    assert!(stays(with_constant(F32, Sub {}, 0.0, true)));
    assert!(stays(with_constant(F32, Mul {}, 0.0, false)));
    assert!(stays(with_constant(F32, Div { rounding: IntRounding::Trunc }, 1.0, true)));
    assert!(stays(with_constant(Bool, And {}, 0.0, false)));
    assert!(stays(with_constant(I32, BitAnd {}, 255.0, false)));
}

#[test]
fn a_neutral_constant_may_be_a_tensor() {
    let build = |values: &'static [f32]| {
        canon(move |b| {
            let x = x32(b, "x", &[2, 3]);
            let c = b.constant(&Array::from_vec(vec![3], values.to_vec()).unwrap())?;
            b.mul(x, c)
        })
    };
    assert_eq!(build(&[1.0, 1.0, 1.0]), Vec::<&str>::new());
    assert_eq!(build(&[1.0, 1.0, 2.0]), ["constant", "broadcast", "mul"]);
}

#[test]
fn select_by_a_constant_goes() {
    let build = |mask: &'static [bool]| {
        canon(move |b| {
            let (x, y) = (x32(b, "x", &[2]), x32(b, "z", &[2]));
            let c = b.constant(&Array::from_vec(vec![mask.len()], mask.to_vec()).unwrap())?;
            let s = b.select(c, x, y)?;
            b.neg(s)
        })
    };
    assert_eq!(build(&[false, false]), ["neg"]);
    assert_eq!(build(&[true]), ["neg"]);
    assert_eq!(build(&[true, false]), ["constant", "select", "neg"]);
}

#[test]
fn padding_becomes_explicit() {
    let conv = |auto_pad: AutoPad, h: Option<i64>| {
        let m = module(|b| {
            let h = h.map_or_else(|| size(b, "h"), Dim::Known);
            let x = input(b, "x", DType::F32, &[Dim::Known(1), Dim::Known(2), h, Dim::Known(7)]);
            let w = b.constant(&f32s(&[3, 2, 3, 2], 1))?;
            let op = Conv {
                strides: vec![2, 2],
                pads: vec![],
                dilations: vec![1, 1],
                input_dilations: vec![1, 1],
                groups: 1,
                auto_pad,
            };
            b.emit(op, &[x, w])
        });
        let new = opt(&m, "canonicalise", 0.0);
        match &new.main().nodes[*new.main().body().nodes.last().unwrap()].op {
            Op::Conv(c) => (c.auto_pad, c.pads.clone()),
            _ => (AutoPad::Valid, vec![]),
        }
    };
    assert_eq!(conv(AutoPad::SameUpper, Some(6)), (AutoPad::Explicit, vec![0, 0, 1, 1]));
    assert_eq!(conv(AutoPad::SameLower, Some(6)), (AutoPad::Explicit, vec![1, 1, 0, 0]));
    assert_eq!(conv(AutoPad::Valid, Some(6)), (AutoPad::Explicit, vec![0; 4]));
    // What is padded depends on a size that is not known.
    assert_eq!(conv(AutoPad::SameUpper, None), (AutoPad::SameUpper, vec![]));
}
