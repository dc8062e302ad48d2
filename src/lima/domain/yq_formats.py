"""The formats that a yq provision step may read and write, and the one that follows from a file's name."""

FORMATS = ("csv", "json", "props", "toml", "tsv", "xml", "yaml")
"""Those of upstream (reference, config §1.6) without `ini`, which the engine does not know."""

_EXTENSIONS = {"properties": "props", "yml": "yaml"} | {name: name for name in FORMATS}


def format_of(path: str, asked: str) -> str:
    """`asked`, or for `auto` what the extension says; YAML where it says nothing. Source: reference, runtime §6.6."""
    if asked not in ("", "auto"):
        return asked
    name = path.rpartition("/")[2]
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    # a name that the engine does not know is told so, rather than rewritten as something else
    return "ini" if extension == "ini" else _EXTENSIONS.get(extension, "yaml")
