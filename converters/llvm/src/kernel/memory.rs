//! Loads and stores.

use airconv_ir::dim::Dim;
use airconv_kernel::ir::{Elem, ExprId, Scalar};

use super::{Emitter, Result, Value, ty};
use crate::emit::READ_ALIGN;

/// How an element lies in memory.
fn element(elem: Elem) -> &'static str {
    match elem {
        Elem::Bool => "i8",
        Elem::F16 => "half",
        Elem::Bf16 => "i16",
        other => ty(other.scalar()),
    }
}

/// How intrinsic names spell it.
fn element_suffix(elem: Elem) -> &'static str {
    match elem {
        Elem::F16 => "f16",
        Elem::F32 => "f32",
        Elem::F64 => "f64",
        other => match other.bytes() {
            1 => "i8",
            2 => "i16",
            4 => "i32",
            _ => "i64",
        },
    }
}

impl Emitter<'_> {
    pub(super) fn load(&mut self, param: u32, at: &Dim) -> Result<Value> {
        let elem = self.kernel.params[param as usize].elem;
        let base = self.params[param as usize].clone();
        let t = element(elem);
        let varying = self.dim_varies(at);
        let Some(lanes) = self.lanes.clone() else {
            let index = self.dim(at)?.name;
            let place = self.f.at(t, &base, index);
            let name = self.f.value(format_args!("load {t}, ptr {place}, align {READ_ALIGN}"));
            return Ok(self.loaded(elem, Value::uniform(name)));
        };
        let (count, vt) = (lanes.count, format!("<{} x {t}>", lanes.count));
        if !varying {
            let index = self.dim(at)?.name;
            let Some(mask) = lanes.mask.filter(|_| !lanes.alive) else {
                let place = self.f.at(t, &base, index);
                let name = self.f.value(format_args!("load {t}, ptr {place}, align {READ_ALIGN}"));
                return Ok(self.loaded(elem, Value::uniform(name)));
            };
            // Nothing is read when no lane is alive.
            let any = self.any(&mask);
            let (inside, after) = (self.f.label("read"), self.f.label("end"));
            let from = self.f.block().to_owned();
            self.f.branch(&any, &inside, &after);
            self.f.begin(&inside);
            let place = self.f.at(t, &base, index);
            let name = self.f.value(format_args!("load {t}, ptr {place}, align {READ_ALIGN}"));
            self.f.jump(&after);
            self.f.begin(&after);
            let zero = if matches!(elem, Elem::F16 | Elem::F32 | Elem::F64) { "0.0" } else { "0" };
            let name =
                self.f.value(format_args!("phi {t} [ {name}, %{inside} ], [ {zero}, %{from} ]"));
            return Ok(self.loaded(elem, Value::uniform(name)));
        }
        let unit = self.stride(at, lanes.var).is_some_and(|s| s.as_known() == Some(1));
        if unit {
            let index = self.first_lane(at)?;
            let place = self.f.at(t, &base, index);
            let name = match &lanes.mask {
                None => self.f.value(format_args!("load {vt}, ptr {place}, align {READ_ALIGN}")),
                Some(mask) => {
                    let s = element_suffix(elem);
                    self.f.declare(format!(
                        "{vt} @llvm.masked.load.v{count}{s}.p0(ptr, i32, <{count} x i1>, {vt})"
                    ));
                    self.f.value(format_args!(
                        "call {vt} @llvm.masked.load.v{count}{s}.p0(ptr {place}, i32 {READ_ALIGN}, \
                         <{count} x i1> {mask}, {vt} zeroinitializer)"
                    ))
                }
            };
            return Ok(self.loaded(elem, Value::varying(name)));
        }
        let two = self.stride(at, lanes.var).is_some_and(|s| s.as_known() == Some(2));
        if two && lanes.mask.is_none() {
            // Every other element of two vectors; nothing beyond the last one is read.
            let index = self.first_lane(at)?;
            let low = self.f.at(t, &base, index);
            let high = self.f.at(t, &low, count - 1);
            let [low, high] = [low, high].map(|place| {
                self.f.value(format_args!("load {vt}, ptr {place}, align {READ_ALIGN}"))
            });
            let picks: Vec<String> = (0..count)
                .map(|i| format!("i32 {}", if i < count / 2 { 2 * i } else { 2 * i + 1 }))
                .collect();
            let name = self.f.value(format_args!(
                "shufflevector {vt} {low}, {vt} {high}, <{count} x i32> <{}>",
                picks.join(", ")
            ));
            return Ok(self.loaded(elem, Value::varying(name)));
        }
        let index = self.dim(at)?.name;
        let places =
            self.f.value(format_args!("getelementptr {t}, ptr {base}, <{count} x i64> {index}"));
        let mask = match &lanes.mask {
            Some(m) => m.clone(),
            None => {
                let all: Vec<&str> = vec!["i1 true"; count];
                format!("<{}>", all.join(", "))
            }
        };
        let s = element_suffix(elem);
        self.f.declare(format!(
            "{vt} @llvm.masked.gather.v{count}{s}.v{count}p0(<{count} x ptr>, i32, \
             <{count} x i1>, {vt})"
        ));
        let name = self.f.value(format_args!(
            "call {vt} @llvm.masked.gather.v{count}{s}.v{count}p0(<{count} x ptr> {places}, \
             i32 {READ_ALIGN}, <{count} x i1> {mask}, {vt} zeroinitializer)"
        ));
        Ok(self.loaded(elem, Value::varying(name)))
    }

    /// Whether a lane is alive.
    fn any(&mut self, mask: &str) -> String {
        let count = self.lanes.as_ref().map_or(1, |l| l.count);
        let t = format!("<{count} x i1>");
        self.f.declare(format!("i1 @llvm.vector.reduce.or.v{count}i1({t})"));
        self.f.value(format_args!("call i1 @llvm.vector.reduce.or.v{count}i1({t} {mask})"))
    }

    /// The value of an element as it was read.
    fn loaded(&mut self, elem: Elem, raw: Value) -> Value {
        match elem {
            Elem::Bool => {
                let zero = self.whole(Scalar::U8, 0);
                self.compare_as("icmp ne", Scalar::U8, &raw, &zero)
            }
            Elem::F16 => {
                let (h, t) = (self.half_ty(raw.varying), self.vty(Scalar::F32, raw.varying));
                let name = self.f.value(format_args!("fpext {h} {} to {t}", raw.name));
                Value { name, varying: raw.varying }
            }
            Elem::Bf16 => {
                let wide = self.map(&raw, Scalar::U16, Scalar::U32, "zext");
                let by = self.whole(Scalar::U32, 16);
                let bits = self.op2("shl", Scalar::U32, &wide, &by);
                self.map(&bits, Scalar::U32, Scalar::F32, "bitcast")
            }
            _ => raw,
        }
    }

    /// A value as an element holds it.
    fn unloaded(&mut self, elem: Elem, v: Value) -> Value {
        match elem {
            Elem::Bool => self.map(&v, Scalar::Bool, Scalar::U8, "zext"),
            Elem::F16 => {
                let (h, t) = (self.half_ty(v.varying), self.vty(Scalar::F32, v.varying));
                let name = self.f.value(format_args!("fptrunc {t} {} to {h}", v.name));
                Value { name, varying: v.varying }
            }
            Elem::Bf16 => {
                let bits = self.bf16_bits(&v);
                let by = self.whole(Scalar::I32, 16);
                let high = self.op2("lshr", Scalar::I32, &bits, &by);
                self.map(&high, Scalar::I32, Scalar::I16, "trunc")
            }
            _ => v,
        }
    }

    pub(super) fn store(&mut self, param: u32, at: &Dim, value: ExprId) -> Result<()> {
        let elem = self.kernel.params[param as usize].elem;
        let base = self.params[param as usize].clone();
        let t = element(elem);
        let v = self.expr(value)?;
        let v = self.unloaded(elem, v);
        let align = elem.bytes();
        let Some(lanes) = self.lanes.clone() else {
            let index = self.dim(at)?.name;
            let place = self.f.at(t, &base, index);
            self.f.line(format_args!("store {t} {}, ptr {place}, align {align}", v.name));
            return Ok(());
        };
        let (count, vt) = (lanes.count, format!("<{} x {t}>", lanes.count));
        let name =
            if v.varying { v.name } else { crate::emit::splat(&mut self.f, count, t, &v.name) };
        let s = element_suffix(elem);
        if self.stride(at, lanes.var).is_some_and(|s| s.as_known() == Some(1)) {
            let index = self.first_lane(at)?;
            let place = self.f.at(t, &base, index);
            match &lanes.mask {
                None => self.f.line(format_args!("store {vt} {name}, ptr {place}, align {align}")),
                Some(mask) => {
                    self.f.declare(format!(
                        "void @llvm.masked.store.v{count}{s}.p0({vt}, ptr, i32, <{count} x i1>)"
                    ));
                    self.f.line(format_args!(
                        "call void @llvm.masked.store.v{count}{s}.p0({vt} {name}, ptr {place}, \
                         i32 {align}, <{count} x i1> {mask})"
                    ));
                }
            }
            return Ok(());
        }
        let index = self.dim(at)?;
        let index = self.spread(&index, Scalar::I64);
        let places =
            self.f.value(format_args!("getelementptr {t}, ptr {base}, <{count} x i64> {index}"));
        let mask = match &lanes.mask {
            Some(m) => m.clone(),
            None => format!("<{}>", vec!["i1 true"; count].join(", ")),
        };
        self.f.declare(format!(
            "void @llvm.masked.scatter.v{count}{s}.v{count}p0({vt}, <{count} x ptr>, i32, \
             <{count} x i1>)"
        ));
        self.f.line(format_args!(
            "call void @llvm.masked.scatter.v{count}{s}.v{count}p0({vt} {name}, \
             <{count} x ptr> {places}, i32 {align}, <{count} x i1> {mask})"
        ));
        Ok(())
    }
}
