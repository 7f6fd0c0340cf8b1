//! Products.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::op::*;

use super::maker::{Made, Maker};
use super::{Done, Step};

pub(super) const STEPS: &[Step] =
    &[matmul, matmul, product, product, contract, contract, gemm, einsum];

/// Another factor: a value that fits, or a constant, of sizes chosen to meet tiles and their ends.
fn factor(
    m: &mut Maker<'_>,
    dtype: DType,
    rows: i64,
) -> Result<Made, airconv_ir::builder::BuildError> {
    let columns = [1, 3, 8, 16, 17, 24, 33, 48][m.rng.below(8)];
    m.fixed(dtype, &[rows as usize, columns])
}

/// By a constant matrix.
fn matmul(m: &mut Maker<'_>) -> Done {
    let known = |d: Option<&Dim>| d.and_then(Dim::as_known);
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool && known(ty.shape.last()).is_some())
    else {
        return Ok(None);
    };
    let w = factor(m, x.dtype, known(ty.shape.last()).unwrap_or(0))?;
    m.computed(Matmul {}, &[x, w])
}

/// Of two values, one maybe with its last axes swapped.
fn product(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool && ty.shape.len() >= 2) else {
        return Ok(None);
    };
    let rank = ty.shape.len();
    let fits = |other: &airconv_ir::types::TensorType, _: f64| {
        let n = other.shape.len();
        other.dtype == ty.dtype && n >= 2 && other.shape[n - 1] == ty.shape[rank - 1]
    };
    let Some((y, other)) = m.pick(fits) else { return Ok(None) };
    let n = other.shape.len() as i64;
    let mut perm: Vec<i64> = (0..n).collect();
    perm.swap(n as usize - 2, n as usize - 1);
    let swapped = m.b.transpose(y.value, &perm)?;
    m.computed(Matmul {}, &[x, Made { value: swapped, ..y }])
}

/// Over any axes.
fn contract(m: &mut Maker<'_>) -> Done {
    let Some((x, ty)) = m.pick(|ty, _| ty.dtype != DType::Bool && !ty.shape.is_empty()) else {
        return Ok(None);
    };
    let same = |other: &airconv_ir::types::TensorType, _: f64| {
        other.dtype == ty.dtype && other.shape.iter().any(|d| ty.shape.contains(d))
    };
    let Some((y, other)) = m.pick(same) else { return Ok(None) };
    let (mut batch, mut over) = (Vec::new(), Vec::new());
    let mut free: Vec<usize> = (0..other.shape.len()).collect();
    for (i, d) in ty.shape.iter().enumerate() {
        let Some(at) = free.iter().position(|&j| other.shape[j] == *d) else { continue };
        match m.rng.below(3) {
            0 => batch.push((i as i64, free.remove(at) as i64)),
            1 => over.push((i as i64, free.remove(at) as i64)),
            _ => {}
        }
    }
    let (lhs_batch, rhs_batch) = batch.into_iter().unzip();
    let (lhs_contract, rhs_contract) = over.into_iter().unzip();
    m.computed(Contract { lhs_batch, rhs_batch, lhs_contract, rhs_contract }, &[x, y])
}

fn gemm(m: &mut Maker<'_>) -> Done {
    let fits = |ty: &airconv_ir::types::TensorType, _: f64| {
        ty.dtype.is_float()
            && ty.shape.len() == 2
            && ty.shape.iter().all(|d| d.as_known().is_some())
    };
    let Some((x, ty)) = m.pick(fits) else { return Ok(None) };
    let trans_a = m.rng.one_in(2);
    let rows = ty.shape[usize::from(!trans_a)].as_known().unwrap_or(0);
    let w = factor(m, x.dtype, rows)?;
    let columns = m.ty(w)?.shape[1].as_known().unwrap_or(0) as usize;
    let c = m.fixed(x.dtype, &[columns])?;
    let number = |v: f64| airconv_ir::attr::Float(v);
    let op = Gemm { alpha: number(0.5), beta: number(2.0), trans_a, trans_b: false };
    m.computed(op, &[x, w, c])
}

fn einsum(m: &mut Maker<'_>) -> Done {
    let Some((x, _)) = m.pick(|ty, _| ty.dtype.is_float() && ty.shape.len() == 3) else {
        return Ok(None);
    };
    let equations = ["ijk,ijk->ik", "ijk,ilk->ijl", "ijk,imk->mj", "ijk,ijk->", "ijk,ilk->jkl"];
    let equation = equations[m.rng.below(5)].to_owned();
    m.computed(Einsum { equation }, &[x, x])
}
