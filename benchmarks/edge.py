"""Measure the budgets of the daemon, each beside what it is compared with, in one run.

    python benchmarks/edge.py [--bundle FILE --run DIR] [--audio FILE] [--rounds 31] [--only PART…]

FILE is an int8 bundle of the recipe compact and DIR the run that it was made from; without them a
small one is trained on the synthetic corpus, which takes some minutes. The sound is synthetic
voices with pauses, or a file of speech. One thread. Times are medians over rounds that alternate;
ratios are medians of the ratios within a round. `numpy` and `scipy` name the FFT: a Pi has numpy's,
and so has the daemon here, from which scipy is hidden.

The floor of the features is what the extractor cannot do without: for each frame one real FFT of
512 points (log-mel), and one there and one back of 1,296 (YIN: 1,024 samples and the longest
period), in float64, of frames that are already cut, in blocks as large as the extractor's. No
window function, no mel bank, no search for a period. `FFTs all at once` are the same in one block,
which takes more memory than glibc keeps. `in the daemon` is what the extractor costs
while it gets the sound in the pieces of a microphone.

Memory is what the kernel counts as resident (Rss), and beside it the proportional share (Pss), in
which pages that others use too are divided among them; in units of 10^6 bytes.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path

import numpy as np
import surroundings as around
from costs import Subject, feature_lines, gate_lines, network_lines
from features import clip
from lines import Line, show

from ser_toolkit.plugins.bundles import open_bundle
from ser_toolkit.training.backend import import_keras

SOUND_S = 24.0
STARTS = 5
SETTLE_S = 20.0
RECORDING_S = 8
PARTS = ("features", "network", "gates", "start", "memory")
SERTK = (sys.executable, "-c", "from ser_toolkit.cli import main; main()")
SMALL = ("--recipe", "compact", "--data", "synthetic", "--epochs", "2")


def start_lines(subject: Subject, folder: Path) -> Iterator[Line]:
    """Measure from the start of the process to the first good /readyz."""
    sound = around.write(folder / "voices.wav", subject.samples)
    with around.microphone(folder, sound) as env:
        ways = {"a file": (around.played(sound), None), "a microphone": ((), env)}
        for name, (args, variables) in ways.items():
            if name == "a microphone" and env is None:
                continue
            seconds = []
            for _ in range(STARTS):
                with around.Daemon(subject.bundle, folder, args, variables) as daemon:
                    seconds.append(daemon.ready_s())
            note = f"(the slowest of {STARTS}: {max(seconds):.2f} s)"
            median = float(np.median(seconds))
            yield Line(f"start to ready, {name}", median, " s", most=2, note=note)


def memory_lines(subject: Subject, folder: Path) -> Iterator[Line]:
    """Measure resident memory after some speech: the least, and with everything switched on."""
    sound = around.write(folder / "voices.wav", subject.samples)
    args = around.played(sound)
    with around.Daemon(subject.bundle, folder, args, page=False) as daemon:
        time.sleep(SETTLE_S)
        yield memory("a file, no page", daemon.memory_mb(), most=90)
    with around.Daemon(subject.bundle, folder, args) as daemon:
        daemon.ready_s()
        time.sleep(SETTLE_S)
        yield memory("a file, the page", daemon.memory_mb(), most=90)
    with contextlib.ExitStack() as stack:
        yield from everything(subject, folder, sound, stack)


def everything(
    subject: Subject, folder: Path, sound: Path, stack: contextlib.ExitStack
) -> Iterator[Line]:
    """Measure a daemon with everything that this machine has.

    Args:
        subject: The bundle and the sound.
        folder: For state and files.
        sound: The sound as a file.
        stack: Ends what is started.
    """
    env = stack.enter_context(around.microphone(folder, sound))
    port = stack.enter_context(around.broker(folder))
    url = stack.enter_context(around.web_server())
    args = ["--gate", "silero", "--sink", f"webhook,url={url}", "--sink", "json_lines"]
    args += [] if port is None else ["--sink", f"mqtt,host=127.0.0.1,port={port}"]
    args += around.played(sound) if env is None else []
    parts = f"{'microphone' if env else 'file'}, {'MQTT, ' if port else ''}webhook, page open"
    daemon = stack.enter_context(around.Daemon(subject.bundle, folder, args, env))
    daemon.ready_s()
    stack.enter_context(around.browser(daemon))
    time.sleep(SETTLE_S)
    daemon.until(lambda: daemon.delivered() > 0)
    yield memory(parts, daemon.memory_mb(), most=130)
    for size in daemon.children_mb():
        yield memory("  the process that captures, beside it", size)
    recording = subject.samples[: RECORDING_S * around.RATE_HZ]
    around.classify(daemon, around.write(folder / "short.wav", recording))
    yield memory("the same after a recording was classified", daemon.memory_mb(), most=130)


def memory(what: str, size: tuple[float, float], most: float = inf) -> Line:
    """Return a line of resident memory.

    Args:
        what: What uses it.
        size: Rss and Pss in MB.
        most: The budget of Rss.
    """
    rss, pss = size
    return Line(f"memory: {what}", rss, " MB", most=most, note=f"(proportional: {pss:.0f} MB)")


def trained(folder: Path) -> tuple[Path, Path]:
    """Train a small bundle of the recipe; return it and its run."""
    bundle, run = folder / "compact.sertk", folder / "run"
    env = {**os.environ, "SERTK_CACHE": str(folder / "cache")}
    commands = (("train", *SMALL, "--out", run), ("quantize", run, "--out", bundle, "--force"))
    for command in commands:
        words = [*SERTK, *map(str, command)]
        subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
    return bundle, run


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--bundle", type=Path, help="a bundle of the recipe compact, with --run")
    parser.add_argument("--run", type=Path, help="the run that it was made from")
    parser.add_argument("--audio", help="speech, instead of synthetic voices")
    parser.add_argument("--rounds", type=int, default=31, help="rounds of what is short")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args()
    if (args.bundle is None) != (args.run is None):
        parser.error("--bundle and --run belong together")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, run = (args.bundle, args.run) if args.bundle else trained(folder)
        keras = import_keras(1).models.load_model(run / "model.keras", compile=False)
        own = args.audio is None
        samples = around.voices(folder) if own else clip(args.audio, around.RATE_HZ, SOUND_S)
        subject = Subject(bundle, open_bundle(bundle), keras, samples)
        few = max(5, args.rounds // 3)
        lines = {
            "features": feature_lines(subject, args.rounds),
            "network": network_lines(subject, few),
            "gates": gate_lines(subject, few),
            "start": start_lines(subject, folder),
            "memory": memory_lines(subject, folder),
        }
        for part in args.only:
            show(part, lines[part])


if __name__ == "__main__":
    main()
