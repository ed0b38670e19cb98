//! Endpoints whose requests go to the database so often that the ways there and back are what takes the time.

use std::time::Duration;

/// Requests before anything is said.
const FEWEST: u64 = 10;
/// Queries per request.
const MANY: f64 = 20.0;
/// The part of the requests' time that the database takes.
const SHARE: f64 = 0.5;
/// What a query takes at most on average: slower ones are a matter of their own.
const QUICK: Duration = Duration::from_millis(5);

/// How an endpoint uses the database.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Chatty {
    /// Requests whose queries are known.
    pub requests: u64,
    /// Their queries.
    pub queries: u64,
    /// The time in which at least one query ran.
    pub database: Duration,
    /// The queries' time, added up.
    pub added: Duration,
    /// The time of the requests.
    pub whole: Duration,
}

/// Whether it does nothing but that.
pub fn chatty(of: &Chatty) -> bool {
    let (requests, queries) = (of.requests as f64, of.queries as f64);
    let share = of.database.as_secs_f64() / of.whole.as_secs_f64();
    of.requests >= FEWEST
        && queries / requests > MANY
        && !of.whole.is_zero()
        && share > SHARE
        && of.added.as_secs_f64() / queries < QUICK.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let millis = Duration::from_millis;
        let of = Chatty { requests: 10, queries: 210, database: millis(510), added: millis(600), whole: millis(1000) };
        assert!(chatty(&of));
        for quiet in [
            Chatty { requests: 9, ..of },
            Chatty { queries: 200, ..of },
            Chatty { database: millis(500), ..of },
            Chatty { added: millis(1050), ..of },
            Chatty { whole: Duration::ZERO, ..of },
            Chatty::default(),
        ] {
            assert!(!chatty(&quiet), "{quiet:?}");
        }
    }
}
