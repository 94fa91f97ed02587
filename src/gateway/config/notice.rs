//! What is said about a configuration that can be used: keys that nobody obeys, names that stand for
//! nothing. Owns [`Notice`] and [`Notices`].

use std::fmt;

use super::keys::{Key, Section, State};
use crate::document::fields::Fields;
use crate::document::{Data, Node, Place};
use crate::error::nearest;

/// Where a key that stands in the wrong place is most likely meant to be.
const SETTINGS: [Section; 3] = [Section::Litellm, Section::Router, Section::General];

/// Why something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeKind {
    /// A key or a name that is not known.
    Unknown,
    /// A key or a value of LiteLLM that is not obeyed.
    NotImplemented,
    /// Something that can be better.
    Advice,
}

/// One sentence about the configuration, with file and line.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Why it is said.
    pub kind: NoticeKind,
    /// The sentence.
    text: String,
    /// The same key at other places.
    more: usize,
    key: Option<(Section, &'static str)>,
}

impl Notice {
    /// Whether `--strict` refuses the configuration because of it.
    pub fn is_strict(&self) -> bool {
        self.kind != NoticeKind::Advice
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)?;
        match self.more {
            0 => Ok(()),
            1 => formatter.write_str(" (and at one more place)"),
            more => write!(formatter, " (and at {more} more places)"),
        }
    }
}

/// What was found while a configuration was read.
#[derive(Debug, Default)]
pub(super) struct Notices(Vec<Notice>);

impl Notices {
    pub(super) fn into_inner(self) -> Vec<Notice> {
        self.0
    }

    pub(super) fn push(&mut self, kind: NoticeKind, place: &Place, sentence: &str) {
        self.0.push(Notice {
            kind,
            text: format!("{place} {sentence}"),
            more: 0,
            key: None,
        });
    }

    /// Says which keys of an object nobody obeys; gives those that are not known at all and are no
    /// slip of the pen.
    pub(super) fn check<'a>(
        &mut self,
        section: Section,
        members: &'a [(String, Node)],
        place: &Place,
    ) -> Vec<&'a (String, Node)> {
        let mut strangers = Vec::new();
        for member in members {
            let (name, node) = member;
            let place = place.key(name, node);
            let Some(key) = section.key(name) else {
                if !self.unknown(section, name, members, &place) {
                    strangers.push(member);
                }
                continue;
            };
            self.known(key, &place);
        }
        strangers
    }

    fn known(&mut self, key: &'static Key, place: &Place) {
        let sentence = match key.state {
            State::Supported => return,
            State::Planned(soon) => {
                format!("{place} is not implemented yet and was ignored; it comes {soon}")
            }
            State::Not(why) => format!("{place} is not implemented and was ignored: {why}"),
        };
        let id = Some((key.section, key.name));
        if let Some(notice) = self.0.iter_mut().find(|notice| notice.key == id) {
            notice.more += 1;
            return;
        }
        self.0.push(Notice {
            kind: NoticeKind::NotImplemented,
            text: sentence,
            more: 0,
            key: id,
        });
    }

    /// Says that a key is not known; true if it is clear which one was meant.
    fn unknown(
        &mut self,
        section: Section,
        name: &str,
        members: &[(String, Node)],
        place: &Place,
    ) -> bool {
        let is_free = |known: &&str| !members.iter().any(|(there, _)| there == known);
        let names = section.keys().iter().map(|key| key.name);
        // A key that stands there too was not meant by this one.
        if let Some(near) = nearest(name, names.filter(is_free)) {
            let sentence = format!("is no known key and was ignored; did you mean {near:?}?");
            self.push(NoticeKind::Unknown, place, &sentence);
            return true;
        }
        let elsewhere = SETTINGS.into_iter().chain(Section::ALL).find(|other| {
            let key = other.key(name);
            *other != section && key.is_some_and(|key| key.state == State::Supported)
        });
        if section == Section::Params {
            // A parameter that only its provider knows.
            return false;
        }
        let sentence = match elsewhere {
            Some(Section::File) => "is no known key here and was ignored; it stands at the \
                                    beginning of a line of its own"
                .to_owned(),
            Some(other) => format!(
                "is no known key here and was ignored; it is one of {}",
                other.name()
            ),
            None => "is no known key and was ignored".to_owned(),
        };
        self.push(NoticeKind::Unknown, place, &sentence);
        false
    }

    /// The same for an object whose keys were read by `fields`.
    pub(super) fn finish(&mut self, section: Section, fields: &Fields<'_>) {
        for (name, _) in fields.members() {
            let is_supported = section
                .key(name)
                .is_some_and(|key| key.state == State::Supported);
            // The table says what the code does: the tests read a file that holds every key.
            debug_assert_eq!(
                is_supported,
                fields.asked().contains(&name.as_str()),
                "{} {name}",
                section.name()
            );
        }
        self.check(section, fields.members(), &fields.place);
    }

    /// Says that a name stands for nothing.
    pub(super) fn name<'a>(
        &mut self,
        place: &Place,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) {
        if known.clone().into_iter().any(|one| one == name) {
            return;
        }
        let hint = nearest(name, known)
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        self.push(
            NoticeKind::Unknown,
            place,
            &format!("names {name:?}, and there is no such {what}{hint}"),
        );
    }
}

/// The members of an object, none of anything else.
pub(super) fn members(node: &Node) -> &[(String, Node)] {
    match &node.data {
        Data::Object(members) => members,
        _ => &[],
    }
}
