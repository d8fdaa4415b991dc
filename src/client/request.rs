//! What a client posts to `/v1/jobs`: a spec and what comes with it.

use serde_json::Value;

use crate::domain::job::{Dedup, JobEnvelope, JobSpec};

/// A job as it is handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRequest {
    /// Name, tags, priority, and what happens when the same work exists.
    pub envelope: JobEnvelope,
    /// What to do.
    pub spec: JobSpec,
}

impl JobRequest {
    /// A request under a name that answers with equal work where there is some.
    pub fn named(name: impl Into<String>, spec: JobSpec) -> Self {
        let envelope = JobEnvelope {
            name: Some(name.into()),
            ..JobEnvelope::default()
        };
        Self { envelope, spec }
    }

    /// The same request, done again even where equal work exists.
    pub fn forced(mut self) -> Self {
        self.envelope.dedup = Dedup::Force;
        self
    }

    /// The posted body: one object with the fields of both parts.
    pub fn body(&self) -> Value {
        let mut body = serde_json::to_value(&self.spec).unwrap_or_default();
        let envelope = serde_json::to_value(&self.envelope).unwrap_or_default();
        if let (Value::Object(body), Value::Object(envelope)) = (&mut body, envelope) {
            body.extend(envelope);
        }
        body
    }
}
