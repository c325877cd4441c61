#!/bin/bash
# A lock is not enough: a holder that was stopped, and wakes up when the lock is another's, still
# believes that it holds it (Martin Kleppmann, "How to do distributed locking", 2016). A token that
# grows with every holder is: what is protected looks at it with every write.
#
#   minikv demo                      in one terminal: a cluster
#   examples/fencing.sh              in another; MINIKV_ENDPOINTS as for minikv
#
# Ends with 0 if the late write was refused.
set -euo pipefail

dir=$(mktemp -d)
job=fencing-$$
alice=''
clean_up() {
    [ -z "$alice" ] || kill -KILL -- "-$alice" 2>/dev/null || true
    rm -rf "$dir"
}
trap clean_up EXIT

# Stores $1 if the lock is still that of this token: its key is there, created at that revision.
cat >"$dir/write" <<'END'
printf '{"compare":[{"key":"%s","target":"create_revision","op":"=","value":%s}],
         "success":[{"put":{"key":"%s","value":"%s"}}]}' \
    "$MINIKV_LOCK_KEY" "$MINIKV_FENCE" "$2/file" "$1" | minikv txn - >/dev/null
END

# Holds the lock, is told to write when `go` is there, and does so, whatever has happened meanwhile.
cat >"$dir/alice" <<'END'
trap '' TERM            # the warning that the lock is lost: too busy to listen
echo "$MINIKV_FENCE" >"$1/alice.token.new" && mv "$1/alice.token.new" "$1/alice.token"
until [ -e "$1/go" ]; do sleep 0.05; done
code=0
sh "$1/write" alice "$2" || code=$?
echo "$code" >"$1/alice.code.new" && mv "$1/alice.code.new" "$1/alice.code"
END

wait_for() {
    until [ -e "$1" ]; do
        kill -0 "$alice" 2>/dev/null || { cat "$dir/alice.err" >&2; exit 1; }
        sleep 0.05
    done
}

set -m # each in a process group of its own, to be stopped as a whole
minikv lock "$job/lock" --ttl 1s -- sh "$dir/alice" "$dir" "$job" 2>"$dir/alice.err" &
alice=$!
set +m
wait_for "$dir/alice.token"
echo "alice holds the lock, token $(cat "$dir/alice.token")"

kill -STOP -- "-$alice"
echo "alice stands still, for longer than the lease lives"

bob=$(minikv lock "$job/lock" --ttl 5s -- sh -c "sh $dir/write bob $job && echo \$MINIKV_FENCE")
echo "bob holds the lock, token $bob, and has written"

: >"$dir/go"
kill -CONT -- "-$alice"
wait_for "$dir/alice.code"
code=$(cat "$dir/alice.code")
lock_code=0
wait "$alice" || lock_code=$?
alice=''
sed 's/^minikv: lock: /alice wakes up, and is told: /' "$dir/alice.err" | head -1
echo "alice writes with token $(cat "$dir/alice.token"): minikv txn ends with exit code $code"
echo "alice's minikv lock ends with exit code $lock_code"
value=$(minikv get "$job/file")
echo "the file says: $value"

[ "$code" = 4 ] && [ "$lock_code" = 7 ] && [ "$value" = bob ] &&
    [ "$bob" -gt "$(cat "$dir/alice.token")" ]
