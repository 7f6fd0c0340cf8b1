//! What tests of single kernels share.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::TensorId;
use airconv_kernel::ir::{
    Buffer, BufferId, BufferKind, Elem, Kernel, KernelId, Launch, Program, Step,
};

/// A program of one launch of a kernel: the numbers of elements of its buffers, its sizes, and the
/// buffers that are constants.
pub fn one_launch(
    kernel: &Kernel,
    lengths: &[usize],
    sizes: &[i64],
    constants: &[usize],
) -> (Program, Launch) {
    let buffer = |(i, &len): (usize, &usize)| Buffer {
        dtype: Some(match kernel.params[i].elem {
            Elem::U8 => DType::U8,
            Elem::I8 => DType::I8,
            Elem::I32 => DType::I32,
            _ => DType::F32,
        }),
        shape: vec![Dim::Known(len as i64)],
        kind: match constants.contains(&i) {
            true => BufferKind::Constant(TensorId(i as u32)),
            false => BufferKind::Temporary,
        },
    };
    let launch = Launch {
        kernel: KernelId(0),
        buffers: (0..lengths.len() as u32).map(BufferId).collect(),
        sizes: sizes.iter().map(|&n| Dim::Known(n)).collect(),
    };
    let program = Program {
        buffers: lengths.iter().enumerate().map(buffer).collect(),
        kernels: vec![kernel.clone()],
        steps: vec![Step::Launch(launch.clone())],
        ..Program::default()
    };
    (program, launch)
}
