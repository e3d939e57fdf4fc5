//! Bodies that clients send. Unknown keys are ignored, as clients of many ages send them.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result, ResultExt};
use crate::json::Json;
use crate::node::{Asset, DataSource, Management, Spec};
use crate::structure::{Family, Structure};

/// Most specs of one node.
pub const MAX_SPECS: usize = 20;
/// Longest name or version of a spec, in characters.
const MAX_SPEC_CHARS: usize = 255;

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct PostMetadataRequest {
    /// The key; a random one when missing or empty.
    #[serde(default)]
    pub id: Option<String>,
    pub structure_family: Family,
    #[serde(default)]
    pub metadata: Option<Json>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub data_sources: Vec<DataSourceRequest>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub specs: Vec<Spec>,
    #[serde(default)]
    pub access_tags: Option<Vec<String>>,
    /// How clients before 0.2.19 say `access_tags`.
    #[serde(default)]
    pub access_blob: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct PutMetadataRequest {
    #[serde(default)]
    pub metadata: Option<Json>,
    #[serde(default)]
    pub specs: Option<Vec<Spec>>,
    #[serde(default)]
    pub access_tags: Option<Vec<String>>,
    #[serde(default)]
    pub access_blob: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct PatchMetadataRequest {
    #[serde(rename = "content-type")]
    pub content_type: String,
    #[serde(default)]
    pub metadata: Option<Value>,
    #[serde(default)]
    pub specs: Option<Value>,
    #[serde(default)]
    pub access_tags: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct PutDataSourceRequest {
    pub data_source: DataSourceRequest,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct DataSourceRequest {
    #[serde(default)]
    pub id: Option<i64>,
    pub structure_family: Family,
    #[serde(default)]
    pub structure: Option<Json>,
    #[serde(default)]
    pub mimetype: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub parameters: Map<String, Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub properties: Map<String, Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub assets: Vec<Asset>,
    #[serde(default)]
    pub management: Management,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl DataSourceRequest {
    /// # Errors
    /// `Unprocessable` when the structure does not fit the family or contradicts itself.
    pub fn check(self) -> Result<DataSource> {
        let structure = self.structure.as_ref().map_or("null", Json::text);
        Ok(DataSource {
            id: self.id,
            structure: Structure::parse(self.structure_family, structure)?,
            mimetype: self.mimetype.unwrap_or_default(),
            parameters: self.parameters,
            properties: self.properties,
            management: self.management,
            assets: self.assets,
        })
    }
}

impl PostMetadataRequest {
    pub fn tags(&mut self) -> Result<Option<Vec<String>>> {
        tags(self.access_tags.take(), self.access_blob.take())
    }
}

impl PutMetadataRequest {
    pub fn tags(&mut self) -> Result<Option<Vec<String>>> {
        tags(self.access_tags.take(), self.access_blob.take())
    }
}

/// Tags from either of the two ways to send them: `["a"]`, or `{"tags": ["a"]}`, `{"user": "bob"}`.
fn tags(tags: Option<Vec<String>>, blob: Option<Value>) -> Result<Option<Vec<String>>> {
    let Some(blob) = blob else { return Ok(tags) };
    if tags.is_some() {
        return Err(Error::unprocessable("Send either \"access_tags\" or \"access_blob\", not both."));
    }
    let object = blob.as_object().filter(|object| object.len() <= 1);
    let tags = object.and_then(|object| match object.iter().next() {
        None => Some(Vec::new()),
        Some((key, Value::String(user))) if key == "user" => Some(vec![format!("user:{user}")]),
        Some((key, Value::Array(list))) if key == "tags" => {
            list.iter().map(|tag| tag.as_str().map(String::from)).collect()
        }
        Some(_) => None,
    });
    tags.map(Some).ok_or_else(|| {
        Error::unprocessable(
            "\"access_blob\" must be {\"tags\": [\"…\"]} or {\"user\": \"…\"}; better, send \"access_tags\".",
        )
    })
}

/// Makes sure that a text which came in as raw JSON is an object that can be parsed again later:
/// numbers within range, text that is Unicode, nesting within limits. Missing means empty.
pub fn object_text(name: &str, json: Option<Json>) -> Result<Json> {
    let Some(json) = json else { return Ok(Json::object()) };
    let parsed: Value = serde_json::from_str(json.text())
        .or_error(|e| Error::unprocessable(format!("\"{name}\" cannot be read as JSON: {e}")))?;
    if parsed.is_object() {
        return Ok(json);
    }
    Err(Error::unprocessable(format!("\"{name}\" must be a JSON object, such as {{\"color\": \"blue\"}}.")))
}

impl Spec {
    /// Refuses what no node may have: too many specs, the same one twice, overlong names.
    pub fn check_list(specs: &[Self]) -> Result<()> {
        if specs.len() > MAX_SPECS {
            return Err(Error::unprocessable(format!(
                "A node can have at most {MAX_SPECS} specs; got {}.",
                specs.len()
            )));
        }
        for (n, spec) in specs.iter().enumerate() {
            let long = |text: &str| text.chars().count() > MAX_SPEC_CHARS;
            if long(&spec.name) || spec.version.as_deref().is_some_and(long) {
                return Err(Error::unprocessable(format!(
                    "Name and version of a spec can have at most {MAX_SPEC_CHARS} characters."
                )));
            }
            if specs[..n].contains(spec) {
                return Err(Error::unprocessable(format!(
                    "Items must be unique: the spec {:?} is given twice.",
                    spec.name
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn post(json: &str) -> Result<PostMetadataRequest> {
        serde_json::from_str(json).or_error(|e| Error::unprocessable(e.to_string()))
    }

    #[test]
    fn a_minimal_request_and_one_full_of_nulls_are_the_same() {
        for json in [
            r#"{"structure_family": "container"}"#,
            r#"{"structure_family": "container", "metadata": null, "specs": null, "data_sources": null, "id": null, "ancestors": []}"#,
        ] {
            let request = post(json).unwrap();
            assert!(request.specs.is_empty() && request.data_sources.is_empty() && request.id.is_none());
            assert_eq!(object_text("metadata", request.metadata).unwrap(), Json::object());
        }
    }

    #[test]
    fn old_clients_send_tags_in_a_blob() {
        let tags = |json: &str| post(&format!(r#"{{"structure_family": "container", {json}}}"#)).unwrap().tags();
        assert_eq!(tags(r#""access_tags": ["a"]"#).unwrap().unwrap(), ["a"]);
        assert_eq!(tags(r#""access_blob": {"tags": ["a"]}"#).unwrap().unwrap(), ["a"]);
        assert_eq!(tags(r#""access_blob": {"user": "bob"}"#).unwrap().unwrap(), ["user:bob"]);
        assert_eq!(tags(r#""access_tags": null"#).unwrap(), None);
        for bad in [r#""access_blob": {"tags": [1]}"#, r#""access_blob": 3"#, r#""access_blob": {}, "access_tags": []"#]
        {
            assert_eq!(tags(bad).unwrap_err().kind(), ErrorKind::Unprocessable, "{bad}");
        }
    }

    #[test]
    fn metadata_that_could_not_be_parsed_later_is_refused_now() {
        let deep = format!(r#"{{"a": {}{}}}"#, "[".repeat(200), "]".repeat(200));
        for text in ["[]", "3", "null", r#"{"a": 1e999}"#, r#"{"a": "\ud800"}"#, &deep] {
            let json = Json::parse(text).unwrap();
            assert_eq!(object_text("metadata", Some(json)).unwrap_err().kind(), ErrorKind::Unprocessable, "{text}");
        }
    }

    #[test]
    fn specs_are_few_short_and_unique() {
        let spec = |name: &str| Spec { name: name.into(), version: None };
        assert!(Spec::check_list(&[spec("a"), Spec { name: "a".into(), version: Some("2".into()) }]).is_ok());
        assert!(Spec::check_list(&[spec("a"), spec("a")]).is_err());
        assert!(Spec::check_list(&[spec(&"x".repeat(256))]).is_err());
        let many: Vec<_> = (0..21).map(|n| spec(&n.to_string())).collect();
        assert!(Spec::check_list(&many).is_err());
    }

    #[test]
    fn a_data_source_is_checked_against_its_family() {
        let json = r#"{"structure_family": "array", "structure": {"data_type": {"kind": "i", "itemsize": 4}, "chunks": [[2]], "shape": [2]}}"#;
        let source: DataSourceRequest = serde_json::from_str(json).unwrap();
        assert_eq!(source.check().unwrap().family(), Family::Array);
        let source: DataSourceRequest = serde_json::from_str(r#"{"structure_family": "array"}"#).unwrap();
        assert_eq!(source.check().unwrap_err().kind(), ErrorKind::Unprocessable);
    }
}
