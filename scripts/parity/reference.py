"""The reference's training loop: transformers, PEFT, torch.optim.AdamW and transformers' schedules, nothing of the engine.

A step's loss is the sum of its target tokens' losses divided by their number, over all its micro-batches. `mistake` plants
one of these mistakes, to see that the comparison would notice it.
"""

import copy
import math
from dataclasses import dataclass

import torch
import transformers

import measures

MISTAKES = ("alpha_over_r", "no_bias_correction", "coupled_decay", "warmup_off_by_one", "mean_per_micro_batch")
KL_MISTAKES = ("kl_reversed",)


@dataclass(frozen=True)
class Plan:
    """What a run does; `order` holds row numbers step by step, `kl` is None or a dict of the term's spec, rows and order."""

    rows: list
    order: list
    micro_batch: int
    rate: float
    schedule: str
    warmup: int
    decay: float
    clip: float | None
    kl: dict | None
    epsilon: float


def collate(rows):
    """Right-padded ids, their mask, and the targets with -100 where none is."""
    width = max(len(row["tokens"]) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, targets = torch.zeros_like(ids), torch.full_like(ids, -100)
    for place, row in enumerate(rows):
        length = len(row["tokens"])
        ids[place, :length] = torch.tensor(row["tokens"])
        mask[place, :length] = 1
        targets[place, row["start"] : length] = ids[place, row["start"] : length]
    return ids, mask, targets


def count(rows):
    return sum(len(row["tokens"]) - row["start"] for row in rows)


def logits_of(net, ids, mask):
    return net(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()


def token_losses(net, rows):
    """Sum of the target tokens' negative log-probabilities."""
    ids, mask, targets = collate(rows)
    logits = logits_of(net, ids, mask)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100, reduction="sum")


def divergence(net, base, rows, tokens, mistake):
    """Sum over the counted tokens of Σ_v p_ref (log p_ref − log p), and their number."""
    ids, mask, targets = collate(rows)
    with torch.no_grad():
        before = base(ids, mask).log_softmax(-1)
    now = logits_of(net, ids, mask).log_softmax(-1)
    counted = (targets[:, 1:] != -100) if tokens == "assistant" else mask[:, 1:].bool()
    if mistake == "kl_reversed":
        before, now = now, before
    return ((before.exp() * (before - now)).sum(-1) * counted).sum(), int(counted.sum())


def kl_share(net, base, kl, rows, mistake):
    """The weighted term of a step, to be added to its loss."""
    spec = kl["spec"]
    total, tokens = divergence(net, base, rows, spec["tokens"], mistake)
    width = net.config.vocab_size if spec["average"] == "tokens_and_vocabulary" else 1
    return spec["weight"] * total / (tokens * width)


def frozen(net):
    """The model that a run starts from, as a function of ids and mask to logits."""
    if hasattr(net, "disable_adapter"):
        def without(ids, mask):
            with net.disable_adapter():
                return logits_of(net, ids, mask)

        return without
    kept = copy.deepcopy(net)
    return lambda ids, mask: logits_of(kept, ids, mask)


def gradients(net, base, plan, step, mistake):
    """Leaves the step's gradients in the parameters and gives its loss and, apart from it, its weighted KL term."""
    rows = [plan.rows[index] for index in plan.order[step]]
    parts = [rows[start : start + plan.micro_batch] for start in range(0, len(rows), plan.micro_batch)]
    loss, kl = 0.0, None
    for part in parts:
        divisor = count(part) * len(parts) if mistake == "mean_per_micro_batch" else count(rows)
        share = token_losses(net, part) / divisor
        share.backward()
        loss += share.item()
    if plan.kl:
        share = kl_share(net, base, plan.kl, [plan.kl["rows"][index] for index in plan.kl["order"][step]], mistake)
        share.backward()
        kl = share.item()
    return loss, kl


def optimizer_of(parameters, plan, mistake):
    settings = dict(lr=plan.rate, betas=(0.9, 0.999), eps=plan.epsilon, weight_decay=plan.decay)
    if mistake == "coupled_decay":
        return torch.optim.Adam(parameters, **settings)
    if mistake == "no_bias_correction":
        return Uncorrected(parameters, settings)
    return torch.optim.AdamW(parameters, **settings)


class Uncorrected(torch.optim.Optimizer):
    """AdamW whose moments are taken as they are, though both begin at zero."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for value in group["params"]:
                state = self.state[value]
                first = state.setdefault("first", torch.zeros_like(value)).lerp_(value.grad, 0.1)
                second = state.setdefault("second", torch.zeros_like(value)).lerp_(value.grad.square(), 0.001)
                value.mul_(1 - group["lr"] * group["weight_decay"])
                value.addcdiv_(first, second.sqrt() + group["eps"], value=-group["lr"])


def train(net, plan, measure, mistake=None):
    """Trains `net` in place; one record a step with loss, rate, gradient norm before clipping, and what `measure` adds."""
    base = frozen(net) if plan.kl else None
    parameters = [value for value in net.parameters() if value.requires_grad]
    optimizer = optimizer_of(parameters, plan, mistake)
    steps = len(plan.order)
    scheduler = transformers.get_scheduler(plan.schedule, optimizer, plan.warmup, steps)
    if mistake == "warmup_off_by_one":
        optimizer.step()
        scheduler.step()
    records = []
    for step in range(steps):
        loss, kl = gradients(net, base, plan, step, mistake)
        before = measure.before(net)
        norm = torch.nn.utils.clip_grad_norm_(parameters, plan.clip or math.inf).item()
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        records.append(dict(loss=loss, kl=kl, rate=rate, grad_norm=norm, **measure.after(net, before)))
    return records
