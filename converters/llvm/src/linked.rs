//! Object code made callable in this process.

use std::ffi::CStr;
use std::sync::Arc;

use crate::elf::{self, Image};
use crate::error::{LlvmError, Result};
use crate::jit::Jit;
use crate::library::Library;

/// Where names that are not in objects come from, beside the process itself.
pub(crate) const MATH_LIBRARY: &CStr = c"libm.so.6";

/// Linked objects. Code and data live until this is dropped: whoever holds an address keeps it.
pub struct Linked(How);

enum How {
    /// By this crate.
    Image(Image),
    /// By LLVM, for files and machines that this crate does not know.
    Jit(Jit),
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            How::Image(_) => "Linked(here)",
            How::Jit(_) => "Linked(by LLVM)",
        })
    }
}

impl Linked {
    /// Links objects with each other, with functions of this program under the names given with
    /// them, and with the names of the process and of libm. It takes no LLVM for objects of x86-64
    /// on Linux.
    ///
    /// # Errors
    /// For objects that cannot be linked, and a name that is needed and not known. LLVM says so of
    /// a name when it is looked up.
    pub fn link(objects: &[Arc<[u8]>], given: &[(&str, *const ())]) -> Result<Linked> {
        if elf::takes(objects) {
            let outside = |name: &str| {
                let found = given.iter().find(|(n, _)| *n == name);
                found.map(|(_, address)| *address).or_else(|| of_process(name))
            };
            return Ok(Linked(How::Image(Image::link(objects, &outside)?)));
        }
        let jit = Jit::new(Library::get()?)?;
        for (name, address) in given {
            jit.define(name, *address)?;
        }
        for object in objects {
            jit.add_object(object)?;
        }
        Ok(Linked(How::Jit(jit)))
    }

    /// The address of a name that an object defines.
    ///
    /// # Errors
    /// When none does.
    pub fn lookup(&self, name: &str) -> Result<*const ()> {
        match &self.0 {
            How::Image(image) => image
                .lookup(name)
                .ok_or_else(|| LlvmError::Jit(format!("no object defines `{name}`"))),
            How::Jit(jit) => jit.lookup(name),
        }
    }
}

/// What this process knows under a name, or libm.
#[cfg(unix)]
fn of_process(name: &str) -> Option<*const ()> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::sync::OnceLock;

    use libloading::os::unix;

    static LIBRARIES: OnceLock<Vec<unix::Library>> = OnceLock::new();
    let libraries = LIBRARIES.get_or_init(|| {
        // SAFETY: libm initialises nothing of this process.
        let math = unsafe { unix::Library::new(OsStr::from_bytes(MATH_LIBRARY.to_bytes())) };
        std::iter::once(unix::Library::this()).chain(math.ok()).collect()
    });
    libraries.iter().find_map(|library| {
        // SAFETY: the address is only handed on.
        let symbol = unsafe { library.get::<*const ()>(name) }.ok()?;
        Some(symbol.into_raw().cast_const().cast())
    })
}

#[cfg(not(unix))]
fn of_process(_: &str) -> Option<*const ()> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{Compiler, Output};
    use crate::target::Target;

    fn object(ir: &str) -> Arc<[u8]> {
        Compiler::find().unwrap().compile(ir, &Target::host(), Output::Object).unwrap().into()
    }

    #[test]
    fn objects_see_each_other_the_program_and_libm() {
        extern "C" fn add_one(x: f64) -> f64 {
            x + 1.0
        }
        let objects = [
            object(
                "declare double @add_one(double)\ndeclare double @cbrt(double)\n\
                 define double @g(double %x) {\n  %a = call double @cbrt(double %x)\n  \
                 %b = call double @add_one(double %a)\n  ret double %b\n}\n",
            ),
            object(
                "declare double @g(double)\ndefine double @h(double %x) {\n  \
                 %y = call double @g(double %x)\n  ret double %y\n}\n",
            ),
        ];
        let linked = Linked::link(&objects, &[("add_one", add_one as *const ())]).unwrap();
        let h = linked.lookup("h").unwrap();
        // SAFETY: the IR above defines `h` with this type.
        let h: extern "C" fn(f64) -> f64 = unsafe { std::mem::transmute(h) };
        assert_eq!(h(27.0), 4.0);
        let error = linked.lookup("no_such_function").unwrap_err().to_string();
        assert!(error.contains("no_such_function"), "{error}");
    }

    /// Constants, tables of addresses, and jumps through tables.
    #[test]
    fn data_is_found() {
        let ir = "@numbers = private unnamed_addr constant [4 x i64] [i64 3, i64 5, i64 7, i64 11]\n\
            @tables = constant [2 x ptr] [ptr @numbers, ptr getelementptr (i64, ptr @numbers, i64 1)]\n\
            define i64 @pick(i64 %i, i64 %kind) {\n  switch i64 %kind, label %d [\n    \
            i64 0, label %a\n    i64 1, label %b\n    i64 2, label %c\n    i64 3, label %e\n    \
            i64 4, label %f\n  ]\n\
            a:\n  %t = load ptr, ptr @tables\n  br label %get\n\
            b:\n  %p1 = getelementptr ptr, ptr @tables, i64 1\n  %u = load ptr, ptr %p1\n  br label %get\n\
            c:\n  ret i64 100\ne:\n  %x = mul i64 %i, 17\n  ret i64 %x\nf:\n  %y = sub i64 %i, 9\n  ret i64 %y\n\
            d:\n  ret i64 -1\n\
            get:\n  %table = phi ptr [ %t, %a ], [ %u, %b ]\n  \
            %at = getelementptr i64, ptr %table, i64 %i\n  %n = load i64, ptr %at\n  ret i64 %n\n}\n";
        let linked = Linked::link(&[object(ir)], &[]).unwrap();
        let pick = linked.lookup("pick").unwrap();
        // SAFETY: the IR above defines `pick` with this type.
        let pick: extern "C" fn(i64, i64) -> i64 = unsafe { std::mem::transmute(pick) };
        let made: Vec<i64> = (0..6).map(|kind| pick(2, kind)).collect();
        assert_eq!(made, [7, 11, 100, 34, -7, -1]);
    }

    #[test]
    fn what_cannot_be_linked_is_named() {
        let link = |ir: &str| Linked::link(&[object(ir)], &[]).and_then(|l| l.lookup("f"));
        let error = link(
            "declare void @missing()\ndefine void @f() {\n  call void @missing()\n  ret void\n}\n",
        );
        assert!(error.unwrap_err().to_string().contains("missing"));
        let twice = object("define void @f() {\n  ret void\n}\n");
        let error = Linked::link(&[twice.clone(), twice.clone()], &[]).unwrap_err().to_string();
        assert!(!elf::takes(&[]) || error.contains("`f` is defined twice"), "{error}");
        assert!(Linked::link(&[Arc::from(&b"not an object"[..])], &[]).is_err());
        for cut in (0..twice.len()).step_by(7) {
            // Whatever comes of it, it is no panic.
            let _ = Linked::link(&[Arc::from(&twice[..cut])], &[]);
        }
    }

    #[test]
    fn data_that_code_writes_is_refused() {
        let written = object("@n = global i32 4\ndefine ptr @f() {\n  ret ptr @n\n}\n");
        if elf::takes(std::slice::from_ref(&written)) {
            let error = Linked::link(&[written], &[]).unwrap_err().to_string();
            assert!(error.contains(".data"), "{error}");
        }
    }
}
