//! Convolutions of `f32` with one channel per group, and other sums over a window that leave
//! channels apart, of images whose channels lie last.
//!
//! A vector holds consecutive channels. A tile of pixels shares each load of a weight, so that
//! loads are little more than one per multiply-add, which is what the machine can do at once.
//! Where the taps of a pixel are is said by a table as in [`super::gathered_module`]; the
//! addresses of a tile are worked out once for all channels. The number of taps is an argument:
//! one class serves 3x3, 5x5 and every other window.

use std::ffi::c_void;

use super::ZEROS;
use super::epilogue::{Epilogue, Place};
use crate::emit::{FloatVector, Function, Module, splat};
use crate::target::Isa;

/// Pixels of a tile.
const PIXELS: usize = 8;

/// The most taps.
pub const MOST_TAPS: usize = 64;

/// The most entries of a table that are read at once; there have to be as many after the last.
pub const AT_ONCE: usize = 8;

/// A sum over windows, the context of a [`WindowFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WindowCall {
    /// The image.
    pub a: *const f32,
    /// The weights: for each vector of channels all taps; what is beyond the last channel may be
    /// anything.
    pub weights: *const f32,
    /// The result.
    pub c: *mut f32,
    /// For the epilogue, whose rows are pixels.
    pub args: *const c_void,
    /// Offsets of taps in floats, those of a pixel together; [`ZEROS`] for one of zeros.
    /// [`AT_ONCE`] more may be read.
    pub table: *const i32,
    /// As many zeros as there are channels.
    pub zeros: *const f32,
    /// From pixel to pixel of the result.
    pub ldc: i64,
    /// Taps of a pixel, [`MOST_TAPS`] at most.
    pub taps: i64,
    /// Channels.
    pub channels: i64,
    /// Channels that are done for all pixels before the next ones, a multiple of the vector's
    /// lanes, so that the pixels under the windows stay in the first-level cache.
    pub block: i64,
}

/// The emitted function: pixels `begin..end`. It is a [`crate::pool::ChunkFn`] whose items are
/// pixels.
pub type WindowFn = crate::pool::ChunkFn;

/// The IR text of a class: the function `name` (see [`WindowFn`]).
pub fn window_module(name: &str, isa: Isa, epilogue: &dyn Epilogue) -> String {
    let v = FloatVector::of(isa);
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %begin, i64 %end) nounwind"
    ));
    for (i, field) in
        ["a", "weights", "c", "args", "table", "zeros", "ldc", "taps", "channels", "block"]
            .iter()
            .enumerate()
    {
        let address = f.at("i64", "%call", i);
        let ty = if i < 6 { "ptr" } else { "i64" };
        f.line(format_args!("%{field} = load {ty}, ptr {address}, align 8"));
    }
    f.line(format_args!("%places = alloca [{} x ptr], align 64", PIXELS * MOST_TAPS));
    let at_once = v.lanes / 2;
    let zeros = splat(&mut f, at_once, "ptr", "%zeros");
    let padding = splat(&mut f, at_once, "i32", &ZEROS.to_string());
    let class = Class { v, at_once, zeros, padding, epilogue };
    let pixels = f.int("sub nsw", "%end", "%begin");
    let rest = f.int("srem", &pixels, PIXELS);
    let whole = f.int("sub nsw", "%end", rest);
    f.for_loop("0", "%channels", "%block", |f, from| {
        let to = f.int("add nsw", from, "%block");
        let to = f.min(to, "%channels");
        f.for_loop("%begin", &whole, PIXELS, |f, p| class.tile(f, p, PIXELS, from, &to));
        f.for_loop(&whole, "%end", 1, |f, p| class.tile(f, p, 1, from, &to));
    });
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

struct Class<'a> {
    v: FloatVector,
    /// Addresses in a vector register, with one of them all the zeros, and as many entries of a
    /// table that stand for those.
    at_once: usize,
    zeros: String,
    padding: String,
    epilogue: &'a dyn Epilogue,
}

impl Class<'_> {
    /// Channels `begin..end` of some pixels from `first` on.
    fn tile(&self, f: &mut Function, first: &str, pixels: usize, begin: &str, end: &str) {
        let lanes = self.v.lanes;
        let rows: Vec<String> = (0..pixels).map(|p| f.int("add nsw", first, p)).collect();
        let tables: Vec<String> = rows
            .iter()
            .map(|p| {
                let entry = f.int("mul nsw", p, "%taps");
                f.at("i32", "%table", entry)
            })
            .collect();
        f.for_loop("0", "%taps", self.at_once, |f, t| {
            let to = f.at("ptr", "%places", t);
            for (p, table) in tables.iter().enumerate() {
                let table = f.at("i32", table, t);
                let to = f.at("ptr", &to, p * MOST_TAPS);
                self.places(f, &table, &to);
            }
        });
        let to: Vec<String> = rows
            .iter()
            .map(|p| {
                let offset = f.int("mul nsw", p, "%ldc");
                f.at("float", "%c", offset)
            })
            .collect();
        let rest = f.int("srem", end, lanes);
        let whole = f.int("sub nsw", end, &rest);
        f.for_loop(begin, &whole, lanes, |f, channel| {
            self.vector(f, channel, &rows, &to, None);
        });
        let some = f.value(format_args!("icmp sgt i64 {rest}, 0"));
        f.if_true(&some, |f| {
            let mask = self.v.first_lanes(f, &rest);
            self.vector(f, &whole, &rows, &to, Some(&mask));
        });
    }

    /// The addresses of some taps of a pixel, one after the other.
    fn places(&self, f: &mut Function, table: &str, to: &str) {
        let n = self.at_once;
        let entries = f.value(format_args!("load <{n} x i32>, ptr {table}, align 4"));
        let padding = f.value(format_args!("icmp eq <{n} x i32> {entries}, {}", self.padding));
        let offsets = f.value(format_args!("sext <{n} x i32> {entries} to <{n} x i64>"));
        let inside = f.value(format_args!("getelementptr float, ptr %a, <{n} x i64> {offsets}"));
        let places = f.value(format_args!(
            "select <{n} x i1> {padding}, <{n} x ptr> {}, <{n} x ptr> {inside}",
            self.zeros
        ));
        f.line(format_args!("store <{n} x ptr> {places}, ptr {to}, align 8"));
    }

    /// One vector of channels.
    fn vector(
        &self,
        f: &mut Function,
        channel: &str,
        rows: &[String],
        to: &[String],
        mask: Option<&str>,
    ) {
        let (v, ty) = (self.v, self.v.ty());
        let offset = f.int("mul nsw", channel, "%taps");
        let weights = f.at("float", "%weights", offset);
        let before = f.block().to_string();
        let (block, after) = (f.label("taps"), f.label("summed"));
        let some = f.value("icmp sgt i64 %taps, 0");
        f.branch(&some, &block, &after);
        f.begin(&block);
        let (t, t_next) = (f.name(), f.name());
        f.line(format_args!("{t} = phi i64 [ 0, %{before} ], [ {t_next}, %{block} ]"));
        let names: Vec<(String, String)> = rows.iter().map(|_| (f.name(), f.name())).collect();
        for (sum, next) in &names {
            f.line(format_args!(
                "{sum} = phi {ty} [ zeroinitializer, %{before} ], [ {next}, %{block} ]"
            ));
        }
        let offset = f.int("mul nsw", &t, v.lanes);
        let weight = f.at("float", &weights, offset);
        let weight = v.load(f, &weight);
        let places = f.at("ptr", "%places", &t);
        for (p, (sum, next)) in names.iter().enumerate() {
            let place = f.at("ptr", &places, p * MOST_TAPS);
            let place = f.value(format_args!("load ptr, ptr {place}, align 8"));
            let address = f.at("float", &place, channel);
            let x = match mask {
                Some(mask) => v.masked_load(f, &address, mask),
                None => v.load(f, &address),
            };
            let value = v.fma(f, &x, &weight, sum);
            f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
        }
        f.line(format_args!("{t_next} = add nsw i64 {t}, 1"));
        let more = f.value(format_args!("icmp slt i64 {t_next}, %taps"));
        f.branch(&more, &block, &after);
        f.begin(&after);
        let sums: Vec<String> = names
            .iter()
            .map(|(_, next)| {
                f.value(format_args!(
                    "phi {ty} [ zeroinitializer, %{before} ], [ {next}, %{block} ]"
                ))
            })
            .collect();
        for (p, sum) in sums.iter().enumerate() {
            let place = Place {
                value: sum,
                row: &rows[p],
                column: channel,
                mask,
                vector: v,
                args: "%args",
            };
            let value = self.epilogue.emit(f, &place);
            let address = f.at("float", &to[p], channel);
            match mask {
                Some(mask) => v.masked_store(f, &value, &address, mask),
                None => v.store(f, &value, &address),
            }
        }
    }
}
