//! The shape of data, family by family: what a client needs to know before it reads a byte.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, ResultExt};

pub mod array;
pub mod table;

pub use array::{ArrayStructure, Chunks};
pub use table::TableStructure;

/// Every structure family of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[serde(expecting = "the name of a structure family")]
pub enum Family {
    Array,
    Awkward,
    Bytes,
    Container,
    Ragged,
    Sparse,
    Table,
}

impl Family {
    pub const ALL: [Self; 7] =
        [Self::Array, Self::Awkward, Self::Bytes, Self::Container, Self::Ragged, Self::Sparse, Self::Table];

    pub fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Awkward => "awkward",
            Self::Bytes => "bytes",
            Self::Container => "container",
            Self::Ragged => "ragged",
            Self::Sparse => "sparse",
            Self::Table => "table",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|family| family.name()).collect();
            Error::unprocessable(format!("Unknown structure family {name:?}. Known are {}.", names.join(", ")))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Structure {
    Array(ArrayStructure),
    Table(TableStructure),
    Bytes(BytesStructure),
    Container(ContainerStructure),
}

/// A blob: nothing to know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct BytesStructure {}

/// Keys of a container whose children live inside a data source (a file), not in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(expecting = "an object")]
pub struct ContainerStructure {
    #[serde(default)]
    pub keys: Vec<String>,
}

impl Structure {
    pub fn family(&self) -> Family {
        match self {
            Self::Array(_) => Family::Array,
            Self::Table(_) => Family::Table,
            Self::Bytes(_) => Family::Bytes,
            Self::Container(_) => Family::Container,
        }
    }

    /// Reads the protocol's JSON of a structure and checks that it makes sense.
    pub fn parse(family: Family, json: &str) -> Result<Self> {
        fn read<'a, T: Deserialize<'a>>(family: Family, json: &'a str) -> Result<T> {
            serde_json::from_str(json).or_error(|e| Error::unprocessable(format!("Invalid {family} structure: {e}")))
        }
        Ok(match family {
            Family::Array => {
                let structure: ArrayStructure = read(family, json)?;
                structure.check()?;
                Self::Array(structure)
            }
            Family::Table => {
                let structure: TableStructure = read(family, json)?;
                structure.check()?;
                Self::Table(structure)
            }
            Family::Bytes => Self::Bytes(if json == "null" { BytesStructure {} } else { read(family, json)? }),
            Family::Container => {
                Self::Container(if json == "null" { ContainerStructure::default() } else { read(family, json)? })
            }
            Family::Awkward | Family::Ragged | Family::Sparse => return Err(Self::unsupported(family)),
        })
    }

    pub fn unsupported(family: Family) -> Error {
        Error::unprocessable(format!(
            "This server does not support the structure family {:?} yet. Supported are array, table, container and bytes.",
            family.name()
        ))
    }

    /// The text that the catalog keeps: as the protocol's, with long runs of equal chunks shortened.
    pub fn to_stored(&self) -> String {
        let text = match self {
            Self::Array(array) => serde_json::to_string(&array::Stored::from(array)),
            other => serde_json::to_string(other),
        };
        text.expect("a structure always serializes")
    }

    pub fn from_stored(family: Family, text: &str) -> Result<Self> {
        if family == Family::Array {
            let stored: array::Stored =
                serde_json::from_str(text).internal(|| format!("reading the stored array structure {text:?}"))?;
            return Ok(Self::Array(stored.into()));
        }
        Self::parse(family, text)
    }

    pub fn as_array(&self) -> Option<&ArrayStructure> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    pub fn as_table(&self) -> Option<&TableStructure> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }
}
