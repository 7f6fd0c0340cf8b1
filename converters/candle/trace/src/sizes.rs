//! At which sizes a program is run.

use std::ops::Index;

use candle_core::Result;

/// The sizes of one run by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(pub(crate) Vec<(String, usize)>);

impl Sizes {
    /// Sizes with these names and values.
    pub fn new<N: Into<String>>(sizes: impl IntoIterator<Item = (N, usize)>) -> Self {
        Self(sizes.into_iter().map(|(n, v)| (n.into(), v)).collect())
    }
    /// The size of a name, if there is one.
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

impl Index<&str> for Sizes {
    type Output = usize;
    /// The size of a name.
    ///
    /// # Panics
    /// If the program has no size of that name.
    fn index(&self, name: &str) -> &usize {
        match self.0.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value,
            None => panic!("the program has no size `{name}`"),
        }
    }
}

/// The first values of all; then every other value of each with the first values of the others;
/// then the last values of all, where there is more than one size.
pub(crate) fn combinations(sizes: &[(String, Vec<usize>)]) -> Result<Vec<Sizes>> {
    let mut first = Vec::with_capacity(sizes.len());
    for (name, values) in sizes {
        match values.first() {
            Some(&value) => first.push((name.clone(), value)),
            None => candle_core::bail!("the size `{name}` has no values"),
        }
    }
    let mut out = vec![Sizes(first.clone())];
    for (i, (_, values)) in sizes.iter().enumerate() {
        for &value in &values[1..] {
            let mut other = first.clone();
            other[i].1 = value;
            out.push(Sizes(other));
        }
    }
    if sizes.len() > 1 {
        let last = |(n, v): &(String, Vec<usize>)| (n.clone(), v.last().copied().unwrap_or(0));
        out.push(Sizes(sizes.iter().map(last).collect()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_varies_alone_and_all_do_together() {
        let sizes = [("a".to_owned(), vec![2, 3, 5]), ("b".to_owned(), vec![7, 11])];
        let got: Vec<(usize, usize)> =
            combinations(&sizes).unwrap().iter().map(|s| (s["a"], s["b"])).collect();
        assert_eq!(got, [(2, 7), (3, 7), (5, 7), (2, 11), (5, 11)]);
        assert_eq!(combinations(&[]).unwrap(), [Sizes(Vec::new())]);
        assert!(combinations(&[("a".to_owned(), Vec::new())]).is_err());
    }
}
