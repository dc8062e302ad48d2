"""Every error that crosses a port or reaches a user.

    LimaError(message, *, hint, exit_code)
      TemplateError      TemplateSyntaxError · TemplateInvalidError(problems) · LocatorError
                         · TemplateRejectedError(text) · GoTemplateError(stage) · YqError
      InstanceError      InstanceNotFoundError · InstanceExistsError · InstanceBusyError · WrongStateError · StorageError
      DiskError          DiskNotFoundError · DiskExistsError · DiskInUseError(instance)
      HypervisorError    LaunchFailedError(argv, exit_code, log_tail) · PortTakenError · StopTimedOutError
                         · MissingToolError(tools) · UnsupportedCapabilityError
      TransportError     UnreachableError · AuthenticationError · HostKeyMismatchError · RemoteCommandError(exit_code)
      ImageError         DownloadError(unreachable_host) · DigestMismatchError · ImageFormatError · ImageBuildError(log_tail)
      NetworkError       HostPortError · HostPortTakenError · HostPortRefusedError
      GuestError         RequirementNotMetError · NotReadyError(console_tail) · GuestAgentError · GuestDialError
      CommandError       a command line or a setting that cannot be carried out as it stands

The message says what happened to which thing, the hint what to do next. Catch by meaning, read facts from attributes.
This module stands on the quick path: it imports nothing.
"""


class LimaError(Exception):
    """Base of all errors that are a message to a person rather than a bug."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


class CommandError(LimaError):
    """What was asked for cannot be carried out as it stands (a flag, an environment variable, a missing argument)."""


# --- templates -------------------------------------------------------------------------------------------------------


class TemplateError(LimaError):
    """A template, or the way it is named, is at fault."""


class TemplateSyntaxError(TemplateError):
    """The text is not YAML that a template may be written in. `line` and `column` count from 1; 0 is unknown."""

    def __init__(self, message: str, *, line: int = 0, column: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.column = column


class TemplateInvalidError(TemplateError):
    """The template reads well but breaks rules. `problems` are `path: message` sentences, all of them."""

    def __init__(self, problems: tuple[str, ...], *, name: str = "", hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems
        self.name = name


class TemplateRejectedError(TemplateError):
    """An edited template is not taken. `text` is what would have been written: somebody's work, not to be lost."""

    def __init__(self, message: str, *, text: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.text = text


class LocatorError(TemplateError):
    """A template or image locator is malformed, or names nothing."""


class GoTemplateError(TemplateError):
    """A Go template cannot be read (`stage` is `parse`) or carried out (`execute`)."""

    def __init__(self, message: str, *, stage: str = "execute", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stage = stage


class YqError(TemplateError):
    """A yq expression cannot be read, or cannot be carried out on what it was given."""


# --- instances -------------------------------------------------------------------------------------------------------


class InstanceError(LimaError):
    """An instance cannot do what it was asked."""


class InstanceNotFoundError(InstanceError):
    """There is no directory of that name."""


class InstanceExistsError(InstanceError):
    """The name is taken."""


class InstanceBusyError(InstanceError):
    """Another process is working on the instance; `holder_pid` names it where known (0 where not)."""

    def __init__(self, message: str, *, holder_pid: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.holder_pid = holder_pid


class WrongStateError(InstanceError):
    """The status of the instance does not allow it."""


class StorageError(InstanceError):
    """A file of ours could not be written or read: disk full, permissions, a read-only file system."""


# --- additional disks ------------------------------------------------------------------------------------------------


class DiskError(LimaError):
    """An additional disk cannot be made, used or changed."""


class DiskNotFoundError(DiskError):
    """There is no disk of that name."""

    def __init__(self, name: str, *, context: str = "", hint: str = "") -> None:
        super().__init__(
            f"{context}disk `{name}` does not exist", hint=hint or "`limactl disk list` shows the disks there are"
        )


class DiskExistsError(DiskError):
    """The name is taken."""

    def __init__(self, name: str, *, directory: str) -> None:
        super().__init__(
            f"disk `{name}` already exists (`{directory}`)",
            hint=f"choose another name, or `limactl disk delete {name}`",
        )


class DiskInUseError(DiskError):
    """An instance that runs has the disk; `instance` is its name."""

    def __init__(self, message: str, *, instance: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.instance = instance


# --- hypervisor ------------------------------------------------------------------------------------------------------


class HypervisorError(LimaError):
    """The program that runs the guest, or its tools."""


class LaunchFailedError(HypervisorError):
    """The hypervisor ended before the guest could run. `log_tail` holds its last lines."""

    def __init__(
        self,
        message: str,
        *,
        argv: tuple[str, ...] = (),
        exit_code: int | None = None,
        log_tail: tuple[str, ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.argv = argv
        self.hypervisor_exit_code = exit_code
        self.log_tail = log_tail


class PortTakenError(LaunchFailedError):
    """A host port that the guest was to be reached at belongs to another process."""

    def __init__(
        self, port: int, *, argv: tuple[str, ...] = (), log_tail: tuple[str, ...] = (), hint: str = ""
    ) -> None:
        super().__init__(f"host port {port} is taken by another process", argv=argv, log_tail=log_tail, hint=hint)
        self.port = port


class StopTimedOutError(HypervisorError):
    """The guest did not end in the time it was given, not even when it was forced."""


class MissingToolError(HypervisorError):
    """A program that the step needs is not installed. `tools` are program names."""

    def __init__(self, message: str, *, tools: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.tools = tools


class UnsupportedCapabilityError(HypervisorError):
    """The hypervisor, or this version of the program, cannot do what the configuration asks for."""


# --- transport -------------------------------------------------------------------------------------------------------


class TransportError(LimaError):
    """The way into the guest."""


class UnreachableError(TransportError):
    """Nobody answers (yet)."""


class AuthenticationError(TransportError):
    """The guest's sshd answers and refuses our key."""


class HostKeyMismatchError(TransportError):
    """Who answers is not who was asked for: the host key is not the one fixed for this boot."""


class RemoteCommandError(TransportError):
    """A command ran in the guest and failed. `remote_exit_code` is its own."""

    def __init__(self, message: str, *, remote_exit_code: int, stderr: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.remote_exit_code = remote_exit_code
        self.stderr = stderr


# --- images ----------------------------------------------------------------------------------------------------------


class ImageError(LimaError):
    """An image cannot be had or used."""


class DownloadError(ImageError):
    """The bytes could not be fetched. `unreachable_host` is set when the host did not answer at all."""

    def __init__(self, message: str, *, unreachable_host: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.unreachable_host = unreachable_host


class DigestMismatchError(ImageError):
    """The bytes are not the ones that the template promised."""

    def __init__(self, location: str, *, expected: str, actual: str) -> None:
        super().__init__(
            f"image `{location}`: expected digest `{expected}`, got `{actual}`",
            hint="the file was damaged or replaced; correct `digest:` in the template if the new file is the right one",
        )
        self.location = location
        self.expected = expected
        self.actual = actual


class ImageFormatError(ImageError):
    """The file is not a disk image that may be booted (a backing file, a data file, an unknown format)."""


class ImageBuildError(ImageError):
    """Building an image from packages failed. `log_tail` holds the last lines of the tool that failed."""

    def __init__(self, message: str, *, log_tail: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.log_tail = log_tail


# --- network and guest -----------------------------------------------------------------------------------------------


class NetworkError(LimaError):
    """A host network or its daemon."""


class HostPortError(NetworkError):
    """An address of this host cannot be listened on."""


class HostPortTakenError(HostPortError):
    """Somebody else has it; it may become free."""


class HostPortRefusedError(HostPortError):
    """It is not ours to have: a privileged port, an address that this host does not have."""


class GuestError(LimaError):
    """The guest runs, but not as it should."""


class RequirementNotMetError(GuestError):
    """A script or a check of the guest failed for good; it is left running. `log_tail`: what they said last."""

    def __init__(self, message: str, *, log_tail: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.log_tail = log_tail


class NotReadyError(GuestError):
    """The guest did not become ready in the time it was given; it is left running. `console_tail`: its last lines."""

    def __init__(self, message: str, *, console_tail: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.console_tail = console_tail


class GuestAgentError(GuestError):
    """The agent in the guest does not answer, not in time, or not as an agent does."""


class GuestDialError(GuestAgentError):
    """The agent answers, and cannot reach the address in the guest that it was asked for."""
