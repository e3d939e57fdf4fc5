//! Pages, distinct values, revisions.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use crate::json::Json;
use crate::node::{Revision, Spec};
use crate::structure::Family;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageLinks {
    #[serde(rename = "self")]
    pub this: String,
    pub first: String,
    /// Null on the last page.
    pub next: Option<String>,
}

/// Metadata keys, in the order of the request, and their values.
pub type DistinctValues = Vec<(String, Vec<BucketReply<Value>>)>;

/// What was not asked for is null.
#[derive(Debug, Clone, Serialize)]
pub struct DistinctReply {
    #[serde(serialize_with = "as_map")]
    pub metadata: Option<DistinctValues>,
    pub structure_families: Option<Vec<BucketReply<Family>>>,
    pub specs: Option<Vec<BucketReply<Vec<Spec>>>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct BucketReply<T> {
    pub value: T,
    pub count: Option<u64>,
}

fn as_map<S: Serializer>(keys: &Option<DistinctValues>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(keys) = keys else { return serializer.serialize_none() };
    let mut map = serializer.serialize_map(Some(keys.len()))?;
    for (key, values) in keys {
        map.serialize_entry(key, values)?;
    }
    map.end()
}

#[derive(Debug, Clone, Serialize)]
pub struct RevisionReply {
    pub revision_number: i64,
    pub attributes: RevisionAttributes,
}

#[derive(Debug, Clone, Serialize)]
pub struct RevisionAttributes {
    pub metadata: Json,
    pub specs: Vec<Spec>,
    /// ISO 8601, UTC.
    pub time_updated: String,
}

impl From<Revision> for RevisionReply {
    fn from(revision: Revision) -> Self {
        Self {
            revision_number: revision.number,
            attributes: RevisionAttributes {
                metadata: revision.metadata,
                specs: revision.specs,
                time_updated: timestamp(revision.updated),
            },
        }
    }
}

/// Microseconds since 1970-01-01 UTC as ISO 8601, e.g. `2026-11-22T11:12:10.000500Z`; fractions only when there are any.
///
/// Civil date from days: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
pub fn timestamp(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction == 0 { format!("{whole}Z") } else { format!("{whole}.{fraction:06}Z") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_iso_8601() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_345_930_000_000, "2026-11-22T11:12:10Z"),
            (951_782_400_000_500, "2000-02-29T00:00:00.000500Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(timestamp(micros), text);
        }
    }

    #[test]
    fn distinct_values_keep_the_order_of_the_request() {
        let bucket = || vec![BucketReply { value: Value::from(1), count: None }];
        let reply = DistinctReply {
            metadata: Some(vec![("b".into(), bucket()), ("a".into(), bucket())]),
            structure_families: None,
            specs: None,
        };
        assert_eq!(
            serde_json::to_string(&reply).unwrap(),
            r#"{"metadata":{"b":[{"value":1,"count":null}],"a":[{"value":1,"count":null}]},"structure_families":null,"specs":null}"#
        );
    }
}
