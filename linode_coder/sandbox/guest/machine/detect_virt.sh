#!/bin/sh
# systemd-detect-virt as on the machine that a docker host plays. cloud-init asks it before it believes the firmware.
case " $* " in
  *" --container "* | *" -c "*) answer=none code=1 ;;
  *) answer=kvm code=0 ;;
esac
case " $* " in
  *" --quiet "* | *" -q "*) ;;
  *) echo "$answer" ;;
esac
exit "$code"
