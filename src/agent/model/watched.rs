//! Calls of a model that somebody wants to know of. Owns [`Watched`] and [`Witness`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Chunks, Model, Origin, Reply};
use crate::error::{Error, Result};
use crate::json::RawJson;
use crate::llm::rebuild::Rebuild;
use crate::tools::result::chat::Room;

/// Who is told. Nobody waits for it.
pub trait Witness: Send + Sync + fmt::Debug {
    /// A call begins; the same number is said of its end.
    fn asked(&self, call: u64, body: Bytes);

    /// It was answered, or the last chunk of its stream was read.
    fn answered(&self, call: u64, response: RawJson, origin: Origin);

    /// It failed, or its stream did.
    fn failed(&self, call: u64, error: Error);

    /// Nobody wanted to know the answer any more.
    fn abandoned(&self, call: u64);
}

/// A model with a witness.
#[derive(Debug)]
pub struct Watched {
    model: Arc<dyn Model>,
    witness: Arc<dyn Witness>,
    count: AtomicU64,
}

impl Watched {
    /// `model`, whose calls `witness` is told of.
    pub fn new(model: Arc<dyn Model>, witness: Arc<dyn Witness>) -> Self {
        Self {
            model,
            witness,
            count: AtomicU64::new(0),
        }
    }
}

/// A call that is under way.
#[derive(Debug)]
struct Watch {
    witness: Arc<dyn Witness>,
    call: u64,
    is_over: bool,
}

impl Watch {
    fn answered(&mut self, response: RawJson, origin: Origin) {
        self.is_over = true;
        self.witness.answered(self.call, response, origin);
    }

    fn failed(&mut self, error: &Error) {
        self.is_over = true;
        self.witness.failed(self.call, error.clone());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            self.witness.abandoned(self.call);
        }
    }
}

impl Model for Watched {
    fn room(&self) -> Room {
        self.model.room()
    }

    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        async move {
            let call = self.count.fetch_add(1, Ordering::Relaxed);
            self.witness.asked(call, body.clone());
            let mut watch = Watch {
                witness: Arc::clone(&self.witness),
                call,
                is_over: false,
            };
            match self.model.ask(body, streams).await {
                Ok(Reply::Whole(response, origin)) => {
                    watch.answered(response.clone(), origin.clone());
                    Ok(Reply::Whole(response, origin))
                }
                Ok(Reply::Stream(chunks, origin)) => {
                    let stream = WatchedStream {
                        chunks,
                        watch,
                        origin: origin.clone(),
                        rebuild: Rebuild::default(),
                    };
                    Ok(Reply::Stream(Box::new(stream), origin))
                }
                Err(error) => {
                    watch.failed(&error);
                    Err(error)
                }
            }
        }
        .boxed()
    }
}

#[derive(Debug)]
struct WatchedStream {
    chunks: Box<dyn Chunks>,
    watch: Watch,
    origin: Origin,
    rebuild: Rebuild,
}

impl Chunks for WatchedStream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        async move {
            let given = self.chunks.next().await;
            match &given {
                Ok(Some(chunks)) => {
                    for chunk in chunks {
                        if let Ok(chunk) = serde_json::from_slice(chunk) {
                            self.rebuild.add(chunk);
                        }
                    }
                }
                Ok(None) => {
                    let response = std::mem::take(&mut self.rebuild).finish();
                    let response = RawJson::from_serialize(&response)?;
                    self.watch
                        .answered(response, std::mem::take(&mut self.origin));
                }
                Err(error) => self.watch.failed(error),
            }
            given
        }
        .boxed()
    }
}
