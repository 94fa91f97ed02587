//! Lines out of a stream of bytes, with a size limit that loses no answer silently. Pure.

use bytes::{Bytes, BytesMut};

/// What the framer found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line without its end.
    Line(Bytes),
    /// A line over the limit was skipped.
    Oversized {
        /// The text of the JSON-RPC id, when the line was an answer.
        id: Option<String>,
        /// How many bytes were skipped.
        bytes: usize,
    },
}

/// Cuts what a peer writes into lines.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    scanned: usize,
    limit: usize,
    skipping: Option<Skipped>,
}

impl Framer {
    /// Lines of more than `limit` bytes are skipped.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            limit,
            skipping: None,
        }
    }

    /// How much of a line that is not complete is held.
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }

    /// Where the next bytes are read to, or put.
    pub fn space(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The same with room for a piece of a large message: doubling keeps the copies few.
    pub(super) fn large_space(&mut self) -> &mut BytesMut {
        let wanted = self.buffer.len().clamp(64 << 10, 8 << 20);
        self.buffer.reserve(wanted);
        &mut self.buffer
    }

    /// The next complete line, if there is one.
    pub fn next_frame(&mut self) -> Option<Frame> {
        while let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
            let end = self.scanned + found;
            let mut line = self.buffer.split_to(end + 1);
            self.scanned = 0;
            line.truncate(end);
            if let Some(mut skipped) = self.skipping.take() {
                skipped.read(&line);
                return Some(skipped.into_frame());
            }
            let length = line.len() - usize::from(line.last() == Some(&b'\r'));
            if length > self.limit {
                let mut skipped = Skipped::default();
                skipped.read(&line);
                return Some(skipped.into_frame());
            }
            line.truncate(length);
            if !line.trim_ascii().is_empty() {
                return Some(Frame::Line(line.freeze()));
            }
        }
        // One byte more may be the first of two that end the line.
        if self.skipping.is_some() || self.buffer.len() > self.limit.saturating_add(1) {
            let skipped = self.skipping.get_or_insert_with(Skipped::default);
            skipped.read(&self.buffer);
            self.buffer.clear();
        }
        if self.buffer.is_empty() {
            // Nothing is held for what may come: most sessions are idle most of the time.
            self.buffer = BytesMut::new();
        }
        self.scanned = self.buffer.len();
        None
    }

    /// What is left when the stream ends: a last line without its end.
    pub fn finish(&mut self) -> Option<Frame> {
        if self.buffer.is_empty() && self.skipping.is_none() {
            return None;
        }
        self.buffer.extend_from_slice(b"\n");
        self.next_frame()
    }
}

/// The text of the top-level `id` of a line that cannot be read whole; none unless the line looks
/// like an answer.
pub fn answered_id(line: &[u8]) -> Option<String> {
    let mut skipped = Skipped::default();
    skipped.read(line);
    skipped.answered_id()
}

/// Reads past a message that is too large to keep, and remembers its top-level `id`.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    bytes: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The text of the string at depth one that was read last: a key, when a colon follows.
    word: Vec<u8>,
    /// The value of `id`, while it is read and after.
    id: Vec<u8>,
    reading_id: bool,
    /// A line with a method is the peer's own request; its id is not one of ours.
    has_method: bool,
}

/// A longer id than this is not one.
const LONGEST_ID: usize = 1024;

impl Skipped {
    pub(super) fn read(&mut self, piece: &[u8]) {
        self.bytes += piece.len();
        for &byte in piece {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.reading_id {
            let ends = !self.in_string && matches!(byte, b',' | b'}');
            if ends || self.id.len() > LONGEST_ID {
                self.reading_id = false;
            } else {
                self.id.push(byte);
            }
        }
        if self.in_string {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
                return;
            }
            if self.depth == 1 && self.word.len() <= LONGEST_ID {
                self.word.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.word.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => {
                self.reading_id = self.id.is_empty() && self.word == b"id";
                self.has_method |= self.word == b"method";
            }
            _ => {}
        }
    }

    fn answered_id(self) -> Option<String> {
        if self.has_method {
            return None;
        }
        let id = String::from_utf8(self.id).ok()?;
        let id = id.trim();
        (!id.is_empty()).then(|| id.to_owned())
    }

    pub(super) fn into_frame(self) -> Frame {
        Frame::Oversized {
            bytes: self.bytes,
            id: self.answered_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(limit: usize, pieces: &[&[u8]]) -> Vec<Frame> {
        let mut framer = Framer::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            framer.space().extend_from_slice(piece);
            while let Some(frame) = framer.next_frame() {
                found.push(frame);
            }
        }
        found.extend(framer.finish());
        found
    }

    fn line(text: &'static str) -> Frame {
        Frame::Line(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_are_found_however_the_bytes_are_cut() {
        let text = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}";
        for cut in 0..text.len() {
            let (left, right) = text.split_at(cut);
            assert_eq!(
                frames(100, &[left, right]),
                [line("{\"a\":1}"), line("{\"b\":2}"), line("{\"c\":3}")],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_line_over_the_limit_gives_its_id_and_the_next_line_is_kept() {
        let large = format!(
            "{{\"result\":{{\"id\":9,\"text\":\"{}\\\"id\\\":8\"}}, \"id\" : \"a,b\" ,\"x\":1}}\n{{}}\n",
            "x".repeat(50)
        );
        for cut in 0..large.len() {
            let (left, right) = large.as_bytes().split_at(cut);
            let found = frames(20, &[left, right]);
            let bytes = large.len() - 4;
            assert_eq!(
                found,
                [
                    Frame::Oversized {
                        id: Some("\"a,b\"".into()),
                        bytes
                    },
                    line("{}")
                ],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn nothing_is_held_between_two_lines() {
        let mut framer = Framer::new(1 << 20);
        framer.space().extend_from_slice(&vec![b'x'; 100_000]);
        assert_eq!(framer.next_frame(), None);
        framer.space().extend_from_slice(b"\n");
        assert!(framer.next_frame().is_some());
        assert_eq!(framer.next_frame(), None);
        assert_eq!(framer.space().capacity(), 0);
    }

    #[test]
    fn a_request_over_the_limit_is_not_taken_for_an_answer() {
        let large = format!(
            "{{\"id\":1,\"params\":\"{}\",\"method\":\"ping\"}}\n",
            "x".repeat(50)
        );
        let bytes = large.len() - 1;
        assert_eq!(
            frames(20, &[large.as_bytes()]),
            [Frame::Oversized { id: None, bytes }]
        );
    }

    #[test]
    fn the_id_of_an_answer_is_found_in_text_that_is_not_json() {
        let found = answered_id(b"{\"result\":{\"id\":3,\"x\":NaN},\"id\":7}");
        assert_eq!(found.as_deref(), Some("7"));
        assert_eq!(answered_id(b"Listening on {port: 1}"), None);
    }
}
