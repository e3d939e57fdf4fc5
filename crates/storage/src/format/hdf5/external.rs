//! Items that lie raw in other files (HDF5 File Format Specification, IV.A.2.h): one stretch after another.

use std::fs::File;
use std::os::unix::fs::FileExt;

use girih_model::{Error, Result};
use hdf5_reader::Hdf5File;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::external_files::ExternalFilesMessage;

use super::storage::damaged;
use crate::place::{Location, Places};

/// Part of a file.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// As the dataset calls the file.
    name: String,
    offset: u64,
    /// As large as it may be, for the last.
    size: u64,
}

pub(super) fn stretches(file: &Hdf5File, message: &ExternalFilesMessage) -> Result<Vec<Stretch>> {
    let (storage, superblock) = (file.storage(), file.superblock());
    let (offset, length) = (superblock.offset_size, superblock.length_size);
    let heap = LocalHeap::parse_at_storage(storage, message.heap_address, offset, length).map_err(damaged)?;
    let stretches = message.slots.iter().map(|slot| {
        let name = heap.get_string_storage(slot.name_offset, storage).map_err(damaged)?;
        Ok(Stretch { name, offset: slot.offset, size: slot.size })
    });
    stretches.collect()
}

/// Where the files are: by their absolute paths, or beside the one that names them.
///
/// # Errors
/// `Gone` when one is not there, or lies where nothing may be read.
pub(super) fn locate(stretches: &[Stretch], file: &Location, places: &Places) -> Result<Vec<Location>> {
    let locate = |stretch: &Stretch| {
        let found = places.beside(file, &stretch.name).and_then(|found| found.open_file().map(|_| found));
        found.map_err(|e| {
            Error::gone(format!("The dataset lies in the file {:?}, which cannot be read here.", stretch.name))
                .with_source(e)
        })
    };
    stretches.iter().map(locate).collect()
}

/// The bytes from `start` on. What a file does not have are zeros, as in the library.
pub(super) fn read(stretches: &[Stretch], files: &[Location], mut start: u64, mut to: &mut [u8]) -> Result<()> {
    for (stretch, file) in stretches.iter().zip(files) {
        if to.is_empty() {
            break;
        }
        if start >= stretch.size {
            start -= stretch.size;
            continue;
        }
        let len = (to.len() as u64).min(stretch.size - start) as usize;
        let (part, rest) = to.split_at_mut(len);
        fill(&file.open_file()?, stretch.offset.saturating_add(start), part)?;
        (to, start) = (rest, 0);
    }
    if to.is_empty() { Ok(()) } else { Err(damaged("a dataset is longer than the files that it lies in")) }
}

fn fill(file: &File, mut at: u64, mut to: &mut [u8]) -> Result<()> {
    while !to.is_empty() {
        let read = file.read_at(to, at).map_err(damaged)?;
        if read == 0 {
            to.fill(0);
            break;
        }
        at += read as u64;
        to = &mut to[read..];
    }
    Ok(())
}
