use candle_core::{DType, Result, Tensor};

/// Boxes `[batch, n, 4]` kept for each class of `scores` `[batch, classes, n]` by greedy
/// suppression, from the highest score down: rows of batch, class and box.
pub fn non_max_suppression(
    boxes: &Tensor,
    scores: &Tensor,
    max_output: Option<&Tensor>,
    iou: Option<&Tensor>,
    score: Option<&Tensor>,
    center: bool,
) -> Result<Tensor> {
    let number = |x: Option<&Tensor>| match x {
        Some(x) => x.to_dtype(DType::F32)?.flatten_all()?.get(0)?.to_scalar::<f32>().map(Some),
        None => Ok(None),
    };
    let most = number(max_output)?.unwrap_or(0.) as usize;
    let (iou, floor) = (number(iou)?.unwrap_or(0.), number(score)?);
    let device = boxes.device();
    let boxes = boxes.to_dtype(DType::F32)?.to_vec3::<f32>()?;
    let scores = scores.to_dtype(DType::F32)?.to_vec3::<f32>()?;
    let mut rows = Vec::new();
    for (batch, (boxes, classes)) in boxes.iter().zip(&scores).enumerate() {
        let boxes = boxes.iter().map(|b| corners(b, center)).collect::<Vec<_>>();
        for (class, scores) in classes.iter().enumerate() {
            let mut order = (0..scores.len()).collect::<Vec<_>>();
            order.retain(|&i| floor.is_none_or(|floor| scores[i] > floor));
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let mut kept: Vec<usize> = Vec::new();
            for i in order {
                if kept.len() == most {
                    break;
                }
                if kept.iter().all(|&k| overlap(boxes[i], boxes[k]) <= iou) {
                    kept.push(i);
                }
            }
            rows.extend(kept.iter().flat_map(|&i| [batch as i64, class as i64, i as i64]));
        }
    }
    let count = rows.len() / 3;
    Tensor::from_vec(rows, (count, 3), device)
}

/// A box as its least and greatest coordinates.
fn corners(b: &[f32], center: bool) -> [f32; 4] {
    let [a, b, c, d] = [b[0], b[1], b[2], b[3]];
    if center {
        [a - c / 2., b - d / 2., a + c / 2., b + d / 2.]
    } else {
        [a.min(c), b.min(d), a.max(c), b.max(d)]
    }
}

/// The area that two boxes share, by the area that they cover.
fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.);
    let shared = width * height;
    if shared <= 0. { 0. } else { shared / (area(a) + area(b) - shared) }
}
