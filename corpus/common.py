"""What the corpus scripts share: where things lie, and the manifest.

Standard library only, so that fetch.py runs before anything is installed.
"""

import hashlib
import json
import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
STORE = ROOT / ".corpus"
MANIFEST = Path(__file__).resolve().parent / "MANIFEST.toml"

# Exit statuses of every script.
DONE, FAILED, USAGE = 0, 1, 2


class CorpusError(Exception):
    """Something is wrong with the corpus; the text says what, and what to do."""


@dataclass(frozen=True)
class Model:
    """One model file of the manifest."""

    package: str
    inside: str
    sha256: str
    size: int
    facts: dict = field(repr=False)

    @property
    def file(self):
        """The name that the file has on disk."""
        return PurePosixPath(self.inside).name

    @property
    def id(self):
        """The name by which references and tests call the model."""
        return f"{self.package}__{self.file.removesuffix('.onnx')}"

    def path(self, models):
        """Where the file lies below the folder of fetched models."""
        return models / self.package / self.file


@dataclass(frozen=True)
class Package:
    """One package of the manifest, with the models that are taken from it."""

    name: str
    version: str
    archive: str
    sha256: str
    size: int
    licence: str
    models: tuple


def check_inside(path):
    """Refuse a path inside an archive that could point out of it."""
    parts = PurePosixPath(path).parts
    bad = "\\" in path or ":" in path or not parts
    if bad or path.startswith("/") or any(p in ("..", ".") for p in parts):
        raise CorpusError(f"manifest: {path!r} is not a plain relative path")
    return path


def read_package(table):
    """Turn one [[package]] table into a Package."""
    models = tuple(
        Model(
            table["name"],
            check_inside(entry["inside"]),
            entry["sha256"],
            entry["size"],
            entry,
        )
        for entry in table["model"]
    )
    files = [model.file for model in models]
    if len(set(files)) != len(files):
        raise CorpusError(f"manifest: {table['name']} lists two files of one name")
    if PurePosixPath(table["name"]).name != table["name"]:
        raise CorpusError(f"manifest: {table['name']!r} is not a package name")
    return Package(
        table["name"],
        table["version"],
        table["archive"],
        table["archive_sha256"],
        table["archive_size"],
        table["licence"],
        models,
    )


def read_manifest(path=MANIFEST):
    """All packages of the manifest, in its order."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return [read_package(table) for table in content["package"]]
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CorpusError(f"{path}: {error}") from error
    except KeyError as error:
        raise CorpusError(f"{path}: an entry has no {error}") from error


def digest(path):
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def megabytes(size):
    """A size in MB, right-aligned to line up in columns."""
    return f"{size / 1e6:6.1f} MB"


def write_json(path, content):
    """Write JSON so that an interruption never leaves half of it."""
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def shown(path):
    """A path for messages: relative to where the user is, if it is below."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def run(main):
    """Call a script's main and turn its errors into messages and exit statuses."""
    try:
        sys.exit(main())
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
