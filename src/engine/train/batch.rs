//! Examples as token ids, and how those of one optimizer step are cut into passes over the device.
//!
//! Knows neither text nor tensors. Which examples belong together is decided elsewhere (`domain::order`).

/// One training example.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Token ids, already cut at the longest allowed length.
    pub tokens: Vec<u32>,
    /// Whether each token is a target, that is predicted from those before it and counted in the loss; the first never is.
    pub target: Vec<bool>,
    /// Weight of each of its targets in the step's mean.
    pub weight: f32,
}

impl Example {
    /// Number of target tokens.
    pub fn targets(&self) -> usize {
        self.target.iter().skip(1).filter(|&&target| target).count()
    }

    /// Tokens that are read by the model: all but the last, of which nothing is asked.
    pub fn inputs(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }
}

/// What limits a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassLimit {
    /// Examples that a pass may always hold.
    pub examples: usize,
    /// Input tokens up to which, about, a pass may hold more examples than that.
    pub tokens: usize,
    /// Input tokens that no pass of several examples exceeds; for where memory has run out.
    pub most: Option<usize>,
}

/// Some examples of a step, behind one another without padding, longest first.
///
/// *Shapes* `tokens` has one entry an input token; `lengths` and `examples` one an example; `places`, `answers` and
/// `weights` one a target token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pass {
    /// Token ids.
    pub tokens: Vec<i64>,
    /// Input tokens of each example.
    pub lengths: Vec<i64>,
    /// Which of the step's examples each one is, in the order in which the step was given.
    pub examples: Vec<u32>,
    /// Where in `tokens` each target is predicted.
    pub places: Vec<i64>,
    /// The target tokens.
    pub answers: Vec<i64>,
    /// Their weights.
    pub weights: Vec<f32>,
}

impl Pass {
    /// Of each input token, which of the step's examples it belongs to.
    pub fn owners(&self) -> Vec<i64> {
        let lengths = self.lengths.iter().map(|&length| length as usize);
        let each = self.examples.iter().zip(lengths);
        each.flat_map(|(&example, length)| std::iter::repeat_n(i64::from(example), length))
            .collect()
    }

    /// Of each input token, its position in its example, from 0.
    pub fn positions(&self) -> Vec<i64> {
        self.lengths.iter().flat_map(|&length| 0..length).collect()
    }

    fn put(&mut self, index: u32, example: &Example) {
        let start = self.tokens.len();
        self.lengths.push(example.inputs() as i64);
        self.examples.push(index);
        for (place, pair) in example.tokens.windows(2).enumerate() {
            self.tokens.push(i64::from(pair[0]));
            if example.target[place + 1] {
                self.places.push((start + place) as i64);
                self.answers.push(i64::from(pair[1]));
                self.weights.push(example.weight);
            }
        }
    }
}

/// What the examples of a step amount to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepSize {
    /// Tokens of all examples, padding not counted.
    pub tokens: u64,
    /// Target tokens.
    pub targets: u64,
    /// Sum of the targets' weights, the loss's denominator.
    pub weight: f64,
}

/// Counts the examples of a step.
pub fn size_of(examples: &[&Example]) -> StepSize {
    examples.iter().fold(StepSize::default(), |size, example| {
        let targets = example.targets() as u64;
        StepSize {
            tokens: size.tokens + example.tokens.len() as u64,
            targets: size.targets + targets,
            weight: size.weight + targets as f64 * f64::from(example.weight),
        }
    })
}

/// An example with its place in the step.
type Placed<'a> = (u32, &'a Example);

/// Cuts a step into passes of about equal size, longest examples first, so that those of a pass have nearly one length.
///
/// A function of its arguments alone. As few passes as the limit allows, rounded up to a multiple of `lanes`, which run
/// side by side, or fewer where that makes none smaller. Examples without a target are left out: they change no number.
pub fn passes(examples: &[&Example], limit: PassLimit, lanes: usize) -> Vec<Pass> {
    let placed = (0..).zip(examples.iter().copied());
    let mut longest_first: Vec<Placed> = placed.filter(|(_, it)| it.targets() > 0).collect();
    longest_first.sort_by_key(|(_, example)| std::cmp::Reverse(example.inputs()));
    let most = pass_count(&longest_first, limit).next_multiple_of(lanes.max(1));
    let size = smallest_pass(&longest_first, most).min(limit.most.unwrap_or(usize::MAX));
    let mut passes = Vec::new();
    let mut rest = longest_first.as_slice();
    while !rest.is_empty() {
        let (taken, left) = rest.split_at(fitting(rest, size));
        passes.push(joined(taken));
        rest = left;
    }
    passes
}

/// A smaller limit, after memory ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halved {
    /// What limits a pass from now on.
    pub limit: PassLimit,
    /// Examples of the largest pass until now.
    pub from: usize,
    /// How many of them are together from now on.
    pub to: usize,
}

/// Half the tokens of the largest pass of several examples; none where every pass has one.
pub fn halved(examples: &[&Example], limit: PassLimit, lanes: usize) -> Option<Halved> {
    let passes = passes(examples, limit, lanes).into_iter();
    let several = passes.filter(|pass| pass.lengths.len() > 1);
    let largest = several.max_by_key(|pass| pass.tokens.len())?;
    let most = largest.tokens.len() / 2;
    let mut tokens = 0;
    let fits = |length: &&i64| {
        tokens += **length as usize;
        tokens <= most
    };
    Some(Halved {
        limit: PassLimit {
            most: Some(most),
            ..limit
        },
        from: largest.lengths.len(),
        to: largest.lengths.iter().take_while(fits).count().max(1),
    })
}

fn joined(examples: &[Placed]) -> Pass {
    let mut pass = Pass::default();
    for (index, example) in examples {
        pass.put(*index, example);
    }
    pass
}

fn tokens_of(examples: &[Placed]) -> usize {
    examples.iter().map(|(_, example)| example.inputs()).sum()
}

/// Either limit may be used up, whichever allows the fewer passes.
fn pass_count(examples: &[Placed], limit: PassLimit) -> usize {
    let by_tokens = tokens_of(examples).div_ceil(limit.tokens.max(1));
    let by_examples = examples.len().div_ceil(limit.examples.max(1));
    by_tokens.min(by_examples).max(1)
}

/// The least number of tokens a pass with which no more than `most` passes are needed.
fn smallest_pass(examples: &[Placed], most: usize) -> usize {
    let longest = examples.first().map_or(0, |(_, example)| example.inputs());
    let (mut low, mut high) = (longest, tokens_of(examples));
    while low < high {
        let middle = (low + high) / 2;
        if passes_of(examples, middle) <= most {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn passes_of(mut examples: &[Placed], size: usize) -> usize {
    let mut passes = 0;
    while !examples.is_empty() {
        examples = &examples[fitting(examples, size)..];
        passes += 1;
    }
    passes
}

/// How many of these examples, at least one, a pass of `size` tokens holds.
fn fitting(examples: &[Placed], size: usize) -> usize {
    let mut tokens = 0;
    let fits = |(_, example): &&Placed| {
        tokens += example.inputs();
        tokens <= size
    };
    examples.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(tokens: &[u32], targets: &[usize]) -> Example {
        let mut target = vec![false; tokens.len()];
        targets.iter().for_each(|&place| target[place] = true);
        Example {
            tokens: tokens.to_vec(),
            target,
            weight: 1.0,
        }
    }

    fn limit(examples: usize, tokens: usize) -> PassLimit {
        PassLimit {
            examples,
            tokens,
            most: None,
        }
    }

    #[test]
    fn targets_are_predicted_from_the_place_before_them() {
        let long = example(&[5, 6, 7, 8], &[2, 3]);
        let short = example(&[9, 4], &[0, 1]);
        let passes = passes(&[&short, &long], limit(2, 0), 1);
        assert_eq!(passes.len(), 1);
        assert_eq!(passes[0].tokens, [5, 6, 7, 9]);
        assert_eq!(passes[0].lengths, [3, 1]);
        assert_eq!(passes[0].places, [1, 2, 3]);
        assert_eq!(passes[0].answers, [7, 8, 4]);
    }

    #[test]
    fn every_token_knows_its_example_of_the_step_and_its_place_in_it_however_the_step_is_cut() {
        let lengths = [3, 6, 2, 6, 4];
        let examples: Vec<Example> = lengths
            .iter()
            .zip(0u32..)
            .map(|(&length, index)| {
                let tokens: Vec<u32> = (0..length).map(|place| 10 * index + place).collect();
                example(&tokens, &[1])
            })
            .collect();
        let examples: Vec<&Example> = examples.iter().collect();
        for (one, lanes) in [(1, 1), (2, 1), (5, 1), (5, 2)] {
            let passes = passes(&examples, limit(one, 0), lanes);
            let of = |pass: &Pass| -> Vec<(i64, i64, i64)> {
                let (owners, positions) = (pass.owners(), pass.positions());
                let both = owners.into_iter().zip(positions);
                let all = both.zip(&pass.tokens);
                all.map(|((owner, place), &token)| (owner, place, token))
                    .collect()
            };
            let found: Vec<_> = passes.iter().flat_map(of).collect();
            assert_eq!(found.len(), 21 - 5);
            for (owner, place, token) in found {
                assert_eq!(token, 10 * owner + place);
            }
        }
    }

    #[test]
    fn where_memory_has_run_out_no_pass_of_several_examples_exceeds_what_is_left() {
        let examples: Vec<Example> = [11, 4, 4, 4, 4]
            .map(|length| example(&vec![1; length], &[1]))
            .into();
        let examples: Vec<&Example> = examples.iter().collect();
        let most = PassLimit {
            most: Some(6),
            ..limit(5, 1000)
        };
        let passes = passes(&examples, most, 1);
        let found: Vec<&[i64]> = passes.iter().map(|pass| &pass.lengths[..]).collect();
        assert_eq!(found, [&[10][..], &[3, 3], &[3, 3]]);
    }

    #[test]
    fn halving_goes_on_until_every_pass_has_one_example() {
        let examples: Vec<Example> = [11, 4, 4, 4, 4]
            .map(|length| example(&vec![1; length], &[1]))
            .into();
        let examples: Vec<&Example> = examples.iter().collect();
        let mut limit = limit(5, 1000);
        let mut steps = Vec::new();
        while let Some(next) = halved(&examples, limit, 1) {
            steps.push((next.from, next.to, next.limit.most));
            limit = next.limit;
        }
        // 22 tokens; then 10 and four times 3; then pairs of 3
        assert_eq!(steps, [(5, 1, Some(11)), (3, 1, Some(4))]);
        let passes = passes(&examples, limit, 1);
        assert!(passes.iter().all(|pass| pass.lengths.len() == 1));
    }

    #[test]
    fn a_pass_takes_more_examples_than_asked_only_while_they_are_small() {
        let examples: Vec<Example> = (0..6).map(|_| example(&[1; 11], &[10])).collect();
        let examples: Vec<&Example> = examples.iter().collect();
        for (tokens, lanes, rows) in [
            (0, 1, vec![2, 2, 2]),
            (30, 1, vec![3, 3]),
            (1000, 1, vec![6]),
            (1000, 2, vec![3, 3]),
            (0, 2, vec![2, 2, 2]),
            (20, 2, vec![2, 2, 2]),
            (1000, 9, vec![1; 6]),
        ] {
            let passes = passes(&examples, limit(2, tokens), lanes);
            let found: Vec<usize> = passes.iter().map(|pass| pass.lengths.len()).collect();
            assert_eq!(found, rows, "{tokens} {lanes}");
        }
    }

    #[test]
    fn lanes_get_about_equal_numbers_of_tokens() {
        let examples: Vec<Example> = (20..36)
            .map(|length| example(&vec![1; length], &[3]))
            .collect();
        let examples: Vec<&Example> = examples.iter().collect();
        let passes = passes(&examples, limit(2, 4096), 2);
        let sizes: Vec<usize> = passes.iter().map(|pass| pass.tokens.len()).collect();
        // inputs of 34 down to 19: the 7 longest and the 9 others; one more or less in either makes the larger one larger
        assert_eq!(sizes, [217, 207]);
    }

    #[test]
    fn examples_without_a_target_are_counted_but_not_computed() {
        let (empty, full) = (example(&[1, 2, 3], &[]), example(&[1, 2], &[1]));
        assert_eq!(passes(&[&empty, &full], limit(8, 0), 1)[0].examples, [1]);
        let size = size_of(&[&empty, &full]);
        assert_eq!((size.tokens, size.targets, size.weight), (5, 1, 1.0));
    }
}
