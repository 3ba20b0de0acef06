//! The Redis serialization protocol, version 2: requests in, replies out.
//!
//! A request is an array of bulk strings or one inline line of words. The parser takes
//! bytes in any split and never looks at one twice for long: what is complete is moved
//! out, so a drip of single bytes costs no more than one write. Whatever the bytes are,
//! the answer is a request, a need for more, or a [`ProtocolError`]; never a panic and
//! never memory beyond [`REQUEST_BYTES_MAX`]. Left out: quoting in inline requests
//! (quotes are ordinary bytes there) and version 3.
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::fmt;

/// The longest inline request and the longest header line, terminator included.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// The most words one request may have.
pub const WORDS_MAX: usize = 64 * 1024;
/// The longest single word, and the most that the words of one request may hold together.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request: the command's name and its arguments, never empty.
pub type Request = Vec<Vec<u8>>;

/// Bytes that are not the protocol. The connection ends after the reply that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    InlineTooLong,
    HeaderTooLong,
    ArrayLength,
    BulkLength,
    BulkExpected(u8),
    BulkEnd,
    RequestTooLarge,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InlineTooLong => write!(f, "too big inline request"),
            Self::HeaderTooLong => write!(f, "too big count string"),
            Self::ArrayLength => write!(f, "invalid multibulk length"),
            Self::BulkLength => write!(f, "invalid bulk length"),
            Self::BulkExpected(got) => {
                write!(f, "expected '$', got '{}'", got.escape_ascii())
            }
            Self::BulkEnd => write!(f, "bulk string does not end with CRLF"),
            Self::RequestTooLarge => write!(f, "request too large"),
        }
    }
}

/// An array whose last words have not arrived.
#[derive(Debug)]
struct Partial {
    words: Request,
    missing: usize,
    bytes: usize,
    /// Length of the word whose header was read and whose bytes are awaited.
    bulk: Option<usize>,
}

/// Turns the bytes of one connection into requests.
#[derive(Debug, Default)]
pub struct Parser {
    buf: Vec<u8>,
    /// Bytes of `buf` before this are used up.
    at: usize,
    partial: Option<Partial>,
}

impl Parser {
    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.at);
        self.at = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// The next whole request, or `None` when more bytes are needed.
    /// After an error the parser is of no further use.
    pub fn next(&mut self) -> Result<Option<Request>, ProtocolError> {
        loop {
            if self.partial.is_some() {
                return self.next_words();
            }
            match self.buf.get(self.at) {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(line) = self.line(ProtocolError::HeaderTooLong)? else {
                        return Ok(None);
                    };
                    self.partial = array_header(line)?;
                }
                Some(_) => {
                    let Some(line) = self.line(ProtocolError::InlineTooLong)? else {
                        return Ok(None);
                    };
                    let words: Request = line
                        .split(u8::is_ascii_whitespace)
                        .filter(|word| !word.is_empty())
                        .map(<[u8]>::to_vec)
                        .collect();
                    if !words.is_empty() {
                        return Ok(Some(words));
                    }
                }
            }
        }
    }

    /// Moves words of the pending array out of the buffer until it is whole.
    fn next_words(&mut self) -> Result<Option<Request>, ProtocolError> {
        let Some(mut partial) = self.partial.take() else {
            return Ok(None);
        };
        while partial.missing > 0 {
            let more = match partial.bulk {
                None => self.bulk_header(&mut partial)?,
                Some(length) => self.bulk_body(&mut partial, length)?,
            };
            if !more {
                self.partial = Some(partial);
                return Ok(None);
            }
        }
        Ok(Some(partial.words))
    }

    /// Reads `$LENGTH`; false when it has not arrived.
    fn bulk_header(&mut self, partial: &mut Partial) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(ProtocolError::HeaderTooLong)? else {
            return Ok(false);
        };
        let digits = match line.split_first() {
            Some((b'$', digits)) => digits,
            Some((&got, _)) => return Err(ProtocolError::BulkExpected(got)),
            None => return Err(ProtocolError::BulkExpected(b'\n')),
        };
        let length = integer(digits)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n <= REQUEST_BYTES_MAX)
            .ok_or(ProtocolError::BulkLength)?;
        partial.bytes = partial.bytes.saturating_add(length);
        if partial.bytes > REQUEST_BYTES_MAX {
            return Err(ProtocolError::RequestTooLarge);
        }
        partial.bulk = Some(length);
        Ok(true)
    }

    /// Reads the bytes of a word and its terminator; false when they have not arrived.
    fn bulk_body(&mut self, partial: &mut Partial, length: usize) -> Result<bool, ProtocolError> {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let Some((word, end)) = rest.get(..length + 2).and_then(|b| b.split_at_checked(length)) else {
            return Ok(false);
        };
        if end != b"\r\n" {
            return Err(ProtocolError::BulkEnd);
        }
        partial.words.push(word.to_vec());
        partial.missing -= 1;
        partial.bulk = None;
        self.at += length + 2;
        Ok(true)
    }

    /// Takes one line without its terminator (`\n` or `\r\n`) if it has arrived.
    fn line(&mut self, too_long: ProtocolError) -> Result<Option<&[u8]>, ProtocolError> {
        let rest = self.buf.get(self.at..).unwrap_or_default();
        let window = &rest[..rest.len().min(LINE_BYTES_MAX)];
        match window.iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.at += end + 1;
                let line = &window[..end];
                Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None if rest.len() >= LINE_BYTES_MAX => Err(too_long),
            None => Ok(None),
        }
    }
}

/// The array that a `*COUNT` line opens; an empty one is skipped, as Redis does.
fn array_header(line: &[u8]) -> Result<Option<Partial>, ProtocolError> {
    let count = line.strip_prefix(b"*").and_then(integer).ok_or(ProtocolError::ArrayLength)?;
    if count <= 0 {
        return Ok(None);
    }
    let missing = usize::try_from(count).ok().filter(|&n| n <= WORDS_MAX).ok_or(ProtocolError::ArrayLength)?;
    Ok(Some(Partial { words: Vec::with_capacity(missing.min(16)), missing, bytes: 0, bulk: None }))
}

/// A decimal integer in its one canonical spelling: no sign but `-`, no leading zero.
pub fn integer(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.to_string().as_bytes() == text).then_some(value)
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(&'static str),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    /// Appends the reply's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => line(out, b'+', text.as_bytes()),
            Self::Error(text) => {
                // A client reads an error up to the first line end; none may be inside.
                let one_line = text.replace(['\r', '\n'], " ");
                line(out, b'-', one_line.as_bytes());
            }
            Self::Integer(value) => line(out, b':', value.to_string().as_bytes()),
            Self::Bulk(bytes) => {
                line(out, b'$', bytes.len().to_string().as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Nil => line(out, b'$', b"-1"),
            Self::Array(items) => {
                line(out, b'*', items.len().to_string().as_bytes());
                for item in items {
                    item.write(out);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Parsed = (Vec<Request>, Option<ProtocolError>);

    /// Feeds pieces and collects requests until the bytes or the protocol end.
    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
        let mut parser = Parser::default();
        let mut requests = Vec::new();
        for piece in pieces {
            parser.feed(piece);
            loop {
                match parser.next() {
                    Ok(Some(request)) => requests.push(request),
                    Ok(None) => break,
                    Err(error) => return (requests, Some(error)),
                }
            }
        }
        (requests, None)
    }

    fn check(input: &str, requests: &[&[&str]], error: Option<ProtocolError>) {
        let expect: Vec<Request> =
            requests.iter().map(|words| words.iter().map(|w| w.as_bytes().to_vec()).collect()).collect();
        let expect = (expect, error);
        assert_eq!(parse([input.as_bytes()]), expect, "whole: {input:?}");
        assert_eq!(parse(input.as_bytes().chunks(1)), expect, "drip: {input:?}");
    }

    #[test]
    fn requests() {
        check("*1\r\n$4\r\nPING\r\n", &[&["PING"]], None);
        check("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", &[&["GET", ""]], None);
        check("*1\r\n$2\r\n\r\n\r\n", &[&["\r\n"]], None);
        check("PING\r\n  set  a b \n", &[&["PING"], &["set", "a", "b"]], None);
        check("\r\n\r\n*0\r\n*-1\r\nPING\r\n", &[&["PING"]], None);
        check("*1\r\n$4\r\nPI", &[], None);
        check("*2\r\n$4\r\nECHO\r\n", &[], None);
        check("GET \"a b\"\r\n", &[&["GET", "\"a", "b\""]], None);
    }

    #[test]
    fn pipelined_requests_keep_their_order_up_to_the_error() {
        let good = "*1\r\n$4\r\nPING\r\nGET a\r\n";
        check(good, &[&["PING"], &["GET", "a"]], None);
        let bad = format!("{good}*1\r\n+PING\r\n");
        check(&bad, &[&["PING"], &["GET", "a"]], Some(ProtocolError::BulkExpected(b'+')));
    }

    #[test]
    fn what_is_not_the_protocol() {
        use ProtocolError::*;
        for (input, error) in [
            ("*x\r\n", ArrayLength),
            ("*\r\n", ArrayLength),
            ("*+1\r\n", ArrayLength),
            ("*01\r\n", ArrayLength),
            ("*99999999999999999999\r\n", ArrayLength),
            ("*65537\r\n", ArrayLength),
            ("*1\r\n$-1\r\n", BulkLength),
            ("*1\r\n$67108865\r\n", BulkLength),
            ("*1\r\n$9223372036854775807\r\n", BulkLength),
            ("*2\r\n$1\r\na\r\n$67108864\r\n", RequestTooLarge),
            ("*1\r\n\r\n", BulkExpected(b'\n')),
            ("*1\r\n$1\r\nab\r\n", BulkEnd),
        ] {
            check(input, &[], Some(error));
        }
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let long = vec![b'a'; LINE_BYTES_MAX];
        assert_eq!(parse([&long[1..]]), (vec![], None));
        assert_eq!(parse([&long[..]]).1, Some(ProtocolError::InlineTooLong));
        let header = [b"*".as_slice(), &vec![b'1'; LINE_BYTES_MAX]].concat();
        assert_eq!(parse([&header[..]]).1, Some(ProtocolError::HeaderTooLong));
    }

    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("+1", None),
            ("01", None),
            ("-0", None),
            ("", None),
            (" 1", None),
            ("1a", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn replies() {
        let check = |reply: Reply, expect: &str| {
            let mut out = Vec::new();
            reply.write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expect);
        };
        check(Reply::Simple("OK"), "+OK\r\n");
        check(Reply::Error("ERR a\r\nb".into()), "-ERR a  b\r\n");
        check(Reply::Integer(-3), ":-3\r\n");
        check(Reply::Bulk(b"a\r\nb".to_vec()), "$4\r\na\r\nb\r\n");
        check(Reply::Nil, "$-1\r\n");
        check(Reply::Array(vec![Reply::Integer(1), Reply::Bulk(vec![])]), "*2\r\n:1\r\n$0\r\n\r\n");
    }

    /// A request as a client writes it.
    fn encode(request: &Request) -> Vec<u8> {
        let words = request.iter().cloned().map(Reply::Bulk).collect();
        let mut out = Vec::new();
        Reply::Array(words).write(&mut out);
        out
    }

    /// Cuts bytes at the given places, wherever they fall.
    fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = places.iter().map(|i| i.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        places.windows(2).map(|w| &bytes[w[0]..w[1]]).collect()
    }

    /// Bytes that look like the protocol often enough to reach its corners.
    fn almost_protocol() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"*".to_vec()),
            Just(b"$".to_vec()),
            Just(b"-".to_vec()),
            (0u32..12).prop_map(|n| n.to_string().into_bytes()),
            any::<u64>().prop_map(|n| n.to_string().into_bytes()),
            (1usize..4).prop_map(|n| format!("*{n}\r\n").into_bytes()),
            prop::collection::vec(any::<u8>(), 0..6).prop_map(|word| encode(&vec![word]).split_off(4)),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        /// What clients write is read back, however the network splits it.
        #[test]
        fn reads_what_was_written(
            requests in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 0..6),
            places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes: Vec<u8> = requests.iter().flat_map(encode).collect();
            prop_assert_eq!(parse(cut(&bytes, &places)), (requests, None));
        }

        /// Any bytes: no panic, and the split changes nothing.
        #[test]
        fn the_split_does_not_matter(
            bytes in almost_protocol(),
            places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let whole = parse([&bytes[..]]);
            prop_assert_eq!(&parse(cut(&bytes, &places)), &whole);
            prop_assert_eq!(&parse(bytes.chunks(1)), &whole);
            prop_assert!(whole.0.iter().all(|request| !request.is_empty()));
        }
    }
}
