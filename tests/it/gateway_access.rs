//! Who may use a gateway, and what of it: over raw sockets.

use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::gateway::Gateway;
use toolbridge::gateway::config::Config;
use toolbridge::mcp::config::Document;

use crate::gateway_client::{Answer, Connection, gateway, model};
use crate::gateway_upstream::Upstream;
use crate::llm_endpoint::{Endpoint, good};

const MASTER: &str = "sk-master-of-the-tests";
const CHAT: &str = "/v1/chat/completions";

fn key(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

async fn get(gateway: &Gateway, path: &str, headers: &str) -> Answer {
    let mut connection = Connection::open(gateway).await;
    let text = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n");
    connection.send(&text).await;
    connection.answer().await
}

async fn post(gateway: &Gateway, path: &str, headers: &str, body: &Value) -> Answer {
    let mut connection = Connection::open(gateway).await;
    let headers = format!("content-type: application/json\r\n{headers}");
    connection.ask(path, &headers, &body.to_string()).await
}

async fn rpc(gateway: &Gateway, headers: &str, method: &str, params: Value) -> Value {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = post(gateway, "/mcp", headers, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn tools(gateway: &Gateway, key_of: &str) -> Vec<String> {
    let answer = rpc(gateway, &key(key_of), "tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn call(gateway: &Gateway, key_of: &str, tool: &str) -> Value {
    rpc(
        gateway,
        &key(key_of),
        "tools/call",
        json!({"name": tool, "arguments": {"a": 1}}),
    )
    .await
}

/// Two models and three servers; keys for some of it.
struct World {
    gateway: Gateway,
    model: Endpoint,
    time: Upstream,
    git: Upstream,
    open: Upstream,
}

async fn world() -> World {
    let model_of = Endpoint::start((0..8).map(|_| good()).collect()).await;
    let time = Upstream::start(&["now", "convert", "status"]).await;
    let git = Upstream::start(&["status", "push"]).await;
    let open = Upstream::start(&["look"]).await;
    let text = format!(
        "model_list:\n{}{}\
         mcp_servers:\n  time: {{url: {}, transport: http, alias: clock}}\n  \
         git: {{url: {}, transport: http, access_groups: [code]}}\n  \
         open: {{url: {}, transport: http, allow_all_keys: true}}\n\
         general_settings: {{master_key: {MASTER}}}\n\
         keys:\n  \
         - {{name: all, key: sk-all}}\n  \
         - {{name: nothing, key: sk-nothing, servers: [], models: []}}\n  \
         - {{name: server, key: sk-server, servers: [clock], models: [small]}}\n  \
         - {{name: group, key: sk-group, access_groups: [code]}}\n  \
         - {{name: tools, key: sk-tools, tools: [now, git-status, look]}}\n",
        model("small", &model_of.origin, ""),
        model("large", &model_of.origin, ""),
        time.url,
        git.url,
        open.url,
    );
    World {
        gateway: gateway(&text).await,
        model: model_of,
        time,
        git,
        open,
    }
}

#[tokio::test]
async fn each_path_asks_for_a_key_and_says_how_to_give_one() {
    let world = world().await;
    let gateway = &world.gateway;
    for path in [
        "/v1/models",
        "/mcp",
        "/health",
        "/metrics",
        "/sse",
        "/model/info",
    ] {
        let answer = get(gateway, path, "").await;
        assert_eq!(answer.status, 401, "{path}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"toolbridge\""), "{path}");
        let answer = get(gateway, path, &key("sk-other")).await;
        assert_eq!(answer.status, 401, "{path}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
        assert!(!answer.body.contains("sk-other"), "{}", answer.body);
    }
    for path in [CHAT, "/mcp"] {
        let answer = post(gateway, path, "", &json!({})).await;
        assert_eq!(answer.status, 401, "{path}");
    }
    for path in [
        "/health/liveliness",
        "/health/liveness",
        "/health/readiness",
    ] {
        assert_eq!(get(gateway, path, "").await.status, 200, "{path}");
    }
    assert_eq!(get(gateway, "/nowhere", "").await.status, 404);
    gateway.stop().await;
}

#[tokio::test]
async fn the_master_key_opens_everything_in_each_of_its_headers() {
    let world = world().await;
    let gateway = &world.gateway;
    for header in [
        key(MASTER),
        format!("x-litellm-api-key: {MASTER}\r\n"),
        format!("x-litellm-api-key: Bearer {MASTER}\r\n"),
        format!("api-key: {MASTER}\r\n"),
    ] {
        let answer = get(gateway, "/v1/models", &header).await;
        assert_eq!(answer.status, 200, "{header}");
        assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    }
    let names = tools(gateway, MASTER).await;
    let all = [
        "clock-now",
        "clock-convert",
        "clock-status",
        "git-status",
        "git-push",
        "open-look",
    ];
    assert_eq!(names, all);
    assert_eq!(tools(gateway, "sk-all").await, all);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_sees_and_calls_the_tools_that_it_may_use() {
    let world = world().await;
    let gateway = &world.gateway;
    for (key_of, names) in [
        ("sk-nothing", &["open-look"][..]),
        (
            "sk-server",
            &["clock-now", "clock-convert", "clock-status", "open-look"],
        ),
        ("sk-group", &["git-status", "git-push", "open-look"]),
        ("sk-tools", &["clock-now", "git-status", "open-look"]),
    ] {
        assert_eq!(tools(gateway, key_of).await, names, "{key_of}");
    }
    // Without its server, for no other that it sees has such a tool.
    let answer = call(gateway, "sk-group", "status").await;
    assert_eq!(
        answer["result"]["content"][0]["text"], "status {\"a\":1}",
        "{answer}"
    );
    assert_eq!(world.git.calls().len(), 1);
    let answer = call(gateway, "sk-tools", "clock-now").await;
    assert_eq!(answer["result"]["odd"], 1.5);
    // What it may not use is as unknown as what there is not.
    for (key_of, tool) in [
        ("sk-nothing", "clock-now"),
        ("sk-nothing", "now"),
        ("sk-server", "git-push"),
        ("sk-server", "push"),
        ("sk-group", "convert"),
        ("sk-tools", "clock-convert"),
        ("sk-tools", "git-push"),
    ] {
        let refused = call(gateway, key_of, tool).await;
        let unknown = call(gateway, key_of, "nobody-has").await;
        let shape = |answer: &Value, tool: &str| {
            let text = answer["error"].to_string();
            text.replace(&format!(": {tool}"), ": ?")
        };
        assert_eq!(
            shape(&refused, tool),
            shape(&unknown, "nobody-has"),
            "{key_of} {tool}"
        );
    }
    assert_eq!((world.time.calls().len(), world.git.calls().len()), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_sees_and_asks_the_models_that_it_may_use() {
    let world = world().await;
    let gateway = &world.gateway;
    let listed = async |key_of: &str| {
        let answer = get(gateway, "/v1/models", &key(key_of)).await.json();
        let data = answer["data"].as_array().unwrap().iter();
        data.map(|model| model["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("sk-all").await, ["small", "large"]);
    assert_eq!(listed("sk-server").await, ["small"]);
    assert!(listed("sk-nothing").await.is_empty());
    let info = get(gateway, "/model/info", &key("sk-server")).await.json();
    assert_eq!(info["data"].as_array().unwrap().len(), 1, "{info}");
    let ask = async |model: &str| {
        post(
            gateway,
            CHAT,
            &key("sk-server"),
            &json!({"model": model, "messages": []}),
        )
        .await
    };
    assert_eq!(ask("small").await.status, 200);
    let (refused, unknown) = (ask("large").await, ask("lorge").await);
    assert_eq!((refused.status, unknown.status), (404, 404));
    assert_eq!(
        refused.body.replace("large", "?"),
        unknown.body.replace("lorge", "?")
    );
    let body = json!({"model": "small", "messages": [], "fallbacks": ["large"]});
    assert_eq!(
        post(gateway, CHAT, &key("sk-server"), &body).await.status,
        404
    );
    let path = get(gateway, "/v1/models/large", &key("sk-server")).await;
    assert_eq!(path.status, 404);
    assert_eq!(world.model.requests().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_its_callers_alone() {
    let world = world().await;
    let gateway = &world.gateway;
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let began = post(gateway, "/mcp", &key("sk-all"), &body).await;
    let session = began.header("mcp-session-id").unwrap().to_owned();
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let with = |key_of: &str| format!("{}mcp-session-id: {session}\r\n", key(key_of));
    assert_eq!(
        post(gateway, "/mcp", &with("sk-all"), &list).await.status,
        200
    );
    for key_of in ["sk-group", MASTER] {
        assert_eq!(
            post(gateway, "/mcp", &with(key_of), &list).await.status,
            404
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_is_taken_away_opens_nothing_any_more() {
    let upstream = Upstream::start(&["look"]).await;
    let text = |keys: &str| {
        format!(
            "mcp_servers:\n  open: {{url: {}, transport: http}}\n\
             general_settings: {{master_key: {MASTER}}}\nkeys: [{keys}]\n",
            upstream.url
        )
    };
    let gateway = gateway(&text("{name: a, key: sk-a}")).await;
    assert_eq!(tools(&gateway, "sk-a").await, ["open-look"]);
    let document = Document::parse(&text(""), "config.yaml".as_ref()).unwrap();
    let config = Config::from_document(&document, &|_| None).unwrap();
    gateway.reload(config).unwrap();
    assert_eq!(get(&gateway, "/v1/models", &key("sk-a")).await.status, 401);
    gateway.stop().await;
}

#[tokio::test]
async fn no_key_of_a_caller_goes_to_a_server_or_a_model() {
    let world = world().await;
    let gateway = &world.gateway;
    tools(gateway, MASTER).await;
    call(gateway, MASTER, "open-look").await;
    let headers = format!("x-litellm-api-key: {MASTER}\r\napi-key: sk-all\r\n");
    post(
        gateway,
        CHAT,
        &headers,
        &json!({"model": "small", "messages": []}),
    )
    .await;
    let heard = format!(
        "{} {} {} {:?}",
        world.time.heard(),
        world.git.heard(),
        world.open.heard(),
        world.model.requests()
    );
    assert!(world.open.calls().len() == 1 && heard.contains("sk-of-the-provider"));
    assert!(
        !heard.contains(MASTER) && !heard.contains("sk-all"),
        "{heard}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_limited_key_sees_its_part_of_the_state_and_none_of_the_metrics() {
    let world = world().await;
    let gateway = &world.gateway;
    tools(gateway, MASTER).await;
    let health = get(gateway, "/health", &key("sk-server")).await.json();
    assert_eq!(health["status"], "healthy", "{health}");
    let servers = health["mcp_servers"].as_array().unwrap().iter();
    let servers: Vec<_> = servers
        .map(|server| server["server_name"].clone())
        .collect();
    assert_eq!(servers, ["time", "open"]);
    assert_eq!(health["healthy_count"], 1);
    assert_eq!(
        get(gateway, "/metrics", &key("sk-server")).await.status,
        403
    );
    assert_eq!(get(gateway, "/metrics", &key("sk-all")).await.status, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_key_every_key_is_accepted_on_this_machine_and_nothing_elsewhere() {
    let open = gateway("model_list: []\n").await;
    for headers in [String::new(), key("sk-1234"), "api-key: x\r\n".to_owned()] {
        assert_eq!(get(&open, "/v1/models", &headers).await.status, 200);
    }
    open.stop().await;
    for text in [
        "model_list: []\n",
        "general_settings: {master_key: sk-1234}\n",
    ] {
        let document = Document::parse(text, "config.yaml".as_ref()).unwrap();
        let config = Config::from_document(&document, &|_| None).unwrap();
        let error = Gateway::start(config, "0.0.0.0", 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("0.0.0.0"), "{error}");
        assert!(!error.to_string().contains("sk-1234"), "{error}");
    }
}
