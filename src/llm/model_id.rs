//! What a model name means. Pure; the providers themselves are rows of [`super::provider`].

use crate::error::{Error, ErrorContext, ErrorKind};

use super::provider::{self, Provider};

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
    /// In this order: `custom_llm_provider`; a `provider/` prefix; the bare names that a provider
    /// claims (`gpt-…`, `o3…`); and, with an explicit `api_base`, any name without a slash, which is
    /// then a model of an OpenAI-compatible endpoint.
    pub fn resolve(
        given: &str,
        custom_llm_provider: Option<&str>,
        has_api_base: bool,
    ) -> Result<Self, Error> {
        let (provider, name) = find(given, custom_llm_provider, has_api_base)?;
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
    has_api_base: bool,
) -> Result<(&'static Provider, &'a str), Error> {
    if let Some(wanted) = custom_llm_provider {
        let Some(provider) = provider::by_name(wanted) else {
            return Err(refusal(
                given,
                format!(
                    "unknown provider {wanted:?} in custom_llm_provider; known providers are {}",
                    provider::names()
                ),
            ));
        };
        let name = given
            .strip_prefix(provider.name)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(given);
        return Ok((provider, name));
    }
    if let Some((prefix, name)) = given.split_once('/') {
        return match provider::by_name(prefix) {
            Some(provider) => Ok((provider, name)),
            None => Err(refusal(
                given,
                format!(
                    "unknown provider {prefix:?} in model {given:?}; known providers are {}. For an \
                     OpenAI-compatible endpoint write \"openai/{given}\" and give api_base",
                    provider::names()
                ),
            )),
        };
    }
    if let Some(provider) = provider::by_bare_name(given) {
        return Ok((provider, given));
    }
    if has_api_base && let Some(provider) = provider::by_name(provider::OPENAI_COMPATIBLE) {
        return Ok((provider, given));
    }
    Err(refusal(
        given,
        format!(
            "no provider is known for model {given:?}: write \"provider/model\" with one of the \
             providers {}, a bare OpenAI name (gpt-…, o1…, o3…, o4…, chatgpt-…, ft:gpt-…), or give \
             api_base for an OpenAI-compatible endpoint",
            provider::names()
        ),
    ))
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
        let id = ModelId::resolve(given, None, false).unwrap();
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
        let id = ModelId::resolve("meta-llama/Llama-3", Some("openai"), false).unwrap();
        assert_eq!(
            (id.provider.name, id.name.as_str()),
            ("openai", "meta-llama/Llama-3")
        );
        let id = ModelId::resolve("openai/gpt-4o", Some("openai"), false).unwrap();
        assert_eq!(id.name, "gpt-4o");
    }

    #[test]
    fn an_unknown_provider_names_what_was_found_and_what_is_accepted() {
        for (given, custom) in [("nowhere/x", None), ("gpt-4o", Some("nowhere"))] {
            let error = ModelId::resolve(given, custom, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.message().contains("\"nowhere\""), "{error}");
            assert!(error.message().contains("custom_openai, openai"), "{error}");
        }
    }

    #[test]
    fn an_unknown_bare_name_is_openai_compatible_only_with_an_api_base() {
        let id = ModelId::resolve("my-model", None, true).unwrap();
        assert_eq!(
            (id.provider.name, id.name.as_str()),
            ("custom_openai", "my-model")
        );
        let error = ModelId::resolve("my-model", None, false).unwrap_err();
        assert!(error.message().contains("api_base"), "{error}");
        // Names that merely begin like one of OpenAI's.
        for other in ["o1x", "octopus", "o"] {
            assert!(ModelId::resolve(other, None, false).is_err(), "{other}");
        }
    }

    #[test]
    fn an_empty_name_is_refused() {
        for given in ["", "openai/"] {
            let error = ModelId::resolve(given, None, true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.message().contains("empty"), "{error}");
        }
    }
}
