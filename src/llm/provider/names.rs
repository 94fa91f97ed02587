//! Which provider a URL means, and which one was probably meant by a name. Pure.

use url::Url;

use super::{Provider, all};
use crate::error::nearest;

/// As many near names as an error lists.
const NEAR: usize = 5;

/// The provider whose own endpoint an `api_base` is: the same host, and a path below its own. An
/// endpoint on this machine is nobody's.
pub fn by_base(api_base: &str) -> Option<&'static Provider> {
    let given = Url::parse(api_base.trim()).ok()?;
    let host = given.host_str()?;
    let at_host = |provider: &&Provider| {
        let base = provider.default_base.and_then(|base| Url::parse(base).ok());
        base.is_some_and(|base| base.scheme() == "https" && base.host_str() == Some(host))
    };
    let mut found = all().iter().filter(at_host);
    let first = found.next()?;
    // Two rows of one host are told apart by their paths.
    let below = |provider: &&Provider| {
        let base = provider.default_base.and_then(|base| Url::parse(base).ok());
        base.is_some_and(|base| is_below(given.path(), base.path()))
    };
    Some(
        std::iter::once(first)
            .chain(found)
            .find(below)
            .unwrap_or(first),
    )
}

fn is_below(path: &str, root: &str) -> bool {
    let mut given = path.split('/').filter(|one| !one.is_empty());
    root.split('/')
        .filter(|one| !one.is_empty())
        .all(|wanted| given.next() == Some(wanted))
}

/// The names that were probably meant by one that is unknown, the nearest first.
pub fn near(found: &str) -> Vec<&'static str> {
    let plain = plain(found);
    let mut near: Vec<&'static str> = Vec::new();
    let mut add = |name: &'static str| {
        if near.len() < NEAR && !near.contains(&name) {
            near.push(name);
        }
    };
    let names = || all().iter().map(|provider| provider.name);
    names()
        .filter(|name| self::plain(name) == plain)
        .for_each(&mut add);
    if let Some(name) = nearest(found, names()) {
        add(name);
    }
    if plain.len() >= 3 {
        names()
            .filter(|name| {
                let name = self::plain(name);
                name.starts_with(&plain) || (name.len() >= 3 && plain.starts_with(&name))
            })
            .for_each(&mut add);
        names()
            .filter(|name| self::plain(name).contains(&plain))
            .for_each(&mut add);
    }
    near
}

/// What was probably meant by a model without a provider: the beginning of a bare name that is known.
pub fn near_bare(model: &str) -> Option<String> {
    let begins = |name: &str| name.split(['-', ':', '*', '#']).next().map(str::to_owned);
    let known: Vec<(String, &str)> = all()
        .iter()
        .flat_map(|provider| &provider.bare_names)
        .filter_map(|pattern| Some((begins(pattern)?, *pattern)))
        .collect();
    let stem = begins(model).filter(|stem| stem.len() >= 3)?;
    let meant = nearest(&stem, known.iter().map(|(stem, _)| stem.as_str()))?;
    let (_, pattern) = known.iter().find(|(stem, _)| stem == meant)?;
    Some(pattern.replace(['*', '#'], "…"))
}

/// A name without what people write in different ways.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|one| one.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_at_the_host_of_a_provider_is_that_provider() {
        let name = |base| by_base(base).map(|provider| provider.name);
        assert_eq!(name("https://api.groq.com/openai/v1"), Some("groq"));
        assert_eq!(
            name("https://API.groq.com/openai/v1/chat/completions"),
            Some("groq")
        );
        assert_eq!(name("https://api.deepseek.com"), Some("deepseek"));
        assert_eq!(name("https://api.openai.com/v1?proxy=none"), Some("openai"));
        // The host is compared, not a text that is somewhere in the URL.
        for other in [
            "https://example.com/api.groq.com/openai/v1",
            "https://api.groq.com.example.com/openai/v1",
            "https://example.com/?at=https://api.groq.com/openai/v1",
            "https://api.groq.com@example.com/openai/v1",
            "http://127.0.0.1:8080/v1",
            "http://localhost:8000/api/v1",
            "not a url",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn rows_of_one_host_are_told_apart_by_their_paths() {
        assert!(is_below("/v1/chat/completions", "/v1"));
        assert!(is_below("//v1/", "/v1/"));
        assert!(!is_below("/v11", "/v1"));
        assert!(is_below("/anything", "/"));
    }

    #[test]
    fn near_names_are_few_and_the_nearest_is_first() {
        for (found, first) in [
            ("antropic", "anthropic"),
            ("opnai", "openai"),
            ("lmstudio", "lm_studio"),
            ("LM-Studio", "lm_studio"),
            ("nano_gpt", "nano-gpt"),
            ("x-ai", "xai"),
            ("together", "together_ai"),
            ("fireworks", "fireworks_ai"),
            ("moonshotai", "moonshot"),
            ("vllm", "hosted_vllm"),
        ] {
            let near = near(found);
            assert_eq!(near.first(), Some(&first), "{found}: {near:?}");
            assert!(near.len() <= NEAR, "{found}: {near:?}");
        }
        assert_eq!(near("quuxquux"), [] as [&str; 0]);
        assert_eq!(near(""), [] as [&str; 0]);
    }

    #[test]
    fn a_bare_name_that_is_misspelt_has_the_pattern_that_was_meant() {
        assert_eq!(near_bare("cluade-sonnet-4").as_deref(), Some("claude-…"));
        assert_eq!(near_bare("chatgtp-4o").as_deref(), Some("chatgpt-…"));
        assert_eq!(near_bare("my-model"), None);
    }
}
