//! Servers from the files and objects that describe them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use toolbridge::error::ErrorKind;
use toolbridge::mcp::config::Document;
use toolbridge::mcp::{HttpKind, Loaded, ServerConfig, Target};

fn variables(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cret".to_owned()),
        "HOME" => Some("/home/u".to_owned()),
        _ => None,
    }
}

fn file(text: &str, path: &str) -> toolbridge::error::Result<Loaded> {
    Loaded::from_document(&Document::parse(text, Path::new(path))?, &variables)
}

fn value(value: Value) -> toolbridge::error::Result<Loaded> {
    Loaded::from_value(value, &variables)
}

fn one(loaded: toolbridge::error::Result<Loaded>) -> ServerConfig {
    loaded.unwrap().servers.remove(0)
}

fn headers(server: &ServerConfig) -> Vec<(String, String)> {
    match &server.target {
        Target::Http { settings, .. } => settings.headers.clone(),
        Target::Stdio(_) => panic!("no HTTP"),
    }
}

#[test]
fn claude_desktop_starts_a_command() {
    let server = one(value(json!({"mcpServers": {"git": {
        "command": "uvx", "args": ["mcp-server-git", "${HOME}/r"], "env": {"A": 1, "B": true, "T": "${env:TOKEN}"},
        "cwd": "${NO:-/tmp}", "restart": true, "timeout": 20,
    }}})));
    let Target::Stdio(parameters) = &server.target else {
        panic!("no stdio")
    };
    assert_eq!(server.name, "git");
    assert_eq!(parameters.command, "uvx");
    assert_eq!(parameters.args, ["mcp-server-git", "/home/u/r"]);
    let env: Vec<_> = parameters
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(env, ["A=1", "B=true", "T=s3cret"]);
    assert_eq!(parameters.cwd.as_deref(), Some(Path::new("/tmp")));
    assert!(server.endurance.restart);
    assert_eq!(
        server.endurance.request_timeout,
        Some(Duration::from_secs(20))
    );
}

#[test]
fn an_url_is_reached_by_the_transport_that_is_named_or_found_out() {
    let kind = |server: Value| match one(value(json!({ "servers": { "a": server } }))).target {
        Target::Http { kind, .. } => kind,
        Target::Stdio(_) => panic!("no HTTP"),
    };
    assert_eq!(kind(json!({"url": "http://h/mcp"})), None);
    assert_eq!(
        kind(json!({"url": "http://h/mcp", "type": "http"})),
        Some(HttpKind::Streamable)
    );
    assert_eq!(
        kind(json!({"url": "http://h/mcp", "transport": "streamable-http"})),
        Some(HttpKind::Streamable)
    );
    assert_eq!(
        kind(json!({"serverUrl": "http://h/sse", "type": "sse"})),
        Some(HttpKind::Sse)
    );
}

#[test]
fn a_file_may_hold_comments_and_a_server_may_be_switched_off() {
    let text = "{\n  // the servers\n  \"servers\": {\n    \"a\": {\"command\": \"x // y\", /* no */ \"args\": [\"1\",],},\n    \"b\": {\"disabled\": true, \"command\": \"${UNSET}\"}\n  },\n}\n";
    let loaded = file(text, "/w/.vscode/mcp.json").unwrap();
    assert_eq!(loaded.servers.len(), 1);
    assert_eq!(loaded.disabled, ["b"]);
    let Target::Stdio(parameters) = &loaded.servers[0].target else {
        panic!("no stdio")
    };
    assert_eq!(
        (parameters.command.as_str(), parameters.args.len()),
        ("x // y", 1)
    );
    let text = r#"{"a": {"command": "${workspaceFolder}/run"}}"#;
    let Target::Stdio(parameters) = one(file(text, "/w/.vscode/mcp.json")).target else {
        panic!("no stdio")
    };
    assert_eq!(parameters.command, "/w/run");
}

const GATEWAY: &str = "\
model_list: []
litellm_settings:
  mcp_aliases: {gh: github}
x-common: &common
  timeout: 12.5
  allowed_tools: [search]
mcp_servers:
  github:
    <<: *common
    url: https://api.example.com/mcp
    auth_type: bearer_token
    auth_value: os.environ/TOKEN
    access_groups: [dev]
    static_headers: {X-Team: os.environ/TOKEN}
  old:
    url: http://127.0.0.1:1/sse
    transport: sse
    auth_type: basic
    auth_value: user:pass
  local:
    transport: stdio
    command: uvx
    args: [os.environ/TOKEN, 7]
";

#[test]
fn a_gateway_file_holds_mcp_servers() {
    let loaded = file(GATEWAY, "config.yaml").unwrap();
    let [github, old, local] = &loaded.servers[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!(github.alias.as_deref(), Some("gh"));
    assert_eq!(
        github.endurance.request_timeout,
        Some(Duration::from_millis(12500))
    );
    assert!(github.allows("search") && !github.allows("delete"));
    let found = headers(github);
    assert_eq!(found[0], ("X-Team".to_owned(), "s3cret".to_owned()));
    assert_eq!(
        found[1],
        ("Authorization".to_owned(), "Bearer s3cret".to_owned())
    );
    assert!(matches!(
        old.target,
        Target::Http {
            kind: Some(HttpKind::Sse),
            ..
        }
    ));
    assert_eq!(headers(old)[0].1, "Basic dXNlcjpwYXNz");
    let Target::Stdio(parameters) = &local.target else {
        panic!("no stdio")
    };
    assert_eq!(parameters.args, ["s3cret", "7"]);
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
    assert!(!format!("{loaded:?}").contains("s3cret"), "{loaded:?}");
}

fn refusal(loaded: toolbridge::error::Result<Loaded>) -> String {
    let error = loaded.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    error.message().to_owned()
}

#[test]
fn a_mistake_names_the_file_the_line_the_key_and_what_is_accepted() {
    let text = "{\n \"mcpServers\": {\n  \"git\": {\n   \"comand\": \"uvx\"\n  }\n }\n}";
    assert_eq!(
        refusal(file(text, "servers.json")),
        "servers.json, line 4: mcpServers.git.comand is no known key; did you mean \"command\"?"
    );
    let text = "{\n \"mcpServers\": {\n  \"git\": {\"command\": \"uvx\",\n   \"args\": \"x\"}}}";
    assert_eq!(
        refusal(file(text, "servers.json")),
        "servers.json, line 4: mcpServers.git.args is a text; it takes a list of texts"
    );
    let text = GATEWAY.replace("transport: sse", "transport: websocket");
    assert_eq!(
        refusal(file(&text, "config.yaml")),
        "config.yaml, line 16: mcp_servers.old has the transport \"websocket\"; it takes \"http\", \
         \"sse\" or \"stdio\""
    );
    let text = GATEWAY.replace("TOKEN", "GITHUB_TOKEN");
    assert_eq!(
        refusal(file(&text, "config.yaml")),
        "config.yaml, line 14: mcp_servers.github.static_headers.X-Team needs the environment \
         variable GITHUB_TOKEN, which is not set"
    );
    assert!(
        refusal(file("{\n \"a\": }", "a.json")).starts_with("a.json, line 2: not valid JSON: ")
    );
    assert!(refusal(file("a: [\nb: c", "a.yaml")).starts_with("a.yaml, line "));
    let text = "{\n\"mcpServers\": {\n\"a\": {\"url\": \"u\"}, \"a\": {\"url\": \"v\"}}}";
    assert_eq!(
        refusal(file(text, "a.json")),
        "a.json, line 2: not valid JSON: the key \"a\" stands twice in one object"
    );
}

#[test]
fn values_that_cannot_be_used_are_refused() {
    let cases = [
        (
            json!({"a": {"command": "x", "url": "http://h"}}),
            "a has both a command and a url; it takes one of them",
        ),
        (
            json!({"a": {"args": []}}),
            "a has neither a command (stdio) nor a url (HTTP)",
        ),
        (
            json!({"a": {"url": "http://h", "timeout": 86_400_001}}),
            "a.timeout is 86400001 s, more than a day; it takes seconds, not milliseconds",
        ),
        (
            json!({"a": {"url": "http://h", "timeout": true}}),
            "a.timeout is a boolean; it takes a number of seconds",
        ),
        (
            json!({"a": {"url": "http://h", "type": "ws"}}),
            "a.type is \"ws\"; it takes \"stdio\", \"http\" (or \"streamable-http\") or \"sse\"",
        ),
        (
            json!({"a": {"url": "http://h", "headers": {"k": ["v"]}}}),
            "a.headers.k is a list; it takes a text",
        ),
        (
            json!({"a": {"command": "x", "disabled": "maybe"}}),
            "a.disabled is a text; it takes true or false",
        ),
        (
            json!({"a": {"command": "${input:key}"}}),
            "a.command asks for ${input:key}, which only an editor can ask its user for; use ${env:NAME}",
        ),
        (
            json!({"a": {"command": "${KEY"}}),
            "a.command has a `${` without its `}`",
        ),
        (
            json!({"mcpServers": []}),
            "mcpServers is a list; it takes an object of servers by their names",
        ),
    ];
    for (configuration, expected) in cases {
        assert_eq!(refusal(value(configuration)), expected);
    }
    assert!(refusal(value(json!({}))).starts_with("the configuration names no servers; it takes "));
}

#[test]
fn a_key_that_nobody_knows_is_reported() {
    let loaded = value(json!({"a": {"command": "x", "colour": 1, "autoApprove": []}})).unwrap();
    assert_eq!(loaded.notices, ["a.colour is no known key and was ignored"]);
}

#[test]
fn no_secret_stands_in_an_error() {
    let cases = [
        json!({"a": {"url": "http://h", "headers": {"Authorization": {"Bearer": "${TOKEN}"}}}}),
        json!({"a": {"command": "x", "env": {"KEY": "s3cret"}, "args": {"key": "s3cret"}}}),
        json!({"mcp_servers": {"a": {"url": "http://s3cret@h", "auth_type": "aws_sigv4", "auth_value": "s3cret"}}}),
    ];
    for configuration in cases {
        assert!(!refusal(value(configuration)).contains("s3cret"));
    }
}

#[test]
fn a_server_may_be_called_servers() {
    let server = one(value(json!({"servers": {"command": "x"}})));
    assert_eq!(server.name, "servers");
}
