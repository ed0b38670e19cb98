//! Which of two pages is faster: asked for in turns, so that what changes meanwhile changes both.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Asks,
    medians::{Difference, Times},
    page::Page,
    warm::no_answer,
};
use crate::{
    server::{Got, NoAnswer},
    task::{Failure, Reason},
};

/// With fewer answers of a side, nothing is said.
const LEAST: usize = 10;

/// A comparison.
#[derive(Clone, Debug)]
pub(super) struct Compare {
    pub(super) a: Side,
    pub(super) b: Side,
    /// Of each side.
    pub(super) requests: usize,
    /// Pairs at a time.
    pub(super) concurrency: usize,
}

/// One of the two.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) page: Page,
    /// The app is asked, whatever is stored.
    pub(super) past_cache: bool,
}

impl Compare {
    /// Measures, and says which is faster, as JSON.
    ///
    /// # Errors
    /// When too few requests have an answer that counts.
    pub(super) async fn run(self, asks: impl Asks, progress: impl Fn(u8)) -> Result<Value, Failure> {
        let mut measured = (Measured::default(), Measured::default());
        let mut under_way = JoinSet::new();
        let (mut done, mut begun) = (0, 0);
        while done < self.requests {
            while begun < self.requests && under_way.len() < self.concurrency {
                under_way.spawn(pair(asks.clone(), self.a.clone(), self.b.clone(), begun % 2 == 1));
                begun += 1;
            }
            let Some(pair) = under_way.join_next().await else { break };
            let panicked = || NoAnswer::Refused("it made the proxy panic");
            let (a, b) = pair.unwrap_or_else(|_| (Err(panicked()), Err(panicked())));
            measured.0.take(a);
            measured.1.take(b);
            done += 1;
            progress((done * 100 / self.requests) as u8);
        }
        for (name, side) in [("a", &measured.0), ("b", &measured.1)] {
            if side.times.len() < LEAST {
                let why = side.errors.iter().max_by_key(|(_, count)| **count);
                let why = why.map_or_else(String::new, |(why, count)| format!(" ({count} of them: {why})"));
                let failed = self.requests - side.times.len();
                let detail = format!("{failed} of {} requests of {name} failed{why}", self.requests);
                return Err(Failure::new(Reason::Error, detail));
            }
        }
        // A few hundredths of a second, for which nobody else on this thread should wait.
        let reckoned = tokio::task::spawn_blocking(move || {
            let difference = Difference::of(&measured.0.times, &measured.1.times);
            (difference, self.a.json(&measured.0), self.b.json(&measured.1))
        });
        let (Some(difference), a, b) = reckoned.await.unwrap_or_default() else {
            return Err(Failure::new(Reason::Error, "the times cannot be compared"));
        };
        let (faster, sentence) = verdict(&difference);
        Ok(json!({
            "kind": "compare",
            "requests": self.requests,
            "concurrency": self.concurrency,
            "a": a,
            "b": b,
            "difference_ms": {
                "median": rounded(difference.median),
                "low": rounded(difference.low),
                "high": rounded(difference.high),
            },
            "faster": faster,
            "verdict": sentence,
        }))
    }
}

/// Which is faster, in a word and as a sentence.
fn verdict(difference: &Difference) -> (Option<&'static str>, String) {
    let Difference { median, low, high } = *difference;
    if difference.holds_zero() {
        let sentence = format!("no significant difference (b - a is {low:.2} to {high:.2} ms with 95 % confidence)");
        return (None, sentence);
    }
    let (faster, least, most) = if low > 0.0 { ("a", low, high) } else { ("b", -high, -low) };
    let by = median.abs();
    (Some(faster), format!("{faster} is faster by {by:.2} ms ({least:.2} to {most:.2} ms with 95 % confidence)"))
}

fn rounded(millis: f64) -> f64 {
    (millis * 1e3).round() / 1e3
}

type Answer = Result<Got, NoAnswer>;

/// Asks for both, one after the other.
async fn pair(asks: impl Asks, a: Side, b: Side, b_first: bool) -> (Answer, Answer) {
    if b_first {
        let second = b.ask(&asks).await;
        (a.ask(&asks).await, second)
    } else {
        (a.ask(&asks).await, b.ask(&asks).await)
    }
}

impl Side {
    async fn ask(&self, asks: &impl Asks) -> Answer {
        if self.past_cache { asks.ask_app(&self.page).await } else { asks.ask(&self.page, &Vec::new(), 0).await }
    }

    fn json(&self, measured: &Measured) -> Value {
        let Times { median, p95, least } = Times::of(&measured.times);
        let answers = measured.times.len() as u64;
        json!({
            "url": self.page.to_string(),
            "from": if self.past_cache { "app" } else { "proxy" },
            "answers": answers,
            "hits": measured.hits,
            "median_ms": rounded(median),
            "p95_ms": rounded(p95),
            "least_ms": rounded(least),
            "bytes_avg": measured.bytes / answers.max(1),
            "errors": measured.errors,
        })
    }
}

/// What was measured of a side.
#[derive(Debug, Default)]
struct Measured {
    times: Vec<Duration>,
    hits: u64,
    bytes: u64,
    errors: BTreeMap<String, u64>,
}

impl Measured {
    fn take(&mut self, answer: Answer) {
        let error = match answer {
            Ok(got) if got.status < 400 && got.is_whole => {
                self.times.push(got.took);
                self.hits += u64::from(got.cache_status.split(';').any(|part| part.trim() == "hit"));
                self.bytes += got.body_bytes;
                return;
            }
            Ok(got) if got.is_whole => format!("status {}", got.status),
            Ok(_) => "cut off".into(),
            Err(why) => no_answer(&why),
        };
        *self.errors.entry(error).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::job::{page::Own, warm::Variant};

    /// Notes in which order it is asked; what it says took as long as its table has it.
    #[derive(Clone, Default)]
    struct App {
        asked: Arc<Mutex<String>>,
        millis: (u64, u64),
        status: u16,
    }

    impl App {
        fn answer(&self, page: &Page) -> Answer {
            let mut asked = self.asked.lock();
            let is_a = &*page.target == "/a";
            asked.push(if is_a { 'a' } else { 'b' });
            let jitter = Duration::from_micros(asked.len() as u64 % 7 * 100);
            let took = Duration::from_millis(if is_a { self.millis.0 } else { self.millis.1 }) + jitter;
            Ok(Got {
                status: self.status,
                content_type: None,
                location: None,
                cache_status: "pacecar; hit; ttl=7".into(),
                body: bytes::Bytes::new(),
                body_bytes: 7,
                is_whole: true,
                first_byte: took,
                took,
            })
        }
    }

    impl Asks for App {
        async fn ask(&self, page: &Page, _: &Variant, _: usize) -> Answer {
            self.answer(page)
        }

        async fn ask_app(&self, page: &Page) -> Answer {
            self.answer(page)
        }
    }

    async fn compared(app: &App) -> Result<Value, String> {
        let own = Own::new(&[], &[]);
        let side = |path| Side { page: own.page(path).unwrap(), past_cache: false };
        let compare = Compare { a: side("/a"), b: side("/b"), requests: 20, concurrency: 1 };
        compare.run(app.clone(), |_| ()).await.map_err(|failure| failure.detail)
    }

    #[tokio::test]
    async fn a_pair_in_turns_and_what_is_said_of_it() {
        let app = App { millis: (10, 30), status: 200, ..App::default() };
        let json = compared(&app).await.unwrap();
        assert!(app.asked.lock().starts_with("abbaabba"), "{}", app.asked.lock());
        assert_eq!(json["faster"], "a", "{json}");
        assert!(json["verdict"].as_str().unwrap().starts_with("a is faster by "), "{json}");
        assert!((19.0..21.0).contains(&json["difference_ms"]["median"].as_f64().unwrap()), "{json}");
        assert_eq!((&json["a"]["bytes_avg"], &json["a"]["hits"]), (&7.into(), &20.into()));
        let back = compared(&App { millis: (30, 10), status: 200, ..App::default() }).await.unwrap();
        assert_eq!(back["faster"], "b", "{back}");
        let same = compared(&App { millis: (10, 10), status: 200, ..App::default() }).await.unwrap();
        assert_eq!(same["faster"], Value::Null, "{same}");
        assert!(same["verdict"].as_str().unwrap().starts_with("no significant difference"), "{same}");
    }

    #[tokio::test]
    async fn errors_are_not_compared() {
        let why = compared(&App { status: 404, ..App::default() }).await.unwrap_err();
        assert_eq!(why, "20 of 20 requests of a failed (20 of them: status 404)");
    }
}
