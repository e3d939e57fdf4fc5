//! Splits bytes that arrive piece by piece into records of fields (RFC 4180, section 2).

use std::fmt::Display;

use girih_model::{Error, Result};

/// Longest field and longest record, in bytes: a forgotten quote must not swallow a large body.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// How text is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Dialect {
    pub separator: Separator,
    /// The rest of a line after it does not count.
    pub comment: Option<u8>,
    /// Lines at the beginning that do not count.
    pub skipped: u64,
    /// As pandas reads: lines of blanks are no records, and what follows a closing quote belongs to the field.
    pub is_lenient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Separator {
    Byte(u8),
    /// Any number of spaces and tabs; those around a line do not count.
    Blanks,
}

impl Dialect {
    /// RFC 4180, section 2.
    pub(super) const STRICT: Self =
        Self { separator: Separator::Byte(b','), comment: None, skipped: 0, is_lenient: false };

    /// The same for text that begins with a record further on.
    pub(super) fn further_on(self) -> Self {
        Self { skipped: 0, ..self }
    }

    fn is_separator(&self, byte: u8) -> bool {
        match self.separator {
            Separator::Byte(separator) => byte == separator,
            Separator::Blanks => is_blank(&byte),
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Some programs begin UTF-8 files with a byte-order mark.
const BOM: [u8; 3] = *b"\xef\xbb\xbf";

/// Those of UTF-16. Without a look at them, what follows may pass for UTF-8 with many zeros.
const UTF16_BOMS: [[u8; 2]; 2] = [*b"\xff\xfe", *b"\xfe\xff"];

pub(super) fn not_utf8(what: impl Display) -> Error {
    Error::unprocessable(format!("{what} is not UTF-8. Save the text as UTF-8 and try again."))
}

/// One record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    /// Where it lies in the text, in bytes.
    start: u64,
    end: u64,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of a field, and whether it was quoted.
    pub(super) fn field(&self, n: usize) -> Option<(&[u8], bool)> {
        let (end, quoted) = *self.ends.get(n)?;
        let start = n.checked_sub(1).map_or(0, |before| self.ends[before].0);
        Some((&self.bytes[start..end], quoted))
    }

    /// Bytes of the text before its line.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Bytes of the text up to the end of its line.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// One field of nothing but blanks.
    fn is_blank(&self) -> bool {
        matches!(self.ends[..], [] | [(_, false)]) && self.bytes.iter().all(is_blank)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of this record has come.
    RecordStart,
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field: its end, or one half of a doubled quote.
    QuoteInQuoted,
    /// What comes up to the end of the line does not count.
    Comment,
}

/// The splitter's state between pieces.
#[derive(Debug)]
pub(super) struct Splitter {
    record: Record,
    state: State,
    /// Number of the line that is being read, from 1, and of the one on which the record began.
    line: u64,
    first_line: u64,
    after_return: bool,
    dialect: Dialect,
    /// Bytes that have come.
    read: u64,
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self::of(Dialect::STRICT)
    }

    pub(super) fn of(dialect: Dialect) -> Self {
        let (record, state, line) = (Record::default(), State::RecordStart, 1);
        Self { record, state, line, first_line: line, after_return: false, dialect, read: 0 }
    }

    /// Gives each record that ends in this piece to `each`, with the number of the line it ends on.
    /// Empty lines are no records. Lines end with LF, CRLF or CR. A byte-order mark at the beginning does not count.
    pub(super) fn push(&mut self, piece: &[u8], each: &mut impl FnMut(&Record, u64) -> Result<()>) -> Result<()> {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            let run = self.plain_run(rest);
            if run > 0 {
                self.read += run as u64;
                self.record.bytes.extend_from_slice(&rest[..run]);
                self.check_size()?;
                rest = &rest[run..];
                continue;
            }
            rest = after;
            self.read += 1;
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            if *byte == b'\n' && after_return {
                if self.state == State::Quoted {
                    self.record.bytes.push(b'\n');
                }
                continue;
            }
            self.byte(*byte, each)?;
            if self.read == BOM.len() as u64 && self.record.bytes == BOM && self.record.ends.is_empty() {
                self.record.clear();
                self.state = State::RecordStart;
            }
            if self.read == 2 && UTF16_BOMS.iter().any(|bom| self.record.bytes == bom) {
                return Err(not_utf8("The CSV text"));
            }
        }
        Ok(())
    }

    /// How many of these bytes go on with the field that has begun, whatever they are.
    fn plain_run(&self, bytes: &[u8]) -> usize {
        // At the beginning there may be a byte-order mark.
        if self.read < BOM.len() as u64 {
            return 0;
        }
        let is_end: &dyn Fn(&u8) -> bool = match self.state {
            State::Plain => &|byte| {
                matches!(byte, b'\n' | b'\r') || self.dialect.is_separator(*byte) || self.dialect.comment == Some(*byte)
            },
            State::Quoted => &|byte| matches!(byte, b'\n' | b'\r' | b'"'),
            _ => return 0,
        };
        // A line feed in a field may belong to a return before it.
        if self.after_return { 0 } else { bytes.iter().position(is_end).unwrap_or(bytes.len()) }
    }

    /// Gives the record that has no line break at its end.
    ///
    /// # Errors
    /// `Unprocessable` when a quoted field has no end.
    pub(super) fn finish(mut self, each: &mut impl FnMut(&Record, u64) -> Result<()>) -> Result<()> {
        match self.state {
            State::RecordStart => Ok(()),
            State::Quoted => {
                Err(Error::unprocessable("The CSV text ends within a quoted field: a closing quote is missing."))
            }
            _ => self.end_record(each),
        }
    }

    fn byte(&mut self, byte: u8, each: &mut impl FnMut(&Record, u64) -> Result<()>) -> Result<()> {
        if byte == b'\n' || byte == b'\r' {
            if self.state == State::Quoted {
                self.line += 1;
                return self.keep(byte);
            }
            if self.state != State::RecordStart {
                self.end_record(each)?;
            }
            self.line += 1;
            return Ok(());
        }
        if self.state == State::RecordStart {
            (self.record.start, self.first_line) = (self.read - 1, self.line);
        }
        match (self.state, byte) {
            (State::Comment, _) => Ok(()),
            (State::RecordStart | State::FieldStart, b'"') => {
                self.state = State::Quoted;
                Ok(())
            }
            (State::Quoted, b'"') => {
                self.state = State::QuoteInQuoted;
                Ok(())
            }
            (State::Quoted, _) => self.keep(byte),
            (State::QuoteInQuoted, b'"') => {
                self.state = State::Quoted;
                self.keep(byte)
            }
            (state, byte) if self.dialect.is_separator(byte) => {
                let is_first = matches!(state, State::RecordStart | State::FieldStart);
                if is_first && self.dialect.separator == Separator::Blanks {
                    self.state = State::FieldStart;
                    return Ok(());
                }
                self.end_field();
                self.state = State::FieldStart;
                self.check_size()
            }
            (state, byte) if self.dialect.comment == Some(byte) => {
                let is_nothing = state == State::RecordStart || self.is_after_blanks();
                if !is_nothing {
                    self.end_field();
                }
                self.state = State::Comment;
                Ok(())
            }
            (State::QuoteInQuoted, _) if !self.dialect.is_lenient => Err(Error::unprocessable(format!(
                "Line {} of the CSV text has a closing quote that neither a comma nor a line break follows. \
                 Double the quotes within a quoted field.",
                self.line
            ))),
            (_, _) => {
                self.state = State::Plain;
                self.keep(byte)
            }
        }
    }

    fn keep(&mut self, byte: u8) -> Result<()> {
        self.record.bytes.push(byte);
        self.check_size()
    }

    fn check_size(&self) -> Result<()> {
        if self.record.bytes.len() + self.record.ends.len() * size_of::<(usize, bool)>() > MAX_RECORD {
            return Err(Error::unprocessable(format!(
                "A record of the CSV text, at line {}, is longer than {MAX_RECORD} bytes. Is a closing quote missing?",
                self.line
            )));
        }
        Ok(())
    }

    /// Blanks have been read, behind which no field has begun.
    fn is_after_blanks(&self) -> bool {
        self.dialect.separator == Separator::Blanks && self.state == State::FieldStart
    }

    fn end_field(&mut self) {
        self.record.ends.push((self.record.bytes.len(), self.state == State::QuoteInQuoted));
    }

    fn end_record(&mut self, each: &mut impl FnMut(&Record, u64) -> Result<()>) -> Result<()> {
        if self.state != State::Comment && !self.is_after_blanks() {
            self.end_field();
        }
        self.state = State::RecordStart;
        self.record.end = self.read;
        let counts = self.first_line > self.dialect.skipped && !(self.dialect.is_lenient && self.record.is_blank());
        if counts && self.record.len() > 0 {
            each(&self.record, self.line)?;
        }
        self.record.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::push_field;
    use super::*;

    fn split(bytes: &[u8], piece: usize) -> Result<Vec<Vec<String>>> {
        let mut records = Vec::new();
        let mut each = |record: &Record, _line: u64| {
            let fields = (0..record.len()).filter_map(|n| record.field(n));
            records.push(fields.map(|(field, _)| String::from_utf8_lossy(field).into_owned()).collect());
            Ok(())
        };
        let mut splitter = Splitter::new();
        for piece in bytes.chunks(piece) {
            splitter.push(piece, &mut each)?;
        }
        splitter.finish(&mut each)?;
        Ok(records)
    }

    fn check(text: &str, expected: &[&[&str]]) {
        for piece in 1..4 {
            assert_eq!(split(text.as_bytes(), piece).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn line_ends_and_quotes() {
        check("a,b\n1,2\n", &[&["a", "b"], &["1", "2"]]);
        check("a,b\r\n1,2", &[&["a", "b"], &["1", "2"]]);
        check("a\r\rb", &[&["a"], &["b"]]);
        check("\n\na\n\n", &[&["a"]]);
        check(",\n", &[&["", ""]]);
        check("\"\"\n", &[&[""]]);
        check("\"a\"\"b\",\"c\r\nd\"\n", &[&["a\"b", "c\r\nd"]]);
        check("a\"b,c\n", &[&["a\"b", "c"]]);
        check("", &[]);
    }

    #[test]
    fn damage_is_named() {
        for utf16 in [b"\xff\xfea\0,\0b\0\n\0", b"\xfe\xff\0a\0,\0b\0\n"] {
            for piece in [1, 2, 10] {
                assert!(split(utf16, piece).unwrap_err().message().contains("Save the text as UTF-8"));
            }
        }
        assert!(split(b"a,\"b", 10).unwrap_err().message().contains("closing quote is missing"));
        assert!(split(b"x\na,\"b\"c", 10).unwrap_err().message().starts_with("Line 2 "));
        let endless = [b"\"".to_vec(), vec![b'x'; MAX_RECORD + 1]].concat();
        assert!(split(&endless, 1 << 20).unwrap_err().message().contains("longer than"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec(prop::collection::vec("[a,\"\r\n é]{0,4}", 2..4), 0..5),
            piece in 1usize..6,
        ) {
            let mut text = String::new();
            for record in &records {
                for (n, field) in record.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    push_field(&mut text, |out| out.push_str(field));
                }
                text.push('\n');
            }
            prop_assert_eq!(split(text.as_bytes(), piece).unwrap(), records);
        }
    }
}
