//! The sequence family has no composites.
