//! `cvt-sidecar demo`: the sidecar in front of the bookshop, with traffic.

use std::env;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Bookshop, DOCUMENT, drive_traffic};
use crate::app::{self, Hooks, ListenAddresses, TerminalNotices};
use crate::cli::output::{EXIT_ERROR, EXIT_OK};
use crate::config::{Config, RawSettings};

/// The demo's document in its directory.
const DOCUMENT_FILE: &str = "bookshop.yaml";
/// Its records.
const DATABASE_FILE: &str = "cvt-demo.db";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Address that takes traffic
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    listen: String,
    /// Address of metrics and health
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9551")]
    admin_listen: String,
    /// Stop when the traffic is through, instead of staying up
    #[arg(long)]
    once: bool,
}

/// Starts the bookshop, the sidecar in front of it, and some traffic.
pub fn run(arguments: &DemoArgs) -> u8 {
    match try_run(arguments) {
        Ok(()) => EXIT_OK,
        Err(message) => {
            eprintln!("cvt-sidecar: {message}");
            EXIT_ERROR
        }
    }
}

fn try_run(arguments: &DemoArgs) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let shop = runtime
        .block_on(Bookshop::start())
        .map_err(|error| format!("the bookshop cannot listen on 127.0.0.1: {error}"))?;
    let directory = std::env::temp_dir().join("cvt-sidecar-demo");
    let put = |error| format!("{}: {error}", directory.display());
    std::fs::create_dir_all(&directory).map_err(put)?;
    let document = directory.join(DOCUMENT_FILE);
    std::fs::write(&document, DOCUMENT).map_err(put)?;
    let database = directory.join(DATABASE_FILE).display().to_string();
    // An earlier demo, perhaps of another version, left its records: each starts afresh.
    for left in ["", "-wal", "-shm"] {
        match std::fs::remove_file(format!("{database}{left}")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(put(error)),
            _ => {}
        }
    }
    let flag = |key, name, value: String| (key, name, value);
    let raw = RawSettings {
        flags: vec![
            flag("spec", "--spec", document.display().to_string()),
            flag("upstream", "--upstream", format!("http://{}", shop.address())),
            flag("listen", "--listen", arguments.listen.clone()),
            flag("admin.listen", "--admin-listen", arguments.admin_listen.clone()),
            flag("record", "--record", "all".to_owned()),
            flag("storage.dsn", "--storage", database.clone()),
            flag("log.level", "--log-level", "warn".to_owned()),
        ],
        ..RawSettings::default()
    };
    let config = Config::load(raw).map_err(|error| error.to_string())?;
    println!(
        "A bookshop answers on http://{}; its document is {}.",
        shop.address(),
        document.display()
    );
    let handle = runtime.handle().clone();
    let once = arguments.once;
    let hooks = Hooks {
        on_ready: Box::new(move |addresses| {
            handle.spawn(drive_and_report(addresses, database, once));
        }),
        notice_sink: Arc::new(TerminalNotices {
            colours: std::io::stdout().is_terminal(),
            document: DOCUMENT_FILE.to_owned(),
        }),
        take_over: false,
        reload: None,
    };
    let summary = app::run(&config, hooks).map_err(|error| error.to_string())?;
    println!("\n{summary}");
    runtime.block_on(shop.stop());
    Ok(())
}

async fn drive_and_report(addresses: ListenAddresses, database: String, once: bool) {
    /// Long enough for the last exchange to be validated and its record stored.
    const STORE_DELAY: Duration = Duration::from_millis(500);
    println!(
        "The sidecar stands in front of it on http://{}.\nSome consumers come by; what breaks the \
         contract is shown once per kind:\n",
        addresses.traffic
    );
    match drive_traffic(addresses.traffic).await {
        Ok(traffic) => {
            tokio::time::sleep(STORE_DELAY).await;
            let broken: usize = traffic.breaking.values().sum();
            println!(
                "\n{} exchanges were sent, {broken} of them broke the contract.",
                traffic.exchanges
            );
        }
        Err(error) => println!("\nThe traffic broke off: {error}"),
    }
    if once {
        stop();
        return;
    }
    let (traffic, admin) = (addresses.traffic, addresses.admin);
    let program =
        env::current_exe().map_or("cvt-sidecar".into(), |path| path.display().to_string());
    println!(
        "\nTry:\n  curl -i http://{traffic}/books\n  curl http://{admin}/metrics | grep ^cvt_\n  \
         curl http://{admin}/readyz\n  {program} validations list --invalid --storage {database}\n\n\
         Ctrl-C stops it and sums up."
    );
}

/// Ends the process the way an operator would.
fn stop() {
    let process = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(process, rustix::process::Signal::TERM) {
        eprintln!("cvt-sidecar: cannot stop: {error}");
    }
}
