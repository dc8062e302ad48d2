"""Kernel modules of an unpacked package: found by name, with what they depend on, first things first."""

import lzma
import os
import re

from lima.domain.errors import ImageBuildError

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")


class ModuleTree:
    """The modules below `usr/lib/modules/VERSION` (or `lib/modules`) of `root`."""

    def __init__(self, root: str) -> None:
        base = next(
            (path for lib in ("usr/lib/modules", "lib/modules") if os.path.isdir(path := os.path.join(root, lib))), ""
        )
        versions = sorted(os.listdir(base)) if base else []
        if not versions:
            raise ImageBuildError("the kernel package brought no modules")
        self.version = versions[-1]
        self._base = os.path.join(base, self.version)
        self._paths: dict[str, str] = {}
        for folder, _, files in os.walk(os.path.join(self._base, "kernel")):
            for file in files:
                if _SUFFIX.search(file):
                    self._paths[_SUFFIX.sub("", file).replace("-", "_")] = os.path.join(folder, file)
        self._built_in = self._read_built_in()

    def load_order(self, names: tuple[str, ...], *, if_there: tuple[str, ...] = ()) -> tuple[tuple[str, bytes], ...]:
        """(name, content) of the modules and of what they need, in the order of loading; built-in ones left out.
        Those of `if_there` come last, where this kernel has them.

        Raises: ImageBuildError for a module that this kernel does not have.
        """
        order: dict[str, bytes] = {}
        for name in (*names, *(name for name in if_there if name in self._paths)):
            self._visit(name.replace("-", "_"), order, ())
        return tuple(order.items())

    def _visit(self, name: str, order: dict[str, bytes], path: tuple[str, ...]) -> None:
        if name in order or name in self._built_in or name in path:
            return
        file = self._paths.get(name)
        if file is None:
            raise ImageBuildError(f"kernel {self.version} has no module `{name}`")
        content = _read_module(file)
        found = _DEPENDS.search(content)
        for dependency in filter(None, (found[1].decode() if found else "").split(",")):
            self._visit(dependency.replace("-", "_"), order, (*path, name))
        order[name] = content

    def _read_built_in(self) -> set[str]:
        try:
            with open(os.path.join(self._base, "modules.builtin"), encoding="utf-8") as file:
                return {_SUFFIX.sub("", os.path.basename(line.strip())).replace("-", "_") for line in file}
        except OSError:
            return set()


def _read_module(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".ko"):
        return content
    raise ImageBuildError(f"module {os.path.basename(path)} is compressed in a way that is not known here")
