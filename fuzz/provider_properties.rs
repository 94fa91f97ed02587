//! What holds of every answer and every stream of a provider, right or wrong: a conversion reads it or
//! refuses it, what it makes is JSON, and however the bytes of a stream are cut, it makes the same. The
//! body of a fuzz target and of a property test.

use bytes::Bytes;
use toolbridge::json::RawJson;
use toolbridge::llm::conversion::{Notes, Progress};
use toolbridge::llm::framing::Framer;
use toolbridge::llm::wire::Wire;

fn notes() -> Notes {
    Notes {
        model: "model".to_owned(),
        now: 1,
        id: "id".to_owned(),
        include_usage: true,
        ..Notes::default()
    }
}

/// The first byte chooses the protocol, the rest is what a provider says.
pub(crate) fn provider(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let wires: Vec<_> = Wire::ALL
        .iter()
        .filter(|wire| wire.conversion().is_some())
        .collect();
    let wire = *wires[usize::from(*choice) % wires.len()];
    answer(wire, text);
    let whole = chunks(wire, std::iter::once(text));
    assert_eq!(whole, chunks(wire, text.chunks(1)), "byte by byte");
    assert_eq!(whole, chunks(wire, text.chunks(7)), "in pieces");
}

fn answer(wire: Wire, body: &[u8]) {
    let Some(conversion) = wire.conversion() else {
        return;
    };
    if let Ok(completion) = conversion.answer(body, &notes()) {
        let text = completion.to_bytes();
        let read: serde_json::Value = serde_json::from_slice(&text).expect("an answer is JSON");
        assert!(read["choices"].is_array());
    }
}

/// The chunks of a stream, and whether it was whole.
fn chunks<'a>(wire: Wire, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, bool) {
    let mut found = Vec::new();
    let Some(conversion) = wire.conversion() else {
        return (found, false);
    };
    let mut framer = Framer::new(wire.framing());
    let mut translator = conversion.stream(&notes());
    let mut events = Vec::new();
    for piece in pieces {
        if framer
            .feed(&Bytes::copy_from_slice(piece), &mut events)
            .is_err()
        {
            break;
        }
    }
    events.extend(framer.finish());
    for event in events {
        // What is no object is refused before it is translated.
        if event.is_error || !event.data.trim_ascii_start().starts_with(b"{") {
            return (found, false);
        }
        match translator.event(&event.data, &mut found) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(_) => return (found, false),
        }
    }
    let is_whole = translator.end(&mut found);
    for chunk in &found {
        // What came in OpenAI's form is passed on as it came, with what is no text in its texts.
        let text = String::from_utf8_lossy(chunk).into_owned();
        let is_object = text.trim_start().starts_with('{');
        assert!(
            is_object && RawJson::parse(text).is_ok(),
            "a chunk is an object"
        );
    }
    (found, is_whole)
}
