//! What a gateway says while it serves: lines on standard error, as text or as JSON. Only events of
//! this crate are written, for those of others hold whole messages. Owns [`Log`].

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// The variables that say how much is logged, the first that is set wins.
const LEVEL_VARIABLES: [&str; 2] = ["TOOLBRIDGE_LOG", "LITELLM_LOG"];
/// Whose events are written.
const TARGET: &str = "toolbridge";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: an object a line.
    Json,
}

/// Writes events to standard error.
#[derive(Debug)]
pub struct Log {
    format: Format,
    level: Level,
}

impl Log {
    /// What a command line and the variables ask for.
    pub fn new(
        format: Format,
        is_detailed: bool,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let asked = LEVEL_VARIABLES.into_iter().find_map(variables);
        let level = match asked.unwrap_or_default().to_ascii_uppercase().as_str() {
            _ if is_detailed => Level::DEBUG,
            "DEBUG" => Level::DEBUG,
            "WARN" | "WARNING" => Level::WARN,
            "ERROR" | "CRITICAL" => Level::ERROR,
            _ => Level::INFO,
        };
        Self { format, level }
    }

    /// One event as a line.
    fn line(&self, event: &Event<'_>, now: Duration) -> String {
        let metadata = event.metadata();
        let mut found = Found::default();
        event.record(&mut found);
        let time = timestamp(now);
        match self.format {
            Format::Text => {
                let mut line = format!("{time} {:5} {}", metadata.level(), found.message);
                for (name, value) in &found.fields {
                    let _ = match value {
                        Value::String(text) => write!(line, " {name}={text:?}"),
                        value => write!(line, " {name}={value}"),
                    };
                }
                // A line is one line, whatever stands in it.
                line.replace('\n', "\n    ") + "\n"
            }
            Format::Json => {
                let mut object = Map::new();
                object.insert("timestamp".to_owned(), time.into());
                object.insert("level".to_owned(), metadata.level().as_str().into());
                object.insert("logger".to_owned(), metadata.target().into());
                object.insert("message".to_owned(), found.message.into());
                object.extend(found.fields);
                Value::Object(object).to_string() + "\n"
            }
        }
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span()
            && *metadata.level() <= self.level
            && metadata.target().starts_with(TARGET)
    }

    fn event(&self, event: &Event<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = self.line(event, now.unwrap_or_default());
        // Nobody is left to tell when standard error is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The sentence of an event, and its fields.
#[derive(Default)]
struct Found {
    message: String,
    fields: Map<String, Value>,
}

impl Found {
    fn keep(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.keep(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.keep(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A time as RFC 3339 has it, in UTC, with milliseconds.
fn timestamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        since_epoch.subsec_millis()
    )
}

/// The date of a day, counted from 1970: years begin in March here, so that the day which only some
/// of them have is the last one.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.005Z"),
            (951_782_399, "2000-02-28T23:59:59.005Z"),
            (951_782_400, "2000-02-29T00:00:00.005Z"),
            (1_772_323_200, "2026-03-01T00:00:00.005Z"),
            (4_107_542_399, "2100-02-28T23:59:59.005Z"),
        ] {
            assert_eq!(
                timestamp(Duration::from_millis(seconds * 1000 + 5)),
                expected
            );
        }
    }

    #[test]
    fn the_command_line_says_more_than_a_variable() {
        let variable = |value: &'static str| {
            move |name: &str| (name == "LITELLM_LOG").then(|| value.to_owned())
        };
        let level =
            |is_detailed, value| Log::new(Format::Text, is_detailed, &variable(value)).level;
        assert_eq!(level(false, ""), Level::INFO);
        assert_eq!(level(false, "error"), Level::ERROR);
        assert_eq!(level(false, "WARNING"), Level::WARN);
        assert_eq!(level(true, "ERROR"), Level::DEBUG);
    }
}
