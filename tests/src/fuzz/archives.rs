//! PyTorch's archives: written from programs, and changed entry by entry.

use airconv_api::{Limits, Report};
use airconv_ir::module::{InputRole, Module};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::archive::{Archive, ArchiveWriter};
use airconv_torch::{export, pt2, script};
use bytes::Bytes;

use super::Rng;
use super::mutate::{INTS, change_bytes};

/// The entry that states the types of a TorchScript program's inputs.
const TYPES: &str = "extra/types.txt";

/// A program as an archive of `torch.export` and as one of TorchScript, where it can be.
pub fn written(module: &Module) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let Ok(verified) = verify(module, Stage::Imported) else { return (None, None) };
    let Ok(program) = export::export(&verified, &mut Report::default()) else {
        return (None, None);
    };
    let typed = script::to_bytes(&program).ok().and_then(|bytes| {
        let mut parts = Parts::of(&bytes)?;
        parts.entries.push((TYPES.to_owned(), types(module).into_bytes()));
        parts.pack()
    });
    (pt2::to_bytes(&program).ok(), typed)
}

/// A line `NAME=TYPE` per input.
fn types(module: &Module) -> String {
    let f = module.main();
    let mut out = String::new();
    for (input, &value) in f.inputs.iter().zip(&f.body().params) {
        let (InputRole::User { .. }, Type::Tensor(ty)) = (&input.role, f.ty(value)) else {
            continue;
        };
        let dims: Vec<String> = ty.shape.iter().map(|d| f.dim_text(d)).collect();
        out.push_str(&format!("{}={}[{}]\n", input.name, ty.dtype, dims.join(", ")));
    }
    out
}

/// The types of inputs that an archive states.
pub fn input_types(bytes: &[u8]) -> Vec<(String, String)> {
    let Some(parts) = Parts::of(bytes) else { return Vec::new() };
    let text = parts.entries.iter().find(|(name, _)| name == TYPES);
    let text = text.map(|(_, t)| String::from_utf8_lossy(t).into_owned()).unwrap_or_default();
    let line = |l: &str| l.split_once('=').map(|(n, t)| (n.to_owned(), t.to_owned()));
    text.lines().filter_map(line).collect()
}

/// The entries of an archive.
struct Parts {
    root: String,
    entries: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Option<Self> {
        let limits = Limits { expanded_bytes: 1 << 24, ..Limits::default() };
        let archive = Archive::from_bytes(Bytes::copy_from_slice(bytes), &limits).ok()?;
        let root = archive.root().trim_end_matches('/').to_owned();
        let one = |e: &airconv_torch::archive::Entry| {
            Some((e.name.clone(), archive.read(e).ok()?.to_vec()))
        };
        Some(Self { root, entries: archive.entries().iter().map(one).collect::<Option<_>>()? })
    }
    fn pack(&self) -> Option<Vec<u8>> {
        let mut out = ArchiveWriter::in_memory(&self.root);
        for (name, bytes) in &self.entries {
            out.add(name, bytes).ok()?;
        }
        out.into_bytes().ok()
    }
}

/// A change of entries: of what they hold, mostly, or of which there are.
pub fn change(bytes: &[u8], rounds: usize, files: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let Some(mut parts) = Parts::of(bytes) else { return bytes.to_vec() };
    for _ in 0..rounds {
        change_parts(&mut parts, files, rng);
    }
    let mut out = parts.pack().unwrap_or_else(|| bytes.to_vec());
    if rng.one_in(16) {
        change_bytes(&mut out, files, rng);
    }
    out
}

fn change_parts(parts: &mut Parts, files: &[Vec<u8>], rng: &mut Rng) {
    let n = parts.entries.len();
    if n == 0 {
        return;
    }
    let at = rng.below(n);
    match rng.below(24) {
        0 => drop(parts.entries.remove(at)),
        1 => {
            let names = ["../x", "/x", "data/../../x", "", "data/weights/weight_0", "byteorder"];
            parts.entries[at].0 = rng.pick(&names).copied().unwrap_or("").to_owned();
        }
        2 => {
            let other = parts.entries[rng.below(n)].1.clone();
            parts.entries[at].1 = other;
        }
        3 => {
            let name = format!("{}_", parts.entries[at].0);
            let data = parts.entries[at].1.clone();
            parts.entries.push((name, data));
        }
        4 => {
            let fill = rng.pick(&[0u8, 0xff, b'[', b'(', b'{']).copied().unwrap_or(0);
            parts.entries[at].1 = vec![fill; 1 << rng.below(18)];
        }
        5 => change_bytes(&mut parts.entries[at].1, files, rng),
        _ => change_program(parts, files, rng),
    }
}

/// The kinds of entries that say what a program is.
const PROGRAMS: &[&str] = &["json", "py", "pkl"];

fn ending(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, e)| e)
}

fn change_program(parts: &mut Parts, files: &[Vec<u8>], rng: &mut Rng) {
    let is_program = |(name, _): &(String, Vec<u8>)| PROGRAMS.contains(&ending(name));
    let places: Vec<usize> = (0..parts.entries.len())
        .filter(|&i| parts.entries.get(i).is_some_and(is_program))
        .collect();
    let Some(&at) = rng.pick(&places) else { return };
    let kind = ending(&parts.entries[at].0).to_owned();
    let other = match rng.one_in(3) {
        true => rng.pick(files).and_then(|f| Parts::of(f)),
        false => None,
    };
    let others: Vec<Vec<u8>> = other
        .map(|o| o.entries.into_iter().filter(|(n, _)| ending(n) == kind).map(|(_, b)| b).collect())
        .unwrap_or_default();
    let data = &mut parts.entries[at].1;
    match kind.as_str() {
        "pkl" => change_pickle(data, &others, rng),
        _ => *data = change_text(data, &others, kind == "py", rng),
    }
}

/// A change of a pickle: an opcode put in or out of place, or bytes.
fn change_pickle(data: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    const OPCODES: &[&[u8]] = &[
        b"(",
        b".",
        b"0",
        b"1",
        b"2",
        b"N",
        b"}",
        b"]",
        b")",
        b"t",
        b"l",
        b"d",
        b"a",
        b"e",
        b"s",
        b"u",
        b"b",
        b"R",
        b"Q",
        b"\x81",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x88",
        b"\x89",
        b"\x8e",
        b"h\x00",
        b"h\xff",
        b"j\xff\xff\xff\xff",
        b"q\x00",
        b"r\xff\xff\xff\x7f",
        b"K\x01",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"\x8a\x01\xff",
        b"\x8b\xff\xff\xff\x7f",
        b"X\xff\xff\xff\xff",
        b"X\x01\x00\x00\x00x",
        b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"cos\nsystem\n",
        b"c__builtin__\neval\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nFloatStorage\n",
        b"\x80\x05",
        b"\x93",
        b"\x94",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    ];
    if rng.one_in(2) {
        return change_bytes(data, others, rng);
    }
    let at = rng.below(data.len() + 1);
    let code = rng.pick(OPCODES).copied().unwrap_or(b".");
    let times = if rng.one_in(64) { 1 << rng.below(16) } else { 1 };
    data.splice(at..at, code.repeat(times));
}

/// A change of words, lines or brackets; white space stays.
fn change_text(data: &[u8], others: &[Vec<u8>], lines: bool, rng: &mut Rng) -> Vec<u8> {
    let text = String::from_utf8_lossy(data).into_owned();
    if rng.one_in(32) {
        return nested(&text, rng);
    }
    if lines && rng.one_in(3) {
        return change_lines(&text, rng);
    }
    let mut words = words(&text);
    if words.is_empty() {
        return data.to_vec();
    }
    let other = rng.pick(others).map(|o| String::from_utf8_lossy(o).into_owned());
    let from: Vec<&str> = match &other {
        Some(other) => self::words(other),
        None => words.clone(),
    };
    let at = place(&words, rng);
    let fresh;
    match rng.below(10) {
        0 => drop(words.remove(at)),
        1 => words.insert(at, words[place(&words, rng)]),
        2 => {
            let to = place(&words, rng);
            words.swap(at, to);
        }
        3..=5 => {
            let digit = |w: &str| w.starts_with(|c: char| c.is_ascii_digit());
            let numbers: Vec<usize> = (0..words.len()).filter(|&i| digit(words[i])).collect();
            fresh = rng.pick(INTS).copied().unwrap_or(0).to_string();
            if let Some(&i) = rng.pick(&numbers) {
                words[i] = &fresh;
            }
        }
        _ => {
            let class = |w: &str| {
                let c = w.chars().next().unwrap_or(' ');
                (c.is_ascii_digit(), c.is_alphabetic() || c == '_', c == '"')
            };
            let wanted = class(words[at]);
            let fits: Vec<&str> = from.iter().copied().filter(|w| class(w) == wanted).collect();
            if let Some(&w) = rng.pick(&fits) {
                words[at] = w;
            }
        }
    }
    words.concat().into_bytes()
}

/// A place of a word that is no white space, if one is found soon.
fn place(words: &[&str], rng: &mut Rng) -> usize {
    let mut at = rng.below(words.len());
    for _ in 0..8 {
        if !words.get(at).is_none_or(|w| w.trim().is_empty()) {
            break;
        }
        at = rng.below(words.len());
    }
    at
}

/// Brackets within brackets, or a long sum, somewhere.
fn nested(text: &str, rng: &mut Rng) -> Vec<u8> {
    let depth = 1 << rng.below(17);
    let (open, close) = *rng
        .pick(&[
            ("[", "]"),
            ("(", ")"),
            ("{\"a\":", "}"),
            ("torch.add(", ", 1)"),
            ("-", ""),
            ("not ", ""),
        ])
        .unwrap_or(&("(", ")"));
    let mut at = rng.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
    format!("{}{inner}{}", &text[..at], &text[at..]).into_bytes()
}

fn change_lines(text: &str, rng: &mut Rng) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let n = lines.len();
    let (at, to) = (rng.below(n), rng.below(n));
    match rng.below(5) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(to, lines[at].clone()),
        2 => lines.swap(at, to),
        3 => lines[at].insert_str(0, "  "),
        _ => lines[at] = lines[at].strip_prefix("  ").unwrap_or("").to_owned(),
    }
    (lines.join("\n") + "\n").into_bytes()
}

/// Words, numbers, strings, white space and single signs.
fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let len = if word(first) {
            rest.find(|c: char| !word(c) && c != '.').unwrap_or(rest.len())
        } else if first.is_whitespace() {
            rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())
        } else if first == '"' {
            rest[1..].find('"').map_or(rest.len(), |i| i + 2)
        } else {
            first.len_utf8()
        };
        let (one, more) = rest.split_at(len);
        out.push(one);
        rest = more;
    }
    out
}
