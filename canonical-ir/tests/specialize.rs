//! Sizes and inputs fixed: types, folded conditions, opaque nodes that are read again.

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::Module;
use airconv_ir::op::{Mul, Op};
use airconv_ir::specialize::{Given, OpaqueNode, Place, Reading, Reread, size_names, specialize};
use airconv_ir::text::{ParseOptions, PrintOptions, parse, print};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, type_text, verify};
use smallvec::smallvec;

/// A module whose main function has this text.
fn module(functions: &str) -> Module {
    let m = parse(&format!("airconv 0.1\n\n{functions}\n"), &ParseOptions::default()).unwrap();
    verify(&m, Stage::Imported).unwrap();
    m
}

fn i64s(shape: &[usize], v: &[i64]) -> Datum {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap().into()
}

fn f32s(shape: &[usize], v: &[f32]) -> Datum {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap().into()
}

fn dims(dims: &[(&str, i64)]) -> Given {
    let dims = dims.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
    Given { dims, ..Given::default() }
}

fn binds(binds: &[(&str, Datum)]) -> Given {
    let binds = binds.iter().map(|(n, d)| ((*n).to_owned(), d.clone())).collect();
    Given { binds, ..Given::default() }
}

/// The module with this fixed, which has to be whole.
fn fixed(m: &Module, given: &Given) -> Module {
    let m = specialize(m.clone(), given, &[&Toy]).unwrap();
    if let Err(errors) = verify(&m, Stage::Canonical) {
        panic!("{:?}\n{}", errors, print(&m, &PrintOptions::default()));
    }
    m
}

fn refused(m: &Module, given: &Given) -> Diagnostic {
    specialize(m.clone(), given, &[]).unwrap_err().remove(0)
}

fn ops(m: &Module) -> Vec<&'static str> {
    let f = m.main();
    f.body().nodes.iter().map(|&n| f.nodes[n].op.name()).collect()
}

fn output_type(m: &Module) -> String {
    type_text(m.main(), m.main().ty(m.main().body().results[0]))
}

fn run(m: &Module, inputs: &[(&str, Datum)]) -> Datum {
    let inputs: BTreeMap<String, Datum> =
        inputs.iter().map(|(n, d)| ((*n).to_owned(), d.clone())).collect();
    Interpreter::new(m.clone(), EvalLimits::default()).run(&inputs).unwrap().remove(0).1
}

/// A format with one op, which squares tensors of known rank, and one that runs a region on
/// its operand.
struct Toy;

impl Reread for Toy {
    fn format(&self) -> &'static str {
        "toy"
    }
    fn reread(&self, node: &OpaqueNode<'_>, place: Place<'_>) -> Reading {
        let Some(x) = node.inputs.first().copied().flatten() else {
            return Reading::Invalid("there is no operand".to_owned());
        };
        let ty = place.module.functions[place.func].ty(x).clone();
        let Type::Tensor(t) = &ty else { return Reading::Waits("the rank is open".to_owned()) };
        if t.rank() > 2 {
            return Reading::Invalid("the rank is over 2".to_owned());
        }
        let y = match node.op.source.attributes.get("body") {
            Some(airconv_ir::attr::Attr::Region(region)) => {
                let body = place.bodies.body(place.module, place.known, *region, &[ty]).unwrap();
                let mut args = vec![x];
                args.extend(node.captures);
                let mut b = Builder::new(place.module, place.func, place.region, node.origin);
                b.inline_region(body, &args).unwrap()[0]
            }
            _ => {
                let mut b = Builder::new(place.module, place.func, place.region, node.origin);
                b.emit(Mul {}, &[x, x]).unwrap()
            }
        };
        Reading::Read(smallvec![Some(y)])
    }
}

#[test]
fn a_size_is_fixed_in_types_and_payloads() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "n": 0..
          symbol $1 "k": 1..
          in "x": user
          out "y": user
          body ^0(%0 "x": f32[n, 3*k]) {
            %1: f32[3*k, n] = transpose(%0) {perm = [1, 0]}
            %2: f32[3, k*n] = reshape(%1) {dims = [3, k*n]}
            return %2
          }
        }"#,
    );
    assert_eq!(size_names(&m), ["n", "k"]);
    let f = fixed(&m, &dims(&[("k", 2)]));
    assert_eq!(output_type(&f), "f32[3, 2*n]");
    assert_eq!(size_names(&f), ["n"]);
    let f = fixed(&f, &dims(&[("n", 5)]));
    assert_eq!(output_type(&f), "f32[3, 10]");
    assert!(matches!(&f.main().nodes.values().last().unwrap().op,
        Op::Reshape(r) if r.dims == [3.into(), 10.into()]));
}

#[test]
fn what_is_fixed_has_to_fit() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "n": 1..
          in "x": user
          in "y": user
          out "z": user
          body ^0(%0 "x": f32[n, 2], %1 "y": f32[2*n]) {
            return %1
          }
        }"#,
    );
    let e = refused(&m, &dims(&[("m", 2)]));
    assert_eq!((e.code.as_str(), e.help.as_deref()), ("option-name", Some("there are: n")));
    let e = refused(&m, &binds(&[("w", i64s(&[], &[1]))]));
    assert_eq!(e.help.as_deref(), Some("there are: x, y"));
    assert_eq!(refused(&m, &dims(&[("n", 0)])).code, "option-value");
    let e = refused(&m, &binds(&[("x", i64s(&[1, 2], &[1, 2]))]));
    assert!(e.message.contains("f32[n, 2]; it is i64[1, 2]"), "{}", e.message);
    // The value of one input says how large the other one is.
    let f = fixed(&m, &binds(&[("x", f32s(&[2, 2], &[1.0; 4]))]));
    assert_eq!(output_type(&f), "f32[4]");
    let x = f32s(&[2, 2], &[1.0; 4]);
    assert_eq!(refused(&m, &binds(&[("x", x), ("y", f32s(&[6], &[0.0; 6]))])).code, "option-value");
    assert_eq!(refused(&m, &binds(&[("y", f32s(&[3], &[0.0; 3]))])).code, "option-value");
}

#[test]
fn a_size_that_only_a_bound_input_said_has_to_be_known() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "n": 0..
          in "x": user
          out "y": user
          body ^0(%0 "x": f32[floordiv(n, 2)]) {
            %1: i64[1] = dim_value() {dims = [n]}
            return %1
          }
        }"#,
    );
    let x = || f32s(&[3], &[0.0; 3]);
    let e = refused(&m, &binds(&[("x", x())]));
    assert_eq!(e.help.as_deref(), Some("give it with --dim n=N"));
    let given = Given { binds: binds(&[("x", x())]).binds, ..dims(&[("n", 7)]) };
    assert_eq!(run(&fixed(&m, &given), &[]), i64s(&[1], &[7]));
}

const CHOICE: &str = r#"func @0 "main" {
  symbol $0 "n": 0..
  in "x": user
  in "rate": user
  out "y": user
  body ^0(%0 "x": f32[n], %1 "rate": i64[]) {
    %2: i64[] = constant {tensor = #0}
    %3: bool[] = equal(%1, %2)
    %4: f32[*] = if(%3, %0) {then_branch = ^1(%5: f32[n]) {
      %6: f32[1, n] = unsqueeze(%5) {axes = [0]}
      return %6
    }, else_branch = ^2(%7: f32[n]) {
      return %7
    }}
    %8 "y": unknown = opaque(%4) {source = {format = "toy", name = "Square"}, reason = "no rank"}
    return %8
  }
}

tensor #0: i64[] = [8]"#;

#[test]
fn a_known_condition_leaves_one_branch_and_what_waits_is_read_again() {
    let m = module(CHOICE);
    let x = f32s(&[3], &[1.0, 2.0, 3.0]);
    for (rate, shape, ty) in [(8, vec![1, 3], "f32[1, n]"), (9, vec![3], "f32[n]")] {
        let f = fixed(&m, &binds(&[("rate", i64s(&[], &[rate]))]));
        assert_eq!(output_type(&f), ty);
        assert!(!ops(&f).contains(&"if_") && !ops(&f).contains(&"equal"), "{:?}", ops(&f));
        assert_eq!(f.main().inputs.len(), 1);
        let name = f.main().values[f.main().body().results[0]].name.as_deref();
        assert_eq!(name, Some("y"), "names stay");
        assert_eq!(run(&f, &[("x", x.clone())]), f32s(&shape, &[1.0, 4.0, 9.0]));
    }
}

#[test]
fn what_still_depends_on_a_run_stays() {
    let m = module(CHOICE);
    let f = specialize(m.clone(), &dims(&[("n", 3)]), &[&Toy]).unwrap();
    verify(&f, Stage::Imported).unwrap();
    assert_eq!(ops(&f).last(), Some(&"opaque"));
    let node = &f.main().nodes[*f.main().body().nodes.last().unwrap()];
    assert!(matches!(&node.op, Op::Opaque(o) if o.reason == "the rank is open"));
    // Another format's nodes are left alone, but for their declared types.
    let given = Given {
        op_types: BTreeMap::from([(
            "Square".to_owned(),
            vec![Type::tensor(airconv_ir::dtype::DType::F32, [7.into()])],
        )]),
        ..Given::default()
    };
    let f = specialize(m, &given, &[]).unwrap();
    assert_eq!(output_type(&f), "f32[7]");
}

#[test]
fn a_body_is_made_for_what_it_is_given() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "n": 0..
          in "x": user
          in "c": user
          out "y": user
          body ^0(%0 "x": f32[n], %1 "c": f32[n]) {
            n0: %2 "y": unknown = opaque(%0, %1, %1) {source = {format = "toy", name = "Run", attributes = {body = ^1(%3: unknown, %4: f32[n], %5: f32[n]) {
              %6: unknown = opaque(%3) {source = {format = "toy", name = "Square"}, reason = "no rank"}
              %7: unknown = opaque(%6) {source = {format = "toy", name = "Square"}, reason = "no rank"}
              %8: f32[n] = add(%4, %5)
              return %7
            }}}, captures = 2, reason = "no type"}
            return %2
          }
        }"#,
    );
    let f = fixed(&m, &dims(&[("n", 2)]));
    assert_eq!(ops(&f), ["mul", "mul"]);
    let x = f32s(&[2], &[2.0, 3.0]);
    assert_eq!(run(&f, &[("x", x.clone()), ("c", x)]), f32s(&[2], &[16.0, 81.0]));
}

#[test]
fn elements_that_become_known_are_sizes() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "d": .. why "element of the shape"
          symbol $1 "e": .. why "element of the shape"
          in "x": user
          in "shape": user
          out "y": user
          body ^0(%0 "x": f32[2, 6], %1 "shape": i64[2]) {
            %2: i64[2] = neg(%1)
            n1: dims_of(%2) {dims = [d, e]}
            %3: f32[d, e] = reshape(%0) {dims = [d, e]}
            return %3
          }
        }"#,
    );
    let f = fixed(&m, &binds(&[("shape", i64s(&[2], &[-3, -4]))]));
    assert_eq!((output_type(&f).as_str(), ops(&f)), ("f32[3, 4]", vec!["reshape"]));
    // -1 stands for what is left.
    let f = fixed(&m, &binds(&[("shape", i64s(&[2], &[-3, 1]))]));
    assert_eq!((output_type(&f).as_str(), ops(&f)), ("f32[3, 4]", vec!["reshape"]));
    let e = refused(&m, &binds(&[("shape", i64s(&[2], &[-5, -4]))]));
    assert!(e.message.contains("with what is fixed"), "{}", e.message);
}

#[test]
fn functions_and_loops_follow() {
    let m = module(
        r#"func @0 "main" {
          symbol $0 "n": 0..
          symbol $1 "c": 0.. why "size found by call"
          in "x": user
          in "times": user
          out "y": user
          body ^0(%0 "x": f32[n], %1 "times": i64[]) {
            %2: f32[c] = call(%0) {function = @1}
            n1: %3: f32[c] = loop(%1, _, %2, %0) {body = ^1(%4: i64[], %5: bool[], %6: f32[c], %7: f32[n]) {
              %8: f32[c] = add(%6, %6)
              return %5, %8
            }, carried = 1}
            return %3
          }
        }
        func @1 "twice" {
          symbol $0 "m": 0..
          in "a": user
          out "b": user
          body ^0(%0 "a": f32[m]) {
            %1: f32[2*m] = concat(%0, %0) {axis = 0}
            return %1
          }
        }"#,
    );
    let f = fixed(&m, &dims(&[("n", 2)]));
    assert_eq!(output_type(&f), "f32[4]");
    assert_eq!(f.functions.len(), 2);
    let inputs = [("x", f32s(&[2], &[1.0, 2.0])), ("times", i64s(&[], &[3]))];
    assert_eq!(run(&f, &inputs), f32s(&[4], &[8.0, 16.0, 8.0, 16.0]));
    assert_eq!(run(&m, &inputs), run(&f, &inputs));
}
