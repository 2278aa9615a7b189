#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# First program of the lab host: the outer machine's root (9p, read-only) under a tmpfs, then the agent. With LAB_DISKS there
# are two disks instead of shared folders: a root with what is needed of the outer machine's, and one for the results. With
# LAB_REPOSITORY the root is a system of its own, whose systemd starts the agent as a service.
# The kernel hands over as environment: LAB_AGENT (path of agent.py), LAB_DISKS, LAB_REPOSITORY (path).
/bin/busybox mount -t devtmpfs devtmpfs /dev
while read -r module; do
    /bin/busybox insmod "/modules/$module" || echo "lab host: cannot load $module"
done < /modules/order
if [ -z "$LAB_DISKS" ]; then
    share=trans=virtio,version=9p2000.L,msize=524288
    /bin/busybox mount -t tmpfs -o size=75% tmpfs /overlay
    /bin/busybox mkdir /overlay/upper /overlay/work
    /bin/busybox mount -t 9p -o "ro,cache=loose,$share" root /lower &&
        /bin/busybox mount -t overlay -o lowerdir=/lower,upperdir=/overlay/upper,workdir=/overlay/work \
            overlay /root ||
        echo "lab host: cannot mount the root"
    results="-t 9p -o rw,cache=none,$share out"
    LAB_PROGRESS=/run/results/agent.log
else
    until [ -b /dev/sda ] && [ -b /dev/sdb ]; do /bin/busybox sleep 0.1; done
    /bin/busybox mount -t ext4 /dev/sda /root || echo "lab host: cannot mount the root"
    results="-t ext4 /dev/sdb"
    LAB_PROGRESS=/dev/ttyS1
fi
export LAB_PROGRESS
for type in proc sysfs:sys devtmpfs:dev tmpfs:run; do
    /bin/busybox mount -t "${type%:*}" "${type%:*}" "/root/${type#*:}"
done
/bin/busybox mkdir -p /root/dev/shm /root/run/results
# shellcheck disable=SC2086 (one word an option)
/bin/busybox mount $results /root/run/results ||
    echo "lab host: cannot mount the results"
if [ -n "$LAB_REPOSITORY" ]; then
    /bin/busybox mkdir -p "/root$LAB_REPOSITORY"
    /bin/busybox mount -t 9p -o "ro,cache=loose,$share" repository "/root$LAB_REPOSITORY" ||
        echo "lab host: cannot mount the repository"
    /bin/busybox cat > /root/etc/systemd/system/lab-agent.service << END
[Unit]
Description=The lab's agent
After=libvirtd.service systemd-logind.service
[Service]
Type=simple
Environment=LC_ALL=C.UTF-8 HOME=/root
ExecStart=/usr/bin/python3 $LAB_AGENT /run/results
ExecStopPost=/usr/bin/systemctl poweroff --force --force
StandardOutput=append:$LAB_PROGRESS
StandardError=inherit
END
    wants=/root/etc/systemd/system/multi-user.target.wants
    /bin/busybox mkdir -p $wants
    /bin/busybox ln -sf ../lab-agent.service $wants/lab-agent.service
    exec /bin/busybox switch_root /root /sbin/init
fi
exec /bin/busybox switch_root /root /bin/sh -c '
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
    /usr/bin/python3 "$LAB_AGENT" /run/results </dev/null >"$LAB_PROGRESS" 2>&1
    sync
    echo o > /proc/sysrq-trigger
    # Powering off takes a moment in which no program can be started any more: wait by a builtin.
    read -r never'
