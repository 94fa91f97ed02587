//! The table that is part of the binary: `models.z`, which `scripts/catalogue.py` writes. It is
//! unpacked when it is first asked, and its lines are decoded one by one, as they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use miniz_oxide::inflate::decompress_to_vec_zlib;
use serde_json::{Map, Value};

static PACKED: &[u8] = include_bytes!("models.z");
/// How many lines stay decoded: a process asks for few models, for each call anew, and a list of all
/// of them must not fill the memory.
const MAX_DECODED: usize = 256;

/// The lines of the table.
#[derive(Debug)]
pub(super) struct Table {
    /// `YYYY-MM-DD`
    pub(super) date: &'static str,
    /// Names and facts, in the order of the bytes of the names.
    models: Vec<(&'static str, &'static str)>,
    decoded: RwLock<HashMap<&'static str, Arc<Map<String, Value>>>>,
}

pub(super) fn table() -> &'static Table {
    // A test reads it too: it cannot fail here. It lives as long as the process.
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        let text = decompress_to_vec_zlib(PACKED).unwrap_or_default();
        Table::read(String::from_utf8(text).unwrap_or_default().leak())
    });
    &TABLE
}

impl Table {
    fn read(text: &'static str) -> Self {
        let mut lines = text.split('\n');
        Self {
            date: lines.next().unwrap_or_default(),
            models: lines.filter_map(|line| line.split_once('\t')).collect(),
            decoded: RwLock::default(),
        }
    }

    /// The names, in the order of their bytes.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.models.iter().map(|(name, _)| *name)
    }

    /// What is known of the model with exactly that name.
    pub(super) fn facts(&self, name: &str) -> Option<Arc<Map<String, Value>>> {
        let decoded = self.decoded.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(facts) = decoded.get(name) {
            return Some(Arc::clone(facts));
        }
        drop(decoded);
        let place = self
            .models
            .binary_search_by(|(known, _)| (*known).cmp(name));
        let (name, facts) = self.models.get(place.ok()?)?;
        let facts = Arc::new(serde_json::from_str(facts).ok()?);
        let mut decoded = self.decoded.write().unwrap_or_else(PoisonError::into_inner);
        if decoded.len() < MAX_DECODED {
            decoded.insert(name, Arc::clone(&facts));
        }
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_and_the_names_are_in_order() {
        let text = String::from_utf8(decompress_to_vec_zlib(PACKED).unwrap()).unwrap();
        let table = table();
        assert_eq!(table.models.len() + 1, text.split('\n').count());
        assert!(table.models.len() > 2000);
        assert!(table.models.is_sorted_by(|one, other| one.0 < other.0));
        for name in table.names() {
            let facts = table.facts(name).unwrap();
            assert!(facts["litellm_provider"].is_string(), "{name}");
        }
        assert_eq!(table.decoded.read().unwrap().len(), MAX_DECODED);
        let numbers: Vec<u32> = table
            .date
            .split('-')
            .map(|one| one.parse().unwrap())
            .collect();
        assert!(
            matches!(numbers[..], [2026..=2099, 1..=12, 1..=31]),
            "{}",
            table.date
        );
    }

    #[test]
    fn it_takes_little_room() {
        assert!(PACKED.len() < 150_000, "{}", PACKED.len());
    }
}
