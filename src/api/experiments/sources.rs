//! What made an experiment's numbers: program, data, weights, questions, judges, each by what tells it from others of its name.

use std::collections::BTreeSet;

use crate::api::ApiState;
use crate::api::error::Answer;
use crate::domain::experiment::{Experiment, ExperimentJob};
use crate::domain::job::Job;
use crate::domain::report::{NamedHash, Sources};
use crate::storage::{jobs, registry, results};

/// The sources of `experiment` with these jobs.
pub(super) async fn sources(
    state: &ApiState,
    experiment: &Experiment,
    members: &[(ExperimentJob, Job)],
) -> Answer<Sources> {
    let datasets: BTreeSet<&String> = experiment
        .arms
        .iter()
        .flat_map(|arm| &arm.datasets)
        .collect();
    let bases: BTreeSet<&String> = experiment.arms.iter().map(|arm| &arm.base_model).collect();
    let asked = members
        .iter()
        .filter_map(|(_, job)| job.spec["question_set"].as_str());
    let asked: BTreeSet<&str> = asked.collect();
    let mut sources = Sources {
        versions: vec![named(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))],
        ..Sources::default()
    };
    for name in datasets {
        if let Some(found) = registry::dataset_named(&state.storage, name).await? {
            sources.datasets.push(named(&found.name, &found.sha256));
        }
    }
    for name in bases {
        if let Some(found) = jobs::base_model(&state.storage, name).await? {
            sources
                .base_models
                .push(named(&found.name, &found.source_hash));
        }
    }
    for name in asked {
        if let Some(found) = registry::question_set_named(&state.storage, name).await? {
            sources
                .question_sets
                .push(named(&found.name, &found.sha256));
        }
    }
    sources.judges = judges(state, members).await?;
    Ok(sources)
}

/// Judges with the models that answered for them.
async fn judges(state: &ApiState, members: &[(ExperimentJob, Job)]) -> Answer<Vec<NamedHash>> {
    let mut judges = BTreeSet::new();
    for (member, _) in members {
        if let Some(id) = &member.evaluation {
            let found = results::evaluation(&state.storage, id.as_str()).await?;
            let by = serde_json::to_string(&found.judged_by).unwrap_or_default();
            judges.insert(named(&found.judge, &by));
        }
    }
    Ok(judges.into_iter().collect())
}

fn named(name: &str, value: &str) -> NamedHash {
    NamedHash {
        name: name.into(),
        value: value.into(),
    }
}
