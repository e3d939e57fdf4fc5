//! How JSON values compare.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Equal as JSON: numbers by value, objects whatever the order of their keys.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The order of two values of the same type: numbers, texts (by code point) or booleans.
pub fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn compare_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// The number as an integer that fits 64 bits, if it is one: `2.0` is 2.
pub fn integer(number: &Number) -> Option<i64> {
    if let Some(n) = number.as_i64() {
        return Some(n);
    }
    let float = number.as_f64()?;
    let fits = float.fract() == 0.0 && (-9.2e18..9.2e18).contains(&float);
    fits.then_some(float as i64)
}

/// A text that is the same exactly for values that are [`equal`].
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => match integer(number) {
            Some(n) => out.push_str(&n.to_string()),
            None => out.push_str(&number.as_f64().unwrap_or(f64::NAN).to_string()),
        },
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (n, (key, value)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_numbers_and_key_order_does_not_matter() {
        assert!(equal(&json!(2), &json!(2.0)));
        assert!(!equal(&json!("2"), &json!(2)));
        assert!(equal(&json!({"a": [1, 2.5], "b": null}), &json!({"b": null, "a": [1.0, 2.5]})));
        assert_eq!(canonical(&json!({"b": [1.0, 1.5, "x"], "a": null})), r#"{"a":null,"b":[1,1.5,"x"]}"#);
        assert_eq!(compare(&json!(10), &json!(9.5)), Some(Ordering::Greater));
        assert_eq!(compare(&json!("B"), &json!("a")), Some(Ordering::Less));
        assert_eq!(compare(&json!("1"), &json!(1)), None);
    }
}
