//! One broken module per invariant.

use super::{Stage, verify};
use crate::array::Array;
use crate::builder::Builder;
use crate::dim::{Dim, Range};
use crate::dtype::DType;
use crate::entity::{OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{Def, Function, InputRole, Module, OutputRole};
use crate::op::{Add, Broadcast, Call, Constant, Neg};
use crate::types::Type;

/// A module that adds a constant to its input.
fn good() -> Module {
    let mut m = Module::default();
    m.origins.push(Default::default());
    let mut f = Function::new("main");
    let role = InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", Type::tensor(DType::F32, [Dim::Known(2)]), role);
    let func = m.functions.push(f);
    let body = m.functions[func].body;
    let mut b = Builder::new(&mut m, func, body, OriginId(0));
    let c = b.constant(&Array::from_f64s(DType::F32, vec![2], &[1.0, 2.0]).unwrap()).unwrap();
    let y = b.add(x, c).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    m
}

fn labels(m: &Module) -> Vec<String> {
    match verify(m, Stage::Canonical) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|e| e.code).collect(),
    }
}

fn main_of(m: &mut Module) -> &mut Function {
    let entry = m.entry;
    &mut m.functions[entry]
}

#[test]
fn a_good_module_passes() {
    assert_eq!(labels(&good()), Vec::<String>::new());
}

#[test]
fn v1_ids_are_in_range() {
    let mut m = good();
    main_of(&mut m).nodes.values_mut().next().unwrap().op = Constant { tensor: TensorId(9) }.into();
    assert_eq!(labels(&m), ["V1"]);
}

#[test]
fn v2_definitions_point_back() {
    let mut m = good();
    main_of(&mut m).values[ValueId(1)].def = Def::Param { region: RegionId(0), index: 0 };
    assert_eq!(labels(&m), ["V2"]);
}

#[test]
fn v3_values_are_defined_before_use() {
    let mut m = good();
    main_of(&mut m).regions[RegionId(0)].nodes.reverse();
    assert!(labels(&m).contains(&"V3".to_owned()));
}

#[test]
fn v5_operand_counts_fit() {
    let mut m = good();
    main_of(&mut m).nodes.values_mut().last().unwrap().op = Neg {}.into();
    assert_eq!(labels(&m), ["V5"]);
}

#[test]
fn v6_types_refine_inference() {
    let mut m = good();
    main_of(&mut m).values[ValueId(2)].ty = Type::tensor(DType::F32, [Dim::Known(3)]);
    assert_eq!(labels(&m), ["V6"]);
}

#[test]
fn v7_inputs_go_with_parameters() {
    let mut m = good();
    main_of(&mut m).inputs.clear();
    assert_eq!(labels(&m), ["V7"]);
}

#[test]
fn v8_tensor_bytes_fit() {
    let mut m = good();
    m.tensors[TensorId(0)].dims = vec![3];
    assert!(labels(&m).contains(&"V8".to_owned()));
}

#[test]
fn v9_symbols_exist_and_have_values() {
    let mut m = good();
    main_of(&mut m).values[ValueId(0)].ty = Type::tensor(DType::F32, [Dim::from(SymbolId(4))]);
    assert!(labels(&m).contains(&"V9".to_owned()));
    let mut m = good();
    main_of(&mut m).add_symbol("n", Range { min: Some(3), max: Some(2) }, None);
    assert_eq!(labels(&m), ["V9"]);
}

#[test]
fn v10_functions_do_not_call_themselves() {
    let mut m = good();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let x = f.body().params[0];
    let ty = f.ty(x).clone();
    let body = f.body;
    let op = Call { function: entry, source: None };
    f.add_node(body, op.into(), [Some(x)].into_iter().collect(), [Some(ty)], OriginId(0));
    assert_eq!(labels(&m), ["V10"]);
}

#[test]
fn v12_canonical_types_are_known() {
    let mut m = good();
    main_of(&mut m).values[ValueId(0)].ty = Type::Unknown;
    assert!(labels(&m).contains(&"V12".to_owned()));
    assert!(verify(&m, Stage::Imported).is_ok());
}

#[test]
fn broken_constraints_cite_the_rule() {
    let mut m = good();
    let f = main_of(&mut m);
    let x = f.body().params[0];
    let body = f.body;
    let op = Broadcast { dims: vec![Dim::Known(5)], implicit: false };
    let ty = Type::tensor(DType::F32, [Dim::Known(5)]);
    f.add_node(body, op.into(), [Some(x)].into_iter().collect(), [Some(ty)], OriginId(0));
    assert_eq!(labels(&m).len(), 1);
    let mut m = good();
    let f = main_of(&mut m);
    let x = f.body().params[0];
    let ty = f.ty(x).clone();
    f.add_node(
        body,
        Add {}.into(),
        [Some(x), Some(ValueId(77))].into_iter().collect(),
        [Some(ty)],
        OriginId(0),
    );
    assert_eq!(labels(&m), ["V3"]);
}
