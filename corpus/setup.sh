#!/usr/bin/env bash
# Makes .venv at the root of the repository, with exactly what
# corpus/requirements.txt pins. Does nothing when it is already right.
#
# usage: corpus/setup.sh [--force] [--help]
#
# The stamp .venv/.airconv-stamp holds the digest of the requirements and the
# version of Python; when either changes, the environment is made anew.
# PYTHON names the interpreter to build upon (python3 by default).
# Exit status: 0 done, 1 failed, 2 wrong usage.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
venv=$root/.venv
pins=$root/corpus/requirements.txt
stamp=$venv/.airconv-stamp

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# The packages need Python 3.11 or newer, and so do our own scripts (tomllib).
check_python() {
    command -v "$python" >/dev/null || fail "no '$python' found: install Python 3.11 or newer, or set PYTHON"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "'$python' is $("$python" --version 2>&1): 3.11 or newer is needed, set PYTHON to one"
}

# What the stamp has to say for the environment to be left alone.
wanted_stamp() {
    "$python" - "$pins" <<'PY'
import hashlib, platform, sys
digest = hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()
print(platform.python_version(), platform.machine(), digest)
PY
}

# Debian splits venv off; it is installed only if Python cannot do without.
make_venv() {
    rm -rf "$venv"
    if "$python" -m venv "$venv" 2>/dev/null; then
        return
    fi
    rm -rf "$venv"
    command -v apt-get >/dev/null || fail "'$python -m venv' does not work here and there is no apt-get"
    say "'$python -m venv' does not work: installing python3-venv"
    apt-get update -qq && apt-get install -y -qq python3-venv </dev/null ||
        fail "could not install python3-venv (it takes root)"
    "$python" -m venv "$venv" || fail "'$python -m venv' still does not work"
}

main() {
    case ${1:-} in
        '') ;;
        --force) rm -rf "$venv" ;;
        -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) printf 'setup: unknown argument %s (see --help)\n' "$1" >&2; exit 2 ;;
    esac
    check_python
    local wanted
    wanted=$(wanted_stamp)
    if [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
        say ".venv is up to date"
        return
    fi
    say "making .venv ($("$python" --version))"
    make_venv
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --only-binary=:all: --requirement "$pins" </dev/null ||
        fail "pip could not install the requirements"
    "$venv/bin/python" -m pip check >/dev/null || fail "the requirements do not fit together: run .venv/bin/python -m pip check"
    printf '%s\n' "$wanted" >"$stamp"
    say ".venv is ready"
}

main "$@"
