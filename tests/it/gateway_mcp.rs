//! One MCP server behind the gateway: what passes, in both directions and between the eras.

mod many;
mod sampled;
mod world;

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use world::{Client, Does, META, Upstream, gateway, server, text_of};

const ALL: &str = r#"{"sampling":{},"elicitation":{},"roots":{"listChanged":true}}"#;

/// JSON as no serializer writes it: numbers in odd spellings, escapes that need not be.
fn odd_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        (0..999_u32, 0..99_u32).prop_map(|(whole, part)| format!("{whole}.{part:02}0")),
        (1..9_u32, 0..200_u32).prop_map(|(digit, power)| format!("{digit}E+{power}")),
        Just("123456789012345678901234567890".to_owned()),
        "[a-z ]{0,6}".prop_map(|text| format!("\"\\u00e9{text}\\/\"")),
        "[\u{e9}-\u{ff}]{0,4}".prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {}]", items.join(" ,"))),
            odd_object(inner),
        ]
    })
}

/// Members in no order; a name may be any but those that this test gives a meaning.
fn odd_object(values: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_map("x[a-z]{1,5}", values, 0..5).prop_map(|members| {
        let members = members.into_iter().rev();
        let members: Vec<_> = members
            .map(|(name, value)| format!("\"{name}\" : {value}"))
            .collect();
        format!("{{{}}}", members.join(", "))
    })
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

fn inner(object: &str) -> &str {
    let inner = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    inner.unwrap().trim()
}

/// Whatever a server of that era answers, and a client of the same era asks, is the same at the other
/// end.
fn is_transparent(is_modern: bool) {
    let (upstream, client, _gateway) = RUNTIME.block_on(async {
        let upstream = Upstream::of(is_modern).await;
        let gateway = gateway(vec![server("one", &upstream)]).await;
        let client = Client::of(is_modern, &gateway, "/mcp/one").await;
        (upstream, client, gateway)
    });
    let methods = prop_oneof![
        Just("tools/call"),
        Just("tools/list"),
        Just("resources/read"),
        Just("prompts/get"),
        Just("completion/complete"),
        Just("tasks/get"),
        Just("odd/method"),
    ];
    let cases = (
        methods,
        odd_object(odd_json()),
        odd_object(odd_json()),
        odd_json(),
    );
    let config = proptest::test_runner::Config::with_cases(64);
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    runner
        .run(&cases, |(method, params, answer, data)| {
            RUNTIME.block_on(async {
                let mut params = params;
                if is_modern {
                    let rest = inner(&params);
                    let comma = if rest.is_empty() { "" } else { ", " };
                    params = format!("{{{rest}{comma}{META}}}");
                }
                upstream.does(method, Does::Result(answer.clone()));
                let heard = client.request(method, &params).await;
                prop_assert_eq!(heard.result(), &answer);
                prop_assert_eq!(upstream.params(method).unwrap(), params.clone());
                let error =
                    format!(r#"{{"data": {data}, "message":"m\u0021","code":-32099,"x":1.0}}"#);
                upstream.does(method, Does::Error(error.clone()));
                let heard = client.request(method, &params).await;
                prop_assert_eq!(heard.error(), &error);
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn nothing_changes_on_its_way_between_peers_with_a_handshake() {
    is_transparent(false);
}

#[test]
fn nothing_changes_on_its_way_between_peers_without_a_handshake() {
    is_transparent(true);
}

#[tokio::test]
async fn a_server_introduces_itself_and_only_the_revision_is_that_of_the_client() {
    let upstream = Upstream::old().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let (client, described) = Client::old(&gateway, "/one/mcp", "{}").await;
    assert_eq!(
        described,
        r#"{"serverInfo":{"name":"scripted","version":"1.10"},"odd":1.50,"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"experimental":{"z":{}},"resources":{"subscribe":true}},"instructions":"Call."}"#
    );
    assert_eq!(client.request("ping", "{}").await.result(), "{}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_path_covers_its_servers_and_a_session_stays_at_its_path() {
    let (one, two) = (Upstream::old().await, Upstream::old().await);
    let mut second = server("two", &two);
    second.alias = Some("zwei".to_owned());
    second.policy.access_groups = vec!["numbers".to_owned()];
    let gateway = gateway(vec![server("one", &one), second]).await;
    for path in ["/mcp/two", "/two/mcp", "/mcp/zwei", "/zwei/mcp"] {
        two.does("odd/method", Does::Result("{\"from\":2}".to_owned()));
        let (client, _) = Client::old(&gateway, path, "{}").await;
        assert_eq!(
            client.request("odd/method", "{}").await.result(),
            "{\"from\":2}"
        );
    }
    let (client, _) = Client::old(&gateway, "/mcp/one", "{}").await;
    for path in ["/mcp/two", "/mcp"] {
        let elsewhere = client.at(&gateway, path).request("ping", "{}").await;
        assert_eq!(elsewhere.status, 404, "{path}");
    }
    let unknown = Client::new(&gateway, "/mcp/three")
        .request("ping", "{}")
        .await;
    assert_eq!(unknown.status, 404);
    for name in ["one", "two", "zwei", "numbers", "three"] {
        assert!(!unknown.last().contains(name), "{}", unknown.last());
    }
    let answer = Client::new(&gateway, "/mcp")
        .request_with("ping", "{}", &[("x-mcp-servers", "one,three")])
        .await;
    assert_eq!(answer.status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_that_is_a_path_of_the_gateway_is_refused() {
    let upstream = Upstream::old().await;
    let config = toolbridge::gateway::config::Config {
        servers: vec![server("sse", &upstream)],
        ..Default::default()
    };
    let refused = toolbridge::gateway::Gateway::start(config, "127.0.0.1", 0).await;
    assert!(refused.unwrap_err().to_string().contains("\"sse\""));
}

#[tokio::test]
async fn progress_and_log_lines_come_on_the_stream_of_their_request() {
    for is_modern in [false, true] {
        let upstream = Upstream::of(is_modern).await;
        let gateway = gateway(vec![server("one", &upstream)]).await;
        let client = Client::of(is_modern, &gateway, "/mcp/one").await;
        let said = [
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":{token}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1.50}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/odd","params":{"z":1,"a":2}}"#,
        ];
        let said = said.map(str::to_owned).to_vec();
        upstream.does(
            "tools/call",
            Does::Says(said, r#"{"content":[]}"#.to_owned()),
        );
        let token = r#""_meta":{"progressToken":"mi\u006ee""#;
        let meta = if is_modern {
            META.replacen("\"_meta\":{", &format!("{token},"), 1)
        } else {
            format!("{token}}}")
        };
        let params = format!(r#"{{"name":"t",{meta}}}"#);
        let answer = client.request("tools/call", &params).await;
        assert_eq!(
            answer.messages,
            [
                r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1.0,"progressToken":"mi\u006ee"}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1.50}}"#,
                r#"{"jsonrpc":"2.0","method":"notifications/odd","params":{"z":1,"a":2}}"#,
                r#"{"jsonrpc":"2.0","id":"q1","result":{"content":[]}}"#,
            ],
            "{is_modern}"
        );
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_call_at_the_server() {
    for is_modern in [false, true] {
        let upstream = Upstream::of(is_modern).await;
        let gateway = gateway(vec![server("one", &upstream)]).await;
        upstream.does("tools/call", Does::Holds);
        let client = Client::of(is_modern, &gateway, "/mcp/one").await;
        let params = if is_modern {
            format!(r#"{{"name":"t",{META}}}"#)
        } else {
            r#"{"name":"t"}"#.to_owned()
        };
        let calling = client.request("tools/call", &params);
        tokio::select! {
            _ = calling => panic!("answered"),
            () = upstream.holds() => {}
        }
        if !is_modern {
            // A broken connection may come back; the word of the client does not.
            let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q1"}}"#;
            assert_eq!(client.send(cancelled.to_owned(), &[]).await.status(), 202);
        }
        upstream.was_given_up().await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_an_old_server_asks_an_old_client_answers_on_the_stream_of_its_call() {
    let upstream = Upstream::old().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let (client, _) = Client::old(&gateway, "/mcp/one", ALL).await;
    for (method, params) in [
        ("sampling/createMessage", r#"{"z":1.50,"messages":[]}"#),
        ("elicitation/create", r#"{"message":"?","a":{"b":1e3}}"#),
        ("roots/list", r#"{"_meta":{"x":1}}"#),
    ] {
        let asks = format!(r#"{{"jsonrpc":"2.0","id":77,"method":"{method}","params":{params}}}"#);
        upstream.does("tools/call", Does::Asks(asks));
        let mut stream = client.begin("tools/call", r#"{"name":"t"}"#).await;
        let asked = stream.next().await;
        assert_eq!(text_of(&asked, "method"), format!("\"{method}\""));
        assert_eq!(text_of(&asked, "params"), params);
        client
            .answer(text_of(&asked, "id"), r#"{"y":2.50,"b":"\u00e9"}"#)
            .await;
        let heard: Value = serde_json::from_str(text_of(&stream.next().await, "result")).unwrap();
        assert_eq!(
            heard["heard"],
            r#"{"jsonrpc":"2.0","id":77,"result":{"y":2.50,"b":"\u00e9"}}"#
        );
    }
    // Its own connection introduced it as it introduced itself.
    let introduced = upstream.params("initialize").unwrap();
    assert_eq!(text_of(&introduced, "capabilities"), ALL);
    assert_eq!(
        text_of(&introduced, "clientInfo"),
        r#"{"name":"c","version":"1.0"}"#
    );
    gateway.stop().await;
}

#[tokio::test]
async fn clients_that_nobody_asks_share_one_connection() {
    let upstream = Upstream::old().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    upstream.does("tools/call", Does::Result("{}".to_owned()));
    for _ in 0..3 {
        let (client, _) = Client::old(&gateway, "/mcp/one", "{}").await;
        client.request("tools/call", r#"{"name":"t"}"#).await;
        let client = Client::new(&gateway, "/mcp/one");
        client.request("tools/list", &format!("{{{META}}}")).await;
    }
    assert_eq!(upstream.count("initialize"), 1);
    let (client, _) = Client::old(&gateway, "/mcp/one", ALL).await;
    client.request("tools/list", "{}").await;
    assert_eq!(upstream.count("initialize"), 1);
    client.request("tools/call", r#"{"name":"t"}"#).await;
    client.request("tools/call", r#"{"name":"t"}"#).await;
    assert_eq!(upstream.count("initialize"), 2);
    gateway.stop().await;
}

const WANTED: &str = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"?","x":1.50}}},"requestState":"s\u00e9"}"#;

#[tokio::test]
async fn what_a_new_server_wants_passes_to_a_new_client_and_back_untouched() {
    let upstream = Upstream::new().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let client = Client::new(&gateway, "/mcp/one");
    upstream.does("tools/call", Does::Result(WANTED.to_owned()));
    let params = format!(r#"{{"name":"t",{META}}}"#);
    assert_eq!(client.request("tools/call", &params).await.result(), WANTED);
    let again = format!(
        r#"{{"name":"t","inputResponses":{{"a":{{"action":"accept","n":1.0}}}},"requestState":"s\u00e9",{META}}}"#
    );
    client.request("tools/call", &again).await;
    assert_eq!(upstream.params("tools/call").unwrap(), again);
    assert_eq!(upstream.headers()["mcp-method"], "tools/call");
    assert_eq!(upstream.headers()["mcp-name"], "t");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_new_server_wants_is_asked_of_an_old_client() {
    let upstream = Upstream::new().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let (client, described) = Client::old(&gateway, "/mcp/one", ALL).await;
    assert_eq!(
        described,
        r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"resources":{"subscribe":true}},"serverInfo":{"name":"scripted","version":"1.10"},"odd":1.50}"#
    );
    assert_eq!(
        client
            .request("logging/setLevel", r#"{"level":"warning"}"#)
            .await
            .result(),
        "{}"
    );
    upstream.does("tools/call", Does::Result(WANTED.to_owned()));
    let mut stream = client
        .begin("tools/call", r#"{"name":"t","arguments":{"n":1.50}}"#)
        .await;
    let asked = stream.next().await;
    assert_eq!(text_of(&asked, "params"), r#"{"message":"?","x":1.50}"#);
    upstream.does("tools/call", Does::Result(r#"{"content":[]}"#.to_owned()));
    client
        .answer(text_of(&asked, "id"), r#"{"action":"accept","n":1.0}"#)
        .await;
    assert_eq!(text_of(&stream.next().await, "result"), r#"{"content":[]}"#);
    let sent = upstream.params("tools/call").unwrap();
    assert_eq!(text_of(&sent, "arguments"), r#"{"n":1.50}"#);
    assert_eq!(
        text_of(&sent, "inputResponses"),
        r#"{"a":{"action":"accept","n":1.0}}"#
    );
    assert_eq!(text_of(&sent, "requestState"), r#""s\u00e9""#);
    let meta: Value = serde_json::from_str(text_of(&sent, "_meta")).unwrap();
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    assert_eq!(meta["io.modelcontextprotocol/logLevel"], "warning");
    assert_eq!(
        meta["io.modelcontextprotocol/clientCapabilities"],
        json!({"sampling": {}, "elicitation": {}, "roots": {}})
    );
    gateway.stop().await;
}

/// A call that waits for its client: the state, and the parameters of the request.
async fn parked(upstream: &Upstream, client: &Client) -> (String, String) {
    let asks = r#"{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"message":"?","x":1.50}}"#;
    upstream.does("tools/call", Does::Asks(asks.to_owned()));
    let params = format!(r#"{{"name":"t",{META}}}"#);
    let answer = client.request("tools/call", &params).await;
    let result = answer.result();
    assert_eq!(text_of(result, "resultType"), r#""input_required""#);
    assert_eq!(
        text_of(result, "inputRequests"),
        r#"{"1":{"method":"elicitation/create","params":{"message":"?","x":1.50}}}"#
    );
    (text_of(result, "requestState").to_owned(), params)
}

fn again(name: &str, state: &str) -> String {
    format!(
        r#"{{"name":"{name}","inputResponses":{{"1":{{"action":"accept","n":1.0}}}},"requestState":{state},{META}}}"#
    )
}

#[tokio::test]
async fn what_an_old_server_asks_becomes_a_wish_and_the_repetition_wakes_the_call() {
    let upstream = Upstream::old().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let client = Client::new(&gateway, "/mcp/one");
    let discovered = client
        .request("server/discover", &format!("{{{META}}}"))
        .await;
    assert_eq!(text_of(discovered.result(), "odd"), "1.50");
    let (state, _) = parked(&upstream, &client).await;
    let answer = client.request("tools/call", &again("t", &state)).await;
    let result: Value = serde_json::from_str(answer.result()).unwrap();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(
        result["heard"],
        r#"{"jsonrpc":"2.0","id":77,"result":{"action":"accept","n":1.0}}"#
    );
    assert_eq!(upstream.count("tools/call"), 1);
    // Used twice.
    let refused = client.request("tools/call", &again("t", &state)).await;
    assert!(
        refused.error().contains("requestState"),
        "{}",
        refused.error()
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_state_of_another_request_or_that_was_changed_wakes_nothing() {
    let (upstream, other) = (Upstream::old().await, Upstream::old().await);
    let gateway = gateway(vec![server("one", &upstream), server("two", &other)]).await;
    let client = Client::new(&gateway, "/mcp/one");
    let (state, _) = parked(&upstream, &client).await;
    let changed = state.replacen(&state[5..6], if &state[5..6] == "A" { "B" } else { "A" }, 1);
    let elsewhere = client.at(&gateway, "/mcp/two");
    for (client, params) in [
        (&client, again("other", &state)),
        (&client, again("t", &changed)),
        (&client, again("t", "\"made up\"")),
        (&elsewhere, again("t", &state)),
    ] {
        let refused = client.request("tools/call", &params).await;
        assert!(
            refused.error().contains("requestState"),
            "{}",
            refused.error()
        );
    }
    // None of it has used the state up.
    let answer = client.request("tools/call", &again("t", &state)).await;
    assert!(answer.result().contains("accept"));
    assert_eq!(other.count("tools/call"), 0);
    gateway.stop().await;
}
