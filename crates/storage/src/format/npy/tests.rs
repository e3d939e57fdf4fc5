use std::path::PathBuf;

use futures::TryStreamExt;
use girih_model::{Asset, DType, ErrorKind, Management, Slice};
use proptest::prelude::*;

use super::*;
use crate::conformance::{Room, block_on, pick, slices};

/// A file as NumPy writes it.
fn npy(descr: &str, fortran_order: bool, shape: &[u64], items: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let lengths: String = shape.iter().map(|len| format!("{len}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({lengths}), }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(items);
    file
}

fn source(room: &Room, name: &str, structure: ArrayStructure) -> (DataSource, PathBuf) {
    let path = room.directory.path().join(name);
    let asset = Asset {
        data_uri: format!("file://localhost{}", path.display()),
        is_directory: false,
        size: None,
        parameter: Some("data_uri".into()),
        num: None,
        id: None,
    };
    let source = DataSource {
        id: None,
        structure: Structure::Array(structure),
        mimetype: "application/x-npy".into(),
        parameters: Default::default(),
        properties: Default::default(),
        management: Management::External,
        assets: vec![asset],
    };
    (source, path)
}

async fn read(room: &Room, source: &DataSource, slice: &Slice) -> Result<Vec<u8>> {
    let dataset = room.storage.open(source).await?;
    let Data::Array(data) = dataset.read(&Selection::slice(slice.clone())).await? else { panic!("an array") };
    Ok(data.pieces.try_collect::<Vec<_>>().await?.concat())
}

proptest! {
    #[test]
    fn any_slice_is_that_of_the_array(
        (shape, slice) in prop::collection::vec(0u64..7, 0..4).prop_flat_map(|shape| (Just(shape.clone()), slices(shape))),
        fortran_order in any::<bool>(),
    ) {
        let count = shape.iter().product::<u64>();
        let items: Vec<u8> = (0..count).flat_map(|n| (n as u32).to_le_bytes()).collect();
        let fitted = slice.fit(&shape).unwrap();
        let expected = pick(&items, &shape, 4, &fitted);
        let stored = if fortran_order {
            // The item at a position is where the transposed array has it.
            let transposed: Vec<u64> = shape.iter().rev().copied().collect();
            (0..count).flat_map(|mut n| {
                let mut position: Vec<u64> = transposed.iter().rev().map(|len| { let at = n % len; n /= len; at }).collect();
                position.reverse();
                let at = position.iter().rev().zip(&shape).fold(0, |at, (n, len)| at * len + n);
                (at as u32).to_le_bytes()
            }).collect()
        } else {
            items.clone()
        };
        let room = Room::new();
        let (source, path) = source(&room, "a.npy", ArrayStructure::new(DType::of("u4"), shape.clone()));
        std::fs::write(path, npy("<u4", fortran_order, &shape, &stored)).unwrap();
        prop_assert_eq!(block_on(read(&room, &source, &slice)).unwrap(), expected);
    }
}

#[tokio::test]
async fn large_files_are_read_in_stretches() {
    let (room, shape) = (Room::new(), [5, 300, 700]);
    let items: Vec<u8> = (0..shape.iter().product::<u64>()).flat_map(|n| (n as u16).to_le_bytes()).collect();
    let (source, path) = source(&room, "a.npy", ArrayStructure::new(DType::of("u2"), shape.to_vec()));
    std::fs::write(path, npy("<u2", false, &shape, &items)).unwrap();
    for slice in ["", "::-2,5:290:7,::3", "3,:,699"] {
        let slice = Slice::parse(slice).unwrap();
        let expected = pick(&items, &shape, 2, &slice.fit(&shape).unwrap());
        assert_eq!(read(&room, &source, &slice).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_file_may_be_behind_or_ahead_of_what_is_registered() {
    let room = Room::new();
    let (source, path) = source(&room, "a.npy", ArrayStructure::new(DType::of("u1"), vec![4, 2]));
    let write = |shape: &[u64], items: &[u8]| std::fs::write(&path, npy("|u1", false, shape, items)).unwrap();
    let kind = async |slice: &str| read(&room, &source, &Slice::parse(slice).unwrap()).await.map_err(|e| e.kind());
    write(&[3, 2], &[0, 1, 2, 3, 4, 5]);
    assert_eq!(kind("").await, Err(ErrorKind::Busy));
    assert_eq!(kind("1:3").await, Ok(vec![2, 3, 4, 5]));
    write(&[6, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(kind("").await, Ok(vec![0, 1, 2, 3, 4, 5, 6, 7]));
    write(&[4, 2], &[0, 1, 2]);
    assert_eq!(kind("").await, Err(ErrorKind::Busy));
    write(&[4, 3], &[0; 12]);
    assert_eq!(kind("").await, Err(ErrorKind::Unprocessable));
    std::fs::write(&path, npy("<u2", false, &[4, 2], &[0; 16])).unwrap();
    assert_eq!(kind("").await, Err(ErrorKind::Unprocessable));
    std::fs::write(&path, "no array").unwrap();
    assert_eq!(kind("").await, Err(ErrorKind::Busy));
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(90);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
    assert_eq!(kind("").await, Err(ErrorKind::Damaged));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(kind("").await, Err(ErrorKind::Gone));
}

/// Whatever a file says, nobody has to count with numbers that overflow.
#[tokio::test]
async fn arrays_larger_than_any_file_are_refused() {
    let room = Room::new();
    let (source, path) = source(&room, "a.npy", ArrayStructure::new(DType::of("f8"), vec![1 << 31, 1 << 31]));
    std::fs::write(&path, npy("<f8", false, &[1 << 31, 1 << 31], &[])).unwrap();
    let files =
        Files { media_type: source.mimetype.clone(), parameters: Default::default(), assets: source.assets.clone() };
    assert_eq!(room.storage.inspect(&files).await.unwrap_err().kind(), ErrorKind::Unprocessable);
    let opened = room.storage.open(&source).await.map(drop);
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Unprocessable);
}
