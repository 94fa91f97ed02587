//! The regular expressions of a schema. An engine that backtracks takes its limit when it is built and
//! does not say how much of it a search took; so each pattern is tried with growing limits, and each
//! try is paid for as if it took all of its limit.

use std::sync::OnceLock;

use fancy_regex::{Regex, RegexBuilder};

/// How often a search may turn back, from the first try to the last.
const BACKTRACKS: [usize; EFFORTS] = [64, 512, 8_192, 131_072];
/// How many tries there are.
pub(super) const EFFORTS: usize = 4;
/// A turn is less than a step of a check; but between two turns a search may read the whole text.
const BACKTRACKS_PER_STEP: usize = 8;
const BYTES_PER_STEP: usize = 16;
/// How large a pattern may be once it is compiled, and how large a few of a schema may be: to compile
/// one takes as long as it is large.
const MAXIMUM_BYTES: usize = 64 << 10;
const MAXIMUM_BYTES_OF_FEW: usize = 1 << 20;
const FEW: usize = 32;
/// How many instructions the part that backtracks may have.
const MAXIMUM_INSTRUCTIONS: usize = 20_000;
/// How many patterns a schema may have.
const MAXIMUM_PATTERNS: usize = 4_000;

/// A regular expression of the schema.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    bytes: usize,
    first: Regex,
    longer: [OnceLock<Option<Regex>>; EFFORTS - 1],
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// With an answer: whether the text has a match.
    Ended(bool),
    /// Without one, for want of effort.
    TooShort,
}

/// What a try costs, in steps.
pub(super) fn cost(effort: usize, text: &str) -> usize {
    match effort {
        // Most patterns need no backtracking: they read the text once.
        0 => 2 + text.len() / 64,
        _ => (BACKTRACKS[effort] / BACKTRACKS_PER_STEP)
            .saturating_mul(1 + text.len() / BYTES_PER_STEP),
    }
}

/// How many patterns a schema has, and how many of them are large.
#[derive(Debug, Default)]
pub(super) struct Tally {
    patterns: usize,
    large: usize,
}

impl Tally {
    pub(super) fn is_empty(&self) -> bool {
        self.patterns == 0
    }

    /// Compiles one more pattern.
    ///
    /// # Errors
    /// A sentence part that says why it cannot be used.
    pub(super) fn compile(&mut self, keyword: &str, text: &str) -> Result<Pattern, String> {
        self.patterns += 1;
        if self.patterns > MAXIMUM_PATTERNS {
            return Err(format!("it has more than {MAXIMUM_PATTERNS} patterns"));
        }
        if let Ok(pattern) = Pattern::compile(text, MAXIMUM_BYTES) {
            return Ok(pattern);
        }
        if self.large == FEW {
            return Err(format!("it has more than {FEW} patterns that are large"));
        }
        self.large += 1;
        Pattern::compile(text, MAXIMUM_BYTES_OF_FEW).map_err(|failure| {
            format!("its {keyword} {text:?} is no regular expression: {failure}")
        })
    }
}

impl Pattern {
    fn compile(text: &str, bytes: usize) -> Result<Self, fancy_regex::Error> {
        Ok(Self {
            text: text.to_owned(),
            bytes,
            first: regex(text, 0, bytes)?,
            longer: Default::default(),
        })
    }

    pub(super) fn search(&self, effort: usize, text: &str) -> Search {
        let regex = match effort.checked_sub(1) {
            None => Some(&self.first),
            Some(at) => self.longer[at]
                .get_or_init(|| regex(&self.text, effort, self.bytes).ok())
                .as_ref(),
        };
        match regex.map(|regex| regex.is_match(text)) {
            Some(Ok(found)) => Search::Ended(found),
            Some(Err(_)) | None => Search::TooShort,
        }
    }
}

fn regex(text: &str, effort: usize, bytes: usize) -> Result<Regex, fancy_regex::Error> {
    RegexBuilder::new(text)
        .backtrack_limit(BACKTRACKS[effort])
        .delegate_size_limit(bytes)
        .max_prog_size(MAXIMUM_INSTRUCTIONS)
        .build()
}
