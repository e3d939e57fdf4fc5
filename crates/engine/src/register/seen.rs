//! What a registration knows of a directory: what did not change is not looked at again.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant, SystemTime};

use girih_model::NodePath;
use girih_storage::Location;
use girih_storage::survey::Candidate;

/// A file that was changed so recently may still be written.
pub(super) const SETTLED: Duration = Duration::from_secs(if cfg!(test) { 3600 } else { 1 });
/// One that does not stop changing is looked at all the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory as it was.
pub(super) struct Seen {
    pub(super) container: NodePath,
    pub(super) location: Location,
    pub(super) candidates: HashMap<String, Known>,
    pub(super) directories: HashSet<String>,
    /// Candidates that are being written, and since when they are waited for.
    pub(super) waiting: HashMap<String, Instant>,
    /// What was skipped, and why: it is told once.
    pub(super) skipped: HashSet<(String, String)>,
    /// What is in it is known.
    pub(super) is_listed: bool,
    /// Something in it, or all of it, could not be looked at: it is worth another try.
    pub(super) is_unfinished: bool,
}

/// A candidate that was looked into.
pub(super) struct Known {
    /// Tells whether its files have changed; `None` when they are to be looked into again in any case.
    pub(super) signature: Option<u64>,
    /// How many files it stands for.
    pub(super) members: usize,
    /// Of the nodes that it has become.
    pub(super) keys: Vec<String>,
}

impl Seen {
    pub(super) fn new(location: &Location, container: &NodePath) -> Self {
        Self {
            container: container.clone(),
            location: location.clone(),
            candidates: HashMap::new(),
            directories: HashSet::new(),
            waiting: HashMap::new(),
            skipped: HashSet::new(),
            is_listed: false,
            is_unfinished: false,
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.candidates.values().flat_map(|known| &known.keys).chain(&self.directories)
    }

    /// What of a candidate may be looked at, now that others may be writing it; `None` when nothing, or less than the
    /// files that are known of it. Who is waited for is in `waiting`, as it is `before`.
    pub(super) fn settled(&mut self, candidate: Candidate, before: &Self) -> Option<Candidate> {
        let now = SystemTime::now();
        let is_young = |modified: SystemTime| now.duration_since(modified).is_ok_and(|age| age < SETTLED);
        if !is_young(candidate.modified()) {
            return Some(candidate);
        }
        let key = &candidate.key;
        let since = before.waiting.get(key).copied().unwrap_or_else(Instant::now);
        let is_late = since.elapsed() >= PATIENCE;
        self.waiting.insert(key.clone(), if is_late { Instant::now() } else { since });
        if !candidate.is_sequence {
            return is_late.then_some(candidate);
        }
        // Without the frames at the end that are not finished; one that is written anew keeps its place.
        let known = before.candidates.get(key).map_or(0, |known| known.members);
        let finished = candidate.members.iter().rposition(|member| !is_young(member.modified)).map_or(0, |n| n + 1);
        if finished >= known.max(1) || is_late && finished > 0 {
            let members = candidate.members[..finished].to_vec();
            return Some(Candidate { members, ..candidate });
        }
        is_late.then_some(candidate)
    }
}

/// Files that were changed at another time, or are others, are told by it.
pub(super) fn signature(candidate: &Candidate) -> u64 {
    let mut hasher = DefaultHasher::new();
    candidate.media_type.hash(&mut hasher);
    for member in &candidate.members {
        (member.location.absolute(), member.size, member.modified, member.changed).hash(&mut hasher);
    }
    hasher.finish()
}
