//! Walks over statements.

use super::{Arg, Block, Call, Loop, Path, Stmt, Var};
use airconv_ir::dim::Dim;

impl Call {
    /// The tensors that it reads, in order.
    pub fn vars(&self) -> impl Iterator<Item = Var> + '_ {
        self.args.iter().flat_map(|arg| {
            let (one, list): (Option<Var>, &[Var]) = match arg {
                Arg::Tensor(v) => (Some(*v), &[]),
                Arg::Maybe(v) => (*v, &[]),
                Arg::Tensors(list) => (None, list),
                _ => (None, &[]),
            };
            one.into_iter().chain(list.iter().copied())
        })
    }
    /// The sizes that it names.
    pub fn dims(&self) -> impl Iterator<Item = &Dim> + '_ {
        self.args.iter().flat_map(|arg| match arg {
            Arg::Size(d) | Arg::Index(d) => std::slice::from_ref(d),
            Arg::Shape(list) => list.as_slice(),
            _ => &[],
        })
    }
}

impl Stmt {
    /// Where it belongs.
    pub fn path(&self) -> &Path {
        match self {
            Self::Let { path, .. }
            | Self::Sizes { path, .. }
            | Self::Assert { path, .. }
            | Self::If { path, .. } => path,
            Self::Loop(l) => &l.path,
        }
    }
    /// The values that it makes for what comes after it.
    pub fn made(&self) -> &[Var] {
        match self {
            Self::Let { vars, .. } | Self::If { vars, .. } => vars,
            Self::Sizes { .. } | Self::Assert { .. } => &[],
            Self::Loop(l) => &l.vars,
        }
    }
    /// The blocks within.
    pub fn blocks(&self) -> Vec<&Block> {
        match self {
            Self::If { then, other, .. } => vec![then, other],
            Self::Loop(l) => vec![&l.block],
            _ => Vec::new(),
        }
    }
    /// Calls `f` with each value that it reads itself, not within its blocks.
    pub fn reads(&self, f: &mut dyn FnMut(Var)) {
        match self {
            Self::Let { call, .. } => call.vars().for_each(f),
            Self::Sizes { x, .. } => f(*x),
            Self::Assert { condition, .. } | Self::If { condition, .. } => f(*condition),
            Self::Loop(l) => l.reads(f),
        }
    }
    /// Calls `f` with each value that it or its blocks read, those made within the blocks too.
    pub fn reads_all(&self, f: &mut dyn FnMut(Var)) {
        self.reads(f);
        for block in self.blocks() {
            block.reads_all(f);
        }
    }
    /// Whether it does something besides making values.
    pub fn acts(&self) -> bool {
        match self {
            Self::Sizes { .. } | Self::Assert { .. } => true,
            Self::Let { .. } => false,
            Self::If { .. } | Self::Loop(_) => {
                self.blocks().iter().any(|b| b.stmts.iter().any(Stmt::acts))
            }
        }
    }
}

impl Loop {
    fn reads(&self, f: &mut dyn FnMut(Var)) {
        let first = self.trips.iter().chain(&self.condition);
        first.chain(&self.initial).for_each(|v| f(*v));
    }
}

impl Block {
    /// Calls `f` with each value that the statements and the results read.
    pub fn reads_all(&self, f: &mut dyn FnMut(Var)) {
        for stmt in &self.stmts {
            stmt.reads_all(f);
        }
        self.results.iter().for_each(|v| f(*v));
    }
    /// Takes out the statements whose values nobody reads.
    pub fn sweep(&mut self, live: &mut rustc_hash::FxHashSet<Var>) {
        live.extend(&self.results);
        let mut kept = Vec::with_capacity(self.stmts.len());
        for mut stmt in std::mem::take(&mut self.stmts).into_iter().rev() {
            if !stmt.acts() && !stmt.made().iter().any(|v| live.contains(v)) {
                continue;
            }
            match &mut stmt {
                Stmt::If { then, other, .. } => {
                    then.sweep(live);
                    other.sweep(live);
                }
                Stmt::Loop(l) => l.block.sweep(live),
                _ => {}
            }
            stmt.reads(&mut |v| {
                live.insert(v);
            });
            kept.push(stmt);
        }
        kept.reverse();
        self.stmts = kept;
    }
}
