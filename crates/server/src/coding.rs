//! Content codings. The same names as `girih_engine::compress`, which takes this module's place.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::{ByteStream, Result, ResultExt};

/// Bytes at the beginning of a body that are tried.
const SAMPLE: usize = 256 << 10;
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    Identity,
}

impl Coding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }
}

/// Codings that suit a media type, the best first; empty for what is compressed already.
pub(crate) fn preferences(media_type: &str) -> &'static [Coding] {
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match bare.as_str() {
        "application/octet-stream"
        | "application/vnd.apache.arrow.file"
        | "application/json"
        | "application/json-seq"
        | "application/x-msgpack"
        | "image/svg+xml" => &[Coding::Zstd, Coding::Gzip],
        text if text.starts_with("text/") => &[Coding::Zstd, Coding::Gzip],
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

/// Compresses with the first of `candidates`, unless the beginning of the body does not shrink by a tenth.
pub(crate) async fn choose(
    candidates: &[Coding],
    mut body: ByteStream,
    _itemsize: usize,
    length: Option<u64>,
) -> Result<Choice> {
    let Some(coding) = candidates.first().copied().filter(|coding| *coding != Coding::Identity) else {
        return Ok(Choice { coding: Coding::Identity, body, length });
    };
    let mut begin = BytesMut::new();
    let mut ended = false;
    while begin.len() < SAMPLE && !ended {
        match body.try_next().await? {
            Some(piece) => begin.extend_from_slice(&piece),
            None => ended = true,
        }
    }
    let begin = begin.freeze();
    let sample = begin.slice(..begin.len().min(SAMPLE));
    let tried_len = sample.len();
    let tried = tokio::task::spawn_blocking(move || Encoder::new(coding)?.all(&sample));
    let tried = tried.await.internal(|| "compressing".into())??;
    let original = stream::once(async move { Ok(begin) }).chain(body).boxed();
    if tried_len < 1000 || tried.len() * 10 >= tried_len * 9 {
        return Ok(Choice { coding: Coding::Identity, body: original, length });
    }
    if ended && tried_len < SAMPLE {
        let length = Some(tried.len() as u64);
        return Ok(Choice { coding, body: stream::once(async move { Ok(tried) }).boxed(), length });
    }
    Ok(Choice { coding, body: encoded(Encoder::new(coding)?, original), length: None })
}

/// Encodes piece by piece; each is flushed, so that the reader need not wait for the next.
fn encoded(encoder: Encoder, body: ByteStream) -> ByteStream {
    let steps = stream::try_unfold(Some((encoder, body)), |state| async move {
        let Some((mut encoder, mut body)) = state else { return Ok(None) };
        match body.try_next().await? {
            None => Ok(Some((encoder.finish()?, None))),
            Some(piece) => {
                let step = tokio::task::spawn_blocking(move || encoder.piece(&piece).map(|bytes| (bytes, encoder)));
                let (bytes, encoder) = step.await.internal(|| "compressing".into())??;
                Ok(Some((bytes, Some((encoder, body)))))
            }
        }
    });
    steps.boxed()
}

enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> Result<Self> {
        Ok(match coding {
            Coding::Gzip | Coding::Identity => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(1))),
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL);
                Self::Zstd(encoder.internal(|| "starting zstd".into())?)
            }
        })
    }

    fn piece(&mut self, piece: &[u8]) -> Result<Bytes> {
        let done = match self {
            Self::Zstd(encoder) => encoder.write_all(piece).and_then(|()| encoder.flush()),
            Self::Gzip(encoder) => encoder.write_all(piece).and_then(|()| encoder.flush()),
        };
        done.internal(|| "compressing".into())?;
        let out = match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        Ok(std::mem::take(out).into())
    }

    fn finish(self) -> Result<Bytes> {
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        };
        Ok(rest.internal(|| "finishing compression".into())?.into())
    }

    fn all(mut self, bytes: &[u8]) -> Result<Bytes> {
        let mut all = BytesMut::from(&*self.piece(bytes)?);
        all.extend_from_slice(&self.finish()?);
        Ok(all.freeze())
    }
}
