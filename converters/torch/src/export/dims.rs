//! Sizes as integers and as tensors.

use airconv_ir::dim::{Atom, Dim, Term};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::module::Node;
use airconv_ir::types::TensorType;

use super::cx::{ExportCx, Refuse};
use super::exporter::Exporter;
use super::program::{Arg, IntOp, Kind, Returned, Target, Var};

impl Exporter<'_> {
    /// Remembers which axes of a tensor have a size that is not known.
    pub(super) fn add_places(&mut self, var: Var) {
        let Kind::Tensor(ty) = self.kind(var) else { return };
        let shape = ty.shape.clone();
        for (axis, dim) in shape.into_iter().enumerate() {
            if matches!(dim, Dim::Expr(_)) {
                self.scope().places.entry(dim).or_insert((var, axis));
            }
        }
    }

    /// A size as an argument.
    pub(super) fn size(&mut self, dim: &Dim) -> Result<Arg, Refuse> {
        match dim {
            Dim::Known(n) => Ok(Arg::Int(*n)),
            Dim::Any => Refuse::because("a size is not known"),
            Dim::Expr(_) => self.size_var(dim).map(Arg::Size),
        }
    }
    /// The value of a size that is not known.
    fn size_var(&mut self, dim: &Dim) -> Result<Var, Refuse> {
        if let Some(&var) = self.scope().sizes.get(dim) {
            return Ok(var);
        }
        let var = match self.scope().places.get(dim).copied() {
            Some((tensor, axis)) => {
                let out = self.var(Kind::Int(dim.clone()), "sym_size");
                let args = vec![Arg::Tensor(tensor), Arg::Int(axis as i64)];
                self.add_call(Target::Size, args, vec![Returned::One(out)]);
                out
            }
            None => match self.computed(dim)? {
                Arg::Size(var) => var,
                _ => return Refuse::because("a size is a number after all"),
            },
        };
        self.scope().sizes.insert(dim.clone(), var);
        Ok(var)
    }
    /// A size from the sizes that it is made of.
    fn computed(&mut self, dim: &Dim) -> Result<Arg, Refuse> {
        if let Some(symbol) = dim.as_symbol() {
            return self.symbol(symbol);
        }
        let Dim::Expr(e) = dim else { return self.size(dim) };
        let mut total: Option<(Arg, Dim)> = None;
        for term in e.terms().to_vec() {
            let value = Dim::of_term(&term);
            let arg = self.term(&term)?;
            total = Some(match total {
                None => (arg, value),
                Some((sum, before)) => {
                    let value = &before + &value;
                    (self.arithmetic(IntOp::Add, sum, arg, &value), value)
                }
            });
        }
        Ok(total.map_or(Arg::Int(0), |(arg, _)| arg))
    }
    fn symbol(&mut self, symbol: SymbolId) -> Result<Arg, Refuse> {
        let dim = Dim::symbol(symbol);
        if let Some((place, by)) = self.linear_place(symbol) {
            // A multiple of the symbol is at hand.
            let whole = self.size(&place)?;
            return Ok(self.arithmetic(IntOp::FloorDiv, whole, Arg::Int(by), &dim));
        }
        if self.probe {
            return Ok(Arg::Size(self.var(Kind::Int(dim), "probe")));
        }
        let name = self.f().dim_text(&dim);
        Refuse::because(format!("no value at hand has the size {name}"))
    }
    /// A size at hand that is a known multiple of a symbol.
    fn linear_place(&mut self, symbol: SymbolId) -> Option<(Dim, i64)> {
        let one = Dim::symbol(symbol);
        let scope = self.scope();
        let mut found: Vec<(Dim, i64)> = scope
            .places
            .keys()
            .filter_map(|dim| {
                let Dim::Expr(e) = dim else { return None };
                let [term] = e.terms() else { return None };
                let times = term.coeff();
                (times > 1 && *dim == &one * times).then(|| (dim.clone(), times))
            })
            .collect();
        found.sort();
        found.into_iter().next()
    }
    fn term(&mut self, term: &Term) -> Result<Arg, Refuse> {
        let mut product: Option<(Arg, Dim)> = None;
        for atom in term.atoms() {
            let (arg, value) = self.atom(atom)?;
            product = Some(match product {
                None => (arg, value),
                Some((p, before)) => {
                    let value = &before * &value;
                    (self.arithmetic(IntOp::Mul, p, arg, &value), value)
                }
            });
        }
        Ok(match (product, term.coeff()) {
            (Some((p, _)), 1) => p,
            (Some((p, value)), c) => self.arithmetic(IntOp::Mul, p, Arg::Int(c), &(&value * c)),
            (None, c) => Arg::Int(c),
        })
    }
    fn atom(&mut self, atom: &Atom) -> Result<(Arg, Dim), Refuse> {
        let binary = |ex: &mut Self, op, a: &Dim, b: &Dim, value: Dim| {
            let (a, b) = (ex.size(a)?, ex.size(b)?);
            Ok((ex.arithmetic(op, a, b, &value), value))
        };
        match atom {
            Atom::Symbol(s) => {
                let dim = Dim::symbol(*s);
                Ok((self.size(&dim)?, dim))
            }
            Atom::FloorDiv(a, b) => binary(self, IntOp::FloorDiv, a, b, a.floor_div(b)),
            // ceil(a / b) = -floor(-a / b)
            Atom::CeilDiv(a, b) => {
                let (_, quotient) = (0, (-a).floor_div(b));
                let (arg, _) = binary(self, IntOp::FloorDiv, &-a, b, quotient)?;
                let value = a.ceil_div(b);
                Ok((self.arithmetic(IntOp::Mul, arg, Arg::Int(-1), &value), value))
            }
            Atom::Mod(a, b) => binary(self, IntOp::Mod, a, b, a.rem(b)),
            Atom::Min(args) => self.fold(IntOp::Min, args, Dim::min),
            Atom::Max(args) => self.fold(IntOp::Max, args, Dim::max),
            Atom::Broadcast(args) => self.broadcast_size(args),
        }
    }
    fn fold(
        &mut self,
        op: IntOp,
        args: &[Dim],
        join: fn(&Dim, &Dim) -> Dim,
    ) -> Result<(Arg, Dim), Refuse> {
        let mut total: Option<(Arg, Dim)> = None;
        for dim in args {
            let arg = self.size(dim)?;
            total = Some(match total {
                None => (arg, dim.clone()),
                Some((before, value)) => {
                    let value = join(&value, dim);
                    (self.arithmetic(op, before, arg, &value), value)
                }
            });
        }
        total.map_or_else(|| Refuse::because("a size of nothing"), Ok)
    }
    /// The size that sizes broadcast to, which are 1 or equal. Of sizes above 0 it is the greatest.
    fn broadcast_size(&mut self, args: &[Dim]) -> Result<(Arg, Dim), Refuse> {
        let ranges = |s| self.f().symbol_range(s);
        if args.iter().all(|d| d.range(&ranges).min.is_some_and(|m| m > 0)) {
            return self.fold(IntOp::Max, args, Dim::broadcast);
        }
        let mut total: Option<(Arg, Dim)> = None;
        for dim in args {
            total = Some(match total {
                None => (self.size(dim)?, dim.clone()),
                Some((_, before)) => {
                    // a + (b - a) [a = 1], where [a = 1] is 1 - |a - 1| or 0.
                    let distance = Dim::max(&(&before - 1), &(&Dim::Known(1) - &before));
                    let is_one = Dim::max(&(&Dim::Known(1) - &distance), &Dim::Known(0));
                    let value = &before + &(&(dim - &before) * &is_one);
                    (self.size(&value)?, before.broadcast(dim))
                }
            });
        }
        total.map_or_else(|| Refuse::because("a size of nothing"), Ok)
    }
    fn arithmetic(&mut self, op: IntOp, a: Arg, b: Arg, value: &Dim) -> Arg {
        if let Some(n) = value.as_known() {
            return Arg::Int(n);
        }
        if let Some(&var) = self.scope().sizes.get(value) {
            return Arg::Size(var);
        }
        let out = self.var(Kind::Int(value.clone()), "size");
        self.add_call(Target::Arithmetic(op), vec![a, b], vec![Returned::One(out)]);
        self.scope().sizes.insert(value.clone(), out);
        Arg::Size(out)
    }

    /// An i64 tensor of sizes: a vector, or a scalar of one size.
    pub(super) fn sizes_tensor(&mut self, dims: &[Dim], scalar: bool) -> Result<Var, Refuse> {
        let one = TensorType::scalar(DType::I64);
        let mut parts = Vec::with_capacity(dims.len());
        for dim in dims {
            let arg = self.size(dim)?;
            let mut cx = ExportCx::helper(self);
            parts.push(cx.op("aten::scalar_tensor", vec![arg, DType::I64.into()], one.clone())?);
        }
        if let ([part], true) = (parts.as_slice(), scalar) {
            return Ok(*part);
        }
        let ty = TensorType::new(DType::I64, [Dim::Known(dims.len() as i64)]);
        let mut cx = ExportCx::helper(self);
        match parts.is_empty() {
            true => cx.op(
                "aten::full",
                vec![vec![Arg::Int(0)].into(), Arg::Int(0), DType::I64.into()],
                ty,
            ),
            false => cx.op("aten::stack", vec![parts.into()], ty),
        }
    }

    /// `dims_of`: what is not known yet is read from the tensor.
    pub(super) fn learn_sizes(&mut self, node: &Node, dims: &[Dim]) -> Result<(), Refuse> {
        let Some(value) = node.operand(0) else { return Ok(()) };
        if self.sizes_of(value).is_some() || self.constant_of(value).is_some() || self.probe {
            return Ok(());
        }
        let mut unchecked = Vec::new();
        for (i, dim) in dims.iter().enumerate() {
            let scope = self.scope();
            let known = scope.sizes.contains_key(dim) || scope.places.contains_key(dim);
            if dim.as_symbol().is_none() || known {
                unchecked.push(self.f().dim_text(dim));
                continue;
            }
            let tensor = self.var_of(value)?;
            let mut cx = ExportCx::helper(self);
            let element = match cx.ty(tensor)?.rank() {
                0 => tensor,
                _ => cx.select(tensor, 0, i as i64)?,
            };
            let out = self.var(Kind::Int(dim.clone()), "item");
            self.add_call(Target::Item, vec![element.into()], vec![Returned::One(out)]);
            self.scope().sizes.insert(dim.clone(), out);
        }
        if !unchecked.is_empty() {
            let message = format!(
                "that a tensor consists of the sizes {} is relied upon and not checked",
                unchecked.join(", ")
            );
            self.structural.push(("sizes-unchecked", message));
        }
        Ok(())
    }
}
