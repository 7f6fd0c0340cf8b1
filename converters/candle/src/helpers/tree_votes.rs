use candle_core::{DType, Result, Tensor, bail};

/// Sums of what decision trees vote for each target: `[rows, count]`.
///
/// A row of `nodes` is a branch: a feature, a comparison (0 `<=`, 1 `<`, 2 `>=`, 3 `>`, 4 `==`, 5
/// `!=`), the node where it holds, the node where it does not, and whether it holds for NaN. With
/// feature -1 it is a leaf: the third and the fourth number are its range of votes.
pub fn tree_votes(
    x: &Tensor,
    nodes: &Tensor,
    thresholds: &Tensor,
    roots: &Tensor,
    targets: &Tensor,
    votes: &Tensor,
    count: usize,
) -> Result<Tensor> {
    let rows = x.to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let nodes = nodes.to_vec2::<i64>()?;
    let thresholds = thresholds.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let (roots, targets) = (roots.to_vec1::<i64>()?, targets.to_vec1::<i64>()?);
    let votes = votes.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let mut sums = vec![0f32; rows.len() * count];
    for (row, sums) in rows.iter().zip(sums.chunks_mut(count.max(1))) {
        for &root in &roots {
            let mut at = root as usize;
            let mut steps = 0;
            while nodes[at][0] >= 0 {
                let Some(&value) = row.get(nodes[at][0] as usize) else {
                    bail!("a node asks for feature {} of {}", nodes[at][0], row.len())
                };
                let threshold = thresholds[at];
                let holds = match nodes[at][1] {
                    0 => value <= threshold,
                    1 => value < threshold,
                    2 => value >= threshold,
                    3 => value > threshold,
                    4 => value == threshold,
                    _ => value != threshold,
                };
                let holds = holds || (nodes[at][4] != 0 && value.is_nan());
                at = nodes[at][if holds { 2 } else { 3 }] as usize;
                steps += 1;
                if steps > nodes.len() {
                    bail!("the nodes of a tree form a cycle")
                }
            }
            for vote in nodes[at][2] as usize..nodes[at][3] as usize {
                sums[targets[vote] as usize] += votes[vote];
            }
        }
    }
    Tensor::from_vec(sums, (rows.len(), count), x.device())
}
