//! The protocols of providers: which conversion a request goes through, and how a stream is framed.

use super::conversion::{
    Conversion, anthropic, bedrock, cohere, gemini, mistral, ollama, replicate, responses,
};
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
    /// Cohere's chat, the second version.
    Cohere,
    /// Mistral's chat completions.
    Mistral,
    /// Ollama's chat.
    Ollama,
    /// Replicate's predictions.
    Replicate,
    /// Bedrock's Converse.
    Converse,
    /// OpenAI's chat completions, whose streams come in the frames of AWS (`SageMaker`).
    ChatInFrames,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages, as Vertex AI takes them.
    AnthropicOnVertex,
}

impl Wire {
    /// Every protocol.
    pub const ALL: &[Self] = &[
        Self::Chat,
        Self::Anthropic,
        Self::Gemini,
        Self::Cohere,
        Self::Mistral,
        Self::Ollama,
        Self::Replicate,
        Self::Converse,
        Self::ChatInFrames,
        Self::Responses,
        Self::AnthropicOnVertex,
    ];

    /// What turns chat completions into it and back; none where it is the same.
    pub fn conversion(self) -> Option<&'static dyn Conversion> {
        match self {
            Self::Chat | Self::ChatInFrames => None,
            Self::Anthropic => Some(&anthropic::Messages),
            Self::Gemini => Some(&gemini::GenerateContent),
            Self::Cohere => Some(&cohere::Chat),
            Self::Mistral => Some(&mistral::Chat),
            Self::Ollama => Some(&ollama::Chat),
            Self::Replicate => Some(&replicate::Predictions),
            Self::Converse => Some(&bedrock::Converse),
            Self::Responses => Some(&responses::Responses),
            Self::AnthropicOnVertex => Some(&anthropic::OnVertex),
        }
    }

    /// How its streams are framed.
    pub fn framing(self) -> Framing {
        match self {
            Self::Chat
            | Self::Anthropic
            | Self::AnthropicOnVertex
            | Self::Gemini
            | Self::Cohere
            | Self::Mistral
            | Self::Responses => Framing::Events,
            Self::Ollama => Framing::Lines,
            Self::Replicate => Framing::NamedEvents,
            Self::Converse => Framing::AwsEvents,
            Self::ChatInFrames => Framing::AwsParts,
        }
    }
}
