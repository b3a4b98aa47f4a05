#!/usr/bin/env bash
# boot_systemd.sh FOLDER PATH…: systemd as process 1 of its own namespaces, over a copy-on-write
# view of this machine's files. It starts FOLDER/units/*.service and ends when FOLDER/report.sh,
# which runs beside them, has ended. FOLDER is /trial there; each PATH is where it is here.
# Nothing of it outlives this script: the kernel clears namespaces away with their last process.
set -euo pipefail
CGROUPS=/sys/fs/cgroup
[ -e "$CGROUPS/cgroup.procs" ] || CGROUPS=/sys/fs/cgroup/unified

if [ "${INSIDE:-}" != yes ]; then
  own=$CGROUPS/sertk-test-$$
  mkdir "$own"
  trap 'find "$own" -depth -type d -exec rmdir {} \;' EXIT
  # A control group of our own becomes the root of those that systemd sees.
  INSIDE=yes bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$own" \
    unshare --mount --pid --cgroup --ipc --uts --fork --kill-child --mount-proc "$0" "$@"
  exit
fi

folder=$1
shift
layers=$(mktemp -d)
mount -t tmpfs tmpfs "$layers"
mkdir "$layers/upper" "$layers/work" "$layers/root"
root=$layers/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root"
mount -t proc proc "$root/proc"
# systemd sets what the kernel of this machine does where it is let.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for fresh in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$fresh"; done
chmod 1777 "$root/tmp"
while read -r name major minor; do
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<<"null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
ptmx 5 2"
mkdir "$root/dev/shm" "$root/dev/pts"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mkdir -p "$root/trial"
mount --bind "$folder" "$root/trial"
for path in "$@"; do
  mkdir -p "$root$path"
  mount --bind "$path" "$root$path"
  # A user that systemd makes up must get at a checkout or a Python in somebody's home.
  for ((; ${#path} > 1; )); do
    path=$(dirname "$path")
    chmod o+x "$root$path"
  done
done

units=$root/etc/systemd/system
rm -rf "$units"/*.wants
ln -sf /dev/null "$units/systemd-update-utmp.service"
cp -r "$folder"/units/* "$units/"
cat >"$units/trial.target" <<EOT
[Unit]
Requires=systemd-journald.service report.service
Wants=$(cd "$folder/units" && echo *.service)
EOT
cat >"$units/report.service" <<'EOT'
[Unit]
DefaultDependencies=no
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/bash /trial/report.sh
ExecStopPost=/bin/systemctl exit
EOT
mount --make-rshared "$root"
exec chroot "$root" env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=trial.target --log-target=journal --show-status=no </dev/null
