//! What the computed sizes of a program are at most.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_ir::module::Module;

use crate::ir::{Access, BufferId, BufferKind, Expr, ExprId, Kernel, Program, Step, Stmt, VarDef};

/// The greatest values of sizes: their declared bounds, and for what a loop stacks the greatest
/// number of its rounds.
pub(super) fn of(program: &Program, module: &Module) -> BTreeMap<SymbolId, Dim> {
    let mut limits = BTreeMap::new();
    for (i, size) in program.sizes.iter().enumerate() {
        if let Some(max) = size.range.max {
            limits.insert(SymbolId(i as u32), Dim::Known(max));
        }
    }
    let mut values = BTreeMap::new();
    for (i, buffer) in program.buffers.iter().enumerate() {
        let BufferKind::Constant(id) = buffer.kind else { continue };
        let tensor = &module.tensors[id];
        if tensor.dtype.is_integer() && tensor.numel() == Some(1) {
            let number = tensor.to_array().ok().and_then(|a| a.to_i64s());
            if let Some([k]) = number.as_deref() {
                values.insert(BufferId(i as u32), Dim::Known(*k));
            }
        }
    }
    steps(program, &program.steps, &mut values, &mut limits);
    limits
}

/// Follows the steps. `values` are the single integers that buffers hold.
fn steps(
    program: &Program,
    list: &[Step],
    values: &mut BTreeMap<BufferId, Dim>,
    limits: &mut BTreeMap<SymbolId, Dim>,
) {
    for step in list {
        match step {
            Step::Launch(l) => {
                let kernel = program.kernel(l.kernel);
                for (i, (b, p)) in l.buffers.iter().zip(&kernel.params).enumerate() {
                    if p.access == Access::Read {
                        continue;
                    }
                    values.remove(b);
                    if let Some(value) = stored(kernel, i as u32, &l.sizes) {
                        values.insert(*b, value);
                    }
                }
            }
            Step::Alias { to, from } => match values.get(from).cloned() {
                Some(value) => drop(values.insert(*to, value)),
                None => drop(values.remove(to)),
            },
            Step::If { then, otherwise, .. } => {
                steps(program, then, &mut values.clone(), limits);
                steps(program, otherwise, &mut values.clone(), limits);
            }
            Step::Loop(l) => {
                if let Some(trips) = l.trips.and_then(|b| values.get(&b)) {
                    for (_, all) in &l.stacked {
                        let count = program.buffer(*all).shape.first().and_then(Dim::as_symbol);
                        if let Some(s) = count {
                            let most = Dim::max_all([trips.clone(), Dim::Known(0)]);
                            limits.entry(s).or_insert(most);
                        }
                    }
                }
                steps(program, &l.body, &mut values.clone(), limits);
            }
            _ => {}
        }
    }
}

/// The integer that a kernel stores as the only element of a parameter, over the sizes of its
/// launch.
fn stored(kernel: &Kernel, param: u32, sizes: &[Dim]) -> Option<Dim> {
    let [Stmt::Store { param: to, at, value }] = &kernel.body[..] else { return None };
    if *to != param || at.as_known() != Some(0) {
        return None;
    }
    fn number(kernel: &Kernel, x: ExprId) -> Option<Dim> {
        match kernel.expr(x) {
            Expr::Index(d) => Some(d.clone()),
            Expr::Const(c) => c.as_int().and_then(|k| i64::try_from(k).ok()).map(Dim::Known),
            Expr::Cast(to, x) if to.bits() == 64 && to.is_int() => number(kernel, *x),
            _ => None,
        }
    }
    let mut whole = true;
    let found = number(kernel, *value)?.substitute(&mut |v| match kernel.vars.get(v.0 as usize) {
        Some(VarDef::Size(n)) => sizes.get(*n as usize).cloned(),
        _ => {
            whole = false;
            None
        }
    });
    whole.then_some(found)
}
