//! Tools over plain HTTP: over raw sockets.

use serde_json::{Value, json};
use toolbridge::gateway::Gateway;

use crate::gateway_client::{Answer, Connection, gateway};
use crate::gateway_upstream::Upstream;

const MASTER: &str = "sk-master-of-the-tests";

async fn get(gateway: &Gateway, key: &str, path: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\napi-key: {key}\r\n\r\n");
    connection.send(&head).await;
    connection.answer().await
}

async fn call(gateway: &Gateway, key: &str, path: &str, body: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    connection
        .ask(path, &format!("api-key: {key}\r\n"), body)
        .await
}

fn names(list: &Answer) -> Vec<String> {
    let list = list.json();
    let tools = list["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn places() -> (Upstream, Upstream, Gateway) {
    let places = Upstream::start(&["getPlaces", "fail"]).await;
    let notes = Upstream::start(&["read"]).await;
    let text = format!(
        "mcp_servers:\n  \
         places_api: {{url: '{}?key=sk-in-the-url', transport: http, allow_all_keys: true, alias: p, \
         server_id: id-7, description: maps, static_headers: {{x-secret: sk-static}}, \
         mcp_info: {{logo_url: 'http://logo'}}}}\n  \
         notes: {{url: {}, transport: http, access_groups: [team]}}\n\
         general_settings: {{master_key: {MASTER}}}\n\
         keys: [{{name: nothing, key: sk-nothing, servers: []}}]\n",
        places.url, notes.url
    );
    let gateway = gateway(&text).await;
    (places, notes, gateway)
}

#[tokio::test]
async fn lists_have_the_names_of_their_place_and_what_is_told_of_servers() {
    let (_places, _notes, gateway) = places().await;
    let all = get(&gateway, MASTER, "/mcp/tools/list").await;
    assert_eq!(names(&all), ["p-getPlaces", "p-fail", "notes-read"]);
    let all = get(&gateway, MASTER, "/mcp-rest/tools/list").await;
    assert_eq!(names(&all), ["getPlaces", "fail", "read"]);
    let info = json!({
        "logo_url": "http://logo", "server_name": "places_api", "server_id": "id-7", "alias": "p",
        "description": "maps",
    });
    assert_eq!(all.json()["tools"][0]["mcp_info"], info);
    assert_eq!((&all.json()["error"], all.status), (&Value::Null, 200));
    for wanted in [
        "server_id=id-7",
        "server_id=p",
        "mcp_server_name=places_api",
    ] {
        let one = get(&gateway, MASTER, &format!("/mcp-rest/tools/list?{wanted}")).await;
        assert_eq!(names(&one), ["getPlaces", "fail"], "{wanted}");
    }
    let servers = get(&gateway, MASTER, "/v1/mcp/server").await;
    assert!(!servers.body.contains("sk-"), "{}", servers.body);
    let servers = servers.json();
    assert_eq!(servers[0]["server_name"], "places_api");
    assert_eq!(
        (&servers[0]["server_id"], &servers[0]["transport"]),
        (&json!("id-7"), &json!("http"))
    );
    let groups = get(&gateway, MASTER, "/v1/mcp/access_groups").await;
    assert_eq!(groups.json(), json!({"access_groups": ["team"]}));
    assert_eq!(
        get(&gateway, MASTER, "/mcp/enabled").await.json(),
        json!({"enabled": true})
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_is_called_by_either_of_its_names() {
    let (places, _notes, gateway) = places().await;
    for (path, body) in [
        (
            "/mcp-rest/tools/call",
            r#"{"server_id":"places_api","name":"getPlaces","arguments":{"q":1}}"#,
        ),
        (
            "/mcp-rest/tools/call",
            r#"{"server_id":"id-7","name":"places_api-getPlaces","arguments":{"q":1}}"#,
        ),
        (
            "/mcp-rest/tools/call",
            r#"{"server_id":"p","name":"p-getPlaces","arguments":{"q":1}}"#,
        ),
        (
            "/mcp/tools/call",
            r#"{"name":"p-getPlaces","arguments":{"q":1}}"#,
        ),
        (
            "/mcp/tools/call",
            r#"{"name":"getPlaces","arguments":{"q":1}}"#,
        ),
    ] {
        let answer = call(&gateway, "sk-nothing", path, body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        assert_eq!(
            answer.json()["content"][0]["text"],
            "getPlaces {\"q\":1}",
            "{body}"
        );
    }
    let answer = call(&gateway, MASTER, "/mcp/tools/call", r#"{"name":"p-fail"}"#).await;
    assert_eq!(
        (answer.status, &answer.json()["isError"]),
        (200, &json!(true))
    );
    assert_eq!(places.calls().len(), 6);
    assert!(!places.heard().contains("sk-nothing"));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_allowed_are_the_same() {
    let (_places, notes, gateway) = places().await;
    let listed = get(&gateway, "sk-nothing", "/mcp-rest/tools/list").await;
    assert_eq!(names(&listed), ["getPlaces", "fail"]);
    let servers = get(&gateway, "sk-nothing", "/v1/mcp/server").await.json();
    assert_eq!(servers.as_array().unwrap().len(), 1);
    for (hidden, absent) in [("notes", "nobody")] {
        let path = |name: &str| format!("/mcp-rest/tools/list?server_id={name}");
        let hidden_answer = get(&gateway, "sk-nothing", &path(hidden)).await;
        let absent_answer = get(&gateway, "sk-nothing", &path(absent)).await;
        assert_eq!((hidden_answer.status, absent_answer.status), (404, 404));
        assert_eq!(
            hidden_answer.body.replace(hidden, "?"),
            absent_answer.body.replace(absent, "?")
        );
    }
    let path = "/mcp/tools/call";
    let hidden = call(&gateway, "sk-nothing", path, r#"{"name":"notes-read"}"#).await;
    let absent = call(&gateway, "sk-nothing", path, r#"{"name":"nodes-read"}"#).await;
    assert_eq!((hidden.status, absent.status), (404, 404), "{hidden:?}");
    assert_eq!(
        hidden.body.replace("notes", "?"),
        absent.body.replace("nodes", "?")
    );
    for body in [
        "",
        "[]",
        "{}",
        r#"{"name":7}"#,
        r#"{"name":"p-fail","arguments":[]}"#,
    ] {
        assert_eq!(
            call(&gateway, MASTER, path, body).await.status,
            400,
            "{body}"
        );
    }
    let answer = call(
        &gateway,
        MASTER,
        "/mcp-rest/tools/call",
        r#"{"name":"read"}"#,
    )
    .await;
    assert_eq!(
        (answer.status, answer.json()["error"]["param"].as_str()),
        (400, Some("server_id"))
    );
    assert!(notes.calls().is_empty());
    gateway.stop().await;
}

/// The paths of MCP that name servers: a server that a key may not use leads nowhere.
#[tokio::test]
async fn a_path_to_a_hidden_server_leads_nowhere() {
    let (_places, _notes, gateway) = places().await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (path, status) in [
        ("/mcp/p", 200),
        ("/mcp/notes", 404),
        ("/notes/mcp", 404),
        ("/mcp/team", 404),
    ] {
        let answer = call(&gateway, "sk-nothing", path, list).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(
            call(&gateway, MASTER, path, list).await.status,
            200,
            "{path}"
        );
    }
    let mut connection = Connection::open(&gateway).await;
    let headers = "api-key: sk-nothing\r\nx-mcp-servers: notes\r\n";
    assert_eq!(connection.ask("/mcp", headers, list).await.status, 404);
    gateway.stop().await;
}
