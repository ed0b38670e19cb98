//! A real PostgreSQL with hypopg, as `make test` unpacks it under `target/apps`: a server of the test's own.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::{
    apps::installed,
    common::{PATIENCE, within},
};

/// A running server with one empty database, whose only user may do everything. It is told to stop when this is dropped.
pub(crate) struct Postgres {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a cluster in a folder of its own, and waits until its server takes connections.
    pub(crate) async fn start() -> Self {
        tokio::task::spawn_blocking(Self::started).await.expect("the server starts")
    }

    fn started() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = programs(folder.path());
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--pgdata"]);
        succeeds(initdb.arg(&data));
        // Between the choice of a port and the server's own bind, another program may take it.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut server = unprivileged(&programs.join("postgres"));
            server.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-k", ""]);
            server.args(["-c", "fsync=off", "-c", "jit=off", "-c", "timezone=UTC"]);
            let mut child = server.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
            let stderr = child.stderr.take().expect("a pipe was asked for");
            let log = Arc::new(Mutex::new(String::new()));
            let (ready, is_ready) = mpsc::channel();
            let writer = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if line.ends_with("database system is ready to accept connections") {
                        let _ = ready.send(());
                    }
                    writer.lock().unwrap().push_str(&format!("{line}\n"));
                }
            });
            if is_ready.recv_timeout(PATIENCE).is_ok() {
                return Self { child, address, log, _folder: folder };
            }
            stop(&mut child);
            let log = log.lock().unwrap();
            assert!(log.contains("could not bind"), "PostgreSQL does not start:\n{log}");
        }
        panic!("ten ports in a row were taken by others");
    }

    /// Where clients find the database.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://postgres@{}/postgres", self.address)
    }

    /// Runs statements; the first column of what they return.
    pub(crate) async fn execute(&self, sql: &str) -> Vec<String> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        let ran = within(format!("PostgreSQL to run {sql:.200}"), client.simple_query(sql)).await;
        let messages = ran.unwrap_or_else(|error| panic!("{error:?}: {sql}\n{}", self.log.lock().unwrap()));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        });
        rows.collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        stop(&mut self.child);
        if std::thread::panicking() {
            eprintln!("---- PostgreSQL\n{}", self.log.lock().map(|log| log.clone()).unwrap_or_default());
        }
    }
}

/// Ends a server and all its workers at once, without writing anything more. Killed, it would leave its workers behind.
fn stop(child: &mut Child) {
    let _ = kill_process(Pid::from_child(child), Signal::QUIT);
    let _ = child.wait();
}

/// The folder with PostgreSQL's programs. It refuses to run as root, and the user whom it runs as then may not get into
/// the folder of this repository: that user is given a copy.
fn programs(folder: &Path) -> PathBuf {
    let installed = installed("postgres");
    if !geteuid().is_root() {
        return installed.join("bin");
    }
    succeeds(Command::new("cp").arg("-r").arg(installed).arg(folder.join("postgres")));
    succeeds(Command::new("chown").args(["-R", "nobody:nogroup"]).arg(folder));
    folder.join("postgres/bin")
}

/// A program of PostgreSQL as this user, unless that is root.
fn unprivileged(program: &Path) -> Command {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // Somewhere this user may be, and in the language that is looked for in the log.
    command.current_dir("/").env("LC_ALL", "C");
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{error}: {command:?}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn several_servers_run_at_once_and_try_indexes_out() {
    let (one, other) = tokio::join!(Postgres::start(), Postgres::start());
    assert_ne!(one.url(), other.url());
    assert_eq!(one.execute("SELECT 1").await, ["1"]);
    other.execute("CREATE TABLE item (id int, owner int); CREATE EXTENSION hypopg").await;
    let made = other.execute("SELECT indexname FROM hypopg_create_index('CREATE INDEX ON item (owner)')").await;
    assert!(made.len() == 1 && made[0].ends_with("btree_item_owner"), "{made:?}");
}
