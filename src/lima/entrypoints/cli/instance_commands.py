"""The commands for an instance as a whole, and for its files."""

from lima.entrypoints.cli.command import Command

INSTANCES = "lima.entrypoints.cli.instances"
INSTANCE_COMMANDS = {
    "copy": Command(
        target="lima.entrypoints.cli.copying:copy",
        usage="SOURCE ... TARGET",
        least=2,
        summary="Copy files between the host and guests",
        examples=(
            ("limactl copy default:/etc/os-release .", ""),
            ("limactl cp -r ./src default:~/work", "a folder; `~` is the guest's home"),
            ("limactl cp a.txt b.txt default:/tmp/", "several"),
            ("limactl cp one:/tmp/a two:/tmp/", "from guest to guest"),
        ),
    ),
    "clone": Command(
        target=f"{INSTANCES}:clone",
        usage="OLDINST NEWINST",
        least=2,
        most=2,
        summary="Clone a stopped instance",
        examples=(("limactl clone default box", "the same disk and configuration, another machine"),),
    ),
    "rename": Command(
        target=f"{INSTANCES}:rename",
        usage="OLDINST NEWINST",
        least=2,
        most=2,
        summary="Rename a stopped instance",
        examples=(("limactl rename default box", ""), ("limactl rename --start default box", "and start it")),
    ),
    "factory-reset": Command(
        target=f"{INSTANCES}:factory_reset",
        usage="[INSTANCE]",
        most=1,
        summary="Remove the disk of an instance; its configuration stays",
        examples=(("limactl factory-reset box", "the next start makes a new disk"),),
    ),
    "protect": Command(
        target=f"{INSTANCES}:protect",
        usage="INSTANCE [INSTANCE, ...]",
        least=1,
        summary="Protect instances from being deleted",
        examples=(("limactl protect box", "`delete` and `factory-reset` refuse it"),),
    ),
    "unprotect": Command(
        target=f"{INSTANCES}:unprotect",
        usage="INSTANCE [INSTANCE, ...]",
        least=1,
        summary="Take the protection of instances away",
        examples=(("limactl unprotect box", ""),),
    ),
}
