//! Convolutions of `f32` as products whose left operand is gathered: no matrix of patches is
//! made.
//!
//! The layout is NHWC. An output pixel is a row of the product, an output channel a column. The
//! row of pixel `p` consists of runs of consecutive floats, one for each tap: run `t` starts at
//! `rows[p] + taps[t]`. Both tables are offsets in floats, made once for a shape, and small: an
//! entry per output pixel, an entry per tap. Stride and dilation are in the tables. Where the
//! taps of a kernel row touch each other (dilation 1, all channels), they are one run of
//! `KW * C` floats.
//!
//! Padding is memory: the input lies in a larger image whose border is zero, and `places` says
//! where output pixels go, inside of the border that the next one needs. A plan of memory clears
//! the border once; whatever writes into the image leaves it alone. This keeps tests out of the
//! loops and rows independent of taps, so that a micro-kernel holds one pointer per row and
//! shares one index.
//!
//! With NCHW input the pixels would be columns, and B would be neither packed nor contiguous at
//! the right places for odd widths, strides or dilations: such inputs are better copied into
//! NHWC, which costs less than one tap. Few channels (an image's three) are no trouble, since a
//! run has all taps of a kernel row. A group of a grouped convolution is a product of its own,
//! with its channels of A, B and C; see [`super::depthwise_module`] for one channel per group.
//!
//! Sums stay in registers over as many taps as a panel of the weights takes of the second-level
//! cache, mostly all of them.

use std::ffi::c_void;

use super::epilogue::Epilogue;
use super::gemm::{GemmSpec, flags};
use super::inner::{Inner, LINE, LINES, Left, Steps};
use super::store::{ADD, LAST, RowTiles, Rows, Store, dispatch, heights};
use crate::emit::{FloatVector, Function, Module};

/// A convolution, or another gathered product, as the context of a run on a pool; chunks as in
/// [`super::GemmCall`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConvCall {
    /// The input.
    pub a: *const f32,
    /// The weights, packed: row `t * tap_len + i` belongs to float `i` of run `t`.
    pub b: *const f32,
    /// The output.
    pub c: *mut f32,
    /// For the epilogue, whose rows are output pixels.
    pub args: *const c_void,
    /// Offset of every output pixel's first tap in the input.
    pub rows: *const i64,
    /// Offset of every output pixel in the output.
    pub places: *const i64,
    /// Offset of every run from the first.
    pub taps: *const i64,
    /// Output pixels.
    pub m: i64,
    /// Output channels.
    pub n: i64,
    /// Runs.
    pub tap_count: i64,
    /// Floats of a run.
    pub tap_len: i64,
    /// See [`super::flags`].
    pub flags: i64,
    /// Pixels of a chunk.
    pub chunk_rows: i64,
    /// Channels of a chunk, a multiple of the panel's width.
    pub chunk_columns: i64,
}

impl ConvCall {
    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        let rows = (self.m as u64).div_ceil(self.chunk_rows as u64);
        rows * (self.n as u64).div_ceil(self.chunk_columns as u64)
    }
}

/// The emitted function: pixels `m0..m1` and channels `n0..n1`, `n0` a multiple of the panel's
/// width.
pub type ConvFn = unsafe extern "C" fn(call: *const ConvCall, m0: i64, m1: i64, n0: i64, n1: i64);

/// The IR text of a class: functions `NAME` (see [`ConvFn`]) and `NAME_chunk`, for a pool.
pub fn conv_module(spec: &GemmSpec, epilogue: &dyn Epilogue) -> String {
    let (name, tile, vector) = (&spec.name, spec.tile, FloatVector::of(spec.isa));
    let store = Store { name, tile, vector, epilogue, rows: Rows::Table };
    let inner = Inner { tile, vector, unroll: spec.unroll };
    let mut module = Module::new();
    for rows in heights(tile) {
        module.add(kernel(&store, &inner, rows));
    }
    module.add(store.function());
    module.add(driver(spec));
    module.add(chunk(spec));
    module.text()
}

/// The micro-kernel of `rows` pixels: one tile, all taps.
fn kernel(store: &Store<'_>, inner: &Inner, rows: usize) -> Function {
    let ty = store.vector.ty();
    let mut f = Function::new(format_args!(
        "define internal void @{}_rows{rows}(ptr noalias %a, ptr noalias %offsets, \
         ptr noalias %taps, i64 %count, i64 %length, ptr noalias %b, \
         ptr %ahead, {}) nounwind noinline",
        store.name,
        store.parameters()
    ));
    let pointers = (0..rows)
        .map(|r| {
            let offset = f.at("i64", "%offsets", r);
            let offset = f.value(format_args!("load i64, ptr {offset}, align 8"));
            f.at("float", "%a", offset)
        })
        .collect();
    let start = store.start(&mut f, rows);
    let begin = f.block().to_string();
    let some = f.value("icmp sgt i64 %count, 0");
    f.branch(&some, "run", "done");

    f.begin("run");
    let phi = |f: &mut Function, ty: &str, value: &str| {
        let (now, next) = (f.name(), f.name());
        f.line(format_args!("{now} = phi {ty} [ {value}, %{begin} ], [ {next}, %next ]"));
        (now, next)
    };
    let (t, t_next) = phi(&mut f, "i64", "0");
    let (b, b_next) = phi(&mut f, "ptr", "%b");
    let phis: Vec<(String, String)> = start.iter().map(|x| phi(&mut f, &ty, x)).collect();
    let sums: Vec<String> = phis.iter().map(|(now, _)| now.clone()).collect();
    let tap = f.at("i64", "%taps", &t);
    let tap = f.value(format_args!("load i64, ptr {tap}, align 8"));
    // Every run fetches ahead as much as its own steps allow.
    let offset = f.int("mul nsw", &t, "%length");
    let offset = f.int("mul nsw", offset, (LINES * LINE / inner.unroll).max(1));
    let ahead = f.at("float", "%ahead", offset);
    let left = Left::Anywhere(pointers);
    let steps = Steps { rows, left: &left, b: &b, begin: &tap, count: "%length", ahead: &ahead };
    let (b_after, sums) = inner.emit(&mut f, &steps, &sums);
    f.jump("next");
    f.begin("next");
    for (value, (_, next)) in sums.iter().zip(&phis) {
        f.line(format_args!("{next} = bitcast {ty} {value} to {ty}"));
    }
    f.line(format_args!("{b_next} = getelementptr inbounds i8, ptr {b_after}, i64 0"));
    f.line(format_args!("{t_next} = add nsw i64 {t}, 1"));
    let more = f.value(format_args!("icmp slt i64 {t_next}, %count"));
    f.branch(&more, "run", "done");

    f.begin("done");
    let sums: Vec<String> = start
        .iter()
        .zip(&phis)
        .map(|(x, (_, y))| f.value(format_args!("phi {ty} [ {x}, %{begin} ], [ {y}, %next ]")))
        .collect();
    store.finish(&mut f, rows, &sums);
    f
}

/// Loads the fields of `%call`: seven pointers and seven numbers.
fn fields(f: &mut Function) -> (Vec<String>, Vec<String>) {
    let mut load = |ty: &str, field: usize| {
        let address = f.at("i64", "%call", field);
        f.value(format_args!("load {ty}, ptr {address}, align 8"))
    };
    let pointers = (0..7).map(|i| load("ptr", i)).collect();
    let numbers = (7..14).map(|i| load("i64", i)).collect();
    (pointers, numbers)
}

/// The loops over tiles.
fn driver(spec: &GemmSpec) -> Function {
    let (name, tile) = (&spec.name, spec.tile);
    let mut f = Function::new(format_args!(
        "define void @{name}(ptr noalias %call, i64 %m0, i64 %m1, i64 %n0, i64 %n1) nounwind"
    ));
    let (pointers, numbers) = fields(&mut f);
    let [a, b, c, args, offsets, places, taps] = &pointers[..] else { unreachable!() };
    let [_, _, count, length, user, _, _] = &numbers[..] else { unreachable!() };
    let k = f.int("mul nsw", count, length);
    f.declare("i64 @llvm.smax.i64(i64, i64)");
    let at_least = |f: &mut Function, x: &str, least: usize| {
        f.value(format_args!("call i64 @llvm.smax.i64(i64 {x}, i64 {least})"))
    };
    let rows = f.int("sub nsw", "%m1", "%m0");
    let rows = at_least(&mut f, &rows, 0);
    let tiles = RowTiles::new(&mut f, tile, &rows);
    let block = (spec.mc / tile.rows).max(1);
    // Pieces of taps, of even number; one piece for none.
    let pieces = f.div_ceil(&k, spec.kc);
    let pieces = at_least(&mut f, &pieces, 1);
    let piece = f.div_ceil(count, &pieces);
    let piece = at_least(&mut f, &piece, 1);
    let end = at_least(&mut f, count, 1);
    let panel_size = f.int("mul nsw", &k, tile.columns());
    f.for_loop("0", &end, &piece, |f, first| {
        let left = f.int("sub nsw", count, first);
        let some = f.min(&left, &piece);
        let after = f.int("add nsw", first, &some);
        let at_start = f.value(format_args!("icmp eq i64 {first}, 0"));
        let adds = f.int("and", user, flags::ACCUMULATE);
        let adds = f.value(format_args!("select i1 {at_start}, i64 {adds}, i64 {ADD}"));
        let at_end = f.value(format_args!("icmp sge i64 {after}, {count}"));
        let hold = f.int("and", user, flags::NO_EPILOGUE);
        let hold = f.value(format_args!("icmp eq i64 {hold}, 0"));
        let last = f.value(format_args!("and i1 {at_end}, {hold}"));
        let last = f.value(format_args!("select i1 {last}, i64 {LAST}, i64 0"));
        let state = f.int("or", adds, last);
        let taps = f.at("i64", taps, first);
        let steps = f.int("mul nsw", first, length);
        let offset = f.int("mul nsw", steps, tile.columns());
        let b = f.at("float", b, offset);
        // While a panel is done, a part of the next one is fetched with each tile.
        let steps = f.int("mul nsw", &some, length);
        let lines = f.int("udiv", &steps, spec.unroll);
        let lines = f.int("mul nsw", lines, LINES * LINE);
        let size = f.int("mul nsw", &steps, tile.columns());
        f.for_loop("0", &tiles.count, block, |f, t0| {
            let t1 = f.int("add nsw", t0, block);
            let t1 = f.min(t1, &tiles.count);
            f.for_loop("%n0", "%n1", tile.columns(), |f, column| {
                let offset = f.int("mul nsw", column, &k);
                let panel = f.at("float", &b, offset);
                let next_panel = f.at("float", &panel, &panel_size);
                let c = f.at("float", c, column);
                f.for_loop(t0, &t1, 1, |f, t| {
                    let (row, rows) = tiles.tile(f, t);
                    let row = f.int("add nsw", row, "%m0");
                    let offsets = f.at("i64", offsets, &row);
                    let places = f.at("i64", places, &row);
                    let ahead = f.int("mul nsw", t, &lines);
                    let within = f.value(format_args!("icmp slt i64 {ahead}, {size}"));
                    let ahead = f.value(format_args!("select i1 {within}, i64 {ahead}, i64 0"));
                    let ahead = f.at("float", &next_panel, ahead);
                    dispatch(f, tile, &rows, |r| {
                        format!(
                            "call void @{name}_rows{r}(ptr {a}, ptr {offsets}, ptr {taps}, \
                             i64 {some}, i64 {length}, ptr {panel}, ptr {ahead}, ptr {c}, \
                             ptr {places}, i64 {row}, i64 {column}, i64 %n1, i64 {state}, \
                             ptr {args})"
                        )
                    });
                });
            });
        });
    });
    f.line("ret void");
    f
}

/// The function that a pool calls.
fn chunk(spec: &GemmSpec) -> Function {
    let name = &spec.name;
    let mut f = Function::new(format_args!(
        "define void @{name}_chunk(ptr noalias %call, i64 %begin, i64 %end) nounwind"
    ));
    let (_, numbers) = fields(&mut f);
    let [m, n, _, _, _, rows, columns] = &numbers[..] else { unreachable!() };
    let row_chunks = f.div_ceil(m, rows);
    f.for_loop("%begin", "%end", 1, |f, i| {
        let j = f.int("udiv", i, &row_chunks);
        let i = f.int("urem", i, &row_chunks);
        let m0 = f.int("mul nsw", i, rows);
        let m1 = f.int("add nsw", &m0, rows);
        let m1 = f.min(m1, m);
        let n0 = f.int("mul nsw", j, columns);
        let n1 = f.int("add nsw", &n0, columns);
        let n1 = f.min(n1, n);
        f.line(format_args!(
            "call void @{name}(ptr %call, i64 {m0}, i64 {m1}, i64 {n0}, i64 {n1})"
        ));
    });
    f.line("ret void");
    f
}

/// An image in memory: NHWC with a border on all sides that is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Image {
    /// Rows and columns without the border.
    pub size: [usize; 2],
    /// Border above, left, below and right.
    pub border: [usize; 4],
    /// Floats from pixel to pixel: all channels.
    pub channels: usize,
}

impl Image {
    /// Floats of one image.
    pub fn len(&self) -> usize {
        let ([h, w], [top, left, bottom, right]) = (self.size, self.border);
        (h + top + bottom) * (w + left + right) * self.channels
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats from row to row.
    pub fn row(&self) -> usize {
        (self.size[1] + self.border[1] + self.border[3]) * self.channels
    }

    /// Offset of pixel `y`, `x`, which may be in the border.
    pub fn at(&self, y: isize, x: isize) -> i64 {
        let y = y + self.border[0] as isize;
        let x = x + self.border[1] as isize;
        (y * self.row() as isize + x * self.channels as isize) as i64
    }
}

/// The tables of a convolution. See [`ConvCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvTables {
    /// Of [`ConvCall::rows`].
    pub rows: Vec<i64>,
    /// Of [`ConvCall::places`].
    pub places: Vec<i64>,
    /// Of [`ConvCall::taps`].
    pub taps: Vec<i64>,
    /// Of [`ConvCall::tap_len`].
    pub tap_len: usize,
}

/// A window that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows and columns.
    pub kernel: [usize; 2],
    /// Steps between output pixels.
    pub stride: [usize; 2],
    /// Steps between taps.
    pub dilation: [usize; 2],
    /// Padding above and on the left; the input's border is at least that, and so wide on the
    /// other sides that no tap leaves it.
    pub padding: [usize; 2],
}

impl ConvTables {
    /// The tables for `batch` images, each convolved over `channels` of its channels (all of
    /// them, or those of one group).
    ///
    /// # Panics
    /// When a tap of an output pixel is outside of the input's border.
    pub fn new(
        batch: usize,
        input: &Image,
        output: &Image,
        window: &Window,
        channels: usize,
    ) -> ConvTables {
        let joined = window.dilation[1] == 1 && channels == input.channels;
        ConvTables::make(batch, input, output, window, channels, joined)
    }

    /// The tables for a depthwise convolution: one run per tap, never joined.
    ///
    /// # Panics
    /// As [`ConvTables::new`].
    pub fn taps_apart(batch: usize, input: &Image, output: &Image, window: &Window) -> ConvTables {
        ConvTables::make(batch, input, output, window, input.channels, false)
    }

    fn make(
        batch: usize,
        input: &Image,
        output: &Image,
        window: &Window,
        channels: usize,
        joined: bool,
    ) -> ConvTables {
        let Window { kernel, stride, dilation, padding } = *window;
        for d in 0..2 {
            let reach =
                (output.size[d].max(1) - 1) * stride[d] + (kernel[d].max(1) - 1) * dilation[d];
            assert!(padding[d] <= input.border[d], "padding outside of the border");
            let end = input.size[d] + input.border[d + 2] + padding[d];
            assert!(reach < end || output.size[d] == 0, "taps outside of the border");
        }
        let mut tables = ConvTables {
            rows: Vec::new(),
            places: Vec::new(),
            taps: Vec::new(),
            tap_len: channels,
        };
        for image in 0..batch {
            for y in 0..output.size[0] {
                for x in 0..output.size[1] {
                    let top = (y * stride[0]) as isize - padding[0] as isize;
                    let left = (x * stride[1]) as isize - padding[1] as isize;
                    tables.rows.push((image * input.len()) as i64 + input.at(top, left));
                    let place = output.at(y as isize, x as isize);
                    tables.places.push((image * output.len()) as i64 + place);
                }
            }
        }
        if joined {
            tables.tap_len = kernel[1] * channels;
        }
        for y in 0..kernel[0] {
            for x in 0..if joined { kernel[1].min(1) } else { kernel[1] } {
                let offset = y * dilation[0] * input.row() + x * dilation[1] * input.channels;
                tables.taps.push(offset as i64);
            }
        }
        tables
    }
}
