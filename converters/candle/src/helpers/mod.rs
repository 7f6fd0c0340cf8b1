//! What candle lacks, as functions on tensors: one file each. The writer puts the files that a
//! model needs beside it as they are; the executor calls them.

mod arg_last;
mod attention;
mod causal_mask;
mod conv_nd;
mod conv_transpose1d;
mod cumsum;
mod gather_nd;
mod gru;
mod hard_swish;
mod int_div;
mod ints;
mod is_true;
mod layer_norm;
mod lookup;
mod low_bits;
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
mod project;
mod range;
mod rem;
mod rms_norm;
mod rnn;
mod round_float;
mod round_ties_even;
mod round_to_power;
mod scan;
mod scatter_nd;
mod scatter_nd_with;
mod select;
mod sign;
// Called by generated code only: the executor keeps sizes signed.
#[allow(dead_code)]
mod sizes;
<<<<<<< HEAD
mod slice;
=======
mod sort_keys;
>>>>>>> fixes
mod take;
mod top_k;
mod tree_votes;
mod unique;
mod windows;
mod wrap_indices;
mod zip_ints;

pub use arg_last::arg_last;
pub use attention::attention;
pub use causal_mask::causal_mask;
pub use conv_nd::conv_nd;
pub use conv_transpose1d::conv_transpose1d;
pub use cumsum::cumsum;
pub use gather_nd::gather_nd;
pub use gru::gru;
pub use hard_swish::hard_swish;
pub use int_div::int_div;
pub use ints::ints;
pub use is_true::is_true;
pub use layer_norm::layer_norm;
pub use lookup::lookup;
pub use low_bits::low_bits;
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
pub use project::project;
pub use range::range;
pub use rem::rem;
pub use rms_norm::rms_norm;
pub use rnn::rnn;
pub use round_float::round_float;
pub use round_ties_even::round_ties_even;
pub use round_to_power::round_to_power;
pub use scan::scan;
pub use scatter_nd::scatter_nd;
pub use scatter_nd_with::scatter_nd_with;
pub use select::select;
<<<<<<< HEAD
pub use sign::sign;
pub use slice::slice;
=======
pub use sort_keys::sort_keys;
>>>>>>> fixes
pub use take::take;
pub use top_k::top_k;
pub use tree_votes::tree_votes;
pub use unique::unique;
pub use windows::windows;
pub use wrap_indices::wrap_indices;
pub use zip_ints::zip_ints;
