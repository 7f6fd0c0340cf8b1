//! Where operator calls go.

use std::fmt::Debug;
use std::hash::Hash;

use airconv_ir::dim::{Dim, Shape};
use airconv_ir::dtype::DType;

use crate::common::schema::Schema;
use crate::import::arg::Arg;
use crate::import::call::Stop;
use crate::script::ScriptTensor;

/// Comparisons of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// What takes the operator calls of a program.
///
/// Tensors are names for what the sink holds. Those of an enclosing region are never used in a
/// region as they are: [`capture`](Self::capture) gives their name inside.
pub(crate) trait AtenSink {
    /// A tensor.
    type Tensor: Copy + Eq + Hash + Debug;
    /// The body of a branch or loop.
    type Region: Copy + Debug;

    /// An operator call; arguments are in the order of the schema, results too.
    fn call(
        &mut self,
        schema: &'static Schema,
        args: &[Arg<Self::Tensor>],
    ) -> Result<Vec<Arg<Self::Tensor>>, Stop>;
    /// A tensor of the archive, in the current region.
    fn constant(&mut self, tensor: &ScriptTensor) -> Result<Self::Tensor, Stop>;
    /// The element type.
    fn dtype(&mut self, tensor: Self::Tensor) -> Result<DType, Stop>;
    /// The size of each axis.
    fn shape(&mut self, tensor: Self::Tensor) -> Result<Shape, Stop>;
    /// A number as a tensor of rank 0: i64, f64 or bool.
    fn number(&mut self, number: &Arg<Self::Tensor>) -> Result<Self::Tensor, Stop>;
    /// The element of a tensor with one element: a number if it is known, else
    /// [`Arg::Number`].
    fn item(&mut self, tensor: Self::Tensor) -> Result<Arg<Self::Tensor>, Stop>;
    /// Whether a comparison of sizes holds, if that can be told for all sizes.
    fn compare(&mut self, how: Compare, a: &Dim, b: &Dim) -> Option<bool>;
    /// Notes that a check of the program is taken to succeed.
    fn assume(&mut self, what: &str, place: &str);
    /// Says where in the source the calls to come are.
    fn place(&mut self, place: &str);

    /// A new region without parameters: a branch.
    fn branch(&mut self) -> Result<Self::Region, Stop>;
    /// A new region for the body of a loop: its parameters are the number of the iteration, the
    /// condition, and what is carried, of the types of `carried`. Gives the region, the number
    /// and what is carried.
    #[allow(clippy::type_complexity)]
    fn loop_body(
        &mut self,
        carried: &[Self::Tensor],
    ) -> Result<(Self::Region, Self::Tensor, Vec<Self::Tensor>), Stop>;
    /// Makes a region the current one; gives the one before.
    fn enter(&mut self, region: Self::Region) -> Self::Region;
    /// Makes a tensor of the region around `region` usable in it.
    fn capture(&mut self, region: Self::Region, tensor: Self::Tensor)
    -> Result<Self::Tensor, Stop>;
    /// Chooses between two regions with as many results. Gives the results.
    fn if_(
        &mut self,
        condition: Self::Tensor,
        branches: [(Self::Region, &[Self::Tensor]); 2],
    ) -> Result<Vec<Self::Tensor>, Stop>;
    /// Repeats a region: at most `trips` times, as long as the condition (`first` before the
    /// first iteration, `again` in the region) holds, where there is one. Gives what is carried
    /// at the end.
    fn loop_(
        &mut self,
        trips: Option<Self::Tensor>,
        first: Option<Self::Tensor>,
        carried: &[Self::Tensor],
        body: (Self::Region, Option<Self::Tensor>, &[Self::Tensor]),
    ) -> Result<Vec<Self::Tensor>, Stop>;
}
