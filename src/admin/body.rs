//! Receiving the bodies of requests, within bounds of size and time, each and all together.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, Uri},
};
use futures_util::StreamExt;
use tokio::{sync::Semaphore, time::timeout};

use super::problem::Problem;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a body that are received only to be thrown away.
const MOST_DISCARDED: u64 = 16 << 20;

/// The room that bodies take while they are being received: as many bytes as there are permits.
#[derive(Debug)]
pub(super) struct Intake(Semaphore);

/// Why a body was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Occurs when it is larger than it may be. One that is much larger, and says so beforehand, is not received at all.
    TooLarge,
    /// Occurs when other bodies take all the room.
    NoRoom,
    /// Occurs when it takes longer than 30 seconds.
    TooSlow,
    /// Occurs when the client leaves, or its framing is malformed.
    Broken,
}

impl Failure {
    /// As the client is told it. `most` is what a body may take at most.
    pub(super) fn problem(self, uri: &Uri, most: &str) -> Problem {
        let told = |status, detail: &str| Problem::new(status, uri, detail);
        match self {
            Self::TooLarge => told(StatusCode::PAYLOAD_TOO_LARGE, &format!("expected at most {most}")),
            Self::NoRoom => told(StatusCode::SERVICE_UNAVAILABLE, "bodies that others send take all the room there is")
                .retry_after(1),
            Self::TooSlow => told(StatusCode::REQUEST_TIMEOUT, "the body took too long to come"),
            Self::Broken => told(StatusCode::BAD_REQUEST, "the body did not come to its end"),
        }
    }
}

impl Intake {
    /// Room for so many bytes of all bodies together.
    pub(super) fn new(bytes: u64) -> Self {
        Self(Semaphore::new(usize::try_from(bytes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)))
    }

    /// Receives a body of at most `most` bytes.
    pub(super) async fn receive(&self, body: Body, most: u64) -> Result<Bytes, Failure> {
        timeout(PATIENCE, self.receive_all(body, most)).await.unwrap_or(Err(Failure::TooSlow))
    }

    async fn receive_all(&self, body: Body, most: u64) -> Result<Bytes, Failure> {
        if body.size_hint().lower() > most {
            discard(body).await;
            return Err(Failure::TooLarge);
        }
        let (mut whole, mut pieces) = (Vec::new(), body.into_data_stream());
        let mut room = self.0.try_acquire_many(0).map_err(|_| Failure::NoRoom)?;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Failure::Broken)?;
            if (whole.len() + piece.len()) as u64 > most {
                discard(Body::from_stream(pieces)).await;
                return Err(Failure::TooLarge);
            }
            let len = u32::try_from(piece.len()).map_err(|_| Failure::TooLarge)?;
            // To wait for room would let bodies that are half there wait for each other.
            room.merge(self.0.try_acquire_many(len).map_err(|_| Failure::NoRoom)?);
            whole.extend_from_slice(&piece);
        }
        // What is kept must not be larger than it says.
        Ok(whole.into_boxed_slice().into())
    }
}

/// Receives what is left of a body and throws it away, unless it is much.
///
/// A connection that is closed before everything was read of it is reset, and a client that sends all of its body before
/// it reads the answer would not be told what is wrong.
async fn discard(body: Body) {
    if body.size_hint().lower() > MOST_DISCARDED {
        return;
    }
    let (mut discarded, mut pieces) = (0, body.into_data_stream());
    while let Some(Ok(piece)) = pieces.next().await {
        discarded += piece.len() as u64;
        if discarded > MOST_DISCARDED {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// A body that says nothing of its length.
    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces.iter().copied().map(Ok::<_, Infallible>)))
    }

    #[tokio::test]
    async fn a_body_is_received_whole_or_not_at_all() {
        let intake = Intake::new(10);
        for (body, expected) in [
            (pieces(&[]), Ok("")),
            (pieces(&["ab", "", "cd"]), Ok("abcd")),
            (Body::from("12345678"), Ok("12345678")),
            (Body::from("123456789"), Err(Failure::TooLarge)),
            (pieces(&["12345678", "9"]), Err(Failure::TooLarge)),
            (Body::from_stream(stream::iter([Ok("a"), Err("cut")])), Err(Failure::Broken)),
        ] {
            assert_eq!(intake.receive(body, 8).await, expected.map(Bytes::from));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_the_room_and_give_it_back() {
        let intake = Intake::new(10);
        let begun = stream::iter([Ok::<_, Infallible>("123456")]).chain(stream::pending());
        let endless = intake.receive(Body::from_stream(begun), 8);
        let other = async {
            tokio::task::yield_now().await;
            let crowded = intake.receive(Body::from("12345"), 8).await;
            (crowded, intake.receive(Body::from("1234"), 8).await)
        };
        let (endless, (crowded, small)) = tokio::join!(endless, other);
        assert_eq!((crowded, small), (Err(Failure::NoRoom), Ok("1234".into())));
        assert_eq!(endless, Err(Failure::TooSlow), "nobody waits for a client without end");
        assert_eq!(intake.receive(Body::from("1234567890"), 10).await, Ok("1234567890".into()));
    }
}
