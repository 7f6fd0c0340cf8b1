//! Lets the program find libtorch where it was linked with it.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TCH").is_none() {
        return;
    }
    if let Ok(folder) = std::env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{folder}/lib");
    }
}
