//! Quantised operands: bytes that are widened, less their zero point, where they are multiplied.
//!
//! What a product reads is bytes in memory; the difference to the zero point is made in the loop
//! nest of the product, where a back end with products of bytes finds it.

use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, ValueId};
use airconv_ir::op::Op;

use super::{CHEAP, Lowerer, Place, Stop, weight};

impl Lowerer<'_> {
    /// The bytes that an `i32` which is not in memory is made from: by a cast, less a zero point,
    /// and seen through views.
    pub(super) fn bytes_of(&self, v: ValueId) -> Option<ValueId> {
        let dtype = |x: ValueId| self.f.ty(x).as_tensor().map(|t| t.dtype);
        if dtype(v)? != DType::I32 {
            return None;
        }
        let Some(Place::Inline(id)) = self.places.get(&v) else { return None };
        let node = &self.f.nodes[*id];
        let x = node.operand(0)?;
        match &node.op {
            Op::Cast(_) => matches!(dtype(x)?, DType::I8 | DType::U8).then_some(x),
            Op::Sub(_) => {
                let zero = node.operand(1)?;
                let light = self.weight_of(zero) <= CHEAP && !self.cores.contains_key(&zero);
                self.bytes_of(x).filter(|_| light)
            }
            Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) => self.bytes_of(x),
            _ => None,
        }
    }

    /// Whether an `i32` is made from bytes, and only products use it.
    pub(super) fn is_multiplied(&self, v: ValueId) -> bool {
        self.bytes_of(v).is_some() && self.goes_to_products(v)
    }

    /// Whether only products use a value, as it is or with something around it.
    fn goes_to_products(&self, v: ValueId) -> bool {
        let goes = |&user: &NodeId| {
            let node = &self.f.nodes[user];
            match node.op {
                Op::Contract(_) | Op::Conv(_) => true,
                Op::Pad(_) => node.result(0).is_some_and(|padded| self.goes_to_products(padded)),
                _ => false,
            }
        };
        self.users.get(&v).is_some_and(|users| {
            self.uses.get(&v) == Some(&(users.len() as u32)) && users.iter().all(goes)
        })
    }

    /// Notes that an inline value is made from bytes which are in memory now.
    pub(super) fn widened(&mut self, v: ValueId, bytes: ValueId) {
        let mut v = v;
        while v != bytes {
            self.cores.remove(&v);
            self.weights.insert(v, CHEAP);
            let Some(Place::Inline(id)) = self.places.get(&v) else { return };
            let Some(x) = self.f.nodes[*id].operand(0) else { return };
            v = x;
        }
    }

    /// Brings the bytes that an operand of a product is made from into memory, if it is made from
    /// bytes; says whether it is.
    pub(super) fn stored_as_bytes(&mut self, v: ValueId, in_rows: bool) -> Result<bool, Stop> {
        let Some(bytes) = self.bytes_of(v) else { return Ok(false) };
        if in_rows {
            self.stored_in_rows(bytes)?;
        } else {
            self.stored(bytes)?;
        }
        self.widened(v, bytes);
        Ok(true)
    }

    /// Brings a value that holds a reduction or product into memory, or, where that takes fewer
    /// bytes, one of those which it is made from alone.
    pub(super) fn stored_where_narrow(&mut self, v: ValueId) -> Result<(), Stop> {
        let root = self.cores.get(&v).copied();
        let floats = root.is_some_and(|root| self.is_product_of_floats(root));
        let mut made_from = vec![v];
        while let Some(x) = made_from.last().and_then(|&x| self.only_before(x)) {
            made_from.push(x);
        }
        let bits = |x: ValueId| self.f.ty(x).dtype().map_or(u32::MAX, DType::bits);
        let fits = |x: &ValueId| !floats || self.is_narrow_float(*x);
        let narrow = made_from.iter().copied().filter(fits).min_by_key(|&x| bits(x)).unwrap_or(v);
        self.stored(narrow)?;
        for &x in made_from.iter().rev().skip_while(|&&x| x != narrow).skip(1) {
            let Some(Place::Inline(id)) = self.places.get(&x) else { continue };
            let node = &self.f.nodes[*id];
            let operands: u32 = node.inputs().map(|o| self.weight_of(o)).sum();
            self.weights.insert(x, weight(&node.op).unwrap_or(0) + operands);
            self.cores.remove(&x);
        }
        Ok(())
    }

    /// The one operand of an elementwise value that holds its reduction or product, if both values
    /// are used once.
    fn only_before(&self, v: ValueId) -> Option<ValueId> {
        let Place::Inline(id) = self.place(v).ok()? else { return None };
        if self.cores.get(&v) == Some(&v) {
            return None;
        }
        let mut held = self.f.nodes[id].inputs().filter(|x| self.cores.contains_key(x));
        let x = held.next().filter(|_| held.next().is_none())?;
        [v, x].iter().all(|v| self.uses.get(v) == Some(&1)).then_some(x)
    }
}
