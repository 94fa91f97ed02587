//! What is found in a stream of bytes does not depend on how the bytes come.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "../../fuzz/properties.rs"]
mod properties;

/// Bytes as peers write them: pieces of messages, of events, ends of lines, and anything.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        &b"\n"[..],
        b"\r\n",
        b"\r",
        b"\n\n",
        b"data: ",
        b"data:",
        b"data",
        b"id: 7\n",
        b"id:",
        b"event: message\n",
        b"retry: 5\n",
        b": comment",
        b"\xef\xbb\xbf",
        b"{\"jsonrpc\":\"2.0\",\"id\":12,\"result\":{}}",
        b"\"id\":\"a\\\"b\"",
        b"xxxxxxxxxxxxxxxxxxxxxxxx",
        b"   ",
    ]);
    let piece = prop_oneof![
        4 => known.prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
    ];
    let limit = prop_oneof![0_u8..32, any::<u8>()];
    (limit, vec(piece, 0..24)).prop_map(|(limit, pieces)| {
        let mut text = vec![limit];
        text.extend(pieces.concat());
        text
    })
}

/// Messages as clients write them, right or wrong, and cut anywhere.
fn message() -> impl Strategy<Value = String> {
    let value = select(vec![
        "1",
        "-7",
        "1.5e3",
        "null",
        "true",
        "\"a\"",
        "\"\\u00e9\\n\"",
        "{}",
        "[]",
        "{\"a\": [1, {}]}",
        " 3 ",
        "\"2.0\"",
    ]);
    let key = select(vec![
        "jsonrpc", "id", "method", "params", "result", "error", "other",
    ]);
    let member = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    let right = select(vec![
        "\"jsonrpc\":\"2.0\"",
        "\"method\":\"ping\"",
        "\"id\":9",
    ]);
    let member = prop_oneof![member, right.prop_map(str::to_owned)];
    let object = vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
    let batch = vec(object.clone(), 0..4).prop_map(|objects| format!("[{}]", objects.join(" ,")));
    let text = prop_oneof![3 => object, 1 => batch];
    (text, any::<prop::sample::Index>(), 0..4_u8).prop_map(|(text, cut, whole)| {
        let cut = if whole > 0 {
            text.len()
        } else {
            cut.index(text.len() + 1)
        };
        text[..cut].to_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_come(text in text()) {
        properties::framing(&text);
    }

    #[test]
    fn messages_of_clients_are_passed_on_as_json(text in message()) {
        properties::message(text.as_bytes());
    }

    #[test]
    fn events_do_not_depend_on_how_the_bytes_come(text in text()) {
        properties::event_stream(&text);
    }
}

#[test]
fn the_seeds_of_the_fuzz_targets_hold() {
    for (target, property) in [
        ("framing", properties::framing as fn(&[u8])),
        ("event_stream", properties::event_stream),
        ("message", properties::message),
    ] {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert!(seeds.len() >= 3);
        for seed in seeds {
            property(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
