//! Tables as one file per partition: what all formats of that kind share.
//!
//! A partition without a file has no rows. A file is always replaced as a whole, so readers see the
//! old rows or the new ones.

pub(crate) mod column;
pub(crate) mod encode;
pub(crate) mod fit;
pub(crate) mod index;
mod inspect;
mod write;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use girih_model::structure::table::ArrowSchema;
use girih_model::{
    Asset, Data, DataSource, Error, Management, Part as Selected, Result, ResultExt, Selection, Structure, TableData,
    TableStructure,
};

use crate::dataset::{Dataset, Write};
use crate::place::file::Identity;
use crate::place::{Draft, Location, Places};
use crate::pool::{self, blocking};
use encode::{BatchWriter, MAX_ROWS};
use fit::Fit;
use index::RowIndex;
pub(crate) use inspect::{inspect, structure_of};

/// Each partition is a file, and an entry in the catalog.
const MAX_PARTITIONS: u64 = 100_000;
/// Tables of so many bytes are read without waiting for those who read larger ones.
const SMALL: u64 = 1 << 20;

pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A file format that holds one table.
pub(crate) trait TableFile: Send + Sync + 'static {
    fn extension(&self) -> &'static str;

    /// Refuses a schema with types that the format does not have.
    fn check(&self, schema: &Schema) -> Result<()>;

    /// The columns of `wanted`, in any order, of the rows in `rows`, with the types that the file says; those of
    /// `wanted` if it does not say any.
    fn read(&self, file: File, wanted: &SchemaRef, rows: Option<Range<u64>>) -> Result<(SchemaRef, Batches)>;

    /// Whether files carry the schema's metadata, and with it the description of the row index.
    fn keeps_metadata(&self) -> bool {
        true
    }

    /// What the file says of its columns; nothing if it keeps no metadata.
    fn schema(&self, _file: File) -> Result<SchemaRef> {
        Ok(Arc::new(Schema::empty()))
    }

    /// Number of rows.
    fn rows(&self, file: File) -> Result<u64>;

    /// Whether a column has missing values, if that can be told without reading it.
    fn has_nulls(&self, _file: File, _column: &str) -> Result<Option<bool>> {
        Ok(None)
    }

    fn write(&self, draft: Draft, schema: SchemaRef) -> Result<Box<dyn BatchWriter<Draft>>>;

    /// Begins a file with the rows of an old one, if that takes less than reading and writing them; `None` if it
    /// cannot be done for this file.
    fn extend(&self, _old: File, _draft: Draft, _schema: &SchemaRef) -> Result<Option<Box<dyn BatchWriter<Draft>>>> {
        Ok(None)
    }
}

/// A partition.
#[derive(Clone)]
pub(crate) struct Part {
    pub location: Location,
    pub format: Arc<dyn TableFile>,
}

impl Part {
    fn read(&self, schema: &SchemaRef, rows: Option<Range<u64>>) -> Result<Batches> {
        read_file(&*self.format, &self.location, schema, rows)
    }

    /// Says which file it was.
    fn context(&self, e: Error) -> Error {
        e.context(format!("reading {}", self.location.absolute().display()))
    }
}

/// A data source of such files.
pub(crate) struct PartitionedTable {
    parts: Vec<Part>,
    structure: TableStructure,
    /// Where we keep the files; `None` for those of others, which are never written.
    home: Option<Home>,
}

/// The directory of a table that we keep.
struct Home {
    directory: Location,
    /// Which directory it was when the table was opened.
    identity: Identity,
}

/// Makes room for a table: the directory is there, the files come with the first write.
pub(crate) fn create(format: &dyn TableFile, location: &Location, structure: &Structure) -> Result<Vec<Asset>> {
    let Structure::Table(structure) = structure else {
        return Err(Error::unprocessable("Only tables are stored in partitions."));
    };
    structure.check()?;
    if structure.npartitions > MAX_PARTITIONS {
        return Err(Error::unprocessable(format!(
            "This table would have {} partitions; at most {MAX_PARTITIONS} are supported.",
            structure.npartitions
        )));
    }
    format.check(structure.schema())?;
    (0..structure.npartitions)
        .map(|n| {
            Ok(Asset {
                data_uri: location.child(&format!("partition-{n}.{}", format.extension()))?.uri(),
                is_directory: false,
                size: None,
                parameter: Some("data_uris".into()),
                num: Some(n),
                id: None,
            })
        })
        .collect()
}

impl PartitionedTable {
    pub(crate) async fn open(
        format: Arc<dyn TableFile>,
        source: &DataSource,
        places: &Places,
    ) -> Result<Arc<dyn Dataset>> {
        let Structure::Table(structure) = &source.structure else {
            return Err(Error::unprocessable("Only tables are stored in partitions."));
        };
        let mut assets: Vec<&Asset> = source.assets.iter().collect();
        assets.sort_by_key(|asset| asset.num);
        if assets.len() as u64 != structure.npartitions {
            return Err(Error::unprocessable(format!(
                "This table has {} partitions, but {} files are registered for it.",
                structure.npartitions,
                assets.len()
            )));
        }
        let files: Vec<Location> = assets.iter().map(|asset| places.locate(&asset.data_uri)).collect::<Result<_>>()?;
        let home = match files.first().and_then(Location::parent) {
            Some(directory) if source.management != Management::External => {
                Some(blocking(move || Home::open(directory)).await?)
            }
            _ => None,
        };
        let parts = files.into_iter().map(|location| Part { location, format: format.clone() }).collect();
        Ok(Arc::new(Self { parts, structure: structure.clone(), home }))
    }

    /// A table of others, whose files are found already.
    pub(crate) fn of_parts(parts: Vec<Part>, structure: TableStructure) -> Arc<dyn Dataset> {
        Arc::new(Self { parts, structure, home: None })
    }

    fn part(&self, partition: u64) -> Result<&Part> {
        usize::try_from(partition).ok().and_then(|n| self.parts.get(n)).ok_or_else(|| {
            Error::malformed(format!(
                "Partition out of range: this table has {} partitions, but partition {partition} was requested.",
                self.parts.len()
            ))
        })
    }

    fn parts(&self, selection: &Selection) -> Result<Vec<Part>> {
        match selection.part {
            _ if !selection.slice.is_all() => {
                Err(Error::unprocessable("A table is not sliced. Select a partition and columns."))
            }
            Selected::Whole => Ok(self.parts.clone()),
            Selected::Partition(n) => Ok(vec![self.part(n)?.clone()]),
            Selected::Block(_) => Err(Error::unprocessable("A table has partitions, not blocks.")),
        }
    }

    /// The same file for writing, as long as the table is the one that was opened.
    async fn pinned_to_write(&self, file: &Location) -> Result<Location> {
        let home = self.home.as_ref().ok_or_else(|| Error::unsupported("Registered files are never written."))?;
        let (directory, identity, name) = (home.directory.clone(), home.identity, file.name());
        blocking(move || {
            let pinned = directory.pinned().map_err(deleted)?;
            if pinned.identity()? != identity {
                return Err(deleted(Error::internal("another directory has its name")));
            }
            pinned.child(&name)
        })
        .await
    }

    /// The schema of the selected columns, in the order in which they were asked for, and of the row index.
    /// An index column that is asked for is a column.
    fn project(&self, fields: Option<&[String]>, index: RowIndex) -> Result<SchemaRef> {
        let schema = self.structure.schema();
        let Some(wanted) = fields else { return Ok(index.attach(schema)) };
        if wanted.is_empty() {
            return Err(Error::malformed("No columns are selected. Name at least one, or leave the selection out."));
        }
        let fields = wanted.iter().map(|name| {
            let at = schema.index_of(name).map_err(|_| no_such_column(name, &self.structure))?;
            Ok(schema.fields()[at].clone())
        });
        let fields: Vec<_> = fields.collect::<Result<_>>()?;
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(index.without(|name| wanted.iter().any(|wanted| wanted == name)).attach(&schema))
    }
}

impl Home {
    fn open(directory: Location) -> Result<Self> {
        let identity = directory.identity().map_err(deleted)?;
        if let Err(e) = directory.sweep() {
            tracing::warn!("could not remove what an interrupted writer left behind: {e}");
        }
        Ok(Self { directory, identity })
    }
}

/// The same files, as long as their directory, if we keep it, is held open.
///
/// # Errors
/// `Gone` when the table has been deleted, or a registered file is missing.
fn pinned(directory: Option<Location>, mut parts: Vec<Part>) -> Result<Vec<Part>> {
    let Some(directory) = directory else {
        parts.iter().try_for_each(|part| part.location.metadata().map(drop))?;
        return Ok(parts);
    };
    let pinned = directory.pinned().map_err(deleted)?;
    for part in &mut parts {
        part.location = pinned.child(&part.location.name())?;
    }
    Ok(parts)
}

fn deleted(e: Error) -> Error {
    Error::gone("The data of this table has been deleted.").with_source(e)
}

/// The row index of all these files together: none, unless they have the same kind of index.
fn common_index(parts: &[Part], declared: &Schema) -> Result<RowIndex> {
    let index = RowIndex::of(declared);
    if index.has_columns() {
        return Ok(index);
    }
    let mut common: Option<RowIndex> = None;
    for part in parts {
        if !part.format.keeps_metadata() {
            return Ok(RowIndex::none());
        }
        let Some((index, rows)) = file_index(&*part.format, &part.location, declared)? else { continue };
        common = match common {
            _ if rows == 0 && parts.len() > 1 => continue,
            None => Some(index),
            Some(before) => before.joined(&index),
        };
        if common.as_ref().is_none_or(|index| !index.is_kept()) {
            break;
        }
    }
    Ok(common.unwrap_or_else(RowIndex::none))
}

/// The row index and the number of rows of a file.
fn file_index(format: &dyn TableFile, location: &Location, declared: &Schema) -> Result<Option<(RowIndex, u64)>> {
    let Some(file) = location.open_verified()? else { return Ok(None) };
    let again = file.try_clone().internal(|| format!("opening {} again", location.absolute().display()))?;
    let context = |e: Error| e.context(format!("reading {}", location.absolute().display()));
    let rows = format.rows(again).map_err(context)?;
    let index = RowIndex::of(&*format.schema(file).map_err(context)?);
    Ok(Some((index.without(|name| declared.index_of(name).is_ok()).of_rows(rows), rows)))
}

pub(crate) fn no_such_column(name: &str, structure: &TableStructure) -> Error {
    const SHOWN: usize = 50;
    let known = &structure.columns;
    let more = if known.len() > SHOWN { format!(" and {} more", known.len() - SHOWN) } else { String::new() };
    Error::malformed(format!(
        "No such column {name:?}. This table has the columns {:?}{more}.",
        &known[..known.len().min(SHOWN)]
    ))
}

/// The rows of one file, fitted to `schema`; none when there is no such file.
fn read_file(
    format: &dyn TableFile,
    location: &Location,
    schema: &SchemaRef,
    rows: Option<Range<u64>>,
) -> Result<Batches> {
    let Some(file) = location.open_verified()? else {
        // Nothing has been written yet; unless it has been removed with all else.
        location.parent().map_or(Ok(()), |directory| directory.identity().map(drop)).map_err(deleted)?;
        return Ok(Box::new(std::iter::empty()));
    };
    let context = |e: Error| e.context(format!("reading {}", location.absolute().display()));
    let (found, batches) = format.read(file, schema, rows).map_err(context)?;
    let mut fit = Fit::new(&found, schema).map_err(context)?;
    let location = location.clone();
    Ok(Box::new(batches.map(move |batch| {
        batch
            .and_then(|batch| fit.apply(batch))
            .map_err(|e| e.context(format!("reading {}", location.absolute().display())))
    })))
}

#[async_trait]
impl Dataset for PartitionedTable {
    fn structure(&self) -> Structure {
        Structure::Table(self.structure.clone())
    }

    async fn read(&self, selection: &Selection) -> Result<Data> {
        let parts = self.parts(selection)?;
        // What was selected is checked before any file is opened.
        self.project(selection.fields.as_deref(), RowIndex::none())?;
        let directory = self.home.as_ref().map(|home| home.directory.clone());
        let declared = self.structure.schema().clone();
        let (parts, index, is_large) = blocking(move || {
            let parts = pinned(directory, parts)?;
            let index = common_index(&parts, &declared)?;
            // One that was never written has no file.
            let bytes: u64 = parts.iter().map(|part| part.location.metadata().map_or(0, |file| file.len())).sum();
            Ok((parts, index, bytes > SMALL))
        })
        .await?;
        let schema = self.project(selection.fields.as_deref(), index)?;
        let wanted = schema.clone();
        let room = if is_large { Some(pool::TABLES.take(pool::TABLE).await?) } else { None };
        let batches = parts.into_iter().flat_map(move |part| {
            // Held until the last row, or until nobody wants more.
            let _room = &room;
            part.read(&wanted, None).unwrap_or_else(|e| Box::new(std::iter::once(Err(e))))
        });
        Ok(Data::Table(TableData { schema, batches: pool::stream(batches) }))
    }

    async fn write(&self, selection: &Selection, data: Data, mode: Write) -> Result<Structure> {
        let Data::Table(table) = data else {
            return Err(Error::unprocessable("Only tables can be written to a table."));
        };
        if selection.fields.is_some() || !selection.slice.is_all() {
            return Err(Error::unprocessable("A partition of a table is written as a whole, with all columns."));
        }
        let part = match selection.part {
            Selected::Partition(n) => self.part(n)?,
            Selected::Whole if self.parts.len() == 1 => self.part(0)?,
            Selected::Whole => {
                return Err(Error::unprocessable(format!(
                    "This table has {} partitions. Write them one by one.",
                    self.parts.len()
                )));
            }
            Selected::Block(_) => return Err(Error::unprocessable("A table has partitions, not blocks.")),
        };
        let declared = fit::refined(&table.schema, self.structure.schema());
        let schema =
            if part.format.keeps_metadata() { index::stored(&table.schema, &declared) } else { declared.clone() };
        let fit = Fit::new(&table.schema, &schema)?;
        part.format.check(&schema)?;
        let (format, location) = (part.format.clone(), &self.pinned_to_write(&part.location).await?);
        match mode {
            Write::Replace => write::replace(format, location, schema, fit, table).await?,
            Write::Append(id) => write::append(format, location, &declared, schema, fit, table, id).await?,
            Write::Extend => {
                return Err(Error::unsupported("To add rows to a table, append to one of its partitions."));
            }
        }
        let after = TableStructure { arrow_schema: ArrowSchema(declared), ..self.structure.clone() };
        Ok(Structure::Table(after))
    }

    async fn child(&self, key: &str) -> Result<Option<Arc<dyn Dataset>>> {
        let Ok(field) = self.structure.schema().field_with_name(key) else { return Ok(None) };
        let (parts, field) = (self.parts.clone(), field.clone());
        let column = blocking(move || column::Column::open(parts, field)).await?;
        Ok(Some(Arc::new(column)))
    }
}

fn write_batch<W>(writer: &mut dyn BatchWriter<W>, batch: RecordBatch) -> Result<()> {
    let rows = batch.num_rows();
    (0..rows).step_by(MAX_ROWS).try_for_each(|at| writer.write(&batch.slice(at, MAX_ROWS.min(rows - at))))
}
