//! The router over deployments that answer by themselves: who is asked, repeated, left alone, and
//! asked instead. Time is paused.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use toolbridge::error::{Error, ErrorKind};
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::{Endpoint, Settings};
use toolbridge::llm::router::{
    Alias, Deployment, Fallbacks, Given, RequestBody, RetryPolicy, Routed, Router, RouterSettings,
    Strategy as Choice,
};

const RATE_LIMIT: &str = "litellm.RateLimitError";
const INTERNAL: &str = "litellm.InternalServerError";
const CONTEXT: &str = "litellm.ContextWindowExceededError";
const POLICY: &str = "litellm.ContentPolicyViolationError";

fn deployment(group: &str, id: &str, script: impl Into<Value>) -> Deployment {
    let settings = Settings {
        api_base: Some("http://127.0.0.1:9/v1".to_owned()),
        ..Settings::default()
    };
    let model = ModelId::resolve("custom_openai/m", None, Some("")).unwrap();
    let endpoint = Endpoint::resolve(&model, &settings, &|_| None).unwrap();
    let mut deployment = Deployment::new(group, model, endpoint);
    deployment.id = id.to_owned();
    deployment.mock_response = Some(script.into());
    deployment
}

fn body(text: &str) -> RequestBody {
    RequestBody::read(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

async fn ask(router: &Router, model: &str) -> Result<Routed, Error> {
    router.ask(model, &body("{}")).await
}

fn id(routed: &Routed) -> &str {
    &routed.member.deployment().id
}

fn fallbacks(all: &[(&str, &[&str])]) -> Fallbacks {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let all = all
        .iter()
        .map(|(name, others)| ((*name).to_owned(), owned(others)));
    Fallbacks(all.collect())
}

#[tokio::test(start_paused = true)]
async fn a_deployment_at_its_rate_limit_is_left_alone_until_its_time_is_over() {
    let deployments = vec![
        deployment("m", "bad", RATE_LIMIT),
        deployment("m", "good", "hi"),
    ];
    let router = Router::new(deployments, RouterSettings::default());
    let met_bad = async || {
        let routed = ask(&router, "m").await.unwrap();
        assert_eq!(id(&routed), "good");
        routed.retries == 1
    };
    while !met_bad().await {}
    for _ in 0..50 {
        assert!(!met_bad().await);
    }
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert!(!met_bad().await);
    tokio::time::advance(Duration::from_millis(1)).await;
    // By chance, but not for ever.
    while !met_bad().await {}
}

#[tokio::test(start_paused = true)]
async fn the_only_deployment_is_asked_again_after_a_wait_and_no_other_number_of_times() {
    let router = Router::new(
        vec![deployment("m", "only", RATE_LIMIT)],
        RouterSettings {
            num_retries: 3,
            ..RouterSettings::default()
        },
    );
    let started = tokio::time::Instant::now();
    let error = ask(&router, "m").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context().retries),
        (ErrorKind::RateLimit, 3)
    );
    let waited = started.elapsed();
    assert!(
        (Duration::from_millis(2_600)..Duration::from_millis(3_600)).contains(&waited),
        "{waited:?}"
    );
    let once = router
        .ask("m", &body(r#"{"num_retries":0}"#))
        .await
        .unwrap_err();
    assert_eq!(once.context().retries, 0);
}

#[tokio::test(start_paused = true)]
async fn allowed_fails_count_before_a_deployment_is_left_alone() {
    let settings = RouterSettings {
        num_retries: 0,
        allowed_fails: Some(2),
        cooldown_time: Duration::from_secs(30),
        ..RouterSettings::default()
    };
    let router = Router::new(vec![deployment("m", "only", INTERNAL)], settings);
    for _ in 0..3 {
        assert_eq!(
            ask(&router, "m").await.unwrap_err().kind(),
            ErrorKind::InternalServer
        );
    }
    let error = ask(&router, "m").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert_eq!(error.context().retry_after, Some(Duration::from_secs(30)));
    assert!(error.message().contains("1 failed lately"), "{error}");
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(
        ask(&router, "m").await.unwrap_err().kind(),
        ErrorKind::InternalServer
    );
}

#[tokio::test(start_paused = true)]
async fn half_of_five_failures_leave_a_deployment_alone_where_there_is_another() {
    let settings = RouterSettings {
        num_retries: 0,
        ..RouterSettings::default()
    };
    let deployments = vec![
        deployment("m", "bad", INTERNAL),
        deployment("m", "good", "hi"),
    ];
    let router = Router::new(deployments, settings);
    let mut failures = 0;
    for _ in 0..500 {
        failures += u32::from(ask(&router, "m").await.is_err());
    }
    assert_eq!(failures, 5);
    let alone = RouterSettings {
        num_retries: 0,
        ..RouterSettings::default()
    };
    let alone = Router::new(vec![deployment("m", "only", INTERNAL)], alone);
    for _ in 0..50 {
        assert_eq!(
            ask(&alone, "m").await.unwrap_err().kind(),
            ErrorKind::InternalServer
        );
    }
}

#[tokio::test(start_paused = true)]
async fn cooldowns_can_be_switched_off_and_have_a_time_of_their_own() {
    for (switched_off, own) in [(true, None), (false, Some(Duration::ZERO))] {
        let settings = RouterSettings {
            num_retries: 0,
            disable_cooldowns: switched_off,
            allowed_fails: Some(0),
            ..RouterSettings::default()
        };
        let mut only = deployment("m", "only", INTERNAL);
        only.cooldown_time = own;
        let router = Router::new(vec![only], settings);
        for _ in 0..5 {
            assert_eq!(
                ask(&router, "m").await.unwrap_err().kind(),
                ErrorKind::InternalServer
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_has_its_fallbacks() {
    let deployments = || {
        vec![
            deployment("broken", "1", INTERNAL),
            deployment("small", "2", CONTEXT),
            deployment("strict", "3", POLICY),
            deployment("good", "4", "good"),
            deployment("large", "5", "large"),
            deployment("lax", "6", "lax"),
        ]
    };
    let settings = RouterSettings {
        num_retries: 0,
        fallbacks: fallbacks(&[("broken", &["nowhere", "good"])]),
        context_window_fallbacks: fallbacks(&[("small", &["large"])]),
        content_policy_fallbacks: fallbacks(&[("strict", &["lax"])]),
        ..RouterSettings::default()
    };
    let router = Router::new(deployments(), settings);
    for (model, instead) in [("broken", "4"), ("small", "5"), ("strict", "6")] {
        let routed = ask(&router, model).await.unwrap();
        assert_eq!(id(&routed), instead, "{model}");
        assert!(routed.fallbacks >= 1);
        let refused = router
            .ask(model, &body(r#"{"disable_fallbacks":true}"#))
            .await;
        refused.unwrap_err();
    }
    let own = router
        .ask("small", &body(r#"{"fallbacks":["lax"]}"#))
        .await
        .unwrap();
    assert_eq!(id(&own), "6");
    // Without lists of their own, the kinds take the general ones.
    let settings = RouterSettings {
        num_retries: 0,
        default_fallbacks: vec!["good".to_owned()],
        ..RouterSettings::default()
    };
    let router = Router::new(deployments(), settings);
    for model in ["broken", "small", "strict", "unheard-of"] {
        assert_eq!(id(&ask(&router, model).await.unwrap()), "4", "{model}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_for_one_kind_keeps_that_kind_from_the_general_ones() {
    let settings = RouterSettings {
        num_retries: 0,
        context_window_fallbacks: fallbacks(&[("other", &["good"])]),
        default_fallbacks: vec!["good".to_owned()],
        ..RouterSettings::default()
    };
    let deployments = vec![
        deployment("small", "1", CONTEXT),
        deployment("good", "2", "hi"),
    ];
    let router = Router::new(deployments, settings);
    let error = ask(&router, "small").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextWindowExceeded);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_content_filter_cut_short_has_its_fallback() {
    let filtered = json!({"choices": [{"finish_reason": "content_filter", "message": {}}]});
    let deployments = |instead: &str| {
        vec![
            deployment("strict", "1", filtered.clone()),
            deployment("lax", "2", instead),
        ]
    };
    let settings = || RouterSettings {
        num_retries: 0,
        content_policy_fallbacks: fallbacks(&[("strict", &["lax"])]),
        ..RouterSettings::default()
    };
    let router = Router::new(deployments("hi"), settings());
    assert_eq!(id(&ask(&router, "strict").await.unwrap()), "2");
    // It is an answer all the same when there is no better one.
    let router = Router::new(deployments(INTERNAL), settings());
    assert_eq!(id(&ask(&router, "strict").await.unwrap()), "1");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_the_model_that_was_asked_for_is_the_one_that_is_given() {
    let settings = RouterSettings {
        num_retries: 0,
        default_fallbacks: vec!["b".to_owned(), "c".to_owned()],
        ..RouterSettings::default()
    };
    let deployments = vec![
        deployment("a", "1", CONTEXT),
        deployment("b", "2", RATE_LIMIT),
        deployment("c", "3", INTERNAL),
    ];
    let router = Router::new(deployments, settings);
    let error = ask(&router, "a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextWindowExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_policy_says_how_often_a_kind_is_repeated() {
    let settings = || RouterSettings {
        num_retries: 2,
        retry_policy: RetryPolicy {
            rate_limit: Some(1),
            bad_request: Some(3),
            ..RetryPolicy::default()
        },
        ..RouterSettings::default()
    };
    let retries = async |settings: RouterSettings, script: &str| {
        let router = Router::new(vec![deployment("m", "only", script)], settings);
        ask(&router, "m").await.unwrap_err().context().retries
    };
    assert_eq!(retries(settings(), RATE_LIMIT).await, 1);
    assert_eq!(retries(settings(), INTERNAL).await, 2);
    // What is never repeated of itself is when the policy says so.
    assert_eq!(retries(settings(), CONTEXT).await, 3);
    assert_eq!(retries(RouterSettings::default(), CONTEXT).await, 0);
    let mut by_group = settings();
    let policy = RetryPolicy {
        rate_limit: Some(4),
        ..RetryPolicy::default()
    };
    by_group.group_retry_policies.insert("m".to_owned(), policy);
    assert_eq!(retries(by_group, RATE_LIMIT).await, 4);
}

#[tokio::test(start_paused = true)]
async fn other_names_lead_to_their_model() {
    let alias = |name: &str, is_hidden| Alias {
        name: name.to_owned(),
        model: "m".to_owned(),
        is_hidden,
    };
    let settings = RouterSettings {
        aliases: vec![alias("shown", false), alias("hidden", true)],
        ..RouterSettings::default()
    };
    let router = Router::new(vec![deployment("m", "1", "hi")], settings);
    assert_eq!(router.names(), ["m", "shown"]);
    for name in ["shown", "hidden"] {
        assert_eq!(id(&ask(&router, name).await.unwrap()), "1");
    }
    assert_eq!(
        ask(&router, "nobody").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test(start_paused = true)]
async fn usage_based_routing_refuses_what_is_beyond_the_limits_of_a_minute() {
    let settings = RouterSettings {
        strategy: Choice::UsageBased,
        num_retries: 0,
        ..RouterSettings::default()
    };
    let mut only = deployment("m", "1", "hi");
    only.rpm = Some(3);
    let router = Router::new(vec![only], settings);
    for _ in 0..3 {
        ask(&router, "m").await.unwrap();
    }
    let error = ask(&router, "m").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimit);
    assert!(error.message().contains("at their rpm or tpm"), "{error}");
    tokio::time::advance(Duration::from_mins(1)).await;
    ask(&router, "m").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_are_shared_out_evenly_by_usage() {
    let settings = RouterSettings {
        strategy: Choice::UsageBased,
        ..RouterSettings::default()
    };
    let deployments = (0..4)
        .map(|one| deployment("m", &one.to_string(), "hi"))
        .collect();
    let router = Router::new(deployments, settings);
    let mut counts: HashMap<String, u32> = HashMap::new();
    for _ in 0..40 {
        let routed = ask(&router, "m").await.unwrap();
        *counts.entry(id(&routed).to_owned()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [10, 10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn streams_in_flight_make_a_deployment_busy_until_they_end() {
    let settings = RouterSettings {
        strategy: Choice::LeastBusy,
        ..RouterSettings::default()
    };
    let deployments = vec![deployment("m", "1", "a b c"), deployment("m", "2", "a b c")];
    let router = Router::new(deployments, settings);
    let stream = body(r#"{"stream":true}"#);
    let held = router.ask("m", &stream).await.unwrap();
    let busy = id(&held).to_owned();
    for _ in 0..20 {
        assert_ne!(id(&router.ask("m", &stream).await.unwrap()), busy);
    }
    assert_eq!(held.member.load().in_flight, 1);
    let Given::Stream(mut streamed) = held.given else {
        panic!("no stream");
    };
    let mut text = String::new();
    while let Some(events) = streamed.next().await {
        text += std::str::from_utf8(&events.unwrap()).unwrap();
    }
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(text.matches("\"content\":").count(), 4, "{text}");
    drop(streamed);
    assert_eq!(held.member.load().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn another_configuration_keeps_what_is_remembered() {
    let deployments = || vec![deployment("m", "1", RATE_LIMIT)];
    let settings = || RouterSettings {
        num_retries: 0,
        allowed_fails: Some(0),
        ..RouterSettings::default()
    };
    let router = Router::new(deployments(), settings());
    ask(&router, "m").await.unwrap_err();
    let next = router.successor(deployments(), settings());
    drop(router);
    assert_eq!(
        ask(&next, "m").await.unwrap_err().context().code.as_deref(),
        Some("no_deployment_available")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_for_a_deployment_goes_to_one_that_it_fits() {
    let router = |is_checked, fallback: &str| {
        let mut small = deployment("m", "small", "hi");
        small.info.insert("max_input_tokens".to_owned(), json!(100));
        let mut middle = deployment("m", "middle", "hi");
        middle
            .info
            .insert("max_input_tokens".to_owned(), json!(300));
        let large = deployment("large", "large", "hi");
        let settings = RouterSettings {
            enable_pre_call_checks: is_checked,
            context_window_fallbacks: fallbacks(&[("m", &[fallback])]),
            ..RouterSettings::default()
        };
        Router::new(vec![small, middle, large], settings)
    };
    let of_tokens = |count: usize| body(&format!("{{\"x\":\"{}\"}}", "a".repeat(count * 4)));
    let checked = router(true, "large");
    for _ in 0..20 {
        assert_eq!(
            id(&checked.ask("m", &of_tokens(200)).await.unwrap()),
            "middle"
        );
        assert_eq!(
            id(&checked.ask("m", &of_tokens(400)).await.unwrap()),
            "large"
        );
    }
    let error = router(true, "nobody")
        .ask("m", &of_tokens(400))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContextWindowExceeded);
    // The bytes of a picture are not its tokens.
    let picture = body(&format!(
        "{{\"url\":\"data:image/png;base64,{}\"}}",
        "a".repeat(4000)
    ));
    assert_eq!(checked.ask("m", &picture).await.unwrap().fallbacks, 0);
    let unchecked = router(false, "large");
    assert_eq!(
        unchecked.ask("m", &of_tokens(400)).await.unwrap().fallbacks,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn the_window_of_a_model_is_known_where_nobody_says_it() {
    let known = |id: &str, base: &str| {
        let mut known = deployment("m", id, "hi");
        known.info.insert("base_model".to_owned(), json!(base));
        known
    };
    let settings = RouterSettings {
        enable_pre_call_checks: true,
        ..RouterSettings::default()
    };
    // 8,191 tokens and 128,000.
    let router = Router::new(
        vec![known("small", "gpt-4"), known("large", "gpt-4o")],
        settings,
    );
    let long = body(&format!(
        "{{\"x\":\"{}\"}}",
        "four words of text. ".repeat(3000)
    ));
    for _ in 0..20 {
        assert_eq!(id(&router.ask("m", &long).await.unwrap()), "large");
    }
    let mut asked = Vec::new();
    for _ in 0..40 {
        asked.push(id(&router.ask("m", &body("{}")).await.unwrap()).to_owned());
    }
    assert!(asked.iter().any(|id| id == "small"));
}

fn names() -> impl Strategy<Value = String> {
    "[a-e]"
}

proptest! {
    /// Whatever leads to whatever, each model is asked at most once, and not too many of them.
    #[test]
    fn fallbacks_never_go_round_in_circles(
        links in proptest::collection::vec((prop_oneof![names(), Just("*".to_owned())], proptest::collection::vec(names(), 0..4)), 0..6),
        default_fallbacks in proptest::collection::vec(names(), 0..3),
        max_fallbacks in 0_u32..4,
        start in names(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let deployments = ["a", "b", "c", "d", "e"].map(|name| {
                let mut one = deployment(name, name, INTERNAL);
                one.rpm = Some(1);
                one
            });
            // A second request to one of them would be beyond its limit, and another error.
            let settings = RouterSettings {
                num_retries: 0,
                strategy: Choice::UsageBased,
                fallbacks: Fallbacks(links),
                default_fallbacks,
                max_fallbacks,
                ..RouterSettings::default()
            };
            let router = Router::new(deployments.to_vec(), settings);
            let error = ask(&router, &start).await.unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::InternalServer);
            let asked: u64 = router.members().iter().map(|one| one.load().requests).sum();
            prop_assert!(asked <= u64::from(max_fallbacks) + 1);
            prop_assert!(router.members().iter().all(|one| one.load().requests <= 1));
            Ok(())
        })?;
    }
}
