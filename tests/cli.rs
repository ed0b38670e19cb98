//! The program's command line, driven as a person would: what it prints where, and what it exits with.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use pacecar::config::Config;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Pacecar in a directory of its own, without settings from the surroundings.
struct Pacecar {
    dir: TempDir,
    command: Command,
}

fn pacecar(args: &[&str]) -> Pacecar {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
    command.current_dir(dir.path()).args(args);
    for name in ["PACECAR_CONFIG", "PACECAR_UPSTREAM", "PACECAR_LISTEN"] {
        command.env_remove(name);
    }
    Pacecar { dir, command }
}

impl Pacecar {
    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    #[track_caller]
    fn prints(self, stdout: &str) {
        self.ends(0, stdout, "");
    }

    #[track_caller]
    fn refuses(self, stderr: &str) {
        self.ends(2, "", stderr);
    }

    #[track_caller]
    fn ends(mut self, status: i32, stdout: &str, stderr: &str) {
        let output = self.command.output().unwrap();
        assert_eq!((text(&output.stdout), text(&output.stderr)), (stdout.into(), stderr.into()));
        assert_eq!(output.status.code(), Some(status));
    }

    fn output(mut self) -> Output {
        self.command.output().unwrap()
    }

    /// What is in force, as `--print-config` says it.
    #[track_caller]
    fn config(self) -> Config {
        let output = self.output();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Config::parse("printed", &output.stdout, None).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn listens(config: &Config) -> String {
    config.server.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn check_accepts_a_good_file() {
    pacecar(&["--check", "good.toml"])
        .file("good.toml", "[server]\nupstream = \"http://app:3000\"\n")
        .prints("good.toml: ok\n");
}

#[test]
fn check_accepts_the_file_that_we_ship() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.toml");
    let file = file.to_str().unwrap();
    pacecar(&["--check", file]).prints(&format!("{file}: ok\n"));
}

#[test]
fn an_admin_port_for_everybody_needs_a_token() {
    let open = "[admin]\nlisten = \"0.0.0.0:0\"\n";
    for args in [["--check", "open.toml"], ["--config", "open.toml"]] {
        pacecar(&args).file("open.toml", open).refuses(
            "open.toml:2: admin.listen = \"0.0.0.0:0\": expected a loopback address such as \"127.0.0.1:9090\", \
             or a token in admin.token_file, without which anybody could read and change what is stored\n",
        );
    }
    let locked = format!("{open}token_file = \"token\"\n");
    pacecar(&["--check", "locked.toml"])
        .file("locked.toml", &locked)
        .file("token", "0123456789abcdef\n")
        .prints("locked.toml: ok\n");
    pacecar(&["--check", "locked.toml"]).file("locked.toml", &locked).file("token", "s3cret\n").refuses(
        "locked.toml:3: admin.token_file = \"token\": \
         expected a file with one line of 16 to 1024 visible ASCII characters\n",
    );
}

#[test]
fn check_names_every_problem_of_a_broken_file() {
    let broken = "[server]\nlisten = \"8080\"\nmax_header = 5\n\n[cache]\nmax_bytes = \"64 apples\"\n";
    pacecar(&["--check", "broken.toml"]).file("broken.toml", broken).refuses(
        "broken.toml:2: server.listen = \"8080\": \
         expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"\n\
         broken.toml:3: server.max_header: unknown key; did you mean \"max_headers\"?\n\
         broken.toml:6: cache.max_bytes = \"64 apples\": expected a size such as \"64MiB\"\n",
    );
}

#[test]
fn check_judges_the_file_alone() {
    pacecar(&["--check", "good.toml"])
        .file("good.toml", "")
        .file("proxy.toml", "broken")
        .env("PACECAR_UPSTREAM", "broken")
        .env("PACECAR_CONFIG", "broken")
        .prints("good.toml: ok\n");
}

#[test]
fn check_refuses_a_file_that_is_not_there() {
    pacecar(&["--check", "absent.toml"])
        .refuses("absent.toml: cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn a_named_file_has_to_be_there() {
    pacecar(&["--config", "absent.toml"])
        .refuses("absent.toml: cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn a_file_without_end_is_not_read_to_it() {
    pacecar(&["--check", "/dev/zero"]).refuses("/dev/zero: cannot be read: longer than 1048576 bytes\n");
}

#[test]
fn a_broken_file_starts_nothing() {
    pacecar(&[]).file("proxy.toml", "[server]\nport = 80\n").refuses(
        "proxy.toml:2: server.port: unknown key; [server] takes listen, upstream, upstream_ca, host, trusted_proxies, \
             max_connections, max_connections_per_ip, upstream_connections, upstream_concurrency, upstream_queue, \
             max_header_bytes, max_headers, max_target_bytes, max_body_bytes, access_log, access_log_format, \
             access_log_path, tls, timeouts\n",
    );
}

#[test]
fn flags_environment_and_file_are_refused_together() {
    pacecar(&["--upstream", "fcgi://app"]).file("proxy.toml", "colour = \"red\"\n").env("PACECAR_LISTEN", "here").refuses(
        "PACECAR_LISTEN = \"here\": \
             expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"\n\
             --upstream \"fcgi://app\": expected a URL such as \"http://127.0.0.1:3000\": \
             http://, https://, h2c:// and unix: are spoken, not fcgi://\n\
             proxy.toml:1: colour: unknown key; the file takes mode, server, admin, cache, compression, cache_headers, route, \
             profile, query, advice, tasks\n",
    );
}

#[test]
fn a_variable_is_refused_even_where_the_file_cannot_be_read() {
    pacecar(&["--config", "absent.toml"]).env("PACECAR_UPSTREAM", "app").refuses(
        "absent.toml: cannot be read: No such file or directory (os error 2)\n\
         PACECAR_UPSTREAM = \"app\": expected a URL such as \"http://127.0.0.1:3000\"\n",
    );
}

#[test]
fn a_port_may_be_taken_by_a_flag() {
    pacecar(&["--listen", ":3000"])
        .refuses("--listen \":3000\": expected an address of its own: server.upstream has 127.0.0.1:3000\n");
}

#[test]
fn without_anything_the_defaults_are_in_force() {
    let config = pacecar(&["--print-config"]).config();
    // Only the store depends on the machine.
    let mut expected = Config::default();
    expected.cache.max_bytes = config.cache.max_bytes;
    expected.cache.max_object_bytes = config.cache.max_object_bytes;
    assert_eq!(config, expected);
}

#[test]
fn the_printed_configuration_is_printed_again_as_itself() {
    let settings = "[server]\nlisten = [\"[::1]:8081\", \":8082\"]\nhost = \"app.example\"\nmax_body_bytes = 1000\n\
                    [admin]\nlisten = \"localhost:9091\"\n\
                    [cache]\nmax_bytes = \"5MB\"\ndefault_ttl = \"1m30s\"\nignore_cookies = []\n\
                    [[route]]\nmatch = \"/a/**\"\nmethods = [\"GET\", \"PURGE\"]\nttl = \"250ms\"\npublic = true\n\
                    [[route]]\nname = \"the rest\"\nmatch = \"/**\"\ncache = false\n\
                    [tasks]\nstore = \"a \\\"b\\\" \\n c\"\n";
    let first = pacecar(&["--print-config"]).file("proxy.toml", settings).output();
    assert_eq!((first.status.code(), text(&first.stderr)), (Some(0), String::new()));
    let printed = text(&first.stdout);
    pacecar(&["--print-config", "--config", "again.toml"]).file("again.toml", &printed).prints(&printed);

    let given = Config::parse("given", settings.as_bytes(), None).unwrap();
    assert_eq!(Config::parse("printed", printed.as_bytes(), None).unwrap(), given);
    assert_eq!(given.tasks.store, Some(PathBuf::from("a \"b\" \n c")));
}

#[test]
fn the_file_in_this_directory_is_used() {
    let config = pacecar(&["--print-config"]).file("proxy.toml", "server.upstream = \"http://file\"").config();
    assert_eq!(config.server.upstream.to_string(), "http://file:80");
}

#[test]
fn a_named_file_is_used_in_place_of_the_one_here() {
    let run = |args: &[&str]| {
        pacecar(args)
            .file("proxy.toml", "server.upstream = \"http://here\"")
            .file("flag.toml", "server.upstream = \"http://flag\"")
            .file("env.toml", "server.upstream = \"http://env\"")
            .env("PACECAR_CONFIG", "env.toml")
    };
    assert_eq!(run(&["--print-config"]).config().server.upstream.to_string(), "http://env:80");
    assert_eq!(
        run(&["--print-config", "--config", "flag.toml"]).config().server.upstream.to_string(),
        "http://flag:80"
    );
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let run = |args: &[&str]| {
        pacecar(&[&["--print-config"], args].concat())
            .file("proxy.toml", "[server]\nlisten = [\":81\", \":82\"]\nupstream = \"http://file\"")
    };
    let with_env = |args: &[&str]| run(args).env("PACECAR_LISTEN", ":83").env("PACECAR_UPSTREAM", "http://env:4");
    let said = |config: Config| (listens(&config), config.server.upstream.to_string());

    assert_eq!(said(run(&[]).config()), ("0.0.0.0:81 0.0.0.0:82".into(), "http://file:80".into()));
    assert_eq!(said(with_env(&[]).config()), ("0.0.0.0:83".into(), "http://env:4".into()));
    let flags = ["--listen", "localhost:84", "--upstream", "http://flag"];
    assert_eq!(said(with_env(&flags).config()), ("127.0.0.1:84 [::1]:84".into(), "http://flag:80".into()));
}

#[test]
fn help_is_short_and_names_everything() {
    pacecar(&["--help"]).prints(
        "A performance sidecar: caches, times and explains one web app, in front of which it stands

Usage: pacecar [OPTIONS]
       pacecar advise [--url URL] [--token-file FILE]
       pacecar task [--url URL] [--token-file FILE] [--json] <COMMAND>
       pacecar demo [--listen ADDR] [--workers N]

Commands:
  advise  Print what a running Pacecar finds should be done, and by which numbers
  task    Have a running Pacecar do something in the background: warm its cache, purge it, explain a query, compare pages
  demo    Run a small web app to put Pacecar in front of

Options:
      --config <FILE>   Settings; without it proxy.toml, if there is one here
      --upstream <URL>  The app, such as http://127.0.0.1:3000
      --listen <ADDR>   Where to listen, such as 127.0.0.1:8080
      --check <FILE>    Name every problem of a file, start nothing
      --print-config    Print the settings in force as TOML, start nothing
  -h, --help            Print help
  -V, --version         Print version

PACECAR_CONFIG, PACECAR_UPSTREAM and PACECAR_LISTEN stand for the options of these names.
An option beats the environment, and both beat the file.
",
    );
}

#[test]
fn version_is_the_packages() {
    pacecar(&["--version"]).prints(&format!("pacecar {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_2() {
    for args in
        [&["--nonsense"][..], &["--config"], &["here"], &["--check", "a", "--listen", ":1"], &["demo", "--check"]]
    {
        let output = pacecar(args).output();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn advice_that_cannot_be_had_is_one_line() {
    let expected = "expected a URL such as \"http://127.0.0.1:9090\"\n";
    pacecar(&["advise", "--url", "here"]).refuses(&format!("--url \"here\": {expected}"));
    pacecar(&["advise", "--token-file", "none"])
        .refuses("--token-file \"none\": cannot be read: No such file or directory (os error 2)\n");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let strange = thread::spawn(move || {
        let answers =
            ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 404 No\r\n\r\n"];
        for answer in answers {
            let mut connection = listener.accept().unwrap().0;
            let _ = connection.read(&mut [0; 4096]).unwrap();
            connection.write_all(answer.as_bytes()).unwrap();
        }
        // Nobody listens from here on.
    });
    let not_pacecar = "it answers, and not as Pacecar does: expected the address of an admin port\n";
    for _ in 0..3 {
        pacecar(&["advise", "--url", &url]).refuses(&format!("{url}: {not_pacecar}"));
    }
    strange.join().unwrap();
    let nobody = "nobody listens there: expected the admin port of a running Pacecar\n";
    pacecar(&["advise", "--url", &url]).refuses(&format!("{url}: {nobody}"));
}

#[test]
fn a_task_that_cannot_be_begun_tells_wrong_use_from_failure() {
    for wrong in [
        &["task"][..],
        &["task", "warm"],
        &["task", "warm", "/a", "--sitemap", "/b"],
        &["task", "warm", "/a", "--rate", "0"],
        &["task", "compare", "/a"],
        &["task", "compare", "/a", "/b", "--a-from", "cache"],
    ] {
        assert_eq!(pacecar(wrong).output().status.code(), Some(2), "{wrong:?}");
    }
    pacecar(&["task", "list", "--url", "here"])
        .refuses("--url \"here\": expected a URL such as \"http://127.0.0.1:9090\"\n");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let why = format!("{url}: nobody listens there: expected the admin port of a running Pacecar\n");
    for args in [&["list"][..], &["show", "task_1"], &["cancel", "task_1"], &["warm", "/a"], &["purge", "/a"]] {
        pacecar(&[&["task", "--url", &url], args].concat()).ends(1, "", &why);
    }
}

#[test]
fn the_demo_refuses_a_wrong_address() {
    pacecar(&["demo", "--listen", "here"]).refuses(
        "--listen \"here\": expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"\n",
    );
}

/// Such as `pacecar | head -1`, or a supervisor that has stopped listening.
#[test]
fn it_serves_where_nobody_reads_what_it_says() {
    let (nobody, stdout) = std::io::pipe().unwrap();
    drop(nobody);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (front, admin) = (free(), free());
    let config =
        format!("[server]\nlisten = [\"{front}\"]\nupstream = \"http://127.0.0.1:1\"\n[admin]\nlisten = \"{admin}\"\n");
    let mut pacecar = pacecar(&[]).file("proxy.toml", &config);
    let mut running = pacecar.command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
    let answer = loop {
        assert_eq!(running.try_wait().unwrap(), None, "it ended");
        if let Ok(mut connection) = TcpStream::connect(admin) {
            connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            break answer;
        }
        thread::yield_now();
    };
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(0));
}
