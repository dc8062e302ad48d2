"""How a script runs in a guest with the template's parameters: over ssh, on the standard input of its interpreter.

Source: reference, runtime §7.5.
"""

from lima.domain.cidata import MOUNT_POINT
from lima.domain.requirements import interpreter

_WRAPPER = f"""\
params=$(sudo -n cat {MOUNT_POINT}/param.env 2>/dev/null </dev/null)
while IFS= read -r line; do
	case "$line" in
	PARAM_*=*) export "$line" ;;
	esac
done <<LIMA_PARAMETERS
$params
LIMA_PARAMETERS
exec "$@"
"""


def script_argv(script: str) -> tuple[str, ...]:
    """The command that reads `script` from its standard input. Parameters come from the seed: none is in an argv."""
    return ("sh", "-c", _WRAPPER, "sh", *interpreter(script))
