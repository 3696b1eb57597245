"""PyTorch's side of every op that the benchmarks measure, by the names that they have there: benchmarks/cuda/ops.cuh on
a card, matmul_bench and softmax_bench on the CPU.

Where PyTorch has several ways, or memory layouts, of doing the same work, the one that is fastest on this machine is
taken when the op is made.
"""
from __future__ import annotations

import time
from typing import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Step = Callable[[], object]
INSTANCES, FEATURES, WIDTH, CLASSES, BAGS, WEIGHTS, PATCHES, SIDE = 10_000, 1024, 512, 40, 16, 3_000_000, 200, 8192


def fastest(steps: Sequence[Step], device: str) -> Step:
    """The step that takes the least time of the clock, each run ten times after a warm-up."""
    def seconds(step: Step) -> float:
        for i in range(13):
            if i == 3:
                synchronize(device)
                start = time.perf_counter()
            step()
        synchronize(device)
        return time.perf_counter() - start
    return steps[0] if len(steps) == 1 else min(steps, key=seconds)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


class Maker:
    """Makes the step of an op on one device, eager or compiled."""

    def __init__(self, device: str, variant: str):
        self.device, self.compiled = device, variant != "eager"
        if self.compiled:
            import torch._functorch.config
            torch._functorch.config.donated_buffer = False  # a backward pass is timed again and again on one forward

    def random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self.device) * 2 - 1

    def run(self, f: Callable) -> Callable:
        return torch.compile(f, dynamic=False) if self.compiled else f

    def step(self, f: Callable, *inputs: Tensor) -> Step:
        """f of these inputs, without gradients."""
        run = self.run(f)

        def call() -> object:
            with torch.inference_mode():
                return run(*inputs)
        return call

    def both(self, direction: str, f: Callable, *inputs: Tensor, also: Sequence[Tensor] = ()) -> Step:
        """`forward` of f, or `backward` of it to `inputs` from a gradient of ones' size; `also` get no gradient."""
        if direction == "forward":
            return self.step(f, *inputs, *also)
        wanted = [x.clone().requires_grad_() for x in inputs]
        y = self.run(f)(*wanted, *also)
        dy = torch.rand_like(y)
        return lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)

    def layouts(self, direction: str, f: Callable, x: Tensor, *weights: Tensor, first: bool = False) -> Step:
        """Images in both memory layouts; with `first` the images get no gradient."""
        steps = []
        for layout in (torch.contiguous_format, torch.channels_last):
            image = x.contiguous(memory_format=layout)
            own = [w.contiguous(memory_format=layout) if w.dim() == 4 else w for w in weights]
            if first:
                steps.append(self.both(direction, lambda *a: f(a[-1], *a[:-1]), *own, also=[image]))
            else:
                steps.append(self.both(direction, f, image, *own))
        return fastest(steps, self.device)


def ragged(rows: int, bags: int) -> list[int]:
    ends = [rows * i * (i + bags) // (2 * bags * bags) for i in range(bags + 1)]
    return [b - a for a, b in zip(ends, ends[1:])]


def segment_softmax(m: Maker, direction: str) -> Step:
    """Softmax of bags of different lengths: bag by bag, in one padded table, or by scattered sums."""
    n, lengths = 100 * INSTANCES, ragged(100 * INSTANCES, BAGS)
    bag = torch.repeat_interleave(torch.arange(BAGS, device=m.device), torch.tensor(lengths, device=m.device))
    starts = torch.tensor([sum(lengths[:i]) for i in range(BAGS)], device=m.device)
    longest = max(lengths)
    place = bag * longest + torch.arange(n, device=m.device) - starts[bag]

    def by_bag(x: Tensor) -> Tensor:
        return torch.cat([torch.softmax(each, 0) for each in x.split(lengths)])

    def padded(x: Tensor) -> Tensor:
        table = torch.full((BAGS * longest,), -torch.inf, device=m.device).index_put((place,), x)
        return torch.softmax(table.view(BAGS, longest), 1).view(-1)[place]

    def scattered(x: Tensor) -> Tensor:
        peak = torch.full((BAGS,), -torch.inf, device=m.device).scatter_reduce(0, bag, x.detach(), "amax")
        e = torch.exp(x - peak[bag])
        return e / torch.zeros(BAGS, device=m.device).index_add(0, bag, e)[bag]

    x = m.random(n)
    return fastest([m.both(direction, f, x) for f in (by_bag, padded, scattered)], m.device)


def gate(branches: Tensor, bias: Tensor, w: Tensor, score_bias: Tensor) -> Tensor:
    v, u = (branches + bias).chunk(2, dim=1)
    return F.linear(torch.tanh(v) * torch.sigmoid(u), w, score_bias)


def product(m: Maker, name: str, rounding: str) -> Step:
    """milkit's bf16 rounds float32 factors; PyTorch's factors are stored as bfloat16."""
    rows, cols, terms = {"square": (SIDE, SIDE, SIDE), "project": (INSTANCES, WIDTH, FEATURES),
                         "project gradient": (WIDTH, FEATURES, INSTANCES)}[name]
    a = m.random(terms, rows).t() if name == "project gradient" else m.random(rows, terms)
    b = m.random(terms, cols) if name == "project gradient" else m.random(cols, terms).t()
    if rounding == "bf16":
        a, b = a.bfloat16(), b.bfloat16()
    c = torch.empty(rows, cols, device=m.device, dtype=a.dtype)
    return lambda: torch.mm(a, b, out=c)


def optimizer(m: Maker, kind: type, **options) -> Step:
    weights = torch.nn.Parameter(m.random(WEIGHTS))
    weights.grad = m.random(WEIGHTS)
    return kind([weights], lr=1e-4, weight_decay=1e-2, fused=True, **options).step


def make_card_op(name: str, m: Maker) -> Step | None:
    """The op of benchmarks/cuda/ops.cuh of this name; None where PyTorch has none."""
    op, _, rest = name.partition("/")
    n, d = INSTANCES, WIDTH
    x = m.random
    if op == "copy":
        count = 2**28 if rest == "large" else 7 * WEIGHTS // 2
        a, b = x(count), x(count)
        return lambda: b.copy_(a)
    if op == "matmul":
        return product(m, *rest.split("/"))
    if op == "linear":
        return m.both(rest, F.linear, x(n, FEATURES), x(d, FEATURES), x(d))
    if op == "fill":
        a = x(WEIGHTS)
        return lambda: a.fill_(0.5)
    if op == "copy_rows":
        a, b = x(n, d), x(n, d)
        return lambda: b.copy_(a)
    if op in ("relu", "tanh", "gelu"):
        return m.both(rest, {"relu": torch.relu, "tanh": torch.tanh, "gelu": F.gelu}[op], x(n, d))
    if op == "dropout":
        return m.both(rest, lambda a: F.dropout(a, 0.25, training=True), x(n, d))
    if op == "softmax":
        return m.both(rest, lambda a: torch.softmax(a, 1), x(n, d // 2))
    if op == "segment softmax":
        return segment_softmax(m, rest)
    if op == "layer norm":
        return m.both(rest, lambda a, w, b: F.layer_norm(a, (d,), w, b, 1e-5), x(n, d), x(d), x(d))
    if op == "gate":
        if rest == "forward":
            return m.both(rest, gate, x(n, d), x(d), x(1, d // 2), x(1))
        # As ours: the gradients of the branches and of w.
        return m.both(rest, lambda a, w, b, c: gate(a, b, w, c), x(n, d), x(1, d // 2), also=[x(d), x(1)])
    if op == "softmax pooling":
        return m.both(rest, lambda h, z: torch.softmax(z, 0).t() @ h, x(n, d), x(n, 1))
    if op == "mean pooling":
        if rest == "forward":
            return m.step(lambda h: h.mean(0, keepdim=True), x(n, d))
        dh = torch.empty(n, d, device=m.device)  # autograd would only expand it, and write nothing
        return m.step(lambda g, out: out.copy_((g / n).expand(n, d)), x(1, d), dh)
    if op == "max pooling":
        return m.both(rest, lambda h: h.max(0).values, x(n, d))
    if op == "cross-entropy":
        z, labels = x(n, CLASSES).requires_grad_(), torch.arange(n, device=m.device) * 7 % CLASSES
        loss = m.run(lambda a: F.cross_entropy(a, labels, reduction="sum"))
        return lambda: torch.autograd.grad(loss(z), z)
    if op.startswith("conv2d"):
        if op.endswith("1"):
            return m.layouts(rest, lambda a, w, b: F.conv2d(a, w, b), x(PATCHES, 3, 27, 27), x(36, 3, 4, 4), x(36),
                             first=rest == "backward")
        return m.layouts(rest, lambda a, w, b: F.conv2d(a, w, b), x(PATCHES, 36, 12, 12), x(48, 36, 3, 3), x(48))
    pools = {"max_pool2d": lambda a: F.max_pool2d(a, 2), "avg_pool2d": lambda a: F.avg_pool2d(a, 2),
             "global_average_pool": lambda a: a.mean((2, 3))}
    if op in pools:
        return m.layouts(rest, pools[op], x(PATCHES, 36, 24, 24))
    if op == "l2_norm":
        return m.step(torch.linalg.vector_norm, x(WEIGHTS))
    if op == "count_nonfinite":
        return m.step(lambda a: (~torch.isfinite(a)).sum(), x(WEIGHTS))
    if op in ("sgd", "adam", "adamw"):
        return optimizer(m, *{"sgd": (torch.optim.SGD,), "adam": (torch.optim.Adam,), "adamw": (torch.optim.AdamW,)}[op],
                         **({"momentum": 0.9} if op == "sgd" else {}))
    return None


def make_cpu_op(name: str, m: Maker) -> Step:
    """`matmul/PRODUCT/ROWS` of matmul_bench, `softmax/DIRECTION/ROWSxCOLS` of softmax_bench."""
    op, which, size = name.split("/")
    if op == "softmax":
        rows, cols = map(int, size.split("x"))
        return m.both(which, lambda a: torch.softmax(a, 1), m.random(rows, cols))
    n, random = int(size), m.random
    a, b = {"project": lambda: (random(n, FEATURES), random(WIDTH, FEATURES).t()),
            "branches": lambda: (random(n, WIDTH), random(WIDTH, WIDTH).t()),
            "dbranch_weights": lambda: (random(n, WIDTH).t(), random(n, WIDTH)),
            "dproject_weights": lambda: (random(n, WIDTH).t(), random(n, FEATURES)),
            "dh": lambda: (random(n, WIDTH), random(WIDTH, WIDTH))}[which]()
    c = torch.empty(a.shape[0], b.shape[1])
    return lambda: torch.mm(a, b, out=c)
