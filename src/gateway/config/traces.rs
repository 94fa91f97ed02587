//! Whom spans are sent to: the variables that OpenTelemetry has for it. Owns [`Traces`].

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::document::fields::Lookup;
use crate::error::{Error, ErrorKind, Result};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Where it takes traces, below that.
const PATH: &str = "/v1/traces";
/// What LiteLLM's callback reads besides: the collector, its headers, the protocol.
const OTEL: [&str; 3] = ["OTEL_ENDPOINT", "OTEL_HEADERS", "OTEL_EXPORTER"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// Whom spans are sent to, and which.
#[derive(Clone)]
pub struct Traces {
    /// Where a collector takes spans.
    pub url: Url,
    /// What it is sent with, keys perhaps.
    pub headers: HeaderMap,
    /// What is said of this process.
    pub resource: Vec<(String, String)>,
    /// How long one batch may take.
    pub timeout: Duration,
    /// How long a span waits for others.
    pub delay: Duration,
    /// Which share of the traces that begin here is recorded.
    pub share: f64,
    /// Whether what a caller decided for its trace holds here too.
    pub heeds_parent: bool,
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Traces")
            .field("origin", &self.url.origin().ascii_serialization())
            .finish_non_exhaustive()
    }
}

fn wrong(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("{name} {what}"))
}

impl Traces {
    /// None where no collector is named, or traces are switched off. `otel` is LiteLLM's callback, which
    /// has variables of its own.
    ///
    /// # Errors
    /// A variable has a value that means nothing.
    pub(super) fn read(variables: Lookup<'_>, otel: bool) -> Result<Option<Self>> {
        let given = |name: &str| variables(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&str]| {
            let mut found = names.iter().filter(|name| otel || !OTEL.contains(name));
            found.find_map(|name| Some(((*name).to_owned(), given(name)?)))
        };
        let is_off = given("OTEL_SDK_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true"))
            || given("OTEL_TRACES_EXPORTER").is_some_and(|name| name == "none");
        let endpoint = first(&[TRACES_ENDPOINT, ENDPOINT, OTEL[0]]);
        let Some((name, url)) = endpoint.filter(|_| !is_off) else {
            return Ok(None);
        };
        let protocol = first(&[
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            OTEL[2],
        ]);
        let is_grpc = |protocol: &str| matches!(protocol, "grpc" | "otlp_grpc");
        if let Some((name, protocol)) = protocol.filter(|(_, protocol)| is_grpc(protocol)) {
            let what = format!(
                "is {protocol:?}; spans are sent over HTTP (http/json), which collectors take on port 4318"
            );
            return Err(wrong(&name, &what));
        }
        let parsed = Url::parse(url.trim()).ok();
        let parsed =
            parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(mut url) = parsed else {
            // It may hold a key, so it is not shown.
            return Err(wrong(
                &name,
                "is no URL; it takes one like http://localhost:4318",
            ));
        };
        // What LiteLLM is given may have the path already.
        let is_whole = name == OTEL[0] && url.path().ends_with(PATH);
        if name != TRACES_ENDPOINT && !is_whole {
            url.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
        }
        let (share, heeds_parent) = sampler(&given)?;
        Ok(Some(Self {
            url,
            headers: match first(&[
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
                "OTEL_EXPORTER_OTLP_HEADERS",
                OTEL[1],
            ]) {
                Some((name, text)) => headers(&name, &text)?,
                None => HeaderMap::new(),
            },
            resource: resource(&given)?,
            timeout: milliseconds(
                first(&[
                    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                    "OTEL_EXPORTER_OTLP_TIMEOUT",
                ]),
                DEFAULT_TIMEOUT,
            )?,
            delay: milliseconds(
                given("OTEL_BSP_SCHEDULE_DELAY")
                    .map(|value| ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), value)),
                DEFAULT_DELAY,
            )?,
            share,
            heeds_parent,
        }))
    }
}

/// `name=value,name=value`, percent-encoded.
fn pairs(name: &str, text: &str) -> Result<Vec<(String, String)>> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| wrong(name, "takes name=value pairs with commas between them"))?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        Ok((key.trim().to_owned(), value.into_owned()))
    });
    pairs.collect()
}

fn headers(name: &str, text: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (key, value) in pairs(name, text)? {
        let parsed = (HeaderName::try_from(key), HeaderValue::try_from(value));
        let (Ok(key), Ok(mut value)) = parsed else {
            return Err(wrong(name, "has a pair that is no header"));
        };
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn resource(given: &dyn Fn(&str) -> Option<String>) -> Result<Vec<(String, String)>> {
    const SERVICE: &str = "service.name";
    let mut resource = match given("OTEL_RESOURCE_ATTRIBUTES") {
        Some(text) => pairs("OTEL_RESOURCE_ATTRIBUTES", &text)?,
        None => Vec::new(),
    };
    let named = given("OTEL_SERVICE_NAME");
    if named.is_some() {
        resource.retain(|(key, _)| key != SERVICE);
    }
    if resource.iter().all(|(key, _)| key != SERVICE) {
        let name = named.unwrap_or_else(|| "toolbridge".to_owned());
        resource.insert(0, (SERVICE.to_owned(), name));
    }
    Ok(resource)
}

fn milliseconds(found: Option<(String, String)>, default: Duration) -> Result<Duration> {
    let Some((name, text)) = found else {
        return Ok(default);
    };
    let number = text.trim().parse().map(Duration::from_millis);
    number.map_err(|_| wrong(&name, "takes a number of milliseconds"))
}

fn sampler(given: &dyn Fn(&str) -> Option<String>) -> Result<(f64, bool)> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let named = given(NAME).unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (heeds_parent, rule) = match named.strip_prefix("parentbased_") {
        Some(rule) => (true, rule),
        None => (false, named.as_str()),
    };
    let share = match rule {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => match given(ARGUMENT) {
            None => 1.0,
            Some(text) => {
                let share = text.trim().parse::<f64>().ok();
                let share = share.filter(|share| (0.0..=1.0).contains(share));
                share.ok_or_else(|| wrong(ARGUMENT, "takes a number from 0 to 1"))?
            }
        },
        _ => {
            let what = "takes always_on, always_off or traceidratio, each also with parentbased_ \
                        before it";
            return Err(wrong(NAME, what));
        }
    };
    Ok((share, heeds_parent))
}
