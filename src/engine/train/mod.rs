//! Training: examples to passes, loss, gradients, updates, norms, files. Knows no job and no clock.

pub mod batch;
pub mod schedule;
