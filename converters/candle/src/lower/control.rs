//! Rules of the control family.

use airconv_ir::entity::RegionId;
use airconv_ir::op::{Op, OpKind};
use airconv_ir::types::Type;

use super::cx::{Cx, Refuse, other};
use super::rules::Rule;
use crate::program::calls::CLONE;
use crate::program::{Block, Call, Callee, Loop, Source, Stmt, Var};

pub(super) const RULES: &[(OpKind, Rule)] =
    &[(OpKind::If, branch), (OpKind::Loop, repeat), (OpKind::Assert, assert)];

/// Results must be tensors of a dtype that candle holds.
fn results(cx: &mut Cx<'_, '_>) -> Result<Vec<Var>, Refuse> {
    let mut vars = Vec::new();
    for slot in 0..cx.node.results.len() {
        vars.push(match cx.node.result(slot) {
            Some(v) => cx.l.var_of(v, Source::Made)?,
            None => return Refuse::because("a result is left out"),
        });
    }
    Ok(vars)
}

/// The statements of a region whose parameters stand for these variables.
fn block(cx: &mut Cx<'_, '_>, region: RegionId, args: &[Var]) -> Result<Block, Refuse> {
    let mut renamed = Vec::new();
    for (&param, &arg) in cx.l.f().regions[region].params.iter().zip(args) {
        let own = cx.l.f().ty(param).as_tensor().map(|t| t.shape.to_vec());
        if own.is_some_and(|shape| shape != cx.info(arg).shape) {
            // The region has names of its own for the sizes.
            let var = cx.l.var_of(param, Source::Made)?;
            let call = Call { callee: Callee::Func(&CLONE), args: vec![arg.into()] };
            renamed.push(Stmt::Let { vars: vec![var], call, path: cx.l.path() });
        } else {
            cx.l.bind(param, arg);
        }
    }
    let mut block = cx.l.block(region)?;
    block.stmts.splice(0..0, renamed);
    Ok(block)
}

fn branch<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::If(i) = op else { return other() };
    let condition = cx.x(0)?;
    let mut captures = Vec::new();
    for slot in 1..cx.node.operands.len() {
        captures.push(cx.x(slot)?);
    }
    let path = cx.l.path();
    if cx.l.is_probing() {
        return results(cx).map(drop);
    }
    let then = block(cx, i.then_branch, &captures)?;
    let other = block(cx, i.else_branch, &captures)?;
    let vars = results(cx)?;
    cx.l.stmt(Stmt::If { condition, then, other, vars, path });
    Ok(())
}

fn repeat<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Loop(l) = op else { return other() };
    let trips = cx.opt(0)?;
    let condition = cx.opt(1)?;
    let mut values = Vec::new();
    for slot in 2..cx.node.operands.len() {
        values.push(cx.x(slot)?);
    }
    let path = cx.l.path();
    if cx.l.is_probing() {
        return results(cx).map(drop);
    }
    let Ok(carried) = usize::try_from(l.carried) else { return other() };
    let captures = values.split_off(carried.min(values.len()));
    let params = cx.l.f().regions[l.body].params.clone();
    let mut inside = Vec::new();
    for &param in params.iter().take(2 + carried) {
        let Type::Tensor(_) = cx.l.f().ty(param) else {
            return Refuse::because("it carries what is no tensor");
        };
        inside.push(cx.l.var_of(param, Source::Param)?);
    }
    let [trip, holds, own @ ..] = &inside[..] else { return other() };
    let (trip, holds, own) = (*trip, *holds, own.to_vec());
    let args: Vec<Var> = inside.iter().chain(&captures).copied().collect();
    let block = block(cx, l.body, &args)?;
    let vars = results(cx)?;
    cx.l.stmt(Stmt::Loop(Box::new(Loop {
        trips,
        condition,
        initial: values,
        trip,
        holds,
        carried: own,
        block,
        vars,
        path,
    })));
    Ok(())
}

fn assert<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::Assert(a) = op else { return other() };
    let (condition, x) = (cx.x(0)?, cx.x(1)?);
    let path = cx.l.path();
    cx.l.stmt(Stmt::Assert { condition, message: a.message.as_str().into(), path });
    cx.same(x)
}
