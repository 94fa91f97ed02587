//! Results in memory, within limits. Knows nothing of what they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::time::Instant;

use crate::json::RawJson;

/// How much a store holds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Results; none means no other limit than the bytes.
    pub entries: Option<usize>,
    /// Bytes of all results together.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: Some(1_024),
            bytes: 64 << 20,
        }
    }
}

/// Results in memory, the ones that were used longest ago the first to go.
#[derive(Debug, Clone, Default)]
pub struct Store(Arc<Mutex<Shelf>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) target: String,
    pub(super) revision: String,
    /// None is everybody.
    pub(super) partition: Option<String>,
    pub(super) method: &'static str,
    pub(super) params: Bytes,
}

#[derive(Debug)]
struct Entry {
    text: RawJson,
    stale_at: Instant,
    last_use: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    limits: Limits,
    entries: HashMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
}

impl Store {
    /// An empty store with limits of its own.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Shelf {
            limits,
            ..Shelf::default()
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many results it holds, stale ones included.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut shelf = self.lock();
        let limits = shelf.limits;
        *shelf = Shelf {
            limits,
            ..Shelf::default()
        };
    }
}

impl Shelf {
    pub(super) fn get(&mut self, key: &Key) -> Option<RawJson> {
        let entry = self.entries.get_mut(key)?;
        if entry.stale_at <= Instant::now() {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        self.by_use.remove(&entry.last_use);
        entry.last_use = self.uses;
        self.by_use.insert(self.uses, key.clone());
        Some(entry.text.clone())
    }

    pub(super) fn put(&mut self, key: Key, text: RawJson, stale_at: Instant) {
        self.remove(&key);
        let size = text.as_bytes().len();
        if size > self.limits.bytes || self.limits.entries == Some(0) {
            return;
        }
        let most = self.limits.entries.unwrap_or(usize::MAX);
        while self.bytes + size > self.limits.bytes || self.entries.len() >= most {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.uses += 1;
        self.bytes += size;
        self.by_use.insert(self.uses, key.clone());
        let last_use = self.uses;
        self.entries.insert(
            key,
            Entry {
                text,
                stale_at,
                last_use,
            },
        );
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.last_use);
            self.bytes -= entry.text.as_bytes().len();
        }
    }

    pub(super) fn remove_where(&mut self, is_meant: impl Fn(&Key) -> bool) {
        let meant: Vec<Key> = self
            .entries
            .keys()
            .filter(|key| is_meant(key))
            .cloned()
            .collect();
        for key in meant {
            self.remove(&key);
        }
    }
}
