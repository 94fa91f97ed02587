//! From where a request may come: which name of this machine it was sent to, and which page sent it.
//! A page of a stranger whose name resolves to this machine reaches a gateway that listens on
//! loopback; its `Host` and `Origin` tell. Owns [`Origins`]; pure but for the layer around the routes.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use url::Url;

use super::Current;
use super::config::AccessConfig;
use super::failure::Failure;

/// What a page may read of an answer, and what it may send.
const EXPOSED: &str =
    "mcp-session-id, mcp-protocol-version, www-authenticate, x-request-id, retry-after";
const METHODS: &str = "GET, POST, DELETE, OPTIONS";
const PREFLIGHT_SECONDS: &str = "600";

/// The names and pages that are accepted.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    is_loopback: bool,
    hosts: Vec<String>,
    pages: Vec<String>,
}

impl Origins {
    /// What the address that is listened on and the configuration let in.
    pub(super) fn new(listens_on: &str, config: &AccessConfig) -> Self {
        Self {
            is_loopback: is_loopback(listens_on),
            hosts: config.allowed_hosts.clone(),
            pages: config.allowed_origins.clone(),
        }
    }

    /// Refuses what a stranger's page sends; the page that may read the answer, if it is one.
    fn check(
        &self,
        headers: &HeaderMap,
        host: Option<&str>,
    ) -> Result<Option<HeaderValue>, Failure> {
        let host = host.map(name_of).unwrap_or_default();
        let knows = self
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host));
        if (self.is_loopback || !self.hosts.is_empty()) && !knows && !is_loopback(host) {
            return Err(refused(format!(
                "the request was sent to {host:?}, which is no name of this gateway; \
                 general_settings.allowed_hosts lists those that are"
            )));
        }
        let Some(given) = headers.get(header::ORIGIN) else {
            return Ok(None);
        };
        let text = given.to_str().unwrap_or_default();
        let page = Url::parse(text).ok();
        let page = page.as_ref().and_then(Url::host_str).unwrap_or_default();
        let knows = self.pages.iter().any(|known| known == text || known == "*");
        let is_own = !page.is_empty() && page.eq_ignore_ascii_case(host);
        if knows || is_own || (self.is_loopback && is_loopback(page)) {
            return Ok(Some(given.clone()));
        }
        Err(refused(format!(
            "the page {text:?} may not use this gateway; general_settings.allowed_origins lists those \
             that may"
        )))
    }
}

fn refused(message: String) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, message)
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            name
        }
        _ => host,
    }
}

/// Whether a name is this machine's own, whoever resolves it.
pub(super) fn is_loopback(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The layer around every route.
pub(super) async fn layer<F: Future<Output = Response>>(
    current: Current,
    request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the URL.
    let host = host.or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    let shared = current.get();
    let page = match shared.origins.check(headers, host) {
        Ok(None) => return inner(request).await,
        Ok(Some(page)) => page,
        Err(failure) => return failure.into_response(),
    };
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        let fixed: [(HeaderName, &str); 2] = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(wanted) = wanted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        response
    } else {
        inner(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, page);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(listens_on: &str, hosts: &[&str], origins: &[&str]) -> Origins {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let config = AccessConfig {
            allowed_hosts: owned(hosts),
            allowed_origins: owned(origins),
            ..AccessConfig::default()
        };
        Origins::new(listens_on, &config)
    }

    fn check(origins: &Origins, host: &str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        origins.check(&headers, Some(host)).is_ok()
    }

    #[test]
    fn a_gateway_on_loopback_answers_to_its_own_names_alone() {
        let own = origins("127.0.0.1", &["gateway.internal"], &[]);
        for host in [
            "localhost:4000",
            "127.0.0.1",
            "[::1]:4000",
            "127.0.0.2:1",
            "Gateway.internal",
        ] {
            assert!(check(&own, host, None), "{host}");
        }
        for host in [
            "evil.example:4000",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example",
            "10.0.0.1",
        ] {
            assert!(!check(&own, host, None), "{host}");
        }
    }

    #[test]
    fn a_page_of_a_stranger_is_refused_and_one_of_this_machine_is_not() {
        let own = origins("localhost", &[], &["https://app.example"]);
        for origin in [
            "http://localhost:6274",
            "http://127.0.0.1",
            "https://app.example",
        ] {
            assert!(check(&own, "localhost:4000", Some(origin)), "{origin}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "https://app.example.evil",
            "file://",
        ] {
            assert!(!check(&own, "localhost:4000", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_gateway_for_a_network_takes_any_name_until_it_is_told_which() {
        let open = origins("0.0.0.0", &[], &[]);
        assert!(check(&open, "gateway.example", None));
        assert!(check(
            &open,
            "gateway.example:4000",
            Some("https://gateway.example")
        ));
        assert!(!check(
            &open,
            "gateway.example",
            Some("https://evil.example")
        ));
        let told = origins("0.0.0.0", &["gateway.example"], &[]);
        assert!(check(&told, "gateway.example:4000", None));
        assert!(!check(&told, "other.example", None));
    }
}
