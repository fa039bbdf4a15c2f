"""The command line: `hanbit <stage> --preset P --board B --seed S`, and `hanbit compile MODEL`.

A wrong input ends with one line on stderr and exit status 2; a fault of ours keeps its traceback.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

from flow import tools
from flow.errors import UserError

STAGES = {
    "train": "train the teacher and the binary student together",
    "export": "write the student as QONNX, with golden values from torch",
    "lower": "QONNX to the integer dataflow graph, every pass checked",
    "generate": "choose the folding; write the RTL and its memory files",
    "simulate": "RTL simulation of all test images, free-running and with stalls",
    "bitstream": "synthesise, place, route, write the bitstream and read it back",
    "prove": "rebuild the netlist from the bitstream and simulate it beside the RTL",
    "report": "everything; write report.json and report.html and print a table",
    "notebook": "execute the board's notebook on the simulated board",
    "deploy": "pack bitstream, driver, notebook and test images into one archive for the board",
}


TOOLCHAIN = "vivado: build with it instead of the open tools (default: the board's own)"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see `{self.prog} --help`")


def parser() -> Parser:
    top = Parser(prog="hanbit", description="Binary networks from PyTorch to a Xilinx FPGA.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in STAGES.items():
        stage = commands.add_parser(name, help=what, description=what)
        stage.add_argument("--preset", default="mlp-digits", help="a name in models/presets")
        stage.add_argument("--board", default="pynq-z2", help="a name in hw/boards")
        seeds = stage.add_mutually_exclusive_group()
        seeds.add_argument(
            "--seed",
            type=_seed,
            help="seed of training and splits (default: of the weights there are; to train: 0)",
        )
        if name == "train":
            seeds.add_argument(
                "--seeds", type=_count, help="train seeds 0 .. N-1 together, lower and compare them"
            )
            seeds.add_argument(
                "--from",
                dest="made",
                type=Path,
                metavar="DIR",
                help="the same with what `python -m models.train --out DIR` has trained",
            )
        stage.add_argument(
            "--train", action="store_true", help="train, though models/zoo may have the weights"
        )
        if name in ("bitstream", "report"):
            stage.add_argument("--toolchain", help=TOOLCHAIN)
        if name == "notebook":
            stage.add_argument(
                "--images", type=_count, help="test images (default: all, of more than 2000: 1000)"
            )
        if name == "deploy":
            stage.add_argument("--host", help="copy it there by ssh, for example xilinx@pynq")
            stage.add_argument(
                "--validate", action="store_true", help="run bring-up and all test images there"
            )
    what = "compile a QONNX file of your own to a bitstream"
    foreign = commands.add_parser("compile", help=what, description=what)
    foreign.add_argument("model", type=Path, metavar="MODEL.onnx")
    foreign.add_argument("--board", default="pynq-z2", help="a name in hw/boards")
    foreign.add_argument("--out", type=Path, required=True, metavar="DIR")
    foreign.add_argument("--data", type=Path, metavar="images.npy", help="uint8 or float in [0, 1]")
    foreign.add_argument("--labels", type=Path, metavar="labels.npy", help="class of each image")
    foreign.add_argument("--seed", type=_seed, default=0, help="seed of random images and stalls")
    goal = foreign.add_mutually_exclusive_group()
    goal.add_argument(
        "--target-cycles",
        type=_count,
        help="clock cycles an image at most (default: the fastest that routes reliably)",
    )
    _wishes(foreign, goal)
    foreign.add_argument(
        "--folding", type=Path, metavar="FILE.json", help='{"layer": {"PE": 4, "SIMD": 8}}'
    )
    foreign.add_argument("--clock-mhz", type=float, default=100.0, help="clock to aim for")
    foreign.add_argument(
        "--to",
        default="report",
        choices=["lower", "generate", "simulate", "bitstream", "prove", "report"],
        help="last stage to run (default: all)",
    )
    foreign.add_argument("--toolchain", help=TOOLCHAIN)
    what = "choose a folding by what is wanted, and show what else there is (estimated)"
    folds = commands.add_parser("fold", help=what, description=what)
    folds.add_argument("--preset", default="cnv-cifar10", help="a name in models/presets")
    _wishes(folds, folds)
    folds.add_argument("--device", default="xc7z020", help="device or part (default: xc7z020)")
    folds.add_argument("--clock-mhz", type=_number, default=100.0, help="clock reckoned with")
    folds.add_argument(
        "--lowered", type=Path, metavar="DIR", help="folder of a lowered graph, for the zoo's"
    )
    folds.add_argument(
        "--fifos",
        dest="size_fifos",
        action="store_true",
        help="find the depths of the FIFOs by simulating the folding chosen",
    )
    folds.add_argument("--out", type=Path, metavar="DIR", help="default: build/<preset>/fold")
    what = "measure lanes, foldings, the shell, simulation and training; one report"
    bench = commands.add_parser("bench", help=what, description=what)
    bench.add_argument("--preset", default="tfc-mnist", help="a name in models/presets")
    bench.add_argument(
        "--only", metavar="PARTS", help="foldings, lanes, estimates, shell, simulation, training"
    )
    bench.add_argument("--out", type=Path, default=Path("build/bench"), metavar="DIR")
    return top


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def _wishes(command: Any, speed: Any) -> None:
    """What a folding can be asked for; `speed` takes the option that says how fast."""
    speed.add_argument("--target-fps", type=_number, help="images a second at least")
    command.add_argument("--target-latency", type=_number, help="microseconds an image at most")
    command.add_argument("--max-lut", type=_count, help="LUTs of the core at most, by estimate")
    command.add_argument("--max-bram", type=_number, help="block RAMs of 36 kbit at most")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def run(options: argparse.Namespace) -> None:
    # Imported here: torch and FINN take seconds, and `--help` or a mistyped option needs neither.
    warnings.filterwarnings("ignore", message="fast_hadamard_transform")  # brevitas, on import
    from flow import bench, deploy, notebook, runs, seeds

    command: dict[str, Any] = vars(options)
    match command.pop("command"):
        case "compile":
            runs.compile_file(**command)
        case "fold":
            from flow import fold

            fold.explore(**command)
        case "bench":
            bench.bench(**command)
        case "notebook":
            notebook.notebook(**command)
        case "deploy":
            deploy.deploy(**command)
        case "train" if options.seeds or options.made:
            seeds.train_seeds(options.preset, options.board, options.seeds, options.made)
        case stage:
            command.pop("seeds", None)
            command.pop("made", None)
            runs.run_preset(stage, **command)


def main(arguments: list[str] | None = None) -> int:
    tools.stop_all_on_signals()
    try:
        run(parser().parse_args(arguments))
    except UserError as error:
        print(f"hanbit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hanbit: interrupted; the same command goes on from here", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
