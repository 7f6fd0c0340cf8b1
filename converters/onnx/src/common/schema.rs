//! The operator schemas: which versions an op has, and what each takes. The facts are in
//! `data/schemas.txt`, made from the `onnx` package by `data/make_schemas.py`.

use std::sync::LazyLock;

use airconv_api::ir::dtype::DType;
use airconv_api::ir::types::Type;
use rustc_hash::FxHashMap;

/// One version of an op.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The version of the domain that brought it.
    pub since: i64,
    /// Whether it is deprecated from then on.
    pub deprecated: bool,
    inputs: Vec<Param>,
    outputs: Vec<Param>,
    /// Attribute names, and whether they are required.
    pub attributes: Vec<(&'static str, bool)>,
}

#[derive(Clone, Copy, Debug)]
struct Param {
    /// Allowed types, a bit for each.
    mask: u128,
    kind: char,
}

/// What is given in an operand or result slot of a use.
#[derive(Clone, Copy, Debug)]
pub enum Slot<'a> {
    /// Nothing.
    Absent,
    /// A value, of a type if that is known.
    Given(Option<&'a Type>),
}

/// Per name, the domains that have an op of it, each with its versions, oldest first.
type Table = FxHashMap<&'static str, Vec<(&'static str, Vec<Schema>)>>;

/// The numbering of dtypes in the file, by ONNX's names.
const NAMES: &[(&str, DType)] = &[
    ("float", DType::F32),
    ("uint8", DType::U8),
    ("int8", DType::I8),
    ("uint16", DType::U16),
    ("int16", DType::I16),
    ("int32", DType::I32),
    ("int64", DType::I64),
    ("string", DType::String),
    ("bool", DType::Bool),
    ("float16", DType::F16),
    ("double", DType::F64),
    ("uint32", DType::U32),
    ("uint64", DType::U64),
    ("complex64", DType::C64),
    ("complex128", DType::C128),
    ("bfloat16", DType::BF16),
    ("float8e4m3fn", DType::F8E4M3FN),
    ("float8e4m3fnuz", DType::F8E4M3FNUZ),
    ("float8e5m2", DType::F8E5M2),
    ("float8e5m2fnuz", DType::F8E5M2FNUZ),
    ("uint4", DType::U4),
    ("int4", DType::I4),
    ("float4e2m1", DType::F4E2M1),
    ("float8e8m0", DType::F8E8M0),
    ("uint2", DType::U2),
    ("int2", DType::I2),
    ("float6e2m3", DType::F6E2M3),
    ("float6e3m2", DType::F6E3M2),
];

/// Uses of an op with the same slots and attributes that mean something else from a version
/// on: the op, the version, and the attribute value that is new in it; without one every use.
const CHANGES: &[(&str, i64, Option<(&str, &str)>)] = &[
    ("AveragePool", 19, None),
    ("BatchNormalization", 14, None),
    ("DFT", 20, None),
    ("GridSample", 20, None),
    ("GroupNormalization", 21, None),
    ("Hardmax", 13, None),
    ("LogSoftmax", 13, None),
    ("OneHot", 11, None),
    ("Pad", 19, Some(("mode", "wrap"))),
    ("Resize", 11, None),
    ("Resize", 19, Some(("coordinate_transformation_mode", "half_pixel_symmetric"))),
    ("RoiAlign", 16, None),
    ("Scan", 9, None),
    ("ScatterElements", 18, Some(("reduction", "max"))),
    ("ScatterElements", 18, Some(("reduction", "min"))),
    ("ScatterND", 18, Some(("reduction", "max"))),
    ("ScatterND", 18, Some(("reduction", "min"))),
    ("Softmax", 13, None),
];

struct Schemas {
    table: Table,
    dtypes: Vec<Option<DType>>,
    /// The bits of types that are no tensors, by ONNX's spelling.
    containers: FxHashMap<&'static str, u32>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| parse(include_str!("../../data/schemas.txt")));

fn parse(text: &'static str) -> Schemas {
    let mut sets: Vec<u128> = Vec::new();
    let mut schemas =
        Schemas { table: Table::default(), dtypes: Vec::new(), containers: FxHashMap::default() };
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("D") => {
                let dtype = |w| NAMES.iter().find(|(n, _)| *n == w).map(|(_, d)| *d);
                schemas.dtypes = words.map(dtype).collect();
            }
            Some("T") => {
                let bit = (schemas.dtypes.len() + schemas.containers.len()) as u32;
                schemas.containers.extend(words.next().map(|name| (name, bit)));
            }
            Some("S") => {
                let mask = words.next().and_then(|w| u128::from_str_radix(w, 16).ok());
                sets.push(mask.unwrap_or(0));
            }
            Some("O") => {
                if let Some(((domain, name), schema)) = parse_op(words, &sets) {
                    let domains = schemas.table.entry(name).or_default();
                    match domains.iter_mut().find(|(d, _)| *d == domain) {
                        Some((_, versions)) => versions.push(schema),
                        None => domains.push((domain, vec![schema])),
                    }
                }
            }
            _ => {}
        }
    }
    schemas
}

fn parse_op(
    mut words: std::str::Split<'static, char>,
    sets: &[u128],
) -> Option<((&'static str, &'static str), Schema)> {
    let domain = words.next()?;
    let domain = if domain == "-" { "" } else { domain };
    let name = words.next()?;
    let since = words.next()?.parse().ok()?;
    let deprecated = words.next()? == "d";
    let params = |list: &'static str| -> Vec<Param> {
        if list == "-" {
            return Vec::new();
        }
        list.split(',')
            .map(|p| {
                let kind = p.chars().last().filter(|c| "?*".contains(*c)).unwrap_or(' ');
                let set = p.trim_end_matches(['?', '*']).parse::<usize>().ok();
                Param { mask: set.and_then(|s| sets.get(s).copied()).unwrap_or(u128::MAX), kind }
            })
            .collect()
    };
    let inputs = params(words.next()?);
    let outputs = params(words.next()?);
    let attributes = match words.next()? {
        "-" => Vec::new(),
        list => list.split(',').map(|a| (a.trim_end_matches('!'), a.ends_with('!'))).collect(),
    };
    Some(((domain, name), Schema { since, deprecated, inputs, outputs, attributes }))
}

fn versions(domain: &str, name: &str) -> Option<&'static [Schema]> {
    let domains = SCHEMAS.table.get::<str>(name)?;
    domains.iter().find(|(d, _)| *d == domain).map(|(_, v)| v.as_slice())
}

/// The schema of an op at a version of its domain; `None` when it does not exist there.
pub fn find(domain: &str, name: &str, version: i64) -> Option<&'static Schema> {
    versions(domain, name)?.iter().rev().find(|s| s.since <= version)
}

/// The first version after `version` whose schema a use fits.
pub fn fits_from(
    domain: &str,
    name: &str,
    version: i64,
    fits: impl Fn(&Schema) -> bool,
) -> Option<i64> {
    let later = versions(domain, name)?.iter().filter(|s| s.since > version && !s.deprecated);
    later.into_iter().find(|s| fits(s)).map(|s| s.since)
}

/// Whether any version of an op exists.
pub fn exists(domain: &str, name: &str) -> bool {
    versions(domain, name).is_some()
}

/// The first version that has an op.
pub fn first_version(domain: &str, name: &str) -> Option<i64> {
    versions(domain, name)?.first().map(|s| s.since)
}

/// Whether a use of an op that was written for one version of its schema means the same under
/// another version: one extends the other, and no change of meaning lies between.
/// `value` gives the value of a string attribute of the use.
pub fn same_meaning(
    name: &str,
    a: &Schema,
    b: &Schema,
    value: impl Fn(&str) -> Option<String>,
) -> bool {
    let (old, new) = (a.since.min(b.since), a.since.max(b.since));
    let changed = CHANGES.iter().any(|(op, version, of)| {
        let between = *op == name && old < *version && *version <= new;
        between && of.is_none_or(|(attr, new)| value(attr).as_deref() == Some(new))
    });
    let moved = moved(name);
    !changed && (a.extends(b, moved) || b.extends(a, moved))
}

/// The attribute of an op that became its second input in a later version.
pub fn moved(name: &str) -> Option<&'static str> {
    match name {
        "Squeeze" | "Unsqueeze" => Some("axes"),
        "Split" => Some("split"),
        _ if name.starts_with("Reduce") => Some("axes"),
        _ => None,
    }
}

impl Schema {
    /// Checks types, counts and attributes of a use; the first thing that does not fit.
    /// Types that are not known are not checked.
    pub fn check(
        &self,
        inputs: &[Slot<'_>],
        outputs: &[Slot<'_>],
        attributes: &[&str],
    ) -> Result<(), String> {
        check_params(&self.inputs, inputs, "input")?;
        check_params(&self.outputs, outputs, "output")?;
        for name in attributes {
            if !self.has(name) {
                return Err(format!("has no attribute `{name}`"));
            }
        }
        for (name, required) in &self.attributes {
            if *required && !attributes.contains(name) {
                return Err(format!("needs attribute `{name}`"));
            }
        }
        Ok(())
    }

    /// Whether there is an attribute of this name.
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|(name, _)| *name == attribute)
    }

    /// Whether this has all slots and attributes of another schema but for one attribute.
    fn extends(&self, other: &Self, but: Option<&str>) -> bool {
        let prefix = |long: &[Param], short: &[Param]| {
            long.len() >= short.len()
                && long.iter().zip(short).all(|(l, s)| (l.kind == '*') == (s.kind == '*'))
        };
        prefix(&self.inputs, &other.inputs)
            && prefix(&self.outputs, &other.outputs)
            && other.attributes.iter().all(|(n, _)| self.has(n) || but == Some(n))
    }
}

fn check_params(params: &[Param], given: &[Slot<'_>], what: &str) -> Result<(), String> {
    for (i, slot) in given.iter().enumerate() {
        let param = match params.get(i) {
            Some(p) => p,
            None => match params.last() {
                Some(p) if p.kind == '*' => p,
                _ => return Err(format!("has no {what} {i}")),
            },
        };
        match slot {
            Slot::Given(Some(ty)) if !allows(param.mask, ty) => {
                return Err(format!("does not take {} as {what} {i}", describe(ty)));
            }
            Slot::Absent if what == "input" && param.kind == ' ' => {
                return Err(format!("needs {what} {i}"));
            }
            _ => {}
        }
    }
    match params.iter().enumerate().skip(given.len()).find(|(_, p)| p.kind == ' ') {
        Some((i, _)) if what == "input" => Err(format!("needs {what} {i}")),
        _ => Ok(()),
    }
}

fn allows(mask: u128, ty: &Type) -> bool {
    let bit = match ty {
        Type::Tensor(_) | Type::Unranked(_) => {
            SCHEMAS.dtypes.iter().position(|d| d.is_some() && *d == ty.dtype()).map(|b| b as u32)
        }
        _ => match spelled(ty) {
            Some(text) => SCHEMAS.containers.get(text.as_str()).copied(),
            // Not known in full.
            None => return true,
        },
    };
    bit.is_some_and(|b| mask & (1 << b) != 0)
}

/// A type in ONNX's spelling.
fn spelled(ty: &Type) -> Option<String> {
    let name = |dtype: DType| NAMES.iter().find(|(_, d)| *d == dtype).map(|(n, _)| *n);
    Some(match ty {
        Type::Tensor(t) => format!("tensor({})", name(t.dtype)?),
        Type::Unranked(dtype) => format!("tensor({})", name(*dtype)?),
        Type::Sequence(t) => format!("seq({})", spelled(t)?),
        Type::Optional(t) => format!("optional({})", spelled(t)?),
        // The value of a map is spelled as a bare dtype.
        Type::Map(key, t) => format!("map({},{})", name(*key)?, name(t.dtype()?)?),
        Type::Unknown => return None,
    })
}

/// A type for people: a tensor by its dtype.
fn describe(ty: &Type) -> String {
    match ty {
        Type::Tensor(t) => t.dtype.to_string(),
        Type::Unranked(dtype) => dtype.to_string(),
        Type::Sequence(t) => format!("a sequence of {}", describe(t)),
        Type::Optional(t) => match describe(t) {
            inner if inner.starts_with("a ") => format!("an optional {}", &inner[2..]),
            inner => format!("an optional {inner}"),
        },
        Type::Map(key, t) => format!("a map from {key} to {}", describe(t)),
        Type::Unknown => "an unknown type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(name: &str, version: i64) -> &'static Schema {
        find("", name, version).unwrap()
    }

    fn same(name: &str, from: i64, to: i64, attribute: Option<(&str, &str)>) -> bool {
        let value = |name: &str| attribute.filter(|a| a.0 == name).map(|a| a.1.to_owned());
        same_meaning(name, schema(name, from), schema(name, to), value)
    }

    #[test]
    fn containers_are_checked() {
        let list = Type::Sequence(Box::new(Type::Unranked(DType::F32)));
        let maybe = Type::Optional(Box::new(list.clone()));
        let given = |ty| [Slot::Given(Some(ty))];
        let identity =
            |version, ty| schema("Identity", version).check(&given(ty), &[Slot::Given(None)], &[]);
        assert_eq!(identity(13, &list).unwrap_err(), "does not take a sequence of f32 as input 0");
        assert!(identity(14, &list).is_ok());
        assert_eq!(
            identity(14, &maybe).unwrap_err(),
            "does not take an optional sequence of f32 as input 0"
        );
        assert!(identity(16, &maybe).is_ok());
        assert!(identity(13, &Type::Sequence(Box::new(Type::Unknown))).is_ok());
    }

    #[test]
    fn slots_that_are_required_have_to_be_given() {
        let x = Type::Unranked(DType::F32);
        let given = [Slot::Given(Some(&x))];
        let gemm =
            |version, inputs: &[Slot<'_>]| schema("Gemm", version).check(inputs, &given, &[]);
        assert!(gemm(13, &[given[0], given[0]]).is_ok());
        assert_eq!(gemm(13, &given).unwrap_err(), "needs input 1");
        assert_eq!(gemm(9, &[given[0], given[0]]).unwrap_err(), "needs input 2");
        assert_eq!(gemm(13, &[given[0], Slot::Absent]).unwrap_err(), "needs input 1");
    }

    #[test]
    fn versions_of_the_same_meaning() {
        assert!(same("Reshape", 25, 13, None));
        assert!(same("ReduceMean", 13, 18, None));
        assert!(same("Pad", 25, 18, Some(("mode", "reflect"))));
        assert!(!same("Pad", 25, 18, Some(("mode", "wrap"))));
        assert!(!same("Softmax", 11, 13, None));
        assert!(!same("DFT", 17, 20, None));
        assert!(same("DFT", 17, 19, None));
    }

    #[test]
    fn changes_name_versions_that_exist() {
        for (op, version, _) in CHANGES {
            assert_eq!(schema(op, *version).since, *version, "{op}");
        }
    }

    #[test]
    fn the_version_that_a_use_needs() {
        let x = Type::Unranked(DType::BF16);
        let flag = Type::Unranked(DType::Bool);
        let slots = [&flag, &x, &x].map(|t| Slot::Given(Some(t)));
        let fits = |s: &Schema| s.check(&slots, &slots[1..2], &[]).is_ok();
        assert_eq!(fits_from("", "Where", 13, fits), Some(16));
    }
}
