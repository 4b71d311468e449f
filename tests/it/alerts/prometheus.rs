//! A real Prometheus with the configuration and the rules of `deploy/prometheus`.

use std::fmt::Debug;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::page::root;
use crate::support::{Client, Deadline, eventually};

/// A running Prometheus; killed when dropped.
pub(crate) struct Prometheus {
    address: SocketAddr,
    child: Child,
    dir: TempDir,
}

/// One series of an answer, with its newest value.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) value: f64,
}

/// The path of a command that `tests/run` installs.
#[track_caller]
pub(crate) fn installed(command: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]);
    let found = places.map(|place| place.join(command)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{command} is missing: run tests/run, or apt-get install prometheus")
    })
}

// === impl Prometheus ===

impl Prometheus {
    /// Scrapes the metrics at `target` every second, with the configuration as it is shipped in
    /// everything else.
    #[track_caller]
    pub(crate) fn scraping(target: SocketAddr) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let shipped = root().join("deploy/prometheus");
        for rules in ["recording.yml", "alerts.yml"] {
            fs::copy(shipped.join(rules), dir.path().join(rules)).expect("rules");
        }
        let config = fs::read_to_string(shipped.join("prometheus.yml")).expect("a configuration");
        let ours = config.replace("15s", "1s").replace("127.0.0.1:9551", &target.to_string());
        assert!(ours.contains(&target.to_string()), "the shipped target is replaced: {config}");
        fs::write(dir.path().join("prometheus.yml"), ours).expect("a configuration");
        let address = free_address();
        let child = spawn(dir.path(), address);
        let mut prometheus = Self { address, child, dir };
        eventually("Prometheus", || prometheus.is_up());
        prometheus
    }

    fn is_up(&mut self) -> Result<(), String> {
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        if let Ok(Some(status)) = self.child.try_wait() {
            panic!("Prometheus ended ({status}) and said:\n{}", log());
        }
        if TcpStream::connect(self.address).is_err() {
            return Err(log());
        }
        let answer = Client::get(self.address, "/-/ready");
        if answer.status() == 200 { Ok(()) } else { Err(log()) }
    }

    /// Asks until `ask` answers, for at most `wait`.
    #[track_caller]
    pub(crate) fn wait_for<T, E: Debug>(
        &self,
        what: &str,
        wait: Duration,
        ask: impl Fn(&Self) -> Result<T, E>,
    ) -> T {
        let deadline = Deadline::after(wait);
        loop {
            match ask(self) {
                Ok(answer) => return answer,
                Err(refusal) if deadline.passed() => {
                    panic!("{what}: not within {wait:?}; last seen: {refusal:?}")
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The answer to an instant query.
    #[track_caller]
    pub(crate) fn query(&self, expression: &str) -> Vec<Sample> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let answer = self.get(&format!("/api/v1/query?query={encoded}"));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = answer["data"]["result"].as_array().expect("a vector").iter();
        let value = |sample: &Value| sample["value"][1].as_str().and_then(|text| text.parse().ok());
        result.map(|sample| Sample { value: value(sample).expect("a number") }).collect()
    }

    /// The alerts that fire: name, and operation where there is one.
    #[track_caller]
    pub(crate) fn firing(&self) -> Vec<String> {
        let answer = self.get("/api/v1/alerts");
        let alerts = answer["data"]["alerts"].as_array().expect("alerts").iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        let name = |alert: &Value| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", label("alertname"), label("operation")).trim().to_owned()
        };
        firing.map(name).collect()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = Client::get(self.address, path);
        serde_json::from_str(&answer.text()).expect("JSON from Prometheus")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

fn spawn(dir: &Path, address: SocketAddr) -> Child {
    let log = fs::File::create(dir.join("log")).expect("a log");
    Command::new(installed("prometheus"))
        .current_dir(dir)
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("Prometheus starts")
}
