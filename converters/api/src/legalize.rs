//! Decomposes what a target lacks.
