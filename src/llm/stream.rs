//! Server-sent events out of bytes: the event stream interpretation of the WHATWG HTML standard
//! (section 9.2.6), as much of it as completions use. Pure; bytes come in pieces of any size.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The longest event, data and unfinished line together. Pictures inside a chunk fit.
pub const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event that has data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The data. A slice of what was fed when it came in one piece and on one line.
    pub data: Bytes,
    /// Whether the event is of type `error`.
    pub is_error: bool,
}

/// An event is longer than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {0} bytes")]
pub struct EventTooLong(pub usize);

/// The parser: feed it bytes, take events.
#[derive(Debug)]
pub struct EventParser {
    line: BytesMut,
    data: Data,
    is_error: bool,
    /// The name of the event that comes, where names are part of what it says.
    name: Option<Bytes>,
    after_carriage_return: bool,
    at_start: bool,
    /// Between two events.
    is_between: bool,
    settled: usize,
    limit: usize,
}

#[derive(Debug)]
enum Data {
    None,
    One(Bytes),
    Joined(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(text) => text.len(),
            Self::Joined(text) => text.len(),
        }
    }

    fn push(self, value: Bytes) -> Self {
        let mut joined = match self {
            Self::None => return Self::One(value),
            Self::One(first) => BytesMut::from(first.as_ref()),
            Self::Joined(text) => text,
        };
        joined.extend_from_slice(b"\n");
        joined.extend_from_slice(&value);
        Self::Joined(joined)
    }
}

impl Default for EventParser {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }
}

impl EventParser {
    /// A parser with a bound of its own.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            line: BytesMut::new(),
            data: Data::None,
            is_error: false,
            name: None,
            after_carriage_return: false,
            at_start: true,
            is_between: true,
            settled: 0,
            limit,
        }
    }

    /// A parser for streams whose data is text, and whose events say by their names what it is. Each
    /// event comes as `{"event": name, "data": text}`, errors too.
    pub fn named() -> Self {
        Self {
            name: Some(Bytes::new()),
            ..Self::default()
        }
    }

    /// Takes the next bytes and appends the events that they complete.
    pub fn feed(&mut self, bytes: &Bytes, events: &mut Vec<Event>) -> Result<(), EventTooLong> {
        let mut position = 0;
        if self.after_carriage_return && !bytes.is_empty() {
            self.after_carriage_return = false;
            position = usize::from(bytes[0] == b'\n');
        }
        self.settled = if self.is_between { position } else { 0 };
        while let Some(length) = memchr2(b'\n', b'\r', &bytes[position..]) {
            let end = position + length;
            if self.line.is_empty() {
                self.take_line(bytes.slice(position..end), events);
            } else {
                self.line.extend_from_slice(&bytes[position..end]);
                let line = self.line.split().freeze();
                self.take_line(line, events);
            }
            self.check(0)?;
            position = end + 1;
            if bytes[end] == b'\r' {
                match bytes.get(position) {
                    Some(b'\n') => position += 1,
                    Some(_) => {}
                    None => self.after_carriage_return = true,
                }
            }
            if self.is_between {
                self.settled = position;
            }
        }
        self.check(bytes.len() - position)?;
        self.line.extend_from_slice(&bytes[position..]);
        Ok(())
    }

    /// How many of the bytes that were fed last belong to events that are over. What follows them
    /// is the beginning of the next one.
    pub fn settled(&self) -> usize {
        self.settled
    }

    /// What stands in an event that the stream ended in the middle of. The standard drops it; many
    /// servers leave out the last empty line, so the caller decides.
    pub fn finish(&mut self) -> Option<Event> {
        let line = self.line.split().freeze();
        let mut events = Vec::new();
        self.take_line(line, &mut events);
        self.dispatch(&mut events);
        events.pop()
    }

    fn check(&self, more: usize) -> Result<(), EventTooLong> {
        if self.line.len() + self.data.len() + more > self.limit {
            return Err(EventTooLong(self.limit));
        }
        Ok(())
    }

    fn take_line(&mut self, mut line: Bytes, events: &mut Vec<Event>) {
        if self.at_start {
            self.at_start = false;
            if line.starts_with(BYTE_ORDER_MARK) {
                line = line.slice(BYTE_ORDER_MARK.len()..);
            }
        }
        self.is_between = line.is_empty();
        if line.is_empty() {
            self.dispatch(events);
        } else if let Some(value) = field(&line, b"data") {
            let data = std::mem::replace(&mut self.data, Data::None);
            self.data = data.push(value);
        } else if let Some(value) = field(&line, b"event") {
            match &mut self.name {
                Some(name) => *name = value,
                None => self.is_error = value.as_ref() == b"error",
            }
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let is_error = std::mem::take(&mut self.is_error);
        let data = match std::mem::replace(&mut self.data, Data::None) {
            Data::None => return,
            Data::One(text) => text,
            Data::Joined(text) => text.freeze(),
        };
        if let Some(name) = &mut self.name {
            let name = std::mem::take(name);
            let said = serde_json::json!({
                "event": String::from_utf8_lossy(&name),
                "data": String::from_utf8_lossy(&data),
            });
            events.push(Event {
                data: said.to_string().into(),
                is_error,
            });
            return;
        }
        if !data.is_empty() {
            events.push(Event { data, is_error });
        }
    }
}

/// The value of a `name: value` line of that name; one space after the colon is dropped.
fn field(line: &Bytes, name: &[u8]) -> Option<Bytes> {
    let rest = line.strip_prefix(name)?;
    let start = match rest {
        [] => name.len(),
        [b':', b' ', ..] => name.len() + 2,
        [b':', ..] => name.len() + 1,
        _ => return None,
    };
    Some(line.slice(start..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser
                .feed(&Bytes::copy_from_slice(piece), &mut events)
                .unwrap();
        }
        events
            .into_iter()
            .map(|event| String::from_utf8(event.data.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn every_line_ending_ends_a_line() {
        assert_eq!(
            parse(&[b"data: a\n\ndata: b\r\n\r\ndata: c\r\rdata: d\r\n\n"]),
            ["a", "b", "c", "d"]
        );
    }

    #[test]
    fn an_event_split_at_any_byte_is_the_same_event() {
        let text = b"\xef\xbb\xbf: hello\r\nid: 1\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nevent: x\ndata\n\ndata: \xc3\xa9\r\rretry: 5\n\n";
        let wanted = parse(&[text]);
        assert_eq!(wanted, ["{\"a\":\n1}", "é"]);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(parse(&pieces), wanted, "{first} {second}");
            }
        }
    }

    #[test]
    fn what_is_settled_ends_with_the_last_event_wherever_the_text_is_split() {
        let text = b": hello\r\n\r\ndata: a\r\n\r\ndata: b\n\nevent: error\r\rdata: c";
        let ends = [11, 22, 31, 45];
        for split in 0..=text.len() {
            let mut parser = EventParser::default();
            let mut settled = Vec::new();
            let mut begin = 0;
            for piece in [&text[..split], &text[split..]] {
                parser
                    .feed(&Bytes::copy_from_slice(piece), &mut Vec::new())
                    .unwrap();
                settled.push(begin + parser.settled());
                begin = piece.len();
            }
            // The line feed of an empty line that was split belongs to nothing.
            let before = |end: usize| end - usize::from(text[..end].ends_with(b"\r\n"));
            let last = ends
                .iter()
                .copied()
                .filter(|end| before(*end) <= split)
                .max();
            let wanted = last.map_or(0, |end| end.min(split));
            assert_eq!(settled, [wanted, ends[3].max(split)], "{split}");
        }
    }

    #[test]
    fn only_one_space_is_dropped_and_other_fields_are_ignored() {
        assert_eq!(
            parse(&[b"database: x\ndata:  a\n:data: b\nfoo: c\n\n"]),
            [" a"]
        );
    }

    #[test]
    fn an_unfinished_event_is_left_to_the_caller() {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        parser
            .feed(&Bytes::from_static(b"data: a\ndata: b"), &mut events)
            .unwrap();
        assert_eq!(events, []);
        assert_eq!(parser.finish().unwrap().data, "a\nb");
        assert_eq!(parser.finish(), None);
    }

    #[test]
    fn the_type_error_belongs_to_one_event() {
        let mut parser = EventParser::default();
        let mut events = Vec::new();
        parser
            .feed(
                &Bytes::from_static(b"event: error\ndata: a\n\ndata: b\n\n"),
                &mut events,
            )
            .unwrap();
        assert_eq!(
            events
                .iter()
                .map(|event| event.is_error)
                .collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn an_event_beyond_the_bound_is_an_error_in_one_piece_or_many() {
        let long = [b"data: ".as_slice(), &[b'x'; 40]].concat();
        let mut parser = EventParser::with_limit(32);
        let mut events = Vec::new();
        assert_eq!(
            parser.feed(&Bytes::from(long.clone()), &mut events),
            Err(EventTooLong(32))
        );
        let mut parser = EventParser::with_limit(32);
        let fed = long
            .iter()
            .try_for_each(|byte| parser.feed(&Bytes::copy_from_slice(&[*byte]), &mut events));
        assert_eq!(fed, Err(EventTooLong(32)));
        let mut parser = EventParser::with_limit(32);
        let lines = Bytes::from("data: xxxxxxxxxx\n".repeat(4));
        assert_eq!(parser.feed(&lines, &mut events), Err(EventTooLong(32)));
    }

    #[test]
    fn data_that_came_whole_is_not_copied() {
        let fed = Bytes::from_static(b"data: abc\n\n");
        let mut events = Vec::new();
        EventParser::default().feed(&fed, &mut events).unwrap();
        assert_eq!(events[0].data.as_ptr(), fed[6..].as_ptr());
    }
}
