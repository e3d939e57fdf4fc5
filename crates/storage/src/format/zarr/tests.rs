//! What the suite for all formats does not see: files, damage, memory.

use futures::{StreamExt, TryStreamExt};
use girih_model::structure::array::Chunks;
use girih_model::{ArrayData, DType, ErrorKind, Part, Slice};

use super::*;
use crate::conformance::{Room, gather};

const ZARR: &str = "application/x-zarr";

/// A written array of `u2` items that count up, in `chunk`s.
async fn counted(room: &Room, shape: &[u64], chunk: &[u64]) -> (DataSource, Vec<u8>) {
    let chunks = shape.iter().zip(chunk).map(|(len, chunk)| Chunks::regular(*len, *chunk)).collect();
    let structure = ArrayStructure { chunks, ..ArrayStructure::new(DType::of("u2"), shape.to_vec()) };
    let source = room.create(&Structure::Array(structure), ZARR).await;
    let items: Vec<u8> = (0..shape.iter().product::<u64>()).flat_map(|n| (n as u16).to_le_bytes()).collect();
    let data = Data::Array(ArrayData::whole(DType::of("u2"), shape.to_vec(), items.clone()));
    room.open(&source).await.write(&Selection::all(), data, Write::Replace).await.unwrap();
    (source, items)
}

#[tokio::test]
async fn the_files_are_those_of_zarr() {
    let room = Room::new();
    let (source, _) = counted(&room, &[4, 6], &[3, 4]).await;
    assert!(source.assets[0].is_directory);
    assert!(source.assets[0].data_uri.ends_with("/a/b"));
    let files = room.storage.manifest(&source.assets[0]).await.unwrap();
    assert_eq!(files, ["c/0/0", "c/0/1", "c/1/0", "c/1/1", "zarr.json"]);
}

#[tokio::test]
async fn a_whole_stored_chunk_goes_out_as_it_is() {
    let room = Room::new();
    let (source, items) = counted(&room, &[3, 100, 70], &[1, 50, 70]).await;
    let dataset = room.open(&source).await;
    let stored = async |selection: Selection, accept: &[&str]| dataset.stored(&selection, accept).await.unwrap();
    let found = stored(Selection::block(vec![1, 1, 0]), &["gzip", "zstd"]).await.unwrap();
    assert_eq!(found.encoding, "zstd");
    assert_eq!(zstd::decode_all(&found.bytes[..]).unwrap(), items[3 * 7000..4 * 7000]);
    // The same chunk, as a slice that drops an axis.
    let slice = Selection::slice(Slice::parse("1,50:").unwrap());
    assert_eq!(stored(slice, &["zstd"]).await.unwrap().bytes, found.bytes);
    assert!(stored(Selection::block(vec![1, 1, 0]), &["identity"]).await.is_none());
    for slice in ["1,49:", "1,:50,::-1", "1", ""] {
        let selection = Selection::slice(Slice::parse(slice).unwrap());
        assert!(stored(selection, &["zstd", "identity"]).await.is_none(), "{slice}");
    }
}

#[tokio::test]
async fn damage_is_named() {
    let room = Room::new();
    let (source, _) = counted(&room, &[300, 4], &[100, 4]).await;
    let chunk = room.directory.path().join("a/b/c/1/0");
    let mut bytes = std::fs::read(&chunk).unwrap();
    let dataset = room.open(&source).await;
    let (_, items) = gather(dataset.read(&Selection::block(vec![1, 0])).await.unwrap()).await;
    for at in 0..bytes.len() {
        bytes[at] ^= 4;
        std::fs::write(&chunk, &bytes).unwrap();
        bytes[at] ^= 4;
        // What decodes to something else is noticed by the checksum.
        let found = match dataset.read(&Selection::block(vec![1, 0])).await {
            Ok(Data::Array(array)) => array.pieces.try_collect::<Vec<_>>().await.map(|pieces| pieces.concat()),
            Ok(_) => panic!("an array"),
            Err(e) => Err(e),
        };
        assert!(found.is_err() || found.is_ok_and(|found| found == items), "byte {at}");
    }
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&chunk, &bytes).unwrap();
    let dataset = room.open(&source).await;
    let refused = async |selection: Selection| match dataset.read(&selection).await {
        Ok(Data::Array(array)) => array.pieces.try_collect::<Vec<_>>().await.unwrap_err(),
        Ok(_) => panic!("an array"),
        Err(e) => e,
    };
    let e = refused(Selection::all()).await;
    assert_eq!(e.kind(), ErrorKind::StorageFailed);
    assert!(e.message().contains("\"c/1/0\""), "{e}");
    gather(dataset.read(&Selection::block(vec![2, 0])).await.unwrap()).await;
    std::fs::remove_file(&chunk).unwrap();
    let (_, items) = gather(dataset.read(&Selection::block(vec![1, 0])).await.unwrap()).await;
    assert!(items.iter().all(|byte| *byte == 0));
    // Without the description there is no array, and nothing is zero.
    std::fs::remove_file(room.directory.path().join("a/b/zarr.json")).unwrap();
    assert_eq!(refused(Selection::block(vec![1, 0])).await.kind(), ErrorKind::Gone);
    std::fs::remove_dir_all(room.directory.path().join("a/b")).unwrap();
    assert_eq!(dataset.read(&Selection::all()).await.err().expect("an error").kind(), ErrorKind::Gone);
    assert_eq!(room.storage.open(&source).await.err().expect("an error").kind(), ErrorKind::Gone);
}

/// Large arrays go through memory in bands, whatever the chunks.
#[tokio::test]
async fn large_arrays_are_written_and_read_in_bands() {
    for chunk in [[1000, 3000], [3000, 100], [7, 3000], [3000, 3000]] {
        let room = Room::new();
        let (source, items) = counted(&room, &[3000, 3000], &chunk).await;
        let dataset = room.open(&source).await;
        let Data::Array(array) = dataset.read(&Selection::all()).await.unwrap() else { panic!() };
        let pieces: Vec<_> = array.pieces.try_collect().await.unwrap();
        assert_eq!(pieces.concat(), items, "{chunk:?}");
        let block = Selection { part: Part::Block(vec![0, 0]), slice: Slice::parse("3,1:90:7").unwrap(), fields: None };
        let (shape, part) = gather(dataset.read(&block).await.unwrap()).await;
        assert_eq!(shape, [13]);
        assert_eq!(part[..4], [items[2 * 9001], items[2 * 9001 + 1], items[2 * 9008], items[2 * 9008 + 1]]);
    }
}

#[tokio::test]
async fn growing_is_told_to_other_readers_last() {
    let room = Room::new();
    let (source, _) = counted(&room, &[2, 3], &[1, 3]).await;
    let dataset = room.open(&source).await;
    let data = Data::Array(ArrayData::whole(DType::of("u2"), vec![1, 3], vec![7; 6]));
    let selection = Selection::slice(Slice::parse("2:3").unwrap());
    let after = dataset.write(&selection, data, Write::Extend).await.unwrap();
    assert_eq!(serde_json::to_value(&after).unwrap()["chunks"], serde_json::json!([[1, 1, 1], [3]]));
    let json = std::fs::read_to_string(room.directory.path().join("a/b/zarr.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["shape"], serde_json::json!([3, 3]));
}

/// A body that ends as it is told to.
fn body(nbytes: usize, fill: u8, end: Option<Result<&'static [u8]>>) -> girih_model::ByteStream {
    let pieces = (0..nbytes).step_by(1 << 20).map(move |at| Ok(vec![fill; (nbytes - at).min(1 << 20)].into()));
    let end = end.map(|end| end.map(bytes::Bytes::from_static));
    Box::pin(futures::stream::iter(pieces.chain(end)))
}

fn files(room: &Room) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![room.directory.path().to_owned()];
    while let Some(directory) = directories.pop() {
        // What is being removed meanwhile may be gone already.
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_body_that_is_cut_or_damaged_leaves_the_array_as_it_was() {
    let cases = [([3000, 3000], [1000, 3000], ""), ([3000, 3000], [7, 3000], "2:2999"), ([9, 9], [4, 4], "1:8,2:9")];
    for (shape, chunk, slice) in cases {
        let room = Room::new();
        let (source, items) = counted(&room, &shape, &chunk).await;
        let dataset = room.open(&source).await;
        let selection = Selection::slice(Slice::parse(slice).unwrap());
        let shape = positions(source.structure.as_array().unwrap(), &selection).unwrap().shape();
        let nbytes = shape.iter().product::<u64>() as usize * 2;
        let before = files(&room);
        let write = async |pieces| {
            let data = Data::Array(ArrayData { dtype: DType::of("u2"), shape: shape.clone(), pieces });
            dataset.write(&selection, data, Write::Replace).await
        };
        for (pieces, kind) in [
            (body(nbytes - 2, 1, None), ErrorKind::Unprocessable),
            (body(nbytes, 1, Some(Ok(b"xx"))), ErrorKind::Unprocessable),
            (body(nbytes, 1, Some(Err(Error::malformed("lost")))), ErrorKind::Malformed),
        ] {
            assert_eq!(write(pieces).await.unwrap_err().kind(), kind);
            assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await.1, items);
            assert_eq!(files(&room), before);
        }
        // Nor does a sender who goes away.
        let mut cut = Box::pin(write(Box::pin(body(nbytes - 2, 1, None).chain(futures::stream::pending()))));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(300), &mut cut).await.is_err());
        drop(cut);
        assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await.1, items);
        for _ in 0..100 {
            if files(&room) == before {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(files(&room), before);
        write(body(nbytes, 1, None)).await.unwrap();
        assert_eq!(files(&room), before);
    }
}

/// The writer began with an array that is no more; another has its name.
#[tokio::test]
async fn a_slow_writer_does_not_write_into_the_next_array() {
    for (shape, chunk) in [([3000, 3000], [100, 3000]), ([4, 4], [4, 4]), ([4, 4], [3, 3])] {
        let room = Room::new();
        let (source, _) = counted(&room, &shape, &chunk).await;
        let dataset = room.open(&source).await;
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let nbytes = shape.iter().product::<u64>() as usize * 2;
        let half = nbytes / 2;
        let rest = futures::stream::once(async move {
            wait.await.unwrap();
            Ok(bytes::Bytes::from(vec![9; nbytes - half]))
        });
        let pieces = Box::pin(body(half, 9, None).chain(rest));
        let slow = tokio::spawn({
            let (dataset, shape) = (dataset.clone(), shape.to_vec());
            async move {
                let data = Data::Array(ArrayData { dtype: DType::of("u2"), shape, pieces });
                dataset.write(&Selection::all(), data, Write::Replace).await
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        room.storage.remove(&source.assets).await.unwrap();
        let (again, items) = counted(&room, &shape, &chunk).await;
        assert_eq!(again.assets, source.assets, "it has the same place");
        let files_after = files(&room);
        go.send(()).unwrap();
        let e = slow.await.unwrap().unwrap_err();
        assert!(e.kind() == ErrorKind::Gone && e.message().contains("deleted"), "{e}");
        // Nor does one who has opened it before.
        let data = || Data::Array(ArrayData::whole(DType::of("u2"), shape.to_vec(), vec![7; nbytes]));
        assert_eq!(dataset.write(&Selection::all(), data(), Write::Replace).await.unwrap_err().kind(), ErrorKind::Gone);
        assert_eq!(gather(room.open(&again).await.read(&Selection::all()).await.unwrap()).await.1, items);
        assert_eq!(files(&room), files_after);
    }
}

/// What a writer that was killed has left is removed by the next one, and never listed.
#[tokio::test]
async fn leftovers_are_removed() {
    let room = Room::new();
    let (source, _) = counted(&room, &[4], &[2]).await;
    let left = room.directory.path().join("a/b/.girih=1-2-3");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("c.0"), "x").unwrap();
    assert_eq!(room.storage.manifest(&source.assets[0]).await.unwrap(), ["c/0", "c/1", "zarr.json"]);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
    let data = Data::Array(ArrayData::whole(DType::of("u2"), vec![4], vec![7; 8]));
    room.open(&source).await.write(&Selection::all(), data, Write::Replace).await.unwrap();
    assert!(!left.exists());
}
