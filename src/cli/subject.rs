//! What a command is about: an id tells its kind by its prefix, a name is looked up among experiments and jobs.

use anyhow::Result;
use serde_json::Value;

use super::exit::Ended;
use crate::client::{Client, ClientError};
use crate::domain::nearest::nearest;

/// Things that are looked through for a name.
const LOOKED_THROUGH: usize = 200;

/// Kinds of things with ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Experiment,
    Evaluation,
    Analysis,
    Checkpoint,
    Adapter,
    Dataset,
    BaseModel,
    QuestionSet,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Job,
        Self::Experiment,
        Self::Evaluation,
        Self::Analysis,
        Self::Checkpoint,
        Self::Adapter,
        Self::Dataset,
        Self::BaseModel,
        Self::QuestionSet,
    ];

    /// Prefix of the ids, the list's path, and what one is called.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Job => ("job_", "jobs", "job"),
            Self::Experiment => ("ex_", "experiments", "experiment"),
            Self::Evaluation => ("ev_", "evaluations", "evaluation"),
            Self::Analysis => ("an_", "analyses", "analysis"),
            Self::Checkpoint => ("cp_", "checkpoints", "checkpoint"),
            Self::Adapter => ("ad_", "adapters", "adapter"),
            Self::Dataset => ("ds_", "datasets", "dataset"),
            Self::BaseModel => ("bm_", "base-models", "base model"),
            Self::QuestionSet => ("qs_", "question-sets", "question set"),
        }
    }

    /// Where its list is, behind `/v1`.
    pub(super) fn path(self) -> &'static str {
        self.words().1
    }

    /// What one is called.
    pub(super) fn word(self) -> &'static str {
        self.words().2
    }
}

/// One thing on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) kind: Kind,
    pub(super) id: String,
}

impl Subject {
    /// The thing with this id; none where `text` has no id's prefix.
    pub(super) fn of_id(text: &str) -> Option<Self> {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| text.starts_with(kind.words().0))?;
        Some(Self {
            kind,
            id: text.to_owned(),
        })
    }

    /// The thing that `text` is the id of, or the experiment or job of that name.
    ///
    /// *Errors* a name of nothing, with what is like it, and a name of several, with their ids.
    pub(super) async fn find(client: &Client, text: &str) -> Result<Self> {
        if let Some(subject) = Self::of_id(text) {
            return Ok(subject);
        }
        for kind in [Kind::Experiment, Kind::Job] {
            let named = named(client, kind, text).await?;
            if let Some(subject) = one(kind, text, &named)? {
                return Ok(subject);
            }
        }
        let mut names = Vec::new();
        for kind in [Kind::Experiment, Kind::Job] {
            names.extend(texts(&recent(client, kind).await?, "name"));
        }
        Err(Ended::NotFound(nothing("experiment or job", text, &names)).into())
    }

    /// The same, but only of one of these kinds.
    pub(super) async fn find_of(client: &Client, text: &str, kinds: &[Kind]) -> Result<Self> {
        let subject = Self::find(client, text).await?;
        if kinds.contains(&subject.kind) {
            return Ok(subject);
        }
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        let detail = format!(
            "{text} is of the kind \"{}\"; this command takes the id of one of: {}",
            subject.kind.word(),
            wanted.join(", ")
        );
        Err(Ended::Usage(detail).into())
    }

    /// Its parts of a path, `more` behind them.
    pub(super) fn path<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["v1", self.kind.path(), &self.id];
        path.extend(more);
        path
    }

    /// What the server shows of it.
    ///
    /// *Errors* an unknown id, with the one that may be meant.
    pub(super) async fn fetch(&self, client: &Client) -> Result<Value> {
        match client.value(&self.path(&[]), &[]).await {
            Err(error) if error.status() == Some(404) => Err(self.unknown(client, error).await),
            other => Ok(other?),
        }
    }

    async fn unknown(&self, client: &Client, error: ClientError) -> anyhow::Error {
        let ids = match recent(client, self.kind).await {
            Ok(things) => texts(&things, "id"),
            Err(_) => return error.into(),
        };
        match nearest(&self.id, ids.iter().map(String::as_str)).is_empty() {
            true => error.into(),
            false => Ended::NotFound(nothing(self.kind.word(), &self.id, &ids)).into(),
        }
    }
}

async fn named(client: &Client, kind: Kind, name: &str) -> Result<Vec<Value>> {
    if kind == Kind::Job {
        let query = [("name", name)];
        return Ok(client.list(&["v1", "jobs"], &query, LOOKED_THROUGH).await?);
    }
    let mut things = recent(client, kind).await?;
    things.retain(|thing| thing["name"] == name);
    Ok(things)
}

async fn recent(client: &Client, kind: Kind) -> Result<Vec<Value>> {
    match client.list(&["v1", kind.path()], &[], LOOKED_THROUGH).await {
        // a server without experiments, or a kind without a list
        Err(error) if matches!(error.status(), Some(404 | 405)) => Ok(Vec::new()),
        other => Ok(other?),
    }
}

fn one(kind: Kind, name: &str, named: &[Value]) -> Result<Option<Subject>> {
    let ids = texts(named, "id");
    match &ids[..] {
        [] => Ok(None),
        [id] => Ok(Some(Subject {
            kind,
            id: id.clone(),
        })),
        several => {
            let word = kind.word();
            let some: Vec<&str> = several.iter().take(8).map(String::as_str).collect();
            let detail = format!(
                "{} {word}s have the name \"{name}\"; give the id of one: {}",
                several.len(),
                some.join(", ")
            );
            Err(Ended::Usage(detail).into())
        }
    }
}

fn texts(things: &[Value], field: &str) -> Vec<String> {
    let found = things.iter().filter_map(|thing| thing[field].as_str());
    found.map(str::to_owned).collect()
}

fn nothing(what: &str, text: &str, known: &[String]) -> String {
    let near = nearest(text, known.iter().map(String::as_str));
    let hint = match near.is_empty() {
        true => "vivarium ls shows what there is".to_owned(),
        false => format!("did you mean {}?", near.join(" or ")),
    };
    format!("there is no {what} \"{text}\"; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_prefix_tells_the_kind() {
        for (text, kind) in [
            ("job_01", Kind::Job),
            ("ex_01", Kind::Experiment),
            ("an_1", Kind::Analysis),
        ] {
            assert_eq!(Subject::of_id(text).unwrap().kind, kind);
        }
        assert_eq!(Subject::of_id("example"), None);
    }

    #[test]
    fn a_name_of_several_is_refused_with_their_ids() {
        let two = [json!({"id": "job_1"}), json!({"id": "job_2"})];
        let error = one(Kind::Job, "x", &two).unwrap_err().to_string();
        assert!(error.ends_with("job_1, job_2"), "{error}");
    }

    #[test]
    fn a_name_of_nothing_suggests_what_is_like_it() {
        let known = ["phase transition".to_owned(), "sport".to_owned()];
        let told = nothing("experiment or job", "phase transitoin", &known);
        assert!(told.ends_with("did you mean phase transition?"), "{told}");
        assert!(nothing("job", "zzzzzzzz", &known).ends_with("vivarium ls shows what there is"));
    }
}
