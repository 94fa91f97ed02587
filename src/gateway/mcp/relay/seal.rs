//! `requestState` of the gateway: a number that nobody can read, change, use for another request or
//! use after its time. Owns [`Seal`], and the [`Clock`] of its states.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::time::Instant;

use super::splice::{members, without};
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;

/// What tells one waiting call from all others.
pub(super) type Ticket = [u8; 16];

/// What a state is good for, and nothing else.
pub(super) struct Purpose([u8; 32]);

/// What a request says that its repetition says otherwise.
const OF_THE_ROUND: [&str; 3] = ["_meta", "inputResponses", "requestState"];

impl Purpose {
    /// One request of one caller at one server; the spelling of its parameters does not count.
    pub(super) fn new(caller: &str, server: &str, method: &str, params: Option<&RawJson>) -> Self {
        let mut text = Context::new(&SHA256);
        for part in [caller, server, method] {
            text.update(&part.len().to_be_bytes());
            text.update(part.as_bytes());
        }
        if let Some(params) = params {
            let salient = without(params.as_bytes(), &OF_THE_ROUND);
            text.update(sorted(&salient.to_value().unwrap_or_default()).as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(text.finish().as_ref());
        Self(digest)
    }
}

/// A value as text, the members of its objects by their names.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut names: Vec<_> = object.iter().collect();
            names.sort_unstable_by_key(|(name, _)| name.as_str());
            let members = names.into_iter();
            let members: Vec<_> = members
                .map(|(name, value)| super::splice::named(name, &sorted(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(sorted).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Counts seconds from its making; no change of the system's time moves it.
#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

/// Seals and opens; its key is as old as the process.
pub(super) struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seal")
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Internal, "the system gives no random numbers")
}

impl Seal {
    pub(super) fn new() -> Result<Self> {
        let mut key = [0; 32];
        rand::fill(&mut key).map_err(|_| broken())?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| broken())?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// A new ticket and the text that stands for it until `until`, in seconds.
    pub(super) fn seal(&self, until: u64, purpose: &Purpose) -> Result<(Ticket, String)> {
        let mut ticket = [0; 16];
        rand::fill(&mut ticket).map_err(|_| broken())?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| broken())?;
        let mut text = [&ticket[..], &until.to_be_bytes()].concat();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.0),
                &mut text,
            )
            .map_err(|_| broken())?;
        let sealed = [&nonce[..], &text].concat();
        Ok((ticket, URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// The ticket; none if the text is not ours, not of this purpose, or too old.
    pub(super) fn open(&self, text: &str, now: u64, purpose: &Purpose) -> Option<Ticket> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self
            .0
            .open_in_place(nonce, Aad::from(purpose.0), text)
            .ok()?;
        let (ticket, until) = text.split_first_chunk::<16>()?;
        let until = u64::from_be_bytes(*until.first_chunk()?);
        (now < until).then_some(*ticket)
    }
}

/// Whether parameters repeat a request.
pub(super) fn state_of(params: Option<&RawJson>) -> Option<String> {
    let params = params?;
    memchr::memmem::find(params.as_bytes(), b"\"requestState\"")?;
    let found = members(params.as_bytes()).into_iter();
    let state = found.rev().find(|(name, _)| name == "requestState")?.1;
    Some(serde_json::from_str(state.get()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::trusted(text.to_owned())
    }

    fn purpose(caller: &str, params: &str) -> Purpose {
        Purpose::new(caller, "git", "tools/call", Some(&raw(params)))
    }

    #[test]
    fn a_state_is_good_for_its_own_request_alone() {
        let seal = Seal::new().unwrap();
        let mine = purpose("me", r#"{"name":"a","arguments":{"x":1,"y":[2]}}"#);
        let (ticket, text) = seal.seal(100, &mine).unwrap();
        assert_eq!(seal.open(&text, 99, &mine), Some(ticket));
        let again = purpose(
            "me",
            r#"{ "arguments":{"y":[2],"x":1},"name":"a","_meta":{"z":1},"inputResponses":{},"requestState":"s"}"#,
        );
        assert_eq!(seal.open(&text, 99, &again), Some(ticket));
        let yours = purpose("you", r#"{"name":"a","arguments":{"x":1,"y":[2]}}"#);
        assert_eq!(seal.open(&text, 99, &yours), None);
        let other = purpose("me", r#"{"name":"a","arguments":{"x":2,"y":[2]}}"#);
        assert_eq!(seal.open(&text, 99, &other), None);
        let elsewhere = Purpose::new("me", "time", "tools/call", Some(&raw(r#"{"name":"a"}"#)));
        assert_eq!(seal.open(&text, 99, &elsewhere), None);
    }

    #[test]
    fn a_state_that_is_old_changed_or_of_another_process_is_refused() {
        let seal = Seal::new().unwrap();
        let purpose = purpose("me", "{}");
        let (_, text) = seal.seal(100, &purpose).unwrap();
        assert_eq!(seal.open(&text, 100, &purpose), None);
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let opened = seal.open(&changed, 99, &purpose);
            assert!(opened.is_none() || changed == text, "{place}");
        }
        assert_eq!(Seal::new().unwrap().open(&text, 99, &purpose), None);
        assert_eq!(seal.open("", 99, &purpose), None);
    }
}
