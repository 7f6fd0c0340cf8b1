//! Tests of the file format from outside.

mod files;
mod golden;
mod hostile;
mod python;
mod sample;
