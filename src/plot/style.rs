//! How a series looks: colour, marker and dash together, so that colour is never the only difference.

use super::svg::{Point, Stroke, Svg};
use super::theme::{HUES, Ink};

/// Most series that a chart draws: every pair of a colour with its marker and a dash.
pub(super) const MOST: usize = HUES * DASHES.len();

const DASHES: [&str; 6] = ["", "8 4", "2 3", "10 3 2 3", "16 5", "5 2 1 2 1 2"];

/// The line of a series.
pub(super) fn stroke(number: usize) -> Stroke {
    Stroke {
        ink: Ink::Series(number),
        width: 2.0,
        dash: DASHES[number / HUES % DASHES.len()],
    }
}

/// Draws the marker of a series: one of seven shapes, going with its colour.
pub(super) fn marker(svg: &mut Svg, number: usize, at: Point, radius: f64, hint: &str) {
    let ink = Ink::Series(number);
    let outline: &[Point] = match number % HUES {
        0 => return svg.disc(at, radius, [ink, Ink::Paper], hint),
        1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2 => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        3 => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        4 => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        5 => &CROSS,
        _ => &PLUS,
    };
    let place = |point: &Point| (at.0 + point.0 * radius, at.1 + point.1 * radius);
    let points: Vec<Point> = outline.iter().map(place).collect();
    svg.filled(&points, ink, 1.0, hint);
}

const PLUS: [Point; 12] = [
    (-0.4, -1.3),
    (0.4, -1.3),
    (0.4, -0.4),
    (1.3, -0.4),
    (1.3, 0.4),
    (0.4, 0.4),
    (0.4, 1.3),
    (-0.4, 1.3),
    (-0.4, 0.4),
    (-1.3, 0.4),
    (-1.3, -0.4),
    (-0.4, -0.4),
];

const CROSS: [Point; 12] = [
    (-1.2, -0.7),
    (-0.7, -1.2),
    (0.0, -0.5),
    (0.7, -1.2),
    (1.2, -0.7),
    (0.5, 0.0),
    (1.2, 0.7),
    (0.7, 1.2),
    (0.0, 0.5),
    (-0.7, 1.2),
    (-1.2, 0.7),
    (-0.5, 0.0),
];
