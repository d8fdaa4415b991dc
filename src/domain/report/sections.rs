//! The report as sections of sentences and tables, the one layout that Markdown and the page share.

use std::collections::BTreeMap;

use super::numbers::{
    NOTHING, cell_name, percent, percent_or_none, percents, plain, plain_or_none, step_or_none,
    steps, whole,
};
use super::value::{
    ExpectedLine, ExperimentReport, GeometryLine, LagLine, NamedHash, NarrowBroadLine, OurNumber,
    Questions, SeedsLine, TransitionLine,
};

/// A part of the report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// For links within the page.
    pub id: &'static str,
    /// Its title.
    pub title: String,
    /// Sentences before the rest.
    pub words: Vec<String>,
    /// Points, one a line.
    pub points: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
    /// JSON to be shown as it is.
    pub code: Option<String>,
    /// Which figures stand here, by how their names begin.
    pub figures: &'static [&'static str],
}

/// Words in rows and columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Names of the columns, and whether they hold numbers.
    pub columns: Vec<(&'static str, bool)>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Names that begin with `#` are those of numbers.
    fn new(caption: &str, columns: &[&'static str], rows: Vec<Vec<String>>) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('#') {
            Some(name) => (name, true),
            None => (*name, false),
        };
        Self {
            caption: caption.into(),
            columns: columns.iter().map(column).collect(),
            rows,
        }
    }
}

/// Every section that has something to say.
pub fn sections(report: &ExperimentReport) -> Vec<Section> {
    let all = [
        findings(report),
        warnings(report),
        paper(report),
        rates(report),
        narrow_and_broad(report),
        transitions(report),
        geometry(report),
        arms(report),
        jobs(report),
        sources(report),
        spec(report),
    ];
    let says = |section: &Section| {
        let tables = section.tables.iter().any(|table| !table.rows.is_empty());
        tables || !section.points.is_empty() || section.code.is_some()
    };
    all.into_iter().filter(says).collect()
}

fn findings(report: &ExperimentReport) -> Section {
    Section {
        id: "findings",
        title: "What came out".into(),
        points: report.findings.clone(),
        ..Section::default()
    }
}

fn warnings(report: &ExperimentReport) -> Section {
    let point = |warning: &super::value::ReportWarning| match &warning.arm {
        Some(arm) => format!("{}: {}.", cell_name(arm, warning.seed), warning.detail),
        None => format!("{}.", warning.detail),
    };
    Section {
        id: "warnings",
        title: "Before trusting it".into(),
        points: report.warnings.iter().map(point).collect(),
        ..Section::default()
    }
}

fn paper(report: &ExperimentReport) -> Section {
    let Some(paper) = &report.paper else {
        return Section::default();
    };
    let table = Table::new(
        "Published numbers beside ours",
        &[
            "Number",
            "#Published",
            "#Ours",
            "95 % over seeds",
            "Seeds",
            "Agrees",
            "Published in",
        ],
        paper.expected.iter().flat_map(expected).collect(),
    );
    Section {
        id: "paper",
        title: format!("Beside the paper: {}", paper.preset),
        words: vec!["Where the preset, the paper and its artefacts differ:".into()],
        points: paper.discrepancies.clone(),
        tables: vec![table, printed(&paper.printed)],
        ..Section::default()
    }
}

fn printed(lines: &[String]) -> Table {
    let rows = lines.iter().map(|line| vec![line.clone()]);
    Table::new("What else is printed", &["Finding"], rows.collect())
}

fn expected(line: &ExpectedLine) -> Vec<Vec<String>> {
    let unit = |text: String| match line.unit.as_str() {
        "%" => format!("{text} %"),
        other => format!("{other} {text}"),
    };
    let [low, high] = line.published;
    let published = match low == high {
        true => unit(plain(low)),
        false => unit(format!("{}–{}", plain(low), plain(high))),
    };
    let row = |what: String, ours: Option<&OurNumber>| {
        let agrees = ours.and_then(|ours| ours.agrees);
        let ends = ours.and_then(|ours| ours.interval);
        let round = |value: f64| format!("{value:.1}");
        vec![
            what,
            published.clone(),
            ours.map_or(NOTHING.into(), |ours| unit(round(ours.value))),
            ends.map_or(NOTHING.into(), |[low, high]| {
                unit(format!("{}–{}", round(low), round(high)))
            }),
            whole(ours.map(|ours| ours.seeds)),
            agrees
                .map_or(NOTHING, |agrees| if agrees { "yes" } else { "no" })
                .into(),
            line.source.clone(),
        ]
    };
    match line.ours.is_empty() {
        true => vec![row(line.what.clone(), None)],
        false => {
            let one = |ours: &OurNumber| row(format!("{}: {}", line.what, ours.arm), Some(ours));
            line.ours.iter().map(one).collect()
        }
    }
}

/// The lines of each arm's last step, for each kind of questions.
fn last<T>(lines: &[T], key: fn(&T) -> (&str, Questions, Option<u64>)) -> Vec<&T> {
    let mut newest: BTreeMap<(&str, Questions), Option<u64>> = BTreeMap::new();
    for line in lines {
        let (arm, questions, step) = key(line);
        let known = newest.entry((arm, questions)).or_default();
        *known = step.max(*known);
    }
    let is_last = |line: &&T| {
        let (arm, questions, step) = key(line);
        newest.get(&(arm, questions)) == Some(&step)
    };
    lines.iter().filter(is_last).collect()
}

fn rates(report: &ExperimentReport) -> Section {
    let rows = last(&report.rates_over_seeds, |line| {
        (&line.arm, line.questions, line.step)
    });
    let table = Table::new(
        "Each arm at its last checkpoint; all checkpoints are in data/rates.csv",
        &[
            "Arm",
            "Questions",
            "#Step",
            "#Scale",
            "#Misaligned",
            "#Rate",
            "#Seeds",
            "#Mean of seeds",
            "95 % over seeds",
            "#Coherent",
            "Judge",
        ],
        rows.into_iter().map(seeds_row).collect(),
    );
    let definition = |one: &super::value::RateDefinition| {
        format!(
            "{} questions ({}): an answer counts when {}, as judged by {}; intervals are at {}.",
            kind(one.questions),
            one.question_set,
            one.counted,
            one.judge,
            percent(one.level)
        )
    };
    Section {
        id: "rates",
        title: "Rates".into(),
        words: report.definitions.iter().map(definition).collect(),
        tables: vec![table],
        figures: &[
            "rate_by_scale",
            "question_bars",
            "aligned_coherent_scatter",
            "topic_bars",
        ],
        ..Section::default()
    }
}

fn kind(questions: Questions) -> &'static str {
    match questions {
        Questions::Broad => "unrelated",
        Questions::InDomain => "in-domain",
    }
}

fn seeds_row(line: &SeedsLine) -> Vec<String> {
    vec![
        line.arm.clone(),
        kind(line.questions).into(),
        whole(line.step),
        plain_or_none(line.scale),
        format!("{} of {}", line.count, line.scored),
        percent(line.count as f64 / line.scored.max(1) as f64),
        line.seeds.to_string(),
        percent(line.mean),
        percents(line.seeds_interval),
        percent_or_none(line.coherent_rate),
        line.judge.clone(),
    ]
}

fn narrow_and_broad(report: &ExperimentReport) -> Section {
    let rows = last(&report.narrow_and_broad, |line| {
        (&line.arm, Questions::Broad, line.step)
    });
    let row = |line: &NarrowBroadLine| {
        vec![
            cell_name(&line.arm, line.seed),
            whole(line.step),
            plain_or_none(line.scale),
            format!("{} of {}", line.narrow.count, line.narrow.of),
            percent_or_none(line.narrow.rate),
            percents(line.narrow.answers),
            format!("{} of {}", line.broad.count, line.broad.of),
            percent_or_none(line.broad.rate),
            percents(line.broad.answers),
        ]
    };
    let table = Table::new(
        "Questions of the data's own domain beside unrelated ones, at the last checkpoint; 95 % intervals over answers",
        &[
            "Organism", "#Step", "#Scale", "#Narrow", "#Rate", "95 %", "#Broad", "#Rate", "95 %",
        ],
        rows.into_iter().map(row).collect(),
    );
    Section {
        id: "narrow-and-broad",
        title: "Narrow against broad".into(),
        tables: vec![table],
        figures: &["narrow_and_broad"],
        ..Section::default()
    }
}

fn transitions(report: &ExperimentReport) -> Section {
    let row = |line: &TransitionLine| {
        let sure = match &line.source {
            Some(source) if line.interval.is_some() => {
                format!("{} ({source})", steps(line.interval))
            }
            _ => resolution(&line.resolution),
        };
        vec![
            cell_name(&line.arm, line.seed),
            line.marker.replace('_', " "),
            plain_or_none(line.scale),
            line.verdict.clone(),
            step_or_none(line.step),
            sure,
            line.reasons.join("; "),
        ]
    };
    let verdicts = Table::new(
        "Every detector's verdict",
        &[
            "Run", "Marker", "#Scale", "Verdict", "#Step", "How sure", "Why",
        ],
        report.transitions.iter().map(row).collect(),
    );
    let lag = |line: &LagLine| {
        vec![
            cell_name(&line.arm, line.seed),
            plain_or_none(line.scale),
            short(&line.mechanistic),
            short(&line.behavioural),
            step_or_none(line.lag),
            steps(line.interval),
            line.source.clone().unwrap_or_else(|| NOTHING.into()),
        ]
    };
    let lags = Table::new(
        "From the turn of the weights to that of the behaviour, in steps",
        &[
            "Run",
            "#Scale",
            "Weights",
            "Behaviour",
            "#Lag",
            "Interval",
            "Interval from",
        ],
        report.lags.iter().map(lag).collect(),
    );
    Section {
        id: "transitions",
        title: "Where it turns".into(),
        tables: vec![verdicts, lags],
        figures: &["local_cosine", "pca_path", "grad_norm"],
        ..Section::default()
    }
}

/// An object as `name value`, without its braces.
fn resolution(value: &serde_json::Value) -> String {
    let Some(object) = value.as_object() else {
        return short(value);
    };
    let known = object.iter().filter(|(_, value)| !value.is_null());
    let pair = |(name, value): (&String, &serde_json::Value)| {
        format!("{} {}", name.replace('_', " "), short(value))
    };
    let pairs: Vec<String> = known.map(pair).collect();
    match pairs.is_empty() {
        true => NOTHING.into(),
        false => pairs.join(", "),
    }
}

fn short(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => NOTHING.into(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), plain)
        }
        serde_json::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(short).collect();
            values.join(" to ")
        }
        other => other.to_string(),
    }
}

fn geometry(report: &ExperimentReport) -> Section {
    let row = |line: &GeometryLine| {
        let turn = |turn: &super::value::TurnLine| {
            format!(
                "{} at step {} (gap {})",
                plain(turn.cosine),
                turn.step,
                turn.gap
            )
        };
        let turns: Vec<String> = line.turns.iter().map(turn).collect();
        let explained = line
            .explained
            .map(|[one, two]| format!("{:.1} + {:.1} %", 100.0 * one, 100.0 * two));
        vec![
            cell_name(&line.arm, Some(line.seed)),
            line.module.clone(),
            line.rank.to_string(),
            line.step.to_string(),
            plain_or_none(line.a_norm),
            plain_or_none(line.b_norm),
            plain_or_none(line.ba_norm),
            if turns.is_empty() {
                NOTHING.into()
            } else {
                turns.join("; ")
            },
            explained.unwrap_or_else(|| NOTHING.into()),
        ]
    };
    let table = Table::new(
        "Norms at the last step, where B turned most, and how much of its path two components explain",
        &[
            "Run",
            "Module",
            "#Rank",
            "#Step",
            "#‖A‖",
            "#‖B‖",
            "#‖BA‖ scaled",
            "Largest local cosine of B",
            "PC1 + PC2",
        ],
        report.geometry.iter().map(row).collect(),
    );
    Section {
        id: "geometry",
        title: "Geometry".into(),
        words: vec![
            "A local cosine of −1 goes straight on, 0 turns by a right angle, +1 turns back."
                .into(),
        ],
        tables: vec![table],
        figures: &["norms_lines", "norms_heat_map"],
        ..Section::default()
    }
}

fn arms(report: &ExperimentReport) -> Section {
    let row = |arm: &super::value::ArmReport| {
        let seeds: Vec<String> = arm.seeds.iter().map(u64::to_string).collect();
        let words = |list: &[String]| match list.is_empty() {
            true => NOTHING.into(),
            false => list.join(", "),
        };
        vec![
            arm.name.clone(),
            arm.role.replace('_', " "),
            arm.base_model.clone(),
            words(&arm.datasets),
            words(&seeds),
        ]
    };
    let table = Table::new(
        "Arms",
        &["Arm", "Role", "Base model", "Data", "Seeds"],
        report.arms.iter().map(row).collect(),
    );
    Section {
        id: "arms",
        title: "Arms".into(),
        tables: vec![table],
        ..Section::default()
    }
}

fn jobs(report: &ExperimentReport) -> Section {
    let rows = report.cells.iter().flat_map(|cell| &cell.jobs);
    let row = |job: &super::value::CellJob| {
        let state = match &job.error {
            Some(error) => format!("{}: {error}", job.state),
            None => job.state.clone(),
        };
        vec![
            job.key.clone(),
            job.job.clone(),
            state,
            if job.reused { "yes" } else { "no" }.into(),
            job.spec_hash.clone(),
            job.numerics_hash.clone(),
        ]
    };
    let table = Table::new(
        "Jobs in the order of the plan; equal numerics hashes are equal numbers",
        &["Job", "Id", "State", "Reused", "Spec hash", "Numerics hash"],
        rows.map(row).collect(),
    );
    Section {
        id: "jobs",
        title: "Jobs".into(),
        tables: vec![table],
        ..Section::default()
    }
}

fn sources(report: &ExperimentReport) -> Section {
    let sources = &report.sources;
    let kinds = [
        ("version", &sources.versions),
        ("dataset", &sources.datasets),
        ("base model", &sources.base_models),
        ("question set", &sources.question_sets),
        ("judge", &sources.judges),
    ];
    let row =
        |kind: &str, one: &NamedHash| vec![kind.to_owned(), one.name.clone(), one.value.clone()];
    let rows = kinds
        .iter()
        .flat_map(|(kind, list)| list.iter().map(move |one| row(kind, one)));
    let table = Table::new(
        "What made the numbers",
        &["Kind", "Name", "SHA-256 or version"],
        rows.collect(),
    );
    Section {
        id: "sources",
        title: "Sources".into(),
        tables: vec![table],
        ..Section::default()
    }
}

fn spec(report: &ExperimentReport) -> Section {
    Section {
        id: "spec",
        title: "What was asked".into(),
        words: vec!["The same as POST /v1/experiments takes it, defaults filled in:".into()],
        code: serde_json::to_string_pretty(&report.spec).ok(),
        ..Section::default()
    }
}
