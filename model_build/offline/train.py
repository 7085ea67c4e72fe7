"""The command `train-offline`: from an archive of CIFAR-10 to a model directory with its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from blindsight.arguments import a_path, whole
from model_build.errors import ModelBuildError
from model_build.offline import card, data, loop
from model_build.offline import record as records
from model_build.offline.evaluate import evaluate
from model_build.offline.export import export

if TYPE_CHECKING:
    import argparse

_DEFAULT_OUT = Path(".blindsight/offline_model")
_DEFAULT_WORK = Path(".blindsight/offline_training")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options on `parser`."""
    parser.add_argument(
        "--data",
        type=a_path,
        required=True,
        metavar="ZIP",
        help="CIFAR-10 as train/<class>/*.jpg and test/<class>/*.jpg",
    )
    parser.add_argument(
        "--out", type=a_path, default=_DEFAULT_OUT, metavar="DIR", help=f"the model directory (default {_DEFAULT_OUT})"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides every random draw (default 0)")
    parser.add_argument(
        "--epochs", type=whole, metavar="N", help="for each network, instead of its recipe's; for trying things out"
    )
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda or cuda:N (default auto)"
    )
    parser.add_argument(
        "--work",
        type=a_path,
        default=_DEFAULT_WORK,
        metavar="DIR",
        help=f"for preprocessed pictures, checkpoints and the record of results (default {_DEFAULT_WORK})",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in the work folder, if any")


def run(args: argparse.Namespace) -> int:
    """Train, export, evaluate with ONNX Runtime and write the card. Returns 0; raises `ModelBuildError`."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def report(line: str) -> None:
        console.print(line, markup=False)

    device = _device(args.device)
    dataset = data.load(args.data, args.work, report)
    report(f"Training {len(loop.MEMBERS)} networks on {records.hardware(str(device))}, seed {args.seed}")
    networks, members = [], []
    for number, member in enumerate(loop.MEMBERS, start=1):
        recipe = replace(member, seed=args.seed, epochs=args.epochs or member.epochs)
        folder = args.work / f"network-{number}"
        network, progress = loop.train(dataset, recipe, device, folder, resume=args.resume, report=report)
        networks.append(network)
        members.append(records.Member(recipe, progress))
    report("Exporting to ONNX and checking it against torch")
    manifest, classifier = export(networks, dataset.classes, args.seed, args.out)
    report(f"Classifying {len(dataset.test.labels)} test pictures with ONNX Runtime")
    evaluation = evaluate(classifier, args.data, dataset.classes)
    record = records.Record(
        seed=args.seed,
        members=tuple(members),
        evaluation=evaluation,
        classes=dataset.classes,
        archive_sha256=dataset.sha256,
        training_pictures=len(dataset.train.labels),
        model_digest=manifest.digest().hex(),
        hardware=records.hardware(str(device)),
    )
    record.write(args.work / records.FILE_NAME)
    (args.out / card.FILE_NAME).write_text(card.model_card(manifest, record), encoding="utf-8")
    report(f"{args.out}: {manifest.name}, accuracy {evaluation.accuracy:.2%}, model digest {record.model_digest}")
    return 0


def _device(name: str) -> torch.device:
    """The torch device that `name` means. Raises `ModelBuildError` if this machine has no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts.
        raise ModelBuildError(f"{name} is not a device that torch has here", "use --device auto") from error
