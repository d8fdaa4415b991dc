//! The report as Markdown: GitHub's tables, figures as links.

use super::sections::{Section, Table, sections};
use super::value::{ExperimentReport, FigureLine};

/// The report as one Markdown text; `figures` is what stands before a figure's name in links.
pub fn markdown(report: &ExperimentReport, figures: &str) -> String {
    let head = &report.experiment;
    let mut text = format!("# {}\n\n", escaped(&head.name));
    if let Some(description) = &head.description {
        text += &format!("{}\n\n", escaped(description));
    }
    let arms = report.arms.len();
    text += &format!(
        "Experiment `{}` of {}: {}; {arms} arms, {} cells.\n",
        head.id,
        escaped(&head.owner),
        head.state,
        report
            .cells
            .iter()
            .filter(|cell| cell.arm.is_some())
            .count(),
    );
    for section in sections(report) {
        text += &section_text(&section, &report.figures, figures);
    }
    text
}

fn section_text(section: &Section, all: &[FigureLine], before: &str) -> String {
    let mut text = format!("\n## {}\n", section.title);
    for words in &section.words {
        text += &format!("\n{}\n", escaped(words));
    }
    if !section.points.is_empty() {
        text.push('\n');
    }
    for point in &section.points {
        text += &format!("- {}\n", escaped(point));
    }
    for table in section.tables.iter().filter(|table| !table.rows.is_empty()) {
        text += &table_text(table);
    }
    if let Some(code) = &section.code {
        text += &format!("\n```json\n{code}\n```\n");
    }
    let here = |figure: &&FigureLine| {
        section
            .figures
            .iter()
            .any(|name| figure.name.starts_with(name))
    };
    for figure in all.iter().filter(here) {
        let (title, name) = (escaped(&figure.title), &figure.name);
        text += &format!(
            "\n![{title}]({before}{name}.svg)\n\n{}\n",
            escaped(&figure.caption)
        );
    }
    text
}

fn table_text(table: &Table) -> String {
    let names = table.columns.iter().map(|(name, _)| (*name).to_owned());
    let rules = table.columns.iter().map(|(_, number)| match number {
        true => "---:",
        false => "---",
    });
    let mut text = format!("\n{}:\n\n", escaped(&table.caption));
    text += &row(names);
    text += &row(rules.map(str::to_owned));
    for cells in &table.rows {
        text += &row(cells.iter().map(|cell| escaped(cell)));
    }
    text
}

fn row(cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text that means nothing to Markdown: names may hold what its authors like.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped += "&lt;",
            '\\' | '`' | '*' | '|' | '[' | ']' | '#' | '_' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_a_table_or_add_markup() {
        assert_eq!(escaped("a|b\n<script>*x*"), "a\\|b &lt;script>\\*x\\*");
        let table = Table {
            caption: "Arms".into(),
            columns: vec![("Arm", false), ("Rate", true)],
            rows: vec![vec!["a|b".into(), "2 %".into()]],
        };
        let expected = "\nArms:\n\n| Arm | Rate |\n| --- | ---: |\n| a\\|b | 2 % |\n";
        assert_eq!(table_text(&table), expected);
    }
}
