//! The peers of a black-box test: an [`Origin`] scripted byte for byte, the real program as [`Sidecar`] between, and
//! a [`Client`] that says exactly what it was sent. All on ports that the system chooses; nothing here sleeps.

mod answer;
mod client;
mod codings;
mod gate;
mod h2;
mod h2_origin;
mod listen;
mod message;
mod origin;
mod request;
mod response;
mod sidecar;
mod tls;

use std::{fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use self::{
    answer::{Answer, End},
    client::Client,
    codings::{decoded_by_others, text},
    gate::Gate,
    h2::H2,
    h2_origin::{H2Answer, H2Origin},
    message::{Fields, Framing, Wire, parse_head},
    origin::{Origin, Received},
    request::{Request, get, head, post, request},
    response::{Cut, Response, ok, raw, status},
    sidecar::Sidecar,
    tls::Authority,
};

/// How long any single wait may take. Far more than anything needs, so that a slow machine does not fail a test; a
/// peer that never answers does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The outcome of `future`, or a failed test that says what never came.
#[track_caller]
pub(crate) fn within<T>(what: impl std::fmt::Display, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("{caller}: gave up after {} s waiting for {what}", PATIENCE.as_secs()),
        }
    }
}

/// Something that a sidecar can be put in front of.
pub(crate) trait App {
    /// Where it is, and what it has to say when a test fails.
    fn upstream(&self) -> Upstream;

    /// The same as the sidecar is told it.
    fn url(&self) -> String {
        format!("http://{}", self.upstream().address)
    }
}

/// An app's address, and its log as text.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<dyn Fn() -> String + Send + Sync>,
}

/// An app that a test plays itself, at this address.
pub(crate) struct Held(pub(crate) SocketAddr);

impl App for Held {
    fn upstream(&self) -> Upstream {
        Upstream { address: self.0, log: Arc::new(String::new) }
    }
}

/// Bytes as a person can read them, line by line, at most 2000 of them.
pub(crate) fn readable(bytes: &[u8]) -> String {
    const SHOWN: usize = 2000;
    let mut text = String::new();
    for line in bytes[..bytes.len().min(SHOWN)].split_inclusive(|byte| *byte == b'\n') {
        let _ = writeln!(text, "    {}", line.escape_ascii());
    }
    if bytes.len() > SHOWN {
        let _ = writeln!(text, "    … {} bytes in all", bytes.len());
    }
    text
}

/// Bodies of a size, without a repeating pattern that would hide a lost or doubled piece.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut body = Vec::with_capacity(len + 8);
    while body.len() < len {
        // Xorshift (Marsaglia 2003): deterministic, and no two windows alike.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    body.truncate(len);
    body
}
