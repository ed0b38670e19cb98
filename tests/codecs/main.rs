//! The encoders and decoders against each other, and against the decoders of others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod decoders;
mod encoders;
mod properties;

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bytes::Bytes;
use pacecar::{
    compress::{
        Settings,
        decoder::{Decoder, Malformed, PIECE_BYTES},
        encoder::{Encoder, Failed},
    },
    header::coding::Coding,
};

/// The best effort takes seconds for a megabyte in a debug build.
const MAX_BEST_BYTES: usize = (64 << 10) + 1;

/// Bodies at the edges: of `min_bytes`, of buffers, of windows.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("one byte", vec![b'x']),
        ("499 of text", text(499)),
        ("500 of text", text(500)),
        ("501 of noise", noise(501)),
        ("64 KiB - 1 of text", text((64 << 10) - 1)),
        ("64 KiB of noise", noise(64 << 10)),
        ("64 KiB + 1 of text", text((64 << 10) + 1)),
        ("1 MiB of noise", noise(1 << 20)),
        ("1 MiB of text", text(1 << 20)),
        ("1 MiB of the same", vec![b'a'; 1 << 20]),
    ]
}

/// JSON that does not repeat itself exactly.
fn text(len: usize) -> Vec<u8> {
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

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| random.u8(..)).collect()
}

/// Codes in parts of this length.
fn streamed(
    coding: Coding,
    settings: &Settings,
    length: Option<u64>,
    body: &[u8],
    part: usize,
) -> Result<Vec<u8>, Failed> {
    let mut encoder = Encoder::new(coding, settings, length)?;
    let mut coded = Vec::new();
    for part in body.chunks(part) {
        coded.extend_from_slice(&encoder.push(part)?);
    }
    coded.extend_from_slice(&encoder.finish()?);
    Ok(coded)
}

/// Pulls all that is there.
fn pull(decoder: &mut Decoder, into: &mut Vec<u8>) -> Result<(), Malformed> {
    while let Some(piece) = decoder.next()? {
        assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
        into.extend_from_slice(&piece);
    }
    Ok(())
}

/// Decodes in parts of this length.
fn decoded(coding: Coding, coded: &[u8], part: usize) -> Result<Vec<u8>, Malformed> {
    let mut decoder = Decoder::new(coding)?;
    let mut body = Vec::new();
    for part in coded.chunks(part) {
        decoder.push(Bytes::copy_from_slice(part));
        pull(&mut decoder, &mut body)?;
    }
    decoder.finish()?;
    Ok(body)
}

/// What the coding's own tool makes of it, `None` if it complains.
fn by_tool(coding: Coding, coded: &[u8]) -> Option<Vec<u8>> {
    let inflate = "import sys, zlib; d = zlib.decompressobj(); o = sys.stdout.buffer; \
                   o.write(d.decompress(sys.stdin.buffer.read())); sys.exit(not d.eof or bool(d.unused_data))";
    let (program, arguments): (&str, &[&str]) = match coding {
        Coding::Zstd => ("zstd", &["-dcq"]),
        Coding::Br => ("brotli", &["-dc"]),
        Coding::Gzip => ("gzip", &["-dc"]),
        Coding::Deflate => ("python3", &["-c", inflate]),
    };
    let mut tool = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}, which `make test` installs: {error}"));
    let mut stdin = tool.stdin.take().unwrap();
    let coded = coded.to_vec();
    // It may stop reading at the first mistake.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&coded)));
    let output = tool.wait_with_output().unwrap();
    writer.join().unwrap();
    output.status.success().then_some(output.stdout)
}
