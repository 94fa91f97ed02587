//! What the messages to a model have room for, so that the results of tools reach it whole. Owns
//! [`room`]. The forms themselves are in `crate::tools::result`.

use crate::llm::catalogue;
use crate::llm::conversion::bedrock::model as bedrock;
use crate::llm::conversion::gemini;
use crate::llm::model_id::ModelId;
use crate::llm::wire::Wire;
use crate::tools::result::chat::{self, Room};
use crate::tools::result::{
    Takes, Types, anthropic, bedrock as blocks, gemini as parts, responses,
};

/// Pictures alone, of the types that everybody takes.
const PICTURES: Takes = Takes {
    images: chat::TAKES.images,
    ..Takes::TEXT
};

/// Whether pictures, sounds and files of results stand within the tool messages to a model, or in a
/// user message behind them, and which of them it takes at all. What the catalogue knows of the model
/// decides about the last; a model that it does not know is taken for one that sees pictures.
pub fn room(model: &ModelId) -> Room {
    let wire = model.provider.kind.service().wire(model);
    let seen = |takes: Takes| Takes {
        images: unless_refused(model, takes.images, "supports_vision"),
        files: unless_refused(model, takes.files, "supports_pdf_input"),
        ..takes
    };
    match wire {
        Wire::Anthropic | Wire::AnthropicOnVertex => Room {
            inside: seen(anthropic::TAKES),
            behind: Takes::TEXT,
            says_errors: true,
        },
        Wire::Gemini => Room {
            inside: if gemini::takes_media_in_results(&model.name) {
                parts::INSIDE
            } else {
                Takes::TEXT
            },
            behind: seen(parts::BEHIND),
            says_errors: true,
        },
        Wire::Converse => {
            let takes = seen(blocks::TAKES);
            let takes = Takes {
                videos: if_known(model, takes.videos, "supports_video_input"),
                ..takes
            };
            let is_inside = bedrock::takes_media_in_results(&model.name);
            let (inside, behind) = if is_inside {
                (takes, Takes::TEXT)
            } else {
                (Takes::TEXT, takes)
            };
            Room {
                inside,
                behind,
                says_errors: is_inside,
            }
        }
        Wire::Responses => Room {
            inside: seen(responses::TAKES),
            behind: Takes::TEXT,
            says_errors: false,
        },
        // A user message cannot follow a tool message there, and a tool message takes parts.
        Wire::Mistral => Room {
            inside: seen(PICTURES),
            behind: Takes::TEXT,
            says_errors: false,
        },
        Wire::Cohere | Wire::Ollama => Room {
            inside: Takes::TEXT,
            behind: seen(PICTURES),
            says_errors: false,
        },
        Wire::Replicate => Room::TEXT,
        Wire::Chat | Wire::ChatInFrames => Room {
            inside: Takes::TEXT,
            behind: heard(model, seen(chat::TAKES)),
            says_errors: false,
        },
    }
}

/// Sounds and files are taken by few models behind OpenAI's API.
fn heard(model: &ModelId, takes: Takes) -> Takes {
    Takes {
        audio: if_known(model, takes.audio, "supports_audio_input"),
        files: if_known(model, takes.files, "supports_pdf_input"),
        ..takes
    }
}

fn unless_refused(model: &ModelId, types: Types, fact: &str) -> Types {
    match supports(model, fact) {
        Some(false) => Types::NONE,
        _ => types,
    }
}

fn if_known(model: &ModelId, types: Types, fact: &str) -> Types {
    match supports(model, fact) {
        Some(true) => types,
        _ => Types::NONE,
    }
}

/// None for a model that the catalogue does not have.
fn supports(model: &ModelId, fact: &str) -> Option<bool> {
    let found = catalogue::find(&model.name, Some(model.provider.name))?;
    Some(found.facts.get(fact) == Some(&true.into()))
}
