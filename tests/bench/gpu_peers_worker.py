"""The process of gpu_peers.py that has PyTorch: a task as a JSON line on stdin, its result or error on stdout."""
import ctypes
import gc
import json
import math
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpu_peers import MODELS, Shape

DEVICE = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cuda")
CUDA = DEVICE.type == "cuda"
Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]      # q, k, v, o: [B, H, L, d]


def softmax_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def cudnn_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return F.scaled_dot_product_attention(q, k, v)


def relu_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    factor = q.shape[-1] ** -0.5 / k.shape[-2]          # relu(c x) = c relu(x)
    return F.relu((q * factor) @ k.transpose(-1, -2)) @ v


ATTENTIONS: dict[str, Attention] = {"softmax": softmax_attention, "cudnn": cudnn_attention, "relu": relu_attention}


class Block(nn.Module):
    def __init__(self, width: int, heads: int, attention: Attention):
        super().__init__()
        self.heads, self.attention = heads, attention
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, outputs: int) -> torch.Tensor:
        """x [B, L, D] -> [B, outputs, D]: the first tokens of the result, those that anything reads"""
        B, L, D = x.shape
        qkv = self.qkv(self.norm1(x)).view(B, L, 3, self.heads, D // self.heads)
        o = self.attention(*qkv.permute(2, 0, 3, 1, 4))
        if outputs < L:
            x, o = x[:, :outputs], o[:, :, :outputs]
        x = x + self.proj(o.transpose(1, 2).reshape(B, outputs, D))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class ViT(nn.Module):
    def __init__(self, shape: Shape, attention: Attention):
        super().__init__()
        self.shape, D = shape, shape.width
        self.patch = nn.Linear(3 * shape.patch ** 2, D)
        self.position = nn.Parameter(torch.randn(1, (shape.image // shape.patch) ** 2, D) * D ** -0.5)
        self.class_token = nn.Parameter(torch.zeros(1, 1, D)) if shape.class_token else None
        self.blocks = nn.ModuleList(Block(D, shape.heads, attention) for _ in range(shape.depth))
        self.norm, self.head = nn.LayerNorm(D, eps=1e-6), nn.Linear(D, shape.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """images [B, S, S, 3] -> [B, classes]"""
        B, P, grid = len(images), self.shape.patch, self.shape.image // self.shape.patch
        patches = images.view(B, grid, P, grid, P, 3).permute(0, 1, 3, 2, 4, 5).reshape(B, grid * grid, -1)
        x = self.patch(patches) + self.position
        if self.class_token is not None:                # it has no position of its own
            x = torch.cat([self.class_token.expand(B, -1, -1), x], 1)
        for i, block in enumerate(self.blocks):
            x = block(x, outputs(self.shape, i))
        x = self.norm(x)
        return self.head(x.mean(1) if self.class_token is None else x[:, 0])

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.logits(images).float(), labels)


def tokens(s: Shape) -> int:
    return (s.image // s.patch) ** 2 + s.class_token


def outputs(s: Shape, layer: int) -> int:
    return 1 if s.class_token and layer == s.depth - 1 else tokens(s)


def forward_flops(s: Shape) -> float:
    """Of one image, as forward_flops of models/vit.cpp counts"""
    N, L, D, M = (s.image // s.patch) ** 2, tokens(s), s.width, 4 * s.width
    read = [outputs(s, i) for i in range(s.depth)]
    blocks = sum((3 * L + o) * D * D + 2 * L * L * D + 2 * o * D * M for o in read)
    return 2 * (N * 3 * s.patch ** 2 * D + blocks + D * s.classes)


def in_mode(mode: str, f: Callable) -> Callable:
    if mode == "eager":
        return f
    return torch.compile(f, dynamic=False, mode="max-autotune" if mode == "maxautotune" else "default")


def wait():
    if CUDA:
        torch.cuda.synchronize()


def seconds_of(call: Callable, times: int = 1) -> float:
    wait()
    start = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return time.perf_counter() - start


def seconds_of_calls(call: Callable) -> list[float]:
    """Of each of 10 to 200 calls, 0.3 s if that is between, by events on the GPU. Before them some warm up."""
    seconds_of(call, 3)
    count = min(200, max(10, int(0.3 / seconds_of(call))))
    if not CUDA:
        return [seconds_of(call) for _ in range(count)]
    events = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(count)]
    for before, after in events:
        before.record()
        call()
        after.record()
    wait()
    return [before.elapsed_time(after) / 1e3 for before, after in events]


def settle(step: Callable) -> tuple[float, bool]:
    """Steps until three in a row took the same within 5 %, for 2 s at most -> seconds beyond those of so many settled
    steps; whether they settled"""
    times = [seconds_of(step) for _ in range(3)]        # the first compiles, the second may record a CUDA graph
    while not (settled := max(times[-3:]) <= 1.05 * min(times[-3:])) and sum(times[2:]) < 2:
        times.append(seconds_of(step))
    return sum(times) - len(times) * statistics.median(times[-3:]), settled


def memory_mb() -> int | None:
    return torch.cuda.max_memory_allocated() >> 20 if CUDA else None


def sm_mhz() -> int | None:
    try:
        return torch.cuda.clock_rate() if CUDA else None
    except Exception:                                   # another package is asked, which may be missing or refused
        return None


def cublas_version() -> str | None:
    """Of the library that PyTorch has loaded"""
    if not torch.version.cuda:
        return None
    try:
        library = ctypes.CDLL(f"libcublas.so.{torch.version.cuda.split('.')[0]}")
    except OSError:
        return None
    part = ctypes.c_int()
    return ".".join(str(part.value) for which in range(3) if library.cublasGetProperty(which, ctypes.byref(part)) == 0)


def machine(task: dict) -> dict:
    device = torch.cuda.get_device_properties(0) if CUDA else None
    return {"device": device.name if device else "CPU", "sm": device and device.multi_processor_count,
            "sm_mhz_max": device and device.clock_rate // 1000,
            "memory_mhz_max": device and device.memory_clock_rate // 1000,
            "memory_gb": device and round(device.total_memory / 1e9, 1), "python": sys.version.split()[0],
            "torch": torch.__version__, "cuda": torch.version.cuda, "cublas": cublas_version(),
            "cudnn": torch.backends.cudnn.version()}


def copy(task: dict) -> dict:
    count = 10 ** 9 if CUDA else 10 ** 6                # of 8 bytes
    source = torch.randint(2 ** 62, (count,), device=DEVICE)
    target = torch.empty_like(source)
    times = seconds_of_calls(lambda: target.copy_(source))
    moved = 2 * 8 * count / 1e9
    return {"bytes": 8 * count, "gb_per_s": moved / statistics.median(times), "best_gb_per_s": moved / min(times)}


def matmul(task: dict) -> dict:
    n = 8192 if CUDA else 256
    a, b, c = (torch.randn(n, n, device=DEVICE).bfloat16() for _ in range(3))
    times = seconds_of_calls(lambda: torch.mm(a, b, out=c))
    clock = sm_mhz()
    flops = 2 * n ** 3 / 1e12
    return {"n": n, "tflops": flops / statistics.median(times), "best_tflops": flops / min(times), "sm_mhz": clock}


def attention(task: dict) -> dict:
    B, H, L, d = 32 if CUDA else 2, 6, task["L"], 64
    mode, function = task["kind"].split("_")
    q, k, v = (torch.randn(B, H, L, d, device=DEVICE, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    do = torch.randn(B, H, L, d, device=DEVICE, dtype=torch.bfloat16)
    forward = in_mode(mode, ATTENTIONS[function])
    times = seconds_of_calls(lambda: torch.autograd.grad(forward(q, k, v), (q, k, v), do))      # nothing is added up
    median = statistics.median(times)
    return {"batch": B, "ms": 1e3 * median, "best_ms": 1e3 * min(times), "calls": len(times),
            "tflops": 14 * B * H * L * L * d / median / 1e12, "memory_mb": memory_mb()}


def train(task: dict) -> dict:
    shape, batch = MODELS[task["model"]], task["batch"]
    mode, function = task["kind"].split("_")
    torch.manual_seed(0)
    model = ViT(shape, ATTENTIONS[function]).to(DEVICE)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0, fused=True)
    images = torch.randn(batch, shape.image, shape.image, 3, device=DEVICE)
    labels = torch.randint(shape.classes, (batch,), device=DEVICE)
    forward = in_mode(mode, model)
    last = None

    def step():
        nonlocal last
        with torch.autocast(DEVICE.type, torch.bfloat16):
            last = forward(images, labels)
        last.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        adam.step()
        adam.zero_grad(set_to_none=True)

    start_s, settled = settle(step)
    steps = max(1, math.ceil(0.5 / seconds_of(step)))
    times = [seconds_of(step, steps) / steps for _ in range(5)]
    best, median = min(times), statistics.median(times)
    return {"images_per_s": batch / median, "best_images_per_s": batch / best, "spread": max(times) / best - 1,
            "ms": 1e3 * median, "tflops": 3 * forward_flops(shape) * batch / median / 1e12, "memory_mb": memory_mb(),
            "start_s": start_s, "settled": settled, "rounds": len(times), "steps": steps, "loss": last.item()}


def clean(task: dict):
    """As if the next were the first"""
    if "kind" in task and not task["kind"].startswith("eager"):
        torch._dynamo.reset()
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def result_of(task: dict) -> dict:
    """Where there is an error the asker starts a new process: this one may have lost its GPU."""
    try:
        measured = {"machine": machine, "copy": copy, "matmul": matmul, "attention": attention, "train": train}
        result = measured[task["what"]](task)
        clean(task)                                     # a fault of the GPU may show here first
        return result
    except Exception as e:
        traceback.print_exc()
        return {"error": f"{type(e).__name__}: {next(iter(str(e).strip().splitlines()), '')}"[:300]}


def five_digits(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)                                       # what libraries print is no answer

    def answer(result: dict):
        print(json.dumps({key: five_digits(value) for key, value in result.items()}), file=answers, flush=True)

    if CUDA and not torch.cuda.is_available():
        return answer({"skipped": "PyTorch sees no GPU"})
    answer({"ready": True})
    for line in sys.stdin:
        answer(result_of(json.loads(line)))


if __name__ == "__main__":
    main()
