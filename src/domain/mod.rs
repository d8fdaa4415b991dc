//! The words of the project as plain types and pure rules.
//!
//! Knows every noun that crosses a layer: ids, specs, files, points, answers, errors of fields. Does no IO, reads no
//! clock and draws no random number; every other module may use it and it uses none.

pub mod adapter;
pub mod address;
pub mod analysis;
pub mod analyze;
pub mod assets;
pub mod base_model;
pub mod canonical;
pub mod checkpoints;
pub mod dataset;
pub mod decode;
pub mod early_stop;
pub mod evaluation;
pub mod exchange;
pub mod experiment;
pub mod finetune;
pub mod first_token;
pub mod forecast;
pub mod geometry;
pub mod ids;
pub mod invalid;
pub mod job;
pub mod judging;
pub mod local_judge;
pub mod metric;
pub mod model_files;
pub mod modules;
pub mod nearest;
pub mod openai;
pub mod order;
pub mod page;
pub mod presets;
pub mod published_config;
pub mod published_run;
pub mod question_set;
pub mod queue;
pub mod rates;
pub mod report;
pub mod requests;
pub mod sampling;
pub mod scheduling;
pub mod series;
pub mod shapes;
pub mod statistics;
pub mod thinning;
pub mod time;
pub mod transitions;
pub mod vectors;
