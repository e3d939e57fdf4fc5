//! One file for each route, with real data behind it.

mod array;
mod asset;
mod bulk;
mod container;
mod data_source;
mod distinct;
mod metadata;
mod node;
mod register;
mod revisions;
mod search;
mod table;
mod zarr;
