//! What a model name means. Pure; the providers themselves are rows of [`super::provider`].

use crate::error::{Error, ErrorContext, ErrorKind};

use super::provider::{self, Provider, names};

/// A model as the caller named it, with its provider and the name that the provider knows.
#[derive(Debug, Clone)]
pub struct ModelId {
    /// As the caller wrote it.
    pub given: String,
    /// Without the provider's prefix: what goes over the wire.
    pub name: String,
    /// Who serves it.
    pub provider: &'static Provider,
}

impl ModelId {
    /// Resolves `given`.
    ///
    /// In this order: `custom_llm_provider`; a `provider/` prefix; the provider whose own endpoint
    /// `api_base` is; the bare names that a provider claims (`gpt-…`, `claude-…`); and, with an
    /// `api_base` of anybody else, any name without a slash, which is then a model of an
    /// OpenAI-compatible endpoint.
    pub fn resolve(
        given: &str,
        custom_llm_provider: Option<&str>,
        api_base: Option<&str>,
    ) -> Result<Self, Error> {
        let (provider, name) = find(given, custom_llm_provider, api_base)?;
        if let Some(reason) = provider.unsupported {
            let message = format!("{} is not supported: {reason}", provider.name);
            return Err(refusal(given, message).map_context(|context| {
                context.provider = Some(provider.name.to_owned());
            }));
        }
        if name.is_empty() {
            return Err(refusal(
                given,
                format!(
                    "the model name is empty in model {given:?}: give one, as in \"openai/gpt-4o\""
                ),
            ));
        }
        Ok(Self {
            given: given.to_owned(),
            name: provider.kind.service().model_name(name),
            provider,
        })
    }
}

fn find<'a>(
    given: &'a str,
    custom_llm_provider: Option<&str>,
    api_base: Option<&str>,
) -> Result<(&'static Provider, &'a str), Error> {
    if let Some(wanted) = custom_llm_provider {
        let Some(provider) = provider::by_name(wanted) else {
            return Err(refusal(
                given,
                format!(
                    "unknown provider {wanted:?} in custom_llm_provider{}",
                    meant(wanted)
                ),
            ));
        };
        let name = given
            .strip_prefix(provider.name)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(given);
        return Ok((provider, name));
    }
    let prefixed = given.split_once('/');
    if let Some((prefix, name)) = prefixed
        && let Some(provider) = provider::by_name(prefix)
    {
        return Ok((provider, name));
    }
    if let Some(provider) = api_base.and_then(names::by_base) {
        return Ok((provider, given));
    }
    if let Some((prefix, _)) = prefixed {
        return Err(refusal(
            given,
            format!(
                "unknown provider {prefix:?} in model {given:?}{}. For an OpenAI-compatible endpoint \
                 write \"openai/{given}\" and give api_base",
                meant(prefix)
            ),
        ));
    }
    if let Some(provider) = provider::by_bare_name(given) {
        return Ok((provider, given));
    }
    if api_base.is_some()
        && let Some(provider) = provider::by_name(provider::OPENAI_COMPATIBLE)
    {
        return Ok((provider, given));
    }
    let meant = names::near_bare(given).map_or_else(String::new, |pattern| {
        format!(" (did you mean {pattern:?}?)")
    });
    Err(refusal(
        given,
        format!(
            "no provider is known for model {given:?}{meant}: write \"provider/model\", as in \
             \"openai/gpt-4o\" ({LIST}), or give api_base for an OpenAI-compatible endpoint"
        ),
    ))
}

/// Where all the names are.
const LIST: &str = "the command `toolbridge providers` lists all of them";

/// The names that were probably meant, and where all of them are.
fn meant(found: &str) -> String {
    let near = names::near(found);
    if near.is_empty() {
        return format!("; {LIST}");
    }
    let near: Vec<String> = near.iter().map(|name| format!("{name:?}")).collect();
    format!(": did you mean {}? {LIST}", near.join(" or "))
}

fn refusal(given: &str, message: String) -> Error {
    Error::new(ErrorKind::BadRequest, message).with_context(ErrorContext {
        model: Some(given.to_owned()),
        param: Some("model".to_owned()),
        ..ErrorContext::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(given: &str) -> (String, String) {
        let id = ModelId::resolve(given, None, None).unwrap();
        (id.provider.name.to_owned(), id.name)
    }

    #[test]
    fn bare_openai_names_need_no_prefix() {
        for name in [
            "gpt-4o",
            "gpt-5-mini",
            "o1",
            "o3-mini",
            "o4-mini-2025-04-16",
            "chatgpt-4o-latest",
        ] {
            assert_eq!(resolved(name), ("openai".to_owned(), name.to_owned()));
        }
        let tuned = "ft:gpt-4o-mini-2024-07-18:org::id";
        assert_eq!(resolved(tuned), ("openai".to_owned(), tuned.to_owned()));
    }

    #[test]
    fn only_the_first_prefix_is_taken_off() {
        assert_eq!(resolved("openai/gpt-4o").1, "gpt-4o");
        assert_eq!(
            resolved("openai/meta-llama/Llama-3").1,
            "meta-llama/Llama-3"
        );
        assert_eq!(resolved("custom_openai/x").0, "custom_openai");
    }

    #[test]
    fn custom_llm_provider_wins_over_the_name() {
        let id = ModelId::resolve("meta-llama/Llama-3", Some("openai"), None).unwrap();
        assert_eq!(
            (id.provider.name, id.name.as_str()),
            ("openai", "meta-llama/Llama-3")
        );
        let id = ModelId::resolve("openai/gpt-4o", Some("openai"), None).unwrap();
        assert_eq!(id.name, "gpt-4o");
    }

    #[test]
    fn an_unknown_provider_names_what_was_found_and_what_is_accepted() {
        for (given, custom) in [("opnai/x", None), ("gpt-4o", Some("opnai"))] {
            let error = ModelId::resolve(given, custom, Some("")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            let message = error.message();
            assert!(message.contains("unknown provider \"opnai\""), "{error}");
            assert!(message.contains("did you mean \"openai\""), "{error}");
            assert!(message.contains("`toolbridge providers`"), "{error}");
            assert!(message.len() < 400, "{error}");
        }
        let error = ModelId::resolve("quuxquux/x", None, None).unwrap_err();
        assert!(!error.message().contains("did you mean"), "{error}");
        assert!(
            error.message().contains("`toolbridge providers`"),
            "{error}"
        );
    }

    #[test]
    fn a_bare_name_that_is_misspelt_gets_a_hint() {
        let error = ModelId::resolve("cluade-sonnet-4", None, None).unwrap_err();
        assert!(
            error.message().contains("did you mean \"claude-"),
            "{error}"
        );
    }

    #[test]
    fn the_endpoint_of_a_provider_says_who_serves_a_name_that_does_not() {
        let groq = "https://api.groq.com/openai/v1";
        for (given, base, provider, name) in [
            ("llama-x", groq, "groq", "llama-x"),
            ("meta-llama/x", groq, "groq", "meta-llama/x"),
            ("gpt-oss-9", groq, "groq", "gpt-oss-9"),
            // A prefix that is a provider's says more than the endpoint.
            ("openai/x", groq, "openai", "x"),
            ("gpt-9", "https://api.example.com/v1", "openai", "gpt-9"),
            ("x", "https://api.example.com/v1", "custom_openai", "x"),
        ] {
            let id = ModelId::resolve(given, None, Some(base)).unwrap();
            assert_eq!(
                (id.provider.name, id.name.as_str()),
                (provider, name),
                "{given}"
            );
        }
        assert!(
            ModelId::resolve("meta-llama/x", None, Some("https://api.example.com/v1")).is_err()
        );
    }

    #[test]
    fn a_provider_that_is_not_supported_says_why() {
        let error = ModelId::resolve("github_copilot/gpt-4o", None, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(
            error.message().contains("github_copilot is not supported"),
            "{error}"
        );
        assert!(error.message().contains("login"), "{error}");
        assert_eq!(error.context().provider.as_deref(), Some("github_copilot"));
    }

    #[test]
    fn an_unknown_bare_name_is_openai_compatible_only_with_an_api_base() {
        let id = ModelId::resolve("my-model", None, Some("")).unwrap();
        assert_eq!(
            (id.provider.name, id.name.as_str()),
            ("custom_openai", "my-model")
        );
        let error = ModelId::resolve("my-model", None, None).unwrap_err();
        assert!(error.message().contains("api_base"), "{error}");
        // Names that merely begin like one of OpenAI's.
        for other in ["o1x", "octopus", "o"] {
            assert!(ModelId::resolve(other, None, None).is_err(), "{other}");
        }
    }

    #[test]
    fn an_empty_name_is_refused() {
        for given in ["", "openai/"] {
            let error = ModelId::resolve(given, None, Some("")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.message().contains("empty"), "{error}");
        }
    }
}
