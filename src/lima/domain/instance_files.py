"""What becomes of an instance's files when it is cloned or reset. Source: reference, cli §6.2 and §6.6."""

from lima.domain.instance import TEMPORARY_SUFFIXES, FileName

_OF_ONE_MACHINE = frozenset({
    FileName.PROTECTED,
    "swtpm",  # the state of its TPM
    FileName.HA_LOCK,
    FileName.HA_FACTS,
    FileName.DRIVER_FACTS,
    FileName.BOOT_FACTS,
    FileName.SSH_CONFIG,
    FileName.KNOWN_HOSTS,
    FileName.HOST_KEY,
    FileName.HOST_KEY + ".pub",
    FileName.PROVISION_REPORT,
    FileName.ANSIBLE_INVENTORY,
    FileName.CIDATA_ISO,
    FileName.CLOUD_CONFIG,
})  # fmt: skip
"""Identity, and what is written anew at each start. The clone gets its own."""
_KEPT_BY_RESET = frozenset({FileName.VERSION, FileName.PROTECTED, FileName.VZ_IDENTIFIER, FileName.HA_LOCK})


def goes_into_clone(file: str) -> bool:
    """Whether a clone has this file of its source; the name is that of a file in the instance directory itself."""
    return file not in _OF_ONE_MACHINE and is_lasting(file)


def is_lasting(file: str) -> bool:
    """Whether this is more than a trace of a process: neither pid file, socket nor something half written."""
    return not file.endswith(TEMPORARY_SUFFIXES)


def is_kept_by_reset(file: str) -> bool:
    """Whether a factory reset leaves the file: what makes the instance, not what has become of it."""
    # cloud-config.yaml ends like a configuration but follows from it, and is written anew at the next start
    return file in _KEPT_BY_RESET or (file.endswith((".yaml", ".yml")) and file != FileName.CLOUD_CONFIG)
