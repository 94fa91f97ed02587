//! URL, headers and credentials of one request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use url::Url;

use super::authorize::Authorizer;
use super::openai;
use super::service::{Asked, Authentication};
use crate::error::{Error, ErrorKind};
use crate::llm::failure::Redactor;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;

/// What the caller says about one request, beside its model.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    /// The key; otherwise the provider's variable is read.
    pub api_key: Option<String>,
    /// The base URL; otherwise the provider's variables, then its default.
    pub api_base: Option<String>,
    /// Fills the provider's organization header.
    pub organization: Option<String>,
    /// Fills the provider's project header.
    pub project: Option<String>,
    /// Headers that win over all others.
    pub headers: Vec<(String, String)>,
    /// What only some providers know: regions, projects, versions, credentials.
    pub options: Map<String, Value>,
}

/// Where one request goes.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The full URL.
    pub url: Url,
    /// That of streams, where it is another one.
    pub stream_url: Option<Url>,
    /// The headers, with the key.
    pub headers: HeaderMap,
    /// The base URL without user, password, query and fragment.
    pub base: String,
    /// The protocol that is spoken there.
    pub wire: Wire,
    /// Members of every body, where it has none of that name.
    pub members: Map<String, Value>,
    /// Makes credentials for each request, where a header is not enough.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Takes the secrets of this request out of any text.
    pub redactor: Redactor,
}

impl Endpoint {
    /// Scheme, host and port: all of a URL that may be shown.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The URL of a request, or of a stream.
    pub fn url_of(&self, streams: bool) -> &Url {
        let stream_url = self.stream_url.as_ref().filter(|_| streams);
        stream_url.unwrap_or(&self.url)
    }

    /// Finds URL, headers and credentials for a chat completion.
    pub fn resolve(
        model: &ModelId,
        settings: &Settings,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let provider = model.provider;
        let service = provider.kind.service();
        let asked = Asked {
            model,
            settings,
            environment,
        };
        let mut secrets = Vec::new();
        let mut headers = given_headers(&asked, &mut secrets)?;

        let key = settings.api_key.clone().filter(|key| !key.is_empty());
        let key = key.or_else(|| {
            let found = asked.first_variable(&provider.key_variables);
            found.map(|(_, value)| value)
        });
        secrets.extend(key.clone());
        let mut authorizer = None;
        match service.authentication(key, &asked)? {
            Authentication::Nothing => {}
            Authentication::Bearer(key) => {
                secrets.push(key.clone());
                let value = format!("Bearer {key}");
                secret_header(&asked, &mut headers, header::AUTHORIZATION, &value)?;
            }
            Authentication::Header(name, key) => {
                secrets.push(key.clone());
                secret_header(&asked, &mut headers, name, &key)?;
            }
            Authentication::Each(each, hidden) => {
                secrets.extend(hidden);
                authorizer = Some(each);
            }
        }

        for (name, value) in service.headers(&asked) {
            add_header(&asked, &mut headers, name.as_str(), &value)?;
        }
        for (name, variables) in &provider.header_variables {
            let given = match *name {
                openai::ORGANIZATION => settings.organization.clone(),
                openai::PROJECT => settings.project.clone(),
                _ => None,
            };
            let found = || asked.first_variable(variables).map(|(_, value)| value);
            if let Some(value) = given.filter(|value| !value.is_empty()).or_else(found) {
                add_header(&asked, &mut headers, name, &value)?;
            }
        }
        let defaults = [
            (header::CONTENT_TYPE, "application/json"),
            (header::ACCEPT, "application/json"),
            (
                header::USER_AGENT,
                concat!("toolbridge/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        for (name, value) in defaults {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }

        let base = base(&asked)?;
        let shown = shown_base(&base);
        let url = service.url(base.clone(), &asked, false)?;
        let stream_url = service.url(base, &asked, true)?;
        // Shorter ones are switches and versions, which bodies hold for other reasons.
        secrets.extend(
            url.query_pairs()
                .map(|(_, value)| value.into_owned())
                .filter(|value| value.len() >= 8 && !value.starts_with("20")),
        );
        Ok(Self {
            stream_url: (stream_url != url).then_some(stream_url),
            url,
            headers,
            base: shown,
            wire: service.wire(model),
            members: service.members(&asked)?,
            authorizer,
            redactor: Redactor::new(secrets),
        })
    }
}

fn given_headers(asked: &Asked<'_>, secrets: &mut Vec<String>) -> Result<HeaderMap, Error> {
    let given = &asked.settings.headers;
    let mut headers = HeaderMap::with_capacity(8 + given.len());
    for (name, value) in given {
        let (Ok(header), Ok(mut content)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) else {
            // The value may be a key: it is not shown.
            return Err(asked.refusal(
                ErrorKind::Configuration,
                format!(
                    "extra_headers: {name:?} is not a header that can be sent: names are letters, \
                     digits and dashes, values are one line of visible ASCII text"
                ),
            ));
        };
        if is_secret(&header) {
            content.set_sensitive(true);
            secrets.extend(value.rsplit(' ').next().map(str::to_owned));
        }
        headers.insert(header, content);
    }
    Ok(headers)
}

/// Adds a header with a key, unless the caller gave one.
fn secret_header(
    asked: &Asked<'_>,
    headers: &mut HeaderMap,
    name: HeaderName,
    value: &str,
) -> Result<(), Error> {
    if headers.contains_key(&name) {
        return Ok(());
    }
    let Ok(mut value) = HeaderValue::from_str(value) else {
        return Err(asked.refusal(
            ErrorKind::Authentication,
            "the API key holds characters that a header cannot carry (a line break?): check the \
             api_key argument or the variable that it came from",
        ));
    };
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Adds a header, unless the caller gave one.
fn add_header(
    asked: &Asked<'_>,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
) -> Result<(), Error> {
    let (Ok(name), Ok(value)) = (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_str(value),
    ) else {
        return Err(asked.refusal(
            ErrorKind::Configuration,
            format!("the value of {name} (an argument or a variable) cannot be sent as a header"),
        ));
    };
    headers.entry(name).or_insert(value);
    Ok(())
}

/// The base URL: the argument, a variable, or where the service is by itself.
fn base(asked: &Asked<'_>) -> Result<Url, Error> {
    let provider = asked.provider();
    let given = asked.settings.api_base.clone();
    let found = given
        .map(|base| ("api_base", base))
        .or_else(|| asked.first_variable(&provider.base_variables));
    let found = match found {
        Some(found) => Some(found),
        None => provider
            .kind
            .service()
            .default_base(asked)?
            .map(|base| ("the default", base)),
    };
    let Some((source, base)) = found else {
        let variables = match provider.base_variables.as_slice() {
            [] => String::new(),
            names => format!(" or set {}", names.join(" or ")),
        };
        return Err(asked.refusal(
            ErrorKind::Configuration,
            format!(
                "{} needs to know where the endpoint is: give the api_base argument{variables}",
                provider.name,
            ),
        ));
    };
    let parsed = Url::parse(base.trim()).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    let Some(mut url) = parsed else {
        return Err(asked.refusal(
            ErrorKind::Configuration,
            format!(
                "{source} is not a URL that can be called: it has to begin with http:// or \
                 https:// and to name a host, as in \"https://api.openai.com/v1\""
            ),
        ));
    };
    if url.password().is_some() || !url.username().is_empty() {
        return Err(asked.refusal(
            ErrorKind::Configuration,
            format!(
                "{source} holds a user name or a password: take them out and give \
                 extra_headers={{\"Authorization\": \"Basic …\"}} instead"
            ),
        ));
    }
    url.set_fragment(None);
    Ok(url)
}

fn shown_base(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path);
    format!("{}{path}", url.origin().ascii_serialization())
}

/// Whether a header carries a key by its name.
fn is_secret(name: &HeaderName) -> bool {
    let name = name.as_str();
    ["authorization", "cookie", "key", "token", "secret"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        model: &str,
        settings: &Settings,
        environment: &[(&str, &str)],
    ) -> Result<Endpoint, Error> {
        let model = ModelId::resolve(model, None, settings.api_base.as_deref())?;
        Endpoint::resolve(&model, settings, &|name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn with_key(api_base: Option<&str>) -> Settings {
        Settings {
            api_key: Some("sk-argument".to_owned()),
            api_base: api_base.map(str::to_owned),
            ..Settings::default()
        }
    }

    #[test]
    fn the_base_comes_from_the_argument_then_the_two_variables_then_the_default() {
        let both = [
            ("OPENAI_BASE_URL", "http://a/v1"),
            ("OPENAI_API_BASE", "http://b/v1"),
        ];
        let url = |settings: &Settings, environment: &[(&str, &str)]| {
            resolve("gpt-4o", settings, environment)
                .unwrap()
                .url
                .to_string()
        };
        assert_eq!(
            url(&with_key(Some("http://c/v1/")), &both),
            "http://c/v1/chat/completions"
        );
        assert_eq!(url(&with_key(None), &both), "http://a/v1/chat/completions");
        assert_eq!(
            url(&with_key(None), &both[1..]),
            "http://b/v1/chat/completions"
        );
        assert_eq!(
            url(&with_key(None), &[]),
            "https://api.openai.com/v1/chat/completions"
        );
    }

    #[test]
    fn the_key_comes_from_the_argument_then_the_variable() {
        let environment = [("OPENAI_API_KEY", "sk-variable")];
        let key = |settings: &Settings| {
            let endpoint = resolve("gpt-4o", settings, &environment).unwrap();
            endpoint.headers[header::AUTHORIZATION]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(key(&with_key(None)), "Bearer sk-argument");
        assert_eq!(key(&Settings::default()), "Bearer sk-variable");
    }

    #[test]
    fn a_missing_key_names_the_variable_and_the_argument() {
        let error = resolve("gpt-4o", &Settings::default(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        assert!(error.message().contains("OPENAI_API_KEY"), "{error}");
        assert!(error.message().contains("api_key"), "{error}");
        assert_eq!(error.context().provider.as_deref(), Some("openai"));
    }

    #[test]
    fn an_endpoint_of_the_callers_own_may_do_without_a_key() {
        let settings = Settings {
            api_base: Some("http://h/v1".to_owned()),
            ..Settings::default()
        };
        let endpoint = resolve("my-model", &settings, &[]).unwrap();
        assert!(!endpoint.headers.contains_key(header::AUTHORIZATION));
    }

    #[test]
    fn headers_of_the_caller_win() {
        let mut settings = with_key(None);
        settings.headers = vec![
            ("Authorization".to_owned(), "Basic abcdef".to_owned()),
            ("X-A".to_owned(), "1".to_owned()),
        ];
        settings.organization = Some("org-1".to_owned());
        let endpoint = resolve("gpt-4o", &settings, &[("OPENAI_PROJECT", "proj-2")]).unwrap();
        assert_eq!(endpoint.headers[header::AUTHORIZATION], "Basic abcdef");
        assert_eq!(endpoint.headers["x-a"], "1");
        assert_eq!(endpoint.headers[openai::ORGANIZATION], "org-1");
        assert_eq!(endpoint.headers[openai::PROJECT], "proj-2");
        assert_eq!(
            endpoint.redactor.redact("abcdef and sk-argument"),
            "[redacted] and [redacted]"
        );
    }

    #[test]
    fn what_cannot_be_a_url_or_a_header_is_refused_without_showing_it() {
        for base in ["not a url", "ftp://h/v1", "", "http://"] {
            let error = resolve("gpt-4o", &with_key(Some(base)), &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{base}");
            assert!(error.message().contains("api_base"), "{error}");
        }
        let mut settings = with_key(None);
        settings.headers = vec![("X-Key".to_owned(), "se\ncret".to_owned())];
        let error = resolve("gpt-4o", &settings, &[]).unwrap_err();
        assert!(
            error.message().contains("X-Key") && !error.message().contains("cret\""),
            "{error}"
        );
        let broken = Settings {
            api_key: Some("sk-\n1".to_owned()),
            ..Settings::default()
        };
        assert_eq!(
            resolve("gpt-4o", &broken, &[]).unwrap_err().kind(),
            ErrorKind::Authentication
        );
    }

    #[test]
    fn a_base_keeps_its_query_and_hides_it_when_shown() {
        let endpoint = resolve(
            "gpt-4o",
            &with_key(Some("http://h:8/v1?token=abcd1234")),
            &[],
        )
        .unwrap();
        assert_eq!(
            endpoint.url.as_str(),
            "http://h:8/v1/chat/completions?token=abcd1234"
        );
        assert_eq!(endpoint.origin(), "http://h:8");
        assert_eq!(endpoint.base, "http://h:8/v1");
        assert_eq!(endpoint.redactor.redact("is abcd1234"), "is [redacted]");
    }

    #[test]
    fn a_password_in_the_base_is_refused_without_showing_it() {
        let error = resolve("gpt-4o", &with_key(Some("http://user:word1@h/v1")), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error.message().contains("api_base") && !error.message().contains("word1"),
            "{error}"
        );
    }
}
