//! Metric families put together from plain numbers, in the model of the crate `prometheus`, and written in two formats:
//! that crate's encoder makes the text format 0.0.4, `openmetrics` the other.
//!
//! The crate's own counters are not used: everything is counted once, where it happens, and shown in several forms.

mod openmetrics;

use std::time::Duration;

use prometheus::{
    Error, TextEncoder,
    proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::{profile::Histogram, traffic::Distribution};

/// Before every name of what this program counts.
const PREFIX: &str = "pacecar_";
/// Before the names of what the kernel counts for any program.
const PROCESS: &str = "process_";

/// Families in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<MetricFamily>);

impl Exposition {
    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [counter(&[], value)]);
    }

    /// Numbers that only grow.
    pub(super) fn counters(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Metric>) {
        self.family(format!("{PREFIX}{name}"), help, MetricType::COUNTER, series);
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.family(format!("{PREFIX}{name}"), help, MetricType::GAUGE, [gauge(labels, value as f64)]);
    }

    /// Numbers that go up and down.
    pub(super) fn gauges(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Metric>) {
        self.family(format!("{PREFIX}{name}"), help, MetricType::GAUGE, series);
    }

    /// Numbers from 0 to 1 that go up and down.
    pub(super) fn ratios(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Metric>) {
        self.family(format!("{PREFIX}{name}"), help, MetricType::GAUGE, series);
    }

    /// Durations or sizes in buckets.
    pub(super) fn histograms(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Metric>) {
        self.family(format!("{PREFIX}{name}"), help, MetricType::HISTOGRAM, series);
    }

    /// A number that only grows, of any process.
    pub(super) fn process_counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(format!("{PROCESS}{name}"), help, MetricType::COUNTER, [counted(&[], value)]);
    }

    /// A number that goes up and down, of any process.
    pub(super) fn process_gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(format!("{PROCESS}{name}"), help, MetricType::GAUGE, [gauge(&[], value)]);
    }

    /// A family without a series is left out, since the encoder takes it for a mistake; that is so only for families
    /// by route, before the first request.
    fn family(&mut self, name: String, help: &str, kind: MetricType, series: impl IntoIterator<Item = Metric>) {
        let series: Vec<Metric> = series.into_iter().collect();
        if series.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name);
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(series);
        self.0.push(family);
    }

    /// Everything in the text format, version 0.0.4.
    pub(super) fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.0)
    }

    /// Everything in the text format of OpenMetrics 1.0.
    pub(super) fn openmetrics(&self) -> String {
        openmetrics::encode(&self.0)
    }
}

/// One series of a family of gauges.
pub(super) fn now(labels: &[(&str, &str)], value: u64) -> Metric {
    gauge(labels, value as f64)
}

/// One series of a family of ratios.
pub(super) fn ratio(labels: &[(&str, &str)], value: f64) -> Metric {
    gauge(labels, value)
}

/// One series of a family of counters.
pub(super) fn counter(labels: &[(&str, &str)], value: u64) -> Metric {
    counted(labels, value as f64)
}

/// One series of a family of counters, in seconds.
pub(super) fn seconds(labels: &[(&str, &str)], duration: Duration) -> Metric {
    counted(labels, duration.as_secs_f64())
}

fn counted(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

/// One series of a family of histograms, in seconds.
pub(super) fn histogram(labels: &[(&str, &str)], durations: &Histogram) -> Metric {
    let below = durations.cumulative().map(|(bound, count)| (bound.as_secs_f64(), count)).collect();
    distribution(labels, &Distribution { below, count: durations.count(), sum: durations.sum().as_secs_f64() })
}

/// One series of a family of histograms, in whatever the values are.
pub(super) fn distribution(labels: &[(&str, &str)], values: &Distribution) -> Metric {
    let buckets = values.below.iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    });
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(values.count);
    histogram.set_sample_sum(values.sum);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        // Prometheus takes NUL for the end of what it reads, and would lose every series of this scrape; neither format
        // has an escape for it.
        pair.set_value(value.replace('\0', "\u{fffd}"));
        pair
    });
    Metric::from_label(pairs.collect())
}
