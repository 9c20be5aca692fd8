#!/bin/sh
# The first process of a docker host: what firmware and kernel bring on a real machine, then systemd in its place.
set -eu
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
ip address add 169.254.169.254/32 dev lo
exec /sbin/init
