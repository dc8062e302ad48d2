"""The NetworksParser port: networks.yaml."""

from lima.adapters.codec.yaml_tree import read_tree
from lima.domain.decoding import decode
from lima.domain.errors import TemplateSyntaxError
from lima.domain.networks import KnownNetworks, NetworksFile, known_networks
from lima.domain.tree import plain


class YamlNetworksParser:
    """Unknown keys are one warning, as upstream's."""

    def parse(self, text: str, *, origin: str) -> KnownNetworks:
        """Raises: TemplateSyntaxError."""
        tree = read_tree(text, origin=origin)
        decoded = decode(plain(tree.root), NetworksFile)
        if decoded.value is None:
            misfit = decoded.misfits[0]
            place = tree.place(misfit.path)
            raise TemplateSyntaxError(
                f"[{place.line}:{place.column}] {misfit.message}", line=place.line, column=place.column
            )
        known = known_networks(decoded.value)
        if not decoded.unknown:
            return known
        sentence = f"Non-strict YAML is deprecated and will be unsupported in a future version of Lima: {origin}"
        return known._replace(warning=sentence)
