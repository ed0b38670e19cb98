//! 7 compress: in which form a client gets a body, and the coding of what is stored, which is done once for each coding.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    cache::{Coded, Entry, Key},
    compress::{
        Form, Skip, coded_head,
        encoder::{Effort, Encoder, max_encoder_bytes, whole},
    },
    header::{Fields, ResponseHead, coding::Coding},
    state::State,
};

use super::{Engine, body::WHOLE_MOST, context::Request, recode::Recoder};

/// Memory for encoders at work, in bytes: for 35 streams of Brotli at the default level, or 250 of gzip. What finds no room
/// goes on as it is.
const ROOM_BYTES: usize = 96 << 20;
/// What Brotli takes at its last two levels.
const BROTLI_BEST_BYTES: usize = 10 << 20;
/// A stored body that was sent so often in one coding is worth coding well.
const HOT: u32 = 16;

/// What the coders of all engines have in common.
#[derive(Clone)]
pub(super) struct Coders {
    /// [`ROOM_BYTES`], in KiB.
    room: Arc<Semaphore>,
    pub(super) makings: Makings,
    pub(super) recoder: Arc<Recoder>,
}

impl Coders {
    pub(super) fn new(state: &Arc<State>) -> Self {
        let room = Arc::new(Semaphore::new(ROOM_BYTES >> 10));
        Self { room, makings: Makings::default(), recoder: Arc::new(Recoder::start(state)) }
    }
}

/// The forms of stored bodies that are being made now, so that none is made twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Makings(Arc<Mutex<HashMap<Made, watch::Receiver<()>>>>);

/// One form of one stored body, which whoever makes it keeps where it is.
type Made = (usize, Coding);

/// The right to make one form of one stored body. Dropping it wakes those who wait for it.
#[derive(Debug)]
pub(super) struct Making {
    makings: Makings,
    entry: Arc<Entry>,
    coding: Coding,
    _done: watch::Sender<()>,
}

impl Makings {
    /// Begins to make a form of a stored body, unless somebody is at it: then what ends when that one has ended.
    pub(super) fn begin(&self, entry: &Arc<Entry>, coding: Coding) -> Result<Making, watch::Receiver<()>> {
        let mut makings = self.0.lock();
        if let Some(done) = makings.get(&made(entry, coding)) {
            return Err(done.clone());
        }
        let (_done, done) = watch::channel(());
        makings.insert(made(entry, coding), done);
        Ok(Making { makings: self.clone(), entry: entry.clone(), coding, _done })
    }
}

fn made(entry: &Arc<Entry>, coding: Coding) -> Made {
    (Arc::as_ptr(entry) as usize, coding)
}

impl Drop for Making {
    fn drop(&mut self) {
        self.makings.0.lock().remove(&made(&self.entry, self.coding));
    }
}

impl Engine {
    /// In which form a client gets a body that may be coded, or may not be for a reason. `head` is the origin's: its tag is
    /// remembered where the client will know it as a weak one.
    pub(super) fn form(&self, request: &Request, head: &ResponseHead, codable: Result<(), Skip>) -> Form {
        let form = Form::of(&request.head, request.accepted.as_ref(), head, codable, &self.compression);
        if !matches!(form, Form::AsIs(_)) {
            self.sending.weakened.remember(&request.head, head.get("etag"));
        }
        form
    }

    /// Memory for one encoder, held until it is given back.
    fn room_for(&self, coding: Coding) -> Result<OwnedSemaphorePermit, Skip> {
        let bytes = match coding {
            Coding::Br if self.compression.brotli_level >= 10 => BROTLI_BEST_BYTES,
            coding => max_encoder_bytes(coding),
        };
        self.coders.room.clone().try_acquire_many_owned((bytes >> 10) as u32).map_err(|_| Skip::Busy)
    }

    /// The right to code one stream, if there is an encoder to spare.
    pub(super) fn encoder(&self, coding: Coding, length: Option<u64>) -> Result<(Encoder, OwnedSemaphorePermit), Skip> {
        let permit = self.room_for(coding)?;
        let encoder = Encoder::new(coding, &self.compression, length).map_err(|_| Skip::Failed)?;
        Ok((encoder, permit))
    }

    /// Counts an answer that its client got whole, and coded here.
    pub(super) fn compressed(
        &self,
        request: &Request,
        coding: Coding,
        content_type: Option<&[u8]>,
        input: u64,
        output: u64,
    ) {
        self.state.compression.stats.compressed(coding, content_type, input, output);
        request.saved.add(input, output);
    }

    /// A whole body coded at once.
    pub(super) fn code(&self, request: &Request, coding: Coding, body: &[u8]) -> Result<Bytes, Skip> {
        let (coded, spent) = whole(coding, Effort::Quick, &self.compression, body).map_err(|_| Skip::Failed)?;
        request.spent.add(spent);
        self.state.compression.stats.encoded(coding, false, spent);
        if coded.len() < body.len() { Ok(coded) } else { Err(Skip::NotSmaller) }
    }

    /// A stored body in the coding for a client, or in one that it likes as well and that came out smaller.
    pub(super) async fn coded(
        &self,
        request: &Request,
        entry: &Arc<Entry>,
        coding: Coding,
    ) -> Result<(Coding, ResponseHead, Bytes), Skip> {
        let made = self.made(request, entry, coding).await?;
        let key = || Key::of(&request.head, &request.peer);
        if !made.best && made.is_hot_now(HOT) {
            self.coders.recoder.offer(key(), entry, coding, &self.compression);
        }
        let liked = request.accepted.iter().flat_map(|accepted| accepted.ties(&self.compression.codings));
        let (coding, (head, body)) = entry.smallest((coding, &made), liked).ok_or(Skip::NotSmaller)?;
        Ok((coding, head, body))
    }

    /// A stored body in this coding, made now if it was not made before. Who comes meanwhile waits for it.
    async fn made(&self, request: &Request, entry: &Arc<Entry>, coding: Coding) -> Result<Arc<Coded>, Skip> {
        if let Some(coded) = entry.coded(coding) {
            return Ok(coded);
        }
        let began = Instant::now();
        let made = self.made_once(request, entry, coding).await;
        request.spent.add(began.elapsed());
        made
    }

    async fn made_once(&self, request: &Request, entry: &Arc<Entry>, coding: Coding) -> Result<Arc<Coded>, Skip> {
        // Whoever was at it may have failed; then it is this one's turn, once.
        for _ in 0..2 {
            if let Some(coded) = entry.coded(coding) {
                return Ok(coded);
            }
            match self.coders.makings.begin(entry, coding) {
                Ok(making) => return self.make(request, making).await,
                // It ends when the other one has ended, which is all that there is to know.
                Err(mut done) => drop(done.changed().await),
            }
        }
        entry.coded(coding).ok_or(Skip::Busy)
    }

    async fn make(&self, request: &Request, making: Making) -> Result<Arc<Coded>, Skip> {
        let key = Key::of(&request.head, &request.peer);
        let (state, settings) = (self.state.clone(), self.compression.clone());
        let length = making.entry.body.len();
        let work = move |making: &Making| {
            let (entry, coding) = (&making.entry, making.coding);
            let coded = whole(coding, Effort::Quick, &settings, &entry.body);
            if let Ok((_, spent)) = &coded {
                state.compression.stats.encoded(coding, false, *spent);
            }
            let failed = coded.is_err();
            let form = coded.ok().and_then(|(body, _)| form(entry, coding, body));
            // What failed once is not tried again for each who asks.
            let best = form.is_none();
            match state.cache.keep_coded(&key, entry, coding, form, best) {
                Ok(_) if failed => Err(Skip::Failed),
                kept => kept.map_err(|_| Skip::NoRoom),
            }
        };
        if length <= WHOLE_MOST {
            return work(&making);
        }
        // Too long for a thread that serves others; and once begun it is carried on, whoever leaves.
        let permit = self.room_for(making.coding)?;
        let coded = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&making)
        });
        coded.await.unwrap_or(Err(Skip::Failed))
    }

    /// Gives an entry the codings that were made of another one with the same body.
    pub(super) fn carry(&self, key: &Key, from: &Entry, to: &Arc<Entry>) {
        if to.codable.is_err() {
            return;
        }
        for coding in Coding::ALL {
            let Some(coded) = from.coded(coding) else { continue };
            let same = coded.form.as_ref().and_then(|(_, body)| form(to, coding, body.clone()));
            // Without room for it, it is made again by who asks for it.
            let _ = self.state.cache.keep_coded(key, to, coding, same, coded.best);
        }
    }
}

/// A form of a stored body with its head, if it is smaller.
pub(super) fn form(entry: &Entry, coding: Coding, body: Bytes) -> Option<(ResponseHead, Bytes)> {
    let length = body.len() as u64;
    (body.len() < entry.body.len()).then(|| (coded_head(&entry.sent, coding, Some(length)), body))
}
