"""Rules of additional disks."""

import pytest

from lima.domain.errors import DiskExistsError, DiskNotFoundError
from lima.domain.machine_spec import DiskFormat
from lima.ports.disk_store import DiskStore


class DiskStoreContract:
    """Fixture: `subject`, without disks, in a LIMA_HOME of its own."""

    @pytest.fixture
    def subject(self) -> DiskStore:
        raise NotImplementedError("give the suite its subject")

    def fill(self, path: str) -> None:
        """Put an image at `path`, where the subject has real files."""

    def make(self, subject: DiskStore, name: str, kind: DiskFormat = DiskFormat.QCOW2) -> None:
        with subject.making(name, kind) as path:
            self.fill(path)

    def test_at_first_there_are_none(self, subject: DiskStore) -> None:
        assert subject.names() == ()
        assert subject.look("a") is None
        with pytest.raises(DiskNotFoundError), subject.alone_with("a"):
            raise AssertionError("nobody can be alone with what is not there")

    def test_what_was_made_is_there_and_free(self, subject: DiskStore) -> None:
        self.make(subject, "b", DiskFormat.RAW)
        self.make(subject, "a")
        assert subject.names() == ("a", "b")
        disk = subject.look("b")
        assert disk is not None
        assert disk.path.endswith("/_disks/b/datadisk")
        assert (disk.has_data, disk.recorded_format, disk.holder) == (True, "raw", "")

    def test_a_name_is_taken_once(self, subject: DiskStore) -> None:
        self.make(subject, "a")
        with pytest.raises(DiskExistsError):
            self.make(subject, "a", DiskFormat.RAW)
        disk = subject.look("a")
        assert disk is not None
        assert disk.recorded_format == "qcow2"

    def test_what_failed_while_it_was_made_is_not_there(self, subject: DiskStore) -> None:
        def fail() -> None:
            with subject.making("a", DiskFormat.RAW) as path:
                self.fill(path)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert subject.names() == ()
        self.make(subject, "a")

    def test_the_holder_is_the_last_one_until_there_is_none(self, subject: DiskStore) -> None:
        self.make(subject, "a")
        disk = subject.look("a")
        assert disk is not None
        home = disk.directory.removesuffix("/_disks/a")
        for holder in (f"{home}/one", f"{home}/two", ""):
            with subject.alone_with("a"):
                subject.hold("a", holder)
            now = subject.look("a")
            assert now is not None
            assert now.holder == holder
        with subject.alone_with("a"):
            subject.hold("a", "")

    def test_what_was_deleted_is_gone_and_may_be_made_again(self, subject: DiskStore) -> None:
        self.make(subject, "a")
        with subject.alone_with("a"):
            subject.delete("a")
        subject.delete("a")
        assert subject.look("a") is None
        self.make(subject, "a")

    def test_nothing_is_to_be_recovered_after_a_quiet_life(self, subject: DiskStore) -> None:
        self.make(subject, "a")
        subject.delete("a")
        assert subject.recover(is_alive=lambda _process: False) == ()
