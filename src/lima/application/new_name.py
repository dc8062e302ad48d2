"""What holds before an instance gets a name that there was not, by a clone or by a rename. Source: reference, cli §6.2."""

from lima.domain.errors import InstanceExistsError, InstanceNotFoundError, WrongStateError
from lima.domain.instance import check_instance_name, check_path_length, quote
from lima.ports.instance_store import InstanceStore


def check_new_name(store: InstanceStore, name: str, new: str, *, verb: str, host_os: str) -> None:
    """Raises: InstanceNotFoundError, InstanceExistsError, InstanceError (a bad name), WrongStateError (not stopped)."""
    if not store.exists(name):
        raise InstanceNotFoundError(
            f"instance {quote(name)} not found", hint="`limactl list` shows the instances there are"
        )
    check_instance_name(new)
    if new == name:
        raise InstanceExistsError(f"new instance name {quote(new)} must be different from {quote(name)}")
    facts = store.facts(name)
    if facts.agent is not None or facts.driver is not None:
        raise WrongStateError(f"cannot {verb} a running instance", hint=f"`limactl stop {name}` first")
    if not facts.has_config:
        raise WrongStateError(
            f"cannot {verb} instance {quote(name)}: its `lima.yaml` is missing",
            hint="if no `limactl` command is making it, remove its directory by hand",
        )
    if store.exists(new):
        raise InstanceExistsError(f"instance {quote(new)} already exists", hint="choose another name")
    check_path_length(new, store.directory(new), host_os=host_os)
