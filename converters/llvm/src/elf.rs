//! ELF objects of x86-64, linked into the memory of this process.
//!
//! All sections lie in one piece of memory, so that displacements of 32 bits reach everywhere in
//! it; names that are farther away are reached through a table of addresses. Once linked it can be
//! read and run and not written: objects with data that code writes are refused. Relocations are
//! those of the System V ABI for AMD64, section 4.4.
//!
//! Tables for unwinding are left out: nothing unwinds through kernels.

use std::sync::Arc;

use memmap2::{Mmap, MmapMut};
use object::read::elf::ElfFile64;
use object::{
    LittleEndian, Object, ObjectSection, ObjectSymbol, Relocation, RelocationFlags,
    RelocationTarget, SectionIndex, SectionKind, SymbolIndex, elf,
};
use rustc_hash::FxHashMap;

use crate::error::{LlvmError, Result};

/// A jump to an address of the table.
const JUMP: [u8; 2] = [0xff, 0x25];
/// Bytes of such a jump with its displacement, and those between two.
const JUMP_LEN: usize = 6;
const JUMP_STEP: usize = 8;
/// Bytes of an address.
const ADDRESS: usize = 8;
const PAGE: u64 = 4096;

/// Whether these are objects that can be linked here into this process.
pub fn takes(objects: &[Arc<[u8]>]) -> bool {
    let of_here = cfg!(all(target_arch = "x86_64", target_os = "linux"));
    of_here && objects.iter().all(|bytes| bytes.starts_with(b"\x7fELF"))
}

/// Linked objects, which can be called.
#[derive(Debug)]
pub struct Image {
    memory: Mmap,
    /// Where the names that objects define lie in the memory.
    names: FxHashMap<Box<str>, usize>,
}

impl Image {
    /// Links objects with each other and with what `outside` knows by name.
    ///
    /// # Errors
    /// For what is not an object of x86-64, has data that is written or relocations that code
    /// for any address does not need, defines a name twice, or needs one that nobody defines.
    pub fn link(
        objects: &[Arc<[u8]>],
        outside: &dyn Fn(&str) -> Option<*const ()>,
    ) -> Result<Image> {
        let files = objects.iter().map(|bytes| parse(bytes)).collect::<Result<Vec<_>>>()?;
        let layout = Layout::new(&files)?;
        let names = names(&files, &layout)?;
        let mut memory = MmapMut::map_anon(layout.len.max(1)).map_err(no_memory)?;
        for section in &layout.sections {
            memory[section.at..section.at + section.data.len()].copy_from_slice(section.data);
        }
        let mut linker = Linker { layout, names, outside, memory, table: FxHashMap::default() };
        for (object, file) in files.iter().enumerate() {
            linker.object(object, file)?;
        }
        let Linker { names, memory, .. } = linker;
        Ok(Image { memory: memory.make_exec().map_err(no_memory)?, names })
    }

    /// The address of a name that an object defines.
    pub fn lookup(&self, name: &str) -> Option<*const ()> {
        let at = *self.names.get(name)?;
        Some(std::ptr::with_exposed_provenance(self.memory.as_ptr().expose_provenance() + at))
    }
}

type File<'a> = ElfFile64<'a, LittleEndian>;

fn parse(bytes: &[u8]) -> Result<File<'_>> {
    let file = File::parse(bytes).map_err(broken)?;
    let machine = file.elf_header().e_machine.get(LittleEndian);
    match machine == elf::EM_X86_64 && file.kind() == object::ObjectKind::Relocatable {
        true => Ok(file),
        false => Err(LlvmError::Jit("an object file is not one of x86-64".to_owned())),
    }
}

fn no_memory(source: std::io::Error) -> LlvmError {
    LlvmError::Io { what: "memory for code".to_owned(), source }
}

fn broken(error: object::Error) -> LlvmError {
    LlvmError::Jit(format!("an object file is broken: {error}"))
}

/// A section that is wanted in memory.
struct Section<'a> {
    object: usize,
    index: SectionIndex,
    data: &'a [u8],
    /// Where it goes.
    at: usize,
}

/// Where everything goes: sections, jumps, and the table.
struct Layout<'a> {
    sections: Vec<Section<'a>>,
    places: FxHashMap<(usize, SectionIndex), usize>,
    jumps: usize,
    table: usize,
    len: usize,
}

impl<'a> Layout<'a> {
    fn new(files: &'a [File<'a>]) -> Result<Layout<'a>> {
        let mut sections = Vec::new();
        let mut end = 0usize;
        // The most addresses that the table may have.
        let mut far = 0;
        for (object, file) in files.iter().enumerate() {
            for section in file.sections() {
                if !is_wanted(&section)? {
                    continue;
                }
                let data = section.data().map_err(broken)?;
                let align = section.align().max(1);
                if !align.is_power_of_two() || align > PAGE {
                    let text = format!("a section of an object is aligned to {align} bytes");
                    return Err(LlvmError::Jit(text));
                }
                let at = end.next_multiple_of(align as usize);
                end = at + data.len();
                far += section.relocations().filter(|(_, r)| may_be_far(r)).count();
                sections.push(Section { object, index: section.index(), data, at });
            }
        }
        let jumps = end.next_multiple_of(JUMP_STEP);
        let table = jumps + far * JUMP_STEP;
        let len = table + far * ADDRESS;
        let places = sections.iter().map(|s| ((s.object, s.index), s.at)).collect();
        match i32::try_from(len) {
            Ok(_) => Ok(Layout { sections, places, jumps, table, len }),
            Err(_) => Err(LlvmError::Jit("objects of 2 GiB and more".to_owned())),
        }
    }
}

/// Whether a section goes into memory.
fn is_wanted<'a>(section: &impl ObjectSection<'a>) -> Result<bool> {
    let name = section.name().map_err(broken)?;
    if section.size() == 0 || name == ".eh_frame" {
        return Ok(false);
    }
    match section.kind() {
        SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => Ok(true),
        // It has addresses in it, which are written here.
        SectionKind::Data if name.starts_with(".data.rel.ro") => Ok(true),
        SectionKind::Data
        | SectionKind::UninitializedData
        | SectionKind::Tls
        | SectionKind::UninitializedTls => {
            Err(LlvmError::Jit(format!("code with data that it writes (section {name})")))
        }
        _ => Ok(false),
    }
}

/// Where the names lie that objects define for others.
fn names(files: &[File<'_>], layout: &Layout<'_>) -> Result<FxHashMap<Box<str>, usize>> {
    let mut names = FxHashMap::default();
    for (object, file) in files.iter().enumerate() {
        for symbol in file.symbols().filter(|s| s.is_global()) {
            let Some(at) = place(object, &symbol, layout) else { continue };
            let name = symbol.name().map_err(broken)?;
            if names.insert(Box::from(name), at).is_some() {
                return Err(LlvmError::Jit(format!("`{name}` is defined twice")));
            }
        }
    }
    Ok(names)
}

/// Where a symbol lies that its object defines.
fn place<'a>(object: usize, symbol: &impl ObjectSymbol<'a>, layout: &Layout<'_>) -> Option<usize> {
    let section = layout.places.get(&(object, symbol.section_index()?))?;
    section.checked_add(usize::try_from(symbol.address()).ok()?).filter(|at| *at <= layout.len)
}

/// What a relocation writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Nothing,
    /// The address, in 64 bits.
    Address,
    /// The distance to it, in 32 bits.
    Distance,
    /// The same in 64 bits.
    LongDistance,
    /// The distance to it or to a jump there, in 32 bits.
    Call,
    /// The distance to an entry of the table with it, in 32 bits.
    Entry,
}

impl Kind {
    fn of(relocation: &Relocation) -> Option<Kind> {
        let RelocationFlags::Elf { r_type } = relocation.flags() else { return None };
        Some(match r_type {
            elf::R_X86_64_NONE => Kind::Nothing,
            elf::R_X86_64_64 => Kind::Address,
            elf::R_X86_64_PC32 => Kind::Distance,
            elf::R_X86_64_PC64 => Kind::LongDistance,
            elf::R_X86_64_PLT32 => Kind::Call,
            elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                Kind::Entry
            }
            _ => return None,
        })
    }
}

/// Whether a relocation may take an entry of the table.
fn may_be_far(relocation: &Relocation) -> bool {
    matches!(Kind::of(relocation), Some(Kind::Call | Kind::Entry))
}

/// Writes relocations.
struct Linker<'a> {
    layout: Layout<'a>,
    names: FxHashMap<Box<str>, usize>,
    outside: &'a dyn Fn(&str) -> Option<*const ()>,
    memory: MmapMut,
    /// Which entry of the table holds an address.
    table: FxHashMap<usize, usize>,
}

impl Linker<'_> {
    fn object(&mut self, object: usize, file: &File<'_>) -> Result<()> {
        for section in file.sections() {
            let Some(&at) = self.layout.places.get(&(object, section.index())) else { continue };
            for (offset, relocation) in section.relocations() {
                let Some(kind) = Kind::of(&relocation) else {
                    let text = format!("a relocation of the kind {:?}", relocation.flags());
                    return Err(LlvmError::Jit(text));
                };
                let target = match relocation.target() {
                    RelocationTarget::Symbol(symbol) => self.target(object, file, symbol)?,
                    _ => 0,
                };
                let within = offset < section.size();
                let offset = usize::try_from(offset).ok().filter(|_| within);
                let place = offset.and_then(|o| o.checked_add(at)).ok_or_else(outside)?;
                self.write(kind, place, target, relocation.addend())?;
            }
        }
        Ok(())
    }

    /// The address of a symbol of an object: its own, another object's, or one from outside.
    fn target(&self, object: usize, file: &File<'_>, index: SymbolIndex) -> Result<usize> {
        let symbol = file.symbol_by_index(index).map_err(broken)?;
        if let Some(at) = place(object, &symbol, &self.layout) {
            return Ok(self.base() + at);
        }
        let name = symbol.name().map_err(broken)?;
        if let Some(at) = self.names.get(name) {
            return Ok(self.base() + at);
        }
        let found = (self.outside)(name).map(|p| p.expose_provenance());
        found.ok_or_else(|| LlvmError::Jit(format!("nothing defines `{name}`")))
    }

    fn write(&mut self, kind: Kind, place: usize, target: usize, addend: i64) -> Result<()> {
        let here = self.base() + place;
        let distance = |to: usize| (to as i64).wrapping_add(addend).wrapping_sub(here as i64);
        match kind {
            Kind::Nothing => Ok(()),
            Kind::Address => self.put(place, &(target as i64).wrapping_add(addend).to_le_bytes()),
            Kind::LongDistance => self.put(place, &distance(target).to_le_bytes()),
            Kind::Distance => self.short(place, distance(target)),
            Kind::Call if i32::try_from(distance(target)).is_ok() => {
                self.short(place, distance(target))
            }
            Kind::Call => {
                let jump = self.jump(target)?;
                self.short(place, distance(self.base() + jump))
            }
            Kind::Entry => {
                let entry = self.entry(target)?;
                self.short(place, distance(self.base() + entry))
            }
        }
    }

    fn base(&self) -> usize {
        self.memory.as_ptr().expose_provenance()
    }

    /// Where the entry of the table is that holds an address.
    fn entry(&mut self, target: usize) -> Result<usize> {
        let next = self.table.len();
        let index = *self.table.entry(target).or_insert(next);
        let at = self.layout.table + index * ADDRESS;
        self.put(at, &(target as u64).to_le_bytes())?;
        Ok(at)
    }

    /// Where a jump to an address is.
    fn jump(&mut self, target: usize) -> Result<usize> {
        let entry = self.entry(target)?;
        let at = self.layout.jumps + (entry - self.layout.table) / ADDRESS * JUMP_STEP;
        self.put(at, &JUMP)?;
        self.short(at + JUMP.len(), entry as i64 - (at + JUMP_LEN) as i64)?;
        Ok(at)
    }

    fn short(&mut self, place: usize, distance: i64) -> Result<()> {
        let distance = i32::try_from(distance)
            .map_err(|_| LlvmError::Jit("what an object refers to is too far away".to_owned()))?;
        self.put(place, &distance.to_le_bytes())
    }

    fn put(&mut self, place: usize, bytes: &[u8]) -> Result<()> {
        let end = place.checked_add(bytes.len()).ok_or_else(outside)?;
        self.memory.get_mut(place..end).ok_or_else(outside)?.copy_from_slice(bytes);
        Ok(())
    }
}

fn outside() -> LlvmError {
    LlvmError::Jit("a relocation lies outside of its section".to_owned())
}
