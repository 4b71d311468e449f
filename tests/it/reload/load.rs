//! Reloads while everybody calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use http::Request;

use super::{ADA, reloads, wait_for, with_short_reload_interval};
use crate::support::documents::USERS;
use crate::support::load::LoadGenerator;
use crate::support::{ScriptedUpstream, Sidecar, SidecarSetup, h2};

/// Callers over HTTP/1.1 and HTTP/2 on connections that they keep, while documents and settings
/// are reloaded `times` times; `each` is called after each reload. Nothing may fail.
fn reload_under_load(times: usize, mut each: impl FnMut(&Sidecar, usize)) {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let settings = format!("spec: a.yaml\nupstream: http://{}\n", upstream.address());
    let setup = SidecarSetup::configured(&settings).file("a.yaml", USERS);
    // Nothing is recorded, so that what grows is not what is kept.
    let sidecar = with_short_reload_interval(setup).args(&["--record", "violations"]).start();
    let load = LoadGenerator::start(sidecar.traffic, 3, "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let stop = Arc::new(AtomicBool::new(false));
    let (address, stopped) = (sidecar.traffic, Arc::clone(&stop));
    let multiplexed = thread::spawn(move || {
        let request = Request::get("http://a/users/1").body(()).expect("a request");
        h2::ask_until(address, &request, &stopped)
    });
    load.wait_for(100);
    // Both allow what is answered: a backlog of exchanges to validate would take memory of its own.
    let documents = [USERS.replace("version: 2.1.0", "version: 2.2.0"), USERS.to_owned()];
    let (mut contracts, mut configs) = (0, 0);
    for n in 0..times {
        if n % 5 == 4 {
            let mode = ["shadow", "warn"][configs % 2];
            sidecar.write("cvt.yaml", &format!("{settings}mode: {mode}\n"));
            configs += 1;
        } else {
            sidecar.write("a.yaml", &documents[contracts % 2]);
            contracts += 1;
        }
        sidecar.hang_up();
        wait_for(&sidecar, "contract", "success", contracts);
        wait_for(&sidecar, "config", "success", configs);
        each(&sidecar, n);
    }
    load.wait_for(100);
    stop.store(true, Ordering::SeqCst);
    let multiplexed = multiplexed.join().expect("no failure over HTTP/2");
    let met = load.finish();
    assert!(multiplexed > 100, "{multiplexed} answers over HTTP/2");
    let failed = [&met.failed, &met.unserved, &met.unconnected];
    assert!(failed.iter().all(|count| count.load(Ordering::SeqCst) == 0), "{met:?}");
    let metrics = sidecar.metrics();
    for what in ["contract", "config"] {
        assert!(reloads(&metrics, what, "failure") < 0.5, "{}", sidecar.said());
    }
    println!("{multiplexed} answers over HTTP/2, over HTTP/1.1: {met:?}");
}

#[test]
fn trap_t16_no_request_fails_while_documents_and_settings_are_reloaded() {
    reload_under_load(50, |_, _| ());
}

#[test]
#[ignore = "long haul: a thousand reloads under load"]
fn trap_t16_memory_stays_flat_over_a_thousand_reloads() {
    let mut memory = Vec::new();
    reload_under_load(1000, |sidecar, n| {
        memory.push(crate::soak::memory(sidecar, "VmRSS:"));
        if n % 100 == 99 {
            println!("{} reloads: {} KiB", n + 1, memory[n]);
        }
    });
    // Under load alone it sways by several percent, so one moment proves nothing; the first
    // hundred reloads fill caches and the allocator's arenas.
    let (start, end) = (median(&memory[100..200]), median(&memory[900..]));
    println!("{} KiB at the first reload, median {start} KiB early and {end} KiB late", memory[0]);
    assert!(end < start + start / 10, "median {start} KiB early and {end} KiB late");
}

fn median(of: &[u64]) -> u64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}
