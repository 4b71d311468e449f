//! The Prometheus text format, read back.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Client;

/// One scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetricsScrape {
    series: Vec<MetricSeries>,
    kinds: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct MetricSeries {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

// === impl MetricsScrape ===

impl MetricsScrape {
    /// Scrapes the admin port at `address`.
    #[track_caller]
    pub(crate) fn scrape(address: SocketAddr) -> Self {
        let answer = Client::get(address, "/metrics");
        assert_eq!(answer.status(), 200, "/metrics: {}", answer.text());
        Self::parse(&answer.text())
    }

    /// Reads the text format; a line it cannot read fails the test.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let read = |line: &str| {
            MetricSeries::parse(line).unwrap_or_else(|| panic!("not a series: {line}"))
        };
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let kinds = kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        Self { series: lines.map(read).collect(), kinds }
    }

    /// The sum of every series called `name` that carries all of `labels`.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |series: &&MetricSeries| {
            series.name == name
                && labels
                    .iter()
                    .all(|(key, value)| series.labels.get(*key).is_some_and(|v| v == value))
        };
        self.series.iter().filter(carries).map(|series| series.value).sum()
    }

    /// Whether any series is called `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.series.iter().any(|series| series.name == name)
    }

    /// The name and type of each metric.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kinds.iter().map(|(name, kind)| (name.as_str(), kind.as_str()))
    }

    /// The name, the labels' names (sorted) and the value of each series.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>, f64)> {
        self.series.iter().map(|series| {
            (series.name.as_str(), series.labels.keys().map(String::as_str), series.value)
        })
    }

    /// The values of one label of the series called `name`.
    pub(crate) fn values_of(&self, name: &str, label: &str) -> impl Iterator<Item = &str> {
        let named = self.series.iter().filter(move |series| series.name == name);
        named.filter_map(move |series| series.labels.get(label)).map(String::as_str)
    }

    /// Every value that stands in a label.
    pub(crate) fn label_values(&self) -> impl Iterator<Item = &str> {
        self.series.iter().flat_map(|series| series.labels.values()).map(String::as_str)
    }
}

// === impl MetricSeries ===

impl MetricSeries {
    fn parse(line: &str) -> Option<Self> {
        let (named, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let Some((name, labels)) = named.split_once('{') else {
            return Some(Self { name: named.to_owned(), labels: BTreeMap::new(), value });
        };
        let mut rest = labels.strip_suffix('}')?;
        let mut labels = BTreeMap::new();
        while let Some((key, after)) = rest.split_once("=\"") {
            let (text, after) = unquote(after)?;
            labels.insert(key.trim_start_matches(',').to_owned(), text);
            rest = after;
        }
        Some(Self { name: name.to_owned(), labels, value })
    }
}

/// Reads an escaped label value up to its closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[test]
fn the_text_format_parses() {
    let text = "# HELP a b\na{x=\"1\",y=\"q\\\"},\\n\"} 2\na{x=\"2\"} 3.5\nplain 1e3\n";
    let metrics = MetricsScrape::parse(text);
    assert!((metrics.sum("a", &[]) - 5.5).abs() < 1e-9);
    assert!((metrics.sum("a", &[("x", "1")]) - 2.0).abs() < 1e-9);
    assert!((metrics.sum("plain", &[]) - 1000.0).abs() < 1e-9);
    assert!(metrics.label_values().any(|value| value == "q\"},\n"));
    assert!(!metrics.has("b"));
}
