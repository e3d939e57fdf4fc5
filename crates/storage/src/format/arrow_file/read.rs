//! Reading the file and the stream format, batch by batch.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, MessageHeader};
use girih_model::{Error, Result, ResultExt};

use super::message::{self, Budget, MAX_BATCH, MAX_METADATA, bad};
use crate::format::guard::guarded;
use crate::format::partition::Batches;
use crate::format::partition::encode::MAX_ROWS;

const MAGIC: &[u8; 6] = b"ARROW1";

/// Where the messages lie.
struct Layout {
    schema: Schema,
    version: arrow::ipc::MetadataVersion,
    /// In a file, the footer lists them; in a stream they follow each other from `next` on.
    dictionaries: Vec<Block>,
    batches: Blocks,
}

enum Blocks {
    Listed(std::vec::IntoIter<Block>),
    Following { next: u64 },
}

/// Opens a file; `columns` and `rows` select.
///
/// # Errors
/// `Unprocessable` when it is damaged or lies about itself, `TooLarge` when it is a decompression bomb.
pub(super) fn open(
    file: File,
    columns: Option<&[&str]>,
    rows: Option<Range<u64>>,
    budget: Budget,
) -> Result<(SchemaRef, Batches)> {
    let source = Source::new(file)?;
    let layout = source.layout()?;
    let schema = Arc::new(layout.schema);
    let mut decoder = FileDecoder::new(schema.clone(), layout.version);
    let mut out = schema.clone();
    if let Some(columns) = columns {
        let columns: HashSet<&str> = columns.iter().copied().collect();
        let wanted = (0..schema.fields().len()).filter(|n| columns.contains(schema.field(*n).name().as_str()));
        let wanted: Vec<usize> = wanted.collect();
        out = Arc::new(schema.project(&wanted).or_error(|e| bad(e))?);
        decoder = decoder.with_projection(wanted);
    }
    let rows = rows.unwrap_or(0..u64::MAX);
    let mut reader = Reader {
        source,
        decoder,
        blocks: layout.batches,
        budget,
        dictionaries: HashMap::new(),
        at: 0,
        rows,
        ready: None,
    };
    for block in &layout.dictionaries {
        reader.read_dictionary(block)?;
    }
    Ok((out, Box::new(reader)))
}

pub(super) fn schema(file: File) -> Result<Schema> {
    Ok(Source::new(file)?.layout()?.schema)
}

/// Number of rows, from the metadata of the batches.
pub(super) fn rows(file: &File) -> Result<u64> {
    let source = Source::new(file.try_clone().internal(|| "opening an Arrow file again".into())?)?;
    let mut blocks = source.layout()?.batches;
    let mut rows = 0;
    while let Some(block) = source.next_block(&mut blocks)? {
        rows += source.length(&block)?;
    }
    Ok(rows)
}

struct Source {
    file: File,
    size: u64,
}

impl Source {
    fn new(file: File) -> Result<Self> {
        let size = file.metadata().internal(|| "looking at an Arrow file".into())?.len();
        Ok(Self { file, size })
    }

    fn bytes(&self, start: u64, len: u64, limit: u64) -> Result<Buffer> {
        if len > limit {
            return Err(Error::too_large(format!(
                "A part of the Arrow file is larger than {limit} bytes. Send the table in smaller batches."
            )));
        }
        if start.checked_add(len).is_none_or(|end| end > self.size) {
            return Err(bad("it ends too early"));
        }
        // Aligned as arrow wants it, so that nothing is copied again.
        let mut bytes = MutableBuffer::from_len_zeroed(len as usize);
        self.file.read_exact_at(&mut bytes, start).internal(|| "reading an Arrow file".into())?;
        Ok(bytes.into())
    }

    fn layout(&self) -> Result<Layout> {
        if self.size < 8 {
            return Err(bad("it is too short"));
        }
        if self.bytes(0, 6, 6)?.as_slice() == MAGIC { self.file_layout() } else { self.stream_layout() }
    }

    fn file_layout(&self) -> Result<Layout> {
        let tail_at = self.size.checked_sub(10).ok_or_else(|| bad("it is too short"))?;
        let tail = self.bytes(tail_at, 10, 10)?;
        if &tail[4..] != MAGIC {
            return Err(bad("it does not end as an Arrow file does: it may be cut off"));
        }
        let len = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        let footer_at = tail_at.checked_sub(len).filter(|at| *at >= 8).ok_or_else(|| bad("its footer is too long"))?;
        let footer = self.bytes(footer_at, len, MAX_METADATA)?;
        let footer = arrow::ipc::root_as_footer(&footer).map_err(|e| bad(format!("its footer is damaged ({e})")))?;
        let blocks = |list: Option<_>| -> Vec<Block> { list.into_iter().flatten().copied().collect() };
        let (dictionaries, batches) = (blocks(footer.dictionaries()), blocks(footer.recordBatches()));
        for block in dictionaries.iter().chain(&batches) {
            let end = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()]
                .into_iter()
                .try_fold(0u64, |sum, part| sum.checked_add(u64::try_from(part).ok()?));
            if end.is_none_or(|end| end > footer_at) || block.metaDataLength() < 8 {
                return Err(bad("its footer points outside the file"));
            }
        }
        Ok(Layout {
            schema: message::schema(footer.schema().ok_or_else(|| bad("it has no schema"))?)?,
            version: message::check_version(footer.version())?,
            dictionaries,
            batches: Blocks::Listed(batches.into_iter()),
        })
    }

    fn stream_layout(&self) -> Result<Layout> {
        let not_arrow = || bad("it begins neither as an Arrow file nor as an Arrow stream");
        let block = self.block_at(0).map_err(|_| not_arrow())?.ok_or_else(not_arrow)?;
        let bytes = self.bytes(0, block.metaDataLength() as u64, MAX_METADATA)?;
        let first = message::parse(&bytes).map_err(|_| not_arrow())?;
        let schema = first.header_as_schema().ok_or_else(|| bad("it does not begin with a schema"))?;
        Ok(Layout {
            schema: message::schema(schema)?,
            version: message::check_version(first.version())?,
            dictionaries: Vec::new(),
            batches: Blocks::Following { next: end_of(&block) },
        })
    }

    /// The message that begins at `offset` of a stream; `None` at its end.
    fn block_at(&self, offset: u64) -> Result<Option<Block>> {
        if offset >= self.size {
            return Ok(None);
        }
        let head = self.bytes(offset, 8.min(self.size - offset), 8)?;
        let number = |at: usize| {
            let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or_else(|| bad("it ends too early"))
        };
        let (prefix, len) = match number(0)? {
            u32::MAX => (8, number(4)?),
            len => (4, len),
        };
        if len == 0 {
            return Ok(None);
        }
        let total = u64::from(len) + prefix;
        let bytes = self.bytes(offset, total, MAX_METADATA)?;
        let body =
            u64::try_from(message::parse(&bytes)?.bodyLength()).map_err(|_| bad("a message has a negative length"))?;
        if offset.checked_add(total).and_then(|end| end.checked_add(body)).is_none_or(|end| end > self.size) {
            return Err(bad("it ends too early"));
        }
        Ok(Some(Block::new(offset as i64, total as i32, body as i64)))
    }

    fn next_block(&self, blocks: &mut Blocks) -> Result<Option<Block>> {
        match blocks {
            Blocks::Listed(list) => Ok(list.next()),
            Blocks::Following { next } => {
                let block = self.block_at(*next)?;
                *next = block.as_ref().map_or(self.size, end_of);
                Ok(block)
            }
        }
    }

    /// Rows of a batch; none of another message.
    fn length(&self, block: &Block) -> Result<u64> {
        let bytes = self.bytes(block.offset() as u64, block.metaDataLength() as u64, MAX_METADATA)?;
        let length = message::parse(&bytes)?.header_as_record_batch().map_or(0, |batch| batch.length());
        u64::try_from(length).map_err(|_| bad("a batch has a negative length"))
    }
}

fn end_of(block: &Block) -> u64 {
    block.offset() as u64 + block.metaDataLength() as u64 + block.bodyLength() as u64
}

struct Reader {
    source: Source,
    decoder: FileDecoder,
    blocks: Blocks,
    budget: Budget,
    /// Bytes of each dictionary so far.
    dictionaries: HashMap<i64, u64>,
    /// The row at which the next batch begins.
    at: u64,
    rows: Range<u64>,
    /// What is left of a large batch.
    ready: Option<RecordBatch>,
}

impl Reader {
    /// Reads a message, checked.
    fn message(&mut self, block: &Block) -> Result<Buffer> {
        let (metadata, body) = (block.metaDataLength() as u64, block.bodyLength() as u64);
        if metadata > MAX_METADATA {
            return Err(bad("a message's metadata is too long"));
        }
        let bytes = self.source.bytes(block.offset() as u64, metadata + body, MAX_BATCH + MAX_METADATA)?;
        let message = message::parse(&bytes[..metadata as usize])?;
        message::check_batch(&message, &bytes[metadata as usize..], &mut self.budget)?;
        Ok(bytes)
    }

    fn read_dictionary(&mut self, block: &Block) -> Result<()> {
        let bytes = self.message(block)?;
        let message = message::parse(&bytes[..block.metaDataLength() as usize])?;
        let dictionary = message.header_as_dictionary_batch().ok_or_else(|| bad("a dictionary is missing"))?;
        let size = self.dictionaries.entry(dictionary.id()).or_default();
        if dictionary.isDelta() {
            // arrow joins the old and the new part in a new place, each time.
            self.budget.spend(*size)?;
            *size += bytes.len() as u64;
        } else {
            *size = bytes.len() as u64;
        }
        let decoder = &mut self.decoder;
        decoded(move || decoder.read_dictionary(block, &bytes))
    }

    fn read_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.at < self.rows.end
            && let Some(block) = self.source.next_block(&mut self.blocks)?
        {
            let length = self.source.length(&block)?;
            if matches!(self.blocks, Blocks::Following { .. }) && self.is_dictionary(&block)? {
                self.read_dictionary(&block)?;
                continue;
            }
            let start = self.at;
            self.at = start.checked_add(length).ok_or_else(|| bad("it has too many rows"))?;
            if length == 0 || self.at <= self.rows.start {
                continue;
            }
            let bytes = self.message(&block)?;
            let batch = decoded(|| self.decoder.read_record_batch(&block, &bytes))?;
            let batch =
                batch.filter(|batch| batch.num_rows() as u64 == length).ok_or_else(|| bad("a batch is missing"))?;
            self.budget.spend(batch.columns().iter().map(message::expanded_size).fold(0, u64::saturating_add))?;
            let from = self.rows.start.saturating_sub(start).min(length);
            let to = self.rows.end.min(self.at) - start;
            return Ok(Some(batch.slice(from as usize, (to - from) as usize)));
        }
        Ok(None)
    }

    fn is_dictionary(&self, block: &Block) -> Result<bool> {
        let bytes = self.source.bytes(block.offset() as u64, block.metaDataLength() as u64, MAX_METADATA)?;
        Ok(message::parse(&bytes)?.header_type() == MessageHeader::DictionaryBatch)
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.ready.take() {
            Some(batch) => batch,
            None => match self.read_batch() {
                Ok(batch) => batch?,
                Err(e) => {
                    self.rows.end = 0;
                    return Some(Err(e));
                }
            },
        };
        let rows = batch.num_rows();
        if rows > MAX_ROWS {
            self.ready = Some(batch.slice(MAX_ROWS, rows - MAX_ROWS));
        }
        Some(Ok(batch.slice(0, rows.min(MAX_ROWS))))
    }
}

/// arrow's decoder, whose asserts on odd input cost the request and no more.
fn decoded<T>(decode: impl FnOnce() -> Result<T, arrow::error::ArrowError>) -> Result<T> {
    guarded(decode).ok_or_else(|| bad("a batch contradicts its schema"))?.or_error(|e| bad(e))
}
