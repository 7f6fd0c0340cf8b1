//! Edits of Rust sources that are found by the names of items.
//!
//! Where an edit goes is never a line number: it is a function or an enum by name, and where it is
//! inside of a function, a few tokens that occur there once. An edit whose place is not there, or
//! is there twice, is refused, and so is the whole copy.

use std::ops::Range;

use syn::spanned::Spanned;

/// A change to one file.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The file, below the source folder.
    pub file: &'static str,
    /// `Type::function`, `function`, or the name of an enum; empty for the file.
    pub item: &'static str,
    /// What changes.
    pub change: Change,
}

/// What an edit does to its item.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Text at the end of the file.
    Append(&'static str),
    /// A variant at the start of an enum.
    Variant(&'static str),
    /// An attribute before a function.
    Attribute(&'static str),
    /// Statements at the start of a function.
    Begin(&'static str),
    /// What a function gives is called `out` and goes through an expression: statements before,
    /// the expression.
    Wrap(&'static str, &'static str),
    /// Text that occurs once in a function, and what takes its place.
    Replace(&'static str, &'static str),
}

/// A source with all edits of its file made; an edit that has no one place is the error.
pub fn apply(source: &str, edits: &[Edit]) -> Result<String, String> {
    let file = syn::parse_file(source).map_err(|e| format!("it is not Rust: {e}"))?;
    let mut splices = Vec::new();
    for edit in edits {
        splices.extend(splice(source, &file, edit)?);
    }
    splices.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(source.len() + 4096);
    let mut at = 0;
    for (range, text) in splices {
        let kept = source.get(at..range.start).ok_or("two edits overlap")?;
        out.push_str(kept);
        out.push_str(&text);
        at = range.end;
    }
    out.push_str(source.get(at..).unwrap_or_default());
    Ok(out)
}

type Splice = (Range<usize>, String);

fn splice(source: &str, file: &syn::File, edit: &Edit) -> Result<Vec<Splice>, String> {
    let insert = |at: usize, text: &str| (at..at, text.to_owned());
    Ok(match edit.change {
        Change::Append(text) => vec![insert(source.len(), text)],
        Change::Variant(text) => {
            let item = enum_named(file, edit.item)?;
            vec![insert(item.brace_token.span.open().byte_range().end, text)]
        }
        Change::Attribute(text) => {
            let f = function(file, edit.item)?;
            vec![insert(f.start, &format!("{text}\n    "))]
        }
        Change::Begin(text) => vec![insert(function(file, edit.item)?.body.start, text)],
        Change::Wrap(before, after) => {
            let f = function(file, edit.item)?;
            let returns = source.get(f.returns.clone()).unwrap_or_default();
            let open = format!("{before}\n        let out = (|| {returns} {{");
            let close = format!("}})()?;\n        {after}\n    ");
            vec![insert(f.body.start, &open), insert(f.body.end, &close)]
        }
        Change::Replace(find, put) => {
            let body = function(file, edit.item)?.body;
            let text = source.get(body.clone()).unwrap_or_default();
            let mut found = text.match_indices(find);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => {
                    let start = body.start + at;
                    vec![(start..start + find.len(), put.to_owned())]
                }
                (None, _) => return Err(format!("`{}` has no `{find}`", edit.item)),
                (Some(_), Some(_)) => {
                    return Err(format!("`{}` has `{find}` more than once", edit.item));
                }
            }
        }
    })
}

fn enum_named<'f>(file: &'f syn::File, name: &str) -> Result<&'f syn::ItemEnum, String> {
    let mut found = file.items.iter().filter_map(|item| match item {
        syn::Item::Enum(e) if e.ident == name => Some(e),
        _ => None,
    });
    match (found.next(), found.next()) {
        (Some(item), None) => Ok(item),
        (None, _) => Err(format!("there is no enum `{name}`")),
        (Some(_), Some(_)) => Err(format!("there is more than one enum `{name}`")),
    }
}

/// Where a function is in the source.
struct Function {
    /// The first byte after documentation and attributes.
    start: usize,
    /// `-> Type`.
    returns: Range<usize>,
    /// What is between the braces.
    body: Range<usize>,
}

fn function(file: &syn::File, path: &str) -> Result<Function, String> {
    let (owner, name) = path.split_once("::").unwrap_or(("", path));
    let mut found = Vec::new();
    for item in &file.items {
        if let syn::Item::Fn(f) = item
            && owner.is_empty()
            && f.sig.ident == name
        {
            found.push(place(&f.vis, &f.sig, &f.block));
        }
        let syn::Item::Impl(block) = item else { continue };
        if !is_of(&block.self_ty, owner) {
            continue;
        }
        for member in &block.items {
            if let syn::ImplItem::Fn(f) = member
                && f.sig.ident == name
            {
                found.push(place(&f.vis, &f.sig, &f.block));
            }
        }
    }
    match found.len() {
        0 => Err(format!("there is no function `{path}`")),
        1 => Ok(found.remove(0)),
        n => Err(format!("there are {n} functions `{path}`")),
    }
}

fn is_of(ty: &syn::Type, name: &str) -> bool {
    match ty {
        syn::Type::Path(p) => p.path.segments.last().is_some_and(|s| s.ident == name),
        _ => false,
    }
}

fn place(vis: &syn::Visibility, sig: &syn::Signature, block: &syn::Block) -> Function {
    let signature = sig.span().byte_range();
    let start = match vis {
        syn::Visibility::Inherited => signature.start,
        _ => vis.span().byte_range().start,
    };
    let braces = block.brace_token.span;
    let body = braces.open().byte_range().end..braces.close().byte_range().start;
    Function { start, returns: sig.output.span().byte_range(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        enum Op { A }
        impl Tensor {
            /// Doubles.
            pub fn twice(&self) -> Result<Self> { let x = none(); self.add(x) }
            fn again(&self) -> Result<Self> { f(none(), none()) }
        }
        impl Clone for Tensor { fn clone(&self) -> Self { none() } }
        impl From<u8> for Tensor { fn from(x: u8) -> Self { none() } }
        impl From<u16> for Tensor { fn from(x: u16) -> Self { none() } }
        pub fn free(x: u8) -> u8 { x }
    ";

    fn one(item: &'static str, change: Change) -> Result<String, String> {
        apply(SOURCE, &[Edit { file: "", item, change }])
    }

    #[test]
    fn every_kind_of_edit_finds_its_place() {
        let edits = [
            Edit { file: "", item: "Op", change: Change::Variant(" B,") },
            Edit { file: "", item: "Tensor::twice", change: Change::Attribute("#[inline]") },
            Edit { file: "", item: "Tensor::twice", change: Change::Replace("none()", "some()") },
            Edit { file: "", item: "Tensor::again", change: Change::Wrap("let a = 1;", "Ok(out)") },
            Edit { file: "", item: "Tensor::clone", change: Change::Begin(" go();") },
            Edit { file: "", item: "free", change: Change::Begin(" stop();") },
            Edit { file: "", item: "", change: Change::Append("mod end;") },
        ];
        let out = apply(SOURCE, &edits).unwrap();
        assert!(out.contains("enum Op { B, A }"), "{out}");
        assert!(out.contains("#[inline]\n    pub fn twice"), "{out}");
        assert!(out.contains("let x = some(); self.add(x)"), "{out}");
        assert!(out.contains("let out = (|| -> Result<Self> { f(none(), none()) })()?;"), "{out}");
        assert!(out.contains("{ go(); none() }"), "{out}");
        assert!(out.contains("{ stop(); x }"), "{out}");
        assert!(out.ends_with("mod end;"), "{out}");
        syn::parse_file(&out).unwrap();
    }

    #[test]
    fn a_place_that_is_missing_or_double_is_refused_by_name() {
        let missing = one("Tensor::thrice", Change::Begin("x();")).unwrap_err();
        assert!(missing.contains("no function `Tensor::thrice`"), "{missing}");
        let double = one("Tensor::from", Change::Begin("x();")).unwrap_err();
        assert!(double.contains("2 functions `Tensor::from`"), "{double}");
        let absent = one("Tensor::twice", Change::Replace("many()", "")).unwrap_err();
        assert!(absent.contains("`Tensor::twice` has no `many()`"), "{absent}");
        let twice = one("Tensor::again", Change::Replace("none()", "")).unwrap_err();
        assert!(twice.contains("more than once"), "{twice}");
        assert!(one("Shape", Change::Variant("B,")).unwrap_err().contains("no enum `Shape`"));
        assert!(apply("impl {", &[]).unwrap_err().contains("not Rust"));
    }
}
