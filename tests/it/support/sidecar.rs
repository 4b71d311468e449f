//! The real binary, in a directory of its own, on free ports.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::Value;
use tempfile::TempDir;

use super::{Client, MetricsScrape, eventually};

/// What a sidecar is started with.
pub(crate) struct SidecarSetup {
    dir: TempDir,
    launch: Launch,
}

/// A command line and its environment.
#[derive(Clone)]
struct Launch {
    /// The command that the sidecar is run by, if any.
    around: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// A listening socket that it inherits.
    socket: Option<Arc<TcpListener>>,
}

/// A sidecar that does not listen yet.
pub(crate) struct Starting {
    dir: TempDir,
    child: Child,
    output: CapturedOutput,
}

/// A running sidecar; killed when dropped.
pub(crate) struct Sidecar {
    /// Where traffic goes.
    pub(crate) traffic: SocketAddr,
    /// Where metrics and health are.
    pub(crate) admin: SocketAddr,
    dir: TempDir,
    launch: Launch,
    child: Child,
    output: CapturedOutput,
}

/// What a process said and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything on standard output.
    pub(crate) stdout: String,
    /// Everything on standard error.
    pub(crate) stderr: String,
}

#[derive(Default)]
struct CapturedOutput {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// The binary under test: what this build made, or the one at the path that `CVT_TEST_BINARY`
/// holds, so that what ships is put to the same tests.
pub(crate) fn binary() -> PathBuf {
    match std::env::var_os("CVT_TEST_BINARY") {
        Some(path) => std::fs::canonicalize(path).expect("CVT_TEST_BINARY names a file"),
        None => env!("CARGO_BIN_EXE_cvt-sidecar").into(),
    }
}

/// The binary under test, with none of the caller's settings.
pub(crate) fn command(dir: &Path) -> Command {
    bare(Command::new(binary()), dir)
}

fn bare(mut command: Command, dir: &Path) -> Command {
    command.current_dir(dir).stdin(Stdio::null()).env_clear();
    for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

// === impl SidecarSetup ===

impl SidecarSetup {
    /// A sidecar in front of `upstream` that validates against the OpenAPI `document`.
    pub(crate) fn new(document: &str, upstream: SocketAddr) -> Self {
        let mut setup = Self::bare();
        setup.write("openapi.yaml", document);
        let args = &mut setup.launch.args;
        args.extend(["--spec".into(), "openapi.yaml".into()]);
        args.extend(["--upstream".into(), format!("http://{upstream}")]);
        setup
    }

    /// A sidecar with free ports and nothing else set.
    pub(crate) fn bare() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        let dir = TempDir::new().expect("a temporary directory");
        let (around, env, socket) = (Vec::new(), Vec::new(), None);
        let launch = Launch { around, args: vec!["run".into()], env, socket };
        Self { dir, launch }.env("CVT_LISTEN", &any).env("CVT_ADMIN_LISTEN", &any)
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.launch.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.launch.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the sidecar's directory.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    /// A sidecar with these settings in its config file; ports are free ones.
    pub(crate) fn configured(settings: &str) -> Self {
        Self::bare().file("cvt.yaml", settings)
    }

    /// Runs in `dir`, with what an earlier sidecar left there; what was written so far moves in.
    pub(crate) fn inside(mut self, dir: TempDir) -> Self {
        for file in fs::read_dir(self.dir.path()).expect("the directory").flatten() {
            fs::copy(file.path(), dir.path().join(file.file_name())).expect("a copied file");
        }
        self.dir = dir;
        self
    }

    /// The directory it will run in.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs with `hosts` in the place of /etc/hosts, in a mount namespace of its own.
    pub(crate) fn with_hosts(self, hosts: &Path) -> Self {
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let hosts = hosts.to_str().expect("a path in UTF-8");
        self.inside_of(&["unshare", "-rm", "sh", "-c", script, hosts])
    }

    fn write(&mut self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).expect("a written file");
    }

    /// Runs it by the command `around`.
    pub(crate) fn inside_of(mut self, around: &[&str]) -> Self {
        self.launch.around = around.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// Listens on `socket`, which it finds where systemd puts it.
    pub(crate) fn activated(self, socket: &Arc<TcpListener>) -> Self {
        let address = socket.local_addr().expect("an address").to_string();
        let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
        let mut setup = self.env("CVT_LISTEN", &address).inside_of(&["sh", "-c", script, "sh"]);
        setup.launch.socket = Some(socket.clone());
        setup
    }

    /// Starts it and waits for nothing.
    pub(crate) fn launch(self) -> Starting {
        let (child, output) = self.launch.spawn(self.dir.path());
        Starting { dir: self.dir, child, output }
    }

    /// Starts it and waits until it is ready and its storage is open.
    #[track_caller]
    pub(crate) fn start(self) -> Sidecar {
        let sidecar = self.start_unready();
        eventually("readiness", || {
            let answer = Client::get(sidecar.admin, "/readyz?storage=1");
            if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
        });
        sidecar
    }

    /// Starts it and waits until it listens, ready or not.
    #[track_caller]
    pub(crate) fn start_unready(self) -> Sidecar {
        let launch = self.launch.clone();
        self.launch().listening(launch)
    }

    /// Starts it, expecting it to give up, and says how it did.
    #[track_caller]
    pub(crate) fn refuse(self) -> Finished {
        self.launch().finished()
    }
}

// === impl Launch ===

impl Launch {
    fn spawn(&self, dir: &Path) -> (Child, CapturedOutput) {
        let command = match self.around.split_first() {
            None => command(dir),
            Some((program, arguments)) => {
                let mut command = bare(Command::new(program), dir);
                command.args(arguments).arg(binary());
                command
            }
        };
        let mut command = command;
        if let Some(socket) = &self.socket {
            let socket = socket.try_clone().expect("a descriptor");
            command.stdin(Stdio::from(OwnedFd::from(socket)));
        }
        let mut child = command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut output = CapturedOutput::default();
        output.follow(child.stdout.take().expect("a pipe"), &Arc::clone(&output.stdout));
        output.follow(child.stderr.take().expect("a pipe"), &Arc::clone(&output.stderr));
        (child, output)
    }
}

// === impl Starting ===

impl Starting {
    /// Waits until it listens.
    #[track_caller]
    fn listening(self, launch: Launch) -> Sidecar {
        let Self { dir, mut child, output } = self;
        let (traffic, admin) = eventually("the sidecar's ports", || {
            let said = format!("{}{}", output.stdout(), output.stderr());
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the sidecar ended ({status}) and said:\n{said}");
            }
            listening(&said).ok_or(said)
        });
        Sidecar { traffic, admin, dir, launch, child, output }
    }

    /// Asks it to stop and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> Finished {
        signal(&self.child, rustix::process::Signal::TERM);
        self.finished()
    }

    #[track_caller]
    fn finished(mut self) -> Finished {
        let status = wait(&mut self.child, &self.output);
        self.output.finish(status)
    }
}

/// The traffic and admin addresses in the log event `listening`.
fn listening(said: &str) -> Option<(SocketAddr, SocketAddr)> {
    let event = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut events = event.filter(|event| field(event, "event") == Some("listening"));
    events.find_map(|event| {
        let address = |name| field(&event, name)?.parse().ok();
        Some((address("traffic")?, address("admin")?))
    })
}

/// A field of a JSON log event, flattened or not.
fn field<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event.get(name).or_else(|| event.get("fields")?.get(name))?.as_str()
}

#[track_caller]
fn wait(child: &mut Child, output: &CapturedOutput) -> ExitStatus {
    eventually("the end of the process", || match child.try_wait() {
        Ok(Some(status)) => Ok(status),
        _ => Err(format!("{}{}", output.stdout(), output.stderr())),
    })
}

// === impl Sidecar ===

impl Sidecar {
    /// The directory it runs in.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its metrics now.
    #[track_caller]
    pub(crate) fn metrics(&self) -> MetricsScrape {
        MetricsScrape::scrape(self.admin)
    }

    /// The metrics, once `holds` says so.
    #[track_caller]
    pub(crate) fn wait_for_metrics(
        &self,
        what: &str,
        holds: impl Fn(&MetricsScrape) -> bool,
    ) -> MetricsScrape {
        eventually(what, || {
            let metrics = self.metrics();
            if holds(&metrics) { Ok(metrics) } else { Err(format!("{metrics:?}")) }
        })
    }

    /// The records, once there are at least `n`; oldest first.
    #[track_caller]
    pub(crate) fn records(&self, n: usize) -> Vec<Value> {
        eventually("records in storage", || {
            let records = records_in(&self.dir());
            if records.len() >= n { Ok(records) } else { Err(format!("{records:?}")) }
        })
    }

    /// Everything it said so far.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.output.stdout(), self.output.stderr())
    }

    /// Writes a file into its directory, in the place of one that may be there.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let fresh = self.dir.path().join(format!(".{name}.new"));
        fs::write(&fresh, text).expect("a written file");
        fs::rename(fresh, self.dir.path().join(name)).expect("a file in its place");
    }

    /// Asks it to read its files again.
    pub(crate) fn hang_up(&self) {
        signal(&self.child, rustix::process::Signal::HUP);
    }

    /// Asks it to stop and waits until it has.
    #[track_caller]
    pub(crate) fn terminate(self) -> (Finished, TempDir) {
        signal(&self.child, rustix::process::Signal::TERM);
        self.ended()
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait_for_end(self) -> Finished {
        self.ended().0
    }

    /// Has a new process take its place, and waits until the old one has ended.
    #[track_caller]
    pub(crate) fn succeed(self) -> (Self, Finished) {
        let launch = self.launch.clone();
        let successor = self.successor(&[]);
        signal(&self.child, rustix::process::Signal::QUIT);
        let mut successor = successor.listening(launch);
        let (finished, dir) = self.ended();
        successor.dir = dir;
        (successor, finished)
    }

    /// Starts a successor with more arguments that cannot start, and says how it ended.
    #[track_caller]
    pub(crate) fn refuse_successor(&self, args: &[&str]) -> Finished {
        let starting = self.successor(args);
        signal(&self.child, rustix::process::Signal::QUIT);
        starting.finished()
    }

    fn successor(&self, args: &[&str]) -> Starting {
        let mut launch = self.launch.clone();
        launch.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        launch.args.push("--upgrade".to_owned());
        let (child, output) = launch.spawn(self.dir.path());
        Starting { dir: TempDir::new().expect("a temporary directory"), child, output }
    }

    #[track_caller]
    fn ended(mut self) -> (Finished, TempDir) {
        let status = wait(&mut self.child, &self.output);
        let output = std::mem::take(&mut self.output);
        let dir = std::mem::replace(&mut self.dir, TempDir::new().expect("a temporary directory"));
        (output.finish(status), dir)
    }

    /// Kills it at once; what it left behind stays.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().expect("a live process");
        self.child.wait().expect("its end");
        std::mem::replace(&mut self.dir, TempDir::new().expect("a temporary directory"))
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), signal).expect("a live process");
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the sidecar said:\n{}", self.said());
        }
    }
}

/// The records that `validations list` reads back from a directory; oldest first.
#[track_caller]
pub(crate) fn records_in(dir: &Path) -> Vec<Value> {
    let listed =
        command(dir).args(["validations", "list", "--json"]).output().expect("the binary runs");
    let mut records: Vec<Value> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object per line"))
        .collect();
    records.reverse();
    records
}

// === impl CapturedOutput ===

impl CapturedOutput {
    fn follow(&mut self, from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
        let into = Arc::clone(into);
        self.readers.push(thread::spawn(move || {
            let mut lines = BufReader::new(from);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
                into.lock().expect("output").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }));
    }

    fn stdout(&self) -> String {
        self.stdout.lock().expect("output").clone()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().expect("output").clone()
    }

    fn finish(mut self, status: ExitStatus) -> Finished {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}
