//! Tells the program what it was built from: the revision of its source, and the compiler.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

/// What cannot be found out: a source without its history, or a machine without git.
const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=PACECAR_REVISION={}", revision().unwrap_or_else(|| UNKNOWN.into()));
    println!("cargo::rustc-env=PACECAR_RUSTC={}", compiler().unwrap_or_else(|| UNKNOWN.into()));
}

/// The commit that is checked out. Files that were changed since do not show.
fn revision() -> Option<String> {
    // A debug build is of files as they are being changed; to build it anew for every commit would only cost time. And an
    // unpacked source may lie within a repository of something else, whose revision would be a lie.
    if env::var("PROFILE").is_ok_and(|profile| profile == "debug") || !Path::new(".git").exists() {
        return None;
    }
    // The files that change when another commit is checked out or made. One that is not there must not be named, since it
    // would count as changed at every build: a branch may be among the packed ones alone.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD"].into_iter().chain(branch.as_deref()) {
        if let Some(file) = git(&["rev-parse", "--git-path", name]).filter(|file| Path::new(file).exists()) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// The version of the compiler, such as 1.90.0.
fn compiler() -> Option<String> {
    let said = output(Command::new(env::var_os("RUSTC")?).arg("--version"))?;
    said.split(' ').nth(1).map(str::to_owned)
}

fn git(arguments: &[&str]) -> Option<String> {
    output(Command::new("git").args(arguments))
}

fn output(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.output().ok()?;
    let text = String::from_utf8(stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| status.success() && !text.is_empty())
}
