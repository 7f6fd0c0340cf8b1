//! Kernel programs in native code, in this process.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use airconv_api::{Choice, Executor, Failed, Report, RunOptions};
use airconv_ir::diag::Diagnostic;
use airconv_ir::interp::Datum;
use airconv_ir::module::Module;
use airconv_ir::pass::{PassCx, PassOptions, Pipeline, run_pipeline};
use airconv_ir::specialize::{Given, specialize};
use airconv_ir::tensor::Storage;
use airconv_ir::verify::Verified;
use airconv_kernel::executor::{lower_for, report_run, report_stop, sizes_of};
use airconv_kernel::ir::{Kernel, Launch, Program};
use airconv_kernel::lower::{LowerOptions, Lowered};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::{Backend, Chain, LaunchError, Machine, RunLimits};

use crate::cache::Cache;
use crate::compile::{Compiler, Modules};
use crate::error::{LlvmError, Result};
use crate::kernel::{Context, host};
use crate::linked::Linked;
use crate::mapped::{Mapped, release_files, release_free};
use crate::micro::amx::Grade;
use crate::nest::NestText;
use crate::pool::{ChunkFn, Pool};
use crate::select::attention::{Attention, Middle, in_chains};
use crate::select::run::{Means, Selected, UseTiles};
use crate::select::whole::{self, has_bytes};
use crate::select::{self, Constants, Declined, Explained};
use crate::target::{Isa, Target};

/// How code is made and run.
#[derive(Debug)]
pub struct JitOptions {
    /// The instruction set level; the host's when absent.
    pub isa: Option<Isa>,
    /// How many threads; as many as there are when 0.
    pub threads: usize,
    /// Where objects are kept.
    pub cache: Cache,
    /// How exact products of `f32` are.
    pub grade: Grade,
    /// Whether AMX tiles are used wherever they can be, whatever the cost; for tests.
    pub always_tiles: bool,
}

impl Default for JitOptions {
    fn default() -> Self {
        Self {
            isa: None,
            threads: 0,
            cache: Cache::user(),
            grade: Grade::default(),
            always_tiles: false,
        }
    }
}

/// A kernel whose code is yet to be compiled.
enum Found {
    Product(Box<Selected>),
    Whole(Box<whole::Selected>),
    Nest(NestText),
}

/// A compiled kernel.
enum Native {
    /// As a matrix product.
    Product(Box<select::Compiled>),
    /// As a matrix product of bytes.
    Whole(Box<whole::Compiled>),
    /// Loop by loop.
    Nest(Nest),
}

/// What to call, and the extent of its grid.
struct Nest {
    function: ChunkFn,
    /// The extent over the kernel's sizes; `None` when it is not split.
    extent: Option<airconv_ir::dim::Dim>,
    /// The least number of grid items that is worth a thread.
    grain: u64,
    sizes: Vec<Option<u32>>,
    /// See [`NestText::rows`].
    rows: Option<Box<Kernel>>,
}

/// Decides how a kernel is done, and adds the modules with the code for it.
fn how(
    kernel: &Kernel,
    constants: &[bool],
    means: Means,
    modules: &mut Modules,
) -> Result<(Found, Explained)> {
    let declined = match Selected::new(kernel, constants, means, modules) {
        Ok(product) => {
            let why = product.explain(means.grade);
            return Ok((Found::Product(Box::new(product)), why));
        }
        Err(Declined::Bytes) => match whole::Selected::new(kernel, constants, means, modules) {
            Ok(product) => {
                let why = product.explain();
                return Ok((Found::Whole(Box::new(product)), why));
            }
            Err(declined) => declined,
        },
        Err(declined) => declined,
    };
    let nest = NestText::new(kernel, means.isa, modules)?;
    Ok((Found::Nest(nest), Explained::loops(declined, means.isa)))
}

/// The kernels of a program as native code.
pub struct Compiled {
    kernels: Vec<Native>,
    explained: Vec<Explained>,
    /// What is said of the first kernels of chains.
    chained: Mutex<BTreeMap<usize, String>>,
    constants: Constants,
    pool: Pool,
    // Dropped last: the functions live in it.
    _linked: Linked,
}

impl Compiled {
    /// Compiles every kernel of a program.
    ///
    /// # Errors
    /// When LLVM cannot be opened or refuses the code, and when a kernel has no native form.
    pub fn new(program: &Program, options: &JitOptions) -> Result<Compiled> {
        let target = options.isa.map_or_else(Target::host, Target::of);
        let isa = options.isa.unwrap_or_else(Isa::host);
        // This asks for the permission to use tiles as well.
        if !isa.runs_here() {
            let host = Isa::host();
            return Err(LlvmError::Argument(format!(
                "code of level {isa} does not run on this machine, whose level is {host}"
            )));
        }
        // Kernels as they are looked at for products.
        let simpler: Vec<Option<Kernel>> = program.kernels.iter().map(select::split_axes).collect();
        let kernels = || program.kernels.iter().zip(&simpler).map(|(k, s)| s.as_ref().unwrap_or(k));
        let right = select::right_operands(kernels());
        let weights = Constants::weights(program, &right);
        let tiles = if options.always_tiles { UseTiles::Always } else { UseTiles::WherePaid };
        let means = Means { isa, grade: options.grade, weights, tiles, beside: false };
        let constants = Constants::of_kernels(program);
        let chained = in_chains(program, &constants);
        let mut modules = Modules::new();
        let mut found = Vec::with_capacity(program.kernels.len());
        let mut explained = Vec::with_capacity(program.kernels.len());
        let given = constants.into_iter().zip(chained);
        for (kernel, (constant, chained)) in kernels().zip(given) {
            let means = match tiles {
                UseTiles::WherePaid if chained => Means { tiles: UseTiles::Never, ..means },
                _ => means,
            };
            let (how, why) = how(kernel, &constant, means, &mut modules)?;
            found.push(how);
            explained.push(why);
        }
        let texts: Vec<&str> = modules.values().map(String::as_str).collect();
        let pool = Pool::new(options.threads);
        let compiler = Compiler::find()?;
        let objects = compiler.compile_all(&texts, &target, &options.cache, 2)?;
        let linked = Linked::link(&objects, &[(host::NARROW, host::narrow as *const ())])?;
        let mut kernels = Vec::with_capacity(found.len());
        for found in found {
            kernels.push(match found {
                Found::Product(product) => Native::Product(Box::new(product.link(&linked)?)),
                Found::Whole(product) => Native::Whole(Box::new(product.link(&linked)?)),
                Found::Nest(NestText { name, extent, grain, sizes, rows }) => {
                    let address = linked.lookup(&name)?;
                    // SAFETY: every emitted kernel has this type.
                    let function = unsafe { std::mem::transmute::<*const (), ChunkFn>(address) };
                    Native::Nest(Nest { function, extent, grain, sizes, rows })
                }
            });
        }
        let constants = Constants::new(program, weights);
        let chained = Mutex::default();
        Ok(Compiled { kernels, explained, chained, constants, pool, _linked: linked })
    }

    /// How a kernel, by its position in the program, is done, and why so.
    pub fn explained(&self, kernel: usize) -> Option<&Explained> {
        self.explained.get(kernel)
    }

    /// What a kernel, by its position in the program, is done together with, if that was so in a
    /// run.
    pub fn chained(&self, kernel: usize) -> Option<String> {
        self.chained.lock().unwrap_or_else(PoisonError::into_inner).get(&kernel).cloned()
    }

    fn attention(&self, chain: &Chain<'_>) -> Option<Attention<'_>> {
        let [first, middle, second] = chain.launches.map(|l| &self.kernels[l.kernel.0 as usize]);
        let (Native::Product(first), Native::Nest(nest), Native::Product(second)) =
            (first, middle, second)
        else {
            return None;
        };
        let middle = Middle { kernel: nest.rows.as_deref()?, function: nest.function };
        Attention::new((first, middle, second), chain)
    }

    /// How many kernels run as matrix products.
    pub fn products(&self) -> usize {
        (0..self.kernels.len()).filter(|&i| self.is_product(i)).count()
    }

    /// Whether a kernel, by its position in the program, runs as a matrix product.
    pub fn is_product(&self, kernel: usize) -> bool {
        matches!(self.kernels.get(kernel), Some(Native::Product(_) | Native::Whole(_)))
    }
}

impl Backend for &Compiled {
    fn launch(
        &self,
        launch: &Launch,
        buffers: &[Mem],
        sizes: &[i64],
    ) -> std::result::Result<(), LaunchError> {
        let native = match &self.kernels[launch.kernel.0 as usize] {
            Native::Product(product) => {
                return product.launch(launch, buffers, sizes, &self.constants, &self.pool);
            }
            Native::Whole(product) => {
                return product.launch(launch, buffers, sizes, &self.constants, &self.pool);
            }
            Native::Nest(nest) => nest,
        };
        let pointers: Vec<*mut c_void> = buffers.iter().map(|m| m.ptr.cast()).collect();
        let mut status = 0i32;
        let mut context =
            Context { buffers: pointers.as_ptr(), sizes: sizes.as_ptr(), status: &raw mut status };
        let context = (&raw mut context).cast::<c_void>();
        match &native.extent {
            None => {
                let _mode = crate::float_mode::FlushGuard::new();
                // SAFETY: the buffers and sizes are those that the kernel was made for.
                unsafe { (native.function)(context, 0, 1) };
            }
            Some(extent) => {
                let get = |s: airconv_ir::entity::SymbolId| {
                    let i = native.sizes.get(s.0 as usize).copied().flatten()?;
                    sizes.get(i as usize).copied()
                };
                let n = extent.eval(&get).ok_or_else(|| {
                    LaunchError::Broken("the extent of its grid is not known".to_owned())
                })?;
                // SAFETY: as above; iterations of a grid are independent.
                unsafe {
                    self.pool.parallel_for(n.max(0) as u64, native.grain, native.function, context);
                }
            }
        }
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }

    fn chains(&self, chain: &Chain<'_>) -> bool {
        let attention = self.attention(chain).filter(|a| a.fits(chain, &self.constants));
        let Some(attention) = attention else { return false };
        let first = chain.launches[0].kernel.0 as usize;
        let mut chained = self.chained.lock().unwrap_or_else(PoisonError::into_inner);
        chained.insert(first, attention.explain(self.pool.threads()));
        true
    }

    fn launch_chain(
        &self,
        chain: &Chain<'_>,
        memories: [&[Mem]; 3],
    ) -> std::result::Result<(), LaunchError> {
        let attention = self
            .attention(chain)
            .ok_or_else(|| LaunchError::Broken("it is no attention any more".to_owned()))?;
        attention.run(chain, memories, &self.constants, &self.pool)
    }
}

/// Runs modules as native code in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct LlvmExecutor;

/// The module with the sizes of these inputs, optimised by the pipeline `fuse`; as it is where
/// that cannot be done.
fn tuned(module: &Module, inputs: &BTreeMap<String, Datum>) -> Module {
    let dims = sizes_of(module, inputs);
    let mut made = module.clone();
    if !dims.is_empty() {
        let given = Given { dims, max_nodes: MOST_NODES, ..Given::default() };
        match specialize(made, &given, &[]) {
            Ok(fixed) => made = fixed,
            Err(_) => return module.clone(),
        }
    }
    fused(made)
}

/// The module after the pipeline `fuse`; as it is where that cannot be done.
pub(crate) fn fused(module: Module) -> Module {
    let mut made = module.clone();
    let mut cx = PassCx::new(PassOptions::default());
    let done = Pipeline::parse("fuse").and_then(|p| run_pipeline(&mut made, &p, &mut cx));
    match done {
        Ok(_) => made,
        Err(_) => module,
    }
}

/// The most nodes that a module may have once its sizes are known.
const MOST_NODES: u64 = 10_000_000;

/// Optimises, lowers and compiles a module for inputs of the shapes of these.
///
/// # Errors
/// As reported.
pub fn prepare(
    module: &Verified<'_>,
    inputs: &BTreeMap<String, Datum>,
    options: &RunOptions,
    report: &mut Report,
) -> std::result::Result<(Lowered, Compiled), Failed> {
    let jit = jit_options(options).map_err(|e| {
        report.push(Diagnostic::error("llvm", e.to_string()));
        Failed::Argument
    })?;
    let lower = LowerOptions {
        host: !options.native_only,
        channel_last: true,
        bytes: has_bytes(jit.isa.unwrap_or_else(Isa::host)),
    };
    let fast = tuned(module.module(), inputs);
    give_back(&fast, options);
    let lowered = lower_for(&fast, inputs, lower).map_err(|stop| report_stop(&stop, report))?;
    for (op, count) in lowered.program.host_ops() {
        let text = format!("`{op}` has no native code and is left to the interpreter ({count})");
        report.push(Diagnostic::note("host-op", text));
    }
    let compiled = Compiled::new(&lowered.program, &jit).map_err(|e| {
        let failed = match e {
            LlvmError::Refused(_) => Failed::Unsupported,
            _ => Failed::System,
        };
        report.push(Diagnostic::error("llvm", e.to_string()));
        failed
    })?;
    give_back(&lowered.module, options);
    Ok((lowered, compiled))
}

/// Gives back memory that only the steps before needed: the weights that they looked at, what they
/// have freed, and their code where nobody else needs it.
fn give_back(module: &Module, options: &RunOptions) {
    if options.owns_process {
        release_files();
    } else {
        let mapped = Mapped::now();
        for tensor in module.tensors.values() {
            if let Storage::Bytes(bytes) = &tensor.storage {
                mapped.release(bytes);
            }
        }
    }
    release_free();
}

fn jit_options(options: &RunOptions) -> Result<JitOptions> {
    let isa = options.isa.as_deref().map(Isa::parse).transpose()?;
    let grade = match options.precision.as_deref() {
        None => Grade::default(),
        Some(name) => Grade::parse(name).ok_or_else(|| {
            let names = Grade::ALL.map(Grade::name).join(", ");
            LlvmError::Argument(format!("no precision {name:?}; there are {names}"))
        })?,
    };
    Ok(JitOptions { isa, threads: options.threads, grade, ..JitOptions::default() })
}

impl Executor for LlvmExecutor {
    fn name(&self) -> &'static str {
        "llvm"
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::Threads, Choice::Isa, Choice::Precision, Choice::NativeOnly]
    }
    fn available(&self) -> std::result::Result<(), String> {
        Compiler::find().map(|_| ()).map_err(|e| e.to_string())
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        options: &RunOptions,
        report: &mut Report,
    ) -> std::result::Result<Vec<(String, Datum)>, Failed> {
        let (lowered, compiled) = prepare(module, inputs, options, report)?;
        let mut machine = Machine::new(&lowered, &compiled, RunLimits::default());
        machine.run(inputs).map_err(|e| report_run(&e, report))
    }
}
