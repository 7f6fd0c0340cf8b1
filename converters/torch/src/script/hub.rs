//! The hub as what takes the operator calls of a program.

use std::collections::{BTreeMap, BTreeSet};

use airconv_api::Limits;
use airconv_ir::array::{Array, Scalar};
use airconv_ir::dim::{Dim, Range, Shape};
use airconv_ir::dtype::{Class, DType};
use airconv_ir::entity::{RegionId, SymbolId, ValueId};
use airconv_ir::module::{InputRole, Origin};
use airconv_ir::op::{If, Loop};
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;

use super::archive::ScriptTensor;
use super::lower::{AtenSink, Compare};
use crate::common::schema::Schema;
use crate::import::alias::Handle;
use crate::import::arg::Arg;
use crate::import::call::Stop;
use crate::import::share::Layout;
use crate::import::{Importer, Item};
use crate::weights::Budget;

/// Operator calls of a program as nodes of the hub.
pub(crate) struct HubSink {
    /// The function that is filled.
    pub imp: Importer,
    /// Checks of the program that were taken to succeed: what and where.
    pub assumed: Vec<(String, String)>,
    /// Inputs whose types are those of the trace.
    pub from_trace: Vec<String>,
    /// The tensors of the archive that are state: inputs of the function rather than constants.
    pub state: BTreeSet<String>,
    /// The tensors of the archive that are used: name and handle, in order of use.
    pub weights: Vec<(String, Handle)>,
    regions: BTreeMap<RegionId, Outer>,
    budget: Budget,
    place: String,
}

/// What a region has from outside.
struct Outer {
    parent: RegionId,
    /// What is captured: the value outside.
    captured: Vec<ValueId>,
}

impl HubSink {
    /// A sink that fills a function of this name.
    pub(crate) fn new(name: &str, limits: &Limits) -> Self {
        Self {
            imp: Importer::new(name),
            assumed: Vec::new(),
            from_trace: Vec::new(),
            state: BTreeSet::new(),
            weights: Vec::new(),
            regions: BTreeMap::new(),
            budget: Budget::new(limits),
            place: String::new(),
        }
    }
    fn values(&mut self, tensors: &[Handle]) -> Result<Vec<ValueId>, Stop> {
        tensors.iter().map(|&t| self.imp.value(t)).collect()
    }
    fn value_in(&mut self, region: RegionId, tensors: &[Handle]) -> Result<Vec<ValueId>, Stop> {
        let outer = std::mem::replace(&mut self.imp.region, region);
        let values = self.values(tensors);
        self.imp.region = outer;
        values
    }
    fn ty(&self, value: ValueId) -> Type {
        self.imp.function().ty(value).clone()
    }
    fn captured(&self, region: RegionId) -> Vec<ValueId> {
        self.regions.get(&region).map(|r| r.captured.clone()).unwrap_or_default()
    }
    fn fresh(&mut self, values: Vec<ValueId>) -> Vec<Handle> {
        values.into_iter().map(|v| self.imp.fresh(v)).collect()
    }
    /// Parameters for what the other branch captures, so that both take the same.
    fn pad(&mut self, region: RegionId, others: &[ValueId], before: bool) {
        let types: Vec<Type> = others.iter().map(|&v| self.ty(v)).collect();
        let f = self.imp.function_mut();
        let own = f.regions[region].params.clone();
        let new: Vec<ValueId> = types.into_iter().map(|t| f.add_param(region, t, None)).collect();
        if before {
            let order = new.into_iter().chain(own).collect();
            f.order_params(region, order);
        }
    }
    /// State is an input of the function, which regions do not see.
    fn state_input(&mut self, tensor: Tensor, name: &str) -> Result<Handle, Stop> {
        if self.imp.region != self.imp.function().body {
            return Err(Stop::Unsupported(format!("state `{name}` that a branch or loop uses")));
        }
        let ty = Type::Tensor(tensor.ty());
        let role = InputRole::State(Some(self.imp.module.tensors.push(tensor)));
        let value = self.imp.function_mut().add_input(name, ty, role);
        Ok(self.imp.fresh(value))
    }
    fn open(&mut self, params: &[Type]) -> (RegionId, Vec<ValueId>) {
        let (region, params) = self.imp.builder().new_region(params);
        let parent = self.imp.region;
        self.regions.insert(region, Outer { parent, captured: Vec::new() });
        (region, params)
    }
}

impl AtenSink for HubSink {
    type Tensor = Handle;
    type Region = RegionId;

    fn call(&mut self, schema: &'static Schema, args: &[Item]) -> Result<Vec<Item>, Stop> {
        let origin = Origin::Source {
            format: "torch".into(),
            path: self.place.as_str().into(),
            name: "".into(),
            op: schema.display_name().into(),
        };
        self.imp.origin = self.imp.module.origins.push(origin);
        self.imp.call(schema, args, None)
    }
    fn constant(&mut self, tensor: &ScriptTensor) -> Result<Handle, Stop> {
        let made = tensor.view.tensor(&mut self.budget);
        let made = made.map_err(|e| Stop::Unsupported(e.message))?;
        let handle = match self.state.contains(&tensor.name) {
            true => self.state_input(made, &tensor.name)?,
            false => self.imp.constant(made, &tensor.name),
        };
        let known = |sizes: &[u64]| -> Vec<Option<Dim>> {
            sizes.iter().map(|&n| i64::try_from(n).ok().map(Dim::Known)).collect()
        };
        let (sizes, strides) = (known(tensor.view.sizes()), known(tensor.view.strides()));
        self.imp.set_layout(handle, Layout::of(&sizes, &strides));
        self.weights.push((tensor.name.clone(), handle));
        Ok(handle)
    }
    fn dtype(&mut self, tensor: Handle) -> Result<DType, Stop> {
        let value = self.imp.value(tensor)?;
        Ok(self.imp.builder().tensor_ty(value)?.dtype)
    }
    fn shape(&mut self, tensor: Handle) -> Result<Shape, Stop> {
        let value = self.imp.value(tensor)?;
        Ok(self.imp.builder().tensor_ty(value)?.shape)
    }
    fn number(&mut self, number: &Item) -> Result<Handle, Stop> {
        let mut b = self.imp.builder();
        let value = match number {
            Arg::Int(dim) => b.dim_scalar(dim)?,
            Arg::Float(v) => b.scalar(DType::F64, *v)?,
            Arg::Bool(v) => b.scalar(DType::Bool, f64::from(u8::from(*v)))?,
            Arg::Tensor(t) | Arg::Number(t) => return Ok(*t),
            other => return Err(Stop::Unsupported(format!("{} as a number", other.kind()))),
        };
        Ok(self.imp.fresh(value))
    }
    fn item(&mut self, tensor: Handle) -> Result<Item, Stop> {
        let value = self.imp.value(tensor)?;
        let ty = self.imp.builder().tensor_ty(value)?;
        if ty.shape.iter().any(|d| d.as_known() != Some(1)) {
            let rank = ty.rank();
            return Err(Stop::Unsupported(format!("a tensor of {rank} axes used as a number")));
        }
        let class = ty.dtype.class();
        if matches!(class, Class::Signed | Class::Unsigned)
            && ty.rank() == 0
            && let Some(dim) = self.imp.known_dim(value)
        {
            return Ok(Arg::Int(dim));
        }
        let known = self.imp.const_array(value).and_then(|a: Array| a.get(0));
        let wide = match (known, class) {
            (Some(Scalar::Bool(b)), _) => return Ok(Arg::Bool(b)),
            (Some(Scalar::Float(v)), _) => return Ok(Arg::Float(v)),
            (Some(Scalar::Int(n)), _) => match i64::try_from(n) {
                Ok(n) => return Ok(Arg::Int(Dim::Known(n))),
                Err(_) => return Err(Stop::Unsupported("a number of 64 bits".to_owned())),
            },
            (Some(_), _) | (None, Class::Complex | Class::String) => {
                return Err(Stop::Unsupported(format!("a number of {}", ty.dtype)));
            }
            (None, Class::Bool) => DType::Bool,
            (None, Class::Float) => DType::F64,
            (None, _) => DType::I64,
        };
        let mut b = self.imp.builder();
        let mut scalar = b.cast(value, wide)?;
        if ty.rank() > 0 {
            scalar = b.reshape(scalar, &[])?;
        }
        Ok(Arg::Number(if scalar == value { tensor } else { self.imp.fresh(scalar) }))
    }
    fn compare(&mut self, how: Compare, a: &Dim, b: &Dim) -> Option<bool> {
        let f = self.imp.function();
        compare(how, a, b, &|s| f.symbol_range(s))
    }
    fn assume(&mut self, what: &str, place: &str) {
        self.assumed.push((what.to_owned(), place.to_owned()));
    }
    fn place(&mut self, place: &str) {
        place.clone_into(&mut self.place);
    }

    fn branch(&mut self) -> Result<RegionId, Stop> {
        Ok(self.open(&[]).0)
    }
    fn loop_body(&mut self, carried: &[Handle]) -> Result<(RegionId, Handle, Vec<Handle>), Stop> {
        let mut types = vec![Type::tensor(DType::I64, []), Type::tensor(DType::Bool, [])];
        for value in self.values(carried)? {
            types.push(self.ty(value));
        }
        let (region, params) = self.open(&types);
        let mut handles = self.fresh(params).into_iter();
        let Some(index) = handles.next() else {
            return Err(Stop::Invalid("a loop has no number of iterations".to_owned()));
        };
        Ok((region, index, handles.skip(1).collect()))
    }
    fn enter(&mut self, region: RegionId) -> RegionId {
        std::mem::replace(&mut self.imp.region, region)
    }
    fn capture(&mut self, region: RegionId, tensor: Handle) -> Result<Handle, Stop> {
        let Some(parent) = self.regions.get(&region).map(|r| r.parent) else {
            return Err(Stop::Invalid("a tensor is used outside of its region".to_owned()));
        };
        // The value is that in the region around, which may have to make it.
        let inner = std::mem::replace(&mut self.imp.region, parent);
        let value = self.imp.value(tensor);
        self.imp.region = inner;
        let value = value?;
        let ty = self.ty(value);
        let param = self.imp.function_mut().add_param(region, ty, None);
        if let Some(outer) = self.regions.get_mut(&region) {
            outer.captured.push(value);
        }
        Ok(self.imp.fresh(param))
    }
    fn if_(
        &mut self,
        condition: Handle,
        [(then, x), (otherwise, y)]: [(RegionId, &[Handle]); 2],
    ) -> Result<Vec<Handle>, Stop> {
        let (a, b) = (self.captured(then), self.captured(otherwise));
        self.pad(then, &b, false);
        self.pad(otherwise, &a, true);
        for (region, results) in [(then, x), (otherwise, y)] {
            let values = self.value_in(region, results)?;
            self.imp.builder().set_results(region, &values);
        }
        let mut inputs = vec![Some(self.imp.value(condition)?)];
        inputs.extend(a.into_iter().chain(b).map(Some));
        let op = If { then_branch: then, else_branch: otherwise };
        let results = self.imp.builder().emit_all(op, &inputs)?;
        Ok(self.fresh(results))
    }
    fn loop_(
        &mut self,
        trips: Option<Handle>,
        first: Option<Handle>,
        carried: &[Handle],
        (body, again, results): (RegionId, Option<Handle>, &[Handle]),
    ) -> Result<Vec<Handle>, Stop> {
        let again = match again {
            Some(again) => self.value_in(body, &[again])?,
            None => {
                let outer = std::mem::replace(&mut self.imp.region, body);
                let always = self.imp.builder().scalar(DType::Bool, 1.0);
                self.imp.region = outer;
                vec![always?]
            }
        };
        let mut ends = again;
        ends.extend(self.value_in(body, results)?);
        self.imp.builder().set_results(body, &ends);
        let mut inputs = Vec::new();
        for end in [trips, first] {
            inputs.push(end.map(|t| self.imp.value(t)).transpose()?);
        }
        inputs.extend(self.values(carried)?.into_iter().map(Some));
        inputs.extend(self.captured(body).into_iter().map(Some));
        let op = Loop { body, carried: carried.len() as i64 };
        let results = self.imp.builder().emit_all(op, &inputs)?;
        Ok(self.fresh(results))
    }
}

/// Whether a comparison holds for all sizes or for none.
fn compare(how: Compare, a: &Dim, b: &Dim, range: &dyn Fn(SymbolId) -> Range) -> Option<bool> {
    let difference = a.sub(b).range(range);
    let above = |least: i64| difference.min.is_some_and(|m| m >= least);
    let below = |most: i64| difference.max.is_some_and(|m| m <= most);
    let decide = |yes: bool, no: bool| match (yes, no) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    match how {
        Compare::Eq => decide(a.proves_eq(b, range), a.proves_ne(b, range)),
        Compare::Ne => decide(a.proves_ne(b, range), a.proves_eq(b, range)),
        Compare::Lt => decide(below(-1), above(0)),
        Compare::Le => decide(below(0), above(1)),
        Compare::Gt => decide(above(1), below(0)),
        Compare::Ge => decide(above(0), below(-1)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use airconv_ir::interp::{Datum, EvalLimits, Interpreter};
    use airconv_ir::module::{ArgKindRole, OutputRole};
    use airconv_ir::types::TensorType;
    use airconv_ir::verify::{Stage, verify};

    use super::*;
    use crate::error::FileError;
    use crate::script::Script;
    use crate::script::lower::{Outcome, Output, inputs, lower};

    /// Reads a method of the root module whose inputs are tensors of these types, in order. The
    /// function gets the inputs by the names of the parameters; its outputs are left to the caller.
    fn read_method(
        script: &Script,
        method: &str,
        types: &[TensorType],
        limits: &Limits,
    ) -> Result<(HubSink, Outcome<Handle>), FileError> {
        let mut sink = HubSink::new(method, limits);
        let mut args = Vec::new();
        for ((name, _), ty) in inputs(script, method)?.into_iter().zip(types) {
            let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
            let f = sink.imp.function_mut();
            let value = f.add_input(name, Type::Tensor(ty.clone()), role);
            args.push(Arg::Tensor(sink.imp.fresh(value)));
        }
        let outcome = lower(script, &mut sink, method, &args, limits)?;
        Ok((sink, outcome))
    }

    const SOURCE: &str = "class Net(Module):
  __parameters__ = [\"w\", ]
  __buffers__ = [\"b\", ]
  training : bool
  w : Tensor
  b : Tensor
  tied : Tensor
  inner : __torch__.sub.Inner
  def forward(self, x: Tensor, c: Tensor) -> Tensor:
    y = torch.linear(x, self.w, self.b)
    scale = 2
    if bool(c):
      z = torch.mul(y, 10)
      scale0 = scale
    else:
      z = torch.sub(y, torch.size(x, 0))
      scale0 = 3
    acc = z
    for i in range(torch.size(x, 0)):
      acc = torch.add(acc, torch.mul(self.b, i))
    n = 0
    while bool(torch.lt(torch.select(torch.select(acc, 0, 0), 0, 0), 100)):
      acc = torch.mul(acc, scale0)
      n = torch.add(n, 1)
    return torch.add(acc, torch.tensor(0.5)) if n is None else torch.add(acc, n)
";

    /// The same in plain arithmetic; the archive has w = 0..6 by rows and b = [6, 7].
    fn expected(x: &[[f64; 3]], c: bool) -> Vec<f64> {
        let b = [6.0, 7.0];
        let mut acc = Vec::new();
        for row in x {
            for (j, b) in b.iter().enumerate() {
                let w: Vec<f64> = (0..3).map(|k| (j * 3 + k) as f64).collect();
                let y: f64 = row.iter().zip(&w).map(|(a, b)| a * b).sum::<f64>() + b;
                let z = if c { y * 10.0 } else { y - x.len() as f64 };
                acc.push((0..x.len()).fold(z, |z, i| z + b * i as f64));
            }
        }
        let (scale, mut n) = (if c { 2.0 } else { 3.0 }, 0.0);
        while acc[0] < 100.0 {
            acc.iter_mut().for_each(|v| *v *= scale);
            n += 1.0;
        }
        acc.into_iter().map(|v| v + n).collect()
    }

    #[test]
    fn branches_and_loops_compute_what_the_program_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = crate::script::tests::archive(folder.path(), SOURCE);
        let limits = Limits::default();
        let script = Script::open(&path, true, &limits).unwrap();
        let types = [
            TensorType::new(DType::F32, [Dim::Known(2), Dim::Known(3)]),
            TensorType::new(DType::Bool, []),
        ];
        let symbolic = {
            let mut types = types.clone();
            types[0].shape[0] = Dim::symbol(SymbolId(0));
            types
        };
        for types in [types, symbolic] {
            let run = read_method(&script, "forward", &types, &limits);
            let (mut sink, outcome) = run.unwrap();
            if types[0].shape[0].as_symbol().is_some() {
                sink.imp.function_mut().add_symbol("batch", Range::POSITIVE, None);
            }
            let Output::One(Arg::Tensor(result)) = outcome.result else { panic!("{outcome:?}") };
            assert!(outcome.changed.is_empty());
            let value = sink.imp.value(result).unwrap();
            let role = OutputRole::User(ArgKindRole::Tensor);
            sink.imp.function_mut().add_output("out", value, role);
            let module = sink.imp.module;
            verify(&module, Stage::Imported).unwrap();
            let x = [[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]];
            let flat: Vec<f32> = x.iter().flatten().map(|v| *v as f32).collect();
            let bytes: Vec<u8> = flat.iter().flat_map(|v| v.to_le_bytes()).collect();
            let x_array = Array::from_bytes(DType::F32, vec![2, 3], &bytes).unwrap();
            for c in [true, false] {
                let c_array = Array::scalar(DType::Bool, &Scalar::Bool(c)).unwrap();
                let inputs: Map<_, _> =
                    [("x".to_owned(), x_array.clone()), ("c".to_owned(), c_array)]
                        .map(|(n, a)| (n, Datum::Tensor(a.into())))
                        .into();
                let mut interpreter = Interpreter::new(module.clone(), EvalLimits::default());
                let out = interpreter.run(&inputs).unwrap();
                let Datum::Tensor(out) = &out[0].1 else { panic!() };
                let got: Vec<f64> = out
                    .to_bytes()
                    .unwrap()
                    .chunks(4)
                    .map(|b| f32::from_le_bytes(b.try_into().unwrap()).into())
                    .collect();
                assert_eq!(got, expected(&x, c), "{c}");
            }
        }
    }
}
