//! A node as clients see it.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json::Json;
use crate::node::{Asset, DataSource, Management, Spec};
use crate::structure::{Family, Structure};

#[derive(Debug, Clone, Serialize)]
pub struct Resource {
    /// The node's key; empty for the root.
    pub id: String,
    pub attributes: Attributes,
    pub links: Option<Links>,
    pub meta: (),
}

/// What was not asked for is null.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Attributes {
    /// Keys of the parents, from the root down.
    pub ancestors: Vec<String>,
    pub structure_family: Option<Family>,
    pub specs: Option<Vec<Spec>>,
    /// A JSON object, or `{"selected": …}`.
    pub metadata: Option<Json>,
    pub structure: Option<NodeStructure>,
    pub access_tags: Option<Vec<String>>,
    /// Only for clients that do not know `access_tags` yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_blob: Option<Value>,
    pub sorting: Option<Vec<SortItem>>,
    pub data_sources: Option<Vec<DataSourceReply>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum NodeStructure {
    Container(ContainerReply),
    Data(Structure),
}

#[derive(Debug, Clone, Serialize)]
pub struct ContainerReply {
    /// Children that came along; null when they must be asked for.
    pub contents: Option<BTreeMap<String, Resource>>,
    pub count: u64,
}

/// One key of a sort order; the empty key is the order of creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SortItem {
    pub key: String,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

impl Serialize for Direction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i8(match self {
            Self::Ascending => 1,
            Self::Descending => -1,
        })
    }
}

/// Names and URLs, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links(pub Vec<(&'static str, String)>);

impl Serialize for Links {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, url) in &self.0 {
            map.serialize_entry(name, url)?;
        }
        map.end()
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct DataSourceReply {
    pub id: Option<i64>,
    pub structure_family: Family,
    pub structure: Structure,
    pub mimetype: String,
    pub parameters: Map<String, Value>,
    /// `None` leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
    pub assets: Vec<AssetReply>,
    pub management: Management,
}

#[derive(Debug, Clone, Serialize)]
pub struct AssetReply {
    pub data_uri: String,
    pub is_directory: bool,
    /// The outer `None` leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Option<u64>>,
    pub parameter: Option<String>,
    pub num: Option<u64>,
    pub id: Option<i64>,
}

impl From<DataSource> for DataSourceReply {
    fn from(source: DataSource) -> Self {
        Self {
            id: source.id,
            structure_family: source.family(),
            structure: source.structure,
            mimetype: source.mimetype,
            parameters: source.parameters,
            properties: Some(source.properties),
            assets: source.assets.into_iter().map(AssetReply::from).collect(),
            management: source.management,
        }
    }
}

impl From<Asset> for AssetReply {
    fn from(asset: Asset) -> Self {
        Self {
            data_uri: asset.data_uri,
            is_directory: asset.is_directory,
            size: Some(asset.size),
            parameter: asset.parameter,
            num: asset.num,
            id: asset.id,
        }
    }
}

/// The answer to the creation of a node. `metadata` and `access_tags` come only when they are not as they were sent.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    pub id: String,
    pub links: Links,
    pub data_sources: Vec<DataSourceReply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_tags: Option<Vec<String>>,
}

/// The answer to a change of metadata; as with [`Created`], only what is not as it was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Updated {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_tags: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::array::ArrayStructure;
    use crate::wire::Envelope;
    use crate::{DType, Structure};

    fn array() -> Resource {
        Resource {
            id: "arr".into(),
            attributes: Attributes {
                ancestors: vec!["b".into()],
                structure_family: Some(Family::Array),
                specs: Some(vec![Spec { name: "foo".into(), version: None }]),
                metadata: Some(Json::parse(r#"{"u": "mm"}"#).unwrap()),
                structure: Some(NodeStructure::Data(Structure::Array(ArrayStructure::new(DType::of("i4"), vec![2])))),
                access_tags: Some(vec![]),
                ..Attributes::default()
            },
            links: Some(Links(vec![("self", "H/metadata/b/arr".into())])),
            meta: (),
        }
    }

    #[test]
    fn keys_are_in_the_protocol_order() {
        let expected = r#"{"data":{"id":"arr","attributes":{"ancestors":["b"],"structure_family":"array","specs":[{"name":"foo","version":null}],"metadata":{"u": "mm"},"structure":{"data_type":{"endianness":"little","kind":"i","itemsize":4,"dt_units":null},"chunks":[[2]],"shape":[2],"dims":null,"resizable":false},"access_tags":[],"sorting":null,"data_sources":null},"links":{"self":"H/metadata/b/arr"},"meta":null},"error":null,"links":null,"meta":{}}"#;
        assert_eq!(serde_json::to_string(&Envelope::of(array())).unwrap(), expected);
    }

    #[test]
    fn messagepack_says_the_same_as_json() {
        let reply = Envelope::of(array());
        let packed = rmp_serde::to_vec_named(&reply).unwrap();
        let from_msgpack: Value = rmp_serde::from_slice(&packed).unwrap();
        let from_json: Value = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
        assert_eq!(from_msgpack, from_json);
    }
}
