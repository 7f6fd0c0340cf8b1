#!/usr/bin/env bash
# Installs libLLVM (19 or newer), which native code needs when it runs, unless it is there.
#
# usage: converters/llvm/setup.sh [--help]
#
# Debian and Ubuntu only; elsewhere it says what is missing. AIRCONV_LLVM may name the library.
# Exit status: 0 it is there, 1 it is not and could not be installed.
set -euo pipefail

[[ ${1:-} != -h && ${1:-} != --help ]] || { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"; exit 0; }

# The loader's list, and the folders of Debian's versioned packages.
found() {
    [[ -n ${AIRCONV_LLVM:-} ]] && return 0
    local pattern='libLLVM[-.](so\.)?(19|2[0-9])'
    { ldconfig -p 2>/dev/null || true; compgen -G '/usr/lib/llvm-*/lib/libLLVM*' || true; } |
        grep -E "$pattern" >/dev/null
}

if found; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "setup: libLLVM 19 or newer is missing: install it, or set AIRCONV_LLVM to its path" >&2
    exit 1
fi
echo "setup: installing libllvm22"
apt-get update -qq
apt-get install -y -qq --no-install-recommends libllvm22 </dev/null ||
    apt-get install -y -qq --no-install-recommends libllvm19 </dev/null
found
