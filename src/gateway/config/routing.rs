//! `litellm_settings` and `router_settings`: how one of several deployments is chosen. What stands in
//! both is obeyed as `router_settings` says.

use std::time::Duration;

use serde_json::{Map, Value};

use super::keys::Section;
use super::notice::{NoticeKind, Notices};
use crate::document::fields::{Fields, Lookup, Spelling};
use crate::document::{Data, Node, Place};
use crate::error::Result;
use crate::llm::router::{Alias, Fallbacks, RetryPolicy, RouterSettings, Strategy};

/// How long a measurement of latency counts unless the file says otherwise.
const LATENCY_MEMORY: Duration = Duration::from_hours(1);
const STRATEGIES: &str =
    "simple-shuffle, least-busy, latency-based-routing or usage-based-routing-v2";
/// Strategies of LiteLLM that are not implemented.
const OTHER_STRATEGIES: [&str; 3] = [
    "cost-based-routing",
    "provider-budget-routing",
    "semantic-routing",
];

/// A name that a setting uses, for what it must be known.
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) model: String,
}

/// Reads both sections of settings.
pub(super) struct Routing {
    pub(super) settings: RouterSettings,
    /// Names of models that must be known.
    pub(super) named: Vec<Named>,
    pub(super) has_json_logs: bool,
    pub(super) has_open_metrics: bool,
    pub(super) keeps_traces: bool,
    pub(super) keep_alive: Option<Duration>,
    /// Where the file asks for traces.
    pub(super) otel: Option<Place>,
}

impl Routing {
    pub(super) fn new() -> Self {
        Self {
            settings: RouterSettings::default(),
            named: Vec::new(),
            has_json_logs: false,
            has_open_metrics: false,
            keeps_traces: false,
            keep_alive: None,
            otel: None,
        }
    }

    /// Reads `litellm_settings`.
    pub(super) fn litellm(
        &mut self,
        node: &Node,
        place: Place,
        variables: Lookup<'_>,
        notices: &mut Notices,
    ) -> Result<()> {
        let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
        self.common(&mut fields)?;
        let settings = &mut self.settings;
        settings.timeout = fields.seconds(&["request_timeout"])?;
        settings.drop_params = fields.boolean(&["drop_params"])?.unwrap_or(false);
        self.has_json_logs = fields.boolean(&["json_logs"])?.unwrap_or(false);
        let is_closed = fields.boolean(&["require_auth_for_metrics_endpoint"])?;
        self.has_open_metrics = is_closed == Some(false);
        let goes_on = fields.boolean(&["forward_traceparent_to_llm_provider"])?;
        self.keeps_traces = goes_on == Some(false);
        self.keep_alive = fields.seconds_or_none(&["sse_keepalive_ping_interval_seconds"])?;
        self.callbacks(&mut fields, notices);
        // Read with the servers.
        fields.find(&["mcp_aliases"]);
        notices.finish(Section::Litellm, &fields);
        Ok(())
    }

    /// Reads `router_settings`.
    pub(super) fn router(
        &mut self,
        node: &Node,
        place: Place,
        variables: Lookup<'_>,
        notices: &mut Notices,
    ) -> Result<()> {
        let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
        self.common(&mut fields)?;
        self.strategy(&mut fields, variables, notices)?;
        if let Some((place, node)) = fields.find(&["retry_policy"]) {
            self.settings.retry_policy = retries(node, place, variables, notices)?;
        }
        if let Some((place, node)) = fields.find(&["model_group_retry_policy"]) {
            let groups = Fields::new(node, place, variables, Spelling::OsEnviron)?;
            for (model, node) in groups.members() {
                let place = groups.place.key(model, node);
                self.named.push(Named {
                    place: place.clone(),
                    model: model.clone(),
                });
                let policy = retries(node, place, variables, notices)?;
                let policies = &mut self.settings.group_retry_policies;
                policies.insert(model.clone(), policy);
            }
        }
        if let Some((place, node)) = fields.find(&["allowed_fails_policy"]) {
            let policy = fails(node, place, variables, notices)?;
            self.settings.allowed_fails_policy = policy;
        }
        let settings = &mut self.settings;
        if let Some(retries) = fields.whole(&["max_retries"])?
            && fields.find(&["num_retries"]).is_none()
        {
            settings.num_retries = retries;
        }
        if let Some(timeout) = fields.seconds(&["timeout"])? {
            settings.timeout = Some(timeout);
        }
        settings.stream_timeout = fields.seconds(&["stream_timeout"])?;
        settings.retry_after = fields
            .seconds_or_none(&["retry_after"])?
            .unwrap_or_default();
        settings.disable_cooldowns = fields.boolean(&["disable_cooldowns"])?.unwrap_or(false);
        settings.max_parallel_requests = fields
            .count(&["default_max_parallel_requests"])?
            .and_then(|count| usize::try_from(count).ok());
        settings.defaults = fields.object(&["default_litellm_params"])?;
        settings.enable_pre_call_checks = fields
            .boolean(&["enable_pre_call_checks"])?
            .unwrap_or(false);
        self.aliases(&mut fields)?;
        notices.finish(Section::Router, &fields);
        Ok(())
    }

    /// `callbacks`: who hears of calls, one name or a list of them.
    fn callbacks(&mut self, fields: &mut Fields<'_>, notices: &mut Notices) {
        let Some((place, node)) = fields.find(&["callbacks"]) else {
            return;
        };
        let each = match &node.data {
            Data::List(all) => {
                let all = all.iter().enumerate();
                all.map(|(index, one)| (place.element(index, one), one))
                    .collect()
            }
            _ => vec![(place, node)],
        };
        for (place, node) in each {
            match &node.data {
                Data::Text(name) if name == "otel" => self.otel = Some(place),
                // It is always there.
                Data::Text(name) if name == "prometheus" => {}
                _ => {
                    let sentence = "is a callback that is not implemented and was ignored; there are \
                                    otel and prometheus";
                    notices.push(NoticeKind::NotImplemented, &place, sentence);
                }
            }
        }
    }

    /// What both sections have.
    fn common(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let settings = &mut self.settings;
        if let Some(retries) = fields.whole(&["num_retries"])? {
            settings.num_retries = retries;
        }
        if let Some(fails) = fields.whole(&["allowed_fails"])? {
            settings.allowed_fails = Some(fails);
        }
        if let Some(time) = fields.seconds_or_none(&["cooldown_time"])? {
            settings.cooldown_time = time;
        }
        if let Some(most) = fields.whole(&["max_fallbacks"])? {
            settings.max_fallbacks = most;
        }
        if let Some(models) = fields.texts(&["default_fallbacks"])? {
            settings.default_fallbacks.clone_from(&models);
            self.name(fields, "default_fallbacks", models);
        }
        if let Some(fallbacks) = self.fallbacks(fields, "fallbacks")? {
            self.settings.fallbacks = fallbacks;
        }
        if let Some(fallbacks) = self.fallbacks(fields, "context_window_fallbacks")? {
            self.settings.context_window_fallbacks = fallbacks;
        }
        if let Some(fallbacks) = self.fallbacks(fields, "content_policy_fallbacks")? {
            self.settings.content_policy_fallbacks = fallbacks;
        }
        Ok(())
    }

    fn name(&mut self, fields: &mut Fields<'_>, key: &'static str, models: Vec<String>) {
        if let Some((place, _)) = fields.find(&[key]) {
            self.named.extend(models.into_iter().map(|model| Named {
                place: place.clone(),
                model,
            }));
        }
    }

    /// Lists of other models: `- model: [other, …]`, or one object of them.
    fn fallbacks(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
    ) -> Result<Option<Fallbacks>> {
        let Some((place, node)) = fields.find(&[key]) else {
            return Ok(None);
        };
        let wrong = |place: &Place, node: &Node| {
            place.error(&format!(
                "is {}; it takes a list of {{model: [other, …]}}",
                node.kind()
            ))
        };
        let objects: Vec<(Place, &Node)> = match &node.data {
            Data::Object(_) => vec![(place, node)],
            Data::List(all) => {
                let all = all.iter().enumerate();
                all.map(|(index, one)| (place.element(index, one), one))
                    .collect()
            }
            _ => return Err(wrong(&place, node)),
        };
        let mut fallbacks = Fallbacks::default();
        for (place, node) in objects {
            let Data::Object(members) = &node.data else {
                return Err(wrong(&place, node));
            };
            for (model, node) in members {
                let place = place.key(model, node);
                let others: Vec<String> = match fields.json(&place, node)? {
                    Value::String(other) => vec![other],
                    list => serde_json::from_value(list).map_err(|_| {
                        let kind = node.kind();
                        place.error(&format!("is {kind}; it takes a list of names of models"))
                    })?,
                };
                let wildcard = (model == "*").then(Vec::new);
                let names = wildcard.unwrap_or_else(|| vec![model.clone()]);
                for model in names.into_iter().chain(others.iter().cloned()) {
                    let place = place.clone();
                    self.named.push(Named { place, model });
                }
                fallbacks.0.push((model.clone(), others));
            }
        }
        Ok(Some(fallbacks))
    }

    fn strategy(
        &mut self,
        fields: &mut Fields<'_>,
        variables: Lookup<'_>,
        notices: &mut Notices,
    ) -> Result<()> {
        let (mut memory, mut buffer) = (LATENCY_MEMORY, 0.0);
        if let Some((place, node)) = fields.find(&["routing_strategy_args"]) {
            let mut arguments = Fields::new(node, place, variables, Spelling::OsEnviron)?;
            memory = arguments.seconds(&["ttl"])?.unwrap_or(memory);
            buffer = arguments
                .number(&["lowest_latency_buffer"])?
                .unwrap_or(buffer);
            notices.finish(Section::StrategyArgs, &arguments);
        }
        let given = fields.text(&["routing_strategy"])?;
        let (Some(given), Some((place, _))) = (given, fields.find(&["routing_strategy"])) else {
            return Ok(());
        };
        self.settings.strategy = match given.as_str() {
            "simple-shuffle" => Strategy::SimpleShuffle,
            "least-busy" => Strategy::LeastBusy,
            "latency-based-routing" => Strategy::LatencyBased { memory, buffer },
            "usage-based-routing-v2" | "usage-based-routing" => Strategy::UsageBased,
            other if OTHER_STRATEGIES.contains(&other) => {
                let sentence = format!(
                    "is {other}, which is not implemented; simple-shuffle is used instead. There are \
                     {STRATEGIES}"
                );
                notices.push(NoticeKind::NotImplemented, &place, &sentence);
                Strategy::SimpleShuffle
            }
            other => {
                return Err(place.error(&format!("is {other:?}; it takes {STRATEGIES}")));
            }
        };
        Ok(())
    }

    fn aliases(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let Some((place, node)) = fields.find(&["model_group_alias"]) else {
            return Ok(());
        };
        for (name, value) in fields.object(&["model_group_alias"])? {
            let own = node.get(&name).unwrap_or(node);
            let place = place.key(&name, own);
            let (model, is_hidden) = match &value {
                Value::String(model) => (Some(model.as_str()), false),
                Value::Object(item) => (
                    item.get("model").and_then(Value::as_str),
                    is_true(item, "hidden"),
                ),
                _ => (None, false),
            };
            let Some(model) = model.map(str::to_owned) else {
                return Err(place.error("takes the name of a model, or {model: …, hidden: …}"));
            };
            self.named.push(Named {
                place,
                model: model.clone(),
            });
            self.settings.aliases.push(Alias {
                name,
                model,
                is_hidden,
            });
        }
        Ok(())
    }
}

fn is_true(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// A policy for retries.
fn retries(
    node: &Node,
    place: Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<RetryPolicy> {
    let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
    let policy = RetryPolicy {
        bad_request: fields.whole(&["BadRequestErrorRetries"])?,
        authentication: fields.whole(&["AuthenticationErrorRetries"])?,
        timeout: fields.whole(&["TimeoutErrorRetries"])?,
        rate_limit: fields.whole(&["RateLimitErrorRetries"])?,
        content_policy: fields.whole(&["ContentPolicyViolationErrorRetries"])?,
        internal_server: fields.whole(&["InternalServerErrorRetries"])?,
    };
    notices.finish(Section::RetryPolicy, &fields);
    Ok(policy)
}

/// A policy for failures.
fn fails(
    node: &Node,
    place: Place,
    variables: Lookup<'_>,
    notices: &mut Notices,
) -> Result<RetryPolicy> {
    let mut fields = Fields::new(node, place, variables, Spelling::OsEnviron)?;
    let policy = RetryPolicy {
        bad_request: fields.whole(&["BadRequestErrorAllowedFails"])?,
        authentication: fields.whole(&["AuthenticationErrorAllowedFails"])?,
        timeout: fields.whole(&["TimeoutErrorAllowedFails"])?,
        rate_limit: fields.whole(&["RateLimitErrorAllowedFails"])?,
        content_policy: fields.whole(&["ContentPolicyViolationErrorAllowedFails"])?,
        internal_server: fields.whole(&["InternalServerErrorAllowedFails"])?,
    };
    notices.finish(Section::AllowedFails, &fields);
    Ok(policy)
}
