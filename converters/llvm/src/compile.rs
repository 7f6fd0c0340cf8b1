//! LLVM IR text to object code, by code generation alone.
//!
//! The IR that comes here is already in the form that it is to run in: no optimisation passes
//! are run. That is as fast and three times quicker to compile.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::artefact::Sanitizer;
use crate::cache::{Cache, Key};
use crate::error::{LlvmError, Result};
use crate::library::{Library, OLDEST, Ref, c_string};
use crate::target::Target;

/// Modules of IR text that have to be compiled, by the name of a function that each defines; what
/// has an equal name is equal.
pub type Modules = BTreeMap<String, String>;

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// A relocatable object file.
    Object,
    /// Assembly text.
    Assembly,
    /// LLVM bitcode.
    Bitcode,
}

/// LLVM's `LLVMCodeGenLevelDefault`.
const CODEGEN_LEVEL: c_int = 2;
/// LLVM's `LLVMRelocPIC`.
const POSITION_INDEPENDENT: c_int = 2;
/// LLVM's `LLVMCodeModelDefault`.
const CODE_MODEL: c_int = 0;
/// LLVM's `LLVMReturnStatusAction`.
const RETURN_STATUS: c_int = 2;
/// LLVM's index of a function's own attributes.
const FUNCTION_ATTRIBUTES: u32 = u32::MAX;

/// What compiles: libLLVM in this process, or `llc` beside it.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// libLLVM, which is opened when there is something to compile.
    Library {
        /// What tells it from others.
        identity: String,
    },
    /// The program `llc`, where there is no libLLVM.
    Llc {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: String,
    },
}

impl Compiler {
    /// libLLVM if there is one, else an `llc` that is new enough, else the error of libLLVM.
    pub fn find() -> Result<Compiler> {
        match Library::identity() {
            Ok(identity) => Ok(Compiler::Library { identity }),
            Err(error) => find_llc().ok_or(error),
        }
    }

    /// What tells this compiler from others, of other versions too.
    pub fn identity(&self) -> &str {
        match self {
            Compiler::Library { identity } => identity,
            Compiler::Llc { version, .. } => version,
        }
    }

    /// Compiles one module.
    pub fn compile(&self, ir: &str, target: &Target, output: Output) -> Result<Vec<u8>> {
        match self {
            Compiler::Library { .. } => compile(Library::get()?, ir, target, output),
            Compiler::Llc { path, .. } => compile_with_llc(path, ir, target, output),
        }
    }

    /// Compiles one module with checks built in. It takes libLLVM.
    pub fn instrumented(&self, ir: &str, target: &Target, sanitizer: Sanitizer) -> Result<Vec<u8>> {
        let Compiler::Library { .. } = self else {
            return Err(LlvmError::NeedsLibrary("building checks into code"));
        };
        let (attribute, passes) = match sanitizer {
            Sanitizer::Address => ("sanitize_address", c"asan"),
            Sanitizer::Thread => ("sanitize_thread", c"tsan-module,function(tsan)"),
        };
        let marked: Vec<String> = ir
            .lines()
            .map(|line| match line.strip_suffix('{') {
                Some(head) if line.starts_with("define ") => format!("{head}{attribute} {{"),
                _ => line.to_owned(),
            })
            .collect();
        compile_after(Library::get()?, &marked.join("\n"), target, Output::Object, Some(passes))
    }

    /// Compiles one module to an object, or takes it from the cache.
    pub fn object(&self, ir: &str, target: &Target, cache: &Cache) -> Result<Vec<u8>> {
        let key = Key::new(ir, self.identity(), target);
        if let Some(object) = cache.get(&key) {
            return Ok(object);
        }
        let object = self.compile(ir, target, Output::Object)?;
        cache.put(&key, &object);
        Ok(object)
    }

    /// Compiles modules to objects on up to `threads` threads, taking from the cache what it
    /// has. Equal texts are compiled once. The result is in the order of `modules`; the first
    /// module that fails decides the error.
    pub fn compile_all(
        &self,
        modules: &[&str],
        target: &Target,
        cache: &Cache,
        threads: usize,
    ) -> Result<Vec<Arc<[u8]>>> {
        let mut first = HashMap::new();
        let mut distinct = Vec::new();
        let place: Vec<usize> = modules
            .iter()
            .map(|ir| {
                *first.entry(*ir).or_insert_with(|| {
                    distinct.push(*ir);
                    distinct.len() - 1
                })
            })
            .collect();
        // Long modules first, so that the last one running is short.
        let mut order: Vec<usize> = (0..distinct.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(distinct[i].len()));
        let next = AtomicUsize::new(0);
        let done: Vec<Mutex<Option<Result<Vec<u8>>>>> =
            distinct.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = self.object(distinct[i], target, cache);
                *done[i].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(result);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(distinct.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut objects: Vec<Arc<[u8]>> = Vec::with_capacity(done.len());
        for slot in done {
            let result = slot.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
            objects.push(
                result
                    .unwrap_or_else(|| Err(LlvmError::Codegen("a compiling thread died".into())))?
                    .into(),
            );
        }
        Ok(place.into_iter().map(|i| objects[i].clone()).collect())
    }
}

/// Everything of one compilation that is to be disposed of, in the order of its fields.
struct Scope<'a> {
    library: &'a Library,
    machine: Ref,
    layout: Ref,
    module: Ref,
    context: Ref,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let c = &self.library.c;
        // SAFETY: each is null or was made by this library, belongs to this scope alone, and
        // goes before what it lives in.
        unsafe {
            if !self.layout.is_null() {
                (c.LLVMDisposeTargetData)(self.layout);
            }
            if !self.machine.is_null() {
                (c.LLVMDisposeTargetMachine)(self.machine);
            }
            if !self.module.is_null() {
                (c.LLVMDisposeModule)(self.module);
            }
            (c.LLVMContextDispose)(self.context);
        }
    }
}

/// What the diagnostic handler of a context writes to.
struct Diagnostics<'a> {
    library: &'a Library,
    errors: Vec<String>,
}

/// Collects errors; without a handler LLVM would print them and end the process.
unsafe extern "C" fn on_diagnostic(info: Ref, into: *mut c_void) {
    // SAFETY: `into` is what the handler was set with: diagnostics that outlive the context, on
    // the thread that uses it.
    let into = unsafe { &mut *into.cast::<Diagnostics<'_>>() };
    // SAFETY: `info` is live during the call, and the description is ours to dispose of.
    unsafe {
        // LLVMDSError is zero.
        if (into.library.c.LLVMGetDiagInfoSeverity)(info) == 0 {
            let text = (into.library.c.LLVMGetDiagInfoDescription)(info);
            into.errors.push(into.library.take_message(text));
        }
    }
}

/// Compiles one module of IR text in a context of its own: parses, verifies, and generates code.
/// Functions get the target's tuning and vector width as attributes unless they say otherwise.
/// Any number of threads may compile at once.
pub fn compile(library: &Library, ir: &str, target: &Target, output: Output) -> Result<Vec<u8>> {
    compile_after(library, ir, target, output, None)
}

/// [`compile`], after passes that are named as LLVM's `opt -passes=` names them.
fn compile_after(
    library: &Library,
    ir: &str,
    target: &Target,
    output: Output,
    passes: Option<&CStr>,
) -> Result<Vec<u8>> {
    let c = &library.c;
    let triple = c_string(&target.triple)?;
    let cpu = c_string(&target.cpu)?;
    let features = c_string(&target.features)?;
    let llvm_target = library.target(&triple)?;
    let mut diagnostics = Diagnostics { library, errors: Vec::new() };
    let into: *mut Diagnostics<'_> = &mut diagnostics;

    // SAFETY: a context is made and disposed of by the scope.
    let context = unsafe { (c.LLVMContextCreate)() };
    let mut scope =
        Scope { library, machine: null_mut(), layout: null_mut(), module: null_mut(), context };
    // SAFETY: `diagnostics` is declared before the scope and so outlives the context.
    unsafe { (c.LLVMContextSetDiagnosticHandler)(context, Some(on_diagnostic), into.cast()) };

    let mut message: *mut c_char = null_mut();
    // SAFETY: the buffer is NUL-terminated and is consumed by the parser whatever the outcome;
    // the out-pointers are valid.
    let failed = unsafe {
        (c.LLVMParseIRInContext)(
            context,
            library.buffer(ir.as_bytes()),
            &mut scope.module,
            &mut message,
        )
    };
    if failed != 0 {
        scope.module = null_mut();
        // SAFETY: a message of the parser is ours.
        return Err(LlvmError::Parse(unsafe { library.take_message(message) }));
    }
    // SAFETY: the module is live; with this action the function only reports.
    let invalid = unsafe { (c.LLVMVerifyModule)(scope.module, RETURN_STATUS, &mut message) };
    // SAFETY: the verifier's message is ours, and may be an empty one where nothing is wrong.
    let text = unsafe { library.take_message(message) };
    if invalid != 0 {
        return Err(LlvmError::Verify(text.trim().to_string()));
    }

    // SAFETY: all strings are NUL-terminated and outlive the call.
    scope.machine = unsafe {
        (c.LLVMCreateTargetMachine)(
            llvm_target,
            triple.as_ptr(),
            cpu.as_ptr(),
            features.as_ptr(),
            CODEGEN_LEVEL,
            POSITION_INDEPENDENT,
            CODE_MODEL,
        )
    };
    if scope.machine.is_null() {
        return Err(LlvmError::Target {
            triple: target.triple.clone(),
            reason: "LLVM has no code generator for it".into(),
        });
    }
    // SAFETY: machine and module are live; LLVM copies the triple and the layout.
    unsafe {
        (c.LLVMSetTarget)(scope.module, triple.as_ptr());
        scope.layout = (c.LLVMCreateTargetDataLayout)(scope.machine);
        (c.LLVMSetModuleDataLayout)(scope.module, scope.layout);
    }
    tune(library, scope.module, target)?;
    if let Some(passes) = passes {
        // SAFETY: module and machine are live.
        unsafe { run_passes(library, scope.module, scope.machine, passes) }?;
    }

    if output == Output::Bitcode {
        // SAFETY: the module is live; the buffer is ours.
        return Ok(unsafe {
            let buffer = (c.LLVMWriteBitcodeToMemoryBuffer)(scope.module);
            library.take_buffer(buffer)
        });
    }
    let mut buffer = null_mut();
    let mut message: *mut c_char = null_mut();
    // LLVMAssemblyFile is 0, LLVMObjectFile is 1.
    let kind = if output == Output::Assembly { 0 } else { 1 };
    // SAFETY: machine and module are live and the out-pointers valid.
    let failed = unsafe {
        (c.LLVMTargetMachineEmitToMemoryBuffer)(
            scope.machine,
            scope.module,
            kind,
            &mut message,
            &mut buffer,
        )
    };
    if failed != 0 {
        // SAFETY: the message is ours.
        return Err(LlvmError::Codegen(unsafe { library.take_message(message) }));
    }
    // SAFETY: the buffer is ours.
    let bytes = unsafe { library.take_buffer(buffer) };
    drop(scope);
    match diagnostics.errors.is_empty() {
        true => Ok(bytes),
        false => Err(LlvmError::Codegen(diagnostics.errors.join("; "))),
    }
}

/// Runs passes over a module.
///
/// # Safety
/// The module is live, and the machine is or is null.
unsafe fn run_passes(library: &Library, module: Ref, machine: Ref, passes: &CStr) -> Result<()> {
    let c = &library.c;
    // SAFETY: the caller's promise; the options are disposed of, and the error is consumed.
    unsafe {
        let options = (c.LLVMCreatePassBuilderOptions)();
        let error = (c.LLVMRunPasses)(module, passes.as_ptr(), machine, options);
        (c.LLVMDisposePassBuilderOptions)(options);
        library.check(error).map_err(LlvmError::Codegen)
    }
}

/// Parses IR, text or bitcode, in a context of its own, runs passes over it, and shows it to a
/// function. The module lives as long as that.
pub(crate) fn with_module<T>(
    library: &Library,
    ir: &[u8],
    passes: &CStr,
    look: impl FnOnce(Ref) -> T,
) -> Result<T> {
    let c = &library.c;
    let mut diagnostics = Diagnostics { library, errors: Vec::new() };
    let into: *mut Diagnostics<'_> = &mut diagnostics;
    // SAFETY: a context is made and disposed of by the scope.
    let context = unsafe { (c.LLVMContextCreate)() };
    let mut scope =
        Scope { library, machine: null_mut(), layout: null_mut(), module: null_mut(), context };
    // SAFETY: `diagnostics` is declared before the scope and so outlives the context.
    unsafe { (c.LLVMContextSetDiagnosticHandler)(context, Some(on_diagnostic), into.cast()) };
    let mut message: *mut c_char = null_mut();
    let buffer = library.buffer(ir);
    // SAFETY: as in `compile_after`.
    let failed =
        unsafe { (c.LLVMParseIRInContext)(context, buffer, &mut scope.module, &mut message) };
    if failed != 0 {
        scope.module = null_mut();
        // SAFETY: a message of the parser is ours.
        return Err(LlvmError::Parse(unsafe { library.take_message(message) }));
    }
    // SAFETY: the module is live; with this action the function only reports.
    let invalid = unsafe { (c.LLVMVerifyModule)(scope.module, RETURN_STATUS, &mut message) };
    // SAFETY: the verifier's message is ours.
    let text = unsafe { library.take_message(message) };
    if invalid != 0 {
        return Err(LlvmError::Verify(text.trim().to_string()));
    }
    // SAFETY: the module is live.
    unsafe { run_passes(library, scope.module, null_mut(), passes) }?;
    Ok(look(scope.module))
}

/// Gives functions with a body the target's tuning, unless they have their own.
fn tune(library: &Library, module: Ref, target: &Target) -> Result<()> {
    let c = &library.c;
    let width = c_string(&target.vector_bits().to_string())?;
    let tune = target.tune.as_deref().map(c_string).transpose()?;
    let mut wanted: Vec<(&CStr, &CStr)> = Vec::new();
    if target.isa.is_x86() {
        wanted.push((c"prefer-vector-width", &width));
    }
    if let Some(tune) = &tune {
        wanted.push((c"tune-cpu", tune));
    }
    // SAFETY: the module is live and functions are walked as LLVM lists them; names and values
    // are NUL-terminated and copied.
    unsafe {
        let mut function = (c.LLVMGetFirstFunction)(module);
        while !function.is_null() {
            if (c.LLVMCountBasicBlocks)(function) > 0 {
                for (name, value) in &wanted {
                    let has = (c.LLVMGetStringAttributeAtIndex)(
                        function,
                        FUNCTION_ATTRIBUTES,
                        name.as_ptr(),
                        name.count_bytes() as u32,
                    );
                    if has.is_null() {
                        (c.LLVMAddTargetDependentFunctionAttr)(
                            function,
                            name.as_ptr(),
                            value.as_ptr(),
                        );
                    }
                }
            }
            function = (c.LLVMGetNextFunction)(function);
        }
    }
    Ok(())
}

/// An `llc` on the search path that is new enough.
fn find_llc() -> Option<Compiler> {
    let names = (OLDEST..=crate::library::NEWEST).rev().map(|v| format!("llc-{v}"));
    names.chain(["llc".to_string()]).find_map(|name| {
        let out = Command::new(&name).arg("--version").stderr(Stdio::null()).output().ok()?;
        let version = llc_version(&String::from_utf8_lossy(&out.stdout))?;
        let major: u32 = version.split('.').next()?.parse().ok()?;
        (major >= OLDEST).then(|| Compiler::Llc { path: name.into(), version })
    })
}

/// The version in what `llc --version` prints.
fn llc_version(text: &str) -> Option<String> {
    let rest = text.split("LLVM version ").nth(1)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    Some(rest[..end].to_string())
}

/// Compiles with `llc` over pipes.
fn compile_with_llc(llc: &Path, ir: &str, target: &Target, output: Output) -> Result<Vec<u8>> {
    let kind = match output {
        Output::Object => "obj",
        Output::Assembly => "asm",
        Output::Bitcode => return Err(LlvmError::NeedsLibrary("writing bitcode")),
    };
    let failed = |e| LlvmError::Io { what: format!("running {}", llc.display()), source: e };
    let mut command = Command::new(llc);
    command
        .args(["-O2", "-relocation-model=pic", "-o", "-"])
        .arg(format!("-filetype={kind}"))
        .arg(format!("-mtriple={}", target.triple))
        .arg(format!("-mcpu={}", target.cpu))
        .arg(format!("-mattr={}", target.features))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let text = with_tuning(ir, target);
    let mut stdin = child.stdin.take();
    let writer = std::thread::spawn(move || {
        // An early end of the reader shows in its exit status.
        let _ = stdin.as_mut().map(|pipe| pipe.write_all(text.as_bytes()));
    });
    let out = child.wait_with_output().map_err(failed)?;
    let _ = writer.join();
    if out.status.success() {
        return Ok(out.stdout);
    }
    let text = String::from_utf8_lossy(&out.stderr).trim().to_string();
    Err(if text.contains("error: expected") || text.contains(": error:") {
        LlvmError::Parse(text)
    } else {
        LlvmError::Codegen(text)
    })
}

/// The text with the target's tuning as attributes of every function definition: `llc` has no
/// option for it.
fn with_tuning(ir: &str, target: &Target) -> String {
    with_attributes(ir, target, &[])
}

/// The text with the target's tuning and other strings as attributes of every function definition.
pub(crate) fn with_attributes(ir: &str, target: &Target, more: &[(&str, &str)]) -> String {
    let mut attributes = String::new();
    for (name, value) in more {
        attributes += &format!(" \"{name}\"=\"{value}\"");
    }
    if target.isa.is_x86() {
        attributes += &format!(" \"prefer-vector-width\"=\"{}\"", target.vector_bits());
    }
    if let Some(tune) = &target.tune {
        attributes += &format!(" \"tune-cpu\"=\"{tune}\"");
    }
    let mut out = String::with_capacity(ir.len() + 1024);
    for line in ir.lines() {
        match line.strip_suffix('{') {
            Some(head) if line.starts_with("define ") && !head.contains(" personality ") => {
                out.push_str(head.trim_end());
                out.push_str(&attributes);
                out.push_str(" {");
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWICE: &str =
        "define float @twice(float %x) {\n  %y = fadd float %x, %x\n  ret float %y\n}\n";

    fn compiler() -> Compiler {
        Compiler::find().unwrap()
    }

    #[test]
    fn all_outputs() {
        let library = Library::get().unwrap();
        let target = Target::host();
        let object = compile(library, TWICE, &target, Output::Object).unwrap();
        assert!(object.starts_with(b"\x7fELF") || !cfg!(target_os = "linux"));
        let asm = compile(library, TWICE, &target, Output::Assembly).unwrap();
        let asm = String::from_utf8(asm).unwrap();
        assert!(asm.contains("twice"), "{asm}");
        let bitcode = compile(library, TWICE, &target, Output::Bitcode).unwrap();
        assert!(bitcode.starts_with(b"BC"));
    }

    #[test]
    fn other_architectures() {
        let library = Library::get().unwrap();
        let asm = compile(library, TWICE, &Target::of(Isa::Neon), Output::Assembly).unwrap();
        assert!(String::from_utf8(asm).unwrap().contains("fadd\ts0, s0, s0"));
    }

    use crate::target::Isa;

    #[test]
    fn wrong_text_is_a_diagnostic() {
        let library = Library::get().unwrap();
        let bad = "define float @f(float %x) {\n  %y = fadd float %x, %z\n  ret float %y\n}\n";
        let error = compile(library, bad, &Target::host(), Output::Object).unwrap_err();
        assert!(matches!(error, LlvmError::Parse(_)), "{error}");
        assert!(error.to_string().contains("use of undefined value '%z'"), "{error}");
    }

    #[test]
    fn invalid_modules_are_refused() {
        let library = Library::get().unwrap();
        let bad = "define i32 @f() {\n  %y = call i32 @llvm.ctpop.i32(i32 1)\n  br label %a\n\
                   a:\n  %z = phi i32 [ %y, %0 ], [ %y, %b ]\n  ret i32 %z\nb:\n  ret i32 0\n}\n\
                   declare i32 @llvm.ctpop.i32(i32)\n";
        let error = compile(library, bad, &Target::host(), Output::Object).unwrap_err();
        assert!(matches!(error, LlvmError::Verify(_)), "{error}");
    }

    #[test]
    fn an_unknown_triple_is_an_error() {
        let library = Library::get().unwrap();
        let target = Target { triple: "pdp11-dec-unix".into(), ..Target::host() };
        let error = compile(library, TWICE, &target, Output::Object).unwrap_err();
        assert!(matches!(error, LlvmError::Target { .. }), "{error}");
    }

    #[test]
    fn many_threads_and_equal_texts() {
        let texts: Vec<String> =
            (0..6).map(|i| TWICE.replace("twice", &format!("twice{}", i % 3))).collect();
        let modules: Vec<&str> = texts.iter().map(String::as_str).collect();
        let objects =
            compiler().compile_all(&modules, &Target::host(), &Cache::disabled(), 4).unwrap();
        assert_eq!(objects.len(), 6);
        for i in 0..3 {
            assert!(Arc::ptr_eq(&objects[i], &objects[i + 3]));
        }
        assert_ne!(objects[0], objects[1]);
        let mut modules = modules;
        modules.push("not IR");
        let error =
            compiler().compile_all(&modules, &Target::host(), &Cache::disabled(), 4).unwrap_err();
        assert!(matches!(error, LlvmError::Parse(_)), "{error}");
    }

    #[test]
    fn a_subprocess_makes_the_same_code() {
        let Some(llc) = find_llc() else { return };
        let target = Target::host();
        let ours = compiler().compile(TWICE, &target, Output::Assembly).unwrap();
        let theirs = llc.compile(TWICE, &target, Output::Assembly).unwrap();
        let code = |text: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(text).into_owned();
            text.lines().filter(|l| l.starts_with("\tv")).map(str::to_string).collect()
        };
        assert_eq!(code(&ours), code(&theirs));
        assert!(matches!(
            llc.compile("nonsense", &target, Output::Object),
            Err(LlvmError::Parse(_))
        ));
    }

    #[test]
    fn versions_are_read() {
        let text = "Debian LLVM version 22.1.8\n  Optimized build.\n";
        assert_eq!(llc_version(text).as_deref(), Some("22.1.8"));
        assert_eq!(llc_version("nothing"), None);
    }

    #[test]
    fn tuning_is_written_into_text() {
        let text = with_tuning(TWICE, &Target::of(Isa::V4));
        assert!(text.starts_with("define float @twice(float %x) \"prefer-vector-width\"=\"512\""));
        assert!(compiler().compile(&text, &Target::of(Isa::V4), Output::Object).is_ok());
    }
}
