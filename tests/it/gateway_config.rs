//! The configuration of a gateway: what each key does, and what is said about a mistake.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use toolbridge::error::ErrorKind;
use toolbridge::gateway::config::keys::{self, Section, State};
use toolbridge::gateway::config::{Config, NoticeKind};
use toolbridge::llm::router::{RetryPolicy, Strategy};
use toolbridge::mcp::auth::Grant;
use toolbridge::mcp::config::Document;
use toolbridge::mcp::{HttpKind, ServerConfig, Target};

fn variables(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" => Some("sk-variable".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "NUMBER" => Some("7".to_owned()),
        "EMPTY" => Some(String::new()),
        "HOME" => Some("/home/u".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> toolbridge::error::Result<Config> {
    Config::from_document(
        &Document::parse(text, Path::new("config.yaml"))?,
        &variables,
    )
}

fn config(text: &str) -> Config {
    read(text).unwrap()
}

/// The sentence of a refusal; nothing secret is in it.
fn refusal(text: &str) -> String {
    let error = read(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    error.to_string()
}

fn notices(text: &str) -> Vec<String> {
    let notices = config(text).notices;
    notices.iter().map(ToString::to_string).collect()
}

fn server(keys: &str) -> ServerConfig {
    let text = format!("mcp_servers:\n  a:\n    url: http://h/mcp\n{keys}");
    config(&text).servers.remove(0)
}

#[test]
fn the_configuration_of_the_page_is_read_in_both_of_its_forms() {
    let json_form = r#"
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-xxxxxxx

mcp_servers:
  {
    "zapier_mcp": {
      "url": "https://actions.zapier.com/mcp/sk-akxxxxx/sse"
    },
    "fetch": {
      "url": "http://localhost:8000/sse"
    }
  }
"#;
    let yaml_form = "
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: sk-xxxxxxx
mcp_servers:
  zapier_mcp:
    url: https://actions.zapier.com/mcp/sk-akxxxxx/sse
  fetch:
    url: http://localhost:8000/sse
";
    for text in [json_form, yaml_form] {
        let config = config(text);
        assert!(config.notices.is_empty(), "{:?}", config.notices);
        assert_eq!(config.models[0].name, "gpt-4o");
        let auth = &config.models[0].endpoint.headers["authorization"];
        assert_eq!(auth, "Bearer sk-xxxxxxx");
        let names: Vec<_> = config.servers.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["zapier_mcp", "fetch"]);
        for server in &config.servers {
            assert!(
                matches!(server.target, Target::Http { kind: None, .. }),
                "the transport is found out"
            );
        }
        assert!(config.access.master_key.is_none());
        let shown = format!("{config:?}");
        assert!(!shown.contains("sk-"), "{shown}");
    }
}

#[test]
fn a_deployment_is_described_by_its_params() {
    let config = config(
        "
model_list:
  - model_name: m
    model_info: {id: first, max_input_tokens: 8000, own: [1, {two: os.environ/TOKEN}]}
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/TOKEN
      api_base: http://h:1/v1
      api_version: preview
      organization: org-1
      timeout: 20
      stream_timeout: 0.5
      max_retries: 0
      rpm: os.environ/NUMBER
      tpm: 1000
      weight: 0.5
      max_parallel_requests: 3
      cooldown_time: 0
      extra_headers: {X-Team: tools, X-Key: os.environ/TOKEN}
      extra_body: {top_k: 5, list: [os.environ/TOKEN]}
      drop_params: true
      additional_drop_params: [seed]
      temperature: 0.25
      stop: [a, os.environ/TOKEN]
      metadata: {a: 1}
  - model_name: m
    litellm_params: {model: my-model, base_url: 'http://h:2/v1?api-version=1', api_version: '2', api_key: k, headers: {X-A: b}}
  - model_name: other
    litellm_params: {model: gpt-4o, mock_response: Hello}
",
    );
    assert!(config.notices.is_empty(), "{:?}", config.notices);
    let [first, second, other] = config.models.as_slice() else {
        panic!("three deployments")
    };
    assert_eq!(
        first.endpoint.url.as_str(),
        "http://h:1/v1/chat/completions?api-version=preview"
    );
    assert_eq!(first.endpoint.headers["authorization"], "Bearer s3cret");
    assert_eq!(first.endpoint.headers["x-team"], "tools");
    assert_eq!(first.endpoint.headers["x-key"], "s3cret");
    assert_eq!(first.endpoint.headers["openai-organization"], "org-1");
    assert_eq!(first.model.name, "gpt-4o");
    assert_eq!(first.id, "first");
    assert_eq!(first.timeout, Some(Duration::from_secs(20)));
    assert_eq!(first.stream_timeout, Some(Duration::from_millis(500)));
    assert_eq!(first.max_retries, Some(0));
    assert_eq!((first.rpm, first.tpm), (Some(7), Some(1000)));
    assert_eq!(first.weight, Some(0.5));
    assert_eq!(first.max_parallel_requests, Some(3));
    assert_eq!(first.cooldown_time, Some(Duration::ZERO));
    assert_eq!(first.drop_params, Some(true));
    assert_eq!(first.additional_drop_params, ["seed"]);
    assert_eq!(
        json!(first.extra_body),
        json!({"top_k": 5, "list": ["s3cret"]})
    );
    assert_eq!(
        json!(first.defaults),
        json!({"temperature": 0.25, "stop": ["a", "s3cret"], "metadata": {"a": 1}})
    );
    assert_eq!(
        json!(first.info),
        json!({"id": "first", "max_input_tokens": 8000, "own": [1, {"two": "s3cret"}]})
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    assert_eq!((second.name.as_str(), second.id.as_str()), ("m", "m-2"));
    assert_eq!(
        second.endpoint.url.as_str(),
        "http://h:2/v1/chat/completions?api-version=1"
    );
    assert_eq!(second.endpoint.headers["x-a"], "b");
    assert_eq!(other.mock_response, Some(json!("Hello")));
}

#[test]
fn a_deployment_that_asks_nobody_needs_no_key() {
    let document = Document::from_value(json!({"model_list": [
        {"model_name": "m", "litellm_params": {"model": "openai/gpt-4o", "mock_response": "hi"}},
    ]}));
    Config::from_document(&document, &|_| None).unwrap();
}

#[test]
fn how_deployments_are_chosen_is_read_from_both_sections_and_router_settings_win() {
    let config = config(
        "
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o}}
  - {model_name: b, litellm_params: {model: gpt-4o}}
litellm_settings:
  drop_params: true
  num_retries: 5
  request_timeout: 60
  allowed_fails: 9
  cooldown_time: 8
  max_fallbacks: 2
  default_fallbacks: [b]
  fallbacks: [{a: [b]}]
  context_window_fallbacks: [{a: [b]}]
  content_policy_fallbacks: {a: b}
  json_logs: true
router_settings:
  routing_strategy: latency-based-routing
  routing_strategy_args: {ttl: 10, lowest_latency_buffer: 0.5}
  num_retries: 0
  timeout: 30
  stream_timeout: 3
  retry_after: 0
  retry_policy: {BadRequestErrorRetries: 1, AuthenticationErrorRetries: 2, TimeoutErrorRetries: 3, RateLimitErrorRetries: 4, ContentPolicyViolationErrorRetries: 5, InternalServerErrorRetries: 6}
  model_group_retry_policy: {b: {RateLimitErrorRetries: 7}}
  allowed_fails: 1
  allowed_fails_policy: {BadRequestErrorAllowedFails: 1, AuthenticationErrorAllowedFails: 2, TimeoutErrorAllowedFails: 3, RateLimitErrorAllowedFails: 4, ContentPolicyViolationErrorAllowedFails: 5, InternalServerErrorAllowedFails: 6}
  cooldown_time: 0
  disable_cooldowns: true
  fallbacks: [{b: [a]}, {'*': [b]}]
  model_group_alias: {c: a, d: {model: b, hidden: true}}
  default_max_parallel_requests: 11
  default_litellm_params: {temperature: 0}
  enable_pre_call_checks: true
",
    );
    assert!(config.notices.is_empty(), "{:?}", config.notices);
    assert!(config.has_json_logs);
    let router = config.router;
    assert_eq!(
        router.strategy,
        Strategy::LatencyBased {
            memory: Duration::from_secs(10),
            buffer: 0.5
        }
    );
    assert!(router.drop_params && router.disable_cooldowns && router.enable_pre_call_checks);
    assert_eq!(
        (
            router.num_retries,
            router.allowed_fails,
            router.max_fallbacks
        ),
        (0, Some(1), 2)
    );
    assert_eq!(router.cooldown_time, Duration::ZERO);
    assert_eq!(router.timeout, Some(Duration::from_secs(30)));
    assert_eq!(router.stream_timeout, Some(Duration::from_secs(3)));
    assert_eq!(router.retry_after, Duration::ZERO);
    let policy = RetryPolicy {
        bad_request: Some(1),
        authentication: Some(2),
        timeout: Some(3),
        rate_limit: Some(4),
        content_policy: Some(5),
        internal_server: Some(6),
    };
    assert_eq!(router.retry_policy, policy);
    assert_eq!(router.allowed_fails_policy, policy);
    assert_eq!(router.group_retry_policies["b"].rate_limit, Some(7));
    assert_eq!(router.default_fallbacks, ["b"]);
    assert_eq!(router.fallbacks.of("b"), ["a"]);
    assert_eq!(router.fallbacks.of("whatever"), ["b"]);
    assert_eq!(router.context_window_fallbacks.of("a"), ["b"]);
    assert_eq!(router.content_policy_fallbacks.of("a"), ["b"]);
    assert!(router.content_policy_fallbacks.of("b").is_empty());
    let aliases: Vec<_> = router
        .aliases
        .iter()
        .map(|alias| (alias.name.as_str(), alias.model.as_str(), alias.is_hidden))
        .collect();
    assert_eq!(aliases, [("c", "a", false), ("d", "b", true)]);
    assert_eq!(router.max_parallel_requests, Some(11));
    assert_eq!(json!(router.defaults), json!({"temperature": 0}));
}

#[test]
fn a_strategy_that_is_not_implemented_is_reported_and_an_unknown_one_refused() {
    let text = |strategy: &str| format!("router_settings:\n  routing_strategy: {strategy}\n");
    for (name, strategy) in [
        ("simple-shuffle", Strategy::SimpleShuffle),
        ("least-busy", Strategy::LeastBusy),
        ("usage-based-routing-v2", Strategy::UsageBased),
        ("usage-based-routing", Strategy::UsageBased),
    ] {
        let config = config(&text(name));
        assert_eq!(config.router.strategy, strategy);
        assert!(config.notices.is_empty());
    }
    let config = config(&text("cost-based-routing"));
    assert_eq!(config.router.strategy, Strategy::SimpleShuffle);
    assert_eq!(config.notices[0].kind, NoticeKind::NotImplemented);
    assert!(config.notices[0].to_string().starts_with(
        "config.yaml, line 2: router_settings.routing_strategy is cost-based-routing"
    ));
    config.strict().unwrap_err();
    assert_eq!(
        refusal(&text("fastest")),
        "config.yaml, line 2: router_settings.routing_strategy is \"fastest\"; it takes \
         simple-shuffle, least-busy, latency-based-routing or usage-based-routing-v2"
    );
}

#[test]
fn a_server_is_described_by_its_keys() {
    let server = server(
        "    transport: sse
    alias: short
    description: what it is for
    instructions: how to use it
    server_id: id-1
    mcp_info: {server_name: A, mcp_server_cost_info: {default_cost_per_query: 0.01}}
    timeout: 12
    max_concurrent_requests: 4
    static_headers: {X-Key: os.environ/TOKEN}
    extra_headers: [X-Request-Id, Authorization]
    allowed_tools: [one, two]
    disallowed_tools: [two]
    allowed_params: {one: [x, y]}
    access_groups: [dev, os.environ/TOKEN]
    allow_all_keys: true
    allow_sampling: true
    allow_elicitation: false
    protocol_version: '2025-06-18'
",
    );
    let Target::Http { settings, kind } = &server.target else {
        panic!("no HTTP")
    };
    assert_eq!(*kind, Some(HttpKind::Sse));
    assert_eq!(
        settings.headers,
        [("X-Key".to_owned(), "s3cret".to_owned())]
    );
    assert_eq!(server.alias.as_deref(), Some("short"));
    assert_eq!(server.description.as_deref(), Some("what it is for"));
    assert_eq!(server.mode.as_deref(), Some("legacy"));
    assert_eq!(
        server.endurance.request_timeout,
        Some(Duration::from_secs(12))
    );
    assert!(server.allows("one") && !server.allows("two") && !server.allows("three"));
    let policy = &server.policy;
    assert_eq!(policy.server_id.as_deref(), Some("id-1"));
    assert_eq!(policy.instructions.as_deref(), Some("how to use it"));
    assert_eq!(policy.max_concurrent_requests, Some(4));
    assert_eq!(policy.forwarded_headers, ["X-Request-Id", "Authorization"]);
    assert_eq!(policy.allowed_params["one"], ["x", "y"]);
    assert_eq!(policy.access_groups, ["dev", "s3cret"]);
    assert!(policy.allow_all_keys);
    assert_eq!(policy.allow_sampling, Some(true));
    assert_eq!(policy.allow_elicitation, Some(false));
    assert_eq!(
        json!(policy.info),
        json!({"server_name": "A", "mcp_server_cost_info": {"default_cost_per_query": 0.01}})
    );
}

#[test]
fn a_command_is_a_server_that_is_started_again_when_it_dies() {
    let config = config(
        "
mcp_servers:
  git: {command: uvx, args: [mcp-server-git, os.environ/TOKEN], env: {A: os.environ/TOKEN, B: 1}, cwd: /tmp}
  once: {command: x, transport: stdio, restart: false}
",
    );
    let Target::Stdio(parameters) = &config.servers[0].target else {
        panic!("no stdio")
    };
    assert_eq!(parameters.args, ["mcp-server-git", "s3cret"]);
    assert_eq!(parameters.env["A"], "s3cret");
    assert_eq!(parameters.env["B"], "1");
    assert!(config.servers[0].endurance.restart);
    assert!(!config.servers[1].endurance.restart);
}

#[test]
fn a_server_gets_the_credentials_of_its_kind() {
    let headers = |keys: &str| match server(keys).target {
        Target::Http { settings, .. } => settings.headers,
        Target::Stdio(_) => panic!("no HTTP"),
    };
    for (kind, name, value) in [
        ("api_key", "X-API-Key", "s3cret"),
        ("bearer_token", "Authorization", "Bearer s3cret"),
        ("basic", "Authorization", "Basic s3cret"),
        ("authorization", "Authorization", "s3cret"),
        ("token", "Authorization", "token s3cret"),
    ] {
        for key in ["auth_value", "authentication_token"] {
            let keys = format!("    auth_type: {kind}\n    {key}: os.environ/TOKEN\n");
            assert_eq!(headers(&keys), [(name.to_owned(), value.to_owned())]);
        }
    }
    assert!(headers("    auth_type: none\n").is_empty());
}

#[test]
fn oauth_is_wired_to_its_flow() {
    let machine = server(
        "    auth_type: oauth2
    oauth2_flow: client_credentials
    client_id: id
    client_secret: os.environ/TOKEN
    token_url: https://as.example/token
    scopes: [read, write]
",
    );
    let oauth = machine.oauth.as_ref().unwrap();
    assert!(matches!(oauth.settings.grant, Grant::ClientCredentials));
    assert_eq!(oauth.settings.scope.as_deref(), Some("read write"));
    assert_eq!(oauth.token_file, None);
    let endpoints = oauth.settings.endpoints.as_ref().unwrap();
    assert_eq!(
        endpoints.text("token_endpoint"),
        Some("https://as.example/token")
    );
    assert_eq!(endpoints.text("issuer"), Some("https://as.example"));
    let Target::Http { settings, .. } = &machine.target else {
        panic!("no HTTP")
    };
    assert!(settings.authorizer.is_some());
    assert!(!format!("{machine:?}").contains("s3cret"));

    let person = server("    auth_type: oauth2\n    scopes: a b\n    issuer: https://as.example\n");
    let oauth = person.oauth.as_ref().unwrap();
    assert!(matches!(oauth.settings.grant, Grant::AuthorizationCode));
    assert_eq!(oauth.settings.scope.as_deref(), Some("a b"));
    assert_eq!(oauth.settings.issuer.as_deref(), Some("https://as.example"));
    assert!(oauth.settings.endpoints.is_none());
    assert_eq!(
        oauth.token_file.as_deref(),
        Some(Path::new("/home/u/.local/state/toolbridge/tokens.json"))
    );

    let kept = config(
        "general_settings: {token_file: /var/lib/tokens.json}\nmcp_servers: {a: {url: 'http://h', auth_type: oauth2}}\n",
    );
    let oauth = kept.servers[0].oauth.as_ref().unwrap();
    assert_eq!(
        oauth.token_file.as_deref(),
        Some(Path::new("/var/lib/tokens.json"))
    );
    assert!(kept.notices.is_empty());
}

#[test]
fn another_name_of_a_server_may_stand_in_the_settings() {
    let config = config(
        "mcp_servers: {github_server: {url: 'http://h'}}\nlitellm_settings: {mcp_aliases: {github: github_server, git: github_server}}\n",
    );
    assert_eq!(config.servers[0].alias.as_deref(), Some("github"));
    assert!(config.notices.is_empty());
}

#[test]
fn the_master_key_comes_from_the_file_or_from_a_variable() {
    let key = |text: &str, name: &'static str| {
        let document = Document::parse(text, Path::new("config.yaml")).unwrap();
        let variables = move |asked: &str| (asked == name).then(|| "sk-v".to_owned());
        let config = Config::from_document(&document, &variables).unwrap();
        config.access.master_key
    };
    let with = "general_settings: {master_key: sk-file}";
    let without = "model_list: []";
    for variable in ["LITELLM_MASTER_KEY", "TOOLBRIDGE_MASTER_KEY"] {
        assert_eq!(key(with, variable).as_deref(), Some("sk-file"));
        assert_eq!(key(without, variable).as_deref(), Some("sk-v"));
    }
    assert_eq!(key(without, "OTHER"), None);
    let own = "environment_variables: {LITELLM_MASTER_KEY: sk-own}";
    assert_eq!(key(own, "LITELLM_MASTER_KEY").as_deref(), Some("sk-own"));
}

#[test]
fn the_gateway_is_told_its_names_and_the_pages_that_may_use_it() {
    let access = config(
        "general_settings: {allowed_hosts: [g.example], allowed_origins: ['https://app.example']}",
    )
    .access;
    assert_eq!(access.allowed_hosts, ["g.example"]);
    assert_eq!(access.allowed_origins, ["https://app.example"]);
}

#[test]
fn variables_of_the_file_win_over_those_of_the_process() {
    let config = config(
        "
environment_variables: {TOKEN: own, COPY: os.environ/TOKEN, OPENAI_API_KEY: sk-own, N: 5}
model_list: [{model_name: m, litellm_params: {model: gpt-4o, user: os.environ/COPY, seed: 1, rpm: os.environ/N}}]
mcp_servers: {a: {url: 'http://h', static_headers: {X-A: os.environ/TOKEN}}}
",
    );
    let model = &config.models[0];
    assert_eq!(model.endpoint.headers["authorization"], "Bearer sk-own");
    assert_eq!(json!(model.defaults), json!({"user": "s3cret", "seed": 1}));
    assert_eq!(model.rpm, Some(5));
    let Target::Http { settings, .. } = &config.servers[0].target else {
        panic!("no HTTP")
    };
    assert_eq!(settings.headers[0].1, "own");
}

#[test]
fn further_keys_are_listed_with_what_they_may_use() {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let config = config(&format!(
        "
general_settings: {{master_key: sk-master}}
model_list: [{{model_name: m, litellm_params: {{model: gpt-4o}}}}]
mcp_servers: {{a: {{url: 'http://h', alias: b, access_groups: [dev]}}}}
keys:
  - {{name: ci, key: os.environ/TOKEN, servers: [a], access_groups: [dev], tools: [a-one], models: []}}
  - {{name: all, key: 'sha256:{digest}'}}
"
    ));
    assert!(config.notices.is_empty(), "{:?}", config.notices);
    let [ci, all] = config.access.keys.as_slice() else {
        panic!("two keys")
    };
    assert_eq!(ci.name, "ci");
    assert_eq!(
        hex(&ci.digest),
        // printf s3cret | sha256sum
        "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0"
    );
    assert_eq!(ci.servers.as_deref(), Some(["a".to_owned()].as_slice()));
    assert_eq!(
        ci.access_groups.as_deref(),
        Some(["dev".to_owned()].as_slice())
    );
    assert_eq!(ci.tools.as_deref(), Some(["a-one".to_owned()].as_slice()));
    assert_eq!(ci.models.as_deref(), Some([].as_slice()));
    assert_eq!(hex(&all.digest), digest);
    assert!(all.servers.is_none() && all.tools.is_none() && all.models.is_none());
    assert!(!format!("{config:?}").contains("s3cret"));
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_mistake_is_refused_with_file_and_line() {
    let server = |keys: &str| format!("mcp_servers:\n  a:\n    url: http://h\n{keys}");
    let params = |keys: &str| {
        format!("model_list:\n  - model_name: m\n    litellm_params:\n      model: gpt-4o\n{keys}")
    };
    let cases = [
        (String::new(), "config.yaml, line 1: the configuration is empty; it takes model_list, mcp_servers or both"),
        ("- a".to_owned(), "config.yaml, line 1: the configuration is a list; it takes an object with model_list, mcp_servers or both"),
        ("a: [\n".to_owned(), "config.yaml, line 2: not valid YAML: "),
        ("model_list: {}".to_owned(), "config.yaml, line 1: model_list is an object; it takes a list of models"),
        ("model_list:\n  - litellm_params: {model: gpt-4o}".to_owned(), "config.yaml, line 2: model_list[0] has no model_name"),
        ("model_list:\n  - model_name: m".to_owned(), "config.yaml, line 2: model_list[0] has no litellm_params"),
        ("model_list:\n  - model_name: m\n    litellm_params:\n      api_key: k".to_owned(), "config.yaml, line 4: model_list[0].litellm_params has no model"),
        ("model_list:\n  - model_name: m\n    litellm_params:\n      model: nobody/x".to_owned(), "config.yaml, line 4: model_list[0].litellm_params: unknown provider \"nobody\" in model \"nobody/x\""),
        (params("      api_key: os.environ/UNSET"), "config.yaml, line 5: model_list[0].litellm_params.api_key needs the environment variable UNSET, which is not set"),
        (params("      stop: [os.environ/UNSET]"), "config.yaml, line 5: model_list[0].litellm_params.stop[0] needs the environment variable UNSET, which is not set"),
        (params("      rpm: often"), "config.yaml, line 5: model_list[0].litellm_params.rpm is a text; it takes a whole number above 0"),
        (params("      rpm: 0"), "config.yaml, line 5: model_list[0].litellm_params.rpm is 0; it takes a whole number above 0"),
        (params("      weight: -1"), "config.yaml, line 5: model_list[0].litellm_params.weight is -1; it takes a number that is not below 0"),
        (params("      max_retries: 1.5"), "config.yaml, line 5: model_list[0].litellm_params.max_retries is 1.5; it takes a whole number that is not below 0"),
        (params("      timeout: 600000"), "config.yaml, line 5: model_list[0].litellm_params.timeout is 600000 s, more than a day; it takes seconds, not milliseconds"),
        (params("      extra_body: 1"), "config.yaml, line 5: model_list[0].litellm_params.extra_body is a number; it takes an object"),
        (params("      api_base: s3cret"), "config.yaml, line 4: model_list[0].litellm_params: api_base"),
        (params("      extra_headers: {X-A: \"s3cret\\n\"}"), "config.yaml, line 4: model_list[0].litellm_params: extra_headers: \"X-A\" is not a header that can be sent"),
        ("model_list:\n  - {model_name: m, litellm_params: {model: gpt-4o}, model_info: {id: x}}\n  - {model_name: n, litellm_params: {model: gpt-4o}, model_info: {id: x}}".to_owned(), "config.yaml, line 3: model_list[1] has the id \"x\" (model_info.id), which another deployment has already"),
        ("mcp_servers: []".to_owned(), "config.yaml, line 1: mcp_servers is a list; it takes an object of servers by their names"),
        ("mcp_servers:\n  a: {urll: http://h}".to_owned(), "config.yaml, line 2: mcp_servers.a.urll is no known key; did you mean \"url\"?"),
        ("mcp_servers:\n  a: {description: x}".to_owned(), "config.yaml, line 2: mcp_servers.a has no url; give one, or a command with transport: stdio"),
        ("mcp_servers:\n  a: {transport: stdio}".to_owned(), "config.yaml, line 2: mcp_servers.a has no command, which the transport stdio needs"),
        ("mcp_servers:\n  a: {url: s3cret}".to_owned(), "config.yaml, line 2: mcp_servers.a.url is no absolute http or https URL; give one such as https://example.com/mcp"),
        ("mcp_servers:\n  a: {spec_path: x.json}".to_owned(), "config.yaml, line 2: mcp_servers.a.spec_path describes a server by OpenAPI, which is not supported; give a url or a command"),
        ("mcp_servers:\n  tools: {url: http://h}".to_owned(), "config.yaml, line 2: mcp_servers.tools is called \"tools\", which is a path of the gateway itself (sse, tools, mcp, health, v1, chat)"),
        ("mcp_servers:\n  a/b: {url: http://h}".to_owned(), "config.yaml, line 2: mcp_servers.\"a/b\" is called \"a/b\"; a name stands in a path and in lists, and holds no / and no comma"),
        ("mcp_servers:\n  a: {url: http://h, alias: x}\n  x: {url: http://h}".to_owned(), "config.yaml, line 3: mcp_servers.x has the name or alias \"x\", which the server \"a\" has too"),
        (server("    transport: ws"), "config.yaml, line 3: mcp_servers.a has the transport \"ws\"; it takes \"http\", \"sse\" or \"stdio\""),
        (server("    protocol_version: '1999'"), "config.yaml, line 4: mcp_servers.a.protocol_version cannot be used: "),
        (server("    auth_type: bearer_token"), "config.yaml, line 4: mcp_servers.a.auth_type is bearer_token, which needs an auth_value"),
        (server("    auth_type: aws_sigv4"), "config.yaml, line 4: mcp_servers.a.auth_type is \"aws_sigv4\", which is not implemented; it takes none, api_key, bearer_token, basic, authorization, token, oauth2"),
        (server("    auth_type: oauth2\n    oauth2_flow: implicit"), "config.yaml, line 5: mcp_servers.a.oauth2_flow is \"implicit\"; it takes client_credentials or authorization_code"),
        (server("    auth_type: oauth2\n    oauth2_flow: client_credentials"), "config.yaml, line 4: mcp_servers.a.auth_type is oauth2 with the flow client_credentials, which needs a client_id and a client_secret"),
        (server("    auth_type: oauth2\n    client_secret: s3cret"), "config.yaml, line 3: mcp_servers.a has a client_secret and no client_id"),
        (server("    auth_type: oauth2\n    token_url: nowhere"), "config.yaml, line 5: mcp_servers.a.token_url is no absolute http or https URL"),
        (server("    auth_type: oauth2\n    authorization_url: http://h/a"), "config.yaml, line 3: mcp_servers.a has an authorization_url or a registration_url and no token_url"),
        (server("    auth_type: oauth2\n    token_url: http://h/t"), "config.yaml, line 4: mcp_servers.a.auth_type is oauth2 with a token_url and without an authorization_url"),
        (server("    extra_headers: {X-A: b}"), "config.yaml, line 4: mcp_servers.a.extra_headers is an object; it takes a list of texts"),
        (server("    extra_headers: ['a b']"), "config.yaml, line 4: mcp_servers.a.extra_headers names \"a b\", which is no name of a header"),
        (server("    static_headers: {X-A: \"s3cret\\n\"}"), "config.yaml, line 3: mcp_servers.a has the header \"X-A\", which cannot be sent"),
        (server("    allowed_params: {t: 1}"), "config.yaml, line 4: mcp_servers.a.allowed_params.t takes an object of lists of names, by tool"),
        (server("    allow_sampling: maybe"), "config.yaml, line 4: mcp_servers.a.allow_sampling is a text; it takes true or false"),
        ("general_settings: {master_key: ''}".to_owned(), "config.yaml, line 1: general_settings.master_key is empty; it takes a key"),
        ("general_settings: {master_key: os.environ/EMPTY}".to_owned(), "config.yaml, line 1: general_settings.master_key is empty; it takes a key"),
        ("general_settings: []".to_owned(), "config.yaml, line 1: general_settings is a list; it takes an object"),
        ("keys: [{name: a, key: b}]".to_owned(), "config.yaml, line 1: keys are given, and no master key: without one everybody may do everything. Set general_settings.master_key"),
        ("keys: [{name: a}]".to_owned(), "config.yaml, line 1: keys[0] has no key"),
        ("keys: [{key: s3cret}]".to_owned(), "config.yaml, line 1: keys[0] has no name"),
        ("keys: [{name: a, key: 'sha256:s3cret'}]".to_owned(), "config.yaml, line 1: keys[0].key is no key; it takes one, best as os.environ/NAME, or sha256: and 64 hexadecimal digits"),
        ("keys: [{name: a, key: b}, {name: a, key: c}]".to_owned(), "config.yaml, line 1: keys[1] has the name \"a\", which another key has"),
        ("keys: [{name: a, key: b}, {name: c, key: b}]".to_owned(), "config.yaml, line 1: keys[1] is the same key as \"a\""),
        ("router_settings: {fallbacks: x}".to_owned(), "config.yaml, line 1: router_settings.fallbacks is a text; it takes a list of {model: [other, …]}"),
        ("router_settings: {fallbacks: [{a: 1}]}".to_owned(), "config.yaml, line 1: router_settings.fallbacks[0].a is a number; it takes a list of names of models"),
        ("router_settings: {model_group_alias: {a: 1}}".to_owned(), "config.yaml, line 1: router_settings.model_group_alias.a takes the name of a model, or {model: …, hidden: …}"),
        ("litellm_settings: {mcp_aliases: {a: 1}}\nmcp_servers: {}".to_owned(), "config.yaml, line 1: litellm_settings.mcp_aliases.a takes the name of a server"),
        ("environment_variables: [a]".to_owned(), "config.yaml, line 1: environment_variables is a list; it takes an object of texts"),
    ];
    let differing: Vec<String> = cases
        .iter()
        .map(|(text, expected)| (text, refusal(text), expected))
        .filter(|(_, found, expected)| !found.starts_with(*expected))
        .map(|(text, found, expected)| format!("{text}\n found    {found}\n expected {expected}"))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn a_key_that_is_not_known_is_reported_with_the_nearest_one() {
    let found = notices(
        "
modellist: []
nonsense: 1
routing_strategy: least-busy
model_list:
  - model_name: m
    litellm_params:
      model: gpt-4o
      api_bas: http://h
      chat_template_kwargs: {a: 1}
    modelinfo: {}
mcp_servers:
  a:
    url: http://h
    descripton: x
general_settings:
  master_kye: k
  num_retries: 3
router_settings:
  retry_policy: {TimeoutErrorRetry: 1}
",
    );
    assert_eq!(
        found,
        [
            "config.yaml, line 2: modellist is no known key and was ignored",
            "config.yaml, line 3: nonsense is no known key and was ignored",
            "config.yaml, line 4: routing_strategy is no known key here and was ignored; it is one of \
             router_settings",
            "config.yaml, line 11: model_list[0].modelinfo is no known key and was ignored; did you \
             mean \"model_info\"?",
            "config.yaml, line 9: model_list[0].litellm_params.api_bas is no known key and was \
             ignored; did you mean \"api_base\"?",
            "config.yaml, line 10: model_list[0].litellm_params.chat_template_kwargs is no known key, \
             and goes to the provider as a parameter of every request",
            "config.yaml, line 15: mcp_servers.a.descripton is no known key and was ignored; did you \
             mean \"description\"?",
            "config.yaml, line 20: router_settings.retry_policy.TimeoutErrorRetry is no known key and \
             was ignored; did you mean \"TimeoutErrorRetries\"?",
            "config.yaml, line 17: general_settings.master_kye is no known key and was ignored; did \
             you mean \"master_key\"?",
            "config.yaml, line 18: general_settings.num_retries is no known key here and was ignored; \
             it is one of litellm_settings",
        ]
    );
}

#[test]
fn a_key_that_is_not_implemented_is_reported_once_and_strictness_refuses_it() {
    let config = config(
        "
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o, tags: [x]}}
  - {model_name: b, litellm_params: {model: gpt-4o, tags: [y]}}
  - {model_name: c, litellm_params: {model: gpt-4o, tags: [z]}}
litellm_settings: {cache: true, set_verbose: true}
general_settings: {database_url: postgres://u:s3cret@h/db}
",
    );
    let found: Vec<_> = config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "config.yaml, line 3: model_list[0].litellm_params.tags is not implemented yet and was \
             ignored; it comes with routing by tags (and at 2 more places)",
            "config.yaml, line 6: litellm_settings.cache is not implemented yet and was ignored; it \
             comes with a cache of answers",
            "config.yaml, line 6: litellm_settings.set_verbose is not implemented and was ignored: it \
             belongs to LiteLLM's own insides",
            "config.yaml, line 7: general_settings.database_url is not implemented and was ignored: \
             keys stand in the configuration, not in a database",
        ]
    );
    let error = config.strict().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.to_string(), found.join("\n"));
}

#[test]
fn a_name_that_stands_for_nothing_is_reported() {
    let found = notices(
        "
model_list: [{model_name: gpt-4o, litellm_params: {model: gpt-4o}}, {model_name: 'openai/*', litellm_params: {model: gpt-4o}}]
mcp_servers: {git: {url: 'http://h', access_groups: [dev]}}
litellm_settings:
  mcp_aliases: {g: gitt}
router_settings:
  fallbacks: [{gpt-4o: [gpt-4]}]
  model_group_alias: {x: gpt}
general_settings: {master_key: k}
keys:
  - {name: a, key: b, servers: [gti], access_groups: [ops], models: [gpt-4o, x, nothing]}
",
    );
    assert_eq!(
        found,
        [
            "config.yaml, line 2: model_list[1] has a * in its name, which stands for nothing else: \
             wildcards are not implemented",
            "config.yaml, line 5: litellm_settings.mcp_aliases.g names \"gitt\", and there is no such \
             MCP server; did you mean \"git\"?",
            "config.yaml, line 7: router_settings.fallbacks[0].gpt-4o names \"gpt-4\", and there is no \
             such model; did you mean \"gpt-4o\"?",
            "config.yaml, line 8: router_settings.model_group_alias.x names \"gpt\", and there is no \
             such model",
            "config.yaml, line 11: keys[0] names \"gti\", and there is no such MCP server",
            "config.yaml, line 11: keys[0] names \"ops\", and there is no such access group",
            "config.yaml, line 11: keys[0] names \"nothing\", and there is no such model",
        ]
    );
}

/// Something that a key of the table takes.
fn example(kind: &str) -> serde_json::Value {
    match kind {
        "object of texts"
        | "object"
        | "object of objects"
        | "object of objects of lists"
        | "object of lists of texts"
        | "object of texts, or of `{model, hidden}`" => json!({}),
        "number" | "seconds" | "seconds, or `false`" => json!(1),
        "boolean" => json!(true),
        kind if kind.starts_with("list") => json!([]),
        _ => json!("x"),
    }
}

#[test]
fn every_key_that_the_table_calls_supported_is_read() {
    let all = |section: Section| {
        let keys = section.keys().iter();
        let supported = keys.filter(|key| key.state == State::Supported);
        let members = supported.map(|key| (key.name.to_owned(), example(key.kind)));
        members.collect::<serde_json::Map<_, _>>()
    };
    let with = |section: Section, own: serde_json::Value| {
        let mut object = all(section);
        object.extend(own.as_object().unwrap().clone());
        serde_json::Value::Object(object)
    };
    let of_process = ["command", "args", "env", "cwd"];
    let server = json!({
        "url": "http://h", "transport": "http", "auth_type": "oauth2", "protocol_version": "auto",
        "oauth2_flow": "client_credentials", "mode": "auto", "authorization_url": "http://h/a",
        "token_url": "http://h/t", "registration_url": "http://h/r",
    });
    let mut remote = with(Section::Server, server);
    let mut local = json!({"transport": "stdio", "alias": "l"});
    for key in of_process {
        local[key] = remote.as_object_mut().unwrap().remove(key).unwrap();
    }
    let params = json!({"model": "gpt-4o", "api_base": "http://h", "base_url": "http://h", "custom_llm_provider": "openai"});
    let model = json!({"model_name": "m", "litellm_params": with(Section::Params, params)});
    let value = with(
        Section::File,
        json!({
            "model_list": [with(Section::Model, model)],
            "mcp_servers": {"a": remote, "l": local},
            "general_settings": with(Section::General, json!({"max_header_bytes": 8192})),
            "keys": [all(Section::CallerKey)],
            "litellm_settings": all(Section::Litellm),
            "router_settings": with(Section::Router, json!({
                "routing_strategy": "least-busy",
                "routing_strategy_args": all(Section::StrategyArgs),
                "retry_policy": all(Section::RetryPolicy),
                "allowed_fails_policy": all(Section::AllowedFails),
            })),
        }),
    );
    let document = Document::from_value(value.clone());
    let config = Config::from_document(&document, &variables).unwrap();
    assert!(config.notices.is_empty(), "{:?}", config.notices);
    // As strict about servers as a client is: what the table calls supported, the code knows.
    let servers = json!({"mcp_servers": value["mcp_servers"]});
    let loaded = toolbridge::mcp::Loaded::from_value(servers, &variables).unwrap();
    assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
}

#[test]
fn the_reference_has_every_key() {
    let reference = keys::reference();
    for section in Section::ALL {
        for key in section.keys() {
            assert!(
                reference.contains(&format!("`{}`", key.name)),
                "{}",
                key.name
            );
        }
    }
    let written = include_str!("../../CONFIGURATION.md");
    assert!(
        written.ends_with(&format!("-->\n\n{reference}")),
        "CONFIGURATION.md is not what the table says: make reference"
    );
    assert!(reference.contains("| `master_key` | text |"));
    assert!(reference.contains("| planned: with a cache of answers | `cache`, `cache_params`"));
}
