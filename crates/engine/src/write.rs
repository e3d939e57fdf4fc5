//! Data into the house.
//!
//! The order is the promise: find, access, decode and check (a bad body stops here, nothing has
//! happened), tell those who watch, store durably, record in the catalog, and only then tell the writer.

mod tell;

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt, TryStreamExt};
use girih_model::slice::Dim;
use girih_model::{
    ArrayStructure, ByteStream, Error, Family, Management, Node, NodePath, Part, Result, Selection, Slice, Structure,
};
use girih_storage::dataset::positions;
use girih_storage::pool::{INTAKE, Room};
use girih_storage::{Write, WriteId, format};
use sha2::{Digest, Sha256};

use crate::access::Permission;
use crate::engine::Mount;
use crate::find::Found;
use crate::{Caller, Engine};
use tell::Sent;

/// Bytes of a body that are taken in before anything else: those who watch get it whole, and its sender gets a turn to
/// make an array grow only when it is there.
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
        let is_long = request.content_length.is_some_and(|length| length > GATHERED as u64);
        let limit = if is_long && !takes_turns { 0 } else { GATHERED };
        let Gathered { body, whole, _rooms } = gather(request.body, limit, takes_turns || !request.persist).await?;
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
        let (selection, part, offset) = target(&structure, request.selection, request.patch, request.mode)?;
        let decoder = decoder(node.family, &request.content_type)?;
        check_length(&part, &request.content_type, request.content_length)?;
        let sent = Sent {
            mount: &mount,
            node: &node,
            part: &part,
            selection: &selection,
            offset: offset.as_deref(),
            mode: request.mode,
        };
        let dataset = match request.persist {
            true => Some(mount.open(&node).await?),
            false => None,
        };
        let told = match &whole {
            Some(whole) => {
                let (media_type, id) = (&request.content_type, key.as_ref().map(WriteKey::id));
                Some(sent.tell(media_type, whole, decoder, id).await?)
            }
            None => None,
        };
        let Some(dataset) = dataset else {
            return match told {
                Some(_) => Ok(structure),
                None => Err(Error::too_large(format!(
                    "Data that is not stored is sent to those who watch as it is, which {} bytes are too many for. Send at most {GATHERED} bytes at a time.",
                    request.content_length.map_or_else(|| "these".to_owned(), |length| length.to_string())
                ))),
            };
        };
        let data = decoder.decode(body, &part).await?;
        let id = key.as_ref().map(WriteKey::id);
        let mode = match request.mode {
            WriteMode::Replace => Write::Replace,
            WriteMode::Extend => Write::Extend,
            WriteMode::Append => Write::Append(id),
        };
        let key = key.map(|key| key.to_string());
        let written = match dataset.write(&selection, data, mode).await {
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
        };
        match (&written, told) {
            (Ok(after), None) => sent.tell_stored(after, id).await,
            (Err(e), Some(told)) => sent.tell_failure(told, e).await,
            _ => {}
        }
        written
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

/// A body, or its beginning and the rest.
struct Gathered {
    body: ByteStream,
    /// All of it, if that is all.
    whole: Option<Bytes>,
    _rooms: Vec<Room>,
}

/// Takes in the beginning of a body, up to `limit` bytes, before anything else happens. Who need not have it waits for no
/// room.
async fn gather(mut body: ByteStream, limit: usize, must: bool) -> Result<Gathered> {
    let (mut pieces, mut rooms, mut bytes) = (Vec::new(), Vec::new(), 0);
    while bytes <= limit {
        let Some(piece) = body.try_next().await? else {
            let whole = join(pieces);
            return Ok(Gathered { body: stream::iter([Ok(whole.clone())]).boxed(), whole: Some(whole), _rooms: rooms });
        };
        bytes += piece.len();
        let room = match must {
            true => Some(INTAKE.take(piece.len()).await?),
            false => INTAKE.try_take(piece.len()),
        };
        pieces.push(piece);
        match room {
            Some(room) => rooms.push(room),
            None => break,
        }
    }
    Ok(Gathered { body: stream::iter(pieces.into_iter().map(Ok)).chain(body).boxed(), whole: None, _rooms: rooms })
}

/// One body of its pieces.
fn join(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.swap_remove(0);
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

/// Where the data goes, what it must look like, and where a patch begins.
fn target(
    structure: &Structure,
    selection: Selection,
    patch: Option<ArrayPatch>,
    mode: WriteMode,
) -> Result<(Selection, Structure, Option<Vec<u64>>)> {
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
            return Ok((selection, structure.clone(), None));
        }
        other => {
            return Err(Error::unsupported(format!("Data of the family {} cannot be written.", other.family())));
        }
    };
    let is_patch = patch.is_some();
    let (selection, patch) = match patch {
        None => {
            let shape = positions(array, &selection)?.shape();
            (selection, ArrayPatch { offset: Vec::new(), shape })
        }
        Some(patch) => patched(array, patch, mode)?,
    };
    let part = ArrayStructure::new(array.dtype.clone(), patch.shape);
    part.check()?;
    Ok((selection, Structure::Array(part), is_patch.then_some(patch.offset)))
}

/// The region of a patch as a slice.
fn patched(array: &ArrayStructure, mut patch: ArrayPatch, mode: WriteMode) -> Result<(Selection, ArrayPatch)> {
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
    Ok((Selection::slice(Slice(dims)), patch))
}

pub(crate) fn decoder(family: Family, content_type: &str) -> Result<&'static dyn format::Format> {
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
