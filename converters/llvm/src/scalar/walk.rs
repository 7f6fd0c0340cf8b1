//! A function of LLVM IR as a program.

use airconv_ir::array::{Array, Scalar};
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::module::{ArgKindRole, Function, Input, InputRole, Module, Output, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::{TensorType, Type};
use rustc_hash::FxHashMap;

use super::calls;
use super::values::{Number, Value};
use crate::library::{Library, Ref};

/// The program of the one function that a module defines, or what stands in the way.
pub(super) fn program(library: &Library, module: Ref) -> Result<Module, Vec<String>> {
    let mut found = Vec::new();
    // SAFETY: the module is live, and functions are walked as LLVM lists them.
    let mut at = unsafe { (library.c.LLVMGetFirstFunction)(module) };
    while !at.is_null() {
        // SAFETY: the function lives as long as the module.
        let function = unsafe { Value::new(library, at) };
        if function.blocks() > 0 && function.is_external() {
            found.push(function);
        }
        // SAFETY: as above.
        at = unsafe { (library.c.LLVMGetNextFunction)(at) };
    }
    match found[..] {
        [function] => Walk::new(function)?.run(function),
        [] => Err(vec!["it defines no function".to_owned()]),
        _ => {
            let names: Vec<String> = found.iter().map(|f| format!("`{}`", f.name())).collect();
            Err(vec![format!("it defines several functions: {}", names.join(", "))])
        }
    }
}

struct Walk {
    module: Module,
    values: FxHashMap<Ref, ValueId>,
    length: Dim,
}

impl Walk {
    /// A program with the function's parameters for inputs.
    fn new(function: Value<'_>) -> Result<Walk, Vec<String>> {
        let name = function.name();
        let mut module = Module::default();
        let func = module.functions.push(Function::new(&name));
        module.entry = func;
        let f = &mut module.functions[func];
        let why = Some("elements of every argument".to_owned());
        let length = Dim::from(f.add_symbol("n", Range { min: Some(0), max: None }, why));
        let body = f.body;
        let mut values = FxHashMap::default();
        let mut refused = Vec::new();
        for (i, param) in function.params().into_iter().enumerate() {
            let Some(dtype) = param.dtype() else {
                refused.push(format!("`{name}` has the parameter {}", param.text()));
                continue;
            };
            let shape = std::iter::once(length.clone()).collect();
            let ty = Type::Tensor(TensorType { dtype, shape });
            let mut input = param.name();
            if input.is_empty() || is_input(f, &input) {
                input = free_name(f, &format!("x{i}"));
            }
            let value = f.add_param(body, ty, Some(input.as_str().into()));
            let role = InputRole::User { default: None, kind: ArgKindRole::default() };
            f.inputs.push(Input { name: input, role });
            values.insert(param.at, value);
        }
        if f.inputs.is_empty() && refused.is_empty() {
            refused.push(format!("`{name}` has no parameter"));
        }
        match refused.is_empty() {
            true => Ok(Walk { module, values, length }),
            false => Err(refused),
        }
    }

    fn run(mut self, function: Value<'_>) -> Result<Module, Vec<String>> {
        if function.blocks() != 1 {
            return Err(vec![format!("`{}` has control flow", function.name())]);
        }
        let mut refused = Vec::new();
        for instruction in function.instructions() {
            match self.instruction(instruction) {
                Ok(None) => {}
                Ok(Some(value)) => drop(self.values.insert(instruction.at, value)),
                Err(why) => {
                    refused.push(why);
                    // What uses it would be refused for that alone.
                    break;
                }
            }
        }
        let f = self.module.functions[self.module.entry].clone();
        if refused.is_empty() && f.regions[f.body].results.is_empty() {
            refused.push(format!("`{}` returns nothing", function.name()));
        }
        match refused.is_empty() {
            true => Ok(self.module),
            false => Err(refused),
        }
    }

    fn builder(&mut self) -> Builder<'_> {
        let entry = self.module.entry;
        let body = self.module.functions[entry].body;
        Builder::new(&mut self.module, entry, body, OriginId(0))
    }

    /// An operand.
    fn value(&mut self, value: Value<'_>) -> Result<ValueId, String> {
        if let Some(&found) = self.values.get(&value.at) {
            return Ok(found);
        }
        let no = || format!("`{}` has no number", value.text());
        let (number, dtype) = value.number().zip(value.dtype()).ok_or_else(no)?;
        let scalar = match number {
            Number::Float(x) => Scalar::Float(x),
            Number::Int(x) if dtype == DType::Bool => Scalar::Bool(x != 0),
            Number::Int(x) => Scalar::Int(x.into()),
        };
        let array = Array::scalar(dtype, &scalar).map_err(|e| e.to_string())?;
        self.builder().constant(&array).map_err(|e| e.to_string())
    }

    /// The value of an instruction; `None` where it has none.
    fn instruction(&mut self, i: Value<'_>) -> Result<Option<ValueId>, String> {
        let no = || format!("`{}` has no elementwise op", i.text());
        let made = |r: Result<ValueId, BuildError>| {
            r.map(Some).map_err(|e| format!("`{}`: {e}", i.text()))
        };
        // The numbers are those of LLVMOpcode.
        match i.opcode() {
            1 => {
                for result in i.operands() {
                    self.result(result)?;
                }
                Ok(None)
            }
            45 => {
                let name = i.callee();
                if calls::is_nothing(&name) {
                    return Ok(None);
                }
                let mut operands = i.operands();
                operands.pop();
                let mut args = Vec::with_capacity(operands.len());
                for operand in operands {
                    args.push(self.value(operand)?);
                }
                let found = calls::call(&mut self.builder(), &name, &args);
                made(found.ok_or_else(|| format!("a call of `{name}` has no elementwise op"))?)
            }
            42 | 43 => {
                let operands = i.operands();
                let [a, b] = operands[..] else { return Err(no()) };
                let (a, b) = (self.value(a)?, self.value(b)?);
                let floats = i.opcode() == 43;
                let builder = &mut self.builder();
                made(compare(builder, i.predicate(floats), a, b).ok_or_else(no)?)
            }
            opcode => {
                let mut args = Vec::new();
                let mut from = None;
                for operand in i.operands() {
                    from = operand.dtype();
                    args.push(self.value(operand)?);
                }
                let to = i.dtype().ok_or_else(no)?;
                let builder = &mut self.builder();
                let found = match args[..] {
                    [x] => convert(builder, opcode, x, (from, to)),
                    [a, b] => arithmetic(builder, opcode, (a, b), to),
                    [c, a, b] if opcode == 46 => Some(builder.select(c, a, b)),
                    _ => None,
                };
                made(found.ok_or_else(no)?)
            }
        }
    }

    /// Makes a value what the program gives.
    fn result(&mut self, value: Value<'_>) -> Result<(), String> {
        let result = self.value(value)?;
        let length = [self.length.clone()];
        let mut b = self.builder();
        let whole = b.broadcast_to(result, &length).map_err(|e| e.to_string())?;
        let body = b.region;
        b.set_results(body, &[whole]);
        let role = OutputRole::User(ArgKindRole::default());
        let name = free_name(b.f_mut(), "y");
        b.f_mut().outputs.push(Output { name, role });
        Ok(())
    }
}

fn is_input(f: &Function, name: &str) -> bool {
    f.inputs.iter().any(|input| input.name == name)
}

/// A name that no input has: the wanted one, else with lines behind it.
fn free_name(f: &Function, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while is_input(f, &name) {
        name.push('_');
    }
    name
}

type Made = Option<Result<ValueId, BuildError>>;

/// Conversions, the negation, and what does nothing.
fn convert(
    b: &mut Builder<'_>,
    opcode: i32,
    x: ValueId,
    (from, to): (Option<DType>, DType),
) -> Made {
    let truth = from == Some(DType::Bool);
    Some(match opcode {
        // trunc: what is left of integers; a truth value has no op of its own.
        30 if to != DType::Bool => {
            b.emit(Cast { to, saturate: false, rounding: CastRounding::Up }, &[x])
        }
        // zext, uitofp of truth values; sext, fptosi, sitofp, fptrunc, fpext.
        31 | 35 if truth => b.cast(x, to),
        32 | 36 if !truth => b.cast(x, to),
        34 | 37 | 38 => b.cast(x, to),
        66 => b.neg(x),
        // freeze
        68 => Ok(x),
        _ => return None,
    })
}

/// Operations of two numbers.
fn arithmetic(b: &mut Builder<'_>, opcode: i32, (x, y): (ValueId, ValueId), to: DType) -> Made {
    let truth = to == DType::Bool;
    Some(match opcode {
        8 | 9 if !truth => b.add(x, y),
        10 | 11 if !truth => b.sub(x, y),
        12 | 13 if !truth => b.mul(x, y),
        15 | 16 if !truth => b.div(x, y),
        18 | 19 if !truth => b.broadcasting(Rem { rounding: IntRounding::Trunc }, &[x, y]),
        23 if truth => b.and(x, y),
        24 if truth => b.or(x, y),
        25 if truth => b.broadcasting(Xor {}, &[x, y]),
        23 => b.broadcasting(BitAnd {}, &[x, y]),
        24 => b.broadcasting(BitOr {}, &[x, y]),
        25 => b.broadcasting(BitXor {}, &[x, y]),
        _ => return None,
    })
}

/// Comparisons by the numbers of LLVMIntPredicate and LLVMRealPredicate.
fn compare(b: &mut Builder<'_>, predicate: i32, x: ValueId, y: ValueId) -> Made {
    let not = |b: &mut Builder<'_>, r: Result<ValueId, BuildError>| r.and_then(|v| b.not(v));
    let apart = |b: &mut Builder<'_>| -> Result<ValueId, BuildError> {
        let (less, greater) = (b.less(x, y)?, b.less(y, x)?);
        b.or(less, greater)
    };
    let unordered = |b: &mut Builder<'_>| -> Result<ValueId, BuildError> {
        let (a, c) = (b.is_nan(x)?, b.is_nan(y)?);
        b.or(a, c)
    };
    Some(match predicate {
        32 | 1 => b.equal(x, y),
        33 | 14 => {
            let r = b.equal(x, y);
            not(b, r)
        }
        38 | 2 => b.less(y, x),
        39 | 3 => b.less_or_equal(y, x),
        40 | 4 => b.less(x, y),
        41 | 5 => b.less_or_equal(x, y),
        6 => apart(b),
        9 => {
            let r = apart(b);
            not(b, r)
        }
        8 => unordered(b),
        7 => {
            let r = unordered(b);
            not(b, r)
        }
        10 => {
            let r = b.less_or_equal(x, y);
            not(b, r)
        }
        11 => {
            let r = b.less(x, y);
            not(b, r)
        }
        12 => {
            let r = b.less_or_equal(y, x);
            not(b, r)
        }
        13 => {
            let r = b.less(y, x);
            not(b, r)
        }
        _ => return None,
    })
}
