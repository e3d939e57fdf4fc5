//! The door, knocked at over real HTTP. Files mirror what is asked for.

mod access;
mod bodies;
mod ending;
mod openapi;
mod pages;
mod protocol;
mod routes;
mod sample;
mod strangers;
mod support;
