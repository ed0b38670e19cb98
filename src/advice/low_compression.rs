//! Bodies that go out larger than they need to.
//!
//! How many bytes a body had that went out uncoded is not counted, and neither is its type. So nothing is said about the
//! reason `type`, which most images have; only about reasons that are judged after the type was found to be worth it.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth, facts::per_minute, say};
use crate::{
    compress::{
        Skip,
        stats::{Kind, Volume},
    },
    header::coding::Coding,
};

pub(super) const KIND: &str = "low_compression";

/// Bodies of types that are coded.
const FEWEST: u64 = 100;
/// A reason is told from this share of those bodies on; that clients take no coding is told only where most of them do
/// not, since programs ask without, and browsers never do.
const MUCH_PERCENT: f64 = 20.0;
const MOSTLY_PERCENT: f64 = 50.0;
/// For want of room or memory few bodies should be left as they are.
const FEW_PERCENT: f64 = 5.0;
/// What is left of bodies of one kind after coding, from where on it hardly pays.
const POOR_RATIO_PERCENT: f64 = 80.0;
/// Bytes of a kind, before coding, below which nobody cares.
const FEWEST_BYTES: u64 = 1 << 20;

/// Reasons, in the order of the bodies that they are about, and kinds that coding hardly makes smaller.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<(u64, Finding)> = reasons(facts).into_iter().chain(poor_kinds(facts)).collect();
    found.sort_by_key(|(bodies, _)| Reverse(*bodies));
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// What is advised where a reason is frequent: from which share on, and in which words.
const ADVICE: [(Skip, f64, Severity, &str); 6] = [
    (
        Skip::NotAccepted,
        MOSTLY_PERCENT,
        Severity::Info,
        "Look for a proxy before Pacecar that drops Accept-Encoding: browsers always send it.",
    ),
    (
        Skip::Http10,
        MUCH_PERCENT,
        Severity::Info,
        "Look for a proxy before Pacecar that speaks HTTP/1.0, as nginx did by default: proxy_http_version 1.1 there.",
    ),
    (
        Skip::NotSmaller,
        MUCH_PERCENT,
        Severity::Info,
        "Coding them takes CPU for nothing: take the types that are compressed already out of compression.types.",
    ),
    (Skip::NoRoom, FEW_PERCENT, Severity::Info, "Give coded copies room, with a larger cache.max_bytes."),
    (
        Skip::Busy,
        FEW_PERCENT,
        Severity::Warning,
        "Encoders take less memory at lower levels: compression.zstd_level, compression.brotli_level; gzip takes least.",
    ),
    (
        Skip::Failed,
        FEW_PERCENT,
        Severity::Warning,
        "Encoders fail for want of memory: give the process more, or cache.max_bytes less.",
    ),
];

fn reasons(facts: &Facts) -> Vec<(u64, Finding)> {
    let skipped = |why: Skip| facts.compression.skips.iter().find(|(known, _)| *known == why).map_or(0, |(_, n)| *n);
    let sent = facts.compression.sent();
    // Every body that would have been coded, had nothing but these reasons stood in its way.
    let worth_it =
        sent.bodies + skipped(Skip::Unacceptable) + ADVICE.iter().map(|(why, ..)| skipped(*why)).sum::<u64>();
    if worth_it < FEWEST {
        return Vec::new();
    }
    let reasons = ADVICE.into_iter().filter_map(|(why, least, severity, advice)| {
        let bodies = skipped(why);
        let share = bodies as f64 * 100.0 / worth_it as f64;
        (share >= least).then(|| {
            let evidence = BTreeMap::from([
                ("bodies_worth_coding", Figure::Count(worth_it)),
                ("bodies_sent_uncoded", Figure::Count(bodies)),
                ("share_percent", Figure::Number(share)),
                ("reason", Figure::Text(why.name().into())),
                ("window_seconds", Figure::Number(facts.counted_for.as_secs_f64())),
            ]);
            let finding = Finding {
                kind: KIND,
                severity,
                // Whether those clients could take codings, nobody knows here.
                confidence: match why {
                    Skip::NotAccepted => Confidence::Candidate,
                    _ => Confidence::Measured,
                },
                endpoint: None,
                subject: why.name().into(),
                title: format!("{} of the bodies that are worth it go out uncoded: {}", say::percent(share), why.name()),
                because: format!(
                    "Of {worth_it} bodies of {} whose type and length make coding worth it, {bodies} went out as the app \
                     made them, for the reason {}.",
                    say::last(facts.counted_for),
                    why.name(),
                ),
                remedy: remedy(why, advice, facts),
                worth: saved(why, bodies, sent, facts),
                evidence,
            };
            (bodies, finding)
        })
    });
    reasons.collect()
}

/// Where not all codings are on offer, those that clients take may be among the missing ones.
fn remedy(why: Skip, advice: &str, facts: &Facts) -> Remedy {
    let offered = &facts.compression_settings.codings;
    let missing = Coding::ALL.iter().any(|coding| !offered.contains(coding));
    if why != Skip::NotAccepted || !missing {
        return Remedy::Sentence(advice.into());
    }
    let names: Vec<String> = Coding::ALL.iter().map(|coding| format!("\"{}\"", coding.name())).collect();
    Remedy::Config(format!(
        "# Not all codings are on offer, and those that clients take may be among the others.\n\
         [compression]\ncodings = [{}]\n",
        names.join(", "),
    ))
}

/// What it would save, if these bodies are like those that were coded.
fn saved(why: Skip, bodies: u64, sent: Volume, facts: &Facts) -> Worth {
    let each = sent.bytes_saved() as f64 / sent.bodies.max(1) as f64;
    if why == Skip::NotSmaller || sent.bodies < FEWEST || each <= 0.0 {
        return Worth::default();
    }
    Worth { bytes_per_minute: per_minute(each * bodies as f64, facts.counted_for), ..Worth::default() }
}

fn poor_kinds(facts: &Facts) -> impl Iterator<Item = (u64, Finding)> {
    facts.compression.kinds.iter().filter_map(|(kind, volume)| {
        let ratio = volume.average_ratio_percent()?;
        let enough = volume.bodies >= FEWEST && volume.input_bytes >= FEWEST_BYTES;
        (enough && ratio > POOR_RATIO_PERCENT).then(|| (volume.bodies, poor(*kind, *volume, ratio, facts)))
    })
}

fn poor(kind: Kind, volume: Volume, ratio: f64, facts: &Facts) -> Finding {
    let each = volume.input_bytes as f64 / volume.bodies as f64;
    let remedy = match kind {
        Kind::Wasm | Kind::Font | Kind::Other => {
            "These are compressed already, or nearly: take their types out of compression.types, and save the CPU."
        }
        _ => {
            "Text gets much smaller than that, unless it is short or holds what looks like chance, such as images in \
              base64: send those as files of their own, and leave short bodies alone with a larger compression.min_bytes."
        }
    };
    Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Measured,
        endpoint: None,
        subject: format!("ratio-{}", kind.name()),
        title: format!("Coding leaves {} of bodies of the kind {}", say::percent(ratio), kind.name()),
        because: format!(
            "{} bodies of {}, {} each on average, were {} before and {} after.",
            volume.bodies,
            say::last(facts.counted_for),
            say::bytes(each),
            say::bytes(volume.input_bytes as f64),
            say::bytes(volume.output_bytes as f64),
        ),
        remedy: Remedy::Sentence(remedy.into()),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("bodies", Figure::Count(volume.bodies)),
            ("input_bytes", Figure::Count(volume.input_bytes)),
            ("output_bytes", Figure::Count(volume.output_bytes)),
            ("average_ratio_percent", Figure::Number(ratio)),
            ("window_seconds", Figure::Number(facts.counted_for.as_secs_f64())),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::compress::Stats;

    /// So many bodies coded, each from 10 000 to 2500 bytes, and others not.
    fn facts(coded: u64, skips: &[(Skip, u64)]) -> Facts {
        let stats = Stats::default();
        (0..coded).for_each(|_| stats.compressed(Coding::Br, Some(b"text/html"), 10_000, 2500));
        skips.iter().for_each(|(why, count)| (0..*count).for_each(|_| stats.skipped(*why)));
        Facts { compression: stats.snapshot(), counted_for: Duration::from_secs(600), ..Facts::default() }
    }

    fn ids(coded: u64, skips: &[(Skip, u64)]) -> Vec<String> {
        find(&facts(coded, skips)).iter().map(Finding::id).collect()
    }

    #[test]
    fn thresholds() {
        for (coded, why, count, expected) in [
            (50, Skip::NotAccepted, 50, true),
            (51, Skip::NotAccepted, 49, false),
            (49, Skip::NotAccepted, 50, false),
            (80, Skip::Http10, 20, true),
            (81, Skip::Http10, 19, false),
            (80, Skip::NotSmaller, 20, true),
            (95, Skip::Busy, 5, true),
            (96, Skip::Busy, 4, false),
            (95, Skip::Failed, 5, true),
            (95, Skip::NoRoom, 5, true),
        ] {
            let expected = if expected { vec![format!("low_compression:{}", why.name())] } else { vec![] };
            assert_eq!(ids(coded, &[(why, count)]), expected, "{coded} {why:?} {count}");
        }
    }

    #[test]
    fn what_is_not_known_to_be_worth_it_is_not_told() {
        for why in [Skip::Type, Skip::TooSmall, Skip::Coded, Skip::Off, Skip::Route, Skip::Status, Skip::NoTransform] {
            assert_eq!(ids(10, &[(why, 10_000)]), [""; 0], "{why:?}");
            assert_eq!(ids(100, &[(why, 10_000)]), [""; 0], "{why:?}");
        }
    }

    #[test]
    fn what_it_would_save_is_reckoned_by_what_was_saved() {
        let finding = find(&facts(300, &[(Skip::Http10, 100)])).remove(0);
        assert_eq!(finding.title, "25 % of the bodies that are worth it go out uncoded: http10");
        // A hundred of 7500 bytes in ten minutes.
        assert_eq!(finding.worth.bytes_per_minute, Some(75_000.0));
        assert_eq!(find(&facts(99, &[(Skip::Http10, 100)]))[0].worth, Worth::default());
    }

    #[test]
    fn codings_that_are_missing_are_offered() {
        let mut facts = facts(10, &[(Skip::NotAccepted, 100)]);
        assert!(matches!(find(&facts)[0].remedy, Remedy::Sentence(_)));
        Arc::make_mut(&mut facts.compression_settings).codings = vec![Coding::Zstd];
        let Remedy::Config(lines) = &find(&facts)[0].remedy else { panic!("{facts:?}") };
        assert!(lines.ends_with("[compression]\ncodings = [\"zstd\", \"br\", \"gzip\", \"deflate\"]\n"), "{lines}");
    }

    #[test]
    fn kinds_that_hardly_get_smaller() {
        for (bodies, input, output, expected) in [
            (100, 20_000, 16_001, true),
            (100, 20_000, 16_000, false),
            (99, 20_000, 19_000, false),
            // Altogether less than a MiB.
            (100, 10_000, 9_900, false),
        ] {
            let stats = Stats::default();
            (0..bodies).for_each(|_| stats.compressed(Coding::Gzip, Some(b"application/json"), input, output));
            let facts = Facts { compression: stats.snapshot(), ..Facts::default() };
            let ids: Vec<String> = find(&facts).iter().map(Finding::id).collect();
            let expected = if expected { vec!["low_compression:ratio-json"] } else { vec![] };
            assert_eq!(ids, expected, "{bodies} {input} {output}");
        }
    }
}
