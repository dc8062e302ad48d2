"""The table of docs/mounts.md, made of what `tests/e2e/test_mounts.py` found in real guests."""

import json
import os

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "mounts")
BEGIN, END = "<!-- made by tests/mount_table.py -->", "<!-- end -->"
COLUMNS = (
    ("9p", "9p, `none`"),
    ("9p-mapped", "9p, `mapped-xattr`"),
    ("virtiofs", "virtiofs"),
    ("reverse-sshfs", "reverse-sshfs"),
)
ROWS = {
    "read_and_write": "read, write, cut off",
    "append": "append",
    "rename": "rename, also over a file, and folders",
    "unlink": "remove",
    "unlink_while_open": "go on using a file that was removed",
    "mkdir_and_rmdir": "make and remove folders",
    "symbolic_link": "symbolic links",
    "hard_link": "hard links",
    "change_mode": "change modes",
    "change_times": "change times, to the nanosecond",
    "owner_is_the_user": "new files belong to who made them",
    "large_file": "64 MiB, written and read",
    "ten_thousand_files": "10,000 small files",
    "names_of_all_kinds": "names: any character, any bytes, 255 of them",
    "sparse_file": "holes in files",
    "allocate": "`fallocate`",
    "mapped_memory": "writable `mmap` that is shared",
    "programs": "run programs",
    "direct_io": "`O_DIRECT`",
    "flock": "`flock`, within the guest",
    "record_locks": "`fcntl` locks, within the guest",
    "writers_in_the_guest": "three writers append, no line is lost",
    "looked_at_while_appended": "one writes while another looks (`stat`)",
    "fifo": "named pipes, within the guest",
    "unix_socket": "Unix sockets, within the guest",
    "extended_attributes": "extended attributes of users",
    "unnamed_files": "`O_TMPFILE`",
    "free_space": "free space (`df`)",
}


def table() -> str:
    """Markdown; a column for each type that was tried."""
    found = {}
    for name, title in COLUMNS:
        path = os.path.join(DATA, f"{name}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found[title] = json.load(file)
    lines = ["| | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for check, words in ROWS.items():
        cells = [_cell(column.get(check, "")) for column in found.values()]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(outcome: str) -> str:
    return outcome if outcome in ("yes", "") else f"no: {outcome}"


def with_table(page: str) -> str:
    """`page` with the table of now between its two marks."""
    before, _, rest = page.partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"
