"""Commands that other programs add: `limactl-NAME` beside ours, on the PATH, or in libexec/lima."""


def find(name: str) -> tuple[str, str] | None:
    """The program of the command NAME and the PATH that it gets; None where there is none."""
    from lima.adapters.system import plugins

    return plugins.find(name)


def listed() -> tuple[tuple[str, str], ...]:
    """Each such command with what it says of itself, without those that only translate locators."""
    from lima.adapters.system import plugins

    found = plugins.plugins(plugins.installation())
    return tuple((each.name, each.description) for each in found if not each.name.startswith(plugins.URL_PREFIX))
