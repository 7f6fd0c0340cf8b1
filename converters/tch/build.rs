//! Lets tests and examples find libtorch where the crate was linked with it.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_EXEC").is_none() {
        return;
    }
    if let Ok(folder) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}/lib");
    }
}
