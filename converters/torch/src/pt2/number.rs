//! Python's arithmetic on numbers that depend on sizes or elements.

use airconv_ir::builder::Builder;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::{Div, Greater, GreaterOrEqual, IntRounding, ShiftLeft, ShiftRight};

use super::import::{GraphReader, Names};
use super::records::{Argument, Graph, Node, SymBoolArgument, SymFloatArgument, SymIntArgument};
use crate::import::Item;
use crate::import::arg::Arg;
use crate::import::call::Stop;

impl<'p> GraphReader<'p> {
    /// Arithmetic of sizes: the result's expression is in the file. Where it says more than a size
    /// of the hub can, and for floats and truth values, the arithmetic is done when it runs.
    pub(super) fn python_function(
        &mut self,
        graph: &'p Graph,
        node: &'p Node,
        names: &mut Names,
    ) -> Result<(), Stop> {
        let [output] = node.outputs.as_slice() else {
            return Err(Stop::Unsupported("a function of Python".to_owned()));
        };
        match output {
            Argument::AsSymInt(SymIntArgument::AsName(name)) => {
                let dim = match graph.sym_int_values.get(name) {
                    Some(size) => self.size(size),
                    None => Err(Stop::Invalid(format!("the size `{name}` has no expression"))),
                };
                let dim = match dim {
                    Ok(dim) => dim,
                    Err(_) => self.computed_size(node, names)?,
                };
                names.insert(name.clone(), Arg::Int(dim));
                Ok(())
            }
            Argument::AsSymFloat(SymFloatArgument::AsName(name)) => {
                let item = computed(self, node, names)?;
                names.insert(name.clone(), item);
                Ok(())
            }
            // Most are for assertions, which ranges replace.
            Argument::AsSymBool(SymBoolArgument::AsName(name)) => {
                if self.used.contains(name.as_str()) {
                    let item = computed(self, node, names)?;
                    names.insert(name.clone(), item);
                }
                Ok(())
            }
            _ => Err(Stop::Unsupported("a function of Python".to_owned())),
        }
    }

    /// A size that is found by computing it, or by looking at the tensor that has it.
    fn computed_size(&mut self, node: &Node, names: &Names) -> Result<Dim, Stop> {
        if node.target == "torch.ops.aten.sym_size.int" {
            return self.size_of_tensor(node, names);
        }
        match computed(self, node, names)? {
            Arg::Int(dim) => Ok(dim),
            Arg::Number(handle) => {
                let value = self.imp.value(handle)?;
                self.imp.dim_of_value(value)
            }
            other => Err(Stop::Invalid(format!("a size is {}", other.kind()))),
        }
    }

    fn size_of_tensor(&mut self, node: &Node, names: &Names) -> Result<Dim, Stop> {
        let mut args = Vec::new();
        for input in &node.inputs {
            args.push(self.argument(names, &input.arg)?);
        }
        let [Arg::Tensor(handle), axis, ..] = args.as_slice() else {
            return Err(Stop::Invalid("a size is of a tensor".to_owned()));
        };
        let value = self.imp.value(*handle)?;
        let shape = self.imp.builder().tensor_ty(value)?.shape;
        let axis = axis.as_int().map(|a| if a < 0 { a + shape.len() as i64 } else { a });
        let size = axis.and_then(|a| usize::try_from(a).ok()).and_then(|a| shape.get(a));
        size.cloned().ok_or_else(|| Stop::Invalid("there is no such axis".to_owned()))
    }
}

/// The value of a call of a function of Python on numbers: a tensor of rank 0, i64, f64 or bool.
fn computed(reader: &mut GraphReader<'_>, node: &Node, names: &Names) -> Result<Item, Stop> {
    let mut args = Vec::new();
    for input in &node.inputs {
        let item = reader.argument(names, &input.arg)?;
        args.push(number(reader, &item)?);
    }
    let value = call(&mut reader.imp.builder(), &node.target, &args)?;
    Ok(Arg::Number(reader.imp.fresh(value)))
}

/// A number as a tensor of rank 0.
fn number(reader: &mut GraphReader<'_>, item: &Item) -> Result<ValueId, Stop> {
    let mut b = reader.imp.builder();
    Ok(match item {
        Arg::Int(dim) => b.dim_scalar(dim)?,
        Arg::Float(v) => b.scalar(DType::F64, *v)?,
        Arg::Bool(v) => b.scalar(DType::Bool, f64::from(u8::from(*v)))?,
        Arg::Number(handle) | Arg::Tensor(handle) => reader.imp.value(*handle)?,
        other => return Err(Stop::Invalid(format!("a number is {}", other.kind()))),
    })
}

fn dtype(b: &Builder<'_>, x: ValueId) -> DType {
    b.ty(x).dtype().unwrap_or(DType::I64)
}

/// Two numbers of one dtype: that of the one that is nearer to floats.
fn alike(b: &mut Builder<'_>, x: ValueId, y: ValueId) -> Result<[ValueId; 2], Stop> {
    let common = match [dtype(b, x), dtype(b, y)] {
        pair if pair.contains(&DType::F64) => DType::F64,
        [DType::Bool, DType::Bool] => DType::Bool,
        _ => DType::I64,
    };
    Ok([b.cast(x, common)?, b.cast(y, common)?])
}

fn call(b: &mut Builder<'_>, target: &str, args: &[ValueId]) -> Result<ValueId, Stop> {
    let name = target.rsplit('.').next().unwrap_or(target);
    match *args {
        [x] => one(b, target, name, x),
        [x, y] => two(b, target, name, x, y),
        [condition, x, y] if name == "sym_ite" => {
            let [x, y] = alike(b, x, y)?;
            Ok(b.select(condition, x, y)?)
        }
        _ => Err(unknown(target)),
    }
}

fn unknown(target: &str) -> Stop {
    Stop::Unsupported(format!("the function `{target}` of numbers"))
}

fn one(b: &mut Builder<'_>, target: &str, name: &str, x: ValueId) -> Result<ValueId, Stop> {
    let float = dtype(b, x) == DType::F64;
    Ok(match name {
        "pos" => x,
        "neg" => b.neg(x)?,
        "sym_float" => b.cast(x, DType::F64)?,
        "sym_int" | "trunc" => b.cast(x, DType::I64)?,
        "floor" if float => {
            let y = b.floor(x)?;
            b.cast(y, DType::I64)?
        }
        "ceil" if float => {
            let y = b.ceil(x)?;
            b.cast(y, DType::I64)?
        }
        "round" if float => {
            let y = b.round(x)?;
            b.cast(y, DType::I64)?
        }
        "floor" | "ceil" | "round" => x,
        "sym_not" | "not_" => b.not(x)?,
        "sym_sqrt" | "sqrt" => {
            let x = b.cast(x, DType::F64)?;
            b.sqrt(x)?
        }
        _ => return Err(unknown(target)),
    })
}

fn two(
    b: &mut Builder<'_>,
    target: &str,
    name: &str,
    x: ValueId,
    y: ValueId,
) -> Result<ValueId, Stop> {
    let [x, y] = alike(b, x, y)?;
    let float = dtype(b, x) == DType::F64;
    Ok(match name {
        "add" => b.add(x, y)?,
        "sub" => b.sub(x, y)?,
        "mul" => b.mul(x, y)?,
        "pow" => b.pow(x, y)?,
        "mod" => b.rem_floor(x, y)?,
        "truediv" => {
            let (x, y) = (b.cast(x, DType::F64)?, b.cast(y, DType::F64)?);
            b.div(x, y)?
        }
        "floordiv" => {
            let quotient = b.emit(Div { rounding: IntRounding::Floor }, &[x, y])?;
            if float { b.floor(quotient)? } else { quotient }
        }
        "sym_max" => b.max(x, y)?,
        "sym_min" => b.min(x, y)?,
        "and_" => b.and(x, y)?,
        "or_" => b.or(x, y)?,
        "lshift" => b.emit(ShiftLeft {}, &[x, y])?,
        "rshift" => b.emit(ShiftRight {}, &[x, y])?,
        "eq" => b.equal(x, y)?,
        "ne" => {
            let same = b.equal(x, y)?;
            b.not(same)?
        }
        "lt" => b.less(x, y)?,
        "le" => b.less_or_equal(x, y)?,
        "gt" => b.emit(Greater {}, &[x, y])?,
        "ge" => b.emit(GreaterOrEqual {}, &[x, y])?,
        _ => return Err(unknown(target)),
    })
}
