"""The store, as far as one process can tell."""

import errno
import fcntl
import os
import stat

import pytest

from lima.adapters.filesystem import atomic
from lima.adapters.filesystem.instances import FilesystemInstanceStore
from lima.domain.errors import InstanceBusyError, InstanceExistsError, InstanceNotFoundError, StorageError
from lima.domain.process import ProcessIdentity


def listed(path: str) -> list[str]:
    return sorted(os.listdir(path))


# --- names and files -------------------------------------------------------------------------------------------------


def test_there_are_no_instances_without_a_home(store: FilesystemInstanceStore) -> None:
    assert store.names() == ()
    assert not store.exists("a")
    assert store.read("a", "lima.yaml") is None
    assert store.recover(is_alive=lambda _: True) == ()


def test_an_instance_is_a_directory_whose_name_is_neither_hidden_nor_ours(
    store: FilesystemInstanceStore, home: str
) -> None:
    for name in ("b", "a", "Z", "_config", ".a.create-1-00000000"):
        os.makedirs(f"{home}/{name}")
        with open(f"{home}/{name}/lima.yaml", "w", encoding="ascii"):
            pass
    os.mkdir(f"{home}/half-made")
    os.mkdir(f"{home}/_journal")
    os.symlink("half-made", f"{home}/link-to-nothing-yet")
    os.symlink("a", f"{home}/link")
    with open(f"{home}/file", "w", encoding="ascii"):
        pass

    assert store.names() == ("Z", "a", "b", "half-made", "link")


def test_the_home_and_the_instance_belong_to_their_owner_only(
    store: FilesystemInstanceStore, instance: str, home: str
) -> None:
    assert stat.S_IMODE(os.stat(home).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(store.directory(instance)).st_mode) == 0o700


def test_a_home_behind_a_link_is_named_by_where_it_is(tmp_path: object, processes: object) -> None:
    os.makedirs(f"{tmp_path}/real")
    os.symlink("real", f"{tmp_path}/link")

    store = FilesystemInstanceStore(f"{tmp_path}/link", processes)  # type: ignore[arg-type]

    assert store.directory("a") == f"{os.path.realpath(str(tmp_path))}/real/a"


@pytest.mark.parametrize("mode", [0o444, 0o600, 0o644])
def test_files_have_the_mode_they_were_given_whatever_the_umask(
    store: FilesystemInstanceStore, instance: str, mode: int
) -> None:
    before = os.umask(0o077)
    try:
        store.write(instance, "x", b"1", mode=mode)
        store.write(instance, "x", b"2", mode=mode)
    finally:
        os.umask(before)

    assert store.read(instance, "x") == b"2"
    assert stat.S_IMODE(os.stat(f"{store.directory(instance)}/x").st_mode) == mode


def test_a_written_file_leaves_nothing_beside_it(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(instance, "x", b"1" * 3_000_000)

    assert listed(store.directory(instance)) == ["lima.yaml", "x"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_only_plain_names_are_files_of_an_instance(store: FilesystemInstanceStore, instance: str, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a file"):
        store.write(instance, name, b"")
    with pytest.raises(ValueError, match="not the name of a file"):
        store.read(instance, name)


def test_a_file_is_never_written_into_a_missing_instance(store: FilesystemInstanceStore) -> None:
    with pytest.raises(InstanceNotFoundError):
        store.write("nobody", "x", b"")


def test_a_fifo_is_no_file_and_does_not_block(store: FilesystemInstanceStore, instance: str) -> None:
    os.mkfifo(f"{store.directory(instance)}/x")

    with pytest.raises(StorageError, match="not a file"):
        store.read(instance, "x")
    assert store.tail(instance, "x") == ()


def test_a_file_of_more_than_16_mib_is_not_read(store: FilesystemInstanceStore, instance: str) -> None:
    with open(f"{store.directory(instance)}/x", "wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)

    with pytest.raises(StorageError, match="larger than 16 MiB"):
        store.read(instance, "x")


def test_has_does_not_count_a_link_that_leads_nowhere(store: FilesystemInstanceStore, instance: str) -> None:
    os.symlink("nothing", f"{store.directory(instance)}/disk")

    assert not store.has(instance, "disk")
    assert store.has(instance, "lima.yaml")


def test_removing_twice_is_no_error(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(instance, "x", b"")

    store.remove(instance, "x")
    store.remove(instance, "x")

    assert not store.has(instance, "x")


def test_temporary_files_go_and_all_else_stays(store: FilesystemInstanceStore, instance: str) -> None:
    directory = store.directory(instance)
    for file in ("ha.pid", "ha.sock", "x.tmp", "ha.lock", "disk", "lima.yaml"):
        store.write(instance, file, b"")
    os.makedirs(f"{directory}/folder.tmp")
    os.makedirs(f"{directory}/sock")
    os.symlink(f"{directory}/sock", f"{directory}/link.sock")

    removed = store.remove_temporary(instance)

    assert removed == tuple(f"{directory}/{file}" for file in ("ha.pid", "ha.sock", "link.sock", "x.tmp"))
    assert listed(directory) == ["disk", "folder.tmp", "ha.lock", "lima.yaml", "sock"]
    assert store.remove_temporary("nobody") == ()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "who owns"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "free some space"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EIO, "kernel's log"),
    ],
)
def test_a_refusing_disk_is_an_error_with_a_hint_and_leaves_the_old_file(
    store: FilesystemInstanceStore, instance: str, monkeypatch: pytest.MonkeyPatch, number: int, hint: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StorageError) as caught:
        store.write(instance, "lima.yaml", b"new")
    monkeypatch.undo()

    assert os.strerror(number) in caught.value.message
    assert "lima.yaml" in caught.value.message
    assert hint in caught.value.hint
    assert store.read(instance, "lima.yaml") == b"vmType: qemu\n"
    assert listed(store.directory(instance)) == ["lima.yaml"]


# --- logs ------------------------------------------------------------------------------------------------------------


def test_the_tail_of_a_log_is_its_last_lines_fit_to_be_shown(store: FilesystemInstanceStore, instance: str) -> None:
    store.write(
        instance,
        "serial.log",
        b"one\n\x1b[32mtwo\x1b[0m \x07bell\r\n\r\nspin 1\rspin 2\n\tthree \xff\n\x1b]0;title\x07four \xc3\xa9\xe2\x80\xae",
    )

    assert store.tail(instance, "serial.log", lines=4) == ("two bell", "spin 2", " three \ufffd", "four é")
    assert store.tail(instance, "serial.log", lines=1) == ("four é",)
    assert store.tail(instance, "nothing.log") == ()


def test_a_huge_log_costs_no_more_than_its_end(store: FilesystemInstanceStore, instance: str) -> None:
    with open(f"{store.directory(instance)}/x.log", "wb") as file:
        file.truncate(1 << 34)
        file.seek(1 << 34)
        file.write(b"\nlast\n" + b"y" * 5000)

    assert store.tail(instance, "x.log") == ("last", "y" * 1000)


# --- create and delete -----------------------------------------------------------------------------------------------


def test_a_new_instance_has_its_files_and_the_home_nothing_else(store: FilesystemInstanceStore, home: str) -> None:
    store.create("a", {"lima.yaml": (b"x", 0o644), "lima-version": (b"2.2.0", 0o444)})

    assert listed(store.directory("a")) == ["lima-version", "lima.yaml"]
    assert stat.S_IMODE(os.stat(f"{home}/a/lima-version").st_mode) == 0o444
    assert listed(home) == ["_journal", "a"]
    assert listed(f"{home}/_journal") == []


@pytest.mark.parametrize("kind", ["instance", "empty directory", "file", "link"])
def test_a_taken_name_stays_with_who_has_it(store: FilesystemInstanceStore, home: str, kind: str) -> None:
    os.makedirs(home)
    if kind == "instance":
        store.create("a", {"lima.yaml": (b"old", 0o644)})
    elif kind == "empty directory":
        os.mkdir(f"{home}/a")
    elif kind == "file":
        with open(f"{home}/a", "w", encoding="ascii"):
            pass
    else:
        os.symlink("nowhere", f"{home}/a")

    with pytest.raises(InstanceExistsError, match="already exists"):
        store.create("a", {"lima.yaml": (b"new", 0o644)})

    assert store.read("a", "lima.yaml") in (None, b"old")
    assert not [name for name in os.listdir(home) if name.startswith(".")]


def test_of_two_that_create_at_once_one_wins_and_the_other_leaves_nothing(
    store: FilesystemInstanceStore, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = FilesystemInstanceStore(home, store._processes)

    def overtaken(name: str) -> None:
        if name == "create: file":
            monkeypatch.undo()
            rival.create("a", {"lima.yaml": (b"rival", 0o644)})

    monkeypatch.setattr(atomic, "checkpoint", overtaken)
    with pytest.raises(InstanceExistsError):
        store.create("a", {"lima.yaml": (b"mine", 0o644)})

    assert store.read("a", "lima.yaml") == b"rival"
    assert listed(home) == ["_journal", "a"]
    assert listed(f"{home}/_journal") == []


def test_a_creation_that_is_interrupted_leaves_nothing(
    store: FilesystemInstanceStore, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(name: str) -> None:
        if name == "create: file":
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic, "checkpoint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.create("a", {"lima.yaml": (b"", 0o644)})

    assert listed(home) == ["_journal"]
    assert listed(f"{home}/_journal") == []


def test_deleting_removes_links_and_not_what_they_lead_to(
    store: FilesystemInstanceStore, instance: str, tmp_path: object
) -> None:
    outside = f"{tmp_path}/outside"
    os.makedirs(f"{outside}/kept")
    directory = store.directory(instance)
    os.symlink(outside, f"{directory}/link")
    os.makedirs(f"{directory}/sock/deep")
    os.symlink(f"{outside}/kept", f"{directory}/sock/deep/link")
    os.chmod(f"{directory}/sock", 0)

    store.delete(instance)

    assert not os.path.lexists(directory)
    assert listed(outside) == ["kept"]


def test_deleting_a_linked_instance_removes_the_link_only(
    store: FilesystemInstanceStore, instance: str, home: str, tmp_path: object
) -> None:
    os.rename(store.directory(instance), f"{tmp_path}/elsewhere")
    os.symlink(f"{tmp_path}/elsewhere", f"{home}/a")
    assert store.names() == ("a",)

    store.delete(instance)

    assert store.names() == ()
    assert listed(f"{tmp_path}/elsewhere") == ["lima.yaml"]


def test_deleting_twice_is_no_error(store: FilesystemInstanceStore, instance: str, home: str) -> None:
    store.delete(instance)
    store.delete(instance)

    assert listed(home) == ["_journal"]


def test_a_deletion_that_the_disk_refuses_says_so_and_is_finished_later(
    store: FilesystemInstanceStore, instance: str, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(StorageError, match="cannot delete"):
        store.delete(instance)
    monkeypatch.undo()

    assert store.names() == ()
    assert store.recover(is_alive=lambda _: False) == ("Finished the interrupted deletion of instance `a`",)
    assert listed(home) == ["_journal"]
    assert listed(f"{home}/_journal") == []


# --- the journal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff",
        b"[" * 20_000,
        b"[]",
        b'{"operation":"create"}',
        b'{"operation":"create","name":"a","aside":"../a","holder":{"pid":1,"startTicks":1,"bootId":""}}',
        b'{"operation":"create","name":"a","aside":"a","holder":{"pid":1,"startTicks":1,"bootId":""}}',
        b'{"operation":"create","name":"a","aside":".a.create-1-0000000/..","holder":{"pid":1,"startTicks":1,"bootId":""}}',
        b'{"operation":"create","name":"..","aside":"...create-1-00000000","holder":{"pid":1,"startTicks":1,"bootId":""}}',
        b'{"operation":"paint","name":"a","aside":".a.paint-1-00000000","holder":{"pid":1,"startTicks":1,"bootId":""}}',
        b'{"operation":"create","name":"a","aside":".a.create-1-00000000","holder":{"pid":"1"}}',
    ],
)
def test_a_journal_entry_that_we_did_not_write_harms_nothing_and_is_mentioned_once(
    store: FilesystemInstanceStore, instance: str, home: str, content: bytes
) -> None:
    with open(f"{home}/_journal/create-a.json", "wb") as file:
        file.write(content)

    sentences = store.recover(is_alive=lambda _: False)

    assert len(sentences) == 1
    assert "unreadable journal entry" in sentences[0]
    assert store.recover(is_alive=lambda _: False) == ()
    assert store.read(instance, "lima.yaml") is not None


def test_the_journal_entry_of_a_live_process_is_left_to_it(
    store: FilesystemInstanceStore, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []

    def meanwhile(name: str) -> None:
        if name == "create: file":
            seen.append(FilesystemInstanceStore(home, store._processes).recover(is_alive=lambda _: True))

    monkeypatch.setattr(atomic, "checkpoint", meanwhile)
    store.create("a", {"lima.yaml": (b"", 0o644)})

    assert seen == [()]
    assert store.names() == ("a",)


# --- the lock --------------------------------------------------------------------------------------------------------


def test_the_lock_is_one_holders_and_names_it(store: FilesystemInstanceStore, locked: str) -> None:
    assert store.facts(locked).lock_held
    assert store.facts(locked).lock_holder == os.getpid()

    with pytest.raises(InstanceBusyError, match=f"in use by process {os.getpid()}") as caught:
        store.lock(locked)

    assert caught.value.holder_pid == os.getpid()


def test_a_released_lock_is_free_and_its_file_stays(store: FilesystemInstanceStore, instance: str) -> None:
    lock = store.lock(instance)
    before = os.stat(f"{store.directory(instance)}/ha.lock").st_ino

    lock.release()
    lock.release()

    assert not store.facts(instance).lock_held
    store.lock(instance).release()
    assert os.stat(f"{store.directory(instance)}/ha.lock").st_ino == before
    with pytest.raises(ValueError, match="released"):
        _ = lock.fileno


def test_a_copy_of_the_descriptor_keeps_the_lock(store: FilesystemInstanceStore, instance: str) -> None:
    lock = store.lock(instance)
    copy = os.dup(lock.fileno)

    lock.release()

    assert store.facts(instance).lock_held
    with pytest.raises(InstanceBusyError):
        store.lock(instance)
    inherited = store.inherit_lock(instance, copy)
    assert not os.get_inheritable(inherited.fileno)
    inherited.release()
    assert not store.facts(instance).lock_held


def test_a_descriptor_of_something_else_is_no_lock(
    store: FilesystemInstanceStore, instance: str, tmp_path: object
) -> None:
    descriptor = os.open(f"{tmp_path}/other", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(InstanceBusyError, match="not the lock of instance"):
            store.inherit_lock(instance, descriptor)
    finally:
        os.close(descriptor)
    with pytest.raises(InstanceBusyError):
        store.inherit_lock(instance, 987_654)


def test_a_missing_instance_cannot_be_locked(store: FilesystemInstanceStore) -> None:
    with pytest.raises(InstanceNotFoundError):
        store.lock("nobody")


def test_a_lock_that_was_opened_before_the_instance_was_made_anew_is_not_its_lock(
    store: FilesystemInstanceStore, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def too_late(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        store.delete(instance)
        store.create(instance, {"lima.yaml": (b"", 0o644)})
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", too_late)
    lock = store.lock(instance)

    assert os.path.samestat(os.fstat(lock.fileno), os.stat(f"{store.directory(instance)}/ha.lock"))
    lock.release()


def test_who_gets_the_lock_clears_away_what_dead_writers_prepared(
    store: FilesystemInstanceStore, instance: str, processes: object
) -> None:
    processes.add(4711, "limactl")  # type: ignore[attr-defined]
    directory = store.directory(instance)
    for file in (".lima.yaml.4711-0123abcd.tmp", ".lima.yaml.4712-0123abcd.tmp", ".mine.tmp"):
        store.write(instance, file, b"")

    store.lock(instance).release()

    assert listed(directory) == [".lima.yaml.4711-0123abcd.tmp", ".mine.tmp", "ha.lock", "lima.yaml"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"1 2 3 4 5", b"\xff" * 160, b"9 x b"])
def test_a_damaged_holder_is_a_holder_without_a_name(
    store: FilesystemInstanceStore, locked: str, content: bytes
) -> None:
    with open(f"{store.directory(locked)}/ha.lock", "wb") as file:
        file.write(content)

    facts = store.facts(locked)

    assert facts.lock_held
    assert facts.lock_holder == 0
    with pytest.raises(InstanceBusyError, match="another process"):
        store.lock(locked)


def test_the_home_lock_can_be_taken_before_there_is_a_home(store: FilesystemInstanceStore) -> None:
    with store.home_lock():
        pass
    with store.home_lock():
        pass
    assert store.names() == ()


# --- facts -----------------------------------------------------------------------------------------------------------


def test_a_recorded_process_is_known_by_its_start_and_boot(
    store: FilesystemInstanceStore, instance: str, processes: object
) -> None:
    me: ProcessIdentity = processes.add(4711, "whatever")  # type: ignore[attr-defined]
    store.write(instance, "qemu.pid", b"4711\n")
    store.record_process(instance, "driver.facts.json", me)
    assert store.facts(instance).driver == me

    processes.add(4711, "whatever", ticks=9)  # type: ignore[attr-defined]
    facts = store.facts(instance)
    assert facts.driver is None
    assert facts.stale_driver_pid == 4711


def test_after_a_change_of_boot_id_a_recorded_process_is_another(
    store: FilesystemInstanceStore, instance: str, processes: object
) -> None:
    for pid_file, record, pid in (("qemu.pid", "driver.facts.json", 4711), ("ha.pid", "ha.facts.json", 4712)):
        store.write(instance, pid_file, b"%d" % pid)
        store.record_process(instance, record, processes.add(pid, "sleep"))  # type: ignore[attr-defined]
    assert store.facts(instance).agent is not None

    processes.boot_id = "another"  # type: ignore[attr-defined]
    facts = store.facts(instance)

    assert (facts.agent, facts.driver) == (None, None)
    assert (facts.stale_agent_pid, facts.stale_driver_pid) == (4712, 4711)


@pytest.mark.parametrize(
    "record", [None, b"", b"{}", b"[1]", b'{"pid":4711}', b'{"pid":"x","startTicks":1,"bootId":2}']
)
@pytest.mark.parametrize(
    ("argv", "is_agent"),
    [
        (("limactl", "hostagent", "--pidfile", "@/ha.pid", "--socket", "@/ha.sock", "a"), True),
        (("python", "-m", "lima", "hostagent", "--pidfile=@/ha.pid", "a"), True),
        (("limactl", "hostagent", "a"), True),
        (("limactl", "hostagent", "--pidfile", "/elsewhere/a/ha.pid", "a"), False),
        (("limactl", "hostagent", "b"), False),
        (("limactl", "start", "a"), False),
        (("a", "hostagent"), False),
        (("sleep", "100"), False),
        ((), False),
    ],
)
def test_where_nothing_is_recorded_the_command_line_says_who_is_the_agent(
    store: FilesystemInstanceStore,
    instance: str,
    processes: object,
    record: bytes | None,
    argv: tuple[str, ...],
    is_agent: bool,
) -> None:
    directory = store.directory(instance)
    processes.add(4711, *(word.replace("@", directory) for word in argv))  # type: ignore[attr-defined]
    store.write(instance, "ha.pid", b"4711\n")
    if record is not None:
        store.write(instance, "ha.facts.json", record)

    facts = store.facts(instance)

    assert (facts.agent is not None) == is_agent
    assert facts.stale_agent_pid == (0 if is_agent else 4711)
    assert facts.agent_is_foreign == is_agent


@pytest.mark.parametrize(
    ("argv", "is_driver"),
    [
        (("/usr/bin/qemu-system-x86_64", "-m", "1", "-pidfile", "@/qemu.pid"), True),
        (("/usr/libexec/qemu-kvm", "-pidfile", "@/qemu.pid"), True),
        (("/usr/bin/qemu-system-x86_64", "-pidfile", "/elsewhere/qemu.pid"), False),
        (("/usr/bin/qemu-system-x86_64",), False),
        (("vi", "-pidfile", "@/qemu.pid"), False),
    ],
)
def test_where_nothing_is_recorded_the_command_line_says_who_is_the_driver(
    store: FilesystemInstanceStore, instance: str, processes: object, argv: tuple[str, ...], is_driver: bool
) -> None:
    directory = store.directory(instance)
    processes.add(4711, *(word.replace("@", directory) for word in argv))  # type: ignore[attr-defined]
    store.write(instance, "qemu.pid", b"4711")

    assert (store.facts(instance).driver is not None) == is_driver


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"0", b"99999999999999999999", b"12 13", b"\xd9\xa1"])
def test_a_pid_file_without_a_pid_is_a_problem_and_no_process(
    store: FilesystemInstanceStore, instance: str, content: bytes
) -> None:
    store.write(instance, "ha.pid", content)

    facts = store.facts(instance)

    assert facts.agent is None
    assert facts.problems == ("`ha.pid` holds no process id",)


def test_our_agent_is_not_foreign_and_a_commands_lock_does_not_make_upstreams_ours(
    store: FilesystemInstanceStore, locked: str, processes: object
) -> None:
    processes.add(4711, "limactl", "hostagent", "a")  # type: ignore[attr-defined]
    store.write(locked, "ha.pid", b"4711\n")
    assert store.facts(locked).agent_is_foreign

    store.write(locked, "ha.pid", b"%d\n" % os.getpid())
    store.record_process(locked, "ha.facts.json", processes.identify(os.getpid()))  # type: ignore[attr-defined]
    assert not store.facts(locked).agent_is_foreign


def test_facts_of_the_files(store: FilesystemInstanceStore, instance: str) -> None:
    assert not store.facts("nobody").has_config
    assert not store.facts(instance).has_disk

    store.write(instance, "diffdisk", b"")
    store.write(instance, "protected", b"")
    store.write(instance, "ssh.config", b"Host lima-a\n  Hostname 127.0.0.1\n  Port 60022\n  Port 1\n")
    facts = store.facts(instance)

    assert facts.has_config
    assert facts.has_disk
    assert facts.is_protected
    assert facts.ssh_port == 60022


@pytest.mark.parametrize("content", [b"", b"Port\n", b"Port x\n", b"Port 123456789\n", b"\xff\xfe"])
def test_a_damaged_ssh_config_has_no_port(store: FilesystemInstanceStore, instance: str, content: bytes) -> None:
    store.write(instance, "ssh.config", content)

    assert store.facts(instance).ssh_port == 0


def test_facts_are_of_one_moment_even_if_the_agent_ends_meanwhile(
    store: FilesystemInstanceStore, instance: str, processes: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lima.adapters.filesystem import locks

    processes.add(4711, "limactl", "hostagent", "a")  # type: ignore[attr-defined]
    store.write(instance, "ha.pid", b"4711\n")
    store.lock(instance).release()
    probe = locks.probe

    def ends_now(*arguments: object) -> locks.LockState:
        processes.living.clear()  # type: ignore[attr-defined]
        store.remove(instance, "ha.pid")
        return probe(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(locks, "probe", ends_now)
    facts = store.facts(instance)

    assert (facts.agent, facts.stale_agent_pid, facts.agent_is_foreign) == (None, 0, False)
