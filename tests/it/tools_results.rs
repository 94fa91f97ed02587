//! Results of tools as models read them: every result of `fixtures/results/cases.json` in the form of
//! each API, one file for each in `fixtures/results/forms`, and in the request that a model's provider
//! gets when the engine's own messages are sent, in `fixtures/results/requests`. Python's tests let the
//! official SDKs judge the same files. With `UPDATE_GOLDEN=1` they are written anew.

use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolbridge::llm::model_id::ModelId;
use toolbridge::llm::provider::Settings;
use toolbridge::llm::tool_results::room;
use toolbridge::tools::result::chat::{self, Room};
use toolbridge::tools::result::{
    Cutting, Origin, Takes, anthropic, bedrock, cut, gemini, responses,
};

use crate::llm_conversion::play::Play;

const CALL: Origin<'static> = Origin {
    id: "call_1",
    name: Some("look"),
};

/// A model of each kind of messages.
const MODELS: &[&str] = &[
    "openai/gpt-4o",
    "openai/gpt-4o-audio-preview",
    "openai/responses/gpt-4o",
    "deepseek/deepseek-chat",
    "anthropic/claude-sonnet-4-5",
    "vertex_ai/claude-sonnet-4-5@20250929",
    "gemini/gemini-2.5-flash",
    "gemini/gemini-3-pro-preview",
    "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock/amazon.nova-pro-v1:0",
    "bedrock/meta.llama3-1-70b-instruct-v1:0",
    "cohere_chat/command-a-03-2025",
    "mistral/mistral-large-latest",
    "ollama_chat/llama3.2",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/results")
}

fn cases() -> Vec<(String, Value)> {
    let text = std::fs::read(folder().join("cases.json")).unwrap();
    let cases: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    let results = cases.into_iter();
    results
        .map(|(name, case)| (name, case["result"].clone()))
        .collect()
}

/// The messages of one round as the engine sends them.
fn round(result: &Value, room: &Room) -> Vec<Value> {
    let made = chat::messages(result, CALL, room);
    let mut messages = vec![made.tool];
    messages.extend(chat::behind(made.parts));
    messages
}

fn forms(result: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("openai", round(result, &Room::OPENAI).into()),
        ("openai_text", round(result, &Room::TEXT).into()),
        ("openai_responses", responses::item(result, CALL)),
        ("anthropic", anthropic::block(result, CALL)),
        ("gemini_3", gemini::parts(result, CALL, true).into()),
        ("gemini_2", gemini::parts(result, CALL, false).into()),
        ("bedrock", bedrock::block(result, CALL)),
    ]
}

/// The request that a model's provider gets.
fn request(model: &str, result: &Value) -> Value {
    let settings = Settings {
        api_base: Some("http://127.0.0.1:9".to_owned()),
        options: [("project_id".to_owned(), json!("project-1"))]
            .into_iter()
            .collect(),
        ..Settings::default()
    };
    let play = Play::with(model, settings);
    let mut messages = vec![
        json!({"role": "user", "content": "Look."}),
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        ]}),
    ];
    messages.extend(round(result, &room(&play.model)));
    play.sent(&json!({
        "model": model,
        "messages": messages,
        "tools": [{"type": "function", "function": {
            "name": "look", "parameters": {"type": "object", "properties": {}},
        }}],
    }))
}

/// One case on each line.
fn written(found: &Map<String, Value>) -> String {
    let mut text = "{\n".to_owned();
    for (place, (name, body)) in found.iter().enumerate() {
        let comma = if place + 1 < found.len() { "," } else { "" };
        writeln!(text, "  {}: {body}{comma}", Value::from(name.as_str())).unwrap();
    }
    text + "}\n"
}

/// Compares with a golden file, or writes it.
fn check(path: &str, found: &Map<String, Value>) {
    let path = folder().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written(found)).unwrap();
        return;
    }
    let text = std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    let golden: Map<String, Value> = serde_json::from_slice(&text).unwrap();
    for (name, body) in found {
        let wanted = golden.get(name).unwrap_or(&Value::Null);
        assert_eq!(body, wanted, "{}: {name}", path.display());
    }
    assert_eq!(golden.len(), found.len(), "{}", path.display());
}

#[test]
fn every_result_has_the_form_of_each_api_that_its_golden_file_says() {
    let mut by_form: Map<String, Value> = Map::new();
    for (case, result) in cases() {
        for (form, made) in forms(&result) {
            let all = by_form.entry(form).or_insert_with(|| json!({}));
            all[&case] = made;
        }
    }
    for (form, made) in &by_form {
        check(&format!("forms/{form}.json"), made.as_object().unwrap());
    }
}

#[test]
fn every_result_reaches_each_model_as_its_golden_file_says() {
    for model in MODELS {
        let found: Map<String, Value> = cases()
            .iter()
            .map(|(case, result)| (case.clone(), request(model, result)))
            .collect();
        let name = model.replace(['/', ':'], "_");
        check(&format!("requests/{name}.json"), &found);
    }
}

#[test]
fn results_of_calls_at_once_have_their_pictures_in_one_message_behind_the_last() {
    let all = cases();
    let image = &all.iter().find(|(name, _)| name == "image").unwrap().1;
    let call = |id| Origin {
        id,
        name: Some("chart"),
    };
    let one = chat::messages(image, call("a"), &Room::OPENAI);
    let other = chat::messages(image, call("b"), &Room::OPENAI);
    let parts = [one.parts, other.parts].concat();
    let message = chat::behind(parts).unwrap();
    assert_eq!(message["role"], "user");
    let content = message["content"].as_array().unwrap();
    assert_eq!(content.len(), 5);
    assert_eq!(content[1]["text"], "image 1 of chart (a):");
    assert_eq!(content[2]["type"], "image_url");
    assert_eq!(content[3]["text"], "image 1 of chart (b):");
    let said = one.tool["content"].as_str().unwrap();
    assert!(said.contains("image 1 of chart (a)"), "{said}");
    assert_eq!(chat::behind(Vec::new()), None);
}

#[test]
fn a_tool_call_of_any_api_says_its_id_and_its_tool() {
    let known = Some("look");
    for (call, id, name) in [
        (json!("call_1"), "call_1", None),
        (
            json!({"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}),
            "call_1",
            known,
        ),
        (
            json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look"}),
            "call_1",
            known,
        ),
        (
            json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}),
            "toolu_1",
            known,
        ),
        (
            json!({"functionCall": {"name": "look", "args": {}}}),
            "",
            known,
        ),
        (
            json!({"function_call": {"id": "f", "name": "look", "args": {}}}),
            "f",
            known,
        ),
        (
            json!({"toolUse": {"toolUseId": "tooluse_1", "name": "look", "input": {}}}),
            "tooluse_1",
            known,
        ),
    ] {
        assert_eq!(Origin::read(&call), Some(Origin { id, name }), "{call}");
    }
    for wrong in [
        json!(null),
        json!(5),
        json!([]),
        json!({}),
        json!({"id": ""}),
    ] {
        assert_eq!(Origin::read(&wrong), None, "{wrong}");
    }
    assert!(
        Origin {
            id: "",
            name: known
        }
        .with_id()
        .is_err()
    );
    assert!(
        Origin {
            id: "x",
            name: None
        }
        .with_name()
        .is_err()
    );
}

#[test]
fn a_model_has_room_for_what_its_api_and_the_catalogue_say() {
    let room = |model: &str| room(&ModelId::resolve(model, None, None).unwrap());
    let text = Takes::TEXT;
    for inside in [
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-3-pro-preview",
        "vertex_ai/gemini-3-pro-preview",
        "bedrock/amazon.nova-pro-v1:0",
        "openai/responses/gpt-4o",
        "mistral/mistral-medium-latest",
    ] {
        let room = room(inside);
        assert!(!room.inside.images.names.is_empty(), "{inside}");
    }
    for behind in [
        "openai/gpt-4o",
        "openai/a-model-that-nobody-knows",
        "azure/my-deployment",
        "gemini/gemini-2.5-flash",
    ] {
        let room = room(behind);
        assert_eq!(room.inside, text, "{behind}");
        assert!(!room.behind.images.names.is_empty(), "{behind}");
    }
    for blind in [
        "deepseek/deepseek-chat",
        "openai/gpt-3.5-turbo",
        "replicate/meta/llama-2-70b-chat",
    ] {
        assert_eq!(room(blind).behind, text, "{blind}");
    }
    assert!(
        room("openai/gpt-4o-audio-preview")
            .behind
            .audio
            .names
            .contains(&"audio/wav")
    );
    assert!(room("openai/gpt-4o").behind.audio.names.is_empty());
    assert!(
        room("openai/gpt-4o")
            .behind
            .files
            .names
            .contains(&"application/pdf")
    );
    assert!(
        room("openai/a-model-that-nobody-knows")
            .behind
            .files
            .names
            .is_empty()
    );
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn cutting(budget: u64) -> Cutting<'static> {
    Cutting {
        budget,
        count: &words,
        read_on: "call read_more",
    }
}

/// What a model reads of a result.
fn read(result: &Value) -> String {
    chat::messages(result, CALL, &Room::TEXT).tool["content"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_result_within_the_budget_stays_as_it_is() {
    for (name, result) in cases() {
        let (same, rest) = cut(result.clone(), &cutting(10_000));
        assert_eq!((same, rest), (result, None), "{name}");
    }
}

#[test]
fn a_long_text_is_cut_at_a_line_and_says_how_much_is_left_and_how_to_read_on() {
    let line = "one two three four five\n";
    let result =
        json!({"content": [{"type": "text", "text": line.repeat(1_000)}], "isError": false});
    let (head, rest) = cut(result, &cutting(1_000));
    let rest = rest.unwrap();
    let said = read(&head);
    assert!(words(&said) <= 1_000, "{}", words(&said));
    assert!(words(&said) > 700);
    let (text, marker) = said.rsplit_once("\n[").unwrap();
    assert_eq!(text, line.repeat(text.len() / line.len()));
    assert_eq!(
        marker,
        format!(
            "cut here: about {} tokens of this result are left; call read_more]",
            rest.tokens
        )
    );
    assert_eq!(rest.tokens, 5_000 - words(text));
    assert_eq!(head["isError"], false);
}

#[test]
fn reading_on_gives_everything_and_ends() {
    let text: String = (0..3_000).fold(String::new(), |mut text, number| {
        write!(text, "{number}, ").unwrap();
        text
    });
    let image = cases()
        .into_iter()
        .find(|(name, _)| name == "image")
        .unwrap()
        .1;
    for budget in [0, 1, 40, 500] {
        let mut next = json!({"content": [
            {"type": "text", "text": text},
            image["content"][0],
            {"type": "resource", "resource": {"uri": "file:///a", "text": text}},
        ]});
        let (mut seen, mut images, mut rounds) = (String::new(), 0, 0);
        loop {
            let (head, rest) = cut(next, &cutting(budget));
            let content = head["content"].as_array().unwrap().clone();
            for block in content {
                images += usize::from(block["type"] == "image");
                let text = block["text"]
                    .as_str()
                    .or(block["resource"]["text"].as_str());
                let text = text.filter(|text| !text.starts_with("[cut here"));
                seen.push_str(text.unwrap_or_default());
            }
            rounds += 1;
            match rest {
                Some(rest) => next = rest.result,
                None => break,
            }
        }
        assert_eq!(images, 1);
        assert!(
            seen == text.repeat(2),
            "{budget}: something is lost or said twice"
        );
        assert!(rounds > 2, "{budget}");
    }
}

#[test]
fn what_matters_more_is_kept_first_and_what_is_for_the_user_stays() {
    let block = |text: &str, annotations: Value| json!({"type": "text", "text": text.repeat(50), "annotations": annotations});
    let result = json!({"content": [
        block("little ", json!({"priority": 0.1})),
        block("user ", json!({"audience": ["user"]})),
        block("usual ", json!({})),
        block("much ", json!({"priority": 1})),
    ]});
    let (head, rest) = cut(result, &cutting(112));
    let said = read(&head);
    assert!(said.contains("much") && said.contains("usual"), "{said}");
    assert!(!said.contains("little"), "{said}");
    assert!(head.to_string().contains("user user"));
    let rest = rest.unwrap();
    assert_eq!(rest.tokens, 50);
    assert!(read(&rest.result).starts_with("little little"));
}

#[test]
fn structured_content_is_cut_once_and_never_sent_beside_the_cut_text() {
    let items: Vec<Value> = (0..500).map(|number| json!({ "number": number })).collect();
    let structured = json!({ "items": items });
    let spelled = serde_json::to_string_pretty(&structured).unwrap();
    let said =
        json!({"content": [{"type": "text", "text": spelled}], "structuredContent": structured});
    let alone = json!({"content": [], "structuredContent": structured});
    let count = |text: &str| text.len() as u64 / 4;
    let cutting = Cutting {
        budget: 300,
        count: &count,
        read_on: "read on",
    };
    for result in [said, alone] {
        let (head, rest) = cut(result, &cutting);
        assert!(head.get("structuredContent").is_none());
        assert!(count(&read(&head)) <= 301, "{}", read(&head));
        assert!(read(&head).starts_with('{'));
        assert!(rest.unwrap().tokens > 1_000);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z=/+ A-Z\u{e4}\u{1f980}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]|text|type|data", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Results of servers that do what they like.
fn any_result() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "text",
        "image",
        "audio",
        "resource",
        "resource_link",
        "new",
    ]);
    let block =
        (kind, json_value(), json_value(), json_value()).prop_map(|(kind, one, two, three)| {
            json!({
                "type": kind, "text": one, "data": two, "mimeType": three, "annotations": two,
                "resource": {"uri": one, "text": two, "blob": three, "mimeType": one}, "uri": three,
            })
        });
    let blocks = prop::collection::vec(prop_oneof![block, json_value()], 0..4);
    (blocks, json_value(), json_value()).prop_map(|(content, structured, other)| {
        json!({
            "content": content, "structuredContent": structured, "isError": other,
            "task": other, "resultType": structured,
        })
    })
}

proptest! {
    #[test]
    fn no_result_of_any_server_breaks_a_form(result in prop_oneof![any_result(), json_value()], budget in 0_u64..50) {
        for (form, made) in forms(&result) {
            prop_assert!(!made.to_string().is_empty(), "{form}");
        }
        let tool = chat::messages(&result, CALL, &Room::OPENAI).tool;
        let text = tool["content"].as_str().unwrap();
        prop_assert!(!text.trim().is_empty());
        let mut next = result;
        for _ in 0..2_000 {
            match cut(next, &cutting(budget)).1 {
                Some(rest) => next = rest.result,
                None => return Ok(()),
            }
        }
        prop_assert!(false, "reading on does not end");
    }

    #[test]
    fn bytes_never_become_text(bytes in prop::collection::vec(any::<u8>(), 40..400), mime in "(image|audio|video|application)/[a-z]{1,8}") {
        use base64::Engine;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let result = json!({
            "content": [
                {"type": "image", "data": base64, "mimeType": mime},
                {"type": "resource", "resource": {"uri": "file:///x", "mimeType": mime, "blob": base64}},
            ],
            "structuredContent": {"again": base64},
        });
        let text = chat::messages(&result, CALL, &Room::TEXT).tool["content"].to_string();
        prop_assert!(!text.contains(&base64), "{text}");
    }
}
