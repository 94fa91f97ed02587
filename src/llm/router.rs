//! Several deployments behind one name of a model: which one is asked, which one is left alone for a
//! while, what is repeated, and which other models are asked instead. Owns [`Router`]; uses `client`
//! and `provider`.
//!
//! | module | owns |
//! |---|---|
//! | `settings` | what is said about deployments and routers; plain values |
//! | `body` | a request, read once and changed by splicing; pure |
//! | `choice` | which deployment is asked next; pure |
//! | `rules` | what follows from a failure; pure |
//! | `state` | what is remembered of deployments, behind a trait |
//! | `member` | one deployment, its requests and what becomes of them |
//! | `prices` | what its answers cost |
//! | `script` | deployments that answer by themselves |

mod body;
mod choice;
mod member;
mod prices;
mod rules;
mod script;
mod settings;
mod state;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorContext, ErrorKind};

use super::answer;
use super::client::ChatClient;
use super::retry;
use choice::{Candidate, Demand};
use rules::{Detours, Failure};

pub use body::{NotARequest, RequestBody, Wishes};
pub use member::{Given, Member, Streamed, Whole};
pub use settings::{
    Alias, AllowedFails, Deployment, Fallbacks, RetryPolicy, RouterSettings, Strategy,
};
pub use state::{Failures, Load, MemoryState, RouterState, Tally};

/// When limits by the minute are asked again.
const NEXT_MINUTE: Duration = Duration::from_mins(1);

/// Models, each served by one deployment or several.
#[derive(Debug)]
pub struct Router {
    settings: Arc<RouterSettings>,
    /// In the order of the configuration.
    members: Vec<Arc<Member>>,
    groups: HashMap<String, Group>,
    /// From every further name to its group.
    aliases: HashMap<String, String>,
    /// The names that are shown, in the order of the configuration.
    names: Vec<String>,
    client: Arc<ChatClient>,
    state: Arc<dyn RouterState>,
}

#[derive(Debug)]
struct Group {
    name: String,
    members: Vec<Arc<Member>>,
}

/// An answer, and the way to it.
#[derive(Debug)]
pub struct Routed {
    /// What was given.
    pub given: Given,
    /// Who gave it.
    pub member: Arc<Member>,
    /// How often the request was repeated before, within its group.
    pub retries: u32,
    /// How many other models were asked.
    pub fallbacks: u32,
}

impl Router {
    /// A router with connections and a memory of its own.
    pub fn new(deployments: Vec<Deployment>, settings: RouterSettings) -> Self {
        let state = Arc::<MemoryState>::default();
        Self::with_state(deployments, settings, Arc::default(), state)
    }

    /// A router over the connections and the memory of others.
    pub fn with_state(
        deployments: Vec<Deployment>,
        settings: RouterSettings,
        client: Arc<ChatClient>,
        state: Arc<dyn RouterState>,
    ) -> Self {
        let settings = Arc::new(settings);
        let mut sizes: HashMap<String, usize> = HashMap::new();
        for one in &deployments {
            *sizes.entry(one.name.clone()).or_default() += 1;
        }
        let members: Vec<_> = deployments
            .into_iter()
            .map(|one| {
                let is_alone = sizes.get(&one.name) == Some(&1);
                Arc::new(Member::new(one, is_alone, &settings, state.as_ref()))
            })
            .collect();
        let mut groups: HashMap<String, Group> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        for member in &members {
            let name = &member.deployment().name;
            let group = groups.entry(name.clone()).or_insert_with(|| {
                names.push(name.clone());
                Group {
                    name: name.clone(),
                    members: Vec::new(),
                }
            });
            group.members.push(Arc::clone(member));
        }
        let mut aliases = HashMap::new();
        for alias in &settings.aliases {
            if !alias.is_hidden && !names.contains(&alias.name) {
                names.push(alias.name.clone());
            }
            aliases.insert(alias.name.clone(), alias.model.clone());
        }
        Self {
            settings,
            members,
            groups,
            aliases,
            names,
            client,
            state,
        }
    }

    /// A router for another configuration, over the same connections and with the same memory.
    #[must_use]
    pub fn successor(&self, deployments: Vec<Deployment>, settings: RouterSettings) -> Self {
        let (client, state) = (Arc::clone(&self.client), Arc::clone(&self.state));
        Self::with_state(deployments, settings, client, state)
    }

    /// The names of models, in the order of the configuration, without hidden ones.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The deployments, in the order of the configuration.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The deployments that a name stands for; none when the model does not exist.
    pub fn members_of(&self, model: &str) -> &[Arc<Member>] {
        self.group(model).map_or(&[], |group| &group.members)
    }

    /// Whether a request for this model is served: by itself, or by the default fallback.
    pub fn serves(&self, model: &str) -> bool {
        self.group_or_default(model).is_some()
    }

    /// Who would be asked now, if this were a request.
    ///
    /// # Errors
    /// The model does not exist, or nobody can be asked.
    pub fn available(&self, model: &str, body: &RequestBody) -> Result<&Arc<Member>, Error> {
        let Some(group) = self.group_or_default(model) else {
            return Err(unknown(model));
        };
        match self.choose(group, body, &[]) {
            Some(place) => Ok(&group.members[place]),
            None => Err(group.refusal(body)),
        }
    }

    /// What a group is asked for: by name, then by alias.
    fn group(&self, model: &str) -> Option<&Group> {
        let by_alias = || self.groups.get(self.aliases.get(model)?);
        self.groups.get(model).or_else(by_alias)
    }

    fn group_or_default(&self, model: &str) -> Option<&Group> {
        let default = || self.group(self.settings.default_fallbacks.first()?);
        self.group(model).or_else(default)
    }

    /// Gets an answer, or a stream when the request asks for one. A stream that is returned has
    /// begun: nothing is repeated after that.
    ///
    /// # Errors
    /// The model does not exist, or everybody who was asked failed: then it is the error of the model
    /// that was asked for.
    pub async fn ask(&self, model: &str, body: &RequestBody) -> Result<Routed, Error> {
        let wishes = body.wishes();
        let Some(mut group) = self.group_or_default(model) else {
            return Err(unknown(model));
        };
        let own = if wishes.disable_fallbacks {
            Some([].as_slice())
        } else {
            wishes.fallbacks.as_deref()
        };
        let mut detours = Detours::new(&self.settings, own, &group.name);
        let mut first = None;
        loop {
            let (kind, outcome) = match self.ask_group(group, body).await {
                Ok(mut routed) => {
                    routed.fallbacks = detours.taken();
                    if !self.is_refused(group, &routed.given) {
                        return Ok(routed);
                    }
                    (ErrorKind::ContentPolicyViolation, Ok(routed))
                }
                Err(error) => (error.kind(), Err(error)),
            };
            let reached = |outcome: &Result<Routed, Error>| match outcome {
                Ok(_) => "the content policy of its provider".to_owned(),
                Err(error) => error.to_string(),
            };
            let next = loop {
                match detours.next(&group.name, kind) {
                    None => break None,
                    Some(name) => match self.group(name) {
                        None => {}
                        known => break known,
                    },
                }
            };
            let Some(next) = next else {
                return first.unwrap_or(outcome);
            };
            tracing::info!(
                target: "toolbridge::router",
                model = group.name,
                instead = next.name,
                reason = reached(&outcome),
                "another model is asked"
            );
            first.get_or_insert(outcome);
            group = next;
        }
    }

    /// Whether an answer is a refusal by a content policy that another model is there for.
    fn is_refused(&self, group: &Group, given: &Given) -> bool {
        let Given::Whole(whole) = given else {
            return false;
        };
        let kind = ErrorKind::ContentPolicyViolation;
        !self.settings.content_policy_fallbacks.0.is_empty()
            && !rules::fallbacks(&self.settings, &group.name, kind).is_empty()
            && answer::is_filtered(&whole.body)
    }

    async fn ask_group(&self, group: &Group, body: &RequestBody) -> Result<Routed, Error> {
        let mut tried = Vec::new();
        let mut retries = 0;
        let mut last = None;
        loop {
            let Some(place) = self.choose(group, body, &tried) else {
                return Err(last.unwrap_or_else(|| group.refusal(body)));
            };
            let member = &group.members[place];
            let error = match member.ask(&self.client, body).await {
                Ok(given) => {
                    return Ok(Routed {
                        given,
                        member: Arc::clone(member),
                        retries,
                        fallbacks: 0,
                    });
                }
                Err(error) => error.map_context(|context| context.retries = retries),
            };
            let failure = Failure::from(&error);
            let state = rules::Group {
                name: &group.name,
                all: group.members.len(),
                usable: group.usable().count(),
            };
            let asked = body.wishes().num_retries;
            let deployment = member.deployment();
            if !rules::repeats(&self.settings, deployment, failure, state, asked, retries) {
                return Err(error);
            }
            let wait = rules::wait(&self.settings, failure, state, retries, retry::chance());
            retries += 1;
            tracing::debug!(
                target: "toolbridge::router",
                model = group.name,
                deployment = deployment.id,
                retry = retries,
                ?wait,
                reason = %error,
                "the request is repeated"
            );
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            tried.push(place);
            last = Some(error);
        }
    }

    /// Who is asked next: somebody who was not asked before, where there is one.
    fn choose(&self, group: &Group, body: &RequestBody, tried: &[usize]) -> Option<usize> {
        let mut places = Vec::with_capacity(group.members.len());
        let mut candidates = Vec::with_capacity(group.members.len());
        for is_second_round in [false, true] {
            for (place, load) in group.usable() {
                let fits = group.members[place].has_room_for(body);
                if fits && (is_second_round || !tried.contains(&place)) {
                    places.push(place);
                    candidates.push(Candidate {
                        deployment: group.members[place].deployment(),
                        load,
                    });
                }
            }
            if !places.is_empty() || tried.is_empty() {
                break;
            }
        }
        let demand = Demand {
            streams: body.streams(),
            tokens: body.tokens(),
        };
        let chosen = choice::choose(self.settings.strategy, &candidates, demand, retry::chance());
        chosen.map(|place| places[place])
    }
}

impl Group {
    /// The members that are not left alone, with what is known of them.
    fn usable(&self) -> impl Iterator<Item = (usize, Load)> {
        let loads = self.members.iter().map(|member| member.load());
        loads.enumerate().filter(|(_, load)| load.cooling.is_none())
    }

    /// Why nobody is asked.
    fn refusal(&self, body: &RequestBody) -> Error {
        if self.members.iter().any(|member| member.has_room_for(body)) {
            return exhausted(self);
        }
        let message = format!(
            "the request has about {} tokens, more than any deployment of the model {:?} takes \
             (model_info.max_input_tokens, enable_pre_call_checks)",
            body.tokens(),
            self.name
        );
        Error::new(ErrorKind::ContextWindowExceeded, message).with_context(ErrorContext {
            model: Some(self.name.clone()),
            code: Some("context_length_exceeded".to_owned()),
            param: Some("messages".to_owned()),
            ..ErrorContext::default()
        })
    }
}

fn unknown(model: &str) -> Error {
    let message = format!("the model {model:?} does not exist");
    Error::new(ErrorKind::NotFound, message).with_context(ErrorContext {
        model: Some(model.to_owned()),
        code: Some("model_not_found".to_owned()),
        param: Some("model".to_owned()),
        ..ErrorContext::default()
    })
}

fn exhausted(group: &Group) -> Error {
    let loads = group.members.iter().map(|member| member.load());
    let cooling: Vec<_> = loads.filter_map(|load| load.cooling).collect();
    let all = group.members.len();
    let wait = cooling.iter().min().copied();
    // One that is not cooling is at its limits.
    let wait = wait.filter(|_| cooling.len() == all).unwrap_or(NEXT_MINUTE);
    // Seconds are told as whole ones: not too few of them.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let message = format!(
        "no deployment of the model {:?} can be asked now: of {all}, {} failed lately and are left alone, \
         {} are at their rpm or tpm; try again in {seconds} s",
        group.name,
        cooling.len(),
        all - cooling.len()
    );
    Error::new(ErrorKind::RateLimit, message).with_context(ErrorContext {
        model: Some(group.name.clone()),
        code: Some("no_deployment_available".to_owned()),
        retry_after: Some(Duration::from_secs(seconds)),
        ..ErrorContext::default()
    })
}
