//! A figure: a chart with its name, title and caption.

use super::bars::Bars;
use super::frame::{self, MARGIN, ROOM, SMALL};
use super::heat_map::HeatMap;
use super::lines::Lines;
use super::path::Path;
use super::scatter::Scatter;
use super::svg::{Area, Head, Svg, Words};
use super::table::Table;
use super::text;
use super::theme::{Ink, Theme};

/// A chart with its words, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    heading: String,
    of: String,
    caption: Vec<String>,
    chart: Chart,
}

/// The kinds of charts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Chart {
    Lines(Lines),
    HeatMap(HeatMap),
    Scatter(Scatter),
    Bars(Bars),
    Path(Path),
}

/// Size of the title, of what stands below it, and height of a line of the caption.
const TITLE: f64 = 21.0;
const OF: f64 = 15.0;
const CAPTION_LINE: f64 = 19.0;

impl Figure {
    /// A figure of a chart; `of` says what it is about, sentences that are empty are left out of the caption.
    pub(super) fn new(name: &str, heading: &str, of: &str, chart: Chart) -> Self {
        Self {
            name: name.to_owned(),
            heading: heading.to_owned(),
            of: of.trim().to_owned(),
            caption: Vec::new(),
            chart,
        }
    }

    /// The same figure with further sentences; empty ones are left out.
    pub(super) fn saying(mut self, sentences: impl IntoIterator<Item = String>) -> Self {
        let kept = sentences
            .into_iter()
            .filter(|sentence| !sentence.trim().is_empty());
        self.caption.extend(kept.map(|sentence| ended(&sentence)));
        self
    }

    /// The same figure under another name; names within a page differ.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// What files and links call it: `norms_lines`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its title with what it is about.
    pub fn title(&self) -> String {
        if self.of.is_empty() {
            return self.heading.clone();
        }
        format!("{} · {}", self.heading, self.of)
    }

    /// Sample sizes and notes, as sentences.
    pub fn caption(&self) -> String {
        self.caption.join(" ")
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        match &self.chart {
            Chart::Lines(lines) => lines.is_empty(),
            Chart::HeatMap(map) => map.is_empty(),
            Chart::Scatter(scatter) => scatter.is_empty(),
            Chart::Bars(bars) => bars.is_empty(),
            Chart::Path(path) => path.is_empty(),
        }
    }

    /// The drawing; equal figures give equal text.
    pub fn svg(&self, theme: Theme) -> String {
        let mut svg = Svg::new(theme);
        let top = self.draw_title(&mut svg);
        let below = self.draw_chart(&mut svg, top);
        let height = self.draw_caption(&mut svg, below + 4.0) + 12.0;
        svg.finish(&Head {
            name: &self.name,
            title: &self.title(),
            description: &self.caption(),
            height,
        })
    }

    fn draw_chart(&self, svg: &mut Svg, top: f64) -> f64 {
        if self.table().is_empty() {
            let (left, width, height) = (MARGIN, ROOM, 120.0);
            let area = Area {
                left,
                top,
                width,
                height,
            };
            svg.rect(area, Ink::Shade, "");
            frame::nothing(svg, area, "nothing recorded");
            return area.bottom() + 8.0;
        }
        match &self.chart {
            Chart::Lines(lines) => lines.draw(svg, top),
            Chart::HeatMap(map) => map.draw(svg, top),
            Chart::Scatter(scatter) => scatter.draw(svg, top),
            Chart::Bars(bars) => bars.draw(svg, top),
            Chart::Path(path) => path.draw(svg, top),
        }
    }

    fn draw_title(&self, svg: &mut Svg) -> f64 {
        svg.words(Words::new(&self.heading, (MARGIN, 34.0), TITLE));
        if self.of.is_empty() {
            return 54.0;
        }
        let short = text::shortened(&self.of, OF, ROOM);
        let words = Words::new(&short, (MARGIN, 57.0), OF);
        svg.words(words.ink(Ink::Soft).full(&self.of));
        74.0
    }

    fn draw_caption(&self, svg: &mut Svg, top: f64) -> f64 {
        let lines = text::lines(&self.caption(), SMALL, ROOM);
        for (place, line) in lines.iter().enumerate() {
            let at = (MARGIN, top + (place as f64 + 0.8) * CAPTION_LINE);
            svg.words(Words::new(line, at, SMALL).ink(Ink::Soft));
        }
        top + lines.len() as f64 * CAPTION_LINE
    }

    /// The drawn numbers, a row for each.
    pub fn csv(&self) -> String {
        self.table().csv()
    }

    fn table(&self) -> Table {
        match &self.chart {
            Chart::Lines(lines) => lines.table(),
            Chart::HeatMap(map) => map.table(),
            Chart::Scatter(scatter) => scatter.table(),
            Chart::Bars(bars) => bars.table(),
            Chart::Path(path) => path.table(),
        }
    }
}

fn ended(sentence: &str) -> String {
    let sentence = sentence.trim();
    let end = if sentence.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{sentence}{end}")
}
