//! A gate that a test holds closed: what happens before and after it is in the test's hand, without any sleeping.

use std::sync::Arc;

use tokio::sync::watch;

use super::within;

/// Whoever passes waits until the test opens it; it stays open then.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    open: watch::Sender<bool>,
    arrived: watch::Sender<usize>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { open: watch::Sender::new(false), arrived: watch::Sender::new(0) }))
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until `count` have come to the gate, whether it is open or not.
    #[track_caller]
    pub(crate) fn arrivals(&self, count: usize) -> impl Future<Output = ()> {
        let mut arrived = self.0.arrived.subscribe();
        within(format!("{count} arrivals at a gate"), async move {
            arrived.wait_for(|arrived| *arrived >= count).await.expect("the sender lives as long as the gate");
        })
    }

    /// Comes to the gate and waits until it is open, for as long as that takes.
    pub(crate) async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        let mut open = self.0.open.subscribe();
        open.wait_for(|open| *open).await.expect("the sender lives as long as the gate");
    }
}
