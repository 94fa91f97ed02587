//! The protocols of providers: which conversion a request goes through, and how a stream is framed.

use super::conversion::{Conversion, anthropic, bedrock};
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
    /// Bedrock's Converse.
    Converse,
    /// OpenAI's chat completions, whose streams come in the frames of AWS (`SageMaker`).
    ChatInFrames,
}

impl Wire {
    /// What turns chat completions into it and back; none where it is the same.
    pub fn conversion(self) -> Option<&'static dyn Conversion> {
        match self {
            Self::Chat | Self::ChatInFrames => None,
            Self::Anthropic => Some(&anthropic::Messages),
            Self::Converse => Some(&bedrock::Converse),
        }
    }

    /// How its streams are framed.
    pub fn framing(self) -> Framing {
        match self {
            Self::Chat | Self::Anthropic => Framing::Events,
            Self::Converse => Framing::AwsEvents,
            Self::ChatInFrames => Framing::AwsParts,
        }
    }
}
