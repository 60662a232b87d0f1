#!/usr/bin/env python3
"""The lab tests: rplay on real hosts, judged case by case, with ansible-core as the standard.

    tests/lab/run.py --rplay target/x86_64-unknown-linux-gnu/release/rplay
    tests/lab/run.py --rplay tests/lab/ansible_as_rplay --only faults
"""
import argparse
import os
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent.parent), str(HERE)]

import reference  # noqa: E402
from facts_cases import Facts  # noqa: E402
from fault_cases import Faults  # noqa: E402
from fortress_cases import Fortress  # noqa: E402
from lab import packages, shell  # noqa: E402
from robust_cases import Robust  # noqa: E402
from tool import Tool  # noqa: E402


def run_suite(name: str, suite, wanted: list[str], keep: bool) -> tuple[int, int]:
    """Bring the suite's labs up, run its cases in order, take them down; how many passed and failed."""
    passed = failed = 0
    try:
        suite.up()
        for case in suite.cases():
            label = f"{name}.{case.__name__}"
            if wanted and not any(w in (name, case.__name__, label) for w in wanted):
                continue
            started = time.monotonic()
            try:
                case()
            except (AssertionError, shell.LabError, OSError) as error:
                failed += 1
                print(f"FAIL {label} ({time.monotonic() - started:.1f} s)\n     " + str(error).replace("\n", "\n     "), flush=True)
            else:
                passed += 1
                print(f"ok   {label} ({time.monotonic() - started:.1f} s)", flush=True)
    except Exception:  # the suite's labs themselves: one more failure, and the other suites still run
        failed += 1
        print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    finally:
        if not keep:
            suite.down()
    return passed, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rplay", required=True, help="the binary to judge")
    parser.add_argument("--only", nargs="*", default=[], help="suites (`fortress`, `faults`, `robust`, `facts`) or cases")
    parser.add_argument("--keep", action="store_true", help="leave the labs up")
    args = parser.parse_args()
    packages.ensure()
    # The wrapper finds the reference through the environment that Tool sets up.
    tool, standard = Tool(os.path.abspath(args.rplay)), Tool(str(HERE / "ansible_as_rplay"))
    reference.ensure()
    suites = {"fortress": Fortress(tool, standard), "faults": Faults(tool), "robust": Robust(tool), "facts": Facts(tool, standard)}
    passed = failed = 0
    for name, suite in suites.items():
        names = {name, *(c.__name__ for c in suite.cases()), *(f"{name}.{c.__name__}" for c in suite.cases())}
        if args.only and not names & set(args.only):
            continue
        more = run_suite(name, suite, args.only, args.keep)
        passed, failed = passed + more[0], failed + more[1]
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
