//! Sizes as values: what a `[Dim]` field becomes where ONNX wants a tensor.
//!
//! All known: a constant. Stated by a `dims_of` node: the value it looked at. Else computed
//! from the shapes of values at hand.

use airconv_api::ir::array::{Array, Scalar};
use airconv_api::ir::dim::{Atom, Dim, Term};
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::{SymbolId, ValueId};
use airconv_api::ir::tensor::Tensor;

use super::attr;
use super::graph::Exporter;
use super::node::Refuse;
use crate::common::ONNX;

/// Where the number of a symbol can be had.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The size of an axis of a value.
    Axis(ValueId, usize),
    /// An element of an integer tensor of rank 1, or the element of a scalar.
    Element { tensor: String, index: usize, scalar: bool, dtype: DType },
}

impl Exporter<'_> {
    /// The name of an i64 vector of sizes.
    pub(super) fn dims(&mut self, dims: &[Dim]) -> Result<String, Refuse> {
        if let Some(known) = dims.iter().map(Dim::as_known).collect::<Option<Vec<i64>>>() {
            return self.int_constant(&known, false);
        }
        if let Some(name) = self.fact(dims, false) {
            return Ok(name);
        }
        let mut parts = Vec::with_capacity(dims.len());
        let mut run: Vec<i64> = Vec::new();
        for dim in dims {
            match dim.as_known() {
                Some(v) => run.push(v),
                None => {
                    if !run.is_empty() {
                        parts.push(self.int_constant(&std::mem::take(&mut run), false)?);
                    }
                    parts.push(self.dim(dim)?);
                }
            }
        }
        if !run.is_empty() {
            parts.push(self.int_constant(&run, false)?);
        }
        let name = match parts.as_slice() {
            [one] => one.clone(),
            _ => self.size_node("Concat", &parts, vec![attr::int("axis", 0)])?,
        };
        self.add_fact(dims.to_vec(), false, name.clone());
        Ok(name)
    }

    /// The name of an i64 scalar of a size.
    pub(super) fn dim_scalar(&mut self, dim: &Dim) -> Result<String, Refuse> {
        if let Some(v) = dim.as_known() {
            return self.int_constant(&[v], true);
        }
        let key = std::slice::from_ref(dim);
        if let Some(name) = self.fact(key, true) {
            return Ok(name);
        }
        let vector = self.dim(dim)?;
        let shape = self.int_constant(&[], false)?;
        let name = self.size_node("Reshape", &[vector, shape], Vec::new())?;
        self.add_fact(key.to_vec(), true, name.clone());
        Ok(name)
    }

    /// The name of an i64 vector of one size.
    fn dim(&mut self, dim: &Dim) -> Result<String, Refuse> {
        let key = std::slice::from_ref(dim);
        if let Some(name) = self.fact(key, false) {
            return Ok(name);
        }
        let name = match dim {
            Dim::Known(v) => self.int_constant(&[*v], false)?,
            Dim::Any => return Refuse::because("a size is not known"),
            Dim::Expr(e) => {
                let terms = e.terms().to_vec();
                self.sum(&terms)?
            }
        };
        self.add_fact(key.to_vec(), false, name.clone());
        Ok(name)
    }

    fn sum(&mut self, terms: &[Term]) -> Result<String, Refuse> {
        let mut total: Option<String> = None;
        for term in terms {
            let next = self.term(term)?;
            total = Some(match total {
                None => next,
                Some(sum) => self.size_node("Add", &[sum, next], Vec::new())?,
            });
        }
        match total {
            Some(name) => Ok(name),
            None => self.int_constant(&[0], false),
        }
    }

    fn term(&mut self, term: &Term) -> Result<String, Refuse> {
        let mut product: Option<String> = None;
        for atom in term.atoms() {
            let next = self.atom(atom)?;
            product = Some(match product {
                None => next,
                Some(p) => self.size_node("Mul", &[p, next], Vec::new())?,
            });
        }
        match (product, term.coeff()) {
            (Some(p), 1) => Ok(p),
            (Some(p), c) => {
                let c = self.int_constant(&[c], false)?;
                self.size_node("Mul", &[p, c], Vec::new())
            }
            (None, c) => self.int_constant(&[c], false),
        }
    }

    fn atom(&mut self, atom: &Atom) -> Result<String, Refuse> {
        match atom {
            Atom::Symbol(s) => self.symbol(*s),
            Atom::FloorDiv(a, b) => self.floor_div(a, b),
            // ceil(a / b) = -floor(-a / b)
            Atom::CeilDiv(a, b) => {
                let quotient = self.floor_div(&-a, b)?;
                self.size_node("Neg", &[quotient], Vec::new())
            }
            Atom::Mod(a, b) => self.binary("Mod", a, b),
            Atom::Min(args) => self.fold("Min", args),
            Atom::Max(args) => self.fold("Max", args),
            Atom::Broadcast(args) => {
                let mut names = args.iter().map(|d| self.dim(d)).collect::<Result<Vec<_>, _>>()?;
                let mut acc = names.remove(0);
                let one = self.int_constant(&[1], false)?;
                for next in names {
                    let is_one =
                        self.helper("Equal", &[acc.clone(), one.clone()], Vec::new(), DType::Bool)?;
                    acc = self.size_node("Where", &[is_one, next, acc], Vec::new())?;
                }
                Ok(acc)
            }
        }
    }

    fn binary(&mut self, op: &str, a: &Dim, b: &Dim) -> Result<String, Refuse> {
        let (a, b) = (self.dim(a)?, self.dim(b)?);
        self.size_node(op, &[a, b], Vec::new())
    }

    /// Floor division from ONNX's truncating one.
    fn floor_div(&mut self, a: &Dim, b: &Dim) -> Result<String, Refuse> {
        let ranges = |s: SymbolId| self.f().symbol_range(s);
        let simple = a.is_nonneg(&ranges) && b.range(&ranges).min.is_some_and(|m| m > 0);
        if simple {
            return self.binary("Div", a, b);
        }
        let rest = self.binary("Mod", a, b)?;
        let a = self.dim(a)?;
        let exact = self.size_node("Sub", &[a, rest], Vec::new())?;
        let b = self.dim(b)?;
        self.size_node("Div", &[exact, b], Vec::new())
    }

    fn fold(&mut self, op: &str, args: &[Dim]) -> Result<String, Refuse> {
        let names = args.iter().map(|d| self.dim(d)).collect::<Result<Vec<_>, _>>()?;
        self.size_node(op, &names, Vec::new())
    }

    /// The name of a vector of the one number that a symbol stands for.
    fn symbol(&mut self, symbol: SymbolId) -> Result<String, Refuse> {
        let Some(place) = self.place_of(symbol) else {
            if self.probe {
                return Ok(String::from("?"));
            }
            let name = self.f().dim_text(&Dim::from(symbol));
            return Refuse::because(format!("no value at hand has the size {name}"));
        };
        match place {
            Place::Axis(value, axis) => {
                let x = self.name_of(value)?;
                let axis = axis as i64;
                if self.opset >= 15 {
                    let attrs = vec![attr::int("start", axis), attr::int("end", axis + 1)];
                    return self.size_node("Shape", &[x], attrs);
                }
                let shape = self.size_node("Shape", &[x], Vec::new())?;
                let index = self.int_constant(&[axis], false)?;
                self.size_node("Gather", &[shape, index], Vec::new())
            }
            Place::Element { tensor, index, scalar, dtype } => {
                let index = self.int_constant(&[index as i64], false)?;
                let one = if scalar {
                    let shape = self.int_constant(&[1], false)?;
                    self.helper("Reshape", &[tensor, shape], Vec::new(), dtype)?
                } else {
                    self.helper("Gather", &[tensor, index], Vec::new(), dtype)?
                };
                if dtype == DType::I64 {
                    return Ok(one);
                }
                self.size_node("Cast", &[one], vec![attr::dtype("to", DType::I64)])
            }
        }
    }

    /// A helper node with one i64 result.
    fn size_node(
        &mut self,
        op: &str,
        inputs: &[String],
        attrs: Vec<crate::proto::AttributeProto>,
    ) -> Result<String, Refuse> {
        self.helper(op, inputs, attrs, DType::I64)
    }

    fn helper(
        &mut self,
        op: &str,
        inputs: &[String],
        attrs: Vec<crate::proto::AttributeProto>,
        dtype: DType,
    ) -> Result<String, Refuse> {
        let out = self.fresh_name("size");
        self.set_dtype(&out, Some(dtype));
        self.write_node(ONNX, op, None, inputs, vec![out.clone()], attrs)?;
        Ok(out)
    }

    /// The name of an i64 constant, vector or scalar; equal ones are shared.
    pub(super) fn int_constant(&mut self, values: &[i64], scalar: bool) -> Result<String, Refuse> {
        let key: Vec<Dim> = values.iter().map(|&v| Dim::Known(v)).collect();
        if let Some(name) = self.fact(&key, scalar) {
            return Ok(name);
        }
        let shape = if scalar { Vec::new() } else { vec![values.len()] };
        let tensor =
            Array::from_i64s(DType::I64, shape, values).and_then(|a| Tensor::from_array(&a));
        let name = self.constant(&tensor.map_err(|e| Refuse(e.to_string()))?, "const")?;
        self.add_fact(key, scalar, name.clone());
        Ok(name)
    }

    /// The name of a scalar constant of a dtype.
    pub(super) fn scalar_constant(&mut self, dtype: DType, value: f64) -> Result<String, Refuse> {
        let value =
            if dtype.is_integer() { Scalar::Int(value as i128) } else { Scalar::Float(value) };
        let tensor = Array::scalar(dtype, &value).and_then(|a| Tensor::from_array(&a));
        self.constant(&tensor.map_err(|e| Refuse(e.to_string()))?, "const")
    }
}
