"""The status of an instance: every row of docs/recovery.md, and the laws that hold beyond them."""

import pathlib
import shlex
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lima.domain.instance import Status
from lima.domain.process import ProcessIdentity
from lima.domain.status import AgentAnswer, Facts, derive_status

AGENT = ProcessIdentity(pid=41, start_ticks=1, boot_id="b")
DRIVER = ProcessIdentity(pid=42, start_ticks=2, boot_id="b")
HOLDER = 77
TABLE = pathlib.Path(__file__).parents[3] / "docs" / "recovery.md"


@dataclass(frozen=True)
class Row:
    cells: dict[str, str]

    @property
    def facts(self) -> Facts:
        words = self.words
        return Facts(
            has_config=words.get("config") != "missing",
            lock_held=words["lock"] in ("held", "nameless"),
            lock_holder={"free": 0, "nameless": 0, "held": HOLDER if words["agent"] != "ours" else AGENT.pid}[
                words["lock"]
            ],
            agent={"none": None, "stale": None, "ours": AGENT, "foreign": AGENT}[words["agent"]],
            agent_is_foreign=words["agent"] == "foreign",
            stale_agent_pid=AGENT.pid if words["agent"] == "stale" else 0,
            driver={"none": None, "stale": None, "alive": DRIVER}[words["driver"]],
            stale_driver_pid=DRIVER.pid if words["driver"] == "stale" else 0,
            problems=(words["problem"],) if "problem" in words else (),
        )

    @property
    def answer(self) -> AgentAnswer | None:
        words = self.words
        phase = words["answer"]
        if phase == "none":
            return None
        if phase == "silent":
            return AgentAnswer(answered=False)
        assert phase in ("plain", "starting", "booting", "running", "degraded", "stopping"), phase
        return AgentAnswer(
            answered=True,
            phase="" if phase == "plain" else phase,
            waiting_for=words.get("waiting", ""),
            errors=(words["error"],) if "error" in words else (),
        )

    @property
    def words(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in shlex.split(self.cells["facts"]))


def read_table() -> dict[str, Row]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    found = [Row(dict(zip(head, cells, strict=True))) for cells in rows]
    assert len({row.cells["id"] for row in found}) == len(found), "an id twice"
    return {row.cells["id"]: row for row in found}


ROWS = read_table()
NEXT = {
    "next start": {"boots", "attaches", "waits", "nothing", "refuses"},
    "next stop": {"stops", "ends", "refuses"},
    "next stop -f": {"ends", "nothing", "refuses"},
    "next delete": {"deletes", "refuses"},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_table_says_what_is_derived(row: Row) -> None:
    verdict = derive_status(row.facts, row.answer)

    assert verdict.status == row.cells["status"]
    if expected := row.cells["reason contains"]:
        assert expected in "; ".join(verdict.reasons)
    else:
        assert verdict.reasons == ()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_the_table_agrees_with_itself(row: Row) -> None:
    cells = row.cells
    for column, words in NEXT.items():
        assert cells[column] in words
    if cells["next start"] == "attaches":
        assert row.facts.driver is not None, "only a live guest can be attached to"
    if cells["next start"] == "boots":
        assert row.facts.driver is None, "a second guest on the same disk"
    if cells["next delete"] == "deletes":
        assert row.facts.driver is None
        assert row.facts.agent is None
        assert not row.facts.lock_held


def test_every_victim_is_killed_alone_and_together_at_rest_while_starting_and_while_stopping() -> None:
    def killed(*whens: str) -> set[str]:
        return {row.cells["killed"] for row in ROWS.values() if row.cells["when"] in whens}

    for whens in (("rest",), ("prepare", "early", "boot"), ("stop",)):
        assert {"agent", "driver", "master", "cli", "agent driver", "agent driver master cli"} <= killed(*whens)


identities = st.none() | st.builds(
    ProcessIdentity, pid=st.integers(1, 99999), start_ticks=st.integers(0), boot_id=st.sampled_from(["", "a", "b"])
)
facts = st.builds(
    Facts,
    has_config=st.booleans(),
    is_protected=st.booleans(),
    lock_held=st.booleans(),
    lock_holder=st.integers(0, 99),
    agent=identities,
    agent_is_foreign=st.booleans(),
    driver=identities,
    stale_agent_pid=st.integers(0, 2),
    stale_driver_pid=st.integers(0, 2),
    problems=st.tuples() | st.tuples(st.text(max_size=5)),
)
answers = st.none() | st.builds(
    AgentAnswer,
    answered=st.booleans(),
    phase=st.sampled_from(["", "starting", "booting", "running", "degraded", "stopping"]) | st.text(max_size=4),
    waiting_for=st.sampled_from(["", "ssh"]),
    errors=st.tuples() | st.tuples(st.text(max_size=5)),
)


@given(facts, answers)
def test_running_implies_a_live_driver_and_a_live_agent(facts: Facts, answer: AgentAnswer | None) -> None:
    verdict = derive_status(facts, answer)

    assert verdict.status in (Status.RUNNING, Status.STOPPED, Status.BROKEN)
    if verdict.status is Status.RUNNING:
        assert facts.driver is not None
        assert facts.agent is not None
        assert facts.has_config


@given(facts, answers)
def test_stopped_never_hides_a_live_driver(facts: Facts, answer: AgentAnswer | None) -> None:
    if derive_status(facts, answer).status is Status.STOPPED:
        assert facts.driver is None


@given(facts, answers)
def test_broken_always_says_why(facts: Facts, answer: AgentAnswer | None) -> None:
    verdict = derive_status(facts, answer)

    if verdict.status is Status.BROKEN:
        assert verdict.reasons


@given(facts, answers)
def test_what_the_store_found_is_passed_on(facts: Facts, answer: AgentAnswer | None) -> None:
    reasons = derive_status(facts, answer).reasons

    assert reasons[len(reasons) - len(facts.problems) :] == facts.problems
