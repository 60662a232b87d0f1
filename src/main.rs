//! rplay: picks the command by its name and arguments.

fn main() -> std::process::ExitCode {
    rplay::cli::main()
}
