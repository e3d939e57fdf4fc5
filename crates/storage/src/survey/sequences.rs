//! Numbered files as frames of one array.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Candidate;
use crate::format;

/// What a sequence without a name is called.
const UNNAMED: &str = "_unnamed";

/// A file name with a number before its ending.
pub(super) struct Parts<'a> {
    pub(super) prefix: &'a str,
    digits: &'a str,
    pub(super) ending: &'a str,
}

impl Parts<'_> {
    pub(super) fn prefix_or_default(&self) -> &str {
        if self.prefix.is_empty() { UNNAMED } else { self.prefix }
    }
}

/// Of `image_007.tif`: `image_`, `007` and `tif`.
pub(super) fn parts(name: &str) -> Option<Parts<'_>> {
    let (stem, ending) = name.rsplit_once('.')?;
    let prefix = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    (prefix.len() < stem.len()).then(|| Parts { prefix, digits: &stem[prefix.len()..], ending })
}

/// Gathers files of one format whose names differ only in the number. Their order is that of the numbers.
pub(super) fn gather(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut gathered: Vec<Candidate> = Vec::new();
    let mut sequences: BTreeMap<(String, String), usize> = BTreeMap::new();
    for candidate in candidates {
        let name = candidate.members.first().map(|member| member.location.name()).unwrap_or_default();
        let sequence = format::sequence_of(&candidate.media_type).filter(|_| !candidate.is_directory);
        let (Some(media_type), Some(parts)) = (sequence, parts(&name)) else {
            gathered.push(candidate);
            continue;
        };
        match sequences.get(&(parts.prefix.to_owned(), media_type.to_owned())) {
            Some(at) => gathered[*at].members.extend(candidate.members),
            None => {
                sequences.insert((parts.prefix.to_owned(), media_type.to_owned()), gathered.len());
                gathered.push(Candidate { media_type: media_type.to_owned(), is_sequence: true, ..candidate });
            }
        }
    }
    for sequence in gathered.iter_mut().filter(|candidate| candidate.is_sequence) {
        sequence.members.sort_by_cached_key(|member| {
            let name = member.location.name();
            let digits = parts(&name).map(|parts| parts.digits.trim_start_matches('0').to_owned()).unwrap_or_default();
            (digits.len(), digits, name)
        });
    }
    gathered
}

/// As people sort names: numbers within them by their value.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let (Some(l), Some(r)) = (left.chars().next(), right.chars().next()) {
        if l.is_ascii_digit() && r.is_ascii_digit() {
            let number = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let ((x, l), (y, r)) = (left.split_at(number(left)), right.split_at(number(right)));
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                Ordering::Equal => (left, right) = (l, r),
                order => return order,
            }
        } else if l == r {
            (left, right) = (&left[l.len_utf8()..], &right[r.len_utf8()..]);
        } else {
            return l.cmp(&r);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}
