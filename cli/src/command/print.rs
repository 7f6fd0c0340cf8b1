//! `airconv print IN`

use std::io::Write as _;

use airconv_api::{Registry, Report};
use airconv_ir::text::PrintOptions;

use crate::Exit;
use crate::args::Print;
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Print) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let mut out = std::io::stdout().lock();
    let printed = if args.dot {
        out.write_all(airconv_ir::graph::dot(&module, module.entry).as_bytes())
    } else {
        let options = if args.full { PrintOptions::default() } else { PrintOptions::brief() };
        airconv_ir::text::write(&module, &options, &mut out)
    };
    match printed {
        Ok(()) => Ok(()),
        // Whoever reads has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => {
            output::error(e.to_string());
            Err(Exit::System)
        }
    }
}
