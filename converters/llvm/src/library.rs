//! libLLVM, opened at run time.
//!
//! The C interface alone is used, some forty functions, so that one binary works with LLVM 19 to
//! 22 and starts without any. A library once opened stays for the life of the process: LLVM does
//! not support being unloaded. Its functions are thread-safe as used here, where every call that
//! compiles has a context of its own.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, OnceLock};

use crate::error::{LlvmError, Result};

/// An opaque LLVM reference.
pub(crate) type Ref = *mut c_void;

/// The oldest version that understands the IR written here.
pub const OLDEST: u32 = 19;
/// The newest version that was tried; newer ones are taken when `AIRCONV_LLVM` names them.
pub const NEWEST: u32 = 22;
/// The environment variable that names the library.
pub const PATH_VARIABLE: &str = "AIRCONV_LLVM";

macro_rules! functions {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The C functions in use.
        #[allow(non_snake_case)]
        pub(crate) struct Functions {
            $(pub(crate) $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Functions {
            fn load(lib: &libloading::Library, path: &Path) -> Result<Self> {
                Ok(Functions {
                    $($name: {
                        // SAFETY: the type is that of the function in LLVM's C headers, the same
                        // from version 19 to 22.
                        *unsafe {
                            lib.get::<unsafe extern "C" fn($($arg),*) $(-> $ret)?>(
                                concat!(stringify!($name), "\0").as_bytes())
                        }.map_err(|_| LlvmError::MissingFunction {
                            path: path.to_owned(), name: stringify!($name) })?
                    },)*
                })
            }
        }
    };
}

functions! {
    LLVMGetVersion: fn(*mut c_uint, *mut c_uint, *mut c_uint);
    LLVMContextCreate: fn() -> Ref;
    LLVMContextDispose: fn(Ref);
    LLVMContextSetDiagnosticHandler:
        fn(Ref, Option<unsafe extern "C" fn(Ref, *mut c_void)>, *mut c_void);
    LLVMGetDiagInfoDescription: fn(Ref) -> *mut c_char;
    LLVMGetDiagInfoSeverity: fn(Ref) -> c_int;
    LLVMCreateMemoryBufferWithMemoryRangeCopy: fn(*const c_char, usize, *const c_char) -> Ref;
    LLVMGetBufferStart: fn(Ref) -> *const c_char;
    LLVMGetBufferSize: fn(Ref) -> usize;
    LLVMDisposeMemoryBuffer: fn(Ref);
    LLVMParseIRInContext: fn(Ref, Ref, *mut Ref, *mut *mut c_char) -> c_int;
    LLVMVerifyModule: fn(Ref, c_int, *mut *mut c_char) -> c_int;
    LLVMDisposeModule: fn(Ref);
    LLVMDisposeMessage: fn(*mut c_char);
    LLVMGetDefaultTargetTriple: fn() -> *mut c_char;
    LLVMGetTargetFromTriple: fn(*const c_char, *mut Ref, *mut *mut c_char) -> c_int;
    LLVMCreateTargetMachine:
        fn(Ref, *const c_char, *const c_char, *const c_char, c_int, c_int, c_int) -> Ref;
    LLVMDisposeTargetMachine: fn(Ref);
    LLVMCreateTargetDataLayout: fn(Ref) -> Ref;
    LLVMDisposeTargetData: fn(Ref);
    LLVMSetModuleDataLayout: fn(Ref, Ref);
    LLVMSetTarget: fn(Ref, *const c_char);
    LLVMGetFirstFunction: fn(Ref) -> Ref;
    LLVMGetNextFunction: fn(Ref) -> Ref;
    LLVMCountBasicBlocks: fn(Ref) -> c_uint;
    LLVMGetEntryBasicBlock: fn(Ref) -> Ref;
    LLVMGetFirstInstruction: fn(Ref) -> Ref;
    LLVMGetNextInstruction: fn(Ref) -> Ref;
    LLVMGetInstructionOpcode: fn(Ref) -> c_int;
    LLVMGetNumOperands: fn(Ref) -> c_int;
    LLVMGetOperand: fn(Ref, c_uint) -> Ref;
    LLVMGetICmpPredicate: fn(Ref) -> c_int;
    LLVMGetFCmpPredicate: fn(Ref) -> c_int;
    LLVMGetCalledValue: fn(Ref) -> Ref;
    LLVMGetLinkage: fn(Ref) -> c_int;
    LLVMGetValueName2: fn(Ref, *mut usize) -> *const c_char;
    LLVMPrintValueToString: fn(Ref) -> *mut c_char;
    LLVMCountParams: fn(Ref) -> c_uint;
    LLVMGetParam: fn(Ref, c_uint) -> Ref;
    LLVMTypeOf: fn(Ref) -> Ref;
    LLVMGetTypeKind: fn(Ref) -> c_int;
    LLVMGetIntTypeWidth: fn(Ref) -> c_uint;
    LLVMIsAConstantFP: fn(Ref) -> Ref;
    LLVMIsAConstantInt: fn(Ref) -> Ref;
    LLVMConstRealGetDouble: fn(Ref, *mut c_int) -> f64;
    LLVMConstIntGetSExtValue: fn(Ref) -> i64;
    LLVMGetStringAttributeAtIndex: fn(Ref, c_uint, *const c_char, c_uint) -> Ref;
    LLVMAddTargetDependentFunctionAttr: fn(Ref, *const c_char, *const c_char);
    LLVMTargetMachineEmitToMemoryBuffer:
        fn(Ref, Ref, c_int, *mut *mut c_char, *mut Ref) -> c_int;
    LLVMWriteBitcodeToMemoryBuffer: fn(Ref) -> Ref;
    LLVMCreatePassBuilderOptions: fn() -> Ref;
    LLVMDisposePassBuilderOptions: fn(Ref);
    LLVMRunPasses: fn(Ref, *const c_char, Ref, Ref) -> Ref;
    LLVMGetErrorMessage: fn(Ref) -> *mut c_char;
    LLVMDisposeErrorMessage: fn(*mut c_char);
    LLVMOrcCreateLLJIT: fn(*mut Ref, Ref) -> Ref;
    LLVMOrcDisposeLLJIT: fn(Ref) -> Ref;
    LLVMOrcLLJITGetExecutionSession: fn(Ref) -> Ref;
    LLVMOrcExecutionSessionSetErrorReporter:
        fn(Ref, Option<unsafe extern "C" fn(*mut c_void, Ref)>, *mut c_void);
    LLVMOrcLLJITGetMainJITDylib: fn(Ref) -> Ref;
    LLVMOrcLLJITGetGlobalPrefix: fn(Ref) -> c_char;
    LLVMOrcLLJITMangleAndIntern: fn(Ref, *const c_char) -> Ref;
    LLVMOrcLLJITAddObjectFile: fn(Ref, Ref, Ref) -> Ref;
    LLVMOrcLLJITLookup: fn(Ref, *mut u64, *const c_char) -> Ref;
    LLVMOrcAbsoluteSymbols: fn(*mut SymbolPair, usize) -> Ref;
    LLVMOrcJITDylibDefine: fn(Ref, Ref) -> Ref;
    LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess:
        fn(*mut Ref, c_char, *mut c_void, *mut c_void) -> Ref;
    LLVMOrcCreateDynamicLibrarySearchGeneratorForPath:
        fn(*mut Ref, *const c_char, c_char, *mut c_void, *mut c_void) -> Ref;
    LLVMOrcJITDylibAddGenerator: fn(Ref, Ref);
}

/// `LLVMOrcCSymbolMapPair`: a name and the address it stands for.
#[repr(C)]
pub(crate) struct SymbolPair {
    pub(crate) name: Ref,
    pub(crate) address: u64,
    pub(crate) generic_flags: u8,
    pub(crate) target_flags: u8,
}

/// An open libLLVM.
pub struct Library {
    pub(crate) c: Functions,
    path: PathBuf,
    version: (u32, u32, u32),
    // Never closed: LLVM keeps global state that does not survive unloading.
    _handle: std::mem::ManuallyDrop<libloading::Library>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({} {})", self.path.display(), self.version_text())
    }
}

impl Library {
    /// The library of this process: what `AIRCONV_LLVM` names, or else the newest one installed.
    /// Found once and then kept.
    pub fn get() -> Result<&'static Library> {
        static FOUND: OnceLock<&'static Library> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(found);
        }
        let lib = Library::search()?;
        Ok(FOUND.get_or_init(|| lib))
    }

    /// What tells the library of this process from others: the path, size and time of change of
    /// its file, which is not opened. Where only the loader knows where the library is, it is
    /// opened, and the version tells.
    ///
    /// # Errors
    /// When there is none.
    pub fn identity() -> Result<String> {
        let named = std::env::var_os(PATH_VARIABLE).filter(|p| !p.is_empty()).map(PathBuf::from);
        let files = match named {
            Some(path) => vec![path],
            None => candidates(),
        };
        let found = files.iter().filter(|path| path.is_absolute()).find_map(|path| {
            let file = path.metadata().ok()?;
            let changed = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(format!("{} {} {}", path.display(), file.len(), changed.as_nanos()))
        });
        found.map_or_else(|| Library::get().map(Library::version_text), Ok)
    }

    fn search() -> Result<&'static Library> {
        if let Some(path) = std::env::var_os(PATH_VARIABLE).filter(|p| !p.is_empty()) {
            return Library::open(Path::new(&path));
        }
        let mut tried = Vec::new();
        let mut why = None;
        for candidate in candidates() {
            match Library::open(&candidate) {
                Ok(lib) => return Ok(lib),
                Err(LlvmError::NotFound { why: reason, .. }) => {
                    if candidate.is_absolute() && candidate.exists() {
                        why = reason;
                    }
                }
                Err(error) => why = Some(error.to_string()),
            }
            tried.push(candidate.display().to_string());
        }
        Err(LlvmError::NotFound { tried, why })
    }

    /// Opens the library at `path` (or with that name, on the loader's search path). The same
    /// path gives the same library, which is never closed.
    pub fn open(path: &Path) -> Result<&'static Library> {
        static OPEN: Mutex<Option<HashMap<PathBuf, &'static Library>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let open = open.get_or_insert_with(HashMap::new);
        if let Some(lib) = open.get(path) {
            return Ok(lib);
        }
        // SAFETY: libLLVM's initialisers register passes and options and nothing else. The file
        // is the one that the user or the system's package manager chose.
        let handle =
            unsafe { libloading::Library::new(path) }.map_err(|e| LlvmError::NotFound {
                tried: vec![path.display().to_string()],
                why: Some(e.to_string()),
            })?;
        let handle = std::mem::ManuallyDrop::new(handle);
        let c = Functions::load(&handle, path)?;
        let mut version = (0, 0, 0);
        // SAFETY: three valid pointers, as the function wants.
        unsafe { (c.LLVMGetVersion)(&mut version.0, &mut version.1, &mut version.2) };
        if version.0 < OLDEST {
            let version = format!("{}.{}.{}", version.0, version.1, version.2);
            return Err(LlvmError::TooOld { path: path.to_owned(), version });
        }
        initialise(&handle, "X86");
        initialise(&handle, "AArch64");
        let lib: &'static Library =
            Box::leak(Box::new(Library { c, path: path.to_owned(), version, _handle: handle }));
        open.insert(path.to_owned(), lib);
        Ok(lib)
    }

    /// The name under which the library was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major, minor and patch version.
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// The version as text: `22.1.8`.
    pub fn version_text(&self) -> String {
        let (a, b, c) = self.version;
        format!("{a}.{b}.{c}")
    }

    /// The triple that the library was built for.
    pub fn default_triple(&self) -> String {
        // SAFETY: gives a message that is ours to dispose of.
        unsafe { self.take_message((self.c.LLVMGetDefaultTargetTriple)()) }
    }

    /// Copies a message that LLVM made and disposes of it.
    ///
    /// # Safety
    /// `message` is null or came from a function that says `LLVMDisposeMessage` frees it.
    pub(crate) unsafe fn take_message(&self, message: *mut c_char) -> String {
        if message.is_null() {
            return String::new();
        }
        // SAFETY: not null, and NUL-terminated like every LLVM message.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: the caller's promise; it is not used again.
        unsafe { (self.c.LLVMDisposeMessage)(message) };
        text
    }

    /// `Ok` for no error, or else the error's text; the error is consumed.
    ///
    /// # Safety
    /// `error` is an `LLVMErrorRef` that nobody else consumes.
    pub(crate) unsafe fn check(&self, error: Ref) -> Result<(), String> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: consumes the error and gives a message of its own kind.
        let message = unsafe { (self.c.LLVMGetErrorMessage)(error) };
        // SAFETY: as above, NUL-terminated.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: not used again.
        unsafe { (self.c.LLVMDisposeErrorMessage)(message) };
        Err(text)
    }

    /// A memory buffer with a copy of `bytes`, NUL-terminated as the parser wants it.
    pub(crate) fn buffer(&self, bytes: &[u8]) -> Ref {
        // SAFETY: the range is that of the slice, and the buffer owns a copy of it.
        unsafe {
            (self.c.LLVMCreateMemoryBufferWithMemoryRangeCopy)(
                bytes.as_ptr().cast(),
                bytes.len(),
                c"airconv".as_ptr(),
            )
        }
    }

    /// The bytes of a memory buffer, which is disposed of.
    ///
    /// # Safety
    /// `buffer` is a memory buffer of this library that nobody else disposes of.
    pub(crate) unsafe fn take_buffer(&self, buffer: Ref) -> Vec<u8> {
        if buffer.is_null() {
            return Vec::new();
        }
        // SAFETY: start and size of a live buffer describe its bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                (self.c.LLVMGetBufferStart)(buffer).cast::<u8>(),
                (self.c.LLVMGetBufferSize)(buffer),
            )
        }
        .to_vec();
        // SAFETY: the caller's promise; it is not used again.
        unsafe { (self.c.LLVMDisposeMemoryBuffer)(buffer) };
        bytes
    }

    /// The LLVM target for a triple.
    pub(crate) fn target(&self, triple: &CStr) -> Result<Ref> {
        let (mut target, mut message) = (null_mut(), null_mut());
        // SAFETY: out-pointers are valid; the message, if any, is ours.
        let failed =
            unsafe { (self.c.LLVMGetTargetFromTriple)(triple.as_ptr(), &mut target, &mut message) };
        if failed == 0 {
            return Ok(target);
        }
        // SAFETY: the message came from LLVM and is documented as ours.
        let reason = unsafe { self.take_message(message) };
        Err(LlvmError::Target { triple: triple.to_string_lossy().into_owned(), reason })
    }
}

/// Registers one architecture, if the library was built with it.
fn initialise(lib: &libloading::Library, architecture: &str) {
    for part in ["TargetInfo", "Target", "TargetMC", "AsmPrinter", "AsmParser"] {
        let name = format!("LLVMInitialize{architecture}{part}\0");
        // SAFETY: every such function takes and gives nothing.
        if let Ok(f) = unsafe { lib.get::<unsafe extern "C" fn()>(name.as_bytes()) } {
            // SAFETY: registration is idempotent, and `open` holds a lock.
            unsafe { f() };
        }
    }
}

/// Where libLLVM may be, best first: for each version files, and then names for the loader.
fn candidates() -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![PathBuf::from("LLVM-C.dll")];
    }
    let versions = (OLDEST..=NEWEST).rev();
    if cfg!(target_os = "macos") {
        let roots = ["/opt/homebrew/opt", "/usr/local/opt"];
        return versions
            .flat_map(|v| roots.map(|root| format!("{root}/llvm@{v}/lib/libLLVM.dylib").into()))
            .collect();
    }
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    versions
        .flat_map(|v| {
            let own = ["lib", "lib64"].map(|lib| format!("/usr/lib/llvm-{v}/{lib}"));
            let others = [format!("/usr/lib/llvm{v}/lib"), format!("/usr/lib64/llvm{v}/lib")];
            let system = [multiarch.clone(), "/usr/lib64".to_owned(), "/usr/lib".to_owned()];
            let folders = own.into_iter().chain(others).chain(system);
            let names = [format!("libLLVM.so.{v}.1"), format!("libLLVM-{v}.so")];
            let files: Vec<PathBuf> =
                folders.flat_map(|f| names.clone().map(|name| Path::new(&f).join(name))).collect();
            files.into_iter().chain(names.map(PathBuf::from))
        })
        .collect()
}

/// A C string of a Rust one.
pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| LlvmError::Argument(format!("NUL byte in {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_and_new_enough() {
        let lib = Library::get().unwrap();
        assert!(lib.version().0 >= OLDEST, "{lib:?}");
        assert!(lib.default_triple().contains('-'));
        assert!(std::ptr::eq(lib, Library::get().unwrap()));
    }

    #[test]
    fn a_missing_library_names_the_package() {
        let error = Library::open(Path::new("/nonexistent/libLLVM.so")).unwrap_err().to_string();
        assert!(error.contains("libllvm22") && error.contains("AIRCONV_LLVM"), "{error}");
        assert!(error.contains("/nonexistent/libLLVM.so"), "{error}");
    }

    #[test]
    fn a_library_without_llvm_in_it_is_refused() {
        let error = Library::open(Path::new("libc.so.6")).unwrap_err();
        assert!(matches!(error, LlvmError::MissingFunction { .. }), "{error}");
    }
}
