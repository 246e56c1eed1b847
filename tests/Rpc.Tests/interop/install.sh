#!/bin/sh
# Installs the foreign gRPC implementations that the interoperability tests talk to. It does nothing where they are present, and a machine
# without apt-get or npm only skips those tests.
set -eu
cd "$(dirname "$0")"

missing=""
ruby -e 'require "grpc"' 2>/dev/null || missing="$missing ruby-grpc"
/usr/bin/python3 -c 'import grpc, google.protobuf' 2>/dev/null || missing="$missing python3-grpcio python3-protobuf"
if [ -n "$missing" ]; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
  else
    echo "interop: not installed (needs apt-get and root):$missing" >&2
  fi
fi

# node_modules/.package-lock.json is npm's record of what it installed last.
if [ ! js/node_modules/.package-lock.json -nt js/package-lock.json ]; then
  if command -v npm >/dev/null; then
    (cd js && npm ci --ignore-scripts --no-fund --no-audit --loglevel=error)
    touch js/node_modules/.package-lock.json
  else
    echo "interop: @grpc/grpc-js is not installed (needs npm)" >&2
  fi
fi
