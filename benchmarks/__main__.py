"""`make bench`: the budgets of docs/architecture.md that exist by now. Exit status 0 whatever the figures say: they are
for people to read, on a quiet machine. `python -m benchmarks NAME…` measures some of them."""

import sys

from benchmarks import attended, boots, forwards, guests, listing, mounts, sftp, templates

GROUPS = {
    "listing": listing.rows, "templates": templates.rows, "guests": guests.rows, "boots": boots.rows,
    "attended": attended.rows, "forwards": forwards.rows, "sftp": sftp.rows, "mounts": mounts.rows,
}  # fmt: skip


def main(names: list[str]) -> None:
    unknown = sorted(set(names) - set(GROUPS))
    if unknown:
        raise SystemExit(f"there is no {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    for name in names or GROUPS:
        for row in GROUPS[name]():
            print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
