//! `airconv print IN`

use airconv_api::{Registry, Report};

use crate::Exit;
use crate::args::Input;
use crate::{output, session};

pub(crate) fn run(registry: &Registry, args: &Input) -> Result<(), Exit> {
    let mut report = Report::default();
    let module = session::read(registry, &args.input, &args.reading, &args.common, &mut report)?;
    output::report(&report, &args.common);
    let text = airconv_ir::text::print(&module, &airconv_ir::text::PrintOptions::default());
    output::line(text.trim_end());
    Ok(())
}
