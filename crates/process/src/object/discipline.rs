//! The line discipline of a terminal (termios(3)): what becomes of bytes on their way between the master of a pseudo terminal and its slave.
//!
//! Pure: bytes and settings in, bytes and signals out. Input becomes what readers get as soon as it arrives, so settings that change later
//! do not change what already waits, but for the boundaries of lines. Left out: VTIME, parity marks, XON/XOFF towards the master,
//! packet mode, ECHOPRT, delays.

use std::collections::VecDeque;

/// Bytes that wait for one side at most.
const CAPACITY: usize = 1 << 16;
/// Echo that nobody reads is dropped when this much more waits.
const ECHO_BYTES_MAX: usize = 4096;
/// Longest line being edited, without its end; what comes beyond is dropped.
const LINE_BYTES_MAX: usize = 4095;
/// A control character that is switched off.
const DISABLED: u8 = 0;
/// Size of the kernel's struct termios.
pub const TERMIOS_BYTES: usize = 36;

/// Settings of a terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Termios {
    iflag: u32,
    oflag: u32,
    cflag: u32,
    lflag: u32,
    line: u8,
    cc: [u8; 19],
}

impl Default for Termios {
    /// As Linux sets up a new terminal.
    fn default() -> Self {
        let mut cc = [DISABLED; 19];
        for (at, byte) in [
            (libc::VINTR, 3),
            (libc::VQUIT, 0x1c),
            (libc::VERASE, 0x7f),
            (libc::VKILL, 0x15),
            (libc::VEOF, 4),
            (libc::VMIN, 1),
            (libc::VSTART, 0x11),
            (libc::VSTOP, 0x13),
            (libc::VSUSP, 0x1a),
            (libc::VREPRINT, 0x12),
            (libc::VDISCARD, 0x0f),
            (libc::VWERASE, 0x17),
            (libc::VLNEXT, 0x16),
        ] {
            cc[at] = byte;
        }
        let lflag = libc::ISIG
            | libc::ICANON
            | libc::ECHO
            | libc::ECHOE
            | libc::ECHOK
            | libc::ECHOCTL
            | libc::ECHOKE
            | libc::IEXTEN;
        Self {
            iflag: libc::ICRNL | libc::IXON,
            oflag: libc::OPOST | libc::ONLCR,
            cflag: libc::B38400 | libc::CS8 | libc::CREAD | libc::HUPCL,
            lflag,
            line: 0,
            cc,
        }
    }
}

impl Termios {
    /// The kernel's struct termios.
    pub fn bytes(&self) -> [u8; TERMIOS_BYTES] {
        let mut out = [0; TERMIOS_BYTES];
        for (i, word) in [self.iflag, self.oflag, self.cflag, self.lflag].into_iter().enumerate() {
            out[i * 4..i * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        out[16] = self.line;
        out[17..].copy_from_slice(&self.cc);
        out
    }

    /// From the kernel's struct termios.
    pub fn from_bytes(raw: &[u8; TERMIOS_BYTES]) -> Self {
        let word = |i: usize| u32::from_le_bytes([raw[i], raw[i + 1], raw[i + 2], raw[i + 3]]);
        let mut cc = [0; 19];
        cc.copy_from_slice(&raw[17..]);
        Self { iflag: word(0), oflag: word(4), cflag: word(8), lflag: word(12), line: raw[16], cc }
    }

    /// TOSTOP: the background may not write.
    pub fn stops_background(&self) -> bool {
        self.l(libc::TOSTOP)
    }

    fn is(&self, at: usize, byte: u8) -> bool {
        self.cc[at] != DISABLED && self.cc[at] == byte
    }

    fn i(&self, flag: u32) -> bool {
        self.iflag & flag != 0
    }

    fn o(&self, flag: u32) -> bool {
        self.oflag & flag != 0
    }

    fn l(&self, flag: u32) -> bool {
        self.lflag & flag != 0
    }
}

/// A terminal's queues and settings. Invariant: in canonical mode `lines` sums up to the length of `input`; else `lines` and `edit` are empty.
#[derive(Debug, Default)]
pub struct Discipline {
    termios: Termios,
    /// What the slave can read.
    input: VecDeque<u8>,
    /// Lengths of the lines in it; 0 is an end of file.
    lines: VecDeque<usize>,
    /// The line being edited.
    edit: Vec<u8>,
    /// The column where it began.
    edit_column: usize,
    /// The next byte is taken literally.
    literal: bool,
    /// What the master can read.
    output: VecDeque<u8>,
    column: usize,
    /// Output was stopped (VSTOP, TCOOFF).
    stopped: bool,
}

/// The column after a byte.
fn advance(column: usize, byte: u8) -> usize {
    match byte {
        b'\r' | b'\n' => 0,
        8 => column.saturating_sub(1),
        b'\t' => (column | 7) + 1,
        _ if byte.is_ascii_control() || (0x80..0xc0).contains(&byte) => column,
        _ => column + 1,
    }
}

impl Discipline {
    /// The settings.
    pub fn termios(&self) -> &Termios {
        &self.termios
    }

    /// Changes the settings. Switching canonical mode makes what waits one line, or no line at all.
    pub fn set_termios(&mut self, termios: Termios) {
        let was = self.termios.l(libc::ICANON);
        self.termios = termios;
        let canonical = self.termios.l(libc::ICANON);
        if was != canonical {
            self.input.extend(self.edit.drain(..));
            self.lines.clear();
            self.literal = false;
            if canonical && !self.input.is_empty() {
                self.lines.push_back(self.input.len());
            }
        }
        if !self.termios.i(libc::IXON) {
            self.stopped = false;
        }
    }

    /// Stops or continues output.
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    // ---- from the master to the slave ----

    /// The master can write.
    pub fn takes_input(&self) -> bool {
        self.input.len() < CAPACITY
    }

    /// The master writes: answers how many bytes were taken and the signals that were typed.
    pub fn receive(&mut self, bytes: &[u8]) -> (usize, Vec<i32>) {
        let mut signals = Vec::new();
        // What was there before is with the master already, and no signal that is typed takes it back.
        let written = self.output.len();
        for (i, &byte) in bytes.iter().enumerate() {
            if !self.takes_input() {
                return (i, signals);
            }
            signals.extend(self.receive_byte(byte, written));
        }
        (bytes.len(), signals)
    }

    /// Echoes lie behind the first `written` bytes of what the master can read.
    fn receive_byte(&mut self, byte: u8, written: usize) -> Option<i32> {
        let t = &self.termios;
        let byte = if t.i(libc::ISTRIP) { byte & 0x7f } else { byte };
        if std::mem::take(&mut self.literal) {
            self.insert(byte);
            return None;
        }
        if t.i(libc::IXON) {
            if t.is(libc::VSTART, byte) || t.is(libc::VSTOP, byte) {
                self.stopped = t.is(libc::VSTOP, byte);
                return None;
            }
            if t.i(libc::IXANY) {
                self.stopped = false;
            }
        }
        let t = &self.termios;
        if t.l(libc::ISIG) {
            let typed = [(libc::VINTR, libc::SIGINT), (libc::VQUIT, libc::SIGQUIT), (libc::VSUSP, libc::SIGTSTP)];
            if let Some(&(_, signal)) = typed.iter().find(|(at, _)| t.is(*at, byte)) {
                if !t.l(libc::NOFLSH) {
                    self.flush_input();
                    self.output.truncate(written);
                }
                self.stopped = false;
                self.echo(byte);
                return Some(signal);
            }
        }
        let byte = match byte {
            b'\r' if t.i(libc::IGNCR) => return None,
            b'\r' if t.i(libc::ICRNL) => b'\n',
            b'\n' if t.i(libc::INLCR) => b'\r',
            _ => byte,
        };
        if t.l(libc::ICANON) {
            self.edit_with(byte)
        } else {
            self.insert(byte)
        }
        None
    }

    /// Canonical mode: a byte may be a command to the editor.
    fn edit_with(&mut self, byte: u8) {
        let t = &self.termios;
        let extended = t.l(libc::IEXTEN);
        if t.is(libc::VERASE, byte) {
            self.erase_last();
        } else if t.is(libc::VKILL, byte) {
            self.kill();
        } else if extended && t.is(libc::VWERASE, byte) {
            self.erase_word();
        } else if extended && t.is(libc::VLNEXT, byte) {
            self.literal = true;
            if t.l(libc::ECHO) && t.l(libc::ECHOCTL) {
                self.echo_raw(b"^\x08");
            }
        } else if extended && t.l(libc::ECHO) && t.is(libc::VREPRINT, byte) {
            self.echo(byte);
            self.echo_raw(b"\n");
            for byte in self.edit.clone() {
                self.echo(byte);
            }
        } else if byte == b'\n' {
            if t.l(libc::ECHO) || t.l(libc::ECHONL) {
                self.echo_raw(b"\n");
            }
            self.finish(Some(byte));
        } else if t.is(libc::VEOF, byte) {
            self.finish(None);
        } else if t.is(libc::VEOL, byte) || (extended && t.is(libc::VEOL2, byte)) {
            self.echo(byte);
            self.finish(Some(byte));
        } else {
            self.insert(byte);
        }
    }

    fn insert(&mut self, byte: u8) {
        if self.termios.l(libc::ICANON) {
            if self.edit.len() >= LINE_BYTES_MAX {
                return;
            }
            if self.edit.is_empty() {
                self.edit_column = self.column;
            }
            self.edit.push(byte);
        } else {
            self.input.push_back(byte);
        }
        self.echo(byte);
    }

    /// The line is complete: readers get it.
    fn finish(&mut self, end: Option<u8>) {
        self.edit.extend(end);
        self.lines.push_back(self.edit.len());
        self.input.extend(self.edit.drain(..));
    }

    /// Columns that the edited line takes up to its `n`th byte.
    fn column_at(&self, n: usize) -> usize {
        let shown = self.termios.l(libc::ECHOCTL);
        self.edit[..n].iter().fold(self.edit_column, |column, &byte| match byte {
            b'\t' => advance(column, byte),
            _ if byte.is_ascii_control() => column + if shown { 2 } else { 0 },
            _ => advance(column, byte),
        })
    }

    /// Takes the last character off the line and the screen.
    fn rub_out(&mut self) {
        let utf8 = self.termios.i(libc::IUTF8);
        let end = self.column_at(self.edit.len());
        let mut last = self.edit.pop();
        while utf8 && last.is_some_and(|b| (0x80..0xc0).contains(&b)) {
            last = self.edit.pop();
        }
        let width = end.saturating_sub(self.column_at(self.edit.len()));
        if !self.termios.l(libc::ECHO) {
            return;
        }
        let wipe: &[u8] = if last == Some(b'\t') { b"\x08" } else { b"\x08 \x08" };
        for _ in 0..width {
            self.echo_raw(wipe);
        }
    }

    fn erase_last(&mut self) {
        if self.edit.is_empty() {
            return;
        }
        if self.termios.l(libc::ECHO) && !self.termios.l(libc::ECHOE) {
            self.edit.pop();
            self.echo(self.termios.cc[libc::VERASE]);
        } else {
            self.rub_out();
        }
    }

    fn erase_word(&mut self) {
        let in_word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80);
        while !self.edit.is_empty() && !in_word(self.edit.last()) {
            self.rub_out();
        }
        while in_word(self.edit.last()) {
            self.rub_out();
        }
    }

    fn kill(&mut self) {
        if self.edit.is_empty() {
            return;
        }
        let visibly = [libc::ECHOE, libc::ECHOK, libc::ECHOKE].iter().all(|&flag| self.termios.l(flag));
        if visibly {
            while !self.edit.is_empty() {
                self.rub_out();
            }
            return;
        }
        self.edit.clear();
        self.echo(self.termios.cc[libc::VKILL]);
        if self.termios.l(libc::ECHO) && self.termios.l(libc::ECHOK) {
            self.echo_raw(b"\n");
        }
    }

    /// Bytes that a read could give now.
    pub fn readable(&self) -> usize {
        self.input.len()
    }

    /// Is there something to read: a line, or in raw mode at least `min` bytes?
    pub fn has_input(&self, min: usize) -> bool {
        if self.termios.l(libc::ICANON) { !self.lines.is_empty() } else { self.input.len() >= min }
    }

    /// VMIN as poll(2) sees it.
    pub fn poll_min(&self) -> usize {
        if self.termios.cc[libc::VTIME] == 0 { self.min().max(1) } else { 1 }
    }

    fn min(&self) -> usize {
        usize::from(self.termios.cc[libc::VMIN])
    }

    /// The slave reads; `None` if it must wait. `patient` readers wait for VMIN bytes.
    pub fn read(&mut self, max: usize, patient: bool) -> Option<Vec<u8>> {
        if self.termios.l(libc::ICANON) {
            let line = self.lines.front_mut()?;
            let n = max.min(*line);
            *line -= n;
            if *line == 0 {
                self.lines.pop_front();
            }
            return Some(self.input.drain(..n).collect());
        }
        // With VTIME the bytes that are there do.
        let wanted = match (self.termios.cc[libc::VTIME], patient) {
            (0, true) => self.min(),
            _ => self.min().min(1),
        };
        if self.input.len() < wanted.min(max) {
            return None;
        }
        let n = max.min(self.input.len());
        Some(self.input.drain(..n).collect())
    }

    /// Forgets what the slave has not read.
    pub fn flush_input(&mut self) {
        self.input.clear();
        self.lines.clear();
        self.edit.clear();
        self.literal = false;
    }

    // ---- from the slave to the master ----

    /// The slave can write.
    pub fn takes_output(&self) -> bool {
        !self.stopped && self.output.len() < CAPACITY
    }

    /// The slave writes: answers how many bytes were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        for (i, &byte) in bytes.iter().enumerate() {
            if !self.takes_output() {
                return i;
            }
            self.put(byte);
        }
        bytes.len()
    }

    /// One byte to the master, processed.
    fn put(&mut self, byte: u8) {
        let t = &self.termios;
        if !t.o(libc::OPOST) {
            self.column = advance(self.column, byte);
            self.output.push_back(byte);
            return;
        }
        match byte {
            b'\n' if t.o(libc::ONLCR) => {
                self.column = 0;
                self.output.extend(b"\r\n");
            }
            b'\n' => {
                if t.o(libc::ONLRET) {
                    self.column = 0;
                }
                self.output.push_back(byte);
            }
            b'\r' if t.o(libc::ONOCR) && self.column == 0 => {}
            b'\r' if t.o(libc::OCRNL) => self.output.push_back(b'\n'),
            b'\t' if t.oflag & libc::TABDLY == libc::XTABS => {
                let next = advance(self.column, byte);
                self.output.extend(std::iter::repeat_n(b' ', next - self.column));
                self.column = next;
            }
            _ => {
                let byte = if t.o(libc::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                self.column = advance(self.column, byte);
                self.output.push_back(byte);
            }
        }
    }

    fn echo_raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.output.len() < CAPACITY + ECHO_BYTES_MAX {
                self.put(byte);
            }
        }
    }

    /// Shows a typed byte, control characters as `^X`.
    fn echo(&mut self, byte: u8) {
        if !self.termios.l(libc::ECHO) {
            return;
        }
        if self.termios.l(libc::ECHOCTL) && byte.is_ascii_control() && byte != b'\t' {
            self.echo_raw(&[b'^', byte ^ 0x40]);
        } else {
            self.echo_raw(&[byte]);
        }
    }

    /// Bytes that the master can read.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }

    /// The master reads what is there.
    pub fn read_output(&mut self, max: usize) -> Vec<u8> {
        let n = max.min(self.output.len());
        self.output.drain(..n).collect()
    }

    /// Forgets what the master has not read.
    pub fn flush_output(&mut self) {
        self.output.clear();
    }

    /// Everything that shapes the future.
    pub fn digest(&self, h: &mut gapless_log::Hasher) {
        h.update(&self.termios.bytes());
        for queue in [&self.input, &self.output] {
            h.number(queue.len() as u64);
            let (a, b) = queue.as_slices();
            h.update(a);
            h.update(b);
        }
        h.number(self.lines.len() as u64);
        for &line in &self.lines {
            h.number(line as u64);
        }
        h.number(self.edit.len() as u64);
        h.update(&self.edit);
        for n in [self.edit_column, self.column, usize::from(self.literal), usize::from(self.stopped)] {
            h.number(n as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is typed, what reads give (`|` ends each, an empty one is the end of file), what is shown, what signals are sent.
    type Case = (&'static str, Change, &'static [u8], &'static [&'static [u8]], &'static [u8], &'static [i32]);
    type Change = fn(&mut Termios);

    fn raw(t: &mut Termios) {
        (t.iflag, t.oflag, t.lflag) = (0, 0, 0);
    }

    const CASES: &[Case] = &[
        ("a line", |_| {}, b"hello\n", &[b"hello\n"], b"hello\r\n", &[]),
        ("no line yet", |_| {}, b"hello", &[], b"hello", &[]),
        ("one read, one line", |_| {}, b"a\nb\n", &[b"a\n", b"b\n"], b"a\r\nb\r\n", &[]),
        ("return is newline", |_| {}, b"a\r", &[b"a\n"], b"a\r\n", &[]),
        ("return ignored", |t| t.iflag |= libc::IGNCR, b"a\rb\n", &[b"ab\n"], b"ab\r\n", &[]),
        ("newline is return", |t| t.iflag = libc::INLCR, b"a\n", &[], b"a^M", &[]),
        ("erase", |_| {}, b"ab\x7fc\n", &[b"ac\n"], b"ab\x08 \x08c\r\n", &[]),
        ("nothing to erase", |_| {}, b"\x7fa\n", &[b"a\n"], b"a\r\n", &[]),
        ("erase shown as itself", |t| t.lflag &= !libc::ECHOE, b"a\x7f\n", &[b"\n"], b"a^?\r\n", &[]),
        ("erase a control character", |_| {}, b"\x01\x7f\n", &[b"\n"], b"^A\x08 \x08\x08 \x08\r\n", &[]),
        ("erase a tab", |_| {}, b"ab\t\x7f\n", &[b"ab\n"], b"ab\t\x08\x08\x08\x08\x08\x08\r\n", &[]),
        (
            "erase UTF-8",
            |t| t.iflag |= libc::IUTF8,
            "é\x7fa\n".as_bytes(),
            &[b"a\n"],
            "é\x08 \x08a\r\n".as_bytes(),
            &[],
        ),
        ("erase a word", |_| {}, b"a bc \x17\n", &[b"a \n"], b"a bc \x08 \x08\x08 \x08\x08 \x08\r\n", &[]),
        ("kill", |_| {}, b"ab\x15c\n", &[b"c\n"], b"ab\x08 \x08\x08 \x08c\r\n", &[]),
        ("kill on a new line", |t| t.lflag &= !libc::ECHOKE, b"ab\x15c\n", &[b"c\n"], b"ab^U\r\nc\r\n", &[]),
        ("end of file", |_| {}, b"\x04", &[b""], b"", &[]),
        ("end of file after text", |_| {}, b"ab\x04\x04", &[b"ab", b""], b"ab", &[]),
        ("another end of line", |t| t.cc[libc::VEOL] = b';', b"a;b\n", &[b"a;", b"b\n"], b"a;b\r\n", &[]),
        ("literally", |_| {}, b"\x16\x03\x16\x7f\n", &[b"\x03\x7f\n"], b"^\x08^C^\x08^?\r\n", &[]),
        ("reprint", |_| {}, b"ab\x12\n", &[b"ab\n"], b"ab^R\r\nab\r\n", &[]),
        ("interrupt", |_| {}, b"ab\x03c\n", &[b"c\n"], b"^Cc\r\n", &[libc::SIGINT]),
        ("quit, suspend", |_| {}, b"\x1c\x1a", &[], b"^Z", &[libc::SIGQUIT, libc::SIGTSTP]),
        ("no flush", |t| t.lflag |= libc::NOFLSH, b"ab\x03c\n", &[b"abc\n"], b"ab^Cc\r\n", &[libc::SIGINT]),
        ("no signals", |t| t.lflag &= !libc::ISIG, b"\x03\n", &[b"\x03\n"], b"^C\r\n", &[]),
        ("no echo", |t| t.lflag &= !libc::ECHO, b"ab\x7f\n", &[b"a\n"], b"", &[]),
        ("echo of newlines", |t| t.lflag = libc::ICANON | libc::ECHONL, b"ab\n", &[b"ab\n"], b"\r\n", &[]),
        ("raw", raw, b"a\r\n\x03\x7f", &[b"a\r\n\x03\x7f"], b"", &[]),
        ("raw with echo", |t| t.lflag = libc::ECHO, b"ab", &[b"ab"], b"ab", &[]),
        ("seven bits", |t| t.iflag |= libc::ISTRIP, b"\xe1\n", &[b"a\n"], b"a\r\n", &[]),
    ];

    fn reads(d: &mut Discipline) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while d.has_input(1) {
            out.push(d.read(100, true).expect("there is input"));
        }
        out
    }

    #[test]
    fn typed() {
        for (name, change, bytes, expected, shown, signals) in CASES {
            let mut d = Discipline::default();
            let mut t = d.termios().clone();
            change(&mut t);
            d.set_termios(t);
            let (taken, sent) = d.receive(bytes);
            assert_eq!((taken, sent.as_slice()), (bytes.len(), *signals), "{name}");
            assert_eq!(reads(&mut d), expected.iter().map(|b| b.to_vec()).collect::<Vec<_>>(), "{name}");
            assert_eq!(d.read_output(100).escape_ascii().to_string(), shown.escape_ascii().to_string(), "{name}");
        }
    }

    #[test]
    fn written() {
        let cases: &[(u32, &[u8], &[u8])] = &[
            (libc::OPOST | libc::ONLCR, b"a\nb", b"a\r\nb"),
            (libc::OPOST, b"a\nb\r", b"a\nb\r"),
            (libc::ONLCR, b"a\n", b"a\n"),
            (libc::OPOST | libc::OCRNL, b"a\r", b"a\n"),
            (libc::OPOST | libc::ONOCR, b"\ra\r", b"a\r"),
            (libc::OPOST | libc::XTABS, b"ab\tc", b"ab      c"),
            (libc::OPOST | libc::OLCUC, b"abC", b"ABC"),
        ];
        for (oflag, bytes, expected) in cases {
            let mut d = Discipline::default();
            d.set_termios(Termios { oflag: *oflag, ..Default::default() });
            assert_eq!(d.write(bytes), bytes.len());
            assert_eq!(d.read_output(100), *expected, "{oflag:o}");
        }
    }

    #[test]
    fn a_line_in_pieces_and_modes_that_change() {
        let mut d = Discipline::default();
        d.receive(b"abc\nde");
        assert_eq!(d.read(2, true).unwrap(), b"ab");
        assert_eq!(d.read(9, true).unwrap(), b"c\n");
        assert_eq!(d.read(9, true), None);
        let canonical = d.termios().clone();
        d.set_termios(Termios { lflag: 0, ..canonical.clone() });
        d.receive(b"f");
        assert_eq!(d.readable(), 3);
        d.set_termios(canonical);
        assert_eq!(d.read(9, true).unwrap(), b"def");
    }

    #[test]
    fn raw_reads_wait_for_vmin() {
        let mut d = Discipline::default();
        let mut t = Termios { lflag: 0, ..Default::default() };
        t.cc[libc::VMIN] = 3;
        d.set_termios(t.clone());
        d.receive(b"ab");
        assert!(!d.has_input(d.poll_min()));
        assert_eq!(d.read(9, true), None);
        assert_eq!(d.read(2, true).unwrap(), b"ab");
        d.receive(b"c");
        assert_eq!(d.read(9, false).unwrap(), b"c");
        t.cc[libc::VMIN] = 0;
        d.set_termios(t);
        assert_eq!(d.read(9, true).unwrap(), b"");
    }

    #[test]
    fn queues_are_bounded_and_output_can_be_stopped() {
        let mut d = Discipline::default();
        d.receive(&vec![b'x'; 10_000]);
        d.receive(b"\n");
        assert_eq!(d.readable(), LINE_BYTES_MAX + 1);
        d.flush_output();
        d.receive(b"\x13");
        assert_eq!((d.write(b"ab"), d.takes_output()), (0, false));
        d.receive(b"\x11");
        assert_eq!(d.write(&vec![b'y'; CAPACITY * 2]), CAPACITY);
        d.set_termios(Termios { lflag: libc::ECHO, ..Default::default() });
        assert_eq!(d.receive(&vec![b'z'; CAPACITY * 2]).0, CAPACITY - LINE_BYTES_MAX - 1);
        assert_eq!(d.output_len(), CAPACITY + ECHO_BYTES_MAX);
    }
}
