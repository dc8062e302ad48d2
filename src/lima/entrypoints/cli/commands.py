"""All commands, before any of them is loaded: where their code is, and what their help says."""

from lima.entrypoints.cli.command import Command
from lima.entrypoints.cli.instance_commands import INSTANCE_COMMANDS

LIFECYCLE = "lima.entrypoints.cli.lifecycle"
TEMPLATE = "lima.entrypoints.cli.template"
DISK = "lima.entrypoints.cli.disk"
COMMANDS = {
    **INSTANCE_COMMANDS,
    "create": Command(
        target=f"{LIFECYCLE}:create",
        usage="[TEMPLATE]",
        summary="Create an instance of Lima, without starting it",
        examples=(
            ("limactl create", 'the instance "default" of template:default'),
            ("limactl create --name=box template:tiny", ""),
            ("limactl create ./my.yaml", ""),
            ("limactl create --name=box --cpus=4", "with a setting changed; --set changes any"),
            ("cat my.yaml | limactl create --name=box -", ""),
        ),
    ),
    "start": Command(
        target=f"{LIFECYCLE}:start",
        usage="[INSTANCE|TEMPLATE]",
        summary="Start an instance of Lima, made first where it does not exist, and wait until it is ready",
        examples=(
            ("limactl start", 'the instance "default"'),
            ("limactl start template:tiny", 'an instance "tiny" of that template'),
            ("limactl start --name=box ./my.yaml", ""),
            ("limactl start --timeout=30m box", "Ctrl-C before READY stops what was started"),
        ),
    ),
    "stop": Command(
        target=f"{LIFECYCLE}:stop",
        usage="[INSTANCE, ...]",
        summary="Stop instances",
        examples=(
            ("limactl stop", 'the instance "default"'),
            ("limactl stop -f box", "at once, without asking the guest"),
        ),
    ),
    "restart": Command(
        target=f"{LIFECYCLE}:restart",
        usage="[INSTANCE]",
        summary="Stop an instance and start it again",
        examples=(("limactl restart", 'the instance "default"'),),
    ),
    "delete": Command(
        target=f"{LIFECYCLE}:delete",
        usage="INSTANCE [INSTANCE, ...]",
        summary="Delete instances with their disks; images in the cache stay",
        examples=(("limactl delete box", ""), ("limactl delete -f box", "stop it first, by force")),
    ),
    "edit": Command(
        target="lima.entrypoints.cli.edit:edit",
        usage="[INSTANCE|FILE.yaml]",
        most=1,
        summary="Edit an instance of Lima, or a template",
        examples=(
            ("limactl edit box", "in $VISUAL, $EDITOR, editor, vim, vi or emacs"),
            ("limactl edit --cpus=4 --memory=8 box", "without an editor"),
            ("limactl edit --set '.cpus = 4' ./my.yaml", "comments and layout stay"),
        ),
    ),
    "diff": Command(
        target="lima.entrypoints.cli.diff:diff",
        usage="[INSTANCE] [TEMPLATE]",
        most=2,
        summary="Show what differs between an instance and its template",
        examples=(
            ("limactl diff box", "from the template that it was made of"),
            ("limactl diff box template:default", ""),
            ("limactl diff --json box | jq .differences", ""),
        ),
    ),
    "shell": Command(
        target="lima.entrypoints.cli.help_only:shell",
        usage="[flags] INSTANCE [COMMAND...]",
        summary="Execute a shell, or a command, in an instance",
        examples=(
            ("limactl shell default", ""),
            ("limactl shell default uname -a", "what comes after the instance is the guest's"),
            ("limactl shell --workdir=/tmp default ls -l", ""),
        ),
    ),
    "list": Command(
        target="lima.entrypoints.cli.help_only:list_instances",
        usage="[INSTANCE, ...]",
        summary="List instances of Lima",
        examples=(
            ("limactl list", ""),
            ("limactl list -q", "names only"),
            ("limactl list --json | jq .status", ""),
            ("limactl list --format '{{.Name}} {{.Dir}}'", "--list-fields shows the names"),
            ("limactl list --filter '.status == \"Running\"'", "a yq expression"),
            ("limactl list --yq .config.memory", ""),
        ),
    ),
    "watch": Command(
        target="lima.entrypoints.cli.watch:watch",
        usage="[INSTANCE]...",
        summary="Show events of instances as they come",
        examples=(
            ("limactl watch", "of all instances, and of those that are made meanwhile"),
            ("limactl watch --history box", "from the start of its log on"),
            ("limactl watch --json | jq .event.status", ""),
        ),
    ),
    "show-ssh": Command(
        target="lima.entrypoints.cli.reach:show_ssh",
        usage="INSTANCE",
        least=1,
        most=1,
        summary="Show the ssh command line of an instance (deprecated: use ssh.config in its directory)",
        examples=(("limactl show-ssh --format=options default", "cmd, args, options or config"),),
    ),
    "tunnel": Command(
        target="lima.entrypoints.cli.reach:tunnel",
        usage="INSTANCE",
        least=1,
        most=1,
        summary="Open a SOCKS proxy that leads into the network of an instance",
        examples=(("limactl tunnel --socks-port=1080 default", ""),),
    ),
    "provision-report": Command(
        target="lima.entrypoints.cli.provision_report:provision_report",
        usage="[INSTANCE]",
        most=1,
        summary="Show how the last boot of an instance went, script by script",
        examples=(
            ("limactl provision-report", 'of the instance "default"'),
            ("limactl provision-report box", "also when it is stopped"),
            ("limactl provision-report --json box | jq .steps", ""),
        ),
    ),
    "validate": Command(
        target=f"{TEMPLATE}:validate",
        usage="FILE.yaml [FILE.yaml, ...]",
        least=1,
        summary="Validate templates",
        examples=(
            ("limactl validate my.yaml", "all problems at once, with their places"),
            ("limactl validate --fill my.yaml", "print what it resolves to"),
        ),
    ),
    "disk": Command(
        target="",
        summary="Additional disks: create, list, delete, resize, import, unlock",
        examples=(
            ("limactl disk create data --size=10GiB", "name it in `additionalDisks:` of a template"),
            ("limactl disk list", ""),
        ),
        commands={
            "create": Command(
                target=f"{DISK}:create",
                usage="DISK",
                summary="Create an additional disk, empty",
                examples=(
                    ("limactl disk create data --size=10GiB", "mounted at /mnt/lima-data"),
                    ("limactl disk create data --size=10GiB --format=raw", ""),
                ),
            ),
            "list": Command(
                target=f"{DISK}:list_disks",
                usage="[DISK, ...]",
                summary="List additional disks",
                examples=(("limactl disk list", ""), ("limactl disk list --json | jq .size", "")),
            ),
            "delete": Command(
                target=f"{DISK}:delete",
                usage="DISK [DISK, ...]",
                summary="Delete additional disks, with all that is on them",
                examples=(
                    ("limactl disk delete data", ""),
                    ("limactl disk delete -f data", "also where a stopped instance names it"),
                ),
            ),
            "resize": Command(
                target=f"{DISK}:resize",
                usage="DISK",
                summary="Grow an additional disk",
                examples=(("limactl disk resize data --size=20GiB", "the guest sees it at its next start"),),
            ),
            "import": Command(
                target=f"{DISK}:import_disk",
                usage="DISK FILE",
                summary="Make an additional disk of an image file",
                examples=(("limactl disk import data ./data.qcow2", "a copy; qcow2 or raw"),),
            ),
            "unlock": Command(
                target=f"{DISK}:unlock",
                usage="DISK [DISK, ...]",
                summary="Take away the locks of additional disks whose instances do not run",
                examples=(("limactl disk unlock data", ""),),
            ),
        },
    ),
    "template": Command(
        target="",
        summary="Template management: copy, validate, yq, url",
        examples=(("limactl template copy --fill template:default", ""),),
        commands={
            "copy": Command(
                target=f"{TEMPLATE}:copy",
                usage="TEMPLATE [DEST]",
                least=1,
                most=2,
                summary="Copy a template, with its bases or with everything filled in",
                examples=(
                    ("limactl template copy template:default my.yaml", "relative locators made absolute"),
                    ("limactl template copy --embed-all my.yaml -", "bases and scripts read in"),
                    ("limactl template copy --fill my.yaml", "everything filled in"),
                ),
            ),
            "validate": Command(
                target=f"{TEMPLATE}:validate",
                usage="TEMPLATE [TEMPLATE, ...]",
                least=1,
                summary="Validate templates",
                examples=(("limactl template validate my.yaml template:default", ""),),
            ),
            "yq": Command(
                target=f"{TEMPLATE}:yq",
                usage="TEMPLATE EXPR",
                least=2,
                most=2,
                summary="Evaluate a yq expression on a filled template",
                examples=(("limactl template yq template:default '.images[].location'", ""),),
            ),
            "url": Command(
                target=f"{TEMPLATE}:url",
                usage="CUSTOM_URL",
                least=1,
                most=1,
                summary="Print what a locator stands for",
                examples=(("limactl template url github:lima-vm", ""),),
            ),
        },
    ),
    "yq": Command(
        target="lima.entrypoints.cli.help_only:yq",
        usage="[flags] [EXPRESSION] [FILE...]",
        summary="The program yq, version 4",
        examples=(
            ("limactl yq .cpus my.yaml", ""),
            ("limactl yq -i '.cpus = 4' my.yaml", "files and the environment are in its reach"),
        ),
        is_shown=False,
    ),
    "yq-restrictions": Command(
        target=f"{TEMPLATE}:yq_restrictions", most=0, summary="Show what yq expressions may not do here"
    ),
    "generate-jsonschema": Command(
        target="lima.entrypoints.cli.jsonschema:generate_jsonschema",
        usage="[FILE.yaml, ...]",
        summary="Print the JSON schema of templates, or validate files against it",
        examples=(
            ("limactl generate-jsonschema > lima.schema.json", "for an editor"),
            ("limactl generate-jsonschema --schemafile=lima.schema.json my.yaml", ""),
        ),
        is_shown=False,
    ),
    "info": Command(
        target="lima.entrypoints.cli.report:info",
        most=0,
        summary="Show diagnostic information as JSON",
        examples=(("limactl info", ""), ("limactl info --yq .limaHome", "texts are printed bare")),
    ),
    "completion": Command(
        target="lima.entrypoints.cli.completion:completion",
        usage="bash|zsh|fish",
        least=1,
        most=1,
        summary="Print the script that completes command lines in a shell",
        examples=(
            ("source <(limactl completion bash)", "in ~/.bashrc; zsh likewise, after compinit"),
            ("limactl completion fish | source", "in config.fish"),
        ),
    ),
    "doctor": Command(
        target="lima.entrypoints.cli.report:doctor",
        summary="Show what this host lacks, and the one command that installs it",
        examples=(("limactl doctor", "exit status 1 where something is missing"), ("limactl doctor --json", "")),
    ),
}
ALIASES = {"cp": "copy", "ls": "list", "rm": "delete", "remove": "delete", "tmpl": "template"}
SUB_ALIASES = {"disk": {"ls": "list", "rm": "delete", "remove": "delete"}}
