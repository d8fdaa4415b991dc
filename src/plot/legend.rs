//! Which look belongs to which name, in columns below the plot; what does not fit is counted.

use super::frame::{LINE, MARGIN, ROOM, SMALL};
use super::style;
use super::svg::{Area, Point, Svg, Words};
use super::text;
use super::theme::Ink;

/// Most rows of a legend.
const ROWS: usize = 6;
/// Widest name.
const NAME: f64 = 400.0;
/// Room that the count of what is left out needs.
const REST: f64 = 100.0;
/// Room of the sample before a name, and of the gap behind it.
const SAMPLE: f64 = 44.0;
const GAP: f64 = 22.0;

/// What a sample shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// A line with its marker.
    Line,
    /// A marker.
    Dot,
    /// A bar.
    Bar,
}

/// Draws the legend of the names, whose place is the number of their look; gives the place below it.
pub(super) fn draw(svg: &mut Svg, names: &[String], sample: Sample, top: f64) -> f64 {
    if names.iter().all(String::is_empty) {
        return top;
    }
    let widths = names.iter().map(|name| text::width(name, SMALL));
    let column = widths.fold(0.0, f64::max).clamp(REST, NAME) + SAMPLE + GAP;
    let columns = ((ROOM + GAP) / column).floor().max(1.0) as usize;
    let shown = shown(names.len(), columns);
    for (number, name) in names.iter().take(shown).enumerate() {
        let at = cell(number, columns, column, top);
        draw_sample(svg, number, sample, at);
        let short = text::shortened(name, SMALL, NAME);
        let place = (at.0 + SAMPLE, at.1 + 5.0);
        svg.words(Words::new(&short, place, SMALL).full(name));
    }
    let mut cells = shown;
    if shown < names.len() {
        let rest = format!("… and {} more", names.len() - shown);
        let at = cell(shown, columns, column, top);
        let words = Words::new(&rest, (at.0 + SAMPLE, at.1 + 5.0), SMALL);
        svg.words(words.ink(Ink::Soft).full(&names[shown..].join(", ")));
        cells += 1;
    }
    top + cells.div_ceil(columns) as f64 * LINE + 8.0
}

fn shown(names: usize, columns: usize) -> usize {
    let most = columns * ROWS;
    if names <= most { names } else { most - 1 }
}

fn cell(number: usize, columns: usize, column: f64, top: f64) -> Point {
    let (row, place) = (number / columns, number % columns);
    (
        MARGIN + place as f64 * column,
        top + row as f64 * LINE + LINE / 2.0,
    )
}

fn draw_sample(svg: &mut Svg, number: usize, sample: Sample, at: Point) {
    let centre = (at.0 + 17.0, at.1);
    match sample {
        Sample::Line => {
            svg.line(at, (at.0 + 34.0, at.1), style::stroke(number));
            style::marker(svg, number, centre, 4.5, "");
        }
        Sample::Dot => style::marker(svg, number, centre, 4.5, ""),
        Sample::Bar => {
            let area = Area {
                left: at.0 + 4.0,
                top: at.1 - 6.0,
                width: 30.0,
                height: 12.0,
            };
            svg.rect(area, Ink::Series(number), "");
            style::marker(svg, number, (at.0 + 34.0, at.1), 4.5, "");
        }
    }
}
