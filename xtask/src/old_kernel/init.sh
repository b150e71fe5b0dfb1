#!/bin/busybox sh
# The first process of the machine that `cargo xtask old-kernel` boots: starts the tracker on `lo`, lets the load tester check its answers, and
# says whether the kernel gave them.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
echo "Linux $(uname -r)"
cat > /tmp/tracker.toml <<'TOML'
state_directory = "/tmp/state"
[udp]
addresses = ["127.0.0.1:6969"]
[http]
listen = []
[metrics]
listen = []
[control]
socket = "/tmp/control.sock"
TOML
tracker-user -c /tmp/tracker.toml --iface lo --xdp generic > /tmp/log 2>&1 &
seconds=0
until grep -q '^ready' /tmp/log || [ $seconds = 600 ]; do
    sleep 1
    seconds=$((seconds + 1))
done
cat /tmp/log
tracker-load udp mix --target 127.0.0.1:6969 --sockets 2 --torrents 4 --peers 60 --warmup 0 --seconds 5
right=$?
tracker-user -c /tmp/tracker.toml map stats --json > /tmp/stats
answered=$(sed -n '/"kernel"/,/}/s/.*"announce": \([0-9]*\).*/\1/p' /tmp/stats)
echo "announces that the kernel answered: $answered"
[ $right = 0 ] && [ "${answered:-0}" -gt 100 ] && echo "RESULT good"
poweroff -f
