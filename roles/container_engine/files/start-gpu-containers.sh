#!/bin/sh
# Docker 26 restarts containers before it knows CDI devices, so that those with GPUs stay down after a reboot.
# Start the ones that failed for this reason and no other.
for id in $(docker ps --all --quiet --filter status=exited --filter status=created); do
  if docker inspect --format '{{.State.Error}}' "$id" | grep -q 'could not select device driver "cdi"'; then
    docker start "$id"
  fi
done
