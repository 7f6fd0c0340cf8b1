//! Graphs and functions as a whole: nodes in order, inputs and outputs.

use std::collections::BTreeMap;

use airconv_api::Report;
use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::entity::{RegionId, ValueId};
use airconv_api::ir::module::{Def, Entity, Function};
use airconv_api::ir::op::{Broadcast, Op};
use rustc_hash::FxHashSet;

use super::model::meta_props;
use super::{Exporter, Scope};
use crate::common::ONNX;
use crate::export::node::Refuse;
use crate::export::types::type_proto;
use crate::proto::{
    FunctionProto, GraphProto, OperatorSetIdProto, StringStringEntryProto, TensorAnnotation,
    ValueInfoProto,
};

impl Exporter<'_> {
    /// A region as a graph, in a scope of its own. Its last parameters stand for captured
    /// values of the scope around and are left out of its inputs.
    pub(in crate::export) fn subgraph(
        &mut self,
        region: RegionId,
        captures: &[ValueId],
    ) -> Result<GraphProto, Refuse> {
        if self.probe {
            return Ok(GraphProto::default());
        }
        let f = self.f();
        let Some(r) = f.regions.get(region) else {
            return Refuse::because(format!("there is no region {region}"));
        };
        let formal = r.params.len().saturating_sub(captures.len());
        let outer: Vec<String> =
            captures.iter().map(|&v| self.name_of(v)).collect::<Result<_, _>>()?;
        self.scopes.push(Scope::default());
        let mut inputs = Vec::new();
        for &param in &r.params[..formal] {
            let name = self.assign_name(param);
            inputs.push(self.value_info(param, &name));
            self.add_places(param);
        }
        for (&param, name) in r.params[formal..].iter().zip(outer) {
            self.bind_name(param, name);
            self.add_places(param);
        }
        let result = self.fill(region);
        let scope = self.scopes.pop().unwrap_or_default();
        let outputs = result?;
        let about = Entity::Region(self.func, region);
        let name = self.module.noted(about, "onnx.name").unwrap_or("graph");
        Ok(GraphProto {
            node: scope.nodes,
            name: Some(name.to_owned()),
            initializer: scope.initializers,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            input: inputs,
            output: outputs,
            ..Default::default()
        })
    }

    /// Starts a graph that a rule writes by itself, in a scope of its own.
    pub(in crate::export) fn open_branch(&mut self) {
        self.scopes.push(Scope::default());
    }
    /// Ends such a graph; its one output has the type of a value.
    pub(in crate::export) fn close_branch(
        &mut self,
        value: ValueId,
        output: Result<String, Refuse>,
    ) -> Result<GraphProto, Refuse> {
        let scope = self.scopes.pop().unwrap_or_default();
        let name = output?;
        Ok(GraphProto {
            node: scope.nodes,
            name: Some("graph".to_owned()),
            initializer: scope.initializers,
            output: vec![self.value_info(value, &name)],
            ..Default::default()
        })
    }

    /// Writes the nodes of a region and gives its outputs under fresh or own names. A result
    /// that is not made by a node of this region, or is given twice, goes through `Identity`.
    fn fill(&mut self, region: RegionId) -> Result<Vec<ValueInfoProto>, Refuse> {
        let f = self.f();
        let r = &f.regions[region];
        for &id in &r.nodes {
            self.write(id, &f.nodes[id])?;
        }
        let mut outputs = Vec::new();
        let mut given = FxHashSet::default();
        for &v in &r.results {
            let mut name = self.name_of(v)?;
            let own = self.scope().nodes.iter().any(|n| n.output.contains(&name));
            if !own || !given.insert(name.clone()) {
                let out = self.fresh_name(&name);
                self.set_type(&out, v);
                self.write_node(ONNX, "Identity", None, &[name], vec![out.clone()], Vec::new())?;
                given.insert(out.clone());
                name = out;
            }
            outputs.push(self.value_info(v, &name));
        }
        Ok(outputs)
    }

    fn value_info(&self, value: ValueId, name: &str) -> ValueInfoProto {
        let about = Entity::Value(self.func, value);
        let mut ty = type_proto(self.f(), self.ty(value));
        if let (Some(ty), Some(denotation)) = (&mut ty, self.module.noted(about, "onnx.denotation"))
        {
            ty.denotation = Some(denotation.to_owned());
        }
        ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: ty,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            metadata_props: meta_props(self.module, about),
        }
    }

    pub(super) fn main_graph(&mut self, report: &mut Report) -> Option<GraphProto> {
        let f = self.f();
        let body = f.body();
        // The names of inputs and outputs are taken before all others.
        let mut inputs = Vec::new();
        for (input, &param) in f.inputs.iter().zip(&body.params) {
            self.used.insert(input.name.clone());
            self.bind_name(param, input.name.clone());
            self.add_places(param);
            if let Some(tensor) = input.role.stored() {
                match self.tensor_proto(tensor, &input.name) {
                    Ok(proto) => self.scope().initializers.push(proto),
                    Err(e) => {
                        report.error("onnx-write", format!("input `{}`: {}", input.name, e.0))
                    }
                }
            }
            inputs.push(self.value_info(param, &input.name));
        }
        let names = self.output_names(report);
        let mut direct: FxHashSet<ValueId> = FxHashSet::default();
        for (name, &value) in names.iter().zip(&body.results) {
            if makes_output(f, value) && direct.insert(value) {
                self.bind_name(value, name.clone());
            }
        }
        for &id in &body.nodes {
            if let Err(Refuse(reason)) = self.write(id, &f.nodes[id]) {
                let n = &f.nodes[id];
                report.push(
                    Diagnostic::error(
                        "onnx-write",
                        format!("`{}` cannot be written: {reason}", n.op.name()),
                    )
                    .at_origin(self.module, n.origin),
                );
            }
        }
        if report.has_errors() {
            return None;
        }
        let mut outputs = Vec::new();
        for ((output, name), &value) in f.outputs.iter().zip(&names).zip(&body.results) {
            let written = self.name_of(value).and_then(|made| {
                if made == *name {
                    return Ok(());
                }
                self.set_type(name, value);
                self.write_node(ONNX, "Identity", None, &[made], vec![name.clone()], Vec::new())
            });
            if let Err(Refuse(reason)) = written {
                report.error("onnx-write", format!("output `{}`: {reason}", output.name));
            }
            outputs.push(self.output_info(value, &output.name, name));
        }
        let about = Entity::Func(self.func);
        let scope = std::mem::take(self.scope());
        Some(GraphProto {
            node: scope.nodes,
            name: Some(f.name.clone()),
            initializer: scope.initializers,
            doc_string: self.module.noted(about, "onnx.doc").map(str::to_owned),
            input: inputs,
            output: outputs,
            quantization_annotation: self.quantization(),
            metadata_props: meta_props(self.module, about),
            ..Default::default()
        })
    }

    /// The names under which the outputs are written. In ONNX an output shares them with the
    /// inputs, so one that has an input's name, or that of an output before it, gets another; an
    /// input that is given as it came keeps its own.
    fn output_names(&mut self, report: &mut Report) -> Vec<String> {
        let f = self.f();
        let mut given = FxHashSet::default();
        let mut names: Vec<Option<String>> = Vec::with_capacity(f.outputs.len());
        for (output, &value) in f.outputs.iter().zip(&f.body().results) {
            let first = given.insert(&output.name);
            let free = self.used.insert(output.name.clone());
            let own = first && (free || self.lookup(value) == Some(&output.name));
            names.push(own.then(|| output.name.clone()));
        }
        let mut name = |(name, old): (Option<String>, &str)| {
            name.unwrap_or_else(|| {
                let new = self.fresh_name(old);
                let message = "an output had the name of an input or of another output";
                report.structural("renamed-output", message, format!("`{old}` is `{new}` now"));
                new
            })
        };
        let old = f.outputs.iter().map(|o| o.name.as_str());
        names.into_iter().zip(old).map(&mut name).collect()
    }

    /// What is said of an output of the program that is written under a name.
    fn output_info(&self, value: ValueId, output: &str, name: &str) -> ValueInfoProto {
        let about = Entity::Func(self.func);
        let mut ty = type_proto(self.f(), self.ty(value));
        let denotation = self.module.noted(about, &format!("onnx.output_denotation.{output}"));
        if let (Some(ty), Some(denotation)) = (&mut ty, denotation) {
            ty.denotation = Some(denotation.to_owned());
        }
        let doc = self.module.noted(about, &format!("onnx.output_doc.{output}"));
        ValueInfoProto {
            name: Some(name.to_owned()),
            r#type: ty,
            doc_string: doc.map(str::to_owned),
            metadata_props: Vec::new(),
        }
    }

    fn quantization(&self) -> Vec<TensorAnnotation> {
        let Some(notes) = self.module.notes.get(&Entity::Func(self.func)) else {
            return Vec::new();
        };
        let mut out: BTreeMap<String, Vec<StringStringEntryProto>> = BTreeMap::new();
        for (key, value) in notes {
            let Some((tensor, key)) =
                key.strip_prefix("onnx.quant.").and_then(|k| k.rsplit_once('.'))
            else {
                continue;
            };
            out.entry(tensor.to_owned()).or_default().push(StringStringEntryProto {
                key: Some(key.to_owned()),
                value: Some(value.clone()),
            });
        }
        out.into_iter()
            .map(|(name, quant_parameter_tensor_names)| TensorAnnotation {
                tensor_name: Some(name),
                quant_parameter_tensor_names,
            })
            .collect()
    }

    pub(super) fn function(&mut self) -> Result<FunctionProto, Refuse> {
        let f = self.f();
        let body = f.body();
        let mut input = Vec::new();
        for (spec, &param) in f.inputs.iter().zip(&body.params) {
            self.used.insert(spec.name.clone());
            self.bind_name(param, spec.name.clone());
            self.add_places(param);
            input.push(spec.name.clone());
        }
        let outputs = self.fill(f.body)?;
        let scope = std::mem::take(self.scope());
        let (domain, name, overload) =
            self.function_names.get(&self.func).cloned().unwrap_or_default();
        let mut opset_import: Vec<OperatorSetIdProto> = self
            .domains
            .iter()
            .map(|d| OperatorSetIdProto {
                domain: Some(d.clone()),
                version: Some(self.version_of(d)),
            })
            .collect();
        if opset_import.is_empty() {
            opset_import.push(OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(self.opset),
            });
        }
        self.domains.insert(domain.clone());
        Ok(FunctionProto {
            name: Some(name),
            input,
            output: outputs.iter().map(|o| o.name().to_owned()).collect(),
            node: scope.nodes,
            doc_string: self.module.noted(Entity::Func(self.func), "onnx.doc").map(str::to_owned),
            opset_import,
            domain: Some(domain),
            overload: (!overload.is_empty()).then_some(overload),
            ..Default::default()
        })
    }
}

/// Whether a value is made by a node that is written as one that can carry an output's name.
fn makes_output(f: &Function, value: ValueId) -> bool {
    match f.values[value].def {
        Def::Param { .. } => false,
        Def::Result { node, .. } => !matches!(
            f.nodes[node].op,
            Op::DimValue(_) | Op::Broadcast(Broadcast { implicit: true, .. })
        ),
    }
}
