//! 6 headers and 7 compress for what `HttpProxy` passes on. Its heads go out before their bodies and nothing tells it that
//! the app pauses: bodies are coded as they come, and whatever has come goes on at once.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{ResponseHeader, header_value_from_slice};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    compress::{Decoder, Encoder, Form, Skip, coding_edits, encoder::Failed},
    header::{Fields, ResponseHead, coding::Coding, edits::Edits},
    server::{Engine, context::Request},
};

use super::response::Sent;

/// What is done to one body.
pub(super) enum Recoding {
    /// It is coded.
    Encode(Encode),
    /// The app's coding is taken off.
    Decode(Box<Decoder>),
    /// It has come to its end.
    Ended(Duration),
}

pub(super) struct Encode {
    encoder: Encoder,
    coding: Coding,
    content_type: Option<Vec<u8>>,
    input: u64,
    output: u64,
    _permit: OwnedSemaphorePermit,
}

/// A body that cannot be coded or decoded any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Encoder,
    /// What the app sent is not in the coding that it names.
    Body,
}

impl Broken {
    /// How it ends the answer: visibly cut.
    pub(super) fn error(self) -> Box<Error> {
        match self {
            Self::Encoder => Error::new_down(ErrorType::InternalError),
            Self::Body => Error::new_up(ErrorType::InvalidHTTPHeader),
        }
    }
}

impl Engine {
    /// Edits the client's copy of a head, and says what is to be done to its body.
    pub(super) fn recode(&self, request: &Request, response: &mut ResponseHeader) -> Result<Option<Recoding>> {
        let mut head = ResponseHead::build(response.status.as_u16(), "");
        for (name, value) in Sent(response).fields() {
            head.field(name, value);
        }
        let head = head.finish();
        let personal = self.state.cache.asker(&request.head, &request.rule.policy).is_identified();
        let copy = self.copy(&request.head, &request.rule, &head, None, personal);
        apply(&copy.edits, response)?;
        let edited = copy.edits.apply(&head);
        let has_body = request.head.method != Method::HEAD;
        let (edits, recoding) = match self.form(request, &head, copy.codable) {
            Form::AsIs(why) => return Ok(self.skipped(why)),
            Form::Coded(coding) if has_body => match self.encoder(coding, head.content_length()) {
                Ok((encoder, permit)) => {
                    let content_type = head.get("content-type").map(<[u8]>::to_vec);
                    let encode = Encode { encoder, coding, content_type, input: 0, output: 0, _permit: permit };
                    (coding_edits(&edited, Some(coding), None), Some(Recoding::Encode(encode)))
                }
                Err(why) => return Ok(self.skipped(why)),
            },
            Form::Coded(coding) => (coding_edits(&edited, Some(coding), None), None),
            Form::Decoded(coding) if has_body => match Decoder::new(coding) {
                Ok(decoder) => {
                    self.state.compression.stats.decoded(coding);
                    (coding_edits(&edited, None, None), Some(Recoding::Decode(Box::new(decoder))))
                }
                Err(_) => return Ok(self.skipped(Skip::Failed)),
            },
            Form::Decoded(_) => (coding_edits(&edited, None, None), None),
        };
        apply(&edits, response)?;
        if recoding.is_some() {
            // pingora has framed it by the length that it had.
            response.insert_header(http::header::TRANSFER_ENCODING, "chunked")?;
        }
        Ok(recoding)
    }

    fn skipped(&self, why: Skip) -> Option<Recoding> {
        self.state.compression.stats.skipped(why);
        None
    }

    /// Codes or decodes a part of a body, the last one or what comes in place of it where `end`.
    pub(super) fn recode_part(
        &self,
        request: &Request,
        recoding: &mut Recoding,
        part: Option<Bytes>,
        end: bool,
    ) -> Result<Option<Bytes>, Broken> {
        let part = part.unwrap_or_default();
        let stats = &self.state.compression.stats;
        let out = match recoding {
            Recoding::Encode(encode) => {
                let coded = encode.step(&part, end).map_err(|_| Broken::Encoder);
                if coded.is_err() {
                    stats.skipped(Skip::Failed);
                }
                if end || coded.is_err() {
                    stats.encoded(encode.coding, false, encode.encoder.cpu());
                }
                if end && coded.is_ok() {
                    let Encode { coding, content_type, input, output, .. } = &*encode;
                    self.compressed(request, *coding, content_type.as_deref(), *input, *output);
                }
                coded?
            }
            Recoding::Decode(decoder) => {
                let mut out = Vec::new();
                if !part.is_empty() {
                    decoder.push(part);
                }
                while let Some(piece) = decoder.next().map_err(|_| Broken::Body)? {
                    out.push(piece);
                }
                out.concat().into()
            }
            Recoding::Ended(_) => Bytes::new(),
        };
        let ended = Recoding::Ended(recoding.spent());
        if end && let Recoding::Decode(decoder) = std::mem::replace(recoding, ended) {
            decoder.finish().map_err(|_| Broken::Body)?;
        }
        // An empty part would end a chunked answer.
        Ok(Some(out).filter(|out| !out.is_empty()))
    }
}

impl Recoding {
    /// The time it took so far.
    pub(super) fn spent(&self) -> Duration {
        match self {
            Self::Encode(encode) => encode.encoder.cpu(),
            Self::Decode(_) => Duration::ZERO,
            Self::Ended(spent) => *spent,
        }
    }
}

impl Encode {
    fn step(&mut self, part: &[u8], end: bool) -> Result<Bytes, Failed> {
        self.input += part.len() as u64;
        let taken = self.encoder.push(part)?;
        let rest = if end { self.encoder.finish()? } else { self.encoder.flush()? };
        self.output += (taken.len() + rest.len()) as u64;
        Ok(if taken.is_empty() { rest } else { [taken, rest].concat().into() })
    }
}

fn apply(edits: &Edits, response: &mut ResponseHeader) -> Result<()> {
    for name in edits.removed() {
        response.remove_header(*name);
    }
    for (name, value) in edits.added() {
        response.append_header(*name, header_value_from_slice(value))?;
    }
    Ok(())
}
