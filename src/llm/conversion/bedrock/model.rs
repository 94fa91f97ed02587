//! What a model name says: the region, the id that the service knows, the family that decides about
//! parameters.

use crate::llm::conversion::anthropic::model as claude;

/// Prefixes that say which API is meant, or which family a model behind an ARN is of.
const WORDS: [&str; 6] = [
    "converse/",
    "converse_like/",
    "nova/",
    "llama/",
    "deepseek_r1/",
    "openai/",
];

/// A model name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// The model id, inference profile or ARN.
    pub id: &'a str,
    /// The region that it names, by a prefix or within the ARN.
    pub region: Option<&'a str>,
    /// The word that says of which family it is, where the id does not.
    pub word: Option<&'a str>,
}

/// Takes `converse/`, `us-west-2/` and the like off a name. Any of them may be missing.
pub fn parse(name: &str) -> ModelName<'_> {
    let mut id = name;
    let mut region = None;
    let mut word = None;
    loop {
        if let Some(found) = WORDS.iter().find(|word| id.starts_with(**word)) {
            let (first, rest) = id.split_at(found.len());
            word = Some(first.trim_end_matches('/'));
            id = rest;
        } else if let Some((first, rest)) = id.split_once('/')
            && is_region(first)
        {
            region = Some(first);
            id = rest;
        } else if let Some((first, rest)) = id.split_once('/')
            && first.ends_with("-month-commitment")
        {
            id = rest;
        } else {
            break;
        }
    }
    if region.is_none() && id.starts_with("arn:") {
        region = id.split(':').nth(3).filter(|region| !region.is_empty());
    }
    ModelName { id, region, word }
}

/// `us-east-1`, `us-gov-west-1`, `ap-southeast-2`.
fn is_region(word: &str) -> bool {
    let mut parts = word.split('-').rev();
    let is_number = |part: &str| part.parse::<u8>().is_ok();
    let is_word =
        |part: &str| part.len() >= 2 && part.bytes().all(|letter| letter.is_ascii_lowercase());
    parts.next().is_some_and(is_number) && parts.clone().count() >= 2 && parts.all(is_word)
}

/// Who made a model, as far as parameters depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    /// Models that take an effort by the name that OpenAI has for it.
    Effort,
    Mistral,
    Other,
}

impl Family {
    pub(super) fn of(model: &str) -> Self {
        let name = parse(model);
        let has = |part: &str| name.id.contains(part);
        if has("anthropic.") || has("claude") {
            Self::Claude
        } else if has("amazon.nova") || name.word == Some("nova") {
            Self::Nova
        } else if [
            "openai.",
            "deepseek.v",
            "qwen.",
            "moonshot",
            "zai.",
            "minimax.",
        ]
        .iter()
        .any(|part| has(part))
            || name.word == Some("openai")
        {
            Self::Effort
        } else if has("mistral.") {
            Self::Mistral
        } else {
            Self::Other
        }
    }

    /// Whether a tool can be forced by its name.
    pub(super) fn can_force_a_tool(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }

    /// Whether some tool can be forced.
    pub(super) fn can_force_tools(self) -> bool {
        self.can_force_a_tool() || self == Self::Mistral
    }
}

/// Whether the result of a tool has pictures, documents and a status.
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html>)
pub(in crate::llm) fn takes_media_in_results(model: &str) -> bool {
    matches!(Family::of(model), Family::Claude | Family::Nova)
}

/// Whether the model takes `outputConfig.textFormat`; others answer in JSON through a tool.
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>)
pub(super) fn has_structured_outputs(model: &str) -> bool {
    let id = parse(model).id;
    match Family::of(model) {
        // Later than at Anthropic itself.
        Family::Claude => claude::generation(id).is_some_and(|version| version >= (4, 5)),
        Family::Effort => !id.contains("deepseek.v3-v1"),
        Family::Mistral | Family::Nova | Family::Other => [
            "mistral.ministral",
            "mistral.mistral-large-3",
            "mistral.magistral",
            "mistral.voxtral",
            "google.gemma-3",
            "nvidia.nemotron",
        ]
        .iter()
        .any(|part| id.contains(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_in_every_form() {
        let haiku = "anthropic.claude-3-haiku-20240307-v1:0";
        let profile =
            "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0";
        for (name, id, region) in [
            (haiku.to_owned(), haiku, None),
            (format!("converse/{haiku}"), haiku, None),
            (format!("us-west-2/{haiku}"), haiku, Some("us-west-2")),
            (
                format!("converse/us-gov-west-1/{haiku}"),
                haiku,
                Some("us-gov-west-1"),
            ),
            (
                format!("us-east-1/6-month-commitment/{haiku}"),
                haiku,
                Some("us-east-1"),
            ),
            (profile.to_owned(), profile, Some("eu-central-1")),
            (format!("nova/{profile}"), profile, Some("eu-central-1")),
            (format!("us-west-2/{profile}"), profile, Some("us-west-2")),
            (
                "us.amazon.nova-pro-v1:0".to_owned(),
                "us.amazon.nova-pro-v1:0",
                None,
            ),
        ] {
            let found = parse(&name);
            assert_eq!((found.id, found.region), (id, region), "{name}");
        }
    }

    #[test]
    fn the_family_is_read_off_ids_profiles_and_words() {
        for (name, family) in [
            (
                "us-west-2/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                Family::Claude,
            ),
            ("eu.amazon.nova-2-lite-v1:0", Family::Nova),
            (
                "nova/arn:aws:bedrock:us-east-1:1:custom-model/x",
                Family::Nova,
            ),
            ("openai.gpt-oss-120b-1:0", Family::Effort),
            ("deepseek.v3-v1:0", Family::Effort),
            ("us.deepseek.r1-v1:0", Family::Other),
            ("mistral.mistral-large-2402-v1:0", Family::Mistral),
            ("meta.llama3-1-70b-instruct-v1:0", Family::Other),
        ] {
            assert_eq!(Family::of(name), family, "{name}");
        }
    }
}
