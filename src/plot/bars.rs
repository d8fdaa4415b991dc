//! Lying bars in groups, with whiskers and the numbers beside them.

use super::axis::Axis;
use super::frame::{self, BELOW, Frame, MARGIN, SMALL};
use super::legend::{self, Sample};
use super::style;
use super::svg::{Anchor, Area, Stroke, Svg, WIDTH, Words};
use super::table::{Table, optional};
use super::text;
use super::theme::Ink;

/// Height of a bar with its space, and space between groups.
const BAR: f64 = 20.0;
const BETWEEN: f64 = 16.0;
/// Widest column of names, and height of a line of it.
const NAMES: f64 = 330.0;
const NAME_LINE: f64 = 17.0;
/// Size of the numbers at the right.
const NUMBERS: f64 = 13.0;

/// Groups of bars on one axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bars {
    pub x: Axis,
    /// Names of the bars of a group; a bar's look is its name's place here.
    pub names: Vec<String>,
    pub groups: Vec<Group>,
    /// Heads of the columns: group, bar, value.
    pub columns: [&'static str; 3],
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub name: String,
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub look: usize,
    pub value: Option<f64>,
    pub band: Option<[f64; 2]>,
    pub count: u64,
    pub of: u64,
    /// What stands at the right.
    pub words: String,
}

impl Bars {
    /// Draws the bars and the legend; gives the place below.
    pub fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let names = self
            .groups
            .iter()
            .map(|group| text::width(&group.name, SMALL));
        let names = names.fold(40.0, f64::max).min(NAMES);
        let numbers = self.groups.iter().flat_map(|group| &group.bars);
        let numbers = numbers
            .map(|bar| text::width(&bar.words, NUMBERS))
            .fold(20.0, f64::max);
        let height: f64 = self.groups.iter().map(|group| group.height(names)).sum();
        let area = Area {
            left: MARGIN + names + 12.0,
            top: top + 8.0,
            width: WIDTH - 2.0 * MARGIN - names - numbers - 24.0,
            height: height.max(60.0),
        };
        let rows = Axis::bare("");
        let frame = Frame {
            area,
            x: &self.x,
            y: &rows,
        };
        frame.draw(svg);
        if self.groups.is_empty() {
            frame::nothing(svg, area, "nothing recorded");
        }
        let mut row = area.top;
        for group in &self.groups {
            group.draw(svg, &frame, row, names);
            row += group.height(names);
        }
        let below = area.bottom() + BELOW + 6.0;
        if self.names.len() < 2 {
            return below;
        }
        legend::draw(svg, &self.names, Sample::Bar, below)
    }

    /// Every bar that is drawn.
    pub fn table(&self) -> Table {
        let [group, bar, value] = self.columns;
        let mut table = Table::new(&[group, bar, value, "lower", "upper", "count", "answers"]);
        for group in &self.groups {
            for bar in &group.bars {
                table.push(vec![
                    group.name.clone(),
                    self.names.get(bar.look).cloned().unwrap_or_default(),
                    optional(bar.value),
                    optional(bar.band.map(|band| band[0])),
                    optional(bar.band.map(|band| band[1])),
                    bar.count.to_string(),
                    bar.of.to_string(),
                ]);
            }
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        let mut bars = self.groups.iter().flat_map(|group| &group.bars);
        bars.all(|bar| bar.value.is_none())
    }
}

impl Group {
    /// The name on at most two lines.
    fn lines(&self, room: f64) -> Vec<String> {
        let mut lines = text::lines(&self.name, SMALL, room);
        if lines.len() > 2 {
            let rest = lines[1..].join(" ");
            lines.truncate(1);
            lines.push(text::shortened(&rest, SMALL, room));
        }
        lines
    }

    fn height(&self, names: f64) -> f64 {
        let bars = self.bars.len().max(1) as f64 * BAR;
        let words = self.lines(names).len() as f64 * NAME_LINE;
        bars.max(words) + BETWEEN
    }

    fn draw(&self, svg: &mut Svg, frame: &Frame, top: f64, names: f64) {
        let lines = self.lines(names);
        let middle = top + self.height(names) / 2.0;
        let first = middle - (lines.len() as f64 - 1.0) * NAME_LINE / 2.0 + 5.0;
        for (place, line) in lines.iter().enumerate() {
            let at = (frame.area.left - 10.0, first + place as f64 * NAME_LINE);
            let words = Words::new(line, at, SMALL).anchor(Anchor::End);
            svg.words(words.full(if line.ends_with('…') {
                &self.name
            } else {
                line
            }));
        }
        let first = middle - (self.bars.len() as f64 - 1.0) * BAR / 2.0;
        for (place, bar) in self.bars.iter().enumerate() {
            bar.draw(svg, frame, first + place as f64 * BAR);
        }
    }
}

impl Bar {
    fn draw(&self, svg: &mut Svg, frame: &Frame, middle: f64) {
        if let Some(value) = self.value {
            let end = frame.across(value);
            let area = Area {
                left: frame.area.left,
                top: middle - 7.0,
                width: end - frame.area.left,
                height: 14.0,
            };
            svg.rect(area, Ink::Series(self.look), "");
            self.draw_whisker(svg, frame, middle);
            style::marker(svg, self.look, (end, middle), 4.5, "");
        }
        let at = (frame.area.right() + 12.0, middle + 4.5);
        svg.words(Words::new(&self.words, at, NUMBERS).ink(Ink::Soft));
    }

    fn draw_whisker(&self, svg: &mut Svg, frame: &Frame, middle: f64) {
        let Some([low, high]) = self.band.map(|band| band.map(|end| frame.across(end))) else {
            return;
        };
        for (ink, width) in [(Ink::Paper, 4.0), (Ink::Text, 1.5)] {
            let stroke = Stroke::whole(ink, width);
            svg.line((low, middle), (high, middle), stroke);
            for x in [low, high] {
                svg.line((x, middle - 4.0), (x, middle + 4.0), stroke);
            }
        }
    }
}
