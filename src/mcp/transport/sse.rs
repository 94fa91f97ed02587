//! HTTP+SSE (MCP 2024-11-05): one stream of events from the server, which first names the endpoint
//! that messages are posted to. The end of the stream is the end of the connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use http::Method;
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::framing::Frame;
use super::http::{
    CredentialChanges, EVENT_STREAM, EventBody, HttpClient, HttpSettings, JSON, SessionId,
    StreamEnd, media_type,
};
use super::traffic::{Delivery, Exchange, Heard, Post, PostKind, Said, Traffic, pass_on};
use crate::error::{Error, ErrorKind, Result};
use crate::mcp::connection::Terminate;
use crate::mcp::session::{Ending, Link};
use crate::mcp::wire::Undelivered;

/// The server end of one session, shared by its exchanges and by whoever closes it.
#[derive(Debug)]
pub struct Endpoint {
    http: HttpClient,
    /// Where messages are posted to.
    messages: Url,
    session: SessionId,
    link: Arc<Link>,
    closed: CancellationToken,
}

/// A connection over HTTP+SSE: the transport of one session.
#[derive(Debug)]
pub struct SseConnection {
    endpoint: Arc<Endpoint>,
    traffic: Traffic,
}

fn transport(failure: Undelivered) -> Error {
    let Undelivered {
        message,
        status,
        body,
        kind,
        loss,
    } = failure;
    let data = status.map(|status| serde_json::json!({ "status": status, "body": body }));
    Error::new(kind.unwrap_or(ErrorKind::Transport), message).map_context(|context| {
        context.status = status;
        context.loss = loss;
        context.rpc_data = data.map(|data| data.to_string());
    })
}

impl SseConnection {
    /// Opens the stream and waits for the endpoint that it names.
    pub async fn open(settings: &HttpSettings) -> Result<Self> {
        let http = HttpClient::new(settings)?;
        let what = "the event stream";
        let request = http.request(Method::GET, &http.url, EVENT_STREAM);
        let answer = http
            .send(request, what, http.read_timeout)
            .await
            .map_err(transport)?;
        let origin = http.origin.clone();
        let found = media_type(&answer);
        if found != EVENT_STREAM {
            return Err(transport(Undelivered::new(format!(
                "the MCP server at {origin} answered with {found:?} instead of an event stream; is \
                 this the URL of an HTTP+SSE endpoint? Streamable HTTP is another transport"
            ))));
        }
        let mut body = EventBody::new(answer, http.limit);
        let messages = loop {
            let event = body.next_event(http.read_timeout).await.map_err(|end| {
                let why = ending(&http, &end);
                transport(Undelivered::new(format!(
                    "{why} before it named its endpoint"
                )))
            })?;
            if let (b"endpoint", Frame::Line(text)) = (&event.name[..], &event.data) {
                break endpoint_url(&http, text)?;
            }
        };
        let session = SessionId::default();
        let named = |wanted| messages.query_pairs().find(move |(name, _)| name == wanted);
        if let Some((_, id)) = named("sessionId").or_else(|| named("session_id")) {
            session.set(id.into_owned());
        }
        let link = Arc::<Link>::default();
        let closed = CancellationToken::new();
        let mut traffic = Traffic::new(
            origin,
            Arc::clone(&link),
            closed.clone(),
            settings.maximum_message_bytes,
        );
        let endpoint = Arc::new(Endpoint {
            http,
            messages,
            session,
            link,
            closed,
        });
        let heard = traffic.heard();
        traffic.add(Box::pin(Arc::clone(&endpoint).listen(body, heard)));
        Ok(Self { endpoint, traffic })
    }

    /// What the session and whoever closes the connection share.
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.endpoint.link)
    }

    /// The server end, for whoever closes the connection.
    pub fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.endpoint)
    }

    /// The id of the session, if the endpoint carries one.
    pub fn session_id(&self) -> SessionId {
        self.endpoint.session.clone()
    }

    pub(crate) fn credential_changes(&self) -> CredentialChanges {
        self.endpoint.http.credential_changes.clone()
    }

    pub(crate) async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let endpoint = &self.endpoint;
        let start =
            |post, heard| -> Exchange { Box::pin(Arc::clone(endpoint).exchange(post, heard)) };
        self.traffic.receive(start).await
    }

    pub(crate) fn post(
        &self,
        message: &TxJsonRpcMessage<RoleClient>,
    ) -> io::Result<Option<Delivery>> {
        self.traffic.post(message)
    }
}

fn endpoint_url(http: &HttpClient, text: &[u8]) -> Result<Url> {
    let named = std::str::from_utf8(text).ok().map(str::trim);
    let Some(url) = named.and_then(|named| http.url.join(named).ok()) else {
        return Err(transport(Undelivered::new(format!(
            "the MCP server at {} named an endpoint that is no URL",
            http.origin
        ))));
    };
    if url.origin() != http.url.origin() {
        // Messages and credentials would go to somebody else.
        return Err(transport(Undelivered::new(format!(
            "the MCP server at {} named an endpoint at {}; only its own origin is accepted",
            http.origin,
            url.origin().ascii_serialization()
        ))));
    }
    Ok(url)
}

fn ending(http: &HttpClient, end: &StreamEnd) -> String {
    let origin = &http.origin;
    match end {
        StreamEnd::Finished => format!("the MCP server at {origin} ended its event stream"),
        StreamEnd::Broken(why) => {
            format!("the event stream of the MCP server at {origin} broke ({why})")
        }
        StreamEnd::Silent => format!(
            "the event stream of the MCP server at {origin} was silent for {} s (sse_read_timeout)",
            http.read_timeout.unwrap_or_default().as_secs_f64()
        ),
    }
}

impl Terminate for Endpoint {
    fn terminate(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.link.end(Ending {
                what: format!(
                    "the connection to the MCP server at {} was closed",
                    self.http.origin
                ),
                last_lines: String::new(),
            });
            // The stream goes with the exchanges, and is the whole of the connection.
            self.closed.cancel();
            self.http.close();
        })
    }
}

impl Endpoint {
    async fn listen(self: Arc<Self>, mut body: EventBody, heard: Heard) {
        let end = loop {
            match body.next_event(self.http.read_timeout).await {
                Ok(event) if event.name == "message" => {
                    pass_on(event.data, None, &heard).await;
                }
                Ok(_) => {}
                Err(end) => break ending(&self.http, &end),
            }
        };
        // As in `pass_on`.
        let _ = heard.send(Said::Ended(end)).await;
    }

    async fn exchange(self: Arc<Self>, post: Post, heard: Heard) {
        let turn = match post.kind {
            PostKind::Request { .. } => self.http.turn().await,
            _ => None,
        };
        let outcome = self.deliver(&post).await;
        drop(turn);
        match post.kind {
            PostKind::Request { id, .. } => {
                if let Err(failure) = outcome {
                    let _ = heard.send(Said::Failed(id, failure)).await;
                }
            }
            PostKind::Notification { .. } => {
                // Whoever sent it may have stopped waiting.
                let _ = post.delivered.send(outcome);
                let _ = heard.send(Said::Settled).await;
            }
            PostKind::Cancellation { .. } | PostKind::Answer => {
                if let Err(failure) = outcome {
                    tracing::warn!(target: "toolbridge::mcp", "{failure}");
                }
            }
        }
    }

    async fn deliver(&self, post: &Post) -> Result<(), Undelivered> {
        let name = post.kind.name();
        let request = self.http.message(&self.messages, post.text.clone(), JSON);
        // The answer says only that the message arrived, so the shorter limit is the one.
        let answer = self.http.send(request, name, self.http.timeout).await?;
        self.http.drain(answer, name).await;
        Ok(())
    }
}
