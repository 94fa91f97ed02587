//! What a peer said, on its way to the session: answers and requests wait for rmcp's loop,
//! notifications go to their listeners at once, in wire order. Shared by every transport.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rmcp::model::{ClientRequest, JsonRpcMessage, RequestId, ServerNotification, ServerRequest};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};

use super::framing::{Frame, answered_id};
use crate::mcp::session::Link;
use crate::mcp::wire::{
    Incoming, IncomingParams, Outgoing, answered, decode, encode, oversized, progress_token,
    unreadable,
};

/// How often a request of the peer lets rmcp's loop do something else first.
const MAXIMUM_DEFERRALS: usize = 64;
/// How much of a text that is no message is shown.
const PREVIEW_CHARACTERS: usize = 200;

/// The messages of one connection that rmcp's loop has not taken yet.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: VecDeque<RxJsonRpcMessage<RoleClient>>,
    /// How often the first one had to wait.
    deferrals: usize,
    link: Arc<Link>,
    limit: usize,
}

impl Inbox {
    /// `limit` is the largest message in bytes, for the error about a larger one.
    pub(super) fn new(link: Arc<Link>, limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            deferrals: 0,
            link,
            limit,
        }
    }

    /// The next message for rmcp's loop; none if there is none at the moment.
    ///
    /// rmcp makes a task for each request, without a bound, and each waits for the loop to take its
    /// answer. So a request comes after everything else that the loop has to do; but not for ever,
    /// because the answers behind it would wait as well.
    pub(super) async fn next_message(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let is_answer = answered(self.waiting.front()?).is_some();
        if !is_answer && self.deferrals < MAXIMUM_DEFERRALS {
            // Counted first: the loop drops this future when it has something else to do.
            self.deferrals += 1;
            tokio::task::yield_now().await;
        }
        self.deferrals = 0;
        self.waiting.pop_front()
    }

    /// Takes what a framer found.
    pub(super) fn frame(&mut self, frame: Frame) {
        match frame {
            Frame::Line(text) => self.text(&text),
            Frame::Oversized { id, bytes } => self.oversized(id, bytes),
        }
    }

    /// Takes the text of one message, or of a batch.
    pub(super) fn text(&mut self, text: &Bytes) {
        self.messages(text, decode(text), None);
    }

    /// Takes what was decoded from a text, and the request on whose stream it came.
    pub(super) fn messages(
        &mut self,
        text: &Bytes,
        decoded: Vec<Result<Incoming, String>>,
        origin: Option<&RequestId>,
    ) {
        for message in decoded {
            match message {
                Ok(Incoming::Message(mut message)) => {
                    if let JsonRpcMessage::Request(request) = &mut *message
                        && let ServerRequest::CustomRequest(custom) = &mut request.request
                        && let Some(came) = custom.extensions.get_mut::<IncomingParams>()
                    {
                        came.origin = origin.cloned();
                    }
                    if let JsonRpcMessage::Notification(said) = &*message
                        && let ServerNotification::CancelledNotification(cancelled) =
                            &said.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.link.subscription_torn_down(&id.to_string());
                    }
                    self.waiting.push_back(*message);
                }
                Ok(Incoming::Notification { method, params }) => {
                    self.link.notification(&method, params, origin);
                }
                Err(reason) => {
                    if let Some(events) = self.link.events() {
                        events.garbage(&preview(text), &reason);
                    }
                    // The caller of an answer that cannot be read waits for nothing else.
                    let answer = answered_id(text).and_then(|id| unreadable(&id, &reason));
                    self.waiting.extend(answer);
                }
            }
        }
    }

    /// Takes an answer that this side makes up because none will come.
    pub(super) fn answer(&mut self, answer: RxJsonRpcMessage<RoleClient>) {
        self.waiting.push_back(answer);
    }

    fn oversized(&mut self, id: Option<String>, bytes: usize) {
        let answer = id.and_then(|id| oversized(&id, bytes, self.limit));
        if answer.is_none()
            && let Some(events) = self.link.events()
        {
            let reason = format!("{bytes} bytes, more than the {} accepted", self.limit);
            events.garbage("a message without an id", &reason);
        }
        self.waiting.extend(answer);
    }
}

fn preview(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().take(PREVIEW_CHARACTERS).collect()
}

/// The text of a message of ours; who listens for what it leads to is entered with the session
/// first, so that nothing can come before its listener is known.
pub(super) fn outgoing_text(
    link: &Link,
    message: &TxJsonRpcMessage<RoleClient>,
) -> Result<Vec<u8>, serde_json::Error> {
    if let JsonRpcMessage::Request(request) = message
        && let ClientRequest::CustomRequest(custom) = &request.request
        && let Some(outgoing) = custom.extensions.get::<Outgoing>()
    {
        if let Some(listener) = &outgoing.progress
            && let Some(token) = progress_token(custom)
        {
            link.register_progress(token, Arc::clone(listener));
        }
        if let Some(related) = &outgoing.related {
            link.register_related(request.id.clone(), Arc::clone(related));
        }
        if let Some(stateless) = &outgoing.stateless
            && let Some(listener) = &stateless.subscriber
        {
            let id = request.id.to_string();
            link.register_subscription(id, Arc::clone(listener), outgoing.verbatim);
        }
    }
    encode(message)
}
