//! What a server says of tasks unasked: notifications of 2025-11-25, which come as they like, and those
//! of 2026-07-28, which are subscribed to. Both only say that it is time to look.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::{FIRST_WAIT, SHORTEST_POLL};
use crate::json::RawJson;
use crate::mcp::client::Client;

/// How many tasks are subscribed to at once; each is a request that stays open. The others are polled.
const MOST_SUBSCRIPTIONS: usize = 8;

/// How many tasks are kept in mind that were told of before somebody waited for them.
const MOST_EARLY: usize = 64;

#[derive(Debug, Default)]
struct Waiting {
    by_task: HashMap<String, Vec<Arc<Notify>>>,
    /// Told of while nobody waited: the answer that brings a task may be read after the news of it.
    early: VecDeque<String>,
}

/// Who waits for which task.
#[derive(Debug)]
pub(in crate::mcp::client) struct TaskNews {
    waiting: Mutex<Waiting>,
    places: Semaphore,
    /// The server does not tell of tasks.
    is_refused: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    task_id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Honored {
    #[serde(default)]
    task_ids: Vec<String>,
}

impl Default for TaskNews {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            places: Semaphore::new(MOST_SUBSCRIPTIONS),
            is_refused: AtomicBool::new(false),
        }
    }
}

impl TaskNews {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for the task of a notification.
    pub(in crate::mcp::client) fn hear(&self, params: &RawJson) {
        let Ok(named) = serde_json::from_slice::<Named>(params.as_bytes()) else {
            return;
        };
        let mut waiting = self.waiting();
        if let Some(all) = waiting.by_task.get(&named.task_id) {
            for one in all {
                one.notify_one();
            }
        } else if !waiting.early.contains(&named.task_id) {
            waiting.early.truncate(MOST_EARLY - 1);
            waiting.early.push_front(named.task_id);
        }
    }
}

/// One who waits for a task.
pub(super) struct Watch<'a> {
    client: &'a Client,
    id: &'a str,
    news: Arc<Notify>,
    looked: Instant,
    /// None where there is nothing to subscribe to, or not any more.
    subscription: Option<BoxFuture<'a, ()>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, id: &'a str, is_modern: bool) -> Self {
        let news = Arc::new(Notify::new());
        {
            let mut waiting = client.knowledge.tasks.waiting();
            let all = waiting.by_task.entry(id.to_owned()).or_default();
            all.push(Arc::clone(&news));
            if let Some(at) = waiting.early.iter().position(|one| one == id) {
                waiting.early.remove(at);
                news.notify_one();
            }
        }
        let subscription = is_modern.then(|| subscribed(client, id, Arc::clone(&news)).boxed());
        Self {
            client,
            id,
            news,
            looked: Instant::now(),
            subscription,
        }
    }

    /// Waits until it is time to look, or until the server says that the task has moved on.
    pub(super) async fn wait(&mut self, wait: Duration) {
        let mut until = Instant::now() + wait;
        // It is soon looked at anyway where the server wants that.
        let subscribes = wait >= FIRST_WAIT;
        loop {
            let subscription = self.subscription.as_mut().filter(|_| subscribes);
            tokio::select! {
                () = tokio::time::sleep_until(until) => break,
                _ = self.client.ended() => break,
                () = self.news.notified() => {
                    // A server that says so all the time does not make this client ask all the time.
                    until = until.min(self.looked + SHORTEST_POLL);
                }
                () = or_never(subscription) => self.subscription = None,
            }
        }
        self.looked = Instant::now();
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.client.knowledge.tasks.waiting();
        if let Some(all) = waiting.by_task.get_mut(self.id) {
            all.retain(|one| !Arc::ptr_eq(one, &self.news));
            if all.is_empty() {
                waiting.by_task.remove(self.id);
            }
        }
    }
}

async fn or_never(work: Option<&mut BoxFuture<'_, ()>>) {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Lasts as long as the server tells of the task; its word is heard with everything else that it says
/// unasked.
async fn subscribed(client: &Client, id: &str, news: Arc<Notify>) {
    let tasks = &client.knowledge.tasks;
    if tasks.is_refused.load(Ordering::Relaxed) {
        return;
    }
    let Ok(_place) = tasks.places.try_acquire() else {
        return;
    };
    let filter = RawJson::trusted(format!("{{\"taskIds\":[{}]}}", Value::from(id)));
    let subscription = match client.listen(&filter, None).await {
        Ok(subscription) => subscription,
        Err(refusal) => {
            if refusal.context().rpc_code.is_some() {
                tasks.is_refused.store(true, Ordering::Relaxed);
            }
            return;
        }
    };
    let honored: Honored =
        serde_json::from_slice(subscription.honored().as_bytes()).unwrap_or_default();
    if !honored.task_ids.iter().any(|one| one == id) {
        return;
    }
    // What happened before was not told.
    news.notify_one();
    while let Ok(Some(_)) = subscription.next().await {}
}
