//! What could become nodes: a directory is looked through, its files are told apart by their names and gathered to
//! sequences, and each gets a key. Nothing is opened here.

mod keys;
mod sequences;

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use girih_model::{Asset, Error, ErrorKind, Result};
use rustix::fs::FileType;
use serde_json::Map;

use crate::format::{self, Files};
use crate::place::Location;

pub(crate) use keys::distinct;
pub use keys::key_of;
pub(crate) use sequences::natural;

/// Media type of files that nothing more is known of.
const BYTES: &str = "application/octet-stream";

/// Decides what a file is, from its path and what its name says.
///
/// # Errors
/// Concern the file: it is left out, and told of.
pub type Hook = Arc<dyn Fn(&Path, Option<&str>) -> Result<Option<String>> + Send + Sync>;

/// How files are told apart and named.
#[derive(Clone)]
pub struct SurveyOptions {
    /// Keys are whole file names, not only what comes before the first dot.
    pub keep_extensions: bool,
    /// Media types by the ending of names, before those of the formats; without the first dot.
    pub media_types: BTreeMap<String, String>,
    /// Only files with one of these endings; all when empty. Without the first dot.
    pub only: Vec<String>,
    pub hook: Option<Hook>,
    /// Numbered pictures and arrays are frames of one array.
    pub sequences: bool,
    /// Other files are nodes of their own.
    pub single: bool,
    /// Files of an unknown kind are bytes, to be found and downloaded.
    pub bytes: bool,
}

impl Default for SurveyOptions {
    fn default() -> Self {
        Self {
            keep_extensions: false,
            media_types: BTreeMap::new(),
            only: Vec::new(),
            hook: None,
            sequences: true,
            single: true,
            bytes: true,
        }
    }
}

impl fmt::Debug for SurveyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurveyOptions").field("media_types", &self.media_types).finish_non_exhaustive()
    }
}

/// What lies in a directory.
#[derive(Debug, Clone, Default)]
pub struct Surveyed {
    pub candidates: Vec<Candidate>,
    pub directories: Vec<Below>,
    pub skipped: Vec<Skipped>,
}

/// A file, directory or sequence of files that could become a node.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub key: String,
    pub media_type: String,
    /// In the order of the sequence; one, when it is none.
    pub members: Vec<Member>,
    pub is_sequence: bool,
    /// Should it turn out not to be one, it may be looked into as any directory.
    pub is_directory: bool,
}

#[derive(Debug, Clone)]
pub struct Member {
    pub location: Location,
    /// Bytes; `None` for a directory.
    pub size: Option<u64>,
    pub modified: SystemTime,
    /// Tells another file of the same name, size and time, and one that has got another mode.
    pub changed: Changed,
}

/// The number of a file, and when it, or what is noted of it, was last changed: seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Changed(u64, i64, i64);

/// A directory that becomes a container.
#[derive(Debug, Clone)]
pub struct Below {
    pub key: String,
    pub location: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub name: String,
    pub reason: String,
    /// Why it could not be looked at; `None` for what nobody has asked for.
    pub fault: Option<ErrorKind>,
}

impl Candidate {
    /// As the reference registers them: lists of files have numbers, single ones have none.
    pub fn files(&self) -> Files {
        let listed = self.is_sequence || format::by_media_type(&self.media_type).is_some_and(|f| f.lists_files());
        let assets = self.members.iter().enumerate().map(|(n, member)| Asset {
            data_uri: member.location.uri(),
            is_directory: self.is_directory,
            size: member.size,
            parameter: Some(if listed { "data_uris" } else { "data_uri" }.to_owned()),
            num: listed.then_some(n as u64),
            id: None,
        });
        Files { media_type: self.media_type.clone(), parameters: Map::new(), assets: assets.collect() }
    }

    /// A name for people: of a sequence, the first and the last.
    pub fn name(&self) -> String {
        match self.members.as_slice() {
            [] => String::new(),
            [one] => one.location.name(),
            [first, .., last] => {
                format!("{} … {} ({} files)", first.location.name(), last.location.name(), self.members.len())
            }
        }
    }

    /// When it was last changed.
    pub fn modified(&self) -> SystemTime {
        self.members.iter().map(|member| member.modified).max().unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Looks through one directory; what begins with a dot is not seen. Blocks.
///
/// # Errors
/// `Gone`, `Forbidden` or `TooLarge` for the directory.
pub fn survey(directory: &Location, options: &SurveyOptions) -> Result<Surveyed> {
    let mut found = Surveyed::default();
    let (mut entries, odd) = directory.list()?;
    let unusable = |name| Skipped { name, reason: "its name is not UTF-8".into(), fault: None };
    found.skipped.extend(odd.into_iter().map(unusable));
    entries.retain(|entry| !entry.name.starts_with('.'));
    entries.sort_by(|a, b| natural(&a.name, &b.name));
    for entry in entries {
        let location = directory.child(&entry.name)?;
        let skipped = |reason: String| Skipped { name: entry.name.clone(), reason, fault: None };
        match entry.kind {
            FileType::Symlink if leads_back(&location) => {
                found.skipped.push(skipped("it leads back to a directory that it lies in".into()));
                continue;
            }
            FileType::RegularFile | FileType::Directory | FileType::Symlink => {}
            _ => {
                found.skipped.push(skipped("it is neither a file nor a directory".into()));
                continue;
            }
        }
        match look(&location, &entry.name, options) {
            Looked::Candidate(candidate) => found.candidates.push(candidate),
            Looked::Directory => found.directories.push(Below { key: String::new(), location }),
            Looked::Nothing(reason) => found.skipped.push(skipped(reason)),
            // A link that leads nowhere, a file that is gone.
            Looked::Fault(e) => {
                found.skipped.push(Skipped { fault: Some(e.kind()), ..skipped(e.message().to_owned()) });
            }
        }
    }
    if options.sequences {
        found.candidates = sequences::gather(found.candidates);
    }
    if !options.single {
        found.candidates.retain(|candidate| candidate.is_sequence || candidate.is_directory);
    }
    keys::name(&mut found, options.keep_extensions);
    Ok(found)
}

/// Whether a link leads to a directory above it: to follow it would not end.
fn leads_back(link: &Location) -> bool {
    let Ok(target) = link.metadata() else { return false };
    let is_target = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|above| (above.dev(), above.ino()) == (target.dev(), target.ino()))
    };
    target.is_dir() && link.absolute().ancestors().skip(1).any(is_target)
}

/// Looks at one file or directory, which becomes one node. Blocks.
///
/// # Errors
/// `Unprocessable` when nothing here reads it, `Gone` or `Forbidden` when it cannot be looked at; those of the hook.
pub fn survey_one(location: &Location, options: &SurveyOptions) -> Result<Option<Candidate>> {
    match look(location, &location.name(), options) {
        Looked::Candidate(mut candidate) => {
            candidate.key = key_of(&location.name(), options.keep_extensions);
            Ok(Some(candidate))
        }
        Looked::Directory => Ok(None),
        Looked::Fault(e) => Err(e),
        Looked::Nothing(reason) => {
            Err(Error::unprocessable(format!("{:?} is not registered: {reason}.", location.name())))
        }
    }
}

enum Looked {
    Candidate(Candidate),
    Directory,
    /// And why.
    Nothing(String),
    /// It cannot be looked at.
    Fault(Error),
}

fn look(location: &Location, name: &str, options: &SurveyOptions) -> Looked {
    let metadata = match location.metadata() {
        Ok(metadata) => metadata,
        Err(e) => return Looked::Fault(e),
    };
    let is_directory = metadata.is_dir();
    if !is_directory && !metadata.is_file() {
        return Looked::Nothing("it is neither a file nor a directory".into());
    }
    if !is_directory
        && !options.only.is_empty()
        && !endings(name).any(|ending| options.only.iter().any(|one| one.eq_ignore_ascii_case(ending)))
    {
        return Looked::Nothing("its ending is not among those that were asked for".into());
    }
    let by_name = endings(name).find_map(|ending| options.media_types.get(ending).map(String::as_str));
    let by_name = by_name.or_else(|| format::media_type_of(name));
    let media_type = match &options.hook {
        Some(hook) => hook(&location.absolute(), by_name),
        None => Ok(by_name.map(str::to_owned)),
    };
    let media_type = match media_type {
        Err(e) => return Looked::Fault(e),
        Ok(media_type) => media_type,
    };
    let media_type = match media_type {
        Some(media_type) if format::by_media_type(&media_type).is_some_and(|format| !format.opens().is_empty()) => {
            media_type
        }
        _ if is_directory => return Looked::Directory,
        _ if options.bytes => BYTES.to_owned(),
        Some(media_type) => return Looked::Nothing(format!("files of the media type {media_type} cannot be read")),
        None => return Looked::Nothing("its kind is not known; name it with --ext".into()),
    };
    let member = Member {
        location: location.clone(),
        size: (!is_directory).then_some(metadata.len()),
        modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        changed: Changed(metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
    };
    Looked::Candidate(Candidate {
        key: String::new(),
        media_type,
        members: vec![member],
        is_sequence: false,
        is_directory,
    })
}

/// Of `a.tar.gz`: `tar.gz` and `gz`.
fn endings(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| &name[dot + 1..])
}

#[cfg(test)]
mod tests;
