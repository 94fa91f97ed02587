//! Counters and histograms by labels, and how they are written. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many combinations of labels one metric keeps apart; what comes after is counted as one.
pub(super) const MAXIMUM_SERIES: usize = 5_000;
const OVERFLOW: &str = "overflow=\"true\"";

/// The upper bounds of histograms, in seconds.
const BOUNDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// Labels as they are written.
pub(in crate::gateway) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(32 * pairs.len());
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        if value.contains(['\\', '"', '\n']) {
            escape(value, &mut text);
        } else {
            text.push_str(value);
        }
        text.push('"');
    }
    text
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[derive(Debug)]
struct Family<T> {
    name: &'static str,
    about: &'static str,
    series: Mutex<BTreeMap<String, T>>,
}

impl<T: Default> Family<T> {
    fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            series: Mutex::default(),
        }
    }

    fn change(&self, labels: &str, change: impl FnOnce(&mut T)) {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = series.get_mut(labels) {
            return change(known);
        }
        let is_full = series.len() >= MAXIMUM_SERIES;
        let labels = if is_full { OVERFLOW } else { labels };
        change(series.entry(labels.to_owned()).or_default());
    }
}

impl<T: std::fmt::Display> Family<T> {
    /// As counters.
    fn write(&self, text: &mut String) {
        let Self {
            name,
            about,
            series,
        } = self;
        head(text, name, about, "counter");
        for (labels, count) in &*series.lock().unwrap_or_else(PoisonError::into_inner) {
            line(text, name, labels, count);
        }
    }
}

/// Numbers that only grow.
#[derive(Debug)]
pub(super) struct Counters(Family<u64>);

impl Counters {
    pub(super) fn new(name: &'static str, about: &'static str) -> Self {
        Self(Family::new(name, about))
    }

    pub(super) fn add(&self, labels: &str, more: u64) {
        self.0
            .change(labels, |count| *count = count.saturating_add(more));
    }

    pub(super) fn write(&self, text: &mut String) {
        self.0.write(text);
    }
}

/// Amounts that only grow.
#[derive(Debug)]
pub(super) struct Sums(Family<f64>);

impl Sums {
    pub(super) fn new(name: &'static str, about: &'static str) -> Self {
        Self(Family::new(name, about))
    }

    pub(super) fn add(&self, labels: &str, more: f64) {
        self.0.change(labels, |sum| *sum += more);
    }

    pub(super) fn write(&self, text: &mut String) {
        self.0.write(text);
    }
}

/// How long things took.
#[derive(Debug)]
pub(super) struct Histograms(Family<Histogram>);

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Histograms {
    pub(super) fn new(name: &'static str, about: &'static str) -> Self {
        Self(Family::new(name, about))
    }

    pub(super) fn observe(&self, labels: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        self.0.change(labels, |histogram| {
            histogram.count += 1;
            histogram.seconds += seconds;
            if let Some(place) = BOUNDS.iter().position(|bound| seconds <= *bound) {
                histogram.buckets[place] += 1;
            }
        });
    }

    pub(super) fn write(&self, text: &mut String) {
        let Family {
            name,
            about,
            series,
        } = &self.0;
        head(text, name, about, "histogram");
        for (labels, histogram) in &*series.lock().unwrap_or_else(PoisonError::into_inner) {
            let comma = if labels.is_empty() { "" } else { "," };
            let mut count = 0;
            for (bound, more) in BOUNDS.iter().zip(histogram.buckets) {
                count += more;
                let _ = writeln!(
                    text,
                    "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"
                );
            }
            let all = histogram.count;
            let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {all}");
            line(text, &format!("{name}_sum"), labels, histogram.seconds);
            line(text, &format!("{name}_count"), labels, all);
        }
    }
}

/// Writes numbers that rise and fall.
pub(in crate::gateway) fn gauge(
    text: &mut String,
    name: &str,
    about: &str,
    series: &[(String, u64)],
) {
    head(text, name, about, "gauge");
    for (labels, value) in series {
        line(text, name, labels, value);
    }
}

fn head(text: &mut String, name: &str, about: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}
