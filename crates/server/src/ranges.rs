//! Parts of a file (RFC 9110, 14): `Range`, `If-Range`, multipart answers.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderValue, header};
use girih_model::{Error, Result};

/// Most parts of one request.
const MAX_PARTS: usize = 32;

/// Which bytes of a file are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    /// At least one; each lies within the file and is not empty.
    Parts(Vec<Part>),
    Unsatisfiable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl Part {
    pub(crate) fn range(self) -> Range<u64> {
        self.start..self.start + self.len
    }

    pub(crate) fn content_range(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + self.len - 1)
    }
}

/// # Errors
/// `Malformed` when the header cannot be read.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, etag: &HeaderValue, modified: &HeaderValue) -> Result<Wanted> {
    let Some(range) = headers.get(header::RANGE) else { return Ok(Wanted::Whole) };
    // A copy of another version must not be pieced together with this one.
    if headers.get(header::IF_RANGE).is_some_and(|given| given != etag && given != modified) {
        return Ok(Wanted::Whole);
    }
    let malformed = || {
        Error::malformed("Malformed range header. It is for example \"bytes=0-99\", \"bytes=100-\" or \"bytes=-5\".")
    };
    let (unit, list) = range.to_str().ok().and_then(|text| text.split_once('=')).ok_or_else(malformed)?;
    // Units that we do not know are as if they were not there (14.2).
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ok(Wanted::Whole);
    }
    let mut parts = Vec::new();
    for (n, text) in list.split(',').enumerate() {
        if n >= MAX_PARTS {
            return Err(Error::malformed(format!("At most {MAX_PARTS} ranges can be asked for at once.")));
        }
        parts.extend(part(text.trim(), size).ok_or_else(malformed)?);
    }
    if parts.is_empty() {
        return Ok(Wanted::Unsatisfiable);
    }
    // Overlapping parts could make a small file an endless answer.
    let total = parts.iter().try_fold(0u64, |sum, part: &Part| sum.checked_add(part.len));
    if total.is_none_or(|total| total > size) { Ok(Wanted::Whole) } else { Ok(Wanted::Parts(parts)) }
}

/// The outer `None`: cannot be read; the inner: lies outside of the file.
fn part(text: &str, size: u64) -> Option<Option<Part>> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        // A number too large for us is larger than any file.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let (first, last) = text.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(number(last)?), size),
        (first, "") => (number(first)?, size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(size))
        }
    };
    Some((start < end).then(|| Part { start, len: end - start }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(range: &str, expected: Result<Wanted, ()>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::try_from(range).unwrap());
        let none = HeaderValue::from_static("x");
        assert_eq!(wanted(&headers, 10, &none, &none).map_err(drop), expected, "{range}");
    }

    fn parts(parts: &[(u64, u64)]) -> Result<Wanted, ()> {
        Ok(Wanted::Parts(parts.iter().map(|(start, len)| Part { start: *start, len: *len }).collect()))
    }

    #[test]
    fn ranges() {
        check("bytes=0-0", parts(&[(0, 1)]));
        check("bytes=2-", parts(&[(2, 8)]));
        check("bytes=-3", parts(&[(7, 3)]));
        check("bytes=-99", parts(&[(0, 10)]));
        check("bytes=8-99999999999999999999999", parts(&[(8, 2)]));
        check("bytes=0-1, 4-5", parts(&[(0, 2), (4, 2)]));
        check("bytes=0-1, 40-50", parts(&[(0, 2)]));
        check("bytes=10-", Ok(Wanted::Unsatisfiable));
        check("bytes=-0", Ok(Wanted::Unsatisfiable));
        check("bytes=0-9,0-9", Ok(Wanted::Whole));
        check("lines=1-2", Ok(Wanted::Whole));
        for bad in ["bytes=abc", "bytes=5-2", "bytes=", "bytes", "bytes=1-2-3", "bytes=+1-2"] {
            check(bad, Err(()));
        }
        check(&format!("bytes={}", ["0-0"; 33].join(",")), Err(()));
    }

    #[test]
    fn parts_of_another_version_are_not_sent() {
        let (etag, modified) =
            (HeaderValue::from_static("\"a\""), HeaderValue::from_static("Sun, 22 Nov 2026 11:12:10 GMT"));
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        for (given, whole) in
            [("\"a\"", false), ("Sun, 22 Nov 2026 11:12:10 GMT", false), ("\"b\"", true), ("\"a--zstd\"", true)]
        {
            headers.insert(header::IF_RANGE, HeaderValue::from_static(given));
            assert_eq!(wanted(&headers, 10, &etag, &modified).unwrap() == Wanted::Whole, whole, "{given}");
        }
    }

    proptest! {
        #[test]
        fn parts_lie_within_the_file(range in "bytes=[-0-9,]{0,12}", size in 0u64..20) {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::try_from(range).unwrap());
            let none = HeaderValue::from_static("x");
            if let Ok(Wanted::Parts(parts)) = wanted(&headers, size, &none, &none) {
                for part in parts {
                    prop_assert!(part.len > 0 && part.start + part.len <= size);
                }
            }
        }
    }
}
