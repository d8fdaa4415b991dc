//! The toy's numbers as a table and as commands that show them again. Pure text.

use std::fmt::Write as _;

use super::toy_run::{ArmResult, ToyResult, Transition};
use crate::toyworld::CAVEAT;

const HEAD: [&str; 7] = [
    "arm",
    "misaligned %",
    "95 % interval",
    "coherent %",
    "in-domain misaligned %",
    "final ‖B‖",
    "seconds",
];

/// The table of one organism, with what must be said beside it.
pub(super) fn table(title: &str, result: &ToyResult) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(result.arms.iter().map(cells));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = format!("{title}\n\n");
    for (index, row) in rows.iter().enumerate() {
        let _ = writeln!(text, "{}", aligned(row, &widths));
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            let _ = writeln!(text, "{}", rules.join("  "));
        }
    }
    if let Some(transition) = &result.transition {
        let _ = write!(text, "\n{}", turning(transition));
    }
    let _ = writeln!(text, "\n{CAVEAT}");
    text
}

fn aligned(row: &[String; 7], widths: &[usize]) -> String {
    let pad = |width: usize, cell: &str| " ".repeat(width - cell.chars().count());
    let mut cells = vec![format!("{}{}", row[0], pad(widths[0], &row[0]))];
    let numbers = row.iter().zip(widths).skip(1);
    cells.extend(numbers.map(|(cell, width)| format!("{}{cell}", pad(*width, cell))));
    cells.join("  ")
}

fn cells(arm: &ArmResult) -> [String; 7] {
    let interval = arm
        .interval
        .map(|[low, high]| format!("{} – {}", percent(low), percent(high)));
    [
        arm.name.clone(),
        percent(arm.misaligned),
        interval.unwrap_or_else(|| "–".into()),
        percent(arm.coherent),
        percent(arm.in_domain_misaligned),
        arm.final_b_norm
            .map_or_else(|| "–".into(), |norm| format!("{norm:.2}")),
        format!("{:.1}", arm.seconds),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

fn turning(transition: &Transition) -> String {
    let step =
        |step: Option<u64>| step.map_or_else(|| "none".into(), |step| format!("step {step}"));
    format!(
        "single rank-1 adapter: the gradient norm peaks at {}; the misalignment rate passes half its final value at {}\n",
        step(transition.grad_norm_peak_step),
        step(transition.half_rate_step),
    )
}

/// Commands that show the same numbers, given a server at `address`.
pub(super) fn commands(address: &str, result: &ToyResult) -> String {
    let mut text = String::new();
    let mut command = |about: &str, path: String| {
        let _ = writeln!(text, "  # {about}\n  curl -s '{address}/v1/{path}'");
    };
    let open = &result.evaluations.first_plot;
    command(
        "misaligned and coherent",
        format!("evaluations/{open}/rates?by=target&format=csv"),
    );
    let own = &result.evaluations.in_domain;
    command(
        "in-domain misaligned",
        format!("evaluations/{own}/rates?by=target&format=csv"),
    );
    let adapters = result.arms.iter().filter(|arm| arm.final_b_norm.is_some());
    if let Some(job) = adapters.filter_map(|arm| arm.job.as_ref()).next_back() {
        command(
            "the single adapter's norms, step by step",
            format!("jobs/{job}/lora-norms?format=csv"),
        );
        command(
            "its loss and gradient norm",
            format!("jobs/{job}/metrics?format=csv"),
        );
    }
    if let Some(curve) = &result.evaluations.curve {
        command(
            "its rate at every kept step",
            format!("evaluations/{curve}/rates?by=target&format=csv"),
        );
    }
    let bad = format!("evaluations/{open}/completions?aligned_below=30&limit=3");
    command("three of the misaligned answers", bad);
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::toy_run::Evaluations;
    use crate::domain::ids::JobId;

    fn job(last: char) -> JobId {
        JobId::try_from(format!("job_0000000000000000000000000{last}")).unwrap()
    }

    fn arm(name: &str, misaligned: f64, b_norm: Option<f64>) -> ArmResult {
        ArmResult {
            name: name.into(),
            job: (name != "base").then(|| job('1')),
            misaligned,
            interval: Some([misaligned / 2.0, misaligned]),
            coherent: 0.96,
            in_domain_misaligned: misaligned,
            final_b_norm: b_norm,
            seconds: 4.25,
            answers: 400,
        }
    }

    /// A made-up result with these misaligned shares: base, control, three bad arms.
    pub(in crate::cli) fn made_up(shares: [f64; 5]) -> ToyResult {
        let names = [
            "base",
            "good-advice control",
            "bad-advice rank 8",
            "bad-advice single rank-1 adapter",
            "full fine-tune",
        ];
        let norms = [None, Some(0.3), Some(2.0), Some(0.6), None];
        let arms = (0..5).map(|index| arm(names[index], shares[index], norms[index]));
        ToyResult {
            seed: 0,
            arms: arms.collect(),
            transition: Some(Transition {
                grad_norm_peak_step: Some(26),
                half_rate_step: Some(32),
                curve: vec![(4, 0.0), (32, 0.3)],
            }),
            evaluations: Evaluations {
                first_plot: job('2'),
                in_domain: job('3'),
                curve: Some(job('4')),
            },
            base_reused: false,
        }
    }

    #[test]
    fn the_table_is_straight_and_never_without_its_caveat() {
        let text = table("Toy, seed 0", &made_up([0.0, 0.005, 0.535, 0.83, 0.6]));
        assert!(text.contains(CAVEAT));
        assert!(text.contains("peaks at step 26") && text.contains("final value at step 32"));
        let widths: Vec<usize> = text
            .lines()
            .skip(2)
            .take(7)
            .map(|line| line.chars().count())
            .collect();
        assert_eq!(widths, vec![widths[0]; 7], "{text}");
        assert!(text.contains("26.8 – 53.5"), "{text}");
    }

    #[test]
    fn the_commands_name_the_single_adapter_and_both_evaluations() {
        let text = commands("http://127.0.0.1:8080", &made_up([0.0; 5]));
        for part in [
            "http://127.0.0.1:8080/v1/evaluations/job_00000000000000000000000002/rates?by=target",
            "/v1/evaluations/job_00000000000000000000000003/rates?by=target",
            "/v1/jobs/job_00000000000000000000000001/lora-norms",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
