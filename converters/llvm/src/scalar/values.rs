//! Values of LLVM IR, looked at through the C interface.

use std::ffi::c_int;

use airconv_ir::dtype::DType;

use crate::library::{Library, Ref};

/// A value of a module that is live.
#[derive(Clone, Copy)]
pub(super) struct Value<'l> {
    library: &'l Library,
    pub(super) at: Ref,
}

/// A constant.
pub(super) enum Number {
    Float(f64),
    Int(i64),
}

impl<'l> Value<'l> {
    /// A value.
    ///
    /// # Safety
    /// It belongs to a module that lives as long as this is used.
    pub(super) unsafe fn new(library: &'l Library, at: Ref) -> Value<'l> {
        Value { library, at }
    }

    fn of(self, at: Ref) -> Option<Value<'l>> {
        (!at.is_null()).then_some(Value { library: self.library, at })
    }

    /// The name.
    pub(super) fn name(self) -> String {
        let mut len = 0;
        // SAFETY: the value is live, and the name is so many bytes of it.
        let bytes = unsafe {
            let start = (self.library.c.LLVMGetValueName2)(self.at, &mut len);
            match start.is_null() {
                true => &[][..],
                false => std::slice::from_raw_parts(start.cast::<u8>(), len),
            }
        };
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Its text, for messages.
    pub(super) fn text(self) -> String {
        // SAFETY: the value is live, and the message is ours.
        let text =
            unsafe { self.library.take_message((self.library.c.LLVMPrintValueToString)(self.at)) };
        text.trim().chars().take(200).collect()
    }

    /// The dtype of a scalar; integers are signed.
    pub(super) fn dtype(self) -> Option<DType> {
        let c = &self.library.c;
        // SAFETY: the value is live, and so is its type.
        let (ty, kind) = unsafe {
            let ty = (c.LLVMTypeOf)(self.at);
            (ty, (c.LLVMGetTypeKind)(ty))
        };
        // The numbers are those of LLVMTypeKind.
        match kind {
            1 => Some(DType::F16),
            2 => Some(DType::F32),
            3 => Some(DType::F64),
            18 => Some(DType::BF16),
            // SAFETY: the type is an integer.
            8 => match unsafe { (c.LLVMGetIntTypeWidth)(ty) } {
                1 => Some(DType::Bool),
                8 => Some(DType::I8),
                16 => Some(DType::I16),
                32 => Some(DType::I32),
                64 => Some(DType::I64),
                _ => None,
            },
            _ => None,
        }
    }

    /// The number that a constant is.
    pub(super) fn number(self) -> Option<Number> {
        let c = &self.library.c;
        // SAFETY: the value is live; it is asked for its number once it is known to be one.
        unsafe {
            if !(c.LLVMIsAConstantFP)(self.at).is_null() {
                let mut loses = 0;
                return Some(Number::Float((c.LLVMConstRealGetDouble)(self.at, &mut loses)));
            }
            if !(c.LLVMIsAConstantInt)(self.at).is_null() {
                return Some(Number::Int((c.LLVMConstIntGetSExtValue)(self.at)));
            }
        }
        None
    }

    /// The parameters of a function.
    pub(super) fn params(self) -> Vec<Value<'l>> {
        let c = &self.library.c;
        // SAFETY: the function is live.
        let count = unsafe { (c.LLVMCountParams)(self.at) };
        // SAFETY: as above, and there are so many parameters.
        (0..count).filter_map(|i| self.of(unsafe { (c.LLVMGetParam)(self.at, i) })).collect()
    }

    /// How many blocks a function has; none when it is declared only.
    pub(super) fn blocks(self) -> u32 {
        // SAFETY: the function is live.
        unsafe { (self.library.c.LLVMCountBasicBlocks)(self.at) }
    }

    /// Whether others may call a function.
    pub(super) fn is_external(self) -> bool {
        // LLVMInternalLinkage is 8, LLVMPrivateLinkage 9.
        // SAFETY: the function is live.
        !matches!(unsafe { (self.library.c.LLVMGetLinkage)(self.at) }, 8 | 9)
    }

    /// The instructions of the first block of a function that has one.
    pub(super) fn instructions(self) -> Vec<Value<'l>> {
        let c = &self.library.c;
        let mut out = Vec::new();
        // SAFETY: the function is live and has a block.
        let mut at = unsafe { (c.LLVMGetFirstInstruction)((c.LLVMGetEntryBasicBlock)(self.at)) };
        while let Some(instruction) = self.of(at) {
            out.push(instruction);
            // SAFETY: the instruction is live.
            at = unsafe { (c.LLVMGetNextInstruction)(at) };
        }
        out
    }

    /// What an instruction does, as LLVMOpcode numbers it.
    pub(super) fn opcode(self) -> c_int {
        // SAFETY: the instruction is live.
        unsafe { (self.library.c.LLVMGetInstructionOpcode)(self.at) }
    }

    /// The comparison of an `icmp` or `fcmp`.
    pub(super) fn predicate(self, floats: bool) -> c_int {
        let c = &self.library.c;
        // SAFETY: the instruction is live and of that kind.
        unsafe {
            match floats {
                true => (c.LLVMGetFCmpPredicate)(self.at),
                false => (c.LLVMGetICmpPredicate)(self.at),
            }
        }
    }

    /// The operands of an instruction; of a call the last one is what is called.
    pub(super) fn operands(self) -> Vec<Value<'l>> {
        let c = &self.library.c;
        // SAFETY: the instruction is live.
        let count = unsafe { (c.LLVMGetNumOperands)(self.at) }.max(0) as u32;
        // SAFETY: as above, and there are so many operands.
        (0..count).filter_map(|i| self.of(unsafe { (c.LLVMGetOperand)(self.at, i) })).collect()
    }

    /// The name of what a call calls.
    pub(super) fn callee(self) -> String {
        // SAFETY: the instruction is live and a call.
        let called = unsafe { (self.library.c.LLVMGetCalledValue)(self.at) };
        self.of(called).map(Value::name).unwrap_or_default()
    }
}
