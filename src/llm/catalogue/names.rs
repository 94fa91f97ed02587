//! The spellings under which a model may stand in the catalogue, and the names that were probably
//! meant by one that does not.

use crate::error::nearest;

/// As many near names as an error lists.
const NEAR: usize = 4;
/// What stands before the name of a model and chooses among the APIs of its provider.
const ROUTES: [&str; 6] = [
    "responses/",
    "chat/",
    "converse/",
    "converse_like/",
    "invoke/",
    "chat_completions/",
];

/// A name under which the facts may stand.
#[derive(Debug, PartialEq)]
pub(super) struct Spelling<'a> {
    pub(super) key: String,
    /// Whose model it has to be.
    provider: Option<&'a str>,
}

impl Spelling<'_> {
    /// Whether the facts that stand there are of the model that is meant.
    pub(super) fn is_served_by(&self, provider: Option<&str>) -> bool {
        match (self.provider, provider) {
            (Some(wanted), Some(found)) => family(wanted) == family(found),
            _ => true,
        }
    }
}

/// The spellings of a model, the most exact first.
pub(super) fn spellings<'a>(model: &'a str, provider: Option<&'a str>) -> Vec<Spelling<'a>> {
    let mut found: Vec<Spelling<'a>> = Vec::with_capacity(6);
    let mut add = |key: String, provider: Option<&'a str>| {
        let spelling = Spelling { key, provider };
        if !found.contains(&spelling) {
            found.push(spelling);
        }
    };
    let (provider, name) = match (provider, model.split_once('/')) {
        (Some(provider), Some((prefix, name))) if prefix == provider => (Some(provider), name),
        (Some(provider), _) => (Some(provider), model),
        (None, Some((prefix, name))) => {
            // Whole names have slashes too.
            add(model.to_owned(), None);
            (Some(prefix), name)
        }
        (None, None) => (None, model),
    };
    if name.is_empty() {
        return Vec::new();
    }
    let mut names = vec![name];
    let mut rest = name;
    while let Some(after) = ROUTES.iter().find_map(|route| rest.strip_prefix(route)) {
        names.push(after);
        rest = after;
    }
    if provider.is_some_and(|provider| family(provider) == "bedrock") {
        // A region before a slash, or one of the groups of regions before the maker of the model.
        if let Some((_, after)) = rest.split_once('/') {
            names.push(after);
            rest = after;
        }
        if let Some((group, after)) = rest.split_once('.')
            && group.len() <= 6
            && after.contains('.')
        {
            names.push(after);
        }
    }
    // A model that was tuned is named after its base.
    let tuned = name
        .strip_prefix("ft:")
        .and_then(|base| base.split(':').next())
        .map(|base| &name[.."ft:".len() + base.len()]);
    names.extend(tuned);
    for name in names {
        if let Some(provider) = provider {
            for prefix in [provider, family(provider)] {
                add(format!("{prefix}/{name}"), None);
            }
        }
        add(name.to_owned(), provider);
    }
    found
}

/// Providers that serve the same models at the same prices.
fn family(provider: &str) -> &str {
    let provider = provider
        .strip_prefix("text-completion-")
        .unwrap_or(provider);
    match provider {
        "ai21_chat" => "ai21",
        "amazon_nova" => "amazon-nova",
        "azure_text" => "azure",
        "bedrock_converse" => "bedrock",
        "cohere_chat" => "cohere",
        "ollama_chat" => "ollama",
        "sagemaker_chat" => "sagemaker",
        vertex if vertex.starts_with("vertex_ai") => "vertex_ai",
        other => other,
    }
}

/// The names that were probably meant, the nearest first, in quotes.
pub(super) fn near(model: &str) -> Vec<String> {
    fn last(name: &str) -> &str {
        name.rsplit('/').next().unwrap_or(name)
    }
    let known = super::names();
    let mut near: Vec<&str> = Vec::new();
    let mut add = |name: &'_ str| {
        if let Some(name) = known.iter().find(|known| *known == name)
            && near.len() < NEAR
            && !near.contains(&name.as_str())
        {
            near.push(name);
        }
    };
    if let Some(name) = nearest(model, known.iter().map(String::as_str)) {
        add(name);
    }
    let wanted = last(model);
    if let Some(meant) = nearest(wanted, known.iter().map(|name| last(name))) {
        // The shortest are those of whoever made the model.
        let mut same: Vec<&str> = known
            .iter()
            .filter(|name| last(name) == meant)
            .map(String::as_str)
            .collect();
        same.sort_by_key(|name| name.len());
        same.into_iter().for_each(&mut add);
    }
    if wanted.len() >= 4 {
        known
            .iter()
            .filter(|name| last(name).starts_with(wanted))
            .for_each(|name| add(name));
    }
    near.into_iter().map(|name| format!("{name:?}")).collect()
}
