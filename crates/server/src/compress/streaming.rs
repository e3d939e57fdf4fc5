//! Compressing a stream piece by piece, each flushed, on the blocking pool.

use std::io::Write;

use bytes::{Bytes, BytesMut};
use flate2::write::GzEncoder;
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_engine::blocking;
use girih_model::{ByteStream, Error, Result, ResultExt};

use super::blosc2;
use super::coding::{Coding, LZ4_LIMIT};

/// Most plain bytes that are compressed at a time.
const PIECE: usize = 1 << 20;
/// Fast rather than small: the network is near and the data is big.
const STREAM_LEVEL: i32 = 1;
/// Of a body that is small enough to be in memory.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 3;

enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    /// Bytes that do not fill an item yet.
    Blosc2 {
        itemsize: usize,
        waiting: BytesMut,
    },
    /// The whole body until it ends.
    Lz4(BytesMut),
}

impl Encoder {
    fn new(coding: Coding, itemsize: usize, level: i32) -> Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), level);
                Self::Zstd(encoder.internal(|| "starting a zstd frame".into())?)
            }
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Blosc2 => Self::Blosc2 { itemsize: blosc2::typesize(itemsize), waiting: BytesMut::new() },
            Coding::Lz4 => Self::Lz4(BytesMut::new()),
            Coding::Identity => return Err(Error::internal("Internal server error").context("identity has no encoder")),
        })
    }

    fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => {
                encoder.write_all(piece).and_then(|()| encoder.flush()).internal(|| "compressing with zstd".into())?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Gzip(encoder) => {
                encoder.write_all(piece).and_then(|()| encoder.flush()).internal(|| "compressing with gzip".into())?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Blosc2 { itemsize, waiting } => {
                waiting.extend_from_slice(piece);
                let whole = waiting.split_to(blosc2::aligned(waiting.len(), *itemsize));
                Ok(blosc2::encode(&whole, *itemsize))
            }
            Self::Lz4(waiting) => {
                if (waiting.len() + piece.len()) as u64 > LZ4_LIMIT {
                    return Err(Error::internal("Internal server error").context("lz4 was chosen for a body too large"));
                }
                waiting.extend_from_slice(piece);
                Ok(Vec::new())
            }
        }
    }

    fn finish(self) -> Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish().internal(|| "ending a zstd frame".into()),
            Self::Gzip(encoder) => encoder.finish().internal(|| "ending a gzip member".into()),
            Self::Blosc2 { itemsize, waiting } => Ok(blosc2::encode(&waiting, itemsize)),
            Self::Lz4(waiting) => Ok(lz4_flex::block::compress_prepend_size(&waiting)),
        }
    }
}

/// Compresses in memory; only writing to memory could fail.
pub(super) fn compress_at_once(coding: Coding, body: &[u8]) -> Vec<u8> {
    let compress = || {
        let mut encoder = Encoder::new(coding, 1, ZSTD_LEVEL)?;
        match &mut encoder {
            Encoder::Zstd(encoder) => encoder.write_all(body),
            Encoder::Gzip(encoder) => encoder.write_all(body),
            Encoder::Blosc2 { .. } | Encoder::Lz4(_) => Ok(()),
        }
        .internal(|| "compressing".into())?;
        encoder.finish()
    };
    compress().expect("writing to memory")
}

struct State {
    body: ByteStream,
    /// What was taken from the body beyond the piece in hand.
    left: Bytes,
    /// `None` after the end.
    encoder: Option<Encoder>,
}

/// Compresses a body as it flows: what has arrived is compressed together, at most [`PIECE`] bytes
/// at a time, and flushed, so that the receiver can decode all that was sent.
///
/// `itemsize` is the number of bytes of one item, 1 when meaningless; `length` is the length of the
/// body, when known: the coding `lz4`, which holds the whole, fails for more than [`LZ4_LIMIT`].
pub(super) fn stream(coding: Coding, body: ByteStream, itemsize: usize, length: Option<u64>) -> ByteStream {
    if coding == Coding::Identity {
        return body;
    }
    if !coding.fits(length) {
        let error = Error::internal("Internal server error").context("lz4 was chosen for a stream");
        return stream::once(async { Err(error) }).boxed();
    }
    let start = async move {
        let encoder = Encoder::new(coding, itemsize, STREAM_LEVEL)?;
        let state = State { body, left: Bytes::new(), encoder: Some(encoder) };
        Ok(stream::try_unfold(state, step))
    };
    let compressed = stream::once(start).try_flatten();
    compressed.try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
}

async fn step(mut state: State) -> Result<Option<(Bytes, State)>> {
    let Some(mut encoder) = state.encoder.take() else { return Ok(None) };
    let Some(piece) = next_piece(&mut state).await? else {
        let end = blocking(move || encoder.finish()).await?;
        return Ok(Some((end.into(), state)));
    };
    let (compressed, encoder) = blocking(move || Ok((encoder.push(&piece)?, encoder))).await?;
    state.encoder = Some(encoder);
    Ok(Some((compressed.into(), state)))
}

/// Waits for something, then takes what is there already, so that a body of crumbs is not flushed crumb by crumb.
async fn next_piece(state: &mut State) -> Result<Option<Bytes>> {
    let mut first = std::mem::take(&mut state.left);
    while first.is_empty() {
        match state.body.try_next().await? {
            Some(piece) => first = piece,
            None => return Ok(None),
        }
    }
    if first.len() < PIECE / 4 {
        let mut gathered = BytesMut::from(&first[..]);
        while gathered.len() < PIECE / 2
            && let Some(Some(piece)) = state.body.try_next().now_or_never().transpose()?
        {
            gathered.extend_from_slice(&piece);
        }
        first = gathered.freeze();
    }
    state.left = first.split_off(first.len().min(PIECE));
    Ok(Some(first))
}
