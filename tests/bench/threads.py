#!/usr/bin/env python3
"""Training speed by default beside the best setting by hand: on a quiet machine, beside a program that takes every
core, and within a CPU quota of half a core (as root; cgroup version 1 or 2).

Usage: tests/bench/threads.py [--bench build/bench] [--models cifar:64,...] [--seconds 6]
Prints images/s of each setting and best / default, which should stay below 1.3.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

# What a user could set: the runtime's own spinning (which the default replaces), sleeping at once, fewer threads.
SETTINGS = {
    "default": ({}, []),
    "GOMP_SPINCOUNT=300000": ({"GOMP_SPINCOUNT": "300000"}, []),
    "OMP_WAIT_POLICY=passive": ({"OMP_WAIT_POLICY": "passive"}, []),
    "--threads 1": ({}, ["--threads", "1"]),
}


@contextlib.contextmanager
def quiet():
    yield None


@contextlib.contextmanager
def busy():
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield None
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@contextlib.contextmanager
def half_a_core():
    root = pathlib.Path("/sys/fs/cgroup")
    version_1 = (root / "cpu").is_dir()
    group = (root / "cpu" if version_1 else root) / f"relucent-{os.getpid()}"
    group.mkdir()
    try:
        if version_1:
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")
        yield group / ("tasks" if version_1 else "cgroup.procs")
    finally:
        time.sleep(0.5)  # until the kernel has seen that its processes ended
        group.rmdir()


class Worker:
    """One `bench worker`, started within the group that `tasks` lists."""

    def __init__(self, bench, model, setting, tasks):
        name, self.batch = model.split(":")
        environment, flags = SETTINGS[setting]
        join = (lambda: tasks.write_text(str(os.getpid()))) if tasks else None
        self.process = subprocess.Popen(
            [bench, "worker", "--model", name, "--batch", self.batch, "--attention", "relu", *flags],
            env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, preexec_fn=join)
        self.process.stdout.readline()
        self.steps = 1

    def train(self, steps):
        print("train", steps, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())["s"] / steps

    def images_per_second(self, seconds):
        steps = max(1, round(seconds / 3 / self.train(1)))
        return int(self.batch) / min(self.train(steps) for _ in range(3))

    def quit(self):
        print("quit", file=self.process.stdin, flush=True)
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/bench")
    parser.add_argument("--models", default="tiny:32,cifar:64,ti16:16,s32:16,s16:8")
    parser.add_argument("--seconds", type=float, default=6, help="for each number")
    arguments = parser.parse_args()
    print(f"{'':14}{'model':8}" + "".join(f"{s:>25}" for s in SETTINGS) + f"{'best / default':>16}")
    worst = 0
    for condition in (quiet, busy, half_a_core):
        for model in arguments.models.split(","):
            speeds = {}
            with condition() as tasks:
                for setting in SETTINGS:
                    worker = Worker(arguments.bench, model, setting, tasks)
                    speeds[setting] = worker.images_per_second(arguments.seconds)
                    worker.quit()
            ratio = max(speeds.values()) / speeds["default"]
            worst = max(worst, ratio)
            print(f"{condition.__name__:14}{model.split(':')[0]:8}" +
                  "".join(f"{v:>25.1f}" for v in speeds.values()) + f"{ratio:>16.2f}", flush=True)
    print(f"the default is at most {worst:.2f} times slower than the best of these")


if __name__ == "__main__":
    main()
