//! The tables of mirrored ops, one per family.

use super::mirror::Mirror;

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod image;
mod index;
mod linear;
mod ml;
mod norm;
mod quant;
mod random;
mod reduce;
mod rnn;
mod sequence;
mod shape;
mod signal;
mod string;
mod training;

/// All mirrored ops.
pub const ALL: &[&[Mirror]] = &[
    activation::MIRRORS,
    attention::MIRRORS,
    control::MIRRORS,
    conv::MIRRORS,
    elementwise::MIRRORS,
    image::MIRRORS,
    index::MIRRORS,
    linear::MIRRORS,
    ml::MIRRORS,
    norm::MIRRORS,
    quant::MIRRORS,
    random::MIRRORS,
    reduce::MIRRORS,
    rnn::MIRRORS,
    sequence::MIRRORS,
    shape::MIRRORS,
    signal::MIRRORS,
    string::MIRRORS,
    training::MIRRORS,
];
