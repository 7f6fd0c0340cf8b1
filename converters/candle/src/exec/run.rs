//! A run of a program, call by call. A value goes when the last statement that reads it is done.

use airconv_ir::array::Array;
use airconv_ir::dim::{Dim, solve_for};
use airconv_ir::entity::{SymbolId, TensorId};
use airconv_ir::module::Module;
use candle_core::{Device, Error, Result, Tensor, bail};
use rustc_hash::{FxHashMap, FxHashSet};

use super::bind::Bound;
use super::layer;
use super::tensor::{candle_type, to_tensor};
use crate::helpers;
use crate::program::{Arg, Block, Call, Callee, Loop, Program, Source, Stmt, Var};

/// The most trips of one loop.
const MOST_TRIPS: i64 = 1 << 32;

/// A program that is being run.
pub struct Run<'p> {
    program: &'p Program,
    module: &'p Module,
    device: Device,
    values: FxHashMap<Var, Tensor>,
    weights: FxHashMap<TensorId, Tensor>,
    sizes: FxHashMap<SymbolId, i64>,
}

impl<'p> Run<'p> {
    /// A run on a device.
    pub fn new(program: &'p Program, module: &'p Module, device: Device) -> Self {
        Self {
            program,
            module,
            device,
            values: FxHashMap::default(),
            weights: FxHashMap::default(),
            sizes: FxHashMap::default(),
        }
    }

    /// The results for these parameters.
    pub fn run(mut self, params: Vec<Tensor>) -> Result<Vec<Tensor>> {
        for (&var, tensor) in self.program.params.iter().zip(params) {
            self.set(var, tensor)?;
        }
        let body = &self.program.body;
        self.block(body)?;
        body.results.iter().map(|&v| self.get(v)).collect()
    }

    fn get(&mut self, var: Var) -> Result<Tensor> {
        if let Some(tensor) = self.values.get(&var) {
            return Ok(tensor.clone());
        }
        match &self.program.info(var).source {
            Source::Weight(id) => self.weight(*id),
            Source::Turned(id) => self.weight(*id)?.t()?.contiguous(),
            Source::Literal(array) => to_tensor(array, &self.device),
            Source::Param | Source::Made => bail!("a value is used before it is made"),
        }
    }

    fn weight(&mut self, id: TensorId) -> Result<Tensor> {
        if let Some(tensor) = self.weights.get(&id) {
            return Ok(tensor.clone());
        }
        let array: Array = self.module.tensors[id].to_array().map_err(Error::wrap)?;
        let tensor = to_tensor(&array, &self.device)?;
        self.weights.insert(id, tensor.clone());
        Ok(tensor)
    }

    /// Keeps a value and learns sizes from it.
    fn set(&mut self, var: Var, tensor: Tensor) -> Result<()> {
        let info = self.program.info(var);
        if info.shape.len() != tensor.rank() {
            bail!("`{}` has shape {:?}, which is of another rank", info.name, tensor.dims());
        }
        if candle_type(info.dtype) != Some(tensor.dtype()) {
            bail!("`{}` is {:?} instead of {}", info.name, tensor.dtype(), info.dtype);
        }
        for (dim, &size) in info.shape.iter().zip(tensor.dims()) {
            self.learn(dim, size as i64)?;
        }
        self.values.insert(var, tensor);
        Ok(())
    }

    /// Takes down that a size has this value; one symbol of it may be new.
    fn learn(&mut self, dim: &Dim, value: i64) -> Result<()> {
        if let Some(symbol) = dim.as_symbol() {
            self.sizes.insert(symbol, value);
            return Ok(());
        }
        let known = |s: SymbolId| self.sizes.get(&s).copied();
        match dim.eval(&known) {
            Some(v) if v != value => bail!("a size is {value} instead of {v}"),
            Some(_) => Ok(()),
            None => {
                if let Some((symbol, v)) = solve_for(dim, value, &known) {
                    self.sizes.insert(symbol, v);
                }
                Ok(())
            }
        }
    }

    fn size(&self, dim: &Dim) -> Result<i64> {
        match dim.eval(&|s| self.sizes.get(&s).copied()) {
            Some(v) => Ok(v),
            None => bail!("a size is not known"),
        }
    }

    fn extent(&self, dim: &Dim) -> Result<usize> {
        let size = self.size(dim)?;
        usize::try_from(size).map_err(|_| Error::Msg(format!("a size is {size}")))
    }

    fn block(&mut self, block: &Block) -> Result<()> {
        let mut last: FxHashMap<Var, usize> = FxHashMap::default();
        for (i, stmt) in block.stmts.iter().enumerate() {
            stmt.reads_all(&mut |v| {
                last.insert(v, i);
            });
        }
        let kept: FxHashSet<Var> = block.results.iter().copied().collect();
        let mut own: FxHashSet<Var> = FxHashSet::default();
        for (i, stmt) in block.stmts.iter().enumerate() {
            self.stmt(stmt)?;
            own.extend(stmt.made());
            let mut done = Vec::new();
            stmt.reads_all(&mut |v| done.push(v));
            done.extend(stmt.made());
            for v in done {
                let used = last.get(&v).is_some_and(|&l| l > i);
                if own.contains(&v) && !used && !kept.contains(&v) {
                    self.values.remove(&v);
                }
            }
        }
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<()> {
        match stmt {
            Stmt::Let { vars, call, .. } => {
                let made = self.call(call)?;
                for (&var, tensor) in vars.iter().zip(made) {
                    self.set(var, tensor)?;
                }
                Ok(())
            }
            Stmt::Sizes { x, dims, .. } => {
                let found = helpers::ints(&self.get(*x)?)?;
                for (dim, v) in dims.iter().zip(found) {
                    self.learn(dim, v)?;
                }
                Ok(())
            }
            Stmt::Assert { condition, message, .. } => {
                if helpers::is_true(&self.get(*condition)?)? { Ok(()) } else { bail!("{message}") }
            }
            Stmt::If { condition, then, other, vars, .. } => {
                let branch = if helpers::is_true(&self.get(*condition)?)? { then } else { other };
                self.block(branch)?;
                for (&var, &result) in vars.iter().zip(&branch.results) {
                    let tensor = self.get(result)?;
                    self.set(var, tensor)?;
                }
                Ok(())
            }
            Stmt::Loop(l) => self.repeat(l),
        }
    }

    fn repeat(&mut self, l: &Loop) -> Result<()> {
        let trips = match l.trips {
            Some(v) => helpers::ints(&self.get(v)?)?.first().copied().unwrap_or(0),
            None => MOST_TRIPS,
        };
        let mut holds = match l.condition {
            Some(v) => helpers::is_true(&self.get(v)?)?,
            None => true,
        };
        let mut state = l.initial.iter().map(|&v| self.get(v)).collect::<Result<Vec<_>>>()?;
        let stacks = l.vars.len() - l.carried.len();
        let mut slices: Vec<Vec<Tensor>> = vec![Vec::new(); stacks];
        let mut trip = 0i64;
        while trip < trips && holds {
            self.set(l.trip, Tensor::new(trip, &self.device)?)?;
            self.set(l.holds, Tensor::new(1u8, &self.device)?)?;
            for (&var, tensor) in l.carried.iter().zip(state) {
                self.set(var, tensor)?;
            }
            self.block(&l.block)?;
            let mut results =
                l.block.results.iter().map(|&v| self.get(v)).collect::<Result<Vec<_>>>()?;
            let stacked = results.split_off(1 + l.carried.len());
            for (list, slice) in slices.iter_mut().zip(stacked) {
                list.push(slice);
            }
            state = results.split_off(1);
            holds = match results.first() {
                Some(c) => helpers::is_true(c)?,
                None => true,
            };
            trip += 1;
        }
        for (&var, tensor) in l.vars.iter().zip(state) {
            self.set(var, tensor)?;
        }
        for (&var, list) in l.vars.iter().skip(l.carried.len()).zip(slices) {
            let tensor = self.stack(var, &list)?;
            self.set(var, tensor)?;
        }
        Ok(())
    }

    /// The slices of all trips along a new first axis.
    fn stack(&self, var: Var, slices: &[Tensor]) -> Result<Tensor> {
        if !slices.is_empty() {
            return Tensor::stack(slices, 0);
        }
        let info = self.program.info(var);
        let mut shape = vec![0];
        for dim in info.shape.iter().skip(1) {
            // What only a trip tells is nothing where there was none.
            shape.push(self.extent(dim).unwrap_or(0));
        }
        let Some(dtype) = candle_type(info.dtype) else { bail!("candle has no {}", info.dtype) };
        Tensor::zeros(shape, dtype, &self.device)
    }

    fn call(&mut self, call: &Call) -> Result<Vec<Tensor>> {
        match call.callee {
            Callee::Func(func) => {
                let args = call.args.iter().map(|a| self.bound(a)).collect::<Result<Vec<_>>>()?;
                (func.run)(&args)
            }
            Callee::Layer(l) => {
                let mut args = Vec::new();
                for arg in &call.args {
                    args.push(match arg {
                        Arg::Tensor(v) | Arg::Maybe(Some(v)) => Some(self.get(*v)?),
                        _ => None,
                    });
                }
                Ok(vec![layer::apply(&l, args)?])
            }
        }
    }

    fn bound(&mut self, arg: &Arg) -> Result<Bound> {
        Ok(match arg {
            Arg::Tensor(v) => Bound::Tensor(self.get(*v)?),
            Arg::Maybe(v) => Bound::Maybe(v.map(|v| self.get(v)).transpose()?),
            Arg::Tensors(list) => {
                Bound::Tensors(list.iter().map(|&v| self.get(v)).collect::<Result<_>>()?)
            }
            Arg::Size(d) => Bound::Size(self.extent(d)?),
            Arg::Shape(list) => {
                Bound::Shape(list.iter().map(|d| self.extent(d)).collect::<Result<_>>()?)
            }
            Arg::Index(d) => Bound::Int(self.size(d)?),
            Arg::Number(n) => Bound::Size(*n),
            Arg::Numbers(list) => Bound::Shape(list.clone()),
            Arg::Int(v) => Bound::Int(*v),
            Arg::Ints(list) => Bound::Ints(list.clone()),
            Arg::Float(v) => Bound::Float(*v),
            Arg::DType(d) => match candle_type(*d) {
                Some(d) => Bound::DType(d),
                None => bail!("candle has no {d}"),
            },
            Arg::Bool(b) => Bound::Bool(*b),
            Arg::Device => Bound::Device(self.device.clone()),
        })
    }
}
