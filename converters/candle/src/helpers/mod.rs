//! What candle lacks, as functions on tensors: one file each. The writer puts the files that a
//! model needs beside it as they are; the executor calls them.

mod conv_nd;
mod cumsum;
mod gather_nd;
mod gru;
mod hard_swish;
mod int_div;
mod ints;
mod is_true;
mod layer_norm;
mod lstm;
mod map;
mod non_max_suppression;
mod nonzero;
mod pad_reflect;
mod pad_with;
mod pad_with_tensor;
mod pad_wrap;
mod pow;
mod prod_keepdim;
mod range;
mod rem;
mod rms_norm;
mod rnn;
mod round_ties_even;
mod scatter_nd;
mod select;
// Called by generated code only: the executor keeps sizes signed.
#[allow(dead_code)]
mod sizes;
mod take;
mod top_k;
mod windows;
mod wrap_indices;

pub use conv_nd::conv_nd;
pub use cumsum::cumsum;
pub use gather_nd::gather_nd;
pub use gru::gru;
pub use hard_swish::hard_swish;
pub use int_div::int_div;
pub use ints::ints;
pub use is_true::is_true;
pub use layer_norm::layer_norm;
pub use lstm::lstm;
pub use map::map;
pub use non_max_suppression::non_max_suppression;
pub use nonzero::nonzero;
pub use pad_reflect::pad_reflect;
pub use pad_with::pad_with;
pub use pad_with_tensor::pad_with_tensor;
pub use pad_wrap::pad_wrap;
pub use pow::pow;
pub use prod_keepdim::prod_keepdim;
pub use range::range;
pub use rem::rem;
pub use rms_norm::rms_norm;
pub use rnn::rnn;
pub use round_ties_even::round_ties_even;
pub use scatter_nd::scatter_nd;
pub use select::select;
pub use take::take;
pub use top_k::top_k;
pub use windows::windows;
pub use wrap_indices::wrap_indices;
