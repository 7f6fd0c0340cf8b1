//! What a person or a program sees. Results go to stdout, diagnostics to stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use airconv_api::compare::Distance;
use airconv_api::{Diagnostic, LedgerKind, Report, Severity};
use airconv_ir::pass::{PassCx, Rewrite};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::Exit;
use crate::args::Common;

/// Why results could not be printed, from where that was so.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Whether errors of the program itself are printed as JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes [`error`] print JSON, or text.
pub(crate) fn as_json(json: bool) {
    AS_JSON.store(json, Ordering::Relaxed);
}

/// Whether it does.
pub(crate) fn is_json() -> bool {
    AS_JSON.load(Ordering::Relaxed)
}

/// Prints results; once that fails, no more is printed.
pub(crate) fn put(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    if lost.is_none() {
        *lost = print(&mut io::stdout().lock()).err();
    }
}

/// Ends the results: an error when they did not all arrive. One that reads them and has seen enough
/// makes none.
pub(crate) fn finish() -> Result<(), Exit> {
    put(|out| out.flush());
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    match lost {
        None => Ok(()),
        Some(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Some(e) => {
            error(format!("the results could not be printed: {e}"));
            Err(Exit::System)
        }
    }
}

/// Prints a line of a result.
pub(crate) fn line(text: impl AsRef<str>) {
    put(|_| writeln!(anstream::stdout(), "{}", text.as_ref()));
}

/// What became of something between two programs.
#[derive(Clone, Copy)]
pub(crate) enum Mark {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// It is another one.
    Changed,
}

/// Prints a line of a result with a coloured mark before it.
pub(crate) fn marked(mark: Mark, text: &str) {
    let (sign, color) = match mark {
        Mark::Added => ('+', AnsiColor::Green),
        Mark::Removed => ('-', AnsiColor::Red),
        Mark::Changed => ('~', AnsiColor::Yellow),
    };
    let style = Style::new().fg_color(Some(color.into()));
    line(format!("{style}{sign}{style:#} {text}"));
}

/// Prints a result as JSON.
pub(crate) fn json(value: &Value) {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    line(text);
}

/// Prints an error of the program itself.
pub(crate) fn error(text: impl AsRef<str>) {
    if is_json() {
        let mut report = Report::default();
        report.error("airconv", text.as_ref());
        let _ = writeln!(anstream::stderr(), "{}", report_json(&report));
        return;
    }
    let style = style(Severity::Error);
    let _ = writeln!(anstream::stderr(), "{style}error{style:#}: {}", text.as_ref());
}

fn style(severity: Severity) -> Style {
    let color = match severity {
        Severity::Error => AnsiColor::Red,
        Severity::Lossy => AnsiColor::Magenta,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Cyan,
    };
    Style::new().bold().fg_color(Some(color.into()))
}

/// Prints diagnostics, and the ledger when asked to say more.
pub(crate) fn report(report: &Report, common: &Common) {
    let mut err = anstream::stderr();
    if common.json {
        if !report.diagnostics.is_empty() {
            let _ = writeln!(err, "{}", report_json(report));
        }
        return;
    }
    for d in &report.diagnostics {
        let wanted = match d.severity {
            Severity::Error | Severity::Lossy => true,
            Severity::Warning => !common.quiet,
            Severity::Note => common.verbose,
        };
        if wanted {
            diagnostic(&mut err, d);
        }
    }
    for e in &report.ledger.entries {
        if common.verbose || (e.kind == LedgerKind::Lossy && !common.quiet) {
            let kind = match e.kind {
                LedgerKind::Structural => "change",
                LedgerKind::Lossy => "lossy",
            };
            let times = if e.count > 1 { format!(" ({} times)", e.count) } else { String::new() };
            let _ = writeln!(err, "{kind}[{}]: {}{times}", e.name, e.message);
        }
    }
}

fn diagnostic(err: &mut impl Write, d: &Diagnostic) {
    let (s, dim) = (style(d.severity), Style::new().dimmed());
    let _ = writeln!(err, "{s}{}{s:#}[{}]: {}", d.severity, d.code, d.message);
    for place in &d.at {
        let _ = writeln!(err, "  {dim}at{dim:#} {place}");
    }
    if let Some(line) = &d.line {
        let under = "^".repeat(line.chars().count().min(100));
        let _ = writeln!(err, "  {dim}|{dim:#} {line}\n  {dim}|{dim:#} {s}{under}{s:#}");
    }
    if let Some(help) = &d.help {
        let _ = writeln!(err, "  {dim}help:{dim:#} {help}");
    }
}

/// Prints an error of the command line and gives its exit code.
pub(crate) fn usage(text: impl AsRef<str>) -> Exit {
    error(text);
    Exit::Usage
}

/// Prints an error of the system and gives its exit code.
pub(crate) fn system(text: impl AsRef<str>) -> Exit {
    error(text);
    Exit::System
}

/// A distance on one line.
pub(crate) fn distance(d: &Distance) -> String {
    if let Some(s) = &d.structural {
        return s.clone();
    }
    let ulp = d.max_ulp.map_or(String::new(), |u| format!("  ulp {u}"));
    let of = |count: u64, what: &str| match count {
        0 => String::new(),
        count => format!("  {count} of {} {what}", d.elements),
    };
    let (outside, nan) = (of(d.outside, "outside"), of(d.nan, "NaN on both sides"));
    format!("max abs {:.3e}  max rel {:.3e}{ulp}{outside}{nan}", d.max_abs, d.max_rel)
}

/// Prints how far outputs are from those that are right.
pub(crate) fn rows(rows: &[(String, Distance)]) {
    for (name, d) in rows {
        let mark = if d.agrees() { "ok  " } else { "FAR " };
        line(format!("{mark} {name}: {}", distance(d)));
    }
}

/// A distance as JSON.
pub(crate) fn distance_json(d: &Distance) -> Value {
    let finite = |v: f64| v.is_finite().then_some(v);
    json!({
        "agrees": d.agrees(), "elements": d.elements, "outside": d.outside, "nan": d.nan,
        "max_abs": finite(d.max_abs), "max_rel": finite(d.max_rel), "max_ulp": d.max_ulp,
        "structural": d.structural,
    })
}

/// How far outputs are from those that are right, as JSON.
pub(crate) fn rows_json(rows: &[(String, Distance)]) -> Vec<Value> {
    rows.iter()
        .map(|(name, d)| {
            let mut value = distance_json(d);
            value["name"] = json!(name);
            value
        })
        .collect()
}

/// A rewrite of the log as lines.
pub(crate) fn rewrite(e: &Rewrite) {
    let place = e.place.as_deref().unwrap_or("");
    line(format!("#{} {}: {} {place}", e.number, e.pass, e.reason));
    e.before.iter().for_each(|l| line(format!("  - {l}")));
    e.after.iter().for_each(|l| line(format!("  + {l}")));
}

/// A report as JSON: `diagnostics` and `ledger`.
pub(crate) fn report_json(report: &Report) -> Value {
    let diagnostics: Vec<Value> = report
        .diagnostics
        .iter()
        .map(|d| {
            json!({
                "severity": d.severity.to_string(), "code": d.code, "message": d.message,
                "at": d.at, "line": d.line, "help": d.help,
            })
        })
        .collect();
    let ledger: Vec<Value> = report
        .ledger
        .entries
        .iter()
        .map(|e| {
            let kind = match e.kind {
                LedgerKind::Structural => "structural",
                LedgerKind::Lossy => "lossy",
            };
            json!({
                "kind": kind, "name": e.name, "message": e.message,
                "first": e.first, "count": e.count,
            })
        })
        .collect();
    json!({ "diagnostics": diagnostics, "ledger": ledger })
}

/// The rewrites of a run as JSON.
pub(crate) fn rewrites_json(cx: &PassCx) -> Vec<Value> {
    cx.log.iter().map(rewrite_json).collect()
}

/// A rewrite of the log as JSON.
pub(crate) fn rewrite_json(e: &Rewrite) -> Value {
    json!({
        "number": e.number, "pass": e.pass, "function": e.func, "place": e.place,
        "before": e.before, "after": e.after, "reason": e.reason, "bytes": e.bytes,
    })
}

/// What passes left as it was, as JSON.
pub(crate) fn declined_json(cx: &PassCx) -> Vec<Value> {
    cx.declined
        .iter()
        .map(|((pass, reason), d)| {
            json!({ "pass": pass, "reason": reason, "count": d.count, "first": d.first })
        })
        .collect()
}

/// A sign of life on a terminal for what takes longer than half a second.
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Starts one, unless output is not for a person.
    pub fn start(what: &str, common: &Common) -> Self {
        if common.quiet || common.json || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(Some(bar))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
