//! Brings containers to agree with directories.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use girih_model::{Error, ErrorKind, Family, Json, NodePath, Result};
use girih_storage::Location;
use girih_storage::pool::blocking;
use girih_storage::survey::{Candidate, SurveyOptions, key_of, survey, survey_one};

use super::inspect::{Inspected, inspect};
use super::report::{Outcome, Record};
use super::watch::Settling;
use super::{Files, Target};
use crate::bulk::BulkItem;
use crate::create::CreateRequest;

/// Candidates that are looked into at the same time.
const AT_ONCE: usize = 8;
/// Nodes that are sent to the catalog at once.
const BATCH: usize = 1000;
/// Files of sequences that are sent at once.
const BATCH_FILES: usize = 40_000;
/// Nodes that are taken out at the same time: they share the wait for the disk.
const DELETED_AT_ONCE: usize = 32;
/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 60;

/// Registers files in a catalog, and knows afterwards what it has seen: what did not change is not looked at again.
pub struct Registrar {
    files: Files,
    prefix: NodePath,
    options: Arc<SurveyOptions>,
    target: Arc<dyn Target>,
    report: Box<dyn FnMut(Record) + Send>,
    /// What is not among the files is taken from the catalog.
    overwrite: bool,
    pub(super) seen: HashMap<PathBuf, Seen>,
    /// While it is followed: what is being written is left alone for a moment.
    pub(super) settling: Option<Settling>,
    /// Something could not be done that another time might: nothing is taken for seen.
    is_incomplete: bool,
    /// Nodes that wait to be made; containers have no record.
    pending: Vec<(Option<Record>, BulkItem)>,
    pending_files: usize,
}

/// A directory as it was.
pub(super) struct Seen {
    pub(super) container: NodePath,
    pub(super) location: Location,
    candidates: HashMap<String, Known>,
    directories: HashSet<String>,
}

/// A candidate that was looked into.
struct Known {
    /// Tells whether its files have changed.
    signature: u64,
    /// How many files it stands for.
    members: usize,
    /// Of the nodes that it has become.
    keys: Vec<String>,
}

impl Seen {
    fn keys(&self) -> impl Iterator<Item = &String> {
        self.candidates.values().flat_map(|known| &known.keys).chain(&self.directories)
    }
}

impl Registrar {
    /// The nodes go below `prefix`. With `overwrite`, what is there and not among the files is taken out.
    pub fn new(
        files: Files,
        prefix: NodePath,
        options: SurveyOptions,
        target: Arc<dyn Target>,
        overwrite: bool,
        report: impl FnMut(Record) + Send + 'static,
    ) -> Self {
        Self {
            files,
            prefix,
            options: Arc::new(options),
            target,
            report: Box::new(report),
            overwrite,
            seen: HashMap::new(),
            settling: None,
            is_incomplete: false,
            pending: Vec::new(),
            pending_files: 0,
        }
    }

    pub(super) fn start(&self) -> Location {
        self.files.start.clone()
    }

    /// Registers all files.
    ///
    /// # Errors
    /// When the catalog cannot be reached or the directory not be read; what is wrong with a file is only reported.
    pub async fn run(&mut self) -> Result<()> {
        self.make_prefix().await?;
        let start = self.start();
        let (location, options) = (start.clone(), self.options.clone());
        let one = blocking(move || survey_one(&location, &options)).await?;
        if let Some(candidate) = one {
            let is_directory = candidate.is_directory;
            let found = inspect(&self.files.storage, &self.prefix.clone(), candidate).await;
            // A directory that is no node after all is looked into.
            if !is_directory || found.iter().all(|found| found.item.is_ok()) {
                for found in found {
                    self.add(found).await?;
                }
                return self.flush().await;
            }
        }
        self.sync(start, self.prefix.clone(), true).await
    }

    async fn make_prefix(&mut self) -> Result<()> {
        let mut parent = NodePath::root();
        for key in self.prefix.clone().keys() {
            let made = self.target.create(vec![container(&parent, key)]).await?;
            if let Some(Err(e)) = made.into_iter().next()
                && e.kind() != ErrorKind::Conflict
            {
                return Err(e);
            }
            parent = parent.child(key)?;
        }
        Ok(())
    }

    /// Brings a container to agree with a directory: only itself, or with all that lies below.
    pub(super) async fn sync(&mut self, directory: Location, container: NodePath, deep: bool) -> Result<()> {
        let done = self.descend(directory, container, deep).await;
        if done.is_err() || std::mem::take(&mut self.is_incomplete) {
            self.seen.clear();
            self.pending.clear();
        }
        done
    }

    async fn descend(&mut self, directory: Location, container: NodePath, deep: bool) -> Result<()> {
        let mut to_visit = vec![(directory, container, 0)];
        while let Some((directory, container, depth)) = to_visit.pop() {
            let below = match self.level(&directory, &container).await {
                Ok(below) => below,
                // Gone meanwhile, or closed to us.
                Err(e) if depth > 0 && matches!(e.kind(), ErrorKind::Gone | ErrorKind::Forbidden) => {
                    let outcome = Outcome::failed(&e);
                    let file = self.prefix_of(&directory);
                    (self.report)(Record { file, files: 1, outcome });
                    continue;
                }
                Err(e) => return Err(e),
            };
            // The last comes first from the stack.
            for (location, path, is_new) in below.into_iter().rev() {
                if depth < MAX_DEPTH && (deep || is_new) {
                    to_visit.push((location, path, depth + 1));
                }
            }
        }
        self.flush().await
    }

    /// One directory; returns those below it, and whether they are new.
    async fn level(&mut self, directory: &Location, path: &NodePath) -> Result<Vec<(Location, NodePath, bool)>> {
        let (location, options) = (directory.clone(), self.options.clone());
        let found = blocking(move || survey(&location, &options)).await?;
        let mut unknown = HashSet::new();
        for skipped in found.skipped {
            if skipped.is_unknown {
                unknown.extend([true, false].map(|whole| key_of(&skipped.name, whole)));
            }
            let file = format!("{}{}", self.prefix_of(directory), skipped.name);
            (self.report)(Record { file, files: 1, outcome: Outcome::Skipped { reason: skipped.reason } });
        }
        let before = self.seen.remove(&directory.absolute());
        let there = match &before {
            Some(seen) => seen.keys().cloned().collect(),
            None if self.overwrite => self.target.children(path).await?,
            None => Vec::new(),
        };
        let is_new = before.is_none();
        let (mut before, containers) = before.map(|seen| (seen.candidates, seen.directories)).unwrap_or_default();
        let mut seen = Seen {
            container: path.clone(),
            location: directory.clone(),
            candidates: HashMap::new(),
            directories: HashSet::new(),
        };
        let mut below: Vec<(String, Location)> =
            found.directories.into_iter().map(|below| (below.key, below.location)).collect();
        let mut changed = Vec::new();
        for candidate in found.candidates {
            let key = candidate.key.clone();
            let known = before.get(&key).map_or(0, |known| known.members);
            let settled = match &mut self.settling {
                Some(settling) => settling.settled(&directory.absolute(), candidate, known),
                None => Some(candidate),
            };
            let Some(candidate) = settled else {
                // It stays what it was so far.
                seen.candidates.extend(before.remove(&key).map(|known| (key, known)));
                continue;
            };
            let signature = signature(&candidate);
            match before.remove(&candidate.key) {
                Some(known) if known.signature == signature => drop(seen.candidates.insert(candidate.key, known)),
                _ => changed.push((candidate.key.clone(), signature, candidate)),
            }
        }
        while !changed.is_empty() {
            let some: Vec<_> = changed.drain(..changed.len().min(BATCH)).collect();
            let storage = &self.files.storage;
            let looked = stream::iter(some)
                .map(async |(key, signature, candidate)| (key, signature, inspect(storage, path, candidate).await));
            let looked: Vec<_> = looked.buffered(AT_ONCE).collect().await;
            for (key, signature, looked) in looked {
                let members = looked.iter().map(|found| found.candidate.members.len()).sum();
                let mut keys = Vec::with_capacity(looked.len());
                for found in looked {
                    match &found.item {
                        // A directory that is no node after all is looked into.
                        Err(_) if found.candidate.is_directory => {
                            let location = found.candidate.members.first().map(|member| member.location.clone());
                            below.extend(location.map(|location| (key.clone(), location)));
                        }
                        _ => {
                            keys.push(found.candidate.key.clone());
                            self.add(found).await?;
                        }
                    }
                }
                if !keys.is_empty() {
                    seen.candidates.insert(key, Known { signature, members, keys });
                }
            }
        }
        let mut keep: HashSet<&String> = seen.candidates.values().flat_map(|known| &known.keys).collect();
        keep.extend(below.iter().map(|(key, _)| key).chain(&unknown));
        let gone = there.iter().filter(|key| !keep.contains(key)).map(|key| path.child(key));
        self.remove(gone.collect::<Result<_>>()?).await?;
        let mut next = Vec::with_capacity(below.len());
        for (key, location) in below {
            // What is there under this key may be something else.
            if !containers.contains(&key) {
                self.push(None, container(path, &key)).await?;
            }
            let new = is_new || !self.seen.contains_key(&location.absolute());
            next.push((location, path.child(&key)?, new));
            seen.directories.insert(key);
        }
        self.seen.insert(directory.absolute(), seen);
        Ok(next)
    }

    /// From where the registration began, with a slash at the end.
    fn prefix_of(&self, directory: &Location) -> String {
        let start = self.files.path();
        let below =
            directory.absolute().strip_prefix(&start).map(|path| path.display().to_string()).unwrap_or_default();
        if below.is_empty() { below } else { format!("{below}/") }
    }

    async fn add(&mut self, found: Inspected) -> Result<()> {
        let Inspected { candidate, item } = found;
        let parent = candidate.members.first().map(|member| member.location.absolute());
        let parent = parent.and_then(|path| path.parent().map(|path| path.to_path_buf())).unwrap_or_default();
        let below = parent.strip_prefix(self.files.path()).map(|path| path.join("").display().to_string());
        let file = format!("{}{}", below.unwrap_or_default().trim_start_matches('/'), candidate.name());
        let files = candidate.members.len();
        match item {
            Ok(item) => {
                let path = item.parent.child(&candidate.key)?;
                let path = path.as_str().to_owned();
                let outcome =
                    Outcome::Registered { path, family: item.create.family, media_type: candidate.media_type };
                self.push(Some(Record { file, files, outcome }), item).await
            }
            Err(e) => {
                self.is_incomplete |= is_passing(&e);
                (self.report)(Record { file, files, outcome: Outcome::failed(&e) });
                Ok(())
            }
        }
    }

    async fn push(&mut self, record: Option<Record>, item: BulkItem) -> Result<()> {
        self.pending_files += record.as_ref().map_or(1, |record| record.files);
        self.pending.push((record, item));
        if self.pending.len() >= BATCH || self.pending_files >= BATCH_FILES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.pending_files = 0;
        let (records, items): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending).into_iter().unzip();
        if items.is_empty() {
            return Ok(());
        }
        let mut made = self.target.create(items.clone()).await?;
        if self.overwrite {
            make_room(&*self.target, &items, &mut made).await?;
        }
        for ((record, item), made) in records.into_iter().zip(items).zip(made) {
            let is_there = made.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict);
            if is_there && !self.overwrite {
                // What cannot go into a container that is none is told one by one.
                if let Some(record) = record {
                    let outcome = Outcome::skipped("there is an entry already, and it is to be left alone");
                    (self.report)(Record { outcome, ..record });
                }
                continue;
            }
            let path = item.parent.child(item.create.key.as_deref().unwrap_or_default())?;
            let done = if is_there && record.is_some() { self.target.replace(item).await } else { made };
            let why = match done {
                Ok(()) => None,
                Err(e) if is_there && e.kind() == ErrorKind::Conflict => Some(Outcome::in_the_way(&path)),
                Err(e) if record.is_none() => return Err(e),
                Err(e) => {
                    self.is_incomplete |= is_passing(&e);
                    Some(Outcome::failed(&e))
                }
            };
            let container = || Record { file: String::new(), files: 0, outcome: Outcome::in_the_way(&path) };
            match (record, why) {
                (record, Some(outcome)) => (self.report)(Record { outcome, ..record.unwrap_or_else(container) }),
                (Some(record), None) => (self.report)(record),
                (None, None) => {}
            }
        }
        Ok(())
    }

    async fn remove(&mut self, paths: Vec<NodePath>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        // What waits to be made must not come after.
        self.flush().await?;
        let target = self.target.clone();
        let deleted = stream::iter(paths).map(async |path| (target.delete(&path).await, path));
        let mut deleted = deleted.buffered(DELETED_AT_ONCE);
        while let Some((deleted, path)) = deleted.next().await {
            match deleted {
                // There is data in it that the server keeps itself.
                Err(e) if e.kind() == ErrorKind::Conflict => continue,
                deleted => deleted?,
            }
            let outcome = Outcome::Removed { path: path.as_str().to_owned() };
            self.seen.retain(|_, seen| seen.container.below(&path).is_none());
            (self.report)(Record { file: String::new(), files: 0, outcome });
        }
        Ok(())
    }
}

/// What is in the place of a container gives way to it; then comes what could not be made in it.
async fn make_room(target: &dyn Target, items: &[BulkItem], made: &mut [Result<()>]) -> Result<()> {
    let mut containers = HashSet::new();
    for (item, made) in items.iter().zip(made.iter_mut()).filter(|(item, _)| item.create.data_sources.is_empty()) {
        if made.as_ref().is_err_and(|e| e.kind() == ErrorKind::Conflict) {
            *made = target.replace(item.clone()).await;
            containers.insert(item.parent.child(item.create.key.as_deref().unwrap_or_default())?);
        }
    }
    let is_within = |item: &BulkItem| {
        std::iter::successors(Some(item.parent.clone()), NodePath::parent).any(|above| containers.contains(&above))
    };
    let failed = |made: &Result<()>| made.as_ref().is_err_and(|e| e.kind() != ErrorKind::Conflict);
    let again: Vec<usize> = (0..items.len()).filter(|n| failed(&made[*n]) && is_within(&items[*n])).collect();
    if !again.is_empty() {
        let results = target.create(again.iter().map(|n| items[*n].clone()).collect()).await?;
        again.into_iter().zip(results).for_each(|(n, result)| made[n] = result);
    }
    Ok(())
}

fn is_passing(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Busy | ErrorKind::StorageFull | ErrorKind::StorageFailed)
}

/// Files that were changed at another time, or have other sizes, are others.
fn signature(candidate: &Candidate) -> u64 {
    let mut hasher = DefaultHasher::new();
    candidate.media_type.hash(&mut hasher);
    for member in &candidate.members {
        (member.location.absolute(), member.size, member.modified).hash(&mut hasher);
    }
    hasher.finish()
}

fn container(parent: &NodePath, key: &str) -> BulkItem {
    let create = CreateRequest {
        key: Some(key.to_owned()),
        family: Family::Container,
        metadata: Json::object(),
        specs: Vec::new(),
        data_sources: Vec::new(),
        access_tags: None,
    };
    BulkItem { parent: parent.clone(), create }
}
