//! Kernels that are matrix products, and other kernels that are changed before they are emitted,
//! against the interpreter of kernels, with odd sizes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use airconv_kernel::interp::run_kernel;
use airconv_kernel::ir::{Access, Elem, Expr, Kernel, Launch, Program, UnOp};
use airconv_kernel::memory::Mem;
use airconv_kernel::run::Backend;
use airconv_kernel::schedule::schedule;
use airconv_kernel::text::parse;
use airconv_llvm::Isa;
use airconv_llvm::executor::{Compiled, JitOptions};
use common::one_launch;

fn numbers(len: usize, mut seed: u64) -> Vec<f32> {
    (0..len)
        .map(|_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn mems(buffers: &mut [Vec<f32>]) -> Vec<Mem> {
    let mem = |b: &mut Vec<f32>| Mem { ptr: b.as_mut_ptr().cast(), len: b.len() * 4 };
    buffers.iter_mut().map(mem).collect()
}

/// Runs a kernel on floats both ways: `lengths` are those of its buffers, `constants` are the
/// buffers that are constants of the program, and `product` says whether it has to be found to
/// be a matrix product.
fn check(text: &str, lengths: &[usize], sizes: &[i64], constants: &[usize], product: bool) {
    let kernel: Kernel = schedule(parse(text).unwrap_or_else(|e| panic!("{e}\n{text}")));
    assert!(kernel.params.iter().all(|p| p.elem == Elem::F32));
    let seeds = 1..;
    let mut wanted: Vec<Vec<f32>> =
        lengths.iter().zip(seeds).map(|(&n, seed)| numbers(n, seed)).collect();
    let given = wanted.clone();
    run_kernel(&kernel, &mems(&mut wanted), sizes).unwrap();

    for (threads, always_tiles) in ways() {
        let runner = Runner::new(&kernel, lengths, sizes, constants);
        let compiled = runner.compile(threads, always_tiles);
        assert_eq!(compiled.is_product(0), product, "{text}");
        for _ in 0..2 {
            let mut got = given.clone();
            (&compiled).launch(&runner.launch, &mems(&mut got), sizes).unwrap();
            for (i, param) in kernel.params.iter().enumerate() {
                for (j, (x, y)) in got[i].iter().zip(&wanted[i]).enumerate() {
                    let fine = (x - y).abs() <= 1e-4 * y.abs().max(1.0);
                    assert!(fine, "buffer {i} element {j}: {x} not {y}\n{text}");
                    assert!(param.access != Access::Read || x == y);
                }
            }
        }
    }
}

/// Numbers of threads, and whether AMX tiles are used whatever the cost.
fn ways() -> Vec<(usize, bool)> {
    let mut out = vec![(1, false), (2, false)];
    if Isa::Amx.runs_here() {
        out.extend([(1, true), (2, true)]);
    }
    out
}

/// A program of one launch.
struct Runner {
    program: Program,
    launch: Launch,
}

impl Runner {
    fn new(kernel: &Kernel, lengths: &[usize], sizes: &[i64], constants: &[usize]) -> Runner {
        let (program, launch) = one_launch(kernel, lengths, sizes, constants);
        Runner { program, launch }
    }

    fn compile(&self, threads: usize, always_tiles: bool) -> Compiled {
        let options = JitOptions { threads, always_tiles, ..JitOptions::default() };
        Compiled::new(&self.program, &options).unwrap()
    }
}

/// y = relu(x w + b) with sizes at run time.
fn linear(relu: &str) -> String {
    format!(
        r#"kernel "linear" {{
  param p0 = read f32
  param p1 = read f32
  param p2 = read f32
  param p3 = write f32
  sizes 3
  var v0 = size 0
  var v1 = size 1
  var v2 = size 2
  var v3 = counter
  var v4 = counter
  var v5 = counter
  e0 = load p0 [v1*v3 + v5] : f32
  e1 = load p1 [v2*v5 + v4] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v5 < v1] e2 : f32
  e4 = load p2 [v4] : f32
  e5 = add e3 e4 : f32
  e6 = const f32 0.0 : f32
  e7 = {relu} : f32
  independent v3 < [v0] {{
    independent v4 < [v2] {{
      p3 [v2*v3 + v4] = e7
    }}
  }}
}}
"#
    )
}

#[test]
fn products_of_any_size() {
    for (m, k, n) in [(1, 7, 5), (3, 1, 17), (13, 70, 51), (50, 33, 130), (8, 600, 64), (67, 5, 1)]
    {
        for constants in [&[][..], &[1, 2], &[0]] {
            for last in ["max e5 e6", "tanh e5"] {
                let lengths = [m * k, k * n, n, m * n];
                let sizes = [m as i64, k as i64, n as i64];
                check(&linear(last), &lengths, &sizes, constants, true);
            }
        }
    }
}

/// The product of two matrices of these sizes in every way, where the reference has a number to
/// within `tolerance` of the sum of magnitudes, and like it not a number or infinite elsewhere.
fn product_of(x: &[f32], w: &[f32], (m, k, n): (usize, usize, usize), tolerance: f64) {
    let kernel = schedule(parse(&linear("add e4 e5")).unwrap());
    let sizes = [m, k, n].map(|x| x as i64);
    let lengths = [m * k, k * n, n, m * n];
    let mut wanted = vec![(0f64, 0f64); m * n];
    for (i, to) in wanted.iter_mut().enumerate() {
        for j in 0..k {
            let p = f64::from(x[i / n * k + j]) * f64::from(w[j * n + i % n]);
            *to = (to.0 + p, to.1 + p.abs());
        }
    }
    for constants in [&[][..], &[1, 2]] {
        for (threads, always_tiles) in ways() {
            let runner = Runner::new(&kernel, &lengths, &sizes, constants);
            let compiled = runner.compile(threads, always_tiles);
            let mut got = [x.to_vec(), w.to_vec(), vec![0.0; n], vec![7.0; m * n]];
            (&compiled).launch(&runner.launch, &mems(&mut got), &sizes).unwrap();
            for (i, (&y, &(sum, size))) in got[3].iter().zip(&wanted).enumerate() {
                let (y, least) = (f64::from(y), k as f64 * 1e-37);
                let fine = match sum.is_finite() && sum.abs() < f64::from(f32::MAX) {
                    true => (y - sum).abs() <= tolerance * size + least,
                    false => y.is_nan() == sum.is_nan() && !y.is_finite(),
                };
                assert!(fine, "{m} {k} {n} tiles {always_tiles}: element {i} is {y} not {sum}");
            }
        }
    }
}

/// A product of 16-bit floats with an epilogue that reads some, into a part of the result.
fn short_floats(elem: &str, narrow: &str, bits: fn(f32) -> u16, value: fn(u16) -> f32) {
    let (m, k, n, step) = (37usize, 70usize, 45usize, 48usize);
    let text = format!(
        r#"kernel "short" {{
  param p0 = read {elem}
  param p1 = read {elem}
  param p2 = read {elem}
  param p3 = write {elem}
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  e0 = load p0 [{k}*v0 + v2] : f32
  e1 = load p1 [{n}*v2 + v1] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v2 < {k}] e2 : f32
  e4 = load p2 [{n}*v0 + v1] : f32
  e5 = add e3 e4 : f32
  e6 = narrow {narrow} overflowing nearest e5 : f32
  independent v0 < [{m}] {{
    independent v1 < [{n}] {{
      p3 [{step}*v0 + v1 + 2] = e6
    }}
  }}
}}
"#
    );
    let kernel = schedule(parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")));
    let lengths = [m * k, k * n, m * n, m * step];
    let given: Vec<Vec<u16>> = lengths
        .iter()
        .zip(1..)
        .map(|(&len, seed)| numbers(len, seed).into_iter().map(bits).collect())
        .collect();
    let mems = |buffers: &mut [Vec<u16>]| -> Vec<Mem> {
        let mem = |b: &mut Vec<u16>| Mem { ptr: b.as_mut_ptr().cast(), len: b.len() * 2 };
        buffers.iter_mut().map(mem).collect()
    };
    let mut wanted = given.clone();
    run_kernel(&kernel, &mems(&mut wanted), &[]).unwrap();
    for constants in [&[][..], &[1]] {
        for (threads, always_tiles) in ways() {
            let runner = Runner::new(&kernel, &lengths, &[], constants);
            let compiled = runner.compile(threads, always_tiles);
            assert!(compiled.is_product(0), "{text}");
            for _ in 0..2 {
                let mut got = given.clone();
                (&compiled).launch(&runner.launch, &mems(&mut got), &[]).unwrap();
                for (i, (&x, &y)) in got[3].iter().zip(&wanted[3]).enumerate() {
                    if !(2..n + 2).contains(&(i % step)) {
                        assert_eq!(x, y, "element {i} is not of the result");
                    }
                    let (x, y) = (value(x), value(y));
                    let fine = (x - y).abs() <= y.abs() / 100.0 + 1e-3;
                    assert!(fine, "{elem} element {i}: {x} not {y}");
                }
            }
        }
    }
}

#[test]
fn products_of_short_floats() {
    use half::{bf16, f16};
    let f16 = (|x| f16::from_f32(x).to_bits(), |x| f16::from_bits(x).to_f32());
    short_floats("f16", "f16", f16.0, f16.1);
    let bf16 = (|x| bf16::from_f32(x).to_bits(), |x| bf16::from_bits(x).to_f32());
    short_floats("bf16", "bf16", bf16.0, bf16.1);
}

#[test]
fn blocks_and_pieces_of_large_products() {
    let sizes = [
        (300, 1100, 70),
        (49, 530, 33),
        (17, 64, 300),
        (128, 96, 16),
        (96, 2500, 70),
        (150, 40, 90),
    ];
    for (m, k, n) in sizes {
        product_of(&numbers(m * k, 1), &numbers(k * n, 2), (m, k, n), 1e-6);
    }
    // What is not exact is seen in the last part of the sums only.
    let (m, k, n) = (96, 2500, 70);
    let mut x = numbers(m * k, 1);
    x[50 * k + k - 1] = f32::INFINITY;
    product_of(&x, &numbers(k * n, 2), (m, k, n), 1e-6);
}

#[test]
fn odd_numbers_in_products() {
    let (m, k, n) = (50, 70, 45);
    let (x, w) = (numbers(m * k, 1), numbers(k * n, 2));
    let scaled = |from: &[f32], by: f32| from.iter().map(|v| v * by).collect::<Vec<f32>>();
    let with = |from: &[f32], at: usize, value: f32| {
        let mut out = from.to_vec();
        out[at] = value;
        out
    };
    let check = |x: &[f32], w: &[f32]| product_of(x, w, (m, k, n), 1e-6);
    // All that is small, all that is large, and both.
    check(&scaled(&x, 1e-36), &w);
    check(&x, &scaled(&w, 1e-34));
    check(&scaled(&x, 1e-20), &scaled(&w, 1e-15));
    check(&scaled(&x, 3e38), &scaled(&w, 1e-3));
    check(&scaled(&x, 1e25), &scaled(&w, 1e-25));
    // A row of small numbers among usual ones.
    let mut tiny = x.clone();
    tiny[k..2 * k].iter_mut().for_each(|v| *v *= 1e-35);
    check(&tiny, &w);
    // Single numbers.
    for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0x7fff_ffff)] {
        check(&with(&x, 3 * k + 5, value), &w);
        check(&x, &with(&w, 2 * n + 7, value));
    }
    for value in [f32::MAX, 1e-40, -0.0, 1e-38, 3.4e38] {
        check(&with(&x, 3 * k + 5, value), &scaled(&w, 0.5));
    }
    // Planes that are zero.
    let short = |from: &[f32], mask: u32| -> Vec<f32> {
        from.iter().map(|v| f32::from_bits(v.to_bits() & mask)).collect()
    };
    for (a, b) in [(!0xffff, !0), (!0, !0xffff), (!0xff, !0xff), (!0xff, !0xffff), (!0x1fff, !0)] {
        check(&short(&x, a), &short(&w, b));
    }
    // Numbers that have few digits are exact.
    let whole = |from: &[f32]| from.iter().map(|v| (v * 100.0).round()).collect::<Vec<f32>>();
    product_of(&whole(&x), &whole(&w), (m, k, n), 0.0);
}

#[test]
fn attention() {
    // Scores of 3 heads of 2 batches from rows that hold all heads, then the weighted values.
    let scores = r#"kernel "scores" {
  param p0 = read f32
  param p1 = read f32
  param p2 = read f32
  param p3 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  e0 = load p0 [399*v0 + 21*v2 + 7*v1 + v4] : f32
  e1 = load p1 [483*v0 + 21*v3 + 7*v1 + v4] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v4 < 7] e2 : f32
  e4 = const f32 0.25 : f32
  e5 = mul e3 e4 : f32
  e6 = load p2 [23*v0 + v3] : f32
  e7 = add e5 e6 : f32
  independent v0 < [2] {
    independent v1 < [3] {
      independent v2 < [19] {
        independent v3 < [23] {
          p3 [1311*v0 + 437*v1 + 23*v2 + v3] = e7
        }
      }
    }
  }
}
"#;
    check(scores, &[2 * 399, 2 * 483, 46, 2 * 1311], &[], &[], true);
    // Columns are read through quotients and remainders: heads side by side.
    let heads = r#"kernel "heads" {
  param p0 = read f32
  param p1 = read f32
  param p2 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  e0 = load p0 [8*v0 + 152*floordiv(v2, 8) + mod(v2, 8)] : f32
  e1 = load p1 [v1 + 40*v2] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v2 < 24] e2 : f32
  independent v0 < [19] {
    independent v1 < [40] {
      p2 [40*v0 + v1] = e3
    }
  }
}
"#;
    check(heads, &[3 * 152, 24 * 40, 19 * 40], &[], &[1], true);
}

/// A convolution of NCHW data without padding: batch, groups, channels of a group in and out,
/// output rows and columns, and the window.
#[derive(Clone, Copy)]
struct Conv {
    n: usize,
    g: usize,
    ic: usize,
    oc: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
}

impl Conv {
    fn check(&self, constants: &[usize], product: bool) {
        let Conv { n, g, ic, oc, size: [oh, ow], kernel: [kh, kw], stride, dilation } = *self;
        let h = (oh - 1) * stride[0] + (kh - 1) * dilation[0] + 1;
        let w = (ow - 1) * stride[1] + (kw - 1) * dilation[1] + 1;
        let text = format!(
            r#"kernel "conv" {{
  param p0 = read f32
  param p1 = read f32
  param p2 = read f32
  param p3 = read f32
  param p4 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  var v5 = counter
  var v6 = counter
  var v7 = counter
  e0 = load p0 [{in_n}*v0 + {in_g}*v1 + {plane}*v5 + {sy}*v3 + {dy}*v6 + {sx}*v4 + {dx}*v7] : f32
  e1 = load p1 [{w_g}*v1 + {k}*v2 + {taps}*v5 + {kw}*v6 + v7] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v5 < {ic}, v6 < {kh}, v7 < {kw}] e2 : f32
  e4 = load p2 [{oc}*v1 + v2] : f32
  e5 = add e3 e4 : f32
  e6 = load p3 [{out_n}*v0 + {out_g}*v1 + {area}*v2 + {ow}*v3 + v4] : f32
  e7 = add e5 e6 : f32
  independent v0 < [{n}] {{
    independent v1 < [{g}] {{
      independent v2 < [{oc}] {{
        independent v3 < [{oh}] {{
          independent v4 < [{ow}] {{
            p4 [{out_n}*v0 + {out_g}*v1 + {area}*v2 + {ow}*v3 + v4] = e7
          }}
        }}
      }}
    }}
  }}
}}
"#,
            in_n = g * ic * h * w,
            in_g = ic * h * w,
            plane = h * w,
            sy = stride[0] * w,
            dy = dilation[0] * w,
            sx = stride[1],
            dx = dilation[1],
            k = ic * kh * kw,
            taps = kh * kw,
            w_g = oc * ic * kh * kw,
            out_n = g * oc * oh * ow,
            out_g = oc * oh * ow,
            area = oh * ow,
        );
        let out = n * g * oc * oh * ow;
        let lengths = [n * g * ic * h * w, g * oc * ic * kh * kw, g * oc, out, out];
        check(&text, &lengths, &[], constants, product);
    }
}

#[test]
fn convolutions() {
    let plain = Conv {
        n: 2,
        g: 1,
        ic: 5,
        oc: 11,
        size: [9, 13],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
    };
    plain.check(&[1, 2], true);
    plain.check(&[], true);
    Conv { kernel: [1, 1], ..plain }.check(&[1], true);
    Conv { size: [7, 7], ..plain }.check(&[1], true);
    Conv { size: [3, 40], stride: [2, 2], ..plain }.check(&[1], true);
    Conv { g: 3, stride: [1, 3], dilation: [2, 1], ..plain }.check(&[1], true);
    Conv { g: 2, oc: 3, kernel: [5, 2], dilation: [1, 2], size: [1, 70], ..plain }.check(&[], true);
}

/// A convolution whose images lie with their channels last, with zeros around them.
struct Last {
    conv: Conv,
    padding: [usize; 2],
}

impl Last {
    fn check(&self, constants: &[usize], product: bool) {
        let Conv { n, g, ic, oc, size: [oh, ow], kernel: [kh, kw], stride, dilation } = self.conv;
        let [py, px] = self.padding;
        let h = (oh - 1) * stride[0] + (kh - 1) * dilation[0] + 1 - 2 * py;
        let w = (ow - 1) * stride[1] + (kw - 1) * dilation[1] + 1 - 2 * px;
        let window = ic == 1 && oc == 1;
        // A group of one channel has no loops of its own.
        let (sum, inner) = match window {
            true => (String::new(), String::new()),
            false => (format!("v5 < {ic}, "), format!("independent v2 < [{oc}] {{")),
        };
        let end = if window { "" } else { "}" };
        let (channel, output) = if window { ("0", "0") } else { ("v5", "v2") };
        let text = format!(
            r#"kernel "conv" {{
  param p0 = read f32
  param p1 = read f32
  param p2 = read f32
  param p3 = read f32
  param p4 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  var v5 = counter
  var v6 = counter
  var v7 = counter
  e0 = const i64 0 : i64
  e1 = index [{sy}*v3 + {dy}*v6 - {py}] : i64
  e2 = const i64 {h} : i64
  e3 = le e0 e1 : bool
  e4 = lt e1 e2 : bool
  e5 = and e3 e4 : bool
  e6 = index [{sx}*v4 + {dx}*v7 - {px}] : i64
  e7 = const i64 {w} : i64
  e8 = le e0 e6 : bool
  e9 = lt e6 e7 : bool
  e10 = and e8 e9 : bool
  e11 = and e5 e10 : bool
  e12 = load p0 [{in_n}*v0 + {row}*{sy}*v3 + {row}*{dy}*v6 + {all}*{sx}*v4 + {all}*{dx}*v7 + {ic}*v1 + {channel} - {corner}] : f32
  e13 = const f32 0.0 : f32
  e14 = guard e11 e12 e13 : f32
  e15 = load p1 [{w_g}*v1 + {k}*{output} + {taps}*{channel} + {kw}*v6 + v7] : f32
  e16 = mul e14 e15 : f32
  e17 = reduce sum [{sum}v6 < {kh}, v7 < {kw}] e16 : f32
  e18 = load p2 [{oc}*v1 + {output}] : f32
  e19 = add e17 e18 : f32
  e20 = load p3 [{area}*v0 + {outs}*{ow}*v3 + {outs}*v4 + {oc}*v1 + {output}] : f32
  e21 = add e19 e20 : f32
  e22 = tanh e21 : f32
  independent v0 < [{n}] {{
    independent v3 < [{oh}] {{
      independent v4 < [{ow}] {{
        independent v1 < [{g}] {{
          {inner}
            p4 [{area}*v0 + {outs}*{ow}*v3 + {outs}*v4 + {oc}*v1 + {output}] = e22
          {end}
        }}
      }}
    }}
  }}
}}
"#,
            in_n = h * w * g * ic,
            row = w * g * ic,
            all = g * ic,
            corner = py * w * g * ic + px * g * ic,
            sy = stride[0],
            dy = dilation[0],
            sx = stride[1],
            dx = dilation[1],
            k = ic * kh * kw,
            taps = kh * kw,
            w_g = oc * ic * kh * kw,
            outs = g * oc,
            area = oh * ow * g * oc,
        );
        let out = n * g * oc * oh * ow;
        let lengths = [n * g * ic * h * w, g * oc * ic * kh * kw, g * oc, out, out];
        check(&text, &lengths, &[], constants, product);
    }
}

#[test]
fn convolutions_with_channels_last() {
    let conv = Conv {
        n: 2,
        g: 1,
        ic: 9,
        oc: 21,
        size: [7, 13],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
    };
    let plain = Last { conv, padding: [1, 1] };
    plain.check(&[1, 2], true);
    plain.check(&[], true);
    let with = |conv: Conv, padding: [usize; 2]| Last { conv, padding }.check(&[1], true);
    with(Conv { kernel: [1, 1], stride: [2, 2], ..conv }, [0, 0]);
    with(Conv { kernel: [5, 2], stride: [2, 3], dilation: [1, 2], ..conv }, [2, 1]);
    // More taps than are done at once.
    with(Conv { ic: 300, oc: 5, size: [3, 4], ..conv }, [1, 0]);
    // More than is split at once, in whole taps.
    with(Conv { n: 1, ic: 128, size: [14, 14], ..conv }, [1, 1]);
    with(Conv { g: 3, oc: 18, ..conv }, [1, 1]);
    // No padding: taps of a row touch and are one run.
    with(Conv { ic: 3, stride: [2, 2], ..conv }, [0, 0]);
    // Too few channels together.
    Last { conv: Conv { ic: 2, ..conv }, padding: [1, 1] }.check(&[1], false);
}

#[test]
fn rows_that_are_not_even_at_run_time_sizes() {
    let text = r#"kernel "rows" {
  param p0 = read f32
  param p1 = read f32
  param p2 = write f32
  sizes 1
  var v0 = size 0
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  e0 = load p0 [100*v1 + 8*v2 + v4] : f32
  e1 = load p1 [5*v4 + v3] : f32
  e2 = mul e0 e1 : f32
  e3 = reduce sum [v4 < 8] e2 : f32
  independent v1 < [3] {
    independent v2 < [v0] {
      independent v3 < [5] {
        p2 [5*v0*v1 + 5*v2 + v3] = e3
      }
    }
  }
}
"#;
    for width in [5, 7] {
        check(text, &[300, 40, 3 * 5 * width], &[width as i64], &[1], true);
    }
}

#[test]
fn windows_with_channels_last() {
    let conv = Conv {
        n: 2,
        g: 37,
        ic: 1,
        oc: 1,
        size: [5, 9],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
    };
    let with = |conv: Conv, padding: [usize; 2]| Last { conv, padding }.check(&[1], true);
    with(conv, [1, 1]);
    with(Conv { g: 16, stride: [2, 2], ..conv }, [1, 0]);
    with(Conv { g: 130, kernel: [5, 5], size: [7, 7], n: 1, ..conv }, [2, 2]);
    with(Conv { kernel: [1, 7], dilation: [1, 2], ..conv }, [0, 6]);
    Last { conv, padding: [1, 1] }.check(&[], true);
}

#[test]
fn softmax_takes_each_exponential_once() {
    let text = r#"kernel "softmax" {
  param p0 = read f32
  param p1 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  e0 = load p0 [37*v0 + v1] : f32
  e1 = load p0 [37*v0 + v2] : f32
  e2 = reduce max [v2 < 37] e1 : f32
  e3 = sub e0 e2 : f32
  e4 = exp e3 : f32
  e5 = load p0 [37*v0 + v3] : f32
  e6 = sub e5 e2 : f32
  e7 = exp e6 : f32
  e8 = reduce sum [v3 < 37] e7 : f32
  e9 = div e4 e8 : f32
  independent v0 < [11] {
    independent v1 < [37] {
      p1 [37*v0 + v1] = e9
    }
  }
}
"#;
    let kernel = schedule(parse(text).unwrap());
    let shared = airconv_llvm::select::share(&kernel).unwrap();
    let exponentials = |k: &Kernel| {
        let live = schedule(k.clone());
        let is = |e: &Expr| matches!(e, Expr::Unary(UnOp::Exp, _));
        live.exprs.iter().filter(|e| is(e)).count()
    };
    assert_eq!((exponentials(&kernel), exponentials(&shared)), (2, 1));
    check(text, &[11 * 37, 11 * 37], &[], &[], false);
}

#[test]
fn depthwise_and_thin_convolutions() {
    let depthwise = Conv {
        n: 2,
        g: 7,
        ic: 1,
        oc: 1,
        size: [5, 37],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
    };
    depthwise.check(&[1], false);
    Conv { stride: [2, 2], ..depthwise }.check(&[1], false);
    Conv { kernel: [5, 5], size: [7, 7], ..depthwise }.check(&[1], false);
    Conv { g: 1, ic: 9, oc: 2, ..depthwise }.check(&[1], false);
    Conv { g: 1, ic: 9, oc: 1, kernel: [7, 7], dilation: [1, 2], ..depthwise }.check(&[1], false);
}

#[test]
fn padding() {
    for (w, low, high) in [(5, 1, 1), (40, 2, 3), (17, 0, 1), (16, 3, 0)] {
        let wide = w + low + high;
        let text = format!(
            r#"kernel "pad" {{
  param p0 = read f32
  param p1 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  e0 = const i64 0 : i64
  e1 = index [v1 - 1] : i64
  e2 = le e0 e1 : bool
  e3 = const i64 6 : i64
  e4 = lt e1 e3 : bool
  e5 = and e2 e4 : bool
  e6 = index [v2 - {low}] : i64
  e7 = le e0 e6 : bool
  e8 = const i64 {w} : i64
  e9 = lt e6 e8 : bool
  e10 = and e7 e9 : bool
  e11 = and e5 e10 : bool
  e12 = const f32 -2.5 : f32
  e13 = load p0 [{plane}*v0 + {w}*v1 + v2 - {back}] : f32
  e14 = guard e11 e13 e12 : f32
  independent v0 < [3] {{
    independent v1 < [8] {{
      independent v2 < [{wide}] {{
        p1 [{area}*v0 + {wide}*v1 + v2] = e14
      }}
    }}
  }}
}}
"#,
            plane = 6 * w,
            back = w + low,
            area = 8 * wide,
        );
        check(&text, &[3 * 6 * w, 3 * 8 * wide], &[], &[], false);
    }
}

#[test]
fn windows() {
    let text = r#"kernel "pool" {
  param p0 = read f32
  param p1 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  e0 = load p0 [1083*v0 + 114*v1 + 2*v2 + 57*v3 + v4] : f32
  e1 = reduce max [v3 < 3, v4 < 3] e0 : f32
  independent v0 < [4] {
    independent v1 < [9] {
      independent v2 < [28] {
        p1 [252*v0 + 28*v1 + v2] = e1
      }
    }
  }
}
"#;
    check(text, &[4 * 1083, 4 * 252], &[], &[], false);
}

#[test]
fn data_with_gaps() {
    // A transposed convolution: a stride of two, a window of three by two.
    for (channels, h, w) in [(3, 10, 34), (1, 8, 13)] {
        let (ih, iw) = (h / 2, w / 2);
        let text = format!(
            r#"kernel "transposed" {{
  param p0 = read f32
  param p1 = read f32
  param p2 = write f32
  sizes 0
  var v0 = counter
  var v1 = counter
  var v2 = counter
  var v3 = counter
  var v4 = counter
  var v5 = counter
  e0 = const i64 0 : i64
  e1 = index [mod(v1 + v4, 2)] : i64
  e2 = eq e0 e1 : bool
  e3 = index [floordiv(v1 + v4, 2)] : i64
  e4 = const i64 {ih} : i64
  e5 = lt e3 e4 : bool
  e6 = index [mod(v2 + v5, 2)] : i64
  e7 = eq e6 e0 : bool
  e8 = index [floordiv(v2 + v5, 2)] : i64
  e9 = const i64 {iw} : i64
  e10 = lt e8 e9 : bool
  e11 = and e2 e5 : bool
  e12 = and e7 e10 : bool
  e13 = and e11 e12 : bool
  e14 = const f32 0.0 : f32
  e15 = load p0 [{plane}*v3 + {iw}*floordiv(v1 + v4, 2) + floordiv(v2 + v5, 2)] : f32
  e16 = guard e13 e15 e14 : f32
  e17 = load p1 [30*v0 + 6*v3 + 2*v4 + v5] : f32
  e18 = mul e16 e17 : f32
  e19 = reduce sum [v3 < 5, v4 < 3, v5 < 2] e18 : f32
  independent v0 < [{channels}] {{
    independent v1 < [{h}] {{
      independent v2 < [{w}] {{
        p2 [{area}*v0 + {w}*v1 + v2] = e19
      }}
    }}
  }}
}}
"#,
            plane = ih * iw,
            area = h * w,
        );
        check(&text, &[5 * ih * iw, 30 * channels, channels * h * w], &[], &[1], false);
        if channels == 1 {
            // The outermost loop is one that is split.
            let bare = text
                .replace("  independent v0 < [1] {\n", "")
                .replace("    }\n  }\n}\n", "    }\n}\n")
                .replace("*v0", "*0");
            check(&bare, &[5 * ih * iw, 30, h * w], &[], &[1], false);
        }
    }
}
