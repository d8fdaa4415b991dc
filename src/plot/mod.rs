//! Figures as SVG, and as PNG where the server is built, from plain values.
//!
//! Knows how a chart is drawn so that it stays legible: axes with units, legends beside the plot, looks that do not rest on
//! colour alone, words that do not overlap. Where numbers come from it does not know, and it reads and writes no file.
//!
//! [`figures`] declares what each figure is made from and makes it; the other files draw.

mod axis;
mod bars;
#[cfg(test)]
mod checks;
mod figure;
pub mod figures;
mod frame;
mod grid;
mod heat_map;
mod legend;
mod lines;
mod marks;
mod path;
#[cfg(feature = "server")]
mod raster;
#[cfg(test)]
mod samples;
mod scatter;
mod style;
mod svg;
mod table;
mod text;
mod theme;
mod thin;

pub use figure::Figure;
#[cfg(feature = "server")]
pub use raster::{NoPixels, png};
pub use theme::{Theme, page_style};
