//! `subscriptions/listen` (MCP 2026-07-28): one long request whose answer is the end of the
//! subscription, and the notifications that come meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{Client, Era};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::mcp::session::{CallOptions, Params, SubscriptionListener};
use crate::mcp::wire::{SUBSCRIPTION_TORN_DOWN, Stateless};

/// How many changes wait for their reader before the subscription counts as lost. Equal ones count
/// once.
const CAPACITY: usize = 1024;

/// Something has changed at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The list of its tools.
    Tools,
    /// The list of its prompts.
    Prompts,
    /// The list of its resources.
    Resources,
    /// The resource of this URI.
    Resource(String),
}

impl Change {
    fn of(method: &str, params: &RawJson) -> Option<Self> {
        #[derive(Deserialize)]
        struct Updated {
            uri: String,
        }
        match method {
            "notifications/tools/list_changed" => Some(Self::Tools),
            "notifications/prompts/list_changed" => Some(Self::Prompts),
            "notifications/resources/list_changed" => Some(Self::Resources),
            "notifications/resources/updated" => {
                let updated: Updated = serde_json::from_slice(params.as_bytes()).ok()?;
                Some(Self::Resource(updated.uri))
            }
            _ => None,
        }
    }
}

/// How a subscription ended.
#[derive(Debug, Clone)]
enum End {
    /// The server ended it and said so.
    Graceful,
    /// Anything else; the sentence says what.
    Lost(String),
}

#[derive(Debug, Default)]
struct State {
    honored: Option<RawJson>,
    waiting: VecDeque<Change>,
    end: Option<End>,
    /// What the request itself failed with, before it was acknowledged.
    refusal: Option<Error>,
}

/// What the listener of the notifications and the reader share.
#[derive(Debug, Default)]
struct Route {
    state: Mutex<State>,
    news: Notify,
}

impl Route {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, method: &str, params: &RawJson) {
        #[derive(Deserialize)]
        struct Acknowledged<'a> {
            #[serde(borrow)]
            notifications: &'a serde_json::value::RawValue,
        }
        let mut state = self.state();
        match method {
            "notifications/subscriptions/acknowledged" => {
                if let Ok(found) = serde_json::from_slice::<Acknowledged<'_>>(params.as_bytes()) {
                    let text = found.notifications.get().to_owned();
                    state.honored.get_or_insert(RawJson::trusted(text));
                }
            }
            SUBSCRIPTION_TORN_DOWN => {
                let what = "the server ended the subscription without saying why";
                state.end.get_or_insert(End::Lost(what.to_owned()));
            }
            _ => {
                let Some(change) = Change::of(method, params) else {
                    return;
                };
                if state.end.is_some() || state.waiting.contains(&change) {
                    return;
                }
                if state.waiting.len() == CAPACITY {
                    state.end = Some(End::Lost(format!(
                        "more than {CAPACITY} changes wait to be read"
                    )));
                } else {
                    state.waiting.push_back(change);
                }
            }
        }
        drop(state);
        self.news.notify_one();
    }

    fn finish(&self, outcome: Result<RawJson>) {
        let mut state = self.state();
        match outcome {
            Ok(_) => {
                // An end without an acknowledgment is one of a subscription to nothing.
                state.honored.get_or_insert(RawJson::trusted("{}"));
                state.end.get_or_insert(End::Graceful);
            }
            Err(failure) => {
                let what = failure.message().to_owned();
                state.end.get_or_insert(End::Lost(what));
                state.refusal = Some(failure);
            }
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits until `look` finds something.
    async fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            // Only the one reader waits, so the permit of `notify_one` is enough.
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            self.news.notified().await;
        }
    }
}

/// An open subscription; dropping it tells the server.
#[derive(Debug)]
pub struct Subscription {
    route: Arc<Route>,
    honored: RawJson,
    /// The request, which lasts as long as the subscription.
    request: AbortOnDropHandle<()>,
}

impl Client {
    /// Subscribes to what the filter names (a JSON object, `notifications` of the request) and waits
    /// for the acknowledgment.
    pub async fn listen(&self, filter: &RawJson, limit: Option<Duration>) -> Result<Subscription> {
        let agreed = self.agreed().filter(|agreed| agreed.era() == Era::Modern);
        let Some(stamp) = agreed.as_ref().and_then(|agreed| agreed.stamp.clone()) else {
            return Err(Error::new(
                ErrorKind::Configuration,
                "subscriptions/listen needs a server that speaks MCP 2026-07-28; with an earlier \
                 one use subscribe_resource, and hear of changed lists with message_handler",
            ));
        };
        let method = "subscriptions/listen";
        let mut object = br#"{"notifications":"#.to_vec();
        object.extend_from_slice(filter.as_bytes());
        object.push(b'}');
        let params = Params {
            object: Some(RawJson::trusted(object)),
            meta: None,
        };
        let mut options = CallOptions::default();
        let params = stamp.apply(method, params, &mut options.headers)?;
        let route = Arc::<Route>::default();
        let hearing = Arc::clone(&route);
        let subscriber: SubscriptionListener =
            Arc::new(move |method, params| hearing.hear(method, params));
        let stateless = Stateless {
            subscriber: Some(subscriber),
        };
        let session = Arc::clone(&self.session);
        let finishing = Arc::clone(&route);
        let request = AbortOnDropHandle::new(tokio::spawn(async move {
            let answer = session.send(method, params, options, Some(stateless));
            finishing.finish(answer.await);
        }));
        let acknowledged = route.wait_for(|state| match &state.honored {
            Some(honored) => Some(Ok(honored.clone())),
            None => state
                .end
                .as_ref()
                .map(|end| Err(state.refusal.take().unwrap_or_else(|| lost(end)))),
        });
        let honored = match limit {
            None => acknowledged.await?,
            Some(limit) => tokio::time::timeout(limit, acknowledged)
                .await
                .map_err(|_| {
                    Error::new(
                        ErrorKind::McpTimeout,
                        format!(
                            "the MCP server did not acknowledge {method} within {} s; give it more \
                             time: read_timeout_seconds, or `timeout` of the server in a \
                             configuration file",
                            limit.as_secs_f64()
                        ),
                    )
                })??,
        };
        Ok(Subscription {
            route,
            honored,
            request,
        })
    }
}

fn lost(end: &End) -> Error {
    let why = match end {
        End::Graceful => "it ended",
        End::Lost(why) => why,
    };
    Error::new(
        ErrorKind::ConnectionClosed,
        format!(
            "the subscription was lost: {why}; subscribe again, and read again what it was for"
        ),
    )
}

impl Subscription {
    /// What the server agreed to tell, a JSON object.
    pub fn honored(&self) -> &RawJson {
        &self.honored
    }

    /// The next change; none once the server has ended the subscription. Changes that came before
    /// the end come first. One reader at a time.
    ///
    /// # Errors
    /// `ConnectionClosed`: the subscription was lost.
    pub async fn next(&self) -> Result<Option<Change>> {
        let next = self.route.wait_for(|state| {
            if let Some(change) = state.waiting.pop_front() {
                return Some(Ok(Some(change)));
            }
            match &state.end {
                None => None,
                Some(End::Graceful) => Some(Ok(None)),
                Some(end) => Some(Err(lost(end))),
            }
        });
        next.await
    }

    /// Ends the subscription; a waiting reader is told that it has ended.
    pub fn close(&self) {
        self.request.abort();
        let mut state = self.route.state();
        state.waiting.clear();
        state.end.get_or_insert(End::Graceful);
        drop(state);
        self.route.news.notify_one();
    }
}
