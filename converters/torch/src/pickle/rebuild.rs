//! What calls in a pickle give: tensors and containers.

use std::sync::Arc;

use airconv_ir::dtype::DType;

use super::globals::{Global, Make};
use super::value::{Id, StorageRef, TensorRef, Value};
use super::vm::{Rebuilt, Vm, key_text};
use crate::error::FileError;

/// How deep calls may be passed to calls (`_rebuild_from_type_v2`).
const DEPTH: usize = 4;

/// The value of a call.
pub(super) fn rebuild(vm: &mut Vm<'_>, function: Id, args: Id) -> Result<Rebuilt, FileError> {
    call(vm, function, args, DEPTH)
}

fn call(vm: &mut Vm<'_>, function: Id, args: Id, depth: usize) -> Result<Rebuilt, FileError> {
    let make = match vm.value(function) {
        Value::Global(Global::Known(_, make)) => *make,
        // A member of an enumeration of the program, by its value, which stands without a tuple.
        Value::Global(Global::Script(class)) => {
            let class = class.clone();
            return Ok(Rebuilt::New(Value::Object { class, state: Some(args) }));
        }
        other => {
            let kind = other.kind();
            return vm.refuse(format!("it calls {kind}"));
        }
    };
    let Value::Tuple(args) = vm.value(args) else {
        return vm.bad("a call has no tuple of arguments");
    };
    // Calls take few arguments; long ones are cut off before they are copied.
    let args: Vec<Id> = args.iter().take(16).copied().collect();
    match make {
        Make::Dict => dict(vm, args.first().copied()),
        Make::List => sequence(vm, args.first().copied(), Value::List),
        Make::Tuple => sequence(vm, args.first().copied(), Value::Tuple),
        Make::First => match args.first() {
            Some(&first) => Ok(Rebuilt::Old(first)),
            None => vm.bad("a call lacks its argument"),
        },
        Make::Latin1 => latin1(vm, args.first().copied()),
        Make::Complex => complex(vm, &args),
        Make::Device => device(vm, &args),
        Make::Tensor => tensor(vm, &args, None),
        Make::TensorOfBytes => match args.get(6).map(|&id| vm.value(id)) {
            Some(Value::Global(Global::DType(dtype))) => {
                let dtype = *dtype;
                tensor(vm, &args, Some(dtype))
            }
            _ => vm.refuse("a tensor has a dtype that is not known"),
        },
        Make::Parameter => parameter(vm, &args),
        Make::FromType => match (args.first(), args.get(2)) {
            (Some(&inner), Some(&inner_args)) if depth > 0 => {
                call(vm, inner, inner_args, depth - 1)
            }
            _ => vm.bad("a tensor is made by too many calls"),
        },
        Make::Layout => Ok(Rebuilt::New(Value::None)),
        Make::Nothing | Make::UntypedStorage => {
            let kind = vm.value(function).kind();
            vm.refuse(format!("it calls {kind}"))
        }
    }
}

fn dict(vm: &mut Vm<'_>, pairs: Option<Id>) -> Result<Rebuilt, FileError> {
    let items = match pairs.map(|id| vm.value(id)) {
        None => return Ok(Rebuilt::New(Value::Dict(Vec::new()))),
        Some(Value::List(items) | Value::Tuple(items)) => items.clone(),
        Some(_) => return vm.bad("a dictionary is made of something that is no list"),
    };
    vm.charge(items.len())?;
    let pair = |id: Id| match vm.value(id) {
        Value::Tuple(pair) | Value::List(pair) => match pair.as_slice() {
            [key, value] => Ok((*key, *value)),
            _ => vm.bad("an entry of a dictionary is no pair"),
        },
        _ => vm.bad("an entry of a dictionary is no pair"),
    };
    let pairs = items.into_iter().map(pair).collect::<Result<_, _>>()?;
    Ok(Rebuilt::New(Value::Dict(pairs)))
}

fn sequence(
    vm: &mut Vm<'_>,
    items: Option<Id>,
    make: fn(Vec<Id>) -> Value,
) -> Result<Rebuilt, FileError> {
    let items = match items.map(|id| vm.value(id)) {
        None => Vec::new(),
        Some(Value::List(items) | Value::Tuple(items)) => items.clone(),
        Some(_) => return vm.bad("a list is made of something that is no list"),
    };
    vm.charge(items.len())?;
    Ok(Rebuilt::New(make(items)))
}

fn latin1(vm: &mut Vm<'_>, text: Option<Id>) -> Result<Rebuilt, FileError> {
    let Some(Value::Str(text)) = text.map(|id| vm.value(id)) else {
        return vm.bad("bytes are made of something that is no text");
    };
    let text = text.clone();
    vm.charge(text.len())?;
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match bytes {
        Some(bytes) => Ok(Rebuilt::New(Value::Bytes(bytes.into()))),
        None => vm.bad("bytes are made of a text that is not Latin-1"),
    }
}

fn complex(vm: &mut Vm<'_>, args: &[Id]) -> Result<Rebuilt, FileError> {
    let part = |id: Option<&Id>| match id.map(|&id| vm.value(id)) {
        Some(Value::Float(v)) => Ok(*v),
        Some(Value::Int(n)) => Ok(*n as f64),
        _ => vm.bad("a complex number has a part that is no number"),
    };
    Ok(Rebuilt::New(Value::Complex(part(args.first())?, part(args.get(1))?)))
}

fn device(vm: &mut Vm<'_>, args: &[Id]) -> Result<Rebuilt, FileError> {
    let Some(Value::Str(kind)) = args.first().map(|&id| vm.value(id)) else {
        return vm.bad("a device has no name");
    };
    let name = match args.get(1).map(|&id| vm.value(id)) {
        Some(Value::Int(index)) => format!("{kind}:{index}").into(),
        _ => kind.clone(),
    };
    Ok(Rebuilt::New(Value::Device(name)))
}

/// `storage, offset, sizes, strides, requires_grad, hooks, ...`.
fn tensor(vm: &mut Vm<'_>, args: &[Id], dtype: Option<DType>) -> Result<Rebuilt, FileError> {
    let [storage, offset, sizes, strides, rest @ ..] = args else {
        return vm.bad("a tensor lacks its storage, offset, sizes or strides");
    };
    let Value::Storage(storage) = vm.value(*storage) else {
        return vm.bad("a tensor has no storage");
    };
    let Some(dtype) = dtype.or(storage.dtype) else {
        return vm.bad("a tensor has no dtype");
    };
    let storage = storage.clone();
    let Value::Int(offset) = vm.value(*offset) else {
        return vm.bad("the offset of a tensor is no integer");
    };
    let Ok(offset) = u64::try_from(*offset) else {
        return vm.bad("the offset of a tensor is negative");
    };
    let strides = ints(vm, *strides)?;
    let sizes = ints(vm, *sizes)?.into_iter().map(u64::try_from).collect::<Result<Vec<_>, _>>();
    let Ok(sizes) = sizes else { return vm.bad("the size of a tensor is negative") };
    if sizes.len() != strides.len() {
        return vm.bad("a tensor has other axes in its sizes than in its strides");
    }
    let grad = rest.first().map(|&id| vm.value(id));
    let requires_grad = matches!(grad, Some(Value::Bool(true)));
    let tensor = TensorRef { storage, dtype, offset, sizes, strides, requires_grad };
    Ok(Rebuilt::New(Value::Tensor(Arc::new(tensor))))
}

fn ints(vm: &mut Vm<'_>, id: Id) -> Result<Vec<i64>, FileError> {
    let items = match vm.value(id) {
        Value::Tuple(items) | Value::List(items) => items,
        _ => return vm.bad("the sizes of a tensor are no tuple"),
    };
    if items.len() > vm.rank {
        let rank = items.len();
        return Err(FileError::limit("pickle", format!("a tensor has {rank} axes")));
    }
    let int = |&id: &Id| match vm.value(id) {
        Value::Int(n) => Ok(*n),
        _ => vm.bad("the size of a tensor is no integer"),
    };
    items.iter().map(int).collect()
}

fn parameter(vm: &mut Vm<'_>, args: &[Id]) -> Result<Rebuilt, FileError> {
    let Some(Value::Tensor(tensor)) = args.first().map(|&id| vm.value(id)) else {
        return vm.bad("a parameter has no tensor");
    };
    let mut tensor = TensorRef::clone(tensor);
    if let Some(Value::Bool(grad)) = args.get(1).map(|&id| vm.value(id)) {
        tensor.requires_grad = *grad;
    }
    Ok(Rebuilt::New(Value::Tensor(Arc::new(tensor))))
}

impl Vm<'_> {
    /// What a persistent id names: `("storage", class, key, device, numel)`, in old files with
    /// a sixth part for views.
    pub(super) fn storage(&self, id: Id) -> Result<StorageRef, FileError> {
        let Value::Tuple(parts) = self.value(id) else {
            return self.bad("a reference to a storage is no tuple");
        };
        let part = |i: usize| parts.get(i).map(|&id| self.value(id));
        match part(0) {
            Some(Value::Str(kind)) if &**kind == "storage" => {}
            Some(Value::Str(kind)) if &**kind == "module" => {
                return self.refuse("it holds a whole Python module; save its `state_dict()`");
            }
            _ => return self.bad("a reference is not to a storage"),
        }
        let dtype = match part(1) {
            Some(Value::Global(Global::Storage(dtype))) => Some(*dtype),
            Some(Value::Global(Global::Known(_, Make::UntypedStorage))) => None,
            Some(other) => {
                let kind = other.kind();
                return self.refuse(format!("a storage is of {kind}"));
            }
            None => return self.bad("a storage has no class"),
        };
        let Some(key) = part(2).and_then(key_text) else {
            return self.bad("a storage has no name");
        };
        let device = part(3).and_then(key_text).unwrap_or_default();
        let number = |value: Option<&Value>| match value {
            Some(Value::Int(n)) => u64::try_from(*n).ok(),
            _ => None,
        };
        let Some(numel) = number(part(4)) else {
            return self.bad("a storage has no number of elements");
        };
        let part = match part(5) {
            Some(Value::Tuple(view)) => {
                let at = |i: usize| number(view.get(i).map(|&id| self.value(id)));
                match (at(1), at(2)) {
                    (Some(offset), Some(size)) => Some((offset, size)),
                    _ => return self.bad("a part of a storage has no place"),
                }
            }
            _ => None,
        };
        Ok(StorageRef { key, dtype, device, numel, part })
    }
}
