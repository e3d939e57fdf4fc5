//! Keys from the names of files.

use std::collections::{HashMap, HashSet};

use super::{BYTES, Candidate, Surveyed};

/// The key for a name, whole or without its endings. What no key may hold is an underscore.
pub fn key_of(name: &str, keep_extensions: bool) -> String {
    let name = if keep_extensions { name.to_owned() } else { strip_suffixes(name) };
    if matches!(&*name, "" | "." | "..") {
        return "_".to_owned();
    }
    name.replace(|c: char| matches!(c, '/' | '\\') || c.is_control(), "_")
}

/// Each key once: what has the key of one before gets a number.
pub(crate) fn distinct(keys: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut times: HashMap<String, u64> = HashMap::new();
    let one = |key: String| {
        let mut free = key.clone();
        while !taken.insert(free.clone()) {
            let times = times.entry(key.clone()).or_insert(1);
            *times += 1;
            free = format!("{key}~{times}");
        }
        free
    };
    keys.map(one).collect()
}

/// What comes before the endings, as Python's `pathlib` counts them: of `a.tar.gz` it is `a`; a dot at the beginning
/// is part of the name.
pub(super) fn strip_suffixes(name: &str) -> String {
    let start = name.len() - name.trim_start_matches('.').len();
    match name[start..].find('.') {
        Some(dot) if !name.ends_with('.') => name[..start + dot].to_owned(),
        _ => name.to_owned(),
    }
}

/// Gives each candidate and directory its key. Where several would have the same one, all of them have their whole
/// names; files that are only bytes have that always, so that a note beside the data does not change its key.
pub(super) fn name(found: &mut Surveyed, keep_extensions: bool) {
    let wholes: Vec<String> = found.candidates.iter().map(whole).collect();
    let directories: Vec<String> = found.directories.iter().map(|below| key_of(&below.location.name(), true)).collect();
    let short = |name: &String| key_of(name, keep_extensions);
    let bytes = |candidate: &Candidate| candidate.media_type == BYTES && !candidate.is_sequence;
    let wanted = found.candidates.iter().zip(&wholes).map(|(candidate, whole)| match () {
        () if bytes(candidate) => whole.clone(),
        () if candidate.is_sequence => sequence_key(candidate),
        () => short(whole),
    });
    let wanted: Vec<String> = wanted.chain(directories.iter().map(short)).collect();
    let mut counts: HashMap<&String, usize> = HashMap::new();
    wanted.iter().for_each(|key| *counts.entry(key).or_default() += 1);
    let wholes = wholes.iter().chain(&directories);
    let keys = wanted.iter().zip(wholes).map(|(key, whole)| if counts[key] > 1 { whole } else { key });
    let keys = distinct(keys.cloned());
    let (candidates, directories) = keys.split_at(found.candidates.len());
    found.candidates.iter_mut().zip(candidates).for_each(|(candidate, key)| candidate.key.clone_from(key));
    found.directories.iter_mut().zip(directories).for_each(|(below, key)| below.key.clone_from(key));
}

/// The whole name; of a sequence, without the number.
fn whole(candidate: &Candidate) -> String {
    let name = candidate.members.first().map(|member| member.location.name()).unwrap_or_default();
    let name = match super::sequences::parts(&name) {
        Some(parts) if candidate.is_sequence => format!("{}.{}", parts.prefix_or_default(), parts.ending),
        _ => name,
    };
    key_of(&name, true)
}

/// What comes before the number.
fn sequence_key(candidate: &Candidate) -> String {
    let name = candidate.members.first().map(|member| member.location.name()).unwrap_or_default();
    let prefix = super::sequences::parts(&name).map(|parts| parts.prefix_or_default().to_owned());
    key_of(&prefix.unwrap_or(name), false)
}
