//! The hot functions alone, beside what the machine can do at most: `cargo bench -p girih-bench`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use futures::{StreamExt, TryStreamExt};
use girih_model::filter::KeyPath;
use girih_model::{ArrayData, DType, Data, Family, Slice, TableData};
use girih_storage::{EncodeOptions, format, item};

fn main() {
    divan::main();
}

const SIDE: usize = 1000;

/// Numbers without a pattern, the same every time.
fn noise(count: usize) -> Vec<f64> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(next).collect()
}

fn image() -> Vec<u8> {
    noise(SIDE * SIDE).into_iter().flat_map(f64::to_le_bytes).collect()
}

#[divan::bench]
fn memcpy(bencher: Bencher) {
    let source = image();
    let mut target = vec![0; source.len()];
    bencher.counter(BytesCount::new(source.len())).bench_local(|| target.copy_from_slice(black_box(&source)));
}

#[divan::bench]
fn zstd_decoding(bencher: Bencher) {
    let items: Vec<u8> = noise(4 << 20).into_iter().flat_map(|x| ((x * 16.0) as u16).to_le_bytes()).collect();
    let chunk = zstd::bulk::compress(&items, 1).expect("a chunk");
    let mut decoder = zstd::bulk::Decompressor::new().expect("a decoder");
    bencher
        .counter(BytesCount::new(items.len()))
        .bench_local(|| decoder.decompress(black_box(&chunk), items.len()).expect("the items"));
}

#[divan::bench]
fn slices(bencher: Bencher) {
    bencher.bench_local(|| {
        let slice = Slice::parse(black_box("3,10:-10:2,...,::-1")).expect("a slice");
        slice.fit(&[30, 2048, 5, 2048]).expect("it fits")
    });
}

#[divan::bench]
fn key_paths(bencher: Bencher) {
    bencher.bench_local(|| KeyPath::parse(black_box("element.edges.K.energy_eV")).expect("a path").to_string());
}

#[divan::bench]
fn numbers(bencher: Bencher) {
    let (dtype, items) = (DType::of("f8"), image());
    let mut numbers = Vec::with_capacity(SIDE * SIDE);
    bencher.counter(ItemsCount::new(SIDE * SIDE)).bench_local(|| {
        numbers.clear();
        item::push_numbers(&dtype, black_box(&items), &mut numbers);
    });
}

/// Encodes data as this media type; returns the bytes.
fn encode(runtime: &tokio::runtime::Runtime, family: Family, media_type: &str, data: Data) -> usize {
    let format = format::encoder(family, media_type).expect("a format");
    runtime.block_on(async {
        let encoded = format.encode(data, &EncodeOptions::default()).await.expect("it can be encoded");
        encoded.body.try_fold(0, async |bytes, piece| Ok(bytes + piece.len())).await.expect("bytes")
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().build().expect("a runtime")
}

#[divan::bench(args = ["image/png", "application/json", "text/csv", "image/tiff"])]
fn arrays(bencher: Bencher, media_type: &str) {
    let (runtime, items) = (runtime(), image());
    let data = || Data::Array(ArrayData::whole(DType::of("f8"), vec![SIDE as u64, SIDE as u64], items.clone()));
    bencher
        .counter(ItemsCount::new(SIDE * SIDE))
        .with_inputs(data)
        .bench_local_values(|data| encode(&runtime, Family::Array, media_type, data));
}

#[divan::bench(args = ["text/csv", "application/json", "application/vnd.apache.arrow.file", "application/x-parquet"])]
fn tables(bencher: Bencher, media_type: &str) {
    const ROWS: usize = 100_000;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("x", Arc::new(Float64Array::from(noise(ROWS)))),
    ];
    let (runtime, batch) = (runtime(), RecordBatch::try_from_iter(columns).expect("a batch"));
    let data = || {
        let batches = futures::stream::iter([Ok(batch.clone())]).boxed();
        Data::Table(TableData { schema: batch.schema(), batches })
    };
    bencher
        .counter(ItemsCount::new(ROWS))
        .with_inputs(data)
        .bench_local_values(|data| encode(&runtime, Family::Table, media_type, data));
}
