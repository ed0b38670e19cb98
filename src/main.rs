//! The `pacecar` program: does what the command line asks for.

use std::process::ExitCode;

use pacecar::{
    app,
    cli::{self, Action},
    demo,
};

fn main() -> ExitCode {
    match cli::action() {
        Action::Serve(config, sources) => app::run(*config, sources),
        Action::Demo(listen, workers) => demo::run(listen, workers),
        Action::Exit(code) => code,
    }
}
