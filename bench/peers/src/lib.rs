//! What the programs of this crate have in common: the protocol of `airconv bench`.
//!
//! A peer is called with `MODEL.onnx INPUTS.npz OUTPUTS.npz THREADS`. It runs once, writes its
//! outputs by position, says `ready NAME VERSION KIB`, and then runs once per line read and
//! answers with the nanoseconds that it took; or it says `refused WHY`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Instant;

use ndarray_npy::{NpzReader, NpzWriter, ReadNpzError};

/// Whatever goes wrong is the answer.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// An array in row-major order.
#[derive(Clone, Debug)]
pub struct Array {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Data,
}

/// The elements of an array.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
}

/// What a peer is asked to do.
pub struct Task {
    /// The model's file.
    pub model: PathBuf,
    /// Its inputs by name.
    pub inputs: BTreeMap<String, Array>,
    /// How many threads it may use.
    pub threads: usize,
}

/// Speaks the protocol for a framework: `load` gives a function that runs the model once and
/// returns its outputs in order, `None` for those that are not arrays.
pub fn serve<R>(name: &str, version: &str, load: impl FnOnce(Task) -> Outcome<R>)
where
    R: FnMut() -> Outcome<Vec<Option<Array>>>,
{
    if let Err(why) = answer(name, version, load) {
        println!("refused {}", why.to_string().replace('\n', " "));
    }
}

fn answer<R>(name: &str, version: &str, load: impl FnOnce(Task) -> Outcome<R>) -> Outcome<()>
where
    R: FnMut() -> Outcome<Vec<Option<Array>>>,
{
    let words: Vec<String> = std::env::args().collect();
    let [_, model, inputs, outputs, threads] = &words[..] else {
        return Err("usage: MODEL.onnx INPUTS.npz OUTPUTS.npz THREADS".into());
    };
    flush_subnormals();
    let before = peak();
    let inputs = read(inputs)?;
    let mut run = load(Task { model: model.into(), inputs, threads: threads.parse()? })?;
    write(outputs, &run()?)?;
    println!("ready {name} {version} {}", peak().saturating_sub(before));
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let made = run()?;
        let took = start.elapsed().as_nanos();
        drop(made);
        println!("{took}");
    }
    Ok(())
}

/// Sets this thread's arithmetic to flush subnormal numbers, as the others do.
#[cfg(target_arch = "x86_64")]
fn flush_subnormals() {
    const FLUSH_AND_ZERO: u32 = 0x8040;
    let mut mode = 0u32;
    // SAFETY: both instructions move the control register of SSE and nothing else.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode);
        mode |= FLUSH_AND_ZERO;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn flush_subnormals() {}

/// The most resident memory so far, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn read(path: &str) -> Outcome<BTreeMap<String, Array>> {
    let mut file = NpzReader::new(File::open(path)?)?;
    let mut out = BTreeMap::new();
    for name in file.names()? {
        let array = one(&mut file, &name)?;
        out.insert(name.strip_suffix(".npy").unwrap_or(&name).to_owned(), array);
    }
    Ok(out)
}

fn one(file: &mut NpzReader<File>, name: &str) -> Outcome<Array> {
    macro_rules! attempt {
        ($($variant:ident),*) => {
            $(match file.by_name(name) {
                Ok(array) => {
                    let array: ndarray::ArrayD<_> = array;
                    let shape = array.shape().to_vec();
                    let data = Data::$variant(array.iter().copied().collect());
                    return Ok(Array { shape, data });
                }
                Err(ReadNpzError::Npy(_)) => {}
                Err(other) => return Err(other.into()),
            })*
        };
    }
    attempt!(F32, I64, I32, F64, U8, I8, Bool);
    Err(format!("input `{name}` has a dtype that this peer does not read").into())
}

fn write(path: &str, outputs: &[Option<Array>]) -> Outcome<()> {
    let mut file = NpzWriter::new(File::create(path)?);
    for (i, output) in outputs.iter().enumerate() {
        let Some(Array { shape, data }) = output else { continue };
        macro_rules! put {
            ($v:expr) => {
                file.add_array(i.to_string(), &ndarray::ArrayD::from_shape_vec(shape.clone(), $v.clone())?)?
            };
        }
        match data {
            Data::F32(v) => put!(v),
            Data::F64(v) => put!(v),
            Data::I8(v) => put!(v),
            Data::U8(v) => put!(v),
            Data::I32(v) => put!(v),
            Data::I64(v) => put!(v),
            Data::Bool(v) => put!(v),
        }
    }
    file.finish()?;
    Ok(())
}
