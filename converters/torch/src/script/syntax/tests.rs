use super::ast::*;
use super::*;
use crate::error::ErrorKind;

const NET: &str = r#"class Net(Module):
  __parameters__ = ["w", ]
  __buffers__ = []
  training : bool
  w : Tensor
  scale : Final[float] = 0.5
  __annotations__["0"] = __torch__.torch.nn.modules.linear.Linear
  def forward(self: __torch__.Net,
    x: Tensor,
    k: Optional[Tuple[Tensor, int]]=None, *, eps: float=1.0000000000000001e-05) -> Tuple[Tensor, Tensor]:
    w = self.w  # a comment
    _0 = getattr(self, "0")
    a, b, = (_0).forward(x, w, )
    if torch.gt(torch.size(x, 0), -2):
      z = annotate(List[Optional[Tensor]], [])
    elif not training and (x is not None or a < b):
      pass
    else:
      z0 = {"a\n\"b\"": 1, }

    while torch.lt(i, k):
      acc = torch.add(acc, 1.)
    for i, (j) in range(3):
      self.state = uninitialized(Tensor)
    with __torch__.torch.autograd.grad_mode.no_grad() as _1, f():
      return (a, b)
    ops.prim.RaiseException("AssertionError: ")
    return (x[0], x[1:, ::2], inf, -9223372036854775808, 2.j, a if b else c, ())
def f(x: int) -> int:
  return torch.add(x, -1)
"#;

#[test]
fn a_class_with_all_that_programs_have() {
    let source = parse_source("code/net.py", NET).unwrap();
    assert_eq!(source.functions.len(), 1);
    let net = &source.classes[0];
    assert_eq!(net.base.as_deref(), Some("Module"));
    assert_eq!(net.list("__parameters__"), ["w"]);
    let names: Vec<_> = net.fields.iter().map(|f| &*f.name).collect();
    assert_eq!(names, ["training", "w", "scale", "0"]);
    let scale = net.field("scale").unwrap();
    assert!(scale.is_final && scale.ty == Some(TypeExpr::plain("float")));
    let forward = net.method("forward").unwrap();
    assert_eq!((forward.line, forward.params.len()), (8, 4));
    assert!(forward.params[3].keyword_only && !forward.params[2].keyword_only);
    assert_eq!(forward.params[2].ty.as_ref().unwrap().to_string(), "Optional[Tuple[Tensor, int]]");
    let lines: Vec<_> = forward.body.iter().map(|s| s.line).collect();
    assert_eq!(lines, [11, 12, 13, 14, 21, 23, 25, 27, 28]);
    let StmtKind::If(_, then, otherwise) = &forward.body[3].kind else { panic!() };
    assert_eq!((then.len(), otherwise.len()), (1, 1));
    let StmtKind::If(condition, ..) = &otherwise[0].kind else { panic!() };
    let ExprKind::Binary("and", left, right) = &condition.kind else { panic!("{condition:?}") };
    assert!(matches!(left.kind, ExprKind::Unary("not", _)));
    assert!(matches!(right.kind, ExprKind::Binary("or", ..)));
    let StmtKind::Return(Some(Expr { kind: ExprKind::Tuple(items), .. })) = &forward.body[8].kind
    else {
        panic!()
    };
    assert_eq!(items[2].kind, ExprKind::Float(f64::INFINITY));
    assert_eq!(items[3].kind, ExprKind::Int(i64::MIN));
    assert_eq!(items[4].kind, ExprKind::Imaginary(2.0));
    assert_eq!(items[6].kind, ExprKind::Tuple(Vec::new()));
}

#[test]
fn operators_bind_as_in_python() {
    let source = parse_source("f", "def f():\n  return 1 + 2 * 3 ** -x == 7 - 1 - 1\n").unwrap();
    let StmtKind::Return(Some(value)) = &source.functions[0].body[0].kind else { panic!() };
    let text = format!("{:?}", shape(value));
    assert_eq!(text, r#""((1 + (2 * (3 ** (-x)))) == ((7 - 1) - 1))""#);
}

fn shape(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Binary(op, a, b) => format!("({} {op} {})", shape(a), shape(b)),
        ExprKind::Unary(op, a) => format!("({op}{})", shape(a)),
        ExprKind::Int(n) => n.to_string(),
        ExprKind::Name(n) => n.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn errors_name_file_and_line() {
    for (text, line, what) in [
        ("x = 1\n", 1, "class or a function"),
        ("def f():\n  return 1\n   return 2\n", 3, "deeper line"),
        ("def f():\n  x = (1\n", 3, ""),
        ("def f():\n  x = $\n", 2, "`$`"),
        ("def f():\n  x = \"a\n", 2, "text"),
        ("def f():\n  f(a=1, 2)\n", 2, "name"),
        ("def f():\n  1 = 2\n", 2, "assigned"),
        ("def f():\n  x = lambda: 1\n", 2, "lambda"),
        ("def f():\n  x = 99999999999999999999\n", 2, "number"),
        ("def f():\n  x = 9223372036854775808\n", 2, "fit"),
        ("def f(x\n", 2, ""),
        ("class X(Module):\n  a b\n", 2, ""),
    ] {
        let error = parse_source("code/net.py", text).unwrap_err();
        assert!(error.place.starts_with("code/net.py:"), "{error}");
        if !what.is_empty() {
            assert_eq!(error.place, format!("code/net.py:{line}"), "{text:?}: {error}");
            assert!(error.message.contains(what), "{text:?}: {error}");
        }
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("f(", ")")] {
        let body = format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
        let error = parse_source("f", &format!("def f():\n  return {body}\n")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Limit, "{open}");
    }
    let sum = format!("def f():\n  return {}1\n", "1 + ".repeat(100_000));
    assert!(parse_source("f", &sum).is_err());
    let mut deep = "def f():\n".to_owned();
    for i in 1..2000 {
        deep.push_str(&format!("{}if x:\n", " ".repeat(i)));
    }
    assert!(parse_source("f", &deep).is_err());
    let types = format!("{}int{}", "List[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse_type(&types).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn types_stand_by_themselves() {
    let ty = parse_type("Dict[str, List[Optional[__torch__.a.B]]]").unwrap();
    assert_eq!(ty.to_string(), "Dict[str, List[Optional[__torch__.a.B]]]");
    assert!(parse_type("Tuple[()]").unwrap().args.is_empty());
    assert!(parse_type("int int").is_err());
}

#[test]
fn damaged_programs_never_panic() {
    let mut random = crate::common::rng::Rng::new(4);
    for _ in 0..4000 {
        let damaged = random.damage(NET.as_bytes());
        let _ = parse_source("net", &String::from_utf8_lossy(&damaged));
    }
}
