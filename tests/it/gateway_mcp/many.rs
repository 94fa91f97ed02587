//! Several MCP servers behind one endpoint: names, lists, and whose a request is.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{Client, Does, META, Upstream, gateway, server, text_of};

fn names(list: &str, member: &str, key: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(list).unwrap();
    let entries = list[member].as_array().unwrap().iter();
    entries
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

const CAPABLE: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"prompts":{},"resources":{},"completions":{}},"serverInfo":{"name":"s","version":"1"},"instructions":"Go."}"#;

/// A server with a handshake that has one of everything, named after it.
async fn full(name: &str) -> Upstream {
    let upstream = Upstream::old().await;
    upstream.does("initialize", Does::Result(CAPABLE.to_owned()));
    let lists = [
        (
            "tools/list",
            format!(
                r#"{{"tools":[{{"x":1.50,"name":"only_{name}","inputSchema":{{"z":1,"a":2}}}},{{"name":"both"}}]}}"#
            ),
        ),
        (
            "prompts/list",
            format!(r#"{{"prompts":[{{"name":"ask_{name}"}}]}}"#),
        ),
        (
            "resources/list",
            format!(
                r#"{{"resources":[{{"uri":"test://{name}","name":"r"}},{{"uri":"test://both","name":"r"}}]}}"#
            ),
        ),
        (
            "resources/templates/list",
            format!(
                r#"{{"resourceTemplates":[{{"uriTemplate":"{name}://{{path}}","name":"t"}}]}}"#
            ),
        ),
    ];
    for (method, list) in lists {
        upstream.does(method, Does::Result(list));
    }
    for method in [
        "tools/call",
        "prompts/get",
        "resources/read",
        "completion/complete",
    ] {
        upstream.does(method, Does::Result(format!(r#"{{"from":"{name}"}}"#)));
    }
    upstream
}

#[tokio::test]
async fn what_several_servers_have_is_one_list_and_each_request_goes_to_its_owner() {
    let (a, b) = (full("a").await, full("b").await);
    let gateway = gateway(vec![server("a", &a), server("b", &b)]).await;
    let (client, described) = Client::old(&gateway, "/mcp", "{}").await;
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["instructions"], "a: Go.\n\nb: Go.");
    assert_eq!(described["capabilities"]["completions"], json!({}));
    let tools = client.request("tools/list", "{}").await;
    assert_eq!(
        tools.result(),
        r#"{"tools":[{"x":1.50,"name":"a-only_a","inputSchema":{"z":1,"a":2}},{"name":"a-both"},{"x":1.50,"name":"b-only_b","inputSchema":{"z":1,"a":2}},{"name":"b-both"}]}"#
    );
    let prompts = client.request("prompts/list", "{}").await;
    assert_eq!(
        names(prompts.result(), "prompts", "name"),
        ["a-ask_a", "b-ask_b"]
    );
    let resources = client.request("resources/list", "{}").await;
    assert_eq!(
        names(resources.result(), "resources", "uri"),
        ["test://a", "test://both", "test://b"]
    );
    let templates = client.request("resources/templates/list", "{}").await;
    assert_eq!(
        names(templates.result(), "resourceTemplates", "uriTemplate"),
        ["a://{path}", "b://{path}"]
    );
    for (method, params, owner) in [
        (
            "tools/call",
            r#"{"name":"b-both","arguments":{"n":1.50}}"#,
            "b",
        ),
        ("tools/call", r#"{"name":"only_b"}"#, "b"),
        ("tools/call", r#"{"name":"a-only_a"}"#, "a"),
        ("prompts/get", r#"{"name":"b-ask_b"}"#, "b"),
        ("prompts/get", r#"{"name":"ask_a"}"#, "a"),
        ("resources/read", r#"{"uri":"test://b"}"#, "b"),
        ("resources/read", r#"{"uri":"test://both"}"#, "a"),
        ("resources/read", r#"{"uri":"b://some/path"}"#, "b"),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"b-ask_b"},"argument":{"name":"n","value":"v"}}"#,
            "b",
        ),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/resource","uri":"b://{path}"},"argument":{"name":"n","value":"v"}}"#,
            "b",
        ),
    ] {
        let answer = client.request(method, params).await;
        assert_eq!(
            answer.result(),
            format!(r#"{{"from":"{owner}"}}"#),
            "{method} {params}"
        );
    }
    assert_eq!(b.params("prompts/get").unwrap(), r#"{"name":"ask_b"}"#);
    assert_eq!(b.params("tools/call").unwrap(), r#"{"name":"only_b"}"#);
    let sent = b.params("completion/complete").unwrap();
    assert_eq!(
        text_of(&sent, "ref"),
        r#"{"type":"ref/resource","uri":"b://{path}"}"#
    );
    let refused = client.request("tools/call", r#"{"name":"both"}"#).await;
    assert!(
        refused.error().contains("a-both, b-both"),
        "{}",
        refused.error()
    );
    let refused = client.request("odd/method", "{}").await;
    assert!(refused.error().contains("-32601"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_is_read_in_full_and_not_again_before_it_changes() {
    let a = full("a").await;
    let gateway = gateway(vec![server("a", &a)]).await;
    let modern = Client::new(&gateway, "/mcp");
    let first = modern.request("prompts/list", &format!("{{{META}}}")).await;
    assert_eq!(text_of(first.result(), "resultType"), "\"complete\"");
    let (client, _) = Client::old(&gateway, "/mcp", "{}").await;
    client.request("prompts/list", "{}").await;
    assert_eq!(a.count("prompts/list"), 1);
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#;
    a.does(
        "tools/call",
        Does::Says(vec![changed.to_owned()], "{}".to_owned()),
    );
    client.request("tools/call", r#"{"name":"a-both"}"#).await;
    a.does(
        "prompts/list",
        Does::Result(r#"{"prompts":[{"name":"new"}]}"#.to_owned()),
    );
    let again = client.request("prompts/list", "{}").await;
    assert_eq!(names(again.result(), "prompts", "name"), ["a-new"]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_or_is_down_costs_the_others_nothing() {
    let (a, slow) = (full("a").await, full("slow").await);
    slow.does("initialize", Does::Holds);
    let mut hanging = server("slow", &slow);
    hanging.endurance.connect_timeout = Duration::from_mins(1);
    let mut down = server("down", &a);
    if let toolbridge::mcp::Target::Http { settings, .. } = &mut down.target {
        // Nobody listens there: the port was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        settings.url = format!("http://{}/mcp", free.local_addr().unwrap());
    }
    let gateway = gateway(vec![hanging, down, server("a", &a)]).await;
    let client = Client::new(&gateway, "/mcp");
    let params = format!("{{{META}}}");
    // The limit is longer than what is waited for a server that is only just being reached.
    let listed = tokio::time::timeout(
        Duration::from_secs(20),
        client.request("tools/list", &params),
    );
    let listed = listed.await.unwrap();
    assert_eq!(
        names(listed.result(), "tools", "name"),
        ["a-only_a", "a-both"]
    );
    let call = format!(r#"{{"name":"a-both",{META}}}"#);
    let called = client.request("tools/call", &call).await;
    assert_eq!(text_of(called.result(), "from"), "\"a\"");
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_that_the_configuration_keeps_back_is_neither_listed_nor_called() {
    let a = full("a").await;
    let mut config = server("a", &a);
    config.disallowed_tools = vec!["only_a".to_owned()];
    config
        .policy
        .allowed_params
        .insert("both".to_owned(), vec!["n".to_owned()]);
    let gateway = gateway(vec![config]).await;
    for (path, prefix) in [("/mcp", "a-"), ("/mcp/a", "")] {
        let client = Client::new(&gateway, path);
        let listed = client.request("tools/list", &format!("{{{META}}}")).await;
        assert_eq!(
            names(listed.result(), "tools", "name"),
            [format!("{prefix}both")]
        );
        let call = |tool: &str, arguments: &str| {
            format!(r#"{{"name":"{prefix}{tool}","arguments":{arguments},{META}}}"#)
        };
        let refused = client.request("tools/call", &call("only_a", "{}")).await;
        assert!(refused.error().contains("only_a"), "{}", refused.error());
        let refused = client
            .request("tools/call", &call("both", r#"{"n":1,"m":2}"#))
            .await;
        assert!(
            refused.error().contains("it takes n"),
            "{}",
            refused.error()
        );
        assert_eq!(a.count("tools/call"), 0);
        let called = client
            .request("tools/call", &call("both", r#"{"n":1}"#))
            .await;
        assert_eq!(text_of(called.result(), "from"), "\"a\"");
        a.forget();
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_hears_of_changes_of_the_servers_that_it_came_for() {
    let (a, b) = (full("a").await, full("b").await);
    let gateway = gateway(vec![server("a", &a), server("b", &b)]).await;
    let (client, _) = Client::old(&gateway, "/mcp", "{}").await;
    let (other, _) = Client::old(&gateway, "/mcp/b", "{}").await;
    let mut news = client.listen().await;
    let mut other_news = other.listen().await;
    let changed = |list: &str| {
        let told = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
        Does::Says(vec![told], "{}".to_owned())
    };
    a.does("tools/call", changed("tools"));
    client.request("tools/call", r#"{"name":"only_a"}"#).await;
    b.does("tools/call", changed("prompts"));
    client.request("tools/call", r#"{"name":"only_b"}"#).await;
    let heard = [news.next().await, news.next().await];
    assert_eq!(
        text_of(&heard[0], "method"),
        "\"notifications/tools/list_changed\""
    );
    assert_eq!(
        text_of(&heard[1], "method"),
        "\"notifications/prompts/list_changed\""
    );
    let heard = other_news.next().await;
    assert_eq!(
        text_of(&heard, "method"),
        "\"notifications/prompts/list_changed\""
    );
    gateway.stop().await;
}

#[tokio::test]
async fn headers_reach_the_server_that_they_are_for_over_a_connection_of_their_own() {
    let (a, b) = (full("a").await, full("b").await);
    let mut first = server("a", &a);
    first.policy.forwarded_headers = vec!["X-Tenant".to_owned()];
    let gateway = gateway(vec![first, server("b", &b)]).await;
    let client = Client::new(&gateway, "/mcp");
    let list = format!("{{{META}}}");
    client.request("prompts/list", &list).await;
    let begun = (a.count("initialize"), b.count("initialize"));
    assert_eq!(begun, (1, 1));
    let call = |tool: &str| {
        format!(
            r#"{{"name":"{tool}",{}}}"#,
            META.replace("elicitation", "x")
                .replace("sampling", "y")
                .replace("roots", "z")
        )
    };
    let given = [
        ("x-tenant", "t1"),
        ("x-secret", "s"),
        ("x-mcp-b-authorization", "Bearer of-b"),
        ("x-mcp-b-host", "elsewhere"),
    ];
    for _ in 0..2 {
        client
            .request_with("tools/call", &call("only_a"), &given)
            .await
            .result();
        assert_eq!(a.headers()["x-tenant"], "t1");
        assert!(!a.headers().contains_key("x-secret"));
        assert!(!a.headers().contains_key("authorization"));
        client
            .request_with("tools/call", &call("only_b"), &given)
            .await
            .result();
        assert_eq!(b.headers()["authorization"], "Bearer of-b");
        assert_ne!(b.headers()["host"], "elsewhere");
        assert!(!b.headers().contains_key("x-tenant"));
    }
    assert_eq!((a.count("initialize"), b.count("initialize")), (2, 2));
    client.request("tools/call", &call("only_b")).await.result();
    assert!(!b.headers().contains_key("authorization"));
    gateway.stop().await;
}

#[tokio::test]
async fn one_server_takes_its_tools_by_their_longer_names_too() {
    let a = full("a").await;
    let gateway = gateway(vec![server("a", &a)]).await;
    let (client, _) = Client::old(&gateway, "/mcp/a", "{}").await;
    for (name, own) in [
        ("a-both", "both"),
        ("both", "both"),
        ("a-nothing", "nothing"),
    ] {
        let params = format!(r#"{{"x":1.50,"name":"{name}"}}"#);
        client.request("tools/call", &params).await;
        let sent = a.params("tools/call").unwrap();
        assert_eq!(sent, format!(r#"{{"x":1.50,"name":"{own}"}}"#));
    }
    gateway.stop().await;
}
