//! Pages and their figures, from plain values: what an experiment says as one file that needs nothing else.

mod figures;
mod page;

pub use figures::{figures, lines};
pub use page::page;
