//! The cells of a sheet as columns, with the types that `pandas.read_excel` gives them.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DurationNanosecondArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use calamine::{DataRef, ExcelDateTime, Xlsx};
use girih_model::{Error, Result, ResultExt};

use super::damaged;
use crate::format::csv::infer::{self, is_missing, names_of, number};

/// Most cells of a sheet that hold something, and most places for cells.
const MAX_CELLS: usize = 4 << 20;
const MAX_PLACES: usize = 16 << 20;
/// Size of a sheet (ECMA-376-1, 18.3.1.73; Excel's specifications).
const MAX_ROWS: u32 = 1 << 20;
const MAX_COLUMNS: u32 = 1 << 14;
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// # Errors
/// `Unprocessable` when the file is damaged, `Unsupported` for sheets that are too large.
pub(super) fn read(book: &mut Xlsx<BufReader<File>>, name: &str) -> Result<RecordBatch> {
    let mut cells = book.worksheet_cells_reader(name).or_error(|e| damaged(e))?;
    let mut sheet = Sheet::default();
    while let Some(cell) = cells.next_cell().or_error(|e| damaged(e))? {
        let (row, column) = cell.get_position();
        sheet.push(row, column, cell.get_value())?;
    }
    sheet.finish()
}

/// Cells that hold something, column by column.
#[derive(Default)]
struct Sheet {
    columns: Vec<Column>,
    count: usize,
    rows: u32,
}

#[derive(Default)]
struct Column {
    cells: Vec<(u32, Value)>,
    /// Of all its cells, one after another.
    text: String,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Number(f64),
    Truth(bool),
    /// Where it begins and ends.
    Text(u32, u32),
    /// Microseconds since 1970-01-01.
    Time(i64),
    /// Microseconds.
    Duration(i64),
}

impl Sheet {
    fn push(&mut self, row: u32, column: u32, value: &DataRef<'_>) -> Result<()> {
        if matches!(value, DataRef::Empty) {
            return Ok(());
        }
        if row >= MAX_ROWS || column >= MAX_COLUMNS {
            return Err(damaged(&"it has a cell where no sheet has one"));
        }
        self.count += 1;
        if self.count > MAX_CELLS {
            return Err(Error::unsupported(format!(
                "A sheet with more than {MAX_CELLS} cells is not read. Save it as CSV or Parquet."
            )));
        }
        let column = column as usize;
        if self.columns.len() <= column {
            self.columns.resize_with(column + 1, Column::default);
        }
        self.rows = self.rows.max(row + 1);
        self.columns[column].push(row, value)
    }

    fn finish(self) -> Result<RecordBatch> {
        let rows = self.rows.saturating_sub(1) as usize;
        if rows.saturating_mul(self.columns.len()) > MAX_PLACES {
            return Err(Error::unsupported("A sheet with so much empty space is not read. Save it as CSV or Parquet."));
        }
        let names = names_of(self.columns.iter().map(Column::name).collect());
        let mut fields = Vec::with_capacity(names.len());
        let mut arrays = Vec::with_capacity(names.len());
        for (name, column) in names.into_iter().zip(self.columns) {
            let array = column.finish(rows)?;
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .internal(|| "putting the columns of a sheet together".into())
    }
}

impl Column {
    fn push(&mut self, row: u32, value: &DataRef<'_>) -> Result<()> {
        let value = match value {
            // As a name it is the text of what pandas reads.
            DataRef::Error(_) if row == 0 => self.text("nan")?,
            DataRef::Empty | DataRef::Error(_) => return Ok(()),
            DataRef::Int(number) => Value::Number(*number as f64),
            DataRef::Float(number) => Value::Number(*number),
            DataRef::Bool(truth) => Value::Truth(*truth),
            DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => self.text(text)?,
            DataRef::SharedString(text) => self.text(text)?,
            DataRef::DateTime(time) if time.is_duration() => {
                Value::Duration((time.as_f64() * MICROSECONDS_PER_DAY as f64).round() as i64)
            }
            DataRef::DateTime(time) if time.as_f64() >= 1.0 => Value::Time(microseconds(time)),
            DataRef::DateTime(time) => {
                let seconds = (time.as_f64() * 86_400.0).round() as i64;
                self.text(&format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))?
            }
        };
        self.cells.push((row, value));
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<Value> {
        let start = self.text.len();
        self.text.push_str(text);
        match (u32::try_from(start), u32::try_from(self.text.len())) {
            (Ok(start), Ok(end)) if end < 1 << 28 => Ok(Value::Text(start, end)),
            _ => Err(Error::unsupported("A column with so much text is not read. Save it as CSV or Parquet.")),
        }
    }

    /// What stands in the first row.
    fn name(&self) -> String {
        match self.cells.first() {
            Some((0, value)) => self.shown(*value),
            _ => String::new(),
        }
    }

    /// As Python writes it.
    fn shown(&self, value: Value) -> String {
        match value {
            Value::Number(number) => of_number(number),
            Value::Truth(truth) => if truth { "True" } else { "False" }.to_owned(),
            Value::Text(start, end) => self.text.get(start as usize..end as usize).unwrap_or_default().to_owned(),
            Value::Time(time) => of_time(time),
            Value::Duration(duration) => of_duration(duration),
        }
    }

    /// The column without its name, with a value or nothing for each row.
    fn finish(self, rows: usize) -> Result<ArrayRef> {
        let mut values: Vec<Option<Value>> = vec![None; rows];
        for (row, value) in &self.cells {
            let place = (*row as usize).checked_sub(1).and_then(|row| values.get_mut(row));
            place.into_iter().for_each(|place| *place = Some(*value));
        }
        let has_missing = values.iter().any(Option::is_none);
        let found = || values.iter().flatten();
        if found().next().is_some() {
            if found().all(|value| matches!(value, Value::Time(_))) {
                return Ok(times(&values));
            }
            if found().all(|value| matches!(value, Value::Duration(_))) {
                let ticks = values.iter().map(|value| match value {
                    Some(Value::Duration(duration)) => Some(duration.saturating_mul(1000)),
                    _ => None,
                });
                return Ok(Arc::new(ticks.collect::<DurationNanosecondArray>()));
            }
            if found().all(|value| matches!(value, Value::Number(_)))
                && let Some(array) = numbers(&values, has_missing)
            {
                return Ok(array);
            }
        }
        self.guessed(&values, has_missing)
    }

    /// Of values of several kinds: numbers written as text are numbers, and truths among numbers are 1 and 0.
    fn guessed(&self, values: &[Option<Value>], has_missing: bool) -> Result<ArrayRef> {
        let shown = |value: &Option<Value>, as_number: bool| match value {
            Some(Value::Truth(truth)) if as_number => u8::from(*truth).to_string(),
            Some(value) => self.shown(*value),
            None => String::new(),
        };
        let has_truth = values.iter().any(|value| matches!(value, Some(Value::Truth(_))));
        let guess = |as_number: bool| {
            let mut column = infer::Column::new(String::new());
            values.iter().for_each(|value| column.see(&shown(value, as_number)));
            column.data_type()
        };
        let plain = guess(false);
        let (wanted, as_number) = match guess(true) {
            number if has_truth && number.is_numeric() && (plain != DataType::Boolean || has_missing) => (number, true),
            _ => (plain, false),
        };
        let mut texts = StringBuilder::new();
        for value in values {
            let text = shown(value, as_number);
            match value {
                Some(_) if !is_missing(&text) => {
                    texts.append_value(if wanted == DataType::LargeUtf8 { &text } else { number(&text) });
                }
                _ => texts.append_null(),
            }
        }
        let options = CastOptions { safe: true, ..CastOptions::default() };
        cast_with_options(&texts.finish(), &wanted, &options).or_error(|e| damaged(e))
    }
}

/// Integers, if all are whole and none is missing; `None` where they are whole, but too large.
fn numbers(values: &[Option<Value>], has_missing: bool) -> Option<ArrayRef> {
    let reals = || {
        values.iter().map(|value| match value {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        })
    };
    if has_missing || !reals().flatten().all(|real| real.fract() == 0.0) {
        return Some(Arc::new(reals().collect::<Float64Array>()));
    }
    let fits = reals().flatten().all(|real| (i64::MIN as f64..i64::MAX as f64).contains(&real));
    fits.then(|| Arc::new(reals().map(|real| real.map(|real| real as i64)).collect::<Int64Array>()) as ArrayRef)
}

/// In nanoseconds, unless that is too fine for one of them.
fn times(values: &[Option<Value>]) -> ArrayRef {
    let times = || {
        values.iter().map(|value| match value {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        })
    };
    if times().flatten().all(|time| time.checked_mul(1000).is_some()) {
        return Arc::new(times().map(|time| Some(time? * 1000)).collect::<TimestampNanosecondArray>());
    }
    Arc::new(times().collect::<TimestampMicrosecondArray>())
}

/// Since 1970-01-01.
fn microseconds(time: &ExcelDateTime) -> i64 {
    let (year, month, day, hour, minute, second, milli) = time.to_ymd_hms_milli();
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    days(year.into(), month.into(), day.into()) * MICROSECONDS_PER_DAY + seconds * 1_000_000 + i64::from(milli) * 1000
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// As Python writes it, whole numbers without a point.
fn of_number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 2e19 { format!("{:.0}", number + 0.0) } else { format!("{number:?}") }
}

/// As Python writes a `datetime`.
fn of_time(time: i64) -> String {
    let array = TimestampMicrosecondArray::from(vec![time]);
    let text = arrow::util::display::array_value_to_string(&array, 0).unwrap_or_default();
    text.replace('T', " ")
}

/// As Python writes a `timedelta`.
fn of_duration(duration: i64) -> String {
    let (days, rest) = (duration.div_euclid(MICROSECONDS_PER_DAY), duration.rem_euclid(MICROSECONDS_PER_DAY));
    let (seconds, micro) = (rest / 1_000_000, rest % 1_000_000);
    let days = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let micro = if micro == 0 { String::new() } else { format!(".{micro:06}") };
    format!("{days}{}:{:02}:{:02}{micro}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use super::*;

    #[test]
    fn days_are_counted() {
        for (date, expected) in
            [((1970, 1, 1), 0), ((2000, 3, 1), 11_017), ((1969, 12, 31), -1), ((1900, 1, 1), -25_567)]
        {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }

    fn check(cells: &[DataRef<'_>], data_type: &str, expected: &[&str]) {
        let mut column = Column::default();
        for (cell, row) in cells.iter().zip(1..) {
            column.push(row, cell).unwrap();
        }
        let array = column.finish(cells.len()).unwrap();
        let shown = (0..cells.len()).map(|row| array_value_to_string(&array, row).unwrap());
        assert_eq!(
            (array.data_type().to_string().as_str(), shown.collect::<Vec<_>>()),
            (data_type, expected.iter().map(|text| (*text).to_owned()).collect()),
            "{cells:?}"
        );
    }

    /// As `pandas.read_excel` 2.3 has it.
    #[test]
    fn types_are_those_of_pandas() {
        use DataRef as C;
        let text = |text: &'static str| C::SharedString(text);
        check(&[C::Float(1.0), C::Float(2.0)], "Int64", &["1", "2"]);
        check(&[C::Float(1.0), C::Float(2.5)], "Float64", &["1.0", "2.5"]);
        check(&[C::Float(1.0), C::Empty], "Float64", &["1.0", ""]);
        check(&[C::Float(1e19), C::Float(1.0)], "UInt64", &["10000000000000000000", "1"]);
        check(&[C::Bool(true), C::Bool(false)], "Boolean", &["true", "false"]);
        check(&[C::Bool(true), C::Empty], "Float64", &["1.0", ""]);
        check(&[C::Bool(true), C::Float(2.0)], "Int64", &["1", "2"]);
        check(&[C::Bool(true), text("x")], "LargeUtf8", &["True", "x"]);
        check(&[text("007"), text("8")], "Int64", &["7", "8"]);
        check(&[text("x"), text("NA"), C::Float(2.0)], "LargeUtf8", &["x", "", "2"]);
        check(&[C::Empty, C::Empty], "Float64", &["", ""]);
        check(&[C::Error(calamine::CellErrorType::Div0), C::Float(1.0)], "Float64", &["", "1.0"]);
    }

    #[test]
    fn errors_are_missing_values_in_rows_of_their_own() {
        use DataRef as C;
        let error = C::Error(calamine::CellErrorType::NA);
        let mut sheet = Sheet::default();
        for (row, column, cell) in [(0, 0, &C::Float(7.0)), (0, 1, &error), (1, 0, &error), (2, 2, &error)] {
            sheet.push(row, column, cell).unwrap();
        }
        let batch = sheet.finish().unwrap();
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!((names, batch.num_rows()), (["7", "nan", "Unnamed: 2"].map(str::to_owned).to_vec(), 2));
        assert!(batch.columns().iter().all(|column| column.null_count() == 2));
    }

    #[test]
    fn what_lies_outside_of_a_sheet_is_damage() {
        let cell = DataRef::Float(1.0);
        for (row, column) in [(MAX_ROWS, 0), (u32::MAX, 0), (0, MAX_COLUMNS), (0, u32::MAX)] {
            assert!(Sheet::default().push(row, column, &cell).is_err());
        }
        let mut sheet = Sheet::default();
        sheet.push(MAX_ROWS - 1, 0, &cell).unwrap();
        sheet.push(0, MAX_COLUMNS - 1, &cell).unwrap();
        assert_eq!(sheet.finish().unwrap_err().kind(), girih_model::ErrorKind::Unsupported);
    }
}
