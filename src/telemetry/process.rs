//! What the process itself uses, under the names that every Prometheus client has.
//!
//! Read from `/proc` whenever the metrics are read; what cannot be read is left out, as on
//! systems without `/proc`.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use super::metrics::{Metrics, MetricsError};

/// Name, help and type of one metric, and how it is found.
struct ProcessMetric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn() -> Option<f64>,
}

const PROCESS_METRICS: &[ProcessMetric] = &[
    ProcessMetric {
        name: "process_cpu_seconds_total",
        help: "CPU time, user and system.",
        kind: MetricType::COUNTER,
        read: || Some((stat(13)? + stat(14)?) / ticks_per_second()),
    },
    ProcessMetric {
        name: "process_resident_memory_bytes",
        help: "Memory in use.",
        kind: MetricType::GAUGE,
        read: || Some(stat(23)? * rustix::param::page_size() as f64),
    },
    ProcessMetric {
        name: "process_virtual_memory_bytes",
        help: "Address space.",
        kind: MetricType::GAUGE,
        read: || stat(22),
    },
    ProcessMetric {
        name: "process_open_fds",
        help: "Open file descriptors.",
        kind: MetricType::GAUGE,
        // The directory being read is one of them.
        read: || Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64),
    },
    ProcessMetric {
        name: "process_max_fds",
        help: "File descriptors that may be open.",
        kind: MetricType::GAUGE,
        read: || field(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files"),
    },
    ProcessMetric {
        name: "process_threads",
        help: "Threads running.",
        kind: MetricType::GAUGE,
        read: || stat(19),
    },
    ProcessMetric {
        name: "process_start_time_seconds",
        help: "When the process started, in seconds since 1970.",
        kind: MetricType::GAUGE,
        read: || {
            let booted = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
            Some(booted + stat(21)? / ticks_per_second())
        },
    },
];

struct ProcessCollector {
    descriptions: Vec<Desc>,
}

/// Registers the figures of this process, and its version.
pub fn register(metrics: &Metrics) -> Result<(), MetricsError> {
    let info = metrics.gauges("cvt_build_info", "The running version.", &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    let describe = |metric_definition: &ProcessMetric| {
        let (name, help) = (metric_definition.name.to_owned(), metric_definition.help.to_owned());
        Desc::new(name, help, Vec::new(), std::collections::HashMap::new())
    };
    let descriptions = PROCESS_METRICS.iter().map(describe).collect::<Result<_, _>>()?;
    metrics.registry().register(Box::new(ProcessCollector { descriptions }))?;
    Ok(())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// A field of `/proc/self/stat`, counted from 0 as `proc_pid_stat(5)` counts from 1. The name
/// in the second one may hold blanks, so counting begins behind it.
fn stat(index: usize) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = text.rsplit_once(')')?;
    behind_name.split_whitespace().nth(index - 2)?.parse().ok()
}

/// The first number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

// === impl ProcessCollector ===

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        PROCESS_METRICS.iter().filter_map(ProcessMetric::family).collect()
    }
}

// === impl ProcessMetric ===

impl ProcessMetric {
    fn family(&self) -> Option<MetricFamily> {
        let value = (self.read)()?;
        let mut metric = Metric::default();
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(vec![metric]);
        Some(family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_metrics_describe_this_process() {
        let value = |name: &str| {
            let metric_definition = PROCESS_METRICS
                .iter()
                .find(|metric_definition| metric_definition.name == name)
                .unwrap();
            (metric_definition.read)().unwrap()
        };
        let mebibyte = 1_048_576.0;
        let resident = value("process_resident_memory_bytes");
        assert!(resident > mebibyte && resident < value("process_virtual_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 1.0);
        assert!(value("process_max_fds") > value("process_open_fds"));
        // Between the year 2020 and 2100.
        assert!((1.577e9..4.102e9).contains(&value("process_start_time_seconds")));
        let before = value("process_cpu_seconds_total");
        let mut work = 0_u64;
        while value("process_cpu_seconds_total") <= before {
            work = (0..100_000).fold(work, |sum, n| sum.wrapping_mul(31) ^ n);
        }
        assert!(work != 1);
    }
}
