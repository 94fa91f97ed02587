//! `requestState` of the gateway, with which a call at an old server waits for its new client: what is
//! not the repetition of that request, by that caller, in time and for the first time, is refused.

use std::time::Duration;

use toolbridge::gateway::Gateway;

use super::world::{Client, Does, META, Upstream, gateway, server, text_of};

/// How long a state is good for.
const LIFETIME: Duration = Duration::from_mins(5);

/// The request that waits, by whoever sends these headers; its state.
async fn parked_with(upstream: &Upstream, client: &Client, headers: &[(&str, &str)]) -> String {
    let asks = r#"{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"message":"?","x":1.50}}"#;
    upstream.does("tools/call", Does::Asks(asks.to_owned()));
    let params = format!(r#"{{"name":"t","arguments":{{"n":1}},{META}}}"#);
    let answer = client.request_with("tools/call", &params, headers).await;
    let result = answer.result();
    assert_eq!(text_of(result, "resultType"), r#""input_required""#);
    assert_eq!(
        text_of(result, "inputRequests"),
        r#"{"1":{"method":"elicitation/create","params":{"message":"?","x":1.50}}}"#
    );
    text_of(result, "requestState").to_owned()
}

/// A call that waits for its client; its state.
pub(super) async fn parked(upstream: &Upstream, client: &Client) -> String {
    parked_with(upstream, client, &[]).await
}

/// The repetition of that request.
pub(super) fn again(state: &str) -> String {
    repetition("t", "1", state)
}

fn repetition(tool: &str, number: &str, state: &str) -> String {
    format!(
        r#"{{"name":"{tool}","arguments":{{"n":{number}}},"inputResponses":{{"1":{{"action":"accept","n":1.0}}}},"requestState":{state},{META}}}"#
    )
}

/// One server behind a gateway, and a call at it that waits.
struct Waiting {
    upstream: Upstream,
    gateway: Gateway,
    client: Client,
    state: String,
}

async fn waiting() -> Waiting {
    let upstream = Upstream::old().await;
    let gateway = gateway(vec![server("one", &upstream)]).await;
    let client = Client::new(&gateway, "/mcp/one");
    let state = parked(&upstream, &client).await;
    Waiting {
        upstream,
        gateway,
        client,
        state,
    }
}

async fn refused(client: &Client, method: &str, params: &str, headers: &[(&str, &str)]) {
    let answer = client.request_with(method, params, headers).await;
    let error = answer.error();
    assert_eq!(text_of(error, "code"), "-32602");
    assert!(error.contains("requestState is not valid"), "{error}");
}

async fn accepted(client: &Client, params: &str, headers: &[(&str, &str)]) {
    let answer = client.request_with("tools/call", params, headers).await;
    assert!(answer.result().contains("accept"), "{}", answer.last());
}

#[tokio::test]
async fn a_state_of_another_caller_is_refused() {
    let upstream = Upstream::old().await;
    let gateway = crate::gateway_client::gateway(&format!(
        "mcp_servers:\n  one: {{url: {}, transport: http}}\n\
         general_settings: {{master_key: sk-of-the-operator}}\n\
         keys: [{{name: ann, key: sk-ann}}, {{name: ben, key: sk-ben}}]\n",
        upstream.url
    ))
    .await;
    let client = Client::new(&gateway, "/mcp/one");
    let ann = ("authorization", "Bearer sk-ann");
    let state = parked_with(&upstream, &client, &[ann]).await;
    for other in ["Bearer sk-ben", "Bearer sk-of-the-operator"] {
        let headers = [("authorization", other)];
        refused(&client, "tools/call", &again(&state), &headers).await;
    }
    // It is good for its own caller all the same.
    accepted(&client, &again(&state), &[ann]).await;
    assert_eq!(upstream.count("tools/call"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_state_of_another_request_is_refused() {
    let (upstream, other) = (Upstream::old().await, Upstream::old().await);
    let gateway = gateway(vec![server("one", &upstream), server("two", &other)]).await;
    let client = Client::new(&gateway, "/mcp/one");
    let state = parked(&upstream, &client).await;
    refused(&client, "tools/call", &repetition("u", "1", &state), &[]).await;
    refused(&client, "tools/call", &repetition("t", "2", &state), &[]).await;
    refused(&client, "prompts/get", &again(&state), &[]).await;
    let elsewhere = client.at(&gateway, "/mcp/two");
    refused(&elsewhere, "tools/call", &again(&state), &[]).await;
    accepted(&client, &again(&state), &[]).await;
    assert_eq!(upstream.count("tools/call"), 1);
    assert_eq!(upstream.count("prompts/get"), 0);
    assert_eq!(other.count("tools/call"), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_state_that_has_expired_is_refused_and_its_call_is_cancelled() {
    let waiting = waiting().await;
    let last = LIFETIME.checked_sub(Duration::from_secs(2));
    advance(last.unwrap()).await;
    // Another call, whose time begins now.
    let younger = parked(&waiting.upstream, &waiting.client).await;
    assert_eq!(count(&waiting.gateway).await, "2");
    advance(Duration::from_secs(2)).await;
    waiting.upstream.was_given_up().await;
    assert_eq!(count(&waiting.gateway).await, "1");
    let client = &waiting.client;
    refused(client, "tools/call", &again(&waiting.state), &[]).await;
    accepted(client, &again(&younger), &[]).await;
    assert_eq!(count(&waiting.gateway).await, "0");
    waiting.gateway.stop().await;
}

/// How many calls wait, by the metrics.
async fn count(gateway: &Gateway) -> String {
    let url = format!("http://{}/metrics", gateway.address());
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("toolbridge_mcp_calls_waiting "));
    found.unwrap().to_owned()
}

/// Moves the clock of this thread, on which all of it runs.
async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_state_that_was_changed_is_refused() {
    let waiting = waiting().await;
    let state = &waiting.state;
    let end = state.len() - 2;
    for place in [1, state.len() / 2, end] {
        let mut changed = state.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'Q' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        refused(&waiting.client, "tools/call", &again(&changed), &[]).await;
    }
    let shorter = format!("{}\"", &state[..end]);
    for other in [shorter.as_str(), "\"\"", "\"made up\"", "7", "null"] {
        refused(&waiting.client, "tools/call", &again(other), &[]).await;
    }
    accepted(&waiting.client, &again(state), &[]).await;
    waiting.gateway.stop().await;
}

#[tokio::test]
async fn a_state_that_was_used_is_refused() {
    let waiting = waiting().await;
    accepted(&waiting.client, &again(&waiting.state), &[]).await;
    refused(&waiting.client, "tools/call", &again(&waiting.state), &[]).await;
    assert_eq!(waiting.upstream.count("tools/call"), 1);
    waiting.gateway.stop().await;
}
