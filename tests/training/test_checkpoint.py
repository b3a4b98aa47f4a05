"""The checkpoint file, and the rules that it carries from epoch to epoch."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.recipe import Training
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.training.checkpoint import GROUPS, Checkpoint


def arrays(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    shapes: list[tuple[int, ...]] = [(3, 4), (), (5,), (0,)]
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes] + [np.array(7, np.int64)]


def make(size: int = 1) -> Checkpoint:
    return Checkpoint(
        weights=arrays(0) * size,
        optimizer=arrays(1) * size,
        average=arrays(2) * size,
        best=arrays(3) * size,
        number=3,
        waited=2,
        best_epoch=1,
        rate_factor=0.1 + 0.2,
        history=({"epoch": 1, "val_loss": 1 / 3}, {"epoch": 2, "val_loss": 0.1}),
    )


def content(state: Checkpoint) -> list[Any]:
    rest = [
        getattr(state, field.name)
        for field in dataclasses.fields(state)
        if field.name not in GROUPS
    ]
    parts = [(a.dtype.str, a.shape, a.tobytes()) for g in GROUPS for a in getattr(state, g)]
    return [*parts, *rest]


@pytest.mark.parametrize("size", [1, 30])
def test_all_comes_back(size: int, tmp_path: Path) -> None:
    """150 arrays per group need more than two digits to stay in order."""
    state = make(size)
    state.write(tmp_path / "c.npz")
    back = Checkpoint.read(tmp_path / "c.npz")
    assert back is not None
    assert content(back) == content(state)


def test_the_state_before_the_first_epoch_comes_back(tmp_path: Path) -> None:
    state = Checkpoint(arrays(0), arrays(1), arrays(2), arrays(3))
    state.write(tmp_path / "c.npz")
    back = Checkpoint.read(tmp_path / "c.npz")
    assert back is not None
    assert content(back) == content(state)


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint.read(tmp_path / "c.npz") is None


def test_a_reader_finds_a_whole_file_at_any_moment(tmp_path: Path) -> None:
    path, states = tmp_path / "c.npz", [make(), dataclasses.replace(make(), number=4)]
    states[0].write(path)
    done = threading.Event()

    def replace() -> None:
        for turn in range(60):
            states[turn % 2].write(path)
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while not done.is_set():
        state = Checkpoint.read(path)
        assert state is not None
        seen.add(state.number)
    writer.join()
    assert seen <= {3, 4}
    assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]


def test_a_write_that_fails_leaves_the_file_before(tmp_path: Path) -> None:
    """The file may grow to 4 kB only, as on a disk that is full."""
    path = tmp_path / "c.npz"
    make().write(path)
    before = path.read_bytes()
    source = f"""
        import resource, signal
        import numpy as np
        from pathlib import Path
        from ser_toolkit.training.checkpoint import Checkpoint
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        Checkpoint([np.zeros(9999)], [], [], []).write(Path({str(path)!r}))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "OSError" in result.stderr
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]


def damaged(kind: str, content: bytes) -> bytes:
    half = len(content) // 2
    if kind == "one byte":
        at = content.index(b"val_loss")
        return content[:at] + b"V" + content[at + 1 :]
    return {
        "empty": b"",
        "cut off": content[:half],
        "zeros": bytes(len(content)),
        "text": b"epoch 3",
        "no end": content[:-30],
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "cut off", "zeros", "text", "no end", "one byte"])
def test_a_damaged_file_says_so_and_what_to_do(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    make().write(path)
    path.write_bytes(damaged(kind, path.read_bytes()))
    with pytest.raises(SertkError) as caught:
        Checkpoint.read(path)
    assert caught.value.problem.startswith("checkpoint.npz cannot be continued:")
    assert caught.value.todo == "Delete checkpoint.npz to start the training again"


@pytest.mark.parametrize("meta", [b"{}", b"[]", b'{"number": 1}', b'{"history": [], "other": 1}'])
def test_a_file_of_another_kind_is_refused(meta: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    np.savez(path, meta=np.frombuffer(meta, np.uint8))
    with pytest.raises(SertkError, match=r"checkpoint\.npz"):
        Checkpoint.read(path)


def validate(losses: list[float], training: Training, se: float = 0.0) -> list[Checkpoint]:
    """The states after epochs with these validation losses; weights are the epoch's number."""
    states = [Checkpoint([], [], [np.array(0)], [np.array(0)])]
    for number, loss in enumerate(losses, 1):
        average = dataclasses.replace(states[-1], average=[np.array(number)], number=number)
        row = {"epoch": number, "val_loss": loss, "val_loss_se": se}
        states.append(average.validated(row, training))
    return states[1:]


def test_the_epoch_with_the_lowest_loss_is_the_best() -> None:
    states = validate([3.0, 2.0, 2.5, 1.0, 4.0, 1.5], Training(tolerance_se=0))
    assert [state.best_epoch for state in states] == [1, 2, 2, 4, 4, 4]
    assert [int(state.best[0]) for state in states] == [1, 2, 2, 4, 4, 4]
    assert [state.waited for state in states] == [0, 0, 1, 0, 1, 2]
    assert [row["best"] for row in states[-1].history] == [1, 1, 0, 1, 0, 0]


def test_the_latest_epoch_within_one_standard_error_is_the_best() -> None:
    states = validate([3.0, 2.0, 2.25, 2.31, 1.9, 2.15], Training(tolerance_se=1), se=0.3)
    assert [state.best_epoch for state in states] == [1, 2, 3, 3, 5, 6]
    assert [int(state.best[0]) for state in states] == [1, 2, 3, 3, 5, 6]


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_training_is_over_after_so_many_epochs_without_a_good_one(patience: int) -> None:
    training = Training(epochs=100, patience=patience, tolerance_se=0)
    states = validate([2.0, 1.0, 3.0, 0.5, *(1.0 for _ in range(9))], training)
    last = next(index for index, state in enumerate(states, 1) if state.finished(training))
    assert last == (3 if patience == 1 else 4 + patience)


def test_patience_zero_never_ends_a_training() -> None:
    training = Training(epochs=10, patience=0, tolerance_se=0)
    states = validate([1.0, *(2.0 for _ in range(9))], training)
    assert [state.finished(training) for state in states] == [False] * 9 + [True]


def test_the_plateau_halves_the_rate_down_to_its_floor() -> None:
    training = Training(
        schedule="plateau",
        plateau_patience=2,
        learning_rate=1e-2,
        plateau_floor=2e-3,
        tolerance_se=0,
    )
    states = validate([1.0, *(2.0 for _ in range(8)), 0.5, 2.0, 2.0], training)
    rates = [training.learning_rate * state.rate_factor for state in states]
    expected = [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]
    np.testing.assert_allclose(rates, 1e-2 * np.array(expected))


def test_a_floor_above_the_rate_does_not_raise_the_rate() -> None:
    training = Training(
        schedule="plateau", plateau_patience=1, learning_rate=1e-6, plateau_floor=1e-5
    )
    assert [state.rate_factor for state in validate([1.0, 2.0, 2.0], training)] == [1, 1, 1]
