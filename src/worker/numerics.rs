//! Whether an attempt may add its numbers to those of earlier attempts. Knows that fingerprints are objects, not what is in them.

use serde_json::{Value, json};

use super::Shared;
use super::context::{AttemptContext, stop_of};
use super::control::Control;
use super::writer::patiently;
use crate::domain::job::JobKind;
use crate::execution::{Context, Hold, Report, Settings, Stop};
use crate::storage::queue::{self, Claim};

/// The settings that the attempt computes under, its fingerprint stored.
///
/// *Errors*: held when earlier numbers were made under another fingerprint and the owner has not accepted that.
pub(super) fn settle(
    shared: &Shared,
    claim: &Claim,
    control: &Control,
    context: &AttemptContext<'_>,
) -> Result<Settings, Stop> {
    let (storage, lease) = (&shared.storage, &claim.lease);
    let ask = patiently(control, || queue::recorded(storage, lease));
    let recorded = shared.runtime.block_on(ask).map_err(stop_of)?;
    let earlier = recorded.fingerprint.filter(|_| recorded.progressed);
    let settings = settings(shared, claim.kind, earlier.as_ref());
    let now = shared.execute.fingerprint(&settings);
    let changed = earlier.map(|earlier| differences(&earlier, &now));
    let changed = changed.filter(|differing| !differing.is_empty());
    if let Some(differing) = changed.as_ref().filter(|_| !recorded.accepted) {
        return Err(held(claim, differing).into());
    }
    let store = patiently(control, || {
        queue::set_fingerprint(storage, lease, &now, changed.is_some())
    });
    shared.runtime.block_on(store).map_err(stop_of)?;
    if let Some(differing) = changed {
        let data = json!({"fingerprint": now, "changed": differing});
        let r#type = "numerics_changed";
        context.report(Report::Event { r#type, data })?;
    }
    Ok(settings)
}

/// A training attempt chooses its own threads; the rows of an evaluation are drawn by threads that others share.
fn settings(shared: &Shared, kind: JobKind, earlier: Option<&Value>) -> Settings {
    let own = &shared.config.settings;
    match earlier {
        Some(earlier) if kind == JobKind::Finetune => shared.execute.settings_of(earlier, own),
        _ => own.clone(),
    }
}

/// In words, what is not what it was.
fn differences(earlier: &Value, now: &Value) -> Vec<String> {
    let (Some(before), Some(after)) = (earlier.as_object(), now.as_object()) else {
        return match earlier == now {
            true => Vec::new(),
            false => vec![format!("{earlier} is {now} now")],
        };
    };
    let added = after.keys().filter(|key| !before.contains_key(*key));
    let keys = before.keys().chain(added);
    keys.filter(|key| before.get(*key) != after.get(*key))
        .map(|key| {
            let text = |side: &serde_json::Map<String, Value>| {
                side.get(key).map_or("not told".into(), Value::to_string)
            };
            format!("{key} was {} and is {} here", text(before), text(after))
        })
        .collect()
}

fn held(claim: &Claim, differing: &[String]) -> Hold {
    let id = &claim.lease.job;
    Hold {
        reason: "numerics",
        detail: format!(
            "its numbers so far were computed under other conditions: {}. Going on here gives other bits than a run without \
             a stop. POST /v1/jobs/{id}/resume with {{\"accept_numerics\":true}} lets it, and its result says so; or put the \
             conditions back and resume it",
            differing.join("; ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_of_two_fingerprints_is_named_and_none_where_there_is_none() {
        let one = json!({"threads": 1, "build": "0.1", "gone": true});
        let other = json!({"threads": 2, "build": "0.1", "new": "x"});
        assert_eq!(differences(&one, &one), Vec::<String>::new());
        let expected = [
            "gone was true and is not told here",
            "threads was 1 and is 2 here",
            "new was not told and is \"x\" here",
        ];
        assert_eq!(differences(&one, &other), expected);
        assert_eq!(
            differences(&json!("a"), &json!("b")),
            ["\"a\" is \"b\" now"]
        );
    }
}
