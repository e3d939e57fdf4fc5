//! Workbooks read where they lie: a container of tables, one for each sheet, as `pandas.read_excel` reads them.
//!
//! The first row has the names of the columns. A sheet is read as a whole, within limits, and kept for a while.

use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use calamine::{Reader, Xlsx};
use girih_model::node::Management;
use girih_model::structure::ContainerStructure;
use girih_model::{Asset, Data, DataSource, Error, Result, ResultExt, Selection, Spec, Structure, TableStructure};
use moka::sync::Cache;

use super::MEDIA_TYPE;
use crate::dataset::Dataset;
use crate::format::guard::guarded;
use crate::format::partition::encode::BatchWriter;
use crate::format::partition::{Batches, PartitionedTable, TableFile};
use crate::format::{Files, Inspected, of_source};
use crate::place::file::Stamp;
use crate::place::{Draft, Location, Places};
use crate::pool::{Room, WORKSPACE, blocking};

mod sheet;
mod size;

/// Most sheets of a workbook.
const MAX_SHEETS: usize = 1024;
/// Most bytes of the names of sheets that are kept, and of columns, about.
const REMEMBERED: u64 = 4 << 20;
/// Most bytes of sheets that are kept, about.
const KEPT: u64 = 32 << 20;

static BOOKS: LazyLock<Cache<Stamp, Contents>> = LazyLock::new(|| {
    let weigh = |_: &_, contents: &Contents| weight(contents.sheets.iter());
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});
static SCHEMAS: LazyLock<Cache<(Stamp, usize), SchemaRef>> = LazyLock::new(|| {
    let weigh = |_: &_, schema: &SchemaRef| weight(schema.fields().iter().map(|field| field.name()));
    Cache::builder().max_capacity(REMEMBERED).weigher(weigh).build()
});
static SHEETS: LazyLock<Cache<(Stamp, usize), Arc<RecordBatch>>> = LazyLock::new(|| {
    let weigh =
        |_: &_, batch: &Arc<RecordBatch>| u32::try_from(batch.get_array_memory_size() + 256).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(KEPT).weigher(weigh).build()
});

fn weight<'a>(names: impl Iterator<Item = &'a String>) -> u32 {
    u32::try_from(names.map(|name| name.len() + 128).sum::<usize>() + 256).unwrap_or(u32::MAX)
}

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::damaged(format!("The workbook cannot be read: {why}."))
}

/// Opens a workbook as a container.
pub(super) async fn open(source: &DataSource, places: &Places) -> Result<Arc<dyn Dataset>> {
    let Structure::Container(_) = &source.structure else {
        return Err(Error::unprocessable("A workbook is a container of tables. Register it as one."));
    };
    Ok(Arc::new(Book::open(&source.assets, places).await?))
}

pub(super) async fn inspect(files: &Files, places: &Places) -> Result<Inspected> {
    Ok(Book::open(&files.assets, places).await?.structure().into())
}

/// What a workbook has, and how much.
#[derive(Clone)]
struct Contents {
    sheets: Arc<[String]>,
    /// Bytes that it takes to read one of its sheets, about.
    needed: usize,
}

impl Contents {
    fn known(file: &File) -> Option<Self> {
        BOOKS.get(&Stamp::of(file)?)
    }

    fn of(file: File) -> Result<Self> {
        if let Some(known) = Self::known(&file) {
            return Ok(known);
        }
        let stamp = Stamp::of(&file);
        let again = file.try_clone().internal(|| "opening a workbook again".into())?;
        let needed = guarded(|| size::check(again)).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))?;
        let mut sheets = workbook(file)?.sheet_names();
        sheets.truncate(MAX_SHEETS);
        let this = Self { sheets: sheets.into(), needed };
        if let Some(stamp) = stamp {
            BOOKS.insert(stamp, this.clone());
        }
        Ok(this)
    }
}

/// Opens a workbook whose size was checked.
fn workbook(file: File) -> Result<Xlsx<BufReader<File>>> {
    let open = || Xlsx::new(BufReader::new(file)).or_error(|e| damaged(e));
    guarded(open).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))
}

#[derive(Clone)]
struct Book {
    location: Location,
    places: Places,
    contents: Contents,
}

impl Book {
    async fn open(assets: &[Asset], places: &Places) -> Result<Self> {
        let location = of_source(assets, places)?.remove(0);
        let place = location.clone();
        let (file, known) = blocking(move || {
            let file = place.open_file()?;
            let known = Contents::known(&file);
            Ok((file, known))
        })
        .await?;
        let contents = match known {
            Some(contents) => contents,
            None => {
                let size = file.metadata().internal(|| "looking at a workbook".into())?.len();
                let room = WORKSPACE.take(size::guess(size)).await?;
                let contents = blocking(move || Contents::of(file)).await;
                drop(room);
                contents.map_err(|e| e.context(format!("reading {}", location.absolute().display())))?
            }
        };
        Ok(Self { location, places: places.clone(), contents })
    }

    /// Reads a sheet, or has it still.
    async fn load(&self, number: usize) -> Result<Loaded> {
        let place = self.location.clone();
        let known = blocking(move || {
            let file = place.open_file()?;
            Ok(Stamp::of(&file).and_then(|stamp| SHEETS.get(&(stamp, number))))
        });
        if let Some(batch) = known.await? {
            return Ok(Loaded { batch, _room: None });
        }
        let room = WORKSPACE.take(self.contents.needed).await?;
        let place = self.location.clone();
        let batch = blocking(move || read_sheet(place.open_file()?, number)).await;
        let batch = batch.map_err(|e| e.context(format!("reading {}", self.location.absolute().display())))?;
        Ok(Loaded { batch, _room: Some(room) })
    }

    async fn schema(&self, number: usize) -> Result<SchemaRef> {
        let place = self.location.clone();
        let known = blocking(move || {
            let file = place.open_file()?;
            Ok(Stamp::of(&file).and_then(|stamp| SCHEMAS.get(&(stamp, number))))
        });
        match known.await? {
            Some(schema) => Ok(schema),
            None => Ok(self.load(number).await?.batch.schema()),
        }
    }
}

fn read_sheet(file: File, number: usize) -> Result<Arc<RecordBatch>> {
    let stamp = Stamp::of(&file);
    // It may be another file by now, whose size nobody has checked.
    let contents = Contents::of(file.try_clone().internal(|| "opening a workbook again".into())?)?;
    let name = contents.sheets.get(number);
    let name = name.ok_or_else(|| Error::gone("The workbook has lost a sheet. Register it again."))?;
    let mut book = workbook(file)?;
    let read = || sheet::read(&mut book, name);
    let batch = Arc::new(guarded(read).unwrap_or_else(|| Err(damaged(&"it contradicts itself")))?);
    if let Some(stamp) = stamp {
        SCHEMAS.insert((stamp, number), batch.schema());
        SHEETS.insert((stamp, number), batch.clone());
    }
    Ok(batch)
}

#[async_trait]
impl Dataset for Book {
    fn structure(&self) -> Structure {
        Structure::Container(ContainerStructure { keys: self.contents.sheets.to_vec() })
    }

    async fn read(&self, _: &Selection) -> Result<Data> {
        Err(Error::unsupported("A workbook is not read as one. Read its sheets."))
    }

    async fn keys(&self) -> Result<Vec<String>> {
        Ok(self.contents.sheets.to_vec())
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let Some(number) = self.contents.sheets.iter().position(|name| name == key) else { return Ok(None) };
        let schema = self.schema(number).await?;
        Ok(Some(Arc::new(Sheet { book: self.clone(), number, structure: TableStructure::new(schema, 1) })))
    }
}

/// A sheet, which is read when somebody wants its cells.
struct Sheet {
    book: Book,
    number: usize,
    structure: TableStructure,
}

impl Sheet {
    async fn table(&self) -> Result<Arc<dyn Dataset>> {
        let source = DataSource {
            id: None,
            structure: self.structure(),
            mimetype: MEDIA_TYPE.to_owned(),
            parameters: Default::default(),
            properties: Default::default(),
            management: Management::External,
            assets: vec![Asset {
                data_uri: self.book.location.uri(),
                is_directory: false,
                size: None,
                parameter: Some("data_uri".to_owned()),
                num: None,
                id: None,
            }],
        };
        let loaded = self.book.load(self.number).await?;
        PartitionedTable::open(Arc::new(loaded), &source, &self.book.places).await
    }
}

#[async_trait]
impl Dataset for Sheet {
    fn structure(&self) -> Structure {
        Structure::Table(self.structure.clone())
    }

    fn specs(&self) -> Vec<Spec> {
        vec![Spec { name: "dataframe".to_owned(), version: None }]
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        self.table().await?.read(selection).await
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        if self.structure.schema().field_with_name(key).is_err() {
            return Ok(None);
        }
        self.table().await?.child(key).await
    }
}

/// The cells of a sheet, whatever file is given.
struct Loaded {
    batch: Arc<RecordBatch>,
    /// Where they are; nothing for those that are kept anyway.
    _room: Option<Room>,
}

impl TableFile for Loaded {
    fn extension(&self) -> &'static str {
        "xlsx"
    }

    fn check(&self, _: &Schema) -> Result<()> {
        Ok(())
    }

    fn read(&self, _: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)> {
        let places = wanted.fields().iter().filter_map(|field| self.batch.schema_ref().index_of(field.name()).ok());
        let batch = self.batch.project(&places.collect::<Vec<_>>());
        let batch = batch.internal(|| "choosing the columns of a sheet".into())?;
        let all = batch.num_rows();
        let rows = rows.map_or(0..all, |rows| (rows.start as usize).min(all)..(rows.end.min(all as u64) as usize));
        let batch = batch.slice(rows.start, rows.len());
        Ok((batch.schema(), Box::new(std::iter::once(Ok(batch)))))
    }

    fn keeps_metadata(&self) -> bool {
        false
    }

    fn rows(&self, _: File) -> Result<u64> {
        Ok(self.batch.num_rows() as u64)
    }

    fn write(&self, _: Draft, _: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>> {
        Err(Error::unsupported("Registered files are never written."))
    }
}

#[cfg(test)]
mod tests;
