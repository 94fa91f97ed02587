//! Answers that are known before anybody is asked. Owns [`Known`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Chunks, Model, Origin, Reply};
use crate::error::{Error, Result};
use crate::json::RawJson;

/// What is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A chat completion.
    Whole(RawJson),
    /// The chunks of a stream, and the error that it ends with, if it does.
    Chunks(VecDeque<Bytes>, Option<Error>),
    /// An error.
    Failed(Error),
}

/// A model that is not there: it gives the answers that it was made with, one for each question, and
/// the last of them for all further ones.
#[derive(Debug)]
pub struct Known {
    first: Mutex<VecDeque<Answer>>,
    last: Answer,
    wait: Duration,
}

impl Known {
    /// One with these answers, each after a wait.
    pub fn new(first: impl IntoIterator<Item = Answer>, last: Answer, wait: Duration) -> Self {
        Self {
            first: Mutex::new(first.into_iter().collect()),
            last,
            wait,
        }
    }

    fn next(&self) -> Answer {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.pop_front().unwrap_or_else(|| self.last.clone())
    }
}

impl Model for Known {
    fn ask(&self, _body: Bytes, _streams: bool) -> BoxFuture<'_, Result<Reply>> {
        async move {
            if !self.wait.is_zero() {
                tokio::time::sleep(self.wait).await;
            }
            match self.next() {
                Answer::Whole(answer) => Ok(Reply::Whole(answer, Origin::default())),
                Answer::Chunks(chunks, ending) => {
                    let stream = Played { chunks, ending };
                    Ok(Reply::Stream(Box::new(stream), Origin::default()))
                }
                Answer::Failed(error) => Err(error),
            }
        }
        .boxed()
    }
}

/// A stream whose chunks are there already.
#[derive(Debug)]
pub struct Played {
    /// Those that are still to be given.
    pub chunks: VecDeque<Bytes>,
    /// What comes behind them.
    pub ending: Option<Error>,
}

impl Chunks for Played {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        let chunks = std::mem::take(&mut self.chunks);
        let given = match (chunks.is_empty(), self.ending.take()) {
            (true, Some(error)) => Err(error),
            (true, None) => Ok(None),
            (false, ending) => {
                self.ending = ending;
                Ok(Some(chunks))
            }
        };
        async move { given }.boxed()
    }
}
