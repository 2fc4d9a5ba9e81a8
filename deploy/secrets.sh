#!/bin/sh
# Make the secrets of deploy/compose.yaml in deploy/secrets, once: what is there is left alone.
#
# Containers run as other users than you, and mount these files as they are: so they can be read by everybody, in a
# folder that only you can enter.
set -eu

place=$(dirname "$0")/secrets
mkdir -p "$place"
chmod 0700 "$place"

make() {
    if [ ! -e "$place/$1" ]; then
        printf '%s' "$2" > "$place/$1"
        chmod 0444 "$place/$1"
    fi
}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

make ray_token "$(random)"
make postgres_password "$(random)"
make ui_token "$(random)"
make qdrant_api_key "$(random)"
make qdrant.yaml "service:
  api_key: $(cat "$place/qdrant_api_key")
"
