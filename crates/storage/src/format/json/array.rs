//! Arrays as nested lists.

use girih_model::{ArrayData, ByteStream, Result};

use crate::format::conversion::{convert, empty_runs, runs};
use crate::item::ItemReader;

/// Lists within lists, one level for each axis; a bare value without axes.
pub(super) fn encode(data: ArrayData) -> Result<ByteStream> {
    // An empty axis makes empty lists out of the axes before it.
    if let Some(empty) = data.shape.iter().position(|len| *len == 0) {
        let outer = &data.shape[..empty];
        let mut brackets = Brackets::new(outer);
        return Ok(convert(empty_runs(outer)?, move |run, out: &mut String| {
            for _ in run.iter().flat_map(|run| run.items()) {
                brackets.before(out);
                out.push_str("[]");
                brackets.after(out);
            }
            Ok(())
        }));
    }
    let reader = ItemReader::new(&data.dtype);
    let mut brackets = Brackets::new(&data.shape);
    Ok(convert(runs(data)?, move |run, out: &mut String| {
        for item in run.iter().flat_map(|run| run.items()) {
            brackets.before(out);
            reader.read(item).push_json(out);
            brackets.after(out);
        }
        Ok(())
    }))
}

/// What stands between items.
struct Brackets {
    shape: Vec<u64>,
    position: Vec<u64>,
    /// Lists to open before the next item.
    open: usize,
    first: bool,
}

impl Brackets {
    fn new(shape: &[u64]) -> Self {
        Self { shape: shape.to_vec(), position: vec![0; shape.len()], open: shape.len(), first: true }
    }

    fn before(&mut self, out: &mut String) {
        if !self.first {
            out.push(',');
        }
        self.first = false;
        out.extend(std::iter::repeat_n('[', self.open));
    }

    /// Closes the lists that end with this item.
    fn after(&mut self, out: &mut String) {
        self.open = 0;
        for (position, len) in self.position.iter_mut().zip(&self.shape).rev() {
            *position += 1;
            if *position < *len {
                break;
            }
            *position = 0;
            self.open += 1;
            out.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream::{self, StreamExt};
    use girih_model::DType;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::format::conversion::{block_on, gather};

    fn json(dtype: DType, shape: &[u64], pieces: Vec<Vec<u8>>) -> String {
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(Bytes::from(piece)))).boxed();
        let data = ArrayData { dtype, shape: shape.to_vec(), pieces };
        let bytes = block_on(async { gather(encode(data)?).await }).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn check(dtype: &str, shape: &[u64], bytes: &[u8], expected: &str) {
        assert_eq!(json(DType::of(dtype), shape, vec![bytes.to_vec()]), expected);
    }

    #[test]
    fn shapes() {
        check("u1", &[], &[7], "7");
        check("u1", &[3], &[1, 2, 3], "[1,2,3]");
        check("i1", &[2, 2], &[1, 255, 3, 4], "[[1,-1],[3,4]]");
        check("b1", &[1, 1, 1], &[1], "[[[true]]]");
        check("f8", &[0], &[], "[]");
        check("f8", &[0, 3], &[], "[]");
        check("f8", &[2, 0, 5], &[], "[[],[]]");
        check("S0", &[2], &[], r#"["data:application/octet-stream;base64,","data:application/octet-stream;base64,"]"#);
    }

    #[test]
    fn values() {
        let floats: Vec<u8> = [0.1, f64::NAN, 1e16].into_iter().flat_map(f64::to_le_bytes).collect();
        check("f8", &[3], &floats, "[0.1,null,1e16]");
        check("U8", &[1, 1], &[0xac, 0x20, 0, 0, 0, 0, 0, 0], r#"[["€"]]"#);
    }

    #[test]
    fn endless_empty_lists_are_refused() {
        let data = ArrayData::whole(DType::of("f8"), vec![1 << 40, 0], Bytes::new());
        assert_eq!(encode(data).err().unwrap().kind(), girih_model::ErrorKind::NotAcceptable);
    }

    #[test]
    fn too_few_bytes_break_the_body() {
        let data = ArrayData {
            dtype: DType::of("u1"),
            shape: vec![4],
            pieces: stream::iter([Ok(Bytes::from_static(&[1, 2]))]).boxed(),
        };
        assert!(block_on(async { gather(encode(data)?).await }).is_err());
    }

    fn nested(shape: &[u64], items: &mut impl Iterator<Item = u8>) -> Value {
        match shape.split_first() {
            None => items.next().unwrap().into(),
            Some((len, inner)) => (0..*len).map(|_| nested(inner, items)).collect::<Vec<_>>().into(),
        }
    }

    proptest! {
        #[test]
        fn any_shape_in_any_pieces(shape in prop::collection::vec(0u64..4, 0..5), cut in 1usize..10) {
            let total = shape.iter().product::<u64>() as usize;
            let bytes: Vec<u8> = (0..total).map(|n| n as u8).collect();
            let expected = match shape.iter().position(|len| *len == 0) {
                Some(empty) => nested(&shape[..=empty], &mut bytes.iter().copied()),
                None => nested(&shape, &mut bytes.iter().copied()),
            };
            let text = json(DType::of("u1"), &shape, bytes.chunks(cut).map(<[u8]>::to_vec).collect());
            prop_assert_eq!(text, expected.to_string());
        }
    }
}
