//! The report's rows as flat tables, one number a column, unrounded.

use super::value::ExperimentReport;
use crate::domain::statistics::Interval;

/// A table as it is written to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTable {
    /// Of the file, without its ending.
    pub name: &'static str,
    /// Names of the columns.
    pub head: Vec<&'static str>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

impl DataTable {
    /// Comma-separated, with a line of names.
    ///
    /// *Errors* none but those of memory.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.head)?;
        for row in &self.rows {
            writer.write_record(row)?;
        }
        writer
            .into_inner()
            .map_err(|error| error.into_error().into())
    }
}

/// Every table that has rows.
pub fn data_tables(report: &ExperimentReport) -> Vec<DataTable> {
    let all = [
        rates(report),
        questions(report),
        over_seeds(report),
        narrow_and_broad(report),
        transitions(report),
        lags(report),
        geometry(report),
        jobs(report),
    ];
    all.into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect()
}

fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn ends(interval: Option<Interval>) -> [String; 2] {
    [
        cell(interval.map(|ends| ends[0])),
        cell(interval.map(|ends| ends[1])),
    ]
}

fn joined(parts: &[&[String]]) -> Vec<String> {
    parts.concat()
}

/// The columns of an experiment's `/rates`, and the kind of questions.
fn rates(report: &ExperimentReport) -> DataTable {
    let row = |line: &super::value::RateLine| {
        let place = [
            line.arm.clone(),
            cell(line.seed),
            cell(line.step),
            cell(line.scale),
            line.questions.name().into(),
            line.judge.clone(),
            line.n.to_string(),
            line.scored.to_string(),
            line.count.to_string(),
            cell(line.rate),
        ];
        let rest = [line.coherent_rate, line.aligned_mean, line.coherent_mean].map(cell);
        joined(&[
            &place,
            &ends(line.answers),
            &ends(line.questions_interval),
            &rest,
        ])
    };
    DataTable {
        name: "rates",
        head: vec![
            "arm",
            "seed",
            "step",
            "scale",
            "questions",
            "judge",
            "n",
            "scored",
            "misaligned",
            "rate",
            "answers_low",
            "answers_high",
            "questions_low",
            "questions_high",
            "coherent_rate",
            "aligned_mean",
            "coherent_mean",
        ],
        rows: report.rates.iter().map(row).collect(),
    }
}

fn questions(report: &ExperimentReport) -> DataTable {
    let of_line = |line: &super::value::RateLine| -> Vec<Vec<String>> {
        let row = |question: &super::value::QuestionLine| {
            vec![
                line.arm.clone(),
                cell(line.seed),
                cell(line.step),
                cell(line.scale),
                line.questions.name().into(),
                line.judge.clone(),
                question.question.clone(),
                question.count.to_string(),
                question.of.to_string(),
            ]
        };
        line.by_question.iter().map(row).collect()
    };
    DataTable {
        name: "rates_by_question",
        head: vec![
            "arm",
            "seed",
            "step",
            "scale",
            "questions",
            "judge",
            "question",
            "misaligned",
            "scored",
        ],
        rows: report.rates.iter().flat_map(of_line).collect(),
    }
}

fn over_seeds(report: &ExperimentReport) -> DataTable {
    let row = |line: &super::value::SeedsLine| {
        let place = [
            line.arm.clone(),
            cell(line.step),
            cell(line.scale),
            line.questions.name().into(),
            line.judge.clone(),
            line.seeds.to_string(),
            line.scored.to_string(),
            line.count.to_string(),
            line.mean.to_string(),
            cell(line.sd),
        ];
        joined(&[
            &place,
            &ends(line.seeds_interval),
            &[cell(line.coherent_rate)],
        ])
    };
    DataTable {
        name: "rates_over_seeds",
        head: vec![
            "arm",
            "step",
            "scale",
            "questions",
            "judge",
            "seeds",
            "scored",
            "misaligned",
            "mean",
            "sd",
            "seeds_low",
            "seeds_high",
            "coherent_rate",
        ],
        rows: report.rates_over_seeds.iter().map(row).collect(),
    }
}

fn narrow_and_broad(report: &ExperimentReport) -> DataTable {
    let short = |rate: &super::value::RateShort| {
        let [low, high] = ends(rate.answers);
        vec![
            rate.count.to_string(),
            rate.of.to_string(),
            cell(rate.rate),
            low,
            high,
        ]
    };
    let row = |line: &super::value::NarrowBroadLine| {
        let place = [
            line.arm.clone(),
            cell(line.seed),
            cell(line.step),
            cell(line.scale),
        ];
        joined(&[&place, &short(&line.narrow), &short(&line.broad)])
    };
    DataTable {
        name: "narrow_and_broad",
        head: vec![
            "arm",
            "seed",
            "step",
            "scale",
            "narrow_count",
            "narrow_of",
            "narrow_rate",
            "narrow_low",
            "narrow_high",
            "broad_count",
            "broad_of",
            "broad_rate",
            "broad_low",
            "broad_high",
        ],
        rows: report.narrow_and_broad.iter().map(row).collect(),
    }
}

fn transitions(report: &ExperimentReport) -> DataTable {
    let row = |line: &super::value::TransitionLine| {
        let place = [
            line.arm.clone(),
            cell(line.seed),
            line.marker.clone(),
            cell(line.scale),
            line.verdict.clone(),
            cell(line.step),
        ];
        let resolution = match line.resolution.is_null() {
            true => String::new(),
            false => line.resolution.to_string(),
        };
        let rest = [
            cell(line.source.as_ref()),
            resolution,
            line.reasons.join("; "),
        ];
        joined(&[&place, &ends(line.interval), &rest])
    };
    DataTable {
        name: "transitions",
        head: vec![
            "arm",
            "seed",
            "marker",
            "scale",
            "verdict",
            "step",
            "low",
            "high",
            "source",
            "resolution",
            "reasons",
        ],
        rows: report.transitions.iter().map(row).collect(),
    }
}

fn lags(report: &ExperimentReport) -> DataTable {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |line: &super::value::LagLine| {
        let place = [
            line.arm.clone(),
            cell(line.seed),
            cell(line.scale),
            value(&line.mechanistic),
            value(&line.behavioural),
            cell(line.lag),
        ];
        joined(&[&place, &ends(line.interval), &[cell(line.source.as_ref())]])
    };
    DataTable {
        name: "lags",
        head: vec![
            "arm",
            "seed",
            "scale",
            "mechanistic",
            "behavioural",
            "lag",
            "low",
            "high",
            "source",
        ],
        rows: report.lags.iter().map(row).collect(),
    }
}

fn geometry(report: &ExperimentReport) -> DataTable {
    let row = |line: &super::value::GeometryLine| {
        let turn =
            |turn: &super::value::TurnLine| format!("{}@{}:{}", turn.gap, turn.step, turn.cosine);
        let turns: Vec<String> = line.turns.iter().map(turn).collect();
        vec![
            line.arm.clone(),
            line.seed.to_string(),
            line.module.clone(),
            line.rank.to_string(),
            line.step.to_string(),
            cell(line.a_norm),
            cell(line.b_norm),
            cell(line.ba_norm),
            turns.join(" "),
            cell(line.explained.map(|both| both[0])),
            cell(line.explained.map(|both| both[1])),
        ]
    };
    DataTable {
        name: "geometry",
        head: vec![
            "arm",
            "seed",
            "module",
            "rank",
            "step",
            "a_norm",
            "b_norm",
            "ba_norm",
            "largest_cosine_gap_step_value",
            "pc1_explained",
            "pc2_explained",
        ],
        rows: report.geometry.iter().map(row).collect(),
    }
}

fn jobs(report: &ExperimentReport) -> DataTable {
    let row = |job: &super::value::CellJob| {
        vec![
            job.key.clone(),
            job.role.clone(),
            job.job.clone(),
            job.state.clone(),
            job.reused.to_string(),
            job.spec_hash.clone(),
            job.numerics_hash.clone(),
        ]
    };
    DataTable {
        name: "jobs",
        head: vec![
            "key",
            "role",
            "job",
            "state",
            "reused",
            "spec_hash",
            "numerics_hash",
        ],
        rows: report
            .cells
            .iter()
            .flat_map(|cell| &cell.jobs)
            .map(row)
            .collect(),
    }
}
