#!/bin/sh
# Installs what the tests of several nodes use besides the system: etcd, and iproute2 for network namespaces. It does nothing where they are
# present, and a machine without apt-get only skips those tests.
set -eu

missing=""
command -v etcd >/dev/null || missing="$missing etcd-server"
command -v ip >/dev/null || missing="$missing iproute2"
if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
  else
    echo "several nodes: not installed (needs apt-get and root):$missing" >&2
  fi
fi
