//! The report as one page that needs no other file and no host: sections, tables, figures in light and dark.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::domain::report::{ExperimentReport, Section, Table, sections};
use crate::plot::{Figure, Theme, page_style};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--ground:#fff;--shade:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--ground:#0d1117;--shade:#151b23}}\
*{box-sizing:border-box}\
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:62rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground)}\
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .5rem}h2{font-size:1.25rem;margin:2.5rem 0 .75rem;border-bottom:1px solid var(--line);padding-bottom:.3rem}\
p,li{max-width:46rem}.soft,figcaption,caption{color:var(--soft)}\
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;padding:0;list-style:none}a{color:inherit}\
.wide{overflow-x:auto;margin:1rem 0}\
table{border-collapse:collapse;font-size:.8125rem;font-variant-numeric:tabular-nums}\
caption{text-align:left;padding-bottom:.4rem}\
th,td{padding:.3rem .45rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\
th{background:var(--shade);white-space:nowrap}td:first-child{white-space:nowrap}.number{text-align:right;white-space:nowrap}\
figure{margin:1.5rem 0}figure svg{display:block;width:100%;height:auto}figcaption{font-size:.875rem;margin-top:.3rem}\
pre{overflow-x:auto;background:var(--shade);padding:1rem;font-size:.8rem}";

/// The report with its figures; `before` is what stands before a figure's name in links to its data.
pub fn page(report: &ExperimentReport, figures: &[Figure], before: &str) -> String {
    let sections = sections(report);
    let head = &report.experiment;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (head.name) " · Vivarium" }
                style { (PreEscaped(STYLE)) (PreEscaped(page_style())) }
            }
            body {
                header {
                    h1 { (head.name) }
                    @if let Some(description) = &head.description { p { (description) } }
                    p.soft {
                        "Experiment " code { (head.id) } " of " (head.owner) ": " strong { (head.state) }
                        "; " (report.arms.len()) " arms. Submitted " (head.created_at.date())
                        @if !head.is_final { ". Not finished: what is missing is told below" } "."
                    }
                }
                nav aria-label="sections" { ul {
                    @for section in &sections { li { a href=(format!("#{}", section.id)) { (section.title) } } }
                } }
                main { @for section in &sections { (part(section, figures, before)) } }
            }
        }
    };
    markup.into_string()
}

fn part(section: &Section, figures: &[Figure], before: &str) -> Markup {
    let here = |figure: &&Figure| {
        section.figures.iter().any(|name| {
            let rest = figure.name().strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    html! {
        section id=(section.id) aria-labelledby=(format!("{}-title", section.id)) {
            h2 id=(format!("{}-title", section.id)) { (section.title) }
            @for words in &section.words { p { (words) } }
            @if !section.points.is_empty() { ul { @for point in &section.points { li { (point) } } } }
            @for table in section.tables.iter().filter(|table| !table.rows.is_empty()) { (grid(table)) }
            @for figure in figures.iter().filter(here) { (drawing(figure, before)) }
            @if let Some(code) = &section.code { pre { code { (code) } } }
        }
    }
}

fn grid(table: &Table) -> Markup {
    let class = |place: usize| {
        table
            .columns
            .get(place)
            .is_some_and(|(_, number)| *number)
            .then_some("number")
    };
    html! {
        div.wide tabindex="0" role="region" aria-label=(table.caption) {
            table {
                caption { (table.caption) }
                thead { tr { @for (place, (name, _)) in table.columns.iter().enumerate() { th scope="col" class=[class(place)] { (name) } } } }
                tbody { @for row in &table.rows { tr { @for (place, cell) in row.iter().enumerate() { td class=[class(place)] { (cell) } } } } }
            }
        }
    }
}

/// Numbers stand in the drawing; those behind it are a link away.
fn drawing(figure: &Figure, before: &str) -> Markup {
    let link = |ending: &str| format!("{before}{}.{ending}", figure.name());
    html! {
        figure id=(figure.name()) {
            (PreEscaped(figure.svg(Theme::Page)))
            figcaption { a href=(link("csv")) { "numbers" } " · " a href=(link("svg")) { "SVG" } " · " a href=(link("png")) { "PNG" } }
        }
    }
}
