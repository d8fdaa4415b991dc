//! Vivarium: a server for research on model organisms of emergent misalignment.
#[cfg(feature = "server")]
pub mod api;
pub mod domain;
#[cfg(feature = "server")]
pub mod engine;
pub mod execution;
#[cfg(feature = "server")]
pub mod recipes;
#[cfg(feature = "server")]
pub mod storage;
