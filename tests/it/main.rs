//! The one integration binary: a module for each part, one start of the database for all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod analyses;
mod architecture;
mod bad_input;
mod edge;
mod engine_adapter;
mod engine_families;
mod engine_model;
mod engine_weights;
mod hub;
mod jobs;
mod judging;
mod kill;
mod killed;
mod labelled;
mod openai;
mod organisms;
mod parity;
mod queries;
mod queue;
mod registry;
mod rejudging;
mod statistics;
mod steering;
mod storage;
mod support;
