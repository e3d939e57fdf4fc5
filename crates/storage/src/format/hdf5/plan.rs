//! A tree before it is written: every node, and where its data will lie.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Data, Error, Json, Result, Structure, TreeEntry};

use super::array::{Array, Read};
use super::attribute::Attribute;
use super::group::{self, link_names};
use super::image::Image;
use super::table::{Source, Table, changed};
use crate::format::partition::index::{columns_of, columns_only};

/// What a node costs beside its texts.
const NODE_BYTES: usize = 256;

pub(super) struct Plan {
    nodes: Vec<Node>,
    /// Bytes of all data.
    bytes: u64,
}

struct Node {
    name: String,
    metadata: Json,
    children: Vec<usize>,
    content: Content,
    /// Where the data begin among all data.
    start: u64,
}

enum Content {
    Group,
    Array(Arc<Array>, Read),
    Table(Arc<Table>, Source),
}

impl Content {
    fn bytes(&self) -> u64 {
        match self {
            Self::Group => 0,
            Self::Array(array, _) => array.bytes,
            Self::Table(table, _) => table.bytes,
        }
    }
}

impl Plan {
    fn new(metadata: Json) -> Self {
        let root = Node { name: String::new(), metadata, children: Vec::new(), content: Content::Group, start: 0 };
        Self { nodes: vec![root], bytes: 0 }
    }

    /// One table whose columns are at the root.
    pub(super) async fn of_table(metadata: Json, schema: &arrow::datatypes::SchemaRef, source: Source) -> Result<Self> {
        let table = Table::scan(schema, &source).await?;
        let mut plan = Self::new(metadata);
        plan.bytes = table.bytes;
        plan.nodes[0].content = Content::Table(Arc::new(table), source);
        Ok(plan)
    }

    /// A container and all below it; all tables are looked through, and of arrays it is seen how they begin: what cannot
    /// be read is an empty group that says why, so that one of many does not keep the others from being had.
    ///
    /// # Errors
    /// Those of data that may be read in a moment. `NotAcceptable` when the names and metadata alone need more than `limit` bytes.
    pub(super) async fn of_tree(
        metadata: Json,
        mut entries: BoxStream<'static, Result<TreeEntry>>,
        limit: u64,
    ) -> Result<Self> {
        let mut plan = Self::new(metadata);
        let mut by_keys: HashMap<Vec<String>, usize> = HashMap::from([(Vec::new(), 0)]);
        let mut held = 0u64;
        while let Some(mut entry) = entries.try_next().await? {
            let keys = entry.keys.iter().map(String::len).sum::<usize>();
            held += (keys + entry.metadata.text().len() + NODE_BYTES) as u64;
            if held > limit {
                return Err(Error::not_acceptable(format!(
                    "This container has too many nodes: their names and metadata need more than {limit} bytes at once. Export a part of it."
                )));
            }
            let (name, above) = entry.keys.split_last().ok_or_else(|| unsound("an entry without keys"))?;
            let parent = *by_keys.get(above).ok_or_else(|| unsound("an entry before its parent"))?;
            let content = match content(&entry).await {
                Err(e) if e.is_lasting() => {
                    entry.metadata = entry.metadata.with_error(&e);
                    Content::Group
                }
                content => content.map_err(|e| e.of(&entry.keys.join("/")))?,
            };
            let n = plan.nodes.len();
            if matches!(content, Content::Group) {
                by_keys.insert(entry.keys.clone(), n);
            }
            let bytes = content.bytes();
            let node =
                Node { name: name.clone(), metadata: entry.metadata, children: Vec::new(), content, start: plan.bytes };
            plan.bytes =
                plan.bytes.checked_add(bytes).and_then(|end| end.checked_next_multiple_of(8)).ok_or_else(|| {
                    Error::not_acceptable("This container is too large for one file. Export a part of it.")
                })?;
            plan.nodes.push(node);
            plan.nodes[parent].children.push(n);
        }
        Ok(plan)
    }

    /// The file as a stream, and its length.
    pub(super) fn body(self, limit: u64) -> Result<(ByteStream, u64)> {
        let (metadata, data) = Image::build(self.bytes, limit, |image| self.write(image))?;
        let length = data + self.bytes;
        let nodes = stream::iter(self.nodes).filter(|node| std::future::ready(node.content.bytes() > 0));
        let bodies = nodes.map(move |node| Ok(node.body(data))).try_flatten();
        let metadata = stream::once(async move { Ok(Bytes::from(metadata)) });
        Ok((metadata.chain(bodies).boxed(), length))
    }

    /// Writes all objects, children before their parents; returns the address of the root.
    fn write(&self, image: &mut Image) -> Result<u64> {
        let mut addresses = vec![0; self.nodes.len()];
        for (n, node) in self.nodes.iter().enumerate().rev() {
            addresses[n] = node.write(image, &self.nodes, &addresses)?;
        }
        Ok(addresses[0])
    }
}

impl Node {
    fn write(&self, image: &mut Image, nodes: &[Self], addresses: &[u64]) -> Result<u64> {
        let attributes = Attribute::of_metadata(&self.metadata);
        let written = match &self.content {
            Content::Group => {
                let names = link_names(self.children.iter().map(|child| nodes[*child].name.as_str()))?;
                let links: Vec<_> = names.into_iter().zip(self.children.iter().map(|n| addresses[*n])).collect();
                group::write(image, &links, &attributes)
            }
            Content::Array(array, _) => array.write(image, self.start, attributes),
            Content::Table(table, _) => {
                let links = table.write(image, self.start)?;
                group::write(image, &links, &attributes)
            }
        };
        written.map_err(|e| e.context(format!("writing {:?} into an HDF5 file", self.name)))
    }

    /// The data, exactly as many bytes as announced, and padding to a multiple of eight.
    fn body(&self, data: u64) -> ByteStream {
        let body = match &self.content {
            Content::Group => stream::empty().boxed(),
            Content::Array(array, read) => array.clone().body(read),
            Content::Table(table, source) => table.clone().body(source, data + self.start),
        };
        let bytes = self.content.bytes();
        let mut left = bytes;
        let counted = body.map(move |piece| {
            let piece = piece?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(changed)?;
            Ok((piece, left))
        });
        // What is left after each piece goes along, so that an early end is seen.
        let checked = stream::try_unfold((counted.boxed(), bytes), |(mut pieces, left)| async move {
            match pieces.try_next().await? {
                Some((piece, left)) => Ok(Some((piece, (pieces, left)))),
                None if left > 0 => Err(changed()),
                None => Ok(None),
            }
        });
        let padding = Bytes::from(vec![0; (bytes.next_multiple_of(8) - bytes) as usize]);
        checked.chain(stream::once(async move { Ok(padding) })).boxed()
    }
}

async fn content(entry: &TreeEntry) -> Result<Content> {
    Ok(match (&entry.structure, &entry.read) {
        (Some(Structure::Array(structure)), Some(read)) => {
            let array = Arc::new(Array::new(structure)?);
            // The rest may still be damaged: that is seen when its turn comes.
            if array.bytes > 0
                && let Data::Array(mut data) = read().await?
            {
                data.pieces.try_next().await?;
            }
            Content::Array(array, read.clone())
        }
        (Some(Structure::Table(structure)), Some(read)) => {
            let read = read.clone();
            let source: Source = Arc::new(move || {
                let reading = read();
                Box::pin(async move {
                    match reading.await? {
                        Data::Table(table) => Ok(columns_only(table).batches),
                        _ => Err(changed()),
                    }
                })
            });
            let schema = Arc::new(columns_of(structure.schema()));
            Content::Table(Arc::new(Table::scan(&schema, &source).await?), source)
        }
        _ => Content::Group,
    })
}

fn unsound(what: &str) -> Error {
    Error::internal("Internal server error").context(format!("exporting a tree: {what}"))
}
