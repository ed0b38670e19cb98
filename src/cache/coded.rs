//! What a client is sent of a stored response: its head as edited for clients, and its body in the codings made so far.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::{
    compress::Skip,
    header::{ResponseHead, coding::Coding, edits::Edits},
};

use super::{Entry, store::Place};

/// What a client's copy of a response has other than what is stored.
#[derive(Clone, Debug)]
pub struct ClientCopy {
    /// Edits of the head.
    pub edits: Edits,
    /// Whether the body may be coded for those who take it so; if not, why.
    pub codable: Result<(), Skip>,
}

/// The response as it came, in no coding but its own.
impl Default for ClientCopy {
    fn default() -> Self {
        Self { edits: Edits::default(), codable: Err(Skip::Off) }
    }
}

/// What is stored of a URL leaves no room for another form of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A stored body in one coding.
#[derive(Debug)]
pub struct Coded {
    /// Its head and body; `None` where the coding does not make it smaller, so that it is sent as it is.
    pub form: Option<(ResponseHead, Bytes)>,
    /// It is as small as its coding gets it.
    pub best: bool,
    /// How often it was sent.
    uses: AtomicU32,
    place: Option<Place>,
}

impl Coded {
    /// Counts a use; whether it has been used another `hot` times by it.
    pub fn is_hot_now(&self, hot: u32) -> bool {
        self.uses.fetch_add(1, Relaxed).wrapping_add(1).is_multiple_of(hot.max(1))
    }
}

impl Entry {
    /// The form to send in place of one that was `made`, which is the smallest: that one, or another of the codings that
    /// the client likes as well and that is at its best. `None` where none is smaller than the body itself.
    pub fn smallest(
        &self,
        made: (Coding, &Coded),
        liked: impl Iterator<Item = Coding>,
    ) -> Option<(Coding, (ResponseHead, Bytes))> {
        let (coding, made) = made;
        let mut smallest = made.form.clone().map(|form| (coding, form));
        for other in liked.filter(|other| *other != coding) {
            let Some(coded) = self.coded(other).filter(|coded| coded.best) else { continue };
            if let Some(form) = &coded.form
                && smallest.as_ref().is_none_or(|(_, (_, least))| form.1.len() < least.len())
            {
                smallest = Some((other, form.clone()));
            }
        }
        smallest
    }
}

/// The codings made so far of one stored body.
#[derive(Debug, Default)]
pub(super) struct Codings([ArcSwapOption<Coded>; Coding::ALL.len()]);

impl Codings {
    pub(super) fn get(&self, coding: Coding) -> Option<Arc<Coded>> {
        self.0[coding as usize].load_full()
    }

    /// Keeps a form of the body.
    pub(super) fn keep(
        &self,
        coding: Coding,
        form: Option<(ResponseHead, Bytes)>,
        best: bool,
        place: impl FnOnce(u64) -> Place,
    ) -> Arc<Coded> {
        let place = form.as_ref().map(|(head, body)| place(weight(head, body)));
        let coded = Arc::new(Coded { form, best, uses: AtomicU32::new(0), place });
        self.0[coding as usize].store(Some(coded.clone()));
        coded
    }

    /// Bytes that they take.
    pub(super) fn weight(&self) -> u64 {
        Coding::ALL.into_iter().map(|coding| self.weight_of(coding)).sum()
    }

    /// Bytes that one takes; 0 if it was not made.
    pub(super) fn weight_of(&self, coding: Coding) -> u64 {
        let coded = self.0[coding as usize].load();
        coded.as_ref().and_then(|coded| coded.place.as_ref()).map_or(0, Place::bytes)
    }
}

/// Bytes that a form takes, with the reference counts around it.
pub(super) fn weight(head: &ResponseHead, body: &Bytes) -> u64 {
    (head.bytes().len() + body.len() + size_of::<Coded>() + 6 * size_of::<usize>()) as u64
}
