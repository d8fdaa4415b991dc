//! `vivarium norms`: how far each module of a fine-tune has moved.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use super::exit::EXIT_CODES;
use super::follow::experiment_jobs;
use super::output::{Table, cell, say, text};
use super::remote::Remote;
use super::subject::{Kind, Subject};

/// `norms`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium norms job_…                         every module at the last step
  vivarium norms job_… --points 20             at twenty steps
  vivarium norms job_… --csv > norms.csv       every step
  vivarium norms ex_…                          the last step of every fine-tune of an experiment

{EXIT_CODES}"))]
pub struct Norms {
    #[command(flatten)]
    remote: Remote,
    /// Id or name of a fine-tune or an experiment
    id: String,
    /// Only these modules, exact names separated by commas
    #[arg(long, value_name = "NAMES")]
    modules: Option<String>,
    /// Show this many steps instead of the last
    #[arg(long, value_name = "N")]
    points: Option<u32>,
    /// First step
    #[arg(long)]
    from: Option<u64>,
    /// Last step
    #[arg(long)]
    to: Option<u64>,
    /// Show every step and every column as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// Shows norms.
pub async fn run(norms: &Norms) -> Result<()> {
    let (client, output) = (norms.remote.client()?, norms.remote.output());
    let kinds = [Kind::Job, Kind::Experiment];
    let subject = Subject::find_of(&client, &norms.id, &kinds).await?;
    let trained = match subject.kind {
        Kind::Experiment => {
            let jobs = experiment_jobs(&client, &subject.id).await?;
            let trained = jobs.iter().filter(|job| job["role"] == "train");
            trained
                .map(|job| (cell(&job["key"]), cell(&job["job"])))
                .collect()
        }
        _ => vec![(String::new(), subject.id.clone())],
    };
    let [from, to, points] = [
        norms.from.map(|step| step.to_string()),
        norms.to.map(|step| step.to_string()),
        norms.points.map(|points| points.to_string()),
    ];
    let given = [
        ("modules", &norms.modules),
        ("from", &from),
        ("to", &to),
        ("points", &points),
    ];
    let given = given
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let query: Vec<(&str, &str)> = given.collect();
    let mut all = Map::new();
    for (key, job) in &trained {
        let path = ["v1", "jobs", job, "lora-norms"];
        if norms.csv {
            let csv = [&query[..], &[("format", "csv")]].concat();
            if trained.len() > 1 {
                say(&format!("# {key} {job}"));
            }
            text(&client.text(&path, &csv, "text/csv").await?)?;
            continue;
        }
        all.insert(
            if key.is_empty() {
                job.clone()
            } else {
                key.clone()
            },
            client.value(&path, &query).await?,
        );
    }
    match (norms.csv, output.json, subject.kind) {
        (true, ..) => Ok(()),
        (_, true, Kind::Experiment) => output.value(&all),
        (_, true, _) => output.value(&all.values().next()),
        _ => output.table(&table(&all, norms.points.is_none())),
    }
}

/// A row for each module and step; only the last step where `last` is set.
fn table(all: &Map<String, Value>, last: bool) -> Table {
    let names = all
        .values()
        .next()
        .and_then(|norms| norms["series"].as_object());
    let names: Vec<&str> = names
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let mut head = vec!["run", "step", "module"];
    head.extend(&names);
    let mut table = Table::new(&head);
    for (key, norms) in all {
        let steps = norms["steps"].as_array().map_or(&[][..], Vec::as_slice);
        let first = if last {
            steps.len().saturating_sub(1)
        } else {
            0
        };
        for (at, step) in steps.iter().enumerate().skip(first) {
            for (place, module) in norms["modules"]
                .as_array()
                .into_iter()
                .flatten()
                .enumerate()
            {
                let numbers = names
                    .iter()
                    .map(|name| number(&norms["series"][*name][place][at]));
                let mut row = vec![key.clone(), cell(step), cell(&module["name"])];
                row.extend(numbers);
                table.row(row);
            }
        }
    }
    table
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(value) if value != 0.0 && value.abs() < 1e-3 => format!("{value:.2e}"),
        Some(value) => format!("{value:.4}"),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_step_or_every_one_a_row_for_each_module() {
        let norms = json!({"modules": [{"name": "a"}, {"name": "b"}], "steps": [0, 5],
            "series": {"b_norm": [[0.0, 0.5], [0.0, 0.00001]], "b_grad_norm": [[null, 1.0], [null, 2.0]]}});
        let all = Map::from_iter([("job_1".to_owned(), norms)]);
        let text = table(&all, true).text(false);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.contains("job_1     5  b            2.0000  1.00e-5"),
            "{text}"
        );
        assert_eq!(table(&all, false).text(false).lines().count(), 5);
    }
}
