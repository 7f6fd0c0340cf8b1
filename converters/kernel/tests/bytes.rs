//! Products of quantised operands: what they read is bytes in memory, and the kernels give what
//! the hub's interpreter gives.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::{Executor, Report, RunOptions};
use airconv_ir::array::Array;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::interp::Datum;
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::{
    AutoPad, Conv, ConvInteger, DequantizeLinear, Gemm, MatmulInteger, Op, QlinearAdd, QlinearConv,
    QuantizeLinear,
};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_kernel::ir::{Access, Buffer, BufferKind, Elem, Expr, Kernel};
use airconv_kernel::lower::{LowerOptions, lower};
use airconv_kernel::run::{Machine, Oracle, RunLimits};

/// Numbers of a type that repeat.
fn numbers(dtype: DType, shape: &[usize], seed: i64) -> Array {
    let (low, high) = dtype.int_range().unwrap();
    let count = shape.iter().product::<usize>() as i64;
    let span = (high - low + 1) as i64;
    let of = |i: i64| low as i64 + (i * i * 7919 + seed * 104_729 + i).rem_euclid(span);
    Array::from_i64s(dtype, shape.to_vec(), &(0..count).map(of).collect::<Vec<_>>()).unwrap()
}

/// The most numbers that are one for each channel in these tests.
const CHANNELS: i64 = 32;

/// Lowers an op on inputs of these types both ways and runs it.
fn check(op: impl Into<Op>, operands: &[(DType, &[usize])]) {
    let op = op.into();
    check_made(operands, |b, values| b.emit(op, values));
}

/// The same for what is made of inputs.
fn check_made(
    operands: &[(DType, &[usize])],
    make: impl FnOnce(&mut Builder<'_>, &[ValueId]) -> Result<ValueId, BuildError>,
) {
    check_near(operands, 0.0, make);
}

/// The same, with numbers that are no further apart than this.
fn check_near(
    operands: &[(DType, &[usize])],
    apart: f64,
    make: impl FnOnce(&mut Builder<'_>, &[ValueId]) -> Result<ValueId, BuildError>,
) {
    assert!(!widens(operands, apart, make), "an operand is widened in memory");
}

/// Compares, and says whether operands are widened in memory where products of bytes stay such.
fn widens(
    operands: &[(DType, &[usize])],
    apart: f64,
    make: impl FnOnce(&mut Builder<'_>, &[ValueId]) -> Result<ValueId, BuildError>,
) -> bool {
    let (module, inputs) = made(operands, make);
    let verified = verify(&module, Stage::Imported).unwrap();
    let options = RunOptions::default();
    let wanted =
        InterpreterExecutor.run(&verified, &inputs, &options, &mut Report::default()).unwrap();
    let mut widened = false;
    for bytes in [false, true] {
        let options = LowerOptions { bytes, channel_last: bytes, ..LowerOptions::default() };
        let lowered = lower(&module, options).unwrap();
        // The result may lie in memory in two orders.
        let size = |b: &Buffer| b.shape.iter().map(|d| d.as_known().unwrap()).product::<i64>();
        let own = size(lowered.program.buffer(lowered.program.outputs[0].1));
        let wide = lowered.program.buffers.iter().filter(|b| {
            let made = b.kind == BufferKind::Temporary && b.dtype.is_some_and(|d| d.bits() > 8);
            made && size(b) != own && size(b) > CHANNELS
        });
        widened = wide.count() > 0;
        let mut machine = Machine::new(&lowered, Oracle(&lowered.program), RunLimits::default());
        let got = machine.run(&inputs).unwrap();
        let numbers = |d: &Datum| d.as_array().unwrap().to_f64s().unwrap();
        let (got, wanted) = (numbers(&got[0].1), numbers(&wanted[0].1));
        assert_eq!(got.len(), wanted.len());
        let far = got.iter().zip(&wanted).find(|(a, b)| (**a - **b).abs() > apart);
        assert_eq!(far, None, "bytes: {bytes}");
    }
    widened
}

/// A module of what is made of inputs, and numbers for them.
fn made(
    operands: &[(DType, &[usize])],
    make: impl FnOnce(&mut Builder<'_>, &[ValueId]) -> Result<ValueId, BuildError>,
) -> (Module, BTreeMap<String, Datum>) {
    let mut module = Module::default();
    module.origins.push(Default::default());
    let mut f = Function::new("main");
    let mut inputs: BTreeMap<String, Datum> = BTreeMap::new();
    let mut values = Vec::new();
    for (i, &(dtype, shape)) in operands.iter().enumerate() {
        let name = format!("x{i}");
        let dims = shape.iter().map(|&n| (n as i64).into());
        let role = InputRole::User { default: None, kind: Default::default() };
        values.push(f.add_input(&name, Type::tensor(dtype, dims), role));
        inputs.insert(name, numbers(dtype, shape, i as i64).into());
    }
    let func = module.functions.push(f);
    let body = module.functions[func].body;
    let mut b = Builder::new(&mut module, func, body, OriginId(0));
    let y = make(&mut b, &values).unwrap();
    b.f_mut().add_output("y", y, OutputRole::User(Default::default()));
    (module, inputs)
}

#[test]
fn matrices_with_zero_points() {
    use DType::{I8, U8};
    check(MatmulInteger {}, &[(U8, &[5, 40]), (I8, &[40, 18])]);
    check(MatmulInteger {}, &[(U8, &[5, 40]), (I8, &[40, 18]), (U8, &[]), (I8, &[18])]);
    check(MatmulInteger {}, &[(I8, &[2, 3, 700]), (U8, &[2, 700, 20]), (I8, &[]), (U8, &[])]);
}

fn conv(groups: i64) -> ConvInteger {
    ConvInteger {
        strides: vec![2, 1],
        pads: vec![1, 1, 1, 1],
        dilations: vec![1, 1],
        groups,
        auto_pad: AutoPad::Explicit,
    }
}

/// What a convolution makes are bytes for the next one, which has zero points around.
#[test]
fn convolutions_of_what_convolutions_make() {
    use DType::{I8, U8};
    let operands: [(DType, &[usize]); 4] =
        [(U8, &[1, 16, 9, 8]), (I8, &[32, 16, 3, 3]), (I8, &[24, 32, 3, 3]), (U8, &[])];
    check_made(&operands, |b, v| {
        let sums = b.emit(conv(1), &[v[0], v[1], v[3]])?;
        let small = b.cast(sums, DType::F32)?;
        let bytes = b.cast(small, U8)?;
        b.emit(conv(1), &[bytes, v[2], v[3]])
    });
}

#[test]
fn convolutions_with_zero_points() {
    use DType::{I8, U8};
    check(conv(1), &[(U8, &[1, 3, 6, 5]), (I8, &[20, 3, 3, 3]), (U8, &[])]);
    check(conv(1), &[(U8, &[2, 9, 4, 5]), (I8, &[16, 9, 3, 3]), (U8, &[]), (I8, &[16])]);
    check(conv(12), &[(U8, &[1, 12, 6, 5]), (I8, &[12, 1, 3, 3]), (U8, &[]), (I8, &[])]);
}

/// Scale and zero point as constants.
fn scale(b: &mut Builder<'_>, scale: f64, zero: i64) -> Result<[ValueId; 2], BuildError> {
    Ok([b.scalar(DType::F32, scale)?, b.scalar_int(DType::U8, zero)?])
}

/// A quantised convolution of one pixel.
fn qlinear(
    b: &mut Builder<'_>,
    [x, w]: [ValueId; 2],
    [from, to]: [(f64, i64); 2],
    stride: i64,
) -> Result<ValueId, BuildError> {
    let op = QlinearConv {
        strides: vec![stride; 2],
        pads: vec![0; 4],
        dilations: vec![1, 1],
        groups: 1,
        auto_pad: AutoPad::Explicit,
    };
    let [x_scale, x_zero] = scale(b, from.0, from.1)?;
    let [y_scale, y_zero] = scale(b, to.0, to.1)?;
    let (w_scale, w_zero) = (b.scalar(DType::F32, 0.01)?, b.scalar_int(DType::I8, 0)?);
    b.emit(op, &[x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero])
}

/// What two convolutions make meets in a sum, which is made where the second one is; the first one
/// lies in memory as bytes, and the sum goes on to a convolution and another sum.
#[test]
fn sums_of_what_convolutions_make() {
    use DType::{I8, U8};
    let (x, y, z) = ((0.02, 120), (0.3, 128), (0.4, 110));
    let w: (DType, &[usize]) = (I8, &[24, 24, 1, 1]);
    check_made(&[(U8, &[1, 24, 9, 7]), w, w, w, w], |b, v| {
        let sum = |b: &mut Builder<'_>, p: [ValueId; 2], of: [(f64, i64); 2]| {
            let [a_scale, a_zero] = scale(b, of[0].0, of[0].1)?;
            let [c_scale, c_zero] = scale(b, of[1].0, of[1].1)?;
            let [y_scale, y_zero] = scale(b, z.0, z.1)?;
            let operands = [p[0], a_scale, a_zero, p[1], c_scale, c_zero, y_scale, y_zero];
            b.emit(QlinearAdd {}, &operands)
        };
        let first = qlinear(b, [v[0], v[1]], [x, y], 1)?;
        let second = qlinear(b, [v[0], v[2]], [x, y], 1)?;
        let both = sum(b, [first, second], [y, y])?;
        let third = qlinear(b, [both, v[3]], [z, y], 1)?;
        let all = sum(b, [third, both], [y, z])?;
        qlinear(b, [all, v[4]], [z, y], 2)
    });
}

/// Bytes as floats, with scales as constants.
fn dequantized(
    b: &mut Builder<'_>,
    x: ValueId,
    scales: &[f64],
    zero: Option<i64>,
    axis: i64,
) -> Result<ValueId, BuildError> {
    let op = DequantizeLinear { axis, block_size: 0, dtype: None };
    let shape = if scales.len() == 1 { vec![] } else { vec![scales.len()] };
    let scales: Vec<f32> = scales.iter().map(|&s| s as f32).collect();
    let dtype = b.ty(x).dtype().unwrap();
    let zeros = |zero: i64| Array::from_i64s(dtype, shape.clone(), &vec![zero; scales.len()]);
    let zero = zero.map(|zero| zeros(zero).unwrap());
    let scale = b.constant(&Array::from_vec(shape, scales)?)?;
    match zero {
        Some(zero) => {
            let zero = b.constant(&zero)?;
            b.emit(op, &[x, scale, zero])
        }
        None => b.emit(op, &[x, scale]),
    }
}

/// Floats as bytes and back.
fn through_bytes(
    b: &mut Builder<'_>,
    x: ValueId,
    scale: f64,
    zero: i64,
    dtype: DType,
) -> Result<ValueId, BuildError> {
    let (axis, block_size) = (1, 0);
    let op = QuantizeLinear { axis, block_size, dtype, saturate: true, precision: None };
    let operands = [b.scalar(DType::F32, scale)?, b.scalar_int(dtype, zero)?];
    let y = b.emit(op, &[x, operands[0], operands[1]])?;
    dequantized(b, y, &[scale], Some(zero), 1)
}

/// A network of floats between which there are bytes, as tools that quantise write it: weights have
/// a scale for each channel, and what a convolution makes is read by another one and by a sum.
#[test]
fn convolutions_of_scaled_bytes() {
    use DType::{I8, I32, U8};
    let scales = |n: usize| (0..n).map(|i| 0.01 + 0.001 * i as f64).collect::<Vec<_>>();
    for act in [U8, I8] {
        let operands: [(DType, &[usize]); 6] = [
            (act, &[1, 16, 9, 8]),
            (I8, &[24, 16, 3, 3]),
            (I32, &[24]),
            (I8, &[24, 24, 1, 1]),
            (I8, &[24, 24, 1, 1]),
            (I8, &[16, 24, 3, 3]),
        ];
        let zero = if act == U8 { 117 } else { -9 };
        // What a last bit decides is one step.
        check_near(&operands, 1.0, |b, v| {
            let conv = |side: i64, stride: i64| Conv {
                strides: vec![stride; 2],
                pads: vec![side; 4],
                dilations: vec![1, 1],
                input_dilations: vec![1, 1],
                groups: 1,
                auto_pad: AutoPad::Explicit,
            };
            let x = dequantized(b, v[0], &[0.02], Some(zero), 1)?;
            let w = dequantized(b, v[1], &scales(24), Some(0), 0)?;
            let bias = dequantized(b, v[2], &[1e-9], None, 0)?;
            let y = b.emit(conv(1, 1), &[x, w, bias])?;
            let none = b.scalar(DType::F32, 0.0)?;
            let y = b.max(y, none)?;
            let y = through_bytes(b, y, 0.5, zero, act)?;
            let w = dequantized(b, v[3], &scales(24), Some(0), 0)?;
            let first = b.emit(conv(0, 1), &[y, w])?;
            let first = through_bytes(b, first, 3.0, zero, act)?;
            let w = dequantized(b, v[4], &[0.02], Some(0), 0)?;
            let second = b.emit(conv(0, 1), &[y, w])?;
            let second = through_bytes(b, second, 3.0, zero, act)?;
            let sum = b.add(first, second)?;
            let sum = b.add(sum, y)?;
            let sum = through_bytes(b, sum, 5.0, zero, act)?;
            let w = dequantized(b, v[5], &scales(16), Some(0), 0)?;
            let last = b.emit(conv(1, 2), &[sum, w])?;
            let axis = 1;
            let op =
                QuantizeLinear { axis, block_size: 0, dtype: act, saturate: true, precision: None };
            let (scale, zero) = (b.scalar(DType::F32, 60.0)?, b.scalar_int(act, zero)?);
            b.emit(op, &[last, scale, zero])
        });
    }
}

/// Matrix products of the same kind, the second one with its weights row by row.
#[test]
fn matrices_of_scaled_bytes() {
    use DType::{I8, U8};
    let scales: Vec<f64> = (0..20).map(|i| 0.01 + 0.001 * i as f64).collect();
    let operands: [(DType, &[usize]); 2] = [(U8, &[5, 70]), (I8, &[70, 20])];
    check_near(&operands, 1e-2, |b, v| {
        let x = dequantized(b, v[0], &[0.02], Some(3), 1)?;
        let w = dequantized(b, v[1], &scales, None, 1)?;
        b.matmul(x, w)
    });
    let operands: [(DType, &[usize]); 2] = [(U8, &[5, 70]), (I8, &[20, 70])];
    check_near(&operands, 1e-2, |b, v| {
        let x = dequantized(b, v[0], &[0.02], Some(3), 1)?;
        let w = dequantized(b, v[1], &scales, None, 0)?;
        let op = Gemm { alpha: 1.0.into(), beta: 1.0.into(), trans_a: false, trans_b: true };
        b.emit(op, &[x, w])
    });
}

/// A product of floats whose end is bytes gives floats, from which another kernel makes the bytes.
#[test]
fn products_of_floats_end_in_floats() {
    use DType::{I8, U8};
    let operands: [(DType, &[usize]); 2] = [(U8, &[5, 70]), (I8, &[70, 20])];
    let (module, _) = made(&operands, |b, v| {
        let (x, w) = (b.cast(v[0], DType::F32)?, b.cast(v[1], DType::F32)?);
        let root = b.emit(airconv_ir::op::Exp {}, &[x])?;
        let product = b.matmul(root, w)?;
        b.cast(product, U8)
    });
    for bytes in [false, true] {
        let options = LowerOptions { bytes, ..LowerOptions::default() };
        let program = lower(&module, options).unwrap().program;
        let sums = |k: &Kernel| k.exprs.iter().any(|e| matches!(e, Expr::Reduce { .. }));
        let made = |k: &Kernel| k.params.iter().find(|p| p.access == Access::Write).unwrap().elem;
        let ends: Vec<Elem> = program.kernels.iter().filter(|k| sums(k)).map(made).collect();
        assert_eq!(ends, [Elem::F32]);
    }
}

/// Scales that change along what is summed over stay in the sum.
#[test]
fn scales_along_sums_stay() {
    use DType::{I8, U8};
    let scales: Vec<f64> = (0..70).map(|i| 0.01 + 0.001 * i as f64).collect();
    let operands: [(DType, &[usize]); 2] = [(U8, &[5, 70]), (I8, &[70, 20])];
    let wide = widens(&operands, 1e-2, |b, v| {
        let x = dequantized(b, v[0], &[0.02], Some(3), 1)?;
        let w = dequantized(b, v[1], &scales, None, 0)?;
        b.matmul(x, w)
    });
    assert!(wide);
}
