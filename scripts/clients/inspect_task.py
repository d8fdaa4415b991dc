"""A small task for inspect: every answer is scored by whether it holds a character, which noise may or may not."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message


@task
def small():
    samples = [Sample(input=f"Say {number}.", target=str(number)) for number in range(3)]
    config = GenerateConfig(max_tokens=24, temperature=1.0, seed=3, logprobs=True, top_logprobs=5)
    return Task(dataset=samples, solver=[system_message("Be brief."), generate()], scorer=includes(), config=config)
