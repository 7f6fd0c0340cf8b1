//! How kernels are done, and why so, in words.

use super::find::Product;
use super::run::{Form, Selected, UseTiles};
use super::whole;
use crate::micro::amx::Grade;
use crate::target::Isa;

/// Why a kernel is not done as a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// It is no sum of products with linear indices.
    #[error("it is no matrix product")]
    NoProduct,
    /// It is a product of bytes, for which there is other code.
    #[error("its operands are bytes")]
    Bytes,
    /// Packing the right operand takes longer than so few rows.
    #[error("its right operand is not constant, and it has too few rows to pack it for")]
    Thin,
    /// It has too many batch axes.
    #[error("it has too many batch axes")]
    Axes,
    /// Its sums and columns are few.
    #[error("it is many small products, whose sums are short")]
    Small,
    /// A window of too many elements.
    #[error("its window has too many elements")]
    Taps,
    /// The bounds of what is read have no form that micro-kernels know.
    #[error("the bounds of what it reads are not those of a window")]
    Guards,
    /// The level has no code for its types.
    #[error("this level has no micro-kernel for its types")]
    Narrow,
    /// What is done with the sum has no form in a micro-kernel.
    #[error("what is done with its sums does not fit a micro-kernel")]
    Epilogue,
}

/// How a kernel is done, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// How.
    pub how: String,
    /// Why.
    pub why: String,
}

impl Explained {
    /// A kernel that is done loop by loop; `lanes` is what vectors of its level hold.
    pub fn loops(why: Declined, isa: Isa) -> Explained {
        let how = format!("loops, vectors of up to {} f32", isa.f32_lanes());
        Explained { how, why: why.to_string() }
    }
}

/// Rows, columns and sums, and how often; sizes that only a run tells are marked.
fn shape(product: &Product, [m, n, k]: [i64; 3]) -> String {
    let axes = [&product.rows, &product.columns, &product.sums];
    let mut sizes = axes.iter().zip([m, n, k]).map(|(axes, size)| {
        let known = axes.iter().all(|a| a.extent.as_known().is_some());
        if known { size.to_string() } else { "?".to_owned() }
    });
    let mut out = sizes.next().unwrap_or_default();
    sizes.for_each(|size| out += &format!("x{size}"));
    let batch = product.batch.iter().try_fold(1i64, |n, a| n.checked_mul(a.extent.as_known()?));
    match batch {
        Some(1) => out,
        Some(many) => format!("{many} of {out}"),
        None => format!("? of {out}"),
    }
}

impl Selected {
    /// How the product is done, and why so.
    pub fn explain(&self, grade: Grade) -> Explained {
        let shape = shape(&self.product, [self.work.m, self.work.n, self.work.k]);
        let what = match self.form {
            Form::Even => "product",
            Form::Gathered => "product of patches",
            Form::Window => "window by channel",
        };
        let right = if self.work.constant { "constant, packed once" } else { "packed in each run" };
        let on = match self.tiles {
            Some(_) => {
                format!("AMX tiles ({} products of bf16 for one of f32)", grade.products_count())
            }
            None => format!("vectors, {}x{} at once", self.tile.rows, self.tile.columns()),
        };
        Explained { how: format!("{what} {shape} on {on}; right operand {right}"), why: self.why() }
    }

    fn why(&self) -> String {
        match (self.estimate, &self.tiles) {
            (None, _) if self.isa != Isa::Amx => format!("level {} has no tiles", self.isa),
            (None, _) if self.used == UseTiles::Never => {
                "tiles are worth less than keeping its result in the cache".to_owned()
            }
            (None, _) if self.form == Form::Window => "its channels stay apart".to_owned(),
            (None, _) => "it is too small for tiles".to_owned(),
            (Some(e), Some(_)) => {
                format!("tiles take {:.2} of the time of vectors by estimate", e.share)
            }
            (Some(e), None) => format!(
                "tiles would take {:.2} of the time of vectors by estimate, at most {:.2} is worth \
                 them",
                e.share,
                super::cost::Estimate::MOST
            ),
        }
    }
}

impl whole::Selected {
    /// How the product is done, and why so.
    pub fn explain(&self) -> Explained {
        let [m, n, k] = self.sizes;
        let how =
            format!("product of bytes {}, sums exact in i32", shape(&self.product, self.sizes));
        let why = match &self.tiles {
            None => "level without tiles: vectors of bytes".to_owned(),
            Some(_) if super::cost::whole_pays(m, n, k) => {
                "tiles, which are faster by estimate at such sizes".to_owned()
            }
            Some(_) => "vectors of bytes, which are faster by estimate at such sizes".to_owned(),
        };
        Explained { how, why }
    }
}
