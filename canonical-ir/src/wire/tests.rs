//! Round trips of random modules over every op, and every error.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use airconv_schema::program as w;
use proptest::prelude::*;

use super::*;
use crate::attr::{Attr, Float, SourceOp};
use crate::dim::{Dim, Range};
use crate::dtype::DType;
use crate::entity::{Arena, SymbolId, TensorId};
use crate::module::{
    ArgKindRole, Function, Input, InputRole, Operands, Origin, Output, OutputRole, Results, Symbol,
    Value,
};
use crate::op::{Op, OpKind};
use crate::types::{TensorType, Type};

/// Random modules: every reference is within its table, nothing else makes sense.
pub(crate) struct Gen {
    state: u64,
    symbols: u32,
    regions: u32,
    functions: u32,
    tensors: u32,
}

impl Gen {
    pub(crate) fn new(seed: u64) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut g = Self { state, symbols: 0, regions: 0, functions: 0, tensors: 0 };
        g.functions = 1 + g.below(3);
        g.tensors = 1 + g.below(6);
        g
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((self.next() >> 33) % u64::from(n.max(1))) as u32
    }
    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
    fn many<T>(&mut self, most: u32, mut f: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| f(self)).collect()
    }
    pub(crate) fn int(&mut self) -> i64 {
        match self.below(4) {
            0 => self.next() as i64,
            1 => i64::from(self.below(300)) - 150,
            2 => [i64::MIN, i64::MAX, -1, 0][self.below(4) as usize],
            _ => i64::from(self.below(1 << 20)),
        }
    }
    fn float(&mut self) -> Float {
        Float(match self.below(3) {
            0 => f64::from_bits(self.next()),
            1 => [0.0, -0.0, 1.0, f64::INFINITY, f64::NAN, 1e-5][self.below(6) as usize],
            _ => f64::from(self.below(100)) / 8.0,
        })
    }
    pub(crate) fn text(&mut self) -> String {
        let chars = ['a', 'B', '_', '/', '0', 'ü', '\n', '"', '世'];
        self.many(6, |g| chars[g.below(9) as usize]).into_iter().collect()
    }
    fn arc(&mut self) -> Arc<str> {
        self.text().into()
    }
    fn dtype(&mut self) -> DType {
        DType::ALL[self.below(DType::ALL.len() as u32) as usize]
    }
    fn expr(&mut self, depth: u32) -> Dim {
        if depth == 0 || self.below(4) == 0 {
            return match self.symbols > 0 && self.flip() {
                true => Dim::symbol(SymbolId(self.below(self.symbols))),
                false => Dim::Known(i64::from(self.below(9)) - 3),
            };
        }
        let (a, b) = (self.expr(depth - 1), self.expr(depth - 1));
        match self.below(9) {
            0 | 1 => a.add(&b),
            2 => a.sub(&b),
            3 => a.mul(&b),
            4 => a.floor_div(&b),
            5 => a.ceil_div(&b),
            6 => a.rem(&b),
            7 => Dim::min_all([a, b, self.expr(depth - 1)]),
            _ => match self.flip() {
                true => Dim::max_all([a, b]),
                false => Dim::broadcast_all([a, b]),
            },
        }
    }
    fn dim(&mut self) -> Dim {
        match self.below(4) {
            0 => Dim::Known(self.int()),
            1 => Dim::Any,
            _ => self.expr(4),
        }
    }
    fn ty(&mut self, depth: u32) -> Type {
        match self.below(if depth == 0 { 3 } else { 6 }) {
            0 => Type::Tensor(TensorType::new(self.dtype(), self.many(4, Self::dim))),
            1 => Type::Unranked(self.dtype()),
            2 => Type::Unknown,
            3 => Type::Sequence(Box::new(self.ty(depth - 1))),
            4 => Type::Optional(Box::new(self.ty(depth - 1))),
            _ => Type::Map(self.dtype(), Box::new(self.ty(depth - 1))),
        }
    }
    fn attr(&mut self, depth: u32) -> Attr {
        match self.below(if depth == 0 { 15 } else { 17 }) {
            0 => Attr::Bool(self.flip()),
            1 => Attr::Int(self.int()),
            2 => Attr::Float(self.float()),
            3 => Attr::Str(self.text()),
            4 => Attr::Bytes(self.many(300, |g| g.next() as u8).into()),
            5 => Attr::DType(self.dtype()),
            6 => Attr::Dim(self.dim()),
            7 => Attr::Type(self.ty(2)),
            8 => Attr::Tensor(TensorId(self.below(self.tensors))),
            9 => Attr::Region(RegionId(self.below(self.regions))),
            10 => Attr::Func(FuncId(self.below(self.functions))),
            11 => Attr::Ints(self.many(4, Self::int)),
            12 => Attr::Floats(self.many(4, Self::float)),
            13 => Attr::Strs(self.many(4, Self::text)),
            14 => Attr::Dims(self.many(4, Self::dim)),
            15 => Attr::List(self.many(3, |g| g.attr(depth - 1))),
            _ => Attr::Map(self.attrs(depth - 1)),
        }
    }
    fn attrs(&mut self, depth: u32) -> BTreeMap<String, Attr> {
        self.many(3, |g| (g.text(), g.attr(depth))).into_iter().collect()
    }
    /// A value of the kind that the op table gives a field.
    fn field(&mut self, kind: &str) -> Attr {
        if let Some(choices) = kind.strip_prefix("enum(") {
            let choices: Vec<&str> = choices.trim_end_matches(')').split_whitespace().collect();
            return Attr::Str(choices[self.below(choices.len() as u32) as usize].to_owned());
        }
        if kind == "source_op" {
            let source = SourceOp {
                format: self.text(),
                domain: self.text(),
                name: self.text(),
                overload: self.text(),
                version: self.int(),
                attributes: self.attrs(3),
            };
            return crate::attr::Field::to_attr(&source).unwrap();
        }
        for _ in 0..10_000 {
            let attr = self.attr(0);
            if attr.kind() == kind {
                return attr;
            }
        }
        panic!("no attribute is of kind {kind}")
    }
    fn op(&mut self, kind: OpKind) -> Op {
        let mut attrs = BTreeMap::new();
        for field in &kind.info().fields {
            if field.required || self.flip() {
                attrs.insert(field.name.to_owned(), self.field(field.kind));
            }
        }
        Op::from_attrs(kind, attrs).unwrap()
    }
    fn slots<T: FromIterator<Option<ValueId>>>(&mut self, values: u32) -> T {
        let list = self.many(4, |g| g.flip().then(|| ValueId(g.below(values))));
        list.into_iter().collect()
    }
    fn function(&mut self, ops: &mut dyn Iterator<Item = OpKind>, origins: u32) -> Function {
        self.symbols = self.below(4);
        self.regions = 1 + self.below(3);
        let (values, nodes) = (1 + self.below(12), self.below(12));
        let ids = |g: &mut Self| g.many(4, |g| ValueId(g.below(values)));
        let end = |g: &mut Self| g.flip().then(|| g.int());
        let tensor = |g: &mut Self| g.flip().then(|| TensorId(g.below(g.tensors)));
        let kind = |g: &mut Self| {
            use ArgKindRole::*;
            [Tensor, Int, Float, Bool, Constant][g.below(5) as usize]
        };
        let f = Function {
            name: self.text(),
            symbols: (0..self.symbols)
                .map(|_| Symbol {
                    name: self.text(),
                    range: Range { min: end(self), max: end(self) },
                    why: self.flip().then(|| self.text()),
                })
                .collect(),
            inputs: self.many(3, |g| Input {
                name: g.text(),
                role: match g.below(3) {
                    0 => InputRole::User { default: tensor(g), kind: kind(g) },
                    1 => InputRole::Param(tensor(g)),
                    _ => InputRole::State(tensor(g)),
                },
            }),
            outputs: self.many(3, |g| Output {
                name: g.text(),
                role: match g.below(3) {
                    0 => OutputRole::User(kind(g)),
                    1 => OutputRole::StateUpdate(g.text()),
                    _ => OutputRole::InputUpdate(g.below(9)),
                },
            }),
            body: RegionId(self.below(self.regions)),
            regions: (0..self.regions)
                .map(|_| Region {
                    params: ids(self),
                    nodes: match nodes {
                        0 => Vec::new(),
                        n => self.many(6, |g| NodeId(g.below(n))),
                    },
                    results: ids(self),
                })
                .collect(),
            nodes: (0..nodes)
                .map(|_| Node {
                    op: {
                        let kind = ops.next().unwrap();
                        self.op(kind)
                    },
                    operands: self.slots::<Operands>(values),
                    results: self.slots::<Results>(values),
                    origin: OriginId(self.below(origins)),
                })
                .collect(),
            values: Arena::default(),
        };
        let derived = derived_defs(values as usize, f.regions.values(), f.nodes.values());
        let values = derived.into_iter().map(|derived| {
            let def = match (self.below(4), derived) {
                (1.., Some(def)) => def,
                (0, _) if nodes > 0 => {
                    Def::Result { node: NodeId(self.below(nodes)), index: self.below(4) }
                }
                _ => Def::Param { region: RegionId(self.below(self.regions)), index: 7 },
            };
            Value { ty: self.ty(3), def, name: self.flip().then(|| self.arc()) }
        });
        let values = values.collect();
        Function { values, ..f }
    }
    fn tensor(&mut self) -> Tensor {
        let dtype = self.dtype();
        let dims: Vec<u64> = self.many(3, |g| u64::from(g.below(5)));
        let count: u64 = dims.iter().product();
        let mut bytes = |n: Option<u64>| -> Bytes {
            (0..n.unwrap())
                .map(|_| self.state as u8 ^ self.below(3) as u8)
                .collect::<Vec<_>>()
                .into()
        };
        let storage = match dtype {
            DType::String => {
                Storage::Strings((0..count).map(|_| self.text().into_bytes().into()).collect())
            }
            _ => match bytes(Some(1))[0] % 4 {
                0 => Storage::Splat(bytes(dtype.byte_len(1))),
                1 => Storage::External {
                    path: "folder/weights.bin".into(),
                    offset: 64,
                    length: dtype.byte_len(count).unwrap(),
                },
                _ => Storage::Bytes(bytes(dtype.byte_len(count))),
            },
        };
        Tensor { dtype, dims, storage }
    }
    pub(crate) fn module(&mut self, ops: &mut dyn Iterator<Item = OpKind>) -> Module {
        let origins = 1 + self.below(4);
        let mut module = Module {
            functions: (0..self.functions).map(|_| self.function(ops, origins)).collect(),
            entry: FuncId(self.below(self.functions)),
            tensors: (0..self.tensors).map(|_| self.tensor()).collect(),
            origins: (0..origins)
                .map(|_| match self.below(3) {
                    0 => Origin::Unknown,
                    1 => Origin::Source {
                        format: self.arc(),
                        path: self.arc(),
                        name: self.arc(),
                        op: self.arc(),
                    },
                    _ => Origin::Derived {
                        by: self.arc(),
                        from: self.many(3, |g| OriginId(g.below(origins))),
                    },
                })
                .collect(),
            notes: BTreeMap::new(),
            opsets: self.many(3, |g| (g.text(), g.int())).into_iter().collect(),
        };
        for (id, f) in module.functions.clone().iter() {
            let texts = self.many(2, |g| (g.text(), g.text())).into_iter().collect();
            let value = ValueId(self.below(f.values.len() as u32));
            for about in [Entity::Module, Entity::Func(id), Entity::Value(id, value)] {
                module.notes.insert(about, BTreeMap::clone(&texts));
            }
            module.notes.insert(Entity::Region(id, f.body), texts.clone());
            if !f.nodes.is_empty() {
                module.notes.insert(Entity::Node(id, NodeId(0)), texts);
            }
        }
        module.notes.insert(Entity::Tensor(TensorId(0)), BTreeMap::new());
        module
    }
}

pub(crate) fn any_ops(seed: u64) -> impl Iterator<Item = OpKind> {
    let mut g = Gen::new(seed);
    std::iter::repeat_with(move || OpKind::ALL[g.below(OpKind::ALL.len() as u32) as usize])
}

fn bytes_of(module: &Module) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    write_ir_to(module, &mut out, &WriteOptions::default()).unwrap();
    out.into_inner()
}

fn check(module: &Module) {
    let schema::Contents { program, data } = to_wire(module).unwrap();
    assert_eq!(from_wire(program, &data).as_ref(), Ok(module));
    let bytes = bytes_of(module);
    let read = read_ir_bytes(bytes.clone().into(), &Limits::default()).unwrap();
    assert_eq!(&read, module);
    assert!(bytes_of(&read) == bytes);
}

proptest! {
    #[test]
    fn modules_come_back(seed in any::<u64>()) {
        check(&Gen::new(seed).module(&mut any_ops(seed)));
    }

    #[test]
    fn sizes_come_back(seed in any::<u64>()) {
        let mut g = Gen::new(seed);
        g.symbols = 3;
        let mut module = Module::default();
        let f = module.functions.push(Function::new("f"));
        for name in ["a", "b", "c"] {
            module.functions[f].add_symbol(name, Range::default(), None);
        }
        let dims = (0..20).map(|_| g.expr(6));
        let ty = Type::tensor(DType::F32, dims);
        module.functions[f].add_input("x", ty, InputRole::Param(None));
        check(&module);
    }
}

#[test]
fn every_op_comes_back() {
    for &kind in OpKind::ALL {
        for seed in 0..8 {
            let mut g = Gen::new(u64::from(kind as u32) * 8 + seed);
            check(&g.module(&mut std::iter::repeat(kind)));
        }
    }
}

#[test]
fn files_share_their_bytes() {
    let mut module = Module::default();
    module.functions.push(Function::new("f"));
    let bytes: Bytes = vec![7u8; 100_000].into();
    module.tensors.push(Tensor::from_bytes(DType::U8, vec![100_000], bytes).unwrap());
    let name = format!("airconv-wire-{}.ir", std::process::id());
    let path = std::env::temp_dir().join(name);
    let written = write_ir(&module, &path, &WriteOptions::default()).unwrap();
    for no_mmap in [false, true] {
        let options = ReadOptions { no_mmap, verify_digests: true, ..ReadOptions::default() };
        assert_eq!(read_ir(&path, &options).unwrap(), module);
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(written.blobs, 1);
    let file: Bytes = bytes_of(&module).into();
    let read = read_ir_bytes(file.clone(), &Limits::default()).unwrap();
    let Storage::Bytes(bytes) = &read.tensors[TensorId(0)].storage else { panic!() };
    assert!(file.as_ptr_range().contains(&bytes.as_ptr()));
}

/// A module with one of everything that can be referred to.
fn small() -> w::Program {
    let mut module = Module::default();
    let f = module.functions.push(Function::new("f"));
    let t = Tensor::from_bytes(DType::F32, vec![2], vec![0; 8].into()).unwrap();
    module.tensors.push(t);
    let f = &mut module.functions[f];
    let n = f.add_symbol("n", Range::default(), None);
    let ty = Type::tensor(DType::F32, [Dim::symbol(n)]);
    let x = f.add_input("x", ty.clone(), InputRole::Param(Some(TensorId(0))));
    let op = Op::from_attrs(
        OpKind::Reshape,
        BTreeMap::from([("dims".to_owned(), Attr::Dims(vec![Dim::symbol(n)]))]),
    );
    let operands = Operands::from_slice(&[Some(x)]);
    let node = f.add_node(f.body, op.unwrap(), operands, [Some(ty)], OriginId(0));
    let y = f.nodes[node].result(0).unwrap();
    f.add_output("y", y, OutputRole::User(ArgKindRole::Tensor));
    module.note(Entity::Module, "k", "v");
    module.origins.push(Origin::Unknown);
    to_wire(&module).unwrap().program
}

#[test]
fn every_error() {
    let data = [Bytes::from(vec![0u8; 8])];
    assert!(from_wire(small(), &data).is_ok());
    let fails = |label: &str, edit: &dyn Fn(&mut w::Program)| {
        let mut program = small();
        edit(&mut program);
        let error = from_wire(program, &data).expect_err(label).to_string();
        assert_eq!(&error[..label.len()], label, "{error}");
    };
    fails("C-300", &|p| p.entry = 1);
    fails("C-300", &|p| p.functions.clear());

    fails("C-301: function `f` refers to region 9", &|p| p.functions[0].body = 9);
    fails("C-301: node 0", &|p| p.functions[0].nodes[0].op = 9);
    fails("C-301: node 0", &|p| p.functions[0].nodes[0].operands[0] = Some(9));
    fails("C-301: node 0", &|p| p.functions[0].nodes[0].results[0] = Some(9));
    fails("C-301: node 0", &|p| p.functions[0].nodes[0].origin = 9);
    fails("C-301: a region", &|p| p.functions[0].regions[0].params[0] = 9);
    fails("C-301: a region", &|p| p.functions[0].regions[0].nodes[0] = 9);
    fails("C-301: a region", &|p| p.functions[0].regions[0].results[0] = u32::MAX);
    fails("C-301: value 0", &|p| p.functions[0].values[0].ty = 9);
    fails("C-301: value 0", &|p| p.functions[0].values[0].name = Some(9));
    fails("C-301: value 0", &|p| p.functions[0].values[0].def = Some(w::Def::Param((9, 0))));
    fails("C-301: value 1", &|p| p.functions[0].values[1].def = Some(w::Def::Result((9, 0))));
    fails("C-301: input `x`", &|p| p.functions[0].inputs[0].role = w::InputRole::Param(Some(9)));
    fails("C-301: node 0", &|p| p.functions[0].symbols.clear());
    fails("C-301: a type", &|p| {
        p.functions[0].symbols.clear();
        p.functions[0].nodes[0].attrs.0.insert("dims".into(), w::Attr::Dims(vec![]));
    });
    fails("C-301: a note", &|p| p.notes[0].about = w::About::Node((0, 9)));
    fails("C-301: a note", &|p| p.notes[0].about = w::About::Func(9));
    fails("C-301: tensor 0", &|p| p.tensors[0].storage = w::Storage::Blob(1));
    let derived = |from| w::Origin::Derived(w::Derived { by: 0, from });
    fails("C-301: an origin", &|p| p.origins[0] = derived(vec![9]));
    let attr = |p: &mut w::Program, attr| {
        let attrs = &mut p.functions[0].nodes[0].attrs.0;
        attrs.insert("dims".into(), attr);
    };
    for bad in [w::Attr::Tensor(9), w::Attr::Region(9), w::Attr::Func(9)] {
        fails("C-301: node 0", &|p| attr(p, w::Attr::List(vec![bad.clone()])));
    }

    fails("C-302: unknown ops: shiny, new", &|p| {
        p.ops.extend(["shiny".to_owned(), "new".to_owned()]);
    });
    fails("C-303: node 0 of function `f`, op `reshape`: field `dims` wants dims, not ints", &|p| {
        attr(p, w::Attr::Ints(vec![]));
    });
    fails("C-303", &|p| p.functions[0].nodes[0].attrs.0.clear());
    fails("C-303", &|p| {
        p.functions[0].nodes[0].attrs.0.insert("more".into(), w::Attr::Int(1));
    });
    fails("C-304: `f33` is not a dtype", &|p| p.tensors[0].dtype = "f33".into());
    fails("C-304", &|p| p.functions[0].types[0] = w::Type::Unranked("F32".into()));

    fails("C-305", &|p| p.tensors[0].shape = vec![3]);
    fails("C-305", &|p| p.tensors[0].shape = vec![1 << 63, 4, 0]);
    fails("C-305", &|p| p.tensors[0].shape = vec![u64::MAX]);
    fails("C-305", &|p| p.tensors[0].dtype = "string".into());
    fails("C-305", &|p| p.tensors[0].storage = w::Storage::Strings(vec![]));
    let splat = |n| w::Storage::Splat(schema::Bin(vec![0; n].into()));
    fails("C-305", &|p| p.tensors[0].storage = splat(8));
    let external = |path: &str, offset| {
        w::Storage::External(w::External { path: path.into(), offset, length: 8 })
    };
    fails("C-305", &|p| p.tensors[0].storage = external("a", u64::MAX));
    for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "C:/a", "a\\b", "a\0"] {
        fails("C-306", &|p| p.tensors[0].storage = external(path, 0));
    }

    fails("C-307", &|p| p.functions[0].values.push(w::Value { ty: 0, name: None, def: None }));

    let sum = |terms: Vec<w::Term>| w::Attr::Dim(w::Dim::Sum(terms));
    let term = |atom| w::Term { coeff: 1, atoms: vec![atom] };
    let by_zero = w::Atom::FloorDiv((w::Dim::Known(1), w::Dim::Known(0)));
    fails("C-308", &|p| attr(p, sum(vec![term(by_zero.clone())])));
    fails("C-308", &|p| attr(p, sum(vec![term(w::Atom::Min(vec![w::Dim::Any]))])));
    fails("C-308", &|p| attr(p, sum(vec![term(w::Atom::Symbol(0)); 65])));
    fails("C-308", &|p| {
        let deep = (0..40).fold(w::Dim::Known(0), |d, _| {
            w::Dim::Sum(vec![term(w::Atom::Mod((d, w::Dim::Known(7))))])
        });
        attr(p, w::Attr::Dim(deep));
    });
    fails("C-308", &|p| {
        let power = w::Term { coeff: 1, atoms: vec![w::Atom::Symbol(0); 257] };
        attr(p, sum(vec![power]));
    });
    fails("C-309", &|p| p.notes.push(p.notes[0].clone()));
    fails("C-203", &|p| {
        attr(p, (0..200).fold(w::Attr::Int(0), |a, _| w::Attr::List(vec![a])));
    });
    fails("C-203", &|p| {
        let deep = (0..200).fold(w::Type::Unknown, |t, _| w::Type::Sequence(Box::new(t)));
        p.functions[0].types[0] = deep;
    });
}

/// What could not be read again is not written.
#[test]
fn every_error_when_writing() {
    assert!(matches!(to_wire(&Module::default()), Err(WireError::NoEntry { entry: 0, count: 0 })));
    let good = from_wire(small(), &[Bytes::from(vec![0u8; 8])]).unwrap();
    let fails = |label: &str, edit: &dyn Fn(&mut Module)| {
        let mut module = good.clone();
        edit(&mut module);
        let error =
            match write_ir_to(&module, &mut Cursor::new(Vec::new()), &WriteOptions::default()) {
                Err(IrError::Wire(error)) => error.to_string(),
                other => panic!("{label}: {other:?}"),
            };
        assert_eq!(&error[..label.len()], label, "{error}");
    };
    fails("C-301: a note", &|m| m.note(Entity::Func(FuncId(3)), "k", "v"));
    fails("C-301: node n0", &|m| m.functions[FuncId(0)].nodes[NodeId(0)].origin = OriginId(5));
    fails("C-305", &|m| m.tensors[TensorId(0)].dims = vec![5]);
    let external = Storage::External { path: "/w".into(), offset: 0, length: 8 };
    fails("C-306", &|m| m.tensors[TensorId(0)].storage = external.clone());
    fails("C-203", &|m| {
        let deep = (0..200).fold(Type::Unknown, |t, _| Type::Sequence(Box::new(t)));
        m.functions[FuncId(0)].values[ValueId(0)].ty = deep;
    });
}

/// `AIRCONV_SPEED=1000000`: a chain of so many nodes.
#[test]
#[allow(clippy::print_stdout)]
fn speed() {
    let Some(count) = std::env::var("AIRCONV_SPEED").ok().and_then(|v| v.parse::<u32>().ok())
    else {
        return;
    };
    let mut module = Module::default();
    let id = module.functions.push(Function::new("f"));
    let f = &mut module.functions[id];
    let ty = Type::tensor(DType::F32, [Dim::Known(2), Dim::Known(3)]);
    let mut x = f.add_input("x", ty.clone(), InputRole::Param(None));
    for i in 0..count {
        let dims = Attr::Dims(vec![Dim::Known(2), Dim::Known(3)]);
        let op = Op::from_attrs(OpKind::Reshape, BTreeMap::from([("dims".to_owned(), dims)]));
        let body = f.body;
        let operands = Operands::from_slice(&[Some(x)]);
        let node = f.add_node(body, op.unwrap(), operands, [Some(ty.clone())], OriginId(0));
        x = f.nodes[node].result(0).unwrap();
        f.values[x].name = Some(format!("value_{i}").into());
        module.origins.push(Origin::Source {
            format: "onnx".into(),
            path: format!("graph/value_{i}").into(),
            name: format!("value_{i}").into(),
            op: "Reshape".into(),
        });
    }
    let start = std::time::Instant::now();
    let bytes = bytes_of(&module);
    let (wrote, size) = (start.elapsed(), bytes.len());
    let start = std::time::Instant::now();
    let read = read_ir_bytes(bytes.into(), &Limits::default()).unwrap();
    println!("{count} nodes, {size} bytes: write {wrote:?}, read {:?}", start.elapsed());
    assert!(read == module);
}
