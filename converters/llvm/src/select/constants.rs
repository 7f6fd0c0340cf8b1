//! Constants of a program in the forms that micro-kernels want.

use std::sync::{Arc, Mutex, PoisonError};

use airconv_kernel::ir::{BufferId, Program, Step};
use airconv_kernel::memory::Mem;
use rustc_hash::FxHashMap;

use super::plan::Layout;
use crate::buffer::Buffer;
use crate::mapped;
use crate::micro::amx::Grade;

/// As what an operand is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    /// Rows evenly apart.
    Left,
    /// Panels.
    Right,
    /// Planes of panels.
    Planes(Grade),
    /// As it lies, as `f32`.
    Wide,
    /// Panels of bytes, less this zero point.
    Whole(ZeroOf),
}

/// Which zero point it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ZeroOf {
    /// A number.
    Number(i32),
    /// Elements of a constant, from the first column's to that of the last one.
    Constant(BufferId, i64, i64),
}

/// A constant that was packed: which one, as which side, for which width, and how it lies.
type PackedKey = (BufferId, Side, usize, Layout);

/// Constants of a program in the form that micro-kernels want.
pub struct Constants {
    constant: Vec<bool>,
    /// Bytes of those that are right operands of products.
    pub(super) weights: i64,
    packed: Mutex<FxHashMap<PackedKey, Arc<Buffer>>>,
}

impl Constants {
    /// None packed yet; `weights` are the bytes of [`Constants::weights`].
    pub fn new(program: &Program, weights: i64) -> Constants {
        Constants { constant: program.unchanging(), weights, packed: Mutex::default() }
    }

    /// Bytes of the constants of a program that are right operands of products: `right` says for
    /// each kernel which parameter is.
    pub fn weights(program: &Program, right: &[Option<u32>]) -> i64 {
        fn walk(steps: &[Step], right: &[Option<u32>], found: &mut Vec<bool>) {
            for step in steps {
                match step {
                    Step::Launch(l) => {
                        if let Some(param) = right[l.kernel.0 as usize] {
                            found[l.buffers[param as usize].0 as usize] = true;
                        }
                    }
                    Step::If { then, otherwise, .. } => {
                        walk(then, right, found);
                        walk(otherwise, right, found);
                    }
                    Step::Loop(l) => walk(&l.body, right, found),
                    _ => {}
                }
            }
        }
        let mut found = vec![false; program.buffers.len()];
        walk(&program.steps, right, &mut found);
        let unchanging = program.unchanging();
        let counted = program.buffers.iter().zip(found.iter().zip(&unchanging));
        let bytes = counted.filter(|(_, (found, same))| **found && **same).map(|(b, _)| {
            let len = b.shape.iter().try_fold(1i64, |n, d| n.checked_mul(d.as_known()?));
            let bits = b.dtype.map_or(0, |d| i64::from(d.bits()));
            len.unwrap_or(0).saturating_mul(bits) / 8
        });
        bytes.fold(0, i64::saturating_add)
    }

    /// For each parameter of each kernel of a program whether it is a constant in all launches.
    pub fn of_kernels(program: &Program) -> Vec<Vec<bool>> {
        let params = program.kernels.iter().map(|k| vec![true; k.params.len()]);
        let mut out: Vec<Vec<bool>> = params.collect();
        fn walk(steps: &[Step], constant: &[bool], out: &mut [Vec<bool>]) {
            for step in steps {
                match step {
                    Step::Launch(l) => {
                        for (i, &b) in l.buffers.iter().enumerate() {
                            out[l.kernel.0 as usize][i] &= constant[b.0 as usize];
                        }
                    }
                    Step::If { then, otherwise, .. } => {
                        walk(then, constant, out);
                        walk(otherwise, constant, out);
                    }
                    Step::Loop(l) => walk(&l.body, constant, out),
                    _ => {}
                }
            }
        }
        walk(&program.steps, &program.unchanging(), &mut out);
        out
    }

    pub(super) fn is_constant(&self, buffer: BufferId) -> bool {
        self.constant.get(buffer.0 as usize).copied().unwrap_or(false)
    }

    /// A constant in another form, which is made from the bytes of `source` once.
    pub(super) fn get(
        &self,
        key: PackedKey,
        source: &Mem,
        make: impl FnOnce(&Layout) -> Buffer,
    ) -> Arc<Buffer> {
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = packed.get(&key) {
            return found.clone();
        }
        let made = Arc::new(make(&key.3));
        // What is packed is not looked at as it lies in its file.
        // SAFETY: the memory of a constant of the program at hand, which lives as long as it.
        mapped::release(unsafe { std::slice::from_raw_parts(source.ptr, source.len) });
        packed.insert(key, made.clone());
        made
    }
}
