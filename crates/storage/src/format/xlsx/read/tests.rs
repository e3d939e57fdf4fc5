use std::io::{Cursor, Write};
use std::time::{Duration, SystemTime};

use girih_model::{ErrorKind, TableData};
use proptest::prelude::*;
use rust_xlsxwriter::Workbook;

use super::*;
use crate::conformance::{Room as Storeroom, block_on, source};

fn files(room: &Storeroom, bytes: &[u8]) -> Files {
    let path = room.directory.path().join("book.xlsx");
    std::fs::write(&path, bytes).unwrap();
    // So that it counts as settled, and is kept.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    let asset = Asset {
        data_uri: format!("file://localhost{}", path.display()),
        is_directory: false,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    Files { media_type: MEDIA_TYPE.into(), parameters: Default::default(), assets: vec![asset] }
}

/// Rows of all sheets.
async fn read(bytes: &[u8]) -> Result<Vec<usize>> {
    use futures::TryStreamExt;
    let room = Storeroom::new();
    let files = files(&room, bytes);
    let structure = room.storage.inspect(&files).await?.structure;
    let source = source(structure, MEDIA_TYPE.into(), files.assets);
    let book = room.storage.open(&DataSource { management: Management::External, ..source }).await?;
    let mut rows = Vec::new();
    for key in book.keys().await? {
        let sheet = book.child(&key).await?.expect("it is among the keys");
        let Data::Table(TableData { batches, .. }) = sheet.read(&Selection::all()).await? else { panic!("no table") };
        rows.push(batches.try_collect::<Vec<_>>().await?.iter().map(RecordBatch::num_rows).sum());
        for column in sheet.structure().as_table().unwrap().columns.clone() {
            assert!(sheet.child(&column).await?.is_some(), "{column}");
        }
        assert!(sheet.child("no such").await?.is_none());
    }
    assert!(book.child("no such").await?.is_none());
    Ok(rows)
}

fn sample() -> Vec<u8> {
    let mut book = Workbook::new();
    let first = book.add_worksheet();
    for (n, name) in ["a", "b", "c"].iter().enumerate() {
        first.write_string(0, n as u16, *name).unwrap();
        for row in 1..5 {
            first.write_number(row, n as u16, f64::from(row) / 2.0).unwrap();
        }
    }
    first.write_string(2, 1, "text").unwrap();
    book.add_worksheet().write_boolean(1, 0, true).unwrap();
    book.add_worksheet();
    book.save_to_buffer().unwrap()
}

/// The parts of a workbook, some of them changed.
fn repacked(change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    use std::io::Read;
    let mut archive = zip::ZipArchive::new(Cursor::new(sample())).unwrap();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for n in 0..archive.len() {
        let mut part = archive.by_index(n).unwrap();
        let (name, mut bytes) = (part.name().unwrap().into_owned(), Vec::new());
        part.read_to_end(&mut bytes).unwrap();
        writer.start_file(&name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&change(&name, bytes)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn sheets_are_read_again_from_what_is_kept() {
    block_on(async {
        let bytes = sample();
        assert_eq!(read(&bytes).await.unwrap(), [4, 1, 0]);
        assert_eq!(read(&repacked(|_, bytes| bytes)).await.unwrap(), [4, 1, 0]);
    });
}

#[test]
fn what_is_no_workbook_is_refused() {
    block_on(async {
        let cut = &sample()[..2000];
        let far = repacked(|name, bytes| match name {
            "xl/worksheets/sheet1.xml" => {
                String::from_utf8(bytes).unwrap().replace("r=\"A2\"", "r=\"ZZZZZZ2\"").into_bytes()
            }
            _ => bytes,
        });
        let wrong = repacked(|name, bytes| if name.ends_with("workbook.xml") { b"<x".to_vec() } else { bytes });
        for bytes in [b"".as_slice(), b"PK\x03\x04", cut, &far, &wrong] {
            let error = read(bytes).await.unwrap_err();
            // What is found damaged later may still be written, for the file is new.
            let kinds = [ErrorKind::Damaged, ErrorKind::Unsupported, ErrorKind::Busy];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    });
}

#[test]
fn what_unpacks_to_too_much_is_refused() {
    let bomb = repacked(|name, bytes| match name {
        "xl/sharedStrings.xml" => vec![b' '; 257 << 20],
        _ => bytes,
    });
    assert!(bomb.len() < 1 << 20);
    let error = block_on(read(&bomb)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn damage_is_never_our_fault(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let damage = |bytes: &mut Vec<u8>| for (at, byte) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        };
        let mut packed = sample();
        damage(&mut packed);
        let inside = repacked(|name, mut bytes| {
            if name.starts_with("xl/") && name.ends_with(".xml") {
                damage(&mut bytes);
            }
            bytes
        });
        for bytes in [packed, inside] {
            if let Err(error) = block_on(read(&bytes)) {
                prop_assert_ne!(error.kind(), ErrorKind::Internal, "{}", error);
            }
        }
    }
}
