//! What comes beside a spec: name, priority, dedup, tags. None of it changes a number.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bounds::Check;
use super::fields::Fields;
use crate::domain::invalid::{Checked, Findings};
use crate::domain::job::JobEnvelope;

/// Longest name of a job, in characters.
pub const LONGEST_NAME: usize = 200;
/// Most tags of a job.
pub const MOST_TAGS: usize = 32;
const LONGEST_KEY: usize = 64;
const LONGEST_VALUE: usize = 256;

/// Keys of a body that belong to the envelope.
const KEYS: [&str; 4] = ["name", "priority", "dedup", "tags"];

/// Takes the envelope out of a body.
pub fn take(body: &mut Map<String, Value>) -> Checked<JobEnvelope> {
    let own: Map<String, Value> = KEYS
        .iter()
        .filter_map(|key| body.remove_entry(*key))
        .collect();
    let mut fields = Fields::new("", own);
    let name = fields.optional::<String>("name");
    let priority = fields.or("priority", Default::default());
    let dedup = fields.or("dedup", Default::default());
    let tags = fields.or("tags", BTreeMap::<String, String>::new());
    let envelope = match (name, priority, dedup, tags) {
        (Some(name), Some(priority), Some(dedup), Some(tags)) => Some(JobEnvelope {
            name,
            priority,
            dedup,
            tags,
        }),
        _ => None,
    };
    let envelope = fields.finish(envelope)?;
    check(&envelope)?;
    Ok(envelope)
}

fn check(envelope: &JobEnvelope) -> Checked<()> {
    let mut findings = Findings::default();
    let mut top = Check::below(&mut findings, "");
    if let Some(name) = &envelope.name
        && !is_line(name, 1, LONGEST_NAME)
    {
        let wanted = format!("give 1 to {LONGEST_NAME} characters on one line, or leave it out");
        top.refuse("name", format!("\"{}\"", shortened(name)), &wanted);
    }
    top.length("tags", envelope.tags.len(), 0..=MOST_TAGS);
    for (key, value) in &envelope.tags {
        check_tag(&mut findings, key, value);
    }
    findings.finish()
}

fn check_tag(findings: &mut Findings, key: &str, value: &str) {
    let mut tags = Check::below(findings, "/tags");
    let place = crate::domain::decode::escape(key);
    if !is_line(key, 1, LONGEST_KEY) {
        let wanted = format!("a tag's key has 1 to {LONGEST_KEY} characters on one line");
        tags.refuse(&place, format!("the key \"{}\"", shortened(key)), &wanted);
    }
    if !is_line(value, 0, LONGEST_VALUE) {
        let wanted = format!("a tag's value has at most {LONGEST_VALUE} characters on one line");
        tags.refuse(&place, format!("\"{}\"", shortened(value)), &wanted);
    }
}

fn is_line(text: &str, shortest: usize, longest: usize) -> bool {
    let length = text.chars().count();
    (shortest..=longest).contains(&length) && !text.chars().any(char::is_control)
}

fn shortened(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}
