//! Operators that a program names and that nothing is known of: all at once, before they are
//! found one by one.

use std::collections::BTreeSet;

use crate::common::schema::{Schema, Ty, schemas};
use crate::import::rules::find_functional;
use crate::script::Script;
use crate::script::syntax::ast::{Expr, ExprKind, Function, Stmt, StmtKind};

/// The operators that the source names, that give tensors, and that have no rule. What is never
/// run may be among them.
pub(crate) fn operators_without_rules(script: &Script) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in &script.sources {
        let methods = source.classes.iter().flat_map(|c| &c.methods);
        for function in methods.chain(&source.functions) {
            in_function(function, &mut names);
        }
    }
    names.retain(|name| !is_known(name));
    names.into_iter().map(|name| name.replace("::", ".")).collect()
}

fn is_known(name: &str) -> bool {
    let mut overloads = schemas().overloads(name).peekable();
    // What gives no tensors is computed while the program is read.
    overloads.peek().is_some()
        && overloads.any(|s| !gives_tensors(s) || find_functional(name, &s.overload).is_some())
}

fn gives_tensors(schema: &Schema) -> bool {
    let is_tensor = |ty: &Ty| match ty {
        Ty::Tensor => true,
        Ty::List(element, _) => **element == Ty::Tensor,
        _ => false,
    };
    schema.returns.iter().any(|r| is_tensor(&r.ty))
}

/// The name of an operator, `aten::add`, of what is called.
fn operator(callee: &Expr) -> Option<String> {
    let dotted = callee.dotted()?;
    match dotted.strip_prefix("torch.") {
        Some(name) => Some(format!("aten::{}", name.replace('.', "::"))),
        None => Some(dotted.strip_prefix("ops.")?.replacen('.', "::", 1)),
    }
}

fn in_function(function: &Function, names: &mut BTreeSet<String>) {
    in_block(&function.body, names);
}

fn in_block(block: &[Stmt], names: &mut BTreeSet<String>) {
    for stmt in block {
        match &stmt.kind {
            StmtKind::Assign { target, value, .. } => {
                in_expr(target, names);
                in_expr(value, names);
            }
            StmtKind::Expr(e) | StmtKind::Return(Some(e)) => in_expr(e, names),
            StmtKind::If(condition, then, otherwise) => {
                in_expr(condition, names);
                in_block(then, names);
                in_block(otherwise, names);
            }
            StmtKind::For { over, body, .. } => {
                in_expr(over, names);
                in_block(body, names);
            }
            StmtKind::While(condition, body) => {
                in_expr(condition, names);
                in_block(body, names);
            }
            StmtKind::With(managers, body) => {
                managers.iter().for_each(|(e, _)| in_expr(e, names));
                in_block(body, names);
            }
            StmtKind::Assert(condition, _) => in_expr(condition, names),
            StmtKind::Function(function) => in_function(function, names),
            StmtKind::Return(None) | StmtKind::Pass | StmtKind::Break | StmtKind::Continue => {}
        }
    }
}

fn in_expr(expr: &Expr, names: &mut BTreeSet<String>) {
    let mut all = |exprs: &[Expr]| exprs.iter().for_each(|e| in_expr(e, names));
    match &expr.kind {
        ExprKind::Call(callee, args, named) => {
            all(args);
            named.iter().for_each(|(_, e)| in_expr(e, names));
            match operator(callee) {
                Some(name) => drop(names.insert(name)),
                None => in_expr(callee, names),
            }
        }
        ExprKind::List(items) | ExprKind::Tuple(items) => all(items),
        ExprKind::Dict(pairs) => pairs.iter().for_each(|(k, v)| {
            in_expr(k, names);
            in_expr(v, names);
        }),
        ExprKind::Attr(of, _) | ExprKind::Unary(_, of) => in_expr(of, names),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
            in_expr(a, names);
            in_expr(b, names);
        }
        ExprKind::Slice(a, b, c) => {
            [a, b, c].into_iter().flatten().for_each(|e| in_expr(e, names));
        }
        ExprKind::Ternary(a, b, c) => [a, b, c].into_iter().for_each(|e| in_expr(e, names)),
        ExprKind::Name(_)
        | ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Imaginary(_)
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::None
        | ExprKind::Ellipsis => {}
    }
}
