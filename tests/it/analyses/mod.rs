//! Analyses over HTTP: what is refused, what one waits for, what it computes of real runs.

mod refused;
mod served;
