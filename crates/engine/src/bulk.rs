//! Many new nodes at once.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use girih_database::{Bulk, BulkNode, Existing, NewNode, Outcome};
use girih_model::path::check_key;
use girih_model::{Asset, DataSource, Error, Management, NodePath, Result};
use girih_storage::pool::blocking;

use crate::access::Permission;
use crate::create::CreateRequest;
use crate::engine::Mount;
use crate::{Caller, Engine};

/// Nodes that are made ready, and recorded, at a time.
const BATCH: usize = 1000;
/// Bytes of metadata after which a batch is full.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes of metadata of nodes with data that are made ready before the turn to write is taken: to make their storage
/// takes long, and others wait.
const AHEAD: usize = 32 << 20;
/// What a node takes beside its metadata, about.
const NODE_BYTES: usize = 1 << 10;
/// Data sources whose storage is made at the same time.
const STORES: usize = 8;

/// One of many nodes to create.
#[derive(Debug, Clone)]
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
    /// Of metadata, with what comes with every node.
    bytes: usize,
    has_data: bool,
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
        let (mount, node) = self.find_parent(parent).await?;
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
        // The turn to write is only taken when there is something to write, and much of what takes long is done.
        let (batch, mut rest) = self.prepare(items).await?;
        let mut batch = progress.note(batch);
        while batch.iter().any(|ready| ready.has_data)
            && batch.iter().map(|ready| ready.bytes).sum::<usize>() < AHEAD
            && let Some(items) = rest.take()
        {
            let (more, items) = self.prepare(items).await?;
            batch.extend(progress.note(more));
            rest = items;
        }
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
        let news = bulk.commit().await?;
        self.mount.catalog.tell(news).await;
        Ok(true)
    }

    /// Reads and checks the next items, and makes their storage; returns what is left.
    async fn prepare(&self, mut items: BulkItems) -> Result<(Vec<Result<Ready, BulkFailure>>, Option<BulkItems>)> {
        let (engine, caller) = (self.engine.clone(), self.caller.clone());
        let read = blocking(move || {
            let (mut some, mut bytes) = (Vec::with_capacity(BATCH), 0);
            let mut more = true;
            while some.len() < BATCH && bytes < BATCH_BYTES {
                let Some((line, item)) = items.next() else {
                    more = false;
                    break;
                };
                bytes += item.as_ref().map_or(0, |item| item.create.metadata.text().len());
                some.push((line, item));
            }
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
                    let (key, has_data) = (new.key.clone(), new.data_source.is_some());
                    let bytes = new.metadata.text().len() + NODE_BYTES;
                    let node = BulkNode::new(base.join(&parent)?, new)?;
                    Ok(Ready { line, key, node, written, bytes, has_data })
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
                Outcome::Exists(existing) if same(&existing) => {
                    reply.unchanged += 1;
                    self.remove(written).await;
                    continue;
                }
                Outcome::Exists(existing) => Error::conflict(format!(
                    "There is an entry at {} already, with other content. Choose another id, or delete it first.",
                    self.mount.served_path(&existing.there)
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

/// Whether a node is what it was to be. Of data that we keep ourselves, what it is called and where it lies is ours to
/// say.
fn same(Existing { new, there, source }: &Existing) -> bool {
    let files = |source: &DataSource| {
        source
            .assets
            .iter()
            .map(|asset| (asset.data_uri.clone(), asset.parameter.clone(), asset.num))
            .collect::<Vec<_>>()
    };
    let same_source = match (&new.data_source, source) {
        (None, None) => true,
        (Some(new), Some(there)) => {
            new.structure == there.structure
                && (new.management == Management::External) == (there.management == Management::External)
                && (new.management != Management::External
                    || new.mimetype == there.mimetype
                        && new.parameters == there.parameters
                        && files(new) == files(there))
        }
        _ => false,
    };
    same_source
        && new.family == there.family
        && new.specs == there.specs
        && (new.metadata == there.metadata || new.metadata.to_value() == there.metadata.to_value())
}
