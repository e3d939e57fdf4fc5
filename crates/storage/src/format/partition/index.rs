//! The row index of pandas.
//!
//! pandas describes it in the schema's metadata (key `pandas`, JSON): `index_columns` lists its levels.
//! A level is the name of a column, or a range that is only mentioned: `{"kind": "range", "start": 0,
//! "stop": 3, "step": 1, "name": null}`. A file keeps the index that its rows came with; index columns
//! are not columns of the table, so formats that do not carry the description leave them out.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use futures::stream::{StreamExt, TryStreamExt};
use girih_model::{ResultExt, TableData};
use serde_json::{Map, Value, json};

/// pandas keeps levels without a name in columns that begin like this.
pub(crate) const UNNAMED: &str = "__index_level_";
/// The only one of them, or the first.
pub(crate) const FIRST_UNNAMED: &str = "__index_level_0__";
const PANDAS: &str = "pandas";

#[derive(Debug, Clone)]
pub(crate) struct RowIndex {
    levels: Levels,
    /// All that the schema says to pandas; empty if nothing.
    pandas: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq)]
enum Levels {
    /// Rows are numbered from 0 on.
    None,
    Range(Range),
    Columns(Vec<FieldRef>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Range {
    pub start: i64,
    stop: i64,
    pub step: i64,
    name: Value,
}

impl Range {
    fn parse(level: &Value) -> Option<Self> {
        let number = |key: &str| level.get(key)?.as_i64();
        let is_range = level.get("kind")? == "range";
        let range = Self {
            start: number("start")?,
            stop: number("stop")?,
            step: number("step")?,
            name: level.get("name").cloned().unwrap_or_default(),
        };
        (is_range && range.step != 0).then_some(range)
    }

    fn rows(&self) -> u64 {
        let (distance, step) = (i128::from(self.stop) - i128::from(self.start), i128::from(self.step));
        // Rounded up: a step that is not complete is one more row.
        let rows = (distance + step - step.signum()) / step;
        u64::try_from(rows.max(0)).unwrap_or(u64::MAX)
    }

    /// With `rows` more rows; `None` when the numbers are used up.
    fn grown(&self, rows: u64) -> Option<Self> {
        let rows = i64::try_from(self.rows().checked_add(rows)?).ok()?;
        let stop = self.start.checked_add(self.step.checked_mul(rows)?)?;
        Some(Self { stop, ..self.clone() })
    }

    /// Whether `next` goes on where this one ends.
    fn is_continued_by(&self, next: &Self) -> bool {
        self.step == next.step && self.grown(0).is_some_and(|this| this.stop == next.start)
    }

    fn is_trivial(&self) -> bool {
        self.start == 0 && self.step == 1
    }
}

impl RowIndex {
    pub(crate) fn none() -> Self {
        Self { levels: Levels::None, pandas: Map::new() }
    }

    /// One level without a name, whose values are a column.
    pub(crate) fn unnamed(data_type: DataType) -> Self {
        let (pandas, numpy) = match &data_type {
            DataType::Int64 => ("int64", "int64"),
            DataType::UInt64 => ("uint64", "uint64"),
            DataType::Float64 => ("float64", "float64"),
            DataType::Boolean => ("bool", "bool"),
            _ => ("unicode", "object"),
        };
        let described = json!({
            "name": null, "field_name": FIRST_UNNAMED, "pandas_type": pandas, "numpy_type": numpy, "metadata": null,
        });
        let level = Arc::new(Field::new(FIRST_UNNAMED, data_type, true));
        Self { levels: Levels::Columns(vec![level]), pandas: Map::from_iter([("columns".into(), json!([described]))]) }
    }

    /// The index that `schema` describes. A description that contradicts the schema counts as none.
    pub(crate) fn of(schema: &Schema) -> Self {
        let pandas: Option<Map<String, Value>> =
            schema.metadata().get(PANDAS).and_then(|text| serde_json::from_str(text).ok());
        let Some(pandas) = pandas else { return Self::none() };
        let levels = pandas.get("index_columns").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let columns =
            || -> Option<Vec<FieldRef>> { levels.iter().map(|level| index_column(schema, &pandas, level)).collect() };
        let levels = match levels {
            [] => Levels::None,
            [Value::Object(_)] => Range::parse(&levels[0]).map_or(Levels::None, Levels::Range),
            _ => columns().map_or(Levels::None, Levels::Columns),
        };
        Self { levels, pandas }
    }

    pub(crate) fn columns(&self) -> &[FieldRef] {
        if let Levels::Columns(columns) = &self.levels { columns } else { &[] }
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.columns().iter().any(|column| column.name() == name)
    }

    pub(crate) fn has_columns(&self) -> bool {
        matches!(self.levels, Levels::Columns(_))
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.levels != Levels::None
    }

    pub(crate) fn range(&self) -> Option<&Range> {
        if let Levels::Range(range) = &self.levels { Some(range) } else { None }
    }

    /// Without the levels that are columns for which `is_column` holds: those are meant as columns.
    pub(crate) fn without(mut self, is_column: impl Fn(&str) -> bool) -> Self {
        if let Levels::Columns(columns) = &mut self.levels {
            columns.retain(|column| !is_column(column.name()));
            if columns.is_empty() {
                self.levels = Levels::None;
            }
        }
        self
    }

    /// This index, if it is one of so many rows: a file may tell of a range that it was cut from.
    pub(crate) fn of_rows(mut self, rows: u64) -> Self {
        if self.range().is_some_and(|range| range.rows() != rows) {
            self.levels = Levels::None;
        }
        self
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.levels, &other.levels) {
            (Levels::Columns(a), Levels::Columns(b)) => {
                let same = |(a, b): (&FieldRef, &FieldRef)| a.name() == b.name() && a.data_type() == b.data_type();
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (a, b) => a == b,
        }
    }

    /// The index of both parts, one after the other, if they have one in common.
    pub(crate) fn joined(self, next: &Self) -> Option<Self> {
        let Levels::Range(range) = &self.levels else { return self.is_same(next).then_some(self) };
        let next = next.range().filter(|next| range.is_continued_by(next) && range.name == next.name)?;
        let grown = range.grown(next.rows())?;
        Some(Self { levels: Levels::Range(grown), ..self })
    }

    /// The index of a part that has this one, after rows with `next` were appended.
    ///
    /// Its kind stays: a range grows, and columns take the values of columns of the same names. Only where the
    /// numbers of the new rows do not go on with a range, the range becomes a column.
    pub(crate) fn extended(self, next: &Self, next_rows: u64) -> Self {
        let Levels::Range(range) = &self.levels else { return self };
        let goes_on = match &next.levels {
            Levels::None => true,
            Levels::Range(next) => next.is_trivial() || range.is_continued_by(next),
            Levels::Columns(columns) => {
                !matches!(&columns[..], [one] if one.name() == FIRST_UNNAMED && one.data_type().is_integer())
            }
        };
        match range.grown(next_rows).filter(|_| goes_on) {
            Some(grown) => Self { levels: Levels::Range(grown), ..self },
            None => self.spelled_out(),
        }
    }

    /// A range as a column.
    fn spelled_out(mut self) -> Self {
        let Levels::Range(range) = &self.levels else { return self };
        let described = json!({
            "name": range.name, "field_name": FIRST_UNNAMED, "pandas_type": "int64", "numpy_type": "int64",
            "metadata": null,
        });
        if let Some(Value::Array(columns)) = self.pandas.get_mut("columns") {
            columns.push(described);
        } else {
            self.pandas.insert("columns".into(), json!([described]));
        }
        self.levels = Levels::Columns(vec![Arc::new(Field::new(FIRST_UNNAMED, DataType::Int64, true))]);
        self
    }

    /// `schema` with this index instead of its own: its columns at the end, and described for pandas.
    pub(crate) fn attach(&self, schema: &SchemaRef) -> SchemaRef {
        let before = Self::of(schema);
        if self.is_same(&before) {
            return schema.clone();
        }
        let mut fields = schema.fields().to_vec();
        for column in self.columns() {
            if schema.index_of(column.name()).is_err() {
                fields.push(Arc::new(column.as_ref().clone().with_nullable(true)));
            }
        }
        let mut pandas = if before.pandas.is_empty() { self.pandas.clone() } else { before.pandas };
        let mut described = pandas.get("columns").and_then(Value::as_array).cloned().unwrap_or_default();
        for column in self.columns() {
            if description(&pandas, column.name()).is_none() {
                described.extend(description(&self.pandas, column.name()).cloned());
            }
        }
        pandas.insert("columns".into(), described.into());
        pandas.insert("index_columns".into(), self.levels.described());
        let mut metadata = schema.metadata().clone();
        metadata.insert(PANDAS.into(), Value::Object(pandas).to_string());
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }
}

impl Levels {
    fn described(&self) -> Value {
        match self {
            Self::None => json!([]),
            Self::Range(Range { start, stop, step, name }) => {
                json!([{"kind": "range", "name": name, "start": start, "stop": stop, "step": step}])
            }
            Self::Columns(columns) => columns.iter().map(|column| column.name().as_str()).collect(),
        }
    }
}

fn index_column(schema: &Schema, pandas: &Map<String, Value>, level: &Value) -> Option<FieldRef> {
    let at = schema.index_of(level.as_str()?).ok()?;
    description(pandas, schema.field(at).name())?;
    Some(schema.fields()[at].clone())
}

/// What is said of a column: pandas does not read an index column without it.
fn description<'a>(pandas: &'a Map<String, Value>, column: &str) -> Option<&'a Value> {
    let mut columns = pandas.get("columns")?.as_array()?.iter();
    columns.find(|described| described.get("field_name").or_else(|| described.get("name")).is_some_and(|n| n == column))
}

/// The schema under which rows of the schema `body` are kept: the columns that were declared, and the index
/// of the body, unless the declaration has its own index columns.
pub(crate) fn stored(body: &Schema, declared: &SchemaRef) -> SchemaRef {
    if RowIndex::of(declared).has_columns() {
        return declared.clone();
    }
    RowIndex::of(body).without(|name| declared.index_of(name).is_ok()).attach(declared)
}

/// The schema without index columns.
pub(crate) fn columns_of(schema: &Schema) -> Schema {
    let index = RowIndex::of(schema);
    let fields = schema.fields().iter().filter(|field| !index.has_column(field.name())).cloned();
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

/// The table without index columns, for formats that have no way to tell that they are such.
pub(crate) fn columns_only(table: TableData) -> TableData {
    let schema = columns_of(&table.schema);
    if schema.fields().len() == table.schema.fields().len() {
        return table;
    }
    let index = RowIndex::of(&table.schema);
    let positions = (0..table.schema.fields().len()).filter(|n| !index.has_column(table.schema.field(*n).name()));
    let positions: Vec<usize> = positions.collect();
    let batches = table.batches.and_then(move |batch| {
        let projected = batch.project(&positions).internal(|| "leaving out index columns".into());
        std::future::ready(projected)
    });
    TableData { schema: Arc::new(schema), batches: batches.boxed() }
}

#[cfg(test)]
mod tests;
