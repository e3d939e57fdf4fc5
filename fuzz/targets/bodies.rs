//! Bodies of uploads, read as a node of known structure reads them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, UInt8Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use bolero::{TypeGenerator, check};
use futures::{StreamExt, TryStreamExt, stream};
use girih_model::{ArrayStructure, DType, Data, Result, Structure, TableData, TableStructure};
use girih_storage::{EncodeOptions, Format, format};
use tokio::runtime::{Builder, Runtime};

use crate::edits::{Edits, NUMBERS};
use crate::limits::{SHORT, blames_the_caller, limited};

/// Most memory that a small body may take, in bytes.
const MEMORY: usize = 256 << 20;
/// The same where a batch is held as a whole, and may honestly be compressed from this much.
const ARROW_MEMORY: usize = (1 << 30) + MEMORY;

#[derive(Debug, Clone, TypeGenerator)]
struct Body {
    edits: Edits,
    /// Bytes that arrive at once.
    #[generator(1_u16..)]
    piece: u16,
}

/// One way in: a media type, what the node looks like, and bodies that are right.
struct Door {
    format: &'static dyn Format,
    structure: Structure,
    seeds: Vec<Vec<u8>>,
    memory: usize,
    runtime: Runtime,
}

/// A body that made the reader panic is the last one.
impl std::panic::RefUnwindSafe for Door {}

impl Door {
    fn new(media_type: &str, structure: Structure, seeds: Vec<Vec<u8>>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let format = format::by_media_type(media_type).unwrap();
        let memory = if media_type.contains("arrow") { ARROW_MEMORY } else { MEMORY };
        let door = Self { format, structure, seeds, memory, runtime };
        for seed in &door.seeds {
            door.read(seed, 1000).unwrap();
        }
        door
    }

    fn check(&self, body: &Body, words: &[impl AsRef<[u8]>]) {
        self.check_bytes(&body.edits.apply(&self.seeds, words), body.piece);
    }

    fn check_bytes(&self, bytes: &[u8], piece: u16) {
        if let Err(error) = limited(self.memory, || self.read(bytes, piece)) {
            blames_the_caller(&error);
        }
    }

    /// Reads a body to its end.
    fn read(&self, bytes: &[u8], piece: u16) -> Result<()> {
        let pieces: Vec<_> = bytes.chunks(piece.into()).map(|piece| Ok(piece.to_vec().into())).collect();
        self.runtime.block_on(async {
            match self.format.decode(stream::iter(pieces).boxed(), &self.structure).await? {
                Data::Array(mut array) => {
                    let (nbytes, mut read) = (array.nbytes(), 0);
                    while let Some(piece) = array.pieces.try_next().await? {
                        read += piece.len() as u64;
                    }
                    assert_eq!(read, nbytes);
                }
                Data::Table(mut table) => {
                    while let Some(batch) = table.batches.try_next().await? {
                        assert_eq!(batch.schema(), table.schema);
                        validate(&batch);
                    }
                }
                Data::Tree(_) => panic!("a body is no tree"),
            }
            Ok(())
        })
    }
}

/// What was read can be used: no offset points anywhere else.
fn validate(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().unwrap();
    }
}

fn batch() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = ["a", "b", "a", "c", "b"].into_iter().collect();
    let small: DictionaryArray<UInt8Type> = [Some("x"), None, Some("y"), Some("x"), None].into_iter().collect();
    let lists = [Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(2)]), Some(vec![Some(3); 3])];
    let columns: [(&str, ArrayRef); 8] = [
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3, i64::MAX, i64::MIN]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(f64::NAN), Some(-0.0), Some(1e308)]))),
        ("text", Arc::new(StringArray::from(vec![Some("red"), Some(""), None, Some("é\"\n,"), Some("blue")]))),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)]))),
        ("at", Arc::new(TimestampNanosecondArray::from(vec![Some(0), None, Some(1), Some(-1), Some(1 << 60)]))),
        ("word", Arc::new(words)),
        ("small", Arc::new(small)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn structure_of(batch: &RecordBatch) -> Structure {
    Structure::Table(TableStructure::new(batch.schema(), 1))
}

/// The structure of a table of numbers `n` and texts `s`, as JSON.
pub(crate) fn small_table() -> String {
    let fields = vec![Field::new("n", DataType::Int64, true), Field::new("s", DataType::Utf8, true)];
    serde_json::to_string(&TableStructure::new(Arc::new(Schema::new(fields)), 1)).unwrap()
}

fn ipc(compression: Option<CompressionType>, stream: bool) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let (batch, mut bytes) = (batch(), Vec::new());
    if stream {
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch.slice(1, 2)).unwrap();
        writer.finish().unwrap();
    }
    bytes
}

/// A body as our own encoder makes it.
fn encoded(media_type: &str, batch: &RecordBatch) -> Vec<u8> {
    let data = Data::Table(TableData::whole(batch.schema(), vec![batch.clone()]));
    let format = format::by_media_type(media_type).unwrap();
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let encoded = format.encode(data, &EncodeOptions::default()).await.unwrap();
        let pieces: Vec<_> = encoded.body.try_collect().await.unwrap();
        pieces.concat()
    })
}

#[test]
fn arrow_file() {
    let codecs = [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)];
    let seeds = codecs.map(|codec| ipc(codec, false)).to_vec();
    let door = Door::new("application/vnd.apache.arrow.file", structure_of(&batch()), seeds);
    check!().with_test_time(SHORT).with_type::<Body>().for_each(|body| door.check(body, NUMBERS));
}

#[test]
fn arrow_stream() {
    let codecs = [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)];
    let seeds = codecs.map(|codec| ipc(codec, true)).to_vec();
    let door = Door::new("application/vnd.apache.arrow.file", structure_of(&batch()), seeds);
    check!().with_test_time(SHORT).with_type::<Body>().for_each(|body| door.check(body, NUMBERS));
}

#[test]
fn parquet() {
    use ::parquet::arrow::ArrowWriter;
    use ::parquet::basic::{Compression, ZstdLevel};
    use ::parquet::file::properties::WriterProperties;
    const MEDIA_TYPE: &str = "application/x-parquet";
    let codecs = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    let mut seeds = vec![encoded(MEDIA_TYPE, &batch())];
    for codec in codecs {
        let properties = WriterProperties::builder().set_compression(codec).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch().schema(), Some(properties)).unwrap();
        writer.write(&batch()).unwrap();
        seeds.push(writer.into_inner().unwrap());
    }
    let door = Door::new(MEDIA_TYPE, structure_of(&batch()), seeds);
    check!().with_test_time(SHORT).with_type::<Body>().for_each(|body| door.check(body, NUMBERS));
}

#[test]
fn csv() {
    const WORDS: [&str; 13] = [
        "\"",
        "\"\"",
        ",",
        "\r\n",
        "\n",
        "nan",
        "inf",
        "-",
        "1e999",
        "2026-11-22T11:12:10Z",
        "99999999999999999999",
        "é",
        "\u{0}",
    ];
    let flat = batch().project(&[0, 1, 2, 3, 4]).unwrap();
    let door = Door::new("text/csv", structure_of(&flat), vec![encoded("text/csv", &flat)]);
    check!().with_test_time(SHORT).with_type::<Body>().for_each(|body| door.check(body, &WORDS));
}

fn array(dtype: &str, shape: &[u64]) -> Structure {
    Structure::Array(ArrayStructure::new(DType::of(dtype), shape.to_vec()))
}

#[test]
fn octet_stream() {
    let door = Door::new("application/octet-stream", array("f8", &[5, 7]), vec![vec![1; 280]]);
    check!().with_test_time(SHORT).with_type::<Body>().for_each(|body| door.check(body, NUMBERS));
}

fn picture(colours: png::ColorType, depth: png::BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 7, 5);
    encoder.set_color(colours);
    encoder.set_depth(depth);
    encoder.set_palette(&[0, 128, 255][..]);
    let row = (7 * colours.samples() * depth as usize).div_ceil(8);
    let samples: Vec<u8> =
        if colours == png::ColorType::Indexed { vec![0; row * 5] } else { (0..row * 5).map(|n| n as u8).collect() };
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    bytes
}

/// Writes the right checksums into a picture, so that what was changed is looked at.
fn repair(picture: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = picture.get(at..at + 8) {
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (start, end) = (at + 4, (at + 8).saturating_add(len));
        let Some(covered) = picture.get(start..end) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(covered);
        let Some(place) = picture.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}

#[test]
fn pictures() {
    use png::{BitDepth, ColorType};
    let grey = vec![
        picture(ColorType::Grayscale, BitDepth::Eight),
        picture(ColorType::Grayscale, BitDepth::Sixteen),
        picture(ColorType::Grayscale, BitDepth::One),
    ];
    let colours = vec![
        picture(ColorType::Rgb, BitDepth::Eight),
        picture(ColorType::Rgb, BitDepth::Sixteen),
        picture(ColorType::Indexed, BitDepth::Two),
    ];
    let doors =
        [Door::new("image/png", array("f4", &[5, 7]), grey), Door::new("image/png", array("u2", &[5, 7, 3]), colours)];
    let words: Vec<&[u8]> =
        NUMBERS.iter().copied().chain([&b"IDAT"[..], b"PLTE", b"tRNS", b"acTL", b"fdAT", b"IEND", b"iCCP"]).collect();
    check!().with_test_time(SHORT).with_type::<(bool, Body)>().for_each(|(which, body)| {
        let door = &doors[usize::from(*which)];
        let mut bytes = body.edits.apply(&door.seeds, &words);
        repair(&mut bytes);
        door.check_bytes(&bytes, body.piece);
    });
}
