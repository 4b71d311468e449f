//! The end of the process and its succession, under load, with the real binary.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::documents::USERS;
use crate::support::load::LoadGenerator;
use crate::support::{
    Client, Finished, ScriptedUpstream, Sidecar, SidecarSetup, command, eventually,
};

const ADA: &str = r#"{"name":"Ada","age":36}"#;
const GET: &str = "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// How many records a sidecar left in `dir`.
fn stored_in(dir: &Path) -> usize {
    let mut count = 0;
    let mut cursor: Option<String> = None;
    loop {
        let mut list = command(dir);
        list.args(["validations", "list", "--json", "--limit", "1000"]);
        list.args(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let page = list.output().expect("the binary runs");
        assert!(page.status.success(), "{page:?}");
        count += String::from_utf8_lossy(&page.stdout).lines().count();
        let said = String::from_utf8_lossy(&page.stderr).into_owned();
        let Some((_, next)) = said.split_once("more with --cursor ") else { return count };
        cursor = Some(next.trim().to_owned());
    }
}

#[test]
fn a_takeover_under_load_fails_no_request() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let mut sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let load = LoadGenerator::start(sidecar.traffic, 4, GET);
    load.wait_for(100);
    for _ in 0..3 {
        let (traffic, admin, pid) = (sidecar.traffic, sidecar.admin, sidecar.pid());
        let (successor, finished) = sidecar.succeed();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!((successor.traffic, successor.admin), (traffic, admin));
        assert_ne!(successor.pid(), pid);
        load.wait_for(100);
        assert_eq!(Client::get(admin, "/healthz").status(), 200);
        sidecar = successor;
    }
    let met = load.finish();
    let failures = [&met.failed, &met.unserved, &met.unconnected];
    assert!(failures.iter().all(|count| count.load(Ordering::SeqCst) == 0), "{met:?}");
    let (finished, _) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn callers_wait_on_a_systemd_socket_during_a_restart() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let socket = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    let address = socket.local_addr().expect("an address");
    let setup = || SidecarSetup::new(USERS, upstream.address()).activated(&socket);
    let first = setup().start();
    assert_eq!(first.traffic, address);
    assert_eq!(Client::get(address, "/users/1").status(), 200);
    let (finished, _) = first.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let mut waiting = Client::connect(address);
    waiting.send(GET);
    let second = setup().start();
    assert_eq!(waiting.read("GET").status(), 200, "it was neither refused nor forgotten");
    assert_eq!(second.traffic, address);
}

#[test]
fn an_inherited_socket_that_no_setting_names_is_logged() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let socket = Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    let given = socket.local_addr().expect("an address");
    let sidecar = SidecarSetup::new(USERS, upstream.address()).activated(&socket);
    let sidecar =
        sidecar.args(&["--listen", "127.0.0.2:0", "--admin-listen", "127.0.0.2:0"]).start();
    assert_ne!(sidecar.traffic, given);
    let said = sidecar.said();
    let line = said.lines().find(|line| line.contains("inherited_socket_unused"));
    assert!(line.is_some_and(|line| line.contains(&given.to_string())), "{said}");
}

#[test]
fn a_successor_that_fails_leaves_the_old_process_serving() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let load = LoadGenerator::start(sidecar.traffic, 2, GET);
    load.wait_for(20);
    let refused = sidecar.refuse_successor(&["--spec", "missing.yaml"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    load.wait_for(20);
    let met = load.finish();
    assert_eq!(met.failed.load(Ordering::SeqCst), 0, "{met:?}");
}

#[test]
fn trap_t21_sigterm_under_load_finishes_and_stores_exchanges_in_flight() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address())
        .env("CVT_PIPELINE_PRIORITY", "normal")
        .args(&["--record", "all"])
        .start();
    let load = LoadGenerator::start(sidecar.traffic, 2, GET);
    load.wait_for(200);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let met = load.finish();
    assert_eq!(met.failed.load(Ordering::SeqCst), 0, "an exchange was cut: {met:?}");
    let (answered, stored) = (met.answered.load(Ordering::SeqCst), stored_in(dir.path()));
    assert!(stored >= answered, "{answered} were answered, {stored} are stored");
}

#[test]
fn trap_t21_stored_records_survive_sigkill() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let load = LoadGenerator::start(sidecar.traffic, 2, GET);
    load.wait_for(100);
    let metrics = sidecar
        .wait_for_metrics("stored records", |m| m.sum("cvt_records_written_total", &[]) >= 50.0);
    let dir = sidecar.kill();
    load.finish();
    let acknowledged = metrics.sum("cvt_records_written_total", &[]);
    let found = stored_in(dir.path());
    assert!(found as f64 >= acknowledged, "{acknowledged} were acknowledged, {found} are there");
    let again = SidecarSetup::new(USERS, upstream.address()).inside(dir).start();
    assert_eq!(Client::get(again.traffic, "/users/1").status(), 200);
}

#[test]
fn sigterm_during_the_start_stops_the_process() {
    // A database that takes connections and never answers keeps it starting.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address");
    let dsn = format!("postgres://cvt:cvt@{address}/cvt");
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let starting = SidecarSetup::new(USERS, upstream.address()).args(&["--storage", &dsn]).launch();
    let (_connection, _) = silent.accept().expect("it connects to its database");
    let finished: Finished = starting.terminate();
    assert!(finished.code.is_some(), "it was ended by the signal: {finished:?}");
}

/// Runs `command` if the machine lets it.
fn allowed(command: &[&str]) -> bool {
    let (program, arguments) = command.split_first().expect("a program");
    let mut command = Command::new(program);
    let tried = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// The processes whose parent is `pid`, as (pid, state).
fn children(pid: u32) -> Vec<(u32, char)> {
    let stat = |entry: std::fs::DirEntry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?.chars().next()?;
        (fields.next()?.parse::<u32>().ok()? == pid).then_some((child, state))
    };
    std::fs::read_dir("/proc").expect("procfs").flatten().filter_map(stat).collect()
}

#[test]
fn as_pid_1_it_stops_on_sigterm_and_reaps_zombies() {
    const CONTAINER: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !allowed(&[CONTAINER, &["true"]].concat()) {
        eprintln!("this machine allows no process namespace: skipped");
        return;
    }
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).inside_of(CONTAINER).start();
    let first = eventually("the first process", || {
        children(sidecar.pid()).first().map(|(pid, _)| *pid).ok_or_else(|| "none".to_owned())
    });
    // A process whose parent ends becomes a child of the first one, and ends there.
    let enter = first.to_string();
    let orphan = ["nsenter", "-t", &enter, "-p", "sh", "-c", "(sleep 0.05 & sleep 0.06 &) && true"];
    if allowed(&orphan) {
        eventually("the end of the orphans", || {
            let left = children(first);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    let finished = stop_inside(sidecar, first);
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

/// Asks the process `first` to stop and waits for the one around it.
fn stop_inside(sidecar: Sidecar, first: u32) -> Finished {
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a live process");
    sidecar.wait_for_end()
}
