#!/usr/bin/env python3
"""PyTorch on the GPU beside `build/bench gpu` and `build/bench worker --device cuda --precision bf16`: what the card
can do (ceilings), attention alone, whole training steps. One JSON object a line on stdout, the same to read on stderr.

  gpu_peers.py --only ceilings,attention,train --seconds 300
  gpu_peers.py --only train --models s16:256,cifar:128 --kinds eager_softmax,compile_softmax,maxautotune_relu
  gpu_peers.py --device cpu --models tiny:4        tries the script itself, at tiny sizes

A kind is MODE_ATTENTION. Modes: eager; compile (torch.compile); maxautotune (its mode max-autotune, with CUDA graphs).
Attention: softmax (scaled_dot_product_attention, which chooses its kernel), cudnn (the same, by cuDNN alone), relu
(relu(q k^T / sqrt d) / L @ v written out, both factors put on q beforehand, where they cost least).

Training, as in `bench worker`: the models' shapes and parameters (a class token where `bench_model` has one, positions
learned), the last block's projection and MLP on the class token alone where nothing reads the rest, LayerNorm epsilon
1e-6, GELU by tanh, cross-entropy, AdamW at 1e-4 without decay; products in bf16, residuals, norms and parameters in
f32; one batch of random images [B, S, S, 3]. FLOPs are counted as forward_flops does: three times forward, a
multiply-add is two, nothing for elementwise work; those of attention alone as in `bench gpu`: seven products.
Not the same: images and labels stay on the GPU and no step waits for its loss, where ours uploads a batch of bytes and
downloads its loss and a number for each label every step; labels are class indices instead of one-hot rows; gradients are clipped (`bench worker`
takes their norm alone); both moments are f32 (our first is bf16); weights start from other random numbers.

images_per_s, ms, tflops are medians, best_ is of the fastest; start_s are the seconds beyond their own steps that it
took until steps had settled, compilation included; memory_mb is the most that was allocated.

Contenders run in turn, all models of a kind before the next kind, in a process that is started anew after an error.
One that the rest of --seconds is too short for is skipped, one that outlasts it is ended; both say so in their line."""
import argparse
import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from typing import NamedTuple, TextIO


class Shape(NamedTuple):
    image: int
    patch: int
    width: int
    depth: int
    heads: int
    classes: int
    class_token: bool           # else the mean of all tokens goes to the head


MODELS = {
    "ti16": Shape(224, 16, 192, 12, 3, 1000, True), "s16": Shape(224, 16, 384, 12, 6, 1000, True),
    "s32": Shape(224, 32, 384, 12, 6, 1000, True), "b16": Shape(224, 16, 768, 12, 12, 1000, True),
    "s8": Shape(224, 8, 384, 12, 6, 1000, True), "cifar": Shape(32, 4, 192, 6, 3, 10, False),
    "tiny": Shape(16, 4, 64, 2, 1, 10, False)}
MODES, ATTENTIONS = ("eager", "compile", "maxautotune"), ("softmax", "cudnn", "relu")
CHEAPEST_FIRST = "eager_softmax,eager_relu,compile_softmax,compile_relu,maxautotune_softmax"
LENGTHS = {"cuda": (49, 196, 784, 3136), "cpu": (16, 49)}

# Seconds without which a contender is not begun, until one of its mode has run; from then on, what that one took.
EXPECTED = {"ceilings eager": 5, "attention eager": 5, "attention compile": 20, "attention maxautotune": 40,
            "train eager": 8, "train compile": 45, "train maxautotune": 120}

READABLE = {
    "machine": "{device}, {sm} SMs of at most {sm_mhz_max} MHz, {memory_gb} GB, PyTorch {torch}, CUDA {cuda}, "
               "cuBLAS {cublas}, cuDNN {cudnn}",
    "copy": "{gb_per_s:.0f} GB/s read and written (best {best_gb_per_s:.0f}), {bytes} bytes",
    "matmul": "{tflops:.1f} TFLOP/s (best {best_tflops:.1f}), bf16, {n} x {n} x {n}, SM clock {sm_mhz} MHz",
    "attention": "{ms:.3f} ms (best {best_ms:.3f}), {tflops:.1f} TFLOP/s, {memory_mb} MB",
    "train": "{images_per_s:.1f} images/s (best {best_images_per_s:.1f}, spread {spread:.1%}), {tflops:.1f} TFLOP/s, "
             "{memory_mb} MB, {start_s:.1f} s to start, loss {loss:.3f}"}


class Worker:
    """The process that has PyTorch; it answers each line with one."""

    def __init__(self, device: str, log: TextIO, seconds: float):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpu_peers_worker.py")
        self.process = subprocess.Popen([sys.executable, "-B", script, device], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=log, text=True)
        self.hello = self.answer(seconds)

    def ask(self, task: dict, seconds: float) -> dict:
        if "error" in self.hello:
            return self.hello
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass                                        # it has ended, as its answer will say
        return self.answer(seconds)

    def answer(self, seconds: float) -> dict:
        ready = select.select([self.process.stdout], [], [], max(0, seconds))[0]
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        if ready:
            status = self.process.wait()
            return {"error": f"PyTorch's process ended with status {status}; --log FILE keeps what it said"}
        return {"error": f"it was not done after {seconds:.0f} s, when --seconds were over, and was ended"}

    def end(self):
        self.process.kill()
        self.process.wait()


def emit(task: dict, result: dict):
    print(json.dumps({**task, **result}), flush=True)
    name = " ".join([task["what"]] + [str(task[key]) for key in ("model", "batch", "L", "kind") if key in task])
    said = next((f"{key}: {result[key]}" for key in ("error", "skipped") if key in result), None)
    print(f"{name:<36} {said or READABLE[task['what']].format(**result)}", file=sys.stderr, flush=True)


def measure(tasks: list[dict], device: str, seconds: float, log: TextIO):
    end = time.monotonic() + seconds
    expected = dict(EXPECTED)
    worker = None
    for task in tasks:
        kind = f"{task['what']} {task['kind'].split('_')[0]}" if "kind" in task else "ceilings eager"
        left = max(0, end - time.monotonic())
        if left < expected[kind]:
            emit(task, {"skipped": f"{left:.0f} of {seconds:.0f} s are left, {expected[kind]:.0f} s are expected"})
            continue
        worker = worker or Worker(device, log, left)
        if "skipped" in worker.hello:
            print(json.dumps(worker.hello), flush=True)
            print(f"skipped: {worker.hello['skipped']}", file=sys.stderr)
            break
        start = time.monotonic()
        result = worker.ask(task, end - start)
        emit(task, result)
        if "error" in result:
            worker = worker.end()
        else:
            expected[kind] = time.monotonic() - start
    if worker:
        worker.end()


def tasks_of(a: argparse.Namespace) -> list[dict]:
    of = {"ceilings": [{"what": what} for what in ("machine", "copy", "matmul")],
          "attention": [{"what": "attention", "L": L, "kind": kind} for kind in a.attention_kinds for L in a.lengths],
          "train": [{"what": "train", "model": model, "batch": batch, "kind": kind}
                    for kind in a.kinds for model, batch in a.models]}
    return [task for part in a.only for task in of[part]]


def list_of(one):
    """For argparse: items with commas between them, each read by `one`."""
    def read(text: str) -> list:
        return [one(item) for item in text.split(",")]
    return read


def one_of(*allowed: str):
    def read(item: str) -> str:
        if item not in allowed:
            raise argparse.ArgumentTypeError(f"'{item}' is unknown, expected some of {', '.join(allowed)}")
        return item
    return read


def model_and_batch(item: str) -> tuple[str, int]:
    name, _, batch = item.partition(":")
    if name not in MODELS or not batch.isdecimal() or int(batch) < 1:
        raise argparse.ArgumentTypeError(f"'{item}', expected NAME:BATCH with a name of {', '.join(MODELS)}")
    return name, int(batch)


def positive(item: str) -> int:
    if not item.isdecimal() or int(item) < 1:
        raise argparse.ArgumentTypeError(f"'{item}', expected a number of at least 1")
    return int(item)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=120))
    kinds = list_of(one_of(*(f"{mode}_{attention}" for mode in MODES for attention in ATTENTIONS)))
    add = parser.add_argument
    add("--only", type=list_of(one_of("ceilings", "attention", "train")), default="ceilings,attention,train",
        help="what is measured, in this order (%(default)s)")
    add("--seconds", type=float, default=300, help="the budget of all that is asked for, together (%(default)s)")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--models", type=list_of(model_and_batch), default="s16:256,ti16:256,b16:128,cifar:128",
        help=f"of train, NAME:BATCH (%(default)s); names: {', '.join(MODELS)}")
    add("--kinds", type=kinds, default=CHEAPEST_FIRST, help="of train (%(default)s)")
    add("--lengths", type=list_of(positive), help="of attention, tokens L (49,196,784,3136; on the CPU 16,49)")
    add("--attention-kinds", type=kinds, default="eager_softmax,eager_relu,compile_relu",
        help="of attention (%(default)s)")
    add("--log", default=os.devnull,
        help="file for what PyTorch says, such as the tables of max-autotune (%(default)s)")
    a = parser.parse_args()
    a.lengths = a.lengths or LENGTHS[a.device]
    return a


if __name__ == "__main__":
    chosen = options()
    if importlib.util.find_spec("torch"):
        with open(chosen.log, "w") as log:
            measure(tasks_of(chosen), chosen.device, chosen.seconds, log)
    else:
        print(json.dumps({"skipped": "PyTorch is not installed"}))
        print("skipped: PyTorch is not installed", file=sys.stderr)
