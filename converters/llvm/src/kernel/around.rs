//! One expression of a kernel within code that others emit.

use airconv_kernel::analysis::free;
use airconv_kernel::ir::{ExprId, Kernel, LocalId, Var};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Emitter, Lanes, Result, Scope, Value};
use crate::emit::Function;
use crate::target::Isa;

/// What surrounds the code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// The address of the [`super::Context`], and of the values that follow it.
    pub context: &'a str,
    /// The counters: a value, or which of the values after the context it is. That of the lanes
    /// is the value of the first lane.
    pub counters: &'a [(Var, std::result::Result<&'a str, usize>)],
    /// The counter whose iterations are lanes.
    pub lanes: Var,
    /// Which lanes are alive, at least one; all when absent.
    pub mask: Option<&'a str>,
    /// A local and its value, one per lane.
    pub sum: (LocalId, &'a str),
}

/// Emits an expression and gives its value, one per lane.
pub(crate) fn emit_value(
    kernel: &Kernel,
    value: ExprId,
    isa: Isa,
    f: &mut Function,
    around: &Around<'_>,
) -> Result<String> {
    let mut frees = free(kernel);
    // The local has another value in each lane, and never a new one.
    for free in &mut frees {
        if !free.locals.is_empty() {
            free.locals.clear();
            if let Err(at) = free.counters.binary_search(&around.lanes) {
                free.counters.insert(at, around.lanes);
            }
        }
    }
    let used = frees[value.0 as usize].clone();
    let mut inner = Function::new("");
    std::mem::swap(f, &mut inner);
    let mut e = Emitter {
        kernel,
        f: inner,
        isa,
        params: vec![String::new(); kernel.params.len()],
        sizes: vec![String::new(); kernel.sizes as usize],
        locals: vec![String::new(); kernel.locals.len()],
        status: String::new(),
        mutable: FxHashSet::default(),
        counters: FxHashMap::default(),
        depth: around.counters.iter().map(|(v, _)| *v).collect(),
        scopes: vec![Scope::default()],
        lanes: None,
        powers: false,
        free: Vec::new(),
    };
    if !used.loads.is_empty() {
        let buffers = e.f.value(format_args!("load ptr, ptr {}, align 8", around.context));
        for &p in &used.loads {
            let place = e.f.at("ptr", &buffers, p);
            e.params[p as usize] = e.f.value(format_args!("load ptr, ptr {place}, align 8"));
        }
    }
    if kernel.sizes > 0 {
        let place = e.f.at("ptr", around.context, 1);
        let sizes = e.f.value(format_args!("load ptr, ptr {place}, align 8"));
        for i in 0..kernel.sizes {
            let place = e.f.at("i64", &sizes, i);
            e.sizes[i as usize] = e.f.value(format_args!("load i64, ptr {place}, align 8"));
        }
    }
    for (var, found) in around.counters {
        let name = match found {
            Ok(name) => (*name).to_owned(),
            Err(_) if used.counters.binary_search(var).is_err() => continue,
            Err(i) => {
                let place = e.f.at("i64", around.context, i + 3);
                e.f.value(format_args!("load i64, ptr {place}, align 8"))
            }
        };
        e.counters.insert(*var, name);
    }
    e.free = frees;
    let (local, name) = around.sum;
    for (i, expr) in kernel.exprs.iter().enumerate() {
        if matches!(expr, airconv_kernel::ir::Expr::Local(l) if *l == local) {
            e.scopes[0].exprs.insert(ExprId(i as u32), Value::varying(name));
        }
    }
    e.lanes = Some(Lanes {
        var: around.lanes,
        count: isa.f32_lanes(),
        first: e.counters.get(&around.lanes).cloned().unwrap_or_default(),
        mask: around.mask.map(str::to_owned),
        alive: true,
    });
    let made = e.expr(value).map(|v| e.spread(&v, kernel.ty(value)));
    std::mem::swap(f, &mut e.f);
    if e.powers {
        return Err(super::Refused("integer powers around a product".to_owned()));
    }
    made
}
