# shellcheck shell=bash
# What the scripts here share: an emulator, a root of Debian for arm64, and what is mounted there.
# Everything is mounted in a mount namespace of our own, which the kernel clears away with its last
# process, however that ends: no trap is needed, and nothing is left where a run was killed.

BINFMT=/proc/sys/fs/binfmt_misc
HANDLER=qemu-aarch64
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
# No ca-certificates: this machine's are shown there, and to hash them all takes an emulator minutes.
PACKAGES=libportaudio2,python3,python3-venv
# What the emulator's CPU is, and what /proc and /sys must then say: see `fake_pi`.
export QEMU_CPU=cortex-a72

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'Error: %s\n' "$*" >&2; exit 1; }

# Why this machine cannot run arm64 programs, in one line; nothing if it can.
why_not() {
  [ "$(id -u)" = 0 ] || { echo "root is needed to mount and to change the root folder: run it with sudo"; return; }
  [ -d "$BINFMT" ] || grep -q binfmt_misc /proc/filesystems || modprobe -q binfmt_misc 2>/dev/null ||
    { echo "this kernel has no binfmt_misc, which hands arm64 programs to the emulator"; return; }
  unshare --mount --pid --fork --mount-proc true 2>/dev/null ||
    { echo "mounting is not allowed here: a container needs CAP_SYS_ADMIN"; return; }
  local missing=() part
  for part in mmdebstrap arch-test; do command -v "$part" >/dev/null || missing+=("$part"); done
  [ -e /usr/bin/qemu-aarch64-static ] || [ -e /usr/bin/qemu-aarch64 ] || missing+=(qemu-user-static)
  [ "${#missing[@]}" = 0 ] || echo "missing: ${missing[*]}. Run \`apt-get install qemu-user-static mmdebstrap arch-test\`"
}

# Register the emulator, unless the machine has done so itself.
emulate() {
  [ -e "$BINFMT/register" ] || mount -t binfmt_misc binfmt_misc "$BINFMT"
  [ ! -e "$BINFMT/$HANDLER" ] || return 0
  # The line of the package has flag F: the kernel opens the emulator now, outside of the root.
  grep -h '^:' "/usr/lib/binfmt.d/$HANDLER.conf" >"$BINFMT/register"
}

# The mirror of Debian that apt uses here, unless SERTK_DEBIAN_MIRROR names one.
mirror() {
  local found=${SERTK_DEBIAN_MIRROR:-}
  # apt fills in $(SITE), not the shell.
  # shellcheck disable=SC2016
  [ -n "$found" ] || found=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' |
    grep -v -e security -e ubuntu | head -n 1)
  [ -n "$found" ] || fail "apt knows no mirror of Debian here. Set SERTK_DEBIAN_MIRROR to one"
  echo "$found"
}

# make_root SUITE ROOT: a small Debian for arm64, made once.
make_root() {
  local suite=$1 root=$2 unfinished=$2.unfinished
  [ ! -e "$root/.made-with" ] || [ "$(cat "$root/.made-with")" != "$PACKAGES" ] || return 0
  rm -rf "$root" "$unfinished"
  say "Debian $suite for arm64, into $root"
  # A root that is thrown away need not survive a power cut, and nobody reads its manuals.
  mmdebstrap --quiet --architectures=arm64 --variant=minbase --include="$PACKAGES" \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$unfinished" "$(mirror)"
  echo "$PACKAGES" >"$unfinished/.made-with"
  mv "$unfinished" "$root"
}

# What the cpuinfo library in XNNPACK reads. From the machine below it would read of another
# processor, and the runtime would fall back to slow kernels or crash.
fake_pi() {
  local root=$1 cpus=$1/sys/devices/system/cpu n
  mkdir -p "$cpus"
  echo 0-3 | tee "$cpus/possible" "$cpus/present" >/dev/null
  for n in 0 1 2 3; do
    mkdir -p "$cpus/cpu$n/cpufreq" "$cpus/cpu$n/topology"
    echo 1800000 >"$cpus/cpu$n/cpufreq/cpuinfo_max_freq"
    echo 600000 >"$cpus/cpu$n/cpufreq/cpuinfo_min_freq"
    echo 0 >"$cpus/cpu$n/topology/physical_package_id"
    echo f >"$cpus/cpu$n/topology/core_siblings"
    echo 0-3 >"$cpus/cpu$n/topology/core_siblings_list"
  done
  mount -t proc proc "$root/proc"
  mount --bind "$HERE/cpuinfo" "$root/proc/cpuinfo"
}

# show SOURCE ROOT TARGET: let the root see a file or folder of this machine, read-only.
show() {
  if [ -d "$1" ]; then mkdir -p "$2$3"; else mkdir -p "$(dirname "$2$3")" && touch "$2$3"; fi
  mount --bind "$1" "$2$3"
  mount -o remount,bind,ro "$2$3"
}

# The root gets this machine's way to the network, pip's settings, and the files that those name.
connect() {
  local root=$1 path
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  mkdir -p "$(dirname "$root$CERTIFICATES")"
  cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root$CERTIFICATES"
  python3 "$HERE/pip_settings.py" "$root/etc/pip.conf" | while read -r path; do
    [ "$path" = "$CERTIFICATES" ] || show "$path" "$root" "$path"
  done
  mkdir -p "$WORK/pip" "$root/var/cache/pip"
  mount --bind "$WORK/pip" "$root/var/cache/pip"
}

# inside ROOT COMMAND…: run a command there, with nothing of the caller's environment but proxies.
inside() {
  local root=$1 name kept=()
  shift
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || kept+=("$name=${!name}")
  done
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 QEMU_CPU="$QEMU_CPU" \
    REQUESTS_CA_BUNDLE="$CERTIFICATES" PIP_CACHE_DIR=/var/cache/pip "${kept[@]}" \
    chroot "$root" "$@"
}
