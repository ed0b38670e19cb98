//! Parameters in the query of an address. What is wrong is named with what was expected.

use axum::{extract::Query, http::Uri};

use super::view::By;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 100;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters in `uri`. One that is not `known` is refused, since an answer that leaves it out would mislead:
    /// who asks for a window must not be shown everything. One that is given twice has no one meaning.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, String> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| error.body_text())?;
        for (at, (name, _)) in given.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let expected = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(format!("unknown parameter {name:?}: expected {expected}"));
            }
            if given[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("parameter {name:?} is given twice: expected once"));
            }
        }
        Ok(Self(given))
    }

    /// How many rows are wanted.
    pub(super) fn limit(&self) -> Result<usize, String> {
        let Some(given) = self.value("limit") else { return Ok(LIMIT_DEFAULT) };
        match given.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("limit = {given:?}: expected a whole number from 1 to {LIMIT_MAX}")),
        }
    }

    /// What rows are ordered by.
    pub(super) fn by(&self) -> Result<By, String> {
        let Some(given) = self.value("by") else { return Ok(By::P95) };
        By::ALL.into_iter().find(|(name, _)| *name == given).map(|(_, by)| by).ok_or_else(|| {
            let names = By::ALL.map(|(name, _)| name).join(", ");
            format!("by = {given:?}: expected one of {names}")
        })
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<(usize, By), String> {
        let uri = format!("/performance/profile/slowest{query}").parse().unwrap();
        let parameters = Parameters::of(&uri, &["limit", "by"])?;
        Ok((parameters.limit()?, parameters.by()?))
    }

    #[test]
    fn what_is_given_counts_and_the_rest_has_defaults() {
        for (query, expected) in [
            ("", (10, By::P95)),
            ("?", (10, By::P95)),
            ("?limit=1", (1, By::P95)),
            ("?limit=100&by=requests", (100, By::Requests)),
            ("?by=p50&limit=007", (7, By::P50)),
            ("?b%79=avg", (10, By::Avg)),
        ] {
            assert_eq!(of(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        let number = "expected a whole number from 1 to 100";
        let measures = "expected one of p50, p95, p99, avg, max, requests";
        for (query, expected) in [
            ("?limit=0", format!("limit = \"0\": {number}")),
            ("?limit=101", format!("limit = \"101\": {number}")),
            ("?limit=-1", format!("limit = \"-1\": {number}")),
            ("?limit=", format!("limit = \"\": {number}")),
            ("?limit", format!("limit = \"\": {number}")),
            ("?limit=1.5", format!("limit = \"1.5\": {number}")),
            ("?limit=99999999999999999999", format!("limit = \"99999999999999999999\": {number}")),
            ("?by=P95", format!("by = \"P95\": {measures}")),
            ("?by=%3Cb%3E%00&limit=5", format!("by = \"<b>\\0\": {measures}")),
            ("?by=%ff", format!("by = \"\u{fffd}\": {measures}")),
            ("?limt=5", "unknown parameter \"limt\": expected limit, by".into()),
            ("?limit=5&limit=6", "parameter \"limit\" is given twice: expected once".into()),
        ] {
            assert_eq!(of(query), Err(expected), "{query}");
        }
    }

    #[test]
    fn where_none_is_known_every_one_is_refused() {
        let refused = Parameters::of(&"/?window=1h".parse().unwrap(), &[]).unwrap_err();
        assert_eq!(refused, "unknown parameter \"window\": expected none");
    }
}
