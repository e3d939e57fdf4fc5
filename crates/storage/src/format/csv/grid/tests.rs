use girih_model::Asset;
use proptest::prelude::*;
use serde_json::json;

use crate::conformance::{Room, block_on, gather, pick, slices, source};

use super::*;

async fn registered(room: &Room, texts: &[&str], parameters: Value) -> Result<(Arc<dyn Dataset>, ArrayStructure)> {
    let assets = texts.iter().enumerate().map(|(n, text)| {
        let path = room.directory.path().join(format!("{n}.csv"));
        std::fs::write(&path, text).unwrap();
        Asset {
            data_uri: format!("file://localhost{}", path.display()),
            is_directory: false,
            size: None,
            parameter: Some("data_uris".into()),
            num: Some(n as u64),
            id: None,
        }
    });
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    let media_type = CsvArrays.media_type().to_owned();
    let files = Files { media_type: media_type.clone(), parameters: parameters.clone(), assets: assets.collect() };
    let found = room.storage.inspect(&files).await?;
    let mut source = source(found.structure.clone(), media_type, files.assets);
    source.parameters = parameters;
    let structure = found.structure.as_array().unwrap().clone();
    Ok((room.storage.open(&source).await?, structure))
}

fn check(texts: &[&str], parameters: Value, dtype: &str, shape: &[u64], expected: &[u8]) {
    block_on(async {
        let room = Room::new();
        let (dataset, structure) = registered(&room, texts, parameters).await.unwrap();
        assert_eq!((structure.dtype.to_string().as_str(), structure.shape.as_slice()), (dtype, shape), "{texts:?}");
        assert_eq!(gather(dataset.read(&Selection::all()).await.unwrap()).await.1, expected, "{texts:?}");
    });
}

fn ints(items: &[i64]) -> Vec<u8> {
    items.iter().flat_map(|item| item.to_le_bytes()).collect()
}

#[test]
fn columns_alike_are_an_axis_and_others_are_fields() {
    check(&["1,2\n3,4\n"], json!({}), "<i8", &[2, 2], &ints(&[1, 2, 3, 4]));
    check(&["1,2\n", "3,4\n5,6\n"], json!({}), "<i8", &[3, 2], &ints(&[1, 2, 3, 4, 5, 6]));
    check(&["a;b\n1;2\n"], json!({"sep": ";", "header": 0}), "<i8", &[1, 2], &ints(&[1, 2]));
    check(
        &["x\na,b,c\n1,2,3\n"],
        json!({"skiprows": 1, "header": 0, "usecols": ["c", "a"]}),
        "<i8",
        &[1, 2],
        &ints(&[3, 1]),
    );
    check(&["1\n2\n3\n"], json!({"nrows": 2}), "<i8", &[2, 1], &ints(&[1, 2]));
    check(&["1\n"], json!({"nrows": 2}), "<i8", &[2, 1], &ints(&[1, 0]));
    check(&["True\nFalse\n"], json!({}), "|b1", &[2, 1], &[1, 0]);
    let text = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<_>>();
    check(&["a,\"b\n\"\n"], json!({}), "<U2", &[1, 2], &text("a\0b\n"));
    check(&["a,x\nNA,y\n"], json!({}), "<U3", &[2, 2], &[text("a\0\0x\0\0"), text("nany\0\0")].concat());
    check(&["True\n\"\"\n"], json!({}), "<U4", &[2, 1], &[text("True"), text("nan\0")].concat());
    check(&["# 1\n1 2 # 3\n 4  5\n"], json!({"sep": r"\s+", "comment": "#"}), "<i8", &[2, 2], &ints(&[1, 2, 4, 5]));
    check(&["\u{feff}x\n\n1,2\n \n3,4"], json!({"skiprows": 1}), "<i8", &[2, 2], &ints(&[1, 2, 3, 4]));
    let long = format!("1\n#{}\n2\n", "x".repeat(3 * super::PIECE));
    check(&[&long], json!({"comment": "#"}), "<i8", &[2, 1], &ints(&[1, 2]));
    let record = [ints(&[1]), text("ab")].concat();
    check(&["1,ab\n"], json!({}), r#"[["0","<i8"],["1","<U2"]]"#, &[1, 1], &record);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_slice_is_that_of_the_array(slice in slices(vec![9000, 3])) {
        block_on(async {
            let room = Room::new();
            let items: Vec<i64> = (0..27_000).collect();
            let lines: Vec<String> = items.chunks(3).map(|row| format!("{},{},{}\r\n", row[0], row[1], row[2])).collect();
            let (first, second) = (lines[..5000].concat(), lines[5000..].concat());
            let (dataset, structure) = registered(&room, &[&first, &second], json!({})).await.unwrap();
            assert_eq!(structure.shape, [9000, 3]);
            let region = slice.fit(&structure.shape).unwrap();
            let got = gather(dataset.read(&Selection::slice(slice)).await.unwrap()).await.1;
            assert_eq!(got, pick(&ints(&items), &structure.shape, 8, &region));
        });
    }
}

#[test]
fn what_is_no_table_is_refused() {
    block_on(async {
        let room = Room::new();
        for (text, parameters) in [("", json!({})), ("1,2\n1,2,3\n", json!({})), ("1\n", json!({"usecols": ["a"]}))] {
            let error = registered(&room, &[text], parameters).await.map(drop).unwrap_err();
            assert_ne!(error.kind(), girih_model::ErrorKind::Internal, "{text:?}");
        }
    });
}
