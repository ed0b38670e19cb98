//! Purging what matches a glob: the purge holds at once, and is counted in steps.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::page::clipped;
use crate::{
    advice::{Kind, Marker},
    cache::{
        pattern::Pattern,
        purge::{Mode, Rule, Scope, Url},
    },
    header::authority::is_authority,
    state::State,
};

/// Bytes of a glob.
const MOST_PATTERN: usize = 1024;
/// Stored resources that are looked at before others have their turn: less than a millisecond's work.
const STEP: usize = 512;

/// What is to be purged.
#[derive(Clone, Debug)]
pub(super) struct Purge {
    pattern: String,
    host: Option<String>,
    scope: Scope,
    mode: Mode,
    dry_run: bool,
}

impl Purge {
    /// Reads a glob, in which `*` stands for any characters but `/`, and `**` for any: the path matches as a whole,
    /// whatever its query.
    ///
    /// # Errors
    /// What was given, and what was expected.
    pub(super) fn new(pattern: &str, host: Option<&str>, mode: Mode, dry_run: bool) -> Result<Self, String> {
        let expected = |what: &str| format!("pattern = {:?}: expected {what}", clipped(pattern));
        if !pattern.starts_with('/') {
            return Err(expected("a glob of paths, such as \"/products/**\""));
        }
        if pattern.len() > MOST_PATTERN {
            return Err(expected("at most 1024 bytes"));
        }
        let paths = Pattern::new(&regex(pattern)).map_err(|why| expected(&format!("a shorter glob: {why}")))?;
        let read = |host: &str| {
            let url = is_authority(host.as_bytes()).then(|| Url::parse(&format!("http://{host}/")).ok()).flatten();
            url.and_then(|url| url.host).ok_or_else(|| format!("host = {:?}: expected a host", clipped(host)))
        };
        let scope = match host.map(read).transpose()? {
            Some(host) => Scope::Within { host, paths },
            None if pattern == "/**" => Scope::All,
            None => Scope::Pattern(paths),
        };
        Ok(Self { pattern: pattern.into(), host: host.map(str::to_owned), scope, mode, dry_run })
    }

    /// Purges, or counts what would be. What came of it, as JSON.
    pub(super) async fn run(self, state: &State, progress: impl Fn(u8)) -> Value {
        let (began, cache) = (Instant::now(), &state.cache);
        let scopes = vec![self.scope.clone()];
        let is_everything = matches!(self.scope, Scope::All) && !self.dry_run;
        let imagined = Rule::imagined(scopes.clone(), self.mode, began);
        let made = (!self.dry_run).then(|| cache.purge(scopes, self.mode, began));
        let rule = made.as_deref().unwrap_or(&imagined);
        let mut clearing = cache.clearing(rule, (!self.dry_run).then_some(self.mode), began);
        let total = cache.snapshot().entries.max(1);
        while clearing.step(STEP) {
            // Entries come and go meanwhile.
            progress((clearing.seen() * 100 / total).min(99) as u8);
            tokio::task::yield_now().await;
        }
        let (seen, purged) = (clearing.seen(), clearing.purged());
        drop(clearing);
        if is_everything {
            state.markers.mark(Marker { at: began, kind: Kind::Purge, label: "everything".into() });
        }
        progress(100);
        json!({
            "kind": "cache_purge",
            "pattern": self.pattern,
            "host": self.host,
            "mode": self.mode.name(),
            "dry_run": self.dry_run,
            "looked_at": seen,
            "matched": purged.matched,
            "cleared": purged.cleared,
            "bytes": purged.bytes,
            "took_ms": in_ms(began.elapsed()),
        })
    }
}

fn in_ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// The glob as a regular expression, which the cache reads.
fn regex(glob: &str) -> String {
    let mut regex = String::from("(?s-u)^");
    let mut rest = glob;
    while let Some(at) = rest.find('*') {
        let stars = rest[at..].bytes().take_while(|byte| *byte == b'*').count();
        regex.push_str(&regex::escape(&rest[..at]));
        regex.push_str(if stars == 1 { "[^/]*" } else { ".*" });
        rest = &rest[at + stars..];
    }
    regex + &regex::escape(rest) + "$"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::route::glob;

    #[test]
    fn what_is_no_glob_is_refused() {
        let new = |pattern: &str| Purge::new(pattern, None, Mode::Hard, false).map(|_| ());
        assert_eq!(new("/products/**"), Ok(()));
        assert_eq!(
            new("products"),
            Err("pattern = \"products\": expected a glob of paths, such as \"/products/**\"".into())
        );
        assert!(new(&"/a".repeat(513)).unwrap_err().ends_with("expected at most 1024 bytes"));
    }

    proptest! {
        /// The glob of routes is the oracle: paths match as they do there.
        #[test]
        fn globs_match_as_those_of_routes(glob in "/([a.]|\\*|\\*\\*|/|é|\\[|\\$){0,8}", path in "/[a./é\\[\\$\n]{0,8}") {
            let pattern = Pattern::new(&regex(&glob)).unwrap();
            prop_assert_eq!(
                pattern.matches(path.as_bytes()),
                glob::matches(glob.as_bytes(), path.as_bytes()),
                "{} of {}: {}", glob, path, regex(&glob)
            );
        }
    }
}
