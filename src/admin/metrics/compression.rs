//! What coding did, for Prometheus.

use crate::{
    admin::exposition::{Exposition, counter, seconds},
    compress::{
        Skip,
        stats::{CodingFigures, Snapshot},
    },
};

/// In place of a coding, for responses in which none was made here. Not `identity`: the app may have coded them.
const NONE: &str = "none";

/// The families of one snapshot. What was saved is left to be reckoned from both sums of bytes: the difference of two
/// counters read one after the other might fall, which to Prometheus is a restart.
pub(super) fn families(exposition: &mut Exposition, snapshot: &Snapshot) {
    let decoded: u64 = snapshot.codings.iter().map(|of| of.decoded).sum();
    let uncoded = counter(&[("coding", NONE)], snapshot.skipped() + decoded);
    exposition.counters(
        "compression_responses_total",
        "Responses by the coding they were given here, one coding per response; those with none are the sums of \
         compression_skipped_total and compression_decoded_total.",
        snapshot.codings.iter().map(|of| counter(&[("coding", of.coding.name())], of.sent.bodies)).chain([uncoded]),
    );
    exposition.counters(
        "compression_skipped_total",
        "Responses sent as the app made them, by the reason.",
        snapshot.skips.iter().map(|(why, count)| counter(&[("reason", Skip::name(*why))], *count)),
    );
    by_coding(
        exposition,
        "compression_decoded_total",
        "Responses whose coding was the app's and was taken off for clients that refuse it.",
        snapshot,
        |of| of.decoded,
    );
    by_coding(
        exposition,
        "compression_input_bytes_total",
        "Bytes of the bodies of coded responses before coding.",
        snapshot,
        |of| of.sent.input_bytes,
    );
    by_coding(
        exposition,
        "compression_output_bytes_total",
        "Bytes of the bodies of coded responses as they were sent.",
        snapshot,
        |of| of.sent.output_bytes,
    );
    exposition.counters(
        "compression_encodings_total",
        "Bodies that went through an encoder, by its effort: quick for a client that waits, best for a hot body.",
        snapshot.codings.iter().flat_map(|of| {
            [("quick", of.quick_encodings), ("best", of.best_encodings)]
                .map(|(effort, count)| counter(&[("coding", of.coding.name()), ("effort", effort)], count))
        }),
    );
    exposition.counters(
        "compression_cpu_seconds_total",
        "Seconds of CPU time that encoders took.",
        snapshot.codings.iter().map(|of| seconds(&[("coding", of.coding.name())], of.cpu)),
    );
    exposition.counter(
        "compression_recoded_total",
        "Stored bodies that smaller ones of the best effort have taken the place of.",
        snapshot.recoded.bodies,
    );
    exposition.counter(
        "compression_recoded_input_bytes_total",
        "Bytes of the stored bodies whose place was taken.",
        snapshot.recoded.input_bytes,
    );
    exposition.counter(
        "compression_recoded_output_bytes_total",
        "Bytes of the stored bodies that have taken it.",
        snapshot.recoded.output_bytes,
    );
}

fn by_coding(
    exposition: &mut Exposition,
    name: &str,
    help: &str,
    snapshot: &Snapshot,
    figure: impl Fn(&CodingFigures) -> u64,
) {
    let series = snapshot.codings.iter().map(|of| counter(&[("coding", of.coding.name())], figure(of)));
    exposition.counters(name, help, series);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::{
            fixture::{empty_state, used_state},
            metrics::tests::{series, text, value},
        },
        header::coding::Coding,
    };

    /// Every series of compression, and nothing else.
    fn names() -> Vec<String> {
        let codings = Coding::ALL.map(Coding::name);
        let mut names = vec!["responses_total{coding=\"none\"}".to_owned()];
        for family in
            ["responses_total", "decoded_total", "input_bytes_total", "output_bytes_total", "cpu_seconds_total"]
        {
            names.extend(codings.map(|coding| format!("{family}{{coding=\"{coding}\"}}")));
        }
        for effort in ["quick", "best"] {
            names.extend(codings.map(|coding| format!("encodings_total{{coding=\"{coding}\",effort=\"{effort}\"}}")));
        }
        names.extend(Skip::ALL.iter().map(|why| format!("skipped_total{{reason=\"{}\"}}", why.name())));
        names.extend(["recoded_total", "recoded_input_bytes_total", "recoded_output_bytes_total"].map(String::from));
        names.into_iter().map(|name| format!("pacecar_compression_{name}")).collect()
    }

    fn is_ours((name, _): &(&str, f64)) -> bool {
        name.starts_with("pacecar_compression_")
    }

    #[test]
    fn every_series_is_there_with_0() {
        let text = text(&empty_state()).unwrap();
        let names = names();
        for name in &names {
            assert_eq!(value(&text, name), 0.0, "{name}");
        }
        assert_eq!(series(&text).into_iter().filter(is_ours).count(), names.len(), "{text}");
    }

    #[test]
    fn what_coding_did_is_shown_as_it_counts() {
        // See the fixture for what happened.
        let text = text(&used_state()).unwrap();
        let mut left: Vec<String> = names();
        for (name, expected) in [
            ("responses_total{coding=\"zstd\"}", 1.0),
            ("responses_total{coding=\"br\"}", 2.0),
            ("responses_total{coding=\"none\"}", 4.0),
            ("skipped_total{reason=\"too-small\"}", 2.0),
            ("skipped_total{reason=\"not-accepted\"}", 1.0),
            ("decoded_total{coding=\"gzip\"}", 1.0),
            ("input_bytes_total{coding=\"zstd\"}", 4000.0),
            ("input_bytes_total{coding=\"br\"}", 2000.0),
            ("output_bytes_total{coding=\"zstd\"}", 950.0),
            ("output_bytes_total{coding=\"br\"}", 550.0),
            ("encodings_total{coding=\"zstd\",effort=\"quick\"}", 1.0),
            ("encodings_total{coding=\"br\",effort=\"quick\"}", 1.0),
            ("encodings_total{coding=\"br\",effort=\"best\"}", 1.0),
            ("cpu_seconds_total{coding=\"zstd\"}", 0.001),
            ("cpu_seconds_total{coding=\"br\"}", 0.008),
            ("recoded_total", 1.0),
            ("recoded_input_bytes_total", 300.0),
            ("recoded_output_bytes_total", 250.0),
        ] {
            let name = format!("pacecar_compression_{name}");
            assert_eq!(value(&text, &name), expected, "{name}");
            left.retain(|other| *other != name);
        }
        for name in left {
            assert_eq!(value(&text, &name), 0.0, "{name}");
        }
    }

    #[test]
    fn each_response_is_counted_once() {
        let text = text(&used_state()).unwrap();
        let sum = |family: &str| {
            let of = series(&text).into_iter().filter(|(name, _)| name.starts_with(family));
            of.map(|(_, count)| count).sum::<f64>()
        };
        let none = value(&text, "pacecar_compression_responses_total{coding=\"none\"}");
        assert_eq!(none, sum("pacecar_compression_skipped_total") + sum("pacecar_compression_decoded_total"));
        // Three coded, three left alone, one decoded.
        assert_eq!(sum("pacecar_compression_responses_total"), 7.0);
    }
}
