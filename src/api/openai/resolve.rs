//! From a model's address to the files that answer; what does not exist is refused with what does.

use std::fmt::Display;

use crate::api::ApiState;
use crate::api::error::{Answer, NOT_FOUND, Problem};
use crate::domain::address::{Address, AddressedChange, Trained};
use crate::domain::assets::{BaseModel, BaseModelState, FileEntry, WeightsKind};
use crate::domain::ids::JobId;
use crate::domain::invalid::FieldError;
use crate::execution::converse::{Change, Speaker};
use crate::execution::files::{checked, identity};
use crate::execution::{Failure, ModelFiles};
use crate::storage::inputs::{self, CheckpointInput};
use crate::storage::{models, registry};

/// Names of what exists that an error lists at most.
const LISTED: i64 = 20;

/// What an address stands for, as rows.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The address with the base's name and the step filled in.
    pub address: Address,
    /// The base, which is ready.
    pub base: BaseModel,
    /// What is put on it.
    pub change: Option<FoundChange>,
}

/// A trained change as rows.
#[derive(Debug, Clone)]
pub(super) struct FoundChange {
    /// What the files hold.
    pub kind: WeightsKind,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// How much of it.
    pub scale: f64,
}

/// What `address` stands for.
///
/// *Errors*: 404 that names the part which does not exist and what exists in its place.
pub(super) async fn find(state: &ApiState, address: &Address) -> Answer<Found> {
    let base = find_base(state, &address.base).await?;
    let Some(change) = &address.change else {
        return Ok(Found {
            address: Address::of_base(&base.name),
            base,
            change: None,
        });
    };
    match &change.trained {
        Trained::Job { job, step } => of_job(state, base, job, *step, change).await,
        Trained::Adapter(reference) => of_adapter(state, base, reference, change).await,
    }
}

/// The only ready base model, for clients that cannot name one.
///
/// *Errors*: 400 where there are several or none.
pub(super) async fn only_base(state: &ApiState) -> Answer<Address> {
    let names = models::ready_names(&state.storage, LISTED).await?;
    match names.as_slice() {
        [one] => Ok(Address::of_base(one)),
        [] => Err(unknown("no base model is ready")),
        several => {
            let detail = format!("which model? There are {}", several.join(", "));
            let error = FieldError::at("/model", detail.clone()).code("model_missing");
            Err(Problem::invalid("/model", detail).with_errors(vec![error]))
        }
    }
}

async fn find_base(state: &ApiState, reference: &str) -> Answer<BaseModel> {
    let found = registry::base_model_identity(&state.storage, reference).await?;
    let shown = reference.escape_debug();
    match found.map(|found| found.model) {
        Some(model) if model.state == BaseModelState::Ready => Ok(model),
        Some(model) => Err(unknown(match model.state {
            BaseModelState::Registering => {
                format!(
                    "base model \"{shown}\" is still being registered; ask again when its state is ready"
                )
            }
            _ => {
                format!("base model \"{shown}\" could not be registered; its register job says why")
            }
        })),
        None => {
            let names = models::ready_names(&state.storage, LISTED).await?;
            let there = listed("no base model is ready", "ready base models are", &names);
            Err(unknown(format!(
                "base model \"{shown}\" does not exist; {there}"
            )))
        }
    }
}

async fn of_job(
    state: &ApiState,
    base: BaseModel,
    job: &JobId,
    step: Option<u64>,
    change: &AddressedChange,
) -> Answer<Found> {
    let Some(trained) = inputs::trained(&state.storage, job).await? else {
        return Err(no_finetune(state, &base, job).await?);
    };
    let own = registry::base_model_identity(&state.storage, &trained.base_model).await?;
    if own.is_none_or(|own| own.model.id != base.id) {
        let detail = format!(
            "{job} was trained on \"{}\", not on \"{}\"; write {}@{job}",
            trained.base_model, base.name, trained.base_model
        );
        return Err(unknown(detail));
    }
    let checkpoint = chosen(job, &trained.checkpoints, step)?;
    Ok(Found {
        address: Address::of_checkpoint(&base.name, job, checkpoint.step, change.scale),
        base,
        change: Some(FoundChange {
            kind: checkpoint.kind,
            files: checkpoint.files.clone(),
            scale: change.scale,
        }),
    })
}

/// Why `job` has nothing to ask: there is no such job, or it does something else.
async fn no_finetune(state: &ApiState, base: &BaseModel, job: &JobId) -> Answer<Problem> {
    let what = match registry::job_identity(&state.storage, job).await? {
        Some(facts) => format!(
            "{job} is no fine-tune but a job of kind {}",
            facts.kind.name()
        ),
        None => format!("job \"{job}\" does not exist"),
    };
    let jobs = models::trained_jobs(&state.storage, (&base.id, &base.name), LISTED).await?;
    let none = format!("no fine-tune of \"{}\" keeps a checkpoint", base.name);
    let some = format!("fine-tunes of \"{}\" are", base.name);
    Ok(unknown(format!("{what}; {}", listed(&none, &some, &jobs))))
}

/// The checkpoint of `step`, or the newest.
fn chosen<'a>(
    job: &JobId,
    kept: &'a [CheckpointInput],
    step: Option<u64>,
) -> Answer<&'a CheckpointInput> {
    let Some(last) = kept.last() else {
        return Err(unknown(format!("{job} keeps no checkpoint yet")));
    };
    let Some(step) = step else {
        return Ok(last);
    };
    let found = kept.iter().find(|one| one.step == step);
    found.ok_or_else(|| {
        let steps: Vec<u64> = kept.iter().map(|one| one.step).collect();
        let there = listed("", "it keeps", &steps);
        unknown(format!("{job} keeps no checkpoint of step {step}; {there}"))
    })
}

async fn of_adapter(
    state: &ApiState,
    base: BaseModel,
    reference: &str,
    change: &AddressedChange,
) -> Answer<Found> {
    let shown = reference.escape_debug();
    let Some(adapter) = inputs::adapter(&state.storage, reference).await? else {
        let others = models::askable_adapters(&state.storage, Some(&base.id), LISTED).await?;
        let others: Vec<_> = others.iter().map(|other| &other.id).collect();
        let none = format!("\"{}\" has none", base.name);
        let there = listed(&none, &format!("\"{}\" has", base.name), &others);
        return Err(unknown(format!(
            "adapter \"{shown}\" does not exist; {there}"
        )));
    };
    if adapter.base_model != base.id {
        let own = registry::base_model(&state.storage, adapter.base_model.as_str()).await?;
        let detail = format!(
            "adapter \"{shown}\" stands on \"{}\", not on \"{}\"; write {}@{shown}",
            own.name, base.name, own.name
        );
        return Err(unknown(detail));
    }
    Ok(Found {
        address: Address::of_adapter(&base.name, &adapter.id, change.scale),
        base,
        change: Some(FoundChange {
            kind: WeightsKind::of_adapter(&adapter.files),
            files: adapter.files,
            scale: change.scale,
        }),
    })
}

/// `some a, b, c and 7 more`, or `none` where there is nothing.
fn listed(none: &str, some: &str, items: &[impl Display]) -> String {
    let most = LISTED as usize;
    let shown: Vec<String> = items.iter().take(most).map(ToString::to_string).collect();
    match items.len() {
        0 => none.to_owned(),
        n if n > most => format!("{some} {} and {} more", shown.join(", "), n - most),
        n if n == most => format!("{some} {} and perhaps more", shown.join(", ")),
        _ => format!("{some} {}", shown.join(", ")),
    }
}

/// A model that cannot be asked because a part of its address does not exist.
pub(super) fn unknown(detail: impl Into<String>) -> Problem {
    let detail = detail.into();
    let error = FieldError::at("/model", detail.clone()).code("model_not_found");
    Problem::new(&NOT_FOUND, detail).with_errors(vec![error])
}

impl Found {
    /// Hash of the files that answer, apart from the scale: build, base, change.
    pub fn fingerprint(&self) -> String {
        let short = |entries: &[FileEntry]| identity(entries)[..12].to_owned();
        let change = self.change.as_ref();
        let change = change.map_or("base".into(), |change| short(&change.files));
        format!(
            "vivarium-{}-{}-{change}",
            env!("CARGO_PKG_VERSION"),
            short(&self.base.files)
        )
    }

    /// The files that answer, each with its hash checked.
    pub async fn speaker(&self, state: &ApiState) -> Answer<Speaker> {
        let (store, found) = (state.files.clone(), self.clone());
        let gathered = tokio::task::spawn_blocking(move || {
            let gather = |name: &str, entries: &[FileEntry]| {
                ModelFiles::gathered(name.to_owned(), entries, |entry| {
                    checked(store.as_ref(), entry)
                })
            };
            let change = found.change.as_ref().map(|change| {
                Ok::<_, Failure>(Change {
                    kind: change.kind,
                    files: gather(&found.address.to_string(), &change.files)?,
                    scale: change.scale,
                })
            });
            Ok::<_, Failure>(Speaker {
                base: gather(&found.base.name, &found.base.files)?,
                change: change.transpose()?,
            })
        });
        Ok(gathered.await.map_err(Problem::internal)??)
    }
}
