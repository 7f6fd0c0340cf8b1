//! LLVM IR as text: a module under construction, and the body of one function.
//!
//! Values are SSA names as strings. Nothing is checked here; the parser and the verifier of LLVM
//! do that when the text is compiled.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

/// The alignment that reads of arrays count on: constants are read where they lie in files.
/// Vector instructions of the processors that there are take any address.
pub const READ_ALIGN: u32 = 1;

/// A module under construction.
#[derive(Debug, Default)]
pub struct Module {
    declarations: BTreeSet<String>,
    globals: String,
    functions: String,
}

impl Module {
    /// An empty module.
    pub fn new() -> Module {
        Module::default()
    }

    /// Adds a line outside functions: a constant, a type, an attribute group.
    pub fn global(&mut self, line: impl Display) {
        let _ = writeln!(self.globals, "{line}");
    }

    /// Adds a finished function and what it declares.
    pub fn add(&mut self, function: Function) {
        self.declarations.extend(function.declarations);
        self.functions.push_str(&function.text);
        self.functions.push_str("}\n\n");
    }

    /// The text of the module.
    pub fn text(self) -> String {
        let mut out = self.globals;
        for declaration in &self.declarations {
            let _ = writeln!(out, "declare {declaration}");
        }
        out.push('\n');
        out.push_str(&self.functions);
        out
    }
}

/// A function under construction.
#[derive(Debug)]
pub struct Function {
    text: String,
    next: u32,
    block: String,
    declarations: BTreeSet<String>,
}

impl Function {
    /// Starts a function: `define void @f(ptr %a)`, without the brace. Its first block is
    /// `entry`.
    pub fn new(head: impl Display) -> Function {
        Function {
            text: format!("{head} {{\nentry:\n"),
            next: 0,
            block: "entry".into(),
            declarations: BTreeSet::new(),
        }
    }

    /// Says that the function uses another one: `float @llvm.fabs.f32(float)`.
    pub fn declare(&mut self, declaration: impl Into<String>) {
        self.declarations.insert(declaration.into());
    }

    /// A new name for a value, without defining it.
    pub fn name(&mut self) -> String {
        self.next += 1;
        format!("%t{}", self.next)
    }

    /// Defines a value by an instruction.
    pub fn value(&mut self, instruction: impl Display) -> String {
        let name = self.name();
        let _ = writeln!(self.text, "  {name} = {instruction}");
        name
    }

    /// Adds an instruction that gives no value, or that names its value itself.
    pub fn line(&mut self, instruction: impl Display) {
        let _ = writeln!(self.text, "  {instruction}");
    }

    /// A new label that starts with `stem`.
    pub fn label(&mut self, stem: &str) -> String {
        self.next += 1;
        format!("{stem}{}", self.next)
    }

    /// Starts a block. The one before must have ended in a jump.
    pub fn begin(&mut self, label: &str) {
        let _ = writeln!(self.text, "{label}:");
        self.block = label.to_string();
    }

    /// The label of the block under construction, for `phi`.
    pub fn block(&self) -> &str {
        &self.block
    }

    /// Jumps to a block.
    pub fn jump(&mut self, label: &str) {
        self.line(format_args!("br label %{label}"));
    }

    /// Jumps to one of two blocks.
    pub fn branch(&mut self, condition: &str, then: &str, otherwise: &str) {
        self.line(format_args!("br i1 {condition}, label %{then}, label %{otherwise}"));
    }

    /// The address of element `index` of an array of `element` at `base`.
    pub fn at(&mut self, element: &str, base: &str, index: impl Display) -> String {
        self.value(format_args!("getelementptr inbounds {element}, ptr {base}, i64 {index}"))
    }

    /// An address so many bytes after another one, which may lie outside of what that is of.
    pub fn beyond(&mut self, base: &str, bytes: impl Display) -> String {
        self.value(format_args!("getelementptr i8, ptr {base}, i64 {bytes}"))
    }

    /// An integer operation on `i64`: `self.int("add nsw", a, b)`.
    pub fn int(&mut self, op: &str, a: impl Display, b: impl Display) -> String {
        self.value(format_args!("{op} i64 {a}, {b}"))
    }

    /// The smaller of two signed `i64`.
    pub fn min(&mut self, a: impl Display, b: impl Display) -> String {
        self.declare("i64 @llvm.smin.i64(i64, i64)");
        self.value(format_args!("call i64 @llvm.smin.i64(i64 {a}, i64 {b})"))
    }

    /// `a / b` rounded up, of positive `i64`.
    pub fn div_ceil(&mut self, a: impl Display, b: impl Display) -> String {
        let less = self.int("sub nsw", &b, 1);
        let sum = self.int("add nsw", a, less);
        self.int("udiv", sum, b)
    }

    /// `for i in (begin..end).step_by(step)`, signed.
    pub fn for_loop(
        &mut self,
        begin: impl Display,
        end: impl Display,
        step: impl Display,
        body: impl FnOnce(&mut Function, &str),
    ) {
        let head = self.label("for");
        let inside = self.label("do");
        let after = self.label("end");
        let index = self.name();
        let next = self.name();
        let from = self.block.clone();
        self.jump(&head);
        self.begin(&head);
        // The latch is not known yet; its name is the next free label after the body, so the phi
        // refers to a block that only jumps back.
        let latch = self.label("next");
        self.line(format_args!("{index} = phi i64 [ {begin}, %{from} ], [ {next}, %{latch} ]"));
        let more = self.value(format_args!("icmp slt i64 {index}, {end}"));
        self.branch(&more, &inside, &after);
        self.begin(&inside);
        body(self, &index);
        self.jump(&latch);
        self.begin(&latch);
        self.line(format_args!("{next} = add nsw i64 {index}, {step}"));
        self.jump(&head);
        self.begin(&after);
    }

    /// Does `body` where the condition holds.
    pub fn if_true(&mut self, condition: &str, body: impl FnOnce(&mut Function)) {
        let inside = self.label("if");
        let after = self.label("fi");
        self.branch(condition, &inside, &after);
        self.begin(&inside);
        body(self);
        self.jump(&after);
        self.begin(&after);
    }
}

/// A vector type of `f32`, and the instructions on it that have to be spelt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FloatVector {
    /// How many lanes.
    pub lanes: usize,
    /// Whether a fused multiply-add is one instruction.
    pub fused: bool,
}

impl FloatVector {
    /// The widest vector of a level.
    pub fn of(isa: crate::target::Isa) -> FloatVector {
        FloatVector { lanes: isa.f32_lanes(), fused: isa.has_fma() }
    }

    /// The type: `<16 x float>`.
    pub fn ty(self) -> String {
        format!("<{} x float>", self.lanes)
    }

    /// The type of a mask: `<16 x i1>`.
    pub fn mask_ty(self) -> String {
        format!("<{} x i1>", self.lanes)
    }

    /// A vector of one value in all lanes.
    pub fn splat(self, f: &mut Function, scalar: &str) -> String {
        splat(f, self.lanes, "float", scalar)
    }

    /// Loads one float into all lanes.
    pub fn load_splat(self, f: &mut Function, address: &str) -> String {
        let scalar = f.value(format_args!("load float, ptr {address}, align {READ_ALIGN}"));
        self.splat(f, &scalar)
    }

    /// Loads a vector.
    pub fn load(self, f: &mut Function, address: &str) -> String {
        f.value(format_args!("load {}, ptr {address}, align {READ_ALIGN}", self.ty()))
    }

    /// Stores a vector, aligned like its elements.
    pub fn store(self, f: &mut Function, value: &str, address: &str) {
        f.line(format_args!("store {} {value}, ptr {address}, align 4", self.ty()));
    }

    /// Loads the lanes of a mask, and zero in the others.
    pub fn masked_load(self, f: &mut Function, address: &str, mask: &str) -> String {
        let (l, ty) = (self.lanes, self.ty());
        f.declare(format!("{ty} @llvm.masked.load.v{l}f32.p0(ptr, i32, <{l} x i1>, {ty})"));
        f.value(format_args!(
            "call {ty} @llvm.masked.load.v{l}f32.p0(ptr {address}, i32 {READ_ALIGN}, <{l} x i1> {mask}, \
             {ty} zeroinitializer)"
        ))
    }

    /// Stores the lanes of a mask.
    pub fn masked_store(self, f: &mut Function, value: &str, address: &str, mask: &str) {
        let (l, ty) = (self.lanes, self.ty());
        f.declare(format!("void @llvm.masked.store.v{l}f32.p0({ty}, ptr, i32, <{l} x i1>)"));
        f.line(format_args!(
            "call void @llvm.masked.store.v{l}f32.p0({ty} {value}, ptr {address}, i32 4, \
             <{l} x i1> {mask})"
        ));
    }

    /// The mask of the first `count` lanes, an `i64` of any size.
    pub fn first_lanes(self, f: &mut Function, count: &str) -> String {
        let l = self.lanes;
        f.declare("i64 @llvm.smax.i64(i64, i64)");
        let count = f.value(format_args!("call i64 @llvm.smax.i64(i64 {count}, i64 0)"));
        let count = f.min(count, l);
        let count = f.value(format_args!("trunc i64 {count} to i32"));
        let all = splat(f, l, "i32", &count);
        let lanes: Vec<String> = (0..l).map(|i| format!("i32 {i}")).collect();
        f.value(format_args!("icmp slt <{l} x i32> <{}>, {all}", lanes.join(", ")))
    }

    /// `a * b + c`, fused where the machine can.
    pub fn fma(self, f: &mut Function, a: &str, b: &str, c: &str) -> String {
        let (l, ty) = (self.lanes, self.ty());
        if self.fused {
            f.declare(format!("{ty} @llvm.fma.v{l}f32({ty}, {ty}, {ty})"));
            return f
                .value(format_args!("call {ty} @llvm.fma.v{l}f32({ty} {a}, {ty} {b}, {ty} {c})"));
        }
        let product = f.value(format_args!("fmul {ty} {a}, {b}"));
        f.value(format_args!("fadd {ty} {product}, {c}"))
    }
}

/// A vector of `lanes` equal values.
pub fn splat(f: &mut Function, lanes: usize, element: &str, scalar: &str) -> String {
    let one = f.value(format_args!(
        "insertelement <{lanes} x {element}> poison, {element} {scalar}, i64 0"
    ));
    f.value(format_args!(
        "shufflevector <{lanes} x {element}> {one}, <{lanes} x {element}> poison, \
         <{lanes} x i32> zeroinitializer"
    ))
}
