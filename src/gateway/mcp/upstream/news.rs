//! Changes of resources at servers of the later era, for clients of the earlier one: each
//! subscription is one long request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::lock;
use crate::error::{Error, ErrorKind, Result};
use crate::gateway::mcp::client::Client;
use crate::json::RawJson;
use crate::mcp::{CallOptions, Member, Params};

/// How many resources one client may subscribe to.
const MAXIMUM_SUBSCRIPTIONS: usize = 1_000;
/// The wait before a subscription is made again that the server ended or that was lost.
const PAUSE: Duration = Duration::from_secs(1);

/// The subscriptions of clients, by their numbers.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<BTreeMap<u64, Subscriptions>>);

type Subscriptions = BTreeMap<String, AbortOnDropHandle<()>>;

impl News {
    /// Subscribes, and waits until the server has said that it tells. `params` are those of the long
    /// request.
    pub(super) async fn begin(
        &self,
        client: &Arc<Client>,
        uri: String,
        member: &Arc<Member>,
        params: RawJson,
    ) -> Result<()> {
        {
            let news = lock(&self.0);
            let own = news.get(&client.number);
            if own.is_some_and(|own| own.contains_key(&uri)) {
                return Ok(());
            }
            if own.is_some_and(|own| own.len() >= MAXIMUM_SUBSCRIPTIONS) {
                let message = format!(
                    "there are {MAXIMUM_SUBSCRIPTIONS} subscriptions of this client already; end some"
                );
                return Err(Error::new(ErrorKind::Configuration, message));
            }
        }
        let (begun, mut first) = mpsc::channel(1);
        let listening = listening(Arc::downgrade(client), Arc::clone(member), params, begun);
        let task = AbortOnDropHandle::new(tokio::spawn(listening));
        if let Some(Err(failure)) = first.recv().await {
            return Err(failure);
        }
        let mut news = lock(&self.0);
        news.entry(client.number).or_default().insert(uri, task);
        Ok(())
    }

    pub(super) fn stop(&self, client: u64, uri: &str) {
        if let Some(own) = lock(&self.0).get_mut(&client) {
            own.remove(uri);
        }
    }

    pub(super) fn forget(&self, client: u64) {
        lock(&self.0).remove(&client);
    }
}

/// Listens until it is aborted, or the first attempt fails.
async fn listening(
    client: Weak<Client>,
    member: Arc<Member>,
    params: RawJson,
    begun: mpsc::Sender<Result<()>>,
) {
    let mut is_first = true;
    loop {
        let hearing = Weak::clone(&client);
        let acknowledged = begun.clone();
        let options = CallOptions {
            verbatim: true,
            subscriber: Some(Arc::new(move |method, params| match method {
                "notifications/subscriptions/acknowledged" => {
                    // Only the first one is waited for.
                    let _ = acknowledged.try_send(Ok(()));
                }
                "notifications/resources/updated" => {
                    if let Some(client) = hearing.upgrade() {
                        client.tell(method, Some(params));
                    }
                }
                _ => {}
            })),
            ..CallOptions::default()
        };
        let params = Params {
            object: Some(params.clone()),
            meta: None,
        };
        let lasting = member.lasting();
        let outcome = lasting
            .request("subscriptions/listen", params, options)
            .await;
        if let Err(failure) = outcome
            && std::mem::take(&mut is_first)
            && begun.try_send(Err(failure)).is_ok()
        {
            return;
        }
        is_first = false;
        tokio::time::sleep(PAUSE).await;
    }
}
