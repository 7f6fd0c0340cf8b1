//! A product as the driver of an artefact has to know it.

use airconv_ir::dim::Dim;
use airconv_ir::entity::SymbolId;
use airconv_kernel::c::native::{
    self, ExternalProduct, ExternalZero, MOST_AXES, MOST_BATCH, MOST_GUARDS, ProductCode,
    TileNumbers, TilesCode,
};
use airconv_kernel::ir::{Elem, Kernel, VarDef};

use super::find::{Axis, Place, Product};
use super::plan::Plan;
use super::run::{Form, PANELS, Selected};
use super::whole::{Whole, Zero};
use super::{cost, tiles};
use crate::compile::Modules;
use crate::micro::amx::{CHUNK, COLUMNS, ROWS, TILE, kernel_name};

/// The most sizes of a kernel.
const MOST_SIZES: u32 = 64;

/// The numbers that the driver needs for products on tiles; `always` where they are done on tiles
/// whatever the cost.
pub(crate) fn tile_numbers(always: bool) -> TileNumbers {
    let count = |n: usize| n as i64;
    TileNumbers {
        integers: vec![
            ("ac_tile_rows", count(ROWS)),
            ("ac_tile_columns", count(COLUMNS)),
            ("ac_tile_chunk", count(CHUNK)),
            ("ac_tile_bytes", count(TILE)),
            ("ac_tile_panels", PANELS),
            ("ac_tile_block", tiles::BLOCK),
            ("ac_tile_piece", tiles::PIECE),
            ("ac_tile_few", tiles::FEW),
            ("ac_tile_short", tiles::SHORT),
            ("ac_cost_always", i64::from(always)),
            ("ac_cost_cached", cost::CACHED),
        ],
        reals: vec![
            ("ac_cost_fma", cost::FMA),
            ("ac_cost_fma_rows", cost::FMA_ROWS),
            ("ac_cost_tiles", cost::TILES),
            ("ac_cost_split", cost::SPLIT),
            ("ac_cost_split_runs", cost::SPLIT_RUNS),
            ("ac_cost_split_uneven", cost::SPLIT_UNEVEN),
            ("ac_cost_pack", cost::PACK),
            ("ac_cost_store", cost::STORE),
            ("ac_cost_finish", cost::FINISH),
            ("ac_cost_long", cost::LONG),
            ("ac_cost_start", cost::START),
            ("ac_cost_block", cost::BLOCK),
            ("ac_cost_near", cost::NEAR),
            ("ac_cost_far", cost::FAR),
            ("ac_cost_most", cost::Estimate::MOST),
        ],
    }
}

/// An expression over the kernel's variables as one over its sizes.
fn over_sizes(kernel: &Kernel, d: &Dim) -> Option<Dim> {
    let mut plain = true;
    let made = d.substitute(&mut |v| match kernel.vars.get(v.0 as usize) {
        Some(VarDef::Size(i)) => Some(Dim::symbol(SymbolId(*i))),
        _ => {
            plain = false;
            None
        }
    });
    (plain && !made.is_any()).then_some(made)
}

/// What is taken away from an operand, which may move with these columns.
fn zero(kernel: &Kernel, zero: &Zero, along: &[Axis]) -> Option<ExternalZero> {
    let dim = |d: &Dim| over_sizes(kernel, d);
    match zero {
        Zero::Number(x) => Some(ExternalZero::Number(*x)),
        Zero::Element { param, base, columns } => {
            let each = along.iter().zip(columns);
            let steps = each.map(|(a, step)| Some([dim(&a.extent)?, dim(step)?]));
            let columns = steps.collect::<Option<_>>()?;
            Some(ExternalZero::Element { param: *param, base: dim(base)?, columns })
        }
    }
}

impl Product {
    /// What the driver has to know of it, without code; `None` where the driver has no room for
    /// it.
    pub(crate) fn external(&self, kernel: &Kernel) -> Option<ExternalProduct> {
        let p = self;
        let dim = |d: &Dim| over_sizes(kernel, d);
        let place = |at: &Place| Some((at.param, dim(&at.base)?));
        let axes = |list: &[Axis]| -> Option<Vec<[Dim; 4]>> {
            let one =
                |a: &Axis| Some([dim(&a.extent)?, dim(&a.left)?, dim(&a.right)?, dim(&a.out)?]);
            list.iter().map(one).collect()
        };
        let groups = [&p.batch, &p.rows, &p.columns, &p.sums];
        if kernel.sizes > MOST_SIZES
            || p.batch.len() > MOST_BATCH
            || p.guards.len() > MOST_GUARDS
            || groups.iter().any(|g| g.len() > MOST_AXES)
        {
            return None;
        }
        let mut guards = Vec::with_capacity(p.guards.len());
        for guard in &p.guards {
            let step = |a: &Axis| match guard.steps.iter().find(|(v, _)| *v == a.var) {
                Some((_, step)) => dim(step),
                None => Some(Dim::Known(0)),
            };
            let steps: Option<Vec<Dim>> = groups.iter().flat_map(|g| g.iter()).map(step).collect();
            guards.push((dim(&guard.base)?, steps?));
        }
        let zeros = match &p.whole {
            Some(Whole { left, right }) => {
                Some([zero(kernel, left, &[])?, zero(kernel, right, &p.columns)?])
            }
            None => None,
        };
        Some(ExternalProduct {
            zeros,
            codes: Vec::new(),
            places: [place(&p.left)?, place(&p.right)?, place(&p.out)?],
            axes: [axes(&p.batch)?, axes(&p.rows)?, axes(&p.columns)?, axes(&p.sums)?],
            guards,
            window: p.window,
            short_floats: [&p.left, &p.right, &p.out].map(|at| {
                match kernel.params.get(at.param as usize).map(|p| p.elem) {
                    Some(Elem::F16) => 1,
                    Some(Elem::Bf16) => 2,
                    _ => 0,
                }
            }),
        })
    }
}

impl Selected {
    /// Its code for the driver.
    pub(crate) fn code(&self) -> ProductCode {
        ProductCode {
            form: match self.form {
                Form::Even => native::Form::Even,
                Form::Gathered => native::Form::Gathered,
                Form::Window => native::Form::Window,
            },
            function: self.gemm.clone(),
            pack: self.pack.clone(),
            gather: self.gather.clone(),
            rows: self.tile.rows,
            width: self.tile.columns(),
            lanes: self.tile.lanes,
            convert: self.convert.as_ref().map(|names| names.list()),
            tiles: None,
        }
    }

    /// Its code on tiles for the driver, if it has some, with that of the same product on
    /// `vectors` for what is not exact on tiles, if it has panels as wide: then its own is taken
    /// from the modules that are compiled.
    pub(crate) fn tiles(&self, vectors: &Selected, modules: &mut Modules) -> Option<TilesCode> {
        let names = self.tiles.as_ref()?;
        let split = &names.split;
        let plain = match vectors.tile.columns() == self.tile.columns() {
            true => {
                modules.remove(&self.gemm);
                vectors.code()
            }
            false => self.code(),
        };
        Some(TilesCode {
            multiply: names.multiply.clone(),
            kernel: kernel_name(split.grade),
            split: [&split.even, &split.gathered, &split.right].map(String::clone),
            planes: split.grade.planes(),
            products: split.grade.products_count(),
            weights: self.work.weights,
            long: self.work.long,
            plain,
        })
    }

    /// Whether it can be done so at these sizes.
    pub(crate) fn is_ready(&self, sizes: &[i64]) -> bool {
        let plan = Plan::new(&self.kernel, &self.product, self.tile, sizes);
        plan.is_some_and(|p| p.k > 0 && (self.form == Form::Even || p.gathered.is_some()))
    }
}
