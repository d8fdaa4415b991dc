//! One file per job kind: read a spec, call the engine, report, return an outcome. The loops are in sight.
//!
//! Everything blocks; time, files and interruption come from the `Context`.
