//! The trees of `tree_ensemble_classifier` and `tree_ensemble_regressor`, which are given as lists
//! with one entry for each node and for each vote.

use rustc_hash::FxHashMap;

use crate::op::{TreeEnsembleClassifier, TreeEnsembleRegressor};

/// The comparison of a node with its threshold, by its number in `tree_ensemble`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// `<=`
    LessOrEqual,
    /// `<`
    Less,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Test {
    /// All, by number.
    pub const ALL: [Test; 6] = [
        Test::LessOrEqual,
        Test::Less,
        Test::GreaterOrEqual,
        Test::Greater,
        Test::Equal,
        Test::NotEqual,
    ];

    /// The comparison of a mode; `None` for a leaf.
    fn of_mode(mode: &str) -> Option<Test> {
        Some(match mode {
            "LEAF" => return None,
            "BRANCH_LEQ" => Test::LessOrEqual,
            "BRANCH_LT" => Test::Less,
            "BRANCH_GTE" => Test::GreaterOrEqual,
            "BRANCH_GT" => Test::Greater,
            "BRANCH_EQ" => Test::Equal,
            _ => Test::NotEqual,
        })
    }
}

/// A node of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Goes on to one of two nodes, by their positions.
    Branch {
        /// The feature that is compared; negative where none is named.
        feature: i64,
        /// How it is compared.
        test: Test,
        /// Whether NaN counts as if the comparison held.
        missing_holds: bool,
        /// Where to go when it holds.
        holds: usize,
        /// Where to go when it does not.
        fails: usize,
    },
    /// Casts votes, by their positions.
    Leaf(Vec<usize>),
}

/// The trees: node `i` has entry `i` of the lists of nodes, vote `i` that of the lists of votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The first node of each tree.
    pub roots: Vec<usize>,
}

/// The lists that say what the trees are; thresholds and weights, which may be tensors, apart.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    tree_ids: &'a [i64],
    node_ids: &'a [i64],
    features: &'a [i64],
    modes: &'a [String],
    holds: &'a [i64],
    fails: &'a [i64],
    missing: &'a [i64],
    vote_trees: &'a [i64],
    vote_nodes: &'a [i64],
    /// The target or class of each vote.
    pub targets: &'a [i64],
}

impl<'a> From<&'a TreeEnsembleRegressor> for Lists<'a> {
    fn from(op: &'a TreeEnsembleRegressor) -> Self {
        Lists {
            tree_ids: &op.nodes_treeids,
            node_ids: &op.nodes_nodeids,
            features: &op.nodes_featureids,
            modes: &op.nodes_modes,
            holds: &op.nodes_truenodeids,
            fails: &op.nodes_falsenodeids,
            missing: &op.nodes_missing_value_tracks_true,
            vote_trees: &op.target_treeids,
            vote_nodes: &op.target_nodeids,
            targets: &op.target_ids,
        }
    }
}

impl<'a> From<&'a TreeEnsembleClassifier> for Lists<'a> {
    fn from(op: &'a TreeEnsembleClassifier) -> Self {
        Lists {
            tree_ids: &op.nodes_treeids,
            node_ids: &op.nodes_nodeids,
            features: &op.nodes_featureids,
            modes: &op.nodes_modes,
            holds: &op.nodes_truenodeids,
            fails: &op.nodes_falsenodeids,
            missing: &op.nodes_missing_value_tracks_true,
            vote_trees: &op.class_treeids,
            vote_nodes: &op.class_nodeids,
            targets: &op.class_ids,
        }
    }
}

impl Lists<'_> {
    /// The trees.
    ///
    /// # Errors
    /// When a node occurs twice, or one is named that does not exist.
    pub fn trees(&self) -> Result<Trees, String> {
        let ids = || self.tree_ids.iter().copied().zip(self.node_ids.iter().copied());
        let mut places: FxHashMap<(i64, i64), usize> = FxHashMap::default();
        for (i, id) in ids().enumerate() {
            if places.insert(id, i).is_some() {
                return Err(format!("node {} of tree {} occurs twice", id.1, id.0));
            }
        }
        let place = |tree: i64, node: i64| {
            let found = places.get(&(tree, node)).copied();
            found.ok_or_else(|| format!("there is no node {node} in tree {tree}"))
        };
        let mut votes: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
        for (vote, (&tree, &node)) in self.vote_trees.iter().zip(self.vote_nodes).enumerate() {
            if let Some(list) = votes.get_mut(place(tree, node)?) {
                list.push(vote);
            }
        }
        let mut trees = Trees { nodes: Vec::with_capacity(votes.len()), roots: Vec::new() };
        let mut previous = None;
        for (i, ((tree, _), votes)) in ids().zip(votes).enumerate() {
            if previous != Some(tree) {
                trees.roots.push(i);
            }
            previous = Some(tree);
            let entry = |list: &[i64]| list.get(i).copied().unwrap_or(-1);
            let mode = self.modes.get(i).map_or("LEAF", String::as_str);
            trees.nodes.push(match Test::of_mode(mode) {
                None => Node::Leaf(votes),
                Some(test) => Node::Branch {
                    feature: entry(self.features),
                    test,
                    missing_holds: entry(self.missing) == 1,
                    holds: place(tree, entry(self.holds))?,
                    fails: place(tree, entry(self.fails))?,
                },
            });
        }
        Ok(trees)
    }
}
