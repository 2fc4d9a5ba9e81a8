#!/bin/sh
# Secrets from files, as containers are given them: for each NAME of the list, the content of the file that NAME_FILE
# names becomes NAME, unless that is set.  Then the command takes this process's place.
set -eu

for name in PAGEFAULT_JOURNAL PAGEFAULT_UI_TOKEN OPENAI_API_KEY QDRANT_API_KEY PGPASSWORD; do
    eval "file=\${${name}_FILE:-} value=\${${name}:-}"
    if [ -n "$file" ] && [ -z "$value" ]; then
        if [ ! -r "$file" ]; then
            echo "error: ${name}_FILE: found '$file', allowed: a file that user $(id -u) can read" >&2
            exit 2
        fi
        value=$(cat "$file")
        export "$name=$value"
    fi
done

exec "$@"
