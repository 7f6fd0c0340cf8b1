//! `airconv support [CONVERTER]`

use airconv_api::{Registry, Support as How, SupportRow};
use serde_json::json;

use crate::Exit;
use crate::args::Support;
use crate::output;

pub(crate) fn run(registry: &Registry, args: &Support) -> Result<(), Exit> {
    let wanted = |name: &str| args.converter.as_deref().is_none_or(|c| c == name);
    let mut tables: Vec<(&str, &str, Vec<SupportRow>)> = Vec::new();
    for r in registry.readers().filter(|r| wanted(r.format())) {
        tables.push((r.format(), "reads", r.support()));
    }
    for w in registry.writers().filter(|w| wanted(w.format())) {
        tables.push((w.format(), "writes", w.support()));
    }
    if tables.is_empty() {
        let mut known: Vec<&str> = registry.readers().map(|r| r.format()).collect();
        known.extend(registry.writers().map(|w| w.format()));
        known.sort_unstable();
        known.dedup();
        output::error(format!(
            "there is no converter of that name; there are {}",
            known.join(", ")
        ));
        return Err(Exit::Usage);
    }
    if args.common.json {
        let all: Vec<_> = tables
            .iter()
            .map(|(format, direction, rows)| {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|r| {
                        json!({
                            "source": r.source, "hub": r.hub.map(|k| k.name()),
                            "support": how(&r.support), "notes": r.notes,
                        })
                    })
                    .collect();
                json!({ "format": format, "direction": direction, "ops": rows })
            })
            .collect();
        output::json(&json!(all));
        return Ok(());
    }
    for (format, direction, rows) in tables {
        if rows.is_empty() {
            output::line(format!("{format} {direction} every op"));
            continue;
        }
        output::line(format!("{format} {direction}:"));
        for r in &rows {
            let hub = r.hub.map_or("", |k| k.name());
            output::line(
                format!("  {:40} {:28} {:12} {}", r.source, hub, how(&r.support), r.notes)
                    .trim_end(),
            );
        }
        output::line(format!("{} rows", rows.len()));
    }
    Ok(())
}

fn how(support: &How) -> String {
    match support {
        How::Native => "native".to_owned(),
        How::Decomposed => "decomposed".to_owned(),
        How::No(why) => format!("no: {why}"),
    }
}
