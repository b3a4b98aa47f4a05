"""The readers keep to the contract, on files that are named as those of each corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sertk_corpora
from ser_toolkit.testing import Check, sertk_checks

FILES = {
    "emodb": ("wav/03a01Fa.wav", "wav/03a01Wa.wav", "wav/16b10Wb.wav", "wav/08a02Na.wav"),
    "tess": (
        "OAF_Sad/OAF_back_sad.wav",
        "OAF_neutral/OA_bite_neutral.wav",
        "YAF_angry/YAF_back_angry.wav",
    ),
    "savee": ("DC/a01.wav", "DC/sa03.wav", "KL/n02.wav"),
    "ravdess": (
        "Actor_01/03-01-05-01-02-01-01.wav",
        "Actor_12/03-01-02-01-02-01-12.wav",
        "Actor_12/03-01-08-01-02-01-12.wav",
    ),
    "cremad": ("AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1040_ITH_SAD_HI.wav"),
}


def writes(files: tuple[str, ...]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"RIFF")

    return write


@sertk_checks(sertk_corpora, corpora={name: writes(files) for name, files in FILES.items()})
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()
