//! The op table as documents, and what has to hold for every row.
//!
//! `schema/air.v0.ops.md` and `schema/air.v0.ops.json` are made here; `AIRCONV_BLESS=1`
//! writes them again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use airconv_ir::attr::{Attr, Float};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, RegionId, TensorId};
use airconv_ir::op::{Arity, Effects, FieldError, FieldInfo, Op, OpInfo, OpKind, Slot, Tier};
use airconv_ir::types::Type;

const PREAMBLE: &str = include_str!("op_table.md");

fn infos() -> impl Iterator<Item = &'static OpInfo> {
    OpKind::ALL.iter().map(|k| k.info())
}

/// Families in the order of the table.
fn families() -> Vec<&'static str> {
    let mut out: Vec<&str> = Vec::new();
    for info in infos() {
        if !out.contains(&info.family) {
            out.push(info.family);
        }
    }
    out
}

fn tier(info: &OpInfo) -> &'static str {
    match info.tier {
        Tier::Core => "core",
        Tier::Composite => "composite",
        Tier::Reference => "reference",
    }
}

fn effects(info: &OpInfo) -> &'static str {
    match info.effects {
        Effects::Pure => "pure",
        Effects::MayFail => "may fail",
        Effects::Nondet => "nondeterministic",
        Effects::Io => "input or output",
    }
}

fn slots(slots: &[Slot]) -> String {
    let one = |s: &Slot| {
        let mark = match s.arity {
            Arity::One => "",
            Arity::Optional => "?",
            Arity::Variadic => "*",
        };
        format!("{}{mark}", s.name)
    };
    slots.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The choices of an enumerated field.
fn choices(field: &FieldInfo) -> Option<Vec<&'static str>> {
    let inner = field.kind.strip_prefix("enum(")?.strip_suffix(')')?;
    Some(inner.split_whitespace().collect())
}

fn float(v: f64) -> String {
    if v.is_finite() { format!("{v:?}") } else { format!("\"{v}\"") }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An attribute that can be a default, as JSON.
fn json(attr: &Attr) -> String {
    fn list<T>(items: &[T], each: impl Fn(&T) -> String) -> String {
        format!("[{}]", items.iter().map(each).collect::<Vec<_>>().join(", "))
    }
    let dim = |d: &Dim| d.as_known().map_or_else(|| quoted(&d.to_string()), |v| v.to_string());
    match attr {
        Attr::Bool(b) => b.to_string(),
        Attr::Int(i) => i.to_string(),
        Attr::Float(f) => float(f.0),
        Attr::Str(s) => quoted(s),
        Attr::DType(d) => quoted(&d.to_string()),
        Attr::Dim(d) => dim(d),
        Attr::Ints(v) => list(v, i64::to_string),
        Attr::Floats(v) => list(v, |f| float(f.0)),
        Attr::Strs(v) => list(v, |s| quoted(s)),
        Attr::Dims(v) => list(v, dim),
        Attr::List(v) => list(v, json),
        other => panic!("a default of kind {}", other.kind()),
    }
}

fn default_text(field: &FieldInfo) -> String {
    match (&field.default, field.required) {
        (_, true) => "required".to_owned(),
        (Some(Attr::Str(s)), _) if choices(field).is_some() => format!("`{s}`"),
        (Some(attr), _) => format!("`{}`", json(attr)),
        (None, false) => "absent".to_owned(),
    }
}

fn kind_text(field: &FieldInfo) -> String {
    match choices(field) {
        Some(c) => c.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" "),
        None => field.kind.to_owned(),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn markdown() -> String {
    let mut out = String::from(
        "# Ops of format 0.x\n\n\
         Made from the op table (`canonical-ir/src/op/table.rs`) by `canonical-ir/tests/op_table.rs`; \
         `air.v0.ops.json` holds the same for programs. The file format is in [SPEC.md](SPEC.md).\n\n",
    );
    let count = |t: Tier| infos().filter(|i| i.tier == t).count();
    writeln!(
        out,
        "{} ops: {} core, {} composite, {} reference.\n",
        infos().count(),
        count(Tier::Core),
        count(Tier::Composite),
        count(Tier::Reference)
    )
    .unwrap();
    for family in families() {
        let names: Vec<String> =
            infos().filter(|i| i.family == family).map(|i| format!("`{}`", i.name)).collect();
        writeln!(out, "- [{family}](#{family}): {}", names.join(" ")).unwrap();
    }
    out.push('\n');
    out.push_str(PREAMBLE);
    for family in families() {
        writeln!(out, "## {family}\n").unwrap();
        for info in infos().filter(|i| i.family == family) {
            writeln!(out, "### {}\n", info.name).unwrap();
            let results =
                if info.results.is_empty() { "nothing".to_owned() } else { slots(&info.results) };
            writeln!(
                out,
                "`({}) -> {results}` · {} · {} · since 0.{}\n",
                slots(&info.operands),
                tier(info),
                effects(info),
                info.since
            )
            .unwrap();
            writeln!(out, "{}\n", info.doc).unwrap();
            if info.fields.is_empty() {
                continue;
            }
            out.push_str("| field | kind | default | |\n|---|---|---|---|\n");
            for f in &info.fields {
                let (kind, default) = (kind_text(f), default_text(f));
                writeln!(
                    out,
                    "| `{}` | {} | {} | {} |",
                    f.name,
                    cell(&kind),
                    cell(&default),
                    cell(f.doc)
                )
                .unwrap();
            }
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn json_document() -> String {
    let slot_list = |slots: &[Slot]| {
        let one = |s: &Slot| {
            let arity = match s.arity {
                Arity::One => "one",
                Arity::Optional => "optional",
                Arity::Variadic => "variadic",
            };
            format!("{{\"name\": {}, \"arity\": \"{arity}\"}}", quoted(s.name))
        };
        format!("[{}]", slots.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    let field = |f: &FieldInfo| {
        let kind = match choices(f) {
            Some(c) => {
                let c: Vec<String> = c.into_iter().map(quoted).collect();
                format!("\"enum\", \"choices\": [{}]", c.join(", "))
            }
            None => quoted(f.kind),
        };
        let default = f.default.as_ref().map(|d| format!(", \"default\": {}", json(d)));
        format!(
            "        {{\"name\": {}, \"kind\": {kind}, \"required\": {}{}, \"doc\": {}}}",
            quoted(f.name),
            f.required,
            default.unwrap_or_default(),
            quoted(f.doc)
        )
    };
    let op = |i: &OpInfo| {
        let fields: Vec<String> = i.fields.iter().map(field).collect();
        let fields = if fields.is_empty() {
            "[]".to_owned()
        } else {
            format!("[\n{}\n      ]", fields.join(",\n"))
        };
        format!(
            "    {{\n      \"name\": {},\n      \"family\": {},\n      \"tier\": \"{}\",\n      \
             \"effects\": \"{}\",\n      \"since\": \"0.{}\",\n      \"operands\": {},\n      \
             \"results\": {},\n      \"fields\": {fields},\n      \"doc\": {}\n    }}",
            quoted(i.name),
            quoted(i.family),
            tier(i),
            effects(i),
            i.since,
            slot_list(&i.operands),
            slot_list(&i.results),
            quoted(i.doc)
        )
    };
    let ops: Vec<String> = infos().map(op).collect();
    format!("{{\n  \"format\": \"airconv ops 0.x\",\n  \"ops\": [\n{}\n  ]\n}}\n", ops.join(",\n"))
}

/// Compares a file with what it should be; `AIRCONV_BLESS=1` replaces it.
fn bless(name: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema").join(name);
    if std::env::var_os("AIRCONV_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "schema/{name} differs from the op table; AIRCONV_BLESS=1 writes it again"
    );
}

#[test]
fn documents_are_up_to_date() {
    bless("air.v0.ops.md", &markdown());
    bless("air.v0.ops.json", &json_document());
}

#[test]
fn names_are_unique_and_found() {
    let mut seen = BTreeSet::new();
    for info in infos() {
        assert!(seen.insert(info.name), "two ops are called {}", info.name);
        assert_eq!(OpKind::from_name(info.name), Some(info.kind));
        assert_eq!(info.kind.info().kind, info.kind);
        let snake = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_lowercase())
                && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        assert!(snake(info.name), "{}", info.name);
        for names in [
            info.operands.iter().map(|s| s.name).collect::<Vec<_>>(),
            info.results.iter().map(|s| s.name).collect(),
            info.fields.iter().map(|f| f.name).collect(),
        ] {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{}", info.name);
            assert!(names.iter().all(|n| snake(n)), "{}: {names:?}", info.name);
        }
    }
    assert_eq!(OpKind::from_name("no_such_op"), None);
}

#[test]
fn slots_are_in_order() {
    for info in infos() {
        for slots in [&info.operands, &info.results] {
            let before_last = &slots[..slots.len().saturating_sub(1)];
            assert!(before_last.iter().all(|s| s.arity != Arity::Variadic), "{}", info.name);
        }
        let (least, most) = info.operand_count();
        assert!(most.is_none_or(|m| least <= m), "{}", info.name);
    }
}

#[test]
fn everything_is_documented() {
    for info in infos() {
        assert!(info.doc.ends_with('.'), "{}: {:?}", info.name, info.doc);
        for f in &info.fields {
            assert!(f.doc.ends_with('.'), "{} {}: {:?}", info.name, f.name, f.doc);
        }
    }
}

/// Two different attributes of a kind.
fn samples(field: &FieldInfo) -> [Attr; 2] {
    if let Some(c) = choices(field) {
        return [c[0], c[c.len() - 1]].map(|s| Attr::Str(s.to_owned()));
    }
    let source = |name: &str| {
        let text = |s: &str| Attr::Str(s.to_owned());
        Attr::Map(BTreeMap::from([
            ("format".to_owned(), text("onnx")),
            ("domain".to_owned(), text("")),
            ("name".to_owned(), text(name)),
            ("overload".to_owned(), text("")),
            ("version".to_owned(), Attr::Int(1)),
            ("attributes".to_owned(), Attr::Map(BTreeMap::new())),
        ]))
    };
    match field.kind {
        "bool" => [Attr::Bool(false), Attr::Bool(true)],
        "int" => [Attr::Int(-7), Attr::Int(11)],
        "float" => [Attr::Float(Float(-0.0)), Attr::Float(Float(f64::NAN))],
        "string" => ["", "x\n\""].map(|s| Attr::Str(s.to_owned())),
        "dtype" => [Attr::DType(DType::F4E2M1), Attr::DType(DType::String)],
        "dim" => [Attr::Dim(Dim::Known(-3)), Attr::Dim(Dim::Known(9))],
        "type" => {
            [Attr::Type(Type::Unknown), Attr::Type(Type::tensor(DType::F32, [Dim::Known(2)]))]
        }
        "tensor" => [Attr::Tensor(TensorId(0)), Attr::Tensor(TensorId(5))],
        "region" => [Attr::Region(RegionId(1)), Attr::Region(RegionId(2))],
        "function" => [Attr::Func(FuncId(0)), Attr::Func(FuncId(3))],
        "ints" => [Attr::Ints(vec![]), Attr::Ints(vec![1, -2])],
        "floats" => [Attr::Floats(vec![]), Attr::Floats(vec![Float(0.5)])],
        "strings" => [Attr::Strs(vec![]), Attr::Strs(vec![String::new()])],
        "dims" => [Attr::Dims(vec![]), Attr::Dims(vec![Dim::Known(1), Dim::Known(0)])],
        "source_op" => [source("A"), source("B")],
        other => panic!("a field of kind {other}"),
    }
}

type Named = BTreeMap<String, Attr>;

fn named(op: &Op) -> Named {
    op.attrs().into_iter().map(|(n, a)| (n.to_owned(), a)).collect()
}

/// The required fields with sample values.
fn required(info: &OpInfo) -> Named {
    let fields = info.fields.iter().filter(|f| f.required);
    fields.map(|f| (f.name.to_owned(), samples(f)[1].clone())).collect()
}

#[test]
fn defaults_stand_for_absent_fields() {
    for info in infos() {
        let given = required(info);
        let op = Op::from_attrs(info.kind, given.clone()).unwrap();
        assert_eq!(op.kind(), info.kind);
        assert_eq!(named(&op), given, "{}: defaults are left out", info.name);
        let mut spelt = given.clone();
        for f in &info.fields {
            spelt.extend(f.default.clone().map(|d| (f.name.to_owned(), d)));
        }
        assert_eq!(
            Op::from_attrs(info.kind, spelt).unwrap(),
            op,
            "{}: defaults spelt out",
            info.name
        );
    }
}

#[test]
fn fields_come_back_as_they_were() {
    for info in infos() {
        for f in &info.fields {
            for sample in samples(f) {
                let mut given = required(info);
                given.insert(f.name.to_owned(), sample.clone());
                let op = Op::from_attrs(info.kind, given.clone()).unwrap();
                if f.default.as_ref() == Some(&sample) {
                    given.remove(f.name);
                }
                assert_eq!(named(&op), given, "{} {}", info.name, f.name);
                assert_eq!(Op::from_attrs(info.kind, named(&op)).unwrap(), op);
            }
        }
    }
}

#[test]
fn wrong_fields_are_refused() {
    for info in infos() {
        for f in &info.fields {
            let mut given = required(info);
            // No field is of this kind.
            given.insert(f.name.to_owned(), Attr::Bytes(Default::default()));
            let found = Op::from_attrs(info.kind, given).unwrap_err();
            assert!(matches!(found, FieldError::Kind { field, .. } if field == f.name), "{found}");
            if f.required {
                let mut given = required(info);
                given.remove(f.name);
                assert_eq!(Op::from_attrs(info.kind, given), Err(FieldError::Missing(f.name)));
            }
        }
        let mut given = required(info);
        given.insert("no such field".to_owned(), Attr::Bool(true));
        let unknown = FieldError::Unknown("no such field".to_owned());
        assert_eq!(Op::from_attrs(info.kind, given), Err(unknown));
    }
}

/// The Rust sources below a folder.
fn sources(folder: &Path, out: &mut String) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// A composite means what its decomposition computes: it has no second meaning in the
/// interpreter. Any other op has no decomposition.
#[test]
fn each_op_has_one_meaning() {
    let read = |room: &str| {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut text);
        text
    };
    let (interp, decompose) = (read("interp"), read("decompose"));
    assert!(interp.contains("pub fn add(") && decompose.contains("pub fn softmax("));
    for info in infos() {
        let composite = info.tier == Tier::Composite;
        let (text, cx) = if composite {
            (&interp, "cx: &mut EvalCx")
        } else {
            (&decompose, "cx: &mut DecomposeCx")
        };
        for name in [info.name.to_owned(), format!("{}_", info.name)] {
            for lead in [format!("pub fn {name}({cx}"), format!("pub fn {name}(\n    {cx}")] {
                assert!(!text.contains(&lead), "`{}` has a second meaning", info.name);
            }
        }
    }
}
