//! What a micro-kernel does with a finished vector of the result before it stores it.

use crate::emit::{FloatVector, Function};

/// A vector of the result, ready for its epilogue.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The value.
    pub value: &'a str,
    /// Its row, an `i64`.
    pub row: &'a str,
    /// The column of its first lane, an `i64`.
    pub column: &'a str,
    /// The lanes that exist, or nothing where all do. Memory of the others must not be touched.
    pub mask: Option<&'a str>,
    /// The vector's type.
    pub vector: FloatVector,
    /// The argument that the caller of the kernel passed for the epilogue, a pointer.
    pub args: &'a str,
}

impl Place<'_> {
    /// Loads a vector of floats, of the lanes that exist.
    pub fn load(&self, f: &mut Function, address: &str) -> String {
        match self.mask {
            Some(mask) => self.vector.masked_load(f, address, mask),
            None => self.vector.load(f, address),
        }
    }
}

/// The epilogue of a class of kernels.
pub trait Epilogue {
    /// Whether it is short enough (a few instructions) to be repeated for every register of the
    /// tile. If not, finished tiles are stored first and gone over once more, in the first-level
    /// cache, by one copy of the code.
    fn is_short(&self) -> bool {
        false
    }

    /// Whether it leaves every value as it is.
    fn is_identity(&self) -> bool {
        false
    }

    /// Emits the instructions for one vector and gives the name of the result. It must not jump.
    fn emit(&self, f: &mut Function, at: &Place<'_>) -> String;
}

/// No epilogue.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Epilogue for Identity {
    fn is_short(&self) -> bool {
        true
    }

    fn is_identity(&self) -> bool {
        true
    }

    fn emit(&self, _: &mut Function, at: &Place<'_>) -> String {
        at.value.to_string()
    }
}

/// An epilogue given by a closure.
pub struct Custom<F> {
    /// See [`Epilogue::is_short`].
    pub short: bool,
    /// See [`Epilogue::emit`].
    pub emit: F,
}

impl<F: Fn(&mut Function, &Place<'_>) -> String> Epilogue for Custom<F> {
    fn is_short(&self) -> bool {
        self.short
    }

    fn emit(&self, f: &mut Function, at: &Place<'_>) -> String {
        (self.emit)(f, at)
    }
}

/// A function of one value after the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// None.
    Linear,
    /// The larger of it and zero; NaN stays.
    Relu,
    /// Relu, and at most six.
    Relu6,
}

/// Adds a bias and applies an activation. `args` is the address of the bias itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bias {
    /// One value per row of the result rather than per column.
    pub per_row: bool,
    /// What follows.
    pub activation: Activation,
}

impl Epilogue for Bias {
    fn is_short(&self) -> bool {
        true
    }

    fn emit(&self, f: &mut Function, at: &Place<'_>) -> String {
        let ty = at.vector.ty();
        let bias = if self.per_row {
            let address = f.at("float", at.args, at.row);
            at.vector.load_splat(f, &address)
        } else {
            let address = f.at("float", at.args, at.column);
            at.load(f, &address)
        };
        let mut x = f.value(format_args!("fadd {ty} {}, {bias}", at.value));
        if self.activation != Activation::Linear {
            let below = f.value(format_args!("fcmp olt {ty} {x}, zeroinitializer"));
            let mask = at.vector.mask_ty();
            x = f.value(format_args!("select {mask} {below}, {ty} zeroinitializer, {ty} {x}"));
        }
        if self.activation == Activation::Relu6 {
            let six = at.vector.splat(f, "6.0");
            let above = f.value(format_args!("fcmp ogt {ty} {x}, {six}"));
            let mask = at.vector.mask_ty();
            x = f.value(format_args!("select {mask} {above}, {ty} {six}, {ty} {x}"));
        }
        x
    }
}
