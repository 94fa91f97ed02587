//! The loop. Owns [`Run`] and [`Settings`].

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::approval::{Approver, Decision};
use super::calls::Round;
use super::conversation::Conversation;
use super::event::{Event, Listener, raw};
use super::model::{Model, Origin};
use super::offer::{Choice, Offer};
use super::outcome::{Call, Done, Outcome, Stop, add_usage};
use super::results::{self, Rests};
use super::toolbox::Toolbox;
use super::turn::{self, Called, Turn};
use crate::error::Result;
use crate::json::RawJson;

/// How often a model is asked when nobody says.
pub const DEFAULT_MAX_ROUNDS: u32 = 20;
/// How many calls are under way at once when nobody says.
pub const DEFAULT_MAX_PARALLEL: usize = 16;

/// How many tools a model is told of when nobody says; OpenAI takes no more than 128.
pub const DEFAULT_SEARCH_ABOVE: usize = 100;

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often the model is asked.
    pub max_rounds: u32,
    /// How many calls of a round are under way at once.
    pub max_parallel: usize,
    /// How long one call may take; none leaves it to its server's own limit.
    pub tool_timeout: Option<Duration>,
    /// Whether the model is asked for streams.
    pub streams: bool,
    /// How many tokens of a result the model is shown at once; none shows all.
    pub result_tokens: Option<u64>,
    /// Whether the model finds tools by words rather than being told of all.
    pub search: Search,
}

/// When a model finds tools by words rather than being told of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Never.
    Never,
    /// Always.
    Always,
    /// When there are more than so many.
    Above(usize),
}

impl Search {
    pub(super) fn is_on(self, count: usize) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Above(limit) => count > limit,
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::Above(DEFAULT_SEARCH_ABOVE)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_rounds: DEFAULT_MAX_ROUNDS,
            max_parallel: DEFAULT_MAX_PARALLEL,
            tool_timeout: None,
            streams: false,
            result_tokens: None,
            search: Search::default(),
        }
    }
}

/// A model, the tools that it may call, and a conversation.
pub struct Run {
    model: Arc<dyn Model>,
    toolbox: Arc<dyn Toolbox>,
    choice: Choice,
    settings: Settings,
    approver: Option<Arc<dyn Approver>>,
    listener: Option<Listener>,
    /// Calls that an earlier run left, with what was decided about them.
    pending: Vec<Call>,
    decided: Vec<(String, Decision)>,
    rests: Rests,
    progress: Progress,
}

/// How far a run is.
#[derive(Debug)]
struct Progress {
    conversation: Conversation,
    response: Option<RawJson>,
    origin: Origin,
    offered: RawJson,
    usage: Map<String, Value>,
    rounds: u32,
    calls: Vec<Done>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Run")
            .field("settings", &self.settings)
            .field("rounds", &self.progress.rounds)
            .finish_non_exhaustive()
    }
}

impl Run {
    /// One that begins with this conversation.
    pub fn new(
        model: Arc<dyn Model>,
        toolbox: Arc<dyn Toolbox>,
        conversation: Conversation,
        settings: Settings,
    ) -> Self {
        Self {
            model,
            toolbox,
            choice: Choice::default(),
            settings,
            approver: None,
            listener: None,
            pending: Vec::new(),
            decided: Vec::new(),
            rests: Rests::default(),
            progress: Progress {
                conversation,
                response: None,
                origin: Origin::default(),
                offered: RawJson::trusted(&b"[]"[..]),
                usage: Map::new(),
                rounds: 0,
                calls: Vec::new(),
            },
        }
    }

    /// Says which tools are offered.
    #[must_use]
    pub fn offering(mut self, choice: Choice) -> Self {
        self.choice = choice;
        self
    }

    /// Says who decides about calls.
    #[must_use]
    pub fn approved_by(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Says who hears of it.
    #[must_use]
    pub fn heard_by(mut self, listener: Listener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Puts something around the model.
    #[must_use]
    pub(super) fn asking(mut self, around: impl FnOnce(Arc<dyn Model>) -> Arc<dyn Model>) -> Self {
        self.model = around(self.model);
        self
    }

    /// Says that the model is asked for streams.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.settings.streams = true;
        self
    }

    /// Goes on where another run stopped: with the calls that it left, and what was decided about
    /// them. The rounds of the other run count for this one.
    #[must_use]
    pub fn resumed(
        mut self,
        pending: Vec<Call>,
        decided: Vec<(String, Decision)>,
        rounds: u32,
        usage: Map<String, Value>,
    ) -> Self {
        self.pending = pending;
        self.decided = decided;
        self.progress.rounds = rounds;
        self.progress.usage = usage;
        self
    }

    /// Runs until the model answers without a call, or something else ends it.
    pub async fn go(mut self) -> Outcome {
        let (stop, pending) = match self.rounds().await {
            Ok(ended) => ended,
            Err(error) => (Stop::Failed(error), Vec::new()),
        };
        let progress = self.progress;
        Outcome {
            stop,
            response: progress.response,
            origin: progress.origin,
            messages: progress.conversation.into_messages(),
            usage: progress.usage,
            offered: progress.offered,
            rounds: progress.rounds,
            calls: progress.calls,
            pending,
        }
    }

    async fn rounds(&mut self) -> Result<(Stop, Vec<Call>)> {
        let mut offer = self.offer(None).await?;
        self.progress.offered = offer.of_servers().clone();
        if let Some(listener) = self
            .listener
            .as_ref()
            .filter(|listener| listener.wants_chunks)
        {
            let (round, tools) = (self.progress.rounds, raw(offer.of_servers().as_bytes()));
            listener.tell(Event::Offered { round, tools }).await;
        }
        if !self.pending.is_empty() {
            let left = std::mem::take(&mut self.pending);
            let calls = left.into_iter().map(Called::Function).collect();
            // Another call of a later round may have the same id.
            let decided = std::mem::take(&mut self.decided);
            if let Some(ended) = self.carry_out(&offer, calls, &decided).await? {
                return Ok(ended);
            }
        }
        loop {
            offer = self.offer(Some(offer)).await?;
            let turn = self.ask(&offer).await?;
            if turn.calls.is_empty() {
                return Ok((Stop::Finished, Vec::new()));
            }
            if self.progress.rounds >= self.settings.max_rounds {
                return Ok((Stop::RoundLimit, functions(turn.calls)));
            }
            if let Some(ended) = self.carry_out(&offer, turn.calls, &[]).await? {
                return Ok(ended);
            }
        }
    }

    /// The tools as they are now.
    async fn offer(&self, known: Option<Offer>) -> Result<Offer> {
        let (version, tools) = self.toolbox.tools().await?;
        match known {
            Some(known) if known.is_of(version) => Ok(known),
            known => {
                let is_first = known.is_none();
                Offer::new(version, &tools, &self.choice, &self.settings, is_first)
            }
        }
    }

    async fn ask(&mut self, offer: &Offer) -> Result<Turn> {
        let progress = &mut self.progress;
        progress.rounds += 1;
        let round = progress.rounds;
        let streams = self.settings.streams;
        let body = progress.conversation.body(offer.text(), streams);
        let listener = self.listener.as_ref();
        let mut turn = turn::take(self.model.as_ref(), body, streams, round, listener).await?;
        progress.conversation.push(turn.message.clone());
        progress.response = Some(turn.response.clone());
        progress.origin = std::mem::take(&mut turn.origin);
        if let Some(usage) = &turn.usage {
            add_usage(&mut progress.usage, usage);
        }
        if let Some(listener) = listener {
            listener
                .tell(Event::RoundFinished {
                    round,
                    message: raw(turn.message.as_bytes()),
                    finish_reason: turn.finish_reason.clone(),
                    usage: turn.usage.clone().map(Value::Object),
                })
                .await;
        }
        Ok(turn)
    }

    /// Carries out the calls of a round; says how the run ends where it cannot go on after them.
    async fn carry_out(
        &mut self,
        offer: &Offer,
        calls: Vec<Called>,
        decided: &[(String, Decision)],
    ) -> Result<Option<(Stop, Vec<Call>)>> {
        let round = Round {
            number: self.progress.rounds,
            offer,
            toolbox: self.toolbox.as_ref(),
            approver: self.approver.as_deref(),
            asking: Mutex::new(()),
            listener: self.listener.as_ref(),
            max_parallel: self.settings.max_parallel,
            tool_timeout: self.settings.tool_timeout,
            result_tokens: self.settings.result_tokens,
            rests: &self.rests,
        };
        let carried = round.carry_out(calls, decided).await?;
        for message in results::messages(&carried.done, &self.model.room())? {
            self.progress.conversation.push(message);
        }
        self.progress.calls.extend(carried.done);
        if !carried.deferred.is_empty() {
            let mut pending = carried.deferred;
            pending.extend(carried.callers);
            return Ok(Some((Stop::Approval, pending)));
        }
        if !carried.callers.is_empty() {
            return Ok(Some((Stop::FunctionCalls, carried.callers)));
        }
        Ok(None)
    }
}

fn functions(calls: Vec<Called>) -> Vec<Call> {
    let function = |called| match called {
        Called::Function(call) => Some(call),
        Called::Other { .. } => None,
    };
    calls.into_iter().filter_map(function).collect()
}
