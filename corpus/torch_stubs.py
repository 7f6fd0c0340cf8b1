#!/usr/bin/env python3
"""Makes empty libraries in place of the CUDA libraries that torch's own ones ask for.

usage: torch_stubs.py FOLDER [FOLDER ...]

The first FOLDER holds torch's libraries; the stubs are written there. Libraries in the other
ones count as present. A stub has the versions that the loader checks for and functions that
trap: nothing on a CPU calls them. Needs pyelftools and a C compiler (cc).
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

# What the C library and the compiler bring.
SYSTEM = re.compile(r"^(lib(c|m|dl|pthread|rt|gcc_s|stdc\+\+)|ld-linux.*)\.so")
# The functions of the libraries that have no versions.
UNVERSIONED = re.compile(r"^(cu|nccl|nv)[A-Za-z_]")


class Wanted:
    """What the libraries of a folder need: sonames, and symbols by soname and version."""

    def __init__(self) -> None:
        self.needed: set[str] = set()
        self.versions: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.unversioned: set[str] = set()
        self.defined: set[str] = set()

    def add(self, path: Path) -> None:
        with path.open("rb") as file:
            elf = ELFFile(file)
            for section in elf.iter_sections():
                if isinstance(section, DynamicSection):
                    tags = section.iter_tags("DT_NEEDED")
                    self.needed.update(tag.needed for tag in tags)
            self._add_versions(elf)

    def _add_versions(self, elf: ELFFile) -> None:
        owners: dict[int, tuple[str, str]] = {}
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for need, auxiliaries in section.iter_versions():
                    for aux in auxiliaries:
                        owners[aux["vna_other"]] = (need.name, aux.name)
                        self.versions[need.name][aux.name]
        symbols = elf.get_section_by_name(".dynsym")
        numbers = elf.get_section_by_name(".gnu.version")
        if symbols is None or numbers is None:
            return
        for index, symbol in enumerate(symbols.iter_symbols()):
            if symbol["st_shndx"] != "SHN_UNDEF":
                self.defined.add(symbol.name)
                continue
            owner = owners.get(numbers.get_symbol(index)["ndx"])
            if owner:
                self.versions[owner[0]][owner[1]].add(symbol.name)
            elif UNVERSIONED.match(symbol.name):
                self.unversioned.add(symbol.name)


def stub(path: Path, versions: dict[str, set[str]], plain: set[str]) -> None:
    """Compiles a library with symbols under these versions, or with plain ones."""
    names = sorted({name for group in versions.values() for name in group} | plain)
    source = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in names)
    script = ""
    for version, group in sorted(versions.items()):
        listed = "".join(f" {name};" for name in sorted(group))
        script += f"{version} {{ global:{listed or ' *;'} }};\n"
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "stub.c")
        code.write_text(source)
        command = ["cc", "-shared", "-fPIC", "-w", "-fno-builtin", "-o", str(path), str(code)]
        command.append(f"-Wl,-soname,{path.name}")
        if script:
            map_file = Path(folder, "stub.map")
            map_file.write_text(script)
            command.append(f"-Wl,--version-script={map_file}")
        subprocess.run(command, check=True)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folders = [Path(f) for f in sys.argv[1:]]
    present = {p.name for folder in folders for p in folder.glob("*.so*")}
    wanted = Wanted()
    for library in sorted(folders[0].glob("*.so*")):
        wanted.add(library)
    missing = [n for n in sorted(wanted.needed) if n not in present and not SYSTEM.match(n)]
    # Which library a symbol without a version is from is not said: each such one has them all.
    plain = wanted.unversioned - wanted.defined
    for name in missing:
        versions = wanted.versions.get(name, {})
        stub(folders[0] / name, versions, set() if versions else plain)
    print(f"{len(missing)} stubs: {' '.join(missing)}")


if __name__ == "__main__":
    main()
