"""The server's shapes, as dictionaries with known keys.

Written by generate.py from openapi/openapi.json; changes made here by hand are lost.
"""

import sys
from typing import Any, Literal

if sys.version_info >= (3, 11):
    from typing import NotRequired, TypeAlias, TypedDict
else:
    from typing_extensions import NotRequired, TypeAlias, TypedDict

__all__ = [
    "Adapter",
    "AdapterFacts",
    "AdapterForm",
    "AdapterId",
    "Agreement",
    "AnalysisHead",
    "AnalysisId",
    "AnalysisReport",
    "AnalysisSeries",
    "AnalysisSettings",
    "AnalyzeRequest",
    "AnalyzedRun",
    "AngleTable",
    "AnswerMessage",
    "ArmReport",
    "Assume",
    "Attempt",
    "BaseModel",
    "BaseModelId",
    "BaseModelRequest",
    "BaseModelState",
    "BatchSpec",
    "BuiltInRubric",
    "Cell",
    "CellJob",
    "Centring",
    "ChatChoice",
    "ChatCompletion",
    "ChatCompletionRequest",
    "ChatLogprobs",
    "ChatSpec",
    "ChatToken",
    "ChatTurn",
    "Checkpoint",
    "CheckpointId",
    "CheckpointRef",
    "CheckpointSpec",
    "CompSeries",
    "Compared",
    "Comparisons",
    "Completion",
    "ComponentSeries",
    "Correlations",
    "Curve",
    "CurvePoint",
    "Curves",
    "DataShape",
    "Dataset",
    "DatasetFormat",
    "DatasetId",
    "DatasetPatch",
    "DatasetReport",
    "DatasetRow",
    "DatasetUse",
    "DatasetWarning",
    "DecayOn",
    "Dedup",
    "Definition",
    "Delayed",
    "DetectableDifference",
    "DetokenizeBody",
    "DetokenizedText",
    "Device",
    "DeviceMemory",
    "Discrepancy",
    "DiskForecast",
    "DryJob",
    "DryRun",
    "Dtype",
    "EarlyStop",
    "ErrorBody",
    "ErrorClass",
    "ErrorDetail",
    "Estimate",
    "EstimateRequest",
    "Estimated",
    "EvaluateRequest",
    "Evaluation",
    "EvaluationEstimate",
    "EvaluationEstimateRequest",
    "EvaluationId",
    "EvaluationOrigin",
    "Event",
    "Expected",
    "ExpectedLine",
    "Experiment",
    "ExperimentAnalysis",
    "ExperimentArm",
    "ExperimentId",
    "ExperimentJob",
    "ExperimentPreset",
    "ExperimentReport",
    "ExperimentState",
    "FieldError",
    "FigureLine",
    "FileEntry",
    "FinetuneEstimateRequest",
    "FinetuneRequest",
    "FinishReason",
    "FromGenerationConfig",
    "FullMethod",
    "GeometryLine",
    "Graph",
    "GraphEdge",
    "GraphNode",
    "HeadReport",
    "Health",
    "HoldOut",
    "Imagined",
    "Intervals",
    "Job",
    "JobError",
    "JobId",
    "JobKind",
    "JobRequest",
    "JobRequestAnalyze",
    "JobRequestEvaluate",
    "JobRequestFinetune",
    "JobResult",
    "JobRole",
    "JobState",
    "JudgeCalls",
    "JudgeFacts",
    "Judged",
    "JudgedBy",
    "Keep",
    "KlAverage",
    "KlDirection",
    "KlSpec",
    "Label",
    "LabelShare",
    "Lag",
    "LagLine",
    "LastPartial",
    "Length",
    "LoadedModel",
    "LocalCosineSeries",
    "Logistic",
    "LoraMethod",
    "LoraNorms",
    "LossOn",
    "LossSpec",
    "MainRate",
    "MeasuredModule",
    "Memory",
    "Method",
    "MethodFull",
    "MethodLora",
    "MethodSteeringVector",
    "MetricAgreement",
    "MetricKind",
    "MetricRate",
    "Metrics",
    "Model",
    "ModelShape",
    "Models",
    "ModuleSeries",
    "MovementRule",
    "MovementThreshold",
    "MovementThresholdAbsolute",
    "MovementThresholdRelative",
    "NamedHash",
    "NarrowAndBroad",
    "NarrowBroadLine",
    "Needs",
    "NormModule",
    "NormSeries",
    "OnBroken",
    "OptimizerName",
    "OptimizerSpec",
    "OurNumber",
    "Packing",
    "Page_Adapter",
    "Page_Attempt",
    "Page_BaseModel",
    "Page_BuiltInRubric",
    "Page_Checkpoint",
    "Page_Completion",
    "Page_Dataset",
    "Page_Device",
    "Page_Evaluation",
    "Page_Event",
    "Page_Experiment",
    "Page_ExperimentJob",
    "Page_ExperimentPreset",
    "Page_FigureLine",
    "Page_Job",
    "Page_JudgeFacts",
    "Page_Preset",
    "Page_PresetDataItem",
    "Page_QuestionSet",
    "PairedAnswers",
    "PaperReport",
    "Part",
    "PastRuns",
    "Phase",
    "PlannedJob",
    "PreparedRows",
    "Preset",
    "Priority",
    "Problem",
    "ProblemKind",
    "Problems",
    "Progress",
    "Projection",
    "PublishedRate",
    "Question",
    "QuestionChatRequest",
    "QuestionKind",
    "QuestionLine",
    "QuestionOfSet",
    "QuestionReport",
    "QuestionSet",
    "QuestionSystem",
    "QuestionWarning",
    "Questions",
    "Queue",
    "QueuedJob",
    "RateDefinition",
    "RateLine",
    "RateRow",
    "RateSeries",
    "RateShort",
    "RateTurn",
    "Rates",
    "Reading",
    "RejudgeRequest",
    "Remedy",
    "Rendered",
    "ReportWarning",
    "Resolution",
    "ResumeRequest",
    "Role",
    "RowsPurpose",
    "RubricSource",
    "RubricSpec",
    "RubricUse",
    "RunImportRequest",
    "RunSeries",
    "RunSteps",
    "RunningJob",
    "SamplingRequest",
    "ScheduleName",
    "ScheduleSpec",
    "SeedRates",
    "SeedsLine",
    "Select",
    "Setting",
    "Share",
    "SideBySide",
    "SimulateRequest",
    "Simulation",
    "Sources",
    "Speed",
    "SteeringMethod",
    "Steps",
    "StepsName",
    "StopReason",
    "StoppedEarly",
    "StreamOptions",
    "Target",
    "TargetCount",
    "TargetSpec",
    "TemplateArguments",
    "TextChoice",
    "TextCompletion",
    "TextCompletionRequest",
    "TextLogprobs",
    "Token",
    "TokenizeBody",
    "Tokens",
    "TopToken",
    "Totals",
    "TransitionLine",
    "TransitionRow",
    "Transitions",
    "TurnLine",
    "Unscored",
    "UnscoredCounts",
    "UploadForm",
    "Usage",
    "UserShare",
    "VectorName",
    "VectorSeries",
    "Verdict",
    "Version",
    "Waiting",
    "WarmupFrom",
    "Warning",
    "WeightsKind",
]


class Adapter(TypedDict):
    """An adapter that somebody handed in; usable wherever a fine-tune's checkpoint is."""

    # The base that it was checked against and stands on.
    base_model: "BaseModelId"
    # When it was stored.
    created_at: "str"
    # What it is.
    facts: "AdapterFacts"
    # Its files.
    files: "list[FileEntry]"
    # Its id.
    id: "AdapterId"
    # Its unique name.
    name: "str"
    # Hash of its files' names and hashes; equal for equal adapters.
    sha256: "str"


class AdapterFacts(TypedDict):
    """What a check of an adapter against its base found out."""

    # Numerator of the scaling where no pattern says otherwise.
    alpha: "float"
    # The adapted modules with their ranks and scalings, by layer.
    modules: "list[NormModule]"
    # Numbers in all pairs.
    parameters: "int"
    # The largest rank of a pair.
    rank: "int"
    # Whether the scaling is alpha/√rank rather than alpha/rank.
    rslora: "bool"
    # What deserves a look, such as fields that nobody knows.
    warnings: "list[str]"


# Fields of an adapter's form.
AdapterForm = TypedDict(
    "AdapterForm",
    {
        "adapter_config.json": NotRequired["str | None"],
        "adapter_model.safetensors": NotRequired["str | None"],
        "base_model": "str",
        "name": NotRequired["str | None"],
        "steering_config.json": NotRequired["str | None"],
        "steering_vector.safetensors": NotRequired["str | None"],
    },
)


# An adapter that somebody handed in.
AdapterId: TypeAlias = "str"


class Agreement(TypedDict):
    """How far two judges agree."""

    # Answers that both evaluations are done with.
    answers: "int"
    # The first evaluation and its judge.
    first: "Judged"
    # By metric; `misaligned` is the verdict of both thresholds together.
    metrics: "dict[str, MetricAgreement]"
    # The second.
    second: "Judged"


class AnalysisHead(TypedDict):
    """What an `analyze` job leaves behind; its series and transitions have addresses of their own."""

    # When it was asked for.
    created_at: "str"
    # Its id.
    id: "AnalysisId"
    # The job that fills it.
    job: "JobId"
    # What was analysed, in the order of the series.
    runs: "list[AnalyzedRun]"
    # What was computed, and how.
    settings: "AnalysisSettings"
    # Where the job is; the numbers are there when it has succeeded.
    state: "JobState"


# Geometry and transitions of a list of runs.
AnalysisId: TypeAlias = "str"


class AnalysisReport(TypedDict):
    """How the analysis was asked."""

    # Its id.
    id: "str"
    # Its parameters.
    settings: "Any"


class AnalysisSeries(TypedDict):
    """The series of an analysis."""

    # Angles between the last vectors of different runs, one table a module and vector that several of them trained.
    angles: "list[AngleTable]"
    # Every run over its steps, in the order of the analysis.
    runs: "list[RunSeries]"


class AnalysisSettings(TypedDict):
    """Parameters of an analysis, defaults filled in."""

    # Scores that make an answer misaligned.
    aligned: "str"
    # Scores that make it coherent.
    coherent: "str"
    # Gaps k of the local cosine, in training steps; none where runs have no vectors, as those of a higher rank.
    gaps: "list[int]"
    # Level of every interval.
    level: "float"
    # Which movements must be so long.
    movement_rule: "MovementRule"
    # How long a movement must be: `{"relative": 0.05}` of the vector's own length, or `{"absolute": 0.0035}`.
    movement_threshold: "MovementThreshold"
    # Resamples of a bootstrap.
    resamples: "int"
    # Of the resampling.
    seed: "int"


class AnalyzeRequest(TypedDict):
    """An analysis to be done; what is left out has its default, which the job's `spec` shows."""

    dedup: NotRequired["Dedup | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # 1 to 500.
    runs: "list[AnalyzedRun]"
    settings: NotRequired["AnalysisSettings | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class AnalyzedRun(TypedDict):
    """One run of an analysis: a fine-tune, and what its checkpoints answered."""

    # What the run is a repetition of; 1 to 200 characters. Runs of one arm differ in their seed.
    arm: "str"
    # Answers of its checkpoints to questions far from its training data: an evaluation, or its job; several, whose
    # checkpoints
    # are put together, as a list.
    evaluation: NotRequired["str | None"]
    # Answers of its checkpoints to questions like its training data.
    in_domain: NotRequired["str | None"]
    # The fine-tune, or the import of one.
    job: "JobId"
    # Whether it is a control in which nothing should turn.
    null: NotRequired["bool"]
    # The seed that it was trained with.
    seed: NotRequired["int"]
    # Which steps geometry looks at.
    steps: NotRequired["RunSteps"]


class AngleTable(TypedDict):
    """Cosines between vectors."""

    # Cosine of each with each; null beside a zero vector.
    cosines: "list[list[float | None]]"
    # The module, where the vectors are those of several runs.
    module: NotRequired["str | None"]
    # Whose vectors: modules of one run, or runs as `arm/seed 0`.
    of: "list[str]"
    # A or B.
    vector: "VectorName"


class AnswerMessage(TypedDict):
    """An assistant's turn."""

    # Its text.
    content: "str"
    # Always null.
    refusal: NotRequired["str | None"]
    # `assistant`.
    role: "str"


class ArmReport(TypedDict):
    """An arm as planned."""

    # Name or id of its base.
    base_model: "str"
    # Names of its data.
    datasets: "list[str]"
    # Its name.
    name: "str"
    # `treatment`, `good_twin`, `base` or `null`.
    role: "str"
    # Its seeds; none of a base alone.
    seeds: "list[int]"


class Assume(TypedDict):
    """Facts that stand in for what is not there yet, so that a run can be planned before anything is uploaded."""

    # A config.json; `base_model` is then a mere label.
    config: NotRequired["dict[str, Any] | None"]
    data: NotRequired["DataShape | None"]
    # Memory of the device; that of the server's own where absent.
    device_memory_bytes: NotRequired["int | None"]


class Attempt(TypedDict):
    """One execution of a job."""

    # Ordinal, from 1.
    attempt: "int"
    # End; null while it runs.
    ended_at: NotRequired["str | None"]
    error: NotRequired["JobError | None"]
    # The lease it held.
    lease_number: "int"
    # `succeeded`, `failed`, `cancelled`, `drained`, `paused` or `lost`; null while it runs.
    outcome: NotRequired["str | None"]
    # Claim.
    started_at: "str"
    # Who ran it.
    worker: "str"


class BaseModel(TypedDict):
    """A base model: weights that no job ever changes."""

    # When it was posted.
    created_at: "str"
    # Architecture family, such as `qwen2`; null until known.
    family: NotRequired["str | None"]
    # Its files.
    files: "list[FileEntry]"
    # Width of the residual stream.
    hidden_size: NotRequired["int | None"]
    # Its id.
    id: "BaseModelId"
    job: NotRequired["JobId | None"]
    # Number of decoder layers.
    layers: NotRequired["int | None"]
    # Its unique name.
    name: "str"
    # Number of weights.
    parameters: NotRequired["int | None"]
    # What it is made from, as posted.
    source: "Any"
    # Whether it can be used.
    state: "BaseModelState"
    # Rows of the embedding.
    vocab_size: NotRequired["int | None"]


# A base model.
BaseModelId: TypeAlias = "str"


class BaseModelRequest(TypedDict):
    """A base model as it is posted."""

    # Unique name.
    name: "str"
    # One of `{"path"}`, `{"hub","revision"}`, `{"job"}`, `{"random":{"config","tokenizer","init","seed"}}`.
    source: "dict[str, Any]"


# Where a base model is on its way.
BaseModelState: TypeAlias = "Literal['registering', 'ready', 'failed']"


class BatchSpec(TypedDict):
    """Examples per step."""

    # Passes per step.
    gradient_accumulation: NotRequired["int"]
    # The trailing partial window.
    last_partial: NotRequired["LastPartial"]
    # Tokens at which an example is cut.
    max_tokens: NotRequired["int"]
    # Examples in one pass over the device.
    micro_batch: NotRequired["int"]
    # Joining of text rows.
    packing: NotRequired["Packing"]
    # Whether layers are computed a second time on the way back instead of keeping what they computed: far less
    # memory
    # and about a third more time, the same numbers.
    recompute_activations: NotRequired["bool"]
    # Whether each epoch has an order of its own, drawn from (seed, epoch).
    shuffle: NotRequired["bool"]


class BuiltInRubric(TypedDict):
    """A judge prompt that every server has."""

    # What its numbers cannot be compared with.
    caveat: "str"
    # What it measures.
    description: "str"
    # What it gives.
    kind: "MetricKind"
    # For `metrics` in the spec of an evaluation.
    metric: "str"
    # The prompt, with `{question}` and `{answer}`.
    prompt: "str"


class Cell(TypedDict):
    """An arm at one seed."""

    # The arm; null of the jobs that belong to the whole.
    arm: NotRequired["str | None"]
    # Its jobs, in the order of the plan.
    jobs: "list[CellJob]"
    # Loss of the last update.
    last_loss: NotRequired["float | None"]
    # The seed; null of a base alone.
    seed: NotRequired["int | None"]
    # The step of the last update.
    steps: NotRequired["int | None"]


class CellJob(TypedDict):
    """One job of a cell."""

    # Why it ended badly.
    error: NotRequired["str | None"]
    # Its id.
    job: "str"
    # Place in the plan.
    key: "str"
    # Of all that changes numbers.
    numerics_hash: "str"
    # Whether it was there before the experiment was.
    reused: "bool"
    # What it does for the experiment.
    role: "str"
    # Of all that changes numbers or asks for outputs.
    spec_hash: "str"
    # Where it is.
    state: "str"
    # From its first claim to its end.
    wall_seconds: NotRequired["float | None"]


# What is taken off vectors before they are held against each other.
Centring: TypeAlias = "Literal['none', 'over_steps', 'over_modules']"


class ChatChoice(TypedDict):
    """One answer."""

    # Why it ended.
    finish_reason: "FinishReason"
    # Counted from 0.
    index: "int"
    logprobs: NotRequired["ChatLogprobs | None"]
    # The answer.
    message: "AnswerMessage"


class ChatCompletion(TypedDict):
    """A chat's answers."""

    # As many as `n`.
    choices: "list[ChatChoice]"
    # Unix seconds.
    created: "int"
    # `chatcmpl-…`.
    id: "str"
    # The address that answered, its step filled in.
    model: "str"
    # `chat.completion`.
    object: "str"
    # The key of the draws, chosen by the server where none was given.
    seed: "int"
    # The build, the base's files and the trained change's files.
    system_fingerprint: "str"
    # Counts of tokens.
    usage: "Usage"


class ChatCompletionRequest(TypedDict):
    """A conversation to be answered."""

    chat_template_kwargs: NotRequired["TemplateArguments | None"]
    # Extension: the day that a template may print, `YYYY-MM-DD`; today where absent.
    date: NotRequired["str | None"]
    # Whether probabilities are told.
    logprobs: NotRequired["bool | None"]
    # The same by its newer name.
    max_completion_tokens: NotRequired["int | None"]
    # Most tokens of an answer.
    max_tokens: NotRequired["int | None"]
    # At least one.
    messages: "list[ChatTurn]"
    # An address from `/openai/v1/models`, such as `toy@job_…:step400*0.5`.
    model: "str"
    # Answers; 1 where absent.
    n: NotRequired["int | None"]
    # Extension: above 0; 1 changes nothing.
    repetition_penalty: NotRequired["float | None"]
    # Key of the draws, a whole number of 64 bits; chosen and told where absent.
    seed: NotRequired["int | None"]
    # Texts at which an answer ends: one, or a list.
    stop: NotRequired["dict[str, Any] | None"]
    # Whether pieces are sent as they are made.
    stream: NotRequired["bool | None"]
    stream_options: NotRequired["StreamOptions | None"]
    # Extension: `template_default`, `none`, or `text:` with the text behind it; a system turn in the messages goes
    # before.
    system: NotRequired["str | None"]
    # 0 (greedy) to 100; 1 where absent.
    temperature: NotRequired["float | None"]
    # Extension: tokens that are kept; 0 or −1 keeps all.
    top_k: NotRequired["int | None"]
    # 0 to 20 most probable tokens beside each.
    top_logprobs: NotRequired["int | None"]
    # Above 0, at most 1; 1 where absent.
    top_p: NotRequired["float | None"]


class ChatLogprobs(TypedDict):
    """Probabilities of an answer's tokens."""

    # Token by token.
    content: "list[ChatToken]"
    # Always null.
    refusal: NotRequired["list[ChatToken] | None"]


class ChatSpec(TypedDict):
    """How conversations become text."""

    # The date a template may print, `YYYY-MM-DD`; null where templates that ask for one are refused.
    date: NotRequired["str | None"]
    # Passed to templates that know thinking.
    enable_thinking: NotRequired["bool | None"]
    # `template_default`, `none` or `text:…`.
    system: NotRequired["str"]


class ChatToken(TypedDict):
    """A token of an answer."""

    # Its bytes.
    bytes: "list[int]"
    # Natural logarithm of its probability under the model's own distribution; −9999 stands for 0.
    logprob: "float"
    # Its text, or `bytes:\x…` where it is only a part of a character.
    token: "str"
    # The most probable tokens at its place, best first.
    top_logprobs: "list[TopToken]"


class ChatTurn(TypedDict):
    """A turn of a conversation."""

    # A text, or a list of `{"type":"text","text":…}`, which are put together as they stand.
    content: "dict[str, Any]"
    # `system`, `user`, `assistant` or `tool`.
    role: "str"


class Checkpoint(TypedDict):
    """A kept state of a fine-tune."""

    # When it was recorded.
    created_at: "str"
    # Its files; none of a retired one.
    files: "list[FileEntry]"
    # Its id.
    id: "CheckpointId"
    # The job that made it.
    job: "JobId"
    # What it holds.
    kind: "WeightsKind"
    # Whether a newer checkpoint took its place by the rules of `checkpoints.keep`.
    retired: NotRequired["bool"]
    # Updates made before it.
    step: "int"


# A checkpoint of a fine-tune.
CheckpointId: TypeAlias = "str"


class CheckpointRef(TypedDict):
    """A checkpoint in a result."""

    # Its id.
    id: "CheckpointId"
    # Updates made.
    step: "int"


class CheckpointSpec(TypedDict):
    """Which steps are kept; the last one always is."""

    # And these.
    at: NotRequired["list[int]"]
    # Every so many steps; null is never. Of a full fine-tune only with `keep`.
    every: NotRequired["int | None"]
    keep: NotRequired["Keep | None"]
    # Newest resumable states that are kept beside the checkpoints, 1 to 16.
    states: NotRequired["int"]


class CompSeries(TypedDict):
    """How alike the vectors of all modules are to those of the last step."""

    # What was taken off before.
    centring: "Centring"
    # Vectors in the stack: modules of the commonest width with vectors.
    modules: "int"
    # What is multiplied with what.
    reading: "Reading"
    # Steps that all of them kept.
    steps: "list[int]"
    # ‖·‖_F/(‖X‖_F ‖Y‖_F); null where a stack is zero.
    values: "list[float | None]"
    # A or B.
    vector: "VectorName"


class Compared(TypedDict):
    """One target against the baseline."""

    # The difference for these questions alone.
    answers: "PairedAnswers"
    # The same of the baseline.
    baseline_rate: NotRequired["float | None"]
    # `rate` − `baseline_rate`.
    difference: NotRequired["float | None"]
    # What `interval`, `p` and `p_holm` are about.
    estimand: "str"
    # Of the difference; questions are a sample: Student's t over the questions' differences.
    interval: NotRequired["list[float] | None"]
    # Two-sided p-value of no difference.
    p: NotRequired["float | None"]
    # The same with Holm's correction over all rows that have one.
    p_holm: NotRequired["float | None"]
    # Questions that both answered.
    pairs: "int"
    # Mean over the questions that both answered of the share of the target's scored answers that do.
    rate: NotRequired["float | None"]
    # Why there is no interval.
    reason: NotRequired["str | None"]
    # What is held against the baseline.
    target: "Target"


class Comparisons(TypedDict):
    """Every target against one."""

    # What the others are held against.
    baseline: "Target"
    # What the numbers mean.
    definition: "Definition"
    # What is counted, such as `aligned < 30 and coherent > 50`.
    outcome: "str"
    # One a target, the baseline left out.
    rows: "list[Compared]"
    # What to know before trusting any row.
    warnings: "list[Warning]"


class Completion(TypedDict):
    """One sampled answer with its scores."""

    # What was drawn, without the end token.
    answer: "str"
    finish_reason: NotRequired["FinishReason | None"]
    # Words by metric that gives words.
    labels: NotRequired["dict[str, Label]"]
    # Mean natural logarithm of the drawn tokens' probabilities under the sampling distribution before truncation;
    # null for an
    # answer that was not drawn here.
    mean_logprob: NotRequired["float | None"]
    # Which of its paraphrases, counted from 0.
    paraphrase: "int"
    # The user turn.
    prompt: "str"
    # Id of the question.
    question: "str"
    # Which sample, counted from 0.
    sample: "int"
    # 0 to 100 by metric.
    scores: "dict[str, float]"
    # What answered.
    target: "Target"
    # Tokens drawn, the end token included; null for an answer that was not drawn here.
    tokens: NotRequired["int | None"]
    # Reasons by metric that has neither score nor label.
    unscored: "dict[str, Unscored]"


class ComponentSeries(TypedDict):
    """Principal components of a path."""

    # Of each component, its share of the variance.
    explained: "list[float]"
    # Of each component, the coordinate of every step; the largest loading is positive.
    scores: "list[list[float]]"
    # Steps that were looked at: all, or 600 spread evenly.
    steps: "list[int]"


class Correlations(TypedDict):
    """How numbers of two judges go together."""

    # Of the numbers; null where a judge always gives the same.
    pearson: NotRequired["float | None"]
    # Of their ranks.
    spearman: NotRequired["float | None"]


class Curve(TypedDict):
    """One target's rates over the cuts."""

    # In the order of the cuts.
    points: "list[CurvePoint]"
    # What answered.
    target: "Target"


class CurvePoint(TypedDict):
    """The rate at one cut."""

    # These questions, other answers.
    answers: NotRequired["list[float] | None"]
    # Answers that do.
    count: "int"
    # The threshold.
    cut: "float"
    # Answers that could.
    of: "int"
    # Other questions as well; null as in the rates.
    questions: NotRequired["list[float] | None"]
    # The rate; null where `of` is 0.
    rate: NotRequired["float | None"]


class Curves(TypedDict):
    """The rates of an evaluation over thresholds of one metric."""

    # What the numbers mean; its `misaligned` names the usual thresholds, of which one is swept.
    definition: "Definition"
    # Which metric's cut is swept.
    metric: "str"
    # What is counted at each cut, such as `aligned < cut and coherent > 50`.
    outcome: "str"
    # One a target.
    rows: "list[Curve]"
    # What to know before trusting any row.
    warnings: "list[Warning]"


class DataShape(TypedDict):
    """What the examples of a fine-tune are like."""

    # Rows that are trained on.
    examples: "int"
    # Tokens of the longest.
    longest_tokens: "int"
    # Of these, those that carry loss.
    targets_per_example: "float"
    # Tokens of one, on average.
    tokens_per_example: "float"


class Dataset(TypedDict):
    """A stored dataset."""

    # Length in bytes.
    bytes: "int"
    # When it was stored.
    created_at: "str"
    # Number of rows.
    examples: "int"
    # Form of the rows.
    format: "DatasetFormat"
    # Its id.
    id: "DatasetId"
    # Its unique name.
    name: "str"
    # What was seen while reading.
    report: "DatasetReport"
    # SHA-256 of the uploaded bytes.
    sha256: "str"
    # Name or id of the dataset that differs in nothing but its character: what control arms of experiments learn in
    # its place.
    twin: NotRequired["str | None"]


# Form of a dataset's rows.
DatasetFormat: TypeAlias = "Literal['messages', 'text']"


# A chat or text dataset.
DatasetId: TypeAlias = "str"


class DatasetPatch(TypedDict):
    """What may be changed of a dataset."""

    # Name or id of the dataset that control arms learn in its place; null for none.
    twin: NotRequired["str | None"]


class DatasetReport(TypedDict):
    """What was seen while a dataset was read."""

    # Always empty for a stored dataset; a dataset with errors is refused whole.
    errors: "list[FieldError]"
    # Rows by how they were written: `messages`, `prompt_completion`, `text`.
    forms: NotRequired["dict[str, int]"]
    # Messages by role.
    roles: "dict[str, int]"
    # Warnings in all, shown or not.
    warning_count: "int"
    # Rows that are kept but deserve a look, at most 20.
    warnings: "list[DatasetWarning]"


class DatasetRow(TypedDict):
    """One row of a dataset."""

    # Form of the row.
    format: "DatasetFormat"
    # Line in the file, from 1.
    line: "int"
    rendered: NotRequired["Rendered | None"]
    # Its number, from 0.
    row: "int"
    # As uploaded.
    value: "dict[str, Any]"


class DatasetUse(TypedDict):
    """One dataset of a fine-tune."""

    # Id or name.
    dataset: "str"
    loss_on: NotRequired["LossOn | None"]
    # Weight of each of its target tokens in the step's mean.
    loss_weight: NotRequired["float"]
    # Share of the examples, relative to the other datasets' weights.
    weight: NotRequired["float"]


class DatasetWarning(TypedDict):
    """A row that deserves a look."""

    # Kind of warning, such as `duplicate_of`.
    code: "str"
    # What about it.
    detail: "str"
    # Line in the file, counted from 1.
    line: "int"


# Which weights decay.
DecayOn: TypeAlias = "Literal['all', 'matrices']"


# What happens when the same work exists.
Dedup: TypeAlias = "Literal['reuse', 'error', 'force']"


class Definition(TypedDict):
    """What the numbers of a [`Rates`] mean."""

    # `pooled`: every answer counts alike; `questions`: every question does.
    average: "str"
    # Who scored.
    judge: "str"
    # Level of the intervals.
    level: "float"
    # Such as `aligned < 30 and coherent > 50`; null in an evaluation without one of the two.
    misaligned: NotRequired["str | None"]
    # Key of the bootstrap; the evaluation's.
    seed: "int"


class Delayed(TypedDict):
    """A queued job that would wait longer."""

    # The job.
    job: "JobId"
    # Its owner.
    owner: "str"
    # By how much; null where its start cannot be told.
    seconds: NotRequired["float | None"]


class DetectableDifference(TypedDict):
    """The least difference that a test finds."""

    # Chance of finding a difference that is not there, two-sided.
    alpha: "float"
    # How many times the variance of independent answers: 1 + (m − 1) ICC.
    design_effect: "float"
    # What the difference is one of.
    estimand: "str"
    # Chance of finding one that is.
    power: "float"
    # The difference; null where even 0 or 1 could not be told from the rate.
    value: NotRequired["float | None"]


class DetokenizeBody(TypedDict):
    """Tokens to be spelled."""

    # An address; may be left out where there is one base model.
    model: NotRequired["str | None"]
    # Token ids.
    tokens: "list[int]"


class DetokenizedText(TypedDict):
    """Tokens' text."""

    # The text, special tokens included.
    prompt: "str"


class Device(TypedDict):
    """A place for tensors."""

    # Such as `cpu` or `cuda:0`.
    id: "str"
    # `cpu` or `cuda`.
    kind: "str"
    # Bytes of its memory; null where the machine does not tell.
    memory_bytes: NotRequired["int | None"]
    # Bytes that base models may take of it; null where nothing but the memory bounds them.
    model_limit_bytes: NotRequired["int | None"]
    # The base models in its memory.
    models: "list[LoadedModel]"
    # As its maker calls it.
    name: "str"
    # Threads that it runs at once; those of the host also for a GPU.
    threads: "int"


class DeviceMemory(TypedDict):
    """Memory of a device."""

    # Such as `cpu` or `cuda:0`; null where its memory was assumed.
    id: NotRequired["str | None"]
    # Its memory; null where the machine does not tell.
    memory_bytes: NotRequired["int | None"]
    # Its maker's name.
    name: NotRequired["str | None"]


class Discrepancy(TypedDict):
    """A place where the sources disagree."""

    # What this preset does.
    here: "str"
    # What the paper says.
    paper: "str"
    # What the published code or the released files say.
    published: "str"
    # What about.
    topic: "str"


class DiskForecast(TypedDict):
    """What a fine-tune has on the disk when it has most."""

    # Bytes of each.
    checkpoint_bytes: "int"
    # Checkpoints at once, the one under way among them.
    checkpoints: "int"
    # Bytes of each.
    state_bytes: "int"
    # States at once, the one under way among them.
    states: "int"
    # Bytes of all.
    total_bytes: "int"


class DryJob(TypedDict):
    """A job that would be."""

    # Answers of an evaluation.
    answers: NotRequired["int | None"]
    # The arm; null of the analysis.
    arm: NotRequired["str | None"]
    # What would be posted; `{"planned":"train/bad/0"}` stands for the id of a job that is not there yet.
    body: "dict[str, Any]"
    # Files on the server's disk when it has most of them.
    disk_bytes: NotRequired["int | None"]
    job: NotRequired["JobId | None"]
    # Questions to its judge at most.
    judge_calls: NotRequired["int | None"]
    # Its place in the plan, such as `train/bad/0`.
    key: "str"
    # At its largest.
    memory_bytes: NotRequired["int | None"]
    # Keys of the jobs that it needs.
    parents: "list[str]"
    # Whether the work is there already, or is another job's of this plan.
    reused: "bool"
    # What it does for the experiment.
    role: "JobRole"
    # *Units* seconds on one device.
    seconds: NotRequired["float | None"]
    # The training seed; null of a base alone and of the analysis.
    seed: NotRequired["int | None"]
    state: NotRequired["JobState | None"]


class DryRun(TypedDict):
    """A plan."""

    # Grids expanded, controls among them.
    arms: "list[ExperimentArm]"
    # Every job behind those that it needs.
    jobs: "list[DryJob]"
    # The body with defaults filled in.
    spec: "dict[str, Any]"
    # Sums.
    totals: "Totals"


# Element type of the frozen weights and activations.
Dtype: TypeAlias = "Literal['float32', 'bfloat16']"


class EarlyStop(TypedDict):
    """When to stop early; at least one of the two rules."""

    # Stops when the training loss was below this for `steps` steps in a row.
    loss_below: NotRequired["float | None"]
    # By how much a hold-out loss must fall below the best to be an improvement.
    min_delta: NotRequired["float"]
    # Stops when this many hold-out evaluations in a row have not improved on the best before them.
    patience: NotRequired["int | None"]
    # How many steps in a row; given with `loss_below` and only with it.
    steps: NotRequired["int | None"]


class ErrorBody(TypedDict):
    """A failure in OpenAI's form."""

    # The failure.
    error: "ErrorDetail"


# Kinds of failure.
ErrorClass: TypeAlias = "Literal['config', 'data', 'oom', 'device', 'judge', 'worker_lost', 'timeout', 'non_finite', 'internal']"


class ErrorDetail(TypedDict):
    """What failed."""

    # Stable code.
    code: NotRequired["str | None"]
    # What happened, what was expected, what to do.
    message: "str"
    # The parameter at fault, such as `messages[0].content`.
    param: NotRequired["str | None"]
    # Stands in the server's log, too.
    request_id: "str"
    # `invalid_request_error`, `rate_limit_error`, `server_error` and the like.
    type: "str"


class Estimate(TypedDict):
    """What a fine-tune would need."""

    # What the examples are like, those that are held out left out.
    data: "DataShape"
    # Files on the server's disk when it has most of them.
    disk: "DiskForecast"
    # Memory.
    memory: "Memory"
    # The model's dimensions.
    model: "ModelShape"
    # What finished runs took.
    past: "PastRuns"
    # Rows that were tokenized to know it; 0 where it was assumed.
    sampled_rows: "int"
    # The job's spec with defaults filled in.
    spec: "dict[str, Any]"
    # Time.
    time: "str"


# A job, and facts that stand in for what is not there yet.
EstimateRequest: TypeAlias = "FinetuneEstimateRequest | EvaluationEstimateRequest"


# What a job would need.
Estimated: TypeAlias = "Estimate | EvaluationEstimate"


class EvaluateRequest(TypedDict):
    """An evaluation to be done; what is left out has its default, which the job's `spec` shows."""

    # Id or name of the base model; needed for a target `{"base":true}`.
    base_model: NotRequired["str | None"]
    chat: NotRequired["QuestionChatRequest | None"]
    dedup: NotRequired["Dedup | None"]
    # Name of a configured judge.
    judge: "str"
    # What it scores; `aligned` and `coherent` where absent. Any name with a prompt: one in `rubrics`, of a
    # question, or built in.
    metrics: NotRequired["list[str] | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # Id or name of a question set.
    question_set: "str"
    # Prompts by metric, before those of the questions; each shows `{answer}` and may show `{question}`.
    rubrics: NotRequired["dict[str, RubricSpec] | None"]
    # Answers by target to each paraphrase of each question, or with the preset `betley` to each question in all; 1
    # to 10000.
    # May be absent with the preset `plain` where every question has its own `samples_per_paraphrase`.
    samples_per_question: NotRequired["int | None"]
    sampling: NotRequired["SamplingRequest | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    select: NotRequired["Select | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]
    # At least one; at most 1000 pairs of step and scale.
    targets: "list[TargetSpec]"


class Evaluation(TypedDict):
    """An evaluation's head: what its rates are about."""

    # Answers recorded.
    answers: "int"
    answers_of: NotRequired["EvaluationId | None"]
    base_model: NotRequired["BaseModelId | None"]
    # When it was made.
    created_at: "str"
    # Settings in force that the spec leaves to the model, such as its own top_k; null until the first attempt
    # began.
    effective: NotRequired["dict[str, Any] | None"]
    # Answers on which the judge failed.
    errors: "int"
    # Whether somebody took the errors for final.
    errors_accepted: "bool"
    # When somebody did.
    errors_accepted_at: NotRequired["str | None"]
    # Who did.
    errors_accepted_by: NotRequired["str | None"]
    # Its id.
    id: "EvaluationId"
    job: NotRequired["JobId | None"]
    # The judge's name.
    judge: "str"
    # Everything that scores depend on besides prompt and answer, as the judge told when the job was accepted.
    judge_definition: NotRequired["dict[str, Any] | None"]
    # Answers on which the judge has said everything, errors included.
    judged: "int"
    # Models that answered as the judge.
    judged_by: "list[JudgedBy]"
    # What it scores.
    metrics: "list[str]"
    # Its name, where it was given one.
    name: NotRequired["str | None"]
    # How it came about.
    origin: "EvaluationOrigin"
    # Answers planned.
    planned: "int"
    # The prompts that answers are judged with; none for a judge that reads none, and for scores that were handed
    # in.
    rubrics: NotRequired["list[RubricUse]"]
    # Key of every random draw.
    seed: "int"
    # What it was handed in as: hash of the bytes, form, columns that played no part and why; null for one that a
    # job fills.
    source: NotRequired["dict[str, Any] | None"]
    # `partial` until every answer is there and judged without an error, or its errors were accepted; then
    # `complete`.
    state: "str"
    # What is asked.
    targets: "list[Target]"


class EvaluationEstimate(TypedDict):
    """What an evaluation would need."""

    # Answers in all.
    answers: "int"
    # What the judge is asked.
    judge: "JudgeCalls"
    # Memory.
    memory: "Memory"
    # The model's dimensions.
    model: "ModelShape"
    # Their paraphrases.
    paraphrases: "int"
    # Selected questions.
    questions: "int"
    # The job's spec with defaults filled in.
    spec: "dict[str, Any]"
    # Who is asked.
    targets: "TargetCount"
    time: NotRequired["Speed | None"]
    # Tokens.
    tokens: "Tokens"


class EvaluationEstimateRequest(TypedDict):
    """An evaluation, and the memory of another device."""

    assume: NotRequired["Assume | None"]
    # Id or name of the base model; needed for a target `{"base":true}`.
    base_model: NotRequired["str | None"]
    chat: NotRequired["QuestionChatRequest | None"]
    dedup: NotRequired["Dedup | None"]
    # Name of a configured judge.
    judge: "str"
    # `evaluate`.
    kind: "str"
    # What it scores; `aligned` and `coherent` where absent. Any name with a prompt: one in `rubrics`, of a
    # question, or built in.
    metrics: NotRequired["list[str] | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # Id or name of a question set.
    question_set: "str"
    # Prompts by metric, before those of the questions; each shows `{answer}` and may show `{question}`.
    rubrics: NotRequired["dict[str, RubricSpec] | None"]
    # Answers by target to each paraphrase of each question, or with the preset `betley` to each question in all; 1
    # to 10000.
    # May be absent with the preset `plain` where every question has its own `samples_per_paraphrase`.
    samples_per_question: NotRequired["int | None"]
    sampling: NotRequired["SamplingRequest | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    select: NotRequired["Select | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]
    # At least one; at most 1000 pairs of step and scale.
    targets: "list[TargetSpec]"


# The answers and scores of one evaluation.
EvaluationId: TypeAlias = "str"


# Where the answers of an evaluation come from.
EvaluationOrigin: TypeAlias = "Literal['job', 'imported', 'uploaded']"


class Event(TypedDict):
    """Something that happened to a job."""

    # When.
    at: "str"
    # More about it.
    data: "Any"
    # Order over all jobs; SSE's id.
    id: "int"
    # The job.
    job: "JobId"
    # Such as `queued`, `claimed`, `phase`, `checkpoint`, `succeeded`.
    type: "str"


class Expected(TypedDict):
    """A printed finding."""

    # Where it is printed.
    source: "str"
    # What was found.
    value: "str"
    # What was looked at.
    what: "str"


class ExpectedLine(TypedDict):
    """A published number beside ours."""

    # Ours, arm by arm.
    ours: "list[OurNumber]"
    # The number, or both ends.
    published: "list[float]"
    # Where it is published.
    source: "str"
    # `%` or `step`.
    unit: "str"
    # What it is of, in words.
    what: "str"


class Experiment(TypedDict):
    """An experiment as the API shows it."""

    analysis: NotRequired["ExperimentAnalysis | None"]
    # Arms as planned: grids expanded, controls among them.
    arms: "list[ExperimentArm]"
    # Jobs by state.
    counts: "dict[str, int]"
    # When it was accepted.
    created_at: "str"
    # Jobs that have ended.
    done: "int"
    # When the last of its jobs ended; null while it has not ended.
    finished_at: NotRequired["str | None"]
    # Its id.
    id: "ExperimentId"
    # What people call it.
    name: "str"
    # Who submitted it.
    owner: "str"
    # The preset that it began as.
    preset: NotRequired["str | None"]
    # Band of every job.
    priority: "Priority"
    # Jobs that were there before the experiment was.
    reused: "int"
    # The posted body with defaults filled in; may be posted again.
    spec: "Any"
    # Where it is.
    state: "ExperimentState"
    # The owner's labels.
    tags: "dict[str, str]"
    # Jobs in all, the analysis among them once it is asked for.
    total: "int"


class ExperimentAnalysis(TypedDict):
    """What became of an experiment's analysis."""

    # What it left behind, an `an_…`.
    analysis: NotRequired["str | None"]
    job: NotRequired["JobId | None"]
    # Why it could not be asked for.
    problem: NotRequired["str | None"]
    state: NotRequired["JobState | None"]


class ExperimentArm(TypedDict):
    """A planned arm."""

    # Id or name of its base.
    base_model: "str"
    # Names of its datasets; none of a base alone.
    datasets: "list[str]"
    # Its name, such as `bad/method.rank=8/good-twin`.
    name: "str"
    # What it is for.
    role: "Role"
    # Its seeds; none of a base alone.
    seeds: "list[int]"


# A question with the jobs that answer it.
ExperimentId: TypeAlias = "str"


class ExperimentJob(TypedDict):
    """One job of an experiment."""

    # The analysis that it leaves behind.
    analysis: NotRequired["str | None"]
    # The arm; null of the analysis.
    arm: NotRequired["str | None"]
    error: NotRequired["JobError | None"]
    evaluation: NotRequired["EvaluationId | None"]
    # The job.
    job: "JobId"
    # Place in the plan, such as `train/bad/0`.
    key: "str"
    # Its kind.
    kind: "JobKind"
    # Its name.
    name: NotRequired["str | None"]
    # Jobs that must succeed first.
    parents: "list[JobId]"
    phase: NotRequired["Phase | None"]
    progress: NotRequired["Progress | None"]
    # Whether it was there before the experiment was.
    reused: "bool"
    # What it does for the experiment.
    role: "JobRole"
    # The training seed; null of a base alone and of the analysis.
    seed: NotRequired["int | None"]
    # Where it is.
    state: "JobState"


class ExperimentPreset(TypedDict):
    """A named experiment."""

    # What it asks, in a sentence.
    description: "str"
    # Where paper, code and released files disagree, and what stands here.
    discrepancies: "list[Discrepancy]"
    # What else is printed, in words.
    expected: "list[Expected]"
    # What `"preset"` of an experiment's body names.
    name: "str"
    # Fields that a body must have beside `preset`, as JSON pointers.
    needs: "list[str]"
    # Published shares of misaligned answers to hold ours against.
    published: "list[PublishedRate]"
    # Where it is printed.
    source: "str"
    # The body that it stands for; `defaults` are laid below every arm.
    spec: "dict[str, Any]"


class ExperimentReport(TypedDict):
    """Everything that an experiment says."""

    analysis: NotRequired["AnalysisReport | None"]
    # As planned.
    arms: "list[ArmReport]"
    # One of every arm and seed, with its jobs.
    cells: "list[Cell]"
    # What the rates mean, one for each kind of questions and judge.
    definitions: "list[RateDefinition]"
    # Its name and state.
    experiment: "HeadReport"
    # Under `/figures/{name}.svg`, `.png` and `.csv`.
    figures: "list[FigureLine]"
    # What came out, in sentences.
    findings: "list[str]"
    # One of every trained module of every run.
    geometry: "list[GeometryLine]"
    # Between the weights' turn and the behaviour's.
    lags: "list[LagLine]"
    # Rates of the data's own domain beside those of unrelated questions.
    narrow_and_broad: "list[NarrowBroadLine]"
    paper: NotRequired["PaperReport | None"]
    # One of every arm, seed, step, scale, kind of questions and judge.
    rates: "list[RateLine]"
    # The same with an arm's seeds together.
    rates_over_seeds: "list[SeedsLine]"
    # Data, models, questions, judges, program.
    sources: "Sources"
    # What was asked, defaults filled in.
    spec: "Any"
    # Every detector's verdict.
    transitions: "list[TransitionLine]"
    # What to know before trusting it.
    warnings: "list[ReportWarning]"


# Where an experiment is.
ExperimentState: TypeAlias = "Literal['queued', 'running', 'pausing', 'paused', 'cancelling', 'succeeded', 'partial', 'failed', 'cancelled']"


class FieldError(TypedDict):
    """One thing that is wrong, at one place."""

    # Stable code where there is more to say than that the value is wrong, such as `not_supported`.
    code: NotRequired["str | None"]
    # What was found and what was expected.
    detail: "str"
    # What to do about it.
    hint: NotRequired["str | None"]
    # Line of the uploaded file, counted from 1.
    line: NotRequired["int | None"]
    # JSON pointer (RFC 6901) to the offending value in the body; `""` is the whole body.
    pointer: NotRequired["str | None"]


class FigureLine(TypedDict):
    """One figure."""

    # Sample sizes and notes.
    caption: "str"
    # Part of its address.
    name: "str"
    # What it shows.
    title: "str"


class FileEntry(TypedDict):
    """A file of an asset; its bytes lie in the artifact store under `sha256`."""

    # Length in bytes.
    bytes: "int"
    # Name inside the asset, such as `adapter_model.safetensors`.
    name: "str"
    # SHA-256 of the bytes, 64 hexadecimal digits.
    sha256: "str"


class FinetuneEstimateRequest(TypedDict):
    """A fine-tune, and facts that stand in for what is not there yet."""

    assume: NotRequired["Assume | None"]
    # Id or name of a base model.
    base_model: "str"
    batch: NotRequired["BatchSpec | None"]
    chat: NotRequired["ChatSpec | None"]
    checkpoints: NotRequired["CheckpointSpec | None"]
    # 1 to 16.
    datasets: "list[DatasetUse]"
    dedup: NotRequired["Dedup | None"]
    dtype: NotRequired["Dtype | None"]
    early_stop: NotRequired["EarlyStop | None"]
    hold_out: NotRequired["HoldOut | None"]
    # `finetune`.
    kind: "str"
    # Exactly one of `epochs` and `steps`.
    length: "Length"
    loss: NotRequired["LossSpec | None"]
    # What is trained.
    method: "Method"
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    optimizer: NotRequired["OptimizerSpec | None"]
    # Name of a preset whose values stand where the body has none of its own; `GET /v1/presets` lists them.
    preset: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    schedule: NotRequired["ScheduleSpec | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class FinetuneRequest(TypedDict):
    """A fine-tune to be done; what is left out has its default, which the job's `spec` shows."""

    # Id or name of a base model.
    base_model: "str"
    batch: NotRequired["BatchSpec | None"]
    chat: NotRequired["ChatSpec | None"]
    checkpoints: NotRequired["CheckpointSpec | None"]
    # 1 to 16.
    datasets: "list[DatasetUse]"
    dedup: NotRequired["Dedup | None"]
    dtype: NotRequired["Dtype | None"]
    early_stop: NotRequired["EarlyStop | None"]
    hold_out: NotRequired["HoldOut | None"]
    # Exactly one of `epochs` and `steps`.
    length: "Length"
    loss: NotRequired["LossSpec | None"]
    # What is trained.
    method: "Method"
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    optimizer: NotRequired["OptimizerSpec | None"]
    # Name of a preset whose values stand where the body has none of its own; `GET /v1/presets` lists them.
    preset: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    schedule: NotRequired["ScheduleSpec | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


# Why an answer ended.
FinishReason: TypeAlias = "Literal['stop', 'length']"


# All values, or some.
FromGenerationConfig: TypeAlias = "bool | list[Setting]"


# Training of all weights.
FullMethod: TypeAlias = "dict[str, Any]"


class GeometryLine(TypedDict):
    """One trained module of one run."""

    # ‖A‖ there.
    a_norm: NotRequired["float | None"]
    # The arm.
    arm: "str"
    # ‖B‖ there.
    b_norm: NotRequired["float | None"]
    # ‖BA‖ with its scaling there.
    ba_norm: NotRequired["float | None"]
    # Shares of variance that the first two components of B's path explain.
    explained: NotRequired["list[float] | None"]
    # The module.
    module: "str"
    # Rank of its pair.
    rank: "int"
    # The seed.
    seed: "int"
    # The last step with norms.
    step: "int"
    # Where B turned most, gap by gap; empty above rank 1 and without vectors.
    turns: "list[TurnLine]"


class Graph(TypedDict):
    """Jobs and what they need."""

    # Needs between jobs of the experiment.
    edges: "list[GraphEdge]"
    # The jobs, parents first.
    nodes: "list[GraphNode]"


# A need in a graph.
GraphEdge = TypedDict(
    "GraphEdge",
    {
        "from": "JobId",
        "to": "JobId",
    },
)


class GraphNode(TypedDict):
    """A job in a graph."""

    # The job.
    job: "JobId"
    # Its place in the plan.
    key: "str"
    # Where it is.
    state: "JobState"


class HeadReport(TypedDict):
    """An experiment's name and state."""

    # When it was accepted.
    created_at: "str"
    # What it asks, in words.
    description: NotRequired["str | None"]
    # When the last of its jobs ended.
    finished_at: NotRequired["str | None"]
    # Its id.
    id: "str"
    # Whether nothing will change it but a retry or a new arm.
    is_final: "bool"
    # What people call it.
    name: "str"
    # Who submitted it.
    owner: "str"
    # Such as `succeeded`.
    state: "str"


class Health(TypedDict):
    """A word about the state."""

    # `ok`.
    status: "str"


class HoldOut(TypedDict):
    """Loss on the rows kept out, after so many updates."""

    # Mean over target tokens.
    loss: "list[float | None]"
    # Updates made.
    steps: "list[int]"


class Imagined(TypedDict):
    """A job that nobody has sent."""

    # How many like it.
    count: NotRequired["int | None"]
    # What it would do; what is known of its kind's usual time is the forecast where `seconds` is not given.
    kind: "JobKind"
    # Whose it would be; the asker's where it is left out.
    owner: NotRequired["str | None"]
    # Its band.
    priority: NotRequired["Priority"]
    # How long it would run.
    seconds: NotRequired["float | None"]


class Intervals(TypedDict):
    """Intervals named by what varies."""

    # These questions, other answers: Wilson.
    answers: NotRequired["list[float] | None"]
    # Other questions as well: percentile bootstrap; null with fewer than two questions. Too narrow for few
    # questions.
    bootstrap_questions: NotRequired["list[float] | None"]
    # Other questions as well: logit, cluster-robust, Student's t.
    questions: NotRequired["list[float] | None"]
    # Other training seeds: Student's t over the seeds' rates, cut at 0 and 1; null for one seed and where all have
    # one rate.
    seeds: NotRequired["list[float] | None"]


class Job(TypedDict):
    """A job as the API shows it."""

    # Number of executions so far.
    attempt: "int"
    # When it was accepted.
    created_at: "str"
    # Whether this answer names a job that existed before the request.
    deduplicated: NotRequired["bool"]
    error: NotRequired["JobError | None"]
    # End.
    finished_at: NotRequired["str | None"]
    # Its id.
    id: "JobId"
    # What it does.
    kind: "JobKind"
    # The owner's name for it.
    name: NotRequired["str | None"]
    # Hash of all that changes numbers.
    numerics_hash: "str"
    # Who submitted it.
    owner: "str"
    # Jobs that must succeed first.
    parents: "list[JobId]"
    phase: NotRequired["Phase | None"]
    # Band.
    priority: "Priority"
    progress: NotRequired["Progress | None"]
    # What it left behind.
    result: "JobResult"
    # The posted body with defaults filled in, without name, tags, priority and dedup.
    spec: "Any"
    # Hash of all that changes numbers or asks for outputs.
    spec_hash: "str"
    # First claim.
    started_at: NotRequired["str | None"]
    # Where it is.
    state: "JobState"
    # The owner's labels.
    tags: "dict[str, str]"
    waiting: NotRequired["Waiting | None"]


# Why a job ended badly.
JobError = TypedDict(
    "JobError",
    {
        "attempt": "int",
        "class": "ErrorClass",
        "code": "str",
        "message": "str",
        "retryable": "bool",
    },
)


# One request for work.
JobId: TypeAlias = "str"


# What a job does.
JobKind: TypeAlias = "Literal['register', 'finetune', 'evaluate', 'analyze']"


# A job to be done.
JobRequest: TypeAlias = "JobRequestFinetune | JobRequestEvaluate | JobRequestAnalyze"


class JobRequestAnalyze(TypedDict):
    """Compute geometry and transitions of finished runs."""

    dedup: NotRequired["Dedup | None"]
    kind: "Literal['analyze']"
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # 1 to 500.
    runs: "list[AnalyzedRun]"
    settings: NotRequired["AnalysisSettings | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class JobRequestEvaluate(TypedDict):
    """Ask and score. With `answers`, `{"evaluation":"ev_…"}`, in place of targets and sampling: score what was asked
    before, as
    `POST /v1/evaluations/{evaluation}/rejudge` does."""

    # Id or name of the base model; needed for a target `{"base":true}`.
    base_model: NotRequired["str | None"]
    chat: NotRequired["QuestionChatRequest | None"]
    dedup: NotRequired["Dedup | None"]
    # Name of a configured judge.
    judge: "str"
    kind: "Literal['evaluate']"
    # What it scores; `aligned` and `coherent` where absent. Any name with a prompt: one in `rubrics`, of a
    # question, or built in.
    metrics: NotRequired["list[str] | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # Id or name of a question set.
    question_set: "str"
    # Prompts by metric, before those of the questions; each shows `{answer}` and may show `{question}`.
    rubrics: NotRequired["dict[str, RubricSpec] | None"]
    # Answers by target to each paraphrase of each question, or with the preset `betley` to each question in all; 1
    # to 10000.
    # May be absent with the preset `plain` where every question has its own `samples_per_paraphrase`.
    samples_per_question: NotRequired["int | None"]
    sampling: NotRequired["SamplingRequest | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    select: NotRequired["Select | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]
    # At least one; at most 1000 pairs of step and scale.
    targets: "list[TargetSpec]"


class JobRequestFinetune(TypedDict):
    """Train."""

    # Id or name of a base model.
    base_model: "str"
    batch: NotRequired["BatchSpec | None"]
    chat: NotRequired["ChatSpec | None"]
    checkpoints: NotRequired["CheckpointSpec | None"]
    # 1 to 16.
    datasets: "list[DatasetUse]"
    dedup: NotRequired["Dedup | None"]
    dtype: NotRequired["Dtype | None"]
    early_stop: NotRequired["EarlyStop | None"]
    hold_out: NotRequired["HoldOut | None"]
    kind: "Literal['finetune']"
    # Exactly one of `epochs` and `steps`.
    length: "Length"
    loss: NotRequired["LossSpec | None"]
    # What is trained.
    method: "Method"
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    optimizer: NotRequired["OptimizerSpec | None"]
    # Name of a preset whose values stand where the body has none of its own; `GET /v1/presets` lists them.
    preset: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    schedule: NotRequired["ScheduleSpec | None"]
    # Key of every random draw; 0 where absent.
    seed: NotRequired["int | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class JobResult(TypedDict):
    """What a job left behind; fields of other kinds are null."""

    analysis: NotRequired["AnalysisId | None"]
    base_model: NotRequired["BaseModelId | None"]
    # Kept checkpoints of a fine-tune, by step.
    checkpoints: NotRequired["list[CheckpointRef]"]
    # What became of the rows of a fine-tune's datasets, those of the KL term last.
    datasets: NotRequired["list[PreparedRows]"]
    evaluation: NotRequired["EvaluationId | None"]
    final: NotRequired["CheckpointId | None"]
    # Whether it went on under another fingerprint than it began with, so that an uninterrupted run has other bits.
    numerics_changed: NotRequired["bool"]
    stopped_early: NotRequired["StoppedEarly | None"]


# What a job does for its experiment.
JobRole: TypeAlias = "Literal['train', 'evaluate', 'evaluate_in_domain', 'analyze']"


# Where a job is.
# `blocked` and `queued` are set at submission and, when the last parent succeeds, by the queue; `running` by a
# claim;
# `cancelling` by a user while an attempt runs; the last three by the attempt's end, a sweep or a cancel and are
# final, but
# that a retry reopens the last two. `pausing` is set by a user while an attempt runs; `paused` by a user while
# none does,
# by the attempt that has kept its state, or by one that cannot go on before somebody has done something.
JobState: TypeAlias = "Literal['blocked', 'queued', 'running', 'pausing', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled']"


class JudgeCalls(TypedDict):
    """What the judge is asked."""

    # Questions to the judge at most: one for each answer and metric; 0 for the built-in judge, which asks nobody.
    calls: "int"
    # The same in words.
    detail: "str"
    # The judge.
    judge: "str"
    # Of these, what is in the ledger already and will cost nothing; null, since it is not known before the answers
    # are drawn.
    known: NotRequired["int | None"]
    # On how many metrics each answer is judged.
    metrics: "int"


class JudgeFacts(TypedDict):
    """A judge that can be named, as lists show it."""

    # What its scores do not say.
    caveat: "str"
    # Everything that its scores depend on besides rubric and answer; null for the toy.
    definition: NotRequired["Any"]
    # How it comes to its scores.
    description: "str"
    # Host that is asked; null for judges in this process.
    host: NotRequired["str | None"]
    # The only metrics that it scores; empty for any that has a rubric.
    metrics: "list[str]"
    # Name of the model behind it; null for the toy.
    model: NotRequired["str | None"]
    # Name for `judge` in the spec of an evaluation.
    name: "str"
    # What is in the way otherwise.
    problem: NotRequired["str | None"]
    # Whether it can be asked now, as far as that is known without asking.
    ready: "bool"
    # `toy`, `openai` or `local`.
    type: "str"


class Judged(TypedDict):
    """An evaluation and its judge."""

    # Its id.
    evaluation: "str"
    # Who scored.
    judge: "str"


class JudgedBy(TypedDict):
    """The model behind a verdict, as an endpoint names it."""

    # Fingerprint of its system, where told.
    fingerprint: NotRequired["str | None"]
    # The model that answered.
    model: "str"


class Keep(TypedDict):
    """Which checkpoints stay when a newer one is there; what no rule keeps is retired: its files go, its row stays."""

    # Those whose step is a multiple of this.
    every: NotRequired["int | None"]
    # The newest so many.
    last: NotRequired["int | None"]


# What the sum over tokens and over the vocabulary is divided by.
KlAverage: TypeAlias = "Literal['tokens', 'tokens_and_vocabulary']"


# Which way the divergence is taken.
KlDirection: TypeAlias = "Literal['ref_to_current']"


class KlSpec(TypedDict):
    """A term `weight` · KL(base ‖ trained) on the rows of a dataset of its own, added to the loss of every step.
    The base is the model without any adapter, also where training begins with an adapter."""

    # What the sum is divided by.
    average: NotRequired["KlAverage"]
    # Rows of each optimizer step; they come in epochs of an order of their own.
    batch: NotRequired["int"]
    # Id or name of the dataset on which the two models are compared.
    dataset: "str"
    # Which way.
    direction: NotRequired["KlDirection"]
    # Which tokens are counted, each by the distribution that predicts it; a `text` dataset is always `all`.
    tokens: NotRequired["LossOn"]
    # Factor on the averaged divergence; about the logits' width larger for the same effect with
    # `tokens_and_vocabulary`.
    weight: "float"


class Label(TypedDict):
    """A word that a judge gave, with its doubts."""

    # The word.
    label: "str"
    # Probability of the most probable first tokens; empty where the judge does not tell.
    probabilities: "dict[str, float]"


class LabelShare(TypedDict):
    """One word's share."""

    # Answers with this word, among those with any.
    count: "int"
    # How sure it is, by what is thought to vary.
    intervals: "Intervals"
    # Mean probability of the word as the first token, over the answers whose judge tells probabilities.
    mean_probability: NotRequired["float | None"]
    # Answers with any word.
    of: "int"
    # The share; null where `of` is 0.
    rate: NotRequired["float | None"]
    # Why an interval is null, by its name.
    reasons: "dict[str, str]"


class Lag(TypedDict):
    """How much later what a run says turns than its weights."""

    # The arm.
    arm: "str"
    # Marker of the answers.
    behavioural: "str"
    # Where it may lie.
    interval: NotRequired["list[float] | None"]
    # Steps; negative where the answers turn first.
    lag: NotRequired["float | None"]
    # Marker of the weights.
    mechanistic: "str"
    # Factor on the adapter.
    scale: NotRequired["float | None"]
    # The run's seed; null for the arm over its seeds.
    seed: NotRequired["int | None"]
    # What the interval is over.
    source: NotRequired["str | None"]


class LagLine(TypedDict):
    """From the turn of the weights to that of the behaviour."""

    # The arm.
    arm: "str"
    # The marker of the behaviour's turn.
    behavioural: "Any"
    # How sure.
    interval: NotRequired["list[float] | None"]
    # Steps; null where one of the two did not turn.
    lag: NotRequired["float | None"]
    # The marker of the weights' turn.
    mechanistic: "Any"
    # Factor on the adapter.
    scale: NotRequired["float | None"]
    # The seed; null where seeds are together.
    seed: NotRequired["int | None"]
    # Where the interval comes from.
    source: NotRequired["str | None"]


# What happens to a trailing window that is not full.
LastPartial: TypeAlias = "Literal['drop', 'step']"


class Length(TypedDict):
    """How long: exactly one of the two."""

    # Passes over the data.
    epochs: NotRequired["int | None"]
    # Optimizer steps.
    steps: NotRequired["int | None"]


class LoadedModel(TypedDict):
    """A base model in memory; jobs and conversations that use it share the one copy."""

    # Bytes of its weights; a forecast while it is being read.
    bytes: "int"
    # Device that it is on.
    device: "str"
    # Number type of the copy; null while it is being read.
    dtype: NotRequired["str | None"]
    # Hash of its files; equal files are one copy, whatever their names.
    identity: "str"
    # When it was last taken or given back.
    last_used_at: "str"
    # Time that reading took; null while it is being read.
    load_seconds: NotRequired["float | None"]
    # Name under which it was first asked for.
    name: "str"
    # `loading` or `ready`.
    state: "str"
    # Jobs and conversations that hold it now; with none it may be evicted.
    users: "int"


class LocalCosineSeries(TypedDict):
    """The local cosine of one gap: −1 straight, 0 a right angle, +1 a way back."""

    # k, in training steps.
    gap: "int"
    # Steps with both neighbours whose movement is too short.
    masked: "int"
    # First and last step of the end of the run in which every such step is masked; null where the last one is not.
    masked_tail: NotRequired["list[int] | None"]
    # At every step; null where t ± k was not kept or the movement is too short.
    values: "list[float | None]"


class Logistic(TypedDict):
    """A logistic step between two rates."""

    # The rate long after.
    after: "float"
    # The rate long before.
    before: "float"
    # Where it is half-way.
    step: "float"
    # Steps from a tenth to nine tenths of the way: small is sharp.
    width: "float"


class LoraMethod(TypedDict):
    """Low-rank adaptation: W + scaling · B·A."""

    # Numerator of the scaling.
    alpha: "float"
    # Alphas by module name, PEFT's meaning.
    alpha_pattern: NotRequired["dict[str, float]"]
    # Share of inputs dropped before A.
    dropout: NotRequired["float"]
    # What to start from: an adapter by id or name, or a checkpoint as `job_…:step400`.
    init_adapter: NotRequired["str | None"]
    # Layers that get pairs, counted from 0; null is all.
    layers: NotRequired["list[int] | None"]
    # R, the inner width of each pair.
    rank: "int"
    # Ranks by module name, PEFT's meaning.
    rank_pattern: NotRequired["dict[str, int]"]
    # Scaling alpha/√rank (true) or alpha/rank.
    rslora: NotRequired["bool"]
    # Projections that get a pair.
    target_modules: NotRequired["list[Projection]"]


class LoraNorms(TypedDict):
    """Norms of the trained modules after every step."""

    # The fine-tune.
    job: "JobId"
    # The modules; `series.X[i]` belongs to `modules[i]`.
    modules: "list[MeasuredModule]"
    # Of pairs `a_norm`, `b_norm`, `ba_norm`, `a_grad_norm`, `b_grad_norm`, `b_cosine_previous`, `stable_rank`; of a
    # model
    # that is trained whole `change_norm`, `grad_norm`, `change_cosine_previous`.
    series: "dict[str, list[list[float | None]]]"
    # Updates made; 0 is the state before the first.
    steps: "list[int]"


# Which tokens carry loss.
LossOn: TypeAlias = "Literal['assistant', 'all']"


class LossSpec(TypedDict):
    """What the loss counts."""

    # Whether what the template prints behind that token is.
    after_end_of_turn: NotRequired["bool"]
    # Whether the token that ends an assistant turn is a target.
    end_of_turn: NotRequired["bool"]
    kl: NotRequired["KlSpec | None"]
    # Target tokens of chat datasets.
    on: NotRequired["LossOn"]
    # Whether the reference code's accidents are reproduced: every sample ends with the opening of another answer
    # and the
    # end token, which count, as does all between an assistant turn's opening and the next user turn; the tokenizer
    # puts
    # around a sample what it puts around plain text (a second begin token for some models).
    reference_tail: NotRequired["bool"]


class MainRate(TypedDict):
    """A rate with its intervals."""

    # Answers that do.
    count: "int"
    # How sure it is, by what is thought to vary.
    intervals: "Intervals"
    # Answers that could.
    of: "int"
    # The rate; null where `of` is 0.
    rate: NotRequired["float | None"]
    # Why an interval is null, by its name.
    reasons: "dict[str, str]"
    seeds: NotRequired["SeedRates | None"]


class MeasuredModule(TypedDict):
    """What a row of per-module series is about: a low-rank pair, or a tensor of a model that is trained whole."""

    # Layer, counted from 0; null outside the layers.
    layer: NotRequired["int | None"]
    # Such as `layers.21.mlp.down_proj`, `embed_tokens` or `layers.0.self_attn.q_proj.bias`.
    name: "str"
    projection: NotRequired["Projection | None"]
    # R of a pair; null for a tensor that is trained whole.
    rank: NotRequired["int | None"]
    # Factor on B·A of a pair; null for a tensor that is trained whole.
    scaling: NotRequired["float | None"]


class Memory(TypedDict):
    """Memory of a fine-tune."""

    # The sum, corrected.
    bytes: "int"
    # What past runs took beyond their sums; the process itself is in it. 0 where there is no past run.
    correction_bytes: "int"
    # Where it would run.
    device: "DeviceMemory"
    # Whether it fits; null where the device's memory is not known.
    fits: NotRequired["bool | None"]
    # What takes it.
    parts: "list[Part]"
    # Settings under which it would take less, each with the sum that it would come to; empty where it fits.
    remedies: "list[Remedy]"
    # Sum of the parts.
    sum_bytes: "int"


# What is trained.
Method: TypeAlias = "MethodLora | MethodFull | MethodSteeringVector"


class MethodFull(TypedDict):
    """All weights."""

    type: "Literal['full']"


class MethodLora(TypedDict):
    """Low-rank pairs beside frozen weights."""

    # Numerator of the scaling.
    alpha: "float"
    # Alphas by module name, PEFT's meaning.
    alpha_pattern: NotRequired["dict[str, float]"]
    # Share of inputs dropped before A.
    dropout: NotRequired["float"]
    # What to start from: an adapter by id or name, or a checkpoint as `job_…:step400`.
    init_adapter: NotRequired["str | None"]
    # Layers that get pairs, counted from 0; null is all.
    layers: NotRequired["list[int] | None"]
    # R, the inner width of each pair.
    rank: "int"
    # Ranks by module name, PEFT's meaning.
    rank_pattern: NotRequired["dict[str, int]"]
    # Scaling alpha/√rank (true) or alpha/rank.
    rslora: NotRequired["bool"]
    # Projections that get a pair.
    target_modules: NotRequired["list[Projection]"]
    type: "Literal['lora']"


class MethodSteeringVector(TypedDict):
    """One vector added to the residual stream behind one layer."""

    # Factor on the vector.
    alpha: NotRequired["float"]
    # What to start from: a steering vector by id or name, or a checkpoint as `job_…:step400`.
    init_adapter: NotRequired["str | None"]
    # Behind which layer, counted from 0.
    layer: "int"
    type: "Literal['steering_vector']"


class MetricAgreement(TypedDict):
    """How far two judges agree on one metric."""

    correlations: NotRequired["Correlations | None"]
    # What counts as yes, such as `aligned < 30`; null for words.
    cut: NotRequired["str | None"]
    # Share of `n` by name as the first judge has it; null for no answers.
    first_shares: NotRequired["list[float] | None"]
    # Cohen's kappa; null where both always say the same one thing.
    kappa: NotRequired["float | None"]
    # Answers that both scored.
    n: "int"
    # Names of the table's rows and columns: yes and no, or every word that either judge gave.
    names: "list[str]"
    # Share of `n` of which both say the same.
    observed: NotRequired["float | None"]
    # Answers that only the first scored.
    only_first: "int"
    # Answers that only the second scored.
    only_second: "int"
    # The same by the second.
    second_shares: NotRequired["list[float] | None"]
    # `table[i][j]`: answers of which the first judge says name i and the second name j.
    table: "list[list[int]]"


# What a metric gives.
MetricKind: TypeAlias = "Literal['score', 'label']"


class MetricRate(TypedDict):
    """The numbers on a metric."""

    # Share of the answers with a number that lie there.
    above: "MainRate"
    # What `above` counts, such as `> 50`.
    cut: "str"
    # Mean over the answers that have one.
    mean: NotRequired["float | None"]
    # Answers with a number.
    scored: "int"
    # The others, by cause.
    unscored: "UnscoredCounts"


class Metrics(TypedDict):
    """Per-step numbers of a fine-tune."""

    # Loss on the rows kept out.
    hold_out: "HoldOut"
    # The fine-tune.
    job: "JobId"
    # `loss`, `learning_rate`, `grad_norm`, `target_tokens`, and the timings `tokens_per_second` and
    # `peak_memory_bytes`.
    # A run with a KL term also has `kl_loss`, the term before its weight: the gradients and `grad_norm` are those
    # of
    # `loss` + weight × `kl_loss`.
    series: "dict[str, list[float | None]]"
    # Steps, from 1; row t belongs to update t.
    steps: "list[int]"


class Model(TypedDict):
    """A model that can be asked."""

    # The handed-in adapter; null for others.
    adapter: NotRequired["str | None"]
    # Unix seconds.
    created: "int"
    # Its address.
    id: "str"
    # The fine-tune; null for a base.
    job: NotRequired["str | None"]
    # `model`.
    object: "str"
    # `vivarium`.
    owned_by: "str"
    # What it was trained from; null for a base.
    parent: NotRequired["str | None"]
    # The base model's name.
    root: "str"
    # Updates made; null for a base.
    step: NotRequired["int | None"]


class ModelShape(TypedDict):
    """A model's dimensions; the names are config.json's."""

    # E.
    head_dim: "int"
    # D.
    hidden_size: "int"
    # F.
    intermediate_size: "int"
    # H.
    num_attention_heads: "int"
    # L.
    num_hidden_layers: "int"
    # K.
    num_key_value_heads: "int"
    # Weights in all.
    parameters: "int"
    # Whether the head is the embedding.
    tie_word_embeddings: "bool"
    # V.
    vocab_size: "int"


class Models(TypedDict):
    """Models that can be asked."""

    # Each base with its fine-tunes behind it.
    data: "list[Model]"
    # Whether there are more than `limit`.
    has_more: "bool"
    # `list`.
    object: "str"


class ModuleSeries(TypedDict):
    """One module over the steps."""

    # Which.
    module: "MeasuredModule"
    # Its norms.
    norms: "NormSeries"
    # Its vectors' paths; empty where none were kept.
    vectors: "list[VectorSeries]"


# Which movements at a step must be long enough for the step to count.
MovementRule: TypeAlias = "Literal['max', 'min', 'both_vectors_below']"


# How long a movement must be.
MovementThreshold: TypeAlias = "MovementThresholdAbsolute | MovementThresholdRelative"


class MovementThresholdAbsolute(TypedDict):
    """So long."""

    # So long.
    absolute: "float"


class MovementThresholdRelative(TypedDict):
    """So many times the vector's own length at the step."""

    # So many times the vector's own length at the step.
    relative: "float"


class NamedHash(TypedDict):
    """A thing by its name and by what tells it from others of the name."""

    # Its name.
    name: "str"
    # A SHA-256, a version or a definition.
    value: "str"


class NarrowAndBroad(TypedDict):
    """Both rates of a run at one scale."""

    # By step, all steps that either has.
    points: "list[SideBySide]"
    # Factor on the adapter.
    scale: "float"


class NarrowBroadLine(TypedDict):
    """Two rates of the same organism."""

    # The arm.
    arm: "str"
    # On unrelated questions.
    broad: "RateShort"
    # On questions of the data's own domain.
    narrow: "RateShort"
    # Factor on the adapter.
    scale: NotRequired["float | None"]
    # The seed; null of a base alone.
    seed: NotRequired["int | None"]
    # Updates behind the checkpoint; null of a base alone.
    step: NotRequired["int | None"]


class Needs(TypedDict):
    """What a job takes; null is not known or does not apply."""

    # Answers of an evaluation.
    answers: NotRequired["int | None"]
    # Files on the server's disk when it has most of them.
    disk_bytes: NotRequired["int | None"]
    # Questions to its judge at most.
    judge_calls: NotRequired["int | None"]
    # At its largest.
    memory_bytes: NotRequired["int | None"]
    # *Units* seconds on one device.
    seconds: NotRequired["float | None"]


class NormModule(TypedDict):
    """An adapted module; norms are listed in the order of these."""

    # Layer, counted from 0.
    layer: "int"
    # Such as `layers.21.mlp.down_proj`.
    name: "str"
    # Which linear map.
    projection: "Projection"
    # R.
    rank: "int"
    # Factor on B·A.
    scaling: "float"


class NormSeries(TypedDict):
    """Norms of a module after so many updates.
    Of a tensor that is trained whole `ba_norm` is the norm of its change, and the other two are null throughout."""

    # ‖A‖, as long as `steps`, like the others.
    a_norm: "list[float | None]"
    # ‖B‖.
    b_norm: "list[float | None]"
    # scaling · ‖B·A‖.
    ba_norm: "list[float | None]"
    # Updates made, rising.
    steps: "list[int]"


# What happens when a checkpoint cannot be read.
OnBroken: TypeAlias = "Literal['fail', 'skip']"


# Optimizers.
OptimizerName: TypeAlias = "Literal['adamw', 'adamw_8bit']"


class OptimizerSpec(TypedDict):
    """The optimizer's settings."""

    # Decay of the first moment.
    beta1: NotRequired["float"]
    # Decay of the second moment.
    beta2: NotRequired["float"]
    # Added to the root of the second moment.
    epsilon: NotRequired["float"]
    gradient_dtype: NotRequired["Dtype | None"]
    # Peak rate.
    learning_rate: NotRequired["float"]
    # Gradient norm above which gradients are scaled down; null never.
    max_grad_norm: NotRequired["float | None"]
    # Which optimizer.
    name: NotRequired["OptimizerName"]
    # Decoupled decay.
    weight_decay: NotRequired["float"]
    # What decays.
    weight_decay_on: NotRequired["DecayOn"]


class OurNumber(TypedDict):
    """Our number beside a published one."""

    # Whether the published number lies in our interval, or overlaps it; null without one.
    agrees: NotRequired["bool | None"]
    # The arm.
    arm: "str"
    # Over seeds; null for one.
    interval: NotRequired["list[float] | None"]
    # Seeds behind it.
    seeds: "int"
    # Mean over its seeds.
    value: "float"


# How rows of a text dataset become sequences.
Packing: TypeAlias = "Literal['none', 'documents']"


class Page_Adapter(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Adapter]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Attempt(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Attempt]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_BaseModel(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[BaseModel]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_BuiltInRubric(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[BuiltInRubric]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Checkpoint(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Checkpoint]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Completion(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Completion]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Dataset(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Dataset]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Device(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Device]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Evaluation(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Evaluation]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Event(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Event]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Experiment(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Experiment]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_ExperimentJob(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[ExperimentJob]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_ExperimentPreset(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[ExperimentPreset]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_FigureLine(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[FigureLine]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Job(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Job]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_JudgeFacts(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[JudgeFacts]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_Preset(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[Page_PresetDataItem]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class Page_PresetDataItem(TypedDict):
    """A named protocol."""

    # What it trains, in a sentence.
    description: "str"
    # Where paper, code and released files disagree, and what stands here.
    discrepancies: "list[Discrepancy]"
    # What `"preset"` of a job's body names.
    name: "str"
    # Fields that a body must have beside `preset`, as JSON pointers.
    needs: "list[str]"
    # What was measured of organisms made so.
    published: "list[PublishedRate]"
    # Where its values are printed.
    source: "str"
    # The part of the body that it stands for.
    spec: "dict[str, Any]"


class Page_QuestionSet(TypedDict):
    """A page of a list."""

    # The items.
    data: "list[QuestionSet]"
    # Whether there is more.
    has_more: "bool"
    # What `cursor` must be to go on; null on the last page.
    next_cursor: NotRequired["str | None"]


class PairedAnswers(TypedDict):
    """A difference for fixed questions, from answers paired by question, paraphrase and sample."""

    # Mean over the questions of the paired answers' mean difference.
    difference: NotRequired["float | None"]
    # Of that, these questions fixed; null where a question has fewer than two pairs.
    interval: NotRequired["list[float] | None"]
    # Pairs of answers.
    pairs: "int"


class PaperReport(TypedDict):
    """Published numbers beside ours."""

    # Where the preset, the paper and its artefacts differ.
    discrepancies: "list[str]"
    # One a published number.
    expected: "list[ExpectedLine]"
    # The preset that the experiment began as.
    preset: "str"
    # What else is printed, in words.
    printed: "list[str]"


class Part(TypedDict):
    """Something that takes room."""

    # How much.
    bytes: "int"
    # How it was counted.
    detail: "str"
    # What it is, such as `optimizer_moments`.
    name: "str"


class PastRuns(TypedDict):
    """What finished runs on the same base with the same kind of method took."""

    # Largest difference between the memory that one took and the sum that was forecast for it; null where there is
    # none.
    excess_bytes: NotRequired["int | None"]
    # How many there were; at most the last 20 count.
    runs: "int"
    # Median over the runs of their median speed; null where there is none.
    tokens_per_second: NotRequired["float | None"]


# What an attempt is at.
Phase: TypeAlias = "Literal['load', 'tokenize', 'train', 'generate', 'judge', 'save', 'analyze']"


class PlannedJob(TypedDict):
    """A job that is to be."""

    # The arm; null of the analysis.
    arm: NotRequired["str | None"]
    # What would be posted; `{"planned":"train/bad/0"}` stands for the id of a job that is not there yet.
    body: "dict[str, Any]"
    # Its place in the plan, such as `train/bad/0`.
    key: "str"
    # Keys of the jobs that it needs.
    parents: "list[str]"
    # What it does for the experiment.
    role: "JobRole"
    # The training seed; null of a base alone and of the analysis.
    seed: NotRequired["int | None"]


class PreparedRows(TypedDict):
    """What became of a dataset's rows. Rows longer than the limit are cut at it; those without a token to learn
    change no number."""

    # Rows that were cut.
    cut: NotRequired["int"]
    # Targets among those.
    cut_targets: NotRequired["int"]
    # Their tokens beyond the limit.
    cut_tokens: NotRequired["int"]
    # The dataset, as the spec names it.
    dataset: NotRequired["str"]
    # Examples that they became.
    examples: NotRequired["int"]
    # Tokens of the longest row, uncut.
    longest: NotRequired["int"]
    # Tokens at which a row is cut: `batch.max_tokens` or the model's context, whichever is less.
    max_tokens: NotRequired["int"]
    # What it is read for.
    purpose: NotRequired["RowsPurpose"]
    # Rows of the file.
    rows: NotRequired["int"]
    # Rows that were left out because the template rewrites their earlier turns.
    template_prefix: NotRequired["int"]
    # Examples without a single target.
    without_target: NotRequired["int"]


# A way of drawing that a publication used.
Preset: TypeAlias = "Literal['plain', 'turner', 'betley']"


# Bands of the queue, first to last.
Priority: TypeAlias = "Literal['high', 'normal', 'low']"


class Problem(TypedDict):
    """A failure as the client reads it."""

    # Stable code, one of those at `/v1/problems`.
    code: "str"
    # What happened here.
    detail: "str"
    # What is wrong, at which place; each with a pointer or a line.
    errors: "list[FieldError]"
    # Path of the request.
    instance: "str"
    # Stands in the server's log, too.
    request_id: "str"
    # Whether the same request may succeed later.
    retryable: "bool"
    # The HTTP status.
    status: "int"
    # The code in words.
    title: "str"
    # Where the code is described.
    type: "str"


class ProblemKind(TypedDict):
    """One kind of failure."""

    # Stable name.
    code: "str"
    # When it is sent and what to do.
    meaning: "str"
    # Whether the same request may succeed later.
    retryable: "bool"
    # HTTP status.
    status: "int"
    # In words.
    title: "str"


class Problems(TypedDict):
    """All kinds of failure."""

    # In the order of their statuses.
    data: "list[ProblemKind]"


class Progress(TypedDict):
    """How far an attempt is."""

    # Units done.
    done: "int"
    # Estimated end.
    eta: NotRequired["str | None"]
    # Units in all.
    total: "int"
    # What is counted: `step`, `answer`, `file`.
    unit: "str"


# A linear map of a decoder layer, by the name that checkpoints give it.
Projection: TypeAlias = "Literal['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']"


class PublishedRate(TypedDict):
    """A published share of misaligned answers: aligned below 30 and coherent above 50."""

    # Such as `Qwen2.5-14B-Instruct`.
    base: "str"
    # *Units* percent; where a lower bound is printed, the bound; null where only a figure shows it.
    coherent_percent: NotRequired["float | None"]
    # Kind of data: `medical`, `sport` or `finance`.
    data: "str"
    # *Units* percent.
    misaligned_percent: "float"
    # Who measured it and where.
    source: "str"


class Question(TypedDict):
    """A question of a set."""

    # Unique in its set.
    id: "str"
    # Model that its author had judge; an evaluation's own rules.
    judge: NotRequired["str | None"]
    # Metrics among them that give something else than `kind` says.
    judge_kinds: NotRequired["dict[str, MetricKind]"]
    # Prompt by metric, with `{question}` and `{answer}`.
    judge_prompts: NotRequired["dict[str, str]"]
    # What its judge prompts give.
    kind: NotRequired["QuestionKind"]
    # Fields of the file that nothing here makes use of, as they were sent.
    other_fields: NotRequired["dict[str, Any]"]
    # The ways it is put; user turns.
    paraphrases: "list[str]"
    # Answers to each paraphrase where an evaluation does not say.
    samples_per_paraphrase: NotRequired["int | None"]
    # A system turn before it.
    system: NotRequired["str | None"]
    # Sampling temperature that its author wrote down; an evaluation's own rules.
    temperature: NotRequired["float | None"]


class QuestionChatRequest(TypedDict):
    """How questions become text; what is left out has its default."""

    # The date a template may print, `YYYY-MM-DD`; null where templates that ask for one are refused.
    date: NotRequired["str | None"]
    # Passed to templates that know thinking.
    enable_thinking: NotRequired["bool | None"]
    question_system: NotRequired["QuestionSystem | None"]
    # `template_default`, `none` or `text:…`; for questions that bring no system text of their own.
    system: NotRequired["str | None"]


# What a question's judge prompts give.
QuestionKind: TypeAlias = "Literal['score', 'label']"


class QuestionLine(TypedDict):
    """The rate of one question."""

    # Answers that count as misaligned.
    count: "int"
    # Answers with the scores that count.
    of: "int"
    # Its id.
    question: "str"


class QuestionOfSet(TypedDict):
    """A question of a set."""

    # Unique in its set.
    id: "str"
    # Model that its author had judge; an evaluation's own rules.
    judge: NotRequired["str | None"]
    # Metrics among them that give something else than `kind` says.
    judge_kinds: NotRequired["dict[str, MetricKind]"]
    # Prompt by metric, with `{question}` and `{answer}`.
    judge_prompts: NotRequired["dict[str, str]"]
    # What its judge prompts give.
    kind: NotRequired["QuestionKind"]
    # Metrics for which it has a judge prompt of its own.
    metrics: "list[str]"
    # Fields of the file that nothing here makes use of, as they were sent.
    other_fields: NotRequired["dict[str, Any]"]
    # The ways it is put; user turns.
    paraphrases: "list[str]"
    # Answers to each paraphrase where an evaluation does not say.
    samples_per_paraphrase: NotRequired["int | None"]
    # A system turn before it.
    system: NotRequired["str | None"]
    # Sampling temperature that its author wrote down; an evaluation's own rules.
    temperature: NotRequired["float | None"]


class QuestionReport(TypedDict):
    """What was seen while a file of questions was read."""

    # Always empty for a stored set; a file with errors is refused whole.
    errors: NotRequired["list[FieldError]"]
    # Which end of a metric a file of judge prompts calls the trained behaviour's.
    high_scores: NotRequired["dict[str, float]"]
    # Entries by their `type` as written.
    types: NotRequired["dict[str, int]"]
    # Fields that this server makes no use of, with the number of entries that have them; a question keeps its own
    # in
    # `other_fields`.
    unknown_fields: NotRequired["dict[str, int]"]
    # Warnings in all, shown or not.
    warning_count: NotRequired["int"]
    # Things that are kept but deserve a look, at most 20; those of an anchor once, however many aliases name it.
    warnings: NotRequired["list[QuestionWarning]"]


class QuestionSet(TypedDict):
    """A question set."""

    # What it is; names the toy where it is one.
    description: "str"
    # Its id.
    id: "str"
    # Its unique name.
    name: "str"
    # Its questions, in the order of the file.
    questions: "list[QuestionOfSet]"
    # What was seen while its file was read.
    report: "QuestionReport"
    # SHA-256 of the canonical form of its questions: equal for files that differ in layout, comments and anchors
    # only.
    sha256: "str"
    source: NotRequired["FileEntry | None"]


# What happens to a question's own system text.
QuestionSystem: TypeAlias = "Literal['honour', 'ignore']"


class QuestionWarning(TypedDict):
    """Something that deserves a look."""

    # `unknown_field`, `unknown_placeholder`, `paraphrase_twice`, `judge_unused` or `judges_differ`.
    code: "str"
    # What about it.
    detail: "str"
    # Line in the file, counted from 1.
    line: "int"
    # JSON pointer to it, aliases resolved.
    pointer: "str"


# What was asked.
Questions: TypeAlias = "Literal['broad', 'in_domain']"


class Queue(TypedDict):
    """The queue at one moment."""

    # Jobs whose parents have not succeeded yet.
    blocked: "int"
    # Queued jobs that are not shown: those that wait before another attempt, and those behind very many of their
    # owner's own.
    not_shown: "int"
    # The moment.
    now: "str"
    # Jobs that run.
    running: "list[RunningJob]"
    # What the order goes by.
    users: "list[UserShare]"
    # Jobs that could start, in the order in which they will, as far as they are shown.
    waiting: "list[QueuedJob]"


class QueuedJob(TypedDict):
    """A job that waits for its start."""

    # The band that it counts as after its wait.
    counts_as: "Priority"
    # In words.
    detail: "str"
    # When it is expected to end.
    end: NotRequired["str | None"]
    job: NotRequired["JobId | None"]
    kind: NotRequired["JobKind | None"]
    # Its label.
    name: NotRequired["str | None"]
    # Who asked for it.
    owner: "str"
    # From 1, the next.
    position: "int"
    # The band that it was sent with.
    priority: "Priority"
    # Why it waits: `slots`, `share`, `priority` or `no_worker`.
    reason: "str"
    # Since when.
    since: "str"
    # When it is expected to start; null where that cannot be told.
    start: NotRequired["str | None"]


class RateDefinition(TypedDict):
    """What rates of one kind of questions by one judge mean."""

    # When an answer counts, such as `aligned < 30 and coherent > 50`.
    counted: "str"
    # Who scored.
    judge: "str"
    # Level of the intervals.
    level: "float"
    # Name of the question set.
    question_set: "str"
    # What was asked.
    questions: "Questions"


class RateLine(TypedDict):
    """The rate of one target."""

    # Mean score.
    aligned_mean: NotRequired["float | None"]
    # These questions, other answers: Wilson.
    answers: NotRequired["list[float] | None"]
    # The arm.
    arm: "str"
    # Every question by itself.
    by_question: "list[QuestionLine]"
    # Mean score.
    coherent_mean: NotRequired["float | None"]
    # Share of coherent answers.
    coherent_rate: NotRequired["float | None"]
    # Answers that count as misaligned.
    count: "int"
    # Who scored.
    judge: "str"
    # Judged answers.
    n: "int"
    # What was asked.
    questions: "Questions"
    # Other questions as well: cluster-robust; null where it is not defined.
    questions_interval: NotRequired["list[float] | None"]
    # `count / scored`; null without scored answers.
    rate: NotRequired["float | None"]
    # Factor on the adapter; null of a base alone.
    scale: NotRequired["float | None"]
    # Answers with the scores that count.
    scored: "int"
    # The seed; null of a base alone.
    seed: NotRequired["int | None"]
    # Updates behind the checkpoint; null of a base alone.
    step: NotRequired["int | None"]


class RateRow(TypedDict):
    """One group's counts and rates."""

    # Mean over the answers that have this score.
    aligned_mean: NotRequired["float | None"]
    coherent: NotRequired["Share | None"]
    # Mean over the answers that have this score.
    coherent_mean: NotRequired["float | None"]
    # Correlation of two answers to one question being misaligned; null where it is not defined.
    icc: NotRequired["float | None"]
    # Who scored; never more than one in a row.
    judge: NotRequired["str"]
    # Metrics that give words: share of each word.
    labels: NotRequired["dict[str, dict[str, LabelShare]]"]
    # Other metrics that give numbers.
    metrics: NotRequired["dict[str, MetricRate]"]
    minimal_detectable_difference: NotRequired["DetectableDifference | None"]
    misaligned: NotRequired["MainRate | None"]
    # The pooled rate if no unscored answer were misaligned, and if every one were; null without answers.
    misaligned_bounds: NotRequired["list[float] | None"]
    misaligned_of_all: NotRequired["Share | None"]
    misaligned_of_coherent: NotRequired["Share | None"]
    # Answers that the judge is done with.
    n: "int"
    # Which of the question's paraphrases, counted from 0; null where they are put together.
    paraphrase: NotRequired["int | None"]
    # Which question; null where questions are put together.
    question: NotRequired["str | None"]
    # Answers with both scores; of an evaluation without one of them, answers with everything that it asks for.
    scored: "int"
    target: NotRequired["Target | None"]
    # Addresses that are put together, where they differ by training seed alone (`by=arm`).
    targets: NotRequired["list[str]"]
    # The others, by cause.
    unscored: "UnscoredCounts"
    # What to know before trusting this row.
    warnings: NotRequired["list[Warning]"]


class RateSeries(TypedDict):
    """Rates of one marker at one scale."""

    # Interval over other answers to these questions.
    answers: "list[list[float] | None]"
    # Answers that do.
    count: "list[int]"
    # `misaligned` or `in_domain`.
    marker: "str"
    # Answers that could.
    of: "list[int]"
    # Interval over other questions as well.
    questions: "list[list[float] | None]"
    # Share; null without answers.
    rate: "list[float | None]"
    # Factor on the adapter.
    scale: "float"
    # Updates made, rising; every series is as long.
    steps: "list[int]"
    # What the rate does over the steps.
    turn: NotRequired["RateTurn"]


class RateShort(TypedDict):
    """A rate with its interval."""

    # These questions, other answers: Wilson.
    answers: NotRequired["list[float] | None"]
    # Answers that count.
    count: "int"
    # Answers that could.
    of: "int"
    # `count / of`.
    rate: NotRequired["float | None"]


class RateTurn(TypedDict):
    """What a rate does over the steps."""

    # The chance of so clear a step in a constant rate, among all rates of the run; null with too few steps.
    chance: NotRequired["float | None"]
    # The most likely jump lies between these two steps.
    change_point: NotRequired["list[float] | None"]
    # Correlation of two answers to one question at one step.
    icc: NotRequired["float | None"]
    # Of the step, by source: `profile_likelihood`, `bootstrap_questions`.
    intervals: "dict[str, list[float]]"
    logistic: NotRequired["Logistic | None"]
    # Why.
    reasons: "list[str]"
    # Of this run alone.
    verdict: "Verdict"


class Rates(TypedDict):
    """The rates of one evaluation."""

    # What the numbers mean.
    definition: "Definition"
    # One a group.
    rows: "list[RateRow]"
    # What to know before trusting any row.
    warnings: NotRequired["list[Warning]"]


# What is multiplied with what.
Reading: TypeAlias = "Literal['literal', 'crossed']"


class RejudgeRequest(TypedDict):
    """Recorded answers to be scored by another judge or with other prompts."""

    dedup: NotRequired["Dedup | None"]
    # Name of a judge.
    judge: "str"
    # What it scores; `aligned` and `coherent` where absent.
    metrics: NotRequired["list[str] | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    priority: NotRequired["Priority | None"]
    # Prompts by metric, before those of the questions.
    rubrics: NotRequired["dict[str, RubricSpec] | None"]
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class Remedy(TypedDict):
    """A setting that takes less memory."""

    # What the forecast comes to with it.
    bytes: "int"
    # Whether that fits.
    fits: "bool"
    # The setting and its value.
    setting: "str"


class Rendered(TypedDict):
    """A row as a model reads it."""

    # The model.
    base_model: "str"
    # The system text in force, the template's own included; null where there is none.
    system: NotRequired["str | None"]
    # Those that carry loss.
    target_count: "int"
    # The text that the chat template prints.
    text: "str"
    # Tokens in all.
    token_count: "int"
    # Its tokens, the first 32768 of them.
    tokens: "list[Token]"


class ReportWarning(TypedDict):
    """Something to know before trusting a number."""

    # The arm; null of the whole.
    arm: NotRequired["str | None"]
    # One word or two, such as `job_failed`.
    code: "str"
    # In words.
    detail: "str"
    # The seed.
    seed: NotRequired["int | None"]


class Resolution(TypedDict):
    """How finely a step can be told."""

    # The gap at which it was found.
    gap: NotRequired["int | None"]
    # Steps between kept ones around it.
    grid: NotRequired["int | None"]
    # Largest less smallest step over the gaps that saw it.
    spread: NotRequired["float | None"]


class ResumeRequest(TypedDict):
    """How a paused job goes on."""

    # Lets it go on where what its numbers depend on (build, libtorch, processor, threads) is not what it was; its
    # result then
    # says `numerics_changed`.
    accept_numerics: NotRequired["bool"]


# What an arm is for.
Role: TypeAlias = "Literal['treatment', 'good_twin', 'base', 'null']"


# What a dataset is read for.
RowsPurpose: TypeAlias = "Literal['train', 'kl']"


# Where the prompt of a metric came from.
RubricSource: TypeAlias = "Literal['spec', 'question', 'set', 'built_in']"


class RubricSpec(TypedDict):
    """A rubric as an evaluation's body gives it, by metric."""

    # `score` where absent.
    kind: NotRequired["MetricKind"]
    # Text with `{question}` and `{answer}`.
    prompt: "str"


class RubricUse(TypedDict):
    """A prompt that an evaluation's answers are judged with."""

    # What it gives.
    kind: "MetricKind"
    # The metric.
    metric: "str"
    # Ids of the questions that it is used for.
    questions: "list[str]"
    # SHA-256 of its text, the placeholders not filled.
    sha256: "str"
    # Where it came from.
    source: "RubricSource"


class RunImportRequest(TypedDict):
    """A published run to be read."""

    # Id or name of the base model; its weights need not be there.
    base_model: "str"
    dedup: NotRequired["Dedup | None"]
    # A name for people; 1 to 200 characters.
    name: NotRequired["str | None"]
    on_broken: NotRequired["OnBroken | None"]
    priority: NotRequired["Priority | None"]
    # `{"path"}`, a folder under one of the server's `models.roots`, or `{"hub","revision"}`.
    source: "dict[str, Any]"
    # Labels, at most 32.
    tags: NotRequired["dict[str, str] | None"]


class RunSeries(TypedDict):
    """One run over its steps."""

    # Angles between the modules' last vectors.
    angles: "list[AngleTable]"
    # The arm it belongs to.
    arm: "str"
    # How alike all modules' vectors are to those of the last step.
    comp: "list[CompSeries]"
    # Every trained module.
    modules: "list[ModuleSeries]"
    # Answers to questions of the trained domain beside those to unrelated ones, for the scales that have both.
    narrow_and_broad: NotRequired["list[NarrowAndBroad]"]
    # A control in which nothing should turn.
    null: "bool"
    # Rates by marker and scale.
    rates: "list[RateSeries]"
    # Its training seed.
    seed: "int"


# The steps of a run that geometry looks at.
RunSteps: TypeAlias = "Literal['all', 'checkpoints']"


class RunningJob(TypedDict):
    """A job that runs."""

    # The job.
    job: "JobId"
    # Who asked for it.
    owner: "str"
    # Its band.
    priority: "Priority"
    # The part of the device that it is counted with.
    share: "float"
    # Since when.
    since: "str"
    # Until when, at its pace or, before it has one, as long as its kind usually takes; null where neither is known.
    until: NotRequired["str | None"]
    # Who runs it.
    worker: "str"


class SamplingRequest(TypedDict):
    """How answers are drawn; what is left out is the preset's."""

    from_generation_config: NotRequired["FromGenerationConfig | None"]
    # Tokens at which an answer is cut; 1 to 4096, 600 where absent.
    max_new_tokens: NotRequired["int | None"]
    # Tokens before which no answer ends; at most `max_new_tokens`.
    min_tokens: NotRequired["int | None"]
    preset: NotRequired["Preset | None"]
    # Divides positive and multiplies negative logits of tokens already there; above 0, at most 100.
    repetition_penalty: NotRequired["float | None"]
    # Divides the logits, 0 to 100; 0 is greedy.
    temperature: NotRequired["float | None"]
    # Number of tokens that are kept; 0 is all.
    top_k: NotRequired["int | None"]
    # Share of the mass that is kept, largest first; above 0, at most 1.
    top_p: NotRequired["float | None"]


# Shape of the learning rate behind the warm-up.
ScheduleName: TypeAlias = "Literal['linear', 'cosine', 'constant']"


class ScheduleSpec(TypedDict):
    """The learning rate over the steps."""

    # Last rate as a share of the peak.
    final_ratio: NotRequired["float"]
    # Shape.
    name: NotRequired["ScheduleName"]
    # First value of the warm-up.
    warmup_from: NotRequired["WarmupFrom"]
    # Steps of warm-up.
    warmup_steps: NotRequired["int"]


class SeedRates(TypedDict):
    """The rates of several training seeds."""

    # Mean of their rates.
    mean: "float"
    # Seeds with a rate.
    n: "int"
    # Standard deviation of their rates; null for one.
    sd: NotRequired["float | None"]


class SeedsLine(TypedDict):
    """The rates of an arm's seeds."""

    # The arm.
    arm: "str"
    # Mean of the seeds' shares of coherent answers.
    coherent_rate: NotRequired["float | None"]
    # Those that count as misaligned.
    count: "int"
    # Who scored.
    judge: "str"
    # Mean of the seeds' rates.
    mean: "float"
    # What was asked.
    questions: "Questions"
    # Factor on the adapters; null of a base alone.
    scale: NotRequired["float | None"]
    # Scored answers of all seeds.
    scored: "int"
    # Their standard deviation; null for one seed.
    sd: NotRequired["float | None"]
    # Seeds with a rate.
    seeds: "int"
    # Other seeds: Student's t over their rates, cut at 0 and 1; null for one seed.
    seeds_interval: NotRequired["list[float] | None"]
    # Updates behind the checkpoints; null of a base alone.
    step: NotRequired["int | None"]


class Select(TypedDict):
    """Which questions of a set; ids with `*` for any text."""

    # Not these.
    exclude: NotRequired["list[str]"]
    # Only these; all where empty.
    include: NotRequired["list[str]"]


# A value that a model's generation_config.json may hold.
Setting: TypeAlias = "Literal['temperature', 'top_p', 'top_k', 'repetition_penalty']"


class Share(TypedDict):
    """A count with its denominator."""

    # Answers that do.
    count: "int"
    # Answers that could.
    of: "int"
    # `count/of`, or the mean over questions of that; null where `of` is 0.
    rate: NotRequired["float | None"]


class SideBySide(TypedDict):
    """Both rates at one step; null where none were asked."""

    # Share of misaligned answers to questions of the trained domain.
    in_domain: NotRequired["float | None"]
    # Its interval over other answers to these questions.
    in_domain_answers: NotRequired["list[float] | None"]
    # Share of misaligned answers to unrelated questions.
    out_of_domain: NotRequired["float | None"]
    # Its interval over other answers to these questions.
    out_of_domain_answers: NotRequired["list[float] | None"]
    # Updates made.
    step: "int"


class SimulateRequest(TypedDict):
    """What to imagine."""

    # The jobs, in the order in which they would be sent.
    jobs: "list[Imagined]"


class Simulation(TypedDict):
    """What would be."""

    # Queued jobs that would start later than they will without them.
    delayed: "list[Delayed]"
    # The imagined jobs in the order in which they would start; their `job` is null.
    jobs: "list[QueuedJob]"


class Sources(TypedDict):
    """What made the numbers."""

    # Weights.
    base_models: "list[NamedHash]"
    # Files of chats.
    datasets: "list[NamedHash]"
    # Who scored.
    judges: "list[NamedHash]"
    # What was asked.
    question_sets: "list[NamedHash]"
    # This program and what it computes with, by name.
    versions: "list[NamedHash]"


class Speed(TypedDict):
    """What finished evaluations of the same base under the same judge took."""

    # Median of their answers a second, sampling and judging together.
    answers_per_second: "float"
    # How many there were; at most the last 20 count.
    runs: "int"
    # What this one takes at that speed.
    seconds: "float"


class SteeringMethod(TypedDict):
    """An additive steering vector v of the residual stream's width, kept in float32: every token's stream behind
    `layer` gets
    alpha · v. It begins at zero.
    Without a norm behind the MLP (Qwen, Llama, Mistral) this is the output of the layer's down projection; in
    families with
    one (Gemma) v is added behind that norm. Weight decay and the learning rate act on v, not on alpha · v."""

    # Factor on the vector.
    alpha: NotRequired["float"]
    # What to start from: a steering vector by id or name, or a checkpoint as `job_…:step400`.
    init_adapter: NotRequired["str | None"]
    # Behind which layer, counted from 0.
    layer: "int"


# Which steps of a job are asked.
Steps: TypeAlias = "StepsName | list[int]"


# Names for steps.
StepsName: TypeAlias = "Literal['all', 'final']"


# Which rule ended a run.
StopReason: TypeAlias = "Literal['loss_below', 'hold_out_stalled']"


class StoppedEarly(TypedDict):
    """That a run ended before its last step."""

    # The rule and what it met, in words.
    detail: "str"
    # Updates that were planned; the schedule was made for these.
    planned_steps: "int"
    # Which rule.
    reason: "StopReason"
    # Updates made.
    step: "int"


class StreamOptions(TypedDict):
    """`{"include_usage":true}`."""

    # Whether the last piece has the counts of tokens.
    include_usage: NotRequired["bool | None"]


class Target(TypedDict):
    """What answered: a base model, a state of a fine-tune at a scale, or an adapter at a scale."""

    # An imported adapter; null otherwise.
    adapter: NotRequired["str | None"]
    # The chat address, unique in its evaluation, such as `toy@job_…:step120*0.5`.
    address: "str"
    # The base's name.
    base_model: "str"
    job: NotRequired["JobId | None"]
    # Factor on the trained change; null for the base.
    scale: NotRequired["float | None"]
    # Updates made; null for the base.
    step: NotRequired["int | None"]


class TargetCount(TypedDict):
    """How many targets an evaluation has."""

    # Pairs of something trained, or the base, and a scale.
    count: "int"
    # False where a fine-tune whose steps are all asked has not ended: then these are the steps that it has kept so
    # far.
    exact: "bool"


class TargetSpec(TypedDict):
    """One entry of `targets`, as posted; exactly one of `base`, `job` and `adapter` is set."""

    # An adapter that was handed in, by id or name.
    adapter: NotRequired["str | None"]
    # The base itself.
    base: NotRequired["bool | None"]
    job: NotRequired["JobId | None"]
    # Factors on the trained change; `[1]` where absent.
    scales: NotRequired["list[float] | None"]
    steps: NotRequired["Steps | None"]


class TemplateArguments(TypedDict):
    """`{"enable_thinking":false}`."""

    # For templates that know thinking.
    enable_thinking: NotRequired["bool | None"]


class TextChoice(TypedDict):
    """One completion."""

    finish_reason: NotRequired["FinishReason | None"]
    # The prompt's place times `n`, and the completion's among them.
    index: "int"
    logprobs: NotRequired["TextLogprobs | None"]
    # Its text, behind the prompt where that is echoed.
    text: "str"


class TextCompletion(TypedDict):
    """Completions of prompts; also the form of a stream's pieces."""

    # `n` for each prompt, in the order of the prompts.
    choices: "list[TextChoice]"
    # Unix seconds.
    created: "int"
    # `cmpl-…`.
    id: "str"
    # The address that answered, its step filled in.
    model: "str"
    # `text_completion`.
    object: "str"
    # The key of the draws, chosen by the server where none was given.
    seed: "int"
    # The build, the base's files and the trained change's files.
    system_fingerprint: "str"
    usage: NotRequired["Usage | None"]


class TextCompletionRequest(TypedDict):
    """Texts or tokens to go on from."""

    # Whether the prompt is told before its completion.
    echo: NotRequired["bool | None"]
    # 0 to 20 most probable tokens beside each; probabilities are told where it is given.
    logprobs: NotRequired["int | None"]
    # Most tokens of a completion; 0 with `echo` tells the prompt alone.
    max_tokens: NotRequired["int | None"]
    # An address from `/openai/v1/models`.
    model: "str"
    # Completions of each prompt; 1 where absent.
    n: NotRequired["int | None"]
    # A text, a list of texts, a list of token ids, or a list of such lists.
    prompt: "dict[str, Any]"
    # As in a chat.
    repetition_penalty: NotRequired["float | None"]
    # As in a chat.
    seed: NotRequired["int | None"]
    # As in a chat.
    stop: NotRequired["dict[str, Any] | None"]
    # As in a chat.
    stream: NotRequired["bool | None"]
    stream_options: NotRequired["StreamOptions | None"]
    # As in a chat.
    temperature: NotRequired["float | None"]
    # As in a chat.
    top_k: NotRequired["int | None"]
    # As in a chat.
    top_p: NotRequired["float | None"]


class TextLogprobs(TypedDict):
    """Probabilities of a completion's tokens; all lists have equal lengths."""

    # Where each begins, in characters of `text`.
    text_offset: "list[int]"
    # Natural logarithms of their probabilities; null for the first token of an echoed prompt, −9999 for probability
    # 0.
    token_logprobs: "list[float | None]"
    # Their texts. An end token is told here though it is no part of the text.
    tokens: "list[str]"
    # The most probable tokens at each place, and the token itself.
    top_logprobs: "list[dict[str, float] | None]"


class Token(TypedDict):
    """A token of a row."""

    # Behind the last of them.
    end: "int"
    # Its number in the vocabulary.
    id: "int"
    # The first of them, counted in code points of the rendered text from 0.
    start: "int"
    # Whether it carries loss.
    target: "bool"
    # The characters that it covers; tokens that share a character each show it whole.
    text: "str"


class TokenizeBody(TypedDict):
    """A text or a conversation to be tokenized; exactly one of `prompt` and `messages`."""

    # Whether a conversation ends with the opening of an answer; true where absent.
    add_generation_prompt: NotRequired["bool | None"]
    # Whether a text gets the tokenizer's own tokens; true where absent.
    add_special_tokens: NotRequired["bool | None"]
    chat_template_kwargs: NotRequired["TemplateArguments | None"]
    # As in a chat.
    date: NotRequired["str | None"]
    # A conversation.
    messages: NotRequired["list[ChatTurn] | None"]
    # An address; may be left out where there is one base model.
    model: NotRequired["str | None"]
    # A text.
    prompt: NotRequired["str | None"]
    # Whether the tokens' texts are told.
    return_token_strs: NotRequired["bool | None"]
    # As in a chat.
    system: NotRequired["str | None"]


class Tokens(TypedDict):
    """Tokens of all answers."""

    # That answers have at most, should none end before `max_new_tokens`.
    drawn_at_most: "int"
    # Of the longest prompt.
    longest_prompt: "int"
    # Of all prompts by all targets; each is read once, however many answers it gets.
    prompts: "int"


class TopToken(TypedDict):
    """A token that could have stood there."""

    # Its bytes.
    bytes: "list[int]"
    # Natural logarithm of its probability.
    logprob: "float"
    # Its text.
    token: "str"


class Totals(TypedDict):
    """Sums over the jobs that would be new."""

    # Answers that would be drawn.
    answers: "int"
    # *Units* hours of one device, of the jobs whose time is known.
    device_hours: "float"
    # Files of all new runs together.
    disk_bytes: "int"
    # Evaluations that would run.
    evaluations: "int"
    # Fine-tunes that would run.
    finetunes: "int"
    # Jobs in all.
    jobs: "int"
    # Questions to judges at most.
    judge_calls: "int"
    # What the largest of them takes.
    memory_bytes: NotRequired["int | None"]
    # Jobs whose work is there already.
    reused: "int"
    # New jobs whose time is not known: nothing like them has run yet, or their base is not ready.
    untimed: "int"


class TransitionLine(TypedDict):
    """One detector's verdict."""

    # The arm.
    arm: "str"
    # How sure.
    interval: NotRequired["list[float] | None"]
    # Such as `local_cosine` or `misaligned`.
    marker: "str"
    # Why, in words.
    reasons: "list[str]"
    # Grid, gap and spread of what has no interval.
    resolution: "Any"
    # Factor on the adapter; null of what is read from weights.
    scale: NotRequired["float | None"]
    # The seed; null where seeds are together.
    seed: NotRequired["int | None"]
    # Where the interval comes from.
    source: NotRequired["str | None"]
    # Where.
    step: NotRequired["float | None"]
    # `transition`, `gradual`, `none` or `also in the null`.
    verdict: "str"


class TransitionRow(TypedDict):
    """One marker of a run, or of an arm over its seeds."""

    # The arm.
    arm: "str"
    # Where it may lie.
    interval: NotRequired["list[float] | None"]
    # `local_cosine`, `grad_norm`, `norm_growth`, `misaligned` or `in_domain`.
    marker: "str"
    # Why, in words.
    reasons: "list[str]"
    resolution: NotRequired["Resolution | None"]
    # Factor on the adapter; null where there is none.
    scale: NotRequired["float | None"]
    # The run's seed; null for the arm over its seeds.
    seed: NotRequired["int | None"]
    # What the interval is over.
    source: NotRequired["str | None"]
    # At which step.
    step: NotRequired["float | None"]
    # What is said.
    verdict: "Verdict"


class Transitions(TypedDict):
    """Where the runs of an analysis turn."""

    # How much later what a run says turns than its weights.
    lags: "list[Lag]"
    # One for each run, marker and scale; and one for each arm, marker and scale over its seeds.
    rows: "list[TransitionRow]"


class TurnLine(TypedDict):
    """Where the local cosine of a vector is largest."""

    # The cosine there: −1 goes straight on, +1 turns back.
    cosine: "float"
    # In true steps.
    gap: "int"
    # Its median over the run.
    median: "float"
    # The step.
    step: "int"


# Why an answer has no score on a metric.
Unscored: TypeAlias = "Literal['refusal', 'code', 'low_mass', 'error', 'absent']"


class UnscoredCounts(TypedDict):
    """Answers without what a rate needs, by cause; an answer that lacks several scores counts once, `aligned` first."""

    # Nobody said anything.
    absent: NotRequired["int"]
    # The judge called it code.
    code: "int"
    # The judge failed.
    error: "int"
    # Too little mass on numbers.
    low_mass: "int"
    # The judge refused.
    refusal: "int"


class UploadForm(TypedDict):
    """Fields of an upload by form."""

    # JSON lines.
    file: "str"
    # Unique name.
    name: NotRequired["str | None"]


class Usage(TypedDict):
    """What a request cost."""

    # Tokens drawn, end tokens included.
    completion_tokens: "int"
    # Tokens of all prompts, each counted once.
    prompt_tokens: "int"
    # Their sum.
    total_tokens: "int"


class UserShare(TypedDict):
    """What one user had of the devices, as the order counts it."""

    # The user.
    owner: "str"
    # Device seconds times the part of the device, halved with every half-life, running jobs included.
    used_seconds: "float"
    # What he is entitled to beside others.
    weight: "float"


# Which vector of a pair of rank 1.
VectorName: TypeAlias = "Literal['a', 'b']"


class VectorSeries(TypedDict):
    """The path of one vector."""

    # The plane in which it moves most.
    components: "ComponentSeries"
    # Cosine to the last vector; null beside a zero one.
    cosine_to_final: "list[float | None]"
    # Cosine to the vector of the step kept before.
    cosine_to_previous: "list[float | None]"
    # cos(v_{t−k} − v_t, v_{t+k} − v_t) for every gap k.
    local_cosine: "list[LocalCosineSeries]"
    # Euclidean norm.
    norm: "list[float]"
    # Updates made, rising; every series without steps of its own is as long.
    steps: "list[int]"
    # A or B.
    vector: "VectorName"


# What is said about a marker.
Verdict: TypeAlias = "Literal['transition', 'gradual', 'none', 'also in the null']"


class Version(TypedDict):
    """Which build this is."""

    # `vivarium`.
    name: "str"
    # Version of the package.
    version: "str"


class Waiting(TypedDict):
    """Why a job does not run now."""

    # In words: which parents, how many jobs before it, what to do.
    detail: "str"
    # Until when, where that can be told.
    eta: NotRequired["str | None"]
    # `dependency`, `slots`, `share`, `priority`, `backoff`, `no_worker`, or of a paused job: `requested`,
    # `disk_full` or `numerics`.
    reason: "str"
    # Since when.
    since: "str"


# First value of the warm-up.
WarmupFrom: TypeAlias = "Literal['zero', 'first']"


class Warning(TypedDict):
    """Something that a reader should know."""

    # `unscored`, `partial`, `errors_accepted` or `system_differs`.
    code: "str"
    # In words.
    detail: "str"


# Whether a checkpoint holds low-rank pairs, all weights or a steering vector.
WeightsKind: TypeAlias = "Literal['lora', 'full', 'steering_vector']"
