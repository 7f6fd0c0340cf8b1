#!/usr/bin/env python3
"""Fetch the development models that MANIFEST.toml lists.

Each package is downloaded by name and version with pip, from whatever index pip
is set up for; its archive and the files taken from it are checked against the
digests in the manifest. Models end in .corpus/models/PACKAGE/FILE. What is already
there and right is left alone. A package that fails does not stop the others.

Exit status: 0 all is there, 1 something is missing, 2 wrong usage.
"""

import argparse
import dataclasses
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from common import (
    DONE,
    FAILED,
    STORE,
    CorpusError,
    digest,
    megabytes,
    read_manifest,
    run,
    shown,
)


def missing(package, dest):
    """The models of a package that are not on disk, or not as they should be."""

    def right(model):
        path = model.path(dest)
        return (
            path.is_file()
            and path.stat().st_size == model.size
            and digest(path) == model.sha256
        )

    return [model for model in package.models if not right(model)]


def platform_arguments(archive):
    """Options by which pip takes a wheel built for another platform than ours."""
    tags = archive.removesuffix(".whl").split("-")[-3:]
    if tags[2] == "any":
        return []
    return ["--platform", tags[2]]


def pip_command(package, folder):
    """The pip call that puts exactly the archive of the manifest into a folder."""
    pins = folder / "pins.txt"
    pins.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n",
        encoding="utf-8",
    )
    return [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check"),
        *("download", "--quiet", "--no-input", "--no-deps", "--only-binary=:all:"),
        *("--no-cache-dir", "--progress-bar", "off", "--dest", str(folder / "got")),
        *platform_arguments(package.archive),
        *("--require-hashes", "--requirement", str(pins)),
    ]


def downloaded(folder):
    """How many bytes have arrived below a folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                pass  # pip moved it while we looked
    return total


def download(package, folder, progress):
    """Run pip and return the archive, checked."""
    environment = dict(os.environ, TMPDIR=str(folder), PIP_NO_INPUT="1")
    log = folder / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            pip_command(package, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            while pip.poll() is None:
                progress(min(downloaded(folder), package.size))
                time.sleep(0.1)
        except BaseException:
            pip.kill()
            pip.wait()
            raise
    if pip.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reasons = [line.strip() for line in lines if "ERROR" in line] or lines[-1:]
        raise CorpusError("pip: " + "; ".join(reasons or ["it said nothing"]))
    archive = folder / "got" / package.archive
    if not archive.is_file():
        found = ", ".join(sorted(p.name for p in (folder / "got").iterdir()))
        raise CorpusError(f"expected {package.archive}, got {found or 'nothing'}")
    if digest(archive) != package.sha256:
        raise CorpusError(f"{package.archive} does not have the digest of the manifest")
    return archive


def extract(archive, model, dest):
    """Take one file out of an archive; it appears whole and right, or not at all.

    Only the listed member is read, its path is never used as a path on disk, and
    no more bytes are taken than the manifest says.
    """
    target = model.path(dest)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    sha = hashlib.sha256()
    left = model.size
    try:
        with archive.open(model.inside) as source, partial.open("wb") as sink:
            while block := source.read(min(left + 1, 1 << 20)):
                left -= len(block)
                if left < 0:
                    raise CorpusError(f"{model.inside} is larger than the manifest says")
                sha.update(block)
                sink.write(block)
        if left or sha.hexdigest() != model.sha256:
            raise CorpusError(f"{model.inside} does not have the digest of the manifest")
        os.replace(partial, target)
    except KeyError as error:
        raise CorpusError(f"the archive has no {model.inside}") from error
    finally:
        partial.unlink(missing_ok=True)


def fetch(package, models, dest, progress):
    """Download a package and extract the given models from it."""
    dest.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=dest) as folder:
        path = download(package, Path(folder), progress)
        try:
            with zipfile.ZipFile(path) as archive:
                for model in models:
                    extract(archive, model, dest)
        except zipfile.BadZipFile as error:
            raise CorpusError(f"{package.archive}: {error}") from error


def discard_leftovers(dest):
    """Remove what an earlier, interrupted run left of its downloads."""
    for folder in dest.glob(".partial-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in dest.glob("*/*.partial"):
        file.unlink(missing_ok=True)


class Line:
    """The output line of one package; it counts up on a terminal."""

    def __init__(self, head, size):
        self.head, self.size = head, size
        self.live = sys.stdout.isatty()
        if self.live:
            print(f"{head} ...", end="", flush=True)

    def progress(self, got):
        if self.live:
            text = f"\r{self.head} {megabytes(got)} of {megabytes(self.size).strip()}"
            print(f"{text}\x1b[K", end="", flush=True)

    def end(self, verdict):
        start = "\r" if self.live else ""
        stop = "\x1b[K\n" if self.live else "\n"
        print(f"{start}{self.head} {verdict}", end=stop, flush=True)


def count(models):
    """How many models, in words."""
    return f"{len(models)} model{'s' if len(models) != 1 else ''}"


def fetch_all(packages, dest):
    """Fetch what is missing; returns the failures as (package, reason)."""
    failures = []
    wide = max(len(f"{p.name} {p.version}") for p in packages)
    for number, package in enumerate(packages, 1):
        name = f"{package.name} {package.version}"
        head = f"[{number}/{len(packages)}] {name:{wide}} {megabytes(package.size)}"
        line = Line(head, package.size)
        wanted = missing(package, dest)
        if not wanted:
            line.end(f"  already there, {count(package.models)}")
            continue
        start = time.monotonic()
        try:
            fetch(package, wanted, dest, line.progress)
        except (CorpusError, OSError) as error:
            line.end("  FAILED")
            failures.append((package, str(error)))
        else:
            line.end(f"  {count(wanted)}, {time.monotonic() - start:.1f} s")
    return failures


def select(packages, pattern):
    """Packages whose name matches, or those models whose id or file does."""
    chosen = []
    for package in packages:
        models = tuple(
            model
            for model in package.models
            if any(
                fnmatch.fnmatch(name, pattern) for name in (package.name, model.file, model.id)
            )
        )
        if models:
            chosen.append(dataclasses.replace(package, models=models))
    return chosen


def print_list(packages, dest):
    """One line for each model, with whether it is on disk."""
    for package in packages:
        absent = missing(package, dest)
        for model in package.models:
            state = "absent" if model in absent else "there "
            print(f"{state} {megabytes(model.size)}  {model.id}  ({package.licence})")


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="list the models and stop")
    parser.add_argument(
        "--only",
        default="*",
        metavar="PATTERN",
        help="packages, files or model ids that match (with * and ?)",
    )
    parser.add_argument(
        "--dest",
        type=Path,
        default=STORE / "models",
        metavar="FOLDER",
        help="where models go (default: .corpus/models)",
    )
    args = parser.parse_args(argv)
    packages = select(read_manifest(), args.only)
    if not packages:
        parser.error(f"nothing in the manifest matches {args.only!r}")
    if args.list:
        print_list(packages, args.dest)
        return DONE
    discard_leftovers(args.dest)
    failures = fetch_all(packages, args.dest)
    models = sum(len(package.models) for package in packages)
    lost = sum(len(missing(package, args.dest)) for package, _ in failures)
    print(f"{models - lost} of {models} models in {shown(args.dest)}")
    for package, reason in failures:
        print(f"FAILED {package.name} {package.version}: {reason}", file=sys.stderr)
    if failures:
        print("run this again to fetch only what is missing", file=sys.stderr)
    return FAILED if failures else DONE


if __name__ == "__main__":
    run(main)
