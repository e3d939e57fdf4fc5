//! What the suite for all formats does not see: files, damage, memory.

use futures::TryStreamExt;
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
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&chunk, &bytes).unwrap();
    let dataset = room.open(&source).await;
    let Data::Array(array) = dataset.read(&Selection::all()).await.unwrap() else { panic!() };
    let e = array.pieces.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Internal);
    assert!(e.message().contains("\"c/1/0\""), "{e}");
    gather(dataset.read(&Selection::block(vec![2, 0])).await.unwrap()).await;
    std::fs::remove_file(&chunk).unwrap();
    let (_, items) = gather(dataset.read(&Selection::block(vec![1, 0])).await.unwrap()).await;
    assert!(items.iter().all(|byte| *byte == 0));
    std::fs::remove_dir_all(room.directory.path().join("a/b")).unwrap();
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
