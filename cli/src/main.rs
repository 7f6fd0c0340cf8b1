//! The `airconv` program.

fn main() -> std::process::ExitCode {
    airconv::main()
}
