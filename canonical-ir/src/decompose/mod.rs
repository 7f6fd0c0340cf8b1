//! Decompositions: what each composite means in core ops (or in simpler composites).

use smallvec::SmallVec;

use crate::builder::{BuildError, Builder};
use crate::dim::Dim;
use crate::dtype::DType;
use crate::entity::{FuncId, ValueId};
use crate::module::Module;
use crate::op::{Op, Tier};
use crate::types::{TensorType, Type};

pub mod activation;
pub mod attention;
pub mod control;
pub mod conv;
pub mod elementwise;
pub mod image;
pub mod index;
pub mod linear;
pub mod ml;
pub mod norm;
pub mod quant;
pub mod random;
pub mod reduce;
pub mod rnn;
pub mod sequence;
pub mod shape;
pub mod signal;
pub mod string;
pub mod training;

/// The values that stand for the results, by slot; `None` for one that is not wanted.
pub type DecomposeResult = Result<Vec<Option<ValueId>>, NoDecomposition>;

/// Why there is no decomposition.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoDecomposition {
    /// The op is core, a call or opaque.
    #[error("the op is not composite")]
    NotComposite,
    /// This form of the op has none.
    #[error("{0}")]
    Unsupported(String),
    /// A node of it could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<crate::array::ArrayError> for NoDecomposition {
    fn from(e: crate::array::ArrayError) -> Self {
        Self::Build(e.into())
    }
}

/// What a decomposition sees: a builder at the place of the node, and the node's operands.
pub struct DecomposeCx<'b, 'm> {
    /// Adds the nodes.
    pub b: &'b mut Builder<'m>,
    operands: SmallVec<[Option<ValueId>; 6]>,
    wanted: SmallVec<[bool; 4]>,
}

impl<'b, 'm> DecomposeCx<'b, 'm> {
    /// The operand in a slot.
    pub fn opt(&self, slot: usize) -> Option<ValueId> {
        self.operands.get(slot).copied().flatten()
    }
    /// The operand in a required slot.
    pub fn x(&self, slot: usize) -> Result<ValueId, NoDecomposition> {
        self.opt(slot)
            .ok_or_else(|| NoDecomposition::Unsupported(format!("operand {slot} is missing")))
    }
    /// The operands from a slot on.
    pub fn from(&self, slot: usize) -> Vec<ValueId> {
        self.operands.iter().skip(slot).flatten().copied().collect()
    }
    /// The tensor type of the operand in a slot.
    pub fn ty(&self, slot: usize) -> Result<TensorType, NoDecomposition> {
        Ok(self.b.tensor_ty(self.x(slot)?)?)
    }
    /// The dtype of the operand in a slot.
    pub fn dtype(&self, slot: usize) -> Result<DType, NoDecomposition> {
        Ok(self.ty(slot)?.dtype)
    }
    /// The shape of the operand in a slot.
    pub fn shape(&self, slot: usize) -> Result<Vec<Dim>, NoDecomposition> {
        Ok(self.ty(slot)?.shape.to_vec())
    }
    /// Whether a result is wanted.
    pub fn wants(&self, slot: usize) -> bool {
        self.wanted.get(slot).copied().unwrap_or(false)
    }
    /// The size as a number, or a refusal that says what it is for.
    pub fn known(&self, dim: &Dim, what: &str) -> Result<i64, NoDecomposition> {
        dim.as_known().ok_or_else(|| {
            NoDecomposition::Unsupported(format!(
                "{what} is symbolic ({}); give it with --dim",
                self.b.f().dim_text(dim)
            ))
        })
    }
    /// A refusal.
    pub fn unsupported<T>(&self, why: impl Into<String>) -> Result<T, NoDecomposition> {
        Err(NoDecomposition::Unsupported(why.into()))
    }
}

/// One result.
pub fn one(value: ValueId) -> DecomposeResult {
    Ok(vec![Some(value)])
}

/// Emits the decomposition of a composite at the builder's place and gives the values of
/// its results. Nothing of the original node changes.
pub fn decompose(
    b: &mut Builder<'_>,
    op: &Op,
    operands: &[Option<ValueId>],
    wanted: &[bool],
) -> DecomposeResult {
    if op.info().tier != Tier::Composite {
        return Err(NoDecomposition::NotComposite);
    }
    let mut cx = DecomposeCx { b, operands: operands.into(), wanted: wanted.into() };
    op.decompose_dispatch(&mut cx)
}

/// A function that takes operands of these types and gives the results of a composite by
/// its decomposition, one level deep. `source` is where the op's regions live.
pub fn decomposition_function(
    module: &mut Module,
    source: FuncId,
    op: &Op,
    operands: &[Option<Type>],
    wanted: &[bool],
) -> Result<FuncId, NoDecomposition> {
    let mut scratch = crate::module::Function::new(format!("{}.decomposed", op.name()));
    let op = crate::copy::import_regions(&module.functions[source], &mut scratch, op);
    let ids: Vec<Option<ValueId>> = operands
        .iter()
        .enumerate()
        .map(|(i, ty)| {
            let role = crate::module::InputRole::User { default: None, kind: Default::default() };
            ty.as_ref().map(|ty| scratch.add_input(&format!("x{i}"), ty.clone(), role))
        })
        .collect();
    let func = module.functions.push(scratch);
    let region = module.functions[func].body;
    let mut b = Builder::new(module, func, region, crate::entity::OriginId(0));
    let results = decompose(&mut b, &op, &ids, wanted)?;
    for (i, value) in results.into_iter().enumerate() {
        if let (Some(value), true) = (value, wanted.get(i).copied().unwrap_or(false)) {
            let role = crate::module::OutputRole::User(Default::default());
            b.f_mut().add_output(&format!("y{i}"), value, role);
        }
    }
    Ok(func)
}
