//! `airconv print IN`

use airconv_api::{Registry, Report};
use airconv_ir::text::PrintOptions;

use crate::Exit;
use crate::args::Print;
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Print) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let options = if args.full { PrintOptions::default() } else { PrintOptions::brief() };
    match airconv_ir::text::write(&module, &options, &mut std::io::stdout().lock()) {
        Ok(()) => Ok(()),
        // Whoever reads has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => {
            output::error(e.to_string());
            Err(Exit::System)
        }
    }
}
