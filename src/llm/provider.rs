//! The providers, and what a request to one of them needs: URL, headers, key. No I/O: the
//! environment is a function that the caller hands in.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use crate::error::{Error, ErrorContext, ErrorKind};

use super::failure::Redactor;
use super::model_id::ModelId;

pub mod openai;

/// The row that serves OpenAI-compatible endpoints which are not named.
pub const OPENAI_COMPATIBLE: &str = "custom_openai";

/// One provider: where it is, and where its settings come from.
#[derive(Debug)]
pub struct Provider {
    /// As in `provider/model`.
    pub name: &'static str,
    /// Variables that hold the key, the first that is set wins.
    pub key_variables: &'static [&'static str],
    /// Whether a request without a key is refused before it is sent.
    pub key_required: bool,
    /// Variables that hold the base URL, the first that is set wins.
    pub base_variables: &'static [&'static str],
    /// Where it is when nobody says otherwise.
    pub default_base: Option<&'static str>,
    /// Headers that are filled from variables: (header, variable); the first that is set wins.
    pub header_variables: &'static [(&'static str, &'static str)],
    /// Model names that need no prefix; `#` stands for digits up to the end or a dash, `*` for anything.
    pub bare_names: &'static [&'static str],
}

/// Every provider, by name.
pub static PROVIDERS: &[Provider] = &[
    Provider {
        name: OPENAI_COMPATIBLE,
        key_variables: &["OPENAI_API_KEY"],
        key_required: false,
        base_variables: &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
        default_base: None,
        header_variables: &[],
        bare_names: &[],
    },
    Provider {
        name: "openai",
        key_variables: &["OPENAI_API_KEY"],
        key_required: true,
        base_variables: &["OPENAI_BASE_URL", "OPENAI_API_BASE"],
        default_base: Some("https://api.openai.com/v1"),
        header_variables: &[
            (openai::ORGANIZATION, "OPENAI_ORGANIZATION"),
            (openai::ORGANIZATION, "OPENAI_ORG_ID"),
            (openai::PROJECT, "OPENAI_PROJECT"),
            (openai::PROJECT, "OPENAI_PROJECT_ID"),
        ],
        bare_names: &[
            "gpt-*",
            "chatgpt-*",
            "o#",
            "ft:gpt-*",
            "ft:o#",
            "codex-*",
            "computer-use-*",
        ],
    },
];

/// The provider of that name.
pub fn by_name(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

/// The provider that claims a name without a prefix.
pub fn by_bare_name(model: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| {
        provider
            .bare_names
            .iter()
            .any(|pattern| matches(pattern, model))
    })
}

/// The names, for an error.
pub fn names() -> String {
    PROVIDERS
        .iter()
        .map(|provider| provider.name)
        .collect::<Vec<_>>()
        .join(", ")
}

fn matches(pattern: &str, model: &str) -> bool {
    if let Some(start) = pattern.strip_suffix('*') {
        return model.starts_with(start);
    }
    let Some(rest) = pattern
        .strip_suffix('#')
        .and_then(|start| model.strip_prefix(start))
    else {
        return pattern == model;
    };
    let after = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    after.len() < rest.len() && (after.is_empty() || after.starts_with(['-', ':']))
}

/// What the caller says about one request, beside its model.
#[derive(Debug, Default)]
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
}

/// Where one request goes.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The full URL.
    pub url: Url,
    /// The headers, with the key.
    pub headers: HeaderMap,
    /// The base URL without user, password, query and fragment.
    pub base: String,
    /// Takes the secrets of this request out of any text.
    pub redactor: Redactor,
}

impl Endpoint {
    /// Scheme, host and port: all of a URL that may be shown.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Finds URL, headers and key for a chat completion.
    pub fn resolve(
        model: &ModelId,
        settings: &Settings,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let provider = model.provider;
        let refuse = |kind, message| {
            Err(Error::new(kind, message).with_context(ErrorContext {
                provider: Some(provider.name.to_owned()),
                model: Some(model.given.clone()),
                ..ErrorContext::default()
            }))
        };
        let mut secrets = Vec::new();
        let mut headers = HeaderMap::with_capacity(8 + settings.headers.len());
        for (name, value) in &settings.headers {
            let (Ok(header), Ok(mut content)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) else {
                // The value may be a key: it is not shown.
                return refuse(
                    ErrorKind::Configuration,
                    format!(
                        "extra_headers: {name:?} is not a header that can be sent: names are letters, \
                         digits and dashes, values are one line of visible ASCII text"
                    ),
                );
            };
            if is_secret(&header) {
                content.set_sensitive(true);
                secrets.extend(value.rsplit(' ').next().map(str::to_owned));
            }
            headers.insert(header, content);
        }

        let key = settings
            .api_key
            .clone()
            .filter(|key| !key.is_empty())
            .or_else(|| first_set(provider.key_variables, environment).map(|(_, value)| value));
        match key {
            Some(key) => {
                if !headers.contains_key(header::AUTHORIZATION) {
                    let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {key}")) else {
                        return refuse(
                            ErrorKind::Authentication,
                            "the API key holds characters that a header cannot carry (a line break?): \
                             check the api_key argument or the variable that it came from"
                                .to_owned(),
                        );
                    };
                    value.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, value);
                }
                secrets.push(key);
            }
            None if provider.key_required && !headers.contains_key(header::AUTHORIZATION) => {
                return refuse(
                    ErrorKind::Authentication,
                    format!(
                        "no API key for {}: set the environment variable {} or give the api_key \
                         argument",
                        provider.name,
                        provider.key_variables.join(" or ")
                    ),
                );
            }
            None => {}
        }

        for (header, variable) in provider.header_variables {
            let given = match *header {
                openai::ORGANIZATION => settings.organization.clone(),
                openai::PROJECT => settings.project.clone(),
                _ => None,
            };
            if !headers.contains_key(*header)
                && let Some(value) = given
                    .or_else(|| environment(variable))
                    .filter(|v| !v.is_empty())
            {
                let Ok(value) = HeaderValue::from_str(&value) else {
                    return refuse(
                        ErrorKind::Configuration,
                        format!("{variable} (or its argument) cannot be sent as a header"),
                    );
                };
                headers.insert(*header, value);
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

        let (source, base) = match &settings.api_base {
            Some(base) => ("api_base", base.clone()),
            None => match first_set(provider.base_variables, environment) {
                Some(found) => found,
                None => match provider.default_base {
                    Some(base) => ("the default", base.to_owned()),
                    None => {
                        return refuse(
                            ErrorKind::Configuration,
                            format!(
                                "{} needs to know where the endpoint is: give the api_base argument or \
                                 set {}",
                                provider.name,
                                provider.base_variables.join(" or ")
                            ),
                        );
                    }
                },
            },
        };
        let Some(url) = openai::chat_completions_url(&base) else {
            return refuse(
                ErrorKind::Configuration,
                format!(
                    "{source} is not a URL that can be called: it has to begin with http:// or \
                     https:// and to name a host, as in \"https://api.openai.com/v1\""
                ),
            );
        };
        if url.password().is_some() || !url.username().is_empty() {
            return refuse(
                ErrorKind::Configuration,
                format!(
                    "{source} holds a user name or a password: take them out and give \
                     extra_headers={{\"Authorization\": \"Basic …\"}} instead"
                ),
            );
        }
        // Shorter ones are switches and versions, which bodies hold for other reasons.
        secrets.extend(
            url.query_pairs()
                .map(|(_, value)| value.into_owned())
                .filter(|value| value.len() >= 8),
        );
        let base = shown_base(&url);
        Ok(Self {
            url,
            headers,
            base,
            redactor: Redactor::new(secrets),
        })
    }
}

fn shown_base(url: &Url) -> String {
    let path = url
        .path()
        .strip_suffix("/chat/completions")
        .unwrap_or(url.path());
    format!("{}{path}", url.origin().ascii_serialization())
}

fn first_set(
    variables: &[&'static str],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    variables.iter().find_map(|name| {
        environment(name)
            .filter(|v| !v.is_empty())
            .map(|value| (*name, value))
    })
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
        let model = ModelId::resolve(model, None, settings.api_base.is_some())?;
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
