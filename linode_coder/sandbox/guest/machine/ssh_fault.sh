#!/bin/sh
# ssh_fault.sh own|foreign up|down|stalled: present the host's own key or another one, and let SSH answer, not answer at all,
# or take commands and never answer them.
set -eu
drop_in=/etc/ssh/sshd_config.d/00-sandbox-fault.conf
if [ "$1" = foreign ]; then
  key=/run/sandbox-foreign-key
  [ -e "$key" ] || ssh-keygen -q -t ed25519 -N '' -C '' -f "$key"
  echo "HostKey $key" > "$drop_in"
else
  rm -f "$drop_in"
fi
[ "$2" != stalled ] || echo 'ForceCommand exec sleep infinity' >> "$drop_in"
if [ "$2" = down ]; then
  systemctl stop ssh
  pkill -x sshd-session || true
else
  [ "$2" != stalled ] || pkill -x sshd-session || true
  systemctl restart ssh
fi
