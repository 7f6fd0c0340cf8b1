//! The string family has no composites.
