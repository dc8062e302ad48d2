"""Prints the one command that brings what this host lacks, Python's venv included. Needs the standard library only."""

import os

from lima.adapters.system import tools
from lima.adapters.system.host import host_arch
from lima.domain.doctor import install_command


def main() -> None:
    is_root = os.geteuid() == 0
    report = tools.inspect(arch=host_arch(), is_root=is_root)
    lacking = tuple(tool.name for tool in report.missing)
    print(install_command((*lacking, "ensurepip"), tools.package_manager(), is_root=is_root))


if __name__ == "__main__":
    main()
