"""docs/mounts.md says what was found in guests, and nothing else. LIMA_UPDATE_GOLDEN=1 writes its table anew."""

import os
import re

from tests.mount_table import BEGIN, DATA, END, ROWS, with_table

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE = os.path.join(REPO, "docs", "mounts.md")


def test_the_table_is_that_of_the_guests() -> None:
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    assert page.count(BEGIN) == page.count(END) == 1
    if os.environ.get("LIMA_UPDATE_GOLDEN"):
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(with_table(page))
        page = with_table(page)
    assert page == with_table(page)


def test_every_check_has_its_row() -> None:
    with open(os.path.join(DATA, "suite.py"), encoding="utf-8") as file:
        checks = re.findall(r"^@check\ndef (\w+)", file.read(), re.MULTILINE)
    assert list(ROWS) == checks
