"""Measures whether a model would show a mistake, and says what is lacking."""

import contextlib
import copy
import math

import torch

BOUNDS = dict(
    logit_std=(2.0, 5.0), entropy=(0.0, 0.75), distinct=(20, 64), margin=(5e-3, math.inf), score_share=(0.5, math.inf),
    final_share=(0.5, math.inf), bfloat16_noise=(0.0, 0.014),
)


def measure(net, rows):
    """All measures of a model in float32 on `rows`, the first of which also opens the greedy text."""
    tokens = torch.tensor(rows[:1])
    with torch.no_grad(), tanh_inputs() as seen:
        out = run(net, tokens, output_attentions=True)
    found = dict(logit_std=out.logits.std().item(), entropy=entropy(out.attentions))
    capped = [peak for rank, peak in seen if rank == 4]
    if capped:
        found["score_share"] = min(capped)
        found["final_share"] = max(peak for rank, peak in seen if rank == 3)
    found["bfloat16_noise"] = noise(net, tokens, out.logits)
    if not lacking(found):
        text, margin = greedy(net, rows[0][:40])
        found |= dict(distinct=len(set(text)), margin=margin)
    return found


def lacking(found):
    """What is out of bounds, in the order in which it should be mended."""
    def out(name):
        low, high = BOUNDS[name]
        return name in found and not low <= found[name] <= high
    return [name for name in BOUNDS if out(name)]


def run(net, tokens, **more):
    return net(input_ids=tokens, use_cache=False, **more)


def noise(net, tokens, exact):
    """What bfloat16 rounding does to the logits, in their standard deviations; two right computations may differ by as much."""
    rounded = copy.deepcopy(net)
    for value in rounded.parameters():
        value.data = value.data.bfloat16()
    with torch.no_grad():
        logits = run(rounded, tokens).logits.float()
    return ((logits - exact).square().mean().sqrt() / exact.std()).item()


def entropy(attentions):
    """Mean entropy of attention over that of uniform attention to the same keys; 1 is uniform."""
    shares = []
    for layer in attentions:
        visible = (layer > 0).sum(-1).clamp(min=1)
        own = -(layer * layer.clamp(min=1e-30).log()).sum(-1)
        shares.append((own / visible.float().log())[..., 8:].mean().item())
    return sum(shares) / len(shares)


def greedy(net, prompt, count=64):
    """transformers' greedy text of `count` tokens, and the least lead that a chosen token had over the next."""
    tokens = torch.tensor([prompt])
    with torch.no_grad():
        text = net.generate(
            tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=count, min_new_tokens=count,
            eos_token_id=None, pad_token_id=0,
        )
        logits = run(net, text).logits[0, len(prompt) - 1 : -1]
    best = logits.topk(2).values
    chosen = text[0, len(prompt):]
    if not torch.equal(logits.argmax(-1), chosen):
        return [], 0.0
    return chosen.tolist(), (best[:, 0] - best[:, 1]).min().item()


@contextlib.contextmanager
def tanh_inputs():
    """Records rank and largest size of what goes into tanh: scores and logits over their caps."""
    seen, plain = [], torch.tanh

    def watched(x, *rest, **more):
        seen.append((x.dim(), x.abs().max().item()))
        return plain(x, *rest, **more)

    torch.tanh = watched
    try:
        yield seen
    finally:
        torch.tanh = plain
