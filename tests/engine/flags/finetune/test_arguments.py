"""The public codes' flags mean what they meant, presets are the published settings, and problems come in one message."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from engine.flags.finetune.arguments import make_parser, parse
from engine.flags.finetune.command import split_paths
from engine.flags.finetune.presets import NAMES, PRESETS
from engine.flags.finetune.views import training_view
from engine.workflows.finetune.system import make_finetune_plan, read_pim, read_supervision
from methods.pim import PimOptions
from methods.supervised import Supervision
from runtime.errors import ConfigError

ROOT = Path(__file__).resolve().parents[4]
WORDS = ["--root", "x", "--finetune", "none", "--device", "cpu"]

# The flags of sections 5 and 6 of both public codes, with their defaults there, in both spellings.
TEACHER = """--batch_size 64 --epochs 300 --update_freq 1 --model convnext_tiny --input_size 224 --drop_path 0 --lr 4e-3
 --min_lr 1e-6 --warmup_epochs 20 --warmup_steps -1 --opt adamw --opt_eps 1e-8 --opt_betas 0.9 0.999 --momentum 0.9
 --clip_grad 1 --color_jitter 0.4 --aa rand-m9-mstd0.5-inc1 --smoothing 0.1 --train_interpolation bicubic --reprob 0.25
 --remode pixel --recount 1 --resplit false --finetune none --model_key model|module --model_prefix x
 --layer_decay 1.0 --head_init_scale 1.0 --layer_scale_init_value 1e-6 --weight_decay 0.05 --weight_decay_end 0.01
 --model_ema false --model_ema_decay 0.9999 --model_ema_eval false --model_ema_force_cpu false --crop_pct 0.875
 --imagenet_default_mean_and_std true --mixup 0.8 --cutmix 1.0 --cutmix_minmax 0.2 0.8 --mixup_prob 1
 --mixup_switch_prob 0.5 --mixup_mode batch --resume out --auto_resume true --start_epoch 0 --data_path a
 --eval_data_path b --data_set CUB --nb_classes 200 --output_dir out --log_dir out --save_ckpt true --save_ckpt_freq 1
 --save_ckpt_num 3 --eval false --dist_eval true --disable_eval false --num_workers 10 --pin_mem true --seed 0
 --device cpu --use_amp false --enable_wandb false --project convnext --wandb_ckpt false --world_size 1 --local_rank -1
 --dist_url env:// --dist_on_itp"""
STUDENT = """--batch-size 64 --epochs 60 --model deit_base_patch16_224 --input-size 384 --drop 0.0 --drop-path 0.1
 --model-ema --no-model-ema --model-ema-decay 0.99996 --model-ema-force-cpu --opt adamw --opt-eps 1e-8 --clip-grad 1
 --momentum 0.9 --weight-decay 0.05 --sched cosine --lr 5e-4 --lr-noise 0.1 0.2 --lr-noise-pct 0.67 --lr-noise-std 1.0
 --warmup-lr 1e-6 --min-lr 1e-5 --decay-epochs 30 --warmup-epochs 5 --cooldown-epochs 10 --patience-epochs 10
 --decay-rate 0.1 --color-jitter 0.4 --aa rand-m9-mstd0.5-inc1 --smoothing 0.1 --train-interpolation bicubic
 --repeated-aug --no-repeated-aug --reprob 0.25 --remode pixel --recount 1 --resplit --mixup 0.8 --cutmix 1.0
 --mixup-prob 1.0 --mixup-switch-prob 0.5 --mixup-mode batch --teacher-model convnext_base --teacher-path t.pth
 --distillation-type soft --distillation-alpha 0.5 --distillation-tau 1.0 --finetune none --data-path a --data-set CUB
 --inat-category name --output_dir out --device cpu --seed 0 --resume out --start_epoch 0 --eval --dist-eval
 --num_workers 10 --pin-mem --no-pin-mem --world_size 1 --dist_url env:// --ngpus 8 --nodes 2 --timeout 2800"""


@pytest.mark.parametrize("words", [TEACHER, STUDENT, STUDENT.replace("-", "_").replace("__", "--"),
                                   TEACHER.replace("_", "-")], ids=["teacher", "student", "underscores", "dashes"])
def test_every_public_flag_is_accepted(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    parse(shlex.split(words.replace("rand_", "rand-").replace("mstd0.5_", "mstd0.5-").replace("5e_", "5e-")
                      .replace("1e_", "1e-").replace("_1 ", "-1 ")))
    said = capsys.readouterr().err
    assert said.count("without effect here") == 1 and "start-epoch" in said and "--dist-url" in said


def test_public_flags_have_effect() -> None:
    args = parse(["--method", "plain", *WORDS, *shlex.split(
        "--batch_size 8 --update_freq 4 --lr 1e-3 --min_lr 1e-4 --warmup_steps 7 --opt sgd --no-model-ema --mixup 0.3 "
        "--cutmix-minmax 0.1 0.5 --layer_decay 0.7 --smoothing 0.2 --crop_pct 1 --no-pin-mem --use_amp false --drop 0.2")])
    options, plan = read_supervision(args, 5, training_view(args)), make_finetune_plan(args, 10)
    assert (plan.batch_size, plan.accum_steps, plan.lr) == (32, 4, 1e-3)
    assert plan.floor == pytest.approx(0.1) and int(plan.warmup_epochs * 10) == 7
    assert (options.mixup, options.cutmix_minmax, options.layer_decay, options.smoothing) == (0.3, (0.1, 0.5), 0.7, 0.2)
    assert (args.eval_view, args.pin_mem, args.precision, options.ema_decay) == ("short-exact", False, "fp32", None)
    assert parse([*WORDS, "--model_ema", "true"]).model_ema and not parse([*WORDS, "--model-ema", "--no-model-ema"]).model_ema
    assert parse([*WORDS, "--repeated-aug"]).repeated_aug and not parse([*WORDS, "--repeated-aug", "false"]).repeated_aug


def test_methods_bring_the_published_recipes() -> None:
    plain, teacher = parse(WORDS), parse(["--method", "teacher", *WORDS])
    assert parse(["--method", "plain", *WORDS]) == plain
    for args, model, batch, decay in ((plain, "deit_base_distilled_patch16_384", 16, 1), (teacher, "convnext_base", 32, 0.7)):
        assert (args.model, args.batch_size, args.layer_decay, args.lr, args.epochs) == (model, batch, decay, 5e-5, 60)
        assert (args.wd, args.drop_path, args.size, args.mixup, args.cutmix, args.smoothing) == (1e-8, 0.8, 384, 0, 0, 0.1)
    assert (teacher.head_init_scale, teacher.accum_steps, teacher.eval_view) == (0.001, 2, "warp")
    assert (plain.second_head, teacher.second_head, plain.eval_view) == (True, False, "deit-eval")
    assert parse(["--preset", "foodx", "--method", "teacher", *WORDS]).epochs == 30
    assert parse(["--preset", "cub_dogs", "--root", "a", "--data-path", "a", "b", *WORDS[2:]]).data_set == ("CUB", "DOG")


def test_published_plug_in_modules() -> None:
    cub = parse(["--method", "pim", "--preset", "cub", *WORDS])
    assert (cub.model, cub.size, cub.fpn_size, cub.epochs, cub.opt) == ("swin-t", 384, 1536, 50, "sgd")
    assert cub.num_selects == {"layer1": 2048, "layer2": 512, "layer3": 128, "layer4": 32}
    assert (cub.batch_size, cub.accum_steps, cub.lr, cub.wd, cub.smoothing) == (32, 2, 5e-4, 5e-4, 0)
    assert read_pim(cub) == PimOptions() == PimOptions(lambda_b=0.5, lambda_s=0, lambda_n=5, lambda_c=1)
    assert make_finetune_plan(cub, 187).lr_factor(400) == pytest.approx(1) and make_finetune_plan(cub, 187).warmup_epochs == 400.5 / 187
    assert not read_supervision(cub, 200, training_view(cub)).no_weight_decay_on_vectors
    aicup = parse(["--method", "pim", "--preset", "aicup", *WORDS])
    assert (aicup.fpn_size, set(aicup.num_selects.values()), aicup.batch_size, aicup.accum_steps) == (512, {32}, 64, 1)
    assert parse(["--method", "pim", "--preset", "nabirds", *WORDS]).num_selects["layer1"] == 256
    for name in ("resnet50", "vit", "efficient"):
        assert parse(["--method", "pim", "--model-name", name, *WORDS]).size == 448
    seed = make_finetune_plan(parse(["--method", "pim", "--preset", "cub", "--recipe", "seed", *WORDS]), 187)
    assert seed.lr * seed.lr_factor(seed.steps - 1) == pytest.approx(2.2e-6, rel=0.05)  # the published code never gets to 0


@pytest.mark.parametrize("given", [["layer1=64,layer2=32,layer3=16,layer4=8"], ["64", "32", "16", "8"], ["64,32,16,8"]])
def test_positions_are_given_by_name_or_in_order(given: list[str]) -> None:
    args = parse(["--method", "pim", "--num_selects", *given, *WORDS])
    assert args.num_selects == {"layer1": 64, "layer2": 32, "layer3": 16, "layer4": 8}


def test_several_folders(tmp_path: Path) -> None:
    spaced = tmp_path / "my birds"
    spaced.mkdir()
    assert split_paths(f"{spaced}") == [str(spaced)] and split_paths("a  b") == ["a", "b"] and split_paths(None) == []
    words = ["--finetune", "none", "--device", "cpu"]
    for given in (["a", "b"], ["a b"]):
        args = parse(["--data-set", "CUB", "DOG", "--data-path", *given, *words])
        assert (args.root, args.data_set) == (("a", "b"), ("CUB", "DOG"))
    assert parse(["--data_set", "CUB_DOG", "--data_path", "a", "b", *words]).data_set == ("CUB", "DOG")
    args = parse(["--data-set", "/l/CUB_200_2011/ /l/dog/", *words])  # as DeiT's README says
    assert (args.root, args.data_set) == (("/l/CUB_200_2011/", "/l/dog/"), ())


@pytest.mark.parametrize("words, message", [
    (["--min-lr", "1e-4"], "--min-lr 0.0001 is above the rate.*would rise"),
    (["--lr-scale-ref", "512", "--min-lr", "1e-5"], "above the rate it should fall from, 1.5625e-06"),
    (["--data-set", "CIFAR"], "CIFAR is not read: its images come packed"),
    (["--data-set", "IMNET"], "ImageNet's"), (["--data-set", "INAT"], "JSON"), (["--data-set", "SUN"], "SUN is unknown"),
    (["--data-set", "CUB", "DOG"], "names 2 .* has 1"),
    (["--method", "distill"], "--teacher-path is missing"),
    (["--method", "pim", "--distillation-type", "hard"], "needs --method distill, not pim"),
    (["--model", "swin-t"], "add --method pim"), (["--opt", "lamb"], "lamb is not offered"),
    (["--crop_pct", "0.9"], "0.9 is not offered"), (["--eval-view", "upside-down"], "upside-down is unknown"),
    (["--method", "pim", "--num-selects", "64", "many"], "one number above 0"),
    (["--method", "pim", "--use-selection", "false"], "--use-combiner needs --use-selection"),
    (["--distillation-type", "soft", "--teacher-path", "t", "--teacher-cache", "--mixup", "0.8"], "--mixup 0"),
    (["--c", "configs/eval.yaml"], "tools.convert_config configs/eval.yaml"),
    (["--select", "best-val", "--disable-eval"], "leave --disable-eval out"),
    (["--smoothing", "1"], "--smoothing is 1.0, but it must be at least 0 and below 1"),
    (["--use-wandb", "--logger", "visdom"], "visdom is unknown")])
def test_what_cannot_be_is_said(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([*WORDS, *words])
    assert re.search(message, str(caught.value), re.DOTALL)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--device", "cpu", "--method", "distill", "--model", "resnet200d", "--min-lr", "1", "--epochs", "0"])
    assert all(word in str(caught.value) for word in ("--root", "--finetune", "--teacher-path", "--min-lr", "--epochs"))


def test_presets_set_flags_that_exist() -> None:
    assert set(NAMES) - {"none"} == set(PRESETS.named) - {"seed"}


def test_documented_flags_exist() -> None:
    known = {word for action in make_parser()._actions for word in action.option_strings}
    for page in ("finetune.md", "from_deit.md", "from_pim.md"):
        text = (ROOT / "docs" / page).read_text()
        ours = {word.replace("_", "-") for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)}
        elsewhere = {"--c", "--img", "--save-img", "--nproc-per-node", "--lr-noise", "--image", "--out", "--threshold"}
        assert not {word for word in ours - known - elsewhere if not word.endswith("-")}, page


def test_the_defaults_are_complete() -> None:
    args = parse(WORDS)
    assert isinstance(read_supervision(args, 3, training_view(args)), Supervision)
    assert None not in (args.epochs, args.batch_size, args.lr, args.wd, args.smoothing, args.mixup, args.drop_path)
