//! The text format of OpenMetrics 1.0, which the crate `prometheus` has no encoder for.
//!
//! It differs from the text format 0.0.4 in that the name of a family of counters lacks the `_total` of its samples, in
//! that units are told, in that numbers of buckets have a point, and in an end that shows a cut exposition as one.

use std::fmt::Write;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// What a name may end in to tell its unit; nothing here has another.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

/// Families in this format.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut out = Out(String::with_capacity(64 << 10));
    families.iter().for_each(|family| out.family(family));
    out.0.push_str("# EOF\n");
    out.0
}

struct Out(String);

impl Out {
    fn family(&mut self, family: &MetricFamily) {
        let sample = family.name();
        let (name, kind) = match family.get_field_type() {
            MetricType::COUNTER => (sample.strip_suffix("_total").unwrap_or(sample), "counter"),
            MetricType::HISTOGRAM => (sample, "histogram"),
            // The exposition makes no other kind.
            _ => (sample, "gauge"),
        };
        self.line(format_args!("# TYPE {name} {kind}"));
        if let Some(unit) = UNITS.iter().find(|unit| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')))
        {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.0.push_str("# HELP ");
        self.0.push_str(name);
        self.0.push(' ');
        self.escaped(family.help());
        self.0.push('\n');
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => self.sample(sample, "", metric, None, metric.get_counter().get_value()),
                MetricType::HISTOGRAM => self.histogram(sample, metric),
                _ => self.sample(sample, "", metric, None, metric.get_gauge().get_value()),
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric) {
        let histogram = metric.get_histogram();
        for bucket in histogram.get_bucket() {
            // Its own form of a number has a point always, as in `1.0`, which is the format's canonical one.
            let bound = format!("{:?}", bucket.upper_bound());
            self.sample(name, "_bucket", metric, Some(&bound), bucket.cumulative_count() as f64);
        }
        let count = histogram.get_sample_count() as f64;
        self.sample(name, "_bucket", metric, Some("+Inf"), count);
        self.sample(name, "_sum", metric, None, histogram.get_sample_sum());
        self.sample(name, "_count", metric, None, count);
    }

    fn sample(&mut self, name: &str, suffix: &str, metric: &Metric, bound: Option<&str>, value: f64) {
        self.0.push_str(name);
        self.0.push_str(suffix);
        let own = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
        let mut before = '{';
        for (name, value) in own.chain(bound.map(|bound| ("le", bound))) {
            self.0.push(before);
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.escaped(value);
            self.0.push('"');
            before = ',';
        }
        if before == ',' {
            self.0.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes everything");
    }

    /// Quotes are escaped in both places where the format has text: values of labels, and help.
    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                c => self.0.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Exposition, counter, distribution};
    use crate::traffic::Distribution;

    #[test]
    fn one_of_each_kind() {
        let mut families = Exposition::default();
        families.counter("bytes_total", "Bytes, \"all\" of them.", 7);
        families.counters("made_total", "Made.", [counter(&[("by", "a\"b\\c\nd"), ("at", "")], 1), counter(&[], 2)]);
        families.gauge("in_flight", "Now.", &[], 3);
        families.process_counter("cpu_seconds_total", "CPU.", 0.25);
        let below = vec![(0.5, 1), (1.0, 2), (16_777_216.0, 2)];
        families.histograms("wait_seconds", "Waits.", [distribution(&[], &Distribution { below, count: 3, sum: 9.5 })]);
        let expected = r#"# TYPE pacecar_bytes counter
# UNIT pacecar_bytes bytes
# HELP pacecar_bytes Bytes, \"all\" of them.
pacecar_bytes_total 7
# TYPE pacecar_made counter
# HELP pacecar_made Made.
pacecar_made_total{by="a\"b\\c\nd",at=""} 1
pacecar_made_total 2
# TYPE pacecar_in_flight gauge
# HELP pacecar_in_flight Now.
pacecar_in_flight 3
# TYPE process_cpu_seconds counter
# UNIT process_cpu_seconds seconds
# HELP process_cpu_seconds CPU.
process_cpu_seconds_total 0.25
# TYPE pacecar_wait_seconds histogram
# UNIT pacecar_wait_seconds seconds
# HELP pacecar_wait_seconds Waits.
pacecar_wait_seconds_bucket{le="0.5"} 1
pacecar_wait_seconds_bucket{le="1.0"} 2
pacecar_wait_seconds_bucket{le="16777216.0"} 2
pacecar_wait_seconds_bucket{le="+Inf"} 3
pacecar_wait_seconds_sum 9.5
pacecar_wait_seconds_count 3
# EOF
"#;
        assert_eq!(families.openmetrics(), expected);
    }

    #[test]
    fn nothing_but_the_end() {
        assert_eq!(Exposition::default().openmetrics(), "# EOF\n");
    }
}
