//! What the events of a stream are: chunks, the end, an error. Owns [`Judge`], which is the same for a
//! stream that is read and for one that is passed on; pure.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer;
use super::conversion::{Progress, Translator, Unreadable};
use super::failure::{FailureSite, snippet};
use super::framing::{Framer, Framing, Unframed};
use super::patience::{Late, Patience};
use super::stream::Event;
use crate::error::{Error, ErrorKind};

/// What turns a stream of another protocol into chunks.
#[derive(Debug)]
pub struct Translation {
    /// How its events are told apart.
    pub framing: Framing,
    /// What makes chunks of them.
    pub translator: Box<dyn Translator>,
}

/// What a stream needs to know to say what went wrong with it.
#[derive(Debug)]
pub struct StreamSource {
    /// Provider, model, secrets.
    pub site: FailureSite,
    /// The status of the answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// How long it may take.
    pub patience: Patience,
    /// None for a stream that has chunks already.
    pub translation: Option<Translation>,
}

impl StreamSource {
    /// What tells its events apart.
    pub(super) fn framer(&self) -> Framer {
        let translation = self.translation.as_ref();
        Framer::new(translation.map_or(Framing::Events, |translation| translation.framing))
    }

    fn error(&self, kind: ErrorKind, message: impl AsRef<str>, body: &[u8]) -> Error {
        self.site
            .error_with_answer(kind, message, self.status, &self.headers, body)
    }

    /// An error that the provider reported in the stream.
    fn reported(&self, data: &[u8]) -> Error {
        let place = "in the middle of the stream";
        self.site
            .embedded_error(place, self.status, &self.headers, data)
    }
}

/// What an event of a stream is, beside the chunks in it.
pub(super) enum Judged {
    /// More may come.
    More,
    /// The last event.
    Done,
    /// The stream cannot go on.
    Failed(Error),
}

/// Tells what the events of one stream are, and what its end means.
#[derive(Debug)]
pub(super) struct Judge {
    source: StreamSource,
    count: usize,
    is_finished: bool,
}

impl Judge {
    pub(super) fn new(source: StreamSource) -> Self {
        Self {
            source,
            count: 0,
            is_finished: false,
        }
    }

    /// How long the stream may take.
    pub(super) fn patience(&self) -> Patience {
        self.source.patience
    }

    /// How many chunks there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether the chunks are made here, so that none is what came.
    pub(super) fn translates(&self) -> bool {
        self.source.translation.is_some()
    }

    /// Looks at an event and appends its chunks.
    pub(super) fn event(&mut self, event: Event, chunks: &mut Vec<Bytes>) -> Judged {
        let Event { data, is_error } = event;
        if data.trim_ascii() == b"[DONE]" {
            return Judged::Done;
        }
        let source = &mut self.source;
        if is_error || answer::is_error_chunk(&data) {
            return Judged::Failed(source.reported(&data));
        }
        if !data.trim_ascii_start().starts_with(b"{") {
            let message = format!(
                "{} sent a chunk that is not a JSON object: {}",
                source.site.peer(),
                snippet(&data)
            );
            let kind = ErrorKind::ResponseValidation;
            return Judged::Failed(source.error(kind, message, &data));
        }
        let Some(translation) = &mut source.translation else {
            self.is_finished |= answer::has_finish_reason(&data);
            self.count += 1;
            chunks.push(answer::repair_chunk(data));
            return Judged::More;
        };
        let before = chunks.len();
        let progress = translation.translator.event(&data, chunks);
        self.count += chunks.len() - before;
        match progress {
            Ok(Progress::More) => Judged::More,
            Ok(Progress::Done) => {
                self.is_finished = translation.translator.end(chunks);
                match self.end(chunks) {
                    None => Judged::Done,
                    Some(error) => Judged::Failed(error),
                }
            }
            Err(Unreadable::Error) => Judged::Failed(source.reported(&data)),
            Err(why) => {
                let message = format!(
                    "{} sent an event that cannot be read ({why}): {}",
                    source.site.peer(),
                    snippet(&data)
                );
                let kind = ErrorKind::ResponseValidation;
                Judged::Failed(source.error(kind, message, &data).with_source(why))
            }
        }
    }

    /// The last event may lack its empty line, but not its end.
    pub(super) fn rest(&mut self, event: Option<Event>, chunks: &mut Vec<Bytes>) -> Judged {
        let Some(event) = event else {
            return Judged::More;
        };
        let data = event.data.trim_ascii();
        let is_whole = data == b"[DONE]" || crate::json::RawJson::parse(event.data.clone()).is_ok();
        if is_whole {
            self.event(event, chunks)
        } else {
            Judged::More
        }
    }

    pub(super) fn unframed(&self, cause: &Unframed) -> Error {
        let message = format!("{}: {cause}", self.source.site.peer());
        self.source
            .error(ErrorKind::ResponseValidation, message, b"")
    }

    /// What it means that nothing more comes.
    pub(super) fn end(&mut self, chunks: &mut Vec<Bytes>) -> Option<Error> {
        if let Some(translation) = &mut self.source.translation
            && !self.is_finished
        {
            self.is_finished = translation.translator.end(chunks);
        }
        if self.is_finished {
            return None;
        }
        let message = format!(
            "the stream of {} ended early: {} chunks came, and neither a finish_reason nor [DONE]",
            self.source.site.peer(),
            self.count
        );
        Some(self.source.error(ErrorKind::Connection, message, b""))
    }

    /// What it means that a limit was passed.
    pub(super) fn late(&self, late: Late) -> Error {
        let (peer, chunks) = (self.source.site.peer(), self.count);
        let message = match late {
            Late::First(limit) => format!(
                "{peer} sent no chunk of its stream within {} s (timeout, first_token)",
                limit.as_secs_f64()
            ),
            Late::Silence(limit) => format!(
                "{peer} sent nothing for {} s in the middle of the stream, after {chunks} chunks \
                 (timeout, stream_timeout, between_tokens)",
                limit.as_secs_f64()
            ),
            Late::Total(limit) => format!(
                "the stream of {peer} was not over within {} s, after {chunks} chunks (timeout, \
                 total)",
                limit.as_secs_f64()
            ),
        };
        self.source.error(ErrorKind::Timeout, message, b"")
    }
}
