//! Inputs for a run: from a file, or made from a seed.

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::array::{Array, Scalar};
use airconv_ir::dim::{Dim, solve_for};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, Module};
use airconv_ir::types::{TensorType, Type};
use airconv_ir::verify::type_text;
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

/// The size up to which one is looked for that leaves no value empty.
const LARGEST_SIZE: i64 = 1024;

/// Sizes for inputs that are drawn: those that are given, and for the other symbols of the inputs
/// the least power of two (or 1) with which no value of the program is empty, as far as the types
/// tell. Where there is none, it is 1, or the least that the symbol allows.
pub fn sizes(module: &Module, given: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let f = module.main();
    let mut free: BTreeSet<SymbolId> = BTreeSet::new();
    for &param in &f.body().params {
        f.ty(param).for_each_dim(&mut |dim| {
            dim.symbols(&mut |s| {
                free.insert(s);
            });
        });
    }
    let name = |s: SymbolId| f.symbols.get(s).map_or("", |symbol| symbol.name.as_str());
    let mut found: FxHashMap<SymbolId, i64> = FxHashMap::default();
    for &s in &free {
        found.insert(s, given.get(name(s)).copied().unwrap_or_else(|| least(f, s)));
    }
    let plain = found.clone();
    free.retain(|&s| !given.contains_key(name(s)));
    while let Some(small) = too_small(f, &found, &free) {
        if small.iter().any(|s| found.get(s).is_some_and(|v| *v >= LARGEST_SIZE)) {
            found = plain;
            break;
        }
        for symbol in small {
            found.entry(symbol).and_modify(|size| *size *= 2);
        }
    }
    found.into_iter().map(|(s, size)| (name(s).to_owned(), size)).collect()
}

/// The least size that is drawn for a symbol unless another is asked for.
fn least(f: &Function, symbol: SymbolId) -> i64 {
    f.symbols.get(symbol).and_then(|s| s.range.min).unwrap_or(1).max(DEFAULT_SIZE)
}

/// The free symbols in a size of a value that is none with these sizes.
fn too_small(
    f: &Function,
    sizes: &FxHashMap<SymbolId, i64>,
    free: &BTreeSet<SymbolId>,
) -> Option<BTreeSet<SymbolId>> {
    let mut found = BTreeSet::new();
    for value in f.values.values() {
        value.ty.for_each_dim(&mut |dim| {
            if found.is_empty() && dim.eval(&|s| sizes.get(&s).copied()).is_some_and(|v| v < 1) {
                dim.symbols(&mut |s| {
                    found.insert(s);
                });
                found.retain(|s| free.contains(s));
            }
        });
    }
    (!found.is_empty()).then_some(found)
}

/// The sizes that another program has fixed of those that are symbols in the inputs of this one.
pub fn sizes_fixed_by(other: &Module, module: &Module) -> BTreeMap<String, i64> {
    let (f, g) = (module.main(), other.main());
    let mut found = BTreeMap::new();
    for (input, &param) in f.inputs.iter().zip(&f.body().params) {
        let same = g.inputs.iter().position(|x| x.name == input.name);
        let fixed = same.and_then(|i| g.body().params.get(i)).map(|&v| g.ty(v));
        let (Type::Tensor(own), Some(Type::Tensor(fixed))) = (f.ty(param), fixed) else { continue };
        for (dim, fixed) in own.shape.iter().zip(&fixed.shape) {
            let symbol = dim.as_symbol().and_then(|s| f.symbols.get(s));
            if let (Some(symbol), Some(size)) = (symbol, fixed.as_known()) {
                found.entry(symbol.name.clone()).or_insert(size);
            }
        }
    }
    found
}

/// Why a program does not take inputs that were made for another one; nothing where it does.
pub fn misfits(module: &Module, inputs: &BTreeMap<String, Datum>) -> Vec<String> {
    let f = module.main();
    let mut found = Vec::new();
    for (input, &param) in f.inputs.iter().zip(&f.body().params) {
        let (name, ty) = (&input.name, type_text(f, f.ty(param)));
        match (inputs.get(name), f.ty(param)) {
            (None, _) if input.role.stored().is_none() => {
                found.push(format!("input `{name}`, {ty}, is there in one of them alone"));
            }
            (Some(Datum::Tensor(a)), Type::Tensor(t)) if !takes(t, a) => {
                found.push(format!("input `{name}` is {ty} and is given {}{:?}", a.dtype, a.shape));
            }
            _ => {}
        }
    }
    let unknown = inputs.keys().filter(|name| !f.inputs.iter().any(|i| i.name == **name));
    found.extend(unknown.map(|name| format!("input `{name}` is there in one of them alone")));
    found
}

/// Whether an array has the dtype, the rank and the known sizes of a type.
fn takes(ty: &TensorType, array: &Array) -> bool {
    let fits = |(dim, &size): (&Dim, &usize)| dim.as_known().is_none_or(|d| d == size as i64);
    ty.dtype == array.dtype
        && ty.shape.len() == array.shape.len()
        && ty.shape.iter().zip(&array.shape).all(fits)
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
        if input.role.stored().is_some() {
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
    let drawn = (0..numel).map(|_| (bits.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0);
    let array = match dtype {
        // Without the memory of doubles: these are often large.
        DType::F32 => Array::from_vec(shape, drawn.map(|x| x as f32).collect()),
        _ => Array::from_f64s(dtype, shape, &drawn.collect::<Vec<f64>>()),
    };
    array.map_err(|e| e.to_string())
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

    /// A program with the input `f32[n, m]` and a value of the size that `of` makes of `n`.
    fn program(of: impl Fn(Dim) -> Dim) -> Module {
        let mut m = Module::default();
        let mut f = Function::new("main");
        let n = Dim::from(f.add_symbol("n", airconv_ir::dim::Range::NONNEG, None));
        let other = Dim::from(f.add_symbol("m", airconv_ir::dim::Range::NONNEG, None));
        let role = airconv_ir::module::InputRole::User { default: None, kind: Default::default() };
        f.add_input("x", Type::tensor(DType::F32, [n.clone(), other]), role);
        let (body, ty) = (f.body, Type::tensor(DType::F32, [of(n)]));
        f.add_param(body, ty, None);
        m.functions.push(f);
        m
    }

    #[test]
    fn sizes_leave_no_value_empty() {
        let pairs = |list: &[(&str, i64)]| -> BTreeMap<String, i64> {
            list.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect()
        };
        let (none, halved) = (BTreeMap::new(), program(|n| n.floor_div(&Dim::Known(32))));
        assert_eq!(sizes(&halved, &none), pairs(&[("m", 1), ("n", 32)]));
        assert_eq!(sizes(&halved, &pairs(&[("n", 3)])), pairs(&[("m", 1), ("n", 3)]));
        let never = program(|n| n.sub(&n));
        assert_eq!(sizes(&never, &none), pairs(&[("m", 1), ("n", 1)]));
        let far = program(|n| n.floor_div(&Dim::Known(1 << 20)));
        assert_eq!(sizes(&far, &none), pairs(&[("m", 1), ("n", 1)]), "it would not fit");
    }

    #[test]
    fn inputs_that_do_not_fit_are_named() {
        let (open, mut fixed) = (program(|n| n), program(|n| n));
        let f = &mut fixed.functions[fixed.entry];
        let param = f.body().params[0];
        f.values[param].ty = Type::tensor(DType::F32, [Dim::Known(4), Dim::Known(5)]);
        let wanted = sizes_fixed_by(&fixed, &open);
        assert_eq!(wanted, BTreeMap::from([("m".to_owned(), 5), ("n".to_owned(), 4)]));
        let inputs = |sizes: &BTreeMap<String, i64>| {
            let shape = vec![sizes["n"] as usize, sizes["m"] as usize];
            let x = Array::from_f64s(DType::F32, shape.clone(), &vec![0.0; shape[0] * shape[1]]);
            BTreeMap::from([("x".to_owned(), Datum::from(x.unwrap()))])
        };
        assert_eq!(misfits(&fixed, &inputs(&wanted)), Vec::<String>::new());
        let mut other = wanted.clone();
        other.insert("n".to_owned(), 3);
        assert!(misfits(&fixed, &inputs(&other))[0].contains("`x` is f32[4, 5]"));
        let mut more = inputs(&wanted);
        let x = more.remove("x").unwrap();
        assert_eq!(misfits(&fixed, &more).len(), 1);
        more.insert("z".to_owned(), x);
        assert_eq!(misfits(&fixed, &more).len(), 2);
    }

    #[test]
    fn every_dtype_can_be_drawn() {
        for &dtype in DType::ALL {
            let array = draw(dtype, vec![2, 3], &mut Bits(1));
            assert_eq!(array.map(|a| (a.dtype, a.numel())), Ok((dtype, 6)));
        }
    }
}
