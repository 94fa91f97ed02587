//! What answers cost, as a gateway tells it: a header with each, and a counter for each model.

use toolbridge::gateway::Gateway;

use crate::gateway_client::{ask, gateway, get, model};
use crate::llm_endpoint::{Endpoint, Reply, answer, chunked_head, http_chunks};

const BODY: &str = r#"{"model":"m","messages":[]}"#;
const STREAM: &str = r#"{"model":"m","messages":[],"stream":true}"#;
const HEADER: &str = "x-litellm-response-cost";

/// A thousand tokens in and a hundred out, half of the first ones from a cache.
const USAGE: &str = r#""usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":500}}"#;

fn told(served: &str) -> Reply {
    let body = format!(
        r#"{{"model":"{served}","choices":[{{"index":0,"message":{{"role":"assistant","content":"hi"}},"finish_reason":"stop"}}],{USAGE}}}"#
    );
    answer("200 OK", "content-type: application/json\r\n", &body)
}

/// What the counter of `m` says.
async fn counted(gateway: &Gateway) -> Option<f64> {
    let text = get(gateway, "/metrics").await.body;
    let line = r#"toolbridge_cost_dollars_total{model="m"} "#;
    let found = text.lines().find_map(|found| found.strip_prefix(line));
    found.map(|number| number.parse().unwrap())
}

#[track_caller]
fn assert_near(found: Option<f64>, wanted: f64) {
    let found = found.unwrap();
    assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
}

#[tokio::test]
async fn an_answer_costs_what_was_said_or_what_the_catalogue_says_of_its_model() {
    // A token of gpt-4o: 2.5 millionths in, 1.25 from the cache, 10 out.
    let gpt_4o = 500.0 * 2.5e-6 + 500.0 * 1.25e-6 + 100.0 * 10e-6;
    for (params, served, wanted) in [
        ("", "gpt-4o-2024-08-06", Some(gpt_4o)),
        (", base_model: gpt-4o", "my-deployment", Some(gpt_4o)),
        // What was said counts, whoever served it; a cache without a price is as dear as the rest.
        (
            ", input_cost_per_token: 0.001, output_cost_per_token: 0.01",
            "gpt-4o",
            Some(1.0 + 1.0),
        ),
        (
            ", input_cost_per_token: 0.001, output_cost_per_token: 0.01, cache_read_input_token_cost: 0",
            "gpt-4o",
            Some(0.5 + 1.0),
        ),
        ("", "nobody-knows", None),
    ] {
        let endpoint = Endpoint::start(vec![told(served), told(served)]).await;
        let text = format!("model_list:\n{}", model("m", &endpoint.origin, params));
        let gateway = gateway(&text).await;
        for times in [1.0, 2.0] {
            let found = ask(&gateway, BODY).await;
            assert_eq!(found.status, 200);
            let cost = found.header(HEADER).map(|cost| cost.parse().unwrap());
            match wanted {
                None => assert_eq!((cost, counted(&gateway).await), (None, None)),
                Some(wanted) => {
                    assert_near(cost, wanted);
                    assert_near(counted(&gateway).await, wanted * times);
                }
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_the_entry_says_of_its_model_counts_too_and_a_tier_has_its_price() {
    let tier = told("x").remove(0);
    let crate::llm_endpoint::Step::Send(text) = tier else {
        unreachable!("it is sent at once");
    };
    let text = String::from_utf8(text).unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let body = body.replacen('{', r#"{"service_tier":"priority","#, 1);
    let endpoint = Endpoint::start(vec![answer(
        "200 OK",
        "content-type: application/json\r\n",
        &body,
    )])
    .await;
    let entry = model("m", &endpoint.origin, "");
    let entry = format!(
        "{entry}    model_info: {{input_cost_per_token: 0.001, output_cost_per_token: 0, \
         input_cost_per_token_priority: 0.002}}\n"
    );
    let gateway = gateway(&format!("model_list:\n{entry}")).await;
    let found = ask(&gateway, BODY).await;
    assert_near(found.header(HEADER).map(|cost| cost.parse().unwrap()), 2.0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_says_what_it_took_is_counted_at_its_end() {
    let chunk = r#"data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}"#;
    let last = format!(r#"data: {{"model":"gpt-4o","choices":[],{USAGE}}}"#);
    let events = format!("{chunk}\n\n{last}\n\ndata: [DONE]\n\n");
    let endpoint = Endpoint::start(vec![vec![chunked_head(), http_chunks(&[&events, ""])]]).await;
    let text = format!("model_list:\n{}", model("m", &endpoint.origin, ""));
    let gateway = gateway(&text).await;
    let found = ask(&gateway, STREAM).await;
    assert_eq!((found.status, found.body), (200, events));
    assert_near(
        counted(&gateway).await,
        500.0 * 2.5e-6 + 500.0 * 1.25e-6 + 100.0 * 10e-6,
    );
    gateway.stop().await;
}
