"""Pillow against build/bench loader: the same images and cores, in turn, some rounds of each.

    python tests/bench/pillow_loader.py --data TAR [--workers 2] [--bench build/bench]

Each of the N processes reads a member's bytes from the tar, decodes them to RGB, draws a window as inception's crop does
(5 to 100 % of the area, aspect 3/4 to 4/3), resizes it and flips half of them. The resize is Image.transform with EXTENT and
BILINEAR: two taps a side and no antialiasing, as ours; with --antialias it is Image.resize with BILINEAR, other pixels but
in Pillow the faster way. Pillow stops at 8-bit pixels, ours at the batch in float.
"""
import argparse
import io
import math
import multiprocessing
import random
import re
import statistics
import subprocess
import tarfile
import time

import PIL
from PIL import Image


def members(path):
    with tarfile.open(path) as tar:
        return [(m.offset_data, m.size) for m in tar if m.name.lower().endswith((".jpg", ".jpeg", ".png"))]


def window(width, height, rng):
    for _ in range(100):
        area, ratio = width * height * rng.uniform(0.05, 1), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = rng.randint(0, width - w), rng.randint(0, height - h)
            return x, y, x + w, y + h
    return 0, 0, width, height


def resized(image, box, size, antialias):
    if antialias:
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return image.transform((size, size), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)


def work(path, places, seed, size, seconds, antialias, barrier, counts):
    rng = random.Random(seed)
    images = 0
    with open(path, "rb") as tar:
        barrier.wait()
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            offset, length = places[rng.randrange(len(places))]
            tar.seek(offset)
            image = Image.open(io.BytesIO(tar.read(length))).convert("RGB")
            image = resized(image, window(*image.size, rng), size, antialias)
            if rng.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.tobytes()
            images += 1
        counts.put(images / (time.perf_counter() - start))


def pillow(path, places, workers, size, seconds, antialias):
    barrier, counts = multiprocessing.Barrier(workers), multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(path, places, i, size, seconds, antialias, barrier, counts))
                 for i in range(workers)]
    for process in processes:
        process.start()
    rate = sum(counts.get() for _ in processes)
    for process in processes:
        process.join()
    return rate


def ours(bench, path, workers, size, seconds):
    line = subprocess.run([bench, "loader", "--data", path, "--workers", str(workers), "--size", str(size), "--seconds", str(seconds)],
                          check=True, capture_output=True, text=True).stdout
    return float(re.search(r"([\d.]+) images/s", line)[1]), line.strip()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", required=True)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--seconds", type=float, default=5)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--antialias", action="store_true")
parser.add_argument("--bench", default="build/bench")
flags = parser.parse_args()

places, rates = members(flags.data), []
for _ in range(flags.rounds):
    theirs = pillow(flags.data, places, flags.workers, flags.size, flags.seconds, flags.antialias)
    mine, line = ours(flags.bench, flags.data, flags.workers, flags.size, flags.seconds)
    rates.append((mine, theirs))
    print(f"Pillow {theirs:7.1f} images/s; ours: {line}", flush=True)
mine, theirs = (statistics.median(column) for column in zip(*rates))
print(f"{flags.data}: ours {mine:.1f}, Pillow {PIL.__version__} {theirs:.1f} images/s, "
      f"ratio {statistics.median(m / t for m, t in rates):.2f} (median of {flags.rounds} rounds)")
