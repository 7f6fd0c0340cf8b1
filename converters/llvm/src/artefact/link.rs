//! One file of the parts of an artefact, by the C compiler, `objcopy` and `ar` of the machine.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use airconv_api::files::Draft;
use airconv_kernel::c::CSource;

use super::blobs::Blobs;
use super::{Kind, SECTION, Settings};

/// What an artefact is made of.
pub(super) struct Parts<'a> {
    /// The driver and its header.
    pub(super) text: &'a CSource,
    /// The kernels.
    pub(super) objects: &'a [Arc<[u8]>],
    pub(super) blobs: &'a Blobs,
    pub(super) settings: &'a Settings,
}

/// The functions of an artefact, by what follows its name.
const FUNCTIONS: [&str; 6] = ["create", "destroy", "workspace", "output_shapes", "run", "error"];

fn compiler_of_c() -> Command {
    Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// Runs a tool; an error is what it complains of, or that it is not there.
fn tool(mut command: Command, package: &str) -> io::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| {
        io::Error::other(format!("`{name}` could not be run ({e}): install {package}"))
    })?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            let text: String = text.chars().take(4000).collect();
            Err(io::Error::other(format!("`{name}` failed: {}", text.trim())))
        }
    }
}

/// What is said of a C compiler that is not there.
const C_COMPILER: &str = "a C compiler, or name one in CC";

impl Parts<'_> {
    /// Makes the file in a folder and gives its path.
    pub(super) fn link(&self, kind: Kind, folder: &Path) -> io::Result<PathBuf> {
        let (at, name) = (|file: &str| folder.join(file), &self.text.name);
        std::fs::write(at(&format!("{name}.h")), &self.text.header)?;
        std::fs::write(at("driver.c"), &self.text.source)?;
        std::fs::write(at("more.bin"), &self.blobs.more)?;
        std::fs::write(at("data.S"), data(name))?;
        let mut objects = vec![at("driver.o"), at("data.o")];
        for (source, object) in [("driver.c", "driver.o"), ("data.S", "data.o")] {
            let mut cc = compiler_of_c();
            cc.current_dir(folder).args(["-c", "-O2", "-std=gnu11", "-fPIC", "-ffp-contract=off"]);
            cc.args(self.settings.sanitizer.filter(|_| source == "driver.c").map(|s| s.flag()));
            tool(
                {
                    cc.args(["-o", object, source]);
                    cc
                },
                C_COMPILER,
            )?;
        }
        for (i, object) in self.objects.iter().enumerate() {
            let file = at(&format!("kernel{i}.o"));
            std::fs::write(&file, object)?;
            objects.push(file);
        }
        // One object whose only names are those of the interface.
        let whole = at(&format!("{name}.o"));
        let list: String = objects.iter().fold(String::new(), |mut text, o| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\"{}\"", o.display());
            text
        });
        std::fs::write(at("objects"), list)?;
        let mut ld = compiler_of_c();
        ld.args(["-r", "-nostdlib", "-o"]).arg(&whole).arg(format!("@{}", at("objects").display()));
        tool(ld, C_COMPILER)?;
        let mut objcopy = Command::new("objcopy");
        for function in FUNCTIONS {
            objcopy.arg(format!("--keep-global-symbol={name}_{function}"));
        }
        objcopy.arg(&whole);
        tool(objcopy, "binutils")?;
        let made = at("made");
        match kind {
            Kind::Object | Kind::Text | Kind::Bitcode => return Ok(whole),
            Kind::Archive => {
                let mut ar = Command::new("ar");
                ar.arg("rcsD").arg(&made).arg(&whole);
                tool(ar, "binutils")?;
            }
            Kind::Shared => {
                let mut cc = compiler_of_c();
                cc.args(self.settings.sanitizer.map(|s| s.flag()));
                cc.args(["-shared", "-Wl,-z,noexecstack", "-o"]).arg(&made).arg(&whole);
                cc.args(["-lm", "-pthread"]);
                tool(cc, C_COMPILER)?;
            }
        }
        Ok(made)
    }
}

/// The hub program as a section, and the constants that are not of it.
fn data(name: &str) -> String {
    format!(
        ".section {SECTION},\"a\"\n.balign 4096\n.globl {name}_program\n{name}_program:\n\
         .incbin \"program.ir\"\n.section .airconv.more,\"a\"\n.balign 64\n.globl {name}_more\n{name}_more:\n\
         .incbin \"more.bin\"\n.section .note.GNU-stack,\"\",%progbits\n"
    )
}

/// Writes files; all are complete before the first of them has its name.
pub(super) fn place(files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    let mut drafts = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        let mut draft = Draft::new(path)?;
        draft.write_all(bytes)?;
        drafts.push(draft);
    }
    let mut written = Vec::with_capacity(drafts.len());
    for draft in drafts {
        match draft.finish() {
            Ok(done) => written.push(done),
            Err(e) => {
                // The failure is what the caller hears of.
                written.into_iter().for_each(|done| drop(done.undo()));
                return Err(e);
            }
        }
    }
    Ok(())
}
