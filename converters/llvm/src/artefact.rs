//! Native artefacts: `-o model.o`, `.a` and `.so`, each with `model.h`, and the way back.
//!
//! The kernels are compiled by LLVM, once per instruction set level; which of them run is
//! decided when the model runs. The function that runs them is the C writer's, compiled by the
//! machine's C compiler. The hub program lies in the section `.airconv` of what is written, as an
//! `.ir` file whose tensors are the weights that the code reads; reading the artefact gives the
//! program back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use airconv_api::files::Draft;
use airconv_api::{Failed, ReadOptions, Reader, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::diag::Diagnostic;
use airconv_ir::module::Module;
use airconv_ir::tensor::Storage;
use airconv_ir::verify::Verified;
use airconv_ir::wire;
use airconv_kernel::c::{COptions, Kernels, Level, program_c, report_stop};
use airconv_kernel::ir::{BufferId, BufferKind, Elem};
use airconv_kernel::lower::{LowerOptions, Lowered, lower};
use bytes::Bytes;

use crate::cache::Cache;
use crate::compile::Compiler;
use crate::kernel::{host, kernel_ir};
use crate::target::{Isa, Target};

/// The section that holds the hub program.
const SECTION: &str = ".airconv";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A relocatable object.
    Object,
    /// A static library.
    Archive,
    /// A shared library.
    Shared,
}

/// Writes native artefacts of one kind.
#[derive(Clone, Copy, Debug)]
pub struct NativeWriter(pub Kind);

/// Reads the hub program that an artefact carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeReader;

impl Writer for NativeWriter {
    fn format(&self) -> &'static str {
        match self.0 {
            Kind::Object => "o",
            Kind::Archive => "a",
            Kind::Shared => "so",
        }
    }
    fn extensions(&self) -> &'static [&'static str] {
        match self.0 {
            Kind::Object => &["o"],
            Kind::Archive => &["a"],
            Kind::Shared => &["so"],
        }
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        if report.refused(&options.allow_lossy) {
            return Err(Failed::Unsupported);
        }
        Build { kind: self.0, path, report }.run(module.module())
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// The levels of a processor family, best first, with what C asks before it uses them.
fn levels() -> Vec<(Isa, Level)> {
    let level = |isa: Isa, condition: &str| {
        (isa, Level { suffix: isa.name().to_owned(), condition: condition.to_owned() })
    };
    if cfg!(target_arch = "x86_64") {
        let v4 = "__builtin_cpu_supports(\"avx512f\") && __builtin_cpu_supports(\"avx512bw\") && \
                  __builtin_cpu_supports(\"avx512dq\") && __builtin_cpu_supports(\"avx512vl\")";
        let v3 = "__builtin_cpu_supports(\"avx2\") && __builtin_cpu_supports(\"fma\")";
        vec![level(Isa::V4, v4), level(Isa::V3, v3)]
    } else {
        vec![level(Isa::Neon, "")]
    }
}

/// One artefact in the making.
struct Build<'a> {
    kind: Kind,
    path: &'a Path,
    report: &'a mut Report,
}

impl Build<'_> {
    fn system(&mut self, what: impl std::fmt::Display) -> Failed {
        let text = format!("{}: {what}", self.path.display());
        self.report.push(Diagnostic::error("native-write", text));
        Failed::System
    }

    fn run(&mut self, module: &Module) -> Result<(), Failed> {
        let folder = tempfile::tempdir().map_err(|e| self.system(e))?;
        let ir = folder.path().join("program.ir");
        wire::write_ir(module, &ir, &wire::WriteOptions::default()).map_err(|e| self.system(e))?;
        // The program is lowered as it lies in the file, so that the places of tensors are known.
        let program = Bytes::from(std::fs::read(&ir).map_err(|e| self.system(e))?);
        let module = wire::read_ir_bytes(program.clone(), &wire::Limits::default())
            .map_err(|e| self.system(e))?;
        let lowered = lower(&module, LowerOptions { host: false, ..LowerOptions::default() })
            .map_err(|stop| report_stop(&stop, self.report))?;
        let stem = self.path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let levels = levels();
        let options = COptions {
            name: stem.unwrap_or_default(),
            kernels: Kernels::External(levels.iter().map(|(_, l)| l.clone()).collect()),
            constants: places(&lowered, &program),
        };
        let text = program_c(&lowered.program, &lowered.module, &options).map_err(|refused| {
            for why in refused.0 {
                self.report.push(Diagnostic::error("native-unsupported", why));
            }
            Failed::Unsupported
        })?;
        let mut objects = Vec::new();
        for (isa, level) in &levels {
            let ir = self.kernels(&lowered, &text.name, *isa, &level.suffix)?;
            let compiler = Compiler::find().map_err(|e| self.system(e))?;
            let object = compiler
                .object(&ir, &Target::of(*isa), &Cache::user())
                .map_err(|e| self.system(e))?;
            let file = folder.path().join(format!("kernels_{}.o", level.suffix));
            std::fs::write(&file, object).map_err(|e| self.system(e))?;
            objects.push(file);
        }
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(at(name), text);
        write(&format!("{}.h", text.name), &text.header).map_err(|e| self.system(e))?;
        write("driver.c", &text.source).map_err(|e| self.system(e))?;
        write("program.S", &assembly(&text.name, &ir)).map_err(|e| self.system(e))?;
        for (source, object) in [("driver.c", "driver.o"), ("program.S", "program.o")] {
            let mut cc = compiler_of_c();
            cc.args(["-c", "-O2", "-std=gnu11", "-fPIC", "-ffp-contract=off", "-o"]);
            cc.arg(at(object)).arg(at(source));
            self.tool(&mut cc)?;
            objects.push(at(object));
        }
        let made = at("made");
        self.tool(&mut self.kind.linking(&objects, &made))?;
        self.place(&made, &text.header)
    }

    /// The kernels of one level as LLVM IR.
    fn kernels(
        &mut self,
        lowered: &Lowered,
        name: &str,
        isa: Isa,
        suffix: &str,
    ) -> Result<String, Failed> {
        let (mut declarations, mut functions) = (std::collections::BTreeSet::new(), String::new());
        for (i, kernel) in lowered.program.kernels.iter().enumerate() {
            let text = kernel_ir(kernel, &format!("{name}_k{i}_{suffix}"), isa);
            let text = text.map_err(|e| {
                let what = format!("kernel `{}`: {e}", kernel.name);
                self.report.push(Diagnostic::error("native-unsupported", what));
                Failed::Unsupported
            })?;
            if text.contains(&format!("@{}(", host::NARROW)) {
                let what = format!(
                    "kernel `{}` rounds to a narrow float that only the host rounds to",
                    kernel.name
                );
                self.report.push(Diagnostic::error("native-unsupported", what));
                return Err(Failed::Unsupported);
            }
            for line in text.lines() {
                if line.starts_with("declare ") || line.starts_with("define internal ") {
                    declarations.insert(line.to_owned());
                } else {
                    functions.push_str(line);
                    functions.push('\n');
                }
            }
        }
        let declarations: Vec<String> = declarations.into_iter().collect();
        Ok(format!("{}\n{functions}", declarations.join("\n")))
    }

    /// Runs a tool; its complaint is reported.
    fn tool(&mut self, command: &mut Command) -> Result<(), Failed> {
        let name = command.get_program().to_string_lossy().into_owned();
        let output = command.output().map_err(|e| {
            self.system(format!(
                "`{name}` could not be run ({e}): install a C compiler, or name one in CC"
            ))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(self.system(format!("`{name}` failed: {}", text.trim())))
    }

    /// Gives the artefact and its header their names.
    fn place(&mut self, made: &Path, header: &str) -> Result<(), Failed> {
        let copied = (|| -> io::Result<()> {
            let mut out = Draft::new(self.path)?;
            io::copy(&mut std::fs::File::open(made)?, &mut out)?;
            let beside = self.path.with_extension("h");
            airconv_api::files::write_whole(&beside, |out| {
                io::Write::write_all(out, header.as_bytes())
            })?;
            out.finish().map(|_| ())
        })();
        copied.map_err(|e| self.system(e))
    }
}

impl Kind {
    /// The command that makes one file of objects.
    fn linking(self, objects: &[PathBuf], made: &Path) -> Command {
        match self {
            Kind::Object => {
                let mut ld = compiler_of_c();
                ld.args(["-r", "-nostdlib", "-o"]).arg(made).args(objects);
                ld
            }
            Kind::Archive => {
                let mut ar = Command::new("ar");
                ar.arg("rcsD").arg(made).args(objects);
                ar
            }
            Kind::Shared => {
                let mut cc = compiler_of_c();
                cc.args(["-shared", "-o"]).arg(made).args(objects).args(["-lm"]);
                cc
            }
        }
    }
}

fn compiler_of_c() -> Command {
    Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// Where the constants of a program lie in its `.ir` file, for those that kernels can read there.
fn places(lowered: &Lowered, file: &Bytes) -> BTreeMap<BufferId, u64> {
    let start = file.as_ptr() as usize;
    let mut out = BTreeMap::new();
    for (i, buffer) in lowered.program.buffers.iter().enumerate() {
        let BufferKind::Constant(id) = buffer.kind else { continue };
        let tensor = &lowered.module.tensors[id];
        let Storage::Bytes(bytes) = &tensor.storage else { continue };
        let plain = airconv_kernel::carrier::lies_as_kernels_want(tensor.dtype);
        let at = (bytes.as_ptr() as usize).wrapping_sub(start);
        let inside = at.checked_add(bytes.len()).is_some_and(|end| end <= file.len());
        let aligned = Elem::of(tensor.dtype).is_some_and(|(e, _)| at.is_multiple_of(e.bytes()));
        if plain && inside && aligned {
            out.insert(BufferId(i as u32), at as u64);
        }
    }
    out
}

/// The hub program as a section.
fn assembly(name: &str, ir: &Path) -> String {
    format!(
        ".section {SECTION},\"a\"\n.balign 4096\n.globl {name}_program\n{name}_program:\n\
         .incbin \"{}\"\n.section .note.GNU-stack,\"\",%progbits\n",
        ir.display()
    )
}

impl Reader for NativeReader {
    fn format(&self) -> &'static str {
        "native"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["so", "o", "a"]
    }
    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"\x7fELF") || head.starts_with(b"!<arch>\n")
    }
    fn read(
        &self,
        path: &Path,
        _options: &ReadOptions,
        report: &mut Report,
    ) -> Result<Module, Failed> {
        let data = airconv_api::files::read_whole(path, report)?;
        let malformed = |report: &mut Report, what: String| {
            report.push(Diagnostic::error("native-read", format!("{}: {what}", path.display())));
            Failed::Malformed
        };
        let program = match section(&data) {
            Ok(Some(program)) => Bytes::copy_from_slice(program),
            Ok(None) => {
                let what = "it carries no program: airconv did not write it".to_owned();
                return Err(malformed(report, what));
            }
            Err(e) => return Err(malformed(report, e.to_string())),
        };
        wire::read_ir_bytes(program, &wire::Limits::default())
            .map_err(|e| malformed(report, e.to_string()))
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// The section with the program, in an object, a shared library or a member of an archive.
fn section(data: &[u8]) -> object::Result<Option<&[u8]>> {
    use object::{Object, ObjectSection};
    let of_object = |data| -> object::Result<Option<&[u8]>> {
        let file = object::File::parse(data)?;
        file.section_by_name(SECTION).map(|s| s.data()).transpose()
    };
    if !data.starts_with(b"!<arch>\n") {
        return of_object(data);
    }
    let archive = object::read::archive::ArchiveFile::parse(data)?;
    for member in archive.members() {
        if let Some(found) = of_object(member?.data(data)?)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
