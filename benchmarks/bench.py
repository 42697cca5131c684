"""Sets ``stance`` beside other ways to serve the same checkpoint, in one run on one machine.

python -m benchmarks.bench              20,000 pairs; files of up to 20,000 rows, of a million without the network
python -m benchmarks.bench --quick      a few hundred pairs, to see that it runs
python -m benchmarks.bench --grow 1000000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, REFERENCE, available
from benchmarks.machine import describe, operations, peaks
from benchmarks.report import print_results, write_results
from benchmarks.workload import real_length_pairs

HERE = Path(__file__).parent


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        results = run(options, Path(scratch))
    print_results(results)
    write_results(results, options.output)


def run(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    from stance.exporting import export

    folder = export(scratch / "checkpoint", model=options.model)
    pairs = list(real_length_pairs(options.pairs))
    (scratch / "pairs.json").write_text(json.dumps(pairs), encoding="utf-8")
    names, left_out = available()
    names = [name for name in names if not options.only or name in (*options.only, "stance", REFERENCE)]
    limits = peaks(0.2 if options.quick else 1.0)
    contenders = {name: _contend(name, folder, scratch, pairs[0], options) for name in names}
    work, tokens = _work(folder, pairs)
    for name, found in contenders.items():
        found["peak"] = CONTENDERS[name].peak
        found["share_of_peak"] = found["pairs_s"] / len(pairs) * work / 1e9 / limits[found["peak"]]
        gold = contenders[REFERENCE]["labels"]
        found["agreement"] = sum(a == b for a, b in zip(found["labels"], gold, strict=True)) / len(gold)
    return {
        "machine": describe(),
        "peaks": limits,
        "pairs": len(pairs),
        "tokens_per_pair": tokens / len(pairs),
        "model": str(options.model),
        "contenders": contenders,
        "left_out": left_out,
        "growth": [
            _worker({"task": "grow", "rows": n, "network": network, "folder": str(folder), "scratch": str(scratch)})
            for network, most in ((True, options.grow), (False, options.grow_without))
            for n in _steps(most)
        ],
    }


def _contend(
    name: str, folder: Path, scratch: Path, first: tuple[str, str], options: argparse.Namespace
) -> dict[str, Any]:
    return _worker(
        {
            "task": "contend",
            "contender": name,
            "folder": str(folder),
            "pairs": str(scratch / "pairs.json"),
            "first_pair": first,
            "singles": 30 if options.quick else 300,
            "repeats": options.repeats,
        }
    )


def _worker(request: dict[str, Any]) -> dict[str, Any]:
    """Ask ``benchmarks.worker`` in a fresh process."""
    print(" ".join(str(request.get(key, "")) for key in ("task", "contender", "rows", "network")), file=sys.stderr)
    asked = json.dumps({**request, "started": time.time()})
    command = [sys.executable, "-m", "benchmarks.worker"]
    done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, cwd=HERE.parent, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _work(folder: Path, pairs: list[tuple[str, str]]) -> tuple[float, int]:
    """Operations and tokens that the pairs need, padding not counted."""
    from stance.checkpoint import TOKENIZER_FILE, read_settings
    from stance.encoding import Encoder, as_pair

    settings = read_settings(folder)
    encoder = Encoder.from_file(folder / TOKENIZER_FILE, settings.max_tokens, settings.max_accusation_tokens)
    lengths = [len(row.ids) for row in encoder.encode([as_pair(pair) for pair in pairs])]
    config = json.loads((folder / "config.json").read_text())
    sizes = {"layers": "num_hidden_layers", "hidden": "hidden_size", "inner": "intermediate_size"}
    return operations(lengths, **{name: config[key] for name, key in sizes.items()}), sum(lengths)


def _steps(most: int) -> list[int]:
    return [n for n in (1_000, 10_000, 100_000, 1_000_000, 10_000_000) if n < most] + [most]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs that every contender scores")
    parser.add_argument("--grow", type=int, default=20_000, help="rows of the largest file")
    parser.add_argument("--grow-without", type=int, default=1_000_000, help="the same, with the network left out")
    parser.add_argument("--repeats", type=int, default=1, help="batch runs, of which the fastest counts")
    parser.add_argument(
        "--only", action="append", default=[], help="a contender to run beside stance and the reference"
    )
    parser.add_argument("--model", default="default", help="the checkpoint")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.json and speed.png")
    parser.add_argument(
        "--quick", action="store_true", help="300 pairs, files of up to 2,000 rows, of 20,000 without the network"
    )
    options = parser.parse_args()
    if options.quick:
        options.pairs, options.grow = min(options.pairs, 300), min(options.grow, 2_000)
        options.grow_without = min(options.grow_without, 20_000)
    return options


if __name__ == "__main__":
    main()
