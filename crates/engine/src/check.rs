//! Does a catalog agree with its storage? What a crash leaves behind is found here, and removed if wanted.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use girih_database::Known;
use girih_model::{Data, DataSource, ErrorKind, NodeId, Result, Selection};
use girih_storage::Location;
use girih_storage::pool::blocking;
use serde::Serialize;

use crate::Engine;
use crate::engine::Mount;

/// Younger files may belong to a write that is under way.
const YOUNG: Duration = Duration::from_secs(15 * 60);
/// Data sources looked at by one statement.
const PAGE: u32 = 500;

#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Read all data, and verify its checksums.
    pub data: bool,
    /// Remove what nothing refers to, and correct what can be counted anew.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// A path of the tree, or a file.
    pub place: String,
    pub what: String,
    pub repaired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The database file itself is damaged.
    Database,
    /// A container is wrong about how many children or values it has.
    Count,
    /// The data of a node is missing or damaged.
    Data,
    /// An asset that no node has.
    Asset,
    /// A file that nothing refers to.
    Orphan,
    /// A file of an interrupted write.
    Unfinished,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Checked {
    pub data_sources: u64,
    pub files: u64,
    pub findings: u64,
    pub repaired: u64,
}

impl Engine {
    /// Looks through all catalogs and tells what is wrong, as it is found. Servers may be running meanwhile.
    pub async fn check(&self, options: CheckOptions, mut tell: impl FnMut(Finding)) -> Result<Checked> {
        let mut checked = Checked::default();
        for mount in &self.inner.mounts {
            let mut tell = |finding: Finding| {
                checked.findings += 1;
                checked.repaired += u64::from(finding.repaired);
                tell(finding);
            };
            let (sources, files) = Check { mount, options, tell: &mut tell }.run().await?;
            checked.data_sources += sources;
            checked.files += files;
        }
        Ok(checked)
    }
}

struct Check<'c> {
    mount: &'c Arc<Mount>,
    options: CheckOptions,
    tell: &'c mut dyn FnMut(Finding),
}

impl Check<'_> {
    async fn run(mut self) -> Result<(u64, u64)> {
        self.database().await?;
        let sources = self.data().await?;
        let mut files = 0;
        let roots: Vec<Location> =
            self.mount.storage.places().all_writable().map(|directory| directory.root()).collect();
        for root in roots {
            files += self.files(root).await?;
        }
        Ok((sources, files))
    }

    fn found(&mut self, kind: FindingKind, place: impl Into<String>, what: impl Into<String>, repaired: bool) {
        (self.tell)(Finding { kind, place: place.into(), what: what.into(), repaired });
    }

    async fn database(&mut self) -> Result<()> {
        let database = self.mount.database().clone();
        for fault in database.integrity().await? {
            self.found(FindingKind::Database, "catalog", fault, false);
        }
        let miscounted = database.miscounted().await?;
        let repaired = self.options.repair && !miscounted.is_empty() && database.recount().await? > 0;
        for one in miscounted {
            let what = format!("has {} {}, but says {}", one.found, one.of, one.told);
            self.found(FindingKind::Count, one.path.to_string(), what, repaired);
        }
        let unused = database.unused_assets().await?;
        let repaired = self.options.repair && !unused.is_empty() && database.forget_unused_assets().await? > 0;
        for asset in unused {
            self.found(FindingKind::Asset, asset.data_uri, "belongs to no node", repaired);
        }
        Ok(())
    }

    /// Opens the data of every node that we keep; what is missing cannot be repaired.
    async fn data(&mut self) -> Result<u64> {
        let mut count = 0;
        let mut after = NodeId(0);
        loop {
            let page = self.mount.database().kept_sources(after, PAGE).await?;
            let Some((last, ..)) = page.last() else { return Ok(count) };
            after = *last;
            for (_, path, source) in page {
                count += 1;
                match self.read(&source).await {
                    // It was deleted meanwhile.
                    Err(_) if self.mount.database().deepest(&path).await?.path != path => {}
                    Err(e) => self.found(FindingKind::Data, path.to_string(), e.to_string(), false),
                    Ok(()) => {}
                }
            }
        }
    }

    async fn read(&self, source: &DataSource) -> Result<()> {
        let dataset = self.mount.storage.open(source).await?;
        if !self.options.data || dataset.structure().family() == girih_model::Family::Bytes {
            return Ok(());
        }
        match dataset.read(&Selection::all()).await? {
            Data::Array(array) => array.pieces.try_for_each(|_| async { Ok(()) }).await,
            Data::Table(table) => table.batches.try_for_each(|_| async { Ok(()) }).await,
            Data::Tree(tree) => tree.entries.try_for_each(|_| async { Ok(()) }).await,
        }
    }

    /// Walks down to the assets, and tells what is none.
    async fn files(&mut self, root: Location) -> Result<u64> {
        let mut count = 0;
        let mut to_visit = vec![root];
        while let Some(directory) = to_visit.pop() {
            let place = directory.clone();
            let contents = match blocking(move || place.contents()).await {
                Ok(contents) => contents,
                Err(e) if e.kind() == ErrorKind::Gone => continue,
                Err(e) => return Err(e),
            };
            for entry in contents {
                count += 1;
                let kind = match self.mount.database().known(&entry.place.uri()).await? {
                    _ if entry.is_unfinished => FindingKind::Unfinished,
                    Known::Asset => continue,
                    Known::Above if entry.is_directory => {
                        to_visit.push(entry.place);
                        continue;
                    }
                    Known::Above | Known::Nothing => FindingKind::Orphan,
                };
                self.stray(entry.place, kind).await?;
            }
        }
        Ok(count)
    }

    async fn stray(&mut self, place: Location, kind: FindingKind) -> Result<()> {
        let (idle, name) = (place.clone(), place.absolute().display().to_string());
        // What is young or in use may become somebody's in a moment.
        if !blocking(move || Ok(idle.is_idle(YOUNG))).await? {
            return Ok(());
        }
        if self.mount.database().known(&place.uri()).await? != Known::Nothing {
            return Ok(());
        }
        let repaired = self.options.repair && blocking(move || place.remove_all()).await.is_ok();
        self.found(kind, name, "nothing refers to it", repaired);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
