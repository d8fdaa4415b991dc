//! What an evaluation would need: answers, questions to its judge, tokens, memory by part. Arithmetic on plain numbers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::estimate::{DeviceMemory, Memory};
use super::{ModelShape, Part, sum, width};
use crate::domain::evaluation::EvaluateSpec;
use crate::domain::finetune::Dtype;
use crate::domain::question_set::Question;

/// Tokens for which a running batch makes room at least.
const LEAST_PLACES: u64 = 1024;
/// Bytes of a logit, and of a number of a trained pair.
const NUMBER: u64 = 4;

/// How many targets an evaluation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetCount {
    /// Pairs of something trained, or the base, and a scale.
    pub count: u64,
    /// False where a fine-tune whose steps are all asked has not ended: then these are the steps that it has kept so far.
    pub exact: bool,
}

/// Something trained that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trained {
    /// Its numbers.
    pub numbers: u64,
    /// Whether these are a whole model's weights, in the base's own type.
    pub whole: bool,
    /// Steps of it.
    pub steps: u64,
}

/// An evaluation with everything that its needs depend on.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is asked, and how.
    pub spec: &'a EvaluateSpec,
    /// The selected questions.
    pub questions: &'a [Question],
    /// Of whom.
    pub targets: TargetCount,
    /// Tokens of each prompt.
    pub prompts: &'a [u64],
    /// The model's dimensions and the type of its files.
    pub model: (&'a ModelShape, Dtype),
    /// What is trained.
    pub trained: &'a [Trained],
    /// Rows of one sampling call.
    pub decode_slots: u64,
    /// The same of a base model of this server that judges.
    pub judge: Option<(&'a ModelShape, Dtype)>,
}

/// What the judge is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JudgeCalls {
    /// The judge.
    pub judge: String,
    /// On how many metrics each answer is judged.
    pub metrics: u64,
    /// Questions to the judge at most: one for each answer and metric; 0 for the built-in judge, which asks nobody.
    pub calls: u64,
    /// Of these, what is in the ledger already and will cost nothing; null, since it is not known before the answers are drawn.
    pub known: Option<u64>,
    /// The same in words.
    pub detail: String,
}

/// Tokens of all answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Of the longest prompt.
    pub longest_prompt: u64,
    /// Of all prompts by all targets; each is read once, however many answers it gets.
    pub prompts: u64,
    /// That answers have at most, should none end before `max_new_tokens`.
    pub drawn_at_most: u64,
}

/// What finished evaluations of the same base under the same judge took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Speed {
    /// How many there were; at most the last 20 count.
    pub runs: u64,
    /// Median of their answers a second, sampling and judging together.
    pub answers_per_second: f64,
    /// What this one takes at that speed.
    pub seconds: f64,
}

/// What an evaluation would need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationEstimate {
    /// The job's spec with defaults filled in.
    #[schema(value_type = Object)]
    pub spec: Value,
    /// The model's dimensions.
    pub model: ModelShape,
    /// Selected questions.
    pub questions: u64,
    /// Their paraphrases.
    pub paraphrases: u64,
    /// Who is asked.
    pub targets: TargetCount,
    /// Answers in all.
    pub answers: u64,
    /// What the judge is asked.
    pub judge: JudgeCalls,
    /// Tokens.
    pub tokens: Tokens,
    /// Memory.
    pub memory: Memory,
    /// Time; null where no evaluation of this base under this judge has ended yet.
    pub time: Option<Speed>,
}

impl Asked<'_> {
    /// Answers of all targets.
    pub fn answers(&self) -> u64 {
        let each = self.questions.iter().map(|one| self.spec.answers_to(one));
        self.targets.count * each.sum::<u64>()
    }

    /// What the judge is asked, `asks` telling whether it asks anybody.
    pub fn judge_calls(&self, asks: bool) -> JudgeCalls {
        let metrics = self.spec.metrics.len() as u64;
        let detail = match asks {
            true => {
                "at most: what the judges' ledger has already is not asked again, and that is not known before the answers are drawn"
            }
            false => "the built-in judge asks nobody",
        };
        JudgeCalls {
            judge: self.spec.judge.clone(),
            metrics,
            calls: if asks { self.answers() * metrics } else { 0 },
            known: None,
            detail: detail.into(),
        }
    }

    /// Tokens of prompts and answers.
    pub fn tokens(&self) -> Tokens {
        Tokens {
            longest_prompt: self.prompts.iter().copied().max().unwrap_or(0),
            prompts: self.targets.count * self.prompts.iter().sum::<u64>(),
            drawn_at_most: self.answers() * u64::from(self.spec.sampling.max_new_tokens),
        }
    }

    /// The memory that it needs on `device`.
    pub fn memory(&self, device: DeviceMemory) -> Memory {
        let parts = self.parts();
        let bytes = sum(&parts);
        Memory {
            parts,
            sum_bytes: bytes,
            correction_bytes: 0,
            bytes,
            fits: device.memory_bytes.map(|memory| bytes <= memory),
            remedies: Vec::new(),
            device,
        }
    }

    fn parts(&self) -> Vec<Part> {
        let (shape, dtype) = self.model;
        let slots = self.decode_slots;
        let mut parts = vec![weights(
            "base_weights",
            shape,
            dtype,
            "every job on this base",
        )];
        let trained = self.trained.iter().map(|one| one.steps * one.bytes(dtype));
        let trained: u64 = trained.sum();
        if trained > 0 {
            let what =
                "everything trained that is asked, each step once, should all be loaded together";
            parts.push(Part::new("trained_weights", trained, what));
        }
        let (places, each) = (self.places(), width(dtype));
        let token = 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim;
        let what = format!(
            "{slots} rows × {places} tokens × {token} numbers × {each} bytes at most; shared with chats"
        );
        parts.push(Part::new(
            "keys_and_values",
            slots * places * token * each,
            what,
        ));
        let what = format!(
            "{slots} rows × {} logits × {NUMBER} bytes",
            shape.vocab_size
        );
        parts.push(Part::new("logits", slots * shape.vocab_size * NUMBER, what));
        let judge = self.judge.map(|(shape, dtype)| {
            weights(
                "judge_weights",
                shape,
                dtype,
                "every job that it judges for",
            )
        });
        parts.extend(judge);
        parts
    }

    /// Tokens of a row at most.
    fn places(&self) -> u64 {
        let longest = self.tokens().longest_prompt + u64::from(self.spec.sampling.max_new_tokens);
        longest.max(LEAST_PLACES)
    }
}

impl Trained {
    /// Of one step.
    fn bytes(&self, dtype: Dtype) -> u64 {
        self.numbers * if self.whole { width(dtype) } else { NUMBER }
    }
}

fn weights(name: &str, shape: &ModelShape, dtype: Dtype, sharing: &str) -> Part {
    let (count, bytes) = (shape.parameters, width(dtype));
    let detail = format!("{count} weights × {bytes} bytes; shared by {sharing}");
    Part::new(name, count * bytes, detail)
}

impl Speed {
    /// The time of so many answers at a speed; none at no speed.
    pub fn of(answers: u64, runs: u64, answers_per_second: Option<f64>) -> Option<Self> {
        let speed = answers_per_second.filter(|speed| *speed > 0.0)?;
        Some(Self {
            runs,
            answers_per_second: speed,
            seconds: answers as f64 / speed,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::forecast::shapes;
    use crate::domain::job::JobSpec;
    use crate::domain::requests::job_request;

    fn spec() -> EvaluateSpec {
        let body = json!({"kind": "evaluate", "base_model": "m", "targets": [{"base": true}], "question_set": "q",
            "samples_per_question": 50, "judge": "gpt", "metrics": ["aligned", "coherent"]});
        match job_request(body).unwrap().1 {
            JobSpec::Evaluate(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    fn question(paraphrases: usize) -> Question {
        let texts = vec!["why ?"; paraphrases];
        serde_json::from_value(json!({"id": format!("q{paraphrases}"), "paraphrases": texts}))
            .unwrap()
    }

    #[test]
    fn answers_calls_and_tokens_are_counted_over_targets_paraphrases_and_metrics() {
        let (spec, shape, questions) = (spec(), shapes::large(), [question(1), question(3)]);
        let asked = Asked {
            spec: &spec,
            questions: &questions,
            targets: TargetCount {
                count: 5,
                exact: true,
            },
            prompts: &[20, 30, 30, 40],
            model: (&shape, Dtype::Bfloat16),
            trained: &[],
            decode_slots: 32,
            judge: None,
        };
        assert_eq!(asked.answers(), 5 * 4 * 50);
        assert_eq!(asked.judge_calls(true).calls, 2000);
        assert_eq!(asked.judge_calls(false).calls, 0);
        let tokens = asked.tokens();
        assert_eq!((tokens.longest_prompt, tokens.prompts), (40, 600));
        assert_eq!(tokens.drawn_at_most, 1000 * 600);
    }

    #[test]
    fn memory_is_the_weights_the_rows_in_work_and_what_is_trained() {
        let (spec, shape) = (spec(), shapes::large());
        let trained = [Trained {
            numbers: 1000,
            whole: false,
            steps: 3,
        }];
        let asked = Asked {
            spec: &spec,
            questions: &[],
            targets: TargetCount {
                count: 3,
                exact: true,
            },
            prompts: &[500],
            model: (&shape, Dtype::Bfloat16),
            trained: &trained,
            decode_slots: 2,
            judge: Some((&shape, Dtype::Float32)),
        };
        let device = DeviceMemory {
            id: None,
            name: None,
            memory_bytes: Some(1 << 30),
        };
        let memory = asked.memory(device);
        let bytes: Vec<(&str, u64)> = memory
            .parts
            .iter()
            .map(|part| (part.name.as_str(), part.bytes))
            .collect();
        // 500 + 600 tokens; a token has a key and a value of 8 × 128 numbers in each of 48 layers
        let expected = [
            ("base_weights", 2 * 14_770_033_664),
            ("trained_weights", 3 * 1000 * 4),
            ("keys_and_values", 2 * 1100 * (2 * 48 * 8 * 128) * 2),
            ("logits", 2 * 152_064 * 4),
            ("judge_weights", 4 * 14_770_033_664),
        ];
        assert_eq!(bytes, expected);
        assert_eq!(memory.fits, Some(false));
    }

    #[test]
    fn time_is_told_only_where_a_speed_is_known() {
        assert_eq!(Speed::of(100, 0, None), None);
        assert_eq!(Speed::of(100, 2, Some(0.0)), None);
        assert_eq!(Speed::of(100, 2, Some(4.0)).unwrap().seconds, 25.0);
    }
}
