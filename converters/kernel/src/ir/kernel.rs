//! Kernels: loop nests over buffers.

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;
use rustc_hash::FxHashMap;

use super::expr::{BinOp, Expr, ExprId, LocalId, UnOp, Var};
use super::types::{Const, Elem, Scalar};

/// What a kernel does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Loads only.
    Read,
    /// Stores only.
    Write,
    /// Both.
    ReadWrite,
}

/// A buffer parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Param {
    /// Its elements.
    pub elem: Elem,
    /// What is done with it.
    pub access: Access,
}

/// What an index variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarDef {
    /// A size given at launch, by position.
    Size(u32),
    /// A loop or reduction counter.
    Counter,
    /// The value of an `I64` expression, where the variable is used.
    Value(ExprId),
}

/// How a loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoopKind {
    /// In order.
    Serial,
    /// Iterations are independent: any order, any number at a time.
    Independent,
    /// Independent, and worth vector instructions: the innermost loop of a nest.
    Vector,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Stmt {
    /// A loop from 0 to the extent.
    For {
        /// The counter.
        var: Var,
        /// How often it runs; never when it is not positive.
        extent: Dim,
        /// How it runs.
        kind: LoopKind,
        /// What it runs.
        body: Vec<Stmt>,
    },
    /// Stores a value, narrowed to the element as its [`Elem`] says.
    Store {
        /// The parameter.
        param: u32,
        /// The element.
        at: Dim,
        /// The value.
        value: ExprId,
    },
    /// Gives a local a value.
    Set {
        /// The local.
        local: LocalId,
        /// Its new value, computed before.
        value: ExprId,
    },
    /// Runs one of two lists.
    If {
        /// The condition.
        cond: ExprId,
        /// Where it holds.
        then: Vec<Stmt>,
        /// Elsewhere.
        otherwise: Vec<Stmt>,
    },
    /// Runs a list as long as a condition, computed anew each time, holds.
    While {
        /// The condition.
        cond: ExprId,
        /// What it runs.
        body: Vec<Stmt>,
    },
}

/// A loop nest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Kernel {
    /// For people; equal kernels may be called differently.
    pub name: String,
    /// The buffers.
    pub params: Vec<Param>,
    /// The number of sizes given at launch.
    pub sizes: u32,
    /// The index variables; a [`Var`] is an index into this list.
    pub vars: Vec<VarDef>,
    /// The types of the locals, which start at zero.
    pub locals: Vec<Scalar>,
    /// The expressions, each once, operands first.
    pub exprs: Vec<Expr>,
    /// What it does.
    pub body: Vec<Stmt>,
}

impl Kernel {
    /// An expression.
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    /// The type of an expression.
    pub fn ty(&self, id: ExprId) -> Scalar {
        match self.expr(id) {
            Expr::Const(c) => c.ty,
            Expr::Index(_) => Scalar::I64,
            Expr::Load { param, .. } => self.params[*param as usize].elem.scalar(),
            Expr::Local(l) => self.locals[l.0 as usize],
            Expr::Unary(UnOp::IsNan, _) => Scalar::Bool,
            Expr::Unary(_, x) | Expr::Narrow(_, x) => self.ty(*x),
            Expr::Binary(op, a, _) => {
                if op.compares() {
                    Scalar::Bool
                } else {
                    self.ty(*a)
                }
            }
            Expr::Select(_, a, _) | Expr::Guard(_, a, _) => self.ty(*a),
            Expr::Cast(ty, _) | Expr::Bitcast(ty, _) => *ty,
            Expr::Reduce { x, .. } | Expr::Check { x, .. } => self.ty(*x),
        }
    }

    /// The outermost loop when it is independent and the only statement: what threads share.
    pub fn grid(&self) -> Option<(Var, &Dim, &[Stmt])> {
        match &self.body[..] {
            [Stmt::For { var, extent, kind, body }] if *kind != LoopKind::Serial => {
                Some((*var, extent, body))
            }
            _ => None,
        }
    }

    /// The value that a reduction of nothing has.
    pub fn neutral(kind: ReduceKind, ty: Scalar) -> Const {
        match kind {
            ReduceKind::Sum => Const::from_i128(ty, 0),
            ReduceKind::Prod => Const::from_i128(ty, 1),
            ReduceKind::And => Const::bool(true),
            ReduceKind::Or => Const::bool(false),
            ReduceKind::Max => match ty {
                Scalar::F32 | Scalar::F64 => Const::from_f64(ty, f64::NEG_INFINITY),
                _ if ty.is_signed() => Const::from_i128(ty, -(1i128 << (ty.bits() - 1))),
                _ => Const::from_i128(ty, 0),
            },
            ReduceKind::Min => match ty {
                Scalar::F32 | Scalar::F64 => Const::from_f64(ty, f64::INFINITY),
                _ if ty.is_signed() => Const::from_i128(ty, (1i128 << (ty.bits() - 1)) - 1),
                _ => Const::from_i128(ty, -1),
            },
        }
    }

    /// The operation that a reduction repeats.
    pub fn combine(kind: ReduceKind) -> BinOp {
        match kind {
            ReduceKind::Sum => BinOp::Add,
            ReduceKind::Prod => BinOp::Mul,
            ReduceKind::Max => BinOp::Max,
            ReduceKind::Min => BinOp::Min,
            ReduceKind::And => BinOp::And,
            ReduceKind::Or => BinOp::Or,
        }
    }
}

/// Makes a kernel; equal expressions become one.
#[derive(Clone, Debug, Default)]
pub struct KernelBuilder {
    /// The kernel so far.
    pub kernel: Kernel,
    interned: FxHashMap<Expr, ExprId>,
}

impl KernelBuilder {
    /// An empty kernel.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            kernel: Kernel { name: name.into(), ..Kernel::default() },
            interned: FxHashMap::default(),
        }
    }

    /// Adds an expression, or finds it.
    pub fn add(&mut self, expr: Expr) -> ExprId {
        if let Some(&id) = self.interned.get(&expr) {
            return id;
        }
        let id = ExprId(self.kernel.exprs.len() as u32);
        self.kernel.exprs.push(expr.clone());
        self.interned.insert(expr, id);
        id
    }

    /// A new buffer parameter.
    pub fn param(&mut self, elem: Elem, access: Access) -> u32 {
        self.kernel.params.push(Param { elem, access });
        self.kernel.params.len() as u32 - 1
    }

    /// A new counter.
    pub fn counter(&mut self) -> Var {
        self.var(VarDef::Counter)
    }

    /// A new variable.
    pub fn var(&mut self, def: VarDef) -> Var {
        self.kernel.vars.push(def);
        airconv_ir::entity::SymbolId(self.kernel.vars.len() as u32 - 1)
    }

    /// The next size parameter.
    pub fn size(&mut self) -> Var {
        let position = self.kernel.sizes;
        self.kernel.sizes += 1;
        self.var(VarDef::Size(position))
    }

    /// A new local variable.
    pub fn local(&mut self, ty: Scalar) -> LocalId {
        self.kernel.locals.push(ty);
        LocalId(self.kernel.locals.len() as u32 - 1)
    }

    /// The type of an expression.
    pub fn ty(&self, id: ExprId) -> Scalar {
        self.kernel.ty(id)
    }

    /// A constant.
    pub fn constant(&mut self, c: Const) -> ExprId {
        self.add(Expr::Const(c))
    }

    /// The value of an index expression.
    pub fn index(&mut self, dim: Dim) -> ExprId {
        match dim.as_known() {
            Some(k) => self.constant(Const::from_i128(Scalar::I64, k.into())),
            None => self.add(Expr::Index(dim)),
        }
    }

    /// An index variable that has the value of an `I64` expression.
    pub fn index_of(&mut self, x: ExprId) -> Dim {
        match self.kernel.expr(x) {
            Expr::Index(d) => d.clone(),
            Expr::Const(c) => Dim::Known(c.bits as i64),
            _ => {
                let found = self.kernel.vars.iter().position(|d| *d == VarDef::Value(x));
                let var = match found {
                    Some(i) => airconv_ir::entity::SymbolId(i as u32),
                    None => self.var(VarDef::Value(x)),
                };
                Dim::symbol(var)
            }
        }
    }

    /// A load.
    pub fn load(&mut self, param: u32, at: Dim) -> ExprId {
        self.add(Expr::Load { param, at })
    }

    /// A unary operation.
    pub fn unary(&mut self, op: UnOp, x: ExprId) -> ExprId {
        self.add(Expr::Unary(op, x))
    }

    /// A binary operation.
    pub fn binary(&mut self, op: BinOp, a: ExprId, b: ExprId) -> ExprId {
        self.add(Expr::Binary(op, a, b))
    }

    /// A cast; none when the type is the same.
    pub fn cast(&mut self, to: Scalar, x: ExprId) -> ExprId {
        if self.ty(x) == to { x } else { self.add(Expr::Cast(to, x)) }
    }
}
