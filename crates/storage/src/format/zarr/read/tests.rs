use girih_model::{Asset, ErrorKind, Selection};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conformance::{Room, block_on, gather, pick, slices, source};
use crate::format::{Files, Format};

use super::super::Zarr;
use super::*;

const SHAPE: [u64; 2] = [7, 9];

fn items() -> Vec<u8> {
    (0..63u16).flat_map(|n| (n * 259).to_le_bytes()).collect()
}

fn write(room: &Room, path: &str, content: &[u8]) {
    let path = room.directory.path().join("a.zarr").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The items of a chunk of 4 by 5, with zeros beyond the end.
fn chunk(row: u64, column: u64) -> Vec<u8> {
    let item = |y: u64, x: u64| if y < 7 && x < 9 { ((y * 9 + x) as u16 * 259).to_le_bytes() } else { [0; 2] };
    (0..4).flat_map(|y| (0..5).flat_map(move |x| item(row * 4 + y, column * 5 + x))).collect()
}

fn v3(codecs: &Value) -> Value {
    json!({
        "zarr_format": 3, "node_type": "array", "shape": SHAPE, "data_type": "uint16", "fill_value": 5,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 5]}},
        "chunk_key_encoding": {"name": "default"}, "codecs": codecs, "attributes": {"a": 1},
    })
}

fn array_v3(room: &Room) {
    write(
        room,
        "zarr.json",
        v3(&json!([{"name": "bytes", "configuration": {"endian": "little"}}])).to_string().as_bytes(),
    );
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        write(room, &format!("c/{row}/{column}"), &chunk(row, column));
    }
}

fn array_v2(room: &Room) {
    let array = json!({
        "zarr_format": 2, "shape": SHAPE, "chunks": [4, 5], "dtype": "<u2", "fill_value": 5, "order": "C",
        "compressor": {"id": "zlib", "level": 1}, "filters": null,
    });
    write(room, ".zarray", array.to_string().as_bytes());
    for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &chunk(row, column)).unwrap();
        write(room, &format!("{row}.{column}"), &encoder.finish().unwrap());
    }
}

fn files(room: &Room) -> Files {
    let asset = Asset {
        data_uri: format!("file://localhost{}", room.directory.path().join("a.zarr").display()),
        is_directory: true,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    Files { media_type: Zarr.media_type().into(), parameters: Default::default(), assets: vec![asset] }
}

async fn opened(room: &Room) -> Result<Arc<dyn Dataset>> {
    let files = files(room);
    let found = room.storage.inspect(&files).await?;
    let mut source = source(found.structure, files.media_type, files.assets);
    source.management = girih_model::Management::External;
    room.storage.open(&source).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_slice_is_that_of_the_array(slice in slices(SHAPE.to_vec()), is_v3: bool) {
        block_on(async {
            let room = Room::new();
            if is_v3 { array_v3(&room) } else { array_v2(&room) }
            let region = slice.fit(&SHAPE).unwrap();
            let got = gather(opened(&room).await.unwrap().read(&Selection::slice(slice)).await.unwrap()).await.1;
            assert_eq!(got, pick(&items(), &SHAPE, 2, &region));
        });
    }

    #[test]
    fn damage_is_an_error(at: prop::sample::Index, byte: u8, cut: prop::sample::Index, file in 0usize..3) {
        block_on(async {
            let room = Room::new();
            array_v2(&room);
            let path = room.directory.path().join("a.zarr").join([".zarray", "0.0", "1.1"][file]);
            let mut content = std::fs::read(&path).unwrap();
            let n = at.index(content.len());
            content[n] = byte;
            content.truncate(cut.index(content.len()).max(n) + 1);
            std::fs::write(&path, content).unwrap();
            let read = match opened(&room).await {
                Ok(dataset) => match dataset.read(&Selection::all()).await {
                    Ok(girih_model::Data::Array(data)) => data.collect(1 << 30).await.map(drop),
                    Ok(_) => Ok(()),
                    Err(e) => Err(e),
                },
                Err(e) => Err(e),
            };
            if let Err(e) = read {
                assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
            }
        });
    }
}

#[test]
fn what_was_never_written_has_the_fill_value() {
    block_on(async {
        let room = Room::new();
        array_v3(&room);
        std::fs::remove_file(room.directory.path().join("a.zarr/c/0/0")).unwrap();
        let got = gather(opened(&room).await.unwrap().read(&Selection::all()).await.unwrap()).await.1;
        assert_eq!((got[0], got[1], &got[10..12]), (5, 0, &items()[10..12]));
    });
}

#[test]
fn codecs_that_are_not_known_are_named() {
    block_on(async {
        let room = Room::new();
        write(&room, "zarr.json", v3(&json!([{"name": "bytes"}, {"name": "jpeg9"}])).to_string().as_bytes());
        let error = opened(&room).await.map(drop).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.message().contains("jpeg9"), "{error}");
    });
}

#[test]
fn groups_are_containers() {
    block_on(async {
        let room = Room::new();
        write(&room, "zarr.json", br#"{"zarr_format": 3, "node_type": "group", "attributes": {"k": 1}}"#);
        write(&room, "b/.zgroup", br#"{"zarr_format": 2}"#);
        write(&room, "b/.zattrs", br#"{"unit": "mm"}"#);
        write(&room, "no/thing", b"");
        let group = opened(&room).await.unwrap();
        assert_eq!(group.keys().await.unwrap(), ["b"]);
        assert_eq!(group.metadata().to_value()["attributes"]["k"], 1);
        let inner = group.child("b").await.unwrap().unwrap();
        assert_eq!(inner.metadata().to_value()["attributes"]["unit"], "mm");
        assert!(group.child("no").await.unwrap().is_none() && group.child("../a.zarr").await.unwrap().is_none());
    });
}
