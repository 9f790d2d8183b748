//! `rolekeeper`: arguments → run → exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    rolekeeper::cli::main(std::env::args_os())
}
