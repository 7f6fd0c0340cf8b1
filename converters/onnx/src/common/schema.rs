//! The operator schemas: which versions an op has, and what each takes. The facts are in
//! `data/schemas.txt`, made from the `onnx` package by `data/make_schemas.py`.

use std::sync::LazyLock;

use airconv_api::ir::dtype::DType;
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
    /// Allowed dtypes; `None` allows more than tensors.
    mask: Option<u32>,
    kind: char,
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
];

struct Schemas {
    table: Table,
    bits: Vec<Option<DType>>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(|| parse(include_str!("../../data/schemas.txt")));

fn parse(text: &'static str) -> Schemas {
    let mut sets: Vec<u32> = Vec::new();
    let mut schemas = Schemas { table: Table::default(), bits: Vec::new() };
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("D") => {
                let dtype = |w| NAMES.iter().find(|(n, _)| *n == w).map(|(_, d)| *d);
                schemas.bits = words.map(dtype).collect();
            }
            Some("S") => {
                let mask = words.next().and_then(|w| u32::from_str_radix(w, 16).ok());
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
    sets: &[u32],
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
                Param { mask: set.and_then(|s| sets.get(s).copied()), kind }
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

/// Whether any version of an op exists.
pub fn exists(domain: &str, name: &str) -> bool {
    versions(domain, name).is_some()
}

/// The first version that has an op.
pub fn first_version(domain: &str, name: &str) -> Option<i64> {
    versions(domain, name)?.first().map(|s| s.since)
}

impl Schema {
    /// Checks dtypes, counts and attributes of a use; the first thing that does not fit.
    /// `None` dtypes are not checked.
    pub fn check(
        &self,
        inputs: &[Option<DType>],
        outputs: &[Option<DType>],
        attributes: &[&str],
    ) -> Result<(), String> {
        check_params(&self.inputs, inputs, "input")?;
        check_params(&self.outputs, outputs, "output")?;
        for name in attributes {
            if !self.attributes.iter().any(|(n, _)| n == name) {
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
}

fn check_params(params: &[Param], given: &[Option<DType>], what: &str) -> Result<(), String> {
    let bits = &SCHEMAS.bits;
    for (i, dtype) in given.iter().enumerate() {
        let param = match params.get(i) {
            Some(p) => p,
            None => match params.last() {
                Some(p) if p.kind == '*' => p,
                _ => return Err(format!("has no {what} {i}")),
            },
        };
        if let (Some(mask), Some(dtype)) = (param.mask, dtype) {
            let bit = bits.iter().position(|b| b.as_ref() == Some(dtype));
            if bit.is_none_or(|b| mask & (1 << b) == 0) {
                return Err(format!("does not take {dtype} as {what} {i}"));
            }
        }
    }
    Ok(())
}
