//! Small programs that crates are made of.

use std::path::Path;

use airconv_api::{Failed, Report, WriteOptions, Writer};
use airconv_candle::CandleWriter;
use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};

/// A program that is being built.
pub struct Draft {
    module: Module,
    outputs: Vec<(String, ValueId)>,
}

impl Draft {
    pub fn new() -> Self {
        let mut module = Module::default();
        module.functions.push(Function::new("main"));
        Self { module, outputs: Vec::new() }
    }
    pub fn builder(&mut self) -> Builder<'_> {
        let func = self.module.entry;
        let region = self.module.main().body;
        Builder::new(&mut self.module, func, region, OriginId(0))
    }
    /// A size that the caller chooses.
    pub fn size(&mut self, name: &str) -> Dim {
        let f = &mut self.module.functions[airconv_ir::entity::FuncId(0)];
        Dim::symbol(f.add_symbol(name, Range { min: Some(1), max: None }, None))
    }
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> ValueId {
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let f = &mut self.module.functions[airconv_ir::entity::FuncId(0)];
        f.add_input(name, Type::tensor(dtype, shape.iter().cloned()), role)
    }
    /// A weight with small numbers that repeat.
    pub fn weight(&mut self, name: &str, shape: &[usize], around: f32) -> ValueId {
        let n: usize = shape.iter().product();
        let seed = name.bytes().map(usize::from).sum::<usize>();
        let number = |i: usize| ((i * 7 + seed) % 11) as f32 / 11.0 - 0.5 + around;
        let values: Vec<f32> = (0..n).map(number).collect();
        let array = Array::from_vec(shape.to_vec(), values).unwrap();
        let mut b = self.builder();
        let v = b.constant(&array).unwrap();
        b.name(v, name.to_owned());
        v
    }
    pub fn emit(&mut self, op: impl Into<Op>, operands: &[ValueId]) -> ValueId {
        self.builder().emit(op, operands).unwrap()
    }
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.outputs.push((name.to_owned(), value));
    }
    pub fn done(mut self) -> Module {
        let outputs = std::mem::take(&mut self.outputs);
        let f = &mut self.module.functions[airconv_ir::entity::FuncId(0)];
        for (name, value) in outputs {
            f.add_output(&name, value, OutputRole::User(ArgKindRole::Tensor));
        }
        self.module
    }
    /// `x w + b` with the weights of a PyTorch linear layer.
    pub fn linear(&mut self, path: &str, x: ValueId, sizes: [usize; 2]) -> ValueId {
        let w = self.weight(&format!("{path}.weight"), &sizes, 0.0);
        let b = self.weight(&format!("{path}.bias"), &[sizes[1]], 0.0);
        let mut builder = self.builder();
        let y = builder.matmul(x, w).unwrap();
        builder.broadcasting(Add {}, &[y, b]).unwrap()
    }
    /// The norm over the last of two axes.
    pub fn layer_norm(&mut self, path: &str, x: ValueId, size: usize) -> ValueId {
        let scale = self.weight(&format!("{path}.weight"), &[size], 1.0);
        let bias = self.weight(&format!("{path}.bias"), &[size], 0.0);
        let norm = LayerNormalization { axis: 1, epsilon: Float(1e-5), stash: None };
        self.emit(norm, &[x, scale, bias])
    }
}

/// Residual blocks of two linear layers and a norm; one block is wider than the others.
pub fn mlp() -> Module {
    let mut d = Draft::new();
    let batch = d.size("batch");
    let mut x = d.input("features", DType::F32, &[batch, Dim::Known(8)]);
    for (i, wide) in [12, 12, 16].into_iter().enumerate() {
        let path = format!("layers.{i}");
        let h = d.linear(&format!("{path}.fc1"), x, [8, wide]);
        let h = d.emit(Gelu { approximate: GeluKind::Exact }, &[h]);
        let h = d.linear(&format!("{path}.fc2"), h, [wide, 8]);
        let sum = d.emit(Add {}, &[x, h]);
        x = d.layer_norm(&format!("{path}.norm"), sum, 8);
    }
    let y = d.linear("head", x, [8, 3]);
    let y = d.emit(Softmax { axes: vec![1] }, &[y]);
    d.output("probabilities", y);
    d.done()
}

/// Residual blocks, of which those that change the width project what they add.
pub fn residual() -> Module {
    let mut d = Draft::new();
    let batch = d.size("batch");
    let mut x = d.input("x", DType::F32, &[batch, Dim::Known(8)]);
    for (path, [from, to]) in
        [("layer1.0", [8, 8]), ("layer1.1", [8, 8]), ("layer2.0", [8, 12]), ("layer2.1", [12, 12])]
    {
        let h = d.linear(&format!("{path}.fc1"), x, [from, to]);
        let h = d.emit(Relu {}, &[h]);
        let h = d.linear(&format!("{path}.fc2"), h, [to, to]);
        let mut shortcut = x;
        if from != to {
            let wide = d.linear(&format!("{path}.shortcut.proj"), x, [from, to]);
            shortcut = d.layer_norm(&format!("{path}.shortcut.norm"), wide, to);
        }
        let sum = d.emit(Add {}, &[h, shortcut]);
        x = d.layer_norm(&format!("{path}.norm"), sum, to);
    }
    d.output("y", x);
    d.done()
}

/// A loop that doubles what it carries, an `if` on its sum, a size that is read from a tensor, and
/// what candle lacks.
pub fn control() -> Module {
    let mut d = Draft::new();
    let n = d.size("n");
    let x = d.input("x", DType::F32, &[n.clone()]);
    let trips = d.input("trips", DType::I64, &[]);
    let k = d.input("k", DType::I64, &[Dim::Known(1)]);
    let ty = d.builder().ty(x).clone();
    let scalar = Type::tensor(DType::I64, []);
    let truth = Type::tensor(DType::Bool, []);
    let mut b = d.builder();
    let (body, params) = b.new_region(&[scalar, truth, ty.clone()]);
    let (sum, next) = b.in_region(body, |b| {
        let next = b.add(params[2], params[2]).unwrap();
        (b.reduce(ReduceKind::Sum, next, &[0], false).unwrap(), next)
    });
    b.set_results(body, &[params[1], next, sum]);
    let node = b.node(Loop { body, carried: 1 }, &[Some(trips), None, Some(x)]).unwrap();
    let results: Vec<ValueId> = b.f().nodes[node].outputs().collect();
    let total = b.reduce(ReduceKind::Sum, results[0], &[0], false).unwrap();
    let zero = b.scalar(DType::F32, 0.0).unwrap();
    let positive = b.broadcasting(Less {}, &[zero, total]).unwrap();
    let (then_branch, p) = b.new_region(std::slice::from_ref(&ty));
    let root = b.in_region(then_branch, |b| b.emit(Sqrt {}, &[p[0]]).unwrap());
    b.set_results(then_branch, &[root]);
    let (else_branch, p) = b.new_region(std::slice::from_ref(&ty));
    let minus = b.in_region(else_branch, |b| b.emit(Neg {}, &[p[0]]).unwrap());
    b.set_results(else_branch, &[minus]);
    let branches = If { then_branch, else_branch };
    let chosen = b.emit(branches, &[positive, results[0]]).unwrap();
    let size = b.fresh_dim("k", None);
    b.node(DimsOf { dims: vec![size.clone()] }, &[Some(k)]).unwrap();
    let top = TopK { k: size, axis: 0, largest: true, sorted: true };
    let node = b.node(top, &[Some(chosen)]).unwrap();
    let top: Vec<ValueId> = b.f().nodes[node].outputs().collect();
    d.output("sums", results[1]);
    d.output("greatest", top[0]);
    d.output("positions", top[1]);
    d.done()
}

/// Writes a module as a crate.
pub fn write(module: &Module, path: &Path, single_file: bool) -> Result<Report, (Failed, Report)> {
    let verified = verify(module, Stage::Canonical).expect("a module that is well made");
    let options = WriteOptions { single_file, ..WriteOptions::default() };
    let mut report = Report::default();
    match CandleWriter.write(&verified, path, &options, &mut report) {
        Ok(()) => Ok(report),
        Err(failed) => Err((failed, report)),
    }
}
