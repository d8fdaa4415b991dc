"""What is measured at every step of a reference run, in doubles: norms of low-rank pairs, or of all weights' changes."""


def norm(tensor):
    return tensor.detach().double().norm().item()


def pairs(net):
    """(module, A, B, scaling) of every adapted projection, layers first and projections in the model's order within one."""
    named = dict(net.named_parameters())
    for name, a in named.items():
        if ".lora_A." not in name:
            continue
        path = name.split(".lora_A")[0]
        module = "layers." + path.split(".layers.")[1]
        yield module, a, named[name.replace(".lora_A.", ".lora_B.")], net.get_submodule(path).scaling["default"]


class Pairs:
    """The series of API.md's lora-norms, each with one number a module."""

    def modules(self, net):
        return [module for module, *_ in pairs(net)]

    def before(self, net):
        return [(norm(a.grad), norm(b.grad), b.detach().clone()) for _, a, b, _ in pairs(net)]

    def after(self, net, before):
        series = dict(a_norm=[], b_norm=[], ba_norm=[], a_grad_norm=[], b_grad_norm=[], b_cosine_previous=[])
        for (_, a, b, scaling), (a_grad, b_grad, previous) in zip(pairs(net), before):
            lengths = norm(b) * norm(previous)
            dot = (b.detach().double() * previous.double()).sum().item()
            found = (norm(a), norm(b), scaling * norm(b.double() @ a.double()), a_grad, b_grad, dot / lengths if lengths > 0 else None)
            for values, value in zip(series.values(), found):
                values.append(value)
        return series


class All:
    """Norms of every tensor, of its change since the beginning, and of its gradient, by the tensor's order."""

    def __init__(self, net):
        self.start = [value.detach().clone() for value in net.parameters()]

    def modules(self, net):
        return [name for name, _ in net.named_parameters()]

    def before(self, net):
        return [norm(value.grad) for value in net.parameters()]

    def after(self, net, before):
        values = list(net.parameters())
        changes = [norm(value.detach().double() - start.double()) for value, start in zip(values, self.start)]
        return dict(norm=[norm(value) for value in values], change_norm=changes, grad_norms=before)
