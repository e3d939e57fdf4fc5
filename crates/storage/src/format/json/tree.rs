//! Containers as a tree of metadata, without data.

use std::collections::HashMap;

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Error, Json, Result, TreeData, TreeEntry};

use crate::item::push_json_string;

/// Bytes that an entry takes besides its texts.
const OVERHEAD: u64 = 128;
/// Length of a piece of the body.
const PIECE: usize = 64 << 10;

/// A node of the tree; its children are found by number.
struct Branch {
    key: String,
    metadata: Json,
    children: Vec<usize>,
}

/// Gathers the tree, for the entries come in an order of their own; at most `limit` bytes.
pub(super) async fn encode(mut data: TreeData, limit: u64) -> Result<(Option<u64>, ByteStream)> {
    let mut branches = vec![Branch { key: String::new(), metadata: data.metadata, children: Vec::new() }];
    let mut numbers: HashMap<Vec<String>, usize> = HashMap::from([(Vec::new(), 0)]);
    let mut size = 0;
    while let Some(entry) = data.entries.try_next().await? {
        let TreeEntry { keys, metadata, .. } = entry;
        size += OVERHEAD + metadata.text().len() as u64 + 2 * keys.iter().map(|key| key.len() as u64).sum::<u64>();
        if size > limit {
            return Err(Error::not_acceptable(format!(
                "As application/json this container would need more than {limit} bytes at once. Export its children one by one."
            )));
        }
        let Some((key, parent)) = keys.split_last() else { continue };
        let parent = *numbers.get(parent).ok_or_else(|| {
            Error::internal("Internal server error")
                .context(format!("exporting a tree: {keys:?} came before its parent"))
        })?;
        let number = branches.len();
        branches[parent].children.push(number);
        branches.push(Branch { key: key.clone(), metadata, children: Vec::new() });
        numbers.insert(keys, number);
    }
    drop(numbers);
    Ok((None, stream::iter(Pieces { branches, path: vec![(0, 0)], begun: false }).boxed()))
}

/// Writes the tree depth first, without recursion: trees may be deep.
struct Pieces {
    branches: Vec<Branch>,
    /// Branches that are open, each with how many of its children are written.
    path: Vec<(usize, usize)>,
    begun: bool,
}

impl Iterator for Pieces {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut out = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            out.push_str("{\"contents\":{");
        }
        while let Some((number, written)) = self.path.last_mut() {
            let branch = &self.branches[*number];
            if let Some(child) = branch.children.get(*written) {
                if *written > 0 {
                    out.push(',');
                }
                *written += 1;
                push_json_string(&self.branches[*child].key, &mut out);
                out.push_str(":{\"contents\":{");
                self.path.push((*child, 0));
            } else {
                out.push_str("},\"metadata\":");
                out.push_str(branch.metadata.text());
                out.push('}');
                self.path.pop();
            }
            if out.len() >= PIECE {
                break;
            }
        }
        (!out.is_empty()).then(|| Ok(out.into()))
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{ErrorKind, Family};

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn entry(path: &str, metadata: &str) -> TreeEntry {
        TreeEntry {
            keys: path.split('/').map(str::to_owned).collect(),
            family: Family::Container,
            metadata: Json::parse(metadata).unwrap(),
            specs: Vec::new(),
            structure: None,
            read: None,
        }
    }

    fn json(entries: Vec<TreeEntry>, limit: u64) -> Result<String> {
        block_on(async {
            let entries = stream::iter(entries.into_iter().map(Ok)).boxed();
            let tree = TreeData { metadata: Json::parse(r#"{"top": 1}"#)?, entries };
            Ok(String::from_utf8(gather(encode(tree, limit).await?.1).await?).unwrap())
        })
    }

    #[test]
    fn breadth_first_entries_become_a_tree() {
        let entries = vec![entry("a", "{}"), entry("b\"", r#"{"x":2}"#), entry("a/c", "{}"), entry("a/d", "null")];
        assert_eq!(
            json(entries, 10_000).unwrap(),
            r#"{"contents":{"a":{"contents":{"c":{"contents":{},"metadata":{}},"d":{"contents":{},"metadata":null}},"metadata":{}},"b\"":{"contents":{},"metadata":{"x":2}}},"metadata":{"top": 1}}"#
        );
        assert_eq!(json(vec![], 10_000).unwrap(), r#"{"contents":{},"metadata":{"top": 1}}"#);
    }

    #[test]
    fn large_trees_come_in_pieces_or_not_at_all() {
        let entries: Vec<_> = (0..5_000).map(|n| entry(&format!("k{n}"), r#"{"a":[1,2,3]}"#)).collect();
        let text = json(entries.clone(), 10 << 20).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["contents"].as_object().unwrap().len(), 5_000);
        assert_eq!(json(entries, 10_000).unwrap_err().kind(), ErrorKind::NotAcceptable);
    }
}
