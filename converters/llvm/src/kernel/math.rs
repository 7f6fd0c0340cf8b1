//! Transcendental functions.
//!
//! The exponential, logarithm, hyperbolic tangent and error function of single precision are
//! polynomials over vectors; their errors are stated where they are, for
//! machines with fused multiply-add; without it they are up to twice as large. Others are calls of the C
//! library, lane by lane.

use airconv_kernel::ir::{Narrow, Scalar, UnOp};

use super::{Emitter, Result, Value, ty};

/// The function of integer powers, which the module defines itself.
const POWER_NAME: &str = "airconv_power";

/// Whether a function is computed by polynomials rather than called in the C library.
pub(super) fn is_polynomial(op: UnOp, scalar: Scalar) -> bool {
    scalar == Scalar::F32 && matches!(op, UnOp::Exp | UnOp::Tanh | UnOp::Erf | UnOp::Log)
}

/// A whole number near another one.
struct Nearest {
    /// The number.
    value: Value,
    /// A float whose lowest bits are those of the number as an integer.
    bits: Value,
}

impl Emitter<'_> {
    /// A function of C's `math.h`, given its name in double precision.
    pub(super) fn transcendental(
        &mut self,
        op: UnOp,
        name: &str,
        scalar: Scalar,
        x: &Value,
    ) -> Value {
        match op {
            UnOp::Exp if is_polynomial(op, scalar) => self.exp(x),
            UnOp::Tanh if is_polynomial(op, scalar) => self.tanh(x),
            UnOp::Erf if is_polynomial(op, scalar) => self.erf(x),
            UnOp::Log if is_polynomial(op, scalar) => self.log(x),
            _ if scalar == Scalar::F32 => self.library(&format!("{name}f"), scalar, &[x], ""),
            _ => self.library(name, scalar, &[x], ""),
        }
    }

    /// A function of the C library of two arguments.
    pub(super) fn library2(&mut self, name: &str, scalar: Scalar, a: &Value, b: &Value) -> Value {
        self.library(name, scalar, &[a, b], "")
    }

    /// A function of the C library, lane by lane; `extra` is an `i32` argument that follows.
    fn library(&mut self, name: &str, scalar: Scalar, args: &[&Value], extra: &str) -> Value {
        let t = ty(scalar);
        let (tail, last) = if extra.is_empty() {
            (String::new(), "")
        } else {
            (format!(", i32 {extra}"), ", i32")
        };
        if name != POWER_NAME {
            self.f.declare(format!("{t} @{name}({}{last})", vec![t; args.len()].join(", ")));
        }
        if !args.iter().any(|a| a.varying) {
            let list: Vec<String> = args.iter().map(|a| format!("{t} {}", a.name)).collect();
            return Value::uniform(
                self.f.value(format_args!("call {t} @{name}({}{tail})", list.join(", "))),
            );
        }
        let count = self.lanes.as_ref().map_or(1, |l| l.count);
        let mut out = "poison".to_owned();
        for lane in 0..count {
            let mut list = Vec::with_capacity(args.len());
            for a in args {
                let one = if a.varying {
                    self.f.value(format_args!(
                        "extractelement <{count} x {t}> {}, i64 {lane}",
                        a.name
                    ))
                } else {
                    a.name.clone()
                };
                list.push(format!("{t} {one}"));
            }
            let y = self.f.value(format_args!("call {t} @{name}({}{tail})", list.join(", ")));
            out = self
                .f
                .value(format_args!("insertelement <{count} x {t}> {out}, {t} {y}, i64 {lane}"));
        }
        Value::varying(out)
    }

    /// A power of 64-bit integers, which wraps, by squaring.
    pub(super) fn int_pow(&mut self, scalar: Scalar, a: &Value, b: &Value) -> Value {
        self.powers = true;
        self.library(POWER_NAME, scalar, &[a, b], "")
    }

    /// Rounding to a dtype that only the host knows how to round to.
    pub(super) fn narrow_elsewhere(
        &mut self,
        n: Narrow,
        scalar: Scalar,
        v: &Value,
    ) -> Result<Value> {
        let wide = self.cast(scalar, Scalar::F64, v.clone())?;
        let code = super::host::narrow_code(n).to_string();
        let out = self.library(super::host::NARROW, Scalar::F64, &[&wide], &code);
        self.cast(Scalar::F64, scalar, out)
    }

    fn c(&self, x: f64) -> Value {
        self.number(Scalar::F32, x)
    }

    fn fma(&mut self, a: &Value, b: &Value, c: &Value) -> Value {
        if self.isa.has_fma() {
            return self.intrinsic("fma", Scalar::F32, &[a, b, c]);
        }
        let p = self.op2("fmul", Scalar::F32, a, b);
        self.op2("fadd", Scalar::F32, &p, c)
    }

    /// A polynomial by Horner's rule, highest coefficient first.
    fn poly(&mut self, x: &Value, coefficients: &[f64]) -> Value {
        let mut acc = self.c(coefficients[0]);
        for &c in &coefficients[1..] {
            let c = self.c(c);
            acc = self.fma(&acc, x, &c);
        }
        acc
    }

    /// The lesser of a number and a bound; not a number stays that. In this order of operands it is
    /// one instruction of x86, unlike `minnum`.
    fn at_most(&mut self, x: &Value, bound: f64) -> Value {
        let bound = self.c(bound);
        let beyond = self.compare_as("fcmp ogt", Scalar::F32, x, &bound);
        self.select(Scalar::F32, &beyond, &bound, x)
    }

    /// The greater of a number and a bound; not a number stays that.
    fn at_least(&mut self, x: &Value, bound: f64) -> Value {
        let bound = self.c(bound);
        let beyond = self.compare_as("fcmp olt", Scalar::F32, x, &bound);
        self.select(Scalar::F32, &beyond, &bound, x)
    }

    /// A result, but what is not a number where the argument is that. Nothing is to be done where
    /// [`Self::scales`] holds: every step there hands it on.
    fn keep_nan(&mut self, x: &Value, y: &Value) -> Value {
        if self.scales(x) {
            return y.clone();
        }
        let nan = self.compare_as("fcmp uno", Scalar::F32, x, x);
        self.select(Scalar::F32, &nan, x, y)
    }

    /// Whether numbers are scaled by powers of two in one instruction, which saturates and keeps
    /// what is not a number.
    fn scales(&self, x: &Value) -> bool {
        let whole = self.lanes.as_ref().is_some_and(|l| l.count % 16 == 0);
        x.varying && self.isa.f32_lanes() == 16 && whole
    }

    /// What an instruction for 16 lanes makes of these values, which have a multiple of that.
    fn by_sixteen<const N: usize>(
        &mut self,
        args: [&str; N],
        one: impl Fn(&mut Self, [String; N]) -> String,
    ) -> Value {
        let count = self.lanes.as_ref().map_or(16, |l| l.count);
        let picks = |from: usize, n: usize| {
            (from..from + n).map(|i| format!("i32 {i}")).collect::<Vec<_>>().join(", ")
        };
        if count == 16 {
            return Value::varying(one(self, args.map(str::to_owned)));
        }
        let mut whole = String::new();
        for from in (0..count).step_by(16) {
            let parts = args.map(|a| {
                self.f.value(format_args!(
                    "shufflevector <{count} x float> {a}, <{count} x float> poison, \
                     <16 x i32> <{}>",
                    picks(from, 16)
                ))
            });
            let part = one(self, parts);
            whole = if from == 0 {
                part
            } else {
                // As wide as what is there already, so that the two can be put together.
                let held = self.f.value(format_args!(
                    "shufflevector <16 x float> {part}, <16 x float> poison, <{from} x i32> <{}>",
                    (0..from)
                        .map(|i| if i < 16 { format!("i32 {i}") } else { "i32 poison".to_owned() })
                        .collect::<Vec<_>>()
                        .join(", ")
                ));
                self.f.value(format_args!(
                    "shufflevector <{from} x float> {whole}, <{from} x float> {held}, \
                     <{} x i32> <{}>",
                    from + 16,
                    picks(0, from + 16)
                ))
            };
        }
        Value::varying(whole)
    }

    /// A number times 2 to an integer power, where [`Self::scales`] holds of the power.
    fn scaled(&mut self, p: &Value, n: &Value) -> Value {
        let t = "<16 x float>";
        let (p, n) = (self.spread(p, Scalar::F32), self.spread(n, Scalar::F32));
        self.f.declare(format!("{t} @llvm.x86.avx512.mask.scalef.ps.512({t}, {t}, {t}, i16, i32)"));
        self.by_sixteen([&p, &n], |e, [p, n]| {
            e.f.value(format_args!(
                "call {t} @llvm.x86.avx512.mask.scalef.ps.512({t} {p}, {t} {n}, {t} {p}, i16 -1, \
                 i32 4)"
            ))
        })
    }

    /// The whole number nearest to a product, whose magnitude is below 2^21.
    fn nearest(&mut self, a: &Value, b: &Value) -> Nearest {
        // In a sum with this number, what is left of a number is whole.
        let large = self.c(12_582_912.0);
        let bits = self.fma(a, b, &large);
        let value = self.op2("fsub", Scalar::F32, &bits, &large);
        Nearest { value, bits }
    }

    /// A number between 1/2 and 2 times 2 to a power; where [`Self::scales`] does not hold of the
    /// power, the result has to be normal, or too small for that by less than a factor of 2.
    fn times_exp2(&mut self, p: &Value, n: &Nearest) -> Value {
        if self.scales(&n.value) {
            return self.scaled(p, &n.value);
        }
        let i = Scalar::I32;
        let bits = self.map(&n.bits, Scalar::F32, i, "bitcast");
        let by = self.whole(i, 23);
        let exponent = self.op2("shl", i, &bits, &by);
        let p = self.map(p, Scalar::F32, i, "bitcast");
        let sum = self.op2("add", i, &p, &exponent);
        self.map(&sum, i, Scalar::F32, "bitcast")
    }

    /// e to the power, within 1.1 ulp where the result is normal; smaller results may be 0.
    fn exp(&mut self, x: &Value) -> Value {
        let f = Scalar::F32;
        if self.scales(x) {
            // Beyond these bounds the result is 0 or infinite by itself.
            let held = self.at_most(x, 89.0);
            let held = self.at_least(&held, -104.0);
            return self.exp_within(&held);
        }
        let (low, high) = (-87.336_54, 88.722_831_726);
        let held = self.at_most(x, high);
        let held = self.at_least(&held, low);
        let y = self.exp_within(&held);
        let (low, high) = (self.c(low), self.c(high));
        let zero = self.c(0.0);
        let below = self.compare_as("fcmp olt", f, x, &low);
        let y = self.select(f, &below, &zero, &y);
        let inf = self.c(f64::INFINITY);
        let above = self.compare_as("fcmp ogt", f, x, &high);
        let y = self.select(f, &above, &inf, &y);
        self.keep_nan(x, &y)
    }

    /// A power of e as a power of 2 times one near 1 (Cody and Waite, ln 2 in two parts): the
    /// exponents of the two, a whole number and one between -ln 2 / 2 and ln 2 / 2.
    fn reduced(&mut self, x: &Value) -> (Nearest, Value) {
        let log2e = self.c(std::f64::consts::LOG2_E);
        let n = self.nearest(x, &log2e);
        let (hi, lo) = (self.c(-0.693_359_375), self.c(2.121_944_400_546_905_8e-4));
        let r = self.fma(&n.value, &hi, x);
        let r = self.fma(&n.value, &lo, &r);
        (n, r)
    }

    /// e to a power for which the result is a normal number, by a polynomial of degree 6 for the
    /// power near 1 (least greatest relative error, 2e-9).
    fn exp_within(&mut self, x: &Value) -> Value {
        let (n, r) = self.reduced(x);
        let p = self.poly(
            &r,
            &[
                0.001_384_364_425,
                0.008_374_163_411,
                0.041_668_002_57,
                0.166_664_311_7,
                0.499_999_942_1,
                1.000_000_032,
                1.0,
            ],
        );
        self.times_exp2(&p, &n)
    }

    /// The logistic function of the negative of a number, `1 / (1 + e^x)`, within 2.5 ulp where the
    /// result is normal; smaller results may be 0.
    pub(super) fn logistic(&mut self, x: &Value) -> Value {
        let f = Scalar::F32;
        let one = self.c(1.0);
        // Nothing is infinite within these bounds.
        let held = self.at_most(x, 88.0);
        let held = self.at_least(&held, -87.0);
        let power = self.exp_within(&held);
        let sum = self.op2("fadd", f, &power, &one);
        let y = match self.scales(&sum) {
            true => self.reciprocal(&sum),
            false => self.op2("fdiv", f, &one, &sum),
        };
        self.keep_nan(x, &y)
    }

    /// The reciprocal of a finite number that is not 0, within 1 ulp, where [`Self::scales`]
    /// holds: an estimate that is refined by Newton's rule, several times as fast as a division
    /// of vectors.
    fn reciprocal(&mut self, x: &Value) -> Value {
        let t = "<16 x float>";
        self.f.declare(format!("{t} @llvm.x86.avx512.rcp14.ps.512({t}, {t}, i16)"));
        let estimate = self.by_sixteen([&x.name], |e, [x]| {
            e.f.value(format_args!(
                "call {t} @llvm.x86.avx512.rcp14.ps.512({t} {x}, {t} zeroinitializer, i16 -1)"
            ))
        });
        let less = self.negated(x);
        let one = self.c(1.0);
        let error = self.fma(&less, &estimate, &one);
        self.fma(&estimate, &error, &estimate)
    }

    fn negated(&mut self, x: &Value) -> Value {
        let t = self.vty(Scalar::F32, x.varying);
        let name = self.f.value(format_args!("fneg {t} {}", x.name));
        Value { name, varying: x.varying }
    }

    /// A finite number over another that is not 0, within 1.5 ulp where [`Self::scales`] holds: by
    /// the reciprocal.
    fn quotient(&mut self, a: &Value, b: &Value) -> Value {
        if !self.scales(b) {
            return self.op2("fdiv", Scalar::F32, a, b);
        }
        let reciprocal = self.reciprocal(b);
        self.op2("fmul", Scalar::F32, a, &reciprocal)
    }

    /// The natural logarithm within 2 ulp. The mantissa is brought to [sqrt(1/2), sqrt 2) and
    /// its logarithm is a series in (m - 1) / (m + 1).
    fn log(&mut self, x: &Value) -> Value {
        let f = Scalar::F32;
        let i = Scalar::I32;
        // Subnormal numbers are scaled first.
        let tiny = self.c(f64::from(f32::MIN_POSITIVE));
        let small = self.compare_as("fcmp olt", f, x, &tiny);
        let by = self.c(8_388_608.0);
        let scaled = self.op2("fmul", f, x, &by);
        let v = self.select(f, &small, &scaled, x);
        let (shift, none) = (self.c(-23.0), self.c(0.0));
        let offset = self.select(f, &small, &shift, &none);
        let bits = self.map(&v, f, i, "bitcast");
        let base = self.whole(i, 0x3f35_04f3);
        let moved = self.op2("sub", i, &bits, &base);
        let n23 = self.whole(i, 23);
        let e = self.op2("ashr", i, &moved, &n23);
        let back = self.op2("shl", i, &e, &n23);
        let m = self.op2("sub", i, &bits, &back);
        let m = self.map(&m, i, f, "bitcast");
        let e = self.map(&e, i, f, "sitofp");
        let e = self.op2("fadd", f, &e, &offset);
        let one = self.c(1.0);
        let up = self.op2("fsub", f, &m, &one);
        let two = self.c(2.0);
        let down = self.op2("fadd", f, &up, &two);
        let s = self.op2("fdiv", f, &up, &down);
        let z = self.op2("fmul", f, &s, &s);
        let p = self.poly(&z, &[2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0]);
        let p = self.op2("fmul", f, &p, &z);
        // log(m) = 2s + s*p, with 2s = up - s*up.
        let hfsq = self.op2("fsub", f, &p, &up);
        let t = self.op2("fmul", f, &s, &hfsq);
        let lo = self.c(-2.121_944_400_546_905_8e-4);
        let t = self.fma(&e, &lo, &t);
        let y = self.op2("fadd", f, &up, &t);
        let hi = self.c(0.693_359_375);
        let y = self.fma(&e, &hi, &y);
        let zero = self.c(0.0);
        let inf = self.c(f64::INFINITY);
        let is_inf = self.compare_as("fcmp oeq", f, x, &inf);
        let y = self.select(f, &is_inf, &inf, &y);
        let minus_inf = self.c(f64::NEG_INFINITY);
        let is_zero = self.compare_as("fcmp oeq", f, x, &zero);
        let y = self.select(f, &is_zero, &minus_inf, &y);
        let nan = self.c(f64::NAN);
        let bad = self.compare_as("fcmp ult", f, x, &zero);
        self.select(f, &bad, &nan, &y)
    }

    /// The hyperbolic tangent within 6 ulp, and never beyond 1: an odd rational function that was
    /// fitted up to 9 (least greatest relative error, 2.1e-8), from where on the result is 1 in
    /// single precision. The last coefficient is a little larger, so that it is 1 there.
    fn tanh(&mut self, x: &Value) -> Value {
        let f = Scalar::F32;
        let magnitude = self.intrinsic("fabs", f, &[x]);
        let held = self.at_most(&magnitude, 9.0);
        let z = self.op2("fmul", f, &held, &held);
        let above = self.poly(
            &z,
            &[
                1.335_477_273e-8,
                2.060_906_451e-5,
                0.003_495_586_965,
                0.133_810_246_3,
                0.999_999_979_5,
            ],
        );
        let above = self.op2("fmul", f, &above, &held);
        let below = self.poly(
            &z,
            &[7.776_548_679e-7, 0.000_328_563_297_5, 0.025_876_977_69, 0.467_143_402_2, 1.0],
        );
        let y = self.quotient(&above, &below);
        let y = self.at_most(&y, 1.0);
        self.intrinsic("copysign", f, &[&y, x])
    }

    /// The error function within 1.5e-7 absolute of the exact value and 4 ulp near zero: a Taylor
    /// polynomial up to 0.9, elsewhere 1 less 2 to the power of a polynomial, which was fitted to
    /// the binary logarithm of the complementary error function between 0.85 and 4 (least
    /// greatest error of the result, 2e-9); beyond, the result is 1 in single precision.
    fn erf(&mut self, x: &Value) -> Value {
        let f = Scalar::F32;
        let magnitude = self.intrinsic("fabs", f, &[x]);
        let held = self.at_most(&magnitude, 4.0);
        let one = self.c(1.0);
        let power = self.poly(
            &held,
            &[
                0.000_292_184_455,
                -0.004_482_705_43,
                0.032_430_283,
                -0.150_686_616,
                -0.918_422_103,
                -1.627_382_27,
                -0.000_165_486_272,
            ],
        );
        let n = self.nearest(&power, &one);
        let r = self.op2("fsub", f, &power, &n.value);
        // Powers of ln 2 by factorials.
        let mut terms = vec![1.0f64];
        for k in 1..=6 {
            terms.push(terms[k - 1] * std::f64::consts::LN_2 / k as f64);
        }
        terms.reverse();
        let p = self.poly(&r, &terms);
        let tail = self.times_exp2(&p, &n);
        let far = self.op2("fsub", f, &one, &tail);
        let far = self.intrinsic("copysign", f, &[&far, x]);
        let z = self.op2("fmul", f, x, x);
        // 2/sqrt(pi) * (-1)^k / (k! (2k + 1)).
        let scale = std::f64::consts::FRAC_2_SQRT_PI;
        let terms: [f64; 9] = [1.0, -3.0, 10.0, -42.0, 216.0, -1320.0, 9360.0, -75600.0, 685_440.0];
        let coefficients: Vec<f64> = terms.iter().rev().map(|d| scale / d).collect();
        let p = self.poly(&z, &coefficients);
        let near = self.op2("fmul", f, x, &p);
        let edge = self.c(0.9);
        let is_near = self.compare_as("fcmp olt", f, &magnitude, &edge);
        let y = self.select(f, &is_near, &near, &far);
        self.keep_nan(x, &y)
    }
}
