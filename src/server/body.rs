//! Bodies on their way to a client: where they come from, what is done to them, and the loop that sends them.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    compress::{Decoder, Encoder, Stats},
    header::coding::Coding,
    traffic::UpstreamFailure,
};

use super::{origin::Exchange, reader::Reader, reply::Reply};

/// When the app pauses for so long, what it has sent goes on to the client. Longer than the 40 ms by which a TCP stack
/// delays what a server writes after its head.
pub(super) const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// A body that comes without a pause and is no longer than this is coded as a whole, which is cheaper and smaller.
pub(super) const WHOLE_MOST: usize = 128 << 10;

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The app failed.
    Upstream(UpstreamFailure),
    /// The encoder failed.
    Coding,
}

impl Cut {
    /// The word for it in logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upstream(failure) => failure.name(),
            Self::Coding => "coding",
        }
    }
}

/// A body that comes in parts.
pub(super) trait Body: Send {
    /// The next part, not empty; `None` at the end. Safe to cancel.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Cut>> + Send;
}

/// pingora keeps what it has read of a chunk when it is cancelled.
impl Body for Exchange {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Exchange::next(self).await.map_err(Cut::Upstream)
    }
}

impl Body for Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Reader::next(self).await.map_err(Cut::Upstream)
    }
}

impl<B: Body> Body for &mut B {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        (**self).next().await
    }
}

/// A body of which the first parts were taken already; all there is of one that is held.
pub(super) struct Begun<B> {
    parts: VecDeque<Bytes>,
    rest: B,
}

impl<B> Begun<B> {
    pub(super) fn new(parts: impl Into<VecDeque<Bytes>>, rest: B) -> Self {
        Self { parts: parts.into(), rest }
    }

    /// What comes after the parts.
    pub(super) fn rest(&self) -> &B {
        &self.rest
    }
}

impl<B: Body> Body for Begun<B> {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        match self.parts.pop_front() {
            Some(part) => Ok(Some(part)),
            None => self.rest.next().await,
        }
    }
}

/// The end of a body.
pub(super) struct Nothing;

impl Body for Nothing {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Ok(None)
    }
}

/// A body being coded. What the encoder holds back goes out when the app pauses.
pub(super) struct Encoding<'s, B> {
    body: B,
    coding: Coding,
    /// `None` once it has finished.
    encoder: Option<Encoder>,
    stats: &'s Stats,
    /// What it cost, once it has finished.
    spent: Duration,
    /// Bytes that went in.
    pub(super) taken: u64,
}

impl<'s, B> Encoding<'s, B> {
    pub(super) fn new(body: B, coding: Coding, encoder: Encoder, stats: &'s Stats) -> Self {
        Self { body, coding, encoder: Some(encoder), stats, spent: Duration::ZERO, taken: 0 }
    }

    /// The time that coding took so far.
    pub(super) fn spent(&self) -> Duration {
        self.encoder.as_ref().map_or(self.spent, Encoder::cpu)
    }

    /// The body itself.
    pub(super) fn body(&self) -> &B {
        &self.body
    }
}

impl<B: Body> Body for Encoding<'_, B> {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        while let Some(encoder) = &mut self.encoder {
            let part = if encoder.is_behind() {
                match timeout(FLUSH_AFTER, self.body.next()).await {
                    Ok(part) => part?,
                    Err(_) => return encoder.flush().map(Some).map_err(|_| Cut::Coding),
                }
            } else {
                self.body.next().await?
            };
            let out = match part {
                Some(part) => {
                    self.taken += part.len() as u64;
                    encoder.push(&part)
                }
                None => {
                    let end = encoder.finish();
                    self.spent = encoder.cpu();
                    self.stats.encoded(self.coding, false, self.spent);
                    self.encoder = None;
                    end
                }
            };
            let out = out.map_err(|_| Cut::Coding)?;
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }
}

/// An encoder that was dropped before its end has cost what it has cost.
impl<B> Drop for Encoding<'_, B> {
    fn drop(&mut self) {
        if let Some(encoder) = &self.encoder {
            self.stats.encoded(self.coding, false, encoder.cpu());
        }
    }
}

/// A body being decoded, for a client that cannot take the app's coding.
pub(super) struct Decoding<B> {
    body: B,
    coding: Coding,
    /// `None` before the first part, and after the end: a body of nothing is one of nothing in any coding.
    decoder: Option<Decoder>,
}

impl<B> Decoding<B> {
    pub(super) fn new(body: B, coding: Coding) -> Self {
        Self { body, coding, decoder: None }
    }
}

impl<B: Body> Body for Decoding<B> {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        // What is no such coding, or goes on after its end, or swells beyond all measure.
        let malformed = |_| Cut::Upstream(UpstreamFailure::Malformed);
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(part) = decoder.next().map_err(malformed)?
            {
                return Ok(Some(part));
            }
            let Some(part) = self.body.next().await? else {
                self.decoder.take().map_or(Ok(()), Decoder::finish).map_err(malformed)?;
                return Ok(None);
            };
            match &mut self.decoder {
                Some(decoder) => decoder.push(part),
                None => self.decoder.insert(Decoder::new(self.coding).map_err(malformed)?).push(part),
            }
        }
    }
}

/// How far a body came without a pause.
pub(super) enum Gathered {
    /// To its end.
    Whole(Vec<Bytes>),
    /// Up to a pause, or beyond what is gathered.
    Begun(Vec<Bytes>),
    /// Not to its end, and there is no more.
    Cut(Vec<Bytes>, Cut),
    /// The client left.
    Left,
}

/// Gathers a body as long as it comes without a pause and is not large.
pub(super) async fn gather<B: Body, R: Reply>(body: &mut B, reply: &mut R) -> Gathered {
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while bytes <= WHOLE_MOST {
        let next = tokio::select! {
            biased;
            next = timeout(FLUSH_AFTER, body.next()) => next,
            () = reply.left() => return Gathered::Left,
        };
        match next {
            Ok(Ok(Some(part))) => {
                bytes += part.len();
                parts.push(part);
            }
            Ok(Ok(None)) => return Gathered::Whole(parts),
            Ok(Err(cut)) => return Gathered::Cut(parts, cut),
            Err(_) => break,
        }
    }
    Gathered::Begun(parts)
}

/// The parts as one; no copy is made of a single one.
pub(super) fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.swap_remove(0),
        _ => parts.concat().into(),
    }
}

/// How sending a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// The client has the whole.
    Whole,
    /// The client left, or takes nothing.
    Left,
    /// There is no more to come; the client can tell.
    Cut(Cut),
}

/// Sends the parts of a body as they come, after its head.
pub(super) async fn pass<B: Body, R: Reply>(body: &mut B, reply: &mut R) -> Passed {
    loop {
        let next = tokio::select! {
            biased;
            next = body.next() => next,
            () = reply.left() => break,
        };
        match next {
            Ok(Some(part)) => {
                if reply.part(part).await.is_err() {
                    break;
                }
            }
            Ok(None) => return if reply.finish().await.is_ok() { Passed::Whole } else { Passed::Left },
            Err(cut) => {
                reply.cut().await;
                return Passed::Cut(cut);
            }
        }
    }
    reply.cut().await;
    Passed::Left
}

#[cfg(test)]
mod tests;
