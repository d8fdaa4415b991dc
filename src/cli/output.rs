//! How answers are shown: JSON, tables, fields. Data goes to standard output, talk to standard error.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

/// Where and how a command's data is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// Whether data is shown as JSON.
    pub(super) json: bool,
    /// Whether words are coloured.
    pub(super) colour: bool,
}

impl Output {
    /// As the arguments and the terminal have it.
    pub(super) fn new(json: bool, no_color: bool) -> Self {
        let asked_not = no_color || is_set("NO_COLOR") || is_dumb();
        Self {
            json,
            colour: !json && !asked_not && std::io::stdout().is_terminal(),
        }
    }

    /// Shows a value as JSON.
    pub(super) fn value(self, value: &impl Serialize) -> Result<()> {
        line(&serde_json::to_string_pretty(value)?)
    }

    /// A state, coloured by what it means.
    pub(super) fn state(self, state: &str) -> String {
        painted(state, state, self.colour)
    }

    /// Shows a table.
    pub(super) fn table(self, table: &Table) -> Result<()> {
        text(&table.text(self.colour))
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether the terminal can neither paint nor move its cursor.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Writes a line of data.
///
/// *Errors* a reader that has gone away, which ends the program quietly.
pub(super) fn line(data: &str) -> Result<()> {
    text(&format!("{data}\n"))
}

/// Writes data as it is.
pub(super) fn text(data: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(data.as_bytes())?;
    Ok(out.flush()?)
}

/// Says something that is no data.
pub(super) fn say(talk: &str) {
    // nobody is left to be told that telling failed
    let _ = writeln!(std::io::stderr(), "{talk}");
}

/// `cell` in the colour of a state.
fn painted(cell: &str, state: &str, colour: bool) -> String {
    let code = match state {
        "succeeded" | "ready" | "complete" => "32",
        "failed" => "31",
        "running" | "registering" => "36",
        "cancelled" | "cancelling" | "paused" | "pausing" | "partial" => "33",
        "queued" | "blocked" => "2",
        _ => return cell.to_owned(),
    };
    match colour {
        true => format!("\u{1b}[{code}m{cell}\u{1b}[0m"),
        false => cell.to_owned(),
    }
}

/// Rows under a head.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row of as many cells as the head has.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text: columns of numbers stand to the right.
    pub(super) fn text(&self, colour: bool) -> String {
        let columns: Vec<(usize, bool)> = (0..self.head.len()).map(|at| self.column(at)).collect();
        let mut text = row_text(&self.head, &columns, false);
        for row in &self.rows {
            text += &row_text(row, &columns, colour);
        }
        text
    }

    /// Width of a column, and whether it holds numbers.
    fn column(&self, at: usize) -> (usize, bool) {
        let cells = || self.rows.iter().map(|row| row[at].as_str());
        let wide = cells().chain([self.head[at].as_str()]).map(width).max();
        let filled = || cells().filter(|cell| !cell.is_empty() && *cell != "–");
        let numbers = filled().all(is_number) && filled().next().is_some();
        (wide.unwrap_or(0), numbers)
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn is_number(text: &str) -> bool {
    text.trim_end_matches(" %").parse::<f64>().is_ok()
}

fn row_text(cells: &[String], columns: &[(usize, bool)], colour: bool) -> String {
    let cells = cells.iter().zip(columns).map(|(cell, (wide, numbers))| {
        let pad = " ".repeat(wide.saturating_sub(width(cell)));
        let cell = painted(cell, cell, colour);
        match numbers {
            true => format!("{pad}{cell}"),
            false => format!("{cell}{pad}"),
        }
    });
    let row = cells.collect::<Vec<_>>().join("  ");
    format!("{}\n", row.trim_end())
}

/// A plain value in a cell; nothing for null.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Fields of an object a line each; what is nested is shown as JSON, and null not at all.
pub(super) fn fields(value: &Value) -> String {
    let Some(object) = value.as_object() else {
        return format!("{}\n", cell(value));
    };
    let shown = object.iter().filter(|(_, value)| !value.is_null());
    let wide = shown.clone().map(|(name, _)| width(name)).max();
    let wide = wide.unwrap_or(0);
    shown
        .map(|(name, value)| format!("{name:wide$}  {}\n", cell(value)))
        .collect()
}

/// Seconds in words: `7 s`, `3 min 5 s`, `2 h 14 min`.
pub(super) fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes in words, in powers of 1024.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_straight_and_numbers_stand_to_the_right() {
        let mut table = Table::new(&["name", "state", "step"]);
        table.row(["für".into(), "succeeded".into(), "5".into()]);
        table.row(["a longer one".into(), "failed".into(), "120".into()]);
        assert_eq!(
            table.text(false),
            "name          state      step\nfür           succeeded     5\na longer one  failed      120\n"
        );
    }

    #[test]
    fn only_states_are_painted_and_only_where_wanted() {
        let mut table = Table::new(&["name", "state"]);
        table.row(["x".into(), "failed".into()]);
        assert!(!table.text(false).contains('\u{1b}'));
        assert!(table.text(true).contains("x     \u{1b}[31mfailed\u{1b}[0m"));
    }

    #[test]
    fn fields_leave_out_what_is_not_there() {
        let value = json!({"id": "job_1", "error": null, "result": {"a": 1}});
        assert_eq!(fields(&value), "id      job_1\nresult  {\"a\":1}\n");
    }

    #[test]
    fn times_and_sizes_are_told_in_words() {
        assert_eq!(
            [7, 185, 8040].map(duration),
            ["7 s", "3 min 5 s", "2 h 14 min"]
        );
        assert_eq!(
            [12, 2048, 5_368_709_120].map(bytes),
            ["12 B", "2.0 KiB", "5.0 GiB"]
        );
    }
}
