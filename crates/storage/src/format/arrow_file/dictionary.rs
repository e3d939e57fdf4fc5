//! One dictionary per column for a whole file, that grows as batches with other dictionaries come.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array, make_array};
use arrow::compute::{CastOptions, cast, cast_with_options, concat, take};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::row::{OwnedRow, RowConverter, SortField};
use girih_model::{Error, Result, ResultExt};

pub(super) struct Dictionaries {
    columns: Vec<Option<Column>>,
}

struct Column {
    rows: RowConverter,
    /// Position of each value.
    positions: HashMap<OwnedRow, i64>,
    values: Option<ArrayRef>,
    /// The dictionary that came last, and where its values are now.
    last: Option<(ArrayRef, Vec<i64>)>,
}

impl Dictionaries {
    /// Columns whose values cannot be compared, and dictionaries inside of others, are left as they are.
    pub(super) fn new(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(_, value) => {
                let sort = vec![SortField::new(value.as_ref().clone())];
                let rows = RowConverter::supports_fields(&sort).then(|| RowConverter::new(sort).ok()).flatten()?;
                Some(Column { rows, positions: HashMap::new(), values: None, last: None })
            }
            _ => None,
        });
        Self { columns: columns.collect() }
    }

    pub(super) fn unify(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        if self.columns.iter().all(Option::is_none) {
            return Ok(batch.clone());
        }
        let schema = batch.schema();
        let columns = self.columns.iter_mut().zip(batch.columns()).zip(schema.fields());
        let columns = columns.map(|((column, array), field)| match column {
            Some(column) => column.unify(array, field.name()),
            None => Ok(array.clone()),
        });
        let columns = columns.collect::<Result<_>>()?;
        RecordBatch::try_new(schema.clone(), columns).internal(|| "unifying dictionaries".into())
    }
}

impl Column {
    fn unify(&mut self, array: &ArrayRef, name: &str) -> Result<ArrayRef> {
        let context = || format!("unifying the dictionary of the column {name:?}");
        let dictionary = array.as_any_dictionary();
        let same = self.last.as_ref().is_some_and(|(last, _)| last.to_data().ptr_eq(&dictionary.values().to_data()));
        if !same {
            let moved = self.add(dictionary.values())?;
            self.last = Some((dictionary.values().clone(), moved));
        }
        let (Some((_, moved)), Some(values)) = (&self.last, &self.values) else { return Ok(array.clone()) };
        let keys = make_array(dictionary.keys().to_data());
        let positions = cast(&keys, &DataType::Int64).internal(context)?;
        let positions = positions.as_primitive::<Int64Type>().iter();
        let positions: Int64Array = positions.map(|key| key.and_then(|key| moved.get(key as usize).copied())).collect();
        let options = CastOptions { safe: false, ..Default::default() };
        let keys = cast_with_options(&positions, keys.data_type(), &options).or_error(|_| {
            Error::not_acceptable(format!(
                "The dictionary of the column {name:?} has more values than its keys of type {} can count. Choose Parquet instead.",
                keys.data_type()
            ))
        })?;
        let data = keys.to_data().into_builder().data_type(array.data_type().clone()).add_child_data(values.to_data());
        Ok(make_array(data.build().internal(context)?))
    }

    /// Adds what is new; returns where each value is.
    fn add(&mut self, values: &ArrayRef) -> Result<Vec<i64>> {
        let context = || "comparing the values of dictionaries".to_owned();
        let rows = self.rows.convert_columns(std::slice::from_ref(values)).internal(context)?;
        let mut len = self.values.as_ref().map_or(0, |values| values.len() as i64);
        let mut new = Vec::new();
        let moved = rows.iter().enumerate().map(|(n, row)| {
            *self.positions.entry(row.owned()).or_insert_with(|| {
                new.push(n as u64);
                len += 1;
                len - 1
            })
        });
        let moved = moved.collect();
        if !new.is_empty() || self.values.is_none() {
            let added = take(values, &UInt64Array::from(new), None).internal(context)?;
            self.values = Some(match &self.values {
                Some(old) => concat(&[old.as_ref(), added.as_ref()]).internal(context)?,
                None => added,
            });
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::DictionaryArray;
    use arrow::datatypes::{Field, Int8Type};

    use std::sync::Arc;

    use super::*;

    fn batch(words: &[Option<&str>]) -> RecordBatch {
        let array: DictionaryArray<Int8Type> = words.iter().copied().collect();
        let schema = Schema::new(vec![Field::new("a", array.data_type().clone(), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(array)]).unwrap()
    }

    #[test]
    fn the_dictionary_grows_and_keeps_its_beginning() {
        let first = batch(&[Some("x"), None, Some("y")]);
        let second = batch(&[Some("z"), Some("y"), Some("y"), None]);
        let mut dictionaries = Dictionaries::new(&first.schema());
        for (given, size) in [(&first, 2), (&second, 3), (&first, 3)] {
            let unified = dictionaries.unify(given).unwrap();
            let plain = |batch: &RecordBatch| cast(batch.column(0), &DataType::Utf8).unwrap();
            assert_eq!(&plain(&unified), &plain(given));
            assert_eq!(unified.column(0).as_any_dictionary().values().len(), size);
        }
        let many: Vec<String> = (0..100).map(|n| format!("w{n}")).collect();
        let many: Vec<Option<&str>> = many.iter().map(|word| Some(word.as_str())).collect();
        dictionaries.unify(&batch(&many)).unwrap();
        let more: Vec<String> = (100..200).map(|n| format!("w{n}")).collect();
        let more: Vec<Option<&str>> = more.iter().map(|word| Some(word.as_str())).collect();
        let e = dictionaries.unify(&batch(&more)).unwrap_err();
        assert!(e.message().contains("Int8"), "{e}");
    }
}
