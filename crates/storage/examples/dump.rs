use arrow::array::*;
use arrow::datatypes::*;
use futures::{TryStreamExt, StreamExt};
use girih_model::*;
use girih_model::node::*;
use girih_model::structure::array::Chunks;
use girih_storage::*;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let root = std::env::args().nth(1).unwrap();
    let places = Places::new(vec![Directory::open(std::path::Path::new(&root), true).unwrap()], vec![]);
    let storage = Storage::new(StorageOptions { places });
    let cases = [
        ("b", r#"{"kind":"b","itemsize":1}"#), ("i1", r#"{"kind":"i","itemsize":1}"#), ("u2", r#"{"kind":"u","itemsize":2}"#),
        ("bi4", r#"{"kind":"i","itemsize":4,"endianness":"big"}"#), ("f2", r#"{"kind":"f","itemsize":2}"#), ("bf8", r#"{"kind":"f","itemsize":8,"endianness":"big"}"#),
        ("f16", r#"{"kind":"f","itemsize":16}"#),
        ("c16", r#"{"kind":"c","itemsize":16}"#), ("bc8", r#"{"kind":"c","itemsize":8,"endianness":"big"}"#),
        ("M", r#"{"kind":"M","itemsize":8,"dt_units":"[10ms]"}"#), ("Mg", r#"{"kind":"M","itemsize":8}"#), ("bm", r#"{"kind":"m","itemsize":8,"dt_units":"[D]","endianness":"big"}"#),
        ("S", r#"{"kind":"S","itemsize":5}"#), ("U", r#"{"kind":"U","itemsize":12}"#), ("bU", r#"{"kind":"U","itemsize":12,"endianness":"big"}"#), ("V", r#"{"kind":"V","itemsize":6}"#),
        ("st", r#"{"itemsize":7,"fields":[{"name":"a","dtype":{"kind":"S","itemsize":3}},{"name":"b","dtype":{"itemsize":4,"fields":[{"name":"c","dtype":{"kind":"i","itemsize":4}}]}}]}"#),
        ("sub", r#"{"itemsize":8,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":2},"shape":[4]}]}"#),
        ("bst", r#"{"itemsize":4,"fields":[{"name":"a","dtype":{"kind":"i","itemsize":4,"endianness":"big"}}]}"#),
    ];
    let src = |s: Structure, m: String, a: Vec<Asset>| DataSource { id: None, structure: s, mimetype: m, parameters: Default::default(), properties: Default::default(), management: Management::Writable, assets: a };
    for (name, dt) in cases {
        for (tag, shape, chunk) in [("", vec![5u64, 300], vec![2, 128]), ("_0d", vec![], vec![]), ("_empty", vec![0, 3], vec![1, 3])] {
            let dtype: DType = serde_json::from_str(dt).unwrap();
            let n = shape.iter().product::<u64>() as usize * dtype.itemsize();
            let bytes: Vec<u8> = (0..n).map(|i| if dt.contains("\"U\"") || dt.contains("\"b\"") { 0 } else { (i * 7 % 100) as u8 }).collect();
            let mut s = ArrayStructure::new(dtype.clone(), shape.clone());
            s.chunks = shape.iter().zip(&chunk).map(|(l, c)| Chunks::regular(*l, *c)).collect();
            if tag.is_empty() { s.dims = Some(vec!["y".into(), "x".into()]); }
            let (m, a) = storage.create(&NodePath::parse(&format!("{name}{tag}")).unwrap(), &Structure::Array(s.clone()), None).await.unwrap();
            let d = storage.open(&src(Structure::Array(s), m, a)).await.unwrap();
            d.write(&Selection::all(), Data::Array(ArrayData::whole(dtype, shape, bytes.clone())), Write::Replace).await.unwrap();
            std::fs::write(format!("{root}/{name}{tag}.raw"), &bytes).unwrap();
        }
    }
    // tables: dictionaries that change
    let word = |a: &[&str]| -> RecordBatch { let d: DictionaryArray<Int8Type> = a.iter().copied().collect(); let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..a.len() as i64)); RecordBatch::try_from_iter_with_nullable([("d", Arc::new(d) as ArrayRef, true), ("n", n, true)]).unwrap() };
    let batches = vec![word(&["x", "y"]), word(&["z", "y", "x"]), word(&["q"])];
    let schema = batches[0].schema();
    for m in ["application/x-parquet", "application/vnd.apache.arrow.file"] {
        let f = girih_storage::format::by_media_type(m).unwrap();
        let e = f.encode(Data::Table(TableData::whole(schema.clone(), batches.clone())), &Default::default()).await.unwrap();
        let b: Vec<bytes::Bytes> = e.body.try_collect().await.unwrap();
        std::fs::write(format!("{root}/table.{}", f.extensions()[0]), b.concat()).unwrap();
    }
    // decode what python wrote
    for f in ["df.arrow", "df.feather", "df.parquet", "dask.arrow"] {
        let Ok(body) = std::fs::read(format!("{root}/in/{f}")) else { continue };
        let uri = std::fs::read_to_string(format!("{root}/in/{f}.schema")).unwrap();
        let s = Structure::Table(TableStructure::new(girih_model::structure::table::ArrowSchema::from_uri(&uri).unwrap().0, 1));
        let fm = girih_storage::format::by_media_type(if f.ends_with("parquet") { "application/x-parquet" } else { "application/vnd.apache.arrow.file" }).unwrap();
        let d = fm.decode(futures::stream::iter([Ok(bytes::Bytes::from(body))]).boxed(), &s).await;
        match d { Err(e) => println!("{f}: {e}"), Ok(d) => { let (m, a) = storage.create(&NodePath::parse(&format!("t_{f}")).unwrap(), &s, None).await.unwrap();
            let ds = storage.open(&src(s.clone(), m, a.clone())).await.unwrap();
            println!("{f}: {:?} {}", ds.write(&Selection::all(), d, Write::Replace).await.map(|_| ()), a[0].data_uri); } }
    }
}
