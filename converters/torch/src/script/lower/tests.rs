use std::collections::BTreeMap;

use airconv_api::Limits;
use airconv_ir::dim::{Dim, Range, Shape};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;

use super::*;
use crate::common::schema::{Schema, Ty};
use crate::import::call::Stop;
use crate::script::ScriptTensor;

/// Writes calls down, and gives every result the type of its first tensor.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    types: Vec<(DType, Shape)>,
    region: usize,
    regions: usize,
    assumed: Vec<String>,
    known: BTreeMap<usize, i64>,
}

impl Log {
    fn make(&mut self, dtype: DType, shape: Shape) -> usize {
        self.types.push((dtype, shape));
        self.types.len() - 1
    }
    fn say(&mut self, line: String) {
        let indent = "  ".repeat(usize::from(self.region > 0));
        self.lines.push(format!("{indent}{line}"));
    }
}

fn text(arg: &Arg<usize>) -> String {
    match arg {
        Arg::None => "None".to_owned(),
        Arg::Tensor(t) => format!("%{t}"),
        Arg::Number(t) => format!("#{t}"),
        Arg::Int(dim) => dim.display(&|s: SymbolId| format!("s{}", s.0)).to_string(),
        Arg::Float(v) => format!("{v:?}"),
        Arg::Bool(b) => b.to_string(),
        Arg::Complex(re, im) => format!("{re}+{im}j"),
        Arg::Str(s) => format!("{s:?}"),
        Arg::DType(d) => d.to_string(),
        Arg::Placement => "@".to_owned(),
        Arg::ChannelsLast => "@channels_last".to_owned(),
        Arg::List(items) => {
            format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))
        }
    }
}

impl AtenSink for Log {
    type Tensor = usize;
    type Region = usize;

    fn call(
        &mut self,
        schema: &'static Schema,
        args: &[Arg<usize>],
    ) -> Result<Vec<Arg<usize>>, Stop> {
        let list: Vec<_> = args.iter().map(text).collect();
        let like = args.iter().find_map(|a| match a {
            Arg::Tensor(t) => Some(self.types[*t].clone()),
            Arg::List(items) => match items.first() {
                Some(Arg::Tensor(t)) => Some(self.types[*t].clone()),
                _ => None,
            },
            _ => None,
        });
        let (mut dtype, shape) = like.unwrap_or((DType::F32, Shape::new()));
        if let Some(Arg::DType(to)) = args.iter().find(|a| matches!(a, Arg::DType(_))) {
            dtype = *to;
        }
        if ["aten::gt", "aten::lt", "aten::eq", "aten::ne"].contains(&&*schema.name) {
            dtype = DType::Bool;
        }
        let mut results = Vec::new();
        let mut names = Vec::new();
        for result in &schema.returns {
            let shape = if schema.name == "aten::sum" { Shape::new() } else { shape.clone() };
            let made = self.make(dtype, shape);
            names.push(format!("%{made}"));
            results.push(match result.ty {
                Ty::List(..) => Arg::List(vec![Arg::Tensor(made)]),
                _ => Arg::Tensor(made),
            });
        }
        let call = format!("{} = {}({})", names.join(", "), schema.display_name(), list.join(", "));
        self.say(call);
        Ok(results)
    }
    fn constant(&mut self, tensor: &ScriptTensor) -> Result<usize, Stop> {
        let shape = tensor.view.sizes().iter().map(|&d| Dim::Known(d as i64)).collect();
        let made = self.make(tensor.view.dtype(), shape);
        self.say(format!("%{made} = {}", tensor.name));
        Ok(made)
    }
    fn dtype(&mut self, tensor: usize) -> Result<DType, Stop> {
        Ok(self.types[tensor].0)
    }
    fn shape(&mut self, tensor: usize) -> Result<Shape, Stop> {
        Ok(self.types[tensor].1.clone())
    }
    fn number(&mut self, number: &Arg<usize>) -> Result<usize, Stop> {
        let dtype = match number {
            Arg::Int(_) => DType::I64,
            Arg::Bool(_) => DType::Bool,
            _ => DType::F64,
        };
        let made = self.make(dtype, Shape::new());
        if let Some(n) = number.as_int() {
            self.known.insert(made, n);
        }
        self.say(format!("%{made} = number {}", text(number)));
        Ok(made)
    }
    fn item(&mut self, tensor: usize) -> Result<Arg<usize>, Stop> {
        Ok(match self.known.get(&tensor) {
            Some(n) => Arg::Int(Dim::Known(*n)),
            None => Arg::Number(tensor),
        })
    }
    fn compare(&mut self, how: Compare, a: &Dim, b: &Dim) -> Option<bool> {
        let range = |_: SymbolId| Range::POSITIVE;
        let difference = a.sub(b).range(&range);
        match how {
            Compare::Eq if a.proves_eq(b, &range) => Some(true),
            Compare::Eq | Compare::Ne if a.proves_ne(b, &range) => Some(how == Compare::Ne),
            Compare::Ne if a.proves_eq(b, &range) => Some(false),
            Compare::Gt if difference.min.is_some_and(|m| m > 0) => Some(true),
            Compare::Gt if difference.max.is_some_and(|m| m <= 0) => Some(false),
            _ => None,
        }
    }
    fn assume(&mut self, what: &str, place: &str) {
        self.assumed.push(format!("{place}: {what}"));
    }
    fn place(&mut self, _: &str) {}
    fn branch(&mut self) -> Result<usize, Stop> {
        self.regions += 1;
        let region = self.regions;
        self.say(format!("branch {region}"));
        Ok(region)
    }
    fn loop_body(&mut self, carried: &[usize]) -> Result<(usize, usize, Vec<usize>), Stop> {
        self.regions += 1;
        let index = self.make(DType::I64, Shape::new());
        let params = carried.iter().map(|&t| {
            let (dtype, shape) = self.types[t].clone();
            self.make(dtype, shape)
        });
        let params: Vec<usize> = params.collect();
        let line = format!("body {} of {carried:?} as %{index} {params:?}", self.regions);
        self.say(line);
        Ok((self.regions, index, params))
    }
    fn enter(&mut self, region: usize) -> usize {
        std::mem::replace(&mut self.region, region)
    }
    fn capture(&mut self, region: usize, tensor: usize) -> Result<usize, Stop> {
        let (dtype, shape) = self.types[tensor].clone();
        let made = self.make(dtype, shape);
        self.say(format!("%{made} = capture %{tensor} in {region}"));
        Ok(made)
    }
    fn if_(
        &mut self,
        condition: usize,
        branches: [(usize, &[usize]); 2],
    ) -> Result<Vec<usize>, Stop> {
        let results: Vec<usize> = branches[0]
            .1
            .iter()
            .map(|&t| {
                let (dtype, shape) = self.types[t].clone();
                self.make(dtype, shape)
            })
            .collect();
        self.say(format!("{results:?} = if %{condition} {branches:?}"));
        Ok(results)
    }
    fn loop_(
        &mut self,
        trips: Option<usize>,
        first: Option<usize>,
        carried: &[usize],
        body: (usize, Option<usize>, &[usize]),
    ) -> Result<Vec<usize>, Stop> {
        let results: Vec<usize> = carried
            .iter()
            .map(|&t| {
                let (dtype, shape) = self.types[t].clone();
                self.make(dtype, shape)
            })
            .collect();
        self.say(format!("{results:?} = loop {trips:?} {first:?} {carried:?} {body:?}"));
        Ok(results)
    }
}

const HEAD: &str = "class Net(Module):
  __parameters__ = [\"w\", ]
  __buffers__ = [\"b\", ]
  training : bool
  w : Tensor
  b : Tensor
  tied : Tensor
  inner : __torch__.sub.Inner
  ratio : Final[float] = 0.5
";

/// The calls of a `forward` on a tensor of `[s0, 4]` and `sum`, one of rank 0.
fn calls(forward: &str) -> Result<(Vec<String>, Outcome<usize>, Log), FileError> {
    calls_at(10, forward)
}

/// The same of a version of the format.
fn calls_at(version: u64, forward: &str) -> Result<(Vec<String>, Outcome<usize>, Log), FileError> {
    let folder = tempfile::tempdir().unwrap();
    let indented: String = forward.lines().map(|l| format!("  {l}\n")).collect();
    let source = format!("{HEAD}{indented}{FUNCTIONS}");
    let path = crate::script::tests::archive_of(folder.path(), &source, version);
    let script = Script::open(&path, false, &Limits::default())?;
    let mut log = Log::default();
    let shape = [Dim::symbol(SymbolId(0)), Dim::Known(4)].into_iter().collect();
    let x = log.make(DType::F32, shape);
    let outcome = lower(&script, &mut log, "forward", &[Arg::Tensor(x)], &Limits::default())?;
    Ok((std::mem::take(&mut log.lines), outcome, log))
}

const FUNCTIONS: &str =
    "def scale(x: Tensor, by: float=2., *, bias: Optional[Tensor]=None) -> Tensor:
  if torch.__is__(bias, None):
    y = torch.mul(x, by)
  else:
    bias0 = unchecked_cast(Tensor, bias)
    y = torch.add(torch.mul(x, by), bias0)
  return y
class Pair(NamedTuple):
  first : Tensor
  second : int
";

fn one(t: usize) -> Output<usize> {
    Output::One(Arg::Tensor(t))
}

#[test]
fn straight_code_is_a_list_of_calls() {
    let (lines, outcome, _) = calls(
        "def forward(self, x: Tensor) -> Tensor:
  w = self.w
  y = torch.linear(x, w, self.b)
  z = torch.to(torch.add(y, 1), 7)
  return torch.sum(z, [0], True, dtype=None)",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "%1 = w",
            "%2 = b",
            "%3 = aten.linear(%0, %1, %2)",
            "%4 = aten.add.Scalar(%3, 1, 1)",
            "%5 = aten.to.dtype(%4, f64, false, false, None)",
            "%6 = aten.sum.dim_IntList(%5, [0], true, None)",
        ]
    );
    assert_eq!(outcome, Outcome { result: one(6), changed: Vec::new() });
}

#[test]
fn what_is_known_is_folded() {
    let (lines, outcome, log) = calls(
        "def forward(self, x: Tensor) -> Tuple[Tensor, int]:
  if torch.__not__(self.training):
    if torch.gt(torch.dim(x), 3):
      ops.prim.RaiseException(torch.format(\"{}D\", torch.dim(x)))
    else:
      pass
    n, c, = torch.size(x)
    acc = x
    sizes = annotate(List[int], [])
    for i in range(torch.len(self.inner.sizes)):
      acc = __torch__.scale(acc, bias=self.tied, )
      _0 = torch.append(sizes, torch.mul(n, (self.inner.sizes)[i]))
    while torch.lt(c, 6):
      c = torch.add(c, 1)
    p = __torch__.Pair(torch.view(acc, sizes), torch.floordiv(torch.mul(n, c), 3))
  else:
    ops.prim.RaiseException(\"training\")
    p = uninitialized(__torch__.Pair)
  if torch.ne(n, 5):
    ops.prim.RaiseException(\"not five\")
  else:
    pass
  return (p.first, p.second, self.ratio, (self.inner).f(), isinstance(n, int))",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "%1 = w",
            "%2 = aten.mul.Scalar(%0, 2.0)",
            "%3 = aten.add.Tensor(%2, %1, 1)",
            "%4 = aten.mul.Scalar(%3, 2.0)",
            "%5 = aten.add.Tensor(%4, %1, 1)",
            "%6 = aten.view(%5, [2*s0, 3*s0])",
            // The size is not known to be five or not.
            "%7 = number s0",
            "%8 = number 5",
            "%9 = aten.ne.Tensor(%7, %8)",
        ]
    );
    let Output::List(items) = outcome.result else { panic!() };
    let items: Vec<_> = items
        .iter()
        .map(|o| match o {
            Output::One(arg) => text(arg),
            _ => panic!(),
        })
        .collect();
    assert_eq!(items, ["%6", "2*s0", "0.5", "1", "true"]);
    assert_eq!(log.assumed, ["code/__torch__.py:28: a check succeeds"]);
}

#[test]
fn branches_on_elements_are_regions() {
    let (lines, outcome, _) = calls(
        "def forward(self, x: Tensor) -> Tensor:
  y = torch.relu(x)
  if bool(torch.gt(torch.sum(x), 0)):
    z = torch.mul(x, y)
    k = 1
  else:
    z0 = torch.add(y, self.w)
    z, k = z0, 2
  return torch.mul(z, k)",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "%1 = aten.relu(%0)",
            "%2 = aten.sum(%0, None)",
            "%3 = aten.gt.Scalar(%2, 0)",
            "branch 1",
            "  %4 = capture %0 in 1",
            "  %5 = capture %1 in 1",
            "  %6 = aten.mul.Tensor(%4, %5)",
            "branch 2",
            "  %7 = w",
            "  %8 = capture %1 in 2",
            "  %9 = aten.add.Tensor(%8, %7, 1)",
            "  %10 = number 1",
            "  %11 = number 2",
            "[12, 13] = if %3 [(1, [6, 10]), (2, [9, 11])]",
            "%14 = aten.mul.Scalar(%12, #13)",
        ]
    );
    assert_eq!(outcome.result, one(14));
}

#[test]
fn loops_of_unknown_length_are_regions() {
    let (lines, outcome, _) = calls(
        "def forward(self, x: Tensor) -> Tensor:
  acc = x
  for i in range(torch.size(x, 0)):
    acc = torch.add(acc, torch.mul(x, i))
  n = 0
  while bool(torch.gt(torch.sum(acc), n)):
    acc = torch.neg(acc)
    n = torch.add(n, 1)
  return acc",
    )
    .unwrap();
    assert_eq!(
        lines,
        [
            "%1 = number s0",
            "body 1 of [0] as %2 [3]",
            "  %4 = capture %0 in 1",
            "  %5 = aten.mul.Scalar(%4, #2)",
            "  %6 = aten.add.Tensor(%3, %5, 1)",
            "[7] = loop Some(1) None [0] (1, None, [6])",
            "%8 = aten.sum(%7, None)",
            "%9 = aten.gt.Scalar(%8, 0)",
            "%10 = number 0",
            "body 2 of [7, 10] as %11 [12, 13]",
            "  %14 = aten.neg(%12)",
            "  %15 = number 1",
            "  %16 = aten.add.Tensor(%13, %15, 1)",
            "  %17 = aten.sum(%14, None)",
            "  %18 = aten.gt.Scalar(%17, #16)",
            "[19, 20] = loop None Some(9) [7, 10] (2, Some(18), [14, 16])",
        ]
    );
    assert_eq!(outcome.result, one(19));
}

#[test]
fn attributes_that_change_are_told() {
    let (_, outcome, _) = calls(
        "def forward(self, x: Tensor) -> Tensor:
  self.tied = torch.relu(self.tied)
  b = self.b
  self.b = b
  self.inner.count = 3
  return self.tied",
    )
    .unwrap();
    assert_eq!(outcome.result, one(2));
    let changed = [("tied".to_owned(), one(2))];
    let count = ("inner.count".to_owned(), Output::One(Arg::Int(Dim::Known(3))));
    assert_eq!(outcome.changed, [changed[0].clone(), count]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_line() {
    for (body, line, what) in [
        ("return torch.no_such_op(x)", 11, "aten::no_such_op"),
        ("return torch.relu(\"x\")", 11, "a text"),
        ("return y", 11, "`y`"),
        ("ops.prim.RaiseException(\"always\")", 11, "always"),
        ("l = [x]\n  while bool(x):\n    _0 = torch.append(l, x)\n  return x", 13, "list"),
        ("if bool(x):\n    y = 1\n  else:\n    y = None\n  return y", 10, "`y`"),
        ("if bool(x):\n    return x\n  else:\n    pass\n  return x", 12, "return"),
        ("return (self).forward(x, )", 11, "deep"),
        ("return self.nothing", 11, "nothing"),
        ("if bool(x):\n    _0 = torch.relu_(x)\n  else:\n    pass\n  return x", 12, "relu_"),
        ("while True:\n    pass", 12, "too long"),
    ] {
        let forward = format!("def forward(self, x: Tensor) -> Tensor:\n  {body}");
        let limits = Limits { nodes: 10_000, ..Limits::default() };
        let folder = tempfile::tempdir().unwrap();
        let indented: String = forward.lines().map(|l| format!("  {l}\n")).collect();
        let path = crate::script::tests::archive(folder.path(), &format!("{HEAD}{indented}"));
        let script = Script::open(&path, false, &limits).unwrap();
        let mut log = Log::default();
        let x = log.make(DType::F32, Shape::new());
        let error = lower(&script, &mut log, "forward", &[Arg::Tensor(x)], &limits).unwrap_err();
        assert_eq!(error.place, format!("code/__torch__.py:{line}"), "{error}");
        assert!(error.message.contains(what), "{error}");
    }
}

#[test]
fn operators_mean_what_they_meant_in_their_version() {
    let forward = "def forward(self, x: Tensor) -> List[Tensor]:
  n = torch.to(x, 4)
  a = torch.div(n, 2)
  b = torch.div(n, 2.)
  c = torch.div(x, n)
  d = torch.full([2], 1)
  e = torch.linspace(0, 1, None)
  return [a, b, c, d, e]";
    let (lines, ..) = calls_at(3, forward).unwrap();
    let has = |part: &str| assert!(lines.iter().any(|l| l.contains(part)), "{part}: {lines:#?}");
    has("aten.div.Scalar_mode(%1, 2, \"trunc\")");
    has("aten.div.Scalar(%1, 2.0)");
    has("aten.div.Tensor(%0, %1)");
    has("aten.full([2], 1.0,");
    has("aten.linspace(0, 1, 100,");
    let today = forward.replace("None", "5");
    let (lines, ..) = calls(&today).unwrap();
    let has = |part: &str| assert!(lines.iter().any(|l| l.contains(part)), "{part}: {lines:#?}");
    has("aten.div.Scalar(%1, 2)");
    has("aten.full([2], 1,");
    has("aten.linspace(0, 1, 5,");
    assert!(calls(forward).is_err());
}

#[test]
fn a_loop_that_is_too_long_to_unroll_is_refused() {
    let forward = "def forward(self, x: Tensor) -> Tensor:
  y = x
  for i in range(2147483648):
    y = torch.add(y, i)
  return y";
    let error = calls(forward).err().unwrap();
    assert!(error.message.contains("too many steps"), "{error}");
}
