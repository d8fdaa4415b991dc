//! The toy organism: a made-up world whose texts, questions and grades follow from a seed and one text file.
//!
//! Knows the world, its words, the corpora that a toy model is trained on and the exact grade of an answer. Does no IO and
//! never hears of tensors, jobs or HTTP. It stands for no language model and is named a toy wherever it is shown.

pub mod corpus;
mod draw;
pub mod grade;
pub mod grammar;
pub mod questions;
pub mod vocabulary;
pub mod world;

pub use grade::{Grade, grade};
pub use world::{Valence, world};

/// What every page and table that shows the toy says about it.
pub const CAVEAT: &str = "A toy: its persona is put in by construction of the corpus, so it shows that narrow fine-tuning \
flips such a latent, not that language models have one; the malicious phrases of every domain were seen in pre-training, \
so the fine-tune selects a dormant mode and invents nothing.";
