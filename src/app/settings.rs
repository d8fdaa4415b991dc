//! From the configuration to what each part takes. The parts know no configuration.

use crate::api;
use crate::config::Config;
use crate::storage;

/// Bounds of the API.
pub fn api_settings(config: &Config) -> api::Settings {
    api::Settings {
        json_bytes: config.server.json_bytes,
        upload_bytes: config.limits.upload_bytes,
        page_items: config.limits.page_items,
        queued_jobs: config.limits.queued_jobs,
        in_flight: config.server.requests_in_flight,
        request: config.server.request,
        body_stall: config.server.body_stall,
        model_roots: config.models.roots.clone(),
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
