//! Index expressions.

use airconv_ir::dim::{Atom, Dim};
use airconv_kernel::ir::{Scalar, Var, VarDef};

use super::{Emitter, Refused, Result, Value};

impl Emitter<'_> {
    fn known_dim(&self, dim: &Dim) -> Option<Value> {
        // What was found in lanes is of no use to a single lane.
        let usable = |v: &&Value| self.lanes.is_some() || !v.varying;
        self.scopes.iter().rev().find_map(|s| s.dims.get(dim).filter(usable).cloned())
    }

    /// Whether an index has one value per lane here.
    pub(super) fn dim_varies(&self, dim: &Dim) -> bool {
        let Some(lanes) = &self.lanes else { return false };
        let mut found = false;
        dim.symbols(&mut |v| {
            found |= v == lanes.var
                || match self.kernel.vars.get(v.0 as usize) {
                    Some(VarDef::Value(x)) => self.free[x.0 as usize].counters.contains(&lanes.var),
                    _ => false,
                };
        });
        found
    }

    /// The value of an index.
    pub(super) fn dim(&mut self, dim: &Dim) -> Result<Value> {
        if let Dim::Known(k) = dim {
            return Ok(Value::uniform(k.to_string()));
        }
        if let Some(v) = self.known_dim(dim) {
            return Ok(v);
        }
        let varying = self.dim_varies(dim);
        let value = self.compute_dim(dim, varying)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.dims.insert(dim.clone(), value.clone());
        }
        Ok(value)
    }

    /// The value of an index at the first lane.
    pub(super) fn first_lane(&mut self, dim: &Dim) -> Result<String> {
        let lanes = self.lanes.take();
        let out = self.scoped(|e| e.dim(dim));
        self.lanes = lanes;
        Ok(out?.name)
    }

    fn lane_value(&mut self, value: Value) -> String {
        self.spread(&value, Scalar::I64)
    }

    fn compute_dim(&mut self, dim: &Dim, varying: bool) -> Result<Value> {
        let Dim::Expr(e) = dim else {
            return Err(Refused("an index that is not known".to_owned()));
        };
        // What the innermost counter does not touch was computed before its loop.
        if e.terms().len() > 1
            && let Some(inner) = self.innermost(dim)
            && let Some(rest) = self.without(dim, &|v| v == inner)
            && rest.as_known().is_none()
            && rest != *dim
        {
            let a = self.dim(&rest)?;
            let b = self.dim(&dim.sub(&rest))?;
            return Ok(self.int(a, b, "add nsw"));
        }
        let mut sum: Option<Value> = None;
        for term in e.terms() {
            let mut product: Option<Value> = None;
            for atom in term.atoms() {
                let v = self.atom(atom)?;
                product = Some(match product {
                    None => v,
                    Some(p) => self.int(p, v, "mul nsw"),
                });
            }
            let coeff = Value::uniform(term.coeff().to_string());
            let value = match product {
                None => coeff,
                Some(p) if term.coeff() == 1 => p,
                Some(p) => self.int(p, coeff, "mul nsw"),
            };
            sum = Some(match sum {
                None => value,
                Some(s) => self.int(s, value, "add nsw"),
            });
        }
        let value = sum.unwrap_or_else(|| Value::uniform("0"));
        if varying && !value.varying {
            let name = self.lane_value(value);
            return Ok(Value::varying(name));
        }
        Ok(value)
    }

    /// The innermost counter that an index mentions.
    fn innermost(&self, dim: &Dim) -> Option<Var> {
        let mut used = Vec::new();
        dim.symbols(&mut |v| used.push(v));
        self.depth.iter().rev().find(|v| used.contains(v)).copied()
    }

    /// An integer operation on indices.
    pub(super) fn int(&mut self, a: Value, b: Value, op: &str) -> Value {
        if a.varying || b.varying {
            let ty = self.vty(Scalar::I64, true);
            let (x, y) = (self.lane_value(a), self.lane_value(b));
            return Value::varying(self.f.value(format_args!("{op} {ty} {x}, {y}")));
        }
        Value::uniform(self.f.value(format_args!("{op} i64 {}, {}", a.name, b.name)))
    }

    fn atom(&mut self, atom: &Atom) -> Result<Value> {
        match atom {
            Atom::Symbol(v) => self.variable(*v),
            Atom::FloorDiv(a, b) => {
                let (a, b) = (self.dim(a)?, self.dim(b)?);
                Ok(self.floor_div(a, b).0)
            }
            Atom::Mod(a, b) => {
                let (a, b) = (self.dim(a)?, self.dim(b)?);
                Ok(self.floor_div(a, b).1)
            }
            Atom::CeilDiv(a, b) => {
                let (a, b) = (self.dim(a)?, self.dim(b)?);
                let zero = Value::uniform("0");
                let minus = self.int(zero.clone(), a, "sub nsw");
                let (q, _) = self.floor_div(minus, b);
                Ok(self.int(zero, q, "sub nsw"))
            }
            Atom::Min(list) => self.extreme(list, "slt"),
            Atom::Max(list) => self.extreme(list, "sgt"),
            Atom::Broadcast(list) => {
                // The one size that is not 1, or 1: the greatest, and 0 where one is 0.
                let greatest = self.extreme(list, "sgt")?;
                let least = self.extreme(list, "slt")?;
                let zero = self.compare("eq", &least, &Value::uniform("0"));
                Ok(self.pick(&zero, &least, &greatest))
            }
        }
    }

    fn compare(&mut self, op: &str, a: &Value, b: &Value) -> Value {
        if a.varying || b.varying {
            let ty = self.vty(Scalar::I64, true);
            let (x, y) = (self.lane_value(a.clone()), self.lane_value(b.clone()));
            return Value::varying(self.f.value(format_args!("icmp {op} {ty} {x}, {y}")));
        }
        Value::uniform(self.f.value(format_args!("icmp {op} i64 {}, {}", a.name, b.name)))
    }

    fn pick(&mut self, c: &Value, a: &Value, b: &Value) -> Value {
        if c.varying || a.varying || b.varying {
            let (ty, bool_ty) = (self.vty(Scalar::I64, true), self.vty(Scalar::Bool, true));
            let c = self.spread(c, Scalar::Bool);
            let (x, y) = (self.lane_value(a.clone()), self.lane_value(b.clone()));
            return Value::varying(
                self.f.value(format_args!("select {bool_ty} {c}, {ty} {x}, {ty} {y}")),
            );
        }
        Value::uniform(
            self.f.value(format_args!("select i1 {}, i64 {}, i64 {}", c.name, a.name, b.name)),
        )
    }

    fn extreme(&mut self, list: &[Dim], op: &str) -> Result<Value> {
        let mut best: Option<Value> = None;
        for d in list {
            let v = self.dim(d)?;
            best = Some(match best {
                None => v,
                Some(b) => {
                    let wins = self.compare(op, &b, &v);
                    self.pick(&wins, &b, &v)
                }
            });
        }
        best.ok_or_else(|| Refused("an empty minimum".to_owned()))
    }

    /// Quotient toward minus infinity, and what is left. The divisor is not zero; a divisor of
    /// zero gives some value.
    fn floor_div(&mut self, a: Value, b: Value) -> (Value, Value) {
        let safe = match b.name.parse::<i64>() {
            Ok(n) if n != 0 => b,
            _ => {
                let zero = self.compare("eq", &b, &Value::uniform("0"));
                self.pick(&zero, &Value::uniform("1"), &b)
            }
        };
        let q = self.int(a.clone(), safe.clone(), "sdiv");
        let back = self.int(q.clone(), safe.clone(), "mul");
        let r = self.int(a, back, "sub");
        let zero = Value::uniform("0");
        let inexact = self.compare("ne", &r, &zero);
        let sign = self.int(r.clone(), safe.clone(), "xor");
        let crosses = self.compare("slt", &sign, &zero);
        let both = if inexact.varying || crosses.varying {
            let ty = self.vty(Scalar::Bool, true);
            let (x, y) = (self.spread(&inexact, Scalar::Bool), self.spread(&crosses, Scalar::Bool));
            Value::varying(self.f.value(format_args!("and {ty} {x}, {y}")))
        } else {
            Value::uniform(self.f.value(format_args!("and i1 {}, {}", inexact.name, crosses.name)))
        };
        let less = self.int(q.clone(), Value::uniform("1"), "sub");
        let more = self.int(r.clone(), safe, "add");
        (self.pick(&both, &less, &q), self.pick(&both, &more, &r))
    }

    fn variable(&mut self, v: Var) -> Result<Value> {
        if let Some(lanes) = self.lanes.clone()
            && lanes.var == v
        {
            let first = crate::emit::splat(&mut self.f, lanes.count, "i64", &lanes.first);
            let steps: Vec<String> = (0..lanes.count).map(|i| format!("i64 {i}")).collect();
            return Ok(Value::varying(self.f.value(format_args!(
                "add nsw <{} x i64> {first}, <{}>",
                lanes.count,
                steps.join(", ")
            ))));
        }
        match self.kernel.vars.get(v.0 as usize) {
            Some(VarDef::Size(i)) => Ok(Value::uniform(self.sizes[*i as usize].clone())),
            Some(VarDef::Value(x)) => self.expr(*x),
            _ => match self.counters.get(&v) {
                Some(name) => Ok(Value::uniform(name.clone())),
                None => Err(Refused(format!("the counter {v} is not running"))),
            },
        }
    }

    /// The part of an index without the terms in which a variable occurs; `None` when it occurs
    /// in all of them or inside a function.
    pub(super) fn without(&self, dim: &Dim, moves: &dyn Fn(Var) -> bool) -> Option<Dim> {
        let Dim::Expr(e) = dim else { return None };
        let mut moving = Dim::Known(0);
        let mut any = false;
        for term in e.terms() {
            let mut touched = false;
            for atom in term.atoms() {
                match atom {
                    Atom::Symbol(v) => touched |= self.depends(*v, moves),
                    other => {
                        for arg in other.args() {
                            arg.symbols(&mut |v| touched |= self.depends(v, moves));
                        }
                    }
                }
            }
            if touched {
                any = true;
                moving = moving.add(&Dim::of_term(term));
            }
        }
        any.then(|| dim.sub(&moving))
    }

    /// Whether a variable is one of those that move, or is computed from them.
    fn depends(&self, v: Var, moves: &dyn Fn(Var) -> bool) -> bool {
        match self.kernel.vars.get(v.0 as usize) {
            Some(VarDef::Value(x)) => {
                let free = &self.free[x.0 as usize];
                free.counters.iter().any(|&c| moves(c)) || !free.locals.is_empty()
            }
            Some(VarDef::Size(_)) => false,
            _ => moves(v),
        }
    }

    /// How much an index grows with a counter, when that is the same everywhere.
    pub(super) fn stride(&self, dim: &Dim, var: Var) -> Option<Dim> {
        let mut through_value = false;
        dim.symbols(&mut |v| {
            if let Some(VarDef::Value(x)) = self.kernel.vars.get(v.0 as usize) {
                through_value |= self.free[x.0 as usize].counters.contains(&var);
            }
        });
        if through_value {
            return None;
        }
        let at = |k: i64| dim.substitute(&mut |v| (v == var).then_some(Dim::Known(k)));
        let base = at(0);
        let stride = at(1).sub(&base);
        let mut nested = false;
        stride.symbols(&mut |v| nested |= v == var);
        if nested || base.is_any() || stride.is_any() {
            return None;
        }
        let rebuilt = base.add(&Dim::symbol(var).mul(&stride));
        (rebuilt == *dim).then_some(stride)
    }
}
