//! How often each interval holds what it says it does, over made-up data whose truth is known.
//!
//! Questions' own rates are drawn from a beta distribution with the mean and the correlation inside a question that are named,
//! answers from them. `answers` is held against the mean of the rates that were drawn (these questions, other answers);
//! `questions` and the bootstrap against the mean of the distribution (other questions as well).

use super::*;

const DATA_SETS: u64 = 2000;
const QUESTIONS: usize = 8;
const ANSWERS: u64 = 50;
const MEANS: [f64; 3] = [0.05, 0.10, 0.20];
const CORRELATIONS: [f64; 3] = [0.05, 0.10, 0.30];

/// SplitMix64 from one key; floats are in (0, 1).
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 + 2f64.powi(-54)
    }

    /// *Source* Box and Muller, Annals of Mathematical Statistics 29 (1958) 610–611.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// *Source* Marsaglia and Tsang, ACM TOMS 26 (2000) 363–372.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.uniform().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.uniform().ln() < x * x / 2.0 + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y)
    }

    pub(crate) fn binomial(&mut self, trials: u64, share: f64) -> u64 {
        (0..trials).filter(|_| self.uniform() < share).count() as u64
    }
}

/// How many intervals there were, and how many of them held the truth.
#[derive(Debug, Default)]
struct Held {
    made: u64,
    held: u64,
}

impl Held {
    fn add(&mut self, interval: Option<Interval>, truth: f64) {
        if let Some([low, high]) = interval {
            self.made += 1;
            self.held += u64::from(low <= truth && truth <= high);
        }
    }

    fn percent(&self) -> f64 {
        100.0 * self.held as f64 / self.made as f64
    }
}

/// Mean and correlation of the made-up data, and what held.
#[derive(Debug, Default)]
struct Case {
    mean: f64,
    correlation: f64,
    answers: Held,
    questions: Held,
    bootstrap: Held,
}

fn case(mean: f64, correlation: f64, with_bootstrap: bool) -> Case {
    let mut case = Case {
        mean,
        correlation,
        ..Case::default()
    };
    // one stream a case, so that a case is the same whatever the others are
    let mut draws = Draws((mean * 1000.0) as u64 * 1000 + (correlation * 100.0) as u64);
    let size = (1.0 - correlation) / correlation;
    for round in 0..DATA_SETS {
        let rates: Vec<f64> = (0..QUESTIONS)
            .map(|_| draws.beta(mean * size, (1.0 - mean) * size))
            .collect();
        let clusters: Vec<Cluster> = rates
            .iter()
            .map(|rate| Cluster {
                yes: draws.binomial(ANSWERS, *rate),
                of: ANSWERS,
            })
            .collect();
        let realised = rates.iter().sum::<f64>() / QUESTIONS as f64;
        let rate = pooled(&clusters).unwrap();
        let answers = wilson(rate, (QUESTIONS as u64 * ANSWERS) as f64, 0.95);
        case.answers.add(answers, realised);
        let questions = cluster_interval(&clusters, Average::Pooled, 0.95);
        case.questions.add(questions.ok(), mean);
        if with_bootstrap {
            let bootstrap = bootstrap_interval(&clusters, Average::Pooled, 0.95, round);
            case.bootstrap.add(bootstrap, mean);
        }
    }
    case
}

fn cases(with_bootstrap: bool) -> Vec<Case> {
    let one = |mean| CORRELATIONS.map(|correlation| case(mean, correlation, with_bootstrap));
    MEANS.into_iter().flat_map(one).collect()
}

#[test]
fn named_intervals_hold_the_truth_about_as_often_as_their_level_says() {
    for case in cases(false) {
        assert_eq!(case.answers.made, DATA_SETS);
        // the rest had the same rate, 0, for every question: no interval, with that reason
        assert!(case.questions.made > DATA_SETS * 9 / 10, "{case:?}");
        for (name, held) in [("answers", &case.answers), ("questions", &case.questions)] {
            let percent = held.percent();
            assert!(
                (91.0..=98.0).contains(&percent),
                "{name} {percent}: {case:?}"
            );
        }
    }
}

#[test]
#[ignore = "prints a table; make coverage runs it"]
fn coverage_table() {
    println!(
        "\ncoverage in percent of 95 % intervals, {DATA_SETS} data sets a row of {QUESTIONS} questions x {ANSWERS} answers"
    );
    println!(
        "`answers`: these questions' mean; `questions`, `bootstrap_questions`: the mean over all questions"
    );
    println!("\n mean   icc   answers   questions   (none)   bootstrap_questions");
    for case in cases(true) {
        println!(
            "{:>4.0} %  {:.2}   {:>7.1}   {:>9.1}   {:>4.1} %   {:>19.1}",
            100.0 * case.mean,
            case.correlation,
            case.answers.percent(),
            case.questions.percent(),
            100.0 * (1.0 - case.questions.made as f64 / DATA_SETS as f64),
            case.bootstrap.percent()
        );
    }
    println!("\n(none): every question's share is 0 or 1, so `questions` is null and says so");
}
