//! Vivarium: a server for research on model organisms of emergent misalignment.
pub mod domain;
#[cfg(feature = "server")]
pub mod engine;
pub mod execution;
#[cfg(feature = "server")]
pub mod recipes;
