//! Many new nodes at once.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use girih_database::{Bulk, BulkNode, NewNode, Outcome};
use girih_model::path::check_key;
use girih_model::{Asset, DataSource, Error, Family, Management, Node, NodePath, Result};
use girih_storage::pool::blocking;

use crate::access::Permission;
use crate::create::CreateRequest;
use crate::engine::Mount;
use crate::{Caller, Engine};

/// Nodes that are made ready, and recorded, at a time.
const BATCH: usize = 1000;
/// Data sources whose storage is made at the same time.
const STORES: usize = 8;

/// One of many nodes to create.
#[derive(Debug)]
pub struct BulkItem {
    /// Below the container that the bulk goes to; empty for the container itself.
    pub parent: NodePath,
    /// With a key, so that the bulk can be sent again. External data sources are registered.
    pub create: CreateRequest,
}

/// The items in order, each with its number. Read where blocking is allowed.
pub type BulkItems = Box<dyn Iterator<Item = (u64, Result<BulkItem>)> + Send>;

/// How a bulk went.
#[derive(Debug, Default)]
pub struct BulkReply {
    pub created: u64,
    /// There already, just as they were to be.
    pub unchanged: u64,
    pub failures: Vec<BulkFailure>,
    /// False when nothing was kept because of a failure.
    pub kept: bool,
}

#[derive(Debug)]
pub struct BulkFailure {
    /// The item's number.
    pub line: u64,
    pub key: Option<String>,
    pub error: Error,
}

/// An item on its way into the catalog.
struct Ready {
    line: u64,
    key: String,
    node: BulkNode,
    /// Storage that was made for it.
    written: Vec<Asset>,
}

impl Engine {
    /// Creates nodes below a container in one transaction: all that can be created, or with `all_or_nothing` none if
    /// one cannot. What is there already with the same content counts as done. When it returns, all is durable.
    ///
    /// # Errors
    /// For the container, as for [`Engine::create`]; what is wrong with an item is told in the reply.
    pub async fn create_bulk(
        &self,
        caller: &Caller,
        parent: &NodePath,
        items: BulkItems,
        all_or_nothing: bool,
    ) -> Result<BulkReply> {
        caller.require(&[Permission::WriteMetadata, Permission::CreateNode])?;
        let (mount, node) = self.find_node(parent, "creating children").await?;
        if node.family != Family::Container || node.structure.is_some() {
            return Err(Error::unsupported(format!(
                "The node at {parent} is of the family {}. Children can only be created in containers.",
                node.family
            )));
        }
        let work = Work { engine: self.clone(), caller: caller.clone(), mount, base: node.path };
        let mut progress = Progress::default();
        let done = work.run(items, all_or_nothing, &mut progress).await;
        if !matches!(done, Ok(true)) {
            work.remove(std::mem::take(&mut progress.written)).await;
        }
        progress.reply.kept = done?;
        progress.reply.failures.sort_by_key(|failure| failure.line);
        Ok(progress.reply)
    }
}

struct Work {
    engine: Engine,
    caller: Caller,
    mount: Arc<Mount>,
    /// The container, in the catalog.
    base: NodePath,
}

#[derive(Default)]
struct Progress {
    reply: BulkReply,
    /// All storage that was made.
    written: Vec<Asset>,
}

impl Progress {
    fn failed(&self) -> bool {
        !self.reply.failures.is_empty()
    }

    /// Takes note of the items of a batch that are ready, and of those that cannot be.
    fn note(&mut self, batch: Vec<Result<Ready, BulkFailure>>) -> Vec<Ready> {
        let mut all = Vec::with_capacity(batch.len());
        for item in batch {
            match item {
                Ok(ready) => {
                    self.written.extend(ready.written.iter().cloned());
                    all.push(ready);
                }
                Err(failure) => self.reply.failures.push(failure),
            }
        }
        all
    }
}

impl Work {
    /// True when what was made is to stay.
    async fn run(&self, items: BulkItems, all_or_nothing: bool, progress: &mut Progress) -> Result<bool> {
        let (batch, mut rest) = self.prepare(items).await?;
        let mut batch = progress.note(batch);
        // The turn to write is only taken when there is something to write.
        let mut bulk = self.mount.database().bulk().await?;
        loop {
            if all_or_nothing && progress.failed() {
                return Ok(false);
            }
            // While a batch is recorded, the next is made ready.
            let next = async {
                match rest.take() {
                    Some(items) => self.prepare(items).await.map(Some),
                    None => Ok(None),
                }
            };
            let (recorded, next) = tokio::join!(self.record(&mut bulk, batch, &mut progress.reply), next);
            let Some((prepared, more)) = next? else {
                recorded?;
                break;
            };
            batch = progress.note(prepared);
            recorded?;
            rest = more;
        }
        if all_or_nothing && progress.failed() {
            return Ok(false);
        }
        bulk.commit().await?;
        Ok(true)
    }

    /// Reads and checks the next items, and makes their storage; returns what is left.
    async fn prepare(&self, mut items: BulkItems) -> Result<(Vec<Result<Ready, BulkFailure>>, Option<BulkItems>)> {
        let (engine, caller) = (self.engine.clone(), self.caller.clone());
        let read = blocking(move || {
            let some: Vec<_> = items.by_ref().take(BATCH).collect();
            let more = some.len() == BATCH;
            let checked = some.into_iter().map(|(line, item)| {
                let key = item.as_ref().ok().and_then(|item| item.create.key.clone());
                (line, key, item.and_then(|item| engine.check_item(&caller, item)))
            });
            Ok((checked.collect::<Vec<_>>(), more.then_some(items)))
        });
        let (checked, rest) = read.await?;
        let stored = stream::iter(checked).map(async |(line, key, item)| {
            let stored = match item {
                Ok(item) => self.store(item).await,
                Err(e) => Err(e),
            };
            (line, key, stored)
        });
        let stored: Vec<_> = stored.buffered(STORES).collect().await;
        let base = self.base.clone();
        let ready = blocking(move || {
            let ready = stored.into_iter().map(|(line, key, stored)| {
                let ready = stored.and_then(|(parent, new, written)| {
                    let key = new.key.clone();
                    Ok(Ready { line, key, node: BulkNode::new(base.join(&parent)?, new)?, written })
                });
                ready.map_err(|error| BulkFailure { line, key, error })
            });
            Ok(ready.collect())
        });
        Ok((ready.await?, rest))
    }

    /// Makes the storage of an item, or sees that it can be read.
    async fn store(&self, item: BulkItem) -> Result<(NodePath, NewNode, Vec<Asset>)> {
        let BulkItem { parent, create } = item;
        let mut source = create.data_sources.into_iter().next();
        let mut written = Vec::new();
        let key = create.key.unwrap_or_default();
        if let Some(source) = &mut source {
            if source.management == Management::External {
                self.mount.storage.check_readable(source).await?;
            } else {
                let path = self.base.join(&parent)?.child(&key)?;
                // For one that is there already nothing is made: it is only compared.
                if self.mount.database().deepest(&path).await?.path != path {
                    let mimetype = Some(source.mimetype.as_str()).filter(|name| !name.is_empty());
                    let made = self.mount.storage.create(&path, &source.structure, mimetype).await?;
                    (source.mimetype, source.assets) = made;
                    written = source.assets.clone();
                }
            }
        }
        let (family, metadata, specs) = (create.family, create.metadata, create.specs);
        Ok((parent, NewNode { key, family, metadata, specs, data_source: source }, written))
    }

    async fn record(&self, bulk: &mut Bulk, batch: Vec<Ready>, reply: &mut BulkReply) -> Result<()> {
        let mut about = Vec::with_capacity(batch.len());
        let mut nodes = Vec::with_capacity(batch.len());
        for ready in batch {
            about.push((ready.line, ready.key, ready.written));
            nodes.push(ready.node);
        }
        for ((line, key, written), outcome) in about.into_iter().zip(bulk.insert(nodes).await?) {
            let error = match outcome {
                Outcome::Created => {
                    reply.created += 1;
                    continue;
                }
                Outcome::Exists(both) if same(&both.0, &both.1) => {
                    reply.unchanged += 1;
                    self.remove(written).await;
                    continue;
                }
                Outcome::Exists(both) => Error::conflict(format!(
                    "There is an entry at {} already, with other content. Choose another id, or delete it first.",
                    self.mount.served_path(&both.1)
                )),
                Outcome::Refused(error) => error,
            };
            self.remove(written).await;
            reply.failures.push(BulkFailure { line, key: Some(key), error });
        }
        Ok(())
    }

    async fn remove(&self, assets: Vec<Asset>) {
        if assets.is_empty() {
            return;
        }
        if let Err(left) = self.mount.storage.remove(&assets).await {
            tracing::warn!(error = %left, "could not remove the storage of nodes that were not created");
        }
    }
}

impl Engine {
    fn check_item(&self, caller: &Caller, item: BulkItem) -> Result<BulkItem> {
        let register = item.create.data_sources.iter().any(|source| source.management == Management::External);
        if register {
            caller.require(&[Permission::Register])?;
        }
        self.check_create(&item.create, register)?;
        let key = item.create.key.as_deref().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| {
            Error::unprocessable("Each line needs an \"id\", so that the request can be repeated without harm.")
        })?;
        check_key(key)?;
        Ok(item)
    }
}

/// Whether a node is what it was to be.
fn same(new: &NewNode, node: &Node) -> bool {
    let structure = new.data_source.as_ref().map(|source: &DataSource| &source.structure);
    new.family == node.family
        && new.specs == node.specs
        && structure == node.structure.as_ref()
        && (new.metadata == node.metadata || new.metadata.to_value() == node.metadata.to_value())
}
