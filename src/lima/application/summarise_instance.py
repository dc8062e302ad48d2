"""What `list` and `shell` need of an instance's configuration, resolved once and then kept."""

from typing import Any

import msgspec

from lima.application.resolve_instance import ResolveInstance
from lima.domain.errors import LimaError
from lima.domain.instance import FileName
from lima.domain.record import Summary
from lima.domain.values import Value
from lima.ports.instance_store import InstanceStore


class SummariseInstance(Value):
    """Never raises: a configuration that cannot be used is a summary that says so."""

    store: InstanceStore
    resolve: ResolveInstance

    def __call__(self, name: str) -> Summary:
        version = (self.store.read(name, FileName.VERSION) or b"").decode(errors="replace").strip()
        try:
            resolved = self.resolve.stored(name)
        except LimaError as error:
            return Summary(problem=error.message, lima_version=version)
        config = resolved.config
        filled: dict[str, Any] = msgspec.to_builtins(resolved.filled, str_keys=True)
        return Summary(
            vm_type=config.vm_type,
            arch=config.arch,
            cpus=config.cpus,
            memory=config.memory_bytes,
            disk=config.disk_bytes,
            ssh_port=config.ssh.local_port,
            user=config.user.name,
            shell=config.user.shell,
            message=config.message,
            lima_version=version,
            param=dict(config.param),
            config=filled,
        )
