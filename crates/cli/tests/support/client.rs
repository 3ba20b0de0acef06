//! Clients of the servers under test: the protocols of Redis, memcached and PostgreSQL, and HTTP; each call with a deadline and patient with a takeover.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest that a server may take to start, or a backup to take over, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server that speaks the Redis protocol.
pub struct Redis {
    reader: BufReader<TcpStream>,
}

impl Redis {
    pub fn connect(port: u16) -> Result<Self> {
        Self::over(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Connects and is answered, sooner or later.
    pub fn await_ready(port: u16) -> Self {
        let since = Instant::now();
        loop {
            let tried = Self::connect(port).and_then(|mut c| c.call(&["PING"]).map(|answer| (c, answer)));
            match tried {
                Ok((c, answer)) if answer == "PONG" => return c,
                other => assert!(since.elapsed() < PATIENCE, "no server at port {port}: {:?}", other.map(|o| o.1)),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One command whose answer is a list.
    pub fn call_list(&mut self, words: &[&str]) -> Result<Vec<String>> {
        let count = self.call(words)?;
        let count: usize = count
            .strip_prefix('*')
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, count))?;
        (0..count).map(|_| self.answer()).collect()
    }

    /// One command, its answer as text (errors too, with their leading minus).
    pub fn call(&mut self, words: &[&str]) -> Result<String> {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.reader.get_mut().write_all(text.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let line = self.line()?;
        match line.split_at_checked(1) {
            Some(("$", "-1")) => Ok("(nil)".into()),
            Some(("$", len)) => {
                let len: usize = len.parse().map_err(|_| Error::from(ErrorKind::InvalidData))?;
                let mut bytes = vec![0; len + 2];
                self.reader.read_exact(&mut bytes)?;
                bytes.truncate(len);
                String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData.into())
            }
            Some((":" | "+", rest)) => Ok(rest.into()),
            _ => Ok(line),
        }
    }

    fn line(&mut self) -> Result<String> {
        read_line(&mut self.reader)
    }
}

/// A connection to a server that speaks memcached's text protocol.
pub struct Memcached {
    reader: BufReader<TcpStream>,
}

impl Memcached {
    pub fn connect(port: u16) -> Result<Self> {
        Ok(Self { reader: Redis::connect(port)?.reader })
    }

    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.say(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()))?;
        expect(&self.line()?, "STORED")
    }

    /// `None` if it has no such key.
    pub fn get(&mut self, key: &str) -> Result<Option<String>> {
        self.say(&format!("get {key}\r\n"))?;
        let head = self.line()?;
        if head == "END" {
            return Ok(None);
        }
        let value = self.line()?;
        expect(&head, &format!("VALUE {key} 0 {}", value.len()))?;
        expect(&self.line()?, "END")?;
        Ok(Some(value))
    }

    /// The number under a key, one more than it was.
    pub fn incr(&mut self, key: &str) -> Result<u64> {
        self.say(&format!("incr {key} 1\r\n"))?;
        let line = self.line()?;
        line.parse().map_err(|_| Error::new(ErrorKind::InvalidData, line))
    }

    fn say(&mut self, text: &str) -> Result<()> {
        self.reader.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> Result<String> {
        read_line(&mut self.reader)
    }
}

fn expect(got: &str, expected: &str) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::new(ErrorKind::InvalidData, format!("{got}, not {expected}"))) }
}

fn read_line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A connection to PostgreSQL (version 3 of its protocol), as a user that it trusts.
pub struct Postgres {
    reader: BufReader<TcpStream>,
}

impl Postgres {
    pub fn connect(port: u16, user: &str) -> Result<Self> {
        const VERSION: u32 = 3 << 16;
        let mut connection = Self { reader: Redis::connect(port)?.reader };
        let names = format!("user\0{user}\0database\0postgres\0\0");
        let packet = [&(names.len() as u32 + 8).to_be_bytes()[..], &VERSION.to_be_bytes(), names.as_bytes()].concat();
        connection.reader.get_mut().write_all(&packet)?;
        connection.answer()?;
        Ok(connection)
    }

    /// One statement; the first column of each row, NULL as an empty text.
    pub fn query(&mut self, sql: &str) -> Result<Vec<String>> {
        let packet = [&b"Q"[..], &(sql.len() as u32 + 5).to_be_bytes(), sql.as_bytes(), b"\0"].concat();
        self.reader.get_mut().write_all(&packet)?;
        self.answer()
    }

    /// Reads until the server is ready for the next statement.
    fn answer(&mut self) -> Result<Vec<String>> {
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let mut head = [0; 5];
            self.reader.read_exact(&mut head)?;
            let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; len.checked_sub(4).ok_or(ErrorKind::InvalidData)?];
            self.reader.read_exact(&mut body)?;
            match head[0] {
                b'Z' => return failed.map_or(Ok(rows), Err),
                b'E' => {
                    let text = String::from_utf8_lossy(&body).replace('\0', " ");
                    // An error that ends the connection is the last thing said on it.
                    if text.contains("FATAL") {
                        return Err(Error::new(ErrorKind::ConnectionAborted, text));
                    }
                    failed = Some(Error::other(text));
                }
                // A row: number of columns, then length and bytes of each.
                b'D' => {
                    let size = body.get(2..6).map_or(-1, |raw| i32::from_be_bytes(raw.try_into().expect("4 bytes")));
                    let value = body.get(6..6 + size.max(0) as usize).ok_or(ErrorKind::InvalidData)?;
                    rows.push(String::from_utf8_lossy(value).into_owned());
                }
                _ => {}
            }
        }
    }
}

/// One HTTP request on a connection of its own; the whole body of a 200 answer.
pub fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let bad = |what: &str| Error::new(ErrorKind::InvalidData, format!("{what}: {}", String::from_utf8_lossy(&all)));
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| bad("no header"))?;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    if head.split(' ').nth(1).is_none_or(|code| code != "200") {
        return Err(bad("not OK"));
    }
    let body = all[end + 4..].to_vec();
    let stated = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    if stated.is_some_and(|len| len != body.len()) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

/// The same, as often as it takes until the server answers.
pub fn await_get(port: u16, path: &str) -> Vec<u8> {
    let since = Instant::now();
    loop {
        match get(port, path) {
            Ok(body) => return body,
            Err(e) => assert!(since.elapsed() < PATIENCE, "no answer at port {port}: {e}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
