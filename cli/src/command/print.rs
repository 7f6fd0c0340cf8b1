//! `airconv print IN`

use std::io::Write;

use airconv_api::{Registry, Report};
use airconv_ir::text::PrintOptions;
use serde_json::json;

use crate::Exit;
use crate::args::Print;
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Print) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let print = |out: &mut dyn Write| {
        if args.dot {
            return out.write_all(airconv_ir::graph::dot(&module, module.entry).as_bytes());
        }
        let options = if args.full { PrintOptions::default() } else { PrintOptions::brief() };
        airconv_ir::text::write(&module, &options, out)
    };
    if !args.common.json {
        output::put(print);
        return Ok(());
    }
    let mut text = Vec::new();
    print(&mut text).map_err(|e| output::system(e.to_string()))?;
    output::json(&json!({ "text": String::from_utf8_lossy(&text) }));
    Ok(())
}
