//! Functions of the model. Each use is specialised for its attributes and operand types.

use std::collections::BTreeMap;

use airconv_api::ir::attr::SourceOp;
use airconv_api::ir::entity::{OriginId, ValueId};
use airconv_api::ir::module::{ArgKindRole, Entity, Function, InputRole, OutputRole};
use airconv_api::ir::op::{Call, Op};
use airconv_api::ir::types::Type;
use smallvec::SmallVec;

use super::Importer;
use super::attrs::{Attrs, Bindings};
use super::graph::FuncState;
use super::node::{Outputs, Stop};
use crate::common;
use crate::proto::{AttributeProto, FunctionProto, NodeProto};

/// Domain, name and overload.
pub(super) type Name<'p> = (&'p str, &'p str, &'p str);

/// What a specialisation depends on.
#[derive(PartialEq)]
pub(super) struct Key<'p> {
    name: Name<'p>,
    attributes: Vec<(&'p str, &'p AttributeProto)>,
    operands: Vec<Option<Type>>,
}

impl<'p> Importer<'p> {
    /// Reads the use of a function.
    pub(super) fn call(
        &mut self,
        fs: &mut FuncState<'p>,
        node: &'p NodeProto,
        name: Name<'p>,
        attrs: &Attrs<'p>,
        inputs: &SmallVec<[Option<ValueId>; 6]>,
        origin: OriginId,
    ) -> Result<Outputs, Stop> {
        let Some(&proto) = self.functions.get(&name) else {
            return Err(Stop::Invalid("there is no such function".to_owned()));
        };
        if self.active.contains(&name) {
            return Err(Stop::Invalid("the function calls itself".to_owned()));
        }
        if self.active.len() >= self.options.limits.depth as usize {
            return Err(Stop::Invalid("functions are nested too deep".to_owned()));
        }
        if inputs.len() > proto.input.len() || node.output.len() > proto.output.len() {
            return Err(Stop::Invalid(
                "it has more inputs or outputs than the function".to_owned(),
            ));
        }
        let mut attributes: Vec<_> = attrs.take_all().collect();
        for default in &proto.attribute_proto {
            if !attributes.iter().any(|(n, _)| *n == default.name()) {
                attributes.push((default.name(), default));
            }
        }
        attributes.sort_by_key(|(n, _)| *n);
        let f = &self.module.functions[fs.func];
        // A type with symbols means something in its own function only.
        let operands: Vec<Option<Type>> =
            inputs.iter().map(|v| v.map(|v| closed(f.ty(v)))).collect();
        let key = Key { name, attributes, operands };
        let func = match self.specialised.iter().find(|(k, _)| *k == key) {
            Some((_, func)) => *func,
            None => self.specialise(key, proto)?,
        };
        let source = SourceOp {
            format: "onnx".to_owned(),
            domain: name.0.to_owned(),
            name: name.1.to_owned(),
            overload: name.2.to_owned(),
            version: fs.opsets.get(name.0).copied().unwrap_or(1),
            attributes: BTreeMap::new(),
        };
        self.note_opset(name.0, source.version);
        // Absent inputs have no parameter.
        let operands: Vec<Option<ValueId>> = inputs.iter().flatten().map(|&v| Some(v)).collect();
        let op = Op::Call(Call { function: func, source: Some(source) });
        let callee = &self.module.functions[func];
        let types: Vec<Type> =
            callee.body().results.iter().map(|&v| closed(callee.ty(v))).collect();
        let present: Vec<bool> = node.output.iter().map(|o| !o.is_empty()).collect();
        let region = fs.region();
        let mut b =
            airconv_api::ir::builder::Builder::new(&mut self.module, fs.func, region, origin);
        let id = b.typed_node(op, &operands, types, &present);
        Ok(self.module.functions[fs.func].nodes[id].results.iter().copied().collect())
    }

    fn specialise(
        &mut self,
        key: Key<'p>,
        proto: &'p FunctionProto,
    ) -> Result<airconv_api::ir::entity::FuncId, Stop> {
        if self.specialised.len() >= self.options.limits.functions {
            return Err(Stop::Invalid(format!(
                "functions have more than {} specialisations",
                self.options.limits.functions
            )));
        }
        let name = self.function_name(&key.name);
        let func = self.module.functions.push(Function::new(name));
        let body = self.module.functions[func].body;
        self.module.note(Entity::Func(func), "onnx.doc", proto.doc_string());
        let mut opsets: BTreeMap<String, i64> = BTreeMap::new();
        for entry in &proto.opset_import {
            opsets.insert(common::domain(entry.domain()).to_owned(), entry.version());
        }
        let path = common::op_name(key.name.0, key.name.1);
        let mut fs = FuncState::new(func, body, opsets, &path);
        fs.declare(&proto.value_info);
        let bindings: Bindings<'p> = key.attributes.iter().copied().collect();
        fs.bindings = Some(bindings);
        for (i, name) in proto.input.iter().enumerate() {
            let Some(ty) = key.operands.get(i).cloned().flatten() else {
                fs.absent.insert(name);
                continue;
            };
            let f = &mut self.module.functions[func];
            let ty = open_symbols(f, ty, name);
            let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
            let value = f.add_input(name, ty, role);
            fs.define(name, value);
        }
        self.active.push(key.name);
        self.nodes(&mut fs, &proto.node);
        self.active.pop();
        for name in &proto.output {
            let f = &mut self.module.functions[func];
            match fs.resolve(f, name) {
                Some(value) => f.add_output(name, value, OutputRole::User(ArgKindRole::Tensor)),
                None => {
                    return Err(Stop::Invalid(format!(
                        "output `{name}` of the function is not made by any node"
                    )));
                }
            }
        }
        self.specialised.push((key, func));
        Ok(func)
    }

    fn function_name(&mut self, name: &Name<'_>) -> String {
        let base = common::op_name(name.0, name.1);
        let mut out = base.clone();
        let mut i = 1;
        while !self.function_names.insert(out.clone()) {
            i += 1;
            out = format!("{base}#{i}");
        }
        out
    }
}

/// The type without the symbols of its function: what is not a number is open.
fn closed(ty: &Type) -> Type {
    use airconv_api::ir::dim::Dim;
    ty.map_dims(&mut |d| d.as_known().map_or(Dim::Any, Dim::Known))
}

/// The type with a fresh symbol for each open size.
fn open_symbols(f: &mut Function, ty: Type, stem: &str) -> Type {
    use airconv_api::ir::dim::{Dim, Range};
    let mut axis = 0;
    if !matches!(ty, Type::Tensor(_)) {
        return ty;
    }
    ty.map_dims(&mut |d| {
        let hint = format!("{stem}_{axis}");
        axis += 1;
        match d {
            Dim::Any => Dim::from(f.add_symbol(&hint, Range::NONNEG, None)),
            other => other.clone(),
        }
    })
}
