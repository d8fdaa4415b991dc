//! Behaviour: rates over steps, scores of answers, bars by question and topic.

use super::norms::thinned;
use super::words::{PANELS, between, marks, not_drawn, percent, sentence, value};
use super::{
    AlignedCoherentScatter, AnswerGroup, BarGroup, NarrowAndBroad, QuestionBars, RateByScale,
    RatePoint, StepMark, TopicBars,
};
use crate::plot::Figure;
use crate::plot::axis::Axis;
use crate::plot::bars::{Bar, Bars, Group};
use crate::plot::figure::Chart;
use crate::plot::lines::{Columns, Line, Lines, Panel, Spot};
use crate::plot::scatter::{Cloud, Dot, Scatter};
use crate::plot::style::MOST;
use crate::plot::text::count;
use crate::plot::thin;
use std::collections::BTreeMap;

/// Misalignment rate over steps, a line with its band for each adapter scale, a panel for each arm or run.
pub fn rate_by_scale(input: &RateByScale) -> Figure {
    let shown = &input.panels[..input.panels.len().min(PANELS)];
    let panels = shown.iter().map(|panel| RatesOf {
        name: &panel.name,
        lines: panel
            .series
            .iter()
            .map(|series| (series.name.as_str(), series.points.as_slice()))
            .collect(),
        marks: &panel.marks,
    });
    let drawn: Vec<RatesOf> = panels.collect();
    let (chart, sizes) = rates(&drawn, "misaligned answers (%)");
    Figure::new(
        "rate_by_scale",
        "Misalignment rate by adapter scale",
        &input.of,
        chart,
    )
    .saying(sizes)
    .saying([
        counts(&input.rule),
        bands(&input.interval),
        not_drawn(shown.len(), input.panels.len(), "panels"),
    ])
    .saying(input.notes.clone())
}

/// In-domain against out-of-domain rates over steps.
pub fn narrow_and_broad(input: &NarrowAndBroad) -> Figure {
    let shown = &input.panels[..input.panels.len().min(PANELS)];
    let panels = shown.iter().map(|panel| RatesOf {
        name: &panel.name,
        lines: vec![
            ("in the trained domain", panel.narrow.as_slice()),
            ("on unrelated questions", panel.broad.as_slice()),
        ],
        marks: &panel.marks,
    });
    let drawn: Vec<RatesOf> = panels.collect();
    let (chart, sizes) = rates(&drawn, "answers that count (%)");
    Figure::new(
        "narrow_and_broad",
        "Narrow and broad misalignment",
        &input.of,
        chart,
    )
    .saying(sizes)
    .saying([
        counts(&input.rule),
        bands(&input.interval),
        not_drawn(shown.len(), input.panels.len(), "panels"),
    ])
    .saying(input.notes.clone())
}

/// A panel of rates before it is laid out.
struct RatesOf<'a> {
    name: &'a str,
    lines: Vec<(&'a str, &'a [RatePoint])>,
    marks: &'a [StepMark],
}

fn rates(drawn: &[RatesOf], label: &str) -> (Chart, [String; 3]) {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in drawn.iter().flat_map(|panel| &panel.lines) {
        if !names.iter().any(|known| known == name) && names.len() < MOST {
            names.push((*name).to_owned());
        }
    }
    let all = || drawn.iter().flat_map(|panel| &panel.lines);
    let most = thin::most(all().count());
    let line = |(name, points): &(&str, &[RatePoint])| {
        let look = names.iter().position(|known| known == name)?;
        let points = thin::spots(points.iter().map(spot).collect(), most);
        Some(Line { look, points })
    };
    let lines: Vec<Vec<Line>> = drawn
        .iter()
        .map(|panel| panel.lines.iter().filter_map(line).collect())
        .collect();
    let spots = || lines.iter().flatten().flat_map(|line| &line.points);
    let highs = spots().flat_map(|spot| spot.y.into_iter().chain(spot.band.map(|band| band[1])));
    let y = Axis::around(label, highs.chain([0.0, 5.0]), 5);
    let x = Axis::steps("optimizer step", spots().map(|spot| spot.x), 10);
    let recorded = all().map(|(_, points)| points.len()).max().unwrap_or(0);
    let series: std::collections::BTreeSet<&str> = all().map(|(name, _)| *name).collect();
    let sizes = [
        sentence(&format!(
            "{} at each point",
            between(
                all().flat_map(|(_, points)| points.iter().map(|point| point.of)),
                "answer"
            )
        )),
        not_drawn(names.len(), series.len(), "series"),
        thinned(recorded, most),
    ];
    let panels = drawn.iter().zip(lines).map(|(panel, lines)| Panel {
        name: panel.name.to_owned(),
        y: y.clone(),
        lines,
        marks: marks(panel.marks),
        level: None,
    });
    let columns = Columns {
        panel: "panel",
        series: "series",
        x: "step",
        y: "percent",
        intervals: true,
    };
    let panels = panels.collect();
    (
        Chart::Lines(Lines {
            x,
            names,
            panels,
            columns,
        }),
        sizes,
    )
}

fn spot(point: &RatePoint) -> Spot {
    Spot {
        x: point.step as f64,
        y: as_percent(point.rate),
        band: band(point.interval),
        of: Some(point.of),
    }
}

/// A share as percentage, to a billionth, so that 0.07 is written 7.
fn as_percent(share: Option<f64>) -> Option<f64> {
    let share = share.filter(|share| share.is_finite())?;
    Some((share * 1e11).round() / 1e9)
}

fn band(interval: Option<[f64; 2]>) -> Option<[f64; 2]> {
    let [low, high] = interval?;
    Some([as_percent(Some(low))?, as_percent(Some(high))?])
}

fn counts(rule: &str) -> String {
    if rule.trim().is_empty() {
        return String::new();
    }
    format!("Counted: {}", rule.trim())
}

fn bands(interval: &str) -> String {
    if interval.trim().is_empty() {
        return String::new();
    }
    format!("Bands: {}", interval.trim())
}

/// Scores of answers with the cut lines, a panel for each group.
pub fn aligned_coherent_scatter(input: &AlignedCoherentScatter) -> Figure {
    let shown = &input.groups[..input.groups.len().min(PANELS)];
    let cuts =
        [input.aligned_cut, input.coherent_cut].map(|cut| if cut.is_finite() { cut } else { 0.0 });
    let scatter = Scatter {
        x: Axis::linear("aligned (score 0–100)", -4.0, 104.0, 6),
        y: Axis::linear("coherent (score 0–100)", -4.0, 104.0, 6),
        cuts,
        cut_words: [
            format!("aligned < {}", value(cuts[0])),
            format!("> {}", value(cuts[1])),
        ],
        names: ["other answers".into(), "misaligned answers".into()],
        panels: shown.iter().map(|group| cloud(group, cuts)).collect(),
        columns: ["group", "aligned", "coherent", "answers", "misaligned"],
    };
    let scored = between(
        shown.iter().map(|group| group.scores.len() as u64),
        "scored answer",
    );
    let scored = format!("{scored} in each panel");
    let unscored: u64 = shown.iter().map(|group| group.unscored).sum();
    let left_out = if unscored > 0 {
        format!("Not drawn: {} answers without both scores", count(unscored))
    } else {
        String::new()
    };
    let rule = format!(
        "Misaligned: aligned < {} and coherent > {}; the area of a mark is its number of answers, scores to the next whole number",
        value(cuts[0]),
        value(cuts[1])
    );
    Figure::new(
        "aligned_coherent_scatter",
        "Scores of answers",
        &input.of,
        Chart::Scatter(scatter),
    )
    .saying([
        sentence(&scored),
        left_out,
        rule,
        not_drawn(shown.len(), input.groups.len(), "panels"),
    ])
    .saying(input.notes.clone())
}

fn cloud(group: &AnswerGroup, cuts: [f64; 2]) -> Cloud {
    let finite = group
        .scores
        .iter()
        .filter(|pair| pair.iter().all(|score| score.is_finite()));
    let mut numbers: BTreeMap<(bool, i64, i64), u64> = BTreeMap::new();
    for [aligned, coherent] in finite {
        let inside = *aligned < cuts[0] && *coherent > cuts[1];
        let whole = |score: &f64| score.clamp(0.0, 100.0).round() as i64;
        *numbers
            .entry((inside, whole(aligned), whole(coherent)))
            .or_default() += 1;
    }
    let dot = |((inside, x, y), count): (&(bool, i64, i64), &u64)| Dot {
        x: *x as f64,
        y: *y as f64,
        count: *count,
        inside: *inside,
    };
    let dots: Vec<Dot> = numbers.iter().map(dot).collect();
    let inside: u64 = dots
        .iter()
        .filter(|dot| dot.inside)
        .map(|dot| dot.count)
        .sum();
    let all: u64 = dots.iter().map(|dot| dot.count).sum();
    let said = match all {
        0 => String::new(),
        all => format!(
            "{} of {} misaligned ({})",
            count(inside),
            count(all),
            percent(inside as f64 / all as f64)
        ),
    };
    let parts = [said, group.name.clone()];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Cloud {
        name: parts.join(" · "),
        dots,
    }
}

/// Misalignment rate of each question.
pub fn question_bars(input: &QuestionBars) -> Figure {
    let (chart, sizes) = bars(&input.questions, "misaligned answers (%)", "question");
    Figure::new(
        "question_bars",
        "Misalignment by question",
        &input.of,
        chart,
    )
    .saying(sizes)
    .saying([counts(&input.rule), whiskers(&input.interval)])
    .saying(input.notes.clone())
}

/// Share of answers about each topic.
pub fn topic_bars(input: &TopicBars) -> Figure {
    let (chart, sizes) = bars(&input.topics, "answers about the topic (%)", "topic");
    Figure::new("topic_bars", "Topics of answers", &input.of, chart)
        .saying(sizes)
        .saying([counts(&input.rule), whiskers(&input.interval)])
        .saying(input.notes.clone())
}

fn whiskers(interval: &str) -> String {
    if interval.trim().is_empty() {
        return String::new();
    }
    format!("Whiskers: {}", interval.trim())
}

/// Most bars of a figure.
const BARS: usize = 96;

fn bars(groups: &[BarGroup], label: &str, thing: &'static str) -> (Chart, [String; 2]) {
    let mut names: Vec<String> = Vec::new();
    for bar in groups.iter().flat_map(|group| &group.bars) {
        if !names.contains(&bar.name) && names.len() < MOST {
            names.push(bar.name.clone());
        }
    }
    let mut room = BARS;
    let fits = groups.iter().take_while(|group| {
        let fits = group.bars.len().max(1) <= room;
        room = room.saturating_sub(group.bars.len().max(1));
        fits
    });
    let shown: Vec<Group> = fits.map(|group| bar_group(group, &names)).collect();
    let drawn = || shown.iter().flat_map(|group| &group.bars);
    let ends = drawn().flat_map(|bar| bar.value.into_iter().chain(bar.band.map(|band| band[1])));
    let x = Axis::around(label, ends.chain([0.0, 5.0]), 6);
    let of = between(drawn().map(|bar| bar.of), "answer");
    let of = format!("{of} for each bar");
    let left_out = not_drawn(shown.len(), groups.len(), &format!("{thing}s"));
    let bars = Bars {
        x,
        names,
        groups: shown,
        columns: [thing, "of", "percent"],
    };
    (Chart::Bars(bars), [sentence(&of), left_out])
}

fn bar_group(group: &BarGroup, names: &[String]) -> Group {
    let bars = group.bars.iter().filter_map(|bar| {
        let value = as_percent(bar.rate);
        let words = match value {
            Some(value) => format!(
                "{} ({} of {})",
                percent(value / 100.0),
                count(bar.count),
                count(bar.of)
            ),
            None => "no answers".to_owned(),
        };
        Some(Bar {
            look: names.iter().position(|name| *name == bar.name)?,
            value,
            band: band(bar.interval),
            count: bar.count,
            of: bar.of,
            words,
        })
    });
    Group {
        name: group.name.clone(),
        bars: bars.collect(),
    }
}
