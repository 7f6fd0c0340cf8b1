//! Inputs for a run: from a file, or made from a seed.

use std::collections::BTreeMap;

use airconv_ir::array::{Array, Scalar};
use airconv_ir::dim::{Dim, solve_for};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module};
use airconv_ir::types::Type;
use rustc_hash::FxHashMap;

use crate::npz::Member;

/// What a size is that nobody gives.
const DEFAULT_SIZE: i64 = 1;

/// The inputs of a module's entry from the members of a file. Keys are input names, alone
/// or behind `in:`; members that are no input are left alone when they have another prefix.
pub fn from_members(
    module: &Module,
    members: BTreeMap<String, Member>,
) -> Result<BTreeMap<String, Datum>, String> {
    let f = module.main();
    let mut out = BTreeMap::new();
    for (key, member) in members {
        let name = key.strip_prefix("in:").unwrap_or(&key);
        let Some(i) = f.inputs.iter().position(|x| x.name == name) else {
            if key.starts_with("out:") || key.starts_with("opt:") {
                continue;
            }
            return Err(format!("there is no input `{name}`"));
        };
        let wanted = f.body().params.get(i).and_then(|&v| f.ty(v).dtype());
        let array = member.into_array(wanted).map_err(|e| format!("input `{name}`: {e}"))?;
        out.insert(name.to_owned(), array.into());
    }
    Ok(out)
}

/// The values of the symbols of the entry's inputs that inputs of these shapes give.
pub fn sizes_of(module: &Module, inputs: &BTreeMap<String, Datum>) -> BTreeMap<String, i64> {
    let f = module.main();
    let mut found: FxHashMap<SymbolId, i64> = FxHashMap::default();
    for (&param, input) in f.body().params.iter().zip(&f.inputs) {
        let (Type::Tensor(ty), Some(array)) =
            (f.ty(param), inputs.get(&input.name).and_then(Datum::as_array))
        else {
            continue;
        };
        for (dim, &size) in ty.shape.iter().zip(&array.shape) {
            let get = |s: SymbolId| found.get(&s).copied();
            if dim.eval(&get).is_none()
                && let Some((symbol, v)) = solve_for(dim, size as i64, &get)
            {
                found.insert(symbol, v);
            }
        }
    }
    found
        .into_iter()
        .filter_map(|(s, v)| f.symbols.get(s).map(|symbol| (symbol.name.clone(), v)))
        .collect()
}

/// The most elements of an input that is drawn.
const MOST_ELEMENTS: usize = 1 << 30;

/// Inputs drawn from a seed: floats in [-1, 1), small non-negative integers, both truth
/// values. Symbolic sizes are what `sizes` says, else 1.
pub fn seeded(
    module: &Module,
    seed: u64,
    sizes: &BTreeMap<String, i64>,
) -> Result<BTreeMap<String, Datum>, String> {
    let f = module.main();
    let mut out = BTreeMap::new();
    for (i, (input, &param)) in f.inputs.iter().zip(&f.body().params).enumerate() {
        let stored = match input.role {
            InputRole::User { default, .. } => default,
            InputRole::Param(t) | InputRole::State(t) => t,
        };
        if stored.is_some() {
            continue;
        }
        let Type::Tensor(t) = f.ty(param) else {
            return Err(format!("input `{}` is not a tensor; give it with --inputs", input.name));
        };
        let size = |d: &Dim| {
            d.eval(&|s| {
                let symbol = f.symbols.get(s)?;
                Some(
                    *sizes
                        .get(&symbol.name)
                        .unwrap_or(&symbol.range.min.unwrap_or(1).max(DEFAULT_SIZE)),
                )
            })
        };
        let shape: Option<Vec<usize>> =
            t.shape.iter().map(|d| size(d).and_then(|v| usize::try_from(v).ok())).collect();
        let shape =
            shape.ok_or_else(|| format!("the shape of input `{}` is not known", input.name))?;
        let mut bits = Bits(seed ^ (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let array =
            draw(t.dtype, shape, &mut bits).map_err(|e| format!("input `{}`: {e}", input.name))?;
        out.insert(input.name.clone(), array.into());
    }
    Ok(out)
}

fn draw(dtype: DType, shape: Vec<usize>, bits: &mut Bits) -> Result<Array, String> {
    let numel = airconv_ir::array::checked_numel(&shape).map_err(|e| e.to_string())?;
    if numel > MOST_ELEMENTS {
        return Err(format!("shape {shape:?} has too many elements; give it with --inputs"));
    }
    if dtype == DType::String {
        let words: Vec<String> = (0..numel).map(|_| format!("s{}", bits.next() % 10)).collect();
        return Array::from_strs(shape, &words).map_err(|e| e.to_string());
    }
    if dtype == DType::Bool {
        let values: Vec<bool> = (0..numel).map(|_| bits.next() & 1 == 1).collect();
        return Array::from_vec(shape, values).map_err(|e| e.to_string());
    }
    if dtype.is_complex() {
        let one = Scalar::Complex(num_complex_one());
        return Array::full(dtype, shape, &one).map_err(|e| e.to_string());
    }
    if dtype.is_integer() {
        let values: Vec<i64> = (0..numel).map(|_| (bits.next() % 2) as i64).collect();
        return Array::from_i64s(dtype, shape, &values).map_err(|e| e.to_string());
    }
    let values: Vec<f64> =
        (0..numel).map(|_| (bits.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect();
    Array::from_f64s(dtype, shape, &values).map_err(|e| e.to_string())
}

fn num_complex_one() -> airconv_ir::array::Complex64 {
    airconv_ir::array::Complex64::new(0.5, -0.25)
}

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
struct Bits(u64);

impl Bits {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_can_be_drawn() {
        for &dtype in DType::ALL {
            let array = draw(dtype, vec![2, 3], &mut Bits(1));
            assert_eq!(array.map(|a| (a.dtype, a.numel())), Ok((dtype, 6)));
        }
    }
}
