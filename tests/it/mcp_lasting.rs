//! Connections that last, over scripted peers and with the clock paused.

mod world;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbridge::error::{ErrorKind, Loss, Result};
use toolbridge::json::RawJson;
use toolbridge::mcp::lasting::Reach as _;
use toolbridge::mcp::{CallOptions, Endurance, Jitter, Lasting, Params, Status};
use world::{Attempt, Call, Scripted, World};

fn start(world: &Arc<World>, endurance: Endurance) -> Lasting {
    let reach = Arc::new(Scripted(Arc::clone(world)));
    Lasting::start("one", endurance, reach, Jitter::new(|| 1.0))
}

async fn call(lasting: &Lasting, method: &str, params: serde_json::Value) -> Result<RawJson> {
    call_within(lasting, method, params, None).await
}

async fn call_within(
    lasting: &Lasting,
    method: &str,
    params: serde_json::Value,
    seconds: Option<u64>,
) -> Result<RawJson> {
    let params = Params {
        object: (!params.is_null()).then(|| RawJson::trusted(params.to_string())),
        meta: None,
    };
    let options = CallOptions {
        timeout: seconds.map(Duration::from_secs),
        ..CallOptions::default()
    };
    lasting.request(method, params, options).await
}

async fn until(lasting: &Lasting, status: Status) {
    while lasting.status() != status {
        lasting.changes().await;
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_made_with_growing_waits_until_the_server_is_back() {
    let world = World::new(&[Attempt::Refuses; 4]);
    let lasting = start(&world, Endurance::default());
    lasting.settled().await;
    assert_eq!(lasting.status(), Status::Reconnecting);
    assert_eq!(lasting.last_error().unwrap().message(), "refused");
    until(&lasting, Status::Ready).await;
    assert!(lasting.last_error().is_none());
    assert_eq!(world.waits(), [500, 1000, 2000, 4000]);
    lasting.close().await;
    assert_eq!(*world.closed.lock().unwrap(), [1]);
    assert_eq!(lasting.status(), Status::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_server_is_given_up_after_so_many_attempts_and_tried_once_for_a_call() {
    let world = World::new(&[Attempt::Refuses; 6]);
    let endurance = Endurance {
        attempts: 3,
        ..Endurance::default()
    };
    let lasting = start(&world, endurance);
    until(&lasting, Status::Failed).await;
    assert_eq!(world.times.lock().unwrap().len(), 3);
    for attempts in [4, 5] {
        let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
        assert_eq!(
            error.message(),
            "the MCP server `one` is not connected, so tools/list was not sent: refused"
        );
        assert_eq!(world.times.lock().unwrap().len(), attempts);
    }
    assert!(lasting.reconnect().await.is_err());
    lasting.reconnect().await.unwrap();
    assert_eq!(lasting.status(), Status::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_will_not_have_us_is_not_asked_again() {
    let world = World::new(&[Attempt::Unauthorized]);
    let lasting = start(&world, Endurance::default());
    lasting.settled().await;
    assert_eq!(lasting.status(), Status::Failed);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(world.times.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_ends_in_time_and_is_cleared_up() {
    let world = World::new(&[Attempt::Hangs, Attempt::Hangs]);
    let lasting = start(&world, Endurance::default());
    let started = Instant::now();
    lasting.settled().await;
    assert_eq!(started.elapsed(), Duration::from_secs(30));
    assert!(
        lasting
            .last_error()
            .unwrap()
            .message()
            .contains("did not connect within 30 s")
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.times.lock().unwrap().len(), 2);
    lasting.close().await;
    assert_eq!(*world.given_up.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_only_reads_is_sent_again() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    world.then(&[Call::Dies, Call::Dies]);
    call(&lasting, "resources/read", json!({"uri": "a"}))
        .await
        .unwrap();
    world.then(&[Call::Dies]);
    call(&lasting, "tools/call", json!({"name": "read"}))
        .await
        .unwrap();
    assert_eq!(
        world.calls(),
        [
            r#"1 resources/read {"uri":"a"}"#,
            r#"2 resources/read {"uri":"a"}"#,
            r#"3 resources/read {"uri":"a"}"#,
            r#"3 tools/call {"name":"read"}"#,
            r#"4 tools/call {"name":"read"}"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_any_other_call_is_unknown() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    for broken in [Call::Dies, Call::Breaks, Call::IsSilent] {
        world.then(&[broken]);
        let error = call(&lasting, "tools/call", json!({"name": "pay"}))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
        assert!(
            error
                .message()
                .contains("its outcome is unknown: it may have been carried out"),
            "{error}"
        );
    }
    assert_eq!(world.calls().len(), 3);
    // The connection under the last ones stayed, or the first was replaced: calls go on.
    call(&lasting, "tools/call", json!({"name": "pay"}))
        .await
        .unwrap();
    assert_eq!(lasting.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_silent_is_not_asked_again() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    world.then(&[Call::IsSilent]);
    let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport);
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_left_is_sent_over_the_next_connection() {
    let world = World::new(&[Attempt::Connects, Attempt::Refuses]);
    let lasting = start(&world, Endurance::default());
    world.then(&[Call::Unreachable]);
    call(&lasting, "tools/call", json!({"name": "pay"}))
        .await
        .unwrap();
    assert_eq!(
        world.calls(),
        [
            r#"1 tools/call {"name":"pay"}"#,
            r#"2 tools/call {"name":"pay"}"#
        ]
    );
    assert_eq!(world.times.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_given_one_session_anew() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    world.then(&[Call::IsForgotten]);
    call(&lasting, "tools/call", json!({"name": "pay"}))
        .await
        .unwrap();
    world.then(&[Call::IsForgotten, Call::IsForgotten]);
    let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
    assert_eq!(error.context().loss, Some(Loss::Forgotten));
    // The others are not kept waiting for longer than one server that died twice.
    call(&lasting, "tools/list", json!(null)).await.unwrap();
    assert_eq!(world.calls().len(), 5);
    assert_eq!(lasting.generation(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_connection_within_its_own_time() {
    let world = World::new(&[Attempt::Refuses; 6]);
    let lasting = start(&world, Endurance::default());
    lasting.settled().await;
    let started = Instant::now();
    let error = call_within(&lasting, "tools/call", json!({"name": "pay"}), Some(2))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::McpTimeout);
    assert_eq!(
        error.message(),
        "the MCP server `one` was reconnecting for the 2 s that tools/call could wait, so it was \
         not sent: refused"
    );
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    call_within(&lasting, "tools/call", json!({"name": "pay"}), Some(60))
        .await
        .unwrap();
    world.then(&[Call::Hangs]);
    let started = Instant::now();
    let error = call_within(&lasting, "tools/call", json!({"name": "pay"}), Some(7))
        .await
        .unwrap_err();
    assert_eq!(
        (error.message(), started.elapsed()),
        ("no answer", Duration::from_secs(7))
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_again_and_again_is_given_more_time_each_time() {
    let world = World::new(&[]);
    let endurance = Endurance {
        attempts: 5,
        ..Endurance::default()
    };
    let lasting = start(&world, endurance);
    lasting.settled().await;
    for _ in 0..5 {
        until(&lasting, Status::Ready).await;
        world.kill();
        lasting.changes().await;
    }
    until(&lasting, Status::Ready).await;
    assert_eq!(world.waits(), [0, 500, 1000, 2000, 4000]);
    world.kill();
    until(&lasting, Status::Failed).await;
    // One that held for a while begins anew.
    lasting.reconnect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(31)).await;
    world.kill();
    lasting.changes().await;
    until(&lasting, Status::Ready).await;
    assert_eq!(world.waits().last(), Some(&31_000));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_may_not_be_restarted_stays_down_until_asked() {
    let world = Arc::new(World {
        stays_down: true,
        ..World::default()
    });
    let lasting = start(&world, Endurance::default());
    lasting.settled().await;
    world.kill();
    until(&lasting, Status::Failed).await;
    let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the MCP server `one` is not connected, so tools/list was not sent: the server is gone"
    );
    lasting.reconnect().await.unwrap();
    call(&lasting, "tools/list", json!(null)).await.unwrap();
    assert_eq!(world.calls(), ["2 tools/list"]);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_and_the_log_level_are_restored() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    call(&lasting, "logging/setLevel", json!({"level": "info"}))
        .await
        .unwrap();
    for uri in ["a", "b"] {
        call(&lasting, "resources/subscribe", json!({ "uri": uri }))
            .await
            .unwrap();
    }
    call(&lasting, "resources/unsubscribe", json!({"uri": "a"}))
        .await
        .unwrap();
    world.kill();
    lasting.changes().await;
    until(&lasting, Status::Ready).await;
    assert_eq!(
        world.calls()[4..],
        [
            r#"2 logging/setLevel {"level":"info"}"#,
            r#"2 resources/subscribe {"uri":"b"}"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_server_is_asked_for_a_sign_of_life() {
    let world = World::new(&[]);
    let endurance = Endurance {
        keep_alive: Some(Duration::from_secs(10)),
        ..Endurance::default()
    };
    let lasting = start(&world, endurance);
    lasting.settled().await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(world.calls(), ["1 ping", "1 ping"]);
    world.then(&[Call::Hangs]);
    let started = Instant::now();
    lasting.changes().await;
    assert_eq!(started.elapsed(), Duration::from_secs(15));
    until(&lasting, Status::Ready).await;
    assert_eq!(lasting.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_works_is_not_asked() {
    let world = World::new(&[]);
    let endurance = Endurance {
        keep_alive: Some(Duration::from_secs(10)),
        idle_close: Some(Duration::from_secs(20)),
        ..Endurance::default()
    };
    let lasting = start(&world, endurance);
    world.then(&[Call::Hangs]);
    let call = call_within(&lasting, "tools/call", json!({"name": "slow"}), Some(100));
    assert!(call.await.is_err());
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_until_the_next_call() {
    let world = World::new(&[]);
    let endurance = Endurance {
        idle_close: Some(Duration::from_mins(1)),
        ..Endurance::default()
    };
    let lasting = start(&world, endurance);
    until(&lasting, Status::Ready).await;
    until(&lasting, Status::Idle).await;
    assert_eq!(*world.closed.lock().unwrap(), [1]);
    call(&lasting, "tools/list", json!(null)).await.unwrap();
    assert_eq!(world.calls(), ["2 tools/list"]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_calls_attempts_and_connections() {
    let world = World::new(&[]);
    let lasting = Arc::new(start(&world, Endurance::default()));
    lasting.settled().await;
    world.then(&[Call::Hangs]);
    let waiting = {
        let lasting = Arc::clone(&lasting);
        tokio::spawn(async move { call(&lasting, "tools/list", json!(null)).await })
    };
    while world.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    lasting.close().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
    assert_eq!(*world.closed.lock().unwrap(), [1]);
    let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the connection to the MCP server `one` was closed, so tools/list was not sent"
    );
    lasting.close().await;
    assert!(lasting.reconnect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_closed() {
    let world = World::new(&[]);
    let lasting = start(&world, Endurance::default());
    lasting.settled().await;
    drop(lasting);
    while world.closed.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Over a connection that is there already.
async fn adopted(world: &Arc<World>, endurance: Endurance) -> Lasting {
    let reach = Arc::new(Scripted(Arc::clone(world)));
    let first = reach.connect(CancellationToken::new()).await.unwrap();
    Lasting::adopt("one", endurance, first, reach, Jitter::new(|| 1.0))
}

#[tokio::test(start_paused = true)]
async fn an_adopted_connection_is_used_until_it_is_lost_and_replaced_then() {
    let world = World::new(&[Attempt::Connects, Attempt::Refuses]);
    let lasting = adopted(&world, Endurance::default()).await;
    assert_eq!((lasting.status(), lasting.generation()), (Status::Ready, 1));
    lasting.settled().await;
    call(&lasting, "logging/setLevel", json!({"level": "info"}))
        .await
        .unwrap();
    world.kill();
    call(&lasting, "tools/call", json!({"name": "pay"}))
        .await
        .unwrap();
    assert_eq!(
        world.calls(),
        [
            r#"1 logging/setLevel {"level":"info"}"#,
            r#"2 logging/setLevel {"level":"info"}"#,
            r#"2 tools/call {"name":"pay"}"#,
        ]
    );
    // The loss counts as the first failure.
    assert_eq!(world.waits(), [0, 1000]);
    lasting.close().await;
    assert_eq!(*world.closed.lock().unwrap(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_adopted_connection_that_is_lost_for_good_ends_with_the_cause() {
    let world = World::new(&[&[Attempt::Connects][..], &[Attempt::Refuses; 9]].concat());
    let endurance = Endurance {
        attempts: 3,
        ..Endurance::default()
    };
    let lasting = adopted(&world, endurance).await;
    world.kill();
    let began = Instant::now();
    let error = call(&lasting, "tools/call", json!({"name": "pay"}))
        .await
        .unwrap_err();
    assert_eq!(
        error.message(),
        "the MCP server `one` is not connected, so tools/call was not sent: refused"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(1));
    assert_eq!(lasting.status(), Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn an_adopted_connection_is_closed_with_what_holds_it() {
    let world = World::new(&[]);
    drop(adopted(&world, Endurance::default()).await);
    while world.closed.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.times.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_calls_share_one_new_connection() {
    let world = World::new(&[Attempt::Connects, Attempt::Refuses]);
    let lasting = adopted(&world, Endurance::default()).await;
    world.then(&[Call::Unreachable; 10]);
    let calls = (0..10).map(|_| call(&lasting, "tools/call", json!({"name": "pay"})));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
    assert_eq!(lasting.generation(), 2);
    assert_eq!(world.times.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_notification_that_never_left_is_sent_over_the_next_connection() {
    let world = World::new(&[]);
    let lasting = adopted(&world, Endurance::default()).await;
    world.then(&[Call::Unreachable]);
    lasting
        .notify("notifications/roots/list_changed", None)
        .await
        .unwrap();
    world.then(&[Call::Breaks]);
    let error = lasting.notify("notifications/other", None).await;
    assert_eq!(error.unwrap_err().message(), "the connection broke");
    assert_eq!(
        world.calls(),
        [
            "1 notifications/roots/list_changed",
            "2 notifications/roots/list_changed",
            "2 notifications/other",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_again_and_again_is_given_up_with_the_cause() {
    let world = World::new(&[]);
    let endurance = Endurance {
        attempts: 100,
        ..Endurance::default()
    };
    let lasting = adopted(&world, endurance).await;
    world.then(&[Call::Unreachable; 20]);
    let error = call(&lasting, "tools/list", json!(null)).await.unwrap_err();
    assert_eq!(error.message(), "the connection broke");
    assert_eq!(world.calls().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_an_attempt() {
    let world = World::new(&[Attempt::Hangs]);
    let lasting = start(&world, Endurance::default());
    while world.times.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    lasting.close().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(*world.given_up.lock().unwrap(), 1);
    assert_eq!(lasting.status(), Status::Closed);
}
