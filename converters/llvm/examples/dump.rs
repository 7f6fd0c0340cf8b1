//! Writes a GEMM class as IR text and assembly: `dump OUT.s ISA ROWSxVECTORS`.
use airconv_llvm::micro::*;
use airconv_llvm::*;
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let isa = Isa::parse(&args[2])?;
    if args[3] == "peak" { return Ok(()); }
    let (r, v) = args[3].split_once('x').unwrap();
    let spec = GemmSpec::with_tile(isa, Tile { rows: r.parse().unwrap(), vectors: v.parse().unwrap(), lanes: isa.f32_lanes() });
    let text = gemm_module(&spec, &Identity);
    std::fs::write(format!("{}.ll", args[1]), &text).unwrap();
    let asm = Compiler::find()?.compile(&text, &Target::of(isa), Output::Assembly)?;
    std::fs::write(&args[1], asm).unwrap();
    Ok(())
}
