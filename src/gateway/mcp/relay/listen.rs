//! News of a server that a client asked for: `subscriptions/listen` and `resources/subscribe`, each at
//! servers of either era.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Notify;

use super::direct::nothing;
use super::splice::{text_member, with_subscription};
use super::{Asked, rounds, traced};
use crate::gateway::mcp::message::{INVALID_PARAMS, RpcError, unasked};
use crate::gateway::mcp::upstream::{Listener, Upstream};
use crate::json::RawJson;
use crate::mcp::{CallOptions, Params};

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// How the end of a subscription comes that the server takes back.
const TORN_DOWN: &str = "notifications/cancelled";

/// How many resources one subscription may be about.
const MAXIMUM_URIS: usize = 1_000;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    tools_list_changed: bool,
    #[serde(default)]
    prompts_list_changed: bool,
    #[serde(default)]
    resources_list_changed: bool,
    #[serde(default)]
    resource_subscriptions: Vec<String>,
}

#[derive(Deserialize)]
struct Listen {
    notifications: Filter,
}

fn ended(id: &RawJson) -> RawJson {
    with_subscription(Some(&RawJson::trusted(r#"{"resultType":"complete"}"#)), id)
}

/// A client and a server of the later era: the subscription is the server's.
pub(super) async fn passed_on(up: &Upstream, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    let torn_down = Arc::new(Notify::new());
    let (outlet, id) = (Arc::clone(asked.outlet), asked.id.clone());
    let ending = Arc::clone(&torn_down);
    let mut span = traced::begin(asked, up.lasting().name());
    let (params, headers) = traced::passed_on(&span, asked.params.clone());
    let options = CallOptions {
        verbatim: true,
        headers,
        subscriber: Some(Arc::new(move |method, params| {
            if method == TORN_DOWN {
                ending.notify_one();
                return;
            }
            let told = with_subscription(Some(params), &id);
            outlet.send(unasked(None, method, Some(&told)));
        })),
        ..CallOptions::default()
    };
    let params = Params {
        object: params,
        meta: None,
    };
    tokio::select! {
        answer = up.lasting().request(asked.method, params, options) => {
            traced::end(&mut span, answer.as_ref());
            Ok(with_subscription(Some(&answer?), asked.id))
        }
        () = torn_down.notified() => Ok(ended(asked.id)),
    }
}

/// A client of the later era at a server with a handshake: what the server tells unasked is told on.
pub(super) async fn gathered(up: &Upstream, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    let params = asked.params.as_ref();
    let wanted: Option<Listen> =
        params.and_then(|params| serde_json::from_slice(params.as_bytes()).ok());
    let Some(Listen {
        notifications: filter,
    }) = wanted
    else {
        return Err(RpcError::new(
            INVALID_PARAMS,
            "subscriptions/listen takes notifications, an object of what to tell",
        ));
    };
    if filter.resource_subscriptions.len() > MAXIMUM_URIS {
        let message = format!("resourceSubscriptions takes at most {MAXIMUM_URIS} resources");
        return Err(RpcError::new(INVALID_PARAMS, message));
    }
    let line = up.line(true).await?;
    let offered = Offered::of(&line.described);
    let mut honored = serde_json::Map::new();
    let mut lists = Vec::new();
    for (key, wanted, is_offered, method) in [
        (
            "toolsListChanged",
            filter.tools_list_changed,
            offered.tools,
            "notifications/tools/list_changed",
        ),
        (
            "promptsListChanged",
            filter.prompts_list_changed,
            offered.prompts,
            "notifications/prompts/list_changed",
        ),
        (
            "resourcesListChanged",
            filter.resources_list_changed,
            offered.resources,
            "notifications/resources/list_changed",
        ),
    ] {
        if wanted && is_offered {
            honored.insert(key.to_owned(), true.into());
            lists.push(method);
        }
    }
    let mut uris = BTreeSet::new();
    if offered.subscribe {
        for uri in filter.resource_subscriptions {
            if subscribed(up, "resources/subscribe", &uri).await.is_ok() {
                uris.insert(uri);
            }
        }
        if !uris.is_empty() {
            let list: Vec<_> = uris.iter().cloned().collect();
            honored.insert("resourceSubscriptions".to_owned(), list.into());
        }
    }
    let object = serde_json::json!({ "notifications": honored }).to_string();
    let told = with_subscription(Some(&RawJson::trusted(object)), asked.id);
    asked.outlet.send(unasked(None, ACKNOWLEDGED, Some(&told)));
    let _leaving = Leaving {
        up,
        uris: uris.clone(),
    };
    let _listening = up.shared.listen(Listener {
        outlet: Arc::clone(asked.outlet),
        lists,
        uris,
        id: asked.id.clone(),
    });
    loop {
        let status = up.lasting().changes().await;
        if status == crate::mcp::Status::Closed {
            return Ok(ended(asked.id));
        }
    }
}

/// What a server with a handshake tells of unasked.
struct Offered {
    tools: bool,
    prompts: bool,
    resources: bool,
    subscribe: bool,
}

impl Offered {
    fn of(described: &RawJson) -> Self {
        let value = described.to_value().unwrap_or_default();
        let says = |list: &str, what: &str| value["capabilities"][list][what] == true;
        Self {
            tools: says("tools", "listChanged"),
            prompts: says("prompts", "listChanged"),
            resources: says("resources", "listChanged"),
            subscribe: says("resources", "subscribe"),
        }
    }
}

async fn subscribed(up: &Upstream, method: &str, uri: &str) -> crate::error::Result<RawJson> {
    let object = serde_json::json!({ "uri": uri }).to_string();
    let params = Params {
        object: Some(RawJson::trusted(object)),
        meta: None,
    };
    let options = CallOptions {
        verbatim: true,
        ..CallOptions::default()
    };
    up.lasting().request(method, params, options).await
}

/// Takes back the subscriptions of a listener that nobody else has.
struct Leaving<'a> {
    up: &'a Upstream,
    uris: BTreeSet<String>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        for uri in std::mem::take(&mut self.uris) {
            self.up.leave(uri);
        }
    }
}

/// A client with a handshake at a server of the later era: each subscription is a long request.
pub(super) async fn subscribe(up: &Upstream, asked: &Asked<'_>) -> Result<RawJson, RpcError> {
    let params = asked.params.as_ref();
    let Some(uri) = params.and_then(|params| text_member(params.as_bytes(), "uri")) else {
        let message = format!("{} takes the uri of a resource", asked.method);
        return Err(RpcError::new(INVALID_PARAMS, message));
    };
    if asked.method == "resources/unsubscribe" {
        up.stop_news(asked.client, &uri);
        return Ok(nothing());
    }
    let filter = serde_json::json!({"notifications": {"resourceSubscriptions": [uri]}}).to_string();
    let filter = RawJson::trusted(filter);
    let params = rounds::stamped(Some(&filter), &asked.client.described(), None);
    up.begin_news(asked.client, uri, params).await?;
    Ok(nothing())
}
