//! Servers that wish for completions, behind a gateway whose configuration says who gives them: every
//! cell of the two eras.

use serde_json::{Value, json};
use toolbridge::gateway::Gateway;

use super::ALL;
use super::world::{Client, Does, META, Upstream, text_of};

/// The configuration lets a model answer for clients that have none.
async fn with_a_model(upstream: &Upstream, is_allowed: bool) -> Gateway {
    let text = format!(
        "model_list:\n  - model_name: other\n    litellm_params: {{model: openai/o, mock_response: no}}\n  \
         - model_name: small\n    litellm_params: {{model: openai/s, mock_response: forty-two}}\n\
         mcp_servers:\n  one: {{url: {}, allow_sampling: {is_allowed}}}\n",
        upstream.url
    );
    crate::gateway_client::gateway(&text).await
}

const SAMPLING: &str = r#"{"jsonrpc":"2.0","id":77,"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"6 x 7"}}],"modelPreferences":{"hints":[{"name":"small"}]},"maxTokens":9}}"#;

#[tokio::test]
async fn a_model_answers_an_old_server_for_a_client_that_cannot() {
    let nothing = META.replace(r#""elicitation":{},"sampling":{},"roots":{}"#, "");
    let elicitation = META
        .replace(r#""sampling":{},"roots":{}"#, "")
        .replace("{},}", "{}}");
    for (is_modern, capabilities, meta) in [
        (false, "{}", ""),
        (false, r#"{"elicitation":{}}"#, ""),
        (true, "", nothing.as_str()),
        (true, "", elicitation.as_str()),
    ] {
        let upstream = Upstream::old().await;
        let gateway = with_a_model(&upstream, true).await;
        upstream.does("tools/call", Does::Asks(SAMPLING.to_owned()));
        let (client, params) = if is_modern {
            let client = Client::new(&gateway, "/mcp/one");
            (client, format!(r#"{{"name":"t",{meta}}}"#))
        } else {
            let (client, _) = Client::old(&gateway, "/mcp/one", capabilities).await;
            (client, r#"{"name":"t"}"#.to_owned())
        };
        let answer = client.request("tools/call", &params).await;
        assert_eq!(answer.messages.len(), 1, "{:?}", answer.messages);
        let result: Value = serde_json::from_str(answer.result()).unwrap();
        let heard: Value = serde_json::from_str(result["heard"].as_str().unwrap()).unwrap();
        let expected = json!({"type": "text", "text": "forty-two"});
        assert_eq!(heard["result"]["content"], expected, "{heard}");
        assert_eq!(heard["result"]["stopReason"], "endTurn");
        let introduced = upstream.params("initialize").unwrap();
        assert!(text_of(&introduced, "capabilities").contains("sampling"));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_can_is_asked_itself_and_nobody_where_it_is_not_allowed() {
    let upstream = Upstream::old().await;
    let gateway = with_a_model(&upstream, true).await;
    upstream.does("tools/call", Does::Asks(SAMPLING.to_owned()));
    let (client, _) = Client::old(&gateway, "/mcp/one", ALL).await;
    let mut stream = client.begin("tools/call", r#"{"name":"t"}"#).await;
    let asked = stream.next().await;
    assert_eq!(text_of(&asked, "method"), r#""sampling/createMessage""#);
    client.answer(text_of(&asked, "id"), r#"{"mine":1}"#).await;
    assert!(stream.next().await.contains("mine"));
    gateway.stop().await;
    let gateway = with_a_model(&upstream, false).await;
    let (client, _) = Client::old(&gateway, "/mcp/one", "{}").await;
    let answer = client.request("tools/call", r#"{"name":"t"}"#).await;
    assert!(answer.result().contains("-32601"), "{}", answer.result());
    gateway.stop().await;
}

/// The same wish of a server without a handshake.
fn wish() -> String {
    SAMPLING.replace(r#""jsonrpc":"2.0","id":77,"#, "")
}

const ELICITATION: &str = r#"{"method":"elicitation/create","params":{"message":"?","x":1.50}}"#;
const DONE: &str = r#"{"resultType":"complete","content":[],"x":1.50}"#;

/// An answer that wants these before there is another one.
fn wants(requests: &[(&str, &str)], state: &str) -> String {
    let requests = requests
        .iter()
        .map(|(key, request)| format!(r#""{key}":{request}"#));
    let requests: Vec<_> = requests.collect();
    format!(
        r#"{{"resultType":"input_required","odd":1.50,"inputRequests":{{{}}},"requestState":{state}}}"#,
        requests.join(",")
    )
}

/// What a client without a handshake says of itself when it can do this.
fn saying(abilities: &str) -> String {
    META.replace(r#""elicitation":{},"sampling":{},"roots":{}"#, abilities)
}

fn capabilities(sent: &str) -> Value {
    let meta: Value = serde_json::from_str(text_of(sent, "_meta")).unwrap();
    meta["io.modelcontextprotocol/clientCapabilities"].clone()
}

#[tokio::test]
async fn a_model_answers_a_new_server_for_a_client_of_either_era_that_cannot() {
    for is_modern in [false, true] {
        let upstream = Upstream::new().await;
        let gateway = with_a_model(&upstream, true).await;
        let client = Client::of(is_modern, &gateway, "/mcp/one").await;
        let wanted = wants(&[("a", &wish()), ("b", &wish())], r#""s\u00e9""#);
        let answers = vec![wanted, DONE.to_owned()];
        upstream.does("tools/call", Does::Each(answers));
        let params = format!(r#"{{"name":"t","n":1.50,{}}}"#, saying(""));
        let params = if is_modern {
            params.as_str()
        } else {
            r#"{"name":"t","n":1.50}"#
        };
        let answer = client.request("tools/call", params).await;
        assert_eq!(answer.result(), DONE);
        assert_eq!(answer.messages.len(), 1, "{:?}", answer.messages);
        let sent = upstream.params("tools/call").unwrap();
        let responses: Value = serde_json::from_str(text_of(&sent, "inputResponses")).unwrap();
        for key in ["a", "b"] {
            assert_eq!(
                responses[key]["content"]["text"], "forty-two",
                "{responses}"
            );
        }
        assert_eq!(text_of(&sent, "requestState"), r#""s\u00e9""#);
        assert_eq!(text_of(&sent, "n"), "1.50");
        assert_eq!(capabilities(&sent), json!({"sampling": {}}));
        assert_eq!(upstream.count("tools/call"), 2);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_new_client_is_asked_what_no_model_answers_and_its_answers_meet_those_of_the_model() {
    let upstream = Upstream::new().await;
    let gateway = with_a_model(&upstream, true).await;
    let client = Client::new(&gateway, "/mcp/one");
    let wanted = wants(&[("a", &wish()), ("b", ELICITATION)], r#""s\u00e9""#);
    let later = wants(&[("c", ELICITATION)], r#""of the server""#);
    upstream.does(
        "tools/call",
        Does::Each(vec![wanted, later.clone(), DONE.to_owned()]),
    );
    let meta = saying(r#""elicitation":{"form":{}}"#);
    let params = format!(r#"{{"name":"t","n":1.50,{meta}}}"#);
    let answer = client.request("tools/call", &params).await;
    let result = answer.result().to_owned();
    assert_eq!(text_of(&result, "odd"), "1.50");
    assert_eq!(
        text_of(&result, "inputRequests"),
        format!(r#"{{"b":{ELICITATION}}}"#)
    );
    let state = text_of(&result, "requestState");
    assert!(!state.contains("forty-two"), "{state}");
    let again = |name: &str, state: &str| {
        format!(
            r#"{{"name":"{name}","n":1.50,"inputResponses":{{"a":{{"mine":1}},"b":{{"action":"accept","n":1.0}}}},"requestState":{state},{meta}}}"#
        )
    };
    // It is good for its own request, as it was given, and once.
    let changed = format!("{}AAAA\"", &state[..state.len() - 5]);
    for params in [again("other", state), again("t", &changed)] {
        let refused = client.request("tools/call", &params).await;
        assert!(refused.error().contains("requestState"), "{params}");
    }
    assert_eq!(upstream.count("tools/call"), 1);
    let answer = client.request("tools/call", &again("t", state)).await;
    // What no model has a part in passes as it is.
    assert_eq!(answer.result(), later);
    let sent = upstream.params("tools/call").unwrap();
    assert_eq!(text_of(&sent, "requestState"), r#""s\u00e9""#);
    let responses: Value = serde_json::from_str(text_of(&sent, "inputResponses")).unwrap();
    assert_eq!(responses["a"]["content"]["text"], "forty-two");
    assert!(text_of(&sent, "inputResponses").contains(r#""b":{"action":"accept","n":1.0}"#));
    let refused = client.request("tools/call", &again("t", state)).await;
    assert!(refused.error().contains("requestState"));
    assert_eq!(upstream.count("tools/call"), 2);
    let own = again("t", r#""of the server""#);
    assert_eq!(client.request("tools/call", &own).await.result(), DONE);
    let sent = upstream.params("tools/call").unwrap();
    assert_eq!(text_of(&sent, "requestState"), r#""of the server""#);
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_client_that_can_is_asked_itself_and_nobody_where_it_is_not_allowed() {
    let upstream = Upstream::new().await;
    let wanted = wants(&[("a", &wish())], r#""s""#);
    upstream.does("tools/call", Does::Result(wanted.clone()));
    let params = format!(r#"{{"name":"t",{META}}}"#);
    for is_modern in [false, true] {
        let gateway = with_a_model(&upstream, true).await;
        if is_modern {
            let client = Client::new(&gateway, "/mcp/one");
            let answer = client.request("tools/call", &params).await;
            assert_eq!(answer.result(), wanted);
            assert_eq!(upstream.params("tools/call").unwrap(), params);
        } else {
            let (client, _) = Client::old(&gateway, "/mcp/one", ALL).await;
            let mut stream = client.begin("tools/call", r#"{"name":"t"}"#).await;
            let asked = stream.next().await;
            assert_eq!(text_of(&asked, "method"), r#""sampling/createMessage""#);
        }
        gateway.stop().await;
        // The server wishes for it all the same.
        let gateway = with_a_model(&upstream, false).await;
        let answer = if is_modern {
            let client = Client::new(&gateway, "/mcp/one");
            client.request("tools/call", &params).await
        } else {
            let (client, _) = Client::old(&gateway, "/mcp/one", ALL).await;
            client.request("tools/call", r#"{"name":"t"}"#).await
        };
        assert_eq!(answer.messages.len(), 1, "{:?}", answer.messages);
        assert!(
            answer.error().contains("does not let it"),
            "{}",
            answer.error()
        );
        let told = capabilities(&upstream.params("tools/call").unwrap());
        assert_eq!(told, json!({"elicitation": {}, "roots": {}}));
        gateway.stop().await;
    }
}
