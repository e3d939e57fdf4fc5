//! The content codings that bodies can go out in, in bounded memory.
//!
//! | coding | what it is | streams |
//! |---|---|---|
//! | `blosc2` | Blosc2 chunks one after another, LZ4 after a byte shuffle | yes |
//! | `lz4` | 4 bytes of length (little-endian) and one LZ4 block | no: bodies up to [`LZ4_LIMIT`] |
//! | `zstd` | one Zstandard frame (RFC 8878), flushed piece by piece | yes |
//! | `gzip` | one gzip member (RFC 1952), flushed piece by piece | yes |
//!
//! [`choose`] is the usual door: it looks at the beginning of a body and lets it pass untouched when
//! it would not shrink. Downloads of files go through [`streamed`].

use bytes::{Bytes, BytesMut};
use futures::stream::{StreamExt, TryStreamExt, once};
use girih_model::{ByteStream, Result};

use girih_engine::blocking;

use super::blosc2;
use super::streaming::{self, stream};

/// Most bytes of a body that the coding `lz4`, which needs the whole, is used for.
pub(super) const LZ4_LIMIT: u64 = 64 << 20;
/// Smaller bodies are not worth a header.
const SMALLEST: u64 = 1000;
/// Bytes at the beginning of a body that are tried.
const SAMPLE: usize = 256 << 10;

/// A content coding, as in `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Blosc2,
    Lz4,
    Zstd,
    Gzip,
    Identity,
}

impl Coding {
    /// The token of `Accept-Encoding` and `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blosc2 => "blosc2",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// Whether a body of this length (`None`: unknown) can be sent in this coding.
    pub(super) fn fits(self, length: Option<u64>) -> bool {
        self != Self::Lz4 || length.is_some_and(|length| length <= LZ4_LIMIT)
    }
}

/// Codings that suit a media type (parameters do not count), the best first; empty for what is
/// compressed already.
pub(crate) fn preferences(media_type: &str) -> &'static [Coding] {
    use Coding::{Blosc2, Gzip, Lz4, Zstd};
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match bare.as_str() {
        "application/octet-stream" | "application/vnd.apache.arrow.file" => &[Blosc2, Lz4, Zstd, Gzip],
        "application/json" | "application/x-msgpack" => &[Lz4, Zstd, Gzip],
        "text/csv" | "text/plain" | "text/html" => &[Lz4, Zstd, Gzip],
        // What the reference leaves alone although it shrinks; no LZ4 here, which few can decode.
        "application/json-seq" | "application/javascript" | "image/svg+xml" | "image/tiff" => &[Zstd, Gzip],
        "application/x-hdf5" | "application/vnd.ms-excel" => &[Zstd, Gzip],
        other if other.starts_with("text/") => &[Zstd, Gzip],
        _ => &[],
    }
}

/// A body as it goes out.
pub(crate) struct Choice {
    pub(crate) coding: Coding,
    pub(crate) body: ByteStream,
    /// Bytes of `body`, when known.
    pub(crate) length: Option<u64>,
}

/// Compresses a body with the first of `candidates` (what the caller accepts, in the order of
/// [`preferences`]) that can be used for it, unless the beginning of the body does not shrink by a
/// tenth: then it goes out as it is. A short body is compressed here, so that its length is known.
///
/// `itemsize` is the number of bytes of one item, 1 when meaningless; `length` the length of the
/// body, when known.
///
/// # Errors
/// Those of the body's first pieces.
pub(crate) async fn choose(
    candidates: &[Coding],
    body: ByteStream,
    itemsize: usize,
    length: Option<u64>,
) -> Result<Choice> {
    let coding = candidates.iter().copied().find(|coding| coding.fits(length)).unwrap_or(Coding::Identity);
    if coding == Coding::Identity || length.is_some_and(|length| length < SMALLEST) {
        return Ok(Choice { coding: Coding::Identity, body, length });
    }
    let (begin, rest) = peek(body).await?;
    let tried = begin.slice(..begin.len().min(SAMPLE));
    let compressed = blocking({
        let tried = tried.clone();
        move || Ok(compress(coding, &tried, itemsize))
    })
    .await?;
    if (tried.len() as u64) < SMALLEST || compressed.len() * 10 >= tried.len() * 9 {
        let length = length.or_else(|| rest.is_none().then_some(begin.len() as u64));
        return Ok(Choice { coding: Coding::Identity, body: chain(begin, rest), length });
    }
    if rest.is_none() && tried.len() == begin.len() {
        let length = Some(compressed.len() as u64);
        let body = once(async move { Ok(compressed.into()) }).boxed();
        return Ok(Choice { coding, body, length });
    }
    Ok(Choice { coding, body: stream(coding, chain(begin, rest), itemsize, length), length: None })
}

/// Compresses a body with the first of `candidates` that works piece by piece.
pub(super) fn streamed(candidates: &[Coding], body: ByteStream, length: Option<u64>) -> Choice {
    let coding = candidates.iter().copied().find(|coding| *coding != Coding::Lz4);
    match coding.filter(|_| length.is_none_or(|length| length >= SMALLEST)) {
        Some(coding) => Choice { coding, body: stream(coding, body, 1, length), length: None },
        None => Choice { coding: Coding::Identity, body, length },
    }
}

/// Compresses a body that is in memory, at once.
fn compress(coding: Coding, body: &[u8], itemsize: usize) -> Vec<u8> {
    match coding {
        Coding::Identity => body.to_vec(),
        Coding::Lz4 => lz4_flex::block::compress_prepend_size(body),
        Coding::Blosc2 => blosc2::encode(body, itemsize),
        Coding::Zstd | Coding::Gzip => streaming::compress_at_once(coding, body),
    }
}

/// The body again, of which the beginning has been looked at.
fn chain(begin: Bytes, rest: Option<ByteStream>) -> ByteStream {
    let begin = once(async move { Ok(begin) });
    match rest {
        Some(rest) => begin.chain(rest).boxed(),
        None => begin.boxed(),
    }
}

/// At least [`SAMPLE`] bytes and what comes after them; `None` when the beginning is all.
async fn peek(mut body: ByteStream) -> Result<(Bytes, Option<ByteStream>)> {
    let mut begin = BytesMut::new();
    while let Some(piece) = body.try_next().await? {
        if begin.is_empty() && piece.len() >= SAMPLE {
            return Ok((piece, Some(body)));
        }
        begin.extend_from_slice(&piece);
        if begin.len() >= SAMPLE {
            return Ok((begin.freeze(), Some(body)));
        }
    }
    Ok((begin.freeze(), None))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn body(pieces: Vec<Vec<u8>>) -> ByteStream {
        stream::iter(pieces.into_iter().map(|piece| Ok(piece.into()))).boxed()
    }

    async fn check(candidates: &[Coding], pieces: Vec<Vec<u8>>, known: bool, expected: Coding) {
        let plain = pieces.concat();
        let length = known.then_some(plain.len() as u64);
        let choice = choose(candidates, body(pieces), 8, length).await.unwrap();
        assert_eq!(choice.coding, expected);
        let sent = choice.body.try_collect::<Vec<_>>().await.unwrap().concat();
        if let Some(length) = choice.length {
            assert_eq!(length, sent.len() as u64);
        }
        assert_eq!(decode(choice.coding, &sent), plain);
    }

    pub(crate) fn decode(coding: Coding, sent: &[u8]) -> Vec<u8> {
        use std::io::Read;
        match coding {
            Coding::Identity => sent.to_vec(),
            Coding::Zstd => zstd::decode_all(sent).unwrap(),
            Coding::Lz4 => lz4_flex::block::decompress_size_prepended(sent).unwrap(),
            Coding::Gzip => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(sent).read_to_end(&mut plain).unwrap();
                plain
            }
            Coding::Blosc2 => blosc2::tests::decode_all(sent),
        }
    }

    /// Bytes that no compressor shrinks.
    pub(crate) fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(step).collect()
    }

    #[tokio::test]
    async fn a_body_goes_out_in_the_first_coding_that_helps() {
        let ramp = |n: u64| (0..n).flat_map(u64::to_le_bytes).collect::<Vec<_>>();
        for coding in [Coding::Blosc2, Coding::Zstd, Coding::Gzip] {
            for known in [true, false] {
                check(&[coding], vec![ramp(1000)], known, coding).await;
                check(&[coding], vec![ramp(1000); 3], known, coding).await;
                check(&[coding], vec![ramp(300_000); 3], known, coding).await;
                check(&[coding], vec![ramp(100)[..799].to_vec(); 1000], known, coding).await;
                check(&[coding], vec![ramp(100)], known, Coding::Identity).await;
                check(&[coding], vec![noise(1_000_000)], known, Coding::Identity).await;
                check(&[coding], vec![], known, Coding::Identity).await;
            }
        }
        check(&[], vec![ramp(1000)], true, Coding::Identity).await;
        check(&[Coding::Lz4, Coding::Zstd], vec![ramp(100_000); 3], true, Coding::Lz4).await;
        check(&[Coding::Lz4, Coding::Zstd], vec![ramp(100_000); 3], false, Coding::Zstd).await;
    }

    #[tokio::test]
    async fn downloads_go_out_in_the_coding_that_was_asked_for() {
        for (candidates, length, expected) in [
            (&[Coding::Lz4, Coding::Zstd, Coding::Gzip][..], 1_000_000, Coding::Zstd),
            (&[Coding::Blosc2, Coding::Zstd], 1_000_000, Coding::Blosc2),
            (&[Coding::Gzip, Coding::Zstd], 1_000_000, Coding::Gzip),
            (&[Coding::Lz4], 1_000_000, Coding::Identity),
            (&[Coding::Zstd], 100, Coding::Identity),
        ] {
            let plain = noise(length);
            let choice = streamed(candidates, body(vec![plain.clone()]), Some(length as u64));
            assert_eq!(choice.coding, expected);
            assert_eq!(choice.length.is_some(), expected == Coding::Identity);
            assert_eq!(decode(expected, &choice.body.try_collect::<Vec<_>>().await.unwrap().concat()), plain);
        }
    }

    #[tokio::test]
    async fn an_error_in_the_middle_of_a_body_is_passed_on() {
        let pieces = vec![Ok(Bytes::from(vec![0; 1 << 20])), Err(girih_model::Error::gone("gone"))];
        let choice = choose(&[Coding::Zstd], stream::iter(pieces).boxed(), 1, None).await.unwrap();
        assert!(choice.body.try_collect::<Vec<_>>().await.is_err());
    }

    #[test]
    fn what_is_compressed_already_is_left_alone() {
        assert_eq!(preferences("application/json; charset=utf-8"), [Coding::Lz4, Coding::Zstd, Coding::Gzip]);
        assert_eq!(preferences("image/png"), []);
    }
}
