//! Configurations that nobody would write: each is read to its end, or refused with its place.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolbridge::gateway::config::Config;
use toolbridge::gateway::config::keys::Section;
use toolbridge::mcp::config::Document;

#[path = "../../fuzz/config_properties.rs"]
mod properties;

/// A value of any kind, the likely ones more often.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-5_i64..100).prop_map(Value::from),
        (0.0_f64..9.0).prop_map(Value::from),
        "[a-z/:.*-]{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("http://h/mcp"),
            Just("gpt-4o"),
            Just("os.environ/OPENAI_API_KEY"),
            Just("os.environ/NOT_SET"),
            Just("oauth2"),
            Just("client_credentials"),
            Just("stdio"),
            Just("least-busy"),
            Just("sha256:00"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_*-]{1,8}", inner, 0..3)
                .prop_map(|members| json!(members)),
        ]
    })
}

/// An object with keys of a section, and values that may fit.
fn object(section: Section) -> impl Strategy<Value = Value> {
    let names: Vec<&'static str> = section.keys().iter().map(|key| key.name).collect();
    let key = prop::sample::select(names).prop_map(str::to_owned);
    let key = prop_oneof![9 => key, 1 => "[a-z_]{1,12}"];
    prop::collection::btree_map(key, value(), 0..8).prop_map(|members| json!(members))
}

fn with(mut object: Value, likely: Value) -> Value {
    if let (Value::Object(object), Value::Object(likely)) = (&mut object, likely) {
        object.extend(likely);
    }
    object
}

/// A configuration that is nearly right.
fn file() -> impl Strategy<Value = Value> {
    let model = (object(Section::Model), object(Section::Params)).prop_map(|(model, params)| {
        let params = with(params, json!({"model": "gpt-4o"}));
        with(model, json!({"model_name": "m", "litellm_params": params}))
    });
    let server = (object(Section::Server), any::<bool>()).prop_map(|(server, is_usable)| {
        let likely = json!({"url": "http://h/mcp", "transport": "http"});
        with(server, if is_usable { likely } else { json!({}) })
    });
    let parts = (
        object(Section::File),
        prop::collection::vec(model, 0..3),
        prop::collection::btree_map("[a-z]{1,3}", server, 0..3),
        object(Section::Litellm),
        object(Section::Router),
        object(Section::General),
        any::<u8>(),
    );
    parts.prop_map(|(file, models, servers, litellm, router, general, which)| {
        let sections = [
            ("model_list", json!(models)),
            ("mcp_servers", json!(servers)),
            ("litellm_settings", litellm),
            ("router_settings", router),
            ("general_settings", general),
        ];
        let mut likely = Map::new();
        for (index, (name, section)) in sections.into_iter().enumerate() {
            if which & (1 << index) != 0 {
                likely.insert(name.to_owned(), section);
            }
        }
        with(file, Value::Object(likely))
    })
}

fn outcome(document: toolbridge::error::Result<Document>) -> Result<Vec<String>, String> {
    let variables = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-k".to_owned());
    let config = document.and_then(|document| Config::from_document(&document, &variables));
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.notices.iter().map(ToString::to_string).collect())
}

/// A sentence without its file and line.
fn without_place(sentence: &str) -> String {
    match sentence.split_once(", line ") {
        Some((_, rest)) => rest
            .split_once(": ")
            .map_or(rest, |(_, rest)| rest)
            .to_owned(),
        None => sentence.to_owned(),
    }
}

proptest! {
    #[test]
    fn a_configuration_that_is_nearly_right_is_read_to_its_end(file in file()) {
        properties::config(file.to_string().as_bytes());
    }

    #[test]
    fn any_text_is_read_to_its_end(text in "[ -~\n]{0,200}") {
        properties::config(text.as_bytes());
    }

    #[test]
    fn an_object_and_the_file_that_holds_it_are_the_same_configuration(file in file()) {
        let text = serde_json::to_string_pretty(&file).unwrap();
        let of_object = outcome(Ok(Document::from_value(file)));
        let of_file = outcome(Document::parse(&text, std::path::Path::new("config.json")));
        let plain = |found: Result<Vec<String>, String>| match found {
            Ok(all) => Ok(all.iter().map(|one| without_place(one)).collect::<Vec<_>>()),
            Err(one) => Err(without_place(&one)),
        };
        prop_assert_eq!(plain(of_object), plain(of_file));
    }
}

#[test]
fn what_fuzzing_begins_with_is_a_configuration() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/config");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        properties::config(&text);
        let text = String::from_utf8(text).unwrap();
        let document = Document::parse(&text, std::path::Path::new("config.yaml"));
        outcome(document).unwrap();
        count += 1;
    }
    assert!(count >= 3);
}
