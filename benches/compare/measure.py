"""nginx and the sidecar in its four modes, side by side on one machine.

Rounds are interleaved: each measures every proxy once, in turning order, so that whatever else
the machine does meets all of them; what is shown are medians over the rounds. Everything is
validated, at the priority of traffic, and the default record policy stores its share. `strict`
holds and validates both halves. Throughput and CPU time come from wrk at full speed; latencies from
pace.rs at half the rate that the slowest proxy reached, the same for all; in many short rounds,
because a machine's other work stalls a core for a millisecond several times a second, and who is
met by that is chance.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import bars
import chart
import rig

MODES = ["nginx", "off", "shadow", "warn", "strict"]
MAIN = bars.MAIN

# Rounds of one second in which latencies are measured, for each round of throughput.
SHORT = 5

# Whose CPU time is compared: workload, whose, with whose.
CPU_RATIOS = [
    (bars.MAIN, "off", "nginx"),
    (bars.MAIN, "warn", "nginx"),
    (bars.MAIN, "warn", "off"),
    (bars.LARGE, "off", "nginx"),
    (bars.LARGE, "warn", "off"),
]


def plan(args):
    """Cells to measure: workload, connections, rounds, seconds."""
    if args.quick:
        return [(workload, 64, 1, 1) for workload in rig.WORKLOADS]
    cells = [(workload, 64, args.rounds, args.seconds) for workload in rig.WORKLOADS]
    few = max(3, args.rounds - 2)
    return cells + [(MAIN, 1, few, args.seconds), (MAIN, 1000, few, args.seconds)]


def start_all(bench):
    started = [bench.start_nginx()]
    for mode in MODES[1:]:
        # Room for what a flood leaves behind: nothing is shed, all is validated before time is read.
        settings = {
            "CVT_PIPELINE_PRIORITY": "normal",
            "CVT_PIPELINE_MEMORY": "4GiB",
            "CVT_PIPELINE_QUEUE_EXCHANGES": "1000000",
        }
        if mode == "strict":
            settings["CVT_ENFORCE_RESPONSES"] = "true"
        started.append(bench.start_sidecar(mode, mode, **settings))
    return started


def flood_once(bench, proxy, workload, connections, seconds):
    before, cpu = proxy.settled_counts(), proxy.cpu_seconds()
    load = bench.flood(proxy.port, workload, connections, seconds)
    after = proxy.settled_counts()
    cpu = proxy.cpu_seconds() - cpu
    if load["failed"]:
        sys.exit(f"{proxy.name}: {load['failed']} requests failed")
    return {
        "requests_per_second": load["requests"] / (load["us"] / 1e6),
        "cpu_us_per_request": cpu * 1e6 / load["requests"],
        "requests": load["requests"],
        **{name: after[name] - before[name] for name in after},
    }


def in_turns(proxies, rounds):
    for turn in range(rounds):
        for at in range(len(proxies)):
            yield turn, proxies[(turn + at) % len(proxies)]


def throughput(bench, proxies, cell):
    workload, connections, rounds, seconds = cell
    for proxy in proxies:
        bench.flood(proxy.port, workload, connections, 1)
    found = {proxy.name: [] for proxy in proxies}
    for turn, proxy in in_turns(proxies, rounds):
        one = flood_once(bench, proxy, workload, connections, seconds)
        found[proxy.name].append(one)
        print(
            f"{workload:10} {connections:5} connections, round {turn + 1}: {proxy.name:7}"
            f"{one['requests_per_second']:9.0f} requests/s {one['cpu_us_per_request']:8.2f} µs CPU", flush=True,
        )
    return {"workload": workload, "connections": connections, "rounds": found}


def summed_up(cell):
    """Medians of a cell, and what became of every exchange."""
    rows = {}
    for name, rounds in cell["rounds"].items():
        row = {
            figure: round(statistics.median(one[figure] for one in rounds), 2)
            for figure in ["requests_per_second", "cpu_us_per_request"]
        }
        for figure in ["requests", "seen", "validated", "skipped", "violations", "written"]:
            if figure in rounds[0]:
                row[figure] = sum(one[figure] for one in rounds)
        rows[name] = row
    return {"workload": cell["workload"], "connections": cell["connections"], "proxies": rows}


def ratio(cell, of, to):
    """The median over rounds of one proxy's CPU time divided by the other's in the same round."""
    pairs = zip(cell["rounds"][of], cell["rounds"][to])
    return statistics.median(one["cpu_us_per_request"] / other["cpu_us_per_request"] for one, other in pairs)


def latency(bench, proxies, rate, rounds, seconds):
    found = {proxy.name: [] for proxy in proxies}
    for turn, proxy in in_turns(proxies, rounds):
        one = bench.pace(proxy.port, MAIN, 64, rate, seconds)
        found[proxy.name].append(one)
        print(
            f"{MAIN} at {rate:.0f} requests/s, round {turn + 1}: {proxy.name:7} p50 {one['p50']} µs,"
            f" p99 {one['p99']} µs, p99.9 {one['p999']} µs", flush=True,
        )
        proxy.settled_counts()
    medians = {
        name: {figure: round(statistics.median(one[figure] for one in rounds), 1) for figure in rounds[0]}
        for name, rounds in found.items()
    }
    return {
        "workload": MAIN, "connections": 64, "asked_rate": round(rate, 1), "rounds": rounds, "seconds": seconds,
        "proxies": medians,
    }


def memory(bench, seconds):
    """Resident memory of a sidecar with 100 operations, as it comes: idle, under 64, under 1,000."""
    sidecar = bench.start_sidecar("memory", "warn", operations=100)
    idle = sidecar.memory_mib()
    figures = {"idle": round(idle, 1)}
    for connections in [64, 1000]:
        bench.flood(sidecar.port, MAIN, connections, seconds)
        figures[str(connections)] = round(sidecar.memory_mib("VmHWM"), 1)
    bench.stop([sidecar])
    print(f"memory: {figures} MiB")
    return figures


def start_up(bench, times):
    ready = []
    for _ in range(times):
        sidecar = bench.start_sidecar("start", "warn")
        ready.append(sidecar.ready_ms)
        bench.stop([sidecar])
    figure = round(statistics.median(ready), 1)
    print(f"start to ready: {figure} ms")
    return figure


def operations(bench, rounds, seconds):
    """CPU per request with many operations against few, everything validated."""
    settings = {"CVT_PIPELINE_PRIORITY": "normal", "CVT_RECORD": "violations"}
    proxies = [bench.start_sidecar(str(count), "warn", operations=count, **settings) for count in (5, 5000)]
    cell = throughput(bench, proxies, (MAIN, 64, rounds, seconds))
    bench.stop(proxies)
    return round(ratio(cell, "5000", "5"), 3)


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    return {
        "cpu": model.group(1) if model else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory_kib / 1024 / 1024),
        "kernel": os.uname().release,
    }


def measure(bench, args):
    bench.start_upstream()
    proxies = start_all(bench)
    cells = [throughput(bench, proxies, cell) for cell in plan(args)]
    main = next(cell for cell in cells if (cell["workload"], cell["connections"]) == (MAIN, 64))
    medians = summed_up(main)["proxies"]
    rate = min(row["requests_per_second"] for row in medians.values()) / 2
    paced = latency(bench, proxies, rate, 1 if args.quick else args.rounds * SHORT, 1)
    peaks = {proxy.name: round(proxy.memory_mib("VmHWM"), 1) for proxy in proxies}
    bench.stop(proxies)
    ratios = []
    for workload, of, to in CPU_RATIOS:
        cell = next(c for c in cells if (c["workload"], c["connections"]) == (workload, 64))
        ratios.append({"workload": workload, "of": of, "to": to, "ratio": round(ratio(cell, of, to), 3)})
    return {
        "date": datetime.date.today().isoformat(),
        "command": "benches/compare/run" + (" --quick" if args.quick else ""),
        "machine": machine(),
        "proxy_cores": bench.proxy_cores,
        "load_cores": bench.load_cores,
        "rounds": 1 if args.quick else args.rounds,
        "seconds": 1 if args.quick else args.seconds,
        "body_bytes": {"1 KiB": len(rig.BODY), "64 KiB": bench.list_bytes},
        "throughput": [summed_up(cell) for cell in cells],
        "latency": paced,
        "cpu_ratios": ratios,
        "peak_mib": peaks,
        "memory_mib": memory(bench, 1 if args.quick else 3),
        "start_to_ready_ms": start_up(bench, 3 if args.quick else 9),
        "binary_mib": round(Path(args.binary).stat().st_size / 1024 / 1024, 1),
        "cpu_5000_to_5_operations": operations(bench, *((1, 1) if args.quick else (args.rounds, args.seconds))),
    }


def everything_validated(result):
    """Whether each sidecar that validates validated each exchange and found nothing wrong."""
    whole = True
    for cell in result["throughput"]:
        for name, row in cell["proxies"].items():
            if name in ("nginx", "off"):
                continue
            well = row["requests"] <= row["seen"] == row["validated"] and row["violations"] == 0
            if not well:
                print(f"{name}, {cell['workload']}, {cell['connections']} connections: NOT ALL VALIDATED {row}")
            whole = whole and well
    return whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the sidecar to measure")
    parser.add_argument("--pace", required=True, help="pace.rs, compiled")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="per proxy and round")
    parser.add_argument("--quick", action="store_true", help="one short round: only shows that it works")
    parser.add_argument("--out", help="folder for compare.json and compare.svg")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a bar is missed or not everything validated")
    args = parser.parse_args()
    if args.readme and (args.quick or args.out):
        parser.error("--readme shows a full run in benches/results, so neither --quick nor --out go with it")
    out = Path(args.out or ("target/compare" if args.quick else "benches/results"))
    folder = tempfile.mkdtemp(prefix="cvt-compare.")
    os.chmod(folder, 0o755)
    bench = rig.Rig(args.binary, args.pace, folder)
    try:
        result = measure(bench, args)
    except rig.Refused as refused:
        sys.exit(str(refused))
    finally:
        bench.stop()
        shutil.rmtree(folder, ignore_errors=True)
    result["everything_validated"] = everything_validated(result)
    result["bars"] = bars.bars(result)
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.json").write_text(json.dumps(result, indent=2) + "\n")
    (out / "compare.svg").write_text(chart.draw(result))
    table = chart.table(result)
    print("\n" + table)
    if args.readme:
        chart.into_readme(Path("README.md"), out / "compare.svg", table)
    print(f"\nfigures in {out}/compare.json, chart in {out}/compare.svg")
    missed = bars.missed(result)
    for row in missed:
        print(f"NOT REACHED: {row['what']}: {row['figure']:.2f} {row['unit']}, at most {row['most']}")
    return 1 if args.check and (missed or not result["everything_validated"]) else 0


if __name__ == "__main__":
    sys.exit(main())
