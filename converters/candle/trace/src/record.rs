//! Takes down what candle computed. Compiled with a candle-core that records only.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use candle_core::recording::{self, Call, Node};
use candle_core::{Error, Result, Tensor};
use serde_json::{Value, json};

use crate::{Inputs, Outputs, Sizes};

/// The parameters that a model asked for, by the number of the tensor.
static NAMES: Mutex<BTreeMap<usize, (String, Tensor)>> = Mutex::new(BTreeMap::new());

/// Notes the name of a parameter.
pub(crate) fn note_name(name: &str, tensor: &Tensor) {
    if let Ok(mut names) = NAMES.lock() {
        let named = || (name.to_owned(), tensor.clone());
        names.entry(recording::number(tensor)).or_insert_with(named);
    }
}

/// The runs of one program.
pub(crate) struct Recorder {
    name: String,
    sizes: Vec<String>,
    traces: Vec<Value>,
    weights: Weights,
    /// Inputs of all runs so far, kept so that their numbers stay theirs.
    inputs: HashMap<usize, Tensor>,
    /// The number below which tensors are older than this run.
    started: usize,
}

/// The run that is being taken down.
struct Run {
    nodes: Vec<Value>,
    /// Where the tensor of a number is among the nodes.
    at: HashMap<usize, usize>,
}

impl Recorder {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sizes: Vec::new(),
            traces: Vec::new(),
            weights: Weights::default(),
            inputs: HashMap::new(),
            started: 0,
        }
    }

    /// Runs the program once.
    pub(crate) fn trace<O: Outputs>(
        &mut self,
        sizes: &Sizes,
        inputs: &Inputs,
        forward: &mut impl FnMut(&Inputs) -> Result<O>,
    ) -> Result<O> {
        let mut run = Run { nodes: Vec::new(), at: HashMap::new() };
        for (name, tensor) in inputs.iter() {
            if run.at.contains_key(&recording::number(tensor)) {
                candle_core::bail!("the input `{name}` is the tensor of another input: copy it");
            }
            run.add(tensor, json!({ "op": "input", "name": name }));
        }
        self.started = recording::start();
        let outcome = forward(inputs).and_then(|results| {
            let named = results.named();
            self.take_down(&mut run, &named)?;
            let outputs: Vec<Value> = named
                .iter()
                .map(|(name, t)| json!({ "name": name, "node": run.index(&recording::origin(t)) }))
                .collect();
            Ok((results, outputs))
        });
        let (results, outputs) = match outcome {
            Ok(done) => done,
            Err(e) => {
                recording::stop();
                return Err(e);
            }
        };
        let events = self.events(inputs);
        for (_, tensor) in inputs.iter() {
            self.inputs.insert(recording::number(tensor), tensor.clone());
        }
        self.sizes = sizes.0.iter().map(|(n, _)| n.clone()).collect();
        self.traces.push(json!({
            "sizes": sizes.0.iter().map(|(_, v)| *v).collect::<Vec<_>>(),
            "nodes": run.nodes,
            "outputs": outputs,
            "events": events,
        }));
        Ok(results)
    }

    /// Adds what the results depend on, operands before what uses them. The order follows the
    /// structure alone, so that runs can be compared.
    fn take_down(&mut self, run: &mut Run, results: &[(String, Tensor)]) -> Result<()> {
        let tensors: Vec<Tensor> = results.iter().map(|(_, t)| t.clone()).collect();
        let mut nodes: HashMap<usize, Node> = recording::graph(&tensors)
            .into_iter()
            .map(|n| (recording::number(&n.tensor), n))
            .collect();
        let mut kept = Vec::with_capacity(nodes.len());
        for tensor in &tensors {
            let mut open = vec![recording::number(&recording::origin(tensor))];
            while let Some(&number) = open.last() {
                if run.at.contains_key(&number) {
                    open.pop();
                    continue;
                }
                let Some(node) = nodes.get(&number) else {
                    candle_core::bail!("a tensor was used that is not in the record");
                };
                let operands = node.call.iter().flat_map(|c| &c.inputs).map(recording::number);
                let missing: Vec<usize> = operands.filter(|n| !run.at.contains_key(n)).collect();
                if missing.is_empty() {
                    open.pop();
                    if let Some(node) = nodes.remove(&number) {
                        self.add(run, &node)?;
                        kept.push(node);
                    }
                } else {
                    open.extend(missing.into_iter().rev());
                }
            }
        }
        // Results go before operands, so that no long chain is dropped at once.
        while kept.pop().is_some() {}
        Ok(())
    }

    fn add(&mut self, run: &mut Run, node: &Node) -> Result<()> {
        let number = recording::number(&node.tensor);
        match &node.call {
            Some(call) => {
                let what = call_json(run, call);
                run.add(&node.tensor, what);
            }
            None if self.inputs.contains_key(&number) => candle_core::bail!(
                "the program uses an input of an earlier run: it keeps state, such as a cache of \
                 keys and values; clear it before each run"
            ),
            // Made of storage that the program had its hands on: what is in it is not known.
            None if number >= self.started && recording::place(&node.tensor).is_none() => {
                run.add(&node.tensor, json!({ "op": "from_storage" }));
            }
            None => {
                let place = recording::place(&node.tensor).map(|p| p.to_string());
                let (kind, name) = self.weights.take(&node.tensor);
                run.add(&node.tensor, json!({ "op": kind, "name": name, "at": place }));
            }
        }
        Ok(())
    }

    /// What happened beside the calls to tensors that depend on inputs, and ends the recording.
    fn events(&self, inputs: &Inputs) -> Vec<Value> {
        let given: HashSet<usize> = inputs.iter().map(|(_, t)| recording::number(t)).collect();
        let all = recording::stop();
        let depends = |tensor: &Tensor| {
            let graph = recording::graph(std::slice::from_ref(tensor));
            graph.iter().any(|n| given.contains(&recording::number(&n.tensor)))
        };
        all.iter()
            .filter(|e| depends(&e.tensor))
            .map(|e| json!({ "what": e.what, "at": e.at.to_string() }))
            .collect()
    }

    /// Writes the file: into the folder that `airconv capture` names.
    pub(crate) fn write(self) -> Result<()> {
        let Some(folder) = std::env::var_os("AIRCONV_RECORDING_TO").map(PathBuf::from) else {
            return Ok(());
        };
        let recording = json!({
            "program": self.name,
            "candle": recording::VERSION,
            "sizes": self.sizes,
            "traces": self.traces,
        });
        let file: String =
            self.name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let path = folder.join(format!("{file}.recording"));
        if path.exists() {
            candle_core::bail!("the program `{}` was taken down before", self.name);
        }
        self.weights.write(&path, &recording.to_string())
    }
}

impl Run {
    fn add(&mut self, tensor: &Tensor, mut what: Value) {
        what["dtype"] = tensor.dtype().as_str().into();
        what["dims"] = tensor.dims().into();
        self.at.insert(recording::number(tensor), self.nodes.len());
        self.nodes.push(what);
    }
    fn index(&self, tensor: &Tensor) -> Option<usize> {
        self.at.get(&recording::number(tensor)).copied()
    }
}

fn call_json(run: &Run, call: &Call) -> Value {
    let operands: Vec<Option<usize>> = call.inputs.iter().map(|t| run.index(t)).collect();
    let mut out = json!({ "op": call.name, "in": operands });
    if !call.ints.is_empty() {
        out["ints"] = call.ints.clone().into();
    }
    if !call.floats.is_empty() {
        // As text, which keeps every digit and knows infinities.
        out["floats"] = call.floats.iter().map(f64::to_string).collect::<Vec<_>>().into();
    }
    out
}

/// The tensors of the file.
#[derive(Default)]
struct Weights {
    tensors: BTreeMap<String, Tensor>,
    /// Kinds and names of leaves that were met, by number.
    known: HashMap<usize, (&'static str, String)>,
    /// Parameters and constants by content, as names and tensors.
    by_content: HashMap<u64, Vec<(&'static str, String, Tensor)>>,
    /// How many parameters are among them.
    indexed: usize,
    constants: usize,
}

impl Weights {
    /// The kind and name of a leaf: those of the parameter that it is or that it equals, else a new
    /// constant.
    fn take(&mut self, leaf: &Tensor) -> (&'static str, String) {
        let number = recording::number(leaf);
        if let Some(known) = self.known.get(&number) {
            return known.clone();
        }
        let leaf = recording::original(leaf);
        let named = NAMES.lock().ok().and_then(|n| n.get(&number).map(|(name, _)| name.clone()));
        let (kind, name) = match named {
            Some(name) => ("parameter", name),
            None => self.equal(&leaf).unwrap_or_else(|| {
                self.constants += 1;
                let name = format!("constant.{}", self.constants - 1);
                let entry = ("constant", name.clone(), leaf.clone());
                self.by_content.entry(digest(&leaf)).or_default().push(entry);
                ("constant", name)
            }),
        };
        let name = self.keep(name, &leaf);
        self.known.insert(number, (kind, name.clone()));
        (kind, name)
    }

    /// Adds a tensor to the file under its name, or under another where that is taken: two models
    /// of a process may have parameters of one name.
    fn keep(&mut self, name: String, tensor: &Tensor) -> String {
        let mut free = name.clone();
        let mut count = 1;
        while let Some(other) = self.tensors.get(&free) {
            if same_content(other, tensor) {
                return free;
            }
            count += 1;
            free = format!("{name}.{count}");
        }
        self.tensors.insert(free.clone(), tensor.clone());
        free
    }

    /// What has the same elements, type and shape; of several parameters the one named last.
    fn equal(&mut self, leaf: &Tensor) -> Option<(&'static str, String)> {
        if let Ok(names) = NAMES.lock()
            && self.indexed < names.len()
        {
            for (name, tensor) in names.values() {
                let same = self.by_content.entry(digest(tensor)).or_default();
                same.retain(|(_, n, t)| n != name || !same_content(t, tensor));
                same.push(("parameter", name.clone(), tensor.clone()));
            }
            self.indexed = names.len();
        }
        let candidates = self.by_content.get(&digest(leaf))?;
        let found = candidates.iter().rev().find(|(_, _, t)| same_content(t, leaf))?;
        Some((found.0, found.1.clone()))
    }

    /// Writes a safetensors file with the recording in its metadata.
    fn write(self, path: &std::path::Path, recording: &str) -> Result<()> {
        let mut header = json!({});
        let mut at = 0;
        for (name, tensor) in &self.tensors {
            let end = at + tensor.elem_count() * tensor.dtype().size_in_bytes();
            header[name] = json!({
                "dtype": safetensors_dtype(tensor)?,
                "shape": tensor.dims(),
                "data_offsets": [at, end],
            });
            at = end;
        }
        // The metadata comes first, so that the file can be told from others by its first bytes.
        let metadata = format!(
            "{{\"__metadata__\":{{\"format\":\"airconv.candle-recording\",\"version\":\"1\",\
             \"recording\":{}}}",
            Value::from(recording)
        );
        let rest = header.to_string();
        let joint = if self.tensors.is_empty() { "" } else { "," };
        let mut text = format!("{metadata}{joint}{}", &rest[1..]);
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        let draft = path.with_extension("tmp");
        let mut file = std::io::BufWriter::new(std::fs::File::create(&draft)?);
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(text.as_bytes())?;
        for tensor in self.tensors.values() {
            tensor.write_bytes(&mut file)?;
        }
        file.into_inner().map_err(|e| Error::from(e.into_error()))?.sync_all()?;
        std::fs::rename(&draft, path)?;
        Ok(())
    }
}

fn digest(tensor: &Tensor) -> u64 {
    let mut hasher = DefaultHasher::new();
    tensor.dtype().as_str().hash(&mut hasher);
    tensor.dims().hash(&mut hasher);
    bytes(tensor).hash(&mut hasher);
    hasher.finish()
}

fn same_content(a: &Tensor, b: &Tensor) -> bool {
    a.dtype() == b.dtype() && a.dims() == b.dims() && bytes(a) == bytes(b)
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut out = Vec::new();
    // A type that cannot be written is refused when the file is.
    let _ = tensor.write_bytes(&mut out);
    out
}

fn safetensors_dtype(tensor: &Tensor) -> Result<&'static str> {
    Ok(match tensor.dtype().as_str() {
        "u8" => "U8",
        "u32" => "U32",
        "i16" => "I16",
        "i32" => "I32",
        "i64" => "I64",
        "bf16" => "BF16",
        "f16" => "F16",
        "f32" => "F32",
        "f64" => "F64",
        other => candle_core::bail!("tensors of {other} cannot be taken down"),
    })
}
