//! Zarr directories of others, versions 2 and 3: arrays and trees of them, read where they lie.

mod array;
mod codec;
mod dtype;
mod group;
mod node;

use std::sync::Arc;

use girih_model::{Error, Result, Structure};

use crate::dataset::Dataset;
use crate::format::reshaped::reshaped;
use crate::format::{Files, Inspected};
use crate::place::{Location, Places};
use crate::pool::blocking;

/// Opens whatever is in a directory. May block.
fn open_any(directory: Location) -> Result<Arc<dyn Dataset>> {
    match node::Node::load(&directory)? {
        Some(node) => node.open(directory),
        None => Err(Error::gone(
            "The directory holds no Zarr array or group: it has neither zarr.json nor .zarray nor .zgroup.",
        )
        .context(format!("opening {}", directory.absolute().display()))),
    }
}

/// Opens a registered directory with the structure that was registered.
pub(super) async fn open(directory: Location, structure: Structure) -> Result<Arc<dyn Dataset>> {
    blocking(move || {
        let found = open_any(directory)?;
        match (&structure, found.structure()) {
            (Structure::Container(_), Structure::Container(_)) => Ok(found),
            (Structure::Array(wanted), Structure::Array(there)) => {
                let same_rank = there.shape.len() == wanted.shape.len() && there.dtype == wanted.dtype;
                // One that we or the reference have written ends with whole chunks, and one that grows has grown.
                if same_rank && there.shape != wanted.shape {
                    return Ok(array::with_shape(found, wanted.clone()));
                }
                reshaped(found, wanted)
            }
            (wanted, there) => Err(Error::unprocessable(format!(
                "The directory holds data of the family {}, but {} is registered. Register it again.",
                there.family(),
                wanted.family()
            ))),
        }
    })
    .await
}

pub(super) async fn inspect(files: &Files, places: &Places) -> Result<Inspected> {
    let directory = files.locate_one(places)?;
    let found = blocking(move || open_any(directory)).await?;
    Ok(Inspected { structure: found.structure(), metadata: found.metadata(), specs: found.specs() })
}

#[cfg(test)]
mod tests;
