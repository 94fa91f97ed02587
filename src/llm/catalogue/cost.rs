//! What a usage costs by the prices of a model. Pure.
//!
//! Prices are for one token, in US dollars. A request is charged as a whole by the highest step that
//! its prompt is beyond (`…_above_200k_tokens`, `tiered_pricing`), and by the prices of its service
//! tier (`…_priority`, `…_flex`) where there are such. A kind of token without a price of its own
//! costs what the others cost, never nothing.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// What a usage costs, in US dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Of the prompt: its tokens, what was read from a cache or written to one.
    pub prompt: f64,
    /// Of the answer, thoughts included.
    pub completion: f64,
    /// Of searches in the web.
    pub searches: f64,
}

impl Cost {
    /// All of it.
    pub fn total(self) -> f64 {
        self.prompt + self.completion + self.searches
    }
}

/// A member that counts for nothing where it is not what it should be. Reads JSON text.
#[derive(Debug, Clone, PartialEq)]
struct Said<T>(Option<T>);

impl<T> Default for Said<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(text.get()).ok()))
    }
}

/// The same of a number.
#[derive(Debug, Clone, Default, PartialEq)]
struct Count(Option<f64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        // Of all JSON values numbers alone are read by Rust's own parser, without another one of JSON.
        let number = text.get().parse().ok();
        Ok(Self(number.filter(|number: &f64| number.is_finite())))
    }
}

/// What tokens were used for, as OpenAI's `usage` says it, with the members that other providers add.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FullUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    prompt_tokens_details: Said<Kinds>,
    completion_tokens_details: Said<Kinds>,
    cache_read_input_tokens: Count,
    prompt_cache_hit_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Said<Written>,
    citation_tokens: Count,
    server_tool_use: Said<Kinds>,
    num_search_queries: Count,
}

/// What there is of a prompt, of an answer and of tools of the provider's own.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Kinds {
    cached_tokens: Count,
    cache_creation_tokens: Count,
    cache_write_tokens: Count,
    cache_creation_token_details: Said<Written>,
    reasoning_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    video_tokens: Count,
    web_search_requests: Count,
}

/// What was written to a cache, by how long it stays there.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Written {
    ephemeral_1h_input_tokens: Count,
    ephemeral_5m_input_tokens: Count,
}

/// The same without doubles: what there is of each kind, 0 where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Used {
    prompt: f64,
    cached: f64,
    written: f64,
    written_for_an_hour: f64,
    prompt_audio: f64,
    prompt_image: f64,
    prompt_video: f64,
    completion: f64,
    reasoning: f64,
    audio: f64,
    image: f64,
    video: f64,
    citations: f64,
    searches: f64,
}

impl Used {
    fn of(usage: &FullUsage) -> Self {
        let (nothing, nothing_written) = (Kinds::default(), Written::default());
        let request = usage.prompt_tokens_details.0.as_ref().unwrap_or(&nothing);
        let answer = usage.completion_tokens_details.0.as_ref();
        let answer = answer.unwrap_or(&nothing);
        let tools = usage.server_tool_use.0.as_ref().unwrap_or(&nothing);
        let writing = usage.cache_creation.0.as_ref();
        let writing = writing.unwrap_or(&nothing_written);
        let details = request.cache_creation_token_details.0.as_ref();
        let details = details.unwrap_or(&nothing_written);
        let hour = first([
            &writing.ephemeral_1h_input_tokens,
            &details.ephemeral_1h_input_tokens,
        ]);
        let minutes = first([
            &writing.ephemeral_5m_input_tokens,
            &details.ephemeral_5m_input_tokens,
        ]);
        let written = first([
            &request.cache_creation_tokens,
            &request.cache_write_tokens,
            &usage.cache_creation_input_tokens,
        ]);
        Self {
            prompt: first([&usage.prompt_tokens]),
            cached: first([
                &request.cached_tokens,
                &usage.cache_read_input_tokens,
                &usage.prompt_cache_hit_tokens,
            ]),
            written: written.max(hour + minutes) - hour,
            written_for_an_hour: hour,
            prompt_audio: first([&request.audio_tokens]),
            prompt_image: first([&request.image_tokens]),
            prompt_video: first([&request.video_tokens]),
            completion: first([&usage.completion_tokens]),
            reasoning: first([&answer.reasoning_tokens]),
            audio: first([&answer.audio_tokens]),
            image: first([&answer.image_tokens]),
            video: first([&answer.video_tokens]),
            citations: first([&usage.citation_tokens]),
            searches: first([
                &tools.web_search_requests,
                &request.web_search_requests,
                &usage.num_search_queries,
            ]),
        }
    }
}

/// The first count of these that is above 0; 0 where there is none.
fn first<const N: usize>(counts: [&Count; N]) -> f64 {
    let mut counts = counts.into_iter().filter_map(|count| count.0);
    counts.find(|count| *count > 0.0).unwrap_or(0.0)
}

/// Whether a fact of that name is a price.
pub fn is_price(name: &str) -> bool {
    name.contains("_cost_per_") || name.contains("_token_cost") || name == "tiered_pricing"
}

/// What a usage costs. None where the facts have no price of tokens.
///
/// `tier` is the service tier that served the request, as OpenAI names it.
pub fn of(facts: &Map<String, Value>, usage: &FullUsage, tier: Option<&str>) -> Option<Cost> {
    let used = Used::of(usage);
    let rates = Rates::new(facts, used.prompt, tier)?;
    let input = rates.rate("input_cost_per_token").unwrap_or(0.0);
    let output = rates.rate("output_cost_per_token").unwrap_or(0.0);
    let price = |name: &str, other: f64| rates.rate(name).unwrap_or(other);

    let apart = used.cached
        + used.written
        + used.written_for_an_hour
        + used.prompt_audio
        + used.prompt_image
        + used.prompt_video;
    let written = || price("cache_creation_input_token_cost", input);
    let prompt = (used.prompt - apart).max(0.0) * input
        + charge(used.cached, || {
            let cached = rates.rate("cache_read_input_token_cost");
            let cached = cached.or_else(|| rates.rate("input_cost_per_token_cache_hit"));
            cached.unwrap_or(input)
        })
        + charge(used.written, written)
        + charge(used.written_for_an_hour, || {
            price("cache_creation_input_token_cost_above_1hr", written())
        })
        + charge(used.prompt_audio, || {
            price("input_cost_per_audio_token", input)
        })
        + charge(used.prompt_image, || {
            price("input_cost_per_image_token", input)
        })
        + charge(used.prompt_video, || {
            price("input_cost_per_video_token", input)
        })
        + charge(used.citations, || price("citation_cost_per_token", 0.0))
        + price("input_cost_per_request", 0.0);

    let apart = used.reasoning + used.audio + used.image + used.video;
    let completion = (used.completion - apart).max(0.0) * output
        + charge(used.reasoning, || rates.reasoning(output))
        + charge(used.audio, || price("output_cost_per_audio_token", output))
        + charge(used.image, || price("output_cost_per_image_token", output))
        + charge(used.video, || price("output_cost_per_video_token", output));
    Some(Cost {
        prompt,
        completion,
        searches: charge(used.searches, || search(facts)),
    })
}

/// What so many cost. A price is looked up for what there is alone: most answers have none of most
/// kinds, and a gateway pays for every look.
fn charge(count: f64, price: impl FnOnce() -> f64) -> f64 {
    if count == 0.0 { 0.0 } else { count * price() }
}

/// What one search costs, with as much of the pages as a request gets that does not say how much.
fn search(facts: &Map<String, Value>) -> f64 {
    let sizes = facts.get("search_context_cost_per_query");
    let medium = sizes.and_then(|sizes| sizes.get("search_context_size_medium"));
    medium.and_then(number).unwrap_or(0.0)
}

/// The prices of one request.
struct Rates<'a> {
    facts: &'a Map<String, Value>,
    /// The step of `tiered_pricing`, whose prices stand for those of `facts`.
    step: Option<&'a Map<String, Value>>,
    /// As in `_above_200k_tokens`.
    above: Option<String>,
    /// As in `_priority`.
    tier: Option<&'static str>,
}

impl<'a> Rates<'a> {
    fn new(facts: &'a Map<String, Value>, prompt: f64, tier: Option<&str>) -> Option<Self> {
        let step = step(facts, prompt);
        let has = |name| facts.get(name).and_then(number).is_some();
        if step.is_none() && !has("input_cost_per_token") && !has("output_cost_per_token") {
            return None;
        }
        Some(Self {
            facts,
            step,
            above: above(facts, prompt),
            tier: match tier {
                Some("flex") => Some("_flex"),
                Some("priority" | "fast") => Some("_priority"),
                _ => None,
            },
        })
    }

    fn rate(&self, name: &str) -> Option<f64> {
        if let Some(step) = self.step {
            let own = step.get(name).and_then(number);
            // A step without a price for answers has that of the model.
            let others = || self.fact(name).filter(|_| name.starts_with("output_"));
            return own.or_else(others);
        }
        let above = self.above.as_deref().unwrap_or_default();
        if let Some(tier) = self.tier {
            let found = self
                .above
                .as_ref()
                .and_then(|_| self.fact(&format!("{name}{above}{tier}")));
            let found = found.or_else(|| {
                let above = self.above.as_ref()?;
                self.fact(&format!("{name}{above}"))
            });
            if let Some(rate) = found.or_else(|| self.fact(&format!("{name}{tier}"))) {
                return Some(rate);
            }
        } else if let Some(above) = &self.above
            && let Some(rate) = self.fact(&format!("{name}{above}"))
        {
            return Some(rate);
        }
        self.fact(name)
    }

    /// What a token of thoughts costs: like the others of the answer, where these have a price of the
    /// tier or of the step and the thoughts have none.
    fn reasoning(&self, output: f64) -> f64 {
        let name = "output_cost_per_reasoning_token";
        if let Some(tier) = self.tier {
            if let Some(rate) = self.fact(&format!("{name}{tier}")) {
                return rate;
            }
            if self.fact(&format!("output_cost_per_token{tier}")).is_some() {
                return output;
            }
        }
        match self.step {
            Some(step) => step.get(name).and_then(number).unwrap_or(output),
            None => self.rate(name).unwrap_or(output),
        }
    }

    fn fact(&self, name: &str) -> Option<f64> {
        number(self.facts.get(name)?)
    }
}

/// The step of `tiered_pricing` that a prompt of so many tokens is on: beyond its start, and up to its
/// end; the last one is for all that are longer.
fn step(facts: &Map<String, Value>, prompt: f64) -> Option<&Map<String, Value>> {
    let steps = facts.get("tiered_pricing")?.as_array()?;
    let ends = |step: &Map<String, Value>| {
        let range = step.get("range")?.as_array()?;
        Some((number(range.first()?)?, number(range.get(1)?)?))
    };
    let steps = steps.iter().filter_map(Value::as_object);
    let mut last = None;
    for step in steps {
        let Some((start, end)) = ends(step) else {
            continue;
        };
        if prompt <= end && prompt >= start {
            return Some(step);
        }
        last = Some(step);
    }
    last
}

/// The highest step that a prompt of so many tokens is beyond, as it stands in the names of prices.
fn above(facts: &Map<String, Value>, prompt: f64) -> Option<String> {
    // At xAI a step begins with its first token.
    let begins = facts.get("litellm_provider") == Some(&Value::from("xai"));
    let steps = facts.keys().filter_map(|name| {
        let above = name.strip_prefix("input_cost_per_token_above_")?;
        let count = above.strip_suffix("_tokens")?;
        let bound = match count.strip_suffix('k') {
            Some(thousands) => thousands.parse::<f64>().ok()? * 1000.0,
            None => count.parse().ok()?,
        };
        (prompt > bound || (begins && prompt >= bound)).then_some((bound, above))
    });
    let highest = steps.max_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(format!("_above_{}", highest.1))
}

/// A price; configuration files have some as texts (`"3e-7"`).
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cost(facts: Value, usage: Value, tier: Option<&str>) -> Option<Cost> {
        let (Value::Object(facts), Value::Object(usage)) = (facts, usage) else {
            panic!("objects are given");
        };
        let usage = Value::Object(usage).to_string();
        of(&facts, &serde_json::from_str(&usage).unwrap(), tier)
    }

    #[track_caller]
    fn assert_costs(facts: Value, usage: Value, tier: Option<&str>, prompt: f64, completion: f64) {
        let cost = cost(facts, usage, tier).unwrap();
        let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
        assert!(
            near(cost.prompt, prompt) && near(cost.completion, completion),
            "{cost:?}, not {prompt} and {completion}"
        );
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let facts = json!({
            "input_cost_per_token": 1, "output_cost_per_token": 10,
            "cache_read_input_token_cost": 0.1, "cache_creation_input_token_cost": 2,
            "cache_creation_input_token_cost_above_1hr": 3, "input_cost_per_audio_token": 5,
            "input_cost_per_image_token": 6, "output_cost_per_audio_token": 20,
            "output_cost_per_reasoning_token": 30,
        });
        let usage = json!({
            "prompt_tokens": 100, "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 20, "cache_creation_tokens": 10, "audio_tokens": 4, "image_tokens": 6},
            "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 5},
        });
        // 60 texts, 20 read, 7 and 3 written, 4 of sound, 6 of pictures; 15 texts, 30 thoughts, 5 of sound.
        let prompt = 60.0 + 2.0 + 14.0 + 9.0 + 20.0 + 36.0;
        assert_costs(facts, usage, None, prompt, 150.0 + 900.0 + 100.0);
    }

    #[test]
    fn a_kind_without_a_price_costs_what_the_others_cost() {
        let facts = json!({"input_cost_per_token": "1e0", "output_cost_per_token": 2});
        let usage = json!({
            "prompt_tokens": 10, "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_creation_tokens": 3, "audio_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": null},
        });
        assert_costs(facts, usage, Some("priority"), 10.0, 20.0);
    }

    #[test]
    fn a_prompt_beyond_a_step_is_charged_by_it_as_a_whole() {
        let facts = json!({
            "input_cost_per_token": 1, "output_cost_per_token": 1,
            "input_cost_per_token_above_128k_tokens": 2, "output_cost_per_token_above_128k_tokens": 3,
            "input_cost_per_token_above_200k_tokens": 4, "output_cost_per_token_above_200k_tokens": 5,
            "cache_read_input_token_cost": 0.5, "cache_read_input_token_cost_above_200k_tokens": 0.25,
            "input_cost_per_token_above_200k_tokens_priority": 40,
        });
        let usage = |prompt: u64| json!({"prompt_tokens": prompt, "completion_tokens": 10});
        assert_costs(facts.clone(), usage(128_000), None, 128_000.0, 10.0);
        assert_costs(facts.clone(), usage(128_001), None, 256_002.0, 30.0);
        assert_costs(facts.clone(), usage(200_001), None, 800_004.0, 50.0);
        assert_costs(
            facts.clone(),
            usage(200_001),
            Some("priority"),
            8_000_040.0,
            50.0,
        );
        let cached = json!({
            "prompt_tokens": 200_004, "completion_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 4},
        });
        assert_costs(facts.clone(), cached, None, 800_001.0, 0.0);
        let mut of_xai = facts;
        of_xai["litellm_provider"] = json!("xai");
        assert_costs(of_xai, usage(128_000), None, 256_000.0, 30.0);
    }

    #[test]
    fn steps_in_a_list_are_charged_as_a_whole_too() {
        let facts = json!({
            "output_cost_per_token": 7,
            "tiered_pricing": [
                {"range": [0, 100], "input_cost_per_token": 1, "output_cost_per_token": 2},
                {"range": [100, 200], "input_cost_per_token": 3, "output_cost_per_reasoning_token": 9},
            ],
        });
        let usage = |prompt: u64| {
            json!({
                "prompt_tokens": prompt, "completion_tokens": 10,
                "completion_tokens_details": {"reasoning_tokens": 4},
            })
        };
        assert_costs(facts.clone(), usage(100), None, 100.0, 20.0);
        assert_costs(facts.clone(), usage(101), None, 303.0, 42.0 + 36.0);
        assert_costs(facts, usage(1000), None, 3000.0, 42.0 + 36.0);
    }

    #[test]
    fn tiers_have_prices_and_fall_back_to_the_plain_ones() {
        let facts = json!({
            "input_cost_per_token": 4, "input_cost_per_token_flex": 2, "input_cost_per_token_priority": 8,
            "output_cost_per_token": 10, "output_cost_per_token_priority": 20,
            "output_cost_per_reasoning_token": 11,
        });
        let usage = json!({
            "prompt_tokens": 1, "completion_tokens": 1,
            "completion_tokens_details": {"reasoning_tokens": 1},
        });
        assert_costs(facts.clone(), usage.clone(), Some("flex"), 2.0, 11.0);
        assert_costs(facts.clone(), usage.clone(), Some("priority"), 8.0, 20.0);
        assert_costs(facts.clone(), usage.clone(), Some("default"), 4.0, 11.0);
        assert_costs(facts, usage, None, 4.0, 11.0);
    }

    #[test]
    fn searches_are_charged_each() {
        let facts = json!({
            "input_cost_per_token": 0, "output_cost_per_token": 0,
            "search_context_cost_per_query": {"search_context_size_medium": 0.01},
        });
        let usage = json!({"server_tool_use": {"web_search_requests": 3}});
        let cost = cost(facts, usage, None).unwrap();
        assert!((cost.total() - 0.03).abs() < 1e-12, "{cost:?}");
    }

    #[test]
    fn a_model_without_prices_has_no_cost_and_strange_usage_counts_nothing() {
        assert_eq!(
            cost(json!({"mode": "chat"}), json!({"prompt_tokens": 5}), None),
            None
        );
        let facts = json!({"input_cost_per_token": 1, "output_cost_per_token": 1});
        let strange = json!({
            "prompt_tokens": "many", "completion_tokens": -4, "prompt_tokens_details": [],
            "completion_tokens_details": null, "cache_creation": 1,
        });
        assert_eq!(cost(facts, strange, None), Some(Cost::default()));
    }
}
