#!/usr/bin/env python3
"""Draws the dashboard from a Prometheus' answers, for documentation and where there is no Grafana.

    deploy/grafana/picture.py http://localhost:9090 dashboard.svg [minutes]

Every panel shows the newest values (stat, gauge, table) or the course of the last minutes.
"""

import json
import sys
import time
import urllib.parse
import urllib.request
from html import escape
from pathlib import Path

DASHBOARD = Path(__file__).with_name("cvt-sidecar.json")
COLUMN, LINE, PAD = 50, 24, 6
COLOURS = ["#3b7dd8", "#e0a526", "#2f9e63", "#c8443c", "#8057b8", "#17a2a2", "#d36ba6", "#7a7f87", "#9b6a3c", "#5b8c2a"]
UNITS = {"percentunit": (100, "%"), "s": (1000, "ms"), "bytes": (1 / 1048576, "MiB"), "ops": (1, "/s"), "reqps": (1, "/s")}


def ask(base, path, **parameters):
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def filled_in(expression):
    return expression.replace("$__rate_interval", "1m").replace("$job", ".*").replace("$instance", ".*")


def name_of(target, labels):
    name = target.get("legendFormat") or ", ".join(f"{k}={v}" for k, v in labels.items() if not k.startswith("__"))
    for label, value in labels.items():
        name = name.replace("{{" + label + "}}", value)
    return name


def shown(value, unit):
    factor, sign = UNITS.get(unit, (1, ""))
    value *= factor
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") + (f" {sign}" if sign else "") if digits else f"{value:,.0f} {sign}".strip()


def series(base, panel, minutes):
    """Name and points of each series of a panel."""
    now = time.time()
    found = []
    for target in panel["targets"]:
        expression = filled_in(target["expr"])
        step = max(1, minutes * 60 // 120)
        for one in ask(base, "query_range", query=expression, start=now - minutes * 60, end=now, step=step):
            points = [(float(at), float(value)) for at, value in one["values"] if value != "NaN"]
            if points:
                found.append((name_of(target, one["metric"]), points))
    return found


def text(x, y, words, size=11, colour="#24292f", weight="normal", anchor="start"):
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def lines(found, unit, x, y, w, h, minutes):
    now = max(points[-1][0] for _, points in found)
    most = max(max(value for _, value in points) for _, points in found) or 1
    parts = [text(x, y + 9, shown(most, unit), 9, "#57606a")]
    parts.append(f'<line x1="{x}" y1="{y + h}" x2="{x + w}" y2="{y + h}" stroke="#d0d7de"/>')
    for at, (_, points) in enumerate(found):
        path = " ".join(
            f"{x + w * (1 - (now - moment) / (minutes * 60)):.0f},{y + h - (h - 12) * max(0, value) / most:.0f}"
            for moment, value in points
        )
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[at % len(COLOURS)]}" stroke-width="1.5"/>')
    return parts


def legend(found, unit, x, y, w):
    parts, column = [], max(1, int(w // 150))
    for at, (name, points) in enumerate(found[:6]):
        left, top = x + (at % column) * (w / column), y + (at // column) * 12
        words = f"{name[: int(w / column / 6) - 8]} {shown(points[-1][1], unit)}"
        parts.append(f'<rect x="{left:.0f}" y="{top - 7:.0f}" width="8" height="8" fill="{COLOURS[at % len(COLOURS)]}"/>')
        parts.append(text(left + 12, top, words, 9))
    return parts


def draw(base, panel, minutes):
    place = panel["gridPos"]
    x, y, w, h = place["x"] * COLUMN, place["y"] * LINE + 34, place["w"] * COLUMN, place["h"] * LINE
    if panel["type"] == "row":
        return [text(x + 4, y + 17, panel["title"], 14, weight="600")]
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    parts = [
        f'<rect x="{x + 2}" y="{y + 2}" width="{w - 4}" height="{h - 4}" rx="3" fill="#fff" stroke="#d0d7de"/>',
        text(x + 10, y + 17, panel["title"], 11, weight="600"),
    ]
    found = series(base, panel, minutes)
    if not found:
        return parts + [text(x + w / 2, y + h / 2, "no data", 11, "#57606a", anchor="middle")]
    if panel["type"] in ("stat", "gauge"):
        return parts + [text(x + w / 2, y + h / 2 + 16, shown(found[0][1][-1][1], unit), 26, "#2f9e63", "600", "middle")]
    if panel["type"] == "table":
        rows = [f"{name}: {shown(points[-1][1], unit)}" for name, points in found]
        return parts + [text(x + 10, y + 36 + 13 * at, row[: int(w / 5.2)], 9) for at, row in enumerate(rows[: int(h / 13) - 3])]
    parts += lines(found, unit, x + 10, y + 24, w - 20, h - 62, minutes)
    return parts + legend(found, unit, x + 10, y + h - 24, w - 20)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    base, out = sys.argv[1].rstrip("/"), Path(sys.argv[2])
    minutes = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * LINE + 44
    width = 24 * COLUMN
    parts = [text(10, 24, f"{dashboard['title']}: the last {minutes} minutes", 16, weight="600")]
    for panel in panels:
        parts += draw(base, panel, minutes)
    out.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui,sans-serif"><rect width="{width}" height="{height}" fill="#f6f8fa"/>'
        + "\n".join(parts) + "</svg>\n"
    )


if __name__ == "__main__":
    main()
