//! What is under way on a connection over HTTP: messages that wait to leave, exchanges that run,
//! what they heard. Driven by `receive` alone, so nothing runs once the connection is dropped.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use http::HeaderMap;
use rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::answers::{Answers, Untaken};
use super::framing::Frame;
use super::inbox::{Inbox, outgoing_text};
use crate::mcp::session::{Ending, Link};
use crate::mcp::wire::{Incoming, Outgoing, Undelivered, answered, decode, holds_answer};

/// How many things are heard ahead of the reader; the exchanges wait beyond that.
const HEARD_AHEAD: usize = 16;

/// How many answers to requests of the peer are on their way at once; the others wait. They have
/// places of their own, because the requests that are under way may wait for them.
const ANSWERS_AT_ONCE: usize = 64;

/// A message of ours on its way out.
pub(super) struct Post {
    pub(super) text: Bytes,
    /// Those of this message alone.
    pub(super) headers: HeaderMap,
    pub(super) kind: PostKind,
    /// It is a request that belongs to no session.
    pub(super) is_stateless: bool,
    /// Told whether the message arrived.
    pub(super) delivered: oneshot::Sender<Result<(), Undelivered>>,
    /// Counts an answer for as long as it has not arrived.
    untaken: Option<Untaken>,
}

/// What the message is.
#[derive(Debug, Clone)]
pub(super) enum PostKind {
    /// A request: the exchange lasts until it is answered.
    Request { id: RequestId, method: String },
    /// A notification.
    Notification { method: String },
    /// The notification that a request is given up.
    Cancellation { id: Option<RequestId> },
    /// The answer to a request of the peer.
    Answer,
}

impl PostKind {
    fn of(message: &TxJsonRpcMessage<RoleClient>) -> Self {
        match message {
            JsonRpcMessage::Request(request) => Self::Request {
                id: request.id.clone(),
                method: match &request.request {
                    ClientRequest::CustomRequest(custom) => custom.method.clone(),
                    _ => "the request".to_owned(),
                },
            },
            JsonRpcMessage::Notification(notification) => match &notification.notification {
                ClientNotification::CancelledNotification(cancelled) => Self::Cancellation {
                    id: cancelled.params.request_id.clone(),
                },
                ClientNotification::CustomNotification(custom) => Self::Notification {
                    method: custom.method.clone(),
                },
                _ => Self::Notification {
                    method: "the notification".to_owned(),
                },
            },
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => Self::Answer,
        }
    }

    /// What the message is called in an error.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Request { method, .. } | Self::Notification { method } => method,
            Self::Cancellation { .. } => "notifications/cancelled",
            Self::Answer => "the answer to a request of the server",
        }
    }
}

/// What an exchange heard.
pub(super) enum Said {
    /// The text of one event or body, decoded, and the request on whose stream it came.
    Text(Bytes, Vec<Result<Incoming, String>>, Option<RequestId>),
    /// An event over the limit.
    Oversized(Frame),
    /// A request of ours gets no answer.
    Failed(RequestId, Undelivered),
    /// A notification has arrived, or is lost: what was posted after it may leave.
    Settled,
    /// The connection is over.
    Ended(String),
}

/// Where the exchanges put what they hear; it holds them up while the reader is busy.
pub(super) type Heard = mpsc::Sender<Said>;

/// One message and all that follows from it.
pub(super) type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether a message arrived; only notifications wait for it.
pub(super) type Delivery = oneshot::Receiver<Result<(), Undelivered>>;

/// The messages of one connection.
pub(super) struct Traffic {
    /// What errors call the peer.
    origin: String,
    answers: Arc<Answers>,
    /// Answers that wait for one of the places.
    held_answers: VecDeque<Post>,
    answer_places: Arc<Semaphore>,
    outbox: mpsc::UnboundedSender<Post>,
    posted: mpsc::UnboundedReceiver<Post>,
    /// A notification is under way. It has no answer that its sender could wait for, so what
    /// was sent after it waits here: a server takes no request before `initialized`.
    is_held: bool,
    exchanges: FuturesUnordered<Abortable<Exchange>>,
    /// The requests that are not answered yet.
    in_flight: HashMap<RequestId, Flight>,
    sender: Heard,
    heard: mpsc::Receiver<Said>,
    inbox: Inbox,
    link: Arc<Link>,
    closed: CancellationToken,
}

/// A request that is not answered yet.
struct Flight {
    exchange: AbortHandle,
    is_stateless: bool,
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Traffic")
            .field("exchanges", &self.exchanges.len())
            .finish_non_exhaustive()
    }
}

impl Traffic {
    pub(super) fn new(
        origin: String,
        link: Arc<Link>,
        closed: CancellationToken,
        limit: usize,
    ) -> Self {
        let (outbox, posted) = mpsc::unbounded_channel();
        let (sender, heard) = mpsc::channel(HEARD_AHEAD);
        Self {
            origin,
            answers: Arc::default(),
            held_answers: VecDeque::new(),
            answer_places: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
            outbox,
            posted,
            is_held: false,
            exchanges: FuturesUnordered::new(),
            in_flight: HashMap::new(),
            sender,
            heard,
            inbox: Inbox::new(Arc::clone(&link), limit),
            link,
            closed,
        }
    }

    /// Queues a message behind those that were posted before it. A notification gives the news of
    /// its arrival.
    pub(super) fn post(
        &self,
        message: &TxJsonRpcMessage<RoleClient>,
    ) -> io::Result<Option<Delivery>> {
        if self.closed.is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let text = outgoing_text(&self.link, message).map_err(io::Error::other)?;
        let kind = PostKind::of(message);
        let is_notification = matches!(kind, PostKind::Notification { .. });
        let untaken = match kind {
            PostKind::Answer => match self.answers.add(text.len()) {
                Ok(untaken) => Some(untaken),
                Err(why) => {
                    self.end(format!("the MCP server at {} {why}", self.origin));
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            },
            _ => None,
        };
        let (delivered, delivery) = oneshot::channel();
        let carried = carried(message);
        let post = Post {
            text: text.into(),
            headers: carried.map_or_else(HeaderMap::new, |carried| carried.headers.clone()),
            kind,
            is_stateless: carried.is_some_and(|carried| carried.stateless.is_some()),
            delivered,
            untaken,
        };
        // This side holds the receiver.
        let _ = self.outbox.send(post);
        Ok(is_notification.then_some(delivery))
    }

    /// Where an exchange that belongs to no message puts what it hears.
    pub(super) fn heard(&self) -> Heard {
        self.sender.clone()
    }

    /// Adds an exchange that belongs to no message.
    pub(super) fn add(&mut self, exchange: Exchange) {
        let (handle, registration) = AbortHandle::new_pair();
        drop(handle);
        self.exchanges.push(Abortable::new(exchange, registration));
    }

    /// The next message for rmcp's loop; None once the connection is over. `start` begins the
    /// exchange of a message, in the order in which they were posted.
    pub(super) async fn receive(
        &mut self,
        start: impl Fn(Post, Heard) -> Exchange,
    ) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if let Some(message) = self.inbox.next_message().await {
                if let Some(id) = answered(&message) {
                    self.in_flight.remove(id);
                }
                return Some(message);
            }
            let is_congested = self.link.is_congested();
            tokio::select! {
                biased;
                () = self.closed.cancelled() => {
                    self.exchanges.clear();
                    return None;
                }
                Some(post) = self.posted.recv(), if !self.is_held => self.begin(post, &start),
                () = self.link.room(), if is_congested => {}
                Some(said) = self.heard.recv(), if !is_congested => self.hear(said),
                Some(_) = self.exchanges.next(), if !self.exchanges.is_empty() => {
                    if self.answer_places.available_permits() > 0
                        && let Some(post) = self.held_answers.pop_front()
                    {
                        self.begin(post, &start);
                    }
                }
            }
        }
    }

    fn begin(&mut self, mut post: Post, start: impl Fn(Post, Heard) -> Exchange) {
        let (handle, registration) = AbortHandle::new_pair();
        match &post.kind {
            PostKind::Request { id, .. } => {
                let flight = Flight {
                    exchange: handle,
                    is_stateless: post.is_stateless,
                };
                self.in_flight.insert(id.clone(), flight);
            }
            PostKind::Notification { .. } => self.is_held = true,
            PostKind::Cancellation { id } => {
                let Some(flight) = id.as_ref().and_then(|id| self.in_flight.remove(id)) else {
                    // It was answered meanwhile.
                    return;
                };
                // Nobody reads the answer any more.
                flight.exchange.abort();
                if flight.is_stateless {
                    // The end of its stream is how the server hears of it.
                    return;
                }
            }
            PostKind::Answer => {
                let Ok(place) = Arc::clone(&self.answer_places).try_acquire_owned() else {
                    self.held_answers.push_back(post);
                    return;
                };
                let untaken = post.untaken.take();
                let exchange = start(post, self.sender.clone());
                self.add(Box::pin(async move {
                    exchange.await;
                    drop((place, untaken));
                }));
                return;
            }
        }
        let exchange = start(post, self.sender.clone());
        self.exchanges.push(Abortable::new(exchange, registration));
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Text(text, decoded, origin) => {
                self.inbox.messages(&text, decoded, origin.as_ref());
            }
            Said::Oversized(frame) => self.inbox.frame(frame),
            Said::Failed(id, reason) => {
                if self.in_flight.remove(&id).is_some() {
                    self.inbox.answer(reason.answer(id));
                }
            }
            Said::Settled => self.is_held = false,
            Said::Ended(what) => self.end(what),
        }
    }

    fn end(&self, what: String) {
        self.link.end(Ending {
            what,
            last_lines: String::new(),
        });
        self.closed.cancel();
    }
}

/// What a request of ours carries beside its text.
fn carried(message: &TxJsonRpcMessage<RoleClient>) -> Option<&Outgoing> {
    let JsonRpcMessage::Request(request) = message else {
        return None;
    };
    match &request.request {
        ClientRequest::CustomRequest(custom) => custom.extensions.get(),
        _ => None,
    }
}

/// Puts what one event held where the reader finds it; tells whether it answers `wanted`.
pub(super) async fn pass_on(frame: Frame, wanted: Option<&RequestId>, heard: &Heard) -> bool {
    let (said, answers) = match frame {
        Frame::Line(text) => {
            let decoded = decode(&text);
            let answers = wanted.is_some_and(|wanted| holds_answer(&decoded, wanted));
            (Said::Text(text, decoded, wanted.cloned()), answers)
        }
        frame @ Frame::Oversized { .. } => {
            let answers = match (&frame, wanted) {
                (Frame::Oversized { id: Some(id), .. }, Some(wanted)) => {
                    serde_json::from_str(id).is_ok_and(|id: RequestId| id == *wanted)
                }
                _ => false,
            };
            (Said::Oversized(frame), answers)
        }
    };
    // The reader is gone when the connection is dropped, and this future with it.
    let _ = heard.send(said).await;
    answers
}
