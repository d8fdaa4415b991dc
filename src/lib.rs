//! Vivarium: a server for research on model organisms of emergent misalignment.
pub mod domain;
pub mod execution;
