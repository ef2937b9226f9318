# What the scripts share: a private uv, and one locked Python environment per Airflow version.
# Sourced, not run. Nothing is installed outside the user's cache folder.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/airflow-provider-flinkx"

say() { printf '\n== %s\n' "$*" >&2; }

# as_root COMMAND... : runs it as root without asking for a password; fails where that is not possible.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@" 2>/dev/null; fi
}

# find_uv : sets UV, the path of uv; installs it into a virtual environment of its own when there is none.
find_uv() {
  if UV="$(command -v uv)" && "$UV" --version >/dev/null 2>&1; then return; fi
  UV="$CACHE/uv/bin/uv"
  [ -x "$UV" ] && return
  say "installing uv into $CACHE/uv"
  if ! python3 -c 'import ensurepip' 2>/dev/null; then  # Debian splits it off
    if ! { as_root apt-get update -qq && as_root apt-get install -qq -y python3-venv; }; then
      echo "Python has no venv module. Run: sudo apt-get install python3-venv" >&2
      exit 1
    fi
  fi
  python3 -m venv --clear "$CACHE/uv"
  "$CACHE/uv/bin/pip" install --quiet --disable-pip-version-check uv
}

# make_environment AIRFLOW_VERSION : sets ENVIRONMENT, a virtual environment with the locked packages and this project.
# The folder's name holds the lock and the checkout, so a change of either makes a new one.
make_environment() {
  local lock="$ROOT/requirements/airflow-$1.txt" key
  key="$({ cat "$lock"; echo "$ROOT"; } | sha256sum | cut -c1-12)"
  ENVIRONMENT="$CACHE/airflow-$1-$key"
  mkdir -p "$CACHE"
  find_uv
  (
    flock 9
    [ -e "$ENVIRONMENT/complete" ] && exit
    say "making the environment for Airflow $1 in $ENVIRONMENT"
    "$UV" venv --quiet --clear --python '>=3.10,<3.13' "$ENVIRONMENT"
    "$UV" pip sync --quiet --python "$ENVIRONMENT/bin/python" "$lock"
    touch "$ENVIRONMENT/complete"
  ) 9>"$CACHE/lock"
  "$UV" pip install --quiet --no-deps --python "$ENVIRONMENT/bin/python" --editable "$ROOT"
}
