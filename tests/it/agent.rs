//! The tool loop, with a model and tools that do what a test says.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use toolbridge::agent::model::{Candidate, Chunks, Fallbacks};
use toolbridge::agent::{
    Approver, Call, CallTerms, Choice, Conversation, Decision, Event, Head, Listener, Model,
    Origin, Outcome, Reply, Run, Settings, Stop, Tool, Toolbox,
};
use toolbridge::error::{Error, ErrorKind, Result};
use toolbridge::json::RawJson;

/// Answers with what it was given, in order, and keeps what it was asked.
#[derive(Debug, Default)]
struct Script {
    replies: Mutex<VecDeque<Result<Value, Error>>>,
    asked: Mutex<Vec<Value>>,
}

impl Script {
    fn new(replies: impl IntoIterator<Item = Value>) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.into_iter().map(Ok).collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Batches(VecDeque<Bytes>);

impl Chunks for Batches {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<VecDeque<Bytes>>>> {
        let next = self.0.pop_front().map(|one| VecDeque::from([one]));
        let is_cut = next.as_ref().is_some_and(|next| next[0] == CUT);
        async move {
            if is_cut {
                return Err(Error::new(ErrorKind::Connection, "it ended early"));
            }
            Ok(next)
        }
        .boxed()
    }
}

/// In the place of a chunk: the stream breaks off here.
const CUT: &str = "\"cut\"";

impl Model for Script {
    fn ask(&self, body: Bytes, streams: bool) -> BoxFuture<'_, Result<Reply>> {
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.get("stream").is_some(), streams);
        self.asked.lock().unwrap().push(body);
        let reply = self.replies.lock().unwrap().pop_front();
        async move {
            let reply = reply.expect("the model is asked once too often")?;
            if let Value::Array(chunks) = reply {
                let chunks = chunks.iter().map(|chunk| Bytes::from(chunk.to_string()));
                return Ok(Reply::Stream(
                    Box::new(Batches(chunks.collect())),
                    Origin::default(),
                ));
            }
            Ok(Reply::Whole(
                RawJson::trusted(reply.to_string()),
                Origin::default(),
            ))
        }
        .boxed()
    }
}

/// Two tools: `echo-say` gives its arguments back, `echo-hang` never answers.
#[derive(Debug, Default)]
struct Tools {
    called: Mutex<Vec<(String, String)>>,
    /// How many calls wait, and what lets them go on.
    gate: Option<Arc<Semaphore>>,
    waiting: Arc<Notify>,
    given_up: Arc<Notify>,
}

struct GivenUp(Arc<Notify>, bool);

impl Drop for GivenUp {
    fn drop(&mut self) {
        if !self.1 {
            self.0.notify_one();
        }
    }
}

impl Tools {
    fn called(&self) -> Vec<(String, String)> {
        self.called.lock().unwrap().clone()
    }
}

impl Toolbox for Tools {
    fn tools(&self) -> BoxFuture<'_, Result<(u64, Arc<Vec<Tool>>)>> {
        let tool = |name: &str| Tool {
            name: format!("echo-{name}"),
            server: Some("echo".to_owned()),
            own_name: Some(name.to_owned()),
            described: RawJson::trusted(
                json!({
                    "name": format!("echo-{name}"),
                    "description": "d",
                    "inputSchema": {
                        "type": "object",
                        "properties": {"text": {"type": "string"}},
                        "required": ["text"],
                    },
                })
                .to_string(),
            ),
        };
        let tools = vec![tool("say"), tool("hang"), tool("break")];
        async move { Ok((1, Arc::new(tools))) }.boxed()
    }

    fn call(
        &self,
        name: String,
        arguments: RawJson,
        terms: CallTerms,
    ) -> BoxFuture<'_, Result<RawJson>> {
        async move {
            let text = String::from_utf8(arguments.as_bytes().to_vec()).unwrap();
            self.called
                .lock()
                .unwrap()
                .push((name.clone(), text.clone()));
            if let Some(progress) = &terms.progress {
                progress(RawJson::trusted(&br#"{"progress":1,"total":2}"#[..]));
            }
            let mut guard = GivenUp(Arc::clone(&self.given_up), false);
            match name.as_str() {
                "echo-hang" => {
                    self.waiting.notify_one();
                    std::future::pending::<()>().await;
                }
                "echo-break" => {
                    guard.1 = true;
                    return Err(Error::new(ErrorKind::ConnectionClosed, "it is gone"));
                }
                _ => {}
            }
            if let Some(gate) = &self.gate {
                self.waiting.notify_one();
                gate.acquire().await.unwrap().forget();
            }
            guard.1 = true;
            let said = serde_json::from_str::<Value>(&text).unwrap();
            let result = json!({"content": [{"type": "text", "text": said["text"]}]});
            Ok(RawJson::trusted(result.to_string()))
        }
        .boxed()
    }
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn calls(calls: &[Value]) -> Value {
    json!({
        "id": "c", "object": "chat.completion", "model": "m", "created": 1,
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": null, "tool_calls": calls, "refusal": null,
            "provider_specific_fields": {"x": 1},
        }}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    })
}

fn says(text: &str) -> Value {
    json!({
        "id": "c", "object": "chat.completion", "model": "m", "created": 1,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {
            "role": "assistant", "content": text, "reasoning_content": "hm",
        }}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
    })
}

fn run(model: &Arc<Script>, tools: &Arc<Tools>, settings: Settings) -> Run {
    let request = json!({"model": "m", "temperature": 0});
    let messages = vec![RawJson::trusted(&br#"{"role":"user","content":"go"}"#[..])];
    let conversation = Conversation::new(request.as_object().unwrap().clone(), messages).unwrap();
    Run::new(
        Arc::<Script>::clone(model),
        Arc::<Tools>::clone(tools),
        conversation,
        settings,
    )
}

async fn outcome(model: &Arc<Script>, tools: &Arc<Tools>) -> Outcome {
    run(model, tools, Settings::default()).go().await
}

fn told(body: &Value) -> Vec<(&str, &str)> {
    let messages = body["messages"].as_array().unwrap();
    let tools = messages.iter().filter(|message| message["role"] == "tool");
    tools
        .map(|message| {
            let id = message["tool_call_id"].as_str().unwrap();
            (id, message["content"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn a_model_calls_a_tool_and_answers() {
    let model = Script::new([
        calls(&[call("a", "echo-say", r#"{"text": "hello"}"#)]),
        says("done"),
    ]);
    let tools = Arc::<Tools>::default();
    let outcome = outcome(&model, &tools).await;
    assert!(matches!(outcome.stop, Stop::Finished), "{:?}", outcome.stop);
    assert_eq!(
        tools.called(),
        [("echo-say".to_owned(), r#"{"text": "hello"}"#.to_owned())]
    );
    let asked = model.asked();
    assert_eq!(asked[0]["temperature"], 0);
    assert_eq!(asked[0]["tools"][0]["function"]["name"], "echo-say");
    let messages = asked[1]["messages"].as_array().unwrap();
    let back = json!({
        "content": null, "role": "assistant",
        "tool_calls": [call("a", "echo-say", r#"{"text": "hello"}"#)],
        // Signatures and citations are there.
        "provider_specific_fields": {"x": 1},
    });
    assert_eq!(messages[1], back);
    assert_eq!(told(&asked[1]), [("a", "hello")]);
    assert_eq!(outcome.rounds, 2);
    assert_eq!(outcome.messages.len(), 4);
    assert_eq!(outcome.usage["total_tokens"], 35);
    assert_eq!(outcome.calls.len(), 1);
    let response = outcome.response.unwrap().to_value().unwrap();
    assert_eq!(response["choices"][0]["message"]["content"], "done");
}

#[tokio::test]
async fn others_answer_for_a_model_that_fails_before_its_stream_begins() {
    let busy = || Err(Error::new(ErrorKind::RateLimit, "busy"));
    let chunk = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
    let first = Script::new([says("unused")]);
    *first.replies.lock().unwrap() = VecDeque::from([
        busy(),
        Ok(json!([
            chunk(json!({"content": "x"})),
            serde_json::from_str::<Value>(CUT).unwrap()
        ])),
    ]);
    let other = Script::new([json!([chunk(json!({"content": "y"}))])]);
    let head = |model: &str| Head::new(json!({"model": model}).as_object().unwrap().clone());
    let candidate = |name: &str, model: &Arc<Script>| Candidate {
        name: name.to_owned(),
        head: head(name).unwrap(),
        model: Arc::<Script>::clone(model),
    };
    let chain = Fallbacks {
        candidates: vec![candidate("a", &first), candidate("b", &other)],
        order: vec![1],
        wider: HashMap::new(),
    };
    let body = head("a").unwrap().body(b"[1]", b"[{}]", true);
    let reply = chain.ask(body.clone(), true).await.unwrap();
    assert_eq!(reply.origin().place, 1);
    assert_eq!(reply.origin().tried[0].0, "a");
    let wanted = json!({"model": "b", "messages": [1], "tools": [{}], "stream": true});
    assert_eq!(other.asked(), [wanted]);
    // One that began is the answer, whatever becomes of it.
    let Reply::Stream(mut chunks, origin) = chain.ask(body, true).await.unwrap() else {
        panic!("not a stream");
    };
    assert_eq!((origin.place, origin.tried.len()), (0, 0));
    assert!(chunks.next().await.unwrap().is_some());
    assert!(chunks.next().await.is_err());
}

#[tokio::test]
async fn what_goes_wrong_with_a_call_is_told_to_the_model() {
    let model = Script::new([
        calls(&[
            call("a", "echo-sya", "{}"),
            call("b", "echo-say", "{\"text\":"),
            call("c", "echo-say", r#"{"text": 5}"#),
            call("d", "echo-break", r#"{"text": "x"}"#),
            json!({"id": "e", "type": "custom", "custom": {"name": "x", "input": ""}}),
            // Its own name, which no other server has.
            call("f", "say", r#"{"text": "fine"}"#),
        ]),
        says("done"),
    ]);
    let tools = Arc::<Tools>::default();
    let outcome = outcome(&model, &tools).await;
    assert!(matches!(outcome.stop, Stop::Finished), "{:?}", outcome.stop);
    let asked = model.asked();
    let told = told(&asked[1]);
    let ids: Vec<_> = told.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f"]);
    for (place, part) in [
        (0, "Did you mean \"echo-say\"?"),
        (1, "not valid JSON"),
        (2, "at /text they have"),
        (3, "The tool \"echo-break\" failed: it is gone"),
        (4, "\"custom\""),
        (5, "fine"),
    ] {
        assert!(told[place].1.contains(part), "{}", told[place].1);
    }
    // What does not fit never leaves.
    assert_eq!(tools.called().len(), 2);
    let failed: Vec<_> = outcome.calls.iter().map(|done| done.is_error).collect();
    assert_eq!(failed, [true, true, true, true, true, false]);
}

#[tokio::test]
async fn a_call_of_a_stream_that_breaks_off_is_not_made() {
    let chunk = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]});
    let whole = call("b", "echo-say", r#"{"text": "whole"}"#);
    let mut begun = whole.clone();
    begun["index"] = json!(0);
    let cut = json!([chunk(json!({"tool_calls": [begun]})), "cut"]);
    let first = json!([
        chunk(json!({"tool_calls": [call("a", "echo-say", r#"{"text": "x"}"#)]})),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]);
    let model = Script::new([first, cut]);
    let tools = Arc::<Tools>::default();
    let outcome = run(&model, &tools, Settings::default())
        .streaming()
        .go()
        .await;
    let Stop::Failed(error) = &outcome.stop else {
        panic!("{:?}", outcome.stop);
    };
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert_eq!(tools.called().len(), 1);
    // What was whole is there, so that the run can go on from it.
    assert_eq!(outcome.messages.len(), 3);
    assert_eq!(outcome.rounds, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_given_up_and_told() {
    let model = Script::new([
        calls(&[
            call("a", "echo-hang", r#"{"text": ""}"#),
            call("b", "echo-say", r#"{"text": "b"}"#),
        ]),
        says("done"),
    ]);
    let tools = Arc::<Tools>::default();
    let settings = Settings {
        tool_timeout: Some(Duration::from_secs(3)),
        ..Settings::default()
    };
    let outcome = run(&model, &tools, settings).go().await;
    assert!(matches!(outcome.stop, Stop::Finished), "{:?}", outcome.stop);
    let asked = model.asked();
    assert_eq!(
        told(&asked[1]),
        [
            (
                "a",
                "Error: The tool \"echo-hang\" did not answer within 3 s."
            ),
            ("b", "b")
        ]
    );
    tools.given_up.notified().await;
}

#[tokio::test]
async fn calls_of_a_round_run_side_by_side_and_no_more_than_may() {
    let ids = ["a", "b", "c", "d"];
    let several: Vec<_> = ids
        .iter()
        .map(|id| call(id, "echo-say", &format!(r#"{{"text": "{id}"}}"#)))
        .collect();
    let model = Script::new([calls(&several), says("done")]);
    let gate = Arc::new(Semaphore::new(0));
    let tools = Arc::new(Tools {
        gate: Some(Arc::clone(&gate)),
        ..Tools::default()
    });
    let settings = Settings {
        max_parallel: 3,
        ..Settings::default()
    };
    let running = tokio::spawn(run(&model, &tools, settings).go());
    while tools.called().len() < 3 {
        tools.waiting.notified().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(tools.called().len(), 3);
    gate.add_permits(4);
    let outcome = running.await.unwrap();
    assert!(matches!(outcome.stop, Stop::Finished), "{:?}", outcome.stop);
    let asked = model.asked();
    assert_eq!(told(&asked[1]), ids.map(|id| (id, id)));
}

#[tokio::test]
async fn a_run_that_is_dropped_gives_up_its_calls() {
    let model = Script::new([calls(&[call("a", "echo-hang", r#"{"text": ""}"#)])]);
    let tools = Arc::<Tools>::default();
    let running = tokio::spawn(run(&model, &tools, Settings::default()).go());
    tools.waiting.notified().await;
    running.abort();
    tools.given_up.notified().await;
}

#[tokio::test]
async fn the_round_limit_leaves_the_calls_that_were_not_made() {
    let again = || calls(&[call("a", "echo-say", r#"{"text": "x"}"#)]);
    let model = Script::new([again(), again()]);
    let tools = Arc::<Tools>::default();
    let settings = Settings {
        max_rounds: 2,
        ..Settings::default()
    };
    let outcome = run(&model, &tools, settings).go().await;
    assert!(matches!(outcome.stop, Stop::RoundLimit));
    assert_eq!(tools.called().len(), 1);
    assert_eq!(outcome.pending.len(), 1);
    assert_eq!(outcome.messages.len(), 4);
}

#[tokio::test]
async fn an_error_of_the_model_comes_with_the_messages_so_far() {
    let model = Script::new([calls(&[call("a", "echo-say", r#"{"text": "x"}"#)])]);
    let error = Error::new(ErrorKind::ContextWindowExceeded, "too long");
    model.replies.lock().unwrap().push_back(Err(error));
    let outcome = outcome(&model, &Arc::default()).await;
    let Stop::Failed(error) = &outcome.stop else {
        panic!("{:?}", outcome.stop);
    };
    assert_eq!(error.kind(), ErrorKind::ContextWindowExceeded);
    assert_eq!(outcome.messages.len(), 3);
    assert_eq!(outcome.calls.len(), 1);
}

#[tokio::test]
async fn calls_of_functions_of_the_caller_end_the_run_after_the_others() {
    let model = Script::new([calls(&[
        call("a", "mine", "{}"),
        call("b", "echo-say", r#"{"text": "x"}"#),
    ])]);
    let tools = Arc::<Tools>::default();
    let mine = json!({"type": "function", "function": {"name": "mine", "parameters": {}}});
    let choice = Choice {
        names: Some(vec!["echo".to_owned()]),
        functions: vec![mine.clone()],
    };
    let run = run(&model, &tools, Settings::default()).offering(choice);
    let outcome = run.go().await;
    assert!(matches!(outcome.stop, Stop::FunctionCalls));
    assert_eq!(outcome.pending[0].name, "mine");
    assert_eq!(tools.called().len(), 1);
    assert_eq!(model.asked()[0]["tools"][3], mine);
}

#[tokio::test]
async fn a_name_that_stands_for_nothing_is_an_error_before_anybody_is_asked() {
    let model = Script::new([]);
    let choice = Choice {
        names: Some(vec!["echo-sya".to_owned()]),
        functions: Vec::new(),
    };
    let run = run(&model, &Arc::default(), Settings::default()).offering(choice);
    let Stop::Failed(error) = run.go().await.stop else {
        panic!("it ran");
    };
    assert!(error.message().contains("\"echo-say\""), "{error}");
}

/// Decides by the name of the tool, and notes who was asked about.
#[derive(Default)]
struct Judge {
    asked: Mutex<Vec<String>>,
}

impl Approver for Judge {
    fn decide(&self, call: &Call) -> BoxFuture<'_, Result<Decision>> {
        self.asked.lock().unwrap().push(call.id.clone());
        let decision = match call.id.as_str() {
            "refuse" => Decision::Refuse(Some("not today".to_owned())),
            "change" => Decision::AllowWith(RawJson::trusted(&br#"{"text":"changed"}"#[..])),
            "defer" => Decision::Defer,
            _ => Decision::Allow,
        };
        async move { Ok(decision) }.boxed()
    }
}

#[tokio::test]
async fn approval_refuses_changes_and_defers_and_a_run_goes_on_later() {
    let said = r#"{"text": "as said"}"#;
    let model = Script::new([
        calls(&["allow", "refuse", "defer", "change"].map(|id| call(id, "echo-say", said))),
        says("done"),
    ]);
    let tools = Arc::<Tools>::default();
    let judge = Arc::<Judge>::default();
    let first = run(&model, &tools, Settings::default()).approved_by(Arc::<Judge>::clone(&judge));
    let stopped = first.go().await;
    assert!(matches!(stopped.stop, Stop::Approval));
    assert_eq!(
        *judge.asked.lock().unwrap(),
        ["allow", "refuse", "defer", "change"]
    );
    let sent: Vec<_> = tools.called().into_iter().map(|(_, sent)| sent).collect();
    assert_eq!(sent, [said, r#"{"text":"changed"}"#]);
    assert_eq!(stopped.pending.len(), 1);
    let conversation = Conversation::new(serde_json::Map::new(), stopped.messages).unwrap();
    let decided = vec![("defer".to_owned(), Decision::Allow)];
    let second = Run::new(
        Arc::<Script>::clone(&model),
        Arc::<Tools>::clone(&tools),
        conversation,
        Settings::default(),
    );
    let ended = second
        .resumed(stopped.pending, decided, stopped.rounds, stopped.usage)
        .go()
        .await;
    assert!(matches!(ended.stop, Stop::Finished), "{:?}", ended.stop);
    let asked = model.asked();
    let told = told(&asked[1]);
    assert!(told.contains(&("defer", "as said")), "{told:?}");
    assert!(
        told.contains(&("refuse", "Error: The call was not approved: not today")),
        "{told:?}"
    );
    assert_eq!(
        (ended.rounds, &ended.usage["total_tokens"]),
        (2, &json!(35))
    );
}

#[tokio::test]
async fn events_of_a_stream_are_told_as_they_come() {
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let fragment = |index: u64, id: Value, name: Value, text: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": text}}]});
    let model = Script::new([
        json!([
            chunk(
                json!({"role": "assistant", "content": "Let me "}),
                json!(null)
            ),
            chunk(json!({"reasoning_content": "hm"}), json!(null)),
            chunk(fragment(0, json!("a"), json!("echo-say"), ""), json!(null)),
            chunk(
                fragment(0, json!(null), json!(null), "{\"text\":"),
                json!(null)
            ),
            chunk(fragment(0, json!(null), json!(null), "\"x\"}"), json!(null)),
            chunk(json!({}), json!("tool_calls")),
            json!({"id": "c", "choices": [], "usage": {"total_tokens": 7}}),
        ]),
        json!([chunk(json!({"content": "done"}), json!("stop"))]),
    ]);
    let (listener, mut events) = Listener::new(false);
    let settings = Settings {
        streams: true,
        ..Settings::default()
    };
    let outcome = run(&model, &Arc::default(), settings)
        .heard_by(listener)
        .go()
        .await;
    assert!(matches!(outcome.stop, Stop::Finished), "{:?}", outcome.stop);
    let mut heard = Vec::new();
    while let Some(event) = events.recv().await {
        if let Event::ToolCallFinished { result, .. } = &event {
            assert!(result.get().contains("\"x\""), "{result}");
        }
        let event = serde_json::to_value(&event).unwrap();
        heard.push((
            event["type"].as_str().unwrap().to_owned(),
            event["text"].as_str().unwrap_or_default().to_owned(),
        ));
    }
    let wanted = [
        ("text_delta", "Let me "),
        ("reasoning_delta", "hm"),
        ("tool_call_started", ""),
        ("tool_call_arguments", "{\"text\":"),
        ("tool_call_arguments", "\"x\"}"),
        ("round_finished", ""),
        ("tool_call_progress", ""),
        ("tool_call_finished", ""),
        ("text_delta", "done"),
        ("round_finished", ""),
    ];
    let wanted: Vec<_> = wanted
        .map(|(kind, text)| (kind.to_owned(), text.to_owned()))
        .into();
    assert_eq!(heard, wanted);
    assert_eq!(outcome.usage["total_tokens"], 7);
}
