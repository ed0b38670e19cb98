//! The way of what a request tells from its thread to where it is counted, without a lock.
//!
//! A request puts an item into a ring that is its thread's own: no lock, no allocation, nothing that another thread
//! writes to. Every so often a thread has what waits in all rings taken into the one place where items are counted, the
//! [`Sink`], if nobody else is at it; and only a thread whose ring is full waits for it, since no item is lost. Whoever
//! reads takes in what waits first.

use std::{cell::RefCell, fmt};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use thread_local::ThreadLocal;

/// Where items end up.
pub trait Sink<T> {
    /// Takes one item in. Those of one thread come in the order in which they were put.
    fn take(&mut self, item: &T);

    /// Is told when all that waited has been taken in.
    fn settled(&mut self) {}
}

/// A ring for each thread, and the sink that they are emptied into. A thread's ring is made with its first item, and
/// handed on to another thread when it ends.
pub struct Rings<T: Send, S> {
    rings: ThreadLocal<RefCell<Ring<T>>>,
    merger: Mutex<Merger<T, S>>,
    capacity: usize,
    batch: usize,
}

/// Where a thread puts its items.
struct Ring<T> {
    producer: Producer<T>,
    /// Since it was last seen to that they are taken.
    put: usize,
}

struct Merger<T, S> {
    rings: Vec<Consumer<T>>,
    sink: S,
}

impl<T: Send, S> fmt::Debug for Rings<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rings").finish_non_exhaustive()
    }
}

impl<T: Send, S: Sink<T>> Rings<T, S> {
    /// Rings for so many items each; after each `batch` of them, a thread has all rings emptied.
    pub fn new(capacity: usize, batch: usize, sink: S) -> Self {
        Self { rings: ThreadLocal::new(), merger: Mutex::new(Merger { rings: Vec::new(), sink }), capacity, batch }
    }

    /// Puts an item: short, never awaits.
    pub fn put(&self, item: T) {
        let mut ring = self.rings.get_or(|| RefCell::new(self.ring())).borrow_mut();
        if let Err(PushError::Full(item)) = ring.producer.push(item) {
            self.merger.lock().merge();
            // Nobody but this thread puts anything into this ring.
            let _ = ring.producer.push(item);
        }
        ring.put += 1;
        if ring.put >= self.batch {
            ring.put = 0;
            if let Some(mut merger) = self.merger.try_lock() {
                merger.merge();
            }
        }
    }

    fn ring(&self) -> Ring<T> {
        let (producer, consumer) = RingBuffer::new(self.capacity);
        self.merger.lock().rings.push(consumer);
        Ring { producer, put: 0 }
    }

    /// The sink with everything that was put before.
    pub fn settled(&self) -> MappedMutexGuard<'_, S> {
        let mut merger = self.merger.lock();
        merger.merge();
        MutexGuard::map(merger, |merger| &mut merger.sink)
    }

    /// The sink as it is, without what waits.
    pub fn sink(&self) -> MappedMutexGuard<'_, S> {
        MutexGuard::map(self.merger.lock(), |merger| &mut merger.sink)
    }
}

impl<T, S: Sink<T>> Merger<T, S> {
    fn merge(&mut self) {
        for ring in &mut self.rings {
            if let Ok(waiting) = ring.read_chunk(ring.slots()) {
                let (first, second) = waiting.as_slices();
                first.iter().chain(second).for_each(|item| self.sink.take(item));
                waiting.commit_all();
            }
        }
        self.sink.settled();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    const CAPACITY: usize = 16;
    const BATCH: usize = 4;

    /// The numbers of each thread, in the order in which they came.
    #[derive(Default)]
    struct Seen(Vec<Vec<u64>>);

    impl Sink<(usize, u64)> for Seen {
        fn take(&mut self, (thread, number): &(usize, u64)) {
            if self.0.len() <= *thread {
                self.0.resize_with(thread + 1, Vec::new);
            }
            self.0[*thread].push(*number);
        }
    }

    fn rings() -> Rings<(usize, u64), Seen> {
        Rings::new(CAPACITY, BATCH, Seen::default())
    }

    #[test]
    fn a_batch_is_taken_in_without_a_reader() {
        let rings = rings();
        (0..BATCH as u64 + 1).for_each(|number| rings.put((0, number)));
        assert_eq!(rings.sink().0[0].len(), BATCH);
        assert_eq!(rings.settled().0[0].len(), BATCH + 1);
    }

    #[test]
    fn nobody_waits_for_a_reader_until_the_ring_is_full() {
        let rings = rings();
        // This thread has its ring, so that it need not be registered while the sink is held.
        rings.put((0, 0));
        let held = rings.sink();
        (1..CAPACITY as u64).for_each(|number| rings.put((0, number)));
        drop(held);
        assert_eq!(rings.settled().0[0].len(), CAPACITY);
    }

    #[test]
    fn threads_lose_nothing_and_keep_their_order() {
        const THREADS: usize = 9;
        const EACH: u64 = 5 * CAPACITY as u64 + 3;
        let (rings, begin) = (rings(), Barrier::new(THREADS + 1));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (rings, begin) = (&rings, &begin);
                scope.spawn(move || {
                    begin.wait();
                    (0..EACH).for_each(|number| rings.put((thread, number)));
                });
            }
            begin.wait();
            (0..20).for_each(|_| drop(rings.settled()));
        });
        let seen = rings.settled();
        assert!(seen.0.len() == THREADS && seen.0.iter().all(|numbers| numbers.iter().copied().eq(0..EACH)));
    }
}
