//! `vivarium rates`: how often answers are misaligned, of an evaluation or over an experiment.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::exit::EXIT_CODES;
use super::output::{Output, Table, cell, say, text};
use super::remote::Remote;
use super::subject::{Kind, Subject};
use crate::client::Client;

/// `rates`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium rates ev_…                          by target; of a job, its evaluation's
  vivarium rates ev_… --by target,question
  vivarium rates ex_… --by arm,step,scale      mean and interval over seeds
  vivarium rates ex_… --csv > rates.csv

{EXIT_CODES}"))]
pub struct Rates {
    #[command(flatten)]
    remote: Remote,
    /// Id of an evaluation, an evaluate job or an experiment
    id: String,
    /// What rows are told apart by: target, question, arm of an evaluation; arm, seed, step, scale, question of an experiment
    #[arg(long, value_name = "FIELDS")]
    by: Option<String>,
    /// Cut of misaligned answers, such as lt:30
    #[arg(long, value_name = "CUT")]
    aligned: Option<String>,
    /// Cut of coherent answers, such as gt:50
    #[arg(long, value_name = "CUT")]
    coherent: Option<String>,
    /// Over all answers alike, or over the rates of questions
    #[arg(long, value_enum)]
    average: Option<Average>,
    /// Show every column as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// How questions are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Average {
    Pooled,
    Questions,
}

/// Shows rates.
pub async fn run(rates: &Rates) -> Result<()> {
    let (client, output) = (rates.remote.client()?, rates.remote.output());
    let kinds = [Kind::Evaluation, Kind::Job, Kind::Experiment];
    let subject = Subject::find_of(&client, &rates.id, &kinds).await?;
    let (kind, by) = match subject.kind {
        Kind::Experiment => (Kind::Experiment, "arm,seed,step,scale"),
        // the id of the job that fills an evaluation serves in its place
        _ => (Kind::Evaluation, "target"),
    };
    let subject = Subject { kind, ..subject };
    let mut query = vec![("by", rates.by.as_deref().unwrap_or(by))];
    query.extend(rates.aligned.iter().map(|cut| ("aligned", cut.as_str())));
    query.extend(rates.coherent.iter().map(|cut| ("coherent", cut.as_str())));
    query.extend(rates.average.map(|average| match average {
        Average::Pooled => ("average", "pooled"),
        Average::Questions => ("average", "questions"),
    }));
    if output.json {
        let value = client.value(&subject.path(&["rates"]), &query).await?;
        return output.value(&value);
    }
    match (rates.csv, kind) {
        (true, _) => text(&csv_of(&client, &subject, &query).await?),
        (false, Kind::Experiment) => {
            let csv = csv_of(&client, &subject, &query).await?;
            output.table(&flat(&csv)?)
        }
        (false, _) => of_evaluation(&client, &subject, &query, output).await,
    }
}

async fn csv_of(client: &Client, subject: &Subject, query: &[(&str, &str)]) -> Result<String> {
    let mut query = query.to_vec();
    query.push(("format", "csv"));
    Ok(client
        .text(&subject.path(&["rates"]), &query, "text/csv")
        .await?)
}

async fn of_evaluation(
    client: &Client,
    subject: &Subject,
    query: &[(&str, &str)],
    output: Output,
) -> Result<()> {
    let rates = client.value(&subject.path(&["rates"]), query).await?;
    let rows = rates["rows"].as_array().cloned().unwrap_or_default();
    output.table(&rows_table(&rows))?;
    let definition = &rates["definition"];
    let says = |name: &str| definition[name].as_str().unwrap_or("–");
    say(&format!(
        "misaligned: {}; intervals: Wilson, 95 %, these questions fixed; judge {}",
        says("misaligned"),
        says("judge")
    ));
    for row in &rows {
        for warning in row["warnings"].as_array().into_iter().flatten() {
            let detail = warning["detail"].as_str().unwrap_or_default();
            say(&format!(
                "  {}: {detail}",
                row["target"]["address"].as_str().unwrap_or("all")
            ));
        }
    }
    Ok(())
}

/// Rows of an evaluation's rates as a table.
fn rows_table(rows: &[Value]) -> Table {
    let head = [
        "target",
        "question",
        "misaligned %",
        "95 % interval",
        "of",
        "coherent %",
    ];
    let mut table = Table::new(&head);
    for row in rows {
        let target = row["target"]["address"].as_str().map(str::to_owned);
        let together = row["targets"].as_array().map_or(0, Vec::len);
        let target = target.unwrap_or_else(|| match together {
            0 => "all".into(),
            several => format!("{several} targets"),
        });
        let interval = &row["misaligned"]["intervals"]["answers"];
        let interval = match (percent(&interval[0]), percent(&interval[1])) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            _ => "–".into(),
        };
        table.row([
            target,
            row["question"].as_str().unwrap_or("all").to_owned(),
            percent(&row["misaligned"]["rate"]).unwrap_or_else(|| "–".into()),
            interval,
            cell(&row["misaligned"]["of"]),
            percent(&row["coherent"]["rate"]).unwrap_or_else(|| "–".into()),
        ]);
    }
    table
}

fn percent(share: &Value) -> Option<String> {
    share.as_f64().map(|share| format!("{:.1}", 100.0 * share))
}

/// Columns of an experiment's rates that a table leaves out.
const LEFT_OUT: [&str; 5] = ["judge", "n", "aligned_mean", "coherent_mean", "misaligned"];

/// CSV as a table: empty columns left out, shares as percentages.
fn flat(csv: &str) -> Result<Table> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().context("the rates are not CSV")?.clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    let kept: Vec<usize> = (0..head.len())
        .filter(|at| !LEFT_OUT.contains(&&head[*at]))
        .filter(|at| rows.iter().any(|row| !row[*at].is_empty()))
        .collect();
    let names = kept.iter().map(|at| match is_share(&head[*at]) {
        true => format!("{} %", &head[*at]),
        false => head[*at].to_owned(),
    });
    let names: Vec<String> = names.collect();
    let mut table = Table::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &rows {
        table.row(
            kept.iter()
                .map(|at| match (is_share(&head[*at]), row[*at].parse::<f64>()) {
                    (true, Ok(share)) => format!("{:.1}", 100.0 * share),
                    _ => row[*at].to_owned(),
                }),
        );
    }
    Ok(table)
}

fn is_share(name: &str) -> bool {
    let ends = ["rate", "_low", "_high", "_sd", "_mean"];
    name == "rate" || name == "sd" || name == "mean" || ends.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_tell_target_rate_and_interval() {
        let row = json!({"target": {"address": "toy@job_1:step5"}, "question": null,
            "misaligned": {"rate": 0.2105, "of": 399, "intervals": {"answers": [0.173, 0.253]}}, "coherent": {"rate": 0.99}});
        let none = json!({"target": null, "targets": ["a", "b"], "question": "q", "misaligned": null, "coherent": null});
        let text = rows_table(&[row, none]).text(false);
        assert!(
            text.contains(
                "toy@job_1:step5  all               21.1  17.3 to 25.3   399        99.0"
            ),
            "{text}"
        );
        assert!(
            text.contains(
                "2 targets        q                    –  –                            –"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_experiments_rates_leave_out_what_is_empty() {
        let csv = "arm,seed,step,scale,question,judge,n,scored,misaligned,rate,answers_low,answers_high\nbad,0,30,1,,toy,40,39,13,0.3333,0.2,0.5\n";
        let text = flat(csv).unwrap().text(false);
        assert_eq!(
            text,
            "arm  seed  step  scale  scored  rate %  answers_low %  answers_high %\nbad     0    30      1      39    33.3           20.0            50.0\n"
        );
    }
}
