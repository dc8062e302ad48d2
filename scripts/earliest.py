"""Prints `name==lowest` for each runtime dependency and the test group of a pyproject.toml."""

import re
import sys
import tomllib


def main(path: str) -> None:
    with open(path, "rb") as file:
        project = tomllib.load(file)
    for line in [*project["project"]["dependencies"], *project["dependency-groups"]["test"]]:
        found = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+),<.*", line)
        if found is None:
            raise SystemExit(f"{line}: a dependency is bounded below and above")
        print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main(sys.argv[1])
