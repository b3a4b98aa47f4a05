#!/usr/bin/env bash
# Runs in the root: inside.sh RUNTIME installs as the guide says, then tries what a Pi does.
set -euo pipefail
RUNTIME=$1
VENV=/opt/sertk-$RUNTIME
# What is imported is compiled, once for all runs; to compile all that is installed takes minutes.
export PYTHONPYCACHEPREFIX=/var/cache/python PIP_NO_COMPILE=1
cd "$HOME"

say() { printf '\n-- %s, Python %s, %s s: %s\n' "$RUNTIME" "$VERSION" "$SECONDS" "$*"; }
VERSION=$(python3 -c 'import platform; print(platform.python_version())')

say "install"
# A new environment, or what an earlier run left in it could stand in for what we fail to ask for.
rm -rf "$VENV"
if [ ! -d "$VENV.new" ]; then
  python3 -m venv "$VENV"
  mv "$VENV" "$VENV.new"
fi
cp --archive "$VENV.new" "$VENV"
PATH=$VENV/bin:$PATH
# The pins are for the newer runtime; the older one needs an older NumPy, and a bundle proven on it.
tests=(/sertk/tests/runtime/inference/test_streaming.py /sertk/edge/tests/audio/test_{vad,smoothing}.py)
if [ "$RUNTIME" = tflite-runtime ]; then
  extra='[tflite-runtime]'
  grep -v -e '^numpy==' -e '^ml-dtypes==' /sertk/constraints.txt >constraints.txt
else
  tests+=(/sertk/edge/tests/audio/test_stream_classifier.py)
  extra=
  cp /sertk/constraints.txt constraints.txt
fi
export PIP_CONSTRAINT=$PWD/constraints.txt
pip install -qq /inputs/wheels/ser_toolkit-*.whl /inputs/wheels/sertk_msf-*.whl \
  "$(echo /inputs/wheels/sertk_edge-*.whl)$extra"
[ -z "$extra" ] || pip uninstall -qq --yes ai-edge-litert
du -sh "$VENV"

say "the wheels, and no checkout"
python - <<'END'
import platform, sys
import ser_toolkit, sertk_edge, sertk_msf
assert platform.machine() == "aarch64", platform.machine()
for module in (ser_toolkit, sertk_edge, sertk_msf):
    assert module.__file__.startswith(sys.prefix), module.__file__
END

say "sertk doctor"
sertk doctor

# A bundle names the runtimes on which its export was proven, and is refused by others.
proven() {
  sertk bundle show --json "$1" >shown
  grep -q "\"name\": \"$RUNTIME\"" shown
}

for bundle in /inputs/bundles/*.sertk; do
  say "sertk bundle verify $(basename "$bundle")"
  if proven "$bundle"; then
    sertk bundle verify "$bundle" | tee verified
    grep -q "^runtime *$RUNTIME " verified
    grep -q "^self-test *passed" verified
  else
    sertk bundle verify "$bundle" >refused 2>&1 && exit 1
    tail -n 1 refused
    grep -q "^Error: this network was proven on" refused
  fi
done

say "tests of the stream"
pip install -qq pytest pytest-timeout hypothesis
pytest --quiet -p no:cacheprovider -c /sertk/pyproject.toml --rootdir /sertk --timeout 300 \
  "${tests[@]}"

say "sertk edge install-service"
voice=synthetic-msf
proven "/inputs/bundles/$voice.sertk" || voice=tiny
cp "/inputs/bundles/$voice.sertk" /opt/voice.sertk
mkdir -p units
sertk edge install-service /opt/voice.sertk --unit-dir units
grep "^ExecStart=:$VENV/bin/sertk serve-edge /opt/voice.sertk\$" units/sertk-edge.service
grep "^ProtectHome=yes\$" units/sertk-edge.service

say "sertk serve-edge --check"
sertk serve-edge /opt/voice.sertk --source /inputs/clip.wav --check

say "sertk serve-edge --source clip.wav"
sertk serve-edge /opt/voice.sertk --source /inputs/clip.wav --http-port 0 \
  --state-dir "state-$RUNTIME" | tee events
python /sertk/edge/arm64/compare.py events "/inputs/$voice.events"

say "done"
