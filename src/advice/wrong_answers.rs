//! Whether the cache serves what the app would no longer answer, more often than lifetimes were chosen for.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cache::{Figures, Snapshot, Verified},
    route::Route,
    units,
};

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth};

/// What its findings are called.
pub(super) const KIND: &str = "wrong_answers";

/// Fewer comparisons say nothing.
const ENOUGH: u64 = 20;
/// The share of answers that may be out of date: what lifetimes are advised for.
const PROMISED: f64 = 0.01;
/// Standard deviations on either side that hold 95 of 100.
const SPREAD: f64 = 1.959_964;
/// A shorter lifetime is of no use.
const SHORTEST: Duration = Duration::from_secs(1);

/// Each route whose fresh answers are found to be wrong more often than was promised.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    wrong_answers(&facts.cache, &facts.routes)
}

fn wrong_answers(cache: &Snapshot, routes: &[Route]) -> Vec<Finding> {
    let of_routes = cache.routes.iter().map(|(name, figures)| (Some(&**name), figures));
    let all = std::iter::once((None, &cache.unrouted)).chain(of_routes);
    all.filter_map(|(name, figures)| {
        let route = name.and_then(|name| routes.iter().find(|route| route.name == name));
        // One that the configuration has no longer serves nothing.
        (name.is_none() || route.is_some()).then(|| wrong(route, figures))?
    })
    .collect()
}

fn wrong(route: Option<&Route>, figures: &Figures) -> Option<Finding> {
    let wrong = figures.verified(Verified::Wrong);
    let compared = wrong + figures.verified(Verified::Same);
    if compared < ENOUGH || at_least(wrong, compared) <= PROMISED {
        return None;
    }
    let (share, least) = (wrong as f64 / compared as f64, at_least(wrong, compared));
    let whose = match route {
        Some(route) => format!("route {:?}", route.name),
        None => "requests that no route matches".into(),
    };
    let evidence = BTreeMap::from([
        ("compared", Figure::Count(compared)),
        ("wrong", Figure::Count(wrong)),
        ("wrong_percent", Figure::Number(share * 100.0)),
        ("wrong_percent_at_least", Figure::Number(least * 100.0)),
        ("promised_percent", Figure::Number(PROMISED * 100.0)),
        ("failed", Figure::Count(figures.verified(Verified::Failed))),
        ("unclear", Figure::Count(figures.verified(Verified::Unclear))),
    ]);
    Some(Finding {
        kind: KIND,
        severity: Severity::Critical,
        confidence: Confidence::Measured,
        endpoint: None,
        subject: route.map(|route| route.name.clone()).unwrap_or_default(),
        title: format!("The cache serves out-of-date answers to {whose}"),
        because: format!(
            "{wrong} of {compared} fresh answers that were compared with what the app answers at that time differ; with 95 % \
             confidence that is at least {:.1} % of them, where {:.0} % is what lifetimes should be chosen for",
            least * 100.0,
            PROMISED * 100.0,
        ),
        remedy: remedy(route, share),
        worth: Worth::default(),
        evidence,
    })
}

/// A lifetime that is shorter by as much as there are too many wrong answers, since their share grows with it; where the
/// lifetime is the app's own, or that would be none at all, no caching.
fn remedy(route: Option<&Route>, share: f64) -> Remedy {
    let Some(route) = route else {
        return Remedy::Config(
            "# With the path of what is out of date; or have the app say a shorter max-age.\n\
             [[route]]\nmatch = \"/…\"\ncache = false\n"
                .into(),
        );
    };
    let name = quoted(&route.name);
    let path = quoted(&route.path);
    let shorter = route.policy.ttl.map(|ttl| Duration::from_secs(ttl.mul_f64(PROMISED / share).as_secs()));
    Remedy::Config(match shorter.filter(|ttl| *ttl >= SHORTEST) {
        Some(ttl) => format!("[[route]]\nname = {name}\nmatch = {path}\nttl = {:?}\n", units::show_duration(ttl)),
        None => format!(
            "# Or have the app say a shorter max-age, where the lifetime is its own.\n\
             [[route]]\nname = {name}\nmatch = {path}\ncache = false\n"
        ),
    })
}

/// The lower end of Wilson's interval for a share (Wilson 1927), which holds where nearly none or nearly all are meant.
fn at_least(of: u64, all: u64) -> f64 {
    let (of, all) = (of as f64, all as f64);
    let (share, spread) = (of / all, SPREAD * SPREAD);
    let middle = share + spread / (2.0 * all);
    let width = SPREAD * (share * (1.0 - share) / all + spread / (4.0 * all * all)).sqrt();
    ((middle - width) / (1.0 + spread / all)).max(0.0)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cache::Stats, route::Policy};

    fn route(name: &str, ttl: Option<Duration>) -> Route {
        let policy = Policy { ttl, ..Policy::default() };
        Route { name: name.into(), path: format!("/{name}/**"), methods: Vec::new(), policy }
    }

    fn stats(counted: &[(Option<&str>, u64, u64)]) -> Snapshot {
        let stats = Stats::default();
        for (name, same, wrong) in counted {
            let counts = stats.of_route(*name);
            (0..*same).for_each(|_| counts.verified(Verified::Same));
            (0..*wrong).for_each(|_| counts.verified(Verified::Wrong));
            (0..50).for_each(|_| counts.verified(Verified::Failed));
        }
        stats.snapshot()
    }

    #[test]
    fn the_interval_is_wilsons() {
        for (of, all, expected) in
            [(0, 20, 0.0), (1, 20, 0.0089), (2, 20, 0.0279), (20, 20, 0.8389), (30, 1000, 0.0211)]
        {
            let found = at_least(of, all);
            assert!((found - expected).abs() < 0.0001, "{of} of {all}: {found}");
        }
    }

    #[test]
    fn what_is_found_for_which_counts() {
        for (same, wrong, found) in [
            (0, 0, false),
            (0, 19, false),
            (20, 0, false),
            (0, 20, true),
            (19, 1, false),
            (18, 2, true),
            // Two of a hundred may be one of a hundred by chance; twenty of a thousand are not.
            (98, 2, false),
            (980, 20, true),
            (990, 10, false),
        ] {
            let findings = wrong_answers(&stats(&[(Some("shop"), same, wrong)]), &[route("shop", None)]);
            assert_eq!(!findings.is_empty(), found, "{wrong} wrong, {same} not");
        }
    }

    #[test]
    fn the_route_is_named_and_its_lifetime_shortened() {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        let config = |ttl, same, wrong| {
            let findings = wrong_answers(&stats(&[(Some("shop"), same, wrong)]), &[route("shop", ttl)]);
            assert_eq!((findings.len(), findings[0].severity), (1, Severity::Critical));
            assert_eq!(findings[0].id(), "wrong_answers:shop");
            match findings[0].remedy.clone() {
                Remedy::Config(lines) => lines,
                Remedy::Sentence(sentence) => panic!("{sentence}"),
            }
        };
        // A tenth of the answers is wrong: a tenth of the time would have a hundredth of them wrong.
        let shorter = config(minutes(10), 90, 10);
        assert_eq!(shorter, "[[route]]\nname = \"shop\"\nmatch = \"/shop/**\"\nttl = \"1m\"\n");
        for none in [config(None, 90, 10), config(Some(Duration::from_secs(5)), 0, 20)] {
            assert!(none.ends_with("[[route]]\nname = \"shop\"\nmatch = \"/shop/**\"\ncache = false\n"), "{none}");
        }
    }

    #[test]
    fn what_no_route_matches_counts_too_and_what_is_gone_does_not() {
        let findings = wrong_answers(&stats(&[(None, 0, 30), (Some("gone"), 0, 30)]), &[]);
        let ids: Vec<String> = findings.iter().map(Finding::id).collect();
        assert_eq!(ids, ["wrong_answers"]);
    }
}
