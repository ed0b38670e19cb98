//! Metric families put together from plain numbers, for the encoder of the crate `prometheus`.
//!
//! That crate's own counters are not used: everything is counted once, where it happens, and shown in several forms.

use std::time::Duration;

use prometheus::{
    Error, TextEncoder,
    proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};

use crate::profile::Histogram;

/// Before every name.
const PREFIX: &str = "pacecar_";

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
        self.family(name, help, MetricType::COUNTER, series);
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value as f64);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.family(name, help, MetricType::GAUGE, [metric]);
    }

    /// Durations in buckets.
    pub(super) fn histograms(&mut self, name: &str, help: &str, series: impl IntoIterator<Item = Metric>) {
        self.family(name, help, MetricType::HISTOGRAM, series);
    }

    /// A family without a series is left out, since the encoder takes it for a mistake; that is so only for families
    /// by route, before the first request.
    fn family(&mut self, name: &str, help: &str, kind: MetricType, series: impl IntoIterator<Item = Metric>) {
        let series: Vec<Metric> = series.into_iter().collect();
        if series.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(format!("{PREFIX}{name}"));
        family.set_help(help.into());
        family.set_field_type(kind);
        family.set_metric(series);
        self.0.push(family);
    }

    /// Everything in the text format, version 0.0.4.
    pub(super) fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.0)
    }
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

/// One series of a family of histograms, in seconds.
pub(super) fn histogram(labels: &[(&str, &str)], durations: &Histogram) -> Metric {
    let buckets = durations.cumulative().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(durations.count());
    histogram.set_sample_sum(durations.sum().as_secs_f64());
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    });
    Metric::from_label(pairs.collect())
}
