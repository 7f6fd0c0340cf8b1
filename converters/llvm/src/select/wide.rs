//! Operands and results that are `f16` or `bf16` in memory: they are made `f32` before the
//! product and narrowed after it.
//!
//! An element of an operand is used as often as there are rows or columns, so that the way
//! through memory costs little. Constants are made `f32` once.

use airconv_kernel::ir::{Elem, Kernel, Launch};
use airconv_kernel::memory::Mem;

use super::constants::{Constants, Side};
use super::find::Product;
use super::plan::{Layout, Plan};
use super::run::{Compiled, Shared};
use crate::buffer::Buffer;
use crate::compile::Modules;
use crate::emit::{Function, Module, READ_ALIGN};
use crate::error::Result;
use crate::linked::Linked;
use crate::pool::{ChunkFn, Pool};
use crate::target::Isa;

/// Elements that are worth a thread.
const GRAIN: u64 = 16_384;

/// What is converted, the context of a [`ChunkFn`] whose items are elements.
#[repr(C)]
struct ConvertCall {
    from: *const u8,
    to: *mut u8,
}

/// Whether an operand or the result of a product is not `f32`.
pub(super) fn needed(kernel: &Kernel, product: &Product) -> bool {
    let params = [product.left.param, product.right.param, product.out.param];
    params.iter().any(|&p| kernel.params[p as usize].elem != Elem::F32)
}

/// Names of the functions that convert.
pub(super) struct Names {
    widen: [String; 2],
    narrow: [String; 2],
}

impl Names {
    /// The functions of a level, whose text is added to those that are compiled.
    pub(super) fn new(isa: Isa, modules: &mut Modules) -> Names {
        let both = |what: &str| ["f16", "bf16"].map(|ty| format!("{what}_{ty}_{isa}"));
        let names = Names { widen: both("widen"), narrow: both("narrow") };
        let text = || {
            let mut module = Module::new();
            for (i, widen) in names.widen.iter().enumerate() {
                module.add(convert(widen, isa, i == 0, true));
            }
            for (i, narrow) in names.narrow.iter().enumerate() {
                module.add(convert(narrow, isa, i == 0, false));
            }
            module.text()
        };
        modules.entry(names.widen[0].clone()).or_insert_with(text);
        names
    }

    /// What widens `f16` and `bf16`, and what narrows to them.
    pub(super) fn list(&self) -> [String; 4] {
        let ([a, b], [c, d]) = (&self.widen, &self.narrow);
        [a, b, c, d].map(String::clone)
    }

    /// The code.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn link(&self, linked: &Linked) -> Result<Code> {
        let find = |name: &String| -> Result<ChunkFn> {
            // SAFETY: the module defines it with this type.
            Ok(unsafe { std::mem::transmute::<*const (), ChunkFn>(linked.lookup(name)?) })
        };
        Ok(Code {
            widen: [find(&self.widen[0])?, find(&self.widen[1])?],
            narrow: [find(&self.narrow[0])?, find(&self.narrow[1])?],
        })
    }
}

/// Functions that convert, of `f16` and of `bf16`.
#[derive(Clone, Copy)]
pub(super) struct Code {
    widen: [ChunkFn; 2],
    narrow: [ChunkFn; 2],
}

/// A function that makes `f32` of 16 bits or the other way round. What is narrowed has been
/// rounded already.
fn convert(name: &str, isa: Isa, half: bool, widen: bool) -> Function {
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %begin, i64 %end) nounwind"
    ));
    f.line("%from = load ptr, ptr %call, align 8");
    let second = f.at("ptr", "%call", 1);
    f.line(format_args!("%to = load ptr, ptr {second}, align 8"));
    let narrow_ty = if half { "half" } else { "i16" };
    let one = |f: &mut Function, i: &str, lanes: usize| {
        let ty = |element: &str| match lanes {
            1 => element.to_owned(),
            n => format!("<{n} x {element}>"),
        };
        let all = |f: &mut Function, x: i64| match lanes {
            1 => x.to_string(),
            n => crate::emit::splat(f, n, "i32", &x.to_string()),
        };
        let (short, long, int) = (ty(narrow_ty), ty("float"), ty("i32"));
        let (a, b) = if widen { (narrow_ty, "float") } else { ("float", narrow_ty) };
        let (from, to) = (f.at(a, "%from", i), f.at(b, "%to", i));
        let loaded = if widen { &short } else { &long };
        let x = f.value(format_args!("load {loaded}, ptr {from}, align {READ_ALIGN}"));
        let y = match (widen, half) {
            (true, true) => f.value(format_args!("fpext {short} {x} to {long}")),
            (false, true) => f.value(format_args!("fptrunc {long} {x} to {short}")),
            (true, false) => {
                let x = f.value(format_args!("zext {short} {x} to {int}"));
                let sixteen = all(f, 16);
                let x = f.value(format_args!("shl {int} {x}, {sixteen}"));
                f.value(format_args!("bitcast {int} {x} to {long}"))
            }
            (false, false) => {
                let x = f.value(format_args!("bitcast {long} {x} to {int}"));
                let sixteen = all(f, 16);
                let x = f.value(format_args!("lshr {int} {x}, {sixteen}"));
                f.value(format_args!("trunc {int} {x} to {short}"))
            }
        };
        let stored = if widen { &long } else { &short };
        let align = if widen { 4 } else { 2 };
        f.line(format_args!("store {stored} {y}, ptr {to}, align {align}"));
    };
    let lanes = isa.f32_lanes();
    let count = f.int("sub nsw", "%end", "%begin");
    let rest = f.int("urem", count, lanes);
    let whole = f.int("sub nsw", "%end", rest);
    f.for_loop("%begin", &whole, lanes, |f, i| one(f, i, lanes));
    f.for_loop(&whole, "%end", 1, |f, i| one(f, i, 1));
    f.line("ret void");
    f
}

/// The buffers of a launch with operands and the result as `f32`.
pub(super) struct Widened {
    pub(super) buffers: Vec<Mem>,
    /// Memory of this launch.
    room: Vec<Buffer>,
    /// Memory of constants.
    _held: Vec<std::sync::Arc<Buffer>>,
}

impl Compiled {
    /// Makes operands `f32`, and room for the result.
    pub(super) fn widened(
        &self,
        code: Code,
        launch: &Launch,
        buffers: &[Mem],
        constants: &Constants,
        pool: &Pool,
    ) -> Widened {
        let p = &self.product;
        let mut out = Widened { buffers: buffers.to_vec(), room: Vec::new(), _held: Vec::new() };
        let mut seen = Vec::new();
        for (param, is_operand) in
            [(p.left.param, true), (p.right.param, true), (p.out.param, false)]
        {
            let (at, elem) = (param as usize, self.kernel.params[param as usize].elem);
            if elem == Elem::F32 || seen.contains(&param) {
                continue;
            }
            seen.push(param);
            let (from, count) = (buffers[at], buffers[at].len / elem.bytes());
            let widen = |to: *const u8| {
                let function = code.widen[usize::from(elem == Elem::Bf16)];
                let mut call = ConvertCall { from: from.ptr.cast(), to: to.cast_mut() };
                // SAFETY: there is room for as many floats as there are elements.
                unsafe {
                    let call = (&raw mut call).cast();
                    pool.parallel_for(count as u64, GRAIN, function, call);
                }
            };
            let id = launch.buffers[at];
            let ptr = if is_operand && constants.is_constant(id) {
                let made = constants.get((id, Side::Wide, 0, Layout::default()), &from, |_| {
                    let made = Buffer::floats(count);
                    widen(made.as_ptr());
                    made
                });
                let ptr = made.as_ptr();
                out._held.push(made);
                ptr
            } else {
                let room = self.room(count);
                let ptr = room.as_ptr();
                if is_operand {
                    widen(ptr);
                }
                out.room.push(room);
                ptr
            };
            out.buffers[at] = Mem { ptr: ptr.cast_mut(), len: count * 4 };
        }
        out
    }

    /// Brings the result to where it belongs, and keeps the memory for later.
    pub(super) fn narrowed(
        &self,
        code: Code,
        plan: &Plan,
        wide: Widened,
        buffers: &[Mem],
        pool: &Pool,
    ) {
        let param = self.product.out.param as usize;
        let elem = self.kernel.params[param].elem;
        if elem != Elem::F32 {
            let function = code.narrow[usize::from(elem == Elem::Bf16)];
            let (from, to) = (Shared(wide.buffers[param].ptr), Shared(buffers[param].ptr));
            // Rows that touch are one.
            let (rows, columns) = match plan.out_rows == plan.n {
                true => (1, plan.m * plan.n),
                false => (plan.m, plan.n),
            };
            let grain = (GRAIN / (rows * columns).max(1) as u64).max(1);
            pool.for_each(plan.batches as u64, grain, |begin, end| {
                for batch in begin as i64..end as i64 {
                    let first = plan.at(batch).out;
                    for row in 0..rows {
                        let at = first + row * plan.out_rows;
                        let (from, to) = (from.at(at * 4), to.at(at * elem.bytes() as i64));
                        let mut call = ConvertCall { from: from.cast_const(), to };
                        // SAFETY: the elements are those that the product wrote.
                        unsafe { function((&raw mut call).cast(), 0, columns as u64) };
                    }
                }
            });
        }
        self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(wide.room);
    }

    /// Room for so many floats, whatever they are.
    fn room(&self, floats: usize) -> Buffer {
        let mut spare = self.spare.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match spare.iter().position(|b| b.len() == floats * 4) {
            Some(i) => spare.swap_remove(i),
            None => {
                spare.clear();
                Buffer::floats(floats)
            }
        }
    }
}
