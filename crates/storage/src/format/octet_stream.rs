//! `application/octet-stream`: the items of an array in C order, exactly as they are in memory; as a
//! data source, a file of any kind ([`blob`]).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::structure::array;
use girih_model::{ArrayData, ByteStream, Data, DataSource, Error, Family, Result, Structure};

use super::{EncodeOptions, Encoded, Files, Format, Inspected, blob};
use crate::dataset::Dataset;
use crate::place::Places;

pub struct OctetStream;

#[async_trait]
impl Format for OctetStream {
    fn media_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn encodes(&self) -> &'static [Family] {
        &[Family::Array]
    }

    fn decodes(&self) -> &'static [Family] {
        &[Family::Array]
    }

    fn opens(&self) -> &'static [Family] {
        blob::OPENS
    }

    async fn inspect(&self, files: &Files, places: &Places) -> Result<Inspected> {
        files.locate(places)?;
        Ok(Structure::Bytes(Default::default()).into())
    }

    async fn open(&self, source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
        blob::open(source, places)
    }

    async fn encode(&self, data: Data, _options: &EncodeOptions) -> Result<Encoded> {
        let Data::Array(array) = data else { return Err(self.cannot_encode(data.family())) };
        Ok(Encoded {
            media_type: self.media_type().into(),
            length: Some(array.nbytes()),
            itemsize: array.dtype.itemsize().max(1),
            body: array.pieces,
        })
    }

    /// Streams the body in pieces that end between items. That it is as long as the structure says is
    /// known, and an error, as soon as a byte is too many or at the end.
    async fn decode(&self, body: ByteStream, structure: &Structure) -> Result<Data> {
        let Structure::Array(structure) = structure else { return Err(self.cannot_decode(structure.family())) };
        let total = array::nbytes(&structure.dtype, &structure.shape)
            .ok_or_else(|| Error::unprocessable("An array of this shape would be larger than 2^63 bytes."))?;
        let mismatch = {
            let (dtype, shape) = (structure.dtype.to_string(), structure.shape.clone());
            move |found: &str| {
                Error::unprocessable(format!(
                    "The body has {found} bytes, but an array of dtype {dtype} and shape {shape:?} has {total} bytes."
                ))
            }
        };
        let pieces = Pieces { body, itemsize: structure.dtype.itemsize().max(1), rest: BytesMut::new(), read: 0 };
        let pieces = stream::try_unfold((pieces, mismatch, total), |(mut pieces, mismatch, total)| async move {
            let piece = pieces.next().await?;
            if pieces.read > total {
                return Err(mismatch(&format!("more than {total}")));
            }
            match piece {
                Some(piece) => Ok(Some((piece, (pieces, mismatch, total)))),
                None if pieces.read < total => Err(mismatch(&format!("only {}", pieces.read))),
                None => Ok(None),
            }
        });
        Ok(Data::Array(ArrayData {
            dtype: structure.dtype.clone(),
            shape: structure.shape.clone(),
            pieces: pieces.boxed(),
        }))
    }
}

/// Cuts a body between items.
struct Pieces {
    body: ByteStream,
    itemsize: usize,
    /// The beginning of an item whose end has not come yet.
    rest: BytesMut,
    /// Bytes that have come so far.
    read: u64,
}

impl Pieces {
    /// The next whole items; bytes that do not make an item at the end of the body are dropped, but counted.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(mut piece) = self.body.try_next().await? {
            self.read += piece.len() as u64;
            if !self.rest.is_empty() {
                let missing = self.itemsize - self.rest.len();
                let taken = piece.split_to(missing.min(piece.len()));
                self.rest.extend_from_slice(&taken);
                if self.rest.len() < self.itemsize {
                    continue;
                }
                let item = self.rest.split().freeze();
                if piece.is_empty() {
                    return Ok(Some(item));
                }
                let whole = piece.len() - piece.len() % self.itemsize;
                self.rest.extend_from_slice(&piece.split_off(whole));
                let joined = [&item[..], &piece[..]].concat();
                return Ok(Some(joined.into()));
            }
            let whole = piece.len() - piece.len() % self.itemsize;
            self.rest.extend_from_slice(&piece.split_off(whole));
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use girih_model::{ArrayStructure, DType, ErrorKind};
    use proptest::prelude::*;

    use super::*;
    use crate::format::conversion::block_on;

    fn structure(dtype: &str, shape: &[u64]) -> Structure {
        Structure::Array(ArrayStructure::new(DType::of(dtype), shape.to_vec()))
    }

    fn body(pieces: Vec<Vec<u8>>) -> ByteStream {
        stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))).boxed()
    }

    fn decode(pieces: Vec<Vec<u8>>, structure: &Structure) -> Result<Vec<Bytes>> {
        block_on(async {
            match OctetStream.decode(body(pieces), structure).await? {
                Data::Array(array) => array.pieces.try_collect().await,
                _ => panic!("not an array"),
            }
        })
    }

    #[test]
    fn encoding_leaves_pieces_untouched() {
        let data =
            ArrayData { dtype: DType::of("u2"), shape: vec![3], pieces: body(vec![vec![1, 2], vec![3, 4, 5, 6]]) };
        let encoded = block_on(OctetStream.encode(Data::Array(data), &EncodeOptions::default())).unwrap();
        assert_eq!((encoded.length, encoded.itemsize), (Some(6), 2));
        let pieces: Vec<Bytes> = block_on(encoded.body.try_collect()).unwrap();
        assert_eq!(pieces, [&[1u8, 2][..], &[3, 4, 5, 6]]);
    }

    #[test]
    fn nothing_is_an_empty_body() {
        let data = ArrayData::whole(DType::of("f8"), vec![0, 3], Bytes::new());
        let encoded = block_on(OctetStream.encode(Data::Array(data), &EncodeOptions::default())).unwrap();
        assert_eq!(encoded.length, Some(0));
        assert_eq!(decode(vec![], &structure("f8", &[0, 3])).unwrap().concat(), b"");
    }

    #[test]
    fn the_length_must_match() {
        for (bytes, words) in [(5, "only 5"), (0, "only 0"), (7, "more than 6"), (600, "more than 6")] {
            let error = decode(vec![vec![0; bytes]], &structure("u2", &[3])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unprocessable);
            let expected = format!("The body has {words} bytes, but an array of dtype <u2 and shape [3] has 6 bytes.");
            assert_eq!(error.message(), expected);
        }
    }

    proptest! {
        #[test]
        fn pieces_end_between_items(lengths in prop::collection::vec(0usize..20, 0..20), itemsize in prop::sample::select(vec![1usize, 2, 8, 16])) {
            let total: usize = lengths.iter().sum::<usize>() / itemsize * itemsize;
            let bytes: Vec<u8> = (0..total).map(|n| n as u8).collect();
            let mut rest = &bytes[..];
            let mut pieces: Vec<Vec<u8>> = lengths.iter().map(|len| {
                let (piece, after) = rest.split_at((*len).min(rest.len()));
                rest = after;
                piece.to_vec()
            }).collect();
            pieces.push(rest.to_vec());
            let dtype = if itemsize == 16 { "c16".into() } else { format!("u{itemsize}") };
            let decoded = decode(pieces, &structure(&dtype, &[(total / itemsize) as u64])).unwrap();
            prop_assert!(decoded.iter().all(|piece| piece.len() % itemsize == 0));
            prop_assert_eq!(decoded.concat(), bytes);
        }
    }
}
