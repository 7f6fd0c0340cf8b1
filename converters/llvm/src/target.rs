//! Instruction-set levels, and what the code generator is told about the machine.

use crate::error::{LlvmError, Result};

/// An instruction-set level: what a kernel may use, and the unit in which tile tables and
/// artefacts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// x86-64-v2: SSE4.2, 128-bit vectors, no fused multiply-add.
    V2,
    /// x86-64-v3: AVX2 and FMA, 256-bit vectors.
    V3,
    /// x86-64-v4: AVX-512 F, BW, CD, DQ and VL, 512-bit vectors.
    V4,
    /// x86-64-v4 with VNNI: four products of bytes and their sum in one step.
    Vnni,
    /// The same with AMX tiles (bf16 and int8), and the AVX-512 of such machines.
    Amx,
    /// AArch64 with Advanced SIMD, 128-bit vectors.
    Neon,
}

impl Isa {
    /// Every level.
    pub const ALL: [Isa; 6] = [Isa::V2, Isa::V3, Isa::V4, Isa::Vnni, Isa::Amx, Isa::Neon];

    /// The name that `parse` reads.
    pub fn name(self) -> &'static str {
        match self {
            Isa::V2 => "v2",
            Isa::V3 => "v3",
            Isa::V4 => "v4",
            Isa::Vnni => "vnni",
            Isa::Amx => "amx",
            Isa::Neon => "neon",
        }
    }

    /// The level of a name: those of [`Isa::name`], and usual synonyms.
    pub fn parse(text: &str) -> Result<Isa> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "v2" | "x86-64-v2" | "sse4.2" | "sse42" => Isa::V2,
            "v3" | "x86-64-v3" | "avx2" => Isa::V3,
            "v4" | "x86-64-v4" | "avx512" | "avx-512" => Isa::V4,
            "vnni" | "avx512-vnni" => Isa::Vnni,
            "amx" => Isa::Amx,
            "neon" | "aarch64" | "arm64" => Isa::Neon,
            _ => {
                let names = Isa::ALL.map(Isa::name).join(", ");
                return Err(LlvmError::Argument(format!(
                    "no instruction-set level {text:?}; there are {names}"
                )));
            }
        })
    }

    /// Width of a vector register in bits.
    pub fn vector_bits(self) -> usize {
        match self {
            Isa::V2 | Isa::Neon => 128,
            Isa::V3 => 256,
            Isa::V4 | Isa::Vnni | Isa::Amx => 512,
        }
    }

    /// How many `f32` fit into a vector register.
    pub fn f32_lanes(self) -> usize {
        self.vector_bits() / 32
    }

    /// How many vector registers there are.
    pub fn vector_registers(self) -> usize {
        match self {
            Isa::V2 | Isa::V3 => 16,
            Isa::V4 | Isa::Vnni | Isa::Amx | Isa::Neon => 32,
        }
    }

    /// Whether a fused multiply-add is one instruction. Without, `llvm.fma` would call libm.
    pub fn has_fma(self) -> bool {
        self != Isa::V2
    }

    /// Whether loads and stores take a mask at no cost.
    pub fn has_masks(self) -> bool {
        matches!(self, Isa::V4 | Isa::Vnni | Isa::Amx)
    }

    /// Whether this level is of the x86-64 architecture.
    pub fn is_x86(self) -> bool {
        self != Isa::Neon
    }

    /// The best level of the machine that this runs on.
    pub fn host() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let v3 = has!("avx2") && has!("fma") && has!("bmi1") && has!("bmi2");
            let v3 = v3 && has!("f16c") && has!("lzcnt") && has!("movbe");
            let v4 = v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd");
            let v4 = v4 && has!("avx512dq") && has!("avx512vl");
            let vnni = v4 && has!("avx512vnni");
            let amx = vnni && has!("avx512bf16") && amx_permitted();
            let levels = [(amx, Isa::Amx), (vnni, Isa::Vnni), (v4, Isa::V4), (v3, Isa::V3)];
            levels.into_iter().find(|(has, _)| *has).map_or(Isa::V2, |(_, isa)| isa)
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            Isa::Neon
        }
    }

    /// Whether code of this level runs on this machine.
    pub fn runs_here(self) -> bool {
        let host = Isa::host();
        self.is_x86() == host.is_x86() && self <= host
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Isa {
    type Err = LlvmError;

    fn from_str(text: &str) -> Result<Isa> {
        Isa::parse(text)
    }
}

/// Whether the processor has AMX tiles with bf16 and int8 products, and the system lets this
/// process use them. The permission is asked for once and then holds for all threads.
pub fn amx_permitted() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        static PERMITTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *PERMITTED.get_or_init(|| {
            const BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
            const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
            const XFEATURE_XTILEDATA: libc::c_long = 18;
            if std::arch::x86_64::__cpuid(0).eax < 7 {
                return false;
            }
            let leaf = std::arch::x86_64::__cpuid_count(7, 0);
            // SAFETY: the call sets a permission bit of this process and touches no memory.
            leaf.edx & BF16_TILE_INT8 == BF16_TILE_INT8
                && unsafe {
                    libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
                } == 0
        })
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        false
    }
}

/// What the code generator is told: where the code runs, and on what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The instruction-set level.
    pub isa: Isa,
    /// The target triple, such as `x86_64-unknown-linux-gnu`.
    pub triple: String,
    /// The processor that decides the instructions: a level, so that code is portable.
    pub cpu: String,
    /// Features beyond those of `cpu`: `+avx512vnni,+avx512bf16`.
    pub features: String,
    /// The processor whose costs are assumed, or nothing for those of `cpu`.
    pub tune: Option<String>,
}

impl Target {
    /// A level on the operating system of this process, with nothing beyond the level.
    pub fn of(isa: Isa) -> Target {
        let arch = if isa.is_x86() { "x86_64" } else { "aarch64" };
        let triple = if cfg!(target_os = "macos") {
            format!("{}-apple-darwin", if isa.is_x86() { "x86_64" } else { "arm64" })
        } else if cfg!(windows) {
            format!("{arch}-pc-windows-msvc")
        } else {
            format!("{arch}-unknown-linux-gnu")
        };
        let (cpu, features, tune) = match isa {
            Isa::V2 => ("x86-64-v2", "", None),
            Isa::V3 => ("x86-64-v3", "", None),
            Isa::V4 => ("x86-64-v4", "", Some("sapphirerapids")),
            Isa::Vnni => ("x86-64-v4", "+avx512vnni", Some("sapphirerapids")),
            Isa::Amx => (
                "x86-64-v4",
                "+amx-tile,+amx-bf16,+amx-int8,+avx512vnni,+avx512bf16,+avx512vbmi,\
                 +avx512ifma,+avx512vbmi2,+avx512bitalg,+avx512vpopcntdq",
                Some("sapphirerapids"),
            ),
            Isa::Neon => ("generic", "+neon", None),
        };
        Target {
            isa,
            triple,
            cpu: cpu.into(),
            features: features.into(),
            tune: tune.map(Into::into),
        }
    }

    /// The machine that this runs on: its level, and what it has beyond the level and kernels
    /// have a use for.
    pub fn host() -> Target {
        let mut target = Target::of(Isa::host());
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if target.isa == Isa::Vnni && has!("avx512bf16") {
                target.add("avx512bf16");
            }
            if target.isa == Isa::V3 && has!("avxvnni") {
                target.add("avxvnni");
            }
            if target.isa >= Isa::V4 && has!("avx512fp16") {
                target.add("avx512fp16");
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            if has!("dotprod") {
                target.add("dotprod");
            }
            if has!("i8mm") {
                target.add("i8mm");
            }
        }
        target
    }

    fn add(&mut self, feature: &str) {
        if !self.features.is_empty() {
            self.features.push(',');
        }
        self.features.push('+');
        self.features.push_str(feature);
    }

    /// Whether a feature is among [`Target::features`].
    pub fn has(&self, feature: &str) -> bool {
        self.features.split(',').any(|f| f.strip_prefix('+') == Some(feature))
    }

    /// Width of a vector register in bits.
    pub fn vector_bits(&self) -> usize {
        self.isa.vector_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(Isa::parse(isa.name()).unwrap(), isa);
        }
        assert_eq!(Isa::parse("AVX2").unwrap(), Isa::V3);
        assert!(Isa::parse("mmx").unwrap_err().to_string().contains("neon"));
    }

    #[test]
    fn the_host_runs_its_own_level() {
        let host = Target::host();
        assert!(host.isa.runs_here());
        assert_eq!(host.vector_bits(), host.isa.f32_lanes() * 32);
        if host.isa == Isa::Amx {
            assert!(host.has("amx-bf16") && Isa::V4.runs_here() && !Isa::Neon.runs_here());
        }
    }

    #[test]
    fn wide_vectors_are_tuned_for() {
        assert_eq!(Target::of(Isa::V4).tune.as_deref(), Some("sapphirerapids"));
        assert_eq!(Target::of(Isa::V3).tune, None);
    }
}
