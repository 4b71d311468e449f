//! `cvt-sidecar export`: records as a HAR file or as JSON lines, page by page.

mod har;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::common::{self, StoreArgs};
use super::output::write_json;
use super::output::{EXIT_NEGATIVE, EXIT_OK};
use super::selection::Selection;
use crate::model::record::ValidationRecord;
use crate::storage::{PageRequest, Store, ValidationFilter};

/// Records held in memory at once.
const PAGE: u32 = 200;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// har: a file that browsers and `cvt-sidecar validate --exchange` read. jsonl: one record per line
    #[arg(long, value_enum, default_value_t = ExportFormat::Har)]
    format: ExportFormat,
    /// Where to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// The most records
    #[arg(long)]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Har,
    Jsonl,
}

/// Why an export ends early.
enum ExportEnd {
    /// The reader closed the pipe, as `head` does: no failure.
    ReaderClosed,
    /// Storage or the file failed.
    Failed(String),
}

/// Writes records, newest first.
pub fn run(arguments: &ExportArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    common::run_command(async {
        let filter = arguments.selection.filter()?;
        let store = arguments.store_args.open(environment, true).await?;
        let written = match &arguments.out {
            None => export(&*store, &filter, arguments, out).await,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
                let mut file = BufWriter::new(file);
                let written = export(&*store, &filter, arguments, &mut file).await;
                written.and_then(|count| file.flush().map(|()| count).map_err(ExportEnd::from))
            }
        };
        store.close().await;
        let count = match written {
            Ok(count) => count,
            Err(ExportEnd::ReaderClosed) => return Ok(EXIT_OK),
            Err(ExportEnd::Failed(message)) => return Err(message),
        };
        eprintln!("{count} records exported");
        Ok(if count == 0 { EXIT_NEGATIVE } else { EXIT_OK })
    })
}

async fn export(
    store: &dyn Store,
    filter: &ValidationFilter,
    arguments: &ExportArgs,
    out: &mut dyn Write,
) -> Result<u64, ExportEnd> {
    let format = arguments.format;
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let progress = io::stderr().is_terminal();
    let mut count = 0;
    let mut page = PageRequest::first(PAGE);
    if format == ExportFormat::Har {
        har::begin(out)?;
    }
    'pages: loop {
        let found = store.list_validations(filter, &page).await;
        let found = found.map_err(|error| ExportEnd::Failed(error.to_string()))?;
        for record in &found.items {
            if count == limit {
                break 'pages;
            }
            write_record(format, record, count == 0, out)?;
            count += 1;
        }
        if progress {
            eprint!("\r{count} records …");
        }
        let Some(cursor) = found.next else { break };
        page = PageRequest::after(PAGE, cursor);
    }
    if progress {
        eprint!("\r\x1b[K");
    }
    if format == ExportFormat::Har {
        har::end(out)?;
    }
    out.flush()?;
    Ok(count)
}

impl From<io::Error> for ExportEnd {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderClosed;
        }
        Self::Failed(format!("the export cannot be written: {error}"))
    }
}

fn write_record(
    format: ExportFormat,
    record: &ValidationRecord,
    first: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        ExportFormat::Jsonl => write_json(record, out),
        ExportFormat::Har => har::entry(record, first, out),
    }
}
