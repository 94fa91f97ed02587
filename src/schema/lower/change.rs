//! What is told of a schema that is not as it was. Owns [`Change`] and [`Changes`].

use std::fmt;

/// How many changes are told one by one.
const TOLD: usize = 1_000;

/// What became of a part of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// It says the same in other words.
    Rewritten,
    /// What the target wants to be there was added; it means nothing else.
    Added,
    /// It was no JSON Schema, and is what was meant.
    Repaired,
    /// The description says it; the schema takes more than before.
    Described,
    /// It takes more than before.
    Widened,
    /// It takes less than before.
    Narrowed,
    /// It is left out, for it says nothing about values.
    Dropped,
}

impl Action {
    /// The name, as in `described`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewritten => "rewritten",
            Self::Added => "added",
            Self::Repaired => "repaired",
            Self::Described => "described",
            Self::Widened => "widened",
            Self::Narrowed => "narrowed",
            Self::Dropped => "dropped",
        }
    }
}

/// One place of a schema that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where, as a JSON pointer; empty for the root.
    pub path: String,
    /// The keyword; empty where the schema as a whole is meant.
    pub keyword: String,
    /// What became of it.
    pub action: Action,
    /// A sentence part that says more.
    pub detail: String,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "the schema"
        } else {
            &self.path
        };
        write!(formatter, "{path}: ")?;
        if !self.keyword.is_empty() {
            write!(formatter, "{:?} ", self.keyword)?;
        }
        write!(formatter, "{}: {}", self.action.name(), self.detail)
    }
}

/// The changes of one walk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    told: Vec<Change>,
    more: usize,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn add(&mut self, change: impl FnOnce() -> Change) {
        if self.told.len() < TOLD {
            self.told.push(change());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Change>, usize) {
        (self.told, self.more)
    }
}
