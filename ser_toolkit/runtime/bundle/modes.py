"""Name the ways in which the numbers of a network may be stored."""

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")
CALIBRATED = ("int8", "int16x8")
