//! Round trips of random modules, texts for people, errors, and broken texts.

use proptest::prelude::*;

use super::*;
use crate::attr::{Attr, Float, SourceOp};
use crate::builder::Builder;
use crate::dim::{Dim, Range};
use crate::dtype::DType;
use crate::entity::{OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{
    Def, Entity, InputRole, Node, Operands, Origin, OutputRole, Region, Results, Value,
};
use crate::op::{Neg, OpKind, Opaque};
use crate::tensor::{Storage, Tensor};
use crate::types::Type;
use crate::wire::tests::{Gen, any_ops};

fn read(text: &str) -> Result<Module, ParseError> {
    parse(text, &ParseOptions::default())
}

fn check(module: &Module) -> String {
    let text = print(module, &PrintOptions::default());
    match read(&text) {
        Ok(back) => assert!(back == *module, "{text}\n{}", print(&back, &PrintOptions::default())),
        Err(e) => panic!("{e}\n{text}"),
    }
    text
}

/// What no reader and no pass makes: the verifier has to be shown it.
fn spoil(g: &mut Gen, module: &mut Module) {
    let func = FuncId(g.below(module.functions.len() as u32));
    let tensor = TensorId(g.below(module.tensors.len() as u32));
    let f = &mut module.functions[func];
    let region = RegionId(g.below(f.regions.len() as u32));
    match g.below(9) {
        0 => f.body = RegionId(g.below(9)),
        1 => f.regions[region].params.push(ValueId(g.below(30))),
        2 => f.regions[region].nodes.push(NodeId(g.below(30))),
        3 => f.regions[region].results.push(ValueId(g.below(30))),
        4 => {
            f.nodes.push(Node {
                op: Neg {}.into(),
                operands: Operands::from_slice(&[None, Some(ValueId(g.below(40))), None]),
                results: Results::from_slice(&[None, Some(ValueId(g.below(20))), None]),
                origin: OriginId(g.below(9)),
            });
        }
        5 => {
            let def = Def::Param { region: RegionId(g.below(9)), index: g.below(9) };
            let ty = Type::tensor(DType::F32, [Dim::symbol(SymbolId(g.below(9)))]);
            f.values.push(Value { ty, def, name: Some("".into()) });
        }
        6 => module.tensors[tensor].dims.push(3),
        7 => module.entry = FuncId(g.below(9)),
        _ => module.note(Entity::Node(FuncId(7), NodeId(7)), "k", "v"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn modules_come_back(seed in any::<u64>()) {
        check(&Gen::new(seed).module(&mut any_ops(seed)));
    }

    #[test]
    fn wrong_modules_come_back(seed in any::<u64>()) {
        let mut g = Gen::new(seed);
        let mut module = g.module(&mut any_ops(seed));
        for _ in 0..6 {
            spoil(&mut g, &mut module);
        }
        check(&module);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}|[ -~\n]{0,80}") {
        let _ = read(&text);
        let _ = read(&format!("airconv 0.1 {text}"));
        let _ = read(&format!("airconv 0.1 func @0 \"f\" {{ body ^0 {{ {text}"));
    }

    #[test]
    fn names_come_back(name in "\\PC{0,12}|[\\x00-\\x7f\u{2028}\u{202e}\u{feff}]{0,12}") {
        let mut module = Module::default();
        let mut f = Function::new(name.as_str());
        let n = f.add_symbol(&name, Range::default(), Some(name.clone()));
        let role = InputRole::Param(None);
        f.add_input(&name, Type::tensor(DType::F32, [Dim::symbol(n)]), role);
        module.functions.push(f);
        module.opsets.insert(name.clone(), -1);
        check(&module);
    }

    #[test]
    fn elements_come_back(
        dtype in 0..DType::ALL.len(),
        count in 0u64..9,
        bytes in proptest::collection::vec(any::<u8>(), 144),
        splat in any::<bool>(),
    ) {
        let dtype = DType::ALL[dtype];
        let Some(length) = dtype.byte_len(if splat { 1 } else { count }) else { return Ok(()) };
        let bytes = Bytes::from(bytes[..length as usize].to_vec());
        let storage = if splat { Storage::Splat(bytes) } else { Storage::Bytes(bytes) };
        let mut module = Module::default();
        module.tensors.push(Tensor { dtype, dims: vec![count], storage });
        check(&module);
    }
}

#[test]
fn every_op_comes_back() {
    for &kind in OpKind::ALL {
        for seed in 0..4 {
            let mut g = Gen::new(u64::from(kind as u32) * 4 + seed);
            check(&g.module(&mut std::iter::repeat(kind)));
        }
    }
}

/// No op may be called what the grammar gives another meaning.
#[test]
fn ops_are_no_keywords() {
    for kind in OpKind::ALL {
        let name = kind.name();
        assert!(lex::is_name(name), "{name}");
        assert!(!["return", "node", "_"].contains(&name), "{name}");
        assert!(lex::id_number(name, "n").is_none() && lex::id_number(name, "loc").is_none());
    }
}

/// A small program as a reader would make it.
fn sample() -> Module {
    let mut m = Module::default();
    m.opsets.insert("onnx".to_owned(), 17);
    m.origins.push(Origin::Unknown);
    let origin = m.origins.push(Origin::Source {
        format: "onnx".into(),
        path: "graph".into(),
        name: "relu \"1\"".into(),
        op: "Relu".into(),
    });
    let mut f = Function::new("main");
    let n = f.add_symbol("batch", Range { min: Some(0), max: Some(64) }, None);
    f.add_symbol(
        "my axis",
        Range { min: Some(1), max: None },
        Some("size found by pad".to_owned()),
    );
    let ty = Type::tensor(DType::F32, [Dim::symbol(n).mul(&Dim::Known(2)), Dim::Known(3)]);
    let user = || InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", ty.clone(), user());
    let c = f.add_input("c", Type::tensor(DType::Bool, []), user());
    let func = m.functions.push(f);
    let body = m.functions[func].body;
    let mut b = Builder::new(&mut m, func, body, origin);
    let array = crate::array::Array::from_f64s(DType::F32, vec![3], &[1.0, -0.5, 1e-7]).unwrap();
    let w = b.constant(&array).unwrap();
    let y = b.add(x, w).unwrap();
    let f = b.f_mut();
    let branch = |f: &mut Function, op: bool| {
        let region = f.regions.push(Region::default());
        let p = f.add_param(region, ty.clone(), None);
        let mut result = p;
        if op {
            let operands = Operands::from_slice(&[Some(p)]);
            let node = f.add_node(region, Neg {}.into(), operands, [Some(ty.clone())], OriginId(0));
            result = f.nodes[node].result(0).unwrap();
        }
        f.regions[region].results.push(result);
        region
    };
    let (then, other) = (branch(f, true), branch(f, false));
    let source = SourceOp {
        format: "onnx".to_owned(),
        domain: "com.example".to_owned(),
        name: "Either".to_owned(),
        overload: String::new(),
        version: 1,
        attributes: BTreeMap::from([
            ("then".to_owned(), Attr::Region(then)),
            ("else branch".to_owned(), Attr::Region(other)),
            ("alpha".to_owned(), Attr::Float(Float(1.0))),
            ("empty".to_owned(), Attr::Floats(Vec::new())),
            ("pads".to_owned(), Attr::Ints(vec![0, 1])),
            ("sizes".to_owned(), Attr::Dims(vec![Dim::symbol(n), Dim::Known(2)])),
        ]),
    };
    let opaque = Opaque { source, captures: 1, reason: "unknown domain".to_owned() };
    let operands = Operands::from_slice(&[Some(c), Some(y)]);
    let results = [None, Some(ty.clone())];
    let node = f.add_node(body, opaque.into(), operands, results, OriginId(0));
    let z = f.nodes[node].result(1).unwrap();
    f.values[z].name = Some("z".into());
    f.add_output("y", z, OutputRole::User(Default::default()));
    m.note(Entity::Node(func, node), "onnx.doc", "two\nlines");
    m
}

#[test]
fn the_text_is_for_people() {
    let text = check(&sample());
    assert!(text == include_str!("sample.irt"), "\n{text}");
}

#[test]
fn one_line() {
    let m = sample();
    let last = m.functions[FuncId(0)].body().nodes.len() - 1;
    let ids: Vec<NodeId> = m.functions[FuncId(0)].body().nodes.clone();
    assert_eq!(
        print_node(&m, FuncId(0), ids[0]),
        "n0: %2: f32[3] = constant {tensor = #0}  // 1.0, -0.5, 1e-7"
    );
    let line = print_node(&m, FuncId(0), ids[last]);
    assert!(line.contains("_, %8 \"z\": f32[2*batch, 3] = opaque(%1: bool[], %"), "{line}");
    assert!(line.contains("then = ^1}") && !line.contains('\n'), "{line}");
    assert_eq!(print_node(&m, FuncId(0), NodeId(99)), "n99");
    assert_eq!(print_node(&m, FuncId(9), NodeId(0)), "n0");
}

#[test]
fn streams() {
    let m = sample();
    let mut out = Vec::new();
    write(&m, &PrintOptions::default(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), print(&m, &PrintOptions::default()));
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let e = write(&m, &PrintOptions::default(), &mut Full).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn weights_by_digest() {
    let mut m = sample();
    let bytes = Bytes::from(vec![3u8; 1000]);
    m.tensors.push(Tensor {
        dtype: DType::U8,
        dims: vec![1000],
        storage: Storage::Bytes(bytes.clone()),
    });
    let text = print(&m, &PrintOptions { inline_up_to: 100, ..PrintOptions::default() });
    let digest = *blake3::hash(&bytes).as_bytes();
    assert!(text.contains(&format!("= blake3\"{}\"", blake3::hash(&bytes).to_hex())));
    let find = |d: &[u8; 32]| (*d == digest).then(|| bytes.clone());
    let options = ParseOptions { weights: Some(&find), ..ParseOptions::default() };
    assert!(parse(&text, &options).unwrap() == m);
    assert_eq!(read(&text).unwrap_err().kind, ErrorKind::Weights);
    let none = |_: &[u8; 32]| None;
    let options = ParseOptions { weights: Some(&none), ..ParseOptions::default() };
    assert_eq!(parse(&text, &options).unwrap_err().kind, ErrorKind::Weights);
}

/// What a person would type: no ids of nodes, comments, commas at the end.
#[test]
fn typed_by_hand() {
    let text = r#"
airconv 0.1 // first
func @0 "main" {
  symbol $0 "n": 1..
  in "x": user
  out "y": user
  body ^0(
    %0: f32[n,3,],  // the only one
  ) {
    %1: f32[1] = constant {tensor = #0}
    %2: f32[n, 3] = add(%0, %1,)
    %3: f32[3 * n] = reshape(%2) { dims = [3*n], }
    return %3
  }
}
tensor #0: f32[1] = [ 1 ]
"#;
    let m = read(text).unwrap();
    let f = m.main();
    assert_eq!(f.body().nodes, [NodeId(0), NodeId(1), NodeId(2)]);
    assert_eq!(print_type(f, f.ty(ValueId(3))), "f32[3*n]");
    assert_eq!(m.tensors[TensorId(0)].storage, Storage::Bytes(1f32.to_le_bytes().to_vec().into()));
    check(&m);
}

#[test]
fn every_error() {
    let fails = |kind: ErrorKind, text: &str, message: &str| {
        let e = read(text).expect_err(text);
        assert!(e.message.contains(message), "{e}");
        assert_eq!(e.kind, kind, "{e}");
    };
    let body = |kind: ErrorKind, text: &str, message: &str| {
        let text =
            format!("airconv 0.1 func @0 \"f\" {{ symbol $0 \"n\": .. body ^0 {{ {text} }} }}");
        fails(kind, &text, message);
    };
    use ErrorKind::*;
    fails(Syntax, "", "expected `airconv 0.1`");
    fails(Structure, "airconv 9.9", "version 9.9");
    fails(Syntax, "airconv 0.1 what", "not `what`");
    fails(Syntax, "airconv 0.1 opset onnx = 1", "expected a string");
    fails(Syntax, "airconv 0.1 opset \"onnx = 1", "no end");
    fails(Syntax, "airconv 0.1 opset \"onnx\n\" = 1", "no end on its line");
    fails(Syntax, r#"airconv 0.1 opset "\q" = 1"#, "expected one of");
    fails(Syntax, r#"airconv 0.1 opset "\u{d800}" = 1"#, "code point");
    fails(Structure, "airconv 0.1 opset \"a\" = 1 opset \"a\" = 1", "twice");
    fails(Syntax, "airconv 0.1 opset \"a\" = 99999999999999999999", "integer in range");
    fails(Structure, "airconv 0.1 note \"a\" = \"\" note \"a\" = \"\"", "twice");
    fails(Structure, "airconv 0.1 func @1 \"f\" {}", "expected @0");
    fails(Syntax, "airconv 0.1 func @0 \"f\" {", "expected an item of a function");
    fails(Structure, "airconv 0.1 func @0 \"f\" { body ^0 body ^0 }", "one body");
    fails(Syntax, "airconv 0.1 func @0 \"f\" { in \"x\": what }", "`user`, `param` or `state`");
    fails(Syntax, "airconv 0.1 func @0 \"f\" { out \"x\": what }", "`user`, `state` or `input`");
    fails(Structure, "airconv 0.1 func @0 \"f\" { symbol $1 \"n\": .. }", "expected $0");
    fails(Syntax, "airconv 0.1 func @0 \"f\" { value %0 = param ^0 1 }", "a type");
    fails(Syntax, "airconv 0.1 func @0 \"f\" { value %0: i8[] = n0 }", "`param` or `result`");
    fails(Structure, "airconv 0.1 loc1 = unknown", "expected loc0");
    fails(Syntax, "airconv 0.1 loc0 = what", "expected `unknown`");
    fails(Structure, "airconv 0.1 tensor #0: f33[] = [1]", "`f33` is not a dtype");
    fails(Structure, "airconv 0.1 tensor #0: i8[2] = [1]", "1 elements");
    fails(Structure, "airconv 0.1 tensor #0: i8[1] = [1.5]", "no element of i8");
    fails(Structure, "airconv 0.1 tensor #0: i4[1] = [8]", "out of range for i4");
    fails(Structure, "airconv 0.1 tensor #0: c64[1] = [8]", "cannot be written as numbers");
    fails(Syntax, "airconv 0.1 tensor #0: i8[1] = \"00\"", "`hex`");
    fails(Syntax, "airconv 0.1 tensor #0: i8[1] = hex\"0\"", "pairs");
    fails(Syntax, "airconv 0.1 tensor #0: i8[1] = hex\"0g\"", "pairs");
    fails(Syntax, "airconv 0.1 tensor #0: i8[1] = blake3\"00\"", "64");
    fails(Weights, &format!("airconv 0.1 tensor #0: i8[1] = blake3\"{:064}\"", 0), "no weights");
    body(Structure, "nonsense(%0)", "no op is called `nonsense`");
    body(Structure, "neg(%0) {axis = 1}", "`neg` has no fields");
    body(Structure, "transpose(%0) {axis = 1}", "no field `axis`; it has perm");
    body(Structure, "transpose(%0)", "`perm` is missing");
    body(Structure, "transpose(%0) {perm = [], perm = []}", "twice");
    body(Structure, "transpose(%0) {perm = true}", "wants ints, not bool");
    body(Syntax, "transpose(%0) {perm = [1.5]}", "integer");
    body(Structure, "div(%0, %0) {rounding = up}", "rounding");
    body(Structure, "reshape(%0) {dims = [m]}", "no symbol \"m\"");
    body(Structure, "reshape(%0) {dims = [f(n)]}", "no function `f`");
    body(Structure, "reshape(%0) {dims = [mod(n)]}", "`mod` does not take 1");
    body(Syntax, "reshape(%0) {dims = [n +]}", "expected a size");
    body(Limit, "reshape(%0) {dims = [n + ?]}", "too large");
    body(Limit, &format!("reshape(%0) {{dims = [{}n]}}", "(".repeat(100)), "nested");
    body(Limit, &format!("reshape(%0) {{dims = [{}n]}}", "n+".repeat(60_000)), "too long");
    body(Structure, "%0: i8[] = neg(%0) %0: i8[] = neg(%0)", "%0 is defined twice");
    body(Structure, "%1: i8[] = neg(%0)", "%1 is defined and %0 is not");
    body(Structure, "n4294967295: neg(%0)", "n4294967295 is defined and n0 is not");
    body(Structure, "n0: neg(%0) n0: neg(%0)", "n0 is defined twice");
    body(Syntax, "%0 \"x\" = neg(%0)", "expected `:`");
    body(Syntax, "%x = neg(%0)", "expected an id");
    body(Syntax, "%01 = neg(%0)", "expected an id");
    body(Syntax, "neg(%0 %1)", "`,` or `)`");
    let map = |kind, attr: &str, message: &str| {
        body(kind, &format!("opaque {{source = {{attributes = {attr}}}}}"), message);
    };
    map(Syntax, "[]", "write `ints[]`");
    map(Syntax, "[1, 2.0]", "mixed");
    map(Syntax, "bare", "quotes");
    map(Syntax, "1x", "ends in letters");
    map(Structure, "{a = 1, a = 2}", "twice");
    map(Syntax, "nan\"00\"", "16");
    map(Limit, &"list[".repeat(300), "nested");
    map(Limit, &format!("type {}", "optional(".repeat(300)), "nested");
    map(Limit, &"{a = ".repeat(300), "nested");
    body(Limit, &"opaque {source = {attributes = {b = ^1 {".repeat(300), "nested");
}

#[test]
fn limits() {
    let text = print(&sample(), &PrintOptions::default());
    let under = |limits: TextLimits| parse(&text, &ParseOptions { limits, weights: None });
    let all = TextLimits::default;
    assert!(under(TextLimits { bytes: text.len(), ..all() }).is_ok());
    for limits in [
        TextLimits { bytes: text.len() - 1, ..all() },
        TextLimits { nesting: 2, ..all() },
        TextLimits { token: 8, ..all() },
        TextLimits { entities: 8, ..all() },
    ] {
        let e = under(limits.clone()).expect_err("over a limit");
        assert!(e.kind == ErrorKind::Limit || limits.token == 8, "{e}");
    }
}

/// Sizes as long as may be, in the forms that cost most to bring into canonical form.
#[test]
fn long_sizes_are_quick() {
    let many = |f: &dyn Fn(usize) -> String, join: &str| {
        let parts: Vec<String> = (0..6000).map(f).collect();
        parts.join(join)
    };
    let sizes = [
        format!("max({})", many(&|i| format!("n+{i}"), ",")),
        format!("broadcast({})", many(&|i| format!("{i}*n"), ",")),
        format!("max({})", many(&|i| format!("mod(n,{i})"), ",")),
        many(&|i| format!("n+{i}"), "*"),
        many(&|i| format!("(n+{i})"), "*"),
        many(&|i| format!("mod(n,{})", i + 2), "+"),
        many(&|i| format!("mod(n,{})", i + 2), "*"),
        format!("{}n{}", "mod(".repeat(60), ",7)".repeat(60)),
    ];
    let start = std::time::Instant::now();
    for size in sizes {
        let text = format!(
            "airconv 0.1 func @0 \"f\" {{ symbol $0 \"n\": .. value %0: f32[{size}] = param ^0 0 }}"
        );
        if let Err(e) = read(&text) {
            assert_eq!(e.kind, ErrorKind::Limit, "{e}");
        }
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn errors_show_the_place() {
    let text = "airconv 0.1\n\nfunc @0 \"ü\" {\n\tbody ^0 { %0: f32[] = what(%0) }\n}\n";
    let e = read(text).unwrap_err();
    assert_eq!((e.line, e.column), (4, 24));
    assert_eq!(
        e.to_string(),
        "4:24: no op is called `what`\n  |  body ^0 { %0: f32[] = what(%0) }\n  | \
         \x20                      ^"
    );
    let d = Diagnostic::from(e);
    assert_eq!((d.code.as_str(), d.at[0].as_str()), ("text-structure", "line 4, column 24"));
    let long = format!("airconv 0.1 tensor #0: u8[] = hex\"{}\" what", "00".repeat(10_000));
    let shown = read(&long).unwrap_err();
    assert!(
        shown.excerpt.len() < 130 && shown.excerpt[shown.mark..].starts_with("what"),
        "{shown}"
    );
}

/// Regions deeper than the reader goes are written one after another.
#[test]
fn deep_regions() {
    let mut m = Module::default();
    let mut f = Function::new("f");
    let mut region = f.body;
    for _ in 0..300 {
        let inner = f.regions.push(Region::default());
        let source = SourceOp {
            attributes: BTreeMap::from([("b".to_owned(), Attr::Region(inner))]),
            ..SourceOp::default()
        };
        let op = Opaque { source, captures: 0, reason: String::new() };
        f.add_node(region, op.into(), Operands::new(), [], OriginId(0));
        region = inner;
    }
    m.functions.push(f);
    check(&m);
}

/// As deep as the default limit allows, on the stack of a test.
#[test]
fn deep_text() {
    let count = (TextLimits::default().nesting as usize - 1) / 3;
    let open = "opaque {source = {format = \"\", name = \"\", attributes = {b = ^";
    let mut text = "airconv 0.1 func @0 \"f\" { body ^0 {".to_owned();
    (1..=count).for_each(|i| text.push_str(&format!("{open}{i} {{")));
    text.push_str(&"}}}}".repeat(count));
    text.push_str("}}");
    check(&read(&text).unwrap());
}

/// Many changes to a good text: an error or a module, never a panic, and quickly.
#[test]
fn mutations() {
    let mut g = Gen::new(7);
    let pieces: Vec<&str> =
        "( ) [ ] { } , : = .. \" % ^ # @ $ _ n0 %0 ^0 loc0 hex\"00\" -1 1.0 1e \
        nan inf list[ dims[ ints[ type dtype dim f32[ n+ mod( // \\ return node value region \
        opaque constant 99999999999 \u{fc} note tensor"
            .split_whitespace()
            .collect();
    let mut texts = vec![print(&sample(), &PrintOptions::default())];
    for seed in 0..12 {
        let text = print(&Gen::new(seed).module(&mut any_ops(seed)), &PrintOptions::default());
        if text.len() < 6000 {
            texts.push(text);
        }
    }
    for round in 0..20_000 {
        let text = &texts[round % texts.len()];
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..=g.below(3) {
            let at = g.below(chars.len() as u32) as usize;
            let end = (at + g.below(12) as usize).min(chars.len());
            match g.below(4) {
                0 => drop(chars.drain(at..end)),
                1 => {
                    let piece = pieces[g.below(pieces.len() as u32) as usize];
                    chars.splice(at..at, piece.chars());
                }
                2 => {
                    let copy: Vec<char> = chars[at..end].to_vec();
                    let to = g.below(chars.len() as u32) as usize;
                    chars.splice(to..to, copy);
                }
                _ => chars[at] = char::from(32 + g.below(95) as u8),
            }
        }
        let text: String = chars.into_iter().collect();
        match read(&text) {
            Ok(module) => drop(check(&module)),
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
}

/// `AIRCONV_SPEED=1000000`: a chain of so many nodes.
#[test]
#[allow(clippy::print_stdout)]
fn speed() {
    let Some(count) = std::env::var("AIRCONV_SPEED").ok().and_then(|v| v.parse::<u32>().ok())
    else {
        return;
    };
    let mut module = Module::default();
    let id = module.functions.push(Function::new("f"));
    let f = &mut module.functions[id];
    let n = f.add_symbol("n", Range::default(), None);
    let ty = Type::tensor(DType::F32, [Dim::symbol(n), Dim::Known(3)]);
    let mut x = f.add_input("x", ty.clone(), InputRole::Param(None));
    for i in 0..count {
        let operands = Operands::from_slice(&[Some(x), Some(x)]);
        let op = crate::op::Reshape { dims: vec![Dim::symbol(n), Dim::Known(3)] };
        let node = f.add_node(f.body, op.into(), operands, [Some(ty.clone())], OriginId(i));
        x = f.nodes[node].result(0).unwrap();
    }
    let start = std::time::Instant::now();
    let text = print(&module, &PrintOptions::default());
    let printed = start.elapsed();
    let start = std::time::Instant::now();
    let back = read(&text).unwrap();
    println!("{count} nodes, {} bytes: print {printed:?}, parse {:?}", text.len(), start.elapsed());
    assert!(back == module);
}
