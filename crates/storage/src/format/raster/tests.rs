use girih_model::Asset;
use proptest::prelude::*;

use crate::conformance::{Room, block_on, gather, pick, slices, source};
use crate::format::Format;
use crate::format::png::Png;

use super::*;

const SHAPE: [u64; 3] = [5, 7, 3];

fn items() -> Vec<u8> {
    (0..105u8).collect()
}

fn encoded(colour: ::png::ColorType, depth: ::png::BitDepth, width: u32, height: u32, items: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(items).unwrap();
    file
}

async fn opened(room: &Room, content: &[u8]) -> Result<Arc<dyn Dataset>> {
    let path = room.directory.path().join("a.png");
    std::fs::write(&path, content).unwrap();
    let asset = Asset {
        data_uri: format!("file://localhost{}", path.display()),
        is_directory: false,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    let media_type = Png.media_type().to_owned();
    let files = Files { media_type: media_type.clone(), parameters: Default::default(), assets: vec![asset] };
    let found = room.storage.inspect(&files).await?;
    room.storage.open(&source(found.structure, media_type, files.assets)).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_slice_is_that_of_the_picture(slice in slices(SHAPE.to_vec())) {
        block_on(async {
            let room = Room::new();
            let file = encoded(::png::ColorType::Rgb, ::png::BitDepth::Eight, 7, 5, &items());
            let region = slice.fit(&SHAPE).unwrap();
            let got = gather(opened(&room, &file).await.unwrap().read(&Selection::slice(slice)).await.unwrap()).await.1;
            assert_eq!(got, pick(&items(), &SHAPE, 1, &region));
        });
    }

    #[test]
    fn damage_is_an_error(at: prop::sample::Index, byte: u8, cut: prop::sample::Index, is_jpeg: bool) {
        block_on(async {
            let room = Room::new();
            let mut file = encoded(::png::ColorType::Rgb, ::png::BitDepth::Eight, 7, 5, &items());
            if is_jpeg {
                file = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xc0\x00\x0b\x08\x00\x05\x00\x07\x01\x01\x11\x00".to_vec();
            }
            let n = at.index(file.len());
            file[n] = byte;
            file.truncate(cut.index(file.len()) + 1);
            if let Err(e) = read(&room, &file, is_jpeg).await {
                assert_ne!(e.kind(), girih_model::ErrorKind::Internal, "{e}");
            }
        });
    }
}

async fn read(room: &Room, content: &[u8], is_jpeg: bool) -> Result<()> {
    if is_jpeg {
        let path = room.directory.path().join("a.jpg");
        std::fs::write(&path, content).unwrap();
        let file = File::open(path).unwrap();
        guarded(|| jpeg::Decode.header(&file)).unwrap_or_else(|| Err(JPEG.damaged(&"a panic")))?;
        guarded(|| jpeg::Decode.decode(&file)).unwrap_or_else(|| Err(JPEG.damaged(&"a panic")))?;
        return Ok(());
    }
    match opened(room, content).await?.read(&Selection::all()).await? {
        Data::Array(data) => data.collect(1 << 30).await.map(drop),
        _ => Ok(()),
    }
}

#[test]
fn depths_are_those_of_pillow() {
    use ::png::{BitDepth, ColorType};
    block_on(async {
        let room = Room::new();
        for (colour, depth, stored, dtype, expected) in [
            (ColorType::Grayscale, BitDepth::One, &[0b1010_0000u8][..], "|b1", &[1u8, 0, 1][..]),
            (ColorType::Grayscale, BitDepth::Two, &[0b0001_1000], "|u1", &[0, 85, 170]),
            (ColorType::Grayscale, BitDepth::Four, &[0x0f, 0x10], "|u1", &[0, 255, 17]),
            (ColorType::Grayscale, BitDepth::Eight, &[1, 2, 3], "|u1", &[1, 2, 3]),
            (ColorType::Grayscale, BitDepth::Sixteen, &[1, 2, 3, 4, 5, 6], "<u2", &[2, 1, 4, 3, 6, 5]),
        ] {
            let dataset = opened(&room, &encoded(colour, depth, 3, 1, stored)).await.unwrap();
            let structure = dataset.structure();
            assert_eq!(structure.as_array().unwrap().dtype.to_string(), dtype);
            assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await.1, expected, "{depth:?}");
        }
    });
}
