#!/bin/sh
# Boots systemd with a unit, in namespaces of its own and over a root that has the machine's /usr, read-only, and little else.
#
# Called by tests/cli/unit.rs with an empty directory for the root, the unit, the configuration and the tracker's binary; it runs as the first process
# of new PID, mount, network, UTS, IPC and cgroup namespaces. Nothing of the machine can be written: /proc/sys and /sys are read-only, as in
# systemd-nspawn, so that systemd leaves sysctls and devices alone.
set -eu
root=$1 unit=$2 configuration=$3 binary=$4

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr etc/systemd/system etc/tracker var/lib var/tmp run tmp dev proc sys opt old
for directory in bin sbin lib lib64; do
    if [ -L "/$directory" ]; then
        cp -P "/$directory" .
    elif [ -d "/$directory" ]; then
        mkdir "$directory"
        mount --bind "/$directory" "$directory"
        mount -o remount,bind,ro "$directory"
    fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
touch opt/tracker-user
mount --bind "$binary" opt/tracker-user

cp /etc/ld.so.cache etc
printf 'root:x:0:0::/root:/bin/sh\ntracker:x:990:990::/:/usr/sbin/nologin\n' > etc/passwd
printf 'root:x:0:\ntracker:x:990:\n' > etc/group
: > etc/machine-id
cp "$unit" etc/systemd/system/tracker.service
cp "$configuration" etc/tracker/tracker.toml
# Nothing but the journal, for what the tracker says: the rest is what the unit itself asks for.
printf '[Unit]\nRequires=systemd-journald.service\nAfter=systemd-journald.service\n' > etc/systemd/system/boot.target

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
# What it says there is in the journal, too.
touch dev/console
mount --bind /dev/null dev/console
mkdir dev/pts dev/shm dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ip link set lo up

pivot_root . old
# `container` is how systemd knows that the machine isn't its own.
exec chroot . /bin/sh -c 'umount -l /old && exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin "$0" --unit=boot.target' \
    /lib/systemd/systemd < /dev/null
