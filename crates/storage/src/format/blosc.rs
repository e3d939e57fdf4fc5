//! Blosc, versions 1 and 2, as Zarr and HDF5 have it: a chunk ([`chunk`]), or a frame of chunks ([`frame`]).

use girih_model::{Error, Result};

mod chunk;
mod frame;
mod lz;

use chunk::Chunk;

fn damaged(why: &str) -> Error {
    Error::damaged(format!("A chunk that Blosc has compressed is damaged: {why}."))
}

/// # Errors
/// `Damaged` for what is damaged or has more than `limit` bytes, `Unsupported` for filters and codecs of others.
pub(super) fn decode(stored: &[u8], limit: usize) -> Result<Vec<u8>> {
    if frame::begins(stored) {
        return frame::decode(stored, limit);
    }
    let mut chunk = Chunk::parse(stored, limit)?;
    let mut out = vec![0; chunk.nbytes];
    chunk.read(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests;
