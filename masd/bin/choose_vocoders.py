"""Stage 2, first part: which vocoders the pretraining set goes through, and whether they can be had."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import listed, run
from masd.errors import MasdError

log = logging.getLogger(__name__)


def choose_vocoders(
    available: Path, size: str, checkpoints: Path, out: Path, vocoders: str = "", pretraining: str = ""
) -> None:
    """Write OUT/pretrain_tags, a vocoder a line, and OUT/vocoder/<tag>.yaml, what each is set up with.

    OUT/network_tags has those of them that compute on a GPU where there is one.

    Each vocoder whose weights or package are not there is one line that says what to get. One that
    pretraining would refuse, hours later, for want of a difficulty is refused here.

    Args:
        available: YAML file: `default`, the vocoders of each size, and `vocoders`, the configuration of each,
            in which checkpoints are relative to `checkpoints`.
        size: whose default is taken.
        checkpoints: folder of the downloaded weights.
        out: data/<size>.
        vocoders: the vocoders wanted instead, separated by blanks or commas.
        pretraining: configuration files of pretraining, separated by commas; the later override.
    """
    from masd.ssl.config import difficulty_of
    from masd.stage.files import read_yaml, write_lines, write_yaml
    from masd.vocoders import adapter_class, get

    known = read_yaml(available)
    wanted = vocoders.replace(",", " ").split() or known["default"].get(size, [])
    if len(set(wanted)) != len(wanted) or not wanted:
        raise MasdError(f"--vocoders '{vocoders}': names one vocoder twice, or none; {available} lists them")
    configs, missing, networks = {}, [], []
    difficulty = difficulties(listed(pretraining))
    for tag in wanted:
        difficulty_of(difficulty, tag)
        if tag not in known["vocoders"]:
            raise MasdError(f"--vocoders: {available} has no {tag}; it has {', '.join(known['vocoders'])}")
        config = {"type": tag, **(known["vocoders"][tag] or {})}
        for key in adapter_class(tag, config["type"]).files:
            if config.get(key):
                config[key] = str(checkpoints / config[key])
        configs[tag] = config
        try:
            networks += [tag] if get(tag, config).network else []
        except MasdError as error:
            missing.append(tag)
            log.error("%s", error)
    if missing:
        rest = " ".join(tag for tag in wanted if tag not in missing) or "griffin_lim lpc"
        raise MasdError(
            f"{len(missing)} of {len(wanted)} vocoders cannot be used (a line each above): put them where "
            f"{available} says, below {checkpoints} (--checkpoints), or leave them out: --vocoders '{rest}'"
        )
    for tag, config in configs.items():
        write_yaml(out / "vocoder" / f"{tag}.yaml", config)
    write_lines(out / "network_tags", sorted(networks))
    write_lines(out / "pretrain_tags", sorted(configs))


def difficulties(paths: list[str]) -> dict[str, float]:
    """Return ssl.difficulty as pretraining takes it from configuration files.

    Raises:
        MasdError: a file cannot be read.
    """
    import yaml

    from masd.cli import section
    from masd.ssl.config import DIFFICULTY

    found: dict[str, float] = {}
    for path in paths:
        given = yaml.safe_load(section(path, "pretrain")) or {}
        found = (given.get("ssl") or {}).get("difficulty", found)
    return DIFFICULTY | found


if __name__ == "__main__":
    run(choose_vocoders, output="")
