//! Object code made callable in this process, by LLVM's LLJIT.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;

use crate::error::{LlvmError, Result};
use crate::library::{Library, Ref, SymbolPair, c_string};
#[cfg(target_os = "linux")]
use crate::linked::MATH_LIBRARY;

/// LLVM's `LLVMJITSymbolGenericFlagsExported` and `...Callable`.
const EXPORTED: u8 = 1;
const CALLABLE: u8 = 4;

/// Objects linked into this process. Code and data live until the `Jit` is dropped: whoever
/// holds an address keeps the `Jit`. Threads may share it.
pub struct Jit {
    library: &'static Library,
    jit: Ref,
    main: Ref,
    /// At a fixed address, for the session.
    reporter: Box<Reporter>,
}

// SAFETY: LLJIT locks its session around every operation used here, and the fields are only
// addresses.
unsafe impl Send for Jit {}
// SAFETY: as above.
unsafe impl Sync for Jit {}

/// What LLVM reports beside error codes goes here.
struct Reporter {
    library: &'static Library,
    texts: Mutex<Vec<String>>,
}

unsafe extern "C" fn on_error(context: *mut c_void, error: Ref) {
    // SAFETY: the context is the reporter of a `Jit`, which goes after the session; the error is
    // ours.
    let (reporter, text) = unsafe {
        let reporter = &*context.cast::<Reporter>();
        (reporter, reporter.library.check(error))
    };
    if let Err(text) = text {
        reporter.texts.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(text);
    }
}

impl Jit {
    /// An empty one, which knows the symbols of this process and of libm.
    pub fn new(library: &'static Library) -> Result<Jit> {
        let c = &library.c;
        let mut jit = null_mut();
        // SAFETY: no builder asks for the defaults; the error is ours.
        unsafe { library.check((c.LLVMOrcCreateLLJIT)(&mut jit, null_mut())) }
            .map_err(LlvmError::Jit)?;
        // SAFETY: `jit` is live, and its main library lives as long.
        let main = unsafe { (c.LLVMOrcLLJITGetMainJITDylib)(jit) };
        let reporter = Box::new(Reporter { library, texts: Mutex::default() });
        let this = Jit { library, jit, main, reporter };
        let context: *const Reporter = &*this.reporter;
        // SAFETY: the session ends when `this` is dropped, before the reporter is.
        unsafe {
            let session = (c.LLVMOrcLLJITGetExecutionSession)(jit);
            let context = context.cast_mut().cast();
            (c.LLVMOrcExecutionSessionSetErrorReporter)(session, Some(on_error), context);
        }
        // SAFETY: `jit` is live.
        let prefix = unsafe { (c.LLVMOrcLLJITGetGlobalPrefix)(jit) };
        let mut generator = null_mut();
        // SAFETY: without a filter every symbol of the process counts. The generator then
        // belongs to the library that it is added to.
        unsafe {
            library
                .check((c.LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess)(
                    &mut generator,
                    prefix,
                    null_mut(),
                    null_mut(),
                ))
                .map_err(LlvmError::Jit)?;
            (c.LLVMOrcJITDylibAddGenerator)(main, generator);
        }
        #[cfg(target_os = "linux")]
        // SAFETY: as above. A program need not have libm among its own symbols; where the
        // library is missing, a kernel that wants it fails when it is looked up.
        unsafe {
            let error = (c.LLVMOrcCreateDynamicLibrarySearchGeneratorForPath)(
                &mut generator,
                MATH_LIBRARY.as_ptr(),
                prefix,
                null_mut(),
                null_mut(),
            );
            if library.check(error).is_ok() {
                (c.LLVMOrcJITDylibAddGenerator)(main, generator);
            }
        }
        Ok(this)
    }

    /// The library that links.
    pub fn library(&self) -> &'static Library {
        self.library
    }

    fn result(&self, outcome: Result<(), String>) -> Result<()> {
        let mut reports =
            self.reporter.texts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let reports = std::mem::take(&mut *reports);
        outcome.map_err(|mut text| {
            for report in reports {
                if !text.contains(&report) {
                    text = format!("{text}; {report}");
                }
            }
            LlvmError::Jit(text)
        })
    }

    /// Adds an object file. It is linked when one of its symbols is first looked up.
    pub fn add_object(&self, object: &[u8]) -> Result<()> {
        // SAFETY: LLJIT takes the buffer, a copy, whatever the outcome; the error is ours.
        let outcome = unsafe {
            let buffer = self.library.buffer(object);
            let c = &self.library.c;
            self.library.check((c.LLVMOrcLLJITAddObjectFile)(self.jit, self.main, buffer))
        };
        self.result(outcome)
    }

    /// Gives a name to an address that objects may refer to: a function of this program, or
    /// data. What is there must live as long as code that uses it runs.
    pub fn define(&self, name: &str, address: *const ()) -> Result<()> {
        let name = c_string(name)?;
        let c = &self.library.c;
        // SAFETY: the interned name and then the unit are consumed by the calls they go to (the
        // unit stays ours only on error, where a leak of it is harmless).
        let outcome = unsafe {
            let mut pair = SymbolPair {
                name: (c.LLVMOrcLLJITMangleAndIntern)(self.jit, name.as_ptr()),
                address: address as u64,
                generic_flags: EXPORTED | CALLABLE,
                target_flags: 0,
            };
            let unit = (c.LLVMOrcAbsoluteSymbols)(&mut pair, 1);
            self.library.check((c.LLVMOrcJITDylibDefine)(self.main, unit))
        };
        self.result(outcome)
    }

    /// The address of a symbol, after linking what it needs. Names of the process are found too.
    pub fn lookup(&self, name: &str) -> Result<*const ()> {
        let symbol = c_string(name)?;
        let mut address = 0;
        // SAFETY: `jit` is live, the name NUL-terminated, the out-pointer valid.
        let outcome = unsafe {
            let c = &self.library.c;
            self.library.check((c.LLVMOrcLLJITLookup)(self.jit, &mut address, symbol.as_ptr()))
        };
        self.result(outcome)?;
        Ok(std::ptr::with_exposed_provenance(address as usize))
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and disposed of once. An error at this point leaves nothing to
        // be done.
        let _ = unsafe {
            let error = (self.library.c.LLVMOrcDisposeLLJIT)(self.jit);
            self.library.check(error)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Output, compile};
    use crate::target::Target;

    fn object(ir: &str) -> Vec<u8> {
        compile(Library::get().unwrap(), ir, &Target::host(), Output::Object).unwrap()
    }

    fn jit() -> Jit {
        Jit::new(Library::get().unwrap()).unwrap()
    }

    #[test]
    fn a_function_is_called() {
        let jit = jit();
        jit.add_object(&object(
            "define float @f(float %x) {\n  %y = fmul float %x, %x\n  ret float %y\n}\n",
        ))
        .unwrap();
        let f = jit.lookup("f").unwrap();
        // SAFETY: the IR above defines `f` with this type.
        let f: extern "C" fn(f32) -> f32 = unsafe { std::mem::transmute(f) };
        assert_eq!(f(3.0), 9.0);
    }

    #[test]
    fn objects_see_each_other_the_program_and_libm() {
        extern "C" fn add_one(x: f64) -> f64 {
            x + 1.0
        }
        let jit = jit();
        jit.define("add_one", add_one as *const ()).unwrap();
        jit.add_object(&object(
            "declare double @add_one(double)\ndeclare double @cbrt(double)\n\
             define double @g(double %x) {\n  %a = call double @cbrt(double %x)\n  \
             %b = call double @add_one(double %a)\n  ret double %b\n}\n",
        ))
        .unwrap();
        jit.add_object(&object(
            "declare double @g(double)\ndefine double @h(double %x) {\n  \
             %y = call double @g(double %x)\n  ret double %y\n}\n",
        ))
        .unwrap();
        let h = jit.lookup("h").unwrap();
        // SAFETY: the IR above defines `h` with this type.
        let h: extern "C" fn(f64) -> f64 = unsafe { std::mem::transmute(h) };
        assert_eq!(h(27.0), 4.0);
    }

    #[test]
    fn errors_name_the_symbol() {
        let jit = jit();
        let error = jit.lookup("no_such_function").unwrap_err().to_string();
        assert!(error.contains("no_such_function"), "{error}");
        jit.add_object(&object(
            "declare void @missing_callee()\ndefine void @calls() {\n  \
             call void @missing_callee()\n  ret void\n}\n",
        ))
        .unwrap();
        let error = jit.lookup("calls").unwrap_err().to_string();
        assert!(error.contains("missing_callee"), "{error}");
        let bad = jit.add_object(b"not an object").unwrap_err();
        assert!(matches!(bad, LlvmError::Jit(_)), "{bad}");
        let ir = "define void @twice_defined() {\n  ret void\n}\n";
        jit.add_object(&object(ir)).unwrap();
        assert!(jit.add_object(&object(ir)).is_err());
    }

    #[test]
    fn threads_share_one() {
        let jit = jit();
        let objects: Vec<Vec<u8>> = (0..8)
            .map(|i| object(&format!("define i64 @n{i}() {{\n  ret i64 {i}\n}}\n")))
            .collect();
        std::thread::scope(|scope| {
            for (i, object) in objects.iter().enumerate() {
                let jit = &jit;
                scope.spawn(move || {
                    jit.add_object(object).unwrap();
                    let f = jit.lookup(&format!("n{i}")).unwrap();
                    // SAFETY: the IR above defines it with this type.
                    let f: extern "C" fn() -> i64 = unsafe { std::mem::transmute(f) };
                    assert_eq!(f(), i as i64);
                });
            }
        });
    }
}
