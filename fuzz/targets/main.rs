//! Fuzz targets: whatever comes in from outside, nothing may panic, abort, take for ever or fill the memory, and
//! what is refused is the caller's fault. Each target is a test that runs for a short time, and for as long as
//! wanted under a real fuzzer; see `docs/how-to/fuzz.md`.

mod bodies;
mod edits;
mod files;
mod limits;
mod query;
mod requests;
mod slice;
mod structure;
