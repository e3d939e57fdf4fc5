//! Metadata as attributes.
//!
//! | JSON | attribute |
//! |---|---|
//! | text | variable-length UTF-8 text |
//! | true, false | enumeration `FALSE`, `TRUE` |
//! | integer | int64, or uint64 where it does not fit |
//! | other number | float64 |
//! | null | empty (null dataspace) |
//! | list of one of these types, numbers also nested | array |
//! | everything else, and what is too long for an attribute | its JSON as text |

use girih_model::{DType, Json, Result};
use serde_json::Value;

use super::datatype;
use super::header::{Dataspace, Header};
use super::heap::Heap;

/// Bytes of data that fit into an attribute beside its name and datatype.
const MAX_DATA: usize = 32 << 10;
const MAX_AXES: usize = 8;
/// Longer names are cut: they would not leave room for a value.
const MAX_NAME: usize = 16 << 10;

pub(super) struct Attribute {
    name: String,
    datatype: Vec<u8>,
    space: Dataspace,
    data: AttributeData,
}

enum AttributeData {
    Items(Vec<u8>),
    Texts(Vec<String>),
}

impl Attribute {
    pub(super) fn text(name: &str, text: impl Into<String>) -> Self {
        Self::texts(name, Dataspace::Simple(Vec::new()), vec![text.into()])
    }

    pub(super) fn list_of_texts(name: &str, texts: Vec<String>) -> Self {
        Self::texts(name, Dataspace::Simple(vec![texts.len() as u64]), texts)
    }

    /// One item of a scalar type, little-endian.
    pub(super) fn item(name: &str, dtype: &DType, bytes: &[u8]) -> Self {
        Self::items(name, datatype::of(dtype), Vec::new(), bytes.to_vec())
    }

    fn texts(name: &str, space: Dataspace, texts: Vec<String>) -> Self {
        Self { name: name.into(), datatype: datatype::variable_text(), space, data: AttributeData::Texts(texts) }
    }

    fn items(name: &str, datatype: Vec<u8>, shape: Vec<u64>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), datatype, space: Dataspace::Simple(shape), data: AttributeData::Items(bytes) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All members of the metadata, in their order.
    pub(super) fn of_metadata(metadata: &Json) -> Vec<Self> {
        let Value::Object(members) = metadata.to_value() else { return Vec::new() };
        let mut attributes: Vec<Self> = Vec::with_capacity(members.len());
        for (given, value) in &members {
            let mut name = given.replace('\0', "_");
            if name.is_empty() {
                name.push('_');
            }
            name.truncate(name.floor_char_boundary(MAX_NAME));
            // A name that had to be changed gives way to one that did not.
            let changed = name != *given;
            if !changed || !members.contains_key(&name) && !attributes.iter().any(|known| known.name == name) {
                attributes.push(Self::of_value(&name, value));
            }
        }
        attributes
    }

    fn of_value(name: &str, value: &Value) -> Self {
        let typed = match value {
            Value::Null => {
                let (datatype, data) = (datatype::of(&DType::of("f8")), AttributeData::Items(Vec::new()));
                Some(Self { name: name.into(), datatype, space: Dataspace::Null, data })
            }
            // A NUL would end the text.
            Value::String(text) if !text.contains('\0') => Some(Self::text(name, text)),
            Value::Array(list) if !list.is_empty() && list.iter().all(is_text) => {
                let texts = list.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
                (texts.len() * datatype::REFERENCE <= MAX_DATA).then(|| Self::list_of_texts(name, texts))
            }
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => numbers(name, value),
            Value::String(_) | Value::Object(_) => None,
        };
        typed.unwrap_or_else(|| Self::text(name, value.to_string()))
    }

    pub(super) fn write(&self, header: &mut Header, heap: &mut Heap) -> Result<()> {
        match &self.data {
            AttributeData::Items(bytes) => header.attribute(&self.name, &self.datatype, &self.space, bytes),
            AttributeData::Texts(texts) => {
                let references: Vec<_> = texts.iter().map(|text| heap.add(text.as_bytes())).collect();
                header.attribute(&self.name, &self.datatype, &self.space, references.as_flattened())
            }
        }
    }
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.contains('\0'))
}

/// A number or truth value, or a rectangle of them.
fn numbers(name: &str, value: &Value) -> Option<Attribute> {
    let mut shape = Vec::new();
    let mut first = value;
    while let Value::Array(list) = first {
        shape.push(list.len() as u64);
        if shape.len() > MAX_AXES {
            return None;
        }
        let Some(next) = list.first() else { break };
        first = next;
    }
    let mut items = Vec::new();
    gather(value, &shape, &mut items)?;
    if items.len() * 8 > MAX_DATA {
        return None;
    }
    if !items.is_empty() && items.iter().all(|item| item.is_boolean()) {
        let bytes = items.iter().map(|item| u8::from(item.as_bool() == Some(true))).collect();
        return Some(Attribute::items(name, datatype::boolean(), shape, bytes));
    }
    let signed: Option<Vec<_>> = items.iter().map(|item| item.as_i64().map(i64::to_le_bytes)).collect();
    let unsigned = || items.iter().map(|item| item.as_u64().map(u64::to_le_bytes)).collect::<Option<Vec<_>>>();
    let real = || items.iter().map(|item| item.as_f64().map(f64::to_le_bytes)).collect::<Option<Vec<_>>>();
    let (dtype, bytes) = match signed {
        Some(bytes) if !items.is_empty() => ("i8", bytes),
        _ => {
            unsigned().filter(|bytes| !bytes.is_empty()).map(|bytes| ("u8", bytes)).or_else(|| Some(("f8", real()?)))?
        }
    };
    Some(Attribute::items(name, datatype::of(&DType::of(dtype)), shape, bytes.concat()))
}

/// `None` when the value has not exactly this shape.
fn gather<'a>(value: &'a Value, shape: &[u64], items: &mut Vec<&'a Value>) -> Option<()> {
    match (value, shape.split_first()) {
        (Value::Array(list), Some((len, rest))) if list.len() as u64 == *len => {
            list.iter().try_for_each(|value| gather(value, rest, items))
        }
        (Value::Bool(_) | Value::Number(_), None) => {
            items.push(value);
            Some(())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: Value, dtype: &str, shape: &[u64], bytes: &[u8]) {
        let attribute = Attribute::of_value("a", &value);
        assert_eq!(attribute.space, Dataspace::Simple(shape.to_vec()), "{value}");
        let AttributeData::Items(items) = attribute.data else { panic!("{value} became text") };
        assert_eq!(items, bytes, "{value}");
        let expected = if dtype == "b1" { datatype::boolean() } else { datatype::of(&DType::of(dtype)) };
        assert_eq!(attribute.datatype, expected, "{value}");
    }

    fn check_texts(value: Value, shape: &[u64], expected: &[&str]) {
        let attribute = Attribute::of_value("a", &value);
        assert_eq!(attribute.space, Dataspace::Simple(shape.to_vec()), "{value}");
        let AttributeData::Texts(texts) = attribute.data else { panic!("{value} did not become text") };
        assert_eq!(texts, expected, "{value}");
    }

    #[test]
    fn numbers_keep_their_type_and_shape() {
        check(json!(-1), "i8", &[], &[0xff; 8]);
        check(json!(u64::MAX), "u8", &[], &[0xff; 8]);
        check(json!(1.5), "f8", &[], &1.5f64.to_le_bytes());
        check(json!(true), "b1", &[], &[1]);
        check(json!([true, false]), "b1", &[2], &[1, 0]);
        check(json!([1, 0.5]), "f8", &[2], &[1.0f64.to_le_bytes(), 0.5f64.to_le_bytes()].concat());
        check(json!([[1], [2]]), "i8", &[2, 1], &[1i64.to_le_bytes(), 2i64.to_le_bytes()].concat());
        check(json!([]), "f8", &[0], &[]);
        assert_eq!(Attribute::of_value("a", &json!(null)).space, Dataspace::Null);
    }

    #[test]
    fn the_rest_is_text() {
        check_texts(json!("é"), &[], &["é"]);
        check_texts(json!(["a", ""]), &[2], &["a", ""]);
        check_texts(json!({"b": [1]}), &[], &[r#"{"b":[1]}"#]);
        check_texts(json!([[1], [2, 3]]), &[], &["[[1],[2,3]]"]);
        check_texts(json!([1, "a"]), &[], &[r#"[1,"a"]"#]);
        check_texts(json!("a\0b"), &[], &["\"a\\u0000b\""]);
        let long = Value::Array(vec![json!(1); 5000]);
        let text = long.to_string();
        check_texts(long, &[], &[&text]);
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        let text = deep.to_string();
        check_texts(deep, &[], &[&text]);
    }

    #[test]
    fn names_are_never_twice() {
        let metadata = Json::parse(r#"{"a\u0000": 1, "a_": 2, "": 3}"#).unwrap();
        let names: Vec<_> = Attribute::of_metadata(&metadata).into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["a_", "_"]);
    }
}
