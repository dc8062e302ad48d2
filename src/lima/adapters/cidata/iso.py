"""Seeds as ISO 9660 images by pycdlib: Rock Ridge and Joliet, generated 8.3 names. Source: reference, runtime §6.1."""

import contextlib
import io
import os
import stat
from contextlib import ExitStack
from typing import BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from lima.domain.cidata import Seed, SeedFile
from lima.domain.errors import StorageError

LABEL = "cidata"


class IsoSeedWriter:
    """Written aside (0600: it holds the host's private key), synced, renamed."""

    def write(self, seed: Seed, path: str) -> None:
        aside = f"{path}.{os.getpid()}.new"
        try:
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                _write(seed, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(aside)
            if isinstance(error, OSError):
                raise StorageError(
                    f"the seed `{path}` cannot be written: {error.strerror}", hint="make room, and start again"
                ) from error
            raise


def _write(seed: Seed, target: BinaryIO) -> None:
    """Block by block: an archive in the seed may be larger than this process should become."""
    iso = pycdlib.PyCdlib()
    try:
        with ExitStack() as sources:
            iso.new(interchange_level=3, rock_ridge="1.09", joliet=3, vol_ident=LABEL)
            folders: dict[str, str] = {"": ""}
            for number, file in enumerate(seed.files):
                folder, _, name = file.path.rpartition("/")
                parent = _folder(iso, folder, folders)
                source = sources.enter_context(_content(file))
                iso.add_fp(
                    source,
                    source.seek(0, os.SEEK_END),
                    f"{parent}/F{number:07d}.;1",
                    rr_name=name,
                    joliet_path=f"/{file.path}",
                    file_mode=stat.S_IFREG | file.mode,
                )
                source.seek(0)
            iso.write_fp(target)
    except PyCdlibException as error:
        raise StorageError(f"the seed cannot be laid out as an ISO image: {error}") from error
    finally:
        with contextlib.suppress(PyCdlibException):
            iso.close()


def _content(file: SeedFile) -> BinaryIO:
    return open(file.source, "rb") if file.source else io.BytesIO(file.content)


def _folder(iso: pycdlib.PyCdlib, folder: str, known: dict[str, str]) -> str:
    """The generated ISO path of a folder, made where it is new."""
    if folder not in known:
        parent, _, name = folder.rpartition("/")
        path = f"{_folder(iso, parent, known)}/D{len(known):07d}"
        iso.add_directory(path, rr_name=name, joliet_path=f"/{folder}", file_mode=stat.S_IFDIR | 0o755)
        known[folder] = path
    return known[folder]
