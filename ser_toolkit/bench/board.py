"""Describe the machine: board, power, memory. Nothing here identifies its owner."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from ..runtime.process import ProcessError, output_text

# Raspberry Pi documentation, `vcgencmd get_throttled`: bits 0 to 3 are now, 16 to 19 since boot.
THROTTLED = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")


def board(root: Path = Path("/")) -> dict[str, Any]:
    """Return model, processor, cores and memory; null for what the system does not report."""
    top_khz = _number(_read(root, "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))
    return {
        "model": _read(root, "proc/device-tree/model"),
        "architecture": platform.machine(),
        "processor": _entry(_read(root, "proc/cpuinfo"), "model name"),
        "cores": cores(),
        "memory_mb": _mb(_entry(_read(root, "proc/meminfo"), "MemTotal")),
        "frequency_max_mhz": None if top_khz is None else top_khz / 1000,
        "system": _system(),
    }


def power(root: Path = Path("/")) -> dict[str, Any]:
    """Return temperature, governor, frequency, throttling and load; null where not reported."""
    cpu = "sys/devices/system/cpu/cpu0/cpufreq"
    temperature = _number(_read(root, "sys/class/thermal/thermal_zone0/temp"))
    khz = _number(_read(root, f"{cpu}/scaling_cur_freq"))
    return {
        "temperature_c": None if temperature is None else temperature / 1000,
        "governor": _read(root, f"{cpu}/scaling_governor"),
        "frequency_mhz": None if khz is None else khz / 1000,
        "throttled": _throttled(root),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def memory(root: Path = Path("/")) -> dict[str, float | None]:
    """Return resident and peak memory of this process in MB; null where it is not reported."""
    status = _read(root, "proc/self/status")
    return {"resident_mb": _mb(_entry(status, "VmRSS")), "peak_mb": _mb(_entry(status, "VmHWM"))}


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _throttled(root: Path) -> dict[str, list[str]] | None:
    """Return what throttles a Raspberry Pi now and since boot, None on other machines."""
    status = _read(root, "sys/devices/platform/soc/soc:firmware/get_throttled") or _vcgencmd()
    try:
        bits = int(status.removeprefix("throttled="), 16)
    except ValueError:
        return None
    return {
        name: [cause for bit, cause in enumerate(THROTTLED) if bits >> (bit + shift) & 1]
        for name, shift in (("now", 0), ("since_boot", 16))
    }


def _vcgencmd() -> str:
    try:
        return output_text(["vcgencmd", "get_throttled"], timeout_s=5).strip()
    except ProcessError:
        return ""


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _read(root: Path, name: str) -> str | None:
    """Return the text of a system file, None where there is none."""
    try:
        return (root / name).read_text("utf-8", "replace").strip("\0 \n") or None
    except OSError:
        return None


def _entry(text: str | None, key: str) -> str | None:
    pairs = (line.partition(":") for line in (text or "").splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == key), None)


def _mb(text: str | None) -> float | None:
    """Convert a text such as `1234 kB`, where a kB of the kernel is 1024 bytes, to megabytes."""
    return int(text.split()[0]) * 1024 / 1e6 if text else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
