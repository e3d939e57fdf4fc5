//! The words of girih: what a node, a structure, a slice, a query and an error are.
//!
//! No IO, no HTTP, no SQL. Every other crate speaks in these types; `wire` is the one module that
//! knows how they look in the JSON of requests and replies, and only server and client import it.

pub mod data;
pub mod dtype;
pub mod error;
pub mod event;
pub mod filter;
pub mod json;
pub mod node;
pub mod path;
pub mod query;
pub mod selection;
pub mod slice;
pub mod structure;
pub mod wire;

pub use data::{ArrayData, ByteStream, Data, TableData, TreeData, TreeEntry};
pub use dtype::DType;
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use filter::Filter;
pub use json::Json;
pub use node::{Asset, DataSource, Management, Node, NodeId, Spec};
pub use path::NodePath;
pub use selection::{Part, Selection};
pub use slice::Slice;
pub use structure::{ArrayStructure, Family, Structure, TableStructure};
