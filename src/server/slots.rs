//! Turns at the app: so many requests at once, and a bounded queue before them, first come, first served.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    profile::Asked,
    traffic::{Entered, Gauge, Traffic, UpstreamFailure},
};

use super::Settings;

/// Who may be at the app, and who may wait for it.
#[derive(Debug)]
pub(super) struct Slots {
    free: Arc<Semaphore>,
    max_queued: u64,
    patience: Duration,
    in_flight: Arc<Gauge>,
    queued: Arc<Gauge>,
}

/// A request's turn at the app, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: Entered,
    /// How long it waited for it, and how many were there before.
    pub(super) asked: Asked,
}

/// How waiting for a turn ended.
#[derive(Debug)]
pub(super) enum Waited {
    /// It has come.
    Entered(Slot),
    /// It does not come.
    Refused(UpstreamFailure),
    /// The client left meanwhile.
    Left,
}

impl Slots {
    pub(super) fn new(settings: &Settings, traffic: &Traffic) -> Self {
        Self {
            free: Arc::new(Semaphore::new(settings.upstream_concurrency)),
            max_queued: settings.upstream_queue as u64,
            patience: settings.timeouts.queue,
            in_flight: traffic.upstream_in_flight.clone(),
            queued: traffic.upstream_queued.clone(),
        }
    }

    /// Waits for a turn, in the order of arrival. Whoever stops waiting frees the place in the queue.
    ///
    /// # Errors
    /// When the queue is full, or the turn does not come in time.
    pub(super) async fn enter(&self) -> Result<Slot, UpstreamFailure> {
        // Nobody is overtaken here: a turn that is given back while somebody waits is theirs, and never free.
        if let Some(slot) = self.free() {
            return Ok(slot);
        }
        let waiting = self.queued.enter_below(self.max_queued).ok_or(UpstreamFailure::QueueFull)?;
        let (began, ahead) = (Instant::now(), self.in_flight.value() + waiting.before());
        match timeout(self.patience, self.free.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(slot(permit, began.elapsed(), ahead, self.in_flight.enter())),
            // The semaphore is never closed: what is left is that time is up.
            _ => Err(UpstreamFailure::QueueTimeout),
        }
    }

    /// A turn that is free now.
    pub(super) fn free(&self) -> Option<Slot> {
        let permit = self.free.clone().try_acquire_owned().ok()?;
        let counted = self.in_flight.enter();
        Some(slot(permit, Duration::ZERO, counted.before(), counted))
    }

    /// Waits for a turn for as long as the client does.
    pub(super) async fn enter_unless(&self, left: impl Future<Output = ()>) -> Waited {
        tokio::select! {
            biased;
            entered = self.enter() => entered.map_or_else(Waited::Refused, Waited::Entered),
            () = left => Waited::Left,
        }
    }
}

/// A turn that came after `queue`, for a request that found so many `ahead` of it.
fn slot(permit: OwnedSemaphorePermit, queue: Duration, ahead: u64, counted: Entered) -> Slot {
    let in_flight = u32::try_from(ahead + 1).unwrap_or(u32::MAX);
    Slot { _permit: permit, _counted: counted, asked: Asked { queue, in_flight, ..Asked::default() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn slots(upstream_concurrency: usize, upstream_queue: usize) -> (Slots, Traffic) {
        let traffic = Traffic::default();
        let settings = Settings { upstream_concurrency, upstream_queue, ..Settings::default() };
        (Slots::new(&settings, &traffic), traffic)
    }

    fn at(traffic: &Traffic) -> (u64, u64) {
        (traffic.upstream_in_flight.value(), traffic.upstream_queued.value())
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival_and_nobody_overtakes() {
        let (slots, traffic) = slots(1, 2);
        let first = slots.enter().await.unwrap();
        let (mut second, mut third) = (Box::pin(slots.enter()), Box::pin(slots.enter()));
        assert!(second.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        assert_eq!(at(&traffic), (1, 2));
        drop(first);
        let mut late = Box::pin(slots.enter());
        assert!(late.as_mut().now_or_never().unwrap().is_err(), "both places of the queue are still taken");
        assert!(third.as_mut().now_or_never().is_none());
        let second = second.await.unwrap();
        assert_eq!(at(&traffic), (1, 1));
        drop(second);
        drop(third.await.unwrap());
        assert_eq!(at(&traffic), (0, 0));
    }

    #[tokio::test]
    async fn who_wants_a_free_turn_gets_no_other() {
        let (slots, traffic) = slots(1, 1);
        let first = slots.free().unwrap();
        assert!(slots.free().is_none());
        let mut waits = Box::pin(slots.enter());
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(slots.free().is_none(), "it is the turn of the one who waits");
        drop(waits.await.unwrap());
        assert!(slots.free().is_some());
        assert_eq!(at(&traffic), (0, 0));
    }

    #[tokio::test]
    async fn beyond_the_queue_is_refused_at_once() {
        let (slots, _traffic) = slots(1, 0);
        let first = slots.enter().await.unwrap();
        assert_eq!(slots.enter().now_or_never().unwrap().unwrap_err(), UpstreamFailure::QueueFull);
        drop(first);
        assert!(slots.enter().await.is_ok());
    }

    #[tokio::test]
    async fn whoever_stops_waiting_frees_the_place() {
        let (slots, traffic) = slots(1, 1);
        let _first = slots.enter().await.unwrap();
        let mut left = Box::pin(slots.enter());
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        assert_eq!(at(&traffic), (1, 0));
        assert!(Box::pin(slots.enter()).now_or_never().is_none(), "it waits, and is not refused");
        assert!(matches!(slots.enter_unless(async {}).await, Waited::Left));
        assert_eq!(at(&traffic), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_has_an_end() {
        let (slots, _traffic) = slots(1, 1);
        let _first = slots.enter().await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(slots.enter().await.unwrap_err(), UpstreamFailure::QueueTimeout);
        assert_eq!(began.elapsed(), Duration::from_secs(10));
    }
}
