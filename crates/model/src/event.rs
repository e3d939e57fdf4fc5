//! What those hear who watch a node: the messages of the protocol's streams, without number and time.

use serde::Serialize;

use crate::json::Json;
use crate::node::{DataSource, Spec};
use crate::structure::Family;
use crate::wire::DataSourceReply;

/// Fields are in the order of the wire. Containers tell of their children, everything else of its data.
#[expect(clippy::large_enum_variant, reason = "there is never more than one at a time")]
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type")]
pub enum Event {
    #[serde(rename = "container-child-created")]
    ChildCreated {
        key: String,
        structure_family: Family,
        specs: Vec<Spec>,
        metadata: Json,
        data_sources: Vec<DataSourceReply>,
        access_tags: Vec<String>,
    },
    #[serde(rename = "container-child-metadata-updated")]
    ChildMetadataUpdated {
        key: String,
        specs: Vec<Spec>,
        metadata: Json,
        /// Of the revision that holds what was there before; left out when none was kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        revision_number: Option<i64>,
    },
    /// Data of an array, as it was sent.
    #[serde(rename = "array-data")]
    ArrayData {
        mimetype: String,
        /// Of the payload.
        shape: Vec<u64>,
        /// Where it goes, when it was a patch.
        offset: Option<Vec<u64>>,
        /// Where it goes, when it was a block.
        block: Option<Vec<u64>>,
    },
    /// Data of an array that is to be fetched.
    #[serde(rename = "array-ref")]
    ArrayRef {
        data_source: DataSourceReply,
        /// The part that is new; `None` for all.
        patch: Option<Patch>,
        /// Of the array.
        shape: Vec<u64>,
    },
    /// Rows of a table, as they were sent.
    #[serde(rename = "table-data")]
    TableData {
        mimetype: String,
        /// `None` for the whole table.
        partition: Option<u64>,
        /// Whether they come after those that are there.
        append: bool,
    },
    /// Rows of a table that are to be fetched.
    #[serde(rename = "table-ref")]
    TableRef { partition: Option<u64>, append: bool },
    /// What was told in an update before could not be stored.
    #[serde(rename = "update-failed")]
    Failed {
        /// Number of that update.
        failed: u64,
        reason: String,
    },
    #[serde(rename = "stream-closed")]
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Patch {
    pub offset: Vec<u64>,
    pub shape: Vec<u64>,
}

impl Event {
    pub fn child_created(
        key: &str,
        family: Family,
        specs: &[Spec],
        metadata: &Json,
        source: Option<&DataSource>,
    ) -> Self {
        // Without assets: for Python's client they would need numbers that only files of sequences have.
        let source = source.map(|source| DataSource { assets: Vec::new(), ..source.clone() });
        Self::ChildCreated {
            key: key.to_owned(),
            structure_family: family,
            specs: specs.to_vec(),
            metadata: metadata.clone(),
            data_sources: source.into_iter().map(DataSourceReply::from).collect(),
            access_tags: Vec::new(),
        }
    }

    pub fn array_ref(source: &DataSource, patch: Option<Patch>, shape: &[u64]) -> Self {
        Self::ArrayRef { data_source: DataSourceReply::from(source.clone()), patch, shape: shape.to_vec() }
    }

    /// As it is kept.
    pub fn to_json(&self) -> Json {
        let text = serde_json::to_string(self).expect("an event always serializes");
        Json::parse(text).expect("it is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_in_the_protocol_order() {
        let check = |event: Event, expected: &str| assert_eq!(event.to_json().text(), expected);
        let metadata = Json::parse(r#"{"a": 1}"#).unwrap();
        check(
            Event::child_created("c", Family::Container, &[], &metadata, None),
            r#"{"type":"container-child-created","key":"c","structure_family":"container","specs":[],"metadata":{"a": 1},"data_sources":[],"access_tags":[]}"#,
        );
        check(
            Event::ChildMetadataUpdated { key: "c".into(), specs: vec![], metadata, revision_number: None },
            r#"{"type":"container-child-metadata-updated","key":"c","specs":[],"metadata":{"a": 1}}"#,
        );
        check(
            Event::ArrayData {
                mimetype: "application/octet-stream".into(),
                shape: vec![2, 3],
                offset: None,
                block: Some(vec![1, 0]),
            },
            r#"{"type":"array-data","mimetype":"application/octet-stream","shape":[2,3],"offset":null,"block":[1,0]}"#,
        );
        check(Event::Closed, r#"{"type":"stream-closed"}"#);
    }
}
