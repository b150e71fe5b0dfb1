//! Metrics as the encoder wants them: families of samples with labels.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Families in the order in which they are printed. One without samples isn't printed.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    /// A family of counters; its name ends in `_total`.
    pub(super) fn counters(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(MetricType::COUNTER, name, help)
    }

    /// A family of gauges.
    pub(super) fn gauges(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(MetricType::GAUGE, name, help)
    }

    /// A family of histograms.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.begin(MetricType::HISTOGRAM, name, help)
    }

    /// One counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help).add(&[], value as f64);
    }

    /// One gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help).add(&[], value);
    }

    /// Families that somebody else has made.
    pub(super) fn extend(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families);
    }

    /// All of them that have samples.
    pub(super) fn finish(mut self) -> Vec<MetricFamily> {
        self.0.retain(|family| !family.get_metric().is_empty());
        self.0
    }

    fn begin(&mut self, kind: MetricType, name: &str, help: &str) -> Samples<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Samples { kind, family: self.0.push_mut(family) }
    }
}

/// A family that gets its samples.
pub(super) struct Samples<'a> {
    kind: MetricType,
    family: &'a mut MetricFamily,
}

impl Samples<'_> {
    /// Adds a counter or a gauge.
    pub(super) fn add(&mut self, labels: Labels<'_>, value: f64) {
        let mut metric = labelled(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
    }

    /// Adds a histogram: how many are in each bucket alone, the last of which has no bound.
    pub(super) fn add_histogram(&mut self, labels: Labels<'_>, bounds: &[f64], counts: &[u64], sum: f64) {
        let mut so_far = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(counts) {
            so_far += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(so_far);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.family.mut_metric().push(metric);
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}
