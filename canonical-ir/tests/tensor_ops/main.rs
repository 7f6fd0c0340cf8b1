//! Products, windows and normalizations: numbers through the interpreter, types by inference.

mod conv;
mod linear;
mod norm;

use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::decompose::decompose;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, OriginId, ValueId};
use airconv_ir::infer::infer;
use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::{Op, Tier};
use airconv_ir::types::Type;

fn empty() -> Module {
    let mut module = Module::default();
    module.entry = module.functions.push(Function::new("main"));
    module
}

/// Multiples of a quarter from -1.5 to 1.5 in a mixed order.
fn ramp(shape: &[usize], seed: usize) -> Array {
    let n: usize = shape.iter().product();
    let value = |i: usize| ((i * 7 + seed) % 13) as f32 - 6.0;
    f32s(shape, &(0..n).map(|i| value(i) * 0.25).collect::<Vec<_>>())
}

fn f32s(shape: &[usize], values: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), values.to_vec()).unwrap()
}

/// All results of an op.
fn run(op: impl Into<Op>, operands: &[Array]) -> Vec<Array> {
    let operands: Vec<_> = operands.iter().map(|a| Some(Datum::from(a.clone()))).collect();
    let mut interpreter = Interpreter::new(empty(), EvalLimits::default());
    let results = interpreter.eval_op(&op.into(), &operands).unwrap();
    results.iter().flatten().map(|d| d.as_array().unwrap().clone()).collect()
}

#[track_caller]
fn close(found: &Array, shape: &[usize], values: &[f64]) {
    assert_eq!(found.shape, shape);
    for (i, (a, b)) in found.to_f64s().unwrap().iter().zip(values).enumerate() {
        assert!((a - b).abs() <= 1e-6 + 1e-5 * b.abs(), "element {i}: {a} instead of {b}");
    }
}

/// A function whose inputs have symbolic sizes.
struct Symbols {
    module: Module,
}

impl Symbols {
    fn new(names: &[&str]) -> Self {
        let mut module = empty();
        for name in names {
            let range = Range { min: Some(0), max: None };
            module.functions[FuncId(0)].add_symbol(name, range, None);
        }
        Self { module }
    }
    fn input(&mut self, dims: &[&str]) -> ValueId {
        let f = &mut self.module.functions[FuncId(0)];
        let dim = |text: &&str| match text.parse() {
            Ok(n) => Dim::Known(n),
            Err(_) => Dim::from(f.symbol_named(text).unwrap()),
        };
        let ty = Type::tensor(DType::F32, dims.iter().map(dim).collect::<Vec<_>>());
        let role = InputRole::User { default: None, kind: Default::default() };
        f.add_input(&format!("x{}", f.inputs.len()), ty, role)
    }
    fn infer(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> Result<String, String> {
        self.infer_slot(op, operands, 0)
    }
    /// The sizes of a result, which the decomposition has to have, too.
    fn infer_slot(
        &mut self,
        op: impl Into<Op>,
        operands: &[ValueId],
        slot: usize,
    ) -> Result<String, String> {
        let op = op.into();
        let operands: Vec<_> = operands.iter().map(|&v| Some(v)).collect();
        let f = &self.module.functions[FuncId(0)];
        let types =
            infer(&self.module, f, &op, &operands.clone().into()).map_err(|e| e.to_string())?;
        let body = f.body;
        if op.info().tier == Tier::Composite {
            let mut b = Builder::new(&mut self.module, FuncId(0), body, OriginId(0));
            let values = decompose(&mut b, &op, &operands, &vec![true; types.len()])
                .map_err(|e| e.to_string())?;
            for (value, ty) in values.iter().zip(&types) {
                let found = value.map(|v| b.ty(v));
                if found.is_none_or(|f| !f.refines(ty)) {
                    return Err(format!("the decomposition gives {found:?} for {ty:?}"));
                }
            }
        }
        let f = &self.module.functions[FuncId(0)];
        let ty = types[slot].as_tensor().unwrap();
        Ok(ty.shape.iter().map(|d| f.dim_text(d)).collect::<Vec<_>>().join(", "))
    }
}

/// Checks that an op decomposed at symbolic sizes gives what it gives at the sizes at hand.
/// Axes whose size is at least 3 get symbols, unless they are in `fixed` (operand, axis).
#[track_caller]
fn same_when_symbolic(op: impl Into<Op>, operands: &[Array], fixed: &[(usize, usize)]) {
    let op = op.into();
    let expected = run(op.clone(), operands);
    let mut t = Symbols::new(&[]);
    let f = &mut t.module.functions[FuncId(0)];
    let mut ids = Vec::new();
    for (i, x) in operands.iter().enumerate() {
        let dims: Vec<Dim> = x
            .shape
            .iter()
            .enumerate()
            .map(|(a, &n)| match n {
                0..3 => Dim::Known(n as i64),
                _ if fixed.contains(&(i, a)) => Dim::Known(n as i64),
                _ => {
                    let name = format!("d{n}");
                    let known = f.symbol_named(&name);
                    let range = Range { min: Some(0), max: None };
                    Dim::from(known.unwrap_or_else(|| f.add_symbol(&name, range, None)))
                }
            })
            .collect();
        let role = InputRole::User { default: None, kind: Default::default() };
        ids.push(Some(f.add_input(&format!("x{i}"), Type::tensor(x.dtype, dims), role)));
    }
    let body = f.body;
    let mut b = Builder::new(&mut t.module, FuncId(0), body, OriginId(0));
    let values = decompose(&mut b, &op, &ids, &vec![true; expected.len()]).unwrap();
    for (i, value) in values.into_iter().enumerate() {
        b.f_mut().add_output(
            &format!("y{i}"),
            value.unwrap(),
            OutputRole::User(Default::default()),
        );
    }
    let inputs =
        operands.iter().enumerate().map(|(i, x)| (format!("x{i}"), Datum::from(x.clone())));
    let mut interpreter = Interpreter::new(t.module, EvalLimits::default());
    let found = interpreter.run(&inputs.collect()).unwrap();
    for ((_, found), expected) in found.iter().zip(&expected) {
        let found = found.as_array().unwrap();
        close(found, &expected.shape, &expected.to_f64s().unwrap());
    }
}
