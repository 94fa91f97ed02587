//! Whatever a provider answers: see `fuzz/provider_properties.rs`. The fixtures of answers are what it
//! begins with, changed in places.

use proptest::prelude::*;

#[path = "../../fuzz/provider_properties.rs"]
pub(crate) mod properties;

/// The answers of judges, and what the fuzz target begins with, without the byte that chooses.
fn fixtures() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let folders = [
        ("tests/fixtures/llm/answers", 0),
        ("fuzz/corpus/provider", 1),
    ];
    let mut texts = Vec::new();
    for (folder, skipped) in folders {
        let entries = std::fs::read_dir(format!("{root}{folder}")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let read = paths.iter().map(|path| std::fs::read(path).unwrap());
        texts.extend(read.map(|mut text| text.split_off(skipped)));
    }
    texts
}

/// One of the fixtures, for any protocol, with some bytes put in the place of others.
fn changed() -> impl Strategy<Value = Vec<u8>> {
    let place = (any::<prop::sample::Index>(), any::<u8>());
    let words = prop::sample::select(vec!["null", "[]", "{}", "\"\"", "0", "\\u0000", "}"]);
    let splice = (any::<prop::sample::Index>(), 0..12_usize, words);
    (
        any::<u8>(),
        prop::sample::select(fixtures()),
        prop::collection::vec(place, 0..4),
        prop::collection::vec(splice, 0..3),
    )
        .prop_map(|(wire, mut text, places, splices)| {
            for (place, byte) in places {
                let place = place.index(text.len());
                text[place] = byte;
            }
            for (place, length, word) in splices {
                let start = place.index(text.len());
                let end = (start + length).min(text.len());
                text.splice(start..end, word.bytes());
            }
            text.insert(0, wire);
            text
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_a_provider_says_is_read_or_refused_however_it_is_cut(text in changed()) {
        properties::provider(&text);
    }

    #[test]
    fn noise_is_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
        properties::provider(&text);
    }
}
