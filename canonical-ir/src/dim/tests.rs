//! Identities by example, and properties over random expressions.

use proptest::prelude::*;
use std::collections::HashSet;

use super::*;

const NAMES: [&str; 5] = ["N", "M", "K", "batch size", "a\"b\\c\u{1}é"];

fn names(s: SymbolId) -> String {
    NAMES[s.0 as usize].to_owned()
}

fn lookup(name: &str) -> Option<SymbolId> {
    NAMES.iter().position(|n| *n == name).map(|i| SymbolId(i as u32))
}

fn parse(text: &str) -> Dim {
    parse_dim(text, &mut lookup).unwrap()
}

fn show(d: &Dim) -> String {
    d.display(&names).to_string()
}

fn full(_: SymbolId) -> Range {
    Range::FULL
}

fn sizes(_: SymbolId) -> Range {
    Range::POSITIVE
}

fn n() -> Dim {
    Dim::symbol(SymbolId(0))
}

fn m() -> Dim {
    Dim::symbol(SymbolId(1))
}

#[track_caller]
fn same(a: &str, b: &str) {
    assert_eq!(parse(a), parse(b), "{a} gives {}, {b} gives {}", show(&parse(a)), show(&parse(b)));
}

#[track_caller]
fn prints(a: &str, text: &str) {
    assert_eq!(show(&parse(a)), text);
}

#[test]
fn polynomials() {
    same("2*N + N", "3*N");
    same("(N + M) - N", "M");
    same("N - N", "0");
    same("N*M", "M*N");
    same("(N + 1)*(N - 1)", "N*N - 1");
    same("-(N - M)", "M - N");
    assert_eq!(&n() * 3, parse("3*N"));
    assert_eq!(&(&n() + &m()) - &n(), m());
    assert_eq!(-n() + n(), Dim::Known(0));
    prints("3 + N*2", "2*N + 3");
    prints("-N", "-N");
    prints("4 - N*N*M", "-N*N*M + 4");
    prints("-9223372036854775808*N", "-9223372036854775808*N");
    prints("N*N - 9223372036854775807*N + -9223372036854775808*M", {
        "N*N - 9223372036854775807*N + -9223372036854775808*M"
    });
}

#[test]
fn division() {
    same("floordiv(6*N, 3)", "2*N");
    same("floordiv(2*N + 3*M + 4, 2)", "N + M + floordiv(M, 2) + 2");
    same("floordiv(2*N + M, 2)", "N + floordiv(M, 2)");
    same("floordiv(4*N, 2*N)", "2");
    same("floordiv(N*M*768, N*M)", "768");
    same("floordiv(N*768, 64)", "12*N");
    same("floordiv(N*M*768, M*64)", "12*N");
    same("floordiv((N + M)*(N + 2)*6, 2*N + 4)", "3*N + 3*M");
    same("floordiv(N*N - M*M, N + M)", "N - M");
    same("floordiv(4*N*M + 2*M, 8*M)", "floordiv(N, 2)");
    same("floordiv(N - 1, 2) + 1", "floordiv(N + 1, 2)");
    same("floordiv(floordiv(N - 1, 2) - 2, 2)", "floordiv(N - 5, 4)");
    same("floordiv(N, -4)", "-ceildiv(N, 4)");
    same("floordiv(-N, 8)", "-ceildiv(N, 8)");
    same("floordiv(-N, M)", "-ceildiv(N, M)");
    same("floordiv(N, -M)", "-ceildiv(N, M)");
    same("ceildiv(N + M, M)", "ceildiv(N, M) + 1");
    same("ceildiv(6*N, 4)", "N + ceildiv(N, 2)");
    same("floordiv(7, 2)", "3");
    same("floordiv(-7, 2)", "-4");
    same("ceildiv(-7, 2)", "-3");
    same("floordiv(0, N)", "0");
    same("floordiv(N, 0)", "?");
    same("mod(N, 0)", "?");
    same("floordiv(5, 0)", "?");
    same("floordiv(-9223372036854775808, -1)", "?");
    same("mod(-9223372036854775808, -1)", "0");
    prints("floordiv(3*N, 4)", "floordiv(3*N, 4)");
    prints("ceildiv(N, 8)", "floordiv(N + 7, 8)");
    prints("ceildiv(N, M)", "ceildiv(N, M)");
}

#[test]
fn remainders() {
    same("mod(4*N, 4)", "0");
    same("mod(N, 1)", "0");
    same("mod(N, N)", "0");
    same("mod(2*N + 3*M + 4, 2)", "mod(M, 2)");
    same("mod(2*N + 3, 4)", "2*mod(N + 1, 2) + 1");
    same("mod(N*M, N)", "0");
    same("mod(N, -8)", "-mod(-N, 8)");
    same("mod(mod(N, 8), 4)", "mod(N, 4)");
    same("mod(mod(N, 4), 8)", "mod(N, 4)");
    same("mod(7*N, 8)", "mod(-N, 8)");
    same("mod(-7, 3)", "2");
    same("mod(7, -3)", "-2");
}

#[test]
fn extrema() {
    same("max(N + 1, N)", "N + 1");
    same("min(N + 1, N)", "N");
    same("max(N, max(M, N))", "max(M, N)");
    same("min(N, 3, 5)", "min(3, N)");
    same("max(N, N)", "N");
    same("min(N, 9223372036854775807)", "N");
    same("max(N, -9223372036854775808)", "N");
    same("max(N, min(N, M))", "N");
    same("min(max(N, 5), 3)", "3");
    assert_eq!(Dim::max(&n(), &Dim::Any), Dim::Any);
    assert_eq!(Dim::min_all([]), Dim::Known(i64::MAX));
}

#[test]
fn broadcasts() {
    same("broadcast(N, 1)", "N");
    same("broadcast(N, N)", "N");
    same("broadcast(N, 7)", "7");
    same("broadcast(N, min(N, 7))", "N");
    same("broadcast(M, min(N, 7), N)", "broadcast(M, N)");
    same("broadcast(N, 0)", "0");
    same("broadcast(2, 3)", "?");
    // With N = 5 this is 5, which is not what either bound alone says.
    assert_ne!(parse("broadcast(N, min(N, 1))"), parse("N"));
    assert_ne!(parse("broadcast(N, min(M, 7))"), parse("N"));
    same("broadcast(N, broadcast(M, N))", "broadcast(M, N)");
    same("broadcast(broadcast(N, M), K)", "broadcast(N, broadcast(M, K))");
    let s = |v: &[&str]| v.iter().map(|t| parse(t)).collect::<Shape>();
    assert_eq!(broadcast_shapes(&s(&["N", "1", "3"]), &s(&["5", "1"])), Ok(s(&["N", "5", "3"])));
    assert_eq!(
        broadcast_shapes(&s(&["?", "N"]), &s(&["4", "M"])),
        Ok(s(&["4", "broadcast(N, M)"]))
    );
    let error = BroadcastError { axis: 1, left: 2, right: 3 };
    assert_eq!(broadcast_shapes(&s(&["N", "2", "1"]), &s(&["3", "1"])), Err(error));
    assert_eq!(broadcast_shapes(&[], &s(&["N"])), Ok(s(&["N"])));
    assert_eq!(numel(&s(&["N", "2", "M", "3"])), parse("6*N*M"));
    assert_eq!(numel(&[]), Dim::Known(1));
}

#[test]
fn limits_give_any() {
    let big = Dim::Known(i64::MAX);
    assert_eq!(big.add(&Dim::Known(1)), Dim::Any);
    assert_eq!(n().mul(&big).mul(&big), Dim::Any);
    assert_eq!(Dim::Known(i64::MIN).neg(), Dim::Any);
    assert_eq!(Dim::Any.mul(&Dim::Known(0)), Dim::Any);
    let mut sum = Dim::Known(0);
    for i in 0..MAX_TERMS as u32 {
        sum = sum.add(&Dim::symbol(SymbolId(i)));
        assert!(!sum.is_any());
    }
    assert_eq!(sum.mul(&sum), Dim::Any);
    assert_eq!(sum.add(&Dim::symbol(SymbolId(99))), Dim::Any);
    let mut deep = n();
    for _ in 1..MAX_DEPTH {
        deep = deep.floor_div(&m());
        assert!(!deep.is_any());
    }
    assert_eq!(deep.floor_div(&m()), Dim::Any);
    let mut power = n();
    for _ in 0..20 {
        power = power.mul(&power);
    }
    assert_eq!(power, Dim::Any);
    // A quotient with too many terms.
    let mut power = Dim::Known(1);
    for _ in 0..100 {
        power = power.mul(&n());
    }
    assert_eq!(power.floor_div(&n().sub(&m())), Dim::Any);
    let all = (0..300).map(|i| Dim::symbol(SymbolId(i)));
    assert_eq!(Dim::max_all(all.clone()), Dim::Any);
    assert_eq!(Dim::broadcast_all(all), Dim::Any);
}

#[test]
fn ranges_and_proofs() {
    let r = |text: &str| parse(text).range(&sizes);
    assert_eq!(r("N"), Range::POSITIVE);
    assert_eq!(r("2*N + 3"), Range::new(Some(5), None));
    assert_eq!(r("5 - N*M"), Range::new(None, Some(4)));
    assert_eq!(r("floordiv(-N, 2)"), Range::new(None, Some(-1)));
    assert_eq!(r("N - 2*floordiv(N, 2)"), Range::new(Some(0), Some(1)));
    assert_eq!(r("mod(N - 7, 8)"), Range::new(Some(0), Some(7)));
    assert_eq!(r("min(N, 5)"), Range::new(Some(1), Some(5)));
    assert_eq!(r("max(N - 3, 0)"), Range::NONNEG);
    assert_eq!(r("floordiv(N, M)"), Range::NONNEG);
    assert_eq!(parse("N*N").range(&full), Range::NONNEG);
    assert_eq!(r("9223372036854775807*N*M"), Range::new(Some(i64::MAX), None));
    assert!(parse("N + M - 2").is_nonneg(&sizes));
    assert!(!parse("N - M").is_nonneg(&sizes));
    assert!(!Dim::Any.is_nonneg(&sizes));

    let eq = |a: &str, b: &str| parse(a).proves_eq(&parse(b), &sizes);
    let ne = |a: &str, b: &str| parse(a).proves_ne(&parse(b), &sizes);
    assert!(eq("N + mod(-N, 8)", "8*ceildiv(N, 8)"));
    assert!(eq("floordiv(N, 2) + floordiv(N + 1, 2)", "N"));
    assert!(eq("floordiv(3*N, 4)", "N - ceildiv(N, 4)"));
    assert!(eq("M*floordiv(N, M) + mod(N, M)", "N"));
    assert!(eq("max(N, 1)", "N"));
    assert!(!eq("N", "M"));
    assert!(!eq("?", "?"));
    assert!(ne("2*N", "5"));
    assert!(ne("N + 1", "N"));
    assert!(ne("N + M", "1"));
    assert!(!ne("N", "M"));
    assert!(!ne("?", "3"));

    let simple = |text: &str| show(&parse(text).simplify(&sizes));
    assert_eq!(simple("max(N, 0)"), "N");
    assert_eq!(simple("min(N + M, N)"), "N");
    assert_eq!(simple("max(N, M, N + M)"), "N + M");
    assert_eq!(simple("broadcast(N + 1, M)"), "N + 1");
    assert_eq!(simple("broadcast(N, M)"), "broadcast(N, M)");
    assert_eq!(simple("min(max(N, -5), 9223372036854775807)"), "N");
    assert_eq!(simple("mod(min(N, 3), 8)"), "min(3, N)");
    assert_eq!(simple("floordiv(min(N, 3), 8) + M"), "M");
    let five = |s: SymbolId| if s.0 == 0 { Range::exactly(5) } else { Range::POSITIVE };
    assert_eq!(parse("N*M + 2*N").simplify(&five), parse("5*M + 10"));
}

#[test]
fn solving() {
    let env = |s: SymbolId| (s.0 == 1).then_some(3);
    let solve = |text: &str, v| solve_for(&parse(text), v, &env);
    assert_eq!(solve("2*N", 8), Some((SymbolId(0), 4)));
    assert_eq!(solve("2*N", 7), None);
    assert_eq!(solve("M*N - M", 6), Some((SymbolId(0), 3)));
    assert_eq!(solve("N + K", 6), None);
    assert_eq!(solve("M", 3), None);
    assert_eq!(solve("N*N", 4), None);
    assert_eq!(solve("floordiv(N, 2)", 4), None);
    assert_eq!(solve("-N", i64::MIN), None);
    assert_eq!(parse("N").as_symbol(), Some(SymbolId(0)));
    assert_eq!(parse("2*N").as_symbol(), None);
    let mut seen = Vec::new();
    parse("N*max(M, floordiv(K, N))").symbols(&mut |s| seen.push(s.0));
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), HashSet::from([0, 1, 2]));
}

#[test]
fn text() {
    prints("\"batch size\"*N", "N*\"batch size\"");
    prints(" ( ( N ) ) ", "N");
    prints("?", "?");
    assert_eq!(n().add(&Dim::Known(1)).to_string(), "$0 + 1");
    let minimum = |name: &str| (name == "min").then_some(SymbolId(0));
    assert_eq!(parse_dim("min(min, 3)", &mut { minimum }), Ok(Dim::min(&n(), &Dim::Known(3))));

    let error = |text: &str| parse_dim(text, &mut lookup).unwrap_err();
    assert_eq!(error(""), DimParseError::Expected { at: 0, expected: "a size" });
    assert_eq!(error("Q"), DimParseError::UnknownSymbol { at: 0, name: "Q".into() });
    assert_eq!(error("foo(N)"), DimParseError::UnknownFunction { at: 0, name: "foo".into() });
    let arguments = DimParseError::Arguments { at: 0, name: "mod", count: 1 };
    assert_eq!(error("mod(N)"), arguments);
    assert_eq!(error("9223372036854775808"), DimParseError::IntegerRange { at: 0 });
    assert!(matches!(error("min()"), DimParseError::Arguments { .. }));
    assert!(matches!(error("2N"), DimParseError::Expected { at: 1, .. }));
    assert!(matches!(error("\"abc"), DimParseError::Expected { .. }));
    assert!(matches!(error("\"\\u{d800}\""), DimParseError::Expected { .. }));
    assert!(matches!(error(&"(".repeat(1000)), DimParseError::TooDeep { .. }));
    assert!(matches!(error(&"-".repeat(1000)), DimParseError::TooDeep { .. }));
    assert!(matches!(error(&" ".repeat(100_000)), DimParseError::TooLong { .. }));
}

/// An expression as written, with a meaning that is independent of the canonical form.
#[derive(Clone, Debug)]
enum Tree {
    Known(i64),
    Symbol(u32),
    Binary(u8, Box<(Tree, Tree)>),
}

const ALL: [u8; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
/// Those without division.
const SMOOTH: [u8; 6] = [0, 1, 2, 6, 7, 8];

impl Tree {
    fn dim(&self) -> Dim {
        match self {
            Tree::Known(k) => Dim::Known(*k),
            Tree::Symbol(s) => Dim::symbol(SymbolId(*s)),
            Tree::Binary(op, ab) => {
                let (a, b) = (&ab.0.dim(), &ab.1.dim());
                match op {
                    0 => a.add(b),
                    1 => a.sub(b),
                    2 => a.mul(b),
                    3 => a.floor_div(b),
                    4 => a.ceil_div(b),
                    5 => a.rem(b),
                    6 => a.min(b),
                    7 => a.max(b),
                    _ => a.broadcast(b),
                }
            }
        }
    }

    fn eval(&self, env: &[i64]) -> Option<i64> {
        let (op, a, b) = match self {
            Tree::Known(k) => return Some(*k),
            Tree::Symbol(s) => return env.get(*s as usize).copied(),
            Tree::Binary(op, ab) => (op, ab.0.eval(env)?, ab.1.eval(env)?),
        };
        let (x, y) = (i128::from(a), i128::from(b));
        let floor = |x: i128, y: i128| (y != 0).then(|| (x - (x % y + y) % y) / y);
        let wide = match op {
            0 => x + y,
            1 => x - y,
            2 => x * y,
            3 => floor(x, y)?,
            4 => -floor(-x, y)?,
            5 => x - y * floor(x, y)?,
            6 => x.min(y),
            7 => x.max(y),
            _ if x == y || y == 1 => x,
            _ if x == 1 => y,
            _ => return None,
        };
        i64::try_from(wide).ok()
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    tree_of(prop_oneof![8 => -9i64..10, 1 => Just(64i64), 1 => Just(i64::MAX)].boxed(), &ALL)
}

fn tree_of(known: BoxedStrategy<i64>, operators: &'static [u8]) -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![2 => known.prop_map(Tree::Known), 3 => (0u32..5).prop_map(Tree::Symbol)];
    leaf.prop_recursive(5, 24, 2, move |inner| {
        (proptest::sample::select(operators), inner.clone(), inner)
            .prop_map(|(op, a, b)| Tree::Binary(op, Box::new((a, b))))
    })
}

fn env() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(prop_oneof![-12i64..13, 0i64..3], 5)
}

fn eval(d: &Dim, env: &[i64]) -> Option<i64> {
    d.eval(&|s| env.get(s.0 as usize).copied())
}

/// Each range holds the value of the environment, and more or less around it.
fn around(env: &[i64], slack: &[(bool, bool, i64)]) -> Vec<Range> {
    env.iter()
        .zip(slack)
        .map(|(v, &(low, high, by))| {
            Range::new(low.then_some(v - by % 3), high.then_some(v + by / 3))
        })
        .collect()
}

fn slack() -> impl Strategy<Value = Vec<(bool, bool, i64)>> {
    proptest::collection::vec((any::<bool>(), any::<bool>(), 0i64..9), 5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn canonical_form_keeps_values(t in tree(), envs in proptest::collection::vec(env(), 12)) {
        let d = t.dim();
        for env in &envs {
            if let (Some(v), false) = (t.eval(env), d.is_any()) {
                prop_assert_eq!(eval(&d, env), Some(v), "{}", show(&d));
            }
        }
    }

    #[test]
    fn substitution_keeps_values(
        t in tree(),
        inner in proptest::collection::vec(proptest::option::of(tree()), 5),
        envs in proptest::collection::vec(env(), 6),
    ) {
        let dims: Vec<Option<Dim>> = inner.iter().map(|t| t.as_ref().map(Tree::dim)).collect();
        let d = t.dim().substitute(&mut |s| dims[s.0 as usize].clone());
        for env in &envs {
            let values: Option<Vec<i64>> = (0..5)
                .map(|i| inner[i].as_ref().map_or(Some(env[i]), |t| t.eval(env)))
                .collect();
            if let (Some(v), false) = (values.and_then(|v| t.eval(&v)), d.is_any()) {
                prop_assert_eq!(eval(&d, env), Some(v), "{}", show(&d));
            }
        }
        let d = t.dim();
        prop_assert_eq!(d.substitute(&mut |_| None), d);
    }

    #[test]
    fn text_round_trip(t in tree()) {
        let d = t.dim();
        prop_assert_eq!(parse_dim(&show(&d), &mut lookup), Ok(d));
    }

    #[test]
    fn algebra(a in tree(), b in tree(), c in tree()) {
        let (a, b, c) = (&a.dim(), &b.dim(), &c.dim());
        let check = |x: Dim, y: Dim| x.is_any() || y.is_any() || x == y;
        prop_assert!(check(a.add(b), b.add(a)));
        prop_assert!(check(a.mul(b), b.mul(a)));
        prop_assert!(check(a.add(b).add(c), a.add(&b.add(c))));
        prop_assert!(check(a.mul(b).mul(c), a.mul(&b.mul(c))));
        prop_assert!(check(a.mul(&b.add(c)), a.mul(b).add(&a.mul(c))));
        prop_assert!(check(a.add(b).sub(b), a.clone()));
        for f in [Dim::min, Dim::max, Dim::broadcast] {
            prop_assert_eq!(f(a, b), f(b, a));
            prop_assert_eq!(f(a, a), a.clone());
        }
        prop_assert!(check(a.broadcast(b).broadcast(c), a.broadcast(&b.broadcast(c))));
        if *b != Dim::Known(0) {
            prop_assert!(check(a.mul(b).floor_div(b), a.clone()));
            prop_assert!(check(a.mul(b).ceil_div(b), a.clone()));
            prop_assert!(check(a.mul(b).rem(b), Dim::Known(0)));
        }
    }

    #[test]
    fn ranges_hold_values(t in tree(), env in env(), slack in slack()) {
        let ranges = around(&env, &slack);
        let sym = |s: SymbolId| ranges[s.0 as usize];
        let d = t.dim();
        if let Some(v) = eval(&d, &env) {
            prop_assert!(d.range(&sym).contains(v), "{}: {:?}, {v}", show(&d), d.range(&sym));
        }
        if let (Some(v), false) = (t.eval(&env), d.is_any()) {
            let simple = d.simplify(&sym);
            prop_assert_eq!(eval(&simple, &env), Some(v), "{} to {}", show(&d), show(&simple));
        }
    }

    #[test]
    fn proofs_hold(a in tree(), b in tree(), env in env(), slack in slack()) {
        let ranges = around(&env, &slack);
        let sym = |s: SymbolId| ranges[s.0 as usize];
        for (a, b) in [(a.clone(), b.clone()), (Tree::Binary(6, Box::new((a.clone(), b))), a)] {
            if let (Some(x), Some(y)) = (a.eval(&env), b.eval(&env)) {
                let (a, b) = (a.dim(), b.dim());
                prop_assert!(!a.proves_eq(&b, &sym) || x == y, "{} = {}", show(&a), show(&b));
                prop_assert!(!a.proves_ne(&b, &sym) || x != y, "{} != {}", show(&a), show(&b));
            }
        }
    }

    #[test]
    fn division_identities_are_proved(a in tree_of((-9i64..10).boxed(), &SMOOTH), k in 1i64..20) {
        let (a, k) = (a.dim(), Dim::Known(k));
        if let Dim::Expr(e) = &a {
            // Far from the limits of size, which the proof must not cross on its way either.
            prop_assume!(e.nodes() < 40);
        }
        let rebuilt = k.mul(&a.floor_div(&k)).add(&a.rem(&k));
        if !rebuilt.is_any() && !a.sub(&rebuilt).is_any() {
            prop_assert!(rebuilt.proves_eq(&a, &full), "{} = {}", show(&rebuilt), show(&a));
        }
        let other = a.neg().floor_div(&k).neg();
        if !other.is_any() && !a.ceil_div(&k).sub(&other).is_any() {
            prop_assert!(other.proves_eq(&a.ceil_div(&k), &full), "{}", show(&other));
        }
    }

    #[test]
    fn solutions_solve(a in tree(), env in env(), v in -50i64..50) {
        let d = a.dim();
        let bound = |s: SymbolId| (s.0 != 0).then(|| env[s.0 as usize]);
        if let Some((s, x)) = d.solve_for(v, &bound) {
            prop_assert_eq!(s, SymbolId(0));
            let back = d.substitute(&mut |s| Some(bound(s).unwrap_or(x).into()));
            prop_assert!(back == Dim::Known(v) || back.is_any(), "{back}");
        }
    }

    #[test]
    fn parser_takes_any_text(text in "[-NMQ0-9+*(),?\" \\\\u{}]{0,40}|\\PC{0,40}") {
        let _ = parse_dim(&text, &mut lookup);
    }

    #[test]
    fn names_round_trip(name in "\\PC{0,12}|[\\x00-\\x7f]{0,12}") {
        let shown = n().display(&|_| name.clone()).to_string();
        let back = parse_dim(&shown, &mut |s| (s == name).then_some(SymbolId(0)));
        prop_assert_eq!(back, Ok(n()));
    }
}
