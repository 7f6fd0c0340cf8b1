use super::*;
use crate::array::Scalar;
use crate::module::Entity;
use crate::pass::{Editor, Outcome};

#[test]
fn folds_arithmetic_of_constants() {
    let m = module(|b| {
        let x = x32(b, "x", &[2, 3]);
        let c = b.constant(&f32s(&[2, 3], 1))?;
        let d = b.constant(&f32s(&[3], 2))?;
        let sum = b.add(c, d)?;
        let e = b.exp(sum)?;
        b.mul(x, e)
    });
    assert_eq!(core(&m), ["add", "exp", "mul"]);
    let new = opt(&m, "fold,dce", 0.0);
    assert_eq!(ops(&new), ["constant", "mul"]);
    assert_eq!(new.tensors.len(), 1);
}

#[test]
fn folds_into_chains_of_sizes() {
    let m = module(|b| {
        let x = x32(b, "x", &[4, 5]);
        let shape = b.emit(ShapeOf { start: 0, end: None }, &[x])?;
        let first = b.index_axis(shape, 0, 0)?;
        let n = b.emit(Size {}, &[x])?;
        b.add(first, n)
    });
    assert_eq!(ops(&opt(&m, "fold,dce", 0.0)), ["constant"]);
}

#[test]
fn folding_does_not_grow_the_file() {
    let m = module(|b| {
        let x = x32(b, "x", &[64, 64]);
        let c = b.scalar(DType::F32, 2.0)?;
        let wide = b.emit(Tile { repeats: vec![] }, &[c])?;
        let wide = b.emit(Broadcast { dims: k(&[64, 64]), implicit: false }, &[wide])?;
        b.add(x, wide)
    });
    let mut cx = context();
    let new = opt_with(&m, "fold,dce", 0.0, &mut cx);
    assert_eq!(ops(&new), ["constant", "broadcast", "add"]);
    assert_eq!(reasons(&cx), ["the file would grow"]);
    let mut cx = context();
    cx.options.fold_growth = 1 << 20;
    assert_eq!(ops(&opt_with(&m, "fold,dce", 0.0, &mut cx)), ["constant", "add"]);
}

#[test]
fn folding_keeps_a_constant_that_others_use() {
    // Both the constant and its transpose would stay.
    let m = module(|b| {
        let x = x32(b, "x", &[32, 32]);
        let c = b.constant(&f32s(&[32, 32], 1))?;
        let t = b.transpose(c, &[1, 0])?;
        let y = b.mul(x, c)?;
        b.add(y, t)
    });
    assert_eq!(core(&opt(&m, "fold,dce", 0.0)), ["transpose", "mul", "add"]);
}

#[test]
fn folding_leaves_sizes_that_a_later_reshape_cannot_have() {
    // Three elements are not zero, which come out non-zero three times: no rows of four.
    let program = |width: i64| {
        module(move |b| {
            let c = b.constant(&Array::from_i64s(DType::I64, vec![3], &[1, 2, 3]).unwrap())?;
            let at = b.emit(Nonzero {}, &[c])?;
            let count = b.tensor_ty(at)?.shape[1].clone();
            let rows = Dim::floor_div(&count, &Dim::Known(width));
            b.reshape(at, &[rows, Dim::Known(width)])
        })
    };
    assert_eq!(ops(&opt(&program(3), "fold,dce", 0.0)), ["constant"]);
    let mut m = program(4);
    let mut cx = context();
    run_pipeline(&mut m, &Pipeline::parse("fold").unwrap(), &mut cx).unwrap();
    assert!(ops(&m).contains(&"reshape"));
    assert!(reasons(&cx).iter().any(|r| r.ends_with("cannot have the sizes that follow")));
}

#[test]
fn folding_leaves_failures_and_chance_alone() {
    let m = module(|b| {
        let one = b.scalar(DType::I64, 1.0)?;
        let zero = b.scalar(DType::I64, 0.0)?;
        let rng = Rng {
            algorithm: RngAlgorithm::Philox,
            distribution: Distribution::Uniform,
            dtype: DType::F32,
            dims: k(&[2]),
            seed: Some(crate::attr::Float(1.0)),
        };
        let r = b.emit(rng, &[])?;
        let quotient = b.div(one, zero)?;
        let quotient = b.cast(quotient, DType::F32)?;
        b.add(r, quotient)
    });
    let mut new = m.clone();
    let mut cx = context();
    run_pipeline(&mut new, &Pipeline::parse("fold,dce").unwrap(), &mut cx).unwrap();
    assert_eq!(ops(&new), ops(&m));
    assert_eq!(cx.declined.len(), 1);
}

#[test]
fn dead_nodes_go_and_failing_ones_with_them() {
    let m = module(|b| {
        let x = x32(b, "x", &[2]);
        let dead = b.exp(x)?;
        let _ = b.log(dead)?;
        let one = b.scalar(DType::I64, 1.0)?;
        let _ = b.div(one, one)?;
        b.neg(x)
    });
    let mut cx = context();
    assert_eq!(ops(&opt_with(&m, "dce", 0.0, &mut cx)), ["neg"]);
    assert_eq!(cx.applied(), 4);
}

#[test]
fn an_unknown_op_stays() {
    let m = module(|b| {
        let x = x32(b, "x", &[2]);
        let op = Opaque { source: Default::default(), captures: 0, reason: String::new() };
        let ty = b.ty(x).clone();
        b.typed_node(op.into(), &[Some(x)], vec![ty], &[true]);
        b.neg(x)
    });
    let mut new = m.clone();
    run_pipeline(&mut new, &Pipeline::parse("basic").unwrap(), &mut context()).unwrap();
    assert_eq!(ops(&new), ["opaque", "neg"]);
}

#[test]
fn what_binds_a_used_size_stays() {
    let build = |used: bool| {
        module(|b| {
            let x = x32(b, "x", &[2, 3]);
            let nz = b.emit(Nonzero {}, &[x])?;
            let n = b.tensor_ty(nz)?.shape[1].clone();
            if used { b.dim_scalar(&n) } else { b.neg(x) }
        })
    };
    assert_eq!(ops(&opt(&build(true), "dce", 0.0)), ["nonzero", "dim_value"]);
    assert_eq!(ops(&opt(&build(false), "dce", 0.0)), ["neg"]);
}

#[test]
fn dims_of_that_binds_nothing_goes() {
    let build = |used: bool| {
        module(|b| {
            let x = x32(b, "x", &[6]);
            let s = input(b, "s", DType::I64, &k(&[2]));
            let dims = vec![size(b, "p"), size(b, "q")];
            b.node(DimsOf { dims: dims.clone() }, &[Some(s)])?;
            if used { b.broadcast_to(s, &[dims[0].clone(), Dim::Known(2)]) } else { b.neg(x) }
        })
    };
    assert_eq!(ops(&opt(&build(true), "dce", 0.0)), ["dims_of", "broadcast"]);
    assert_eq!(ops(&opt(&build(false), "dce", 0.0)), ["neg"]);
}

#[test]
fn optional_results_that_nothing_uses_go() {
    let pool = |uses_indices: bool| {
        module(|b| {
            let x = x32(b, "x", &[1, 2, 4, 4]);
            let op = MaxPool {
                kernel_shape: vec![2, 2],
                strides: vec![2, 2],
                pads: vec![0; 4],
                dilations: vec![1, 1],
                auto_pad: AutoPad::Explicit,
                ceil_mode: false,
                column_major: false,
            };
            let out = b.emit_all(op, &[Some(x)])?;
            Ok(out[usize::from(uses_indices)])
        })
    };
    let results = |m: &Module| m.main().nodes[m.main().body().nodes[0]].results.clone();
    assert_eq!(results(&opt(&pool(false), "dce", 0.0)).len(), 1);
    assert_eq!(results(&opt(&pool(true), "dce", 0.0)).iter().flatten().count(), 2);
}

#[test]
fn equal_nodes_are_computed_once() {
    let m = module(|b| {
        let (x, y) = (x32(b, "x", &[2]), x32(b, "z", &[2]));
        let (p, q) = (b.add(x, y)?, b.add(y, x)?);
        let (c, d) = (b.scalar(DType::F32, 2.0)?, b.scalar(DType::F32, 2.0)?);
        let (p, q) = (b.mul(p, c)?, b.mul(q, d)?);
        b.sub(p, q)
    });
    let new = opt(&m, "cse,dce", 0.0);
    assert_eq!(ops(&new), ["add", "constant", "broadcast", "mul", "sub"]);
}

#[test]
fn different_nodes_stay_apart() {
    let m = module(|b| {
        let (x, y) = (x32(b, "x", &[2]), x32(b, "z", &[2]));
        let (p, q) = (b.sub(x, y)?, b.sub(y, x)?);
        // Zeros of different sign.
        let (c, d) = (b.scalar(DType::F32, 0.0)?, b.scalar(DType::F32, -0.0)?);
        let (p, q) = (b.mul(p, c)?, b.mul(q, d)?);
        b.add(p, q)
    });
    assert_eq!(ops(&opt(&m, "cse,dce", 0.0)), ops(&m));
    let rng = || Rng {
        algorithm: RngAlgorithm::Unspecified,
        distribution: Distribution::Uniform,
        dtype: DType::F32,
        dims: k(&[2]),
        seed: None,
    };
    let m = module(|b| {
        let (p, q) = (b.emit(rng(), &[])?, b.emit(rng(), &[])?);
        b.sub(p, q)
    });
    let mut new = m.clone();
    run_pipeline(&mut new, &Pipeline::parse("cse,dce").unwrap(), &mut context()).unwrap();
    assert_eq!(ops(&new), ["rng", "rng", "sub"]);
}

#[test]
fn sizes_that_two_equal_nodes_find_are_one() {
    let m = module(|b| {
        let x = x32(b, "x", &[2, 3]);
        let (p, q) = (b.emit(Nonzero {}, &[x])?, b.emit(Nonzero {}, &[x])?);
        let n = b.tensor_ty(q)?.shape[1].clone();
        let p = b.neg(p)?;
        let q = b.reshape(q, &[n.clone(), Dim::Known(2)])?;
        let q = b.transpose(q, &[1, 0])?;
        let s = b.emit(Concat { axis: 1 }, &[p, q])?;
        let n = b.dims_value(&[n])?;
        let n = b.broadcast_to(n, &[Dim::Known(2), Dim::Known(1)])?;
        b.emit(Concat { axis: 1 }, &[s, n])
    });
    let new = opt(&m, "cse", 0.0);
    let want =
        ["nonzero", "neg", "reshape", "transpose", "concat", "dim_value", "broadcast", "concat"];
    assert_eq!(ops(&new), want);
    let f = new.main();
    let y = f.ty(f.body().results[0]).as_tensor().unwrap().shape[1].clone();
    assert_eq!(f.dim_text(&y), "2*nonzero + 1");
}

#[test]
fn a_size_that_folding_finds_takes_the_place_of_its_name() {
    let m = module(|b| {
        let c = b.constant(&Array::from_vec(vec![4], vec![0.0f32, 1.0, 0.0, 2.0]).unwrap())?;
        let nz = b.emit(Nonzero {}, &[c])?;
        let n = b.tensor_ty(nz)?.shape[1].clone();
        let x = x32(b, "x", &[1]);
        let x = b.broadcast_to(x, &[n.clone()])?;
        let n = b.dim_scalar(&n)?;
        let n = b.cast(n, DType::F32)?;
        b.mul(x, n)
    });
    let new = opt(&m, "basic", 0.0);
    assert_eq!(ops(&new), ["broadcast", "constant", "broadcast", "mul"]);
    let f = new.main();
    assert_eq!(f.ty(f.body().results[0]), &Type::tensor(DType::F32, k(&[2])));
}

/// A program that says two things of one size: three elements are found, of six at most.
fn says_two_things(use_of: impl FnOnce(&mut Builder<'_>, ValueId) -> R) -> Module {
    module(|b| {
        let c =
            b.constant(&Array::from_vec(vec![6], vec![0.0f32, 1.0, 0.0, 2.0, 0.0, 3.0]).unwrap())?;
        let found = b.emit(Nonzero {}, &[c])?;
        use_of(b, found)
    })
}

#[test]
fn a_size_that_another_node_excludes_is_left_to_the_run() {
    let programs = [
        says_two_things(|b, found| b.reshape(found, &k(&[1]))),
        says_two_things(|b, found| b.reshape(found, &k(&[1 << 31, 1]))),
        says_two_things(|b, found| {
            let other = input(b, "x", DType::I64, &k(&[1, 2]));
            let n = b.tensor_ty(found)?.shape[1].clone();
            let other = b.reshape(other, &[Dim::Known(1), n])?;
            b.add(found, other)
        }),
    ];
    for m in &programs {
        for passes in ["fold", "propagate", "basic", "fuse"] {
            let mut new = m.clone();
            run_pipeline(&mut new, &Pipeline::parse(passes).unwrap(), &mut context()).unwrap();
            verify(&new, Stage::Canonical).unwrap();
            assert!(ops(&new).contains(&"nonzero"), "{passes}: {:?}", ops(&new));
        }
    }
}

#[test]
fn branches_are_rewritten_too() {
    let m = module(|b| {
        let x = x32(b, "x", &[2]);
        let c = input(b, "c", DType::Bool, &[]);
        let ty = b.ty(x).clone();
        let mut branch = |flip: bool| -> Result<RegionId, BuildError> {
            let (r, p) = b.new_region(std::slice::from_ref(&ty));
            let y = b.in_region(r, |b| {
                let _ = b.exp(p[0])?;
                let a = b.neg(p[0])?;
                let a = b.emit(Identity {}, &[a])?;
                if flip { b.neg(a) } else { b.abs(a) }
            })?;
            b.set_results(r, &[y]);
            Ok(r)
        };
        let (then_branch, else_branch) = (branch(true)?, branch(false)?);
        b.emit(If { then_branch, else_branch }, &[c, x])
    });
    let new = opt(&m, "basic", 0.0);
    let f = new.main();
    let inner: Vec<usize> = f.regions.values().map(|r| r.nodes.len()).collect();
    assert_eq!(inner, [1, 0, 2]);
}

#[test]
fn sizes_are_found_from_operands() {
    let m = module(|b| {
        let n = size(b, "n");
        let x = input(b, "x", DType::F32, &[n.clone(), Dim::Known(4)]);
        // A reader that knew less.
        let open = size(b, "open");
        let ty = Type::tensor(DType::F32, [open.clone()]);
        let flat = Reshape { dims: vec![&n * 4] };
        let node = b.typed_node(flat.into(), &[Some(x)], vec![ty], &[true]);
        let y = b.f().nodes[node].result(0).unwrap();
        let back = b.reshape(y, &[open, Dim::Known(1)])?;
        b.neg(back)
    });
    let new = opt(&m, "propagate", 0.0);
    let f = new.main();
    let last = f.body().results[0];
    assert_eq!(f.dim_text(&f.ty(last).as_tensor().unwrap().shape[0]), "4*n");
}

#[test]
fn elements_say_what_dims_of_binds() {
    let build = |arithmetic: bool| {
        module(|b| {
            let n = size(b, "n");
            let x = input(b, "x", DType::F32, &[n, Dim::Known(4)]);
            let given = input(b, "s", DType::I64, &k(&[1]));
            let shape = b.emit(ShapeOf { start: 0, end: Some(1) }, &[x])?;
            let two = b.ints(&[2])?;
            let twice = b.mul(shape, two)?;
            let p = size(b, "p");
            let of = if arithmetic { twice } else { given };
            b.node(DimsOf { dims: vec![p.clone()] }, &[Some(of)])?;
            b.emit(Iota { dtype: DType::I64, dims: vec![p], axis: 0 }, &[])
        })
    };
    let size_of = |m: &Module| {
        let f = m.main();
        f.dim_text(&f.ty(f.body().results[0]).as_tensor().unwrap().shape[0])
    };
    let new = opt(&build(true), "propagate,dce", 0.0);
    assert_eq!((ops(&new), size_of(&new).as_str()), (vec!["iota"], "2*n"));
    let new = opt(&build(false), "propagate,dce", 0.0);
    assert_eq!((ops(&new), size_of(&new).as_str()), (vec!["dims_of", "iota"], "p"));
}

#[test]
fn counts_have_bounds() {
    let m = module(|b| {
        let x = x32(b, "x", &[2, 3]);
        b.emit(Nonzero {}, &[x])
    });
    let new = opt(&m, "propagate", 0.0);
    assert_eq!(new.main().symbols.values().next().unwrap().range, Range::new(Some(0), Some(6)));
}

#[test]
fn a_limit_stops_after_so_many_rewrites() {
    let m = module(|b| {
        let mut x = x32(b, "x", &[2]);
        for _ in 0..5 {
            x = b.emit(Identity {}, &[x])?;
            x = b.neg(x)?;
        }
        Ok(x)
    });
    // An identity counts for one node, a pair of negations for two.
    for (limit, left) in [10, 9, 8, 6, 5, 4, 2, 1, 1].into_iter().enumerate() {
        let limit = limit as u64;
        let mut cx = context();
        cx.options.limit = Some(limit);
        let new = opt_with(&m, "basic", 0.0, &mut cx);
        assert_eq!(cx.applied(), limit.min(7));
        assert_eq!(cx.log.len() as u64, cx.applied());
        assert_eq!(ops(&new).len(), left);
    }
}

#[test]
fn the_log_tells_before_and_after() {
    let m = module(|b| {
        let x = x32(b, "x", &[2, 3, 4]);
        let t = b.transpose(x, &[1, 0, 2])?;
        b.transpose(t, &[0, 2, 1])
    });
    let mut cx = context();
    let new = opt_with(&m, "canonicalise", 0.0, &mut cx);
    assert_eq!(ops(&new), ["transpose"]);
    let entry = &cx.log[0];
    assert_eq!(
        entry.before,
        ["%1 = transpose %0 {perm=[1, 0, 2]}", "%2 = transpose %1 {perm=[0, 2, 1]}"]
    );
    assert_eq!(entry.after, ["%3 = transpose %0 {perm=[1, 2, 0]}"]);
    let origin = &new.origins[new.main().nodes[new.main().body().nodes[0]].origin];
    assert!(matches!(origin, Origin::Derived { by, .. } if &**by == "canonicalise"));
}

#[test]
fn names_and_notes_follow_the_values_made() {
    let mut m = module(|b| {
        let x = x32(b, "x", &[2, 3]);
        let t = b.transpose(x, &[1, 0])?;
        let t = b.emit(Unsqueeze { axes: vec![0] }, &[t])?;
        let t = b.emit(Unsqueeze { axes: vec![0] }, &[t])?;
        b.name(t, "wide");
        b.neg(t)
    });
    let f = m.main();
    let (squeezed, removed) = (f.body().nodes[2], f.body().nodes[1]);
    let value = f.nodes[squeezed].result(0).unwrap();
    let id = m.entry;
    m.note(Entity::Value(id, value), "onnx.doc", "the value");
    m.note(Entity::Node(id, squeezed), "onnx.doc", "the node");
    m.note(Entity::Node(id, removed), "onnx.doc", "the other node");
    let new = opt(&m, "canonicalise", 0.0);
    assert_eq!(ops(&new), ["transpose", "unsqueeze", "neg"]);
    let f = new.main();
    let node = f.body().nodes[1];
    let value = f.nodes[node].result(0).unwrap();
    assert_eq!(f.values[value].name.as_deref(), Some("wide"));
    assert_eq!(new.noted(Entity::Value(id, value), "onnx.doc"), Some("the value"));
    assert_eq!(new.noted(Entity::Node(id, node), "onnx.doc"), Some("the node"));
    assert_eq!(new.notes.len(), 2);
}

#[test]
fn pipelines_have_names() {
    assert!(Pipeline::parse("none").unwrap().names().is_empty());
    assert_eq!(Pipeline::parse("cse, dce").unwrap().names(), ["cse", "dce"]);
    assert!(Pipeline::parse("fuse").unwrap().names().contains(&"raise_gelu"));
    let Err(e) = Pipeline::parse("cse,nothing") else { panic!("it is known") };
    assert!(e.to_string().contains("`nothing`") && e.to_string().contains("fuse_conv_bn"));
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    for pass in crate::pass::pipeline::all_passes() {
        assert!(!pass.doc().is_empty());
        assert_eq!(pass.run(&mut Editor::new(&mut m), &mut context()), Outcome::NoEffect);
    }
}

#[test]
fn long_programs_take_time_in_proportion() {
    let m = module(|b| {
        let mut x = x32(b, "x", &[2]);
        for i in 0..20_000 {
            let c = b.scalar(DType::F32, f64::from(i))?;
            let c = b.broadcast_to(c, &k(&[2]))?;
            x = b.add(x, c)?;
            x = b.emit(Identity {}, &[x])?;
        }
        Ok(x)
    });
    let mut cx = PassCx::default();
    let mut new = m.clone();
    let start = std::time::Instant::now();
    run_pipeline(&mut new, &Pipeline::parse("basic").unwrap(), &mut cx).unwrap();
    assert_eq!(ops(&new).len(), 60_000);
    // Unoptimised code takes a few seconds; anything quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 60);
    compact(&mut new);
    assert_eq!(new.main().nodes.len(), 60_000);
}

#[test]
fn compaction_keeps_what_is_used() {
    let mut m = module(|b| {
        let x = x32(b, "x", &[2]);
        let c = b.constant(&Array::full(DType::F32, vec![2], &Scalar::Float(3.0)).unwrap())?;
        let _ = b.exp(c)?;
        b.add(x, c)
    });
    m.tensors.push(m.tensors.values().next().unwrap().clone());
    let new = opt(&m, "dce", 0.0);
    assert_eq!((new.tensors.len(), new.main().nodes.len(), new.main().values.len()), (1, 2, 3));
}
