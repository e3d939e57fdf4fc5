//! Fitting the batches of a body or file to the schema that the table was created with.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use girih_model::{Error, Result, ResultExt};

use super::index::{RowIndex, UNNAMED};

/// How batches of one schema become batches of another: columns by name, types by casts that lose
/// nothing (plain to dictionary, short to long, …).
#[derive(Debug)]
pub(crate) struct Fit {
    schema: SchemaRef,
    sources: Vec<Source>,
    /// Batches are already as wanted.
    identical: bool,
    rows: i64,
}

#[derive(Debug)]
enum Source {
    Column(usize),
    /// The row index of a pandas table that has the trivial one: `start + n * step`.
    Range {
        start: i64,
        step: i64,
    },
    Null,
}

/// `to`, with the types of `from` where it has columns of the type null: a program that describes a
/// table by an empty one (as Dask does) cannot tell what its text columns will hold.
pub(crate) fn refined(from: &Schema, to: &SchemaRef) -> SchemaRef {
    let open = |data_type: &DataType| *data_type == DataType::Null;
    if !to.fields().iter().any(|field| open(field.data_type())) {
        return to.clone();
    }
    let fields = to.fields().iter().map(|field| match from.field_with_name(field.name()) {
        Ok(found) if open(field.data_type()) => Arc::new(found.clone().with_nullable(true)),
        _ => field.clone(),
    });
    let fields: Vec<_> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, to.metadata().clone()))
}

impl Fit {
    /// # Errors
    /// `Unprocessable` names the column that is missing, unknown, or of another type.
    pub(crate) fn new(from: &Schema, to: &SchemaRef) -> Result<Self> {
        let sources = if from.fields().iter().map(|f| f.name()).eq(to.fields().iter().map(|f| f.name())) {
            (0..to.fields().len()).map(Source::Column).collect()
        } else {
            by_name(from, to)?
        };
        for (source, field) in sources.iter().zip(to.fields()) {
            if let Source::Column(n) = source {
                let given = from.field(*n).data_type();
                if !is_kin(given, field.data_type()) {
                    return Err(Error::unprocessable(format!(
                        "The column {:?} has the type {given}, but this table was created with {}.",
                        field.name(),
                        field.data_type()
                    )));
                }
            }
        }
        let identical = from.fields().len() == to.fields().len()
            && sources.iter().zip(to.fields()).enumerate().all(|(at, (source, field))| {
                matches!(source, Source::Column(n) if *n == at && from.field(at).data_type() == field.data_type()
                    && (field.is_nullable() || !from.field(at).is_nullable()))
            });
        Ok(Self { schema: to.clone(), sources, identical, rows: 0 })
    }

    pub(crate) fn apply(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let context = || "fitting a batch to the table's schema".to_owned();
        if self.identical {
            let columns = batch.columns().to_vec();
            return RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).internal(context);
        }
        let columns = self.sources.iter().zip(self.schema.fields()).map(|(source, field)| {
            let array = match source {
                Source::Column(n) => cast(field.name(), batch.column(*n), field.data_type())?,
                Source::Range { start, step } => {
                    let numbers = (0..rows as i64).map(|n| start.wrapping_add(step.wrapping_mul(self.rows + n)));
                    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
                    cast(field.name(), &numbers, field.data_type())?
                }
                Source::Null => new_null_array(field.data_type(), rows),
            };
            if !field.is_nullable() && array.logical_null_count() > 0 {
                return Err(Error::unprocessable(format!(
                    "The column {:?} has missing values, but this table was created with a column that has none.",
                    field.name()
                )));
            }
            Ok(array)
        });
        let columns = columns.collect::<Result<_>>()?;
        self.rows += rows as i64;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).or_error(|e| {
            Error::unprocessable(format!("The table does not fit the schema that it was created with: {e}"))
        })
    }
}

/// Index columns may be missing; those that are not wanted are left out.
fn by_name(from: &Schema, to: &SchemaRef) -> Result<Vec<Source>> {
    let (given, wanted) = (RowIndex::of(from), RowIndex::of(to));
    for (n, field) in from.fields().iter().enumerate() {
        let name = field.name();
        if from.fields()[..n].iter().any(|other| other.name() == name) {
            return Err(Error::unprocessable(format!("The column {name:?} appears twice.")));
        }
        let is_index = name.starts_with(UNNAMED) || (given.has_column(name) && !wanted.has_columns());
        if to.field_with_name(name).is_err() && !is_index {
            return Err(Error::unprocessable(format!(
                "The column {name:?} is not one of this table, which has {:?}.",
                names(to)
            )));
        }
    }
    let sources = to.fields().iter().map(|field| match (from.index_of(field.name()), given.range()) {
        (Ok(n), _) => Ok(Source::Column(n)),
        (Err(_), Some(range)) if field.name().starts_with(UNNAMED) && field.data_type().is_numeric() => {
            Ok(Source::Range { start: range.start, step: range.step })
        }
        (Err(_), _) if field.name().starts_with(UNNAMED) || wanted.has_column(field.name()) => Ok(Source::Null),
        (Err(_), _) => Err(Error::unprocessable(format!("The column {:?} is missing.", field.name()))),
    });
    sources.collect()
}

pub(crate) fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

/// Types whose values are of the same kind.
fn is_kin(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        _ if from == to => true,
        (T::Null, _) => true,
        (T::Dictionary(_, value), other) | (other, T::Dictionary(_, value)) => is_kin(value, other),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
        (
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_),
            T::Binary | T::LargeBinary | T::BinaryView,
        ) => true,
        (T::Timestamp(_, from), T::Timestamp(_, to)) => from == to,
        (T::Duration(_), T::Duration(_)) => true,
        (T::Date32 | T::Date64, T::Date32 | T::Date64) => true,
        (T::Time32(_) | T::Time64(_), T::Time32(_) | T::Time64(_)) => true,
        (a, b) if a.is_integer() => b.is_integer() || b.is_floating(),
        (a, b) if a.is_floating() => b.is_floating(),
        (a, b) if a.is_decimal() => b.is_decimal(),
        (T::List(a) | T::LargeList(a) | T::FixedSizeList(a, _), T::List(b) | T::LargeList(b)) => {
            is_kin(a.data_type(), b.data_type())
        }
        (T::FixedSizeList(a, n), T::FixedSizeList(b, m)) => n == m && is_kin(a.data_type(), b.data_type()),
        (T::ListView(a), T::ListView(b))
        | (T::LargeListView(a), T::LargeListView(b))
        | (T::Map(a, _), T::Map(b, _)) => is_kin(a.data_type(), b.data_type()),
        (T::Struct(a), T::Struct(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && is_kin(a.data_type(), b.data_type()))
        }
        _ => false,
    }
}

fn cast(name: &str, array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..Default::default() };
    let lossy = |what: &dyn std::fmt::Display| {
        Error::unprocessable(format!(
            "The column {name:?} has the type {}, and its values do not fit {to}, with which this table was created: {what}.",
            array.data_type()
        ))
    };
    let result = cast_with_options(array, to, &options).or_error(|e| lossy(e))?;
    let numeric = |data_type: &DataType| data_type.is_numeric() || data_type.is_temporal();
    if numeric(array.data_type()) && numeric(to) {
        let back = cast_with_options(&result, array.data_type(), &options).or_error(|e| lossy(e))?;
        if back.to_data() != array.to_data() {
            return Err(lossy(&"some would be rounded"));
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Float64Array, Int32Array, StringArray};
    use arrow::datatypes::{Field, Int8Type};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    fn fit(batch: RecordBatch, fields: Vec<Field>) -> Result<RecordBatch> {
        Fit::new(&batch.schema(), &Arc::new(Schema::new(fields)))?.apply(batch)
    }

    #[test]
    fn columns_are_found_by_name_and_cast() {
        let words: DictionaryArray<Int8Type> = ["x", "y"].into_iter().collect();
        let given = batch(vec![
            ("b", Arc::new(words)),
            ("a", Arc::new(Int32Array::from(vec![1, 2]))),
            ("__index_level_0__", Arc::new(Int32Array::from(vec![7, 8]))),
        ]);
        let fields = vec![Field::new("a", DataType::Float64, false), Field::new("b", DataType::LargeUtf8, true)];
        let fitted = fit(given, fields).unwrap();
        assert_eq!(fitted.num_columns(), 2);
        assert_eq!(
            *fitted.column(0).to_data().buffers()[0],
            *Float64Array::from(vec![1.0, 2.0]).to_data().buffers()[0]
        );
    }

    #[test]
    fn a_trivial_index_is_filled_in() {
        let given = batch(vec![("a", Arc::new(Int32Array::from(vec![1, 2])))]);
        let pandas = r#"{"index_columns":[{"kind":"range","name":null,"start":10,"stop":12,"step":1}]}"#;
        let schema = given.schema().as_ref().clone().with_metadata([("pandas".to_owned(), pandas.to_owned())].into());
        let to = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("__index_level_0__", DataType::Int64, true),
        ]));
        let mut fit = Fit::new(&schema, &to).unwrap();
        for expected in [[10, 11], [12, 13]] {
            let fitted = fit.apply(given.clone()).unwrap();
            assert_eq!(fitted.column(1).as_any().downcast_ref::<Int64Array>().unwrap().values(), &expected);
        }
    }

    #[test]
    fn columns_of_unknown_type_take_what_comes() {
        let given = batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))]);
        let to = Arc::new(Schema::new(vec![Field::new("a", DataType::Null, true)]));
        let to = refined(&given.schema(), &to);
        assert_eq!(to.field(0).data_type(), &DataType::Utf8);
        let nulls = batch(vec![("a", Arc::new(arrow::array::NullArray::new(2)))]);
        assert_eq!(Fit::new(&nulls.schema(), &to).unwrap().apply(nulls).unwrap().column(0).null_count(), 2);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |given: ArrayRef, field: Field, expected: &str| {
            let e = fit(batch(vec![("a", given)]), vec![field]).unwrap_err();
            assert!(e.message().contains(expected), "{e}");
        };
        let ints = || -> ArrayRef { Arc::new(Int32Array::from(vec![Some(300), None])) };
        check(ints(), Field::new("b", DataType::Int32, true), "\"a\" is not one of this table");
        check(ints(), Field::new("a", DataType::Utf8, true), "created with Utf8");
        check(ints(), Field::new("a", DataType::Int8, true), "do not fit Int8");
        check(ints(), Field::new("a", DataType::Int32, false), "missing values");
        check(Arc::new(Float64Array::from(vec![0.1])), Field::new("a", DataType::Float32, true), "rounded");
        check(Arc::new(Float64Array::from(vec![1.0])), Field::new("a", DataType::Int32, true), "created with Int32");
        let e = fit(
            batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))]),
            vec![Field::new("a", DataType::Utf8, true), Field::new("c", DataType::Utf8, true)],
        );
        assert!(e.unwrap_err().message().contains("\"c\" is missing"));
    }
}
