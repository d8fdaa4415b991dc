//! Figures as SVG, and as PNG where the server is built, from plain values.
//!
//! Knows how a chart is drawn so that it stays legible: axes with units, legends beside the plot, palettes that do not rest
//! on colour alone, words that do not overlap. Where numbers come from it does not know, and it reads and writes no file.

mod figure;
pub mod figures;
mod theme;

pub use figure::Figure;
pub use theme::{Theme, page_style};
