//! Fixes sizes and inputs of a module.
