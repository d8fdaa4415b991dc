//! Everything that an experiment left behind as one zip, written as it is sent. What a bundle is, is [`crate::bundle`]'s.

use std::io::Write;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio_util::io::{ReaderStream, SyncIoBridge};

use super::report::{self, Made};
use crate::api::ApiState;
use crate::api::error::{Answer, ProblemBody};
use crate::api::extract::InPath;
use crate::api::files::disk;
use crate::bundle::{WriteError, Writer};
use crate::domain::experiment::JobRole;
use crate::domain::ids::ExperimentId;
use crate::domain::report::{data_tables, markdown};
use crate::execution::LocalFile;
use crate::plot::{self, Theme};
use crate::storage::registry;
use crate::web;

/// Bytes between the writer and the connection.
const PIPE: usize = 1 << 18;
/// Pixels across of pictures.
const WIDTH: u32 = 1600;

/// Download everything that an experiment left behind
///
/// A zip of the report in three forms, specs and hashes of every job, data as CSV, series as JSON, figures, the last adapter of
/// every run in PEFT's layout, and a manifest that `vivarium verify` checks without a server.
#[utoipa::path(get, path = "/v1/experiments/{id}/bundle", tag = "results", params(("id" = ExperimentId, Path)), responses(
    (status = 200, body = Vec<u8>, content_type = "application/zip"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
))]
pub(super) async fn bundle(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
) -> Answer<Response> {
    let made = report::whole(&state, &id).await?;
    let adapters = adapters(&state, &made).await?;
    let (near, far) = tokio::io::duplex(PIPE);
    let name = format!("attachment; filename=\"{id}.zip\"");
    tokio::task::spawn_blocking(move || {
        let target = SyncIoBridge::new(near);
        if let Err(error) = written(&made, &adapters, &id, target) {
            // the zip has no end then, which every reader of it notices
            tracing::warn!(%id, error = %error, "a bundle was not written to its end");
        }
    });
    let head = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((head, Body::from_stream(ReaderStream::new(far))).into_response())
}

/// The files of the last checkpoint of every pair-trained run, by the folder that they go to.
async fn adapters(state: &ApiState, made: &Made) -> Answer<Vec<(String, LocalFile)>> {
    let mut files = Vec::new();
    for (member, job) in &made.jobs {
        let kind = job
            .spec
            .pointer("/method/type")
            .and_then(|kind| kind.as_str());
        let last = job.result.checkpoints.iter().max_by_key(|kept| kept.step);
        let (JobRole::Train, Some("lora"), Some(last)) = (member.role, kind, last) else {
            continue;
        };
        let kept = registry::checkpoint(&state.storage, &last.id).await?;
        for entry in &kept.files {
            let file = state.files.checked(entry).await.map_err(disk)?;
            let folder = format!("adapters/{}/step-{}", plain(&member.key), last.step);
            files.push((format!("{folder}/{}", entry.name), file));
        }
    }
    Ok(files)
}

/// A key of the plan as a path on every system.
fn plain(key: &str) -> String {
    let safe = |c: char| match c {
        '/' | '.' | '-' | '_' | '=' | 'a'..='z' | 'A'..='Z' | '0'..='9' => c,
        _ => '-',
    };
    key.chars().map(safe).collect()
}

fn written(
    made: &Made,
    adapters: &[(String, LocalFile)],
    id: &ExperimentId,
    target: impl Write,
) -> Result<(), WriteError> {
    let mut writer = Writer::begin(target);
    words(&mut writer, made)?;
    for table in data_tables(&made.report) {
        let bytes = table.csv().map_err(std::io::Error::other)?;
        writer.add_bytes(&format!("data/{}.csv", table.name), &bytes)?;
    }
    writer.add_bytes("data/series.json", &pretty(&made.series)?)?;
    drawings(&mut writer, made)?;
    for (path, file) in adapters {
        let mut content = std::fs::File::open(&file.path)?;
        writer.add(path, file.entry.bytes, &mut content)?;
    }
    let (_, mut target) = writer.finish(id.as_str())?;
    target.flush()?;
    Ok(())
}

fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>, WriteError> {
    Ok(serde_json::to_vec_pretty(value).map_err(std::io::Error::from)?)
}

fn words(writer: &mut Writer<impl Write>, made: &Made) -> Result<(), WriteError> {
    let report = &made.report;
    writer.add_bytes("report.json", &pretty(report)?)?;
    writer.add_bytes("report.md", markdown(report, "figures/").as_bytes())?;
    let page = web::page(report, &made.figures, "figures/");
    writer.add_bytes("report.html", page.as_bytes())?;
    writer.add_bytes("spec.json", &pretty(&report.spec)?)?;
    let jobs = made.jobs.iter().map(|(member, job)| {
        json!({"key": member.key, "job": job.id, "spec": job.spec, "spec_hash": job.spec_hash,
            "numerics_hash": job.numerics_hash, "state": job.state, "result": job.result})
    });
    let jobs: Vec<_> = jobs.collect();
    writer.add_bytes("jobs.json", &pretty(&jobs)?)
}

fn drawings(writer: &mut Writer<impl Write>, made: &Made) -> Result<(), WriteError> {
    for figure in &made.figures {
        let svg = figure.svg(Theme::Light);
        let png = plot::png(&svg, WIDTH).map_err(std::io::Error::other)?;
        let name = |ending: &str| format!("figures/{}.{ending}", figure.name());
        writer.add_bytes(&name("svg"), svg.as_bytes())?;
        writer.add_bytes(&name("png"), &png)?;
        writer.add_bytes(&name("csv"), figure.csv().as_bytes())?;
    }
    Ok(())
}
