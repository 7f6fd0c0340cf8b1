//! Where two programs begin to differ in numbers.
//!
//! Both run side by side in the interpreter. A value that both make is compared as soon as both
//! have it, and let go. What corresponds is found by what it is computed from, then by name, by origin, and by what is
//! computed from it.

use std::collections::BTreeMap;

use airconv_ir::copy::substitute_symbols;
use airconv_ir::dim::Dim;
use airconv_ir::entity::{EntityId, NodeId, SymbolId, ValueId};
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter, Stepper};
use airconv_ir::module::{ArgKindRole, Def, Function, InputRole, Module, Origin, OutputRole};
use airconv_ir::op::{Op, OpKind};
use airconv_ir::tensor::Tensor;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::compare::{Distance, distance, outputs};
use crate::diff;

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
    /// The most bytes of values that wait for their counterpart; beyond it values are not
    /// compared.
    pub waiting_bytes: u64,
}

/// What a comparison along two runs found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Values that were compared.
    pub compared: usize,
    /// Values that both programs have and that would have had to wait too long.
    pub skipped: usize,
    /// Values of the first program without a counterpart.
    pub alone: usize,
    /// The first difference in the order of the first program.
    pub first: Option<Guilty>,
    /// The outputs of the first program, and how far those of the second are from them.
    pub outputs: Vec<(String, Distance)>,
    /// Why the second program stopped, if it did.
    pub stopped: Option<String>,
}

/// A value that differs, although what it is computed from agrees.
#[derive(Clone, Debug, PartialEq)]
pub struct Guilty {
    /// The value in the first program.
    pub a: ValueId,
    /// The value in the second program.
    pub b: ValueId,
    /// How far they are apart.
    pub distance: Distance,
    /// What makes it in the first program, from values that agree.
    pub cone_a: Cone,
    /// What makes it in the second program, from values that agree.
    pub cone_b: Cone,
}

/// The nodes between some values and one that is computed from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cone {
    /// The nodes in order.
    pub nodes: Vec<NodeId>,
    /// The values that come in, with their names.
    pub inputs: Vec<(ValueId, String)>,
}

/// Values of the two entry functions that stand for the same, each at most once. A value that
/// is computed from the same by the same ops comes with `true`.
pub fn pairs(a: &Module, b: &Module) -> Vec<(ValueId, ValueId, bool)> {
    let (f, g) = (a.main(), b.main());
    let mut out = Vec::new();
    let (mut seen_a, mut seen_b) = (FxHashSet::default(), FxHashSet::default());
    let mut take = |x: ValueId, y: ValueId, sure: bool| {
        if !seen_a.contains(&x) && !seen_b.contains(&y) {
            seen_a.insert(x);
            seen_b.insert(y);
            out.push((x, y, sure));
        }
    };
    let (sure, likely): (Vec<_>, Vec<_>) =
        diff::corresponding(a, b).into_iter().partition(|p| p.same);
    sure.iter().for_each(|p| take(p.a, p.b, true));
    for (x, y) in same_key(
        &values_of(f),
        &values_of(g),
        |f, v| f.values[v].name.as_deref().map(str::to_owned),
        (f, g),
    ) {
        take(x, y, false);
    }
    let origins = |m: &Module, f: &Function, v: ValueId| -> Option<(String, OpKind, u32)> {
        let Def::Result { node, index } = f.values[v].def else { return None };
        let n = &f.nodes[node];
        match m.origins.get(n.origin) {
            Some(place @ Origin::Source { .. }) => Some((place.to_string(), n.op.kind(), index)),
            _ => None,
        }
    };
    let by_origin = |m: &Module, f: &Function| -> BTreeMap<(String, OpKind, u32), Vec<ValueId>> {
        let mut found: BTreeMap<_, Vec<ValueId>> = BTreeMap::new();
        for v in values_of(f) {
            if let Some(key) = origins(m, f, v) {
                found.entry(key).or_default().push(v);
            }
        }
        found
    };
    let there = by_origin(b, g);
    for (key, here) in by_origin(a, f) {
        if let ([x], Some([y])) = (here.as_slice(), there.get(&key).map(Vec::as_slice)) {
            take(*x, *y, false);
        }
    }
    likely.iter().for_each(|p| take(p.a, p.b, false));
    for (output, &x) in f.outputs.iter().zip(&f.body().results) {
        let twin = g.outputs.iter().position(|o| o.name == output.name);
        if let Some(&y) = twin.and_then(|j| g.body().results.get(j)) {
            take(x, y, false);
        }
    }
    out
}

/// The values of a function's body, parameters first.
fn values_of(f: &Function) -> Vec<ValueId> {
    let made = f.body().nodes.iter().flat_map(|&n| f.nodes[n].outputs());
    f.body().params.iter().copied().chain(made).collect()
}

/// Values whose key each side has once.
fn same_key(
    a: &[ValueId],
    b: &[ValueId],
    key: impl Fn(&Function, ValueId) -> Option<String>,
    (f, g): (&Function, &Function),
) -> Vec<(ValueId, ValueId)> {
    let of = |f: &Function, values: &[ValueId]| {
        let mut found: FxHashMap<String, Option<ValueId>> = FxHashMap::default();
        for &v in values {
            if let Some(k) = key(f, v) {
                found.entry(k).and_modify(|one| *one = None).or_insert(Some(v));
            }
        }
        found
    };
    let (here, there) = (of(f, a), of(g, b));
    let twin = |v: &ValueId| {
        let k = key(f, *v)?;
        Some(((*here.get(&k)?)?, (*there.get(&k)?)?))
    };
    a.iter().filter_map(twin).collect()
}

/// Bytes that a value takes.
fn bytes(datum: &Datum) -> u64 {
    match datum {
        Datum::Tensor(a) => {
            (a.numel() as u64).saturating_mul(u64::from(a.dtype.bits()).div_ceil(8))
        }
        Datum::Sequence(items) => items.iter().map(bytes).sum(),
        Datum::Optional(inner) => inner.as_deref().map_or(0, bytes),
        Datum::Map(m) => m.values().map(bytes).sum(),
    }
}

/// A comparison while both programs run.
struct Work<'o> {
    options: &'o Options,
    pairs: Vec<(ValueId, ValueId, bool)>,
    /// Values that wait for their counterpart, by position among the pairs.
    waiting: FxHashMap<usize, Datum>,
    waiting_bytes: u64,
    /// How many of those that wait are of the first program.
    ahead: usize,
    /// By pair: whether both agree, once that is known.
    agree: Vec<Option<bool>>,
    /// By pair: whether one of the two was let go without being compared.
    dropped: Vec<bool>,
    worst: BTreeMap<usize, Distance>,
    found: Found,
}

impl Work<'_> {
    /// Takes a value of one program.
    fn see(&mut self, pair: usize, datum: &Datum, first: bool) {
        let Some(other) = self.waiting.remove(&pair) else {
            let size = bytes(datum);
            if self.agree[pair].is_some() || self.dropped[pair] {
                return;
            }
            if self.waiting_bytes + size > self.options.waiting_bytes {
                self.dropped[pair] = true;
                return;
            }
            self.waiting_bytes += size;
            self.ahead += usize::from(first);
            self.waiting.insert(pair, datum.clone());
            return;
        };
        self.waiting_bytes -= bytes(&other);
        self.ahead -= usize::from(!first);
        let (want, got) = if first { (datum, &other) } else { (&other, datum) };
        let d = distance(got, want, self.options.rtol, self.options.atol);
        self.found.compared += 1;
        self.agree[pair] = Some(d.agrees());
        if !d.agrees() {
            self.worst.insert(pair, d);
        }
    }
}

/// An interpreter at the beginning of a module's entry function.
fn start(module: &Module, inputs: &BTreeMap<String, Datum>) -> Result<Stepper, EvalError> {
    Stepper::start(Interpreter::new(module.clone(), EvalLimits::default()), inputs)
}

/// Runs two programs on the same inputs and finds the first value that differs. They have
/// passed the verifier. An error is one of the first program.
pub fn first_difference(
    a: &Module,
    b: &Module,
    inputs: &BTreeMap<String, Datum>,
    options: &Options,
) -> Result<Found, EvalError> {
    let pairs = pairs(a, b);
    let of_a: FxHashMap<ValueId, usize> = pairs.iter().enumerate().map(|(i, p)| (p.0, i)).collect();
    let of_b: FxHashMap<ValueId, usize> = pairs.iter().enumerate().map(|(i, p)| (p.1, i)).collect();
    let constant = |v: ValueId| match a.main().values[v].def {
        Def::Result { node, .. } => matches!(a.main().nodes[node].op, Op::Constant(_)),
        Def::Param { .. } => true,
    };
    // What is equal by itself need not be looked at.
    let agree: Vec<Option<bool>> =
        pairs.iter().map(|&(x, _, sure)| (sure && constant(x)).then_some(true)).collect();
    let mut work = Work {
        options,
        pairs,
        waiting: FxHashMap::default(),
        waiting_bytes: 0,
        ahead: 0,
        dropped: vec![false; agree.len()],
        agree,
        worst: BTreeMap::new(),
        found: Found::default(),
    };
    let mut left = start(a, inputs)?;
    let mut right = match start(b, inputs) {
        Ok(stepper) => Some(stepper),
        Err(e) => {
            work.found.stopped = Some(e.to_string());
            None
        }
    };
    loop {
        let more = left.step(&mut |v, d| match of_a.get(&v) {
            Some(&pair) => work.see(pair, d, true),
            None => work.found.alone += 1,
        })?;
        // The second follows until nothing of the first waits.
        while let Some(stepper) = right.as_mut().filter(|_| work.ahead > 0 || more.is_none()) {
            let stepped = stepper.step(&mut |v, d| {
                if let Some(&pair) = of_b.get(&v) {
                    work.see(pair, d, false);
                }
            });
            match stepped {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) => {
                    work.found.stopped = Some(e.to_string());
                    right = None;
                }
            }
        }
        if more.is_none() {
            break;
        }
    }
    let want = left.finish()?;
    let got = right.map(Stepper::finish).transpose();
    match got {
        Ok(got) => {
            let got = got.unwrap_or_default();
            work.found.outputs = outputs(&want, &got, options.rtol, options.atol);
        }
        Err(e) => work.found.stopped = Some(e.to_string()),
    }
    work.found.skipped = work.agree.iter().filter(|known| known.is_none()).count();
    work.found.first = guilty(a, b, &work);
    Ok(work.found)
}

/// The first pair that differs, in the order of the first program.
fn guilty(a: &Module, b: &Module, work: &Work<'_>) -> Option<Guilty> {
    let place: FxHashMap<ValueId, usize> =
        values_of(a.main()).into_iter().enumerate().map(|(i, v)| (v, i)).collect();
    let (&pair, distance) =
        work.worst.iter().min_by_key(|(i, _)| place.get(&work.pairs[**i].0).copied())?;
    let (x, y, _) = work.pairs[pair];
    let mut names: FxHashMap<ValueId, String> = FxHashMap::default();
    let mut twins: FxHashMap<ValueId, String> = FxHashMap::default();
    for (i, &(p, q, _)) in work.pairs.iter().enumerate() {
        if work.agree[i] == Some(true) {
            let name = name_of(a.main(), p);
            names.insert(p, name.clone());
            twins.insert(q, name);
        }
    }
    Some(Guilty {
        a: x,
        b: y,
        distance: distance.clone(),
        cone_a: cone(a.main(), x, &names),
        cone_b: cone(b.main(), y, &twins),
    })
}

fn name_of(f: &Function, v: ValueId) -> String {
    f.values[v].name.as_deref().map_or_else(|| format!("v{}", v.index()), str::to_owned)
}

/// What makes a value from values that have a name here, parameters and constants.
fn cone(f: &Function, value: ValueId, known: &FxHashMap<ValueId, String>) -> Cone {
    let (mut nodes, mut inputs) = (FxHashSet::default(), BTreeMap::new());
    let mut todo = vec![value];
    let mut seen: FxHashSet<ValueId> = FxHashSet::default();
    while let Some(v) = todo.pop() {
        if !seen.insert(v) {
            continue;
        }
        let Def::Result { node, .. } = f.values[v].def else {
            inputs.insert(v, known.get(&v).cloned().unwrap_or_else(|| name_of(f, v)));
            continue;
        };
        let n = &f.nodes[node];
        match known.get(&v) {
            Some(name) if v != value && !matches!(n.op, Op::Constant(_)) => {
                inputs.insert(v, name.clone());
            }
            _ => {
                if nodes.insert(node) {
                    todo.extend(n.inputs());
                }
            }
        }
    }
    let nodes = f.body().nodes.iter().copied().filter(|n| nodes.contains(n)).collect();
    Cone { nodes, inputs: inputs.into_iter().collect() }
}

/// A program of the nodes of a cone alone, whose inputs have the values of this run as
/// defaults. All sizes are those of the run.
pub fn reproducer(
    module: &Module,
    cone: &Cone,
    value: ValueId,
    output: &str,
    inputs: &BTreeMap<String, Datum>,
) -> Result<Module, String> {
    let mut run = start(module, inputs).map_err(|e| e.to_string())?;
    let wanted: FxHashSet<ValueId> = cone.inputs.iter().map(|(v, _)| *v).collect();
    let mut values: FxHashMap<ValueId, Datum> = FxHashMap::default();
    let given = run.params().filter(|(v, _)| wanted.contains(v));
    values.extend(given.map(|(v, d)| (v, d.clone())));
    let last = cone.nodes.last().copied();
    loop {
        let stepped = run.step(&mut |v, d| {
            if wanted.contains(&v) {
                values.insert(v, d.clone());
            }
        });
        match stepped {
            Ok(Some(node)) if Some(node) != last => {}
            // The node itself may be what fails.
            Ok(_) | Err(_) => break,
        }
    }
    let sizes: FxHashMap<SymbolId, Dim> = run.sizes().map(|(s, n)| (s, Dim::Known(n))).collect();
    let mut m = module.clone();
    let entry = m.entry;
    let mut replaced: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    let body = m.functions[entry].body;
    m.functions[entry].inputs.clear();
    m.functions[entry].outputs.clear();
    m.functions[entry].regions[body] = Default::default();
    let mut names: FxHashSet<String> = FxHashSet::default();
    for (v, name) in &cone.inputs {
        let Some(Datum::Tensor(array)) = values.get(v) else {
            return Err(format!("`{name}` is not a tensor"));
        };
        let tensor = Tensor::from_array(array).map_err(|e| e.to_string())?;
        let default = Some(m.tensors.push(tensor));
        let role = InputRole::User { default, kind: ArgKindRole::default() };
        let mut unique = name.clone();
        while !names.insert(unique.clone()) {
            unique.push('_');
        }
        let f = &mut m.functions[entry];
        replaced.insert(*v, f.add_input(&unique, Datum::Tensor(array.clone()).ty(), role));
    }
    let f = &mut m.functions[entry];
    for &node in &cone.nodes {
        for operand in f.nodes[node].operands.iter_mut().flatten() {
            *operand = replaced.get(operand).copied().unwrap_or(*operand);
        }
    }
    f.regions[body].nodes.clone_from(&cone.nodes);
    f.add_output(output, value, OutputRole::User(ArgKindRole::default()));
    substitute_symbols(f, &sizes.into_iter().collect());
    airconv_ir::pass::compact(&mut m);
    Ok(m)
}

#[cfg(test)]
mod tests {
    use airconv_ir::array::Array;
    use airconv_ir::dtype::DType;
    use airconv_ir::text::{ParseOptions, parse};
    use airconv_ir::verify::{Stage, verify};

    use super::*;

    /// exp(relu(x + c)) * d, with names where they are given.
    fn program(c: f64, d: f64, relu: &str, first: &str) -> Module {
        let text = format!(
            "airconv 0.1\nfunc @0 \"main\" {{\n in \"x\": user\n out \"y\": user\n \
             symbol $0 \"n\": 0..\n body ^0(%0 \"x\": f32[n]) {{\n \
             %1: f32[] = constant {{tensor = #0}}\n %2: f32[n] = broadcast(%1) {{dims = [n]}}\n \
             %3 \"{first}\": f32[n] = add(%0, %2)\n %4: f32[n] = {relu}(%3)\n \
             %5 \"e\": f32[n] = exp(%4)\n %6: f32[] = constant {{tensor = #1}}\n \
             %7: f32[n] = broadcast(%6) {{dims = [n]}}\n %8: f32[n] = mul(%5, %7)\n return %8\n \
             }}\n}}\nentry @0\ntensor #0: f32[] = [{c}]\ntensor #1: f32[] = [{d}]\n"
        );
        parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn inputs() -> BTreeMap<String, Datum> {
        let x = Array::from_f64s(DType::F32, vec![3], &[-2.0, 0.5, 1.0]).unwrap();
        BTreeMap::from([("x".to_owned(), x.into())])
    }

    const STRICT: Options = Options { rtol: 0.0, atol: 0.0, waiting_bytes: 1 << 20 };

    #[test]
    fn the_first_difference_is_found_and_reproduced() {
        let (a, b) = (program(1.0, 2.0, "relu", "s"), program(1.0, 3.0, "tanh", "s"));
        let found = first_difference(&a, &b, &inputs(), &STRICT).unwrap();
        assert!(!found.outputs[0].1.agrees());
        let guilty = found.first.unwrap();
        // relu and tanh have no common name: the first value that both have is `e`.
        assert_eq!(a.main().values[guilty.a].name.as_deref(), Some("e"));
        assert_eq!(guilty.cone_a.nodes.len(), 2);
        assert_eq!(guilty.cone_a.inputs.len(), 1);
        assert_eq!(guilty.cone_a.inputs[0].1, guilty.cone_b.inputs[0].1);
        let right = reproducer(&a, &guilty.cone_a, guilty.a, "e", &inputs()).unwrap();
        let wrong = reproducer(&b, &guilty.cone_b, guilty.b, "e", &inputs()).unwrap();
        for m in [&right, &wrong] {
            assert!(verify(m, Stage::Canonical).is_ok());
        }
        let run = |m: &Module| {
            let nothing = BTreeMap::new();
            start(m, &nothing).and_then(Stepper::finish).unwrap()
        };
        let far = outputs(&run(&right), &run(&wrong), 0.0, 0.0);
        assert_eq!(far[0].1.max_abs, guilty.distance.max_abs);
    }

    #[test]
    fn the_same_program_under_other_names_agrees() {
        let (a, b) = (program(1.0, 2.0, "relu", "s"), program(1.0, 2.0, "relu", "t"));
        let found = first_difference(&a, &b, &inputs(), &STRICT).unwrap();
        assert_eq!((found.first, found.alone, found.skipped), (None, 0, 0));
        assert!(found.outputs[0].1.agrees());
    }

    #[test]
    fn a_changed_constant_shows_in_its_first_use() {
        let (a, b) = (program(1.0, 2.0, "relu", "s"), program(1.5, 2.0, "relu", "s"));
        let guilty = first_difference(&a, &b, &inputs(), &STRICT).unwrap().first.unwrap();
        assert_eq!(guilty.a, ValueId::from_index(2));
        assert!(guilty.cone_a.inputs.is_empty(), "it comes from the constant alone");
        assert_eq!(guilty.distance.max_abs, 0.5);
    }

    #[test]
    fn nothing_waits_beyond_the_budget() {
        let options = Options { waiting_bytes: 0, ..STRICT };
        let (a, b) = (program(1.0, 2.0, "relu", "s"), program(1.0, 3.0, "relu", "s"));
        let found = first_difference(&a, &b, &inputs(), &options).unwrap();
        assert_eq!(found.compared, 0);
        assert!(found.skipped > 0 && !found.outputs[0].1.agrees());
    }
}
