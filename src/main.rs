//! The `envrun` program: everything it does stands in the library.

fn main() -> std::process::ExitCode {
    envrun::cli::main()
}
