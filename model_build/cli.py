"""The command line: `python -m model_build {build,quantise,check,available,train-offline}`.

Exit status: 0 done, 1 refused or failed, 2 wrong usage. Progress and errors go to stderr, the result to stdout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from blindsight.arguments import a_path, program
from model_build import build, formats, told, weights
from model_build.answers import Expected
from model_build.errors import ModelBuildError
from model_build.manifest import file_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from model_build.export import Network
    from model_build.manifest import AnyManifest, Format

_INSTALL = "install requirements/torch.txt and requirements/model-build.txt: see docs/operations.md"

_INTERRUPTED = 130
"""The exit status: 128 and the number of SIGINT, as shells report it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments`, or the process's own, and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
    try:
        parser = _parser(with_training=list(arguments[:1]) == ["train-offline"])
        options = parser.parse_args(arguments)
        _check_usage(parser, options)
        return int(options.run(options, console) or 0)
    except ModelBuildError as error:
        return _failed(console, str(error), error.next_step)
    except ModuleNotFoundError as error:
        return _failed(console, f"the Python package {error.name} is not installed", _INSTALL)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _failed(console, f"{error.strerror or error}{place}", "mend that and run it again")
    except KeyboardInterrupt:
        return _failed(console, "interrupted", "nothing was written; run it again", status=_INTERRUPTED)


def _failed(console: Console, message: str, next_step: str, *, status: int = 1) -> int:
    console.print(f"error: {message}", style="red", markup=False)
    if next_step:
        console.print(f"next:  {next_step}", markup=False)
    return status


def _build(options: argparse.Namespace, console: Console) -> int:
    if options.precision == "int8":
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{options.out.name}.", dir=options.out.parent) as folder:
            _build_float32(Path(folder), options, console)
            made = _quantised(Path(folder), options, console, options.check)
    else:
        made = _build_float32(options.out, options, console)
    if not made.trained:
        console.print("NOTE: this model is not trained; its answers mean nothing", style="bold yellow")
    _print_model(options.out, made)
    return 0


def _build_float32(out: Path, options: argparse.Namespace, console: Console) -> AnyManifest:
    def say(line: str) -> None:
        console.print(line, markup=False)

    if options.directory:
        return build.copy(out, options.directory, options.formats, dct_scaling=options.dct_scaling, say=say)
    if options.onnx:
        console.print(f"Checking {options.onnx}", markup=False)
        build.import_onnx(
            out,
            options.onnx,
            label_file=options.labels,
            name=options.name,
            version=options.version,
            trained=not options.untrained_model,
            told=told.of_options(options),
            expected=options.check,
            say=say,
        )
    else:
        # The weights come first: without network, that should be known before torch is loaded.
        file = None if options.untrained else options.weights or _fetch(options.cache, console)
        network = _network(file, options.seed)
        pictures = _pictures(options.check_images)
        build.build_resnet50(
            out,
            network,
            plain=options.plain,
            pictures=pictures,
            say=say,
        )
    return formats.settle(out, options.formats, dct_scaling=options.dct_scaling, say=say)


def _quantise(options: argparse.Namespace, console: Console) -> int:
    _print_model(options.out, _quantised(options.model, options, console))
    return 0


def _quantised(
    source: Path, options: argparse.Namespace, console: Console, expected: Sequence[Expected] = ()
) -> AnyManifest:
    from model_build import quantise  # noqa: PLC0415 - needs onnx, which serving and importing do without

    return quantise.quantise(
        options.out,
        source,
        photos=options.images,
        activations=options.activations or "uint8",
        speed_test=not options.no_speed_test,
        expected=expected,
        say=lambda line: console.print(line, markup=False),
    )


def _check(options: argparse.Namespace, console: Console) -> int:
    from model_build import check  # noqa: PLC0415 - loads Pillow, which the import of an ONNX file does without

    checked = check.check_directory(options.directory)
    if options.weights:
        if (sha256 := file_sha256(options.weights)) != checked.weights.sha256:
            raise ModelBuildError(
                f"{options.weights} has SHA-256 {sha256}, the manifest says {checked.weights.sha256}",
                "give the weights file that the model was made from",
            )
        network = _network(options.weights, seed=0)
        path = options.directory / checked.onnx.file
        worst = check.check_against_torch(network, path, _pictures(options.check_images))
        console.print(f"Against torch: largest difference {worst:.1e} of the logits' range, same top 5")
    _print_model(options.directory, checked)
    return 0


def _available(options: argparse.Namespace, _console: Console) -> int:
    file = weights.RESNET50
    if path := weights.cached(options.cache, file):
        _say(f"pretrained weights: in the cache, {path}")
        return 0
    found = weights.reachable(file)
    _say(f"pretrained weights: not in the cache, {file.url} {'answers' if found else 'does not answer'}")
    return 0 if found else 1


def _network(file: Path | None, seed: int) -> Network:
    from model_build import export  # noqa: PLC0415 - loads torch, which takes seconds and may not be installed

    return export.untrained(seed) if file is None else export.trained(file)


def _pictures(directory: Path | None) -> list[Image.Image]:
    from model_build import check  # noqa: PLC0415 - as in `_check`

    return check.read_pictures(directory) if directory else []


def _fetch(cache: Path, console: Console) -> Path:
    file = weights.RESNET50
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(file.name, total=file.size)
        return weights.fetch(cache, file, lambda arrived: progress.update(task, completed=arrived))


def _print_model(directory: Path, model: AnyManifest) -> None:
    training = "trained" if model.trained else "NOT TRAINED"
    computed = "" if model.precision is None else f"{model.precision}, "
    _say(f"{directory}: {model.name} {model.version}, {training}, {computed}model digest {model.digest().hex()}")


def _say(line: str) -> None:
    """Print a result line to stdout."""
    Console(highlight=False, soft_wrap=True, markup=False, emoji=False).print(line)


def _parser(*, with_training: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program("model_build"), description="Build and check model directories.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="write a model directory: ONNX graph, labels, model.json")
    command.set_defaults(run=_build)
    command.add_argument("--out", type=a_path, required=True, metavar="DIR", help="the model directory to write")
    source = command.add_mutually_exclusive_group()
    source.add_argument(
        "--weights", type=a_path, metavar="FILE", help="ResNet50 weights in a file instead of the network"
    )
    source.add_argument("--untrained", action="store_true", help="random weights, for machines without network")
    source.add_argument("--onnx", type=a_path, metavar="FILE", help="an ONNX classifier: docs/models.md")
    source.add_argument(
        "--directory",
        type=a_path,
        metavar="DIR",
        help="a model directory, to copy it with other --formats or decoding",
    )
    command.add_argument("--seed", type=int, metavar="N", help="seed of --untrained (default 0)")
    command.add_argument("--plain", action="store_true", help="keep torch's export as it is, without optimisation")
    command.add_argument(
        "--labels", type=a_path, metavar="FILE", help="labels of --onnx, one a line (default ImageNet's)"
    )
    command.add_argument("--name", help="name of --onnx in the manifest (default its file name)")
    command.add_argument("--version", help="version of --onnx in the manifest (default from its SHA-256)")
    command.add_argument(
        "--untrained-model", action="store_true", help="state in the manifest that --onnx is not trained"
    )
    command.add_argument(
        "--dct-scaling",
        action=argparse.BooleanOptionalAction,
        help="decode large JPEGs at a half, a quarter or an eighth of their width and height, which is faster and"
        " changes pixels slightly; the manifest, and so the evidence, states it (default: yes)",
    )
    command.add_argument(
        "--formats",
        type=_formats,
        metavar="LIST",
        help="accepted image formats, some of jpeg,png,webp,avif; the manifest, and so the evidence, states them"
        " (default jpeg,png,webp)",
    )
    command.add_argument(
        "--precision", choices=("float32", "int8"), default="float32", help="int8: as `quantise` does (default float32)"
    )
    command.add_argument(
        "--check",
        type=Expected.parse,
        action="append",
        default=[],
        metavar="IMAGE=LABEL",
        help="an image and the answer that --onnx must give; may be repeated",
    )
    _add_quantising(command)
    _add_cache(command)
    _add_check_images(command)
    told.add_arguments(command)

    command = commands.add_parser("quantise", help="write the int8 variant of a model directory")
    command.set_defaults(run=_quantise)
    command.add_argument("--model", type=a_path, required=True, metavar="DIR", help="the float32 model directory")
    command.add_argument("--out", type=a_path, required=True, metavar="DIR", help="the model directory to write")
    _add_quantising(command)

    command = commands.add_parser("check", help="check a model directory against its manifest, and run it")
    command.set_defaults(run=_check)
    command.add_argument("directory", type=a_path, metavar="DIR", help="the model directory")
    command.add_argument("--weights", type=a_path, metavar="FILE", help="also compare with torch, with these weights")
    _add_check_images(command)

    command = commands.add_parser("available", help="show whether pretrained weights are cached or can be fetched")
    command.set_defaults(run=_available)
    _add_cache(command)

    command = commands.add_parser("train-offline", help="train a small classifier on this machine, without network")
    if with_training:
        from model_build.offline import train  # noqa: PLC0415 - loads torch

        train.add_arguments(command)
        command.set_defaults(run=lambda options, _console: train.run(options))
    return parser


def _formats(text: str) -> tuple[Format, ...]:
    try:
        return formats.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=a_path,
        metavar="DIR",
        default=weights.cache_dir(),
        help="where fetched weights are kept (default $BLINDSIGHT_CACHE or ~/.cache/blindsight)",
    )


def _add_quantising(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--images",
        type=a_path,
        metavar="DIR",
        help="100 photos or more, to calibrate int8 and to compare it with float32 (default: synthetic pictures, which"
        " the manifest then states)",
    )
    command.add_argument(
        "--activations",
        choices=("uint8", "int8"),
        help="type of the integers between int8 layers (default uint8, which is faster on x86-64 processors)",
    )
    command.add_argument(
        "--no-speed-test",
        action="store_true",
        help="do not require int8 to be 1.5 times as fast on this machine, which will not serve it; the manifest states"
        " this",
    )


def _add_check_images(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--check-images", type=a_path, metavar="DIR", help="also compare with torch on the photos in this folder"
    )


def _check_usage(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that another option's absence makes meaningless, and settle the default of `build`'s seed."""
    if options.run is _check and options.check_images and not options.weights:
        parser.error("--check-images has no effect without --weights")
    if options.run is not _build:
        return
    if not options.onnx:
        if options.normalisation or not told.of_options(options).is_empty:
            parser.error("what a graph takes and gives can be said with --onnx alone")
        for option in ("labels", "name", "version", "untrained_model", "check"):
            if getattr(options, option):
                parser.error(f"--{option.replace('_', '-')} needs --onnx")
    if (options.onnx or options.directory) and (options.plain or options.check_images):
        parser.error("--plain and --check-images are for ResNet50, not for --onnx or --directory")
    if options.directory and not options.formats and options.dct_scaling is None and options.precision == "float32":
        parser.error("--directory needs --formats, --dct-scaling or --precision int8")
    if options.precision == "float32":
        for option in ("images", "activations", "no_speed_test"):
            if getattr(options, option):
                parser.error(f"--{option.replace('_', '-')} needs --precision int8")
    if options.seed is not None and not options.untrained:
        parser.error("--seed needs --untrained")
    options.seed = options.seed or 0
