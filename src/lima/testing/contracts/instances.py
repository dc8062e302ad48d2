"""Rules of instances."""

import pytest

from lima.domain.errors import InstanceBusyError, InstanceExistsError, InstanceNotFoundError
from lima.ports.instance_store import InstanceStore

FILES = {"lima.yaml": (b"images: []\n", 0o644), "lima-version": (b"2.2.0", 0o444)}


class InstanceStoreContract:
    """Fixture: `subject`, an empty LIMA_HOME."""

    @pytest.fixture
    def subject(self) -> InstanceStore:
        raise NotImplementedError("give the suite its subject")

    def test_an_empty_home_has_no_instances(self, subject: InstanceStore) -> None:
        assert subject.names() == ()
        assert not subject.exists("a")
        assert not subject.facts("a").has_config

    def test_what_was_created_is_there_with_its_files(self, subject: InstanceStore) -> None:
        subject.create("b", FILES)
        subject.create("a", FILES)
        assert subject.names() == ("a", "b")
        assert subject.read("a", "lima-version") == b"2.2.0"
        assert subject.facts("a").has_config
        assert subject.directory("a").endswith("/a")

    def test_what_is_half_made_is_not_passed_over(self, subject: InstanceStore) -> None:
        subject.create("a", {"lima-version": (b"2.2.0", 0o444)})
        assert subject.names() == ("a",)
        assert not subject.facts("a").has_config

    def test_a_name_is_taken_once(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        with pytest.raises(InstanceExistsError):
            subject.create("a", {"lima.yaml": (b"other", 0o644)})
        assert subject.read("a", "lima.yaml") == b"images: []\n"

    def test_what_was_written_is_read_and_what_was_removed_is_gone(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        subject.write("a", "serial.log", b"one\ntwo\x1b[0m\nthree\n")
        subject.write("a", "serial.log", b"one\ntwo\nthree\n")
        assert subject.has("a", "serial.log")
        assert subject.tail("a", "serial.log", lines=2) == ("two", "three")
        subject.remove("a", "serial.log")
        subject.remove("a", "serial.log")
        assert subject.read("a", "serial.log") is None
        assert subject.tail("a", "serial.log") == ()

    def test_the_lock_is_one_persons(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        lock = subject.lock("a")
        assert subject.facts("a").lock_held
        with pytest.raises(InstanceBusyError):
            subject.lock("a")
        lock.release()
        lock.release()
        assert not subject.facts("a").lock_held
        subject.lock("a").release()

    def test_a_clone_has_what_lasts_and_no_identity(self, subject: InstanceStore) -> None:
        subject.create("a", {**FILES, "protected": (b"", 0o400)})
        for file in ("disk", "ha.pid", "ssh.config", "known_hosts"):
            subject.write("a", file, file.encode())
        lock = subject.lock("a")
        subject.clone("a", "b")
        assert subject.names() == ("a", "b")
        assert subject.read("b", "lima.yaml") == subject.read("a", "lima.yaml")
        assert subject.read("b", "disk") == b"disk"
        assert [subject.has("b", file) for file in ("ha.pid", "ssh.config", "known_hosts", "protected")] == [False] * 4
        assert subject.facts("a").is_protected
        assert not subject.facts("b").lock_held
        subject.write("b", "disk", b"its own")
        assert subject.read("a", "disk") == b"disk"
        lock.release()
        with pytest.raises(InstanceExistsError):
            subject.clone("a", "b")
        with pytest.raises(InstanceNotFoundError):
            subject.clone("nope", "c")

    def test_a_rename_takes_everything_along(self, subject: InstanceStore) -> None:
        subject.create("a", {**FILES, "protected": (b"", 0o400)})
        subject.create("c", FILES)
        lock = subject.lock("a")
        subject.rename("a", "b")
        assert subject.names() == ("b", "c")
        assert subject.read("b", "lima-version") == b"2.2.0"
        assert subject.facts("b").is_protected
        assert subject.facts("b").lock_held
        lock.release()
        assert not subject.facts("b").lock_held
        with pytest.raises(InstanceExistsError):
            subject.rename("b", "c")
        with pytest.raises(InstanceNotFoundError):
            subject.rename("a", "d")

    def test_a_reset_leaves_what_makes_the_instance(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        for file in ("disk", "basedisk", "cloud-config.yaml", "notes.yml", "ssh.config"):
            subject.write("a", file, b"x")
        removed = subject.reset("a")
        names = [path.rpartition("/")[2] for path in removed]
        assert set(names) == {"disk", "basedisk", "cloud-config.yaml", "ssh.config"}
        assert subject.read("a", "lima.yaml") is not None
        assert subject.has("a", "notes.yml")
        assert not subject.has("a", "disk")
        assert subject.reset("a") == ()

    def test_temporary_files_go_and_others_stay(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        for file in ("x.pid", "x.sock", "x.tmp", "x.log"):
            subject.write("a", file, b"")
        gone = subject.remove_temporary("a")
        assert sorted(path.rpartition("/")[2] for path in gone) == ["x.pid", "x.sock", "x.tmp"]
        assert subject.has("a", "x.log")
        assert subject.has("a", "lima.yaml")

    def test_what_was_deleted_is_gone_and_may_be_made_again(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        subject.delete("a")
        assert subject.names() == ()
        subject.create("a", FILES)
        assert subject.exists("a")

    def test_older_releases_disks_get_their_new_name(self, subject: InstanceStore) -> None:
        subject.create("a", {**FILES, "diffdisk": (b"disk", 0o644)})
        subject.adopt_legacy_layout("a")
        assert subject.has("a", "disk")
        assert subject.read("a", "disk") == b"disk"

    def test_nothing_is_to_be_recovered_after_a_quiet_life(self, subject: InstanceStore) -> None:
        subject.create("a", FILES)
        subject.delete("a")
        assert subject.recover(is_alive=lambda _process: False) == ()
