//! The image's file system, assembled from the Dockerfile and run as it is run there: another
//! user, a root that cannot be written, a process tree of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::page::root;
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, binary, eventually, may_unshare, skipped};

/// What `unshare` makes. Its mounts are private, so that nothing outside changes.
const NAMESPACES: [&str; 4] = ["--mount", "--pid", "--fork", "--kill-child"];

/// Mounts the root read-only in a namespace of its own, with a writable place for records, and
/// becomes the sidecar. Where it may not write, the kernel tells.
const ENTER: &str = r#"
set -e
mount --bind "$ROOT" "$ROOT"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=0700,uid=65532,gid=65532 tmpfs "$ROOT/var/lib/cvt-sidecar"
mount -o remount,bind,ro "$ROOT"
exec chroot --userspec=65532:65532 "$ROOT" /usr/local/bin/cvt-sidecar "$@"
"#;

/// A container: the file system, and the process that runs in it.
struct Container {
    root: TempDir,
    child: Option<Child>,
}

// === impl Container ===

impl Container {
    /// The file system of the image: the binary and the libraries that its base brings.
    fn assembled() -> Self {
        let root = TempDir::new().expect("a directory");
        for folder in ["proc", "etc/cvt-sidecar", "var/lib/cvt-sidecar", "usr/local/bin"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        let binary = binary();
        fs::copy(&binary, root.path().join("usr/local/bin/cvt-sidecar")).expect("the binary");
        for library in libraries(&binary) {
            let inside = root.path().join(library.trim_start_matches('/'));
            fs::create_dir_all(inside.parent().expect("a folder")).expect("a folder");
            fs::copy(&library, inside).expect("a library");
        }
        fs::write(root.path().join("etc/cvt-sidecar/openapi.yaml"), USERS).expect("the document");
        Self { root, child: None }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(NAMESPACES)
            .args(["sh", "-c", ENTER, "enter"])
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("ROOT", self.root.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the sidecar as the image does; the addresses of traffic and admin.
    fn run(&mut self, upstream: &str) -> (String, String) {
        let mut command = self.command(&["run"]);
        command
            .env("CVT_SPEC", "/etc/cvt-sidecar/openapi.yaml")
            .env("CVT_UPSTREAM", upstream)
            .env("CVT_LISTEN", "127.0.0.1:0")
            .env("CVT_ADMIN_LISTEN", "127.0.0.1:0")
            .env("CVT_STORAGE_DSN", "/var/lib/cvt-sidecar/cvt.db")
            .process_group(0);
        let mut child = command.spawn().expect("unshare runs");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        self.child = Some(child);
        let mut said = Vec::new();
        for line in stderr.lines().map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["event"] == "listening" {
                let address = |name: &str| event[name].as_str().expect("an address").to_owned();
                return (address("traffic"), address("admin"));
            }
            said.push(line);
        }
        panic!("the container ended and said:\n{}", said.join("\n"));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The whole group: a process that changes its user is not told of its parent's death.
            let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(group) = group {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
        }
    }
}

/// The shared libraries that a binary asks for.
fn libraries(binary: &Path) -> Vec<String> {
    let output = Command::new("ldd").arg(binary).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

#[test]
fn the_image_contains_every_library_the_binary_links() {
    // What gcr.io/distroless/cc-debian12 has.
    let base = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];
    let base = [&base[..], &["ld-linux-aarch64.so.1", "libdl.so.2", "libpthread.so.0"]].concat();
    for library in libraries(&binary()) {
        let name = library.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(base.contains(&name.as_str()), "{library} is not in the image");
    }
}

#[test]
fn the_image_runs_without_capabilities_on_a_read_only_root() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root may make a container");
        return;
    }
    if !may_unshare(&NAMESPACES) {
        return;
    }
    let dockerfile = fs::read_to_string(root().join("deploy/docker/Dockerfile")).expect("it");
    for line in [
        "USER 65532:65532",
        "ENTRYPOINT [\"/usr/local/bin/cvt-sidecar\"]",
        "WORKDIR /var/lib/cvt-sidecar",
        "CMD [\"/usr/local/bin/cvt-sidecar\", \"health\", \"--live\"]",
    ] {
        assert!(dockerfile.contains(line), "{line} is missing in the Dockerfile");
    }
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let mut container = Container::assembled();
    let (traffic, admin) = container.run(&format!("http://{}", upstream.address()));
    let traffic = traffic.parse().expect("an address");
    assert_eq!(Client::get(traffic, "/users/1").status(), 200);
    eventually("the record", || {
        let metrics = Client::get(admin.parse().expect("an address"), "/metrics").text();
        let written = metrics.contains("\ncvt_records_written_total 1");
        if written { Ok(()) } else { Err(metrics) }
    });
    // The health check of the Dockerfile, in a second container of the same image.
    let asked = container.command(&["health", "--live", "--admin-listen", &admin]).output();
    let asked = asked.expect("unshare runs");
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));

    let listed = container.command(&["validations", "list", "--storage", "/new.db"]).output();
    let said = String::from_utf8_lossy(&listed.expect("unshare runs").stderr).into_owned();
    assert!(!container.root.path().join("new.db").exists(), "the root cannot be written: {said}");
}
