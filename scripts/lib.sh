# Shared by the scripts beside it; sourced, not run.

extras=redis,memcached,aws,sql,encryption,zstd,flask,django,asgi,cli

say() { printf '==> %s\n' "$*"; }
die() { printf '\nsessionstore: %s\n' "$*" >&2; exit 1; }

# A pyenv shim is on PATH for versions that are not active, so being there proves nothing.
runs() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' 2>/dev/null; }

minor() { "$1" -c 'import sys; print("3.%d" % sys.version_info[1])'; }

# Every CPython from 3.11 on at hand, one of each minor version, oldest first: "3.12 /usr/bin/python3.12".
pythons() {
  local candidate
  for candidate in python3 python3.{11,12,13,14,15} "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    candidate=$(command -v "$candidate") && runs "$candidate" || continue
    # Without the "t" of a free-threaded build: not everything we test with has wheels for those.
    "$candidate" -c 'import sys; sys.exit("t" in sys.abiflags)' || continue
    printf '%s %s\n' "$(minor "$candidate")" "$candidate"
  done | sort --stable --version-sort --key=1,1 --unique
}

# The Python of .venv: the one asked for, else `python3`, else the oldest other one that will do.
main_python() {
  if [ -n "${PYTHON:-}" ]; then
    runs "$PYTHON" || die "PYTHON=$PYTHON does not run, or is not CPython 3.11 or newer."
    echo "$PYTHON"
  elif runs python3; then
    command -v python3
  else
    local found
    found=$(pythons | head -n 1 | cut -d ' ' -f 2)
    [ -n "$found" ] || die "Python 3.11 or newer is needed (found: $(python3 --version 2>&1 || true)). On Debian 12 or later: apt-get install python3"
    echo "$found"
  fi
}

# apt_install WHY PACKAGE...: installs what is missing, or says what to type.
apt_install() {
  local why=$1 sudo=() missing=() package
  shift
  for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo)
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || sudo=(no)
  fi
  if ! command -v apt-get >/dev/null || [ "${sudo[0]:-}" = no ]; then
    printf '\nsessionstore: %s is missing (%s) and may not be installed from here. As root:\n    apt-get install %s\n\n' \
      "${missing[*]}" "$why" "${missing[*]}" >&2
    return 1
  fi
  say "Installing ${missing[*]} from Debian ($why)"
  local log
  log=$(mktemp)
  if "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get update && apt-get install -y --no-install-recommends "$@"' sh "${missing[@]}" >"$log" 2>&1; then
    rm "$log"
  else
    tail -n 20 "$log" >&2
    printf '\nsessionstore: apt-get failed; the whole log is in %s\n' "$log" >&2
    return 1
  fi
}
