use girih_model::{Asset, ErrorKind};
use proptest::prelude::*;

use crate::conformance::{Room, block_on, gather, pick, slices, source};

use super::*;

/// CDF-1: a dimension of records, one of three; a variable of each kind.
fn classic() -> Vec<u8> {
    let mut file = b"CDF\x01".to_vec();
    let mut push = |numbers: &[u32]| numbers.iter().for_each(|n| file.extend(n.to_be_bytes()));
    push(&[4]);
    push(&[0x0a, 2, 1, u32::from_be_bytes(*b"t\0\0\0"), 0, 1, u32::from_be_bytes(*b"x\0\0\0"), 3]);
    push(&[0x0c, 1, 1, u32::from_be_bytes(*b"a\0\0\0"), 4, 1, 7]);
    push(&[0x0b, 3]);
    // Two variables of records, of 6 and of 4 bytes, and one without.
    push(&[1, u32::from_be_bytes(*b"r\0\0\0"), 2, 0, 1, 0, 0, 3, 8, 240 + 12]);
    push(&[1, u32::from_be_bytes(*b"t\0\0\0"), 1, 0, 0, 0, 4, 4, 240 + 12 + 8]);
    push(&[1, u32::from_be_bytes(*b"x\0\0\0"), 1, 1, 0, 0, 4, 12, 240]);
    file.resize(240, 0);
    (0..3u32).for_each(|n| file.extend((10 * n).to_be_bytes()));
    for record in 0..4u16 {
        (0..3u16).for_each(|n| file.extend((3 * record + n).to_be_bytes()));
        file.extend([0, 0]);
        file.extend(u32::from(record * 100).to_be_bytes());
    }
    file
}

async fn opened(room: &Room, content: &[u8]) -> Result<Arc<dyn Dataset>> {
    let path = room.directory.path().join("a.nc");
    std::fs::write(&path, content).unwrap();
    let asset = Asset {
        data_uri: format!("file://localhost{}", path.display()),
        is_directory: false,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    let media_type = NetCdf.media_type().to_owned();
    let files = Files { media_type: media_type.clone(), parameters: Default::default(), assets: vec![asset] };
    let found = room.storage.inspect(&files).await?;
    room.storage.open(&source(found.structure, media_type, files.assets)).await
}

#[test]
fn variables_are_arrays() {
    block_on(async {
        let room = Room::new();
        let file = opened(&room, &classic()).await.unwrap();
        assert_eq!(file.keys().await.unwrap(), ["r", "t", "x"]);
        assert_eq!(file.metadata().to_value(), json!({"attrs": {"a": 7}}));
        let x = file.child("x").await.unwrap().unwrap();
        assert_eq!(x.structure().as_array().unwrap().dims.as_deref(), Some(&["x".to_owned()][..]));
        assert_eq!(x.specs()[0].name, "xarray_coord");
        let items = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<_>>();
        assert_eq!(gather(x.read(&Selection::all()).await.unwrap()).await.1, items(&[0, 10, 20]));
        let t = file.child("t").await.unwrap().unwrap();
        assert_eq!(gather(t.read(&Selection::all()).await.unwrap()).await.1, items(&[0, 100, 200, 300]));
        assert!(file.child("y").await.unwrap().is_none());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_slice_is_that_of_the_array(slice in slices(vec![4, 3])) {
        block_on(async {
            let room = Room::new();
            let array = opened(&room, &classic()).await.unwrap().child("r").await.unwrap().unwrap();
            let items: Vec<u8> = (0..12u16).flat_map(|n| n.to_be_bytes()).collect();
            let region = slice.fit(&[4, 3]).unwrap();
            let got = gather(array.read(&Selection::slice(slice)).await.unwrap()).await.1;
            assert_eq!(got, pick(&items, &[4, 3], 2, &region));
        });
    }

    #[test]
    fn damage_is_an_error(cut in prop::option::of(any::<prop::sample::Index>()), at: prop::sample::Index, byte: u8) {
        block_on(async {
            let room = Room::new();
            let mut content = classic();
            let n = at.index(content.len());
            content[n] = byte;
            if let Some(cut) = cut {
                content.truncate(cut.index(content.len()));
            }
            let read = async {
                let file = opened(&room, &content).await?;
                for key in file.keys().await? {
                    if let Some(array) = file.child(&key).await?
                        && let Structure::Array(structure) = array.structure()
                        && structure.nbytes().is_some_and(|bytes| bytes < 1 << 20)
                        && let Data::Array(data) = array.read(&Selection::all()).await?
                    {
                        data.collect(1 << 30).await?;
                    }
                }
                Ok::<_, Error>(())
            };
            if let Err(e) = read.await {
                assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
            }
        });
    }
}
