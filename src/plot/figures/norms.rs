//! Norms of a run's modules: lines over steps, and a heat map of one step.

use super::words::{marks, not_drawn, over_steps, things};
use super::{ModuleNorms, NormsHeatMap, NormsLines};
use crate::plot::Figure;
use crate::plot::axis::Axis;
use crate::plot::figure::Chart;
use crate::plot::heat_map::HeatMap;
use crate::plot::lines::{Columns, Line, Lines, Panel};
use crate::plot::style::MOST;
use crate::plot::text::count;
use crate::plot::thin;
use std::collections::BTreeSet;

/// A norm: how its panel is called, and its values in a module.
type Norm = (&'static str, fn(&ModuleNorms) -> &[Option<f64>]);

const NORMS: [Norm; 3] = [
    ("‖A‖, Frobenius norm", |module| &module.a),
    ("‖B‖, Frobenius norm", |module| &module.b),
    ("‖BA‖ times its scaling, Frobenius norm", |module| {
        &module.ba
    }),
];

/// ‖A‖, ‖B‖ and ‖BA‖ of each module over steps, a panel for each norm that there is.
///
/// Of more than 42 modules those with the largest last norm are drawn.
pub fn norms_lines(input: &NormsLines) -> Figure {
    let modules = largest(&input.modules);
    let steps = modules.iter().flat_map(|module| &module.steps);
    let x = Axis::steps("optimizer step", steps.map(|step| *step as f64), 10);
    let present = NORMS
        .iter()
        .filter(|norm| modules.iter().any(|module| !norm.1(module).is_empty()));
    let mut present: Vec<&Norm> = present.collect();
    if present.is_empty() {
        present.push(&NORMS[2]);
    }
    let most = thin::most(modules.len() * present.len());
    let panels = present
        .iter()
        .map(|norm| panel(norm, &modules, input, most));
    let lines = Lines {
        x,
        panels: panels.collect(),
        names: modules.iter().map(|module| module.name.clone()).collect(),
        columns: Columns {
            panel: "norm",
            series: "module",
            x: "step",
            y: "value",
            intervals: false,
        },
    };
    let recorded = input
        .modules
        .iter()
        .map(|module| module.steps.len())
        .max()
        .unwrap_or(0);
    let sizes = format!(
        "{}, {} recorded",
        things(input.modules.len() as u64, "module"),
        things(recorded as u64, "step")
    );
    let left_out = not_drawn(
        modules.len(),
        input.modules.len(),
        "modules, those with the largest last norm",
    );
    Figure::new(
        "norms_lines",
        "Norms by module",
        &input.of,
        Chart::Lines(lines),
    )
    .saying([sizes, left_out, thinned(recorded, most)])
    .saying(input.notes.clone())
}

fn panel(norm: &Norm, modules: &[&ModuleNorms], input: &NormsLines, most: usize) -> Panel {
    let line = |(look, module): (usize, &&ModuleNorms)| {
        let points = over_steps(&module.steps, norm.1(module));
        let points = thin::spots(points, most);
        Line { look, points }
    };
    let lines: Vec<Line> = modules.iter().enumerate().map(line).collect();
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().filter_map(|spot| spot.y));
    let y = Axis::around(norm.0, values, 5);
    Panel {
        name: String::new(),
        y,
        lines,
        marks: marks(&input.marks),
        level: None,
    }
}

/// At most as many modules as have looks, in their order.
fn largest(modules: &[ModuleNorms]) -> Vec<&ModuleNorms> {
    if modules.len() <= MOST {
        return modules.iter().collect();
    }
    let last = |module: &ModuleNorms| {
        let values = NORMS.iter().rev().map(|norm| norm.1(module));
        let values = values.flat_map(|values| values.iter().rev().copied());
        values
            .flatten()
            .find(|value| value.is_finite())
            .unwrap_or(0.0)
    };
    let mut order: Vec<usize> = (0..modules.len()).collect();
    order.sort_by(|&one, &other| last(&modules[other]).total_cmp(&last(&modules[one])));
    let kept: BTreeSet<usize> = order.into_iter().take(MOST).collect();
    kept.into_iter().map(|place| &modules[place]).collect()
}

/// A sentence where points were left out.
pub(super) fn thinned(points: usize, most: usize) -> String {
    if points <= most {
        return String::new();
    }
    format!(
        "Long series are drawn with about {} points that keep every extreme",
        count(most as u64)
    )
}

/// One norm at one step, layer × projection.
pub fn norms_heat_map(input: &NormsHeatMap) -> Figure {
    let layers: BTreeSet<u64> = input.cells.iter().map(|cell| cell.layer).collect();
    let layers: Vec<u64> = layers.into_iter().collect();
    let mut projections: Vec<&str> = Vec::new();
    for cell in &input.cells {
        if !projections.contains(&cell.projection.as_str()) {
            projections.push(&cell.projection);
        }
    }
    let mut cells = vec![vec![None; layers.len()]; projections.len()];
    for cell in &input.cells {
        let row = projections.iter().position(|name| *name == cell.projection);
        if let (Some(row), Ok(column)) = (row, layers.binary_search(&cell.layer)) {
            cells[row][column] = Some(cell.value.filter(|value| value.is_finite()));
        }
    }
    let map = HeatMap {
        across: "layer".into(),
        columns: layers.iter().map(u64::to_string).collect(),
        rows: projections.iter().map(|name| (*name).to_owned()).collect(),
        cells,
        quantity: input.quantity.clone(),
        head: ["layer", "projection", "value"],
    };
    let said = format!(
        "{} of {} at step {}",
        input.quantity,
        things(input.cells.len() as u64, "module"),
        count(input.step)
    );
    let empty = input.cells.iter().any(|cell| cell.value.is_none());
    let struck = if empty {
        "Struck cells have no value"
    } else {
        ""
    };
    Figure::new(
        "norms_heat_map",
        "Norms by layer and module",
        &input.of,
        Chart::HeatMap(map),
    )
    .saying([said, struck.to_owned()])
    .saying(input.notes.clone())
}
