//! `airconv capture` builds with a candle-core that records, and says so by a variable. Without it
//! this crate compiles against any candle-core and records nothing.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(recording)");
    println!("cargo::rerun-if-env-changed=AIRCONV_RECORDING");
    if std::env::var_os("AIRCONV_RECORDING").is_some() {
        println!("cargo::rustc-cfg=recording");
    }
}
