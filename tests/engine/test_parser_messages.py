"""One message names what ranges refuse, what flags contradict, and what the machine has not."""

from __future__ import annotations

import pytest

from engine import finetune_args, metric_args, pretrain_args
from engine.args import ConfigError
from engine.evaluate.args import parse_probe, parse_search
from tools import embed, encode_text, evaluate, heatmap, infer, search, sort, text_ablation, text_studio

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


TOOLS = {
    "embed": (embed.parse, "no/such/folder --pretrained gone --out x -b 0 --crop-from boxes", "--crop-from"),
    "search": (search.parse, "no/such/folder --pretrained gone -b 0", "nothing to look for"),
    "sort": (sort.parse, "no/such/folder --pretrained gone -b 0 --crop-from boxes", "--crop-from"),
    "evaluate": (evaluate.parse, "--root no/such/folder --pretrained gone -b 0 --data-set CIFAR", "CIFAR is not read"),
    "infer": (infer.parse, "no/such/folder --pretrained gone -b 0 --device cuda:99", "--device cuda:99"),
    "heatmap": (heatmap.parse, "--root no/such/folder --pretrained gone -b 0 --device cuda:99", "--device cuda:99"),
    "text_studio": (text_studio.parse, "x.csv --root no/such/folder --tau 0 --device cuda:99", "--device cuda:99"),
    "text_ablation": (text_ablation.parse, "x.csv --root no/such/folder --tau 0 --lr 1", "without --train"),
    "encode_text": (encode_text.main, "no/such/folder.csv --template {what} --aggregate all --out x.json", "manifest"),
}


@pytest.mark.parametrize("name", TOOLS)
def test_tools_too_say_everything_at_once(name: str) -> None:
    parse, words, contradiction = TOOLS[name]
    with pytest.raises(ConfigError) as caught:
        parse(words.split())
    text = str(caught.value)
    assert contradiction in text and "no/such/folder" in text and text.count("\n  - ") >= 3
    assert any(fault in text for fault in ("-b is 0", "--tau is 0", "--aggregate"))
    assert "gone" in text or "gone" not in words
