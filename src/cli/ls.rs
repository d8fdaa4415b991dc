//! `vivarium ls`: what a server has, newest first.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::exit::{EXIT_CODES, Ended};
use super::output::{Table, cell, say};
use super::remote::Remote;
use super::words::{age, experiments_table, jobs_table};
use crate::domain::time::{Clock, SystemClock};

/// `ls`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium ls                                  the newest jobs
  vivarium ls experiments
  vivarium ls jobs --state running --kind evaluate
  vivarium ls jobs --tag paper:fig-7 --json | jq -r '.[].id'

{EXIT_CODES}"))]
pub struct Ls {
    #[command(flatten)]
    remote: Remote,
    /// What to list
    #[arg(value_enum, default_value_t = Listed::Jobs)]
    what: Listed,
    /// Only these states; may be given several times
    #[arg(long)]
    state: Vec<String>,
    /// Only jobs of these kinds; may be given several times
    #[arg(long)]
    kind: Vec<String>,
    /// Only those of this name
    #[arg(long)]
    name: Option<String>,
    /// Only those with this tag, KEY or KEY:VALUE; may be given several times
    #[arg(long)]
    tag: Vec<String>,
    /// The newest so many
    #[arg(long, short = 'n', default_value_t = 30)]
    limit: usize,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Listed {
    Jobs,
    Experiments,
    Evaluations,
    BaseModels,
    Datasets,
    Adapters,
    QuestionSets,
    Judges,
    ChatModels,
}

impl Listed {
    fn path(self) -> &'static [&'static str] {
        match self {
            Self::Jobs => &["v1", "jobs"],
            Self::Experiments => &["v1", "experiments"],
            Self::Evaluations => &["v1", "evaluations"],
            Self::BaseModels => &["v1", "base-models"],
            Self::Datasets => &["v1", "datasets"],
            Self::Adapters => &["v1", "adapters"],
            Self::QuestionSets => &["v1", "question-sets"],
            Self::Judges => &["v1", "judges"],
            Self::ChatModels => &["openai", "v1", "models"],
        }
    }

    /// Fields of the table.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Evaluations => &["id", "state", "answers", "judge", "job", "name"],
            Self::BaseModels => &["id", "state", "family", "parameters", "created_at", "name"],
            Self::Datasets => &["id", "examples", "format", "bytes", "created_at", "name"],
            Self::Adapters => &["id", "base_model", "created_at", "name"],
            Self::Judges => &["name", "type", "ready", "model"],
            Self::ChatModels => &["id"],
            _ => &["id", "created_at", "name"],
        }
    }

    /// Whether the server can leave things out by state, kind, name and tag.
    fn filters(self) -> bool {
        self == Self::Jobs
    }
}

/// Lists.
pub async fn run(ls: &Ls) -> Result<()> {
    let (client, output) = (ls.remote.client()?, ls.remote.output());
    let items = match ls.what {
        // lists that are never long have no pages
        Listed::Judges | Listed::ChatModels => {
            let answer = client.value(ls.what.path(), &[]).await?;
            let all = answer["data"].as_array().cloned().unwrap_or_default();
            all.into_iter().take(ls.limit).collect()
        }
        _ => {
            let most = if ls.what.filters() || !ls.chooses() {
                ls.limit
            } else {
                1000
            };
            client.list(ls.what.path(), &query(ls)?, most).await?
        }
    };
    let items = chosen(ls, items);
    if output.json {
        return output.value(&items);
    }
    let table = table(ls.what, &items);
    if table.is_empty() {
        say("nothing is there");
        return Ok(());
    }
    output.table(&table)
}

impl Ls {
    fn chooses(&self) -> bool {
        let lists = [&self.state, &self.kind, &self.tag];
        self.name.is_some() || lists.iter().any(|list| !list.is_empty())
    }
}

fn query(ls: &Ls) -> Result<Vec<(&str, &str)>> {
    if !ls.what.filters() {
        if !ls.kind.is_empty() {
            let detail = "--kind chooses among jobs: vivarium ls jobs --kind …";
            return Err(Ended::Usage(detail.into()).into());
        }
        return Ok(Vec::new());
    }
    let many = [("state", &ls.state), ("kind", &ls.kind), ("tag", &ls.tag)];
    let mut query: Vec<(&str, &str)> = Vec::new();
    for (name, values) in many {
        query.extend(values.iter().map(|value| (name, value.as_str())));
    }
    query.extend(ls.name.iter().map(|name| ("name", name.as_str())));
    Ok(query)
}

/// What the server does not leave out itself.
fn chosen(ls: &Ls, items: Vec<Value>) -> Vec<Value> {
    if ls.what.filters() {
        return items;
    }
    let fits = |item: &Value| {
        let state = item["state"].as_str().unwrap_or_default();
        let tagged = |tag: &String| match tag.split_once(':') {
            Some((key, value)) => item["tags"][key] == *value,
            None => !item["tags"][tag.as_str()].is_null(),
        };
        (ls.state.is_empty() || ls.state.iter().any(|wanted| wanted == state))
            && ls.name.as_ref().is_none_or(|name| item["name"] == **name)
            && ls.tag.iter().all(tagged)
    };
    items.into_iter().filter(fits).take(ls.limit).collect()
}

fn table(what: Listed, items: &[Value]) -> Table {
    let now = SystemClock::start().now();
    match what {
        Listed::Jobs => return jobs_table(items, now),
        Listed::Experiments => return experiments_table(items, now),
        _ => {}
    }
    let columns = what.columns();
    let heads = columns.iter().map(|name| match *name {
        "created_at" => "age",
        other => other,
    });
    let mut table = Table::new(&heads.collect::<Vec<_>>());
    for item in items {
        table.row(columns.iter().map(|name| match *name {
            "created_at" => age(&item[*name], now),
            _ => cell(&item[*name]),
        }));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use serde_json::json;

    fn ls(arguments: &[&str]) -> Ls {
        let all = ["vivarium", "ls"].iter().chain(arguments);
        match Cli::parse_from(all).command {
            Command::Ls(ls) => ls,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn filters_of_jobs_go_to_the_server() {
        let ls = ls(&[
            "jobs", "--state", "running", "--state", "queued", "--tag", "a:b", "--name", "x",
        ]);
        let expected = [
            ("state", "running"),
            ("state", "queued"),
            ("tag", "a:b"),
            ("name", "x"),
        ];
        assert_eq!(query(&ls).unwrap(), expected);
    }

    #[test]
    fn other_lists_are_thinned_here() {
        let items = vec![
            json!({"id": "ex_1", "state": "running", "name": "x", "tags": {"a": "b"}}),
            json!({"id": "ex_2", "state": "failed", "name": "x", "tags": {}}),
        ];
        let of = |arguments: &[&str]| chosen(&ls(arguments), items.clone()).len();
        assert_eq!(of(&["experiments", "--name", "x"]), 2);
        assert_eq!(of(&["experiments", "--state", "failed"]), 1);
        assert_eq!(of(&["experiments", "--tag", "a:b"]), 1);
        assert_eq!(of(&["experiments", "--tag", "a:c"]), 0);
        assert!(query(&ls(&["experiments", "--kind", "finetune"])).is_err());
    }
}
