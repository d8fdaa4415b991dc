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
    pub padded_tokens: usize,
}

/// Some examples of a step, right-padded to one length.
///
/// *Shapes* `inputs` is `rows` × `length`, row by row; `places`, `answers` and `weights` have one entry a target token.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// Examples in it.
    pub rows: usize,
    /// Input tokens of its longest example.
    pub length: usize,
    /// Token ids; padding is 0, which no target ever sees because attention looks back only.
    pub inputs: Vec<i64>,
    /// Where in `inputs`, counted over all rows, each target is predicted.
    pub places: Vec<i64>,
    /// The target tokens.
    pub answers: Vec<i64>,
    /// Their weights.
    pub weights: Vec<f32>,
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

/// Cuts a step into passes of about equal size, longest examples first, so that those of a pass have nearly one length.
///
/// A function of its arguments alone. As few passes as the limit allows, rounded up to a multiple of `lanes`, which run
/// side by side, or fewer where that makes none smaller. Examples without a target are left out: they change no number.
pub fn passes(examples: &[&Example], limit: PassLimit, lanes: usize) -> Vec<Pass> {
    let mut longest_first: Vec<&Example> = examples
        .iter()
        .copied()
        .filter(|example| example.targets() > 0)
        .collect();
    longest_first.sort_by_key(|example| std::cmp::Reverse(example.inputs()));
    let most = pass_count(&longest_first, limit).next_multiple_of(lanes.max(1));
    let size = smallest_pass(&longest_first, most);
    let mut passes = Vec::new();
    let mut rest = longest_first.as_slice();
    while !rest.is_empty() {
        let (taken, left) = rest.split_at(fitting(rest, size));
        passes.push(pad(taken));
        rest = left;
    }
    passes
}

/// Either limit may be used up, whichever allows the fewer passes.
fn pass_count(examples: &[&Example], limit: PassLimit) -> usize {
    let tokens: usize = examples.iter().map(|example| example.inputs()).sum();
    let by_tokens = tokens.div_ceil(limit.padded_tokens.max(1));
    let by_examples = examples.len().div_ceil(limit.examples.max(1));
    by_tokens.min(by_examples).max(1)
}

/// The least number of padded tokens with which no more than `most` passes are needed.
fn smallest_pass(examples: &[&Example], most: usize) -> usize {
    let longest = examples.first().map_or(0, |example| example.inputs());
    let (mut low, mut high) = (longest, longest * examples.len());
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

fn passes_of(mut examples: &[&Example], size: usize) -> usize {
    let mut passes = 0;
    while !examples.is_empty() {
        examples = &examples[fitting(examples, size)..];
        passes += 1;
    }
    passes
}

/// How many of these examples, at least one, a pass of `size` padded tokens holds.
fn fitting(examples: &[&Example], size: usize) -> usize {
    let longest = examples
        .first()
        .map_or(1, |example| example.inputs().max(1));
    (size / longest).clamp(1, examples.len())
}

fn pad(examples: &[&Example]) -> Pass {
    let length = examples.first().map_or(0, |example| example.inputs());
    let mut pass = Pass {
        rows: examples.len(),
        length,
        inputs: vec![0; examples.len() * length],
        places: Vec::new(),
        answers: Vec::new(),
        weights: Vec::new(),
    };
    for (row, example) in examples.iter().enumerate() {
        pass.put(row * length, example);
    }
    pass
}

impl Pass {
    fn put(&mut self, start: usize, example: &Example) {
        for (place, pair) in example.tokens.windows(2).enumerate() {
            self.inputs[start + place] = i64::from(pair[0]);
            if example.target[place + 1] {
                self.places.push((start + place) as i64);
                self.answers.push(i64::from(pair[1]));
                self.weights.push(example.weight);
            }
        }
    }
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

    fn limit(examples: usize, padded_tokens: usize) -> PassLimit {
        PassLimit {
            examples,
            padded_tokens,
        }
    }

    #[test]
    fn targets_are_predicted_from_the_place_before_them() {
        let long = example(&[5, 6, 7, 8], &[2, 3]);
        let short = example(&[9, 4], &[0, 1]);
        let passes = passes(&[&short, &long], limit(2, 0), 1);
        assert_eq!(passes.len(), 1);
        assert_eq!((passes[0].rows, passes[0].length), (2, 3));
        assert_eq!(passes[0].inputs, [5, 6, 7, 9, 0, 0]);
        assert_eq!(passes[0].places, [1, 2, 3]);
        assert_eq!(passes[0].answers, [7, 8, 4]);
    }

    #[test]
    fn a_pass_takes_more_examples_than_asked_only_while_they_are_small() {
        let examples: Vec<Example> = (0..6).map(|_| example(&[1; 11], &[10])).collect();
        let examples: Vec<&Example> = examples.iter().collect();
        for (padded_tokens, lanes, rows) in [
            (0, 1, vec![2, 2, 2]),
            (30, 1, vec![3, 3]),
            (1000, 1, vec![6]),
            (1000, 2, vec![3, 3]),
            (0, 2, vec![2, 2, 2]),
            (20, 2, vec![2, 2, 2]),
            (1000, 9, vec![1; 6]),
        ] {
            let passes = passes(&examples, limit(2, padded_tokens), lanes);
            let found: Vec<usize> = passes.iter().map(|pass| pass.rows).collect();
            assert_eq!(found, rows, "{padded_tokens} {lanes}");
        }
    }

    #[test]
    fn lanes_get_about_equal_numbers_of_tokens() {
        let examples: Vec<Example> = (20..36)
            .map(|length| example(&vec![1; length], &[3]))
            .collect();
        let examples: Vec<&Example> = examples.iter().collect();
        let passes = passes(&examples, limit(2, 4096), 2);
        let sizes: Vec<usize> = passes.iter().map(|pass| pass.inputs.len()).collect();
        // inputs of 34 down to 19: 7 rows of 34 and 9 of 27; one row more or less in either makes the larger one larger
        assert_eq!(sizes, [238, 243]);
    }

    #[test]
    fn examples_without_a_target_are_counted_but_not_computed() {
        let (empty, full) = (example(&[1, 2, 3], &[]), example(&[1, 2], &[1]));
        assert_eq!(passes(&[&empty, &full], limit(8, 0), 1)[0].rows, 1);
        let size = size_of(&[&empty, &full]);
        assert_eq!((size.tokens, size.targets, size.weight), (5, 1, 1.0));
    }
}
