//! The cases: ops, inputs, and outputs worked out by hand or with NumPy.

use std::f64::consts::{E, FRAC_PI_3, FRAC_PI_6, LN_2};

use airconv_ir::array::{Array, ArrayError};
use airconv_ir::attr::Float;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType::{
    self, BF16, Bool, C64, C128, F8E4M3FN, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64,
};
use airconv_ir::entity::OriginId;
use airconv_ir::interp::Datum;
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::tensor::{Tensor, TensorError};

use super::OpCase;

/// Why a case could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildCaseError {
    /// An array could not be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The op does not take the operands.
    #[error("{name}: {error}")]
    Build {
        /// The case.
        name: String,
        /// Why.
        error: BuildError,
    },
}

/// A tensor in short: dtype, shape, elements.
type Short<'a> = (DType, &'a [usize], &'a [f64]);

const FLOATS: &[DType] = &[F16, BF16, F32, F64];
const WIDE: &[DType] = &[F32, F64];
const SIGNED: &[DType] = &[I8, I16, I32, I64];
const UNSIGNED: &[DType] = &[U8, U16, U32, U64];
const NUMBERS: &[DType] = &[F16, F32, F64, I8, I32, I64, U8, U64];
const SOME: &[DType] = &[F32, F64, I32, I64, U8, Bool];

fn array((dtype, shape, values): Short<'_>) -> Result<Array, ArrayError> {
    if dtype == Bool {
        return Array::from_vec(
            shape.to_vec(),
            values.iter().map(|&v| v != 0.0).collect::<Vec<_>>(),
        );
    }
    if dtype.is_integer() {
        let whole: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        return Array::from_i64s(dtype, shape.to_vec(), &whole);
    }
    Array::from_f64s(dtype, shape.to_vec(), values)
}

struct Cases(Vec<OpCase>);

impl Cases {
    /// A program that applies an op to inputs `x0`, `x1` ...; its outputs are `y0`, `y1` ...
    fn program(
        &mut self,
        op: Op,
        special: &str,
        operands: &[Array],
        outputs: &[Array],
        tensors: Vec<Tensor>,
    ) -> Result<(), BuildCaseError> {
        let mut module = Module::default();
        tensors.into_iter().for_each(|t| {
            module.tensors.push(t);
        });
        let func = module.functions.push(Function::new("main"));
        let f = &mut module.functions[func];
        let mut inputs = Vec::new();
        let mut values = Vec::new();
        for (i, a) in operands.iter().enumerate() {
            let name = format!("x{i}");
            let datum = Datum::from(a.clone());
            let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
            values.push(Some(f.add_input(&name, datum.ty(), role)));
            inputs.push((name, datum));
        }
        let body = f.body;
        let kind = op.kind();
        let dtypes: Vec<String> = operands.iter().map(|a| a.dtype.to_string()).collect();
        let mut name = format!("{kind}({})", dtypes.join(", "));
        if !special.is_empty() {
            name = format!("{name} {special}");
        }
        let mut b = Builder::new(&mut module, func, body, OriginId(0));
        let present = vec![true; outputs.len()];
        let node = b
            .node_with(op, &values, &present)
            .map_err(|error| BuildCaseError::Build { name: name.clone(), error })?;
        let results: Vec<_> = module.functions[func].nodes[node].outputs().collect();
        let mut wanted = Vec::new();
        for (i, (value, want)) in results.into_iter().zip(outputs).enumerate() {
            let name = format!("y{i}");
            module.functions[func].add_output(&name, value, OutputRole::User(ArgKindRole::Tensor));
            wanted.push((name, want.clone().into()));
        }
        let narrowest = operands.iter().chain(outputs).filter(|a| a.dtype.is_float());
        let rtol = match narrowest.map(|a| a.dtype.bits()).min() {
            Some(..=16) => 1e-2,
            Some(17..=32) => 2e-6,
            Some(_) => 1e-13,
            None => 0.0,
        };
        self.0.push(OpCase {
            name,
            op: kind,
            module,
            inputs: inputs.into_iter().collect(),
            outputs: wanted,
            rtol,
        });
        Ok(())
    }

    fn add(
        &mut self,
        op: impl Into<Op>,
        special: &str,
        operands: &[Short<'_>],
        outputs: &[Short<'_>],
    ) -> Result<(), BuildCaseError> {
        let operands = operands.iter().map(|&s| array(s)).collect::<Result<Vec<_>, _>>()?;
        let outputs = outputs.iter().map(|&s| array(s)).collect::<Result<Vec<_>, _>>()?;
        self.program(op.into(), special, &operands, &outputs, Vec::new())
    }

    /// A unary op on vectors, for each dtype.
    fn unary(
        &mut self,
        op: impl Into<Op> + Clone,
        dtypes: &[DType],
        x: &[f64],
        y: &[f64],
    ) -> Result<(), BuildCaseError> {
        for &d in dtypes {
            self.add(op.clone(), "", &[(d, &[x.len()], x)], &[(d, &[y.len()], y)])?;
        }
        Ok(())
    }

    /// A binary op on vectors, for each dtype; `to` is the dtype of the result, if another.
    fn binary(
        &mut self,
        op: impl Into<Op> + Clone,
        dtypes: &[DType],
        to: Option<DType>,
        a: &[f64],
        b: &[f64],
        y: &[f64],
    ) -> Result<(), BuildCaseError> {
        for &d in dtypes {
            let n = [a.len()];
            self.add(op.clone(), "", &[(d, &n, a), (d, &n, b)], &[(to.unwrap_or(d), &n, y)])?;
        }
        Ok(())
    }
}

fn known(dims: &[i64]) -> Vec<Dim> {
    dims.iter().map(|&d| Dim::Known(d)).collect()
}

/// All cases.
pub fn cases() -> Result<Vec<OpCase>, BuildCaseError> {
    let mut c = Cases(Vec::new());
    arithmetic(&mut c)?;
    functions(&mut c)?;
    logic(&mut c)?;
    conversions(&mut c)?;
    shapes(&mut c)?;
    indexing(&mut c)?;
    reductions(&mut c)?;
    products(&mut c)?;
    composites(&mut c)?;
    Ok(c.0)
}

fn arithmetic(c: &mut Cases) -> Result<(), BuildCaseError> {
    c.binary(Add {}, NUMBERS, None, &[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], &[5.0, 7.0, 9.0])?;
    c.binary(Sub {}, NUMBERS, None, &[7.0, 5.0, 3.0], &[4.0, 5.0, 1.0], &[3.0, 0.0, 2.0])?;
    c.binary(Mul {}, NUMBERS, None, &[1.0, 2.0, 3.0], &[4.0, 0.0, 6.0], &[4.0, 0.0, 18.0])?;
    c.binary(Add {}, &[BF16], None, &[0.5, -2.0], &[0.25, 2.0], &[0.75, 0.0])?;
    c.add(
        Add {},
        "wraps",
        &[(U8, &[2], &[255.0, 1.0]), (U8, &[2], &[2.0, 1.0])],
        &[(U8, &[2], &[1.0, 2.0])],
    )?;
    let div = |rounding| Div { rounding };
    c.binary(
        div(IntRounding::Trunc),
        FLOATS,
        None,
        &[1.0, -3.0, 0.0],
        &[2.0, 2.0, 4.0],
        &[0.5, -1.5, 0.0],
    )?;
    c.binary(
        div(IntRounding::Trunc),
        SIGNED,
        None,
        &[7.0, -7.0, 7.0],
        &[2.0, 2.0, -2.0],
        &[3.0, -3.0, -3.0],
    )?;
    c.binary(div(IntRounding::Trunc), UNSIGNED, None, &[7.0, 200.0], &[2.0, 3.0], &[3.0, 66.0])?;
    let (a, b) = ((I32, &[3][..], &[7.0, -7.0, 7.0][..]), (I32, &[3][..], &[2.0, 2.0, -2.0][..]));
    c.add(div(IntRounding::Floor), "floor", &[a, b], &[(I32, &[3], &[3.0, -4.0, -4.0])])?;
    let rem = |rounding| Rem { rounding };
    c.add(rem(IntRounding::Trunc), "", &[a, b], &[(I32, &[3], &[1.0, -1.0, 1.0])])?;
    c.add(rem(IntRounding::Floor), "floor", &[a, b], &[(I32, &[3], &[1.0, 1.0, -1.0])])?;
    c.binary(rem(IntRounding::Trunc), WIDE, None, &[5.5, -5.5], &[2.0, 2.0], &[1.5, -1.5])?;
    c.binary(Pow {}, WIDE, None, &[2.0, 9.0, 4.0], &[3.0, 0.5, -1.0], &[8.0, 3.0, 0.25])?;
    c.binary(Pow {}, &[I32, I64], None, &[2.0, -3.0], &[10.0, 3.0], &[1024.0, -27.0])?;
    let max = Max { nan: NanRule::Propagate };
    let min = Min { nan: NanRule::Propagate };
    c.binary(max, NUMBERS, None, &[1.0, 5.0], &[4.0, 2.0], &[4.0, 5.0])?;
    c.binary(min, NUMBERS, None, &[1.0, 5.0], &[4.0, 2.0], &[1.0, 2.0])?;
    let nan = f64::NAN;
    c.add(
        Max { nan: NanRule::Propagate },
        "NaN",
        &[(F32, &[2], &[nan, 1.0]), (F32, &[2], &[1.0, nan])],
        &[(F32, &[2], &[nan, nan])],
    )?;
    for dtypes in [FLOATS, SIGNED] {
        c.unary(Neg {}, dtypes, &[1.0, -2.0, 0.0], &[-1.0, 2.0, 0.0])?;
        c.unary(Abs {}, dtypes, &[1.0, -2.0, 0.0], &[1.0, 2.0, 0.0])?;
        c.unary(Sign {}, dtypes, &[3.0, -2.0, 0.0], &[1.0, -1.0, 0.0])?;
    }
    Ok(())
}

fn functions(c: &mut Cases) -> Result<(), BuildCaseError> {
    c.unary(Floor {}, FLOATS, &[1.5, -1.5, 2.0], &[1.0, -2.0, 2.0])?;
    c.unary(Ceil {}, FLOATS, &[1.5, -1.5, 2.0], &[2.0, -1.0, 2.0])?;
    c.unary(Round {}, FLOATS, &[0.5, 1.5, -2.5, 2.25], &[0.0, 2.0, -2.0, 2.0])?;
    c.unary(Sqrt {}, FLOATS, &[0.0, 4.0, 2.25], &[0.0, 2.0, 1.5])?;

    c.unary(Exp {}, FLOATS, &[0.0, 1.0, -1.0], &[1.0, E, 1.0 / E])?;
    c.unary(Log {}, FLOATS, &[1.0, 0.5, 4.0], &[0.0, -LN_2, 2.0 * LN_2])?;
    c.unary(Sin {}, WIDE, &[0.5, -0.5], &[0.479_425_538_604_203, -0.479_425_538_604_203])?;
    c.unary(Cos {}, WIDE, &[0.5, 0.0], &[0.877_582_561_890_372_8, 1.0])?;
    c.unary(Tan {}, WIDE, &[0.5, 0.0], &[0.546_302_489_843_790_5, 0.0])?;
    c.unary(Asin {}, WIDE, &[0.5, 0.0], &[FRAC_PI_6, 0.0])?;
    c.unary(Acos {}, WIDE, &[0.5, 1.0], &[FRAC_PI_3, 0.0])?;
    c.unary(Atan {}, WIDE, &[0.5, 0.0], &[0.463_647_609_000_806_1, 0.0])?;
    c.unary(Sinh {}, WIDE, &[0.5, 0.0], &[0.521_095_305_493_747_4, 0.0])?;
    c.unary(Cosh {}, WIDE, &[0.5, 0.0], &[1.127_625_965_206_380_7, 1.0])?;
    c.unary(Tanh {}, WIDE, &[0.5, 0.0], &[0.462_117_157_260_009_75, 0.0])?;
    c.unary(Asinh {}, WIDE, &[0.5, 0.0], &[0.481_211_825_059_603_47, 0.0])?;
    c.unary(Acosh {}, WIDE, &[1.5, 1.0], &[0.962_423_650_119_206_9, 0.0])?;
    c.unary(Atanh {}, WIDE, &[0.5, 0.0], &[0.549_306_144_334_054_9, 0.0])?;
    c.unary(Erf {}, WIDE, &[0.5, 0.0], &[0.520_499_877_813_046_5, 0.0])?;
    Ok(())
}

fn logic(c: &mut Cases) -> Result<(), BuildCaseError> {
    let (a, b) = (&[0.0, 0.0, 1.0, 1.0], &[0.0, 1.0, 0.0, 1.0]);
    c.unary(Not {}, &[Bool], &[0.0, 1.0], &[1.0, 0.0])?;
    c.binary(And {}, &[Bool], None, a, b, &[0.0, 0.0, 0.0, 1.0])?;
    c.binary(Or {}, &[Bool], None, a, b, &[0.0, 1.0, 1.0, 1.0])?;
    c.binary(Xor {}, &[Bool], None, a, b, &[0.0, 1.0, 1.0, 0.0])?;
    c.unary(BitNot {}, &[U8], &[0.0, 1.0, 255.0], &[255.0, 254.0, 0.0])?;
    c.unary(BitNot {}, &[I32, I64], &[0.0, -1.0, 5.0], &[-1.0, 0.0, -6.0])?;
    let ints = &[I8, I32, U8, U32];
    c.binary(BitAnd {}, ints, None, &[12.0, 7.0], &[10.0, 8.0], &[8.0, 0.0])?;
    c.binary(BitOr {}, ints, None, &[12.0, 7.0], &[10.0, 8.0], &[14.0, 15.0])?;
    c.binary(BitXor {}, ints, None, &[12.0, 7.0], &[10.0, 8.0], &[6.0, 15.0])?;
    c.binary(ShiftLeft {}, UNSIGNED, None, &[1.0, 3.0], &[1.0, 2.0], &[2.0, 12.0])?;
    c.binary(ShiftRight {}, UNSIGNED, None, &[128.0, 3.0], &[3.0, 2.0], &[16.0, 0.0])?;
    c.binary(Equal {}, SOME, Some(Bool), &[0.0, 1.0], &[1.0, 1.0], &[0.0, 1.0])?;
    c.binary(Less {}, NUMBERS, Some(Bool), &[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0], &[1.0, 0.0, 0.0])?;
    c.binary(
        LessOrEqual {},
        NUMBERS,
        Some(Bool),
        &[1.0, 2.0, 3.0],
        &[2.0, 2.0, 2.0],
        &[1.0, 1.0, 0.0],
    )?;
    let nan = f64::NAN;
    for &d in FLOATS {
        c.add(IsNan {}, "", &[(d, &[2], &[nan, 1.0])], &[(Bool, &[2], &[1.0, 0.0])])?;
    }
    for &d in SOME {
        c.add(
            Select {},
            "",
            &[(Bool, &[2], &[1.0, 0.0]), (d, &[2], &[1.0, 1.0]), (d, &[2], &[0.0, 0.0])],
            &[(d, &[2], &[1.0, 0.0])],
        )?;
    }
    Ok(())
}

fn conversions(c: &mut Cases) -> Result<(), BuildCaseError> {
    let cast = |to| Cast { to, saturate: true, rounding: CastRounding::Up };
    let x: &[f64] = &[1.5, -1.5, 0.0];
    c.add(cast(I32), "to i32", &[(F32, &[3], x)], &[(I32, &[3], &[1.0, -1.0, 0.0])])?;
    c.add(cast(Bool), "to bool", &[(F32, &[3], x)], &[(Bool, &[3], &[1.0, 1.0, 0.0])])?;
    c.add(cast(F64), "to f64", &[(F32, &[3], x)], &[(F64, &[3], x)])?;
    c.add(
        cast(F16),
        "to f16",
        &[(F32, &[2], &[2049.0, 1e6])],
        &[(F16, &[2], &[2048.0, f64::INFINITY])],
    )?;
    c.add(cast(F32), "to f32", &[(I64, &[2], &[3.0, -4.0])], &[(F32, &[2], &[3.0, -4.0])])?;
    c.add(cast(U8), "to u8", &[(I32, &[2], &[258.0, -1.0])], &[(U8, &[2], &[2.0, 255.0])])?;
    c.add(cast(I64), "to i64", &[(Bool, &[2], &[1.0, 0.0])], &[(I64, &[2], &[1.0, 0.0])])?;
    c.add(
        cast(F8E4M3FN),
        "to f8",
        &[(F32, &[2], &[1.0625, 1e9])],
        &[(F8E4M3FN, &[2], &[1.0, 448.0])],
    )?;
    c.add(
        Bitcast { to: I32 },
        "",
        &[(F32, &[2], &[1.0, -2.0])],
        &[(I32, &[2], &[1_065_353_216.0, -1_073_741_824.0])],
    )?;
    for (part, whole) in [(F32, C64), (F64, C128)] {
        let z = Array::zeros(whole, vec![1])?;
        let zero = array((part, &[1], &[0.0]))?;
        c.program(
            Complex {}.into(),
            "",
            &[zero.clone(), zero.clone()],
            std::slice::from_ref(&z),
            Vec::new(),
        )?;
        c.program(
            Real {}.into(),
            "",
            std::slice::from_ref(&z),
            std::slice::from_ref(&zero),
            Vec::new(),
        )?;
        c.program(Imag {}.into(), "", &[z], &[zero], Vec::new())?;
    }
    Ok(())
}

fn shapes(c: &mut Cases) -> Result<(), BuildCaseError> {
    let six: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    for &d in &[F16, F32, F64, I8, I64, U8] {
        let x: Short<'_> = (d, &[2, 3], six);
        let tensor = Tensor::from_array(&array(x)?)?;
        let tensor_id = airconv_ir::entity::TensorId(0);
        c.program(
            Constant { tensor: tensor_id }.into(),
            &d.to_string(),
            &[],
            &[array(x)?],
            vec![tensor],
        )?;
        c.add(Reshape { dims: known(&[3, 2]) }, "", &[x], &[(d, &[3, 2], six)])?;
        c.add(
            Transpose { perm: vec![1, 0] },
            "",
            &[x],
            &[(d, &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])],
        )?;
        c.add(
            Broadcast { dims: known(&[2, 2, 3]), implicit: false },
            "",
            &[(d, &[2, 1], &[1.0, 2.0])],
            &[(d, &[2, 2, 3], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0])],
        )?;
        let slice = |start, end, step| Slice {
            axes: vec![1],
            starts: known(&[start]),
            ends: known(&[end]),
            steps: vec![step],
        };
        c.add(slice(1, 3, 1), "", &[x], &[(d, &[2, 2], &[1.0, 2.0, 4.0, 5.0])])?;
        c.add(slice(-1, -9, -2), "backward", &[x], &[(d, &[2, 2], &[2.0, 0.0, 5.0, 3.0])])?;
        c.add(
            Concat { axis: 1 },
            "",
            &[(d, &[2, 1], &[1.0, 2.0]), (d, &[2, 2], &[3.0, 4.0, 5.0, 6.0])],
            &[(d, &[2, 3], &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0])],
        )?;
    }
    for &d in &[F32, F64, I32, I64] {
        let pad = |mode| Pad { low: known(&[1]), high: known(&[2]), mode };
        let x: Short<'_> = (d, &[3], &[1.0, 2.0, 3.0]);
        let value: Short<'_> = (d, &[], &[9.0]);
        c.add(
            pad(PadMode::Constant),
            "",
            &[x, value],
            &[(d, &[6], &[9.0, 1.0, 2.0, 3.0, 9.0, 9.0])],
        )?;
        c.add(pad(PadMode::Edge), "edge", &[x], &[(d, &[6], &[1.0, 1.0, 2.0, 3.0, 3.0, 3.0])])?;
        c.add(
            pad(PadMode::Reflect),
            "reflect",
            &[x],
            &[(d, &[6], &[2.0, 1.0, 2.0, 3.0, 2.0, 1.0])],
        )?;
        let iota = Iota { dtype: d, dims: known(&[2, 3]), axis: 1 };
        c.add(iota, &d.to_string(), &[], &[(d, &[2, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0])])?;
    }
    c.add(DimValue { dims: known(&[2, 3]), scalar: false }, "", &[], &[(I64, &[2], &[2.0, 3.0])])?;
    let value = Tensor::from_array(&array((F32, &[], &[2.5]))?)?;
    let op = Full { dims: known(&[2]), value: airconv_ir::entity::TensorId(0) };
    c.program(op.into(), "", &[], &[array((F32, &[2], &[2.5, 2.5]))?], vec![value])?;
    Ok(())
}

fn indexing(c: &mut Cases) -> Result<(), BuildCaseError> {
    let x: &[f64] = &[1.0, 0.0, 3.0, 4.0, 5.0, 0.0];
    for &d in &[F32, F64, I64] {
        c.add(
            GatherNd { batch_dims: 0 },
            "",
            &[(d, &[2, 3], x), (I64, &[2, 2], &[0.0, 2.0, 1.0, 0.0])],
            &[(d, &[2], &[3.0, 4.0])],
        )?;
        let operands: [Short<'_>; 3] =
            [(d, &[4], &[1.0, 2.0, 3.0, 4.0]), (I64, &[2, 1], &[3.0, 1.0]), (d, &[2], &[9.0, 8.0])];
        let scatter = |reduction| ScatterNd { reduction };
        c.add(scatter(ScatterReduction::None), "", &operands, &[(d, &[4], &[1.0, 8.0, 3.0, 9.0])])?;
        c.add(
            scatter(ScatterReduction::Add),
            "add",
            &operands,
            &[(d, &[4], &[1.0, 10.0, 3.0, 13.0])],
        )?;
        c.add(
            TopK { k: Dim::Known(2), axis: 1, largest: true, sorted: true },
            "",
            &[(d, &[2, 3], x)],
            &[(d, &[2, 2], &[3.0, 1.0, 5.0, 4.0]), (I64, &[2, 2], &[2.0, 0.0, 1.0, 0.0])],
        )?;
        c.add(
            Nonzero {},
            "",
            &[(d, &[2, 3], x)],
            &[(I64, &[2, 4], &[0.0, 0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 1.0])],
        )?;
    }
    Ok(())
}

fn reductions(c: &mut Cases) -> Result<(), BuildCaseError> {
    let x: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for &d in &[F16, F32, F64, I32, I64] {
        for (kind, want) in [
            (ReduceKind::Sum, [6.0, 15.0]),
            (ReduceKind::Prod, [6.0, 120.0]),
            (ReduceKind::Max, [3.0, 6.0]),
            (ReduceKind::Min, [1.0, 4.0]),
        ] {
            let op = Reduce { kind, axes: vec![1], keepdims: false };
            c.add(op, kind.as_str(), &[(d, &[2, 3], x)], &[(d, &[2], &want)])?;
        }
        let op = ArgReduce { kind: ArgKind::Max, axis: 0, keepdims: true, select_last: false };
        c.add(op, "", &[(d, &[2, 3], x)], &[(I64, &[1, 3], &[1.0, 1.0, 1.0])])?;
    }
    for &d in &[F32, F64, I32, I64] {
        let op =
            |exclusive, reverse| ScanReduce { kind: ReduceKind::Sum, axis: 1, exclusive, reverse };
        c.add(
            op(false, false),
            "",
            &[(d, &[2, 3], x)],
            &[(d, &[2, 3], &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0])],
        )?;
        c.add(
            op(true, true),
            "exclusive, reverse",
            &[(d, &[2, 3], x)],
            &[(d, &[2, 3], &[5.0, 3.0, 0.0, 11.0, 6.0, 0.0])],
        )?;
    }
    let all = Reduce { kind: ReduceKind::And, axes: vec![0], keepdims: false };
    c.add(all, "and", &[(Bool, &[2, 2], &[1.0, 0.0, 1.0, 1.0])], &[(Bool, &[2], &[1.0, 0.0])])?;
    let empty = Reduce { kind: ReduceKind::Sum, axes: vec![1], keepdims: true };
    c.add(empty, "of nothing", &[(F32, &[2, 0], &[])], &[(F32, &[2, 1], &[0.0, 0.0])])?;
    Ok(())
}

fn products(c: &mut Cases) -> Result<(), BuildCaseError> {
    let x: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for &d in &[F32, F64, I32] {
        let plain = Contract {
            lhs_batch: Vec::new(),
            rhs_batch: Vec::new(),
            lhs_contract: vec![1],
            rhs_contract: vec![0],
        };
        c.add(
            plain,
            "",
            &[(d, &[2, 3], x), (d, &[3, 2], x)],
            &[(d, &[2, 2], &[22.0, 28.0, 49.0, 64.0])],
        )?;
        let batch = Contract {
            lhs_batch: vec![0],
            rhs_batch: vec![0],
            lhs_contract: vec![1],
            rhs_contract: vec![1],
        };
        c.add(batch, "batch", &[(d, &[2, 3], x), (d, &[2, 3], x)], &[(d, &[2], &[14.0, 77.0])])?;
    }
    for &d in &[F32, F64] {
        let conv = Conv {
            strides: vec![1],
            pads: vec![1, 0],
            dilations: vec![1],
            input_dilations: vec![1],
            groups: 1,
            auto_pad: AutoPad::Explicit,
        };
        c.add(
            conv,
            "",
            &[(d, &[1, 1, 3], &[1.0, 2.0, 3.0]), (d, &[1, 1, 2], &[10.0, 1.0]), (d, &[1], &[0.5])],
            &[(d, &[1, 1, 3], &[1.5, 12.5, 23.5])],
        )?;
        let window = ReduceWindow {
            kind: ReduceKind::Max,
            window: vec![1, 1, 2],
            strides: vec![1, 1, 1],
            dilations: vec![1, 1, 1],
            pads: vec![0; 6],
        };
        c.add(window, "", &[(d, &[1, 1, 3], &[1.0, 3.0, 2.0])], &[(d, &[1, 1, 2], &[3.0, 3.0])])?;
    }
    Ok(())
}

fn composites(c: &mut Cases) -> Result<(), BuildCaseError> {
    c.unary(Relu {}, WIDE, &[1.0, -1.0, 0.0], &[1.0, 0.0, 0.0])?;
    c.unary(Sigmoid {}, WIDE, &[0.0, 1.0], &[0.5, 0.731_058_578_630_004_9])?;
    c.unary(LeakyRelu { alpha: Float(0.25) }, WIDE, &[4.0, -4.0], &[4.0, -1.0])?;
    let (a, b) = (&[1.0, 2.0, 3.0, 4.0][..], &[1.0, 1.0][..]);
    for &d in WIDE {
        c.add(Matmul {}, "", &[(d, &[2, 2], a), (d, &[2], b)], &[(d, &[2], &[3.0, 7.0])])?;

        let x: Short<'_> = (d, &[1, 2], &[0.0, LN_2]);
        c.add(Softmax { axes: vec![1] }, "", &[x], &[(d, &[1, 2], &[1.0 / 3.0, 2.0 / 3.0])])?;
        let rows: Short<'_> = (d, &[2, 2], a);
        c.add(Gather { axis: 0 }, "", &[rows, (I64, &[1], &[-1.0])], &[(d, &[1, 2], &[3.0, 4.0])])?;
        let mean = ReduceMean { axes: vec![0], keepdims: false };
        c.add(mean, "", &[rows], &[(d, &[2], &[2.0, 3.0])])?;
    }
    Ok(())
}
