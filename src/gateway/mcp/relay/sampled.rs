//! A client and a server, both without a handshake, where the configuration says who may be asked for
//! completions: a model answers what the client cannot, and what else the server wants goes to the
//! client. Owns [`Halves`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use serde_json::value::RawValue;

use super::Asked;
use super::direct::{own_level, share};
use super::parking::{PATIENCE, now, refused};
use super::rounds::{MAXIMUM_ROUNDS, Wanted, Wish, again, broken};
use super::seal::{Purpose, Seal, Ticket, state_of};
use super::splice::{member, members, named, replaced, result_type, with_member};
use crate::error::Result;
use crate::gateway::mcp::message::{INTERNAL_ERROR, RpcError};
use crate::gateway::mcp::upstream::{Upstream, allowed, is_sampled_here};
use crate::json::RawJson;
use crate::llm::retry::random_bits;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// How many halves are kept.
const MAXIMUM_KEPT: usize = 1_000;

/// What models answered while their clients are asked for the rest.
#[derive(Debug)]
pub(super) struct Halves {
    seal: Seal,
    /// Stands before the states of this process: every other one is the server's own.
    mark: String,
    kept: Mutex<HashMap<Ticket, Half>>,
}

/// One half of what a server wants.
#[derive(Debug)]
struct Half {
    /// In seconds.
    until: u64,
    /// By the server's keys, as JSON text.
    responses: Vec<(String, String)>,
    /// The server's own state, as JSON text.
    state: Option<String>,
}

impl Halves {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            seal: Seal::new()?,
            mark: format!("{:016x}.", random_bits()),
            kept: Mutex::default(),
        })
    }

    /// Keeps a half; gives the state that leads to it.
    fn keep(
        &self,
        responses: Vec<(String, String)>,
        state: Option<&RawValue>,
        purpose: &Purpose,
    ) -> Result<String, RpcError> {
        let (now, patience) = (now(), PATIENCE.as_secs());
        let until = now + patience;
        let (ticket, sealed) = self.seal.seal(until, purpose)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAXIMUM_KEPT {
            kept.retain(|_, half| now < half.until);
        }
        if kept.len() >= MAXIMUM_KEPT {
            return Err(RpcError::new(
                INTERNAL_ERROR,
                "too many calls wait for their clients; come back later",
            ));
        }
        let half = Half {
            until,
            responses,
            state: state.map(|state| state.get().to_owned()),
        };
        kept.insert(ticket, half);
        Ok(format!("{}{sealed}", self.mark))
    }

    /// The half that a state leads to, once; none where the state is the server's.
    fn take(&self, state: &str, purpose: &Purpose) -> Result<Option<Half>, RpcError> {
        let Some(sealed) = state.strip_prefix(&self.mark) else {
            return Ok(None);
        };
        let ticket = self.seal.open(sealed, now(), purpose).ok_or_else(refused)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&ticket).ok_or_else(refused).map(Some)
    }
}

/// Sends a request, and repeats it for as long as a model has all the answers.
pub(super) async fn request(
    up: &Upstream,
    asked: &Asked<'_>,
    halves: &Halves,
) -> Result<RawJson, RpcError> {
    let policy = &up.config().policy;
    let abilities = asked.client.described().abilities();
    // What comes on a channel that all share is for whoever asked for log lines.
    let level = own_level(asked).map_or(Err(()), |level| Ok(Some(level)));
    let params = asked.params.clone();
    let mut params = params.unwrap_or_else(|| RawJson::trusted("{}"));
    let purpose = || {
        let caller = asked.client.caller.identity();
        Purpose::new(&caller, &up.config().name, asked.method, Some(&params))
    };
    let purpose = purpose();
    if let Some(state) = state_of(Some(&params))
        && let Some(half) = halves.take(&state, &purpose)?
    {
        params = joined(&params, half);
    }
    if let Some(meta) = member(params.as_bytes(), "_meta")
        && let Some(own) = member(meta.get().as_bytes(), CAPABILITIES)
    {
        let told = allowed(&RawJson::trusted(own.get().to_owned()), policy);
        params = replaced(&params, own, told.as_bytes());
    }
    for _ in 0..=MAXIMUM_ROUNDS {
        let answer = share(up, up.lasting(), asked, Some(params.clone()), level).await?;
        if result_type(&answer).as_deref() != Some("input_required") {
            return Ok(answer);
        }
        let wanted = Wanted::read(&answer)?;
        let Some(requests) = wanted.input_requests else {
            return Ok(answer);
        };
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (key, text) in members(requests.get().as_bytes()) {
            let wish = Wish::read(text, up)?;
            if is_sampled_here(policy, abilities, &wish.method) {
                own.push((key, wish));
            } else {
                others.push(named(&key, text.get()));
            }
        }
        if own.is_empty() {
            return Ok(answer);
        }
        let responses = own.into_iter().map(|(key, wish)| async move {
            let answer = up.shared.sampler().answer(wish.params()).await;
            let answer = answer.map_err(RpcError::from)?;
            let text = String::from_utf8_lossy(answer.as_bytes()).into_owned();
            Ok::<_, RpcError>((key, text))
        });
        let responses = try_join_all(responses).await?;
        if others.is_empty() {
            let mut pieces = vec![responded(&responses)];
            pieces.extend(
                wanted
                    .request_state
                    .map(|state| named("requestState", state.get())),
            );
            params = again(&params, &pieces);
            continue;
        }
        let state = halves.keep(responses, wanted.request_state, &purpose)?;
        let others = format!("{{{}}}", others.join(","));
        let left = replaced(&answer, requests, others.as_bytes());
        let state = serde_json::Value::from(state).to_string();
        return Ok(with_member(&left, "requestState", &state));
    }
    Err(broken("input_required again and again"))
}

/// The answers by their keys, as a member.
fn responded(responses: &[(String, String)]) -> String {
    let responses: Vec<_> = responses
        .iter()
        .map(|(key, text)| named(key, text))
        .collect();
    named("inputResponses", &format!("{{{}}}", responses.join(",")))
}

/// The repetition of a request with both halves of what was wanted, and with the server's own state.
fn joined(params: &RawJson, half: Half) -> RawJson {
    let Half {
        mut responses,
        state,
        ..
    } = half;
    let given = member(params.as_bytes(), "inputResponses");
    let given = given.map_or_else(Vec::new, |given| members(given.get().as_bytes()));
    for (key, value) in given {
        // What a model was asked for is not the client's to say.
        if !responses.iter().any(|(known, _)| *known == key) {
            responses.push((key, value.get().to_owned()));
        }
    }
    let mut pieces = vec![responded(&responses)];
    pieces.extend(state.map(|state| named("requestState", &state)));
    again(params, &pieces)
}
