//! Evaluation of the string family. Strings are bytes; where characters matter, bytes that
//! are not UTF-8 stand for themselves.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, StrBytes};
use crate::dtype::DType;
use crate::op::*;

fn strings<'a>(
    cx: &'a EvalCx<'_, '_>,
    slot: usize,
) -> Result<(&'a Array, &'a [StrBytes]), EvalError> {
    let a = cx.array(slot)?;
    match &a.data {
        Data::Str(v) => Ok((a, v)),
        _ => EvalError::failed(format!("operand {slot} is {}, not string", a.dtype)),
    }
}

/// Joins pairs of strings.
pub fn string_concat(cx: &mut EvalCx<'_, '_>, _op: &StringConcat) -> EvalResult {
    let ((x, a), (y, b)) = (strings(cx, 0)?, strings(cx, 1)?);
    if x.shape != y.shape {
        return EvalError::failed(format!("shapes {:?} and {:?} differ", x.shape, y.shape));
    }
    let joined = a.iter().zip(b).map(|(p, q)| StrBytes::from([&p[..], &q[..]].concat())).collect();
    one(Array::new(DType::String, x.shape.clone(), Data::Str(joined))?)
}

/// The parts of a string between delimiters.
fn split_at<'a>(text: &'a [u8], delimiter: &[u8], most: usize) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while parts.len() < most && at + delimiter.len() <= text.len() {
        if text[at..].starts_with(delimiter) {
            parts.push(&text[start..at]);
            at += delimiter.len();
            start = at;
        } else {
            at += 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// How many bytes of white space the text starts with.
fn leading_space(text: &[u8]) -> usize {
    let mut n = 0;
    while n < text.len() {
        let end = text.len().min(n + 4);
        let piece = &text[n..end];
        let valid = match std::str::from_utf8(piece) {
            Ok(s) => s,
            Err(e) => std::str::from_utf8(&piece[..e.valid_up_to()]).unwrap_or(""),
        };
        // Python counts the separators 1c to 1f as white space too.
        match valid.chars().next() {
            Some(c) if c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c) => {
                n += c.len_utf8();
            }
            _ => break,
        }
    }
    n
}

/// The parts of a string between runs of white space.
fn split_words(text: &[u8], most: usize) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = &text[leading_space(text)..];
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest);
            break;
        }
        let mut end = 0;
        while end < rest.len() && leading_space(&rest[end..]) == 0 {
            end += 1;
        }
        parts.push(&rest[..end]);
        rest = &rest[end..];
        rest = &rest[leading_space(rest)..];
    }
    parts
}

/// Splits strings and pads with empty ones.
pub fn string_split(cx: &mut EvalCx<'_, '_>, op: &StringSplit) -> EvalResult {
    let (x, texts) = strings(cx, 0)?;
    let most = op.maxsplit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    let parts: Vec<Vec<&[u8]>> = texts
        .iter()
        .map(|t| match op.delimiter.as_bytes() {
            [] => split_words(t, most),
            delimiter => split_at(t, delimiter, most),
        })
        .collect();
    let width = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut shape = x.shape.clone();
    shape.push(width);
    cx.check_size(DType::I64, &shape)?;
    let counts: Vec<i64> = parts.iter().map(|p| p.len() as i64).collect();
    let nothing = StrBytes::default();
    let mut out = Vec::with_capacity(parts.len().saturating_mul(width));
    for row in parts {
        out.extend(row.iter().map(|&p| StrBytes::from(p)));
        out.extend(std::iter::repeat_n(nothing.clone(), width - row.len()));
    }
    let counts = Array::new(DType::I64, x.shape.clone(), Data::I64(counts))?;
    let out = Array::new(DType::String, shape, Data::Str(out))?;
    Ok(vec![Some(out.into()), Some(counts.into())])
}

fn with_case(text: &[u8], change: CaseChange) -> StrBytes {
    let upper = match change {
        CaseChange::None => return text.into(),
        CaseChange::Upper => true,
        CaseChange::Lower => false,
    };
    match std::str::from_utf8(text) {
        Ok(s) if upper => s.to_uppercase().into_bytes().into(),
        Ok(s) => s.to_lowercase().into_bytes().into(),
        Err(_) if upper => text.to_ascii_uppercase().into(),
        Err(_) => text.to_ascii_lowercase().into(),
    }
}

/// Drops stop words and changes case.
pub fn string_normalizer(cx: &mut EvalCx<'_, '_>, op: &StringNormalizer) -> EvalResult {
    let (x, words) = strings(cx, 0)?;
    if !matches!(x.shape[..], [_] | [1, _]) {
        return EvalError::failed(format!("shape {:?} is neither [c] nor [1, c]", x.shape));
    }
    let key = |w: &[u8]| {
        if op.case_sensitive { w.into() } else { with_case(w, CaseChange::Lower) }
    };
    let stop: FxHashSet<StrBytes> = op.stopwords.iter().map(|w| key(w.as_bytes())).collect();
    let mut kept: Vec<StrBytes> = words
        .iter()
        .filter(|w| stop.is_empty() || !stop.contains(&key(w)))
        .map(|w| with_case(w, op.case_change))
        .collect();
    if kept.is_empty() {
        kept.push(StrBytes::default());
    }
    let mut shape = x.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = kept.len();
    }
    one(Array::new(DType::String, shape, Data::Str(kept))?)
}

/// The most memory that a compiled pattern may take.
const PATTERN_BYTES: usize = 16 << 20;

/// The pattern with the same meaning in the syntax of the `regex` crate. In RE2 the classes
/// `\d`, `\s`, `\w` and the word boundaries know ASCII only, `\Q` quotes up to `\E`, and within
/// brackets `[`, `&` and `~` stand for themselves.
fn from_re2(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        if c == '\\' {
            let Some(escaped) = after.chars().next() else {
                out.push(c);
                break;
            };
            rest = &after[escaped.len_utf8()..];
            match escaped {
                'd' => out.push_str("[0-9]"),
                'D' => out.push_str("[^0-9]"),
                's' => out.push_str(r"[\t\n\f\r\x20]"),
                'S' => out.push_str(r"[^\t\n\f\r\x20]"),
                'w' => out.push_str("[0-9A-Za-z_]"),
                'W' => out.push_str("[^0-9A-Za-z_]"),
                'b' | 'B' if !in_class => {
                    out.push_str("(?-u:\\");
                    out.push(escaped);
                    out.push(')');
                }
                'Q' if !in_class => {
                    let (quoted, next) = rest.split_once("\\E").unwrap_or((rest, ""));
                    out.push_str(&regex::escape(quoted));
                    rest = next;
                }
                _ => {
                    out.push(c);
                    out.push(escaped);
                }
            }
            continue;
        }
        match c {
            '[' if !in_class => {
                in_class = true;
                out.push(c);
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // A bracket that closes nothing yet stands for itself.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            '[' => match rest.strip_prefix(':').and_then(|r| r.split_once(":]")) {
                Some((name, after)) => {
                    out.push_str("[:");
                    out.push_str(name);
                    out.push_str(":]");
                    rest = after;
                }
                None => out.push_str("\\["),
            },
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            ']' => {
                in_class = false;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Whether whole strings match a pattern.
pub fn regex_full_match(cx: &mut EvalCx<'_, '_>, op: &RegexFullMatch) -> EvalResult {
    let (x, texts) = strings(cx, 0)?;
    let anchored = format!(r"\A(?:{})\z", from_re2(&op.pattern));
    let pattern = regex::bytes::RegexBuilder::new(&anchored)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .octal(true)
        .build()
        .map_err(|e| EvalError::Unsupported(format!("pattern `{}`: {e}", op.pattern)))?;
    let found = texts.iter().map(|t| pattern.is_match(t)).collect();
    one(Array::new(DType::Bool, x.shape.clone(), Data::Bool(found))?)
}

/// The n-grams of a pool, as a tree: each way from the root is an n-gram, and its end says
/// which one.
struct Grams<K> {
    nodes: Vec<(Option<usize>, FxHashMap<K, usize>)>,
}

impl<K: std::hash::Hash + Eq + Clone> Grams<K> {
    fn new() -> Self {
        Self { nodes: vec![(None, FxHashMap::default())] }
    }

    fn add(&mut self, gram: &[K], id: usize) {
        let mut at = 0;
        for item in gram {
            let next = self.nodes.len();
            at = *self.nodes[at].1.entry(item.clone()).or_insert(next);
            if at == next {
                self.nodes.push((None, FxHashMap::default()));
            }
        }
        self.nodes[at].0 = Some(id);
    }

    /// The n-grams of a pool that has those of length 1 first, then those of length 2 ...
    fn from_pool(pool: &[K], op: &TfidfVectorizer) -> Result<Self, EvalError> {
        let mut grams = Self::new();
        let mut id = 0;
        for (i, &start) in op.ngram_counts.iter().enumerate() {
            let n = i + 1;
            let end = op.ngram_counts.get(n).copied().unwrap_or(pool.len() as i64);
            let part = match (usize::try_from(start), usize::try_from(end)) {
                (Ok(s), Ok(e)) if s <= e => pool.get(s..e),
                _ => None,
            };
            let Some(part) = part else {
                return EvalError::failed(format!("n-grams from {start} to {end} of the pool"));
            };
            for gram in part.chunks_exact(n) {
                if n as i64 >= op.min_gram_length && n as i64 <= op.max_gram_length {
                    grams.add(gram, id);
                }
                id += 1;
            }
        }
        Ok(grams)
    }

    /// Calls `found` for each n-gram of a row.
    fn count(&self, row: &[K], op: &TfidfVectorizer, found: &mut dyn FnMut(usize)) {
        let least = usize::try_from(op.min_gram_length).unwrap_or(usize::MAX);
        let most = usize::try_from(op.max_gram_length).unwrap_or(usize::MAX);
        let mut shortest = least;
        // Distances at which no n-gram of two items fits find nothing that the first did not.
        let distances = usize::try_from(op.max_skip_count).unwrap_or(0).min(row.len());
        for distance in 1..=distances + 1 {
            for start in 0..row.len() {
                if start + distance.saturating_mul(shortest - 1) >= row.len() {
                    break;
                }
                let mut at = 0;
                let items = row[start..].iter().step_by(distance).take(most).enumerate();
                for (i, item) in items {
                    match self.nodes[at].1.get(item) {
                        Some(&next) => at = next,
                        None => break,
                    }
                    if i + 1 >= shortest
                        && let Some(id) = self.nodes[at].0
                    {
                        found(id);
                    }
                }
            }
            // A single item is the same at every distance.
            if shortest == 1 {
                shortest = 2;
                if shortest > most {
                    break;
                }
            }
        }
    }
}

/// Counts or weights of n-grams.
pub fn tfidf_vectorizer(cx: &mut EvalCx<'_, '_>, op: &TfidfVectorizer) -> EvalResult {
    let x = cx.array(0)?;
    let top = op.ngram_indexes.iter().max().and_then(|&i| usize::try_from(i).ok());
    let Some(width) = top.and_then(|i| i.checked_add(1)) else {
        return EvalError::failed("no output position is given");
    };
    let (rows, items) = match x.shape[..] {
        [] => (1, 1),
        [c] => (1, c),
        [b, c] => (b, c),
        _ => return EvalError::failed(format!("shape {:?} has more than 2 axes", x.shape)),
    };
    let shape = if x.rank() == 2 { vec![rows, width] } else { vec![width] };
    cx.check_size(DType::F32, &shape)?;

    let mut counts = vec![0f32; rows.saturating_mul(width)];
    fn fill<K: std::hash::Hash + Eq + Clone>(
        pool: &[K],
        data: &[K],
        items: usize,
        op: &TfidfVectorizer,
        rows: std::slice::ChunksExactMut<'_, f32>,
    ) -> Result<(), EvalError> {
        let grams = Grams::from_pool(pool, op)?;
        let mut lost = false;
        for (i, out) in rows.enumerate() {
            grams.count(&data[i * items..(i + 1) * items], op, &mut |id| {
                let place = op.ngram_indexes.get(id).and_then(|&i| usize::try_from(i).ok());
                match place.and_then(|p| out.get_mut(p)) {
                    Some(n) => *n += 1.0,
                    None => lost = true,
                }
            });
        }
        if lost { EvalError::failed("an n-gram has no output position") } else { Ok(()) }
    }
    if let Data::Str(data) = &x.data {
        let pool: Vec<StrBytes> = op.pool_strings.iter().map(|s| s.as_bytes().into()).collect();
        fill(&pool, data, items, op, counts.chunks_exact_mut(width))?;
    } else if let Some(data) = x.to_i64s() {
        fill(&op.pool_int64s, &data, items, op, counts.chunks_exact_mut(width))?;
    } else {
        return Err(EvalError::Unsupported(format!("tfidf_vectorizer of {}", x.dtype)));
    }
    // Each position counts one n-gram of the pool, and has its weight.
    let mut weights = vec![1f32; width];
    for (&place, weight) in op.ngram_indexes.iter().zip(&op.weights) {
        if let Some(w) = usize::try_from(place).ok().and_then(|p| weights.get_mut(p)) {
            *w = weight.0 as f32;
        }
    }
    let weight = |i: usize| weights.get(i % width).copied().unwrap_or(1.0);
    for (i, n) in counts.iter_mut().enumerate() {
        *n = match op.mode {
            TfIdfMode::Tf => *n,
            TfIdfMode::Idf if *n > 0.0 => weight(i),
            TfIdfMode::Idf => 0.0,
            TfIdfMode::TfIdf => *n * weight(i),
        };
    }
    one(Array::new(DType::F32, shape, Data::F32(counts))?)
}

#[cfg(test)]
mod tests {
    use super::from_re2;

    #[test]
    fn patterns_keep_their_meaning() {
        assert_eq!(from_re2(r"\d+[^\W]"), "[0-9]+[^[^0-9A-Za-z_]]");
        assert_eq!(from_re2(r"[][&~]x]"), r"[\]\[\&\~]x]");
        assert_eq!(from_re2(r"[[:alpha:]\]]\Qa.b\E."), r"[[:alpha:]\]]a\.b.");
        assert_eq!(from_re2(r"\bx\\"), r"(?-u:\b)x\\");
    }
}
