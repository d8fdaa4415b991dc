"""Client of a Vivarium server: fine-tune, evaluate and watch model organisms from a notebook."""

from . import models
from ._things import Adapter, Analysis, BaseModel, Checkpoint, Dataset, Evaluation, Experiment, Job, Judge, Pages, QuestionSet
from .client import Client
from .errors import BrokenDownload, ConnectionFailed, JobFailed, VivariumError, WaitTimeout

__version__ = "0.1.0"
__all__ = [
    "Adapter", "Analysis", "BaseModel", "BrokenDownload", "Checkpoint", "Client", "ConnectionFailed", "Dataset", "Evaluation",
    "Experiment", "Job", "JobFailed", "Judge", "Pages", "QuestionSet", "VivariumError", "WaitTimeout", "models",
]  # fmt: skip
