//! Server-sent events out of bytes: the event stream interpretation of the WHATWG HTML standard
//! (section 9.2.6), with a size limit that loses no answer silently. Pure.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;
use serde::de::IgnoredAny;

use super::framing::{Frame, Skipped};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What may stand before the data of a line that is just within the limit.
const LONGEST_PREFIX: usize = b"data: ".len();

/// One event that has data.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type; `message` unless the stream says otherwise.
    pub name: Bytes,
    /// Its data, or what is known of data over the limit.
    pub data: Frame,
}

/// The parser: feed it bytes, take events.
#[derive(Debug)]
pub struct EventParser {
    buffer: BytesMut,
    scanned: usize,
    at_start: bool,
    after_return: bool,
    /// Of a line whose beginning was skipped: whether it is data.
    cut: Option<bool>,
    name: Bytes,
    data: Data,
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
    limit: usize,
}

#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    Joined(BytesMut),
    Skipped(Skipped),
}

impl Data {
    /// How many bytes stand before what the next line adds, the end of the line before included.
    fn length(&self) -> usize {
        match self {
            Self::None | Self::Skipped(_) => 0,
            Self::One(text) => text.len() + 1,
            Self::Joined(text) => text.len() + 1,
        }
    }

    fn push(self, line: Bytes) -> Self {
        let mut joined = match self {
            Self::None => return Self::One(line),
            Self::One(first) => BytesMut::from(first),
            Self::Joined(text) => text,
            Self::Skipped(mut skipped) => {
                skipped.read(b"\n");
                skipped.read(&line);
                return Self::Skipped(skipped);
            }
        };
        joined.extend_from_slice(b"\n");
        joined.extend_from_slice(&line);
        Self::Joined(joined)
    }

    fn into_skipped(self) -> Skipped {
        let mut skipped = Skipped::default();
        match self {
            Self::None => {}
            Self::One(text) => skipped.read(&text),
            Self::Joined(text) => skipped.read(&text),
            Self::Skipped(already) => return already,
        }
        skipped
    }
}

impl EventParser {
    /// Events of more than `limit` bytes are skipped.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            at_start: true,
            after_return: false,
            cut: None,
            name: Bytes::new(),
            data: Data::None,
            id: None,
            last_id: None,
            retry: None,
            limit,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The id of the last event that came whole: where a broken stream is taken up again.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// How long the server wants a client to wait before it connects again.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Forgets what was left unfinished, for the stream that continues this one.
    pub fn restart(&mut self) {
        let mut next = Self::new(self.limit);
        next.last_id = self.last_id.take();
        next.retry = self.retry;
        *self = next;
    }

    /// The next complete event, if there is one.
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            if self.after_return && !self.buffer.is_empty() {
                self.after_return = false;
                if self.buffer[0] == b'\n' {
                    self.buffer.advance(1);
                }
            }
            let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                if self.cut.is_some() || self.is_too_long(self.buffer.len()) {
                    let piece = self.buffer.split();
                    self.scanned = 0;
                    self.skip(&piece);
                }
                return None;
            };
            let end = self.scanned + found;
            self.scanned = 0;
            let line = self.buffer.split_to(end).freeze();
            self.after_return = self.buffer[0] == b'\r';
            self.buffer.advance(1);
            if self.cut.is_some() || self.is_too_long(line.len()) {
                self.skip(&line);
                self.cut = None;
            } else if let Some(event) = self.line(line) {
                return Some(event);
            }
        }
    }

    /// What stands at the end of a stream that ended without the last empty line. The standard drops
    /// it; a message that is whole is one, and half a message leaves no trace: a stream that is
    /// taken up again brings the whole of it.
    pub fn finish(&mut self) -> Option<Event> {
        let last_id = self.last_id.clone();
        self.feed(b"\n\n");
        let event = self.next_event();
        let is_whole = event.as_ref().is_some_and(|event| match &event.data {
            Frame::Line(text) => serde_json::from_slice::<IgnoredAny>(text).is_ok(),
            Frame::Oversized { .. } => true,
        });
        if is_whole {
            return event;
        }
        self.last_id = last_id;
        None
    }

    fn is_too_long(&self, length: usize) -> bool {
        length + self.data.length() > self.limit.saturating_add(LONGEST_PREFIX)
    }

    /// Reads past a line, or a piece of one, that is too long to keep.
    fn skip(&mut self, mut piece: &[u8]) {
        if std::mem::take(&mut self.at_start) {
            piece = piece.strip_prefix(BYTE_ORDER_MARK).unwrap_or(piece);
        }
        let (is_data, text) = match self.cut {
            Some(is_data) => (is_data, piece),
            None => match field(piece, b"data") {
                Some(start) => (true, &piece[start..]),
                None => (false, piece),
            },
        };
        self.cut = Some(is_data);
        if is_data {
            let mut skipped = std::mem::replace(&mut self.data, Data::None).into_skipped();
            skipped.read(text);
            self.data = Data::Skipped(skipped);
        }
    }

    fn line(&mut self, mut line: Bytes) -> Option<Event> {
        if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        if line.is_empty() {
            return self.dispatch();
        }
        if let Some(start) = field(&line, b"data") {
            let value = line.slice(start..);
            let fits = value.len() + self.data.length() <= self.limit;
            let data = std::mem::replace(&mut self.data, Data::None);
            self.data = if fits {
                data.push(value)
            } else {
                let mut skipped = data.into_skipped();
                skipped.read(&value);
                Data::Skipped(skipped)
            };
        } else if let Some(start) = field(&line, b"event") {
            self.name = line.slice(start..);
        } else if let Some(start) = field(&line, b"id") {
            // The standard leaves an id with a NUL out; one that no header can carry is of no use.
            let id = std::str::from_utf8(&line[start..]).ok();
            if let Some(id) = id.filter(|id| http::HeaderValue::from_str(id).is_ok()) {
                self.id = Some(id.to_owned());
            }
        } else if let Some(start) = field(&line, b"retry")
            && let Ok(text) = std::str::from_utf8(&line[start..])
            && let Ok(milliseconds) = text.parse()
        {
            self.retry = Some(Duration::from_millis(milliseconds));
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        if let Some(id) = self.id.take() {
            self.last_id = (!id.is_empty()).then_some(id);
        }
        let name = std::mem::take(&mut self.name);
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return None,
            Data::One(text) if text.is_empty() => return None,
            Data::One(text) => Frame::Line(text),
            Data::Joined(text) => Frame::Line(text.freeze()),
            Data::Skipped(skipped) => skipped.into_frame(),
        };
        let name = if name.is_empty() {
            Bytes::from_static(b"message")
        } else {
            name
        };
        Some(Event { name, data })
    }
}

/// Where the value of a line begins, if the line is of this field.
fn field(line: &[u8], name: &[u8]) -> Option<usize> {
    let rest = line.strip_prefix(name)?;
    match rest {
        [] => Some(name.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &'static str, data: &'static str) -> Event {
        Event {
            name: Bytes::from_static(name.as_bytes()),
            data: Frame::Line(Bytes::from_static(data.as_bytes())),
        }
    }

    fn events(limit: usize, pieces: &[&[u8]]) -> (Vec<Event>, EventParser) {
        let mut parser = EventParser::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            parser.feed(piece);
            while let Some(event) = parser.next_event() {
                found.push(event);
            }
        }
        (found, parser)
    }

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = b"\xef\xbb\xbf: hello\r\n\r\nid: 1\nretry: 20\ndata\n\ndata: {\rdata:}\r\r\
            event: endpoint\r\ndata:  /x\r\nid: 7\r\n\r\nid: 8\ndata: cut";
        for cut in 0..text.len() {
            let (left, right) = text.split_at(cut);
            let (found, parser) = events(100, &[left, right]);
            assert_eq!(
                found,
                [event("message", "{\n}"), event("endpoint", " /x")],
                "cut at {cut}"
            );
            assert_eq!(parser.last_id(), Some("7"), "cut at {cut}");
            assert_eq!(parser.retry(), Some(Duration::from_millis(20)));
        }
    }

    #[test]
    fn an_event_over_the_limit_gives_its_id_and_the_next_event_is_kept() {
        let long = "x".repeat(40);
        let text = format!(
            ":{long}{long}\n\ndata: {{\"result\":\"{long}\",\ndata: \"id\":3}}\nid: 4\n\ndata: {{}}\n\n"
        );
        for cut in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(cut);
            let (found, parser) = events(30, &[left, right]);
            assert_eq!(found.len(), 2, "cut at {cut}: {found:?}");
            let Frame::Oversized { id, .. } = &found[0].data else {
                panic!("cut at {cut}: {found:?}")
            };
            assert_eq!(id.as_deref(), Some("3"), "cut at {cut}");
            assert_eq!(found[1], event("message", "{}"), "cut at {cut}");
            assert_eq!(parser.last_id(), Some("4"));
        }
    }

    #[test]
    fn the_end_of_a_stream_may_lack_its_empty_line_but_half_a_message_is_none() {
        let (found, mut parser) = events(100, &[b"id: 1\ndata: {}"]);
        assert_eq!(found, []);
        assert_eq!(parser.finish(), Some(event("message", "{}")));
        assert_eq!(parser.last_id(), Some("1"));
        parser.restart();
        parser.feed(b"id: 2\ndata: {\"half");
        assert_eq!(parser.next_event(), None);
        assert_eq!(parser.finish(), None);
        assert_eq!(parser.last_id(), Some("1"));
    }

    #[test]
    fn a_restart_forgets_a_half_event() {
        let (_, mut parser) = events(100, &[b"id: 1\n\ndata: half"]);
        parser.restart();
        parser.feed(b"data: b\n\n");
        assert_eq!(parser.next_event(), Some(event("message", "b")));
        assert_eq!(parser.last_id(), Some("1"));
    }
}
