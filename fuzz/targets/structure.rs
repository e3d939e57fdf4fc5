//! The JSON of structures: whatever is read is consistent, and comes back as it was from the catalog and a client.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bolero::check;
use girih_model::{DType, Family, Structure, TableStructure};

use crate::edits::Edits;
use crate::limits::{SHORT, blames_the_caller, limited};

const WORDS: [&str; 22] = [
    "0",
    "1",
    "-1",
    "1.5",
    "1e999",
    "18446744073709551615",
    "9223372036854775807",
    "null",
    "true",
    "\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "[[[[[[[[[[[[[[[[[[[[",
    "\"U\"",
    "\"[25ns]\"",
    "\"itemsize\": 4",
    "\"fields\": []",
    "4294967296",
];

const ARRAYS: [&str; 4] = [
    r#"{"data_type": {"endianness": "little", "kind": "i", "itemsize": 4, "dt_units": null}, "chunks": [[3, 1], [4]], "shape": [4, 4], "dims": ["y", "x"], "resizable": false}"#,
    r#"{"data_type": {"endianness": "little", "kind": "M", "itemsize": 8, "dt_units": "[10ms]"}, "chunks": [[2]], "shape": [2], "resizable": [true]}"#,
    r#"{"data_type": {"itemsize": 12, "fields": [{"name": "a", "dtype": {"endianness": "big", "kind": "f", "itemsize": 8}, "shape": null}, {"name": "b", "dtype": {"itemsize": 4, "fields": [{"name": "c", "dtype": {"endianness": "not_applicable", "kind": "S", "itemsize": 1}, "shape": [2, 2]}]}}]}, "chunks": [], "shape": []}"#,
    r#"{"data_type": {"endianness": "little", "kind": "U", "itemsize": 40}, "chunks": [[0], [1, 1, 1]], "shape": [0, 3]}"#,
];

fn table() -> String {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Float32, true)));
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("list", list, true),
        Field::new("word", words, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]);
    serde_json::to_string(&Structure::Table(TableStructure::new(Arc::new(schema), 3))).unwrap()
}

/// Sent to a client and back.
fn again(structure: &Structure) -> Structure {
    Structure::parse(structure.family(), &serde_json::to_string(structure).unwrap()).unwrap()
}

fn check_structure(family: Family, text: &str) {
    match limited(64 << 20, || Structure::parse(family, text)) {
        Err(error) => blames_the_caller(&error),
        Ok(structure) => {
            assert_eq!(structure.family(), family);
            // Arrow knows two spellings of some schemas, such as no time zone; it writes one of them.
            let structure = again(&structure);
            assert_eq!(again(&structure), structure, "{text}");
            assert_eq!(Structure::from_stored(family, &structure.to_stored()).unwrap(), structure, "{text}");
            if let Structure::Array(array) = &structure {
                assert_eq!(array.chunks.len(), array.shape.len());
                for (chunks, len) in array.chunks.iter().zip(&array.shape) {
                    assert_eq!(chunks.total(), Some(*len));
                }
            }
        }
    }
}

#[test]
fn arrays() {
    for seed in ARRAYS {
        Structure::parse(Family::Array, seed).unwrap();
    }
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        check_structure(Family::Array, &edits.text(&ARRAYS, &WORDS));
    });
}

#[test]
fn tables() {
    let seed = table();
    Structure::parse(Family::Table, &seed).unwrap();
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        check_structure(Family::Table, &edits.text(&[&seed], &WORDS));
    });
}

/// The schema message, changed before it is packed into base64.
#[test]
fn schemas() {
    use base64::Engine as _;
    const PREFIX: &str = "data:application/vnd.apache.arrow.file;base64,";
    let base64 = base64::engine::general_purpose::STANDARD;
    let seed: serde_json::Value = serde_json::from_str(&table()).unwrap();
    let message = base64.decode(seed["arrow_schema"].as_str().unwrap().strip_prefix(PREFIX).unwrap()).unwrap();
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        let message = edits.apply(&[&message], crate::edits::NUMBERS);
        let mut json = seed.clone();
        json["arrow_schema"] = format!("{PREFIX}{}", base64.encode(message)).into();
        check_structure(Family::Table, &json.to_string());
    });
}

#[test]
fn dtypes() {
    const SEEDS: [&str; 3] = [
        r#"{"endianness": "little", "kind": "m", "itemsize": 8, "dt_units": "[25us]"}"#,
        r#"{"endianness": "not_applicable", "kind": "V", "itemsize": 12}"#,
        r#"{"itemsize": 16, "fields": [{"name": "a", "dtype": {"endianness": "little", "kind": "c", "itemsize": 16}, "shape": [1]}]}"#,
    ];
    check!().with_test_time(SHORT).with_type::<Edits>().for_each(|edits| {
        let text = edits.text(&SEEDS, &WORDS);
        if let Ok(dtype) = serde_json::from_str::<DType>(&text) {
            let back = serde_json::to_string(&dtype).unwrap();
            assert_eq!(serde_json::from_str::<DType>(&back).unwrap(), dtype, "{text}");
            assert!(!dtype.to_string().is_empty());
        }
    });
}
