//! A PostgreSQL server of our own: in a temporary directory, on a free port, gone afterwards.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cvt_sidecar::config::storage::PostgresSettings;

const MISSING: &str = "PostgreSQL's server programs are missing; install them, on Debian and \
     Ubuntu with `apt-get install postgresql`, or set PG_BIN to the directory of `initdb`";

/// A running server. Its watchdog, a shell, stops it and removes its files when its standard
/// input closes: when this is dropped, and also when the test process dies.
pub(crate) struct Server {
    watchdog: Child,
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
}

impl Server {
    /// Makes a cluster and starts it; `settings` are added to its command line.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let bin = find_programs();
        let template = std::env::temp_dir().join("cvt-pg-XXXXXX");
        // made by the server's user, who also removes it
        let made = as_server(Path::new("mktemp")).arg("-d").arg(template).output().unwrap();
        let dir = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = dir.join("data");
        let made = as_server(&bin.join("initdb"))
            .args(["--auth=trust", "--username=cvt", "--encoding=UTF8", "--locale=C", "-N", "-D"])
            .arg(&data)
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut conf =
            std::fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        writeln!(
            conf,
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
             max_connections = 400\nautovacuum_naptime = 5s\n{}",
            dir.display(),
            settings.join("\n")
        )
        .unwrap();
        let watchdog = spawn_watchdog(&bin, &dir);
        let server = Self { watchdog, dir, bin, port };
        server.run("start");
        server
    }

    /// `pg_ctl` with `action`, waiting until it is done.
    pub(crate) fn run(&self, action: &str) {
        let mut args = vec!["-w", "-t", "60", "-s", action];
        if action != "start" {
            args.extend(["-m", "immediate"]);
        }
        let done = as_server(&self.bin.join("pg_ctl"))
            .args(args)
            .arg("-D")
            .arg(self.dir.join("data"))
            .arg("-l")
            .arg(self.dir.join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("pg_ctl runs");
        assert!(done.success(), "pg_ctl {action}: {}", self.log());
    }

    /// Makes the server speak TLS with this certificate and key.
    pub(crate) fn encrypt(&self, cert: &Path, key: &Path) {
        for (file, name) in [(cert, "server.crt"), (key, "server.key")] {
            let text = std::fs::read(file).unwrap();
            let path = self.dir.join("data").join(name);
            // written by the server's user: it refuses a key that others own or may read
            let script = format!("umask 077; cat > '{}'", path.display());
            let mut writing = as_server(Path::new("sh"))
                .args(["-c", &script])
                .stdin(Stdio::piped())
                .spawn()
                .expect("a shell runs");
            writing.stdin.take().unwrap().write_all(&text).unwrap();
            assert!(writing.wait().unwrap().success());
        }
        self.psql("postgres", "ALTER SYSTEM SET ssl = on");
        self.run("restart");
    }

    /// Lets only connections in that are encrypted.
    pub(crate) fn refuse_plain_connections(&self) {
        let rules = "hostssl all all 127.0.0.1/32 trust\n";
        std::fs::write(self.dir.join("data/pg_hba.conf"), rules).unwrap();
        self.run("restart");
    }

    /// Asks every user for a password from now on, which is `password` for all of them.
    pub(crate) fn require_password(&self, password: &str) {
        self.psql("postgres", &format!("ALTER ROLE cvt PASSWORD '{password}'"));
        self.authenticate_by("scram-sha-256");
    }

    /// Asks no user for a password from now on.
    pub(crate) fn trust_everyone(&self) {
        self.authenticate_by("trust");
    }

    fn authenticate_by(&self, method: &str) {
        let rules = format!("host all all 127.0.0.1/32 {method}\n");
        std::fs::write(self.dir.join("data/pg_hba.conf"), rules).unwrap();
        self.run("restart");
    }

    /// What the server logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// How to reach a database of the server.
    pub(crate) fn settings(&self, database: &str) -> PostgresSettings {
        PostgresSettings {
            host: "127.0.0.1".into(),
            port: self.port,
            user: "cvt".into(),
            database: database.into(),
            max_connections: 8,
            ..PostgresSettings::default()
        }
    }

    /// Runs SQL by `psql` and returns what it prints.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let done = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "cvt"])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql runs");
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        for _ in 0..1_000 {
            if self.watchdog.try_wait().is_ok_and(|done| done.is_none()) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A shell that waits for the end of its input, then stops the server and cleans up.
fn spawn_watchdog(bin: &Path, dir: &Path) -> Child {
    let script = "trap '' INT TERM; cat >/dev/null; \"$1/pg_ctl\" stop -m immediate -s -w -t 15 \
         -D \"$2/data\" 2>/dev/null; rm -rf \"$2\"";
    as_server(Path::new("sh"))
        .args(["-c", script, "watchdog"])
        .arg(bin)
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell runs")
}

/// A command run as a user that is not root, which the server refuses.
fn as_server(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let postgres = std::fs::read_to_string("/etc/passwd")
        .is_ok_and(|users| users.lines().any(|line| line.starts_with("postgres:")));
    let mut command = Command::new("setpriv");
    // Debian's unprivileged user has this number.
    let user = if postgres { "postgres" } else { "65534" };
    command.arg(format!("--reuid={user}")).args(["--clear-groups", "--regid=nogroup"]);
    command.arg(program).current_dir("/");
    command
}

fn find_programs() -> PathBuf {
    if let Some(dir) = std::env::var_os("PG_BIN") {
        return dir.into();
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort_by_key(|bin| {
        let version = bin.parent().and_then(|dir| dir.file_name()).and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    found.pop().expect(MISSING)
}
