//! Launches that a backend can run as one.

use crate::ir::Launch;

/// Three launches in a row. The first makes one value, which only the second reads, and the second
/// one, which only the third does.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'l> {
    /// The launches.
    pub launches: [&'l Launch; 3],
    /// One value per size of each.
    pub sizes: [&'l [i64]; 3],
    /// Of each of the two values in between: the parameter that it is made as, and the one that it
    /// is read as.
    pub links: [(usize, usize); 2],
}
