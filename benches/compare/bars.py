"""What is asked of the sidecar, and whether a result of measure.py reaches it."""

MAIN, LARGE = "POST 1 KiB", "GET 64 KiB"
PACED = "p99 at half of the maximum rate"


def cpu(result, workload, of, to):
    """The median over rounds of one proxy's CPU time divided by the other's in the same round."""
    [found] = [
        one["ratio"] for one in result["cpu_ratios"] if (one["workload"], one["of"], one["to"]) == (workload, of, to)
    ]
    return found


def bars(result):
    """Rows: what, the figure, its unit, and the most it may be."""
    p99 = {name: row["p99"] for name, row in result["latency"]["proxies"].items()}
    memory = result["memory_mib"]
    rows = [
        ("CPU per request, `off`, POST 1 KiB", cpu(result, MAIN, "off", "nginx"), "× nginx", 1.15),
        ("CPU per request, `warn`, POST 1 KiB", cpu(result, MAIN, "warn", "off"), "× `off`", 1.5),
        ("CPU per request, `warn`, GET 64 KiB", cpu(result, LARGE, "warn", "off"), "× `off`", 6),
        (f"{PACED}, `shadow`", p99["shadow"] / p99["off"], "× `off`", 1.1),
        (f"{PACED}, `warn`", p99["warn"] / p99["off"], "× `off`", 1.1),
        (f"{PACED}, `strict`, more than `off`", p99["strict"] - p99["off"], "µs", 300),
        ("CPU per request, 5,000 operations", result["cpu_5000_to_5_operations"], "× 5 operations", 1.1),
        ("memory, 100 operations, idle", memory["idle"], "MiB", 24),
        ("memory, 100 operations, 64 connections", memory["64"], "MiB", 64),
        ("memory, 100 operations, 1,000 connections", memory["1000"], "MiB", 128),
        ("start to ready", result["start_to_ready_ms"], "ms", 300),
        ("binary", result["binary_mib"], "MiB", 30),
    ]
    return [dict(zip(["what", "figure", "unit", "most"], row)) for row in rows]


def missed(result):
    """The rows whose figure is above what is asked."""
    return [row for row in result["bars"] if row["figure"] > row["most"]]
