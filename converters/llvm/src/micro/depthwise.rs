//! Convolutions of `f32` with one channel per group.
//!
//! Layout and tables are those of [`super::ConvCall`], with a run of all channels for every tap.
//! A vector holds consecutive channels; a tile of pixels shares each load of a weight, so that
//! loads are little more than one per multiply-add, which is what the machine can do at once.
//! The number of taps is an argument: one class serves 3x3, 5x5 and every other window.

use std::ffi::c_void;

use super::conv::{Image, Window};
use super::epilogue::{Epilogue, Place};
use crate::buffer::Buffer;
use crate::emit::{FloatVector, Function, Module};
use crate::target::Isa;

/// A class of depthwise convolutions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DepthwiseSpec {
    /// Name of the emitted function.
    pub name: String,
    /// The level it is for.
    pub isa: Isa,
    /// Pixels of a tile.
    pub pixels: usize,
}

impl DepthwiseSpec {
    /// The class of a level.
    pub fn new(isa: Isa) -> DepthwiseSpec {
        DepthwiseSpec { name: format!("depthwise_{isa}"), isa, pixels: 8 }
    }
}

/// A depthwise convolution, the context of a [`DepthwiseFn`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseCall {
    /// The input.
    pub a: *const f32,
    /// The weights, from [`pack_depthwise`].
    pub weights: *const f32,
    /// The output.
    pub c: *mut f32,
    /// For the epilogue, whose rows are output pixels.
    pub args: *const c_void,
    /// Offset of every output pixel's first tap in the input.
    pub rows: *const i64,
    /// Offset of every output pixel in the output.
    pub places: *const i64,
    /// Offset of every tap from the first.
    pub taps: *const i64,
    /// Channels.
    pub channels: i64,
    /// Taps.
    pub tap_count: i64,
    /// Channels that are done for all pixels before the next ones, a multiple of the vector's
    /// lanes: see [`channel_block`].
    pub block: i64,
}

/// How many channels to do at a time, so that the image rows under a window stay in the
/// first-level cache. Images that are large for the second-level cache are better read in order,
/// all channels at once.
pub fn channel_block(input: &Image, window: &Window, isa: Isa) -> usize {
    const CACHE: usize = 24 << 10;
    const LARGE: usize = 512 << 10;
    let lanes = isa.f32_lanes();
    if input.len() * 4 > LARGE {
        return input.channels.next_multiple_of(lanes).max(lanes);
    }
    let reach = (window.kernel[0].max(1) - 1) * window.dilation[0] + 1;
    let pixels = reach * (input.row() / input.channels.max(1)).max(1);
    let vectors = input.channels.div_ceil(lanes).max(1);
    // Blocks of even size.
    let most = (CACHE / 4 / lanes / pixels).clamp(1, vectors);
    vectors.div_ceil(vectors.div_ceil(most)) * lanes
}

/// The emitted function: pixels `begin..end`. It is a [`crate::pool::ChunkFn`] whose items are
/// pixels.
pub type DepthwiseFn = crate::pool::ChunkFn;

/// Packs weights `[channel][tap]`: for each vector of channels all taps, channels beyond the
/// last zero.
///
/// # Panics
/// When `weights` is too short for its sizes.
pub fn pack_depthwise(weights: &[f32], channels: usize, taps: usize, isa: Isa) -> Buffer {
    let lanes = isa.f32_lanes();
    let mut out = Buffer::floats(channels.next_multiple_of(lanes) * taps);
    let to = out.f32s_mut();
    for c in 0..channels {
        for t in 0..taps {
            to[(c / lanes * taps + t) * lanes + c % lanes] = weights[c * taps + t];
        }
    }
    out
}

/// The IR text of a class: the function `NAME` (see [`DepthwiseFn`]).
pub fn depthwise_module(spec: &DepthwiseSpec, epilogue: &dyn Epilogue) -> String {
    let v = FloatVector::of(spec.isa);
    let mut f = Function::new(format_args!(
        "define void @{}(ptr noalias %call, i64 %begin, i64 %end) nounwind",
        spec.name
    ));
    let mut load = |ty: &str, field: usize| {
        let address = f.at("i64", "%call", field);
        f.value(format_args!("load {ty}, ptr {address}, align 8"))
    };
    let [a, weights, c, args, rows, places, taps] = [0, 1, 2, 3, 4, 5, 6].map(|i| load("ptr", i));
    let [channels, count, block] = [7, 8, 9].map(|i| load("i64", i));
    let class = Class { v, epilogue, a, weights, c, args, rows, places, taps, count };
    let pixels = f.int("sub nsw", "%end", "%begin");
    let rest = f.int("srem", &pixels, spec.pixels);
    let whole = f.int("sub nsw", "%end", rest);
    f.for_loop("0", &channels, &block, |f, from| {
        let to = f.int("add nsw", from, &block);
        let to = f.min(to, &channels);
        f.for_loop("%begin", &whole, spec.pixels, |f, p| {
            class.tile(f, p, spec.pixels, from, &to);
        });
        f.for_loop(&whole, "%end", 1, |f, p| class.tile(f, p, 1, from, &to));
    });
    f.line("ret void");
    let mut module = Module::new();
    module.add(f);
    module.text()
}

struct Class<'a> {
    v: FloatVector,
    epilogue: &'a dyn Epilogue,
    a: String,
    weights: String,
    c: String,
    args: String,
    rows: String,
    places: String,
    taps: String,
    count: String,
}

impl Class<'_> {
    /// Channels `begin..end` of some pixels from `first` on.
    fn tile(&self, f: &mut Function, first: &str, pixels: usize, begin: &str, end: &str) {
        let lanes = self.v.lanes;
        let rows: Vec<String> = (0..pixels).map(|p| f.int("add nsw", first, p)).collect();
        let mut entry = |table: &str, base: &str, p: &String| {
            let address = f.at("i64", table, p);
            let offset = f.value(format_args!("load i64, ptr {address}, align 8"));
            f.at("float", base, offset)
        };
        let from: Vec<String> = rows.iter().map(|p| entry(&self.rows, &self.a, p)).collect();
        let to: Vec<String> = rows.iter().map(|p| entry(&self.places, &self.c, p)).collect();
        let rest = f.int("srem", end, lanes);
        let whole = f.int("sub nsw", end, &rest);
        f.for_loop(begin, &whole, lanes, |f, channel| {
            self.vector(f, channel, &rows, &from, &to, None);
        });
        let some = f.value(format_args!("icmp sgt i64 {rest}, 0"));
        f.if_true(&some, |f| {
            let mask = self.v.first_lanes(f, &rest);
            self.vector(f, &whole, &rows, &from, &to, Some(&mask));
        });
    }

    /// One vector of channels.
    fn vector(
        &self,
        f: &mut Function,
        channel: &str,
        rows: &[String],
        from: &[String],
        to: &[String],
        mask: Option<&str>,
    ) {
        let (v, ty) = (self.v, self.v.ty());
        let offset = f.int("mul nsw", channel, &self.count);
        let weights = f.at("float", &self.weights, offset);
        let before = f.block().to_string();
        let (block, after) = (f.label("taps"), f.label("summed"));
        let some = f.value(format_args!("icmp sgt i64 {}, 0", self.count));
        f.branch(&some, &block, &after);
        f.begin(&block);
        let (t, t_next) = (f.name(), f.name());
        f.line(format_args!("{t} = phi i64 [ 0, %{before} ], [ {t_next}, %{block} ]"));
        let names: Vec<(String, String)> = from.iter().map(|_| (f.name(), f.name())).collect();
        for (sum, next) in &names {
            f.line(format_args!(
                "{sum} = phi {ty} [ zeroinitializer, %{before} ], [ {next}, %{block} ]"
            ));
        }
        let tap = f.at("i64", &self.taps, &t);
        let tap = f.value(format_args!("load i64, ptr {tap}, align 8"));
        let index = f.int("add nsw", tap, channel);
        let offset = f.int("mul nsw", &t, v.lanes);
        let weight = f.at("float", &weights, offset);
        let weight = v.load(f, &weight);
        for (pixel, (sum, next)) in from.iter().zip(&names) {
            let address = f.at("float", pixel, &index);
            let x = match mask {
                Some(mask) => v.masked_load(f, &address, mask),
                None => v.load(f, &address),
            };
            let value = v.fma(f, &x, &weight, sum);
            f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
        }
        f.line(format_args!("{t_next} = add nsw i64 {t}, 1"));
        let more = f.value(format_args!("icmp slt i64 {t_next}, {}", self.count));
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
                args: &self.args,
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
