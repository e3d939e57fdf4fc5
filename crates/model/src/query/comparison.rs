//! Nodes with a value that is ordered before or after another of the same type.

use serde_json::Value;

use super::{Field, Query};
use crate::error::Error;
use crate::filter::{Filter, Order, Test};

pub const COMPARISON: Query = Query {
    name: "comparison",
    fields: &[Field::text("operator"), Field::text("key"), Field::json("value")],
    lower: |arguments, _| {
        let order = match arguments.text("operator")? {
            "lt" => Order::Lt,
            "le" => Order::Le,
            "gt" => Order::Gt,
            "ge" => Order::Ge,
            other => {
                return Err(Error::unprocessable(format!("The operator {other:?} is not one of lt, le, gt, ge.")));
            }
        };
        let value = arguments.value("value")?;
        if !matches!(value, Value::Number(_) | Value::String(_) | Value::Bool(_)) {
            return Err(Error::malformed(format!(
                "Only numbers, texts and booleans are ordered; {value} cannot be compared with lt, le, gt or ge."
            )));
        }
        Ok(Filter::value(arguments.key()?, Test::Compare(order, value.clone())))
    },
};
