#!/usr/bin/env bash
# Makes .torch: PyTorch for the CPU, for Python and as libtorch, without the CUDA stack.
#
# usage: corpus/torch_setup.sh [--force] [--help]
#
# .torch/venv       a Python environment with what corpus/torch_requirements.txt pins
# .torch/libtorch   include/ and lib/ for programs that link libtorch (LIBTORCH)
#
# Does nothing when both are right. PYTHON names the interpreter to build upon (python3).
# Exit status: 0 done, 1 failed, 2 wrong usage.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
pins=$root/corpus/torch_requirements.txt
home=$root/.torch
stamp=$home/.airconv-stamp

say() { printf 'torch: %s\n' "$*"; }
fail() { printf 'torch: %s\n' "$*" >&2; exit 1; }

wanted_stamp() {
    "$python" - "$pins" "$root/corpus/torch_stubs.py" "${BASH_SOURCE[0]}" <<'PY'
import hashlib, platform, sys
digest = hashlib.sha256(b"".join(open(p, "rb").read() for p in sys.argv[1:])).hexdigest()
print(platform.python_version(), platform.machine(), digest)
PY
}

# The folder that torch-sys expects, as links: without libtorch_cuda it links for the CPU.
make_libtorch() {
    local packages=$1 lib=$home/libtorch/lib
    mkdir -p "$lib"
    ln -sfn "$packages/torch/include" "$home/libtorch/include"
    local name
    for name in libtorch_cpu.so libc10.so libtorch.so libgomp.so.1; do
        ln -sfn "$packages/torch/lib/$name" "$lib/$name"
    done
    for name in "$packages"/nvidia/cu13/lib/libcudart.so* "$packages"/nvidia/cu13/lib/libcupti.so*; do
        ln -sfn "$name" "$lib/$(basename "$name")"
    done
}

main() {
    case ${1:-} in
        '') ;;
        --force) rm -rf "$home" ;;
        -h | --help) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) printf 'torch: unknown argument %s (see --help)\n' "$1" >&2; exit 2 ;;
    esac
    bash "$root/corpus/setup.sh" # it knows how to get a Python that makes environments
    local wanted
    wanted=$(wanted_stamp)
    if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
        say ".torch is up to date"
        return
    fi
    say "making .torch"
    rm -rf "$home"
    "$python" -m venv "$home/venv"
    "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --requirement "$pins" </dev/null || fail "pip could not install torch"
    local packages
    packages=$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$home/venv/bin/python" "$root/corpus/torch_stubs.py" \
        "$packages/torch/lib" "$packages"/nvidia/*/lib
    make_libtorch "$packages"
    "$home/venv/bin/python" -W ignore -c 'import torch; torch.ones(2) + 1' ||
        fail "torch does not start"
    printf '%s\n' "$wanted" >"$stamp"
    say ".torch is ready"
}

main "$@"
