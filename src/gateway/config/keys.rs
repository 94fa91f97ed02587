//! Every key that a configuration file may hold: LiteLLM's, and those of our own. One table, from
//! which come the notices at the start, `--strict` and the reference. Owns [`Key`] and [`Section`].

mod models;
mod reference;
mod servers;
mod settings;

pub use reference::reference;

/// A row of the table.
#[derive(Debug)]
pub struct Key {
    /// Where it stands.
    pub section: Section,
    /// How it is written.
    pub name: &'static str,
    /// Whether it is obeyed.
    pub state: State,
    /// What it takes.
    pub kind: &'static str,
    /// What counts without it; empty where nothing does.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// Whether a key is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Supported,
    /// Not yet; with what it will come.
    Planned(&'static str),
    /// It will not be; why.
    Not(&'static str),
}

/// A kind of object in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The file itself.
    File,
    /// An entry of `model_list`.
    Model,
    /// Its `litellm_params`.
    Params,
    /// A server of `mcp_servers`.
    Server,
    /// `litellm_settings`.
    Litellm,
    /// `router_settings`.
    Router,
    /// A policy for retries.
    RetryPolicy,
    /// `allowed_fails_policy`.
    AllowedFails,
    /// `routing_strategy_args`.
    StrategyArgs,
    /// `general_settings`.
    General,
    /// An entry of `keys`.
    CallerKey,
}

impl Section {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 11] = [
        Self::File,
        Self::Model,
        Self::Params,
        Self::Server,
        Self::General,
        Self::CallerKey,
        Self::Litellm,
        Self::Router,
        Self::RetryPolicy,
        Self::AllowedFails,
        Self::StrategyArgs,
    ];

    /// How it is called in the reference.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "The file",
            Self::Model => "model_list[]",
            Self::Params => "model_list[].litellm_params",
            Self::Server => "mcp_servers.NAME",
            Self::Litellm => "litellm_settings",
            Self::Router => "router_settings",
            Self::RetryPolicy => "router_settings.retry_policy",
            Self::AllowedFails => "router_settings.allowed_fails_policy",
            Self::StrategyArgs => "router_settings.routing_strategy_args",
            Self::General => "general_settings",
            Self::CallerKey => "keys[]",
        }
    }

    /// Its rows.
    pub fn keys(self) -> &'static [Key] {
        match self {
            Self::File => settings::FILE,
            Self::Model => models::MODEL,
            Self::Params => models::PARAMS,
            Self::Server => servers::SERVER,
            Self::Litellm => settings::LITELLM,
            Self::Router => settings::ROUTER,
            Self::RetryPolicy => settings::RETRY_POLICY,
            Self::AllowedFails => settings::ALLOWED_FAILS,
            Self::StrategyArgs => settings::STRATEGY_ARGS,
            Self::General => settings::GENERAL,
            Self::CallerKey => settings::CALLER_KEY,
        }
    }

    /// The row of a key.
    pub fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().iter().find(|key| key.name == name)
    }
}

/// Rows of one section: `yes` with what the key takes, its default and what it does; `planned` and
/// `not` with the reason and the keys that share it.
macro_rules! keys {
    (
        $table:ident of $section:ident;
        $(yes $name:literal, $kind:literal, $default:literal, $about:literal;)*
        $(planned $soon:literal: $($later:literal)+;)*
        $(not $why:literal: $($never:literal)+;)*
    ) => {
        pub(super) static $table: &[Key] = &[
            $(Key {
                section: Section::$section,
                name: $name,
                state: State::Supported,
                kind: $kind,
                default: $default,
                about: $about,
            },)*
            $($(Key {
                section: Section::$section,
                name: $later,
                state: State::Planned($soon),
                kind: "",
                default: "",
                about: "",
            },)+)*
            $($(Key {
                section: Section::$section,
                name: $never,
                state: State::Not($why),
                kind: "",
                default: "",
                about: "",
            },)+)*
        ];
    };
}

use keys;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_twice_in_a_section_and_every_row_says_something() {
        for section in Section::ALL {
            let keys = section.keys();
            for (index, key) in keys.iter().enumerate() {
                assert_eq!(key.section, section);
                let twin = keys[index + 1..]
                    .iter()
                    .find(|other| other.name == key.name);
                assert!(twin.is_none(), "{}: {}", section.name(), key.name);
                match key.state {
                    State::Supported => {
                        assert!(
                            !key.kind.is_empty() && !key.about.is_empty(),
                            "{}",
                            key.name
                        );
                    }
                    State::Planned(word) | State::Not(word) => {
                        assert!(!word.is_empty(), "{}", key.name);
                    }
                }
            }
        }
    }
}
