//! Answers put into words and tables. Pure text.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::output::{Table, bytes, cell, duration};
use crate::domain::invalid::Invalid;

/// A file that cannot be accepted, with each place.
pub(super) fn told_refusal(name: &str, invalid: &Invalid) -> String {
    let lines = invalid.errors.iter().map(|error| {
        let line = error.line.map(|line| format!("line {line}: "));
        let place = error.pointer.as_deref().filter(|at| !at.is_empty());
        let place = place.map(|at| format!("{at}: "));
        let hint = error.hint.as_ref().map(|hint| format!(" ({hint})"));
        let [line, place, hint] = [line, place, hint].map(Option::unwrap_or_default);
        format!("\n  {line}{place}{}{hint}", error.detail)
    });
    format!("{name} is refused:{}", lines.collect::<String>())
}

/// Fields of a planned job that a table shows, where any job has them.
const PLANNED: [&str; 11] = [
    "key",
    "role",
    "arm",
    "seed",
    "state",
    "reused",
    "job",
    "seconds",
    "memory_bytes",
    "disk_bytes",
    "judge_calls",
];

/// The jobs of a plan; none where it lists none.
pub(super) fn plan_table(plan: &Value) -> Option<Table> {
    let jobs = plan.get("jobs").or_else(|| plan["plan"].get("jobs"))?;
    let jobs = jobs.as_array()?;
    let known = |name: &&str| jobs.iter().any(|job| !job[*name].is_null());
    let names: Vec<&str> = PLANNED.into_iter().filter(known).collect();
    let mut table = Table::new(&names);
    for job in jobs {
        table.row(names.iter().map(|name| planned(name, &job[*name])));
    }
    Some(table)
}

fn planned(name: &str, value: &Value) -> String {
    match (name, value.as_f64()) {
        ("seconds", Some(seconds)) => duration(seconds.ceil() as i64),
        (name, Some(count)) if name.ends_with("_bytes") => bytes(count as u64),
        _ => cell(value),
    }
}

/// How long ago a time was, as of `now`; nothing for no time.
pub(super) fn age(value: &Value, now: OffsetDateTime) -> String {
    match moment(value) {
        Some(then) => duration((now - then).whole_seconds()),
        None => String::new(),
    }
}

/// A time in an answer.
pub(super) fn moment(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

/// How far a job or experiment is, such as `30/120`.
pub(super) fn way(value: &Value) -> String {
    let of = match value["progress"].is_object() {
        true => &value["progress"],
        false => value,
    };
    match (of["done"].as_u64(), of["total"].as_u64()) {
        (Some(done), Some(total)) => format!("{done}/{total}"),
        _ => String::new(),
    }
}

/// Jobs as a table, as of `now`.
pub(super) fn jobs_table(jobs: &[Value], now: OffsetDateTime) -> Table {
    let mut table = Table::new(&["id", "kind", "state", "done", "age", "name"]);
    for job in jobs {
        let name = job["name"].as_str().or(job["key"].as_str());
        table.row([
            cell(&job["id"]),
            cell(&job["kind"]),
            cell(&job["state"]),
            way(job),
            age(&job["created_at"], now),
            name.unwrap_or_default().to_owned(),
        ]);
    }
    table
}

/// Experiments as a table, as of `now`.
pub(super) fn experiments_table(experiments: &[Value], now: OffsetDateTime) -> Table {
    let mut table = Table::new(&["id", "state", "jobs", "age", "name"]);
    for experiment in experiments {
        table.row([
            cell(&experiment["id"]),
            cell(&experiment["state"]),
            way(experiment),
            age(&experiment["created_at"], now),
            cell(&experiment["name"]),
        ]);
    }
    table
}

/// The jobs of an experiment as a table.
pub(super) fn members_table(jobs: &[Value]) -> Table {
    let mut table = Table::new(&["key", "state", "done", "job", "leaves"]);
    for job in jobs {
        let reused = match job["reused"].as_bool() {
            Some(true) => " (reused)",
            _ => "",
        };
        let leaves = ["evaluation", "analysis"].map(|name| cell(&job[name]));
        table.row([
            cell(&job["key"]),
            cell(&job["state"]),
            way(job),
            format!("{}{reused}", cell(&job["job"])),
            leaves.concat(),
        ]);
    }
    table
}

/// What an analysis says of each arm over its seeds; of single seeds where no arm has several.
pub(super) fn transitions_table(found: &Value) -> Table {
    let head = [
        "arm", "seed", "marker", "scale", "verdict", "step", "interval", "of",
    ];
    let mut table = Table::new(&head);
    for row in over_seeds(&found["rows"]) {
        table.row([
            cell(&row["arm"]),
            cell(&row["seed"]),
            cell(&row["marker"]),
            cell(&row["scale"]),
            cell(&row["verdict"]),
            step(&row["step"]),
            interval(&row["interval"]),
            cell(&row["source"]),
        ]);
    }
    table
}

/// How many steps behaviour lies behind the weights.
pub(super) fn lags_table(found: &Value) -> Table {
    let head = [
        "arm",
        "seed",
        "scale",
        "weights turn",
        "behaviour turns",
        "lag",
        "interval",
        "of",
    ];
    let mut table = Table::new(&head);
    for lag in over_seeds(&found["lags"]) {
        table.row([
            cell(&lag["arm"]),
            cell(&lag["seed"]),
            cell(&lag["scale"]),
            step(&lag["mechanistic"]),
            step(&lag["behavioural"]),
            step(&lag["lag"]),
            interval(&lag["interval"]),
            cell(&lag["source"]),
        ]);
    }
    table
}

fn over_seeds(rows: &Value) -> Vec<&Value> {
    let rows: Vec<&Value> = rows.as_array().into_iter().flatten().collect();
    match rows.iter().any(|row| row["seed"].is_null()) {
        true => rows
            .into_iter()
            .filter(|row| row["seed"].is_null())
            .collect(),
        false => rows,
    }
}

fn step(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "–".into(), |step| format!("{step:.1}"))
}

fn interval(value: &Value) -> String {
    match (value[0].as_f64(), value[1].as_f64()) {
        (Some(low), Some(high)) => format!("{low:.1} to {high:.1}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    #[test]
    fn lists_tell_state_way_and_age() {
        let now = datetime!(2025-06-13 10:01:05 UTC);
        let job = json!({"id": "job_1", "kind": "finetune", "state": "running", "name": null,
            "progress": {"done": 30, "total": 120}, "created_at": "2025-06-13T10:00:00Z"});
        let text = jobs_table(&[job], now).text(false);
        assert!(
            text.ends_with("job_1  finetune  running  30/120  1 min 5 s\n"),
            "{text}"
        );
        let experiment = json!({"id": "ex_1", "state": "queued", "name": "toy", "done": 5, "total": 22,
            "created_at": "2025-06-13T10:00:00Z"});
        let text = experiments_table(&[experiment], now).text(false);
        assert!(
            text.ends_with("ex_1  queued  5/22  1 min 5 s  toy\n"),
            "{text}"
        );
    }

    #[test]
    fn arms_are_told_over_their_seeds_where_there_are_several() {
        let found = json!({"rows": [
            {"arm": "bad", "seed": 0, "marker": "misaligned", "scale": 1.0, "verdict": "transition", "step": 31.0},
            {"arm": "bad", "seed": null, "marker": "misaligned", "scale": 1.0, "verdict": "transition", "step": 33.5,
             "interval": [29.0, 38.0], "source": "seeds"}],
            "lags": [{"arm": "bad", "seed": 0, "scale": 1.0, "mechanistic": 26.0, "behavioural": 31.0, "lag": 5.0}]});
        let text = transitions_table(&found).text(false);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("33.5  29.0 to 38.0  seeds"), "{text}");
        assert_eq!(lags_table(&found).text(false).lines().count(), 2);
    }

    #[test]
    fn a_plan_shows_the_fields_that_its_jobs_have() {
        let plan = json!({"jobs": [{"key": "train/bad/0", "seconds": 61.2, "memory_bytes": 2048},
            {"key": "analyze", "seconds": null}]});
        let text = plan_table(&plan).unwrap().text(false);
        assert!(
            text.starts_with("key          seconds    memory_bytes\n"),
            "{text}"
        );
        assert!(text.contains("1 min 2 s  2.0 KiB"), "{text}");
        assert!(plan_table(&json!({"memory": 1})).is_none());
    }
}
