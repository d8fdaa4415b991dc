//! Experiments over HTTP: what they become, what stops them, what is refused before anything is queued.

mod killed;
mod refused;
mod report;
mod run;
mod stage;
mod whole;
