//! The protocols of providers: which conversion a request goes through, and how a stream is framed.

use super::conversion::{Conversion, anthropic, gemini, responses};
use super::framing::Framing;

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Wire {
    /// OpenAI's chat completions, which need no conversion.
    #[default]
    Chat,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
    /// OpenAI's responses.
    Responses,
}

impl Wire {
    /// Every protocol.
    pub const ALL: &[Self] = &[Self::Chat, Self::Anthropic, Self::Gemini, Self::Responses];

    /// What turns chat completions into it and back; none where it is the same.
    pub fn conversion(self) -> Option<&'static dyn Conversion> {
        match self {
            Self::Chat => None,
            Self::Anthropic => Some(&anthropic::Messages),
            Self::Gemini => Some(&gemini::GenerateContent),
            Self::Responses => Some(&responses::Responses),
        }
    }

    /// How its streams are framed.
    pub fn framing(self) -> Framing {
        match self {
            Self::Chat | Self::Anthropic | Self::Gemini | Self::Responses => Framing::Events,
        }
    }
}
