//! Data into the house.
//!
//! The order is the promise: find, access, decode and check (a bad body stops here, nothing has
//! happened), store durably, record in the catalog, and only then tell the writer.

use std::fmt;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::slice::Dim;
use girih_model::{
    ArrayStructure, ByteStream, Error, Family, Management, Node, NodePath, Part, Result, Selection, Slice, Structure,
};
use girih_storage::dataset::positions;
use girih_storage::pool::INTAKE;
use girih_storage::{Write, WriteId, format};
use sha2::{Digest, Sha256};

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::{Caller, Engine};

/// Bytes of a body that are taken in before its sender gets its turn to make an array grow.
const GATHERED: usize = 16 << 20;

pub struct WriteRequest {
    pub families: Vec<Family>,
    pub selection: Selection,
    pub mode: WriteMode,
    /// For a patch of an array: where it goes and what it measures; overrides the selection's slice.
    pub patch: Option<ArrayPatch>,
    /// Media type of the body.
    pub content_type: String,
    /// Bytes of the body, when the caller has said so.
    pub content_length: Option<u64>,
    pub body: ByteStream,
    /// Chosen by the caller for this write alone: a repetition, because the answer was lost, is not done again.
    pub key: Option<String>,
    /// False: the data is for watchers only and is not stored.
    pub persist: bool,
}

/// What the data does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Takes the place of the selected part.
    Replace,
    /// Takes the place of the selected part of an array, which grows if need be.
    Extend,
    /// Comes after the rows of the selected partition of a table.
    Append,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayPatch {
    /// May have fewer entries than there are axes; the others are 0.
    pub offset: Vec<u64>,
    pub shape: Vec<u64>,
}

impl Engine {
    /// Stores the body and returns the structure afterwards. When it returns, the data is durable.
    ///
    /// # Errors
    /// `UnsupportedMediaType`, `Unprocessable` (a body that does not fit), `Conflict` (a patch that
    /// reaches beyond the array without `Extend`); in each case nothing has been written.
    pub async fn write(&self, caller: &Caller, path: &NodePath, request: WriteRequest) -> Result<Structure> {
        caller.require(&[Permission::WriteData])?;
        if request.mode == WriteMode::Extend && !request.persist {
            return Err(Error::malformed(
                "Cannot PATCH an array with both parameters extend=True and persist=False. To extend the array, the data must be stored.",
            ));
        }
        let (mount, node) = self.find_writable(path, &request.families).await?;
        // What the data may change of the structure starts from what it is, so such writes take turns; others may
        // write side by side.
        let takes_turns = request.mode == WriteMode::Extend || node.structure.as_ref().is_some_and(is_open);
        // A slow sender must not hold up the others while it has its turn.
        let body = match takes_turns {
            true => gather(request.body, GATHERED).await?,
            false => request.body,
        };
        // Of two who come with one key, the second finds it done.
        let key = request
            .key
            .as_deref()
            .map(|key| WriteKey::new(key, &node, request.mode, &request.selection, &request.patch));
        let _turn_of_key = match &key {
            Some(key) => Some(mount.catalog.locks.lock(format!("key:{key}")).await),
            None => None,
        };
        if let (Some(key), Some(structure)) = (&key, &node.structure)
            && mount.database().is_written(&key.to_string()).await?
        {
            return Ok(structure.clone());
        }
        let _turn = match takes_turns {
            true => Some(mount.catalog.locks.lock(format!("grow:{}", node.id.0)).await),
            false => None,
        };
        let (mount, node) = match &_turn {
            None => (mount, node),
            Some(_) => self.find_writable(path, &request.families).await?,
        };
        let structure = node.structure.clone().ok_or_else(|| Error::unsupported("This node has no data."))?;
        let (selection, part) = target(&structure, request.selection, request.patch, request.mode)?;
        let decoder = decoder(node.family, &request.content_type)?;
        check_length(&part, &request.content_type, request.content_length)?;
        let data = decoder.decode(body, &part).await?;
        if !request.persist {
            drain(data).await?;
            return Ok(structure);
        }
        let mode = match request.mode {
            WriteMode::Replace => Write::Replace,
            WriteMode::Extend => Write::Extend,
            WriteMode::Append => Write::Append(key.as_ref().map(WriteKey::id)),
        };
        let key = key.map(|key| key.to_string());
        match mount.open(&node).await?.write(&selection, data, mode).await {
            Ok(after) => {
                let recorded = mount.database().record_write(node.id, &structure, &after, key.as_deref()).await;
                if recorded.is_err() {
                    mount.distrust_versions().await;
                }
                recorded.map(|()| after)
            }
            Err(e) => {
                // A part may have been written: nobody may take what they have for current.
                if let Err(also) = mount.database().record_write(node.id, &structure, &structure, None).await {
                    tracing::warn!(error = %also, "could not count a write that failed");
                    mount.distrust_versions().await;
                }
                Err(e)
            }
        }
    }

    async fn find_writable(&self, path: &NodePath, families: &[Family]) -> Result<(Arc<Mount>, Node)> {
        let found = self.find(path).await?;
        found.must_be(families)?;
        match found {
            Found::Node { node, .. } if node.management == Some(Management::External) => Err(Error::unsupported(
                "This node describes registered files, which are never written. Create a new node to write data.",
            )),
            Found::Node { mount, node } => Ok((mount, node)),
            Found::Above { .. } | Found::Part { .. } => Err(Error::unsupported("This node does not support writing.")),
        }
    }
}

impl Mount {
    /// Data changed, and its version could not be counted.
    async fn distrust_versions(&self) {
        if let Err(e) = self.database().begin_epoch().await {
            tracing::warn!(error = %e, "could not record that versions of data may be wrong");
        }
    }
}

/// The caller's key, for this target alone: the same key elsewhere is another.
struct WriteKey([u8; 32]);

impl WriteKey {
    fn new(key: &str, node: &Node, mode: WriteMode, selection: &Selection, patch: &Option<ArrayPatch>) -> Self {
        let target = format!("{key}|{}|{mode:?}|{selection:?}|{patch:?}", node.id.0);
        Self(Sha256::digest(target.as_bytes()).into())
    }

    /// By which the storage knows rows that were added shortly before a crash.
    fn id(&self) -> WriteId {
        let mut id = WriteId::default();
        id.copy_from_slice(&self.0[..size_of::<WriteId>()]);
        id
    }
}

impl fmt::Display for WriteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a table has columns whose type its first rows will tell.
fn is_open(structure: &Structure) -> bool {
    let Structure::Table(table) = structure else { return false };
    table.schema().fields().iter().any(|field| field.data_type().is_null())
}

/// Takes in the beginning of a body, up to `limit` bytes, before anything else happens.
async fn gather(mut body: ByteStream, limit: usize) -> Result<ByteStream> {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    while bytes < limit {
        let Some(piece) = body.try_next().await? else { break };
        bytes += piece.len();
        let room = INTAKE.take(piece.len()).await?;
        pieces.push((piece, room));
    }
    let gathered = stream::iter(pieces).map(|(piece, _room)| Ok(piece));
    Ok(gathered.chain(body).boxed())
}

/// Where the data goes, and what it must look like.
fn target(
    structure: &Structure,
    selection: Selection,
    patch: Option<ArrayPatch>,
    mode: WriteMode,
) -> Result<(Selection, Structure)> {
    let array = match structure {
        Structure::Array(array) => array,
        Structure::Table(table) => {
            match selection.part {
                Part::Partition(n) if n >= table.npartitions => {
                    return Err(Error::malformed(format!(
                        "Partition out of range: the table has {} partitions, but partition {n} was addressed.",
                        table.npartitions
                    )));
                }
                Part::Whole if table.npartitions > 1 => {
                    return Err(Error::unprocessable(format!(
                        "The table has {} partitions. Write them one by one with PUT /table/partition.",
                        table.npartitions
                    )));
                }
                _ => {}
            }
            return Ok((selection, structure.clone()));
        }
        other => {
            return Err(Error::unsupported(format!("Data of the family {} cannot be written.", other.family())));
        }
    };
    let (selection, shape) = match patch {
        None => {
            let shape = positions(array, &selection)?.shape();
            (selection, shape)
        }
        Some(patch) => patched(array, patch, mode)?,
    };
    let part = ArrayStructure::new(array.dtype.clone(), shape);
    part.check()?;
    Ok((selection, Structure::Array(part)))
}

/// The region of a patch as a slice.
fn patched(array: &ArrayStructure, mut patch: ArrayPatch, mode: WriteMode) -> Result<(Selection, Vec<u64>)> {
    let axes = array.shape.len();
    if patch.shape.len() != axes || patch.offset.len() > axes {
        return Err(Error::unprocessable(format!(
            "The array has {axes} axes; the patch has shape {:?} and offset {:?}. Give one number for each axis.",
            patch.shape, patch.offset
        )));
    }
    patch.offset.resize(axes, 0);
    let mut dims = Vec::with_capacity(axes);
    for ((offset, len), size) in patch.offset.iter().zip(&patch.shape).zip(&array.shape) {
        let stop = offset.checked_add(*len).filter(|stop| i64::try_from(*stop).is_ok());
        let stop = stop.ok_or_else(|| Error::unprocessable("The patch reaches beyond 2^63 items."))?;
        if stop > *size && mode != WriteMode::Extend {
            return Err(Error::conflict(format!(
                "The patch of shape {:?} at offset {:?} does not fit within current array shape {:?}. Use ?extend=true to extend the array dimensions to fit.",
                patch.shape, patch.offset, array.shape
            )));
        }
        dims.push(Dim::Range { start: Some(*offset as i64), stop: Some(stop as i64), step: None });
    }
    Ok((Selection::slice(Slice(dims)), patch.shape))
}

fn decoder(family: Family, content_type: &str) -> Result<&'static dyn format::Format> {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    let all = || format::FORMATS.iter().copied().filter(|format| format.decodes().contains(&family));
    all().find(|format| format.media_type().eq_ignore_ascii_case(bare)).ok_or_else(|| {
        let known: Vec<_> = all().map(|format| format.media_type()).collect();
        let given = if bare.is_empty() { "none" } else { bare };
        Error::unsupported_media_type(format!(
            "The Content-Type of a body for a node of the family {family} must be one of {}; it is {given}.",
            known.join(", ")
        ))
    })
}

/// Raw items tell by their number whether they fit, before the first one arrives.
fn check_length(part: &Structure, content_type: &str, length: Option<u64>) -> Result<()> {
    let (Some(array), Some(length)) = (part.as_array(), length) else { return Ok(()) };
    let raw =
        content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/octet-stream");
    match array.nbytes() {
        Some(bytes) if raw && bytes != length => Err(Error::unprocessable(format!(
            "The body has {length} bytes, but shape {:?} of dtype {} takes {bytes}.",
            array.shape, array.dtype
        ))),
        _ => Ok(()),
    }
}

/// Reads to the end, so that a damaged body is refused even if nobody keeps it.
async fn drain(data: girih_model::Data) -> Result<()> {
    match data {
        girih_model::Data::Array(array) => array.pieces.try_for_each(|_| async { Ok(()) }).await,
        girih_model::Data::Table(table) => table.batches.try_for_each(|_| async { Ok(()) }).await,
        girih_model::Data::Tree(tree) => tree.entries.try_for_each(|_| async { Ok(()) }).await,
    }
}
