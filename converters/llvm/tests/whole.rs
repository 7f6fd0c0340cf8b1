//! Products of bytes at every level that runs here, bit for bit as the interpreter of kernels
//! does them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use airconv_kernel::interp::run_kernel;
use airconv_kernel::ir::{Elem, Kernel};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::Backend;
use airconv_kernel::schedule::schedule;
use airconv_kernel::text::parse;
use airconv_llvm::Isa;
use airconv_llvm::executor::{Compiled, JitOptions};
use common::one_launch;

/// Numbers that repeat.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

/// What operands are filled with.
#[derive(Clone, Copy)]
enum Fill {
    /// Anything.
    Random,
    /// The ends of the range only.
    Ends,
    /// This byte.
    All(u8),
}

fn bytes(len: usize, elem: Elem, fill: Fill, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    match elem {
        Elem::F32 => (0..len)
            .flat_map(|_| (numbers.next() as f32 / (1u64 << 31) as f32 + 0.1).to_le_bytes())
            .collect(),
        Elem::I32 => (0..len).flat_map(|_| (numbers.next() as i32 - 9).to_le_bytes()).collect(),
        _ => (0..len)
            .map(|_| match fill {
                Fill::Random => numbers.next() as u8,
                Fill::Ends if elem == Elem::I8 => [0x80, 0x7f][numbers.next() as usize & 1],
                Fill::Ends => [0, 255][numbers.next() as usize & 1],
                Fill::All(x) => x,
            })
            .collect(),
    }
}

fn mems(buffers: &mut [Vec<u8>]) -> Vec<Mem> {
    buffers.iter_mut().map(|b| Mem { ptr: b.as_mut_ptr(), len: b.len() }).collect()
}

/// Runs a kernel both ways at every level; all of it has to be a product.
fn check(text: &str, given: &[Vec<u8>], sizes: &[i64], constants: &[usize]) {
    let kernel: Kernel = schedule(parse(text).unwrap_or_else(|e| panic!("{e}\n{text}")));
    let mut wanted = given.to_vec();
    run_kernel(&kernel, &mems(&mut wanted), sizes).unwrap();
    let elements = |(i, bytes): (usize, &Vec<u8>)| bytes.len() / kernel.params[i].elem.bytes();
    let lengths: Vec<usize> = given.iter().enumerate().map(elements).collect();
    let (program, launch) = one_launch(&kernel, &lengths, sizes, constants);
    for isa in [Isa::V2, Isa::V3, Isa::V4, Isa::Vnni, Isa::Amx] {
        if !isa.runs_here() {
            continue;
        }
        for (threads, always_tiles) in [(1, false), (2, isa == Isa::Amx)] {
            let isa = Some(isa);
            let options = JitOptions { isa, threads, always_tiles, ..JitOptions::default() };
            let compiled = Compiled::new(&program, &options).unwrap();
            assert!(compiled.is_product(0), "{text}");
            for _ in 0..2 {
                let mut got = given.to_vec();
                (&compiled).launch(&launch, &mems(&mut got), sizes).unwrap();
                let same = got == wanted;
                assert!(same, "{isa:?} tiles {always_tiles} sizes {sizes:?}\n{text}");
            }
        }
    }
}

/// y = (x - p) (w - q), with the operands' elements, where the right zero point of a column is, and what is made from the sum.
fn product(left: &str, right: &str, zero: &str, (end, out, last): End) -> String {
    format!(
        r#"kernel "product" {{
  param p0 = read {left}
  param p1 = read {right}
  param p2 = read {left}
  param p3 = read {right}
  param p4 = read f32
  param p5 = write {out}
  sizes 3
  var v0 = size 0
  var v1 = size 1
  var v2 = size 2
  var v3 = counter
  var v4 = counter
  var v5 = counter
  e0 = load p0 [v1*v3 + v5] : {left}
  e1 = cast i32 e0 : i32
  e2 = load p2 [0] : {left}
  e3 = cast i32 e2 : i32
  e4 = sub e1 e3 : i32
  e5 = load p1 [v2*v5 + v4] : {right}
  e6 = cast i32 e5 : i32
  e7 = load p3 [{zero}] : {right}
  e8 = cast i32 e7 : i32
  e9 = sub e6 e8 : i32
  e10 = mul e4 e9 : i32
  e11 = reduce sum [v5 < v1] e10 : i32
{end}
  independent v3 < [v0] {{
    independent v4 < [v2] {{
      p5 [v2*v3 + v4] = {last}
    }}
  }}
}}
"#
    )
}

/// What is made from a sum: the expressions, the element of the result, the last expression.
type End = (&'static str, &'static str, &'static str);

/// A number, a float, or a byte again.
const ENDS: [End; 3] = [
    ("  e12 = neg e11 : i32", "i32", "e12"),
    (
        "  e12 = cast f32 e11 : f32
  e13 = load p4 [v4] : f32
  e14 = mul e12 e13 : f32",
        "f32",
        "e14",
    ),
    (
        "  e12 = cast f32 e11 : f32
  e13 = load p4 [v4] : f32
  e14 = mul e12 e13 : f32
  e15 = round e14 : f32
  e16 = const f32 0.0 : f32
  e17 = max_num e15 e16 : f32
  e18 = const f32 255.0 : f32
  e19 = min e17 e18 : f32
  e20 = cast u8 e19 : u8",
        "u8",
        "e20",
    ),
];

fn elem(name: &str) -> Elem {
    Elem::ALL.into_iter().find(|e| e.name() == name).unwrap()
}

#[test]
fn products_of_any_size_and_sign() {
    let shapes = [(1, 70, 51), (3, 1, 17), (13, 64, 32), (40, 131, 33), (97, 7, 16), (33, 260, 70)];
    let mut seed = 1;
    for (i, (m, k, n)) in shapes.into_iter().enumerate() {
        for (j, (left, right)) in
            [("u8", "i8"), ("u8", "u8"), ("i8", "i8"), ("i8", "u8")].into_iter().enumerate()
        {
            seed += 10;
            let zero = ["0", "v4"][(i + j) % 2];
            let end = ENDS[(i + j) % 3];
            let text = product(left, right, zero, end);
            let (l, r) = (elem(left), elem(right));
            let given = [
                bytes(m * k, l, Fill::Random, seed),
                bytes(k * n, r, Fill::Random, seed + 1),
                bytes(1, l, Fill::Random, seed + 2),
                bytes(n, r, Fill::Random, seed + 3),
                bytes(n, Elem::F32, Fill::Random, seed + 4),
                vec![0; m * n * elem(end.1).bytes()],
            ];
            let sizes = [m as i64, k as i64, n as i64];
            // With one or two rows only weights that are known are packed.
            let constants = if m < 16 || i % 2 == 0 { &[1, 3][..] } else { &[] };
            check(&text, &given, &sizes, constants);
        }
    }
}

#[test]
fn sums_at_the_ends_of_the_range() {
    let (m, k, n) = (18, 300, 34);
    for (left, x, p) in [("u8", 255, 0), ("u8", 0, 255), ("i8", 0x80, 0x7f), ("i8", 0x7f, 0x80)] {
        for (right, w, q) in [("i8", 0x80, 0), ("i8", 0x7f, 0x80), ("u8", 255, 0), ("u8", 0, 255)] {
            let text = product(left, right, "v4", ENDS[0]);
            let given = [
                bytes(m * k, elem(left), Fill::All(x), 1),
                bytes(k * n, elem(right), Fill::All(w), 2),
                vec![p],
                vec![q; n],
                bytes(n, Elem::F32, Fill::Random, 3),
                vec![0; m * n * 4],
            ];
            check(&text, &given, &[m as i64, k as i64, n as i64], &[1, 3]);
        }
    }
    let text = product("u8", "i8", "0", ENDS[0]);
    let given = [
        bytes(m * k, Elem::U8, Fill::Ends, 4),
        bytes(k * n, Elem::I8, Fill::Ends, 5),
        vec![255],
        vec![0x80],
        bytes(n, Elem::F32, Fill::Random, 6),
        vec![0; m * n * 4],
    ];
    check(&text, &given, &[m as i64, k as i64, n as i64], &[1]);
}

/// A convolution of 3 by 3 of an image with its channels last, with zero points around it.
fn convolution(pixel: &str, channels: usize, outputs: usize, side: usize) -> String {
    let row = side * channels;
    let taps = 9 * channels;
    format!(
        r#"kernel "convolution" {{
  param p0 = read {pixel}
  param p1 = read i8
  param p2 = read {pixel}
  param p3 = write i32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  var v5 = counter
  e0 = load p0 [{row}*v0 + {row}*v4 + {channels}*v1 + {channels}*v5 + v3 - {row} - {channels}] : {pixel}
  e1 = cast i32 e0 : i32
  e2 = load p2 [0] : {pixel}
  e3 = cast i32 e2 : i32
  e4 = sub e1 e3 : i32
  e5 = const i32 0 : i32
  e6 = const i64 0 : i64
  e7 = const i64 {side} : i64
  e8 = index [v0 + v4 - 1] : i64
  e9 = le e6 e8 : bool
  e10 = lt e8 e7 : bool
  e11 = and e9 e10 : bool
  e12 = index [v1 + v5 - 1] : i64
  e13 = le e6 e12 : bool
  e14 = lt e12 e7 : bool
  e15 = and e13 e14 : bool
  e16 = and e11 e15 : bool
  e17 = guard e16 e4 e5 : i32
  e18 = load p1 [{taps}*v2 + 9*v3 + 3*v4 + v5] : i8
  e19 = cast i32 e18 : i32
  e20 = mul e17 e19 : i32
  e21 = reduce sum [v3 < {channels}, v4 < 3, v5 < 3] e20 : i32
  independent v0 < [{side}] {{
    independent v1 < [{side}] {{
      independent v2 < [{outputs}] {{
        p3 [{outline}*v0 + {outputs}*v1 + v2] = e21
      }}
    }}
  }}
}}
"#,
        outline = side * outputs
    )
}

#[test]
fn convolutions_with_zero_points_around() {
    for (pixel, channels, outputs, side) in [("u8", 3, 10, 7), ("i8", 8, 32, 5), ("u8", 64, 40, 6)]
    {
        let text = convolution(pixel, channels, outputs, side);
        let given = [
            bytes(side * side * channels, elem(pixel), Fill::Random, 1),
            bytes(outputs * channels * 9, Elem::I8, Fill::Random, 2),
            vec![77],
            vec![0; side * side * outputs * 4],
        ];
        check(&text, &given, &[], &[1]);
    }
}
