//! A request as its provider gets it: the body converted where the protocol is another one, and
//! changed where something about its parameters is particular.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::Call;
use super::fetch::{Connecting, Fetcher};
use crate::error::{Error, ErrorKind};
use crate::json::RawJson;
use crate::llm::answer::{self, NotAnAnswer};
use crate::llm::conversion::as_is::AsIs;
use crate::llm::conversion::reasoning::Family;
use crate::llm::conversion::{Conversion, FollowUp, Notes, Translator, parameters};
use crate::llm::conversion::{foreign, own_tools};
use crate::llm::framing::Framing;
use crate::llm::judge::Translation;
use crate::llm::retry::random_bits;
use crate::llm::types::chat::ChatRequest;
use crate::llm::types::fields::kind;

/// A request that is ready to be sent, any number of times.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    /// Where it goes.
    pub(super) url: &'a Url,
    /// Its body.
    pub(super) body: Bytes,
    conversion: Option<(&'static dyn Conversion, Notes)>,
    /// Whether a stream is asked for.
    pub(super) streams: bool,
}

impl<'a> Prepared<'a> {
    /// Prepares a call. `streams` says what is asked for: the body may not.
    pub(super) async fn new(
        call: &Call<'a>,
        fetcher: &Fetcher,
        streams: bool,
    ) -> Result<Self, Error> {
        let provider = call.model.provider;
        let url = call.endpoint.url_of(streams);
        let conversion = call.endpoint.wire.conversion();
        let is_plain = provider.parameters.is_plain()
            && !provider.kind.service().adapts()
            && call.endpoint.members.is_empty()
            && Family::of(provider.name, &call.model.given).is_none()
            && !foreign::is_beside(&call.body)
            && !(provider.parameters.strict_messages
                && (foreign::is_in(&call.body) || own_tools::are_refused(&call.body)));
        if conversion.is_none() && is_plain {
            return Ok(Self {
                url,
                body: call.body.clone(),
                conversion: None,
                streams,
            });
        }
        let body = members(&call.body)?;
        let Some(conversion) = conversion else {
            let mut body = parameters::adapt(body, provider, &call.model.given, call.policy)
                .map_err(|error| placed(error, call))?;
            for (name, value) in &call.endpoint.members {
                body.entry(name.clone()).or_insert_with(|| value.clone());
            }
            return Ok(Self {
                url,
                body: RawJson::from_serialize(&body)?.into_bytes(),
                conversion: None,
                streams,
            });
        };
        let mut request = ChatRequest::read(body).map_err(|fault| placed(fault.into(), call))?;
        request.stream = streams;
        request.model.clone_from(&call.model.name);
        fetcher
            .fill(
                &mut request,
                conversion,
                connecting(call),
                call.limits.answer,
            )
            .await
            .map_err(|fault| placed(fault.into(), call))?;
        let mut notes = Notes::new(&request, now(), format!("chatcmpl-{:016x}", random_bits()));
        let mut body = conversion
            .request(&mut request, &mut notes)
            .map_err(|fault| placed(fault.into(), call))?;
        let left = request.parameters.rest();
        parameters::settle(left, &mut body, provider, &call.model.given, call.policy)
            .map_err(|error| placed(error, call))?;
        Ok(Self {
            url,
            body: RawJson::from_serialize(&body)?.into_bytes(),
            conversion: Some((conversion, notes)),
            streams,
        })
    }

    /// A whole answer, as a chat completion.
    pub(super) fn answer(&self, body: Bytes) -> Result<Bytes, NotAnAnswer> {
        let Some((conversion, notes)) = &self.conversion else {
            return answer::check(body);
        };
        if answer::is_error_chunk(&body) {
            return Err(NotAnAnswer::Error);
        }
        Ok(conversion.answer(&body, notes)?.to_bytes())
    }

    /// How an answer is followed up that is not the real one.
    pub(super) fn follow_up(&self) -> Option<FollowUp> {
        self.conversion.as_ref()?.0.follow_up()
    }

    /// Adds what asks for the real answer at once.
    pub(super) fn ask_at_once(&self, headers: &mut HeaderMap) {
        if let Some(follow_up) = self.follow_up()
            && !self.streams
        {
            let (name, value) = follow_up.at_once;
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
    }

    /// What turns the stream that answers it into chunks.
    pub(super) fn translation(&self, call: &Call<'_>) -> Option<Translation> {
        let framing = call.endpoint.wire.framing();
        let translator: Box<dyn Translator> = match &self.conversion {
            Some((conversion, notes)) => conversion.stream(notes),
            // Chunks in frames have to be taken out of them.
            None if framing != Framing::Events => Box::new(AsIs::default()),
            None => return None,
        };
        Some(Translation {
            framing,
            translator,
        })
    }
}

/// How what the request names by URL is connected to.
fn connecting(call: &Call<'_>) -> Connecting {
    Connecting {
        trust: call.trust.clone(),
        limit: call.limits.connect,
    }
}

fn members(body: &[u8]) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(Error::new(
            ErrorKind::BadRequest,
            format!("the body of a request is an object, not {}", kind(&other)),
        )),
        Err(cause) => Err(
            Error::new(ErrorKind::BadRequest, "the body of the request is not JSON")
                .with_source(cause),
        ),
    }
}

/// An error that is known before anything is sent, with the provider and the model.
fn placed(error: Error, call: &Call<'_>) -> Error {
    error.map_context(|context| {
        context.provider = Some(call.model.provider.name.to_owned());
        context.model = Some(call.model.given.clone());
    })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
