//! The three kinds of metrics, each counted under the name and labels that the table gives it.

use metrics::{Key, Label, Level, Metadata, Recorder, with_recorder};

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 at each start.
    Counter,
    /// Is as it is just now.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The metric's name, with its unit and, for a counter, `_total` at its end.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels; their values come from closed sets, the platform's roles, or the API's routes.
    pub labels: &'static [&'static str],
    /// What it says, for people; one line.
    pub help: &'static str,
}

/// A metric that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A metric that is as it is just now.
#[derive(Clone, Copy, Debug)]
pub struct Gauge<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A metric that counts values by size.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<const N: usize> {
    pub(super) name: &'static str,
    pub(super) labels: [&'static str; N],
}

impl<const N: usize> Counter<N> {
    /// Counts so many more.
    pub(super) fn add(&self, values: [&str; N], count: u64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(count));
    }
}

impl<const N: usize> Gauge<N> {
    /// Takes this value in place of the last one.
    pub(super) fn set(&self, values: [&str; N], value: f64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(value));
    }

    /// Goes up by one, or down by as many as are negative.
    pub(super) fn change(&self, values: [&str; N], by: f64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).increment(by));
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts one more of this size.
    pub(super) fn record(&self, values: [&str; N], value: f64) {
        let key = key(self.name, self.labels, values);
        with_recorder(|recorder| recorder.register_histogram(&key, &METADATA).record(value));
    }
}

impl Row {
    /// Tells the recorder what it is, and shows it as 0 if it has no labels: what is absent can't be told from what isn't
    /// scraped.
    pub(super) fn describe(&self, recorder: &dyn Recorder) {
        let (key, help) = (Key::from_static_name(self.name), self.help.into());
        match self.kind {
            Kind::Counter => recorder.describe_counter(self.name.into(), None, help),
            Kind::Gauge => recorder.describe_gauge(self.name.into(), None, help),
            Kind::Histogram => recorder.describe_histogram(self.name.into(), None, help),
        }
        match self.kind {
            Kind::Counter if self.labels.is_empty() => recorder.register_counter(&key, &METADATA).absolute(0),
            Kind::Gauge if self.labels.is_empty() => recorder.register_gauge(&key, &METADATA).set(0.0),
            Kind::Counter | Kind::Gauge | Kind::Histogram => {}
        }
    }
}

fn key<const N: usize>(name: &'static str, labels: [&'static str; N], values: [&str; N]) -> Key {
    let labels = labels.into_iter().zip(values).map(|(label, value)| Label::new(label, value.to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
