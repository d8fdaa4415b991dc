"""Draws weights until the model shows every mistake: spread logits, sharp attention, greedy text that does not loop."""

import math
from dataclasses import dataclass, replace

import torch

import bite


@dataclass(frozen=True)
class Gains:
    """Spread of what is drawn, relative to 1/√inputs; `sharp` for queries and keys, `out` for what enters the residual stream."""

    sharp: float = 1.25
    out: float = 1.0
    embed: float = 0.7
    final: float = 1.0


def draw(net, gains, seed, gemma):
    """Every number random, norms and biases included, rounded to what float16 and bfloat16 both hold.

    The last norm's signs are random too: a head that is the embedding would otherwise repeat each token for ever.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            mean, std = spread(name, value, gains)
            drawn = torch.randn(value.shape, generator=generator) * std + mean
            if is_last_norm(name):
                drawn *= torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
            if gemma and "norm" in name:
                drawn -= 1.0
            value.copy_(drawn.bfloat16().half())
    net.tie_weights()


def spread(name, value, gains):
    """Mean and standard deviation of what a parameter is drawn from; a norm's are of what it multiplies by."""
    if "norm" in name and name.endswith("weight"):
        mean = norm_mean(name, gains)
        return mean, 0.25 * mean
    if name.endswith("bias"):
        return 0.0, 0.5
    if "embed_tokens" in name:
        return 0.0, gains.embed
    if value.dim() < 2:
        return 0.0, 0.3
    gain = 1.0
    if any(part in name for part in ("q_proj", "k_proj")):
        gain = gains.sharp
    elif any(part in name for part in ("o_proj", "down_proj")):
        gain = gains.out
    return 0.0, gain / math.sqrt(value.shape[-1])


def norm_mean(name, gains):
    if is_last_norm(name):
        return gains.final
    return gains.sharp if "q_norm" in name or "k_norm" in name else 1.0


def is_last_norm(name):
    return name.endswith(".norm.weight")


def find(make, family, rows, seed):
    """A model that bites, with what was measured on it; gains move towards what is missing, seeds go on."""
    gains = Gains()
    for attempt in range(1500):
        net = make()
        draw(net, gains, seed * 1000 + attempt, family.is_gemma)
        found = bite.measure(net, rows)
        lacking = bite.lacking(found)
        if not lacking:
            return net, found | dict(attempts=attempt + 1)
        gains = turned(gains, found, lacking[0])
    raise SystemExit(f"no weights that bite after 1500 draws: {found}, {gains}")


def turned(gains, found, lack):
    if lack == "logit_std":
        return replace(gains, final=gains.final * 3.0 / found["logit_std"])
    if lack in ("entropy", "score_share"):
        return replace(gains, sharp=gains.sharp * 1.03)
    if lack == "bfloat16_noise":
        return replace(gains, sharp=gains.sharp * 0.985, out=gains.out * 0.985)
    return gains
