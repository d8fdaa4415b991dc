//! A run from within: gradient norm, local cosine, the path of a vector.

use super::norms::thinned;
use super::words::{self, PANELS, marked, marks, not_drawn, over_steps, points, sentence};
use super::{CosinePanel, GradNorm, LocalCosine, PathPoint, PcaPanel, PcaPath};
use crate::domain::thinning;
use crate::plot::Figure;
use crate::plot::axis::{Axis, ends};
use crate::plot::figure::Chart;
use crate::plot::lines::{Columns, Line, Lines, Panel};
use crate::plot::path::{Flag, Kind, Path, Stop, Walk};
use crate::plot::style::MOST;
use crate::plot::text::count;
use crate::plot::thin;

/// Gradient norm before clipping, a line for each run; on powers of ten where the largest is 50 times the smallest.
pub fn grad_norm(input: &GradNorm) -> Figure {
    let runs = &input.runs[..input.runs.len().min(MOST)];
    let most = thin::most(runs.len());
    let line = |(look, run)| Line {
        look,
        points: thin::spots(points(run), most),
    };
    let lines: Vec<Line> = runs.iter().enumerate().map(line).collect();
    let values = || {
        lines
            .iter()
            .flat_map(|line| line.points.iter().filter_map(|spot| spot.y))
            .chain(input.clip)
    };
    let wide = ends(values()).is_some_and(|(low, high)| low > 0.0 && high > 50.0 * low);
    let label = "gradient norm before clipping (global L2)";
    let y = match wide {
        true => Axis::logarithmic(&format!("{label}, logarithmic"), values()),
        false => Axis::around(label, values(), 6),
    };
    let steps = runs.iter().flat_map(|run| &run.steps);
    let x = Axis::steps("optimizer step", steps.map(|step| *step as f64), 10);
    let clip = input
        .clip
        .map(|clip| format!("Dotted: gradients are clipped to {}", words::value(clip)));
    let recorded = runs.iter().map(|run| run.steps.len()).max().unwrap_or(0);
    let panel = Panel {
        name: String::new(),
        y,
        lines,
        marks: marks(&input.marks),
        level: input.clip.zip(clip.clone()),
    };
    let chart = Chart::Lines(Lines {
        x,
        names: runs.iter().map(|run| run.name.clone()).collect(),
        panels: vec![panel],
        columns: Columns {
            panel: "panel",
            series: "run",
            x: "step",
            y: "grad_norm",
            intervals: false,
        },
    });
    let sizes = format!(
        "{}, {} recorded",
        words::things(input.runs.len() as u64, "run"),
        words::things(recorded as u64, "step")
    );
    Figure::new("grad_norm", "Gradient norm", &input.of, chart)
        .saying([sizes, not_drawn(runs.len(), input.runs.len(), "runs")])
        .saying([clip.unwrap_or_default(), thinned(recorded, most)])
        .saying(input.notes.clone())
}

/// Local cosine over steps, a line for each gap and a panel for each vector or run.
pub fn local_cosine(input: &LocalCosine) -> Figure {
    let panels = &input.panels[..input.panels.len().min(PANELS)];
    let mut gaps: Vec<u64> = panels
        .iter()
        .flat_map(|panel| panel.gaps.iter().map(|gap| gap.gap))
        .collect();
    gaps.sort_unstable();
    gaps.dedup();
    gaps.truncate(MOST);
    let all = || panels.iter().flat_map(|panel| &panel.gaps);
    let most = thin::most(all().count());
    let high = ends(all().flat_map(|gap| gap.values.iter().copied().flatten()))
        .map_or(0.0, |(_, high)| high);
    let label = "local cosine (−1 straight on, +1 back)";
    let y = Axis::linear(label, -1.0, if high > 0.0 { 1.0 } else { 0.0 }, 5);
    let steps = all().flat_map(|gap| &gap.steps);
    let x = Axis::steps("optimizer step", steps.map(|step| *step as f64), 10);
    let recorded = all().map(|gap| gap.steps.len()).max().unwrap_or(0);
    let chart = Chart::Lines(Lines {
        x,
        names: gaps
            .iter()
            .map(|gap| format!("gap of {gap} steps"))
            .collect(),
        panels: panels
            .iter()
            .map(|panel| cosine_panel(panel, &y, &gaps, most))
            .collect(),
        columns: Columns {
            panel: "vector",
            series: "gap",
            x: "step",
            y: "local_cosine",
            intervals: false,
        },
    });
    let there = all().map(|gap| gap.values.iter().flatten().count() as u64);
    let sizes = words::between(there, "step");
    let sizes = sentence(&format!("{sizes} with a value in each line"));
    let masked = match input.masked.trim() {
        "" => String::new(),
        masked => format!("Gaps in a line: {masked}"),
    };
    Figure::new("local_cosine", "Local cosine", &input.of, chart)
        .saying([
            sizes,
            masked,
            not_drawn(panels.len(), input.panels.len(), "panels"),
        ])
        .saying([thinned(recorded, most)])
        .saying(input.notes.clone())
}

fn cosine_panel(panel: &CosinePanel, y: &Axis, gaps: &[u64], most: usize) -> Panel {
    let lines = panel.gaps.iter().filter_map(|gap| {
        let look = gaps.binary_search(&gap.gap).ok()?;
        let points = thin::spots(over_steps(&gap.steps, &gap.values), most);
        Some(Line { look, points })
    });
    Panel {
        name: panel.name.clone(),
        y: y.clone(),
        lines: lines.collect(),
        marks: marks(&panel.marks),
        level: None,
    }
}

/// Most places of a path.
const PLACES: usize = 1500;

/// The path of a vector on its first two principal components, a panel for each vector or run.
pub fn pca_path(input: &PcaPath) -> Figure {
    let panels = &input.panels[..input.panels.len().min(PANELS)];
    let chart = Chart::Path(Path {
        panels: panels.iter().map(walk).collect(),
        columns: ["vector", "step", "pc1", "pc2"],
    });
    let sizes = panels.iter().map(|panel| panel.points.len() as u64);
    let longest = sizes.clone().max().unwrap_or(0) as usize;
    let sizes = format!(
        "{} in each panel. Ring: first step; square: last; diamond: a marked step. The sign of a component is a convention",
        words::between(sizes, "step")
    );
    Figure::new(
        "pca_path",
        "Path on the first two principal components",
        &input.of,
        chart,
    )
    .saying([
        sentence(&sizes),
        not_drawn(panels.len(), input.panels.len(), "panels"),
        thinned(longest, PLACES),
    ])
    .saying(input.notes.clone())
}

fn walk(panel: &PcaPanel) -> Walk {
    let finite = |point: &&PathPoint| point.x.is_finite() && point.y.is_finite();
    let points: Vec<&PathPoint> = panel.points.iter().filter(finite).collect();
    let columns = [
        points.iter().map(|p| p.x).collect(),
        points.iter().map(|p| p.y).collect(),
    ];
    let kept = thinning::thinned(points.len(), &columns, PLACES / 2);
    let stop = |place: usize| Stop {
        step: points[place].step,
        x: points[place].x,
        y: points[place].y,
    };
    let component = |number: usize| match panel.explained[number] {
        Some(share) => format!(
            "PC{} score ({} of the variance)",
            number + 1,
            words::percent(share)
        ),
        None => format!("PC{} score", number + 1),
    };
    Walk {
        name: panel.name.clone(),
        x: Axis::around(&component(0), points.iter().map(|p| p.x), 6),
        y: Axis::around(&component(1), points.iter().map(|p| p.y), 6),
        stops: kept.into_iter().map(stop).collect(),
        flags: flags(panel, &points),
    }
}

/// Words at the ends, at marked steps and at about ten round steps between.
fn flags(panel: &PcaPanel, points: &[&PathPoint]) -> Vec<Flag> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let flag = |point: &PathPoint, words: String, kind: Kind| Flag {
        x: point.x,
        y: point.y,
        words,
        kind,
    };
    let mut flags = vec![flag(first, format!("step {}", first.step), Kind::Start)];
    if last.step != first.step {
        flags.push(flag(last, format!("step {}", last.step), Kind::End));
    }
    for mark in panel.marks.iter().filter(|mark| mark.step.is_finite()) {
        let found = nearest(points, mark.step);
        flags.extend(found.map(|point| flag(point, marked(mark), Kind::Mark)));
    }
    let round = Axis::steps("", [first.step as f64, last.step as f64].into_iter(), 10);
    let named = round
        .ticks
        .iter()
        .filter_map(|tick| nearest(points, tick.value));
    let mut named: Vec<&PathPoint> = named.collect();
    named.dedup_by_key(|point| point.step);
    named.retain(|point| point.step != first.step && point.step != last.step);
    flags.extend(
        named
            .iter()
            .map(|point| flag(point, count(point.step), Kind::Step)),
    );
    flags
}

fn nearest<'a>(points: &[&'a PathPoint], step: f64) -> Option<&'a PathPoint> {
    let away = |point: &PathPoint| (point.step as f64 - step).abs();
    points
        .iter()
        .copied()
        .min_by(|one, other| away(one).total_cmp(&away(other)))
}
