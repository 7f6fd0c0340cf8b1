//! Which nodes of two regions correspond.

use std::collections::BTreeMap;

use airconv_ir::entity::{NodeId, RegionId, ValueId};
use airconv_ir::module::Function;
use rustc_hash::{FxHashMap, FxHashSet};

use super::label::{Hash, Side, hash};

/// The most pairs that are looked at for a longest common order.
const MOST_PAIRS: usize = 16 << 20;

/// What [`region`] finds.
pub(super) struct Found {
    /// Nodes that correspond, in no order.
    pub pairs: Vec<(NodeId, NodeId)>,
    /// How many of them are computed from the same or go the same way to the results; these
    /// come first.
    pub sound: usize,
    /// What each value of the first is computed from.
    pub a: FxHashMap<ValueId, Hash>,
    /// What each value of the second is computed from.
    pub b: FxHashMap<ValueId, Hash>,
}

/// Nodes without a counterpart so far, in order, and the pairs that were found.
struct Open {
    a: Vec<NodeId>,
    b: Vec<NodeId>,
    pairs: Vec<(NodeId, NodeId)>,
}

impl Open {
    /// Pairs nodes of equal keys in order. With `sole`, only keys that each side has once.
    fn pair<K: Ord>(
        &mut self,
        sole: bool,
        mut key_a: impl FnMut(NodeId) -> Option<K>,
        mut key_b: impl FnMut(NodeId) -> Option<K>,
    ) {
        let mut by_key: BTreeMap<K, (Vec<NodeId>, Vec<NodeId>)> = BTreeMap::new();
        for &n in &self.a {
            if let Some(k) = key_a(n) {
                by_key.entry(k).or_default().0.push(n);
            }
        }
        for &n in &self.b {
            if let Some(k) = key_b(n) {
                by_key.entry(k).or_default().1.push(n);
            }
        }
        let found: Vec<(NodeId, NodeId)> = by_key
            .into_values()
            .filter(|(x, y)| !sole || (x.len() == 1 && y.len() == 1))
            .flat_map(|(x, y)| x.into_iter().zip(y))
            .collect();
        self.take(found);
    }

    /// Pairs nodes of equal keys in the longest order that both sides have.
    fn pair_in_order<K: PartialEq>(
        &mut self,
        key_a: impl FnMut(NodeId) -> K,
        key_b: impl FnMut(NodeId) -> K,
    ) {
        let x: Vec<K> = self.a.iter().copied().map(key_a).collect();
        let y: Vec<K> = self.b.iter().copied().map(key_b).collect();
        if x.len().saturating_mul(y.len()) > MOST_PAIRS {
            return;
        }
        let found = longest_common(&x, &y).into_iter().map(|(i, j)| (self.a[i], self.b[j]));
        let found = found.collect();
        self.take(found);
    }

    fn take(&mut self, found: Vec<(NodeId, NodeId)>) {
        let (x, y): (FxHashSet<NodeId>, FxHashSet<NodeId>) = found.iter().copied().unzip();
        self.a.retain(|n| !x.contains(n));
        self.b.retain(|n| !y.contains(n));
        self.pairs.extend(found);
    }
}

/// Positions of a longest common subsequence.
fn longest_common<K: PartialEq>(x: &[K], y: &[K]) -> Vec<(usize, usize)> {
    let wide = y.len() + 1;
    // At (i, j): how long it is for x[i..] and y[j..].
    let mut table = vec![0u32; (x.len() + 1) * wide];
    for i in (0..x.len()).rev() {
        for j in (0..y.len()).rev() {
            table[i * wide + j] = if x[i] == y[j] {
                table[(i + 1) * wide + j + 1] + 1
            } else {
                table[(i + 1) * wide + j].max(table[i * wide + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < x.len() && j < y.len() {
        if x[i] == y[j] {
            out.push((i, j));
            i += 1;
            j += 1;
        } else if table[(i + 1) * wide + j] >= table[i * wide + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Matches the nodes of two regions whose parameters correspond as given.
pub(super) fn region(
    a: &mut Side<'_>,
    ra: RegionId,
    b: &mut Side<'_>,
    rb: RegionId,
    params: &[(ValueId, ValueId)],
    depth: u32,
) -> Found {
    let (f, g) = (a.f, b.f);
    let numbered = params.iter().zip(0u64..);
    let token = |i: u64| hash(&[b"pair", &i.to_le_bytes()]);
    let known_a = numbered.clone().map(|((x, _), i)| (*x, token(i))).collect();
    let known_b = numbered.map(|((_, y), i)| (*y, token(i))).collect();
    let values_a = a.forward(ra, known_a, depth);
    let values_b = b.forward(rb, known_b, depth);
    let nodes = |f: &Function, r: RegionId| f.regions.get(r).map(|r| r.nodes.clone());
    let mut open = Open {
        a: nodes(f, ra).unwrap_or_default(),
        b: nodes(g, rb).unwrap_or_default(),
        pairs: Vec::new(),
    };
    open.pair(false, |n| Some(a.node(n, &values_a, depth)), |n| Some(b.node(n, &values_b, depth)));
    if !open.a.is_empty() && !open.b.is_empty() {
        let (ways_a, ways_b) = (ways(a, ra, depth), ways(b, rb, depth));
        open.pair(false, |n| ways_a.get(&n).copied(), |n| ways_b.get(&n).copied());
    }
    let sound = open.pairs.len();
    if !open.a.is_empty() && !open.b.is_empty() {
        open.pair(true, |n| Some((name(f, n)?, a.label(n))), |n| Some((name(g, n)?, b.label(n))));
        open.pair_in_order(|n| a.label(n), |n| b.label(n));
        let op = |f: &Function, n: NodeId| f.nodes.get(n).map(|n| super::op_name(&n.op));
        open.pair(true, |n| Some((name(f, n)?, op(f, n)?)), |n| Some((name(g, n)?, op(g, n)?)));
        open.pair_in_order(|n| op(f, n), |n| op(g, n));
    }
    Found { pairs: open.pairs, sound, a: values_a, b: values_b }
}

/// The name of a node's first result.
fn name(f: &Function, node: NodeId) -> Option<String> {
    let value = f.nodes.get(node)?.outputs().next()?;
    Some(f.values.get(value)?.name.as_deref()?.to_owned())
}

/// For each node of a region the digest of itself and of everything that is computed from it,
/// down to the results. Nodes that lead nowhere have none.
fn ways(side: &mut Side<'_>, region: RegionId, depth: u32) -> FxHashMap<NodeId, Hash> {
    let f = side.f;
    let mut out = FxHashMap::default();
    let Some(r) = f.regions.get(region) else { return out };
    let mut uses: FxHashMap<ValueId, Vec<Hash>> = FxHashMap::default();
    for (i, &v) in r.results.iter().enumerate() {
        // Outputs of the program are known by name, results of other regions by position.
        let named = if depth == 0 { f.outputs.get(i).map(|o| o.name.as_bytes()) } else { None };
        let index = (i as u64).to_le_bytes();
        uses.entry(v).or_default().push(hash(&[b"result", named.unwrap_or(&index)]));
    }
    for &node in r.nodes.iter().rev() {
        let Some(n) = f.nodes.get(node) else { continue };
        let mut parts = vec![side.label(node)];
        let mut leads = false;
        for (i, result) in n.results.iter().enumerate() {
            let mut here = result.and_then(|v| uses.remove(&v)).unwrap_or_default();
            leads |= !here.is_empty();
            here.sort_unstable();
            parts.push(hash(&[&(i as u64).to_le_bytes()]));
            parts.extend(here);
        }
        let parts: Vec<&[u8]> = parts.iter().map(|h| &h[..]).collect();
        let way = hash(&parts);
        if leads {
            out.insert(node, way);
        }
        for (slot, operand) in n.operands.iter().enumerate() {
            if let Some(v) = operand {
                uses.entry(*v).or_default().push(hash(&[&way, &(slot as u64).to_le_bytes()]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_common_order_is_found() {
        let of = |x: &str, y: &str| {
            let (x, y): (Vec<char>, Vec<char>) = (x.chars().collect(), y.chars().collect());
            longest_common(&x, &y).into_iter().map(|(i, _)| x[i]).collect::<String>()
        };
        assert_eq!(of("abcbdab", "bdcaba").len(), 4);
        assert_eq!(of("abc", "abc"), "abc");
        assert_eq!(of("", "abc"), "");
        assert_eq!(of("xay", "bab"), "a");
    }
}
