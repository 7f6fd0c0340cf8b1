//! What is reported of a conversion, as JSON or as a page.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use airconv_api::Report;
use airconv_api::files::write_whole;
use airconv_ir::module::Module;
use airconv_ir::pass::{PassCx, Summary};
use serde_json::{Value, json};

use crate::Exit;
use crate::facts::Facts;
use crate::{output, page};

/// A conversion as far as it came.
#[derive(Default)]
pub(crate) struct Conversion {
    /// What was read.
    pub input: Side,
    /// What was written.
    pub output: Side,
    /// The list of passes that was asked for.
    pub opt: String,
    /// Rewrites, and what was left as it was.
    pub passes: PassCx,
    /// What each pass did.
    pub summary: Summary,
    /// Diagnostics and the ledger.
    pub report: Report,
    /// How it ended, when it did not succeed.
    pub failed: Option<Exit>,
}

/// One end of a conversion.
#[derive(Default)]
pub(crate) struct Side {
    /// The file, as the command line names it.
    pub path: String,
    /// The name of the format.
    pub format: String,
    /// Bytes of the file and of those that belong to it.
    pub bytes: Option<u64>,
    /// The operator sets.
    pub opsets: BTreeMap<String, i64>,
    /// The program at this end: as it was read, and as it was given to the writer.
    pub facts: Option<Facts>,
}

impl Side {
    /// An end that is a file of a format.
    pub(crate) fn new(path: &Path, format: &str) -> Self {
        Self { path: path.display().to_string(), format: format.to_owned(), ..Self::default() }
    }
    /// Takes down what is in the program.
    pub(crate) fn look(&mut self, module: &Module) {
        self.facts = Some(Facts::of(module));
        self.opsets.clone_from(&module.opsets);
    }
    fn json(&self) -> Value {
        let facts = self.facts.as_ref().map(|f| {
            let pairs = |list: &[(String, String)]| -> Vec<Value> {
                list.iter().map(|(n, t)| json!({ "name": n, "type": t })).collect()
            };
            json!({
                "inputs": pairs(&f.inputs), "outputs": pairs(&f.outputs), "nodes": f.nodes,
                "ops": f.all_ops(), "parameters": f.parameters, "parameter_bytes": f.bytes,
            })
        });
        json!({
            "path": self.path, "format": self.format, "bytes": self.bytes,
            "opsets": self.opsets, "program": facts,
        })
    }
}

impl Conversion {
    /// Writes the report: a page when the name says so, else JSON.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or("");
        let html = ["html", "htm"].iter().any(|e| extension.eq_ignore_ascii_case(e));
        let text = if html {
            page::render(self)
        } else {
            serde_json::to_string_pretty(&self.json()).unwrap_or_default() + "\n"
        };
        write_whole(file, |out| out.write_all(text.as_bytes()))
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let mut value = output::report_json(&self.report);
        value["input"] = self.input.json();
        value["output"] = self.output.json();
        value["opt"] = json!(self.opt);
        value["exit"] = json!(self.failed.map_or(0, |e| e as u8));
        value["rewrites"] = json!(output::rewrites_json(&self.passes));
        value["declined"] = json!(output::declined_json(&self.passes));
        value
    }
}
