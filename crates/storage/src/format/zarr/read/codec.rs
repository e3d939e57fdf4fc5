//! From the bytes of a file to the items of a chunk: the codecs of an array, undone in turn.

use std::io::Read;

use girih_model::{Error, Result, ResultExt};
use serde_json::Value;

use super::dtype::Typed;
use super::node::damaged;
use crate::format::chunked::copy::{Layout, c_strides, copy};
use crate::format::chunked::recent;
use crate::format::guard::guarded;
use crate::format::{blosc, chunked, shuffle};

/// How chunks are encoded.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    /// Of bytes, in the order in which they are undone.
    codecs: Vec<Codec>,
    /// How the axes were ordered before; `None` for C order.
    order: Option<Vec<usize>>,
    /// A chunk is a file of smaller ones.
    pub(super) shard: Option<Box<Shard>>,
}

#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) chunk: Vec<u64>,
    pub(super) pipeline: Pipeline,
    /// Bytes of the index, as it is stored.
    pub(super) index_codecs: Vec<Codec>,
    pub(super) index_at_start: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Codec {
    Gzip,
    Zlib,
    Zstd,
    Blosc,
    Bzip2,
    /// Numcodecs puts the length before it.
    Lz4,
    /// Four bytes at the end.
    Crc32c,
    Shuffle(usize),
}

/// Largest index of a shard, in bytes: what is larger would not be kept, and read again for each chunk.
const MAX_INDEX: usize = recent::LARGEST;
/// More than any chunk: the least room that a decoder of bytes is given.
const SLACK: usize = 64 << 10;

impl Pipeline {
    /// The byte order of the items is that of the codec `bytes`.
    pub(super) fn of_v3(codecs: &Value, chunk: &[u64], typed: &mut Typed) -> Result<Self> {
        let list = codecs.as_array().ok_or_else(|| damaged("zarr.json", "it has no codecs"))?;
        let (mut order, mut shard, mut bytes) = (None, None, Vec::new());
        for codec in list {
            let (name, configuration) = named(codec);
            match name {
                "bytes" => {
                    if configuration["endian"] == "big" {
                        typed.dtype = big(&typed.dtype)?;
                    }
                }
                "transpose" => order = transposed(&configuration["order"], chunk.len(), order)?,
                "sharding_indexed" => shard = Some(Box::new(Shard::of(configuration, chunk, typed)?)),
                _ => bytes.push(Codec::of(name, configuration)?),
            }
        }
        if shard.is_some() && (order.is_some() || !bytes.is_empty()) {
            return Err(Error::unsupported("Zarr arrays with codecs beside sharding are not read."));
        }
        bytes.reverse();
        Ok(Self { codecs: bytes, order, shard })
    }

    pub(super) fn of_v2(json: &Value, axes: usize, typed: &Typed) -> Result<Self> {
        let mut codecs = Vec::new();
        for filter in json["filters"].as_array().into_iter().flatten() {
            codecs.push(Codec::of_numcodecs(filter, typed)?);
        }
        if !json["compressor"].is_null() {
            codecs.push(Codec::of_numcodecs(&json["compressor"], typed)?);
        }
        codecs.reverse();
        let order = (json["order"] == "F" && axes > 1).then(|| (0..axes).rev().collect());
        Ok(Self { codecs, order, shard: None })
    }

    /// The items of a chunk, in C order.
    ///
    /// # Errors
    /// `Damaged` for what is damaged, or another size than the chunk.
    pub(super) fn decode(&self, stored: Vec<u8>, chunk: &[u64], itemsize: usize) -> Result<Vec<u8>> {
        let nbytes = chunked::chunk_bytes(chunk, itemsize)?;
        let mut items = stored;
        for codec in &self.codecs {
            items = codec.decode(&items, nbytes + SLACK)?;
        }
        if items.len() != nbytes {
            return Err(damaged("chunks", format!("one has {} bytes instead of {nbytes}", items.len())));
        }
        let Some(order) = &self.order else { return Ok(items) };
        let stored_shape: Vec<u64> = order.iter().map(|axis| chunk[*axis]).collect();
        let stored_strides = c_strides(&stored_shape, itemsize);
        let mut strides = vec![0; chunk.len()];
        order.iter().zip(stored_strides).for_each(|(axis, stride)| strides[*axis] = stride);
        let mut turned = vec![0; nbytes];
        let to = Layout { start: 0, strides: c_strides(chunk, itemsize) };
        copy(&mut turned, &to, &items, &Layout { start: 0, strides }, chunk, itemsize);
        Ok(turned)
    }
}

impl Shard {
    fn of(configuration: &Value, shard: &[u64], typed: &mut Typed) -> Result<Self> {
        let inner = configuration["chunk_shape"].as_array();
        let inner: Option<Vec<u64>> = inner.and_then(|lengths| lengths.iter().map(Value::as_u64).collect());
        let chunk = inner.filter(|chunk| {
            chunk.len() == shard.len() && chunk.iter().zip(shard).all(|(len, all)| *len > 0 && all.is_multiple_of(*len))
        });
        let chunk = chunk.ok_or_else(|| damaged("zarr.json", "the chunks do not fit into their shards"))?;
        let pipeline = Pipeline::of_v3(&configuration["codecs"], &chunk, typed)?;
        if pipeline.shard.is_some() {
            return Err(Error::unsupported("Zarr arrays with shards in shards are not read."));
        }
        let mut index_codecs = Vec::new();
        for codec in configuration["index_codecs"].as_array().into_iter().flatten() {
            match named(codec) {
                ("bytes", configuration) if configuration["endian"] != "big" => {}
                ("bytes", _) => return Err(Error::unsupported("Zarr shards with a big-endian index are not read.")),
                ("crc32c", _) => index_codecs.push(Codec::Crc32c),
                (other, _) => {
                    return Err(Error::unsupported(format!(
                        "Zarr shards with an index encoded by {other:?} are not read."
                    )));
                }
            }
        }
        Ok(Self { chunk, pipeline, index_codecs, index_at_start: configuration["index_location"] == "start" })
    }

    /// Chunks along each axis.
    pub(super) fn counts(&self, shard: &[u64]) -> Vec<u64> {
        shard.iter().zip(&self.chunk).map(|(all, len)| all / len).collect()
    }

    /// Bytes of the index.
    ///
    /// # Errors
    /// `Unprocessable` when they are more than [`MAX_INDEX`].
    pub(super) fn index_len(&self, shard: &[u64]) -> Result<usize> {
        let entries = self.counts(shard).iter().try_fold(1u64, |all, count| all.checked_mul(*count));
        let sums = 4 * self.index_codecs.len() as u64;
        let len = entries.and_then(|entries| entries.checked_mul(16)?.checked_add(sums));
        let len = len.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= MAX_INDEX);
        len.ok_or_else(|| {
            Error::unprocessable(format!(
                "The shards of this Zarr array have more than {} chunks each. Write it with larger chunks, or smaller shards.",
                MAX_INDEX / 16
            ))
        })
    }
}

fn named(codec: &Value) -> (&str, &Value) {
    match codec {
        Value::String(name) => (name, &Value::Null),
        other => (other["name"].as_str().unwrap_or_default(), &other["configuration"]),
    }
}

fn big(dtype: &girih_model::DType) -> Result<girih_model::DType> {
    use girih_model::dtype::{Endianness, ScalarType};
    match dtype.as_scalar() {
        Some(scalar) => {
            let units = scalar.dt_units.clone();
            ScalarType::new(scalar.kind, scalar.itemsize, Endianness::Big, units).map(girih_model::DType::Scalar)
        }
        None => Err(Error::unsupported("Big-endian Zarr arrays with fields are not read.")),
    }
}

fn transposed(order: &Value, axes: usize, before: Option<Vec<usize>>) -> Result<Option<Vec<usize>>> {
    let given: Option<Vec<usize>> = match order {
        Value::Array(order) => order.iter().map(|axis| axis.as_u64().map(|axis| axis as usize)).collect(),
        Value::String(order) if order == "F" => Some((0..axes).rev().collect()),
        Value::String(order) if order == "C" => Some((0..axes).collect()),
        _ => None,
    };
    let mut sorted = given.clone().unwrap_or_default();
    sorted.sort_unstable();
    let order = given.filter(|_| sorted.into_iter().eq(0..axes));
    let order = order.ok_or_else(|| damaged("zarr.json", "the order of a transpose is none of the axes"))?;
    let all: Vec<usize> = match before {
        Some(before) => order.iter().map(|axis| before[*axis]).collect(),
        None => order,
    };
    Ok((!all.iter().copied().eq(0..axes)).then_some(all))
}

impl Codec {
    fn of(name: &str, configuration: &Value) -> Result<Self> {
        Ok(match name {
            "gzip" => Self::Gzip,
            "zstd" | "numcodecs.zstd" => Self::Zstd,
            "blosc" | "numcodecs.blosc" => Self::Blosc,
            "crc32c" => Self::Crc32c,
            "zlib" | "numcodecs.zlib" => Self::Zlib,
            "numcodecs.gzip" => Self::Gzip,
            "bz2" | "numcodecs.bz2" => Self::Bzip2,
            "numcodecs.lz4" => Self::Lz4,
            "numcodecs.shuffle" => Self::shuffle(configuration["elementsize"].as_u64().unwrap_or(4)),
            other => return Err(unknown(other)),
        })
    }

    fn shuffle(size: u64) -> Self {
        Self::Shuffle(size.clamp(1, 1 << 16) as usize)
    }

    fn of_numcodecs(json: &Value, typed: &Typed) -> Result<Self> {
        Ok(match json["id"].as_str().unwrap_or_default() {
            "gzip" => Self::Gzip,
            "zlib" => Self::Zlib,
            "zstd" => Self::Zstd,
            "blosc" => Self::Blosc,
            "bz2" => Self::Bzip2,
            "lz4" => Self::Lz4,
            "crc32c" => return Err(unknown("crc32c of numcodecs")),
            "shuffle" => Self::shuffle(json["elementsize"].as_u64().unwrap_or(typed.dtype.itemsize() as u64)),
            other => return Err(unknown(other)),
        })
    }

    pub(super) fn decode(&self, stored: &[u8], limit: usize) -> Result<Vec<u8>> {
        let bad = |e: &dyn std::fmt::Display| damaged("chunks", e);
        match self {
            // It does not matter here which of the two it is: some writers say one and write the other.
            Self::Gzip | Self::Zlib if stored.starts_with(&[0x1f, 0x8b]) => {
                whole(flate2::read::MultiGzDecoder::new(stored), limit)
            }
            Self::Gzip | Self::Zlib => whole(flate2::read::ZlibDecoder::new(stored), limit),
            Self::Zstd => whole(zstd::stream::read::Decoder::with_buffer(stored).or_error(bad)?, limit),
            Self::Bzip2 => whole(bzip2::read::MultiBzDecoder::new(stored), limit),
            Self::Blosc => {
                guarded(|| blosc::decode(stored, limit)).unwrap_or_else(|| Err(bad(&"it contradicts itself")))
            }
            Self::Lz4 => {
                let (len, rest) = stored.split_first_chunk::<4>().ok_or_else(|| bad(&"one is too short"))?;
                let len = u32::from_le_bytes(*len) as usize;
                if len > limit {
                    return Err(bad(&"one is larger than it can be"));
                }
                lz4_flex::block::decompress(rest, len).or_error(bad)
            }
            Self::Crc32c => {
                let (items, sum) = stored.split_last_chunk::<4>().ok_or_else(|| bad(&"one is too short"))?;
                if crc32c::crc32c(items) != u32::from_le_bytes(*sum) {
                    return Err(bad(&"a checksum is wrong"));
                }
                Ok(items.to_vec())
            }
            Self::Shuffle(size) => {
                let mut items = vec![0; stored.len()];
                shuffle::unshuffle(stored, &mut items, *size);
                Ok(items)
            }
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::unsupported(format!("Zarr arrays with the codec {name:?} are not read."))
}

/// All that comes out of a decoder, which must not be more than `limit` bytes.
fn whole(decoder: impl Read, limit: usize) -> Result<Vec<u8>> {
    let mut items = Vec::new();
    let read = guarded(|| decoder.take(limit as u64 + 1).read_to_end(&mut items));
    let read = read.ok_or_else(|| damaged("chunks", "one contradicts itself"))?;
    read.or_error(|e| damaged("chunks", e))?;
    if items.len() > limit {
        return Err(damaged("chunks", "one is larger than it can be"));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::format::zarr::read::dtype;

    #[test]
    fn the_index_of_a_shard_has_a_limit() {
        let mut typed = dtype::of_v3(&json!("uint8")).unwrap();
        let codecs = json!([{"name": "bytes"}, {"name": "crc32c"}]);
        let configuration = json!({"chunk_shape": [1, 1], "codecs": [{"name": "bytes"}], "index_codecs": codecs});
        let shard = Shard::of(&configuration, &[10, 10], &mut typed).unwrap();
        for (shape, len) in [([10, 10], Some(1604)), ([1 << 40, 1 << 40], None), ([1 << 10, 1 << 10], None)] {
            assert_eq!(shard.index_len(&shape).ok(), len, "{shape:?}");
        }
    }
}
