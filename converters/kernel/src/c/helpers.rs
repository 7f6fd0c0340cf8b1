//! Small functions of C that generated code calls.

use std::collections::BTreeMap;

use crate::ir::{BinOp, Scalar};

/// The functions that some code needs, by name. A function stands after those that it calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Helpers {
    found: BTreeMap<String, usize>,
    texts: Vec<String>,
}

/// The C type of a value.
pub(super) fn c_type(ty: Scalar) -> &'static str {
    match ty {
        Scalar::Bool => "bool",
        Scalar::I8 => "int8_t",
        Scalar::I16 => "int16_t",
        Scalar::I32 => "int32_t",
        Scalar::I64 => "int64_t",
        Scalar::U8 => "uint8_t",
        Scalar::U16 => "uint16_t",
        Scalar::U32 => "uint32_t",
        Scalar::U64 => "uint64_t",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
    }
}

/// The unsigned type in which integers of a type wrap without promotion to `int`.
pub(super) fn wrap_type(ty: Scalar) -> &'static str {
    if ty.bits() == 64 { "uint64_t" } else { "uint32_t" }
}

impl Helpers {
    /// The functions, in the order of their text.
    pub(super) fn text(&self) -> String {
        self.texts.concat()
    }

    fn add(&mut self, name: &str, text: impl FnOnce() -> String) -> String {
        let name = format!("ac_{name}");
        if !self.found.contains_key(&name) {
            self.found.insert(name.clone(), self.texts.len());
            self.texts.push(format!("{}\n", text().trim()));
        }
        name
    }

    /// A function of two values of a type that gives another one.
    fn two(&mut self, op: &str, ty: Scalar, body: &str) -> String {
        let t = c_type(ty);
        self.add(&format!("{op}_{}", ty.name()), || {
            format!("static inline {t} ac_{op}_{}({t} a, {t} b)\n{{\n{body}\n}}", ty.name())
        })
    }

    /// The least and the greatest value of an integer type.
    fn limits(ty: Scalar) -> (String, String) {
        let name = ty.name().to_uppercase().replace('I', "INT").replace('U', "UINT");
        match ty.is_signed() {
            true => (format!("{name}_MIN"), format!("{name}_MAX")),
            false => ("0".to_owned(), format!("{name}_MAX")),
        }
    }

    /// Division toward zero; by zero gives 0.
    pub(super) fn div(&mut self, ty: Scalar) -> String {
        let (t, w) = (c_type(ty), wrap_type(ty));
        let body = if ty.is_signed() {
            format!(
                "    if (b == 0)\n        return 0;\n    \
                 return b == -1 ? ({t})(0u - ({w})a) : ({t})(a / b);"
            )
        } else {
            format!("    return b == 0 ? 0 : ({t})(a / b);")
        };
        self.two("div", ty, &body)
    }

    /// What division toward zero leaves; by zero gives 0.
    pub(super) fn rem(&mut self, ty: Scalar) -> String {
        let t = c_type(ty);
        let body = if ty.is_signed() {
            format!("    return b == 0 || b == -1 ? 0 : ({t})(a % b);")
        } else {
            format!("    return b == 0 ? 0 : ({t})(a % b);")
        };
        self.two("rem", ty, &body)
    }

    /// Division toward minus infinity.
    pub(super) fn floor_div(&mut self, ty: Scalar) -> String {
        let (t, div) = (c_type(ty), self.div(ty));
        if !ty.is_signed() {
            return div;
        }
        let rem = self.rem(ty);
        let body = format!(
            "    {t} r = {rem}(a, b);\n    \
             return ({t})({div}(a, b) - (r != 0 && (r < 0) != (b < 0)));"
        );
        self.two("floor_div", ty, &body)
    }

    /// What division toward minus infinity leaves; of floats, with the sign of the divisor.
    pub(super) fn floor_rem(&mut self, ty: Scalar) -> String {
        let t = c_type(ty);
        if ty.is_float() {
            let f = if ty == Scalar::F32 { "f" } else { "" };
            let body = format!(
                "    {t} r = fmod{f}(a, b);\n    if (r == 0)\n        return copysign{f}(0, b);\n    \
                 return (r < 0) != (b < 0) ? r + b : r;"
            );
            return self.two("floor_rem", ty, &body);
        }
        let rem = self.rem(ty);
        if !ty.is_signed() {
            return rem;
        }
        let body = format!(
            "    {t} r = {rem}(a, b);\n    \
             return r != 0 && (r < 0) != (b < 0) ? ({t})(r + b) : r;"
        );
        self.two("floor_rem", ty, &body)
    }

    /// The greater or the lesser; of floats NaN wins, or a number does.
    pub(super) fn extreme(&mut self, ty: Scalar, greater: bool, nan_wins: bool) -> String {
        let sign = if greater { '>' } else { '<' };
        let name = if greater { "max" } else { "min" };
        let (name, body) = match (ty.is_float(), nan_wins) {
            (false, _) => (name.to_owned(), format!("    return b {sign} a ? b : a;")),
            (true, true) => {
                (name.to_owned(), format!("    return (b {sign} a || b != b) && a == a ? b : a;"))
            }
            (true, false) => {
                (format!("{name}_num"), format!("    return b {sign} a || a != a ? b : a;"))
            }
        };
        self.two(&name, ty, &body)
    }

    /// A comparison.
    pub(super) fn compare(&mut self, ty: Scalar, op: BinOp) -> String {
        let (name, sign) = match op {
            BinOp::Le => ("le", "<="),
            BinOp::Lt => ("lt", "<"),
            _ => ("eq", "=="),
        };
        let t = c_type(ty);
        self.add(&format!("{name}_{}", ty.name()), || {
            format!(
                "static inline bool ac_{name}_{}({t} a, {t} b)\n{{\n    return a {sign} b;\n}}",
                ty.name()
            )
        })
    }

    /// A shift to the left; counts outside of the width give 0.
    pub(super) fn shl(&mut self, ty: Scalar) -> String {
        let (t, w, bits) = (c_type(ty), wrap_type(ty), ty.bits());
        let low = if ty.is_signed() { "b < 0 || " } else { "" };
        let body = format!("    return {low}b >= {bits} ? 0 : ({t})(({w})a << b);");
        self.two("shl", ty, &body)
    }

    /// A power of 64-bit integers, which wraps, by squaring.
    pub(super) fn pow(&mut self, ty: Scalar) -> String {
        let t = c_type(ty);
        let body = format!(
            "    uint64_t x = (uint64_t)a, n = (uint64_t)b, y = 1;\n    \
             for (; n != 0; n >>= 1) {{\n        y = (n & 1) != 0 ? y * x : y;\n        \
             x *= x;\n    }}\n    return ({t})y;"
        );
        self.two("power", ty, &body)
    }

    /// A shift to the right; counts outside of the width give the sign.
    pub(super) fn shr(&mut self, ty: Scalar) -> String {
        let (t, bits) = (c_type(ty), ty.bits());
        let body = if ty.is_signed() {
            format!(
                "    {t} n = b < 0 || b >= {bits} ? {} : b;\n    \
                 return a < 0 ? ({t})~(~a >> n) : ({t})(a >> n);",
                bits - 1
            )
        } else {
            format!("    return b >= {bits} ? 0 : ({t})(a >> b);")
        };
        self.two("shr", ty, &body)
    }

    /// Division toward plus infinity.
    pub(super) fn ceil_div(&mut self) -> String {
        let (div, rem) = (self.div(Scalar::I64), self.rem(Scalar::I64));
        let body = format!(
            "    int64_t r = {rem}(a, b);\n    \
             return {div}(a, b) + (r != 0 && (r < 0) == (b < 0));"
        );
        self.two("ceil_div", Scalar::I64, &body)
    }

    /// The absolute value of a signed integer, which wraps.
    pub(super) fn abs(&mut self, ty: Scalar) -> String {
        let (t, w) = (c_type(ty), wrap_type(ty));
        self.add(&format!("abs_{}", ty.name()), || {
            format!(
                "static inline {t} ac_abs_{}({t} x)\n{{\n    \
                 return x < 0 ? ({t})(0u - ({w})x) : x;\n}}",
                ty.name()
            )
        })
    }

    /// The complement of an integer.
    pub(super) fn not(&mut self, ty: Scalar) -> String {
        let t = c_type(ty);
        self.add(&format!("not_{}", ty.name()), || {
            format!("static inline {t} ac_not_{}({t} x)\n{{\n    return ({t})~x;\n}}", ty.name())
        })
    }

    /// -1, 0 or 1.
    pub(super) fn sign(&mut self, ty: Scalar) -> String {
        let t = c_type(ty);
        self.add(&format!("sign_{}", ty.name()), || {
            let body = match (ty.is_float(), ty.is_signed()) {
                (true, _) => "x > 0 ? 1 : x < 0 ? -1 : x + 0".to_owned(),
                (false, true) => format!("({t})((x > 0) - (x < 0))"),
                (false, false) => "x != 0".to_owned(),
            };
            format!("static inline {t} ac_sign_{}({t} x)\n{{\n    return {body};\n}}", ty.name())
        })
    }

    /// An integer from a float: toward zero, saturating, NaN gives 0.
    pub(super) fn int_of(&mut self, to: Scalar, from: Scalar) -> String {
        let (t, f, suffix) = (c_type(to), c_type(from), if from == Scalar::F32 { "f" } else { "" });
        let (min, max) = Self::limits(to);
        let name = format!("{}_of_{}", to.name(), from.name());
        let bits = to.bits() - u32::from(to.is_signed());
        // Both ends are powers of two, or zero.
        let end = format!("0x1p{bits}{suffix}");
        let low = if to.is_signed() { format!("-{end}") } else { "0".to_owned() };
        self.add(&name, || {
            format!(
                "static inline {t} ac_{name}({f} x)\n{{\n    if (x != x)\n        return 0;\n    \
                 if (x <= {low})\n        return {min};\n    if (x >= {end})\n        \
                 return {max};\n    return ({t})x;\n}}"
            )
        })
    }

    /// The same bits in another type.
    pub(super) fn bits(&mut self, to: Scalar, from: Scalar) -> String {
        let (t, f) = (c_type(to), c_type(from));
        let name = format!("bits_{}_{}", to.name(), from.name());
        self.add(&name, || {
            format!(
                "static inline {t} ac_{name}({f} x)\n{{\n    {t} y;\n    \
                 memcpy(&y, &x, sizeof y);\n    return y;\n}}"
            )
        })
    }

    /// The value of a half.
    pub(super) fn f32_of_f16(&mut self) -> String {
        let bits = self.bits(Scalar::F32, Scalar::U32);
        self.add("f32_of_f16", || {
            format!(
                "static inline float ac_f32_of_f16(uint16_t h)
{{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u)
        return {bits}(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
    if (rest < 0x400u) {{
        float x = (float)rest * 0x1p-24f;
        return sign != 0 ? -x : x;
    }}
    return {bits}(sign | ((rest + (112u << 10)) << 13));
}}"
            )
        })
    }

    /// The half that is nearest to a value, ties to even.
    pub(super) fn f16_of_f32(&mut self) -> String {
        let bits = self.bits(Scalar::U32, Scalar::F32);
        self.add("f16_of_f32", || {
            format!(
                "static inline uint16_t ac_f16_of_f32(float x)
{{
    uint32_t b = {bits}(x), sign = (b >> 16) & 0x8000u, a = b & 0x7fffffffu, m, shift;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (a >= 0x38800000u)
        return (uint16_t)(sign | ((a - (112u << 23) + 0xfffu + ((a >> 13) & 1u)) >> 13));
    if (a <= 0x33000000u)
        return (uint16_t)sign;
    m = (a & 0x7fffffu) | 0x800000u;
    shift = 126u - (a >> 23);
    a = m >> shift;
    m &= (1u << shift) - 1u;
    a += m > (1u << (shift - 1u)) || (m == (1u << (shift - 1u)) && (a & 1u) != 0);
    return (uint16_t)(sign | a);
}}"
            )
        })
    }

    /// The value of a bfloat16.
    pub(super) fn f32_of_bf16(&mut self) -> String {
        let bits = self.bits(Scalar::F32, Scalar::U32);
        self.add("f32_of_bf16", || {
            format!(
                "static inline float ac_f32_of_bf16(uint16_t h)\n{{\n    \
                 return {bits}((uint32_t)h << 16);\n}}"
            )
        })
    }

    /// The bfloat16 that is nearest to a value, ties to even.
    pub(super) fn bf16_of_f32(&mut self) -> String {
        let bits = self.bits(Scalar::U32, Scalar::F32);
        self.add("bf16_of_f32", || {
            format!(
                "static inline uint16_t ac_bf16_of_f32(float x)
{{
    uint32_t b = {bits}(x);
    if ((b & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((b >> 16) | 0x40u);
    return (uint16_t)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}}"
            )
        })
    }

    /// Rounding to a narrow float, whose constants are arguments: the bits of the mantissa, the
    /// least exponent, the greatest finite value, what stands beyond it, what NaN becomes, and
    /// how signs are kept (0: always, 1: not of zeros and NaN, 2: NaN becomes a negative zero).
    pub(super) fn narrow(&mut self) -> String {
        self.add("narrow", || {
            "static inline double ac_narrow(double x, int man_bits, int min_exp, double max, double over,
                               double nan, int signs)
{
    double a = fabs(x), q, r;
    int e;
    if (x != x) {
        if (signs == 2)
            return -0.0;
        return signs == 0 && signbit(x) ? -nan : nan;
    }
    if (a > 2 * max)
        a = 2 * max;
    (void)frexp(a, &e);
    e -= 1;
    if (e < min_exp)
        e = min_exp;
    q = ldexp(1.0, e - man_bits);
    r = rint(a / q) * q;
    if (r > max)
        r = over;
    if (!signbit(x) || (signs == 1 && (r == 0 || r != r)))
        return r;
    return -r;
}"
            .to_owned()
        })
    }

    /// Rounding to a power of two: upward (0), downward (1), or to the nearest (2).
    pub(super) fn narrow_power(&mut self) -> String {
        self.add("narrow_power", || {
            "static inline double ac_narrow_power(double x, int saturate, int mode)
{
    double m;
    int e;
    if (x != x || x < 0)
        return NAN;
    if (isinf(x))
        return saturate ? 0x1p127 : NAN;
    m = frexp(x, &e);
    e = x == 0 ? -2000 : e - 1;
    if (x != 0 && ((mode == 0 && m != 0.5) || (mode == 2 && m >= 0.75)))
        e += 1;
    if (e < -127 || e > 127) {
        if (!saturate)
            return NAN;
        e = e < 0 ? -127 : 127;
    }
    return ldexp(1.0, e);
}"
            .to_owned()
        })
    }
}
