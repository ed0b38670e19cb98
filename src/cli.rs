//! The command line: what is asked for, and where the settings for it come from.
//!
//! - `advise`: asks a running Pacecar what should be done; `task`: has it do something in the background.
//! - `port`: how either of them asks. `bar`: how far a task is, on a terminal.

mod advise;
mod bar;
mod port;
mod task;

use std::{
    env,
    ffi::OsString,
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Given, Source, Sources};

/// The file that is used if it is there and no other is named.
const DEFAULT_FILE: &str = "proxy.toml";

/// What a wrong command line and a wrong configuration exit with; clap does the same.
const WRONG_USE: u8 = 2;

/// What the command line asks for.
#[derive(Debug)]
pub enum Action {
    /// To run the sidecar.
    Serve(Box<Config>, Sources),
    /// To run the demo app here, with so many workers.
    Demo(SocketAddr, Option<usize>),
    /// Nothing more: all has been said, and the process ends with this.
    Exit(ExitCode),
}

/// Reads the command line, the environment and the configuration. Problems have been printed when this returns; after
/// `--help`, `--version` and wrong usage it does not return.
pub fn action() -> Action {
    let args = Args::parse();
    let done = match &args {
        Args { command: Some(Command::Demo { listen, workers }), .. } => return demo(listen, *workers),
        Args { command: Some(Command::Advise { admin }), .. } => return advise(admin),
        Args { command: Some(Command::Task(task)), .. } => return Action::Exit(task::task(task)),
        Args { check: Some(file), .. } => check(file),
        Args { print_config: true, .. } => load(args).map(|config| config.to_toml()),
        _ => {
            let sources = sources(args, |name| env::var_os(name));
            match Config::load(sources.clone()) {
                Ok(config) => return Action::Serve(Box::new(config), sources),
                Err(problems) => Err(problems),
            }
        }
    };
    Action::Exit(match done {
        Ok(text) => print(&text),
        Err(problems) => refuse(&problems),
    })
}

/// A performance sidecar: caches, times and explains one web app, in front of which it stands.
#[derive(Debug, Parser)]
#[command(
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    override_usage = "pacecar [OPTIONS]\n       pacecar advise [--url URL] [--token-file FILE]\n       \
                      pacecar task [--url URL] [--token-file FILE] [--json] <COMMAND>\n       \
                      pacecar demo [--listen ADDR] [--workers N]",
    after_help = "PACECAR_CONFIG, PACECAR_UPSTREAM and PACECAR_LISTEN stand for the options of these names.\n\
                  An option beats the environment, and both beat the file."
)]
struct Args {
    /// Settings; without it proxy.toml, if there is one here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The app, such as http://127.0.0.1:3000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where to listen, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Name every problem of a file, start nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "upstream", "listen", "print_config"])]
    check: Option<PathBuf>,
    /// Print the settings in force as TOML, start nothing
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what a running Pacecar finds should be done, and by which numbers
    Advise {
        #[command(flatten)]
        admin: Admin,
    },
    /// Have a running Pacecar do something in the background: warm its cache, purge it, explain a query, compare pages
    Task(task::Args),
    /// Run a small web app to put Pacecar in front of
    Demo {
        /// Where the app listens
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
        listen: String,
        /// The app does at most so many requests at a time, 1 to 1000, and the others wait; without it all at once
        #[arg(long, value_name = "N", value_parser = workers)]
        workers: Option<usize>,
    },
}

/// Which Pacecar is asked.
#[derive(Debug, clap::Args)]
struct Admin {
    /// Its admin port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090", global = true)]
    url: String,
    /// The file with its token, if it has one
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
}

impl Admin {
    fn port(&self) -> Result<port::Port, String> {
        port::Port::new(&self.url, self.token_file.as_deref())
    }
}

fn workers(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|workers| (1..=1000).contains(workers)).ok_or("expected a number from 1 to 1000")
}

fn demo(listen: &str, workers: Option<usize>) -> Action {
    match config::listen_address(Given::flag("--listen", listen.into())) {
        Ok(listen) => Action::Demo(listen, workers),
        Err(problems) => Action::Exit(refuse(&problems)),
    }
}

fn advise(admin: &Admin) -> Action {
    Action::Exit(match admin.port().and_then(|port| advise::advise(&port)) {
        Ok(text) => print(&text),
        Err(why) => refuse(&why),
    })
}

fn check(file: &Path) -> Result<String, config::Problems> {
    Config::load(Sources { file: Source::Named(file.into()), listen: None, upstream: None })?;
    Ok(format!("{}: ok\n", file.display()))
}

fn load(args: Args) -> Result<Config, config::Problems> {
    Config::load(sources(args, |name| env::var_os(name)))
}

/// Flags before the environment. An empty variable counts as none, because that is how many tools unset one.
fn sources(args: Args, env: impl Fn(&str) -> Option<OsString>) -> Sources {
    let env = |name| env(name).filter(|value| !value.is_empty());
    let given = |flag, value: Option<String>, variable| match value {
        Some(value) => Some(Given::flag(flag, value)),
        None => env(variable).map(|value| Given::env(variable, value.to_string_lossy().into_owned())),
    };
    let file = args.config.or_else(|| env("PACECAR_CONFIG").map(PathBuf::from));
    Sources {
        file: file.map_or_else(|| Source::IfThere(DEFAULT_FILE.into()), Source::Named),
        listen: given("--listen", args.listen, "PACECAR_LISTEN"),
        upstream: given("--upstream", args.upstream, "PACECAR_UPSTREAM"),
    }
}

fn print(text: &str) -> ExitCode {
    // Whoever reads our output may have read enough: that is no reason to fail, nor to panic as `print!` would.
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn refuse(problems: &impl fmt::Display) -> ExitCode {
    // Where nothing can be said, the exit status still says it.
    let _ = writeln!(io::stderr(), "{problems}");
    ExitCode::from(WRONG_USE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    fn sources_of(flags: &[&str], env: &[(&str, &str)]) -> String {
        let args = Args::try_parse_from([&["pacecar"], flags].concat()).unwrap();
        let value = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        let Sources { file, listen, upstream } = sources(args, value);
        let show = |given: Option<Given<String>>| given.map_or("none".into(), |given| given.to_string());
        format!("{file:?}; {}; {}", show(listen), show(upstream))
    }

    #[test]
    fn without_flags_and_environment_there_is_the_default_file() {
        assert_eq!(sources_of(&[], &[]), "IfThere(\"proxy.toml\"); none; none");
    }

    #[test]
    fn the_environment_counts() {
        let env = [("PACECAR_CONFIG", "a.toml"), ("PACECAR_LISTEN", ":1"), ("PACECAR_UPSTREAM", "http://a")];
        assert_eq!(
            sources_of(&[], &env),
            "Named(\"a.toml\"); PACECAR_LISTEN = \":1\"; PACECAR_UPSTREAM = \"http://a\""
        );
    }

    #[test]
    fn flags_beat_the_environment() {
        let env = [("PACECAR_CONFIG", "a.toml"), ("PACECAR_LISTEN", ":1"), ("PACECAR_UPSTREAM", "http://a")];
        let flags = ["--config", "b.toml", "--listen", ":2", "--upstream", "http://b"];
        assert_eq!(sources_of(&flags, &env), "Named(\"b.toml\"); --listen \":2\"; --upstream \"http://b\"");
    }

    #[test]
    fn an_empty_variable_is_none() {
        let env = [("PACECAR_CONFIG", ""), ("PACECAR_LISTEN", ""), ("PACECAR_UPSTREAM", "")];
        assert_eq!(sources_of(&[], &env), sources_of(&[], &[]));
    }

    #[test]
    fn a_demo_has_one_to_a_thousand_workers() {
        for (given, expected) in [("1", Some(1)), ("1000", Some(1000)), ("0", None), ("1001", None), ("many", None)] {
            let args = Args::try_parse_from(["pacecar", "demo", "--workers", given]).ok();
            let workers = args.map(|args| match args.command {
                Some(Command::Demo { workers, .. }) => workers,
                _ => None,
            });
            assert_eq!(workers, expected.map(Some), "{given}");
        }
    }

    #[test]
    fn a_flag_of_the_sidecar_is_none_of_the_demo() {
        assert!(Args::try_parse_from(["pacecar", "--upstream", "http://a", "demo"]).is_err());
        assert!(Args::try_parse_from(["pacecar", "--check", "a.toml", "--listen", ":1"]).is_err());
    }
}
