#!/bin/sh
# The first process of a docker host: what firmware and kernel bring on a real machine, then systemd in its place.
set -eu
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
# What the firmware says of the machine. Network devices come and go, which the layer above them would not see.
mkdir /run/network-devices
mount --bind /sys/class/net /run/network-devices
cp -r /etc/sandbox/firmware /run/firmware
mount -t overlay -o ro,lowerdir=/run/firmware:/sys/class firmware /sys/class
mount --bind /run/network-devices /sys/class/net
umount /run/network-devices
# Linode's begin like this, and cloud-init looks for it. The rest is the engine's, which gives each container another one.
ip link set eth0 address "f2:3c:$(cut -d : -f 3- /sys/class/net/eth0/address)"
ip address add 169.254.169.254/32 dev lo
ip address add fd00:a9fe:a9fe::1/128 dev lo nodad
ip address add 192.0.2.80/32 dev lo
[ -e /etc/ssl/certs/sandbox.pem ] || update-ca-certificates > /dev/null
/usr/bin/python3 -I -S /usr/lib/linode-coder-sandbox/linode_coder/sandbox/guest/start.py gpu.modprobe --boot
# Containers inside belong to this one's control group, which goes with it.
own=$(sed -n -e 's/^[0-9]*:devices://p' -e 's/^0:://p' /proc/self/cgroup | head -n 1)
echo "DOCKER_OPTS=--cgroup-parent=${own%/}/docker" > /run/sandbox-docker.env
exec /sbin/init
