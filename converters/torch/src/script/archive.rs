//! What a TorchScript archive consists of: classes and functions in source, objects and tensors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use rustc_hash::FxHashMap;

use super::syntax::ast::{Class, ExprKind, Function, Source};
use super::syntax::parse_source;
use crate::archive::Archive;
use crate::error::FileError;
use crate::pickle::{self, Global, Id, Pickle, load};
use crate::weights::{Storages, View};

/// How deep objects may hold objects and containers.
const DEPTH: u32 = 128;

/// A TorchScript program.
#[derive(Clone, Debug)]
pub struct Script {
    /// The version of the format; it says which meaning some operators have.
    pub version: u64,
    /// The files of source, by name.
    pub sources: Vec<Source>,
    /// The objects: modules and others.
    pub objects: Vec<Object>,
    /// The tensors, each once.
    pub tensors: Vec<ScriptTensor>,
    /// What the archive is of, a module.
    pub root: Value,
    /// The constants of the source, `CONSTANTS.c0` and so on.
    pub constants: Vec<Value>,
    /// The inputs that methods were traced with: element types and sizes, where they were
    /// tensors.
    pub traced: BTreeMap<String, Vec<Option<TracedInput>>>,
    classes: BTreeMap<String, (usize, usize)>,
    functions: BTreeMap<String, (usize, usize)>,
}

/// The type of an input with which a method was traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedInput {
    /// The element type.
    pub dtype: DType,
    /// The size of each axis.
    pub sizes: Vec<u64>,
}

/// An object of a [`Script`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

/// A tensor of a [`Script`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A value of an attribute or a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(f64, f64),
    /// A text.
    Str(Arc<str>),
    /// A device.
    Device(Arc<str>),
    /// A tensor.
    Tensor(TensorId),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary in order.
    Dict(Vec<(Value, Value)>),
    /// An object.
    Object(ObjectId),
}

/// An instance of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The qualified name of the class.
    pub class: Arc<str>,
    /// The way to it from the root, `encoder.layers.0`; empty for the root.
    pub path: String,
    /// The attributes in order.
    pub attrs: Vec<(String, Value)>,
}

impl Object {
    /// An attribute.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// What a tensor is in its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is trained.
    Parameter,
    /// It is state that is not trained.
    Buffer,
    /// A plain attribute.
    Attribute,
    /// A constant of the source.
    Constant,
}

/// A tensor of a program.
#[derive(Clone, Debug)]
pub struct ScriptTensor {
    /// The way to it from the root: `layer1.0.weight`, `CONSTANTS.c0`.
    pub name: String,
    /// Its elements.
    pub view: View,
    /// What it is where it was found first.
    pub role: Role,
    /// Whether gradients reach it.
    pub requires_grad: bool,
}

impl Script {
    /// Reads a file by mapping it.
    pub fn open(path: &Path, map: bool, limits: &Limits) -> Result<Self, FileError> {
        let archive = Archive::open(path, map, limits)?;
        Self::read(&archive, limits).map_err(|e| e.within(&path.display().to_string()))
    }

    /// Whether an archive is one of TorchScript.
    pub fn sniff(archive: &Archive) -> bool {
        archive.has("constants.pkl") && archive.has("data.pkl")
    }

    /// Reads an archive.
    pub fn read(archive: &Archive, limits: &Limits) -> Result<Self, FileError> {
        let mut script = Self {
            version: version(archive)?,
            sources: sources(archive)?,
            objects: Vec::new(),
            tensors: Vec::new(),
            root: Value::None,
            constants: Vec::new(),
            traced: traced(archive, limits)?,
            classes: BTreeMap::new(),
            functions: BTreeMap::new(),
        };
        script.index()?;
        let data = pickle_of(archive, "data.pkl", limits)?;
        let mut storages = Storages::new(archive, "data")?;
        script.root = Reader::new(&mut script, &data, &mut storages, limits).root("")?;
        let constants = pickle_of(archive, "constants.pkl", limits)?;
        let mut storages = Storages::new(archive, "constants")?;
        let mut reader = Reader::new(&mut script, &constants, &mut storages, limits);
        script.constants = match reader.root("CONSTANTS")? {
            Value::Tuple(items) | Value::List(items) => items,
            _ => return Err(FileError::malformed("constants.pkl", "it is no tuple")),
        };
        Ok(script)
    }

    /// Notes where each class and function is.
    fn index(&mut self) -> Result<(), FileError> {
        for (file, source) in self.sources.iter().enumerate() {
            let module = module_name(&source.path);
            let twice = |name: &str| {
                Err(FileError::malformed(&*source.path, format!("`{name}` is there twice")))
            };
            for (i, class) in source.classes.iter().enumerate() {
                let name = format!("{module}.{}", class.name);
                if self.classes.insert(name, (file, i)).is_some() {
                    return twice(&class.name);
                }
            }
            for (i, function) in source.functions.iter().enumerate() {
                let name = format!("{module}.{}", function.name);
                if self.functions.insert(name, (file, i)).is_some() {
                    return twice(&function.name);
                }
            }
        }
        Ok(())
    }

    /// A class by its qualified name, with the file that it is in.
    pub fn class(&self, name: &str) -> Option<(&Source, &Class)> {
        let &(file, i) = self.classes.get(name)?;
        let source = self.sources.get(file)?;
        Some((source, source.classes.get(i)?))
    }
    /// A function by its qualified name, with the file that it is in.
    pub fn function(&self, name: &str) -> Option<(&Source, &Function)> {
        let &(file, i) = self.functions.get(name)?;
        let source = self.sources.get(file)?;
        Some((source, source.functions.get(i)?))
    }
    /// An object.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.objects.get(id.0 as usize)
    }
    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> Option<&ScriptTensor> {
        self.tensors.get(id.0 as usize)
    }
    /// The object that the archive is of.
    pub fn module(&self) -> Option<&Object> {
        match self.root {
            Value::Object(id) => self.object(id),
            _ => None,
        }
    }
}

/// `__torch__.torch.nn` for `code/__torch__/torch/nn.py`.
fn module_name(path: &str) -> String {
    let name = path.strip_prefix("code/").unwrap_or(path);
    name.strip_suffix(".py").unwrap_or(name).replace('/', ".")
}

fn version(archive: &Archive) -> Result<u64, FileError> {
    let name = if archive.has("version") { "version" } else { ".data/version" };
    let text = archive.text(name)?;
    let version: u64 =
        text.trim().parse().map_err(|_| FileError::malformed(name, "it is no number"))?;
    match version {
        0..=NEWEST => Ok(version),
        _ => Err(FileError::unsupported(
            name,
            format!("the format is version {version}; up to {NEWEST} is read"),
        )),
    }
}

/// The newest version that is known.
const NEWEST: u64 = 10;

/// What `traced_inputs.pkl` says, where there is one: by method, the inputs without `self`.
fn traced(
    archive: &Archive,
    limits: &Limits,
) -> Result<BTreeMap<String, Vec<Option<TracedInput>>>, FileError> {
    const NAME: &str = "traced_inputs.pkl";
    let mut out = BTreeMap::new();
    if !archive.has(NAME) {
        return Ok(out);
    }
    let pickle = pickle_of(archive, NAME, limits)?;
    for &(method, inputs) in pickle.pairs(pickle.root()).unwrap_or_default() {
        let (Some(method), Some(inputs)) = (pickle.str(method), pickle.items(inputs)) else {
            continue;
        };
        let one = |&id: &Id| match pickle.get(id) {
            pickle::Value::Tensor(t) => {
                Some(TracedInput { dtype: t.dtype, sizes: t.sizes.clone() })
            }
            _ => None,
        };
        out.insert(method.to_owned(), inputs.iter().map(one).collect());
    }
    Ok(out)
}

fn sources(archive: &Archive) -> Result<Vec<Source>, FileError> {
    let files = archive.entries().iter().map(|e| e.name.as_str());
    let mut files: Vec<&str> =
        files.filter(|n| n.starts_with("code/") && n.ends_with(".py")).collect();
    files.sort_unstable();
    files.into_iter().map(|name| parse_source(name, &archive.text(name)?)).collect()
}

fn pickle_of(archive: &Archive, name: &str, limits: &Limits) -> Result<Pickle, FileError> {
    load(&archive.get(name)?, limits).map_err(|e| e.within(name))
}

/// Turns the values of a pickle into those of a program.
struct Reader<'a, 'b> {
    script: &'a mut Script,
    pickle: &'a Pickle,
    storages: &'a mut Storages<'b>,
    objects: FxHashMap<Id, ObjectId>,
    /// Tensors by the storage that they are a view of.
    places: FxHashMap<usize, Vec<TensorId>>,
    left: u64,
}

impl<'a, 'b> Reader<'a, 'b> {
    fn new(
        script: &'a mut Script,
        pickle: &'a Pickle,
        storages: &'a mut Storages<'b>,
        limits: &Limits,
    ) -> Self {
        let (objects, places) = Default::default();
        Self { script, pickle, storages, objects, places, left: limits.nodes }
    }

    fn root(&mut self, path: &str) -> Result<Value, FileError> {
        self.value(self.pickle.root(), path, Role::Attribute, 0)
    }

    fn value(&mut self, id: Id, path: &str, role: Role, depth: u32) -> Result<Value, FileError> {
        let left = self.left.checked_sub(1).filter(|_| depth <= DEPTH);
        let Some(left) = left else {
            return Err(FileError::limit(path, "it nests too deep or has too many parts"));
        };
        self.left = left;
        let pickle = self.pickle;
        let mut items = |items: &[Id]| {
            let item =
                |(i, id): (usize, &Id)| self.value(*id, &item_path(path, i), role, depth + 1);
            items.iter().enumerate().map(item).collect::<Result<Vec<_>, _>>()
        };
        Ok(match pickle.get(id) {
            pickle::Value::None => Value::None,
            pickle::Value::Bool(b) => Value::Bool(*b),
            pickle::Value::Int(n) => Value::Int(*n),
            pickle::Value::Float(v) => Value::Float(*v),
            pickle::Value::Complex(re, im) => Value::Complex(*re, *im),
            pickle::Value::Str(text) => Value::Str(text.clone()),
            pickle::Value::Device(name) => Value::Device(name.clone()),
            pickle::Value::List(list) => Value::List(items(list)?),
            pickle::Value::Tuple(list) => Value::Tuple(items(list)?),
            pickle::Value::Dict(pairs) => {
                let mut out = Vec::with_capacity(pairs.len());
                for (i, (key, value)) in pairs.iter().enumerate() {
                    let key = self.value(*key, path, role, depth + 1)?;
                    let value = self.value(*value, &item_path(path, i), role, depth + 1)?;
                    out.push((key, value));
                }
                Value::Dict(out)
            }
            pickle::Value::Tensor(tensor) => self.tensor(tensor, path, role)?,
            pickle::Value::Object { class, state } => {
                self.object(id, class, *state, path, depth)?
            }
            other => {
                let message = format!("an attribute is {}", other.kind());
                return Err(FileError::unsupported(path, message));
            }
        })
    }

    /// A tensor; one that shows the same elements as another is that one.
    fn tensor(
        &mut self,
        tensor: &pickle::TensorRef,
        path: &str,
        role: Role,
    ) -> Result<Value, FileError> {
        let view = self.storages.view(tensor).map_err(|e| e.within(path))?;
        let place = view.storage().as_ptr() as usize;
        let near = self.places.entry(place).or_default();
        let tensors = &self.script.tensors;
        let same =
            |id: &&TensorId| tensors.get(id.0 as usize).is_some_and(|t| t.view.same_place(&view));
        if view.numel() > 0
            && let Some(&id) = near.iter().find(same)
        {
            return Ok(Value::Tensor(id));
        }
        let Ok(number) = u32::try_from(tensors.len()) else {
            return Err(FileError::limit(path, "the program has too many tensors"));
        };
        near.push(TensorId(number));
        let role = if path.starts_with("CONSTANTS.") { Role::Constant } else { role };
        let requires_grad = tensor.requires_grad;
        let name = path.to_owned();
        self.script.tensors.push(ScriptTensor { name, view, role, requires_grad });
        Ok(Value::Tensor(TensorId(number)))
    }

    fn object(
        &mut self,
        id: Id,
        class: &Arc<str>,
        state: Option<Id>,
        path: &str,
        depth: u32,
    ) -> Result<Value, FileError> {
        if let Some(&known) = self.objects.get(&id) {
            return Ok(Value::Object(known));
        }
        if let Some(member) = self.enum_member(class, state) {
            return Ok(member);
        }
        let number = ObjectId(u32::try_from(self.script.objects.len()).unwrap_or(u32::MAX));
        self.objects.insert(id, number);
        let object = Object { class: class.clone(), path: path.to_owned(), attrs: Vec::new() };
        self.script.objects.push(object);
        let mut attrs = Vec::new();
        match state.map(|s| (s, self.pickle.pairs(s))) {
            Some((_, Some(pairs))) => {
                for (key, value) in pairs {
                    let Some(key) = self.pickle.str(*key) else {
                        return Err(FileError::malformed(path, "an attribute has no name"));
                    };
                    let role = self.role(class, key);
                    let inner =
                        if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    attrs.push((key.to_owned(), self.value(*value, &inner, role, depth + 1)?));
                }
            }
            // A class with a `__getstate__` of its own: what that gave.
            Some((state, None)) => {
                let state = self.value(state, path, Role::Attribute, depth + 1)?;
                attrs.push((STATE.to_owned(), state));
            }
            None => {}
        }
        if let Some(object) = self.script.objects.get_mut(number.0 as usize) {
            object.attrs = attrs;
        }
        Ok(Value::Object(number))
    }

    /// What an attribute is, from the lists of its class.
    fn role(&self, class: &str, attr: &str) -> Role {
        let Some((_, class)) = self.script.class(class) else { return Role::Attribute };
        let lists = |list: &str| class.list(list).iter().any(|name| name == attr);
        if lists("__parameters__") {
            Role::Parameter
        } else if lists("__buffers__") {
            Role::Buffer
        } else {
            Role::Attribute
        }
    }

    /// The value of a member of an enumeration.
    fn enum_member(&self, class: &str, state: Option<Id>) -> Option<Value> {
        let (_, class) = self.script.class(class)?;
        if class.base.as_deref() != Some("Enum") {
            return None;
        }
        match self.pickle.get(state?) {
            pickle::Value::Int(n) => Some(Value::Int(*n)),
            pickle::Value::Float(v) => Some(Value::Float(*v)),
            pickle::Value::Str(text) => Some(Value::Str(text.clone())),
            pickle::Value::Global(Global::Script(name)) => {
                let field = class.field(name.rsplit('.').next()?)?;
                match &field.value.as_ref()?.kind {
                    ExprKind::Int(n) => Some(Value::Int(*n)),
                    ExprKind::Str(text) => Some(Value::Str(text.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The attribute that holds what a `__getstate__` gave.
const STATE: &str = "__state__";

fn item_path(path: &str, item: usize) -> String {
    match path {
        "CONSTANTS" => format!("CONSTANTS.c{item}"),
        _ => format!("{path}.{item}"),
    }
}
