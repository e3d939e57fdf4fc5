//! What the columns of a CSV file are, by the rules of `pandas.read_csv`: the whole file is looked through, once.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

use arrow::datatypes::{DataType, Field, Schema};
use girih_model::{Error, Result, ResultExt};

use super::records::{Record, Splitter};
use super::rows::without_bom;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// What counts as a missing value.
const MISSING: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan",
];

pub(in crate::format) fn is_missing(text: &str) -> bool {
    text.len() <= 8 && (MISSING.contains(&text) || text == "null")
}

/// The names of the columns as pandas calls them: those without one by their position, those that come again with a
/// number.
pub(super) fn names(header: &Record) -> Vec<String> {
    let given = (0..header.len()).map(|n| {
        let (name, _) = header.field(n).unwrap_or_default();
        String::from_utf8_lossy(without_bom(name, n)).into_owned()
    });
    names_of(given.collect())
}

/// The same, of names that are given.
pub(in crate::format) fn names_of(mut given: Vec<String>) -> Vec<String> {
    for (n, name) in given.iter_mut().enumerate().filter(|(_, name)| name.is_empty()) {
        *name = format!("Unnamed: {n}");
    }
    let all: HashSet<&String> = given.iter().collect();
    let mut used: HashSet<String> = HashSet::new();
    let mut names = Vec::with_capacity(given.len());
    for name in &given {
        let mut unique = name.clone();
        let mut times = 0;
        while used.contains(&unique) || (times > 0 && all.contains(&unique)) {
            times += 1;
            unique = format!("{name}.{times}");
        }
        used.insert(unique.clone());
        names.push(unique);
    }
    names
}

/// What is known of a column.
#[derive(Debug, Clone)]
pub(in crate::format) struct Column {
    name: String,
    missing: u64,
    values: u64,
    /// All values so far can be read as…
    signed: bool,
    unsigned: bool,
    /// … whole numbers of any length.
    whole: bool,
    real: bool,
    truth: bool,
    /// Characters of the longest.
    longest: usize,
}

impl Column {
    pub(in crate::format) fn new(name: String) -> Self {
        let (missing, values, longest) = (0, 0, 0);
        Self { name, missing, values, signed: true, unsigned: true, whole: true, real: true, truth: true, longest }
    }

    pub(in crate::format) fn see(&mut self, text: &str) {
        self.longest = self.longest.max(text.chars().count());
        if is_missing(text) {
            self.missing += 1;
            return;
        }
        self.values += 1;
        if self.signed || self.unsigned || self.whole || self.real {
            let number = number(text);
            self.signed &= number.parse::<i64>().is_ok();
            self.unsigned &= number.parse::<u64>().is_ok();
            self.whole &= is_whole(number);
            self.real &= is_real(number);
        }
        self.truth &= matches!(text, "True" | "TRUE" | "true" | "False" | "FALSE" | "false");
    }

    pub(in crate::format) fn data_type(&self) -> DataType {
        match self.missing {
            _ if self.values == 0 => {
                if self.missing > 0 {
                    DataType::Float64
                } else {
                    DataType::LargeUtf8
                }
            }
            0 if self.signed => DataType::Int64,
            0 if self.unsigned => DataType::UInt64,
            _ if self.signed => DataType::Float64,
            // Whole numbers that no integer holds are not made inexact.
            _ if self.whole => DataType::LargeUtf8,
            _ if self.real => DataType::Float64,
            0 if self.truth => DataType::Boolean,
            _ => DataType::LargeUtf8,
        }
    }
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
    first.is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'i' | b'I')) && text.parse::<f64>().is_ok()
}

/// Looks at the records of one or more files.
pub(super) struct Inference {
    separator: u8,
    has_header: bool,
    columns: Option<Vec<Column>>,
    /// Of each file.
    pub(super) rows: Vec<u64>,
}

impl Inference {
    pub(super) fn new(separator: u8, has_header: bool) -> Self {
        Self { separator, has_header, columns: None, rows: Vec::new() }
    }

    /// # Errors
    /// `Unprocessable` when a row has more fields than the header, or a file other columns than the first.
    pub(super) fn look(&mut self, file: File) -> Result<()> {
        self.look_after(file, 0)
    }

    /// The same, leaving out so many records at the beginning.
    pub(super) fn look_after(&mut self, file: File, mut skipped: u64) -> Result<()> {
        let mut splitter = Splitter::with_separator(self.separator);
        let mut first = true;
        // With a first field without a name, which is a label of the row.
        let mut label = None;
        let mut rows = 0u64;
        let mut each = |record: &Record, line: u64| {
            if skipped > 0 {
                skipped -= 1;
                return Ok(());
            }
            if std::mem::take(&mut first) {
                self.begin(record)?;
                if self.has_header {
                    return Ok(());
                }
            }
            let columns = self.columns.as_mut().expect("made with the first record");
            let label = *label.get_or_insert(usize::from(self.has_header && record.len() == columns.len() + 1));
            if record.len() > columns.len() + label {
                return Err(Error::unprocessable(format!(
                    "Line {line} of the CSV file has {} fields, but there are {} columns. If its fields are not separated by {:?}, say so with the parameter \"sep\".",
                    record.len(),
                    columns.len(),
                    char::from(self.separator)
                )));
            }
            rows += 1;
            for (n, column) in columns.iter_mut().enumerate() {
                let (bytes, _) = record.field(n + label).unwrap_or_default();
                column.see(
                    std::str::from_utf8(bytes)
                        .or_error(|_| Error::unprocessable(format!("Line {line} of the CSV file is not UTF-8.")))?,
                );
            }
            Ok(())
        };
        let mut pieces = BufReader::with_capacity(PIECE, file);
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
        self.rows.push(rows);
        Ok(())
    }

    fn begin(&mut self, record: &Record) -> Result<()> {
        let names: Vec<String> = match self.has_header {
            true => names(record),
            false => (0..record.len()).map(|n| n.to_string()).collect(),
        };
        match &self.columns {
            None => self.columns = Some(names.into_iter().map(Column::new).collect()),
            Some(columns) if columns.iter().map(|column| &column.name).ne(&names) => {
                return Err(Error::unprocessable(format!(
                    "The CSV files have different columns: one has {names:?}. Register them one by one."
                )));
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

    /// Characters of the longest value of each column.
    pub(super) fn longest(&self) -> Vec<usize> {
        self.columns.iter().flatten().map(|column| column.longest).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn infer(text: &str) -> Result<Vec<(String, String)>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        let mut inference = Inference::new(b',', true);
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
        check("a\nTrue\nnull\n", &[("a", "LargeUtf8")]);
        check("t,v\n2020-01-01,007\n", &[("t", "LargeUtf8"), ("v", "Int64")]);
        check("a,b\n1,\n2,\n", &[("a", "Int64"), ("b", "Float64")]);
        check("a\n18446744073709551615\n1\n", &[("a", "UInt64")]);
        check("a\n18446744073709551616\n1\n", &[("a", "LargeUtf8")]);
        check("a\n-1\n18446744073709551615\n", &[("a", "LargeUtf8")]);
        check("a\n+1\n 2 \n\"3\"\n", &[("a", "Int64")]);
        check("a\ninf\n-Infinity\n1e5\n.5\n", &[("a", "Float64")]);
        check("a\n1_000\n", &[("a", "LargeUtf8")]);
        check("a\n1\nx\n", &[("a", "LargeUtf8")]);
        check("a,b\n", &[("a", "LargeUtf8"), ("b", "LargeUtf8")]);
        check("\u{feff}a\r\n1\r\n\r\n2\r\n", &[("a", "Int64")]);
    }

    #[test]
    fn names_are_those_of_pandas() {
        let names = |text: &str| infer(text).unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(",a\n0,1\n"), ["Unnamed: 0", "a"]);
        assert_eq!(names("a,a,a\n"), ["a", "a.1", "a.2"]);
        assert_eq!(names("a,a,a.1\n"), ["a", "a.2", "a.1"]);
        assert_eq!(names("a, b\n"), ["a", " b"]);
    }

    #[test]
    fn rows_may_be_short_but_not_long() {
        check("a,b,c\n1,2\n1,2,3\n", &[("a", "Int64"), ("b", "Int64"), ("c", "Float64")]);
        check("a,b\nx,1,2\ny,3,4\n", &[("a", "Int64"), ("b", "Int64")]);
        assert!(infer("a,b\n1,2\n1,2,3\n").unwrap_err().message().contains("Line 3"));
        assert!(infer("").unwrap_err().message().contains("empty"));
    }
}
