"""Vocoders behind one interface: a waveform in, its re-synthesis of the same length and level out.

`get(name, config)` makes one. Nothing heavy is imported before a vocoder is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masd.errors import MasdError
from masd.stage.own import named_class
from masd.vocoders.base import Adapter

REGISTRY: dict[str, str] = {
    "bigvgan": "masd.vocoders.bigvgan:BigVGAN",
    "griffin_lim": "masd.vocoders.griffin_lim:GriffinLim",
    "hifigan": "masd.vocoders.hifigan:HiFiGAN",
    "lpc": "masd.vocoders.lpc:LPC",
    "mb_melgan": "masd.vocoders.mb_melgan:MBMelGAN",
    "melgan": "masd.vocoders.melgan:MelGAN",
    "mlsa": "masd.vocoders.mlsa:MLSA",
    "univnet": "masd.vocoders.univnet:UnivNet",
    "waveglow": "masd.vocoders.waveglow:WaveGlow",
    "world": "masd.vocoders.world:World",
}

__all__ = ["REGISTRY", "Adapter", "adapter_class", "get"]


def get(name: str, config: Mapping[str, Any] | None = None) -> Adapter[Any]:
    """Return the vocoder `name`, set up by `config`.

    Args:
        name: what the vocoder is called in utterance ids and tables. It is also the kind of
            vocoder, unless `config` has a key `type` that says the kind: so two checkpoints of one
            architecture can stand beside each other under two names.
        config: the fields of the adapter's configuration (see its dataclass), paths relative to the
            working directory. Unknown keys are errors.

    Raises:
        MasdError: no such vocoder; a wrong key or value; a missing package or missing weights.
    """
    values = dict(config or {})
    adapter = adapter_class(name, values.pop("type", name))
    return adapter(name, adapter.make_config(name, values))


def adapter_class(name: str, kind: str) -> type[Adapter[Any]]:
    """Return the adapter class of a kind of vocoder, one of `REGISTRY` or `module:Class`.

    Raises:
        MasdError: there is no such kind, or the module has no such adapter.
    """
    if not isinstance(kind, str) or (kind not in REGISTRY and ":" not in kind):
        raise MasdError(
            f"vocoder {name}: no such type {kind!r}; there are {', '.join(sorted(REGISTRY))} and, of your "
            "own, module:Class (another name needs the key `type` in its configuration)"
        )
    adapter = named_class(REGISTRY.get(kind, kind), f"vocoder {name}: type", kind not in REGISTRY)
    if not (isinstance(adapter, type) and issubclass(adapter, Adapter)):
        raise MasdError(f"vocoder {name}: type {kind}: no class made of masd.vocoders.base.Adapter")
    return adapter
