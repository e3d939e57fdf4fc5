//! A write under way: chunks lie aside until the whole body has arrived, then all of them are published.
//!
//! Chunks that the region covers are made at once. Of the others only the new items are kept, in a scratch file: what
//! surrounds them is taken from the array at the end, in turn with other writers. Nothing is remembered in memory:
//! what has been staged follows from the plan.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{Error, ErrorKind, Result};

use super::chunk::Store;
use super::metadata::Metadata;
use crate::format::chunked::copy::{Layout, c_strides, copy};
use crate::format::chunked::plan::{Band, Plan, Visit};
use crate::format::chunked::{Chunks, Load};
use crate::place::Stage;
use crate::place::scratch;
use crate::pool::{self, blocking};

/// Chunks of a band that are written at the same time: most of the time they wait for the disk.
const WRITERS: usize = 4;
/// Chunks that are published at once.
const PUBLISHED: usize = 4096;

pub(super) struct Staging {
    shared: Arc<Shared>,
    /// Bytes of the scratch file so far.
    scratched: u64,
}

struct Shared {
    /// Its directory is held open.
    store: Store,
    plan: Arc<Plan>,
    stage: Stage,
    /// New items of the chunks that the region does not cover, visit by visit, each in C order.
    scratch: OnceLock<File>,
}

impl Staging {
    /// # Errors
    /// `Gone` when the array has been deleted.
    pub(super) async fn begin(store: Arc<Store>, plan: Plan) -> Result<Self> {
        let shared = blocking(move || {
            let store = store.pinned_same()?;
            if let Err(e) = store.location().sweep() {
                tracing::warn!("could not remove what an interrupted writer left behind: {e}");
            }
            let stage = Stage::begin(store.location())?;
            Ok(Shared { store, plan: Arc::new(plan), stage, scratch: OnceLock::new() })
        });
        Ok(Self { shared: Arc::new(shared.await.map_err(deleted)?), scratched: 0 })
    }

    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.shared.plan
    }

    /// Takes in the items of a band.
    pub(super) async fn add(&mut self, band: &Band, items: Bytes) -> Result<()> {
        let (visits, end) = self.shared.visits(band, self.scratched);
        self.scratched = end;
        let works = stream::iter(visits).map(|(visit, at)| {
            let (shared, items) = (self.shared.clone(), items.clone());
            blocking(move || match at {
                Some(at) => shared.keep(&visit, &items, at),
                None => shared.update(&visit, &items, &visit.in_band),
            })
        });
        works.buffer_unordered(WRITERS).try_collect::<()>().await.map_err(deleted)
    }

    /// Makes everything visible, and then the shape to which the array has grown.
    ///
    /// # Errors
    /// On an error before the first chunk is visible (`StorageFull`, `Gone`), the array is what it was.
    pub(super) async fn publish(self, grown: Option<Vec<u64>>) -> Result<()> {
        let turn = self.shared.store.location().turn().await.map_err(deleted)?;
        // The caller may go away; what has been begun is brought to its end.
        pool::to_the_end(async move {
            let published = self.publish_in_turn(grown).await;
            drop(turn);
            let shared = self.shared.clone();
            let durable = match published {
                Ok(()) => blocking(move || shared.make_names_durable()).await,
                Err(e) => Err(e),
            };
            self.discard().await;
            durable.map_err(deleted)
        })
        .await
    }

    async fn publish_in_turn(&self, grown: Option<Vec<u64>>) -> Result<()> {
        if self.scratched > 0 {
            self.complete().await?;
        }
        let shared = self.shared.clone();
        blocking(move || shared.make_directories()).await?;
        let mut chunks = product(&self.plan().touched());
        loop {
            let batch: Vec<_> = chunks.by_ref().take(PUBLISHED).collect();
            if batch.is_empty() {
                break;
            }
            let shared = self.shared.clone();
            blocking(move || shared.publish(&batch)).await?;
        }
        let Some(shape) = grown else { return Ok(()) };
        let shared = self.shared.clone();
        // Only now, so that after a crash the directory never promises what was not written.
        blocking(move || Metadata::grow(shared.store.location(), &shape)).await
    }

    /// Removes what has not been published.
    pub(super) async fn discard(self) {
        let removed = blocking(move || Arc::into_inner(self.shared).map_or(Ok(()), |shared| shared.stage.end()));
        if let Err(e) = removed.await {
            tracing::warn!("could not remove the chunks of a write that failed: {e}");
        }
    }

    /// Puts the scratched items into their chunks.
    async fn complete(&self) -> Result<()> {
        let mut at = 0;
        for band in self.plan().bands() {
            let (visits, end) = self.shared.visits(&band, at);
            at = end;
            let scratched = visits.into_iter().filter_map(|(visit, at)| Some((visit, at?)));
            let works = stream::iter(scratched).map(|(visit, at)| {
                let shared = self.shared.clone();
                blocking(move || shared.update_with_scratch(&visit, at))
            });
            works.buffer_unordered(WRITERS).try_collect::<()>().await?;
        }
        Ok(())
    }
}

impl Shared {
    /// What a band has to do with each chunk; and where in the scratch file its items go, if they do.
    fn visits(&self, band: &Band, mut end: u64) -> (Vec<(Visit, Option<u64>)>, u64) {
        let visits = self.plan.visits(band).into_iter().map(|visit| {
            let at = (!self.plan.covers(&visit.chunk)).then_some(end);
            end += at.map_or(0, |_| self.nbytes(&visit) as u64);
            (visit, at)
        });
        let visits = visits.collect();
        (visits, end)
    }

    fn nbytes(&self, visit: &Visit) -> usize {
        visit.counts.iter().product::<u64>() as usize * self.plan.itemsize()
    }

    /// Scratches the items of a visit.
    fn keep(&self, visit: &Visit, band: &[u8], at: u64) -> Result<()> {
        let mut items = vec![0; self.nbytes(visit)];
        copy(&mut items, &self.dense(visit), band, &visit.in_band, &visit.counts, self.plan.itemsize());
        let file = match self.scratch.get() {
            Some(file) => file,
            None => {
                let file = scratch::create()?;
                self.scratch.get_or_init(|| file)
            }
        };
        file.write_all_at(&items, at).map_err(scratch::fault)
    }

    fn update_with_scratch(&self, visit: &Visit, at: u64) -> Result<()> {
        let file = self.scratch.get().ok_or_else(|| Error::internal("Internal server error"))?;
        let mut items = vec![0; self.nbytes(visit)];
        file.read_exact_at(&mut items, at).map_err(scratch::fault)?;
        self.update(visit, &items, &self.dense(visit))
    }

    fn dense(&self, visit: &Visit) -> Layout {
        Layout { start: 0, strides: c_strides(&visit.counts, self.plan.itemsize()) }
    }

    /// Brings the staged chunk up to date with items that lie in `from` as `layout` says.
    fn update(&self, visit: &Visit, from: &[u8], layout: &Layout) -> Result<()> {
        let name = self.staged_name(&visit.chunk);
        if visit.whole && visit.is_straight() && layout.strides == visit.in_band.strides {
            let items = &from[layout.start..][..self.store.nbytes()];
            return self.stage.write(&name, &self.store.encode(items)?);
        }
        let before = match self.stage.read(&name)? {
            // Another band has been here.
            Some(encoded) => Some(self.store.decode(&visit.chunk, encoded)?),
            None if self.plan.covers(&visit.chunk) => None,
            // Also at the edge: what lies beyond our shape may belong to one who has made the array grow.
            None => match self.store.load_encoded(&visit.chunk)? {
                Some(encoded) => Some(self.store.decode(&visit.chunk, encoded)?),
                None => None,
            },
        };
        let mut items = before.unwrap_or_else(|| vec![0; self.store.nbytes()]);
        copy(&mut items, &visit.in_chunk, from, layout, &visit.counts, self.plan.itemsize());
        self.stage.write(&name, &self.store.encode(&items)?)
    }

    /// `c.0.1`
    fn staged_name(&self, chunk: &[u64]) -> String {
        self.store.path(chunk).replace('/', ".")
    }

    /// Makes the directories of all chunks.
    fn make_directories(&self) -> Result<()> {
        let location = self.store.location();
        self.store.check_present()?;
        self.directories().try_for_each(|directory| location.join(&directory)?.create_dir_within())
    }

    /// Gives chunks their names.
    fn publish(&self, chunks: &[Vec<u64>]) -> Result<()> {
        let location = self.store.location();
        let Some(depth) = self.store.grid().len().checked_sub(1) else {
            return self.stage.publish(location, chunks.iter().map(|chunk| (self.staged_name(chunk), "c".into())));
        };
        for chunks in chunks.chunk_by(|a, b| a[..depth] == b[..depth]) {
            let directory = location.join(&self.store.path(&chunks[0][..depth]))?;
            let files = chunks.iter().map(|chunk| (self.staged_name(chunk), chunk[depth].to_string()));
            self.stage.publish(&directory, files)?;
        }
        Ok(())
    }

    fn make_names_durable(&self) -> Result<()> {
        let location = self.store.location();
        location.sync_dir()?;
        self.directories().try_for_each(|directory| location.join(&directory)?.sync_dir())
    }

    /// The directories of all chunks, parents before their children: `c`, `c/0`, …
    fn directories(&self) -> impl Iterator<Item = String> {
        let touched = self.plan.touched();
        let depths = 0..self.store.grid().len();
        depths.flat_map(move |depth| product(&touched[..depth])).map(|directory| self.store.path(&directory))
    }
}

/// All positions in a box, in C order.
fn product(axes: &[Range<u64>]) -> impl Iterator<Item = Vec<u64>> + Send + use<> {
    let axes = axes.to_vec();
    let lengths = |axis: &Range<u64>| axis.end - axis.start;
    (0..axes.iter().map(lengths).product()).map(move |mut n| {
        let mut position = vec![0; axes.len()];
        for (at, axis) in position.iter_mut().zip(&axes).rev() {
            *at = axis.start + n % lengths(axis);
            n /= lengths(axis);
        }
        position
    })
}

/// The file or directory that is missing is of no interest to the caller.
fn deleted(e: Error) -> Error {
    match e.kind() {
        ErrorKind::Gone => {
            Error::gone("This array was deleted while it was being written: nothing was stored.").with_source(e)
        }
        _ => e,
    }
}
