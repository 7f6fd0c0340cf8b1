//! From sums of products of bytes to the result: zero points, the epilogue, the store.

use std::ffi::c_void;

use super::{Dot, WholeTile};
use crate::emit::{FloatVector, Function, Module, splat};
use crate::micro::epilogue::{Epilogue, Place};
use crate::target::Isa;

/// Sums of some rows and the columns of a panel, the argument of a [`FinishFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FinishCall {
    /// The sums, row by row.
    pub sums: *const i32,
    /// For each column the sum of what was packed of the right operand; for sums of bytes only.
    pub totals: *const i32,
    /// For each column the zero point of the right operand, or null where all are zero; for sums
    /// of bytes only.
    pub zeros: *const i32,
    /// For each of the rows what that is multiplied by and taken away.
    pub rests: *const i32,
    /// The result.
    pub c: *mut u8,
    /// For the epilogue.
    pub args: *const c_void,
    /// From row to row of the result, in elements.
    pub ldc: i64,
    /// The first row.
    pub row: i64,
    /// How many.
    pub rows: i64,
    /// The first column, a multiple of the panel's width.
    pub column: i64,
    /// Where the columns of the result end.
    pub end: i64,
    /// What `totals` are multiplied by and added: the zero point of the left operand, negated.
    pub zero: i64,
}

/// The emitted function.
pub type FinishFn = unsafe extern "C" fn(call: *const FinishCall);

/// A class of such functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// The level.
    pub isa: Isa,
    /// The tile whose sums come.
    pub tile: WholeTile,
    /// The type of the result's elements in LLVM: `float`, `i32` or `i8`.
    pub element: &'a str,
}

/// The IR text of a class, see [`FinishFn`].
pub fn finish_module(spec: &FinishSpec<'_>, epilogue: &dyn Epilogue) -> String {
    let mut f =
        Function::new(format_args!("define void @{}(ptr noalias %call) nounwind", spec.name));
    let names = [
        "sums", "totals", "zeros", "rests", "c", "args", "ldc", "row", "rows", "column", "end",
        "zero",
    ];
    for (i, field) in names.iter().enumerate() {
        let address = f.at("i64", "%call", i);
        let ty = if i < 6 { "ptr" } else { "i64" };
        f.line(format_args!("%{field} = load {ty}, ptr {address}, align 8"));
    }
    if spec.tile.dot == Dot::Bytes {
        f.line("%rest = icmp ne ptr %zeros, null");
    }
    let made = Made { spec, epilogue };
    for q in 0..spec.tile.vectors {
        let within = q * spec.tile.lanes;
        let column = f.int("add nsw", "%column", within);
        let left = f.int("sub nsw", "%end", &column);
        let full = f.value(format_args!("icmp sge i64 {left}, {}", spec.tile.lanes));
        let some = f.value(format_args!("icmp sgt i64 {left}, 0"));
        let [whole, other, part, done] =
            ["whole", "other", "part", "done"].map(|stem| f.label(stem));
        f.branch(&full, &whole, &other);
        f.begin(&whole);
        made.column(&mut f, within, &column, None);
        f.jump(&done);
        f.begin(&other);
        f.branch(&some, &part, &done);
        f.begin(&part);
        let mask = FloatVector::of(spec.isa).first_lanes(&mut f, &left);
        made.column(&mut f, within, &column, Some(&mask));
        f.jump(&done);
        f.begin(&done);
    }
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

struct Made<'a> {
    spec: &'a FinishSpec<'a>,
    epilogue: &'a dyn Epilogue,
}

impl Made<'_> {
    /// One vector of columns of all rows.
    fn column(&self, f: &mut Function, within: usize, column: &str, mask: Option<&str>) {
        let FinishSpec { isa, tile, element, .. } = *self.spec;
        let lanes = tile.lanes;
        let ty = format!("<{lanes} x i32>");
        let bytes = tile.dot == Dot::Bytes;
        let at_column = |f: &mut Function, array: &str| {
            let from = f.at("i32", array, column);
            f.value(format_args!("load {ty}, ptr {from}, align 4"))
        };
        let start = match bytes {
            true => {
                let totals = at_column(f, "%totals");
                let zero = f.value("trunc i64 %zero to i32");
                let zero = splat(f, lanes, "i32", &zero);
                f.value(format_args!("mul {ty} {totals}, {zero}"))
            }
            false => String::new(),
        };
        f.for_loop("0", "%rows", 1, |f, r| {
            let offset = f.int("mul nsw", r, tile.columns());
            let from = f.at("i32", "%sums", offset);
            let from = f.at("i32", &from, within);
            let mut value = f.value(format_args!("load {ty}, ptr {from}, align 4"));
            if bytes {
                value = f.value(format_args!("add {ty} {value}, {start}"));
                let before = f.block().to_owned();
                let (rest, ready) = (f.label("rest"), f.label("ready"));
                f.branch("%rest", &rest, &ready);
                f.begin(&rest);
                let zeros = at_column(f, "%zeros");
                let from = f.at("i32", "%rests", r);
                let of_row = f.value(format_args!("load i32, ptr {from}, align 4"));
                let of_row = splat(f, lanes, "i32", &of_row);
                let product = f.value(format_args!("mul {ty} {zeros}, {of_row}"));
                let less = f.value(format_args!("sub {ty} {value}, {product}"));
                f.jump(&ready);
                f.begin(&ready);
                value =
                    f.value(format_args!("phi {ty} [ {value}, %{before} ], [ {less}, %{rest} ]"));
            }
            let row = f.int("add nsw", "%row", r);
            let vector = FloatVector::of(isa);
            let place = Place { value: &value, row: &row, column, mask, vector, args: "%args" };
            let done = self.epilogue.emit(f, &place);
            let offset = f.int("mul nsw", &row, "%ldc");
            let offset = f.int("add nsw", offset, column);
            let to = f.at(element, "%c", offset);
            let out = format!("<{lanes} x {element}>");
            match mask {
                None => f.line(format_args!("store {out} {done}, ptr {to}, align 1")),
                Some(mask) => {
                    let short = if element == "float" { "f32" } else { element };
                    let name = format!("llvm.masked.store.v{lanes}{short}.p0");
                    f.declare(format!("void @{name}({out}, ptr, i32, <{lanes} x i1>)"));
                    f.line(format_args!(
                        "call void @{name}({out} {done}, ptr {to}, i32 1, <{lanes} x i1> {mask})"
                    ));
                }
            }
        });
    }
}
