//! Arrays, in every format that keeps them.

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use girih_model::slice::{Axis, Dim, Fitted};
use girih_model::structure::array::Chunks;
use girih_model::{ArrayData, ArrayStructure, DType, Data, Error, ErrorKind, Family, Selection, Slice, Structure};
use proptest::prelude::*;

use super::{Room, block_on, gather, pick, put, slices};
use crate::dataset::{Write, positions};
use crate::format::{FORMATS, Format};

fn formats() -> impl Iterator<Item = &'static dyn Format> {
    FORMATS.iter().copied().filter(|format| format.creates().contains(&Family::Array))
}

fn dtypes() -> impl Strategy<Value = DType> {
    let builtin = ["b1", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "f16", "c8", "c16", "S5", "U12", "V7", "V300"];
    let described = [
        r#"{"kind":"f","itemsize":8,"endianness":"big"}"#,
        r#"{"kind":"U","itemsize":8,"endianness":"big"}"#,
        r#"{"kind":"M","itemsize":8,"endianness":"little","dt_units":"[10ms]"}"#,
        r#"{"kind":"m","itemsize":8,"endianness":"big","dt_units":"[D]"}"#,
        r#"{"kind":"M","itemsize":8,"endianness":"little"}"#,
        r#"{"itemsize":11,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":2},"shape":null},{"name":"b","dtype":{"itemsize":9,"fields":[{"name":"c","dtype":{"kind":"S","itemsize":3},"shape":[3]}]},"shape":null}]}"#,
        r#"{"itemsize":6,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":2},"shape":null}]}"#,
    ];
    let described = described.map(|json| serde_json::from_str(json).unwrap());
    prop::sample::select(builtin.map(DType::of).into_iter().chain(described).collect::<Vec<DType>>())
}

fn chunks(len: u64) -> BoxedStrategy<Chunks> {
    let irregular = prop::collection::vec(1u64..4, 1..5).prop_map(move |lengths| {
        let mut left = len;
        let mut chunks: Vec<u64> = Vec::new();
        for wanted in lengths {
            chunks.push(wanted.min(left));
            left -= wanted.min(left);
        }
        chunks.push(left);
        chunks.retain(|len| *len > 0);
        if chunks.is_empty() { Chunks::regular(0, 1) } else { chunks.into_iter().collect() }
    });
    prop_oneof![(1u64..9).prop_map(move |chunk| Chunks::regular(len, chunk)), irregular].boxed()
}

fn structures() -> impl Strategy<Value = ArrayStructure> {
    (dtypes(), prop::collection::vec(0u64..8, 0..4)).prop_flat_map(|(dtype, shape)| {
        let chunks: Vec<_> = shape.iter().map(|len| chunks(*len)).collect();
        (Just(dtype), Just(shape), chunks).prop_map(|(dtype, shape, chunks)| {
            let structure = ArrayStructure { chunks, ..ArrayStructure::new(dtype, shape) };
            structure.check().unwrap();
            structure
        })
    })
}

/// Bytes that differ from place to place and from write to write.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(99);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Array data whose pieces are cut anywhere.
fn data(dtype: &DType, shape: Vec<u64>, bytes: Vec<u8>, piece: usize) -> Data {
    let pieces: Vec<_> = bytes.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    Data::Array(ArrayData { dtype: dtype.clone(), shape, pieces: stream::iter(pieces).boxed() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_written_in_parts_reads_in_parts(
        (structure, reads, writes) in structures().prop_flat_map(|structure| {
            let slice = || slices(structure.shape.clone());
            (Just(structure.clone()), prop::collection::vec(slice(), 4), prop::collection::vec(slice(), 3))
        }),
        seed in any::<u64>(),
        piece in 1usize..50,
    ) {
        block_on(async {
            for format in formats() {
                let room = Room::new();
                let source = room.create(&Structure::Array(structure.clone()), format.media_type()).await;
                let dataset = room.open(&source).await;
                let (shape, dtype) = (&structure.shape, &structure.dtype);
                let itemsize = dtype.itemsize();
                let mut expected = vec![0; shape.iter().product::<u64>() as usize * itemsize];
                assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await, (shape.clone(), expected.clone()));

                // Blocks, then slices without steps over some of them.
                let mut selections: Vec<Selection> = blocks(&structure).into_iter().skip((seed % 3) as usize).map(Selection::block).collect();
                selections.extend(writes.iter().cloned().map(without_steps).map(Selection::slice));
                for (n, selection) in selections.iter().enumerate() {
                    let region = positions(&structure, selection).unwrap();
                    let new = noise(region.shape().iter().product::<u64>() as usize * itemsize, seed ^ n as u64);
                    put(&mut expected, shape, itemsize, &region, &new);
                    let after = dataset.write(selection, data(dtype, region.shape(), new, piece), Write::Replace).await.unwrap();
                    assert_eq!(after, Structure::Array(structure.clone()));
                }
                let dataset = room.open(&source).await;
                for slice in reads.clone() {
                    let region = slice.fit(shape).unwrap();
                    let got = gather(dataset.read(&Selection::slice(slice)).await.unwrap()).await;
                    assert_eq!(got, (region.shape(), pick(&expected, shape, itemsize, &region)));
                }
                for block in blocks(&structure) {
                    let selection = Selection::block(block);
                    let region = positions(&structure, &selection).unwrap();
                    let wanted = pick(&expected, shape, itemsize, &region);
                    assert_eq!(gather(dataset.read(&selection).await.unwrap()).await.1, wanted);
                    if let Some(stored) = dataset.stored(&selection, &["zstd", "identity"]).await.unwrap() {
                        let bytes = match stored.encoding {
                            "zstd" => zstd::decode_all(&stored.bytes[..]).unwrap(),
                            _ => stored.bytes.to_vec(),
                        };
                        assert_eq!(bytes, wanted);
                    }
                }
            }
        });
    }

    #[test]
    fn an_array_grows_and_its_gaps_are_zero(
        structure in structures(),
        offsets in prop::collection::vec((0u64..12, 0u64..4), 3 * 4),
        seed in any::<u64>(),
    ) {
        block_on(async {
            for format in formats() {
                let room = Room::new();
                let mut source = room.create(&Structure::Array(structure.clone()), format.media_type()).await;
                let itemsize = structure.dtype.itemsize();
                let mut shape = structure.shape.clone();
                let mut expected = vec![0; shape.iter().product::<u64>() as usize * itemsize];
                for (n, patch) in offsets.chunks(4).enumerate() {
                    let patch = &patch[..shape.len()];
                    let region = Fitted(patch.iter().map(|(start, count)| Axis { start: *start, count: *count, step: 1, keep: true }).collect());
                    let slice = Slice(patch.iter().map(|(start, count)| Dim::Range {
                        start: Some(*start as i64), stop: Some((start + count) as i64), step: None,
                    }).collect());
                    if region.shape().iter().all(|count| *count > 0) {
                        let grown: Vec<u64> = patch.iter().zip(&shape).map(|((start, count), len)| (start + count).max(*len)).collect();
                        let mut larger = vec![0; grown.iter().product::<u64>() as usize * itemsize];
                        let old = Fitted(shape.iter().map(|len| Axis::all(*len)).collect());
                        put(&mut larger, &grown, itemsize, &old, &expected);
                        (shape, expected) = (grown, larger);
                    }
                    let new = noise(region.shape().iter().product::<u64>() as usize * itemsize, seed ^ n as u64);
                    put(&mut expected, &shape, itemsize, &region, &new);
                    let dataset = room.open(&source).await;
                    let data = data(&structure.dtype, region.shape(), new, 7);
                    source.structure = dataset.write(&Selection::slice(slice), data, Write::Extend).await.unwrap();
                    assert_eq!(source.structure.as_array().unwrap().shape, shape);
                }
                let dataset = room.open(&source).await;
                assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await, (shape, expected));
            }
        });
    }
}

fn blocks(structure: &ArrayStructure) -> Vec<Vec<u64>> {
    structure.chunks.iter().fold(vec![vec![]], |blocks, chunks| {
        let longer =
            |block: &Vec<u64>| (0..chunks.count()).map(|n| [block.as_slice(), &[n]].concat()).collect::<Vec<_>>();
        blocks.iter().flat_map(longer).collect()
    })
}

fn without_steps(slice: Slice) -> Slice {
    Slice(
        slice
            .0
            .into_iter()
            .map(|dim| match dim {
                Dim::Range { start, stop, .. } => Dim::Range { start, stop, step: None },
                other => other,
            })
            .collect(),
    )
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    for format in formats() {
        let room = Room::new();
        let structure = ArrayStructure::new(DType::of("i4"), vec![4, 4]);
        let source = room.create(&Structure::Array(structure), format.media_type()).await;
        let dataset = room.open(&source).await;
        let check = async |dtype: &str, shape: &[u64], bytes: usize, slice: &str, mode: Write| {
            let selection = Selection::slice(Slice::parse(slice).unwrap());
            let result =
                dataset.write(&selection, data(&DType::of(dtype), shape.to_vec(), vec![0; bytes], 9), mode).await;
            let kind = result.expect_err(slice).kind();
            assert_eq!(kind, ErrorKind::Unprocessable, "{dtype} {shape:?} {bytes} {slice}");
        };
        check("f4", &[4, 4], 64, "", Write::Replace).await;
        check("i4", &[4], 16, "", Write::Replace).await;
        check("i4", &[4, 4], 63, "", Write::Replace).await;
        check("i4", &[4, 4], 65, "", Write::Replace).await;
        check("i4", &[2, 4], 32, "::2", Write::Replace).await;
        check("i4", &[1, 4], 16, "9:10", Write::Replace).await;
        check("i4", &[1, 4], 16, "-1:", Write::Extend).await;
        check("i4", &[1, 4], 16, "0:2:2", Write::Extend).await;
        check("i4", &[1, 1, 1], 4, "0:1,0:1,0:1", Write::Extend).await;
        check("i4", &[1, 1], 4, "9223372036854775800:9223372036854775801,0:1", Write::Extend).await;
        let all = Selection::all();
        let part = dataset.write(
            &all,
            Data::Array(ArrayData {
                dtype: DType::of("i4"),
                shape: vec![4, 4],
                pieces: stream::iter([Ok(Bytes::from_static(&[1; 16])), Err(Error::malformed("lost"))]).boxed(),
            }),
            Write::Replace,
        );
        assert_eq!(part.await.unwrap_err().kind(), ErrorKind::Malformed);
    }
}

/// Writers who share chunks do not lose each other's updates.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_of_one_chunk_agree() {
    for format in formats() {
        let room = Room::new();
        let structure = ArrayStructure::new(DType::of("u1"), vec![64, 100]);
        let source = room.create(&Structure::Array(structure), format.media_type()).await;
        let mut writers = tokio::task::JoinSet::new();
        for row in 0..64u8 {
            let dataset = room.open(&source).await;
            writers.spawn(async move {
                let selection = Selection::slice(Slice(vec![Dim::Index(row.into())]));
                let new = data(&DType::of("u1"), vec![100], vec![row; 100], 100);
                dataset.write(&selection, new, Write::Replace).await.unwrap();
            });
        }
        writers.join_all().await;
        let (_, items) = gather(room.open(&source).await.read(&Selection::all()).await.unwrap()).await;
        let expected: Vec<u8> = (0..64u8).flat_map(|row| [row; 100]).collect();
        assert_eq!(items, expected);
    }
}
