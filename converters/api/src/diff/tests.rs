use airconv_ir::text::{ParseOptions, parse};

use super::*;

/// A program of one input `x` and one output `y`, which the last of these lines makes.
fn program(lines: &str) -> Module {
    let last = lines.matches(" = ").count() - lines.matches("tensor = ").count();
    let text = format!(
        "airconv 0.1\nfunc @0 \"main\" {{\n in \"x\": user\n out \"y\": user\n \
         body ^0(%0 \"x\": f32[4]) {{\n{lines}\n return %{last}\n }}\n}}\nentry @0\n\
         tensor #0: f32[4] = [1, 2, 3, 4]\ntensor #1: f32[4] = [1, 2, 3, 5]\n\
         tensor #2: f32[4] = splat(1)\ntensor #3: f32[4] = [1, 1, 1, 1]\n"
    );
    parse(&text, &ParseOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn base() -> Module {
    program(
        "%1: f32[4] = constant {tensor = #0}\n %2: f32[4] = add(%0, %1)\n \
         %3: f32[4] = relu(%2)\n %4: f32[4] = exp(%3)",
    )
}

fn main(d: &Diff) -> &FunctionDiff {
    &d.functions[0]
}

#[test]
fn names_numbers_and_order_make_no_difference() {
    let one = "%1: f32[4] = constant {tensor = #0}\n %2: f32[4] = relu(%0)\n \
               %3: f32[4] = add(%2, %1)";
    let other = "%1 \"r\": f32[4] = relu(%0)\n %2 \"c\": f32[4] = constant {tensor = #0}\n \
                 %3 \"s\": f32[4] = add(%1, %2)";
    let d = diff(&program(one), &program(other));
    assert!(d.is_empty() && d.ops.is_empty(), "{d:?}");
    assert_eq!(main(&d).same, 3);
    let (splat, full) = ("#2", "#3");
    let one = |t: &str| program(&format!("%1: f32[4] = constant {{tensor = {t}}}"));
    assert!(diff(&one(splat), &one(full)).is_empty(), "storage makes no difference");
}

#[test]
fn one_other_constant_is_one_change() {
    let other = program(
        "%1: f32[4] = constant {tensor = #1}\n %2: f32[4] = add(%0, %1)\n \
         %3: f32[4] = relu(%2)\n %4: f32[4] = exp(%3)",
    );
    let d = diff(&base(), &other);
    assert_eq!((main(&d).same, main(&d).changes.len()), (3, 1), "{d:?}");
    let change = &main(&d).changes[0];
    assert!(change.a.is_some() && change.b.is_some());
    assert!(change.why[0].starts_with("tensor: f32[4]"), "{:?}", change.why);
}

#[test]
fn a_new_node_is_new_and_its_user_rewired() {
    let other = program(
        "%1: f32[4] = constant {tensor = #0}\n %2: f32[4] = add(%0, %1)\n \
         %3: f32[4] = tanh(%2)\n %4: f32[4] = relu(%3)\n %5: f32[4] = exp(%4)",
    );
    let d = diff(&base(), &other);
    assert_eq!(d.ops.get("tanh"), Some(&(0, 1)));
    let changes = &main(&d).changes;
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.iter().any(|c| c.a.is_none() && c.b.is_some()));
    assert_eq!(changes[0].why, ["operand 0: %2 is now %3"]);
    let back = diff(&other, &base());
    assert!(main(&back).changes.iter().any(|c| c.a.is_some() && c.b.is_none()), "{back:?}");
}

#[test]
fn another_op_between_is_removed_and_added() {
    let other = program(
        "%1: f32[4] = constant {tensor = #0}\n %2: f32[4] = add(%0, %1)\n \
         %3: f32[4] = tanh(%2)\n %4: f32[4] = exp(%3)",
    );
    let d = diff(&base(), &other);
    let kinds: Vec<(bool, bool)> =
        main(&d).changes.iter().map(|c| (c.a.is_some(), c.b.is_some())).collect();
    assert!(kinds.contains(&(true, false)) && kinds.contains(&(false, true)), "{kinds:?}");
}

#[test]
fn inputs_and_outputs_are_compared_by_name() {
    let mut other = base();
    let entry = other.entry;
    other.functions[entry].outputs[0].name = "z".to_owned();
    let d = diff(&base(), &other);
    assert_eq!(d.outputs.len(), 2);
    assert!(!d.is_empty());
}

#[test]
fn values_correspond() {
    let (a, b) = (base(), base());
    let pairs = corresponding(&a, &b);
    assert_eq!(pairs.len(), 5);
    assert!(pairs.iter().all(|p| p.a == p.b && p.same));
}
