//! Integer values known in terms of sizes.
