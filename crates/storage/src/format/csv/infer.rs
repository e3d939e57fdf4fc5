//! What the columns of a CSV file are, by the rules of `pandas.read_csv`: the whole file is looked through, once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use girih_model::{Error, Result, ResultExt};

use super::records::{Dialect, Record, Splitter, not_utf8};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Most columns of a file.
pub(super) const MAX_COLUMNS: usize = 1 << 16;

/// What counts as a missing value.
const MISSING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan",
];

pub(in crate::format) fn is_missing(text: &str) -> bool {
    let begins_so = matches!(text.as_bytes().first(), None | Some(b'#' | b'-' | b'1' | b'<' | b'N' | b'n'));
    text.len() <= 8 && begins_so && (MISSING.contains(&text) || text == "null")
}

/// Where the names of the columns come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Header {
    /// The number of the record that has them; what comes before does not count. `None` if there is none.
    pub record: Option<u64>,
    /// Instead of those.
    pub names: Option<Arc<[String]>>,
}

impl Header {
    pub(super) const FIRST: Self = Self { record: Some(0), names: None };
    pub(super) const ABSENT: Self = Self { record: None, names: None };

    /// Records before the rows.
    pub(super) fn records(&self) -> u64 {
        self.record.map_or(0, |record| record.saturating_add(1))
    }

    /// The names, if this record, of that number, is where they are found: the header itself or, without one, the first row.
    ///
    /// # Errors
    /// `Unsupported` when there are too many, `Unprocessable` when they are not UTF-8.
    pub(super) fn names(&self, number: u64, record: &Record) -> Result<Option<Vec<String>>> {
        if number != self.record.unwrap_or(0) {
            return Ok(None);
        }
        let len = self.names.as_ref().map_or(record.len(), |names| names.len());
        if len > MAX_COLUMNS {
            return Err(Error::unsupported(format!("The CSV file has {len} columns; at most {MAX_COLUMNS} are read.")));
        }
        Ok(Some(match (&self.names, self.record) {
            (Some(names), _) => names.to_vec(),
            (None, Some(_)) => names(record)?,
            (None, None) => (0..record.len()).map(|n| n.to_string()).collect(),
        }))
    }
}

fn names(header: &Record) -> Result<Vec<String>> {
    let given = (0..header.len()).filter_map(|n| header.field(n));
    let given = given.map(|(name, _)| std::str::from_utf8(name).map(str::to_owned));
    Ok(names_of(given.collect::<Result<_, _>>().or_error(|_| not_utf8("The header of the CSV file"))?))
}

/// The names of columns as pandas calls them: those without one by their position, those that come again with a number;
/// names that were given go first.
pub(in crate::format) fn names_of(mut names: Vec<String>) -> Vec<String> {
    let unnamed: Vec<usize> = (0..names.len()).filter(|n| names[*n].is_empty()).collect();
    let named = (0..names.len()).filter(|n| !names[*n].is_empty()).collect::<Vec<_>>();
    for n in &unnamed {
        names[*n] = format!("Unnamed: {n}");
    }
    let mut known: HashSet<String> = names.iter().cloned().collect();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for n in named.into_iter().chain(unnamed) {
        let given = names[n].clone();
        let mut name = given.clone();
        let mut count = counts.get(&name).copied().unwrap_or(0);
        while count > 0 {
            counts.insert(given.clone(), count + 1);
            name = format!("{given}.{count}");
            count = if known.contains(&name) { count + 1 } else { counts.get(&name).copied().unwrap_or(0) };
        }
        counts.insert(name.clone(), count + 1);
        known.insert(name.clone());
        names[n] = name;
    }
    names
}

/// What is known of a column.
#[derive(Debug, Clone)]
pub(in crate::format) struct Column {
    name: String,
    missing: u64,
    values: u64,
    /// All values so far can be read as such.
    signed: bool,
    unsigned: bool,
    real: bool,
    truth: bool,
    /// The first value that is no `i64` is a whole number.
    is_long: bool,
    /// The first that is neither an `u64` nor negative.
    stop: Option<Stop>,
    /// Characters of the longest.
    longest: usize,
}

impl Column {
    pub(in crate::format) fn new(name: String) -> Self {
        let (signed, unsigned, real, truth) = (true, true, true, true);
        Self { name, missing: 0, values: 0, signed, unsigned, real, truth, is_long: false, stop: None, longest: 0 }
    }

    pub(in crate::format) fn see(&mut self, text: &str) {
        if is_missing(text) {
            self.missing += 1;
            return;
        }
        self.values += 1;
        if text.len() > self.longest {
            self.longest = self.longest.max(text.chars().count());
        }
        if self.signed || self.unsigned || self.real || self.stop.is_none() {
            self.see_number(number(text));
        }
        self.truth = self.truth && truth(text).is_some();
    }

    fn see_number(&mut self, text: &str) {
        if text.parse::<i64>().is_ok() {
            self.unsigned &= !text.starts_with('-');
            return;
        }
        let is_unsigned = text.parse::<u64>().is_ok();
        if self.signed {
            (self.signed, self.is_long) = (false, is_whole(text));
        }
        if self.stop.is_none() && !is_unsigned && !text.starts_with('-') {
            self.stop = Some(if is_whole(text) { Stop::TooLong } else { Stop::Other });
        }
        self.unsigned &= is_unsigned;
        self.real = self.real && is_real(text);
    }

    pub(super) fn has_missing(&self) -> bool {
        self.missing > 0
    }

    /// Characters of the longest value.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(in crate::format) fn data_type(&self) -> DataType {
        let has_missing = self.missing > 0;
        match self.stop {
            _ if self.values == 0 && has_missing => DataType::Float64,
            _ if self.values == 0 => DataType::LargeUtf8,
            _ if self.signed && has_missing => DataType::Float64,
            _ if self.signed => DataType::Int64,
            None if self.is_long && self.unsigned && !has_missing => DataType::UInt64,
            // Whole numbers that no integer holds are not made inexact, unless it is clear before that they are none.
            None | Some(Stop::TooLong) if self.is_long => DataType::LargeUtf8,
            _ if self.real => DataType::Float64,
            _ if self.truth => DataType::Boolean,
            _ => DataType::LargeUtf8,
        }
    }
}

/// Why a column is none of unsigned integers.
#[derive(Debug, Clone, Copy)]
enum Stop {
    TooLong,
    Other,
}

pub(super) fn truth(text: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, is)| is)
}

/// Without blanks around it, and without a plus.
pub(in crate::format) fn number(text: &str) -> &str {
    let text = text.trim_matches([' ', '\t']);
    text.strip_prefix('+').filter(|rest| !rest.starts_with(['+', '-'])).unwrap_or(text)
}

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_real(text: &str) -> bool {
    let first = text.trim_start_matches('-').bytes().next();
    match first {
        // Too large for a float is no number.
        Some(b'0'..=b'9' | b'.') => text.parse::<f64>().is_ok_and(f64::is_finite),
        Some(b'i' | b'I') => text.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// Looks at the records of one or more files.
pub(super) struct Inference {
    dialect: Dialect,
    header: Header,
    /// Most rows of a file.
    most: u64,
    columns: Option<Vec<Column>>,
    /// What rows begin with that have one field more than there are names, in all files or in none; nothing is known
    /// before the first row.
    labels: Option<Option<Column>>,
    /// Of each file.
    pub(super) rows: Vec<u64>,
}

impl Inference {
    pub(super) fn new(dialect: Dialect, header: Header, most: Option<u64>) -> Self {
        Self { dialect, header, most: most.unwrap_or(u64::MAX), columns: None, labels: None, rows: Vec::new() }
    }

    /// # Errors
    /// `Unprocessable` when a row has more fields than the header, or a file other columns than the first.
    pub(super) fn look(&mut self, file: File) -> Result<()> {
        let mut splitter = Splitter::of(self.dialect);
        let mut seen = Seen::default();
        let mut pieces = BufReader::with_capacity(PIECE, file);
        let mut each = |record: &Record, line: u64| self.see(record, line, &mut seen);
        loop {
            let piece = pieces.fill_buf().internal(|| "reading a CSV file".into())?;
            if piece.is_empty() {
                break;
            }
            let read = piece.len();
            splitter.push(piece, &mut each)?;
            pieces.consume(read);
        }
        splitter.finish(&mut each)?;
        self.rows.push(seen.rows);
        Ok(())
    }

    fn see(&mut self, record: &Record, line: u64, seen: &mut Seen) -> Result<()> {
        let number = seen.records;
        seen.records += 1;
        if let Some(names) = self.header.names(number, record)? {
            self.begin(names)?;
        }
        if number < self.header.records() || seen.rows == self.most {
            return Ok(());
        }
        let columns = self.columns.as_mut().ok_or_else(|| Error::unprocessable("The CSV file has no header."))?;
        let has_names = self.header != Header::ABSENT;
        let has_label = *seen.has_label.get_or_insert(has_names && record.len() == columns.len() + 1);
        let labels = self.labels.get_or_insert_with(|| has_label.then(|| Column::new(String::new())));
        if labels.is_some() != has_label {
            return Err(Error::unprocessable(
                "Rows have labels in one CSV file, but not in another. Register them one by one.",
            ));
        }
        let label = usize::from(has_label);
        if record.len() > columns.len() + label {
            return Err(Error::unprocessable(format!(
                "Line {line} of the CSV file has {} fields, but there are {} columns. If its fields are separated by another character, say so with the parameter \"sep\".",
                record.len(),
                columns.len(),
            )));
        }
        seen.rows += 1;
        for (n, column) in labels.iter_mut().chain(columns).enumerate() {
            let (bytes, _) = record.field(n).unwrap_or_default();
            column.see(std::str::from_utf8(bytes).or_error(|_| not_utf8(format!("Line {line} of the CSV file")))?);
        }
        Ok(())
    }

    fn begin(&mut self, names: Vec<String>) -> Result<()> {
        match &self.columns {
            None => self.columns = Some(names.into_iter().map(Column::new).collect()),
            Some(columns) if columns.iter().map(|column| &column.name).ne(&names) => {
                return Err(Error::unprocessable("The CSV files have different columns. Register them one by one."));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// # Errors
    /// `Unprocessable` when there was not a single record.
    pub(super) fn schema(&self) -> Result<Schema> {
        let columns = self.columns.as_ref();
        let columns =
            columns.ok_or_else(|| Error::unprocessable("The CSV file is empty: it does not even have a header."))?;
        let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type(), true));
        Ok(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The labels of the rows: the first field, if the header has no name for it.
    pub(super) fn labels(&self) -> Option<&Column> {
        self.labels.as_ref()?.as_ref()
    }

    pub(super) fn columns(&self) -> &[Column] {
        self.columns.as_deref().unwrap_or_default()
    }
}

/// What has been seen of one file.
#[derive(Default)]
struct Seen {
    records: u64,
    rows: u64,
    /// Rows begin with a field that has no name: a label.
    has_label: Option<bool>,
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn infer(text: &str) -> Result<Vec<(String, String)>> {
        infer_bytes(text.as_bytes())
    }

    fn infer_bytes(text: &[u8]) -> Result<Vec<(String, String)>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        let dialect = Dialect { is_lenient: true, ..Dialect::STRICT };
        let mut inference = Inference::new(dialect, Header::FIRST, None);
        inference.look(file)?;
        let schema = inference.schema()?;
        Ok(schema.fields().iter().map(|field| (field.name().clone(), field.data_type().to_string())).collect())
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(infer(text).unwrap(), expected, "{text:?}");
    }

    /// As `pandas.read_csv` 2.3 has it.
    #[test]
    fn types_are_those_of_pandas() {
        check("a,b\n1,2.5\n3,4\n", &[("a", "Int64"), ("b", "Float64")]);
        check("a,b\nx,y\nz,\n", &[("a", "LargeUtf8"), ("b", "LargeUtf8")]);
        check("a,b\n1,2\n,3\nNA,4\n", &[("a", "Float64"), ("b", "Int64")]);
        check("a\nTrue\nFALSE\n", &[("a", "Boolean")]);
        check("a\nTrue\nnull\n", &[("a", "Boolean")]);
        check("a\ntRUE\nfalse\n", &[("a", "Boolean")]);
        check("a\ntRUE\n1\n", &[("a", "LargeUtf8")]);
        check("t,v\n2020-01-01,007\n", &[("t", "LargeUtf8"), ("v", "Int64")]);
        check("a,b\n1,\n2,\n", &[("a", "Int64"), ("b", "Float64")]);
        check("a\n18446744073709551615\n1\n", &[("a", "UInt64")]);
        check("a\n18446744073709551616\n1\n", &[("a", "LargeUtf8")]);
        check("a\n-1\n18446744073709551615\n", &[("a", "LargeUtf8")]);
        check("a\n9223372036854775808\n0.5\n", &[("a", "Float64")]);
        check("a\n18446744073709551616\n0.5\n", &[("a", "LargeUtf8")]);
        check("a\n0.5\n18446744073709551616\n", &[("a", "Float64")]);
        check("a\n9223372036854775808\nNA\n", &[("a", "LargeUtf8")]);
        check("a\n1e400\n", &[("a", "LargeUtf8")]);
        check("a\n+1\n 2 \n\"3\"\n", &[("a", "Int64")]);
        check("a\ninf\n-Infinity\n1e5\n.5\n", &[("a", "Float64")]);
        check("a\n1_000\n", &[("a", "LargeUtf8")]);
        check("a\n1\nx\n", &[("a", "LargeUtf8")]);
        check("a,b\n", &[("a", "LargeUtf8"), ("b", "LargeUtf8")]);
        check("\u{feff}a\r\n1\r\n\r\n2\r\n", &[("a", "Int64")]);
        check("a\n  \n\"1\"2\n\t\n", &[("a", "Int64")]);
    }

    #[test]
    fn names_are_those_of_pandas() {
        let names = |text: &str| infer(text).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(",a\n0,1\n"), ["Unnamed: 0", "a"]);
        assert_eq!(names("a,a,a\n"), ["a", "a.1", "a.2"]);
        assert_eq!(names("a,a,a.1\n"), ["a", "a.2", "a.1"]);
        assert_eq!(names("a, b\n"), ["a", " b"]);
        assert_eq!(names(",Unnamed: 0\n"), ["Unnamed: 0.1", "Unnamed: 0"]);
        assert_eq!(names("\u{feff}\"a\",\n"), ["a", "Unnamed: 1"]);
    }

    #[test]
    fn rows_may_be_short_but_not_long() {
        check("a,b,c\n1,2\n1,2,3\n", &[("a", "Int64"), ("b", "Int64"), ("c", "Float64")]);
        check("a,b\nx,1,2\ny,3,4\n", &[("a", "Int64"), ("b", "Int64")]);
        assert!(infer("a,b\n1,2\n1,2,3\n").unwrap_err().message().contains("Line 3"));
        assert!(
            infer_bytes(b"a,\xe9\n1,2\n").unwrap_err().message().contains("The header of the CSV file is not UTF-8")
        );
        assert!(infer("").unwrap_err().message().contains("empty"));
    }
}
