//! The report of a conversion as a page: one file, no scripts, nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use airconv_api::{Diagnostic, LedgerEntry, LedgerKind, Severity};
use airconv_ir::pass::Rewrite;
use airconv_ir::pass::pipeline::all_passes;

use crate::Exit;
use crate::conversion::{Conversion, Side};
use crate::facts::size;

const STYLE: &str = include_str!("page.css");
/// The most rewrites of one pass for one reason that are shown; JSON has them all.
const SHOWN: usize = 100;
/// The most characters of a line of the program that are shown.
const LONGEST: usize = 2000;

/// Text that stands for itself in HTML. Characters that would not be seen, or that change the
/// direction of what follows, are written as their numbers.
struct Esc<'a>(&'a str);

impl Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' => f.write_str("\n")?,
                '\t' => f.write_str(" ")?,
                '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    write!(f, "{{U+{:04X}}}", c as u32)?;
                }
                c if c.is_control() => write!(f, "{{U+{:04X}}}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Escaped text in which what stands in backticks is code.
struct Prose<'a>(&'a str);

impl Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.0.split('`').collect();
        if parts.len().is_multiple_of(2) {
            return Esc(self.0).fmt(f);
        }
        for (i, part) in parts.into_iter().enumerate() {
            match i % 2 {
                0 => Esc(part).fmt(f)?,
                _ => write!(f, "<code>{}</code>", Esc(part))?,
            }
        }
        Ok(())
    }
}

/// A number with its digits in groups of three.
fn grouped(n: impl Display) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// A count with its noun.
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// The page of a conversion. The same conversion gives the same bytes.
pub(crate) fn render(made: &Conversion) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = page(&mut out, made);
    out
}

fn page(out: &mut String, made: &Conversion) -> fmt::Result {
    let title = format!("{} \u{2192} {}", file_name(&made.input), file_name(&made.output));
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        Esc(&title)
    )?;
    header(out, made)?;
    flow(out, made)?;
    diagnostics(out, &made.report.diagnostics)?;
    ledger(out, &made.report.ledger.entries)?;
    signature(out, made)?;
    ops(out, made)?;
    rewrites(out, made)?;
    declined(out, made)?;
    write!(
        out,
        "<footer>Written by airconv {}. The same conversion gives the same page. \
         <code>--report FILE.json</code> holds the same facts for programs.</footer>\n\
         </main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn file_name(side: &Side) -> &str {
    side.path.rsplit(['/', '\\']).next().unwrap_or(&side.path)
}

fn header(out: &mut String, made: &Conversion) -> fmt::Result {
    let lossy = made.report.ledger.entries.iter().filter(|e| e.kind == LedgerKind::Lossy).count();
    let (class, word) = match made.failed {
        None if lossy > 0 => ("lossy", "converted with loss"),
        None => ("good", "converted"),
        Some(Exit::Malformed) => ("bad", "the input is malformed"),
        Some(Exit::Unsupported) => ("bad", "not supported"),
        Some(_) => ("bad", "failed"),
    };
    let verdict = match (made.failed, lossy) {
        (Some(_), _) => "Nothing was written.".to_owned(),
        (None, 0) => match made.report.ledger.entries.iter().map(|e| e.count).sum() {
            0 => "Nothing was lost, and no op changed its form for the target.".to_owned(),
            n => format!("Nothing was lost; {} of form.", count(n, "change", "changes")),
        },
        (None, n) => format!("{} allowed.", count(n as u64, "lossy step was", "lossy steps were")),
    };
    write!(
        out,
        "<header>\n<div class=\"over\">Conversion report</div>\n\
         <h1>{} <span class=\"arrow\">&rarr;</span> {}</h1>\n\
         <div class=\"verdict\"><span class=\"pill {class}\">{word}</span> <span>{verdict}</span>\
         </div>\n</header>\n",
        Esc(file_name(&made.input)),
        Esc(file_name(&made.output)),
    )
}

/// What came in, what was done, what went out.
fn flow(out: &mut String, made: &Conversion) -> fmt::Result {
    out.push_str("<div class=\"flow\">\n");
    side(out, "read", &made.input, None)?;
    out.push_str("<div class=\"to\">&rarr;</div>\n");
    let rewrites = made.passes.applied();
    let ran = made.summary.passes.values().filter(|p| p.runs > 0).count() as u64;
    let left: u64 = made.passes.declined.values().map(|d| d.count).sum();
    write!(
        out,
        "<div class=\"card\"><div class=\"step\">optimised</div><div class=\"name\">{}</div><dl>\n\
         <dt>passes</dt><dd>{}</dd>\n<dt>rounds</dt><dd>{}</dd>\n<dt>rewrites</dt><dd>{}</dd>\n\
         <dt>left as they were</dt><dd>{}</dd>\n</dl></div>\n",
        match made.opt.as_str() {
            "none" | "" => "not asked for".to_owned(),
            list => format!("<code>--opt {}</code>", Esc(list)),
        },
        grouped(ran),
        grouped(made.summary.rounds),
        grouped(rewrites),
        grouped(left),
    )?;
    out.push_str("<div class=\"to\">&rarr;</div>\n");
    let word = if made.failed.is_some() { "to be written" } else { "written" };
    side(out, word, &made.output, made.input.facts.as_ref().map(|f| f.nodes))?;
    out.push_str("</div>\n");
    Ok(())
}

fn side(out: &mut String, step: &str, side: &Side, before: Option<usize>) -> fmt::Result {
    write!(
        out,
        "<div class=\"card\"><div class=\"step\">{step}</div><div class=\"name\">{}</div><dl>\n\
         <dt>format</dt><dd>{}</dd>\n",
        Esc(&side.path),
        Esc(if side.format.is_empty() { "not known" } else { &side.format }),
    )?;
    let opsets: Vec<String> = side
        .opsets
        .iter()
        .map(|(domain, v)| match domain.as_str() {
            "onnx" => v.to_string(),
            other => format!("{} {v}", other.strip_prefix("onnx:").unwrap_or(other)),
        })
        .collect();
    if !opsets.is_empty() {
        writeln!(out, "<dt>opset</dt><dd>{}</dd>", Esc(&opsets.join(", ")))?;
    }
    if let Some(bytes) = side.bytes {
        writeln!(out, "<dt>file</dt><dd>{}</dd>", size(bytes))?;
    }
    if let Some(facts) = &side.facts {
        write!(
            out,
            "<dt>weights</dt><dd>{}</dd>\n<dt>parameters</dt><dd>{}</dd>\n<dt>nodes</dt><dd>{}",
            size(facts.bytes),
            grouped(facts.parameters),
            grouped(facts.nodes)
        )?;
        if let Some(before) = before.filter(|&b| b > 0 && b != facts.nodes) {
            let change = (facts.nodes as f64 / before as f64 - 1.0) * 100.0;
            let class = if change < 0.0 { "down" } else { "up" };
            write!(out, " <span class=\"{class}\">({change:+.0} %)</span>")?;
        }
        out.push_str("</dd>\n");
    }
    out.push_str("</dl></div>\n");
    Ok(())
}

fn section(out: &mut String, title: &str, many: Option<u64>, about: &str) -> fmt::Result {
    write!(out, "<section>\n<h2>{title}")?;
    if let Some(n) = many {
        write!(out, "<span class=\"many\">{}</span>", grouped(n))?;
    }
    writeln!(out, "</h2>\n<p>{about}</p>\n<div class=\"sheet\">")
}

fn close(out: &mut String) {
    out.push_str("</div>\n</section>\n");
}

fn none(out: &mut String, text: &str) -> fmt::Result {
    writeln!(out, "<div class=\"none\">{text}</div>")
}

/// A line of a program, cut where nobody reads on.
fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{} \u{2026}", &line[..at]),
        None => line.to_owned(),
    }
}

fn diagnostics(out: &mut String, all: &[Diagnostic]) -> fmt::Result {
    section(
        out,
        "Diagnostics",
        Some(all.len() as u64),
        "What was said while reading, checking and writing, the worst first.",
    )?;
    if all.is_empty() {
        none(out, "There was nothing to say.")?;
    }
    let mut sorted: Vec<&Diagnostic> = all.iter().collect();
    sorted.sort_by_key(|d| std::cmp::Reverse(d.severity));
    for d in sorted {
        let class = match d.severity {
            Severity::Error => "bad",
            Severity::Lossy => "lossy",
            Severity::Warning => "warn",
            Severity::Note => "note",
        };
        writeln!(
            out,
            "<div class=\"entry\"><div class=\"head\"><span class=\"pill {class}\">{}</span>\
             <code>{}</code></div><p class=\"what\">{}</p>",
            d.severity,
            Esc(&d.code),
            Prose(&d.message)
        )?;
        for place in &d.at {
            writeln!(out, "<div class=\"place\">{}</div>", Prose(place))?;
        }
        if let Some(line) = &d.line {
            writeln!(out, "<pre class=\"line\">{}</pre>", Esc(&cut(line)))?;
        }
        if let Some(help) = &d.help {
            writeln!(out, "<div class=\"help\"><b>help</b> {}</div>", Prose(help))?;
        }
        out.push_str("</div>\n");
    }
    close(out);
    Ok(())
}

fn ledger(out: &mut String, all: &[LedgerEntry]) -> fmt::Result {
    section(
        out,
        "Ledger",
        Some(all.iter().map(|e| e.count).sum()),
        "What changed on the way beyond spelling. Structural changes keep the numbers; lossy ones \
         were allowed by name.",
    )?;
    if all.is_empty() {
        none(out, "Nothing was lost and nothing changed its form.")?;
    }
    let mut sorted: Vec<&LedgerEntry> = all.iter().collect();
    sorted.sort_by_key(|e| e.kind != LedgerKind::Lossy);
    for e in sorted {
        let (class, kind) = match e.kind {
            LedgerKind::Structural => ("note", "structural"),
            LedgerKind::Lossy => ("lossy", "lossy"),
        };
        writeln!(
            out,
            "<div class=\"entry\"><div class=\"head\"><span class=\"pill {class}\">{kind}</span>\
             <code>{}</code><span class=\"times\">{}</span></div><p class=\"what\">{}</p>",
            Esc(&e.name),
            count(e.count, "time", "times"),
            Prose(&e.message)
        )?;
        if !e.first.is_empty() {
            writeln!(out, "<div class=\"place\">{}</div>", Prose(&e.first))?;
        }
        out.push_str("</div>\n");
    }
    close(out);
    Ok(())
}

fn signature(out: &mut String, made: &Conversion) -> fmt::Result {
    let Some(facts) = made.output.facts.as_ref().or(made.input.facts.as_ref()) else {
        return Ok(());
    };
    let sizes = match facts.symbols.as_slice() {
        [] => "All sizes are fixed.".to_owned(),
        some => format!("Sizes that stay open: <code>{}</code>.", Esc(&some.join(", "))),
    };
    section(out, "Inputs and outputs", None, &sizes)?;
    out.push_str("<div class=\"scroll\"><table>\n<tr><th></th><th>name</th><th>type</th></tr>\n");
    for (what, list) in [("input", &facts.inputs), ("output", &facts.outputs)] {
        for (name, ty) in list {
            writeln!(
                out,
                "<tr><td class=\"flat\">{what}</td><td class=\"any\"><code>{}</code></td>\
                 <td class=\"any\"><code>{}</code></td></tr>",
                Esc(name),
                Esc(ty)
            )?;
        }
    }
    out.push_str("</table></div>\n");
    close(out);
    Ok(())
}

fn ops(out: &mut String, made: &Conversion) -> fmt::Result {
    let Some(before) = made.input.facts.as_ref() else { return Ok(()) };
    let mut rows: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    before.all_ops().into_iter().for_each(|(op, n)| rows.entry(op).or_default().0 = n);
    // Without a second look the passes did not come to an end.
    let after = made.output.facts.as_ref().unwrap_or(before);
    after.all_ops().into_iter().for_each(|(op, n)| rows.entry(op).or_default().1 = n);
    let most = rows.values().map(|(a, b)| *a.max(b)).max().unwrap_or(1).max(1);
    let mut rows: Vec<(&str, (usize, usize))> = rows.into_iter().collect();
    rows.sort_by_key(|&(op, (a, b))| (std::cmp::Reverse(a.max(b)), op));
    section(
        out,
        "Ops",
        None,
        "<span class=\"key\"></span>as read<span class=\"key now\"></span>as given to the writer",
    )?;
    out.push_str(
        "<div class=\"scroll\"><table class=\"ops\">\n<tr><th>op</th><th class=\"n\">before</th>\
         <th class=\"n\">after</th><th class=\"n\">change</th><th class=\"bars\"></th></tr>\n",
    );
    for (op, (a, b)) in rows {
        let (class, change) = match b.cmp(&a) {
            std::cmp::Ordering::Less => ("down", format!("\u{2212}{}", grouped(a - b))),
            std::cmp::Ordering::Greater => ("up", format!("+{}", grouped(b - a))),
            std::cmp::Ordering::Equal => ("flat", "=".to_owned()),
        };
        let bar = |n: usize, class: &str| match n {
            0 => format!("<div class=\"bar {class}\" style=\"visibility:hidden\"></div>"),
            n => {
                let wide = n as f64 / most as f64 * 100.0;
                format!("<div class=\"bar {class}\" style=\"width:{wide:.1}%\"></div>")
            }
        };
        writeln!(
            out,
            "<tr><td class=\"any\"><code>{}</code></td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n {class}\">{change}</td>\
             <td class=\"bars\">{}{}</td></tr>",
            Esc(op),
            grouped(a),
            grouped(b),
            bar(a, ""),
            bar(b, "now")
        )?;
    }
    out.push_str("</table></div>\n");
    close(out);
    Ok(())
}

fn rewrites(out: &mut String, made: &Conversion) -> fmt::Result {
    section(
        out,
        "Rewrites",
        Some(made.passes.applied()),
        "What each pass did and why, with the nodes that went and those that came.",
    )?;
    if made.summary.passes.is_empty() {
        none(out, "No pass ran.")?;
    }
    let docs: BTreeMap<&str, &str> = all_passes().iter().map(|p| (p.name(), p.doc())).collect();
    // In the order of their first rewrite; those without any come last.
    let mut passes: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<(&str, &str), Vec<&Rewrite>> = BTreeMap::new();
    for r in &made.passes.log {
        if !passes.contains(&r.pass) {
            passes.push(r.pass);
        }
        groups.entry((r.pass, r.reason)).or_default().push(r);
    }
    let idle = made.summary.passes.keys().filter(|p| !passes.contains(p)).copied();
    let all: Vec<&str> = passes.iter().copied().chain(idle.collect::<Vec<_>>()).collect();
    for pass in all {
        let summary = made.summary.passes.get(pass).cloned().unwrap_or_default();
        let about = docs.get(pass).copied().unwrap_or("");
        if summary.rewrites == 0 {
            let why = summary.declined.as_deref().unwrap_or("nothing to do");
            writeln!(
                out,
                "<div class=\"entry\"><div class=\"head\"><code>{}</code>\
                 <span class=\"times\">{}</span></div></div>",
                Esc(pass),
                Prose(why)
            )?;
            continue;
        }
        writeln!(
            out,
            "<details><summary><code>{}</code><span class=\"about\">{}</span>\
             <span class=\"times\">{}</span></summary>",
            Esc(pass),
            Prose(about),
            count(summary.rewrites, "rewrite", "rewrites")
        )?;
        let mut kinds: Vec<(&str, &Vec<&Rewrite>)> =
            groups.iter().filter(|((p, _), _)| *p == pass).map(|((_, r), l)| (*r, l)).collect();
        kinds.sort_by_key(|(reason, list)| (std::cmp::Reverse(list.len()), *reason));
        for (reason, list) in kinds {
            reason_group(out, reason, list)?;
        }
        out.push_str("</details>\n");
    }
    close(out);
    Ok(())
}

/// The rewrites of one pass for one reason.
fn reason_group(out: &mut String, reason: &str, list: &[&Rewrite]) -> fmt::Result {
    writeln!(
        out,
        "<details><summary><span>{}</span><span class=\"times\">{}</span></summary>",
        Prose(reason),
        grouped(list.len())
    )?;
    for r in list.iter().take(SHOWN) {
        write!(out, "<div class=\"rewrite\"><span class=\"number\">#{}</span> ", r.number)?;
        if let Some(place) = &r.place {
            write!(out, "<span class=\"place\">{}</span>", Prose(place))?;
        }
        out.push_str("<div class=\"diff mono\">");
        for (class, lines) in [("minus", &r.before), ("plus", &r.after)] {
            for line in lines {
                write!(out, "<div class=\"{class}\">{}</div>", Esc(&cut(line)))?;
            }
        }
        out.push_str("</div></div>\n");
    }
    if list.len() > SHOWN {
        writeln!(
            out,
            "<div class=\"more\">and {} more like these</div>",
            grouped(list.len() - SHOWN)
        )?;
    }
    out.push_str("</details>\n");
    Ok(())
}

fn declined(out: &mut String, made: &Conversion) -> fmt::Result {
    let all = &made.passes.declined;
    section(
        out,
        "Declined",
        Some(all.values().map(|d| d.count).sum()),
        "What a pass looked at and left as it was, and why.",
    )?;
    if all.is_empty() {
        none(out, "No pass left anything that it looked for.")?;
    }
    let mut sorted: Vec<_> = all.iter().collect();
    sorted.sort_by_key(|((pass, why), d)| (*pass, std::cmp::Reverse(d.count), why.as_str()));
    for ((pass, why), d) in sorted {
        writeln!(
            out,
            "<div class=\"entry\"><div class=\"head\"><code>{}</code><span>{}</span>\
             <span class=\"times\">{}</span></div>",
            Esc(pass),
            Prose(why),
            count(d.count, "time", "times")
        )?;
        if !d.first.is_empty() {
            writeln!(out, "<div class=\"place\">{}</div>", Prose(&cut(&d.first)))?;
        }
        out.push_str("</div>\n");
    }
    close(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use airconv_ir::pass::{PassCx, PassOptions};

    use super::*;

    #[test]
    fn nothing_in_a_name_is_markup() {
        let mut made = Conversion {
            input: Side::new(Path::new("a<b>&\"'.onnx"), "onnx"),
            output: Side::new(Path::new("\u{202e}out.ir"), "ir"),
            passes: PassCx::new(PassOptions::default()),
            ..Conversion::default()
        };
        made.report.push(
            Diagnostic::warning("x", "<script>alert(1)</script>").at("</div>").line("a\u{7}b"),
        );
        made.report.structural("<i>", "<img src=x>", "&lt;");
        let page = render(&made);
        for bad in ["<script", "<img", "<i>", "a<b>", "\u{202e}", "\u{7}"] {
            assert!(!page.contains(bad), "{bad:?} stands in the page");
        }
        assert!(page.contains("a&lt;b&gt;&amp;&quot;&#39;.onnx"));
        assert!(page.contains("&amp;lt;"));
        assert_eq!(page, render(&made), "the same bytes again");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(1234567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
    }
}
