//! The log: to standard error, for people or for machines. Knows no event.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::{Log, LogFormat, LogLevel};

/// Starts the log of this process; a second call changes nothing.
pub fn start(log: &Log) {
    let level = level(log.level);
    // Libraries talk about their connections at every level; they are heard from warnings on.
    let ours = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // Looks for a password file in a home that may be another user's, and says so at each connection.
        .with_target("sqlx_postgres::options::pgpass", LevelFilter::OFF)
        .with_target("vivarium", level);
    let colours = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let _ = match log.format {
        LogFormat::Human => registry.with(lines.with_filter(ours)).try_init(),
        LogFormat::Json => registry.with(lines.json().with_filter(ours)).try_init(),
    };
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
