"""List the phones and sentences of the synthesizer: formants, durations and levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SCHWA_HZ = (500.0, 1500.0, 2500.0)
SILENT_DB = -200.0


@dataclass(frozen=True)
class Phone:
    """A target: formants, how long it lasts, how loud voice and noise are, and which noise."""

    formants_hz: tuple[float, float, float]
    ms: float
    voice_db: float = SILENT_DB
    noise_db: float = SILENT_DB
    noise_hz: float = 3000.0
    noise_octaves: float = 0.5


PAUSE = Phone(SCHWA_HZ, 130)
PHONES: Mapping[str, tuple[Phone, ...]] = {
    "a": (Phone((730, 1090, 2440), 115, 0),),
    "e": (Phone((530, 1840, 2480), 105, 0),),
    "i": (Phone((270, 2290, 3010), 95, -2),),
    "o": (Phone((570, 840, 2410), 110, 0),),
    "u": (Phone((300, 870, 2240), 100, -2),),
    "m": (Phone((250, 1000, 2200), 65, -9),),
    "n": (Phone((250, 1600, 2600), 60, -9),),
    "l": (Phone((350, 1100, 2600), 55, -6),),
    "v": (Phone((300, 1000, 2300), 55, -9, -26, 5000, 1.2),),
    "s": (Phone((300, 1700, 2600), 95, SILENT_DB, -9, 5800, 0.4),),
    "f": (Phone((300, 1000, 2300), 85, SILENT_DB, -20, 5000, 1.2),),
    "h": (Phone((500, 1500, 2500), 55, SILENT_DB, -17, 1500, 0.9),),
    "b": (Phone((250, 900, 2200), 50, -20), Phone((350, 900, 2200), 8, -20, -14, 800, 0.8)),
    "d": (Phone((250, 1700, 2600), 45, -20), Phone((350, 1700, 2600), 8, -20, -12, 4000, 0.6)),
    "g": (Phone((250, 2000, 2300), 45, -20), Phone((350, 2000, 2300), 12, -20, -12, 2000, 0.5)),
    "p": (Phone((300, 900, 2200), 60), Phone((400, 900, 2200), 20, SILENT_DB, -14, 900, 0.9)),
    "t": (Phone((300, 1700, 2600), 55), Phone((400, 1700, 2600), 28, SILENT_DB, -9, 4200, 0.6)),
    "k": (Phone((300, 2000, 2300), 55), Phone((400, 2000, 2300), 32, SILENT_DB, -10, 2000, 0.5)),
}

SENTENCES = (
    "da ME li no KA su | be TO ni fa",
    "so LA mu PE ti | da ko NE vi lu",
    "be ni TA lo | mi SU ka de FO na",
    "ka LE do | su MI ta ne BO li ga",
    "mo SI ne pa LU ti | ha DE lo",
    "ti NA ve | ko DU la me SA bi no",
    "la FO gi de | MA nu te SI lo ka",
    "ne BA tu li | so KE ma DI vo",
    "ga MI lo se NA | tu FE di ko la",
    "hu LA ni | de TO ma ki SE bu no",
)
"""Syllables; a stressed one is in capitals, '|' is a pause."""
