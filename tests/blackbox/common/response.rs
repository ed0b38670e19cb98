//! What a scripted origin answers, byte for byte and step by step.

use tokio::io::{AsyncWriteExt, Result};

use super::{Gate, Received, listen::Socket, request::chunked};

/// How an origin breaks off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// It closes the connection as if all were well.
    Fin,
    /// It resets the connection.
    Reset,
}

/// A response as a script: a head, then parts in order.
#[derive(Clone)]
pub(crate) struct Response {
    status: u16,
    fields: Vec<(String, String)>,
    framing: Framing,
    interim: Vec<u8>,
    before: Vec<Part>,
    parts: Vec<Part>,
    close: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Length,
    Chunked,
    UntilClose,
    Raw,
}

#[derive(Clone)]
enum Part {
    Data(Vec<u8>),
    Wait(Gate),
    Cut(Cut),
    Hang,
}

/// A response with this status and no body yet.
pub(crate) fn status(status: u16) -> Response {
    Response {
        status,
        fields: Vec::new(),
        framing: Framing::Length,
        interim: Vec::new(),
        before: Vec::new(),
        parts: Vec::new(),
        close: false,
    }
}

/// 200 with this body.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Response {
    status(200).part(body)
}

/// These bytes in place of a response; then the connection ends.
pub(crate) fn raw(bytes: impl AsRef<[u8]>) -> Response {
    Response { framing: Framing::Raw, ..ok(bytes) }
}

impl Response {
    /// Adds a field after those it has.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// More body. With Content-Length framing the length counts every part, those after a cut too.
    pub(crate) fn part(mut self, data: impl AsRef<[u8]>) -> Self {
        self.parts.push(Part::Data(data.as_ref().to_vec()));
        self
    }

    /// What follows waits until the gate is open.
    pub(crate) fn wait(mut self, gate: &Gate) -> Self {
        self.parts.push(Part::Wait(gate.clone()));
        self
    }

    /// The connection ends here.
    pub(crate) fn cut(mut self, cut: Cut) -> Self {
        self.parts.push(Part::Cut(cut));
        self
    }

    /// Nothing follows, and the connection stays open.
    pub(crate) fn hang(mut self) -> Self {
        self.parts.push(Part::Hang);
        self
    }

    /// The body in chunks, one for each part.
    pub(crate) fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// The body ends with the connection.
    pub(crate) fn until_close(mut self) -> Self {
        self.framing = Framing::UntilClose;
        self
    }

    /// These bytes go first: an interim response, head and all.
    pub(crate) fn interim(mut self, bytes: &str) -> Self {
        self.interim.extend_from_slice(bytes.as_bytes());
        self
    }

    /// The head waits until the gate is open.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.before.push(Part::Wait(gate.clone()));
        self
    }

    /// Not even a head: the connection ends where the head would begin.
    pub(crate) fn cut_before_head(mut self, cut: Cut) -> Self {
        self.before.push(Part::Cut(cut));
        self
    }

    /// Not even a head, and the connection stays open.
    pub(crate) fn hang_before_head(mut self) -> Self {
        self.before.push(Part::Hang);
        self
    }

    /// The connection ends after the response, which does not say so.
    pub(crate) fn then_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Plays the script; whether the connection can be used again.
    pub(crate) async fn play(&self, stream: &mut Box<dyn Socket>, received: &Received) -> Result<bool> {
        stream.write_all(&self.interim).await?;
        if !self.steps(&self.before, Framing::Raw, stream).await? {
            return Ok(false);
        }
        if self.framing != Framing::Raw {
            stream.write_all(&self.head()).await?;
        }
        if received.method == "HEAD" || !self.has_body() {
            return Ok(!self.close);
        }
        if !self.steps(&self.parts, self.framing, stream).await? {
            return Ok(false);
        }
        if self.framing == Framing::Chunked {
            stream.write_all(b"0\r\n\r\n").await?;
        }
        Ok(!self.close && matches!(self.framing, Framing::Length | Framing::Chunked))
    }

    /// One step after the other; `false` when one of them ended the connection.
    async fn steps(&self, steps: &[Part], framing: Framing, stream: &mut Box<dyn Socket>) -> Result<bool> {
        for step in steps {
            match step {
                Part::Data(data) if framing == Framing::Chunked => stream.write_all(&chunked(data)).await?,
                Part::Data(data) => stream.write_all(data).await?,
                Part::Wait(gate) => gate.pass().await,
                Part::Cut(Cut::Fin) => return Ok(false),
                Part::Cut(Cut::Reset) => {
                    stream.reset_on_close()?;
                    return Ok(false);
                }
                Part::Hang => std::future::pending().await,
            }
        }
        Ok(true)
    }

    fn head(&self) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or("Scripted"));
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::Length if self.has_body() => head.push_str(&format!("Content-Length: {}\r\n", self.length())),
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            _ => {}
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn length(&self) -> usize {
        self.parts.iter().map(|part| if let Part::Data(data) = part { data.len() } else { 0 }).sum()
    }

    /// RFC 9110 §6.4.1: 204 and 304 end with their head.
    fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}
