"""One message names what ranges refuse, what flags contradict, and what the machine has not."""

from __future__ import annotations

import pytest

from engine import finetune_args, metric_args, pretrain_args
from engine.args import ConfigError
from engine.evaluate.args import parse_probe, parse_search

COMMANDS = {
    "pretrain": (pretrain_args.parse, "-a no_such_net --pretrained none --recipe seed --accum-steps 2"),
    "finetune": (finetune_args.parse, "--model no_such_net --finetune none --opt lion"),
    "metric": (metric_args.parse, "-a no_such_net --pretrained none --OBDP"),
    "linear": (parse_probe, "-a no_such_net --pretrained gone --protocol seed --hold-out 0.1"),
    "retrieval": (parse_search, "-a no_such_net --pretrained gone --gallery val"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_faults_contradictions_and_absences_are_in_one_message(name: str) -> None:
    parse, words = COMMANDS[name]
    with pytest.raises(ConfigError) as caught:
        parse([*words.split(), "-b", "0", "--root", "no/such/folder", "--device", "cpu"])
    text = str(caught.value)
    assert "-b is 0" in text and "no/such/folder" in text and "no_such_net" in text
    assert text.count("\n  - ") >= 4 and text.count("cannot start") == 1
