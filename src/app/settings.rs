//! From the configuration to what each part takes. The parts know no configuration.

use crate::api;
use crate::config::{Config, Inference};
use crate::domain::openai::Bounds;
use crate::storage;

/// Bounds of the API.
pub fn api_settings(config: &Config) -> api::Settings {
    api::Settings {
        json_bytes: config.server.json_bytes,
        upload_bytes: config.limits.upload_bytes,
        page_items: config.limits.page_items,
        queued_jobs: config.limits.queued_jobs,
        threads_per_attempt: config.worker.threads_per_attempt,
        decode_slots: config.worker.decode_slots,
        in_flight: config.server.requests_in_flight,
        request: config.server.request,
        body_stall: config.server.body_stall,
        model_roots: config.models.roots.clone(),
        inference: inference(&config.inference),
    }
}

fn inference(config: &Inference) -> api::openai::Settings {
    api::openai::Settings {
        bounds: Bounds {
            answers: config.answers,
            new_tokens: config.new_tokens,
            drawn_tokens: config.drawn_tokens,
            prompts: config.prompts,
            prompt_tokens: config.prompt_tokens,
            stop_texts: config.stop_texts,
        },
        request: config.request,
    }
}

/// Bounds of the pool.
pub fn storage_limits(config: &Config) -> storage::Limits {
    storage::Limits {
        connections: config.database.connections,
        acquire: config.database.acquire,
        statement: config.database.statement,
        lock: config.database.lock,
        idle_transaction: config.database.idle_transaction,
    }
}
