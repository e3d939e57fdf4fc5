use girih_model::{Asset, ErrorKind};
use proptest::prelude::*;

use crate::conformance::{Room, block_on, gather, pick, slices, source};

use super::header::BLOCK;
use super::*;

fn header(cards: &[&str]) -> Vec<u8> {
    let mut text: String = cards.iter().chain(&["END"]).map(|card| format!("{card:<80}")).collect();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(BLOCK as usize) - text.len()));
    text.into_bytes()
}

fn padded(mut data: Vec<u8>) -> Vec<u8> {
    data.resize(data.len().next_multiple_of(BLOCK as usize), 0);
    data
}

fn file() -> Vec<u8> {
    let image: Vec<u8> = (0..30u16).flat_map(|n| n.to_be_bytes()).collect();
    let scaled: Vec<u8> = [0i16, 1, -1].iter().flat_map(|n| n.to_be_bytes()).collect();
    let rows: Vec<u8> = (0..3u32).flat_map(|n| [n.to_be_bytes().to_vec(), b"ab".to_vec()].concat()).collect();
    [
        header(&[
            "SIMPLE  =                    T",
            "BITPIX  =                   16",
            "NAXIS   =                    2",
            "NAXIS1  =                    6",
            "NAXIS2  =                    5",
            "OBJECT  = 'it''s M31'          / a name",
            "EXPTIME =               1.5D+1",
            "HISTORY one",
            "HISTORY two",
        ]),
        padded(image),
        header(&[
            "XTENSION= 'IMAGE   '",
            "BITPIX  =                   16",
            "NAXIS   =                    1",
            "NAXIS1  =                    3",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "BSCALE  =                  0.5",
            "BZERO   =                 10.0",
            "EXTNAME = 'scaled  '",
        ]),
        padded(scaled.clone()),
        header(&[
            "XTENSION= 'IMAGE   '",
            "BITPIX  =                   16",
            "NAXIS   =                    1",
            "NAXIS1  =                    3",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "BZERO   =                32768",
        ]),
        padded(scaled),
        header(&[
            "XTENSION= 'BINTABLE'",
            "BITPIX  =                    8",
            "NAXIS   =                    2",
            "NAXIS1  =                    6",
            "NAXIS2  =                    3",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "TFIELDS =                    2",
            "TFORM1  = 'J       '",
            "TTYPE1  = 'n       '",
            "TFORM2  = '2A      '",
            "TTYPE2  = 's       '",
            "EXTNAME = 'rows    '",
        ]),
        padded(rows),
        header(&[
            "XTENSION= 'BINTABLE'",
            "BITPIX  =                    8",
            "NAXIS   =                    2",
            "NAXIS1  =                   14",
            "NAXIS2  =                    2",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "TFIELDS =                    3",
            "TFORM1  = 'J       '",
            "TZERO1  =           2147483648",
            "TFORM2  = 'PE(3)   '",
            "TTYPE2  = 'list    '",
            "TFORM3  = '2B      '",
            "TSCAL3  =                  0.5",
            "EXTNAME = 'made    '",
        ]),
        padded((0..28).collect()),
        header(&[
            "XTENSION= 'TABLE   '",
            "BITPIX  =                    8",
            "NAXIS   =                    2",
            "NAXIS1  =                   10",
            "NAXIS2  =                    2",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "TFIELDS =                    3",
            "TFORM1  = 'I3      '",
            "TBCOL1  =                    1",
            "TFORM2  = 'E4.1    '",
            "TBCOL2  =                    7",
            "TFORM3  = 'A2      '",
            "TBCOL3  =                    4",
            "EXTNAME = 'ascii   '",
        ]),
        padded(b" 12a  1D1  -1bc     ".to_vec()),
        header(&[
            "XTENSION= 'IMAGE   '",
            "BITPIX  =                    8",
            "NAXIS   =                    1",
            "NAXIS1  =                    3",
            "PCOUNT  =                    0",
            "GCOUNT  =                    1",
            "BLANK   =                    7",
            "EXTNAME = 'blank   '",
        ]),
        padded(vec![6, 7, 8]),
    ]
    .concat()
}

async fn opened(room: &Room, content: &[u8]) -> Result<Arc<dyn Dataset>> {
    let path = room.directory.path().join("a.fits");
    std::fs::write(&path, content).unwrap();
    let asset = Asset {
        data_uri: format!("file://localhost{}", path.display()),
        is_directory: false,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    let media_type = Fits.media_type().to_owned();
    let files = Files { media_type: media_type.clone(), parameters: Default::default(), assets: vec![asset] };
    let found = room.storage.inspect(&files).await?;
    room.storage.open(&source(found.structure, media_type, files.assets)).await
}

async fn all(file: &Arc<dyn Dataset>, key: &str) -> (String, Vec<u8>) {
    let array = file.child(key).await.unwrap().unwrap();
    let dtype = array.structure().as_array().unwrap().dtype.to_string();
    (dtype, gather(array.read(&Selection::all()).await.unwrap()).await.1)
}

#[test]
fn units_are_arrays() {
    block_on(async {
        let room = Room::new();
        let file = opened(&room, &file()).await.unwrap();
        assert_eq!(file.keys().await.unwrap(), ["PRIMARY", "scaled", "HDU2", "rows", "made", "ascii", "blank"]);
        let metadata = file.metadata().to_value();
        assert_eq!(metadata["OBJECT"], "it's M31");
        assert_eq!((&metadata["EXPTIME"], &metadata["HISTORY"]), (&15.0.into(), &"one\ntwo".into()));
        let floats: Vec<u8> = [10f32, 10.5, 9.5].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(all(&file, "scaled").await, ("<f4".into(), floats));
        let unsigned: Vec<u8> = [32768u16, 32769, 32767].iter().flat_map(|n| n.to_be_bytes()).collect();
        assert_eq!(all(&file, "HDU2").await, (">u2".into(), unsigned));
        let (dtype, rows) = all(&file, "rows").await;
        assert_eq!((dtype.as_str(), &rows[..6]), (r#"[["n",">i4"],["s","|S2"]]"#, &b"\0\0\0\0ab"[..]));
        let (dtype, rows) = all(&file, "made").await;
        assert_eq!(dtype, r#"[["col1",">u4"],["col3","<f8",[2]]]"#);
        let expected = [vec![0x80, 1, 2, 3], 6f64.to_le_bytes().to_vec(), 6.5f64.to_le_bytes().to_vec()].concat();
        assert_eq!(&rows[..20], expected);
        let omitted = &file.child("made").await.unwrap().unwrap().metadata().to_value()["omitted"];
        assert!(omitted["list"].is_string());
        let (dtype, rows) = all(&file, "ascii").await;
        assert_eq!(dtype, r#"[["col1","<i2"],["col2","<f8"],["col3","|S2"]]"#);
        let row = |n: i16, x: f64, s: &[u8; 2]| [&n.to_le_bytes()[..], &x.to_le_bytes(), s].concat();
        assert_eq!(rows, [row(12, 10.0, b"a\0"), row(-1, f64::NAN, b"bc")].concat());
        let floats = [6f32, f32::NAN, 8.0].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(all(&file, "blank").await, ("<f4".into(), floats));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_slice_is_that_of_the_image(slice in slices(vec![5, 6])) {
        block_on(async {
            let room = Room::new();
            let image = opened(&room, &file()).await.unwrap().child("PRIMARY").await.unwrap().unwrap();
            let items: Vec<u8> = (0..30u16).flat_map(|n| n.to_be_bytes()).collect();
            let region = slice.fit(&[5, 6]).unwrap();
            let got = gather(image.read(&Selection::slice(slice)).await.unwrap()).await.1;
            assert_eq!(got, pick(&items, &[5, 6], 2, &region));
        });
    }

    #[test]
    fn damage_is_an_error(cut in prop::option::of(any::<prop::sample::Index>()), at: prop::sample::Index, byte: u8) {
        block_on(async {
            let room = Room::new();
            let mut content = file();
            let n = at.index(content.len());
            content[n] = byte;
            if let Some(cut) = cut {
                content.truncate(cut.index(content.len()));
            }
            let read = async {
                let file = opened(&room, &content).await?;
                for key in file.keys().await? {
                    let Ok(Some(array)) = file.child(&key).await else { continue };
                    if let Structure::Array(structure) = array.structure()
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
