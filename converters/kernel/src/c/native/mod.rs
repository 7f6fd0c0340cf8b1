//! Programs whose kernels are compiled apart: which functions there are, and what C has to know of
//! them to run them on threads, to plan matrix products and to pack their constants.

mod bytes;
mod chain;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use airconv_ir::dim::{Dim, numel};
use airconv_ir::entity::SymbolId;
use rustc_hash::FxHashMap;

pub use bytes::{BytesCode, ExternalZero};

use super::program::Writer;
use crate::ir::{Access, BufferId, BufferKind, Launch, Narrow, Program, Scalar, Step};

/// What runs the kernels: threads, products, memory.
const RUNTIME: [&str; 4] = [
    include_str!("threads.c"),
    include_str!("shapes.c"),
    include_str!("products.c"),
    include_str!("multiply.c"),
];

/// What runs products on AMX tiles.
const TILES: &str = include_str!("tiles.c");

/// The function that asks for the use of AMX tiles.
const PERMISSION: &str = include_str!("permission.c");

/// The most axes of each kind that a product may have, and the most guards, as in the runtime.
pub const MOST_AXES: usize = 16;
/// The most batch axes of a product.
pub const MOST_BATCH: usize = 8;
/// The most guards of a product.
pub const MOST_GUARDS: usize = 16;

/// Kernels in other objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct External {
    /// Kinds of processors, the best one first; which of them runs is found out at run time.
    pub levels: Vec<Level>,
    /// The kernels of the program, in order.
    pub kernels: Vec<ExternalKernel>,
    /// Where constants lie; the others are written as arrays.
    pub constants: BTreeMap<BufferId, Placed>,
    /// The function that rounds to narrow floats where kernels call one, `double (double, int)`,
    /// and what its second argument may be.
    pub narrow: Option<(String, Vec<(i32, Narrow)>)>,
    /// The file with weights, where there is one.
    pub weights: Option<WeightFile>,
    /// The launches that are done together.
    pub chains: Chains,
    /// The numbers that products on tiles are cut by and judged by; there where there are any.
    pub numbers: Option<TileNumbers>,
}

/// Numbers of C: names and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TileNumbers {
    /// Those of type `int64_t`.
    pub integers: Vec<(&'static str, i64)>,
    /// Those of type `double`.
    pub reals: Vec<(&'static str, f64)>,
}

impl TileNumbers {
    /// What runs products on tiles, of C, with the numbers before it.
    fn runtime(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.integers {
            let _ = writeln!(out, "static const int64_t {name} = INT64_C({value});");
        }
        for (name, value) in &self.reals {
            let _ = writeln!(out, "static const double {name} = {value:?};");
        }
        out + "\n" + TILES
    }
}

/// A file with weights, which ends with the digest of what is before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightFile {
    /// The name.
    pub name: String,
    /// The number of its bytes without the digest.
    pub bytes: u64,
    /// The digest.
    pub digest: [u8; 32],
}

/// A set of external kernels for processors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The name, for people.
    pub name: String,
    /// A condition in C under which they can run; empty when they always can.
    pub condition: String,
    /// Whether they can run only where the system gives leave to use AMX tiles.
    pub tiles: bool,
}

/// Data that holds constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blob {
    /// The symbol `NAME_program`.
    Program,
    /// The symbol `NAME_more`.
    More,
    /// The file with weights.
    Weights,
}

/// Where a constant lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// In what.
    pub blob: Blob,
    /// At which byte.
    pub at: u64,
}

/// The functions of a kernel. Sizes in it are symbols whose numbers are those of the kernel's
/// sizes. There is a nest wherever a product is not sure to be ready for every launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalKernel {
    /// The kernel loop by loop.
    pub nest: Option<Nest>,
    /// The kernel as a matrix product.
    pub product: Option<ExternalProduct>,
}

/// Launches that are done together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains {
    /// Those that are done together with the next two, by position among all launches.
    pub at: BTreeMap<usize, ExternalChain>,
    /// Bytes of what lies between the kernels, for one block.
    pub between: i64,
    /// The least rows of a block, if there are as many.
    pub least_rows: i64,
}

impl Chains {
    /// What runs them, of C, with the numbers before it.
    fn runtime(&self) -> String {
        let Chains { between, least_rows, .. } = self;
        format!(
            "enum {{ AC_PARAMS = {MOST_PARAMS} }};\n\n\
             /* Bytes of what lies between the kernels of a chain, for one block. */\n\
             static const int64_t ac_chain_between = INT64_C({between});\n\
             /* The least rows of a block, if there are as many. */\n\
             static const int64_t ac_chain_rows = INT64_C({least_rows});\n\n{}",
            chain::RUNTIME
        )
    }
}

/// A product, a kernel that does something with its rows, and a product of these rows, of known
/// sizes, that are done in blocks of rows. The products have no nests and rows that are evenly
/// apart, and nothing else reads what is made in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalChain {
    /// The parameter that the kernel in the middle reads the rows as.
    pub read: usize,
    /// The one that it makes rows as.
    pub kept: usize,
}

/// The most parameters of the kernel in the middle of a chain.
pub const MOST_PARAMS: usize = 32;

/// A kernel as functions `void (const struct context *, uint64_t begin, uint64_t end)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nest {
    /// The function of each level.
    pub functions: Vec<String>,
    /// How many items its grid has; `None` where it is not split.
    pub extent: Option<Dim>,
    /// The least number of items that is worth a thread.
    pub grain: u64,
}

/// An axis of a product: how often, and the steps in the left and the right operand and in the
/// result.
pub type ProductAxis = [Dim; 4];

/// A kernel as a matrix product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalProduct {
    /// The code of each level that has it.
    pub codes: Vec<Option<Code>>,
    /// Parameter and first element of the left operand, the right one and the result.
    pub places: [(u32, Dim); 3],
    /// The axes of the batch, of rows, of columns and of what is summed.
    pub axes: [Vec<ProductAxis>; 4],
    /// The left operand is zero where one of these is negative: a number, and the step for each
    /// axis, in the order of `axes`.
    pub guards: Vec<(Dim, Vec<Dim>)>,
    /// Whether columns are channels that stay apart.
    pub window: bool,
    /// What the left operand, the right one and the result are in memory: 0 for `f32`, 1 for
    /// `f16`, 2 for `bf16`.
    pub short_floats: [u8; 3],
    /// What is taken away from the left and the right operand where they are bytes.
    pub zeros: Option<[ExternalZero; 2]>,
}

/// The code of a product on a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Of floats.
    Floats(ProductCode),
    /// Of bytes.
    Bytes(BytesCode),
}

/// How a product is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The left operand's rows are evenly apart.
    Even,
    /// They are runs.
    Gathered,
    /// Channel by channel.
    Window,
}

/// The code of a product of floats on a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductCode {
    /// Which of the functions of the runtime it is.
    pub form: Form,
    /// The function.
    pub function: String,
    /// What packs panels of an evenly spaced right operand.
    pub pack: String,
    /// What packs panels of one that lies by tables.
    pub gather: String,
    /// Rows of the tile of the result that is kept in registers.
    pub rows: usize,
    /// Columns of it.
    pub width: usize,
    /// Floats of a register.
    pub lanes: usize,
    /// What makes `f16` and `bf16` floats, and what narrows floats to them, where that is needed.
    pub convert: Option<[String; 4]>,
    /// What does it on AMX tiles.
    pub tiles: Option<Box<TilesCode>>,
}

/// The code of a product on AMX tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TilesCode {
    /// The function for a part of the product.
    pub multiply: String,
    /// What it calls for the sums.
    pub kernel: String,
    /// What splits rows of the left operand that are evenly apart, rows that are runs, and panels
    /// of the right operand.
    pub split: [String; 3],
    /// Planes of an operand.
    pub planes: usize,
    /// Products of planes that make one of floats.
    pub products: usize,
    /// Bytes of all constants that products read.
    pub weights: i64,
    /// Whether what follows a sum is long.
    pub long: bool,
    /// Code without tiles, for panels that are as wide.
    pub plain: ProductCode,
}

/// The constants that the steps of a program refer to.
///
/// # Errors
/// When the buffers of the program have no places.
pub fn constants(program: &Program) -> Result<Vec<BufferId>, Vec<String>> {
    let places = super::plan::plan(program, BTreeSet::new())?.places;
    let constant = |b: &BufferId| matches!(program.buffer(*b).kind, BufferKind::Constant(_));
    Ok(places.into_keys().filter(constant).collect())
}

impl Writer<'_> {
    /// The address of a constant that is placed.
    pub(super) fn placed(&self, placed: Placed) -> String {
        let (name, at) = (&self.name, placed.at);
        match placed.blob {
            Blob::Program => format!("(void *)(uintptr_t)({name}_program + {at})"),
            Blob::More => format!("(void *)(uintptr_t)({name}_more + {at})"),
            Blob::Weights => format!("(void *)(uintptr_t)(x->e.weights + {at})"),
        }
    }

    /// What runs external kernels.
    pub(super) fn runtime(external: &External) -> String {
        let mut out = RUNTIME.join("\n") + "\n";
        if external.levels.iter().any(|level| level.tiles) {
            out += PERMISSION;
            out += "\n";
        }
        let of_bytes = |k: &ExternalKernel| k.product.as_ref().is_some_and(|p| p.zeros.is_some());
        if external.kernels.iter().any(of_bytes) {
            out += bytes::RUNTIME;
            out += "\n";
        }
        if let Some(numbers) = &external.numbers {
            out += &numbers.runtime();
            out += "\n";
        }
        if !external.chains.at.is_empty() {
            out += &external.chains.runtime();
            out += "\n";
        }
        out
    }

    /// Declarations of the functions of kernels, with tables by level, and the choice of a level.
    pub(super) fn external(&mut self, external: &External) -> String {
        let mut out = String::new();
        let name = self.name.clone();
        out += "#define HIDDEN __attribute__((visibility(\"hidden\")))\n\n";
        for data in ["program", "more"] {
            let _ = writeln!(out, "extern const unsigned char {name}_{data}[] HIDDEN;");
        }
        let mut declared = BTreeMap::new();
        for kernel in &external.kernels {
            for f in kernel.nest.iter().flat_map(|n| &n.functions) {
                declared.insert(f.as_str(), "ac_nest");
            }
            for code in kernel.product.iter().flat_map(|p| p.codes.iter().flatten()) {
                code.declare(&mut declared);
            }
        }
        for (function, ty) in declared {
            let _ = writeln!(out, "extern {ty} {function} HIDDEN;");
        }
        let count = external.kernels.len();
        let levels = external.levels.len();
        if external.kernels.iter().any(|k| k.nest.is_some()) {
            let _ = write!(out, "\nstatic ac_nest *const nests[{levels}][{count}] = {{\n");
            for level in 0..levels {
                let name = |k: &ExternalKernel| {
                    let nest = k.nest.as_ref();
                    nest.map_or_else(|| "NULL".to_owned(), |n| n.functions[level].clone())
                };
                let list: Vec<String> = external.kernels.iter().map(name).collect();
                let _ = writeln!(out, "    {{{}}},", list.join(", "));
            }
            out += "};\n";
        }
        if external.kernels.iter().any(|k| k.product.is_some()) {
            let mut codes = String::new();
            for level in 0..levels {
                codes += "    {\n";
                for (k, kernel) in external.kernels.iter().enumerate() {
                    let code = kernel.product.as_ref().and_then(|p| p.codes[level].as_ref());
                    let mut beside = |ty: &str, text: String| {
                        let name = format!("{ty}_{level}_{k}");
                        let _ = write!(out, "\nstatic const struct ac_{ty} {name} = {text};\n");
                        format!("&{name}")
                    };
                    let text = match code {
                        None => NO_CODE.to_owned(),
                        Some(Code::Bytes(code)) => {
                            let of_bytes = beside("of_bytes", code.text());
                            let BytesCode { rows, width, .. } = code;
                            format!("{{.rows = {rows}, .width = {width}, .of_bytes = {of_bytes}}}")
                        }
                        Some(Code::Floats(code)) => {
                            let tiles = code.tiles.as_ref().map(|t| beside("tiles", t.text()));
                            code_text(code, tiles.as_deref().unwrap_or("NULL"))
                        }
                    };
                    let _ = writeln!(codes, "        {text},");
                }
                codes += "    },\n";
            }
            let _ = write!(
                out,
                "\nstatic const struct ac_code codes[{levels}][{count}] = {{\n{codes}}};\n"
            );
        }
        out += "\nstatic int level_of_this_machine(void)\n{\n";
        let mut always = false;
        for (i, level) in external.levels.iter().enumerate() {
            if level.condition.is_empty() {
                let _ = writeln!(out, "    return {i}; /* {} */", level.name);
                always = true;
                break;
            }
            let mut condition = level.condition.clone();
            if level.tiles {
                condition += " && ac_tiles_permitted()";
            }
            let name = &level.name;
            let _ =
                writeln!(out, "    if ({condition}) {{\n        return {i}; /* {name} */\n    }}");
        }
        out += if always { "}\n\n" } else { "    return -1;\n}\n\n" };
        for (k, kernel) in external.kernels.iter().enumerate() {
            if let Some(product) = &kernel.product {
                out += &self.shape(k, product);
            }
        }
        if let Some((function, codes)) = &external.narrow {
            out += &self.rounding(function, codes);
        }
        out
    }

    /// The function that kernels round to narrow floats with.
    fn rounding(&mut self, function: &str, codes: &[(i32, Narrow)]) -> String {
        let head = format!("double {function}(double x, int32_t code)");
        let mut out = format!("{head} HIDDEN;\n\n{head}\n{{\nswitch (code) {{\n");
        for (code, narrow) in codes {
            let value = super::expr::narrowed(&mut self.helpers, *narrow, Scalar::F64, "x");
            let _ = writeln!(out, "case {code}:\nreturn {value};");
        }
        super::indented(&(out + "default:\nreturn x;\n}\n}\n")) + "\n"
    }

    /// The function that says a product at certain sizes.
    fn shape(&mut self, k: usize, product: &ExternalProduct) -> String {
        let texts: FxHashMap<SymbolId, String> =
            (0..64u32).map(|i| (SymbolId(i), format!("z[{i}]"))).collect();
        let mut out = format!(
            "static void shape_{k}(const int64_t *z, struct ac_shape *x)\n{{\n(void)z;\n\
             memset(x, 0, sizeof *x);\n"
        );
        let counts = ["batch", "rows", "columns", "sums"];
        for (what, axes) in counts.iter().zip(&product.axes) {
            let _ = writeln!(out, "x->{what} = {};", axes.len());
        }
        let _ = writeln!(out, "x->guards = {};", product.guards.len());
        let _ = writeln!(out, "x->window = {};", i32::from(product.window));
        for (i, short) in product.short_floats.iter().enumerate() {
            let _ = writeln!(out, "x->short_floats[{i}] = {short};");
        }
        for (what, (param, base)) in ["left", "right", "out"].iter().zip(&product.places) {
            let base = self.named(base, &texts);
            let _ = writeln!(out, "x->{what}_param = {param};\nx->{what} = {base};");
        }
        for (i, zero) in product.zeros.iter().flatten().enumerate() {
            let text = zero.text(&mut |d| self.named(d, &texts));
            let _ = writeln!(out, "x->zeros[{i}] = (struct ac_zero){text};");
        }
        for (i, axis) in product.axes.iter().flatten().enumerate() {
            let list: Vec<String> = axis.iter().map(|d| self.named(d, &texts)).collect();
            let _ = writeln!(out, "x->axes[{i}] = (struct ac_axis){{{}}};", list.join(", "));
        }
        for (g, (base, steps)) in product.guards.iter().enumerate() {
            let list: Vec<String> =
                std::iter::once(base).chain(steps).map(|d| self.named(d, &texts)).collect();
            let list = list.join(", ");
            let _ = writeln!(
                out,
                "memcpy(x->guard[{g}], (const int64_t[]){{{list}}}, {} * sizeof(int64_t));",
                steps.len() + 1
            );
        }
        super::indented(&(out + "}\n")) + "\n"
    }

    /// Finds what is the same in every run: it is made when a context is.
    pub(super) fn find_once(&mut self) {
        let (p, same) = (self.p, self.p.unchanging());
        let is = |b: BufferId| same.get(b.0 as usize).copied().unwrap_or(false);
        for step in &p.steps {
            match step {
                Step::Launch(l) => {
                    let params = &p.kernel(l.kernel).params;
                    let pairs = || l.buffers.iter().zip(params);
                    if !pairs().all(|(b, _)| is(*b)) {
                        continue;
                    }
                    for (b, _) in pairs().filter(|(_, p)| p.access == Access::Write) {
                        let bytes = super::plan::bytes(p.buffer(*b)).as_known().unwrap_or(0);
                        self.once.insert(*b, format!("x->once[{}]", self.once_bytes.len()));
                        self.once_bytes.push(bytes);
                    }
                }
                Step::Alias { to, from } if is(*to) => {
                    if let Some(text) = self.constant(*from) {
                        self.once.insert(*to, text);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether a launch is one of those that make what is the same in every run.
    pub(super) fn runs_once(&self, launch: &Launch) -> bool {
        let params = &self.p.kernel(launch.kernel).params;
        let mut written =
            launch.buffers.iter().zip(params).filter(|(_, p)| p.access != Access::Read).peekable();
        written.peek().is_some() && written.all(|(b, _)| self.once.contains_key(b))
    }

    /// A launch of an external kernel whose buffers and sizes are arrays of these texts; `once`
    /// where it is done when a context is made.
    pub(super) fn external_launch(
        &mut self,
        external: &External,
        launch: &Launch,
        bound: &str,
        once: bool,
    ) {
        let k = launch.kernel.0;
        let Some(kernel) = external.kernels.get(k as usize) else { return };
        let mut early = true;
        for d in &launch.sizes {
            d.symbols(&mut |s| early &= self.given.contains(&s));
        }
        let planned = kernel.product.as_ref().filter(|_| early);
        let nest = kernel.nest.as_ref().map(|nest| {
            let items = match &nest.extent {
                None => "1".to_owned(),
                Some(extent) => {
                    let extent =
                        extent.substitute(&mut |v| launch.sizes.get(v.0 as usize).cloned());
                    self.dim(&extent)
                }
            };
            let grain = nest.grain.min(i64::MAX as u64);
            format!(
                "ac_run_nest(&x->e, nests[x->e.level][{k}], &bound, {items}, INT64_C({grain}));"
            )
        });
        let before = if once { self.take() } else { String::new() };
        self.line(bound);
        match (planned, nest) {
            (Some(product), nest) => {
                let i = self.products;
                self.products += 1;
                self.planned(k, i, product, launch);
                let last = self.plan.slots.len();
                let run = match once {
                    true => {
                        let code = self.code("there is not enough memory");
                        format!(
                            "if (!ac_run_once(&x->e, &x->products[{i}], &bound)) {{\n\
                             return {code};\n}}"
                        )
                    }
                    false => {
                        format!("ac_run_product(&x->e, &x->products[{i}], &bound, w + o[{last}]);")
                    }
                };
                match nest {
                    Some(nest) => self.line(&format!(
                        "if (x->products[{i}].code != NULL) {{\n{run}\n}} else {{\n{nest}\n}}"
                    )),
                    None => self.line(&run),
                }
            }
            (None, Some(nest)) => self.line(&nest),
            (None, None) => {
                let name = &self.p.kernel(launch.kernel).name;
                self.refused.push(format!("kernel `{name}` has no code for computed sizes"));
            }
        }
        self.line("if (status != 0) {\nreturn status;\n}\n}");
        if once {
            let text = self.take();
            self.ready += &text;
            self.line(before.trim_end_matches('\n'));
        }
    }

    /// The planning of a launch of a product, for the creation of a context.
    fn planned(&mut self, k: u32, i: usize, product: &ExternalProduct, launch: &Launch) {
        let sizes: Vec<String> = launch.sizes.iter().map(|d| self.dim(d)).collect();
        let z = if sizes.is_empty() { "0".to_owned() } else { sizes.join(", ") };
        let known = |w: &Self, param: u32| {
            let b = launch.buffers.get(param as usize)?;
            w.constant(*b)
        };
        let [left, right] = [0, 1].map(|n| {
            let text = known(self, product.places[n].0);
            text.unwrap_or_else(|| "NULL".to_owned())
        });
        let code = self.code("there is not enough memory");
        let nest = self.kernels_have_nest(k);
        let wrong = if nest { "< 0" } else { "<= 0" };
        let mut elements = String::new();
        for (i, (param, _)) in product.places.iter().enumerate() {
            let Some(b) = launch.buffers.get(*param as usize) else { continue };
            let count = self.dim(&numel(&self.p.buffer(*b).shape));
            let _ = writeln!(elements, "shape.elements[{i}] = {count};");
        }
        for (i, zero) in product.zeros.iter().flatten().enumerate() {
            let ExternalZero::Element { param, .. } = zero else { continue };
            if let Some(there) = known(self, *param) {
                let _ = writeln!(elements, "shape.zeros[{i}].constant = {there};");
            }
        }
        self.ready += &format!(
            "{{\nconst int64_t z[] = {{{z}}};\nshape_{k}(z, &shape);\n{elements}\
             if (ac_plan(&x->e, &x->products[{i}], &codes[x->e.level][{k}], &shape, {left}, \
             {right}) {wrong}) {{\nreturn {code};\n}}\n}}\n"
        );
    }
}

impl Form {
    /// The type of its functions in the runtime.
    fn c_type(self) -> &'static str {
        match self {
            Form::Even => "ac_even_code",
            Form::Gathered => "ac_gathered_code",
            Form::Window => "ac_window_code",
        }
    }
}

impl Code {
    /// Adds the types of its functions.
    fn declare<'c>(&'c self, declared: &mut BTreeMap<&'c str, &'static str>) {
        match self {
            Code::Floats(code) => code.declare(declared),
            Code::Bytes(code) => code.declare(declared),
        }
    }
}

impl ProductCode {
    /// Adds the types of its functions.
    fn declare<'c>(&'c self, declared: &mut BTreeMap<&'c str, &'static str>) {
        declared.insert(&self.function, self.form.c_type());
        declared.insert(&self.pack, "ac_pack_code");
        declared.insert(&self.gather, "ac_gather_code");
        for convert in self.convert.iter().flatten() {
            declared.insert(convert, "ac_convert_code");
        }
        if let Some(tiles) = &self.tiles {
            declared.insert(&tiles.multiply, "ac_tile_code");
            declared.insert(&tiles.kernel, "ac_kernel_code");
            for split in &tiles.split {
                declared.insert(split, "ac_split_code");
            }
            tiles.plain.declare(declared);
        }
    }
}

impl TilesCode {
    /// It as an initialiser.
    fn text(&self) -> String {
        let [even, gathered, right] = &self.split;
        format!(
            "{{ac_tiles_pay, ac_cut_tiles, ac_split_all, ac_multiply_tiles, {}, {}, {even}, \
             {gathered}, {right}, {}, {}, INT64_C({}), {}, {}}}",
            self.multiply,
            self.kernel,
            self.planes,
            self.products,
            self.weights,
            i32::from(self.long),
            code_text(&self.plain, "NULL")
        )
    }
}

/// No code of a product, as an initialiser.
const NO_CODE: &str = "{.rows = 0, .width = 1, .lanes = 1}";

/// The code of a product of floats as an initialiser.
fn code_text(c: &ProductCode, tiles: &str) -> String {
    let of = |form: Form| if c.form == form { c.function.as_str() } else { "NULL" };
    let functions = [of(Form::Even), of(Form::Gathered), of(Form::Window)].join(", ");
    let nothing = ["NULL"; 4].map(str::to_owned);
    let [a, b, p, q] = c.convert.as_ref().unwrap_or(&nothing);
    format!(
        "{{{functions}, {}, {}, {}, {}, {}, {{{a}, {b}}}, {{{p}, {q}}}, {tiles}, NULL}}",
        c.pack, c.gather, c.rows, c.width, c.lanes
    )
}
