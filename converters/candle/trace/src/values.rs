//! Named inputs and outputs.

use std::ops::Index;

use candle_core::{Result, Tensor};

/// The inputs of a program, by name and by position.
#[derive(Clone, Debug)]
pub struct Inputs(Vec<(String, Tensor)>);

impl Inputs {
    /// Inputs with these names; no two may have the same one.
    pub fn new(inputs: Vec<(String, Tensor)>) -> Result<Self> {
        for (i, (name, _)) in inputs.iter().enumerate() {
            if inputs.iter().take(i).any(|(other, _)| other == name) {
                candle_core::bail!("two inputs are called `{name}`");
            }
        }
        Ok(Self(inputs))
    }
    /// Names and tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(n, t)| (n.as_str(), t))
    }
}

impl Index<&str> for Inputs {
    type Output = Tensor;
    /// The input of a name.
    ///
    /// # Panics
    /// If the program has no such input.
    fn index(&self, name: &str) -> &Tensor {
        match self.0.iter().find(|(n, _)| n == name) {
            Some((_, tensor)) => tensor,
            None => panic!("the program has no input `{name}`"),
        }
    }
}

impl Index<usize> for Inputs {
    type Output = Tensor;
    /// The input at a position.
    ///
    /// # Panics
    /// If the program has fewer inputs.
    fn index(&self, at: usize) -> &Tensor {
        &self.0[at].1
    }
}

/// What a program can give: one tensor (`output`), several (`output_0`, ...), or named ones.
pub trait Outputs {
    /// The tensors with their names.
    fn named(&self) -> Vec<(String, Tensor)>;
}

impl Outputs for Tensor {
    fn named(&self) -> Vec<(String, Tensor)> {
        vec![("output".to_owned(), self.clone())]
    }
}

impl Outputs for (Tensor, Tensor) {
    fn named(&self) -> Vec<(String, Tensor)> {
        vec![("output_0".to_owned(), self.0.clone()), ("output_1".to_owned(), self.1.clone())]
    }
}

impl Outputs for Vec<Tensor> {
    fn named(&self) -> Vec<(String, Tensor)> {
        self.iter().enumerate().map(|(i, t)| (format!("output_{i}"), t.clone())).collect()
    }
}

impl<N: AsRef<str>> Outputs for Vec<(N, Tensor)> {
    fn named(&self) -> Vec<(String, Tensor)> {
        self.iter().map(|(n, t)| (n.as_ref().to_owned(), t.clone())).collect()
    }
}
