//! Brings containers to agree with directories.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use girih_model::{Error, ErrorKind, NodePath, Result};
use girih_storage::Location;
use girih_storage::pool::blocking;
use girih_storage::survey::{Candidate, Skipped, SurveyOptions, Surveyed, key_of, survey, survey_one};

use super::inspect::inspect;
use super::report::{Outcome, Record};
use super::seen::{Known, Seen, signature};
use super::send::{Pending, container, is_passing};
use super::{Files, Target};

/// Candidates that are looked into at the same time.
const AT_ONCE: usize = 8;
/// Candidates whose descriptions are held at once.
const BATCH: usize = 1000;
/// Deepest directory that is looked into.
const MAX_DEPTH: usize = 60;

/// Registers files in a catalog, and knows afterwards what it has seen: what did not change is not looked at again.
pub struct Registrar {
    files: Files,
    prefix: NodePath,
    options: Arc<SurveyOptions>,
    pub(super) target: Arc<dyn Target>,
    pub(super) report: Box<dyn FnMut(Record) + Send>,
    /// What is not among the files is taken from the catalog.
    pub(super) overwrite: bool,
    pub(super) seen: HashMap<PathBuf, Seen>,
    /// What is being written is left alone for a moment.
    pub(super) is_following: bool,
    /// Something could not be done that another time might: nothing is taken for seen.
    pub(super) is_incomplete: bool,
    /// All is to be looked through again.
    pub(super) is_forgotten: bool,
    pub(super) pending: Pending,
}

/// A directory that is to be looked through, and its container.
struct Place {
    location: Location,
    container: NodePath,
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
            is_following: false,
            is_incomplete: false,
            is_forgotten: false,
            pending: Pending::default(),
        }
    }

    /// Registers all files.
    ///
    /// # Errors
    /// When the catalog cannot be reached or the directory not be read; what is wrong with a file is only reported.
    pub async fn run(&mut self) -> Result<()> {
        self.make_prefix().await?;
        let start = self.files.start.clone();
        let (location, options) = (start.clone(), self.options.clone());
        let one = blocking(move || survey_one(&location, &options)).await?;
        if let Some(candidate) = one {
            let is_directory = candidate.is_directory;
            let found = inspect(&self.files.storage, &self.prefix.clone(), candidate).await;
            // A directory that is no node after all is looked into.
            if !is_directory || found.iter().all(|found| found.item.is_ok()) {
                for found in found {
                    self.is_incomplete |= found.item.as_ref().is_err_and(is_passing);
                    self.add(found).await?;
                }
                let done = self.flush().await;
                return self.conclude(done);
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

    /// Looks again at a directory that is known, or at all when it is not.
    pub(super) async fn resync(&mut self, directory: &Path) -> Result<()> {
        match self.seen.get(directory).map(|seen| (seen.location.clone(), seen.container.clone())) {
            Some((location, container)) => self.sync(location, container, false).await,
            None => self.run().await,
        }
    }

    /// Brings a container to agree with a directory: only itself, or with all that lies below.
    async fn sync(&mut self, location: Location, container: NodePath, deep: bool) -> Result<()> {
        let done = self.descend(Place { location, container }, deep).await;
        self.conclude(done)
    }

    fn conclude(&mut self, done: Result<()>) -> Result<()> {
        if done.is_err() || std::mem::take(&mut self.is_incomplete) {
            self.forget();
        }
        done
    }

    pub(super) fn forget(&mut self) {
        self.seen.clear();
        self.pending = Pending::default();
        self.is_incomplete = false;
        self.is_forgotten = true;
    }

    async fn descend(&mut self, place: Place, deep: bool) -> Result<()> {
        let mut to_visit = vec![place];
        while let Some(place) = to_visit.pop() {
            let (location, options) = (place.location.clone(), self.options.clone());
            match blocking(move || survey(&location, &options)).await {
                Ok(found) => {
                    let below = self.level(&place, found).await?;
                    // The last comes first from the stack.
                    let wanted = below.into_iter().rev().filter(|(_, is_new)| deep || *is_new);
                    to_visit.extend(wanted.map(|(below, _)| below));
                }
                Err(e) if !self.is_following && place.location.absolute() == self.files.path() => return Err(e),
                Err(e) => self.unlisted(place, &e),
            }
        }
        self.flush().await
    }

    /// A directory that is gone meanwhile, closed to us, or too large stays what it was so far.
    fn unlisted(&mut self, place: Place, e: &Error) {
        let path = place.location.absolute();
        let seen = self.seen.entry(path.clone());
        let seen = seen.or_insert_with(|| Seen::new(&place.location, &place.container));
        seen.is_unfinished = true;
        if seen.skipped.insert((String::new(), e.message().to_owned())) {
            let file = self.prefix_of(&path);
            (self.report)(Record { file, files: 1, outcome: Outcome::failed(e) });
        }
    }

    /// One directory; returns those below it that can be looked into, and whether they are new.
    async fn level(&mut self, place: &Place, found: Surveyed) -> Result<Vec<(Place, bool)>> {
        let (path, location) = (&place.container, &place.location);
        let before = self.seen.remove(&location.absolute()).filter(|seen| seen.is_listed);
        let is_new = before.is_none();
        let there = match &before {
            Some(seen) => seen.keys().cloned().collect(),
            None if self.overwrite => self.target.children(path).await?,
            None => Vec::new(),
        };
        let mut before = before.unwrap_or_else(|| Seen::new(location, path));
        let mut seen = Seen { is_listed: true, ..Seen::new(location, path) };
        let unknown = self.skip(found.skipped, &before, &mut seen);
        let changed = self.changed(found.candidates, &mut before, &mut seen);
        let mut below: Vec<(String, Location)> =
            found.directories.into_iter().map(|below| (below.key, below.location)).collect();
        below.extend(self.look_into(changed, path, &mut seen).await?);

        let mut keep: HashSet<&String> = seen.candidates.values().flat_map(|known| &known.keys).collect();
        keep.extend(below.iter().map(|(key, _)| key).chain(&unknown));
        let gone = there.iter().filter(|key| !keep.contains(key)).map(|key| path.child(key));
        self.remove(gone.collect::<Result<_>>()?).await?;

        let mut next = Vec::with_capacity(below.len());
        for (key, location) in below {
            // What is there under this key may be something else.
            if !before.directories.contains(&key) {
                self.add_container(path, &key).await?;
            }
            let is_new = is_new || !self.seen.contains_key(&location.absolute());
            let below = Place { location, container: path.child(&key)? };
            if self.is_within_reach(&below.location, &before, &mut seen) {
                next.push((below, is_new));
            }
            seen.directories.insert(key);
        }
        self.seen.insert(location.absolute(), seen);
        Ok(next)
    }

    /// Tells what is skipped, if that is new; returns the keys of what could not be looked at, and may still be what it
    /// was.
    fn skip(&mut self, skipped: Vec<Skipped>, before: &Seen, seen: &mut Seen) -> HashSet<String> {
        let mut unknown = HashSet::new();
        let directory = self.prefix_of(&seen.location.absolute());
        for Skipped { name, reason, fault } in skipped {
            let fault = fault.filter(|kind| *kind != ErrorKind::Gone);
            if fault.is_some() {
                unknown.extend([true, false].map(|whole| key_of(&name, whole)));
            }
            // A link that leads outside is one that somebody wanted to be there.
            let is_failed = fault.is_some_and(|kind| kind != ErrorKind::Forbidden);
            seen.is_unfinished |= is_failed;
            let file = format!("{directory}{name}");
            let told = (name, reason);
            if !before.skipped.contains(&told) {
                let reason = told.1.clone();
                let outcome = if is_failed { Outcome::Failed { reason } } else { Outcome::Skipped { reason } };
                (self.report)(Record { file, files: 1, outcome });
            }
            seen.skipped.insert(told);
        }
        unknown
    }

    /// Candidates that are not as they were before, and those that are being written no longer.
    fn changed(&self, candidates: Vec<Candidate>, before: &mut Seen, seen: &mut Seen) -> Vec<(u64, Candidate)> {
        let mut changed = Vec::new();
        for candidate in candidates {
            let key = candidate.key.clone();
            let settled = if self.is_following { seen.settled(candidate, before) } else { Some(candidate) };
            let known = before.candidates.remove(&key);
            let Some(candidate) = settled else {
                // It stays what it was so far.
                seen.candidates.extend(known.map(|known| (key, known)));
                continue;
            };
            let signature = signature(&candidate);
            match known {
                Some(known) if known.signature == Some(signature) => drop(seen.candidates.insert(key, known)),
                _ => changed.push((signature, candidate)),
            }
        }
        changed
    }

    /// Looks into files, and sends what is in them; returns the directories that are no nodes after all.
    async fn look_into(
        &mut self,
        mut changed: Vec<(u64, Candidate)>,
        path: &NodePath,
        seen: &mut Seen,
    ) -> Result<Vec<(String, Location)>> {
        let mut directories = Vec::new();
        while !changed.is_empty() {
            let some: Vec<_> = changed.drain(..changed.len().min(BATCH)).collect();
            let storage = &self.files.storage;
            let looked = stream::iter(some).map(async |(signature, candidate)| {
                (candidate.key.clone(), signature, inspect(storage, path, candidate).await)
            });
            let looked: Vec<_> = looked.buffered(AT_ONCE).collect().await;
            for (key, signature, looked) in looked {
                let is_finished = !looked.iter().any(|found| found.item.as_ref().is_err_and(is_passing));
                seen.is_unfinished |= !is_finished;
                let members = looked.iter().map(|found| found.candidate.members.len()).sum();
                let mut keys = Vec::with_capacity(looked.len());
                for found in looked {
                    if found.item.is_err() && found.candidate.is_directory {
                        let location = found.candidate.members.first().map(|member| member.location.clone());
                        directories.extend(location.map(|location| (key.clone(), location)));
                        continue;
                    }
                    keys.push(found.candidate.key.clone());
                    self.add(found).await?;
                }
                if !keys.is_empty() {
                    let signature = is_finished.then_some(signature);
                    seen.candidates.insert(key, Known { signature, members, keys });
                }
            }
        }
        Ok(directories)
    }

    /// Whether a directory is not too deep; if it is, that is told once.
    fn is_within_reach(&mut self, directory: &Location, before: &Seen, seen: &mut Seen) -> bool {
        let path = directory.absolute();
        let depth = path.strip_prefix(self.files.path()).map_or(0, |below| below.components().count());
        if depth <= MAX_DEPTH {
            return true;
        }
        let reason = format!(
            "it lies more than {MAX_DEPTH} directories deep, and is not looked into. Register it by itself, with a --prefix of its own."
        );
        let told = (directory.name(), reason.clone());
        if !before.skipped.contains(&told) {
            let file = self.prefix_of(&path);
            (self.report)(Record { file, files: 1, outcome: Outcome::Failed { reason } });
        }
        seen.skipped.insert(told);
        false
    }

    pub(super) fn files_path(&self) -> PathBuf {
        self.files.path()
    }

    /// A directory from where the registration began, with a slash at the end.
    pub(super) fn prefix_of(&self, directory: &Path) -> String {
        let below = directory.strip_prefix(self.files.path()).unwrap_or(Path::new(""));
        if below.as_os_str().is_empty() { String::new() } else { format!("{}/", below.display()) }
    }

    /// The nearest directory at or above a path that is known; the start when there is none.
    pub(super) fn nearest(&self, path: &Path) -> PathBuf {
        let known = path.ancestors().find(|path| self.seen.contains_key(*path));
        known.map_or_else(|| self.files.path(), Path::to_path_buf)
    }
}

#[cfg(test)]
mod tests;
