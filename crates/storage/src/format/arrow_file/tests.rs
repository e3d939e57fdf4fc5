//! Bodies as other programs send them, and as nobody should.

use arrow::array::*;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use girih_model::{ErrorKind, TableStructure};

use super::*;
use crate::conformance::block_on;

fn sample() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..200).map(|n| (n % 7 != 3).then_some(n))));
    let words: ArrayRef =
        Arc::new(StringArray::from_iter((0..200).map(|n| (n % 5 != 1).then(|| format!("word {}", n % 10)))));
    let list = ListArray::from_iter_primitive::<UInt32Type, _, _>((0..200).map(|n| Some(vec![Some(n), None])));
    let fields = vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)];
    let pair = StructArray::new(fields.into(), vec![numbers.clone(), words.clone()], None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", numbers.clone()),
        ("w", words.clone()),
        ("v", cast(&words, &DataType::Utf8View).unwrap()),
        ("d", cast(&words, &DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8))).unwrap()),
        ("l", Arc::new(list)),
        ("s", Arc::new(pair)),
        ("b", cast(&numbers, &DataType::Boolean).unwrap()),
        ("z", Arc::new(NullArray::new(200))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn options(compression: Option<CompressionType>) -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(compression).unwrap()
}

fn file(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options(compression)).unwrap();
    writer.write(&batch.slice(0, batch.num_rows() / 2)).unwrap();
    writer.write(&batch.slice(batch.num_rows() / 2, batch.num_rows() - batch.num_rows() / 2)).unwrap();
    writer.into_inner().unwrap()
}

fn in_stream(batch: &RecordBatch, compression: Option<CompressionType>) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options(compression)).unwrap();
    writer.write(batch).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn decode(body: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    block_on(async {
        let structure = Structure::Table(TableStructure::new(schema.clone(), 1));
        let pieces: Vec<_> = body.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let Data::Table(table) = ArrowFile.decode(stream::iter(pieces).boxed(), &structure).await? else { panic!() };
        let batches: Vec<RecordBatch> = table.batches.try_collect().await?;
        Ok(concat_batches(&table.schema, &batches).unwrap())
    })
}

fn samples() -> Vec<Vec<u8>> {
    let batch = sample();
    let codecs = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    codecs.into_iter().flat_map(|codec| [file(&batch, codec), in_stream(&batch, codec)]).collect()
}

#[test]
fn files_and_streams_with_every_compression_are_read() {
    let batch = sample();
    for (n, body) in samples().iter().enumerate() {
        let decoded = decode(body, &batch.schema()).unwrap();
        let expected =
            if n % 2 == 0 { batch.clone() } else { concat_batches(&batch.schema(), [&batch, &batch]).unwrap() };
        assert_eq!(decoded, expected);
    }
}

/// Thousands of damaged bodies: each is read or refused, and none takes the process, the memory or
/// the time with it.
#[test]
fn damaged_bodies_are_refused_not_fatal() {
    let schema = sample().schema();
    let mut state = 7u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below.max(1)
    };
    let mut refused = 0;
    for body in samples() {
        for n in 0..400 {
            let mut damaged = body.clone();
            for _ in 0..1 + random(3) {
                // The interesting places: metadata at the front, the footer at the back.
                let at = match n % 3 {
                    0 => random(damaged.len()),
                    1 => random(damaged.len().min(3000)),
                    _ => damaged.len() - 1 - random(damaged.len().min(3000)),
                };
                match random(6) {
                    0 => damaged[at] = random(256) as u8,
                    1 => damaged[at] ^= 1 << random(8),
                    2 => damaged[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                    3 => damaged[at..]
                        .iter_mut()
                        .take(8)
                        .enumerate()
                        .for_each(|(n, byte)| *byte = if n == 6 { 0x7f } else { 0xff }),
                    4 => damaged.truncate(at.max(1)),
                    _ => {
                        let from = random(damaged.len());
                        let len = random(16).min(damaged.len() - from).min(damaged.len() - at);
                        damaged.copy_within(from..from + len, at);
                    }
                }
            }
            refused += usize::from(decode(&damaged, &schema).is_err());
        }
    }
    assert!(refused > 500, "only {refused} were refused");
}

fn kind(body: &[u8], schema: &SchemaRef) -> ErrorKind {
    decode(body, schema).expect_err("a refusal").kind()
}

#[test]
fn what_is_no_arrow_is_refused() {
    let schema = sample().schema();
    let whole = file(&sample(), None);
    for body in [
        &b""[..],
        b"ARROW1",
        b"ARROW1\0\0ARROW1",
        b"hello world, this is text",
        &whole[..whole.len() - 1],
        &[0xff; 64],
        &[0; 64],
    ] {
        assert_eq!(kind(body, &schema), ErrorKind::Unprocessable, "{body:?}");
    }
}

/// A compressed buffer begins with the size that it claims to have.
#[test]
fn lying_sizes_are_refused() {
    let zeros: ArrayRef = Arc::new(Int64Array::from(vec![0; 10_000]));
    let batch = RecordBatch::try_from_iter([("a", zeros)]).unwrap();
    let honest = 80_000i64.to_le_bytes();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options(Some(codec))).unwrap();
        writer.write(&batch).unwrap();
        let body = writer.into_inner().unwrap();
        decode(&body, &batch.schema()).unwrap();
        let at = body.windows(8).position(|bytes| bytes == honest).unwrap();
        for (claim, expected) in [
            (80_001, ErrorKind::Unprocessable),
            (8, ErrorKind::Unprocessable),
            (-2, ErrorKind::Unprocessable),
            (1 << 40, ErrorKind::TooLarge),
            (i64::MAX, ErrorKind::TooLarge),
        ] {
            let mut lie = body.clone();
            lie[at..at + 8].copy_from_slice(&i64::to_le_bytes(claim));
            assert_eq!(kind(&lie, &batch.schema()), expected, "{codec:?} {claim}");
        }
    }
}

/// A short body can name the same long text a million times.
#[test]
fn repetition_counts_as_size() {
    let text = "x".repeat(1 << 20);
    let values: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    let keys = Int32Array::from(vec![0; 40_000]);
    let repeated: ArrayRef = Arc::new(DictionaryArray::new(keys, values));
    let batch = RecordBatch::try_from_iter([("a", repeated)]).unwrap();
    assert_eq!(kind(&file(&batch, None), &batch.schema()), ErrorKind::TooLarge);

    let mut views = StringViewBuilder::new();
    let block = views.append_block(text.into_bytes().into());
    (0..40_000).for_each(|_| views.try_append_view(block, 0, 1 << 20).unwrap());
    let repeated: ArrayRef = Arc::new(views.finish());
    let batch = RecordBatch::try_from_iter([("a", repeated)]).unwrap();
    assert_eq!(kind(&file(&batch, None), &batch.schema()), ErrorKind::TooLarge);
}

/// Rows that take no bytes are not believed without end.
#[test]
fn rows_without_bytes_are_bounded() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Null, true)]));
    let batch = |rows: usize| RecordBatch::try_new(schema.clone(), vec![Arc::new(NullArray::new(rows))]).unwrap();
    decode(&file(&batch(1_000_000), None), &schema).unwrap();
    assert_eq!(kind(&file(&batch(1 << 40), None), &schema), ErrorKind::Unprocessable);
}
