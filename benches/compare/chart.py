"""A result of measure.py as a chart and as a table."""

from html import escape

COLOURS = {"nginx": "#8a8f98", "off": "#2f9e63", "shadow": "#3b7dd8", "warn": "#e0a526", "strict": "#c8443c"}
BEGIN, END = "<!-- benches/compare: begin -->", "<!-- benches/compare: end -->"
WIDTH, BAR, GAP, LEFT = 900, 16, 26, 190


def figures(result):
    """Panels: title, unit, and per group the value of each proxy."""
    at_64 = [cell for cell in result["throughput"] if cell["connections"] == 64]
    cpu = {
        cell["workload"]: {name: row["cpu_us_per_request"] for name, row in cell["proxies"].items()}
        for cell in at_64
    }
    rates = {
        f"{cell['workload']}, {cell['connections']:,}": {
            name: row["requests_per_second"] for name, row in cell["proxies"].items()
        }
        for cell in result["throughput"]
    }
    latency = result["latency"]
    paced = {
        label: {name: row[figure] for name, row in latency["proxies"].items()}
        for figure, label in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")]
    }
    rate = f"{latency['asked_rate']:,.0f}"
    return [
        ("CPU time per request, 64 connections", "µs", cpu),
        ("Requests per second, by connections", "", rates),
        (f"Latency at {rate} requests/s, {latency['workload']}, 64 connections", "µs", paced),
    ]


def draw(result):
    """The chart as SVG."""
    parts, y = [], 64
    for title, unit, groups in figures(result):
        parts.append(f'<text x="16" y="{y}" class="t">{escape(title)}</text>')
        y += 16
        for group, values in groups.items():
            most = max(values.values())
            parts.append(f'<text x="16" y="{y + 13}" class="g">{escape(group)}</text>')
            for name, value in values.items():
                width = max(1.0, (WIDTH - LEFT - 150) * value / most)
                shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
                parts.append(
                    f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" fill="{COLOURS[name]}"/>'
                    f'<text x="{LEFT + width + 6:.1f}" y="{y + 11}" class="v">{shown} {unit} {name}</text>'
                )
                y += BAR
            y += 8
        y += GAP
    machine = result["machine"]
    head = f"{machine['cpu']}, {machine['cores']} cores; {result['date']}; {result['command']}"
    style = (
        "text{font-family:system-ui,sans-serif;fill:#24292f}.h{font-size:16px;font-weight:600}"
        ".t{font-size:14px;font-weight:600}.g{font-size:12px}.v{font-size:11px}.m{font-size:11px;fill:#57606a}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
        f"<style>{style}</style>"
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
        f'<text x="16" y="24" class="h">nginx and cvt-sidecar, everything validated; each group has its own scale</text>'
        f'<text x="16" y="42" class="m">{escape(head)}</text>' + "".join(parts) + "</svg>\n"
    )


def table(result):
    """The same figures as Markdown."""
    machine = result["machine"]
    names = list(result["latency"]["proxies"])
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores ({len(result['proxy_cores'])} for the proxy), Linux"
        f" {machine['kernel']}; {result['date']}; medians of {result['rounds']} interleaved rounds of"
        f" `{result['command']}` (latencies: {result['latency']['rounds']} of a second each).",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
    ]

    def row(label, values, form):
        cells = [form.format(values[name]) if name in values else "–" for name in names]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")

    for cell in result["throughput"]:
        at = f"{cell['workload']}, {cell['connections']:,} connections"
        row(f"CPU per request, µs: {at}", {n: r["cpu_us_per_request"] for n, r in cell["proxies"].items()}, "{:.1f}")
    for cell in result["throughput"]:
        at = f"{cell['workload']}, {cell['connections']:,} connections"
        row(f"requests/s: {at}", {n: r["requests_per_second"] for n, r in cell["proxies"].items()}, "{:,.0f}")
    paced = result["latency"]
    for figure, label in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")]:
        values = {name: one[figure] for name, one in paced["proxies"].items()}
        row(f"{label}, µs: {paced['workload']} at {paced['asked_rate']:,.0f} requests/s", values, "{:,.0f}")
    lines += ["", "| what is asked | measured | at most |", "|---|---:|---:|"]
    for one in result["bars"]:
        reached = "" if one["figure"] <= one["most"] else " (not reached)"
        lines.append(f"| {one['what']} | {one['figure']:,.4g} {one['unit']}{reached} | {one['most']:,} |")
    return "\n".join(lines)


def into_readme(path, picture, text):
    """Puts the chart and the table between the two marks in a README."""
    readme = path.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"{path}: the marks {BEGIN} and {END} are missing")
    path.write_text(f"{before}{BEGIN}\n![The same figures as a chart]({picture})\n\n{text}\n{END}{after}")
