"""The command lines that users of the five public codes know, flag by flag, in the form those codes take them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.flags.evaluate.arguments import parse_probe, parse_search
from engine.flags.finetune import arguments as finetune_args
from engine.flags.metric import arguments as metric_args
from engine.flags.pretrain import arguments as pretrain_args
from runtime.errors import ConfigError
from runtime.options import list_given
from tools import embed, search, sort

LEAD = """-a resnet50|--arch clip|--lr 0.02|--epochs 100|--schedule 60 80|--schedule 120 160|--cos|--cos false|--seed 123
|--batch-size 64|--wd 5e-4|--moco-dim 512|--moco-k 65536|--moco-m 0.999|--moco-t 0.27|--knn-k 200|--knn-t 0.1|--resume ''
|--pretrained none|--crop_root crops|--results-dir out|--port 10002|--world-size 2|--num_workers 16|--num-classes 200
|--alpha 0.5|--beta 20|--text-load none|--temperature 0.02|--checkpoint_name result_bird|--dist-url tcp://localhost:1
|--dist-backend nccl|--rank 0|--gpu 0|--multiprocessing-distributed|--test|--task bird|--learning-rate 0.1"""
MOCO = """-a resnet50|-j 4|--workers 4|--epochs 100|--start-epoch 0|-b 128|--batch-size 128|--lr 0.03|--schedule 120 160
|--momentum 0.9|--wd 1e-4|--weight-decay 1e-4|-p 10|--print-freq 10|--resume ''|--world-size 1|--rank 0
|--dist-url tcp://localhost:10001|--dist-backend nccl|--seed 1|--gpu 0|--multiprocessing-distributed|--nu 0.01
|--moco-dim 256|--moco-k 65536|--moco-m 0.999|--moco-t 0.2|--mlp|--aug-plus|--cos"""
BYOL = """--data_dir ./CUB200|--log_dir ./logs/|--ckpt_dir ./.cache/|--hide_progress|--download|--debug
|--debug_subset_size 8|--device cpu"""
LINCLS = """-a resnet50|-j 32|--epochs 100|--start-epoch 0|-b 256|--batch-size 256|--lr 30.0|--schedule 60 80|--momentum 0.9
|--wd 0.|--weight-decay 0|-p 10|--print-freq 10|--resume ''|-e|--evaluate|--world-size 1|--rank 0|--seed 1|--gpu 0
|--dist-url tcp://localhost:10001|--dist-backend nccl|--multiprocessing-distributed|--class_num 200|--moco-dim 256
|--moco-k 65536|--moco-m 0.999|--moco-t 0.2|--mlp|--checkpoint_name linear_bird|--num_classes 200|--crop_root crops"""
OBDSD = """--dataset cub200|--source_path d|--source d/cub200|--save_path out|--use_tv_split|--tv_split_by_samples
|--tv_split_perc 0.8|--augmentation base|--augmentation big|--lr 1e-5|--fc_lr -1|--decay 4e-4|--n_epochs 150|--bs 112
|--kernels 6|--seed 0|--gpu 0|--optim adam|--scheduler step|--scheduler none|--tau 1000|--tau 200 250|--gamma 0.3
|--loss margin|--loss multisimilarity_obd_sd|--loss ap_loss|--batch_mining distance|--arch resnet50_frozen_normalize
|--embed_dim 128|--PSD|--PSD --OBDP|--kd_lambda 75|--kd_tau 1.0|--diffusion_w .99|--diffusion_tau 1.0
|--data_sampler class_random|--samples_per_class 2|--data_batchmatch_bigbs 512|--data_batchmatch_ncomps 10
|--data_storage_no_update|--data_d2_coreset_lambda 1|--data_gc_coreset_lim 1e-9|--data_sampler_lowproj_dim -1
|--data_gc_softened|--data_idx_full_prec|--data_sim_measure euclidean|--data_mb_mom -1|--data_mb_lr 1
|--miner_distance_lower_cutoff .5|--miner_distance_upper_cutoff 1.4|--miner_rho_distance_lower_cutoff .5
|--miner_rho_distance_upper_cutoff 1.4|--miner_rho_distance_cp .2|--loss_multisimilarity_pos_weight 2
|--loss_multisimilarity_neg_weight 40|--loss_multisimilarity_margin .1|--loss_multisimilarity_thresh .5
|--loss_margin_margin .2|--loss_margin_beta 1.2|--loss_margin_beta_lr 5e-4|--loss_margin_nu 0
|--loss_margin_beta_constant|--loss_contrastive_pos_margin 0|--loss_contrastive_neg_margin 1|--loss_triplet_margin .2
|--loss_quadruplet_margin_alpha_1 .2|--loss_quadruplet_margin_alpha_2 .2|--loss_proxynca_lrmulti 50|--loss_npair_l2 .005
|--loss_lifted_neg_margin 1|--loss_lifted_l2 .005|--loss_angular_alpha 45|--loss_angular_npair_ang_weight 2
|--loss_angular_npair_l2 .005|--loss_softtriplet_n_centroids 2|--loss_softtriplet_margin_delta .01
|--loss_softtriplet_gamma .1|--loss_softtriplet_lambda 8|--loss_softtriplet_reg_weight .2|--loss_softtriplet_lrmulti 1
|--loss_softmax_lr 1e-5|--loss_softmax_temperature .05|--loss_arcface_lr 5e-4|--loss_arcface_angular_margin .5
|--loss_arcface_feature_scale 16|--loss_histogram_nbins 65|--loss_snr_margin .2|--loss_snr_reg_lambda .005
|--loss_oproxy_mode anchor|--loss_oproxy_lrmulti 2000|--loss_oproxy_pos_alpha 32|--loss_oproxy_neg_alpha 32
|--loss_oproxy_pos_delta .1|--loss_oproxy_neg_delta -.1|--evaluation_metrics e_recall@1 nmi f1|--storage_metrics e_recall@1
|--evaltypes discriminative|--evaluate_on_gpu|--no_train_metrics|--noisy_label|--noisy_ratio 0|--log_online
|--wandb_key k|--project p|--group g|--savename s|--checkpoint_name c"""
DEIT = """--batch-size 64|--epochs 60|--model deit_base_patch16_224|--input-size 384|--drop 0.0|--drop-path 0.1|--model-ema
|--no-model-ema|--model-ema-decay 0.99996|--model-ema-force-cpu|--opt adamw|--opt-eps 1e-8|--opt-betas 0.9 0.999
|--clip-grad 1|--momentum 0.9|--weight-decay 0.05|--sched cosine|--lr 5e-4|--lr-noise 0.1 0.2|--lr-noise-pct 0.67
|--lr-noise-std 1.0|--warmup-lr 1e-6|--lr 5e-4 --min-lr 1e-5|--decay-epochs 30|--warmup-epochs 5|--cooldown-epochs 10
|--patience-epochs 10|--decay-rate 0.1|--dr 0.1|--color-jitter 0.4|--aa rand-m9-mstd0.5-inc1|--smoothing 0.1
|--train-interpolation bicubic|--repeated-aug|--no-repeated-aug|--reprob 0.25|--remode pixel|--recount 1|--resplit
|--mixup 0.8|--cutmix 1.0|--cutmix-minmax 0.2 0.8|--mixup-prob 1.0|--mixup-switch-prob 0.5|--mixup-mode batch
|--teacher-model convnext_base|--teacher-path t.pth|--distillation-type none|--distillation-alpha 0.5
|--distillation-tau 1.0|--finetune ''|--data-set CUB|--inat-category name|--output_dir out|--device cpu|--seed 0
|--resume ''|--start_epoch 0|--dist-eval|--num_workers 10|--pin-mem|--no-pin-mem|--world_size 1|--dist_url env://
|--ngpus 8|--nodes 2|--timeout 2800|--partition learnfair|--use_volta32|--comment x|--checkpoint_name c"""
CONVNEXT = """--update_freq 2|--layer_decay 0.7|--head_init_scale 0.001|--layer_scale_init_value 1e-6|--min_lr 1e-6
|--warmup_steps -1|--weight_decay_end 0.01|--model_ema true|--model_ema_eval false|--crop_pct 0.875
|--imagenet_default_mean_and_std true|--model_key model|--model_prefix p|--auto_resume true|--eval_data_path b|--nb_classes 200
|--log_dir l|--save_ckpt true|--save_ckpt_freq 1|--save_ckpt_num 3|--dist_eval true|--disable_eval false|--pin_mem true
|--use_amp false|--enable_wandb false|--project convnext|--wandb_ckpt false|--local_rank -1|--dist_on_itp"""
PIM = """--project_name p|--exp_name e|--use_wandb false|--wandb_entity w|--train_root a|--val_root b|--data_size 384
|--num_workers 2|--batch_size 16|--model_name swin-t|--pretrained none|--optimizer SGD|--max_lr 5e-4|--wdecay 5e-4
|--max_epochs 50|--warmup_batchs 800|--use_amp True|--use_fpn True|--fpn_size 1536|--use_selection True
|--use_combiner True|--num_classes 200|--num_selects layer1=2048,layer2=512,layer3=128,layer4=32|--lambda_b 0.5
|--lambda_s 0|--lambda_n 5|--lambda_c 1|--update_freq 2|--log_freq 100|--eval_freq 10"""

PRE = "--root x --pretrained none --device cpu"
FINE = "--root x --finetune none --device cpu"
CODES: dict[str, tuple[Callable, str, str]] = {
    "LEAD": (pretrain_args.parse, PRE, LEAD), "MoCo": (pretrain_args.parse, f"--method lcr-moco {PRE}", MOCO),
    "BYOL": (pretrain_args.parse, f"--method lcr-byol {PRE}", BYOL),
    "probe": (parse_probe, "--pretrained none --root x --device cpu", LINCLS),
    "OBD-SD": (metric_args.parse, PRE, OBDSD), "DeiT": (finetune_args.parse, FINE, DEIT),
    "ConvNeXt": (finetune_args.parse, f"{FINE} --method teacher", CONVNEXT),
    "plain ConvNeXt": (finetune_args.parse, FINE, CONVNEXT), "PIM": (finetune_args.parse, f"{FINE} --method pim", PIM)}
LINES = [
    (pretrain_args.parse, f"{PRE} --method lcr-moco --epochs 100 -a resnet50 --lr 0.03 --batch-size 128 "
     "--multiprocessing-distributed --world-size 1 --rank 0 --mlp --moco-t 0.2 --aug-plus --cos"),
    (finetune_args.parse, "--model deit_base_distilled_patch16_384 --distillation-type hard --teacher-model convnext_base "
     "--teacher-path t.pth --drop-path 0.8 --input-size 384 --batch-size 16 --lr 5e-5 --warmup-epochs 0 --epochs 60 "
     "--weight-decay 1e-8 --cutmix 0 --mixup 0 --data-set CUB --data-path d --output_dir o --finetune none"),
    (metric_args.parse, "--dataset cub200 --kernels 6 --source d/cub200 --n_epochs 150 --log_online --project OBD_SD --group "
     "CUB_MS --kd_lambda 1000.0 --diffusion_w 0.3 --seed 0 --gpu 0 --bs 112 --samples_per_class 2 --not_pretrained "
     "--loss multisimilarity_obd_sd --arch resnet50_normalize_frozen --PSD --OBDP"),
    (metric_args.parse, "--dataset cub200 --source d --arch resnet50_normalize_frozen_double --embed_dim 128 --PSD --OBDP "
     "--evaluate --pretrained-root Training_Results"),
    (parse_search, "--pretrained none --root x --device cpu --moco-dim 512 --num_classes 200 --crop_root c --epochs 1")]


@pytest.mark.parametrize("code", CODES)
def test_every_public_flag_is_taken_in_its_public_form(code: str) -> None:
    parse, context, flags = CODES[code]
    for flag in flags.replace("\n", "").split("|"):
        args = parse(shlex.split(context) + shlex.split(flag))
        assert "print_freq" not in vars(args) and "log_online" not in vars(args), flag


@pytest.mark.parametrize("parse, line", LINES)
def test_command_lines_of_the_public_readmes(parse: Callable, line: str) -> None:
    parse(line.split())


def test_names_of_theirs_mean_ours() -> None:
    byol = pretrain_args.parse("--method lcr-byol --pretrained none --device cpu --data_dir D --ckpt_dir C".split())
    assert (byol.root, byol.results_dir) == ("D", "C")
    assert pretrain_args.parse([*PRE.split(), "--checkpoint_name", "bird"]).results_dir == "checkpoints/bird"
    probe = parse_probe("--pretrained none --device cpu Aircraft --class_num 100 --checkpoint_name linear".split())
    assert (probe.root, probe.num_classes, probe.results_dir) == ("Aircraft", 100, "checkpoints_linear/linear")
    margin = metric_args.parse([*PRE.split(), "--loss", "margin", "--loss_margin_beta_constant", "--loss_margin_nu", "0.1"])
    assert margin.loss_flags == {"loss_margin_beta_constant": True, "loss_margin_nu": 0.1}
    assert finetune_args.parse([*FINE.split(), "--sched", "step", "--dr", "0.3"]).decay_rate == 0.3


def test_a_folder_needs_no_flag(tmp_path: Path) -> None:
    words = "--method lcr-moco --pretrained none --device cpu --multiprocessing-distributed --rank 0".split()
    assert pretrain_args.parse([*words, "Aircraft", "--mlp", "--cos"]).root == "Aircraft"
    args = pretrain_args.parse([*words, "--aug-plus", "--cos", str(tmp_path)])
    assert (args.root, args.cos, args.aug_plus) == (str(tmp_path), True, True)


@pytest.mark.parametrize("flag, remedy", [("-c byol.yaml", "tools.convert_config"), ("-e", "main_retrieval.py"),
                                          ("--eval_from f.pth", "main_linear.py")])
def test_what_another_command_does_is_sent_there(flag: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        pretrain_args.parse([*PRE.split(), "--method", "lcr-byol", *flag.split()])


def test_recipe_and_preset_of_an_evaluation() -> None:
    common = "--pretrained none --root x --device cpu --recipe seed".split()
    assert (parse_probe(common).protocol, parse_probe(common).eval_view) == ("seed", "squash")
    own = parse_probe([*common, "--protocol", "cached", "--eval-view", "eval"])
    assert (own.protocol, own.eval_view) == ("cached", "eval")
    assert parse_search(common).eval_view == "squash" and parse_search([*common, "--preset", "aircraft"]).task == "aircraft"


@pytest.mark.parametrize("tool, words", [(embed, ["--out", "elsewhere"]), (search, ["--text", "a bird"]), (sort, [])])
def test_recipe_and_preset_mean_the_same_to_every_tool(tool: object, words: list[str], tmp_path: Path) -> None:
    common = [str(tmp_path / "photos"), "--pretrained", "none", "--device", "cpu", "--preset", "aircraft", *words]
    args = tool.parse([*common, "--recipe", "seed"])
    assert (args.eval_view, args.task) == ("squash", "aircraft")
    with pytest.raises(ConfigError, match="--crop-from: read only with --input crop"):
        tool.parse([*common, "--crop-from", "files", "--input", "full"])


def test_flags_without_effect_are_no_part_of_a_run() -> None:
    args = metric_args.parse([*PRE.split(), "--gpu", "0", "--group", "g", "--log_online", "--port", "1"])
    assert not {"gpu", "group", "log_online", "port"} & {*vars(args), *list_given(args)}
