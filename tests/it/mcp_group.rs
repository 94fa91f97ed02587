//! Groups of servers, over scripted peers and with the clock paused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbridge::error::{Error, ErrorKind, Result};
use toolbridge::json::RawJson;
use toolbridge::mcp::group::Change;
use toolbridge::mcp::lasting::{Peer, Reach};
use toolbridge::mcp::{
    CallOptions, Group, HttpSettings, Jitter, Params, ServerConfig, Status, Target,
};
use toolbridge::tools::Separator;

/// A server with these tools; without any it never connects.
#[derive(Clone)]
struct Scripted {
    tools: Option<Arc<Mutex<Vec<Value>>>>,
    listed: Arc<Mutex<u32>>,
    ended: Arc<Mutex<CancellationToken>>,
}

impl Scripted {
    fn with(tools: &[&str]) -> Self {
        let tools = tools.iter().map(|name| json!({ "name": name, "x": 1.10 }));
        Self {
            tools: Some(Arc::new(Mutex::new(tools.collect()))),
            listed: Arc::default(),
            ended: Arc::default(),
        }
    }

    fn hanging() -> Self {
        Self {
            tools: None,
            ..Self::with(&[])
        }
    }
}

impl Reach for Scripted {
    fn connect(&self, cancelled: CancellationToken) -> BoxFuture<'_, Result<Arc<dyn Peer>>> {
        async move {
            if self.tools.is_none() {
                cancelled.cancelled().await;
                return Err(Error::new(ErrorKind::ConnectionClosed, "given up"));
            }
            let ended = CancellationToken::new();
            *self.ended.lock().unwrap() = ended.clone();
            let peer: Arc<dyn Peer> = Arc::new(Connection(self.clone(), ended));
            Ok(peer)
        }
        .boxed()
    }

    fn reconnects(&self) -> bool {
        true
    }
}

struct Connection(Scripted, CancellationToken);

impl Peer for Connection {
    fn request<'a>(
        &'a self,
        method: &'a str,
        params: Params,
        _: CallOptions,
    ) -> BoxFuture<'a, Result<RawJson>> {
        async move {
            assert_eq!(method, "tools/list");
            let tools = self.0.tools.as_ref().unwrap().lock().unwrap().clone();
            // One tool a page.
            let page = params.object.map_or(0, |object| {
                let object = object.to_value().unwrap();
                object["cursor"].as_str().unwrap().parse().unwrap()
            });
            if page == 0 {
                *self.0.listed.lock().unwrap() += 1;
            }
            let mut answer = json!({ "tools": tools.get(page..=page).unwrap_or_default() });
            if page + 1 < tools.len() {
                answer["nextCursor"] = json!((page + 1).to_string());
            }
            Ok(RawJson::trusted(answer.to_string()))
        }
        .boxed()
    }

    fn notify<'a>(&'a self, _: &'a str, _: Option<RawJson>) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn listen<'a>(&'a self, _: &'a RawJson) -> BoxFuture<'a, Result<()>> {
        unreachable!("a server with a handshake is not asked for its notifications")
    }

    fn ended(&self) -> BoxFuture<'_, Error> {
        async {
            self.1.cancelled().await;
            Error::new(ErrorKind::ConnectionClosed, "gone")
        }
        .boxed()
    }

    fn has_ended(&self) -> bool {
        self.1.is_cancelled()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async { self.1.cancel() }.boxed()
    }

    fn described(&self) -> RawJson {
        RawJson::trusted("{}")
    }

    fn may_repeat(&self, _: &str) -> bool {
        false
    }

    fn has_ping(&self) -> bool {
        true
    }
}

fn config(name: &str) -> ServerConfig {
    let settings = HttpSettings::new("http://127.0.0.1:1/");
    let target = Target::Http {
        settings,
        kind: None,
    };
    let mut config = ServerConfig::new(name, target);
    config.endurance.keep_alive = None;
    config
}

type Changes = Vec<(String, Change)>;

fn group(servers: &[(&str, &Scripted)]) -> (Group, Arc<Mutex<Changes>>) {
    let changes = Arc::<Mutex<Changes>>::default();
    let heard = Arc::clone(&changes);
    let listener = Arc::new(move |server: &str, change| {
        heard.lock().unwrap().push((server.to_owned(), change));
    });
    let group = Group::new(Separator::default(), listener);
    for (name, server) in servers {
        let reach = Arc::new(Scripted::clone(server));
        let added = group.add_reached_by(config(name), reach, Jitter::new(|| 0.0));
        added.unwrap();
    }
    (group, changes)
}

async fn names(group: &Group) -> Vec<String> {
    let list = group.tools().await.text.to_value().unwrap();
    let tools = list.as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn lists_are_read_once_merged_in_order_and_kept() {
    let (one, two) = (Scripted::with(&["a", "b", "c"]), Scripted::with(&["a"]));
    let (group, changes) = group(&[("one", &one), ("two", &two)]);
    group.settled().await;
    assert_eq!(names(&group).await, ["one-a", "one-b", "one-c", "two-a"]);
    let first = group.tools().await;
    assert!(
        first
            .text
            .as_bytes()
            .ends_with(br#"{"name":"two-a","x":1.1}]"#)
    );
    assert!(Arc::ptr_eq(&first, &group.tools().await));
    assert_eq!(
        (*one.listed.lock().unwrap(), *two.listed.lock().unwrap()),
        (1, 1)
    );
    let (member, tool) = group.find("b").await.unwrap();
    assert_eq!((member.name(), tool.as_str()), ("one", "b"));
    assert!(
        changes
            .lock()
            .unwrap()
            .contains(&("two".to_owned(), Change::Status))
    );
    group.close().await;
    assert_eq!(names(&group).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_waited_for_no_longer_than_it_may_take() {
    let (up, hanging) = (Scripted::with(&["a"]), Scripted::hanging());
    let (group, _) = group(&[("hangs", &hanging), ("up", &up)]);
    let started = Instant::now();
    // A call of another server waits for nothing.
    assert_eq!(group.find("up-a").await.unwrap().0.name(), "up");
    assert_eq!(started.elapsed(), Duration::ZERO);
    group.settled().await;
    assert_eq!(started.elapsed(), Duration::from_secs(30));
    assert_eq!(names(&group).await, ["up-a"]);
    assert_eq!(
        group.member("hangs").unwrap().lasting().status(),
        Status::Reconnecting
    );
    group.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_has_failed_by_the_time_when_it_is_not_waited_for_any_more() {
    let (group, _) = group(&[("hangs", &Scripted::hanging())]);
    // Waiting begins before the attempt does.
    group.settled().await;
    let member = group.member("hangs").unwrap();
    assert_eq!(member.lasting().status(), Status::Reconnecting);
    group.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_list_of_a_new_connection_replaces_that_of_the_old_one() {
    let server = Scripted::with(&["a"]);
    let (group, _) = group(&[("s", &server)]);
    group.settled().await;
    assert_eq!(names(&group).await, ["s-a"]);
    server.tools.as_ref().unwrap().lock().unwrap()[0]["name"] = json!("b");
    assert_eq!(names(&group).await, ["s-a"]);
    let member = group.member("s").unwrap();
    let reconnected = member.lasting().changes();
    server.ended.lock().unwrap().cancel();
    reconnected.await;
    while member.lasting().status() != Status::Ready {
        member.lasting().changes().await;
    }
    assert_eq!(names(&group).await, ["s-b"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_stands_for_one_server() {
    let server = Scripted::with(&["a"]);
    let (group, _) = group(&[("s", &server)]);
    let again = group.add_reached_by(config("s"), Arc::new(server), Jitter::default());
    assert!(
        again
            .unwrap_err()
            .message()
            .starts_with("there is a server \"s\" already")
    );
    let missing = group.member("t").unwrap_err();
    assert_eq!(
        missing.message(),
        "there is no server \"t\"; did you mean \"s\"?"
    );
    group.remove("s").await.unwrap();
    assert!(group.members().is_empty());
}
