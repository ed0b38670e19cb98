//! Bodies worth coding, and the decoders of others.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::Answer;

/// JSON that does not repeat itself exactly, the same for the same length.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    let mut text = String::new();
    while text.len() < len {
        let (id, price, words) = (random.u16(..), random.u8(..), ["red", "green", "blue", "a shade of grey"]);
        let word = words[random.usize(..words.len())];
        text += &format!("{{\"id\":{id},\"price\":{price}.50,\"colour\":\"{word}\"}},\n");
    }
    text.truncate(len);
    text.into()
}

/// Decodes with the tool that everybody has for a coding; `None` where it finds fault.
pub(crate) fn decoded_by_others(coding: &str, coded: &[u8]) -> Option<Vec<u8>> {
    let zlib = "import sys, zlib; d = zlib.decompressobj(); out = d.decompress(sys.stdin.buffer.read()); \
                sys.exit(1) if not d.eof or d.unused_data else sys.stdout.buffer.write(out)";
    let (tool, arguments): (&str, &[&str]) = match coding {
        "gzip" => ("gzip", &["-dc"]),
        "br" => ("brotli", &["-dc"]),
        "zstd" => ("zstd", &["-dcq"]),
        "deflate" => ("python3", &["-c", zlib]),
        other => panic!("no tool for {other}"),
    };
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{tool}: {error}: run `make test`, which installs it"));
    let (mut input, coded) = (child.stdin.take().expect("a pipe"), coded.to_vec());
    // A tool that finds fault may stop reading.
    let fed = std::thread::spawn(move || drop(input.write_all(&coded)));
    let output = child.wait_with_output().expect("its output");
    fed.join().expect("no panic");
    output.status.success().then_some(output.stdout)
}

impl Answer {
    /// The coding of its body.
    pub(crate) fn coding(&self) -> Option<&str> {
        self.field("content-encoding")
    }

    /// Fails unless the body comes in this coding, or as it is, and is this one.
    #[track_caller]
    pub(crate) fn assert_coded(&self, coding: Option<&str>, body: impl AsRef<[u8]>) -> &Self {
        self.assert_complete();
        self.expect(self.coding() == coding, format!("the body in {coding:?}"));
        self.expect(self.decoded().as_deref() == Some(body.as_ref()), format!("another body than in {coding:?}"))
    }

    /// The body without its coding; `None` where that is malformed or has no end.
    pub(crate) fn decoded(&self) -> Option<Vec<u8>> {
        match self.coding() {
            Some(coding) => decoded_by_others(coding, &self.body),
            None => Some(self.body.clone()),
        }
    }
}
