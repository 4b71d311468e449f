//! `cvt-sidecar export`: records as a HAR file or as JSON lines, page by page.

mod har;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::write_json;
use super::place::{self, Place};
use super::selection::Selection;
use super::{FINE, NO};
use crate::model::record::ValidationRecord;
use crate::storage::{PageRequest, Store, ValidationFilter};

/// Records held in memory at once.
const PAGE: u32 = 200;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// har: a file that browsers and `cvt-sidecar validate --exchange` read. jsonl: one record per line
    #[arg(long, value_enum, default_value_t = Format::Har)]
    format: Format,
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
enum Format {
    Har,
    Jsonl,
}

/// Why an export ends early.
enum Stopped {
    /// Whoever read it has had enough, such as `head`: no failure.
    Enough,
    /// Storage or the file failed.
    Failed(String),
}

/// Writes records, newest first.
pub fn run(arguments: &ExportArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    place::run(async {
        let filter = arguments.selection.filter()?;
        let store = arguments.place.open(environment, true).await?;
        let written = match &arguments.out {
            None => export(&*store, &filter, arguments, out).await,
            Some(path) => {
                let file = File::create(path)
                    .map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
                let mut file = BufWriter::new(file);
                let written = export(&*store, &filter, arguments, &mut file).await;
                written.and_then(|count| file.flush().map(|()| count).map_err(Stopped::from))
            }
        };
        store.close().await;
        let count = match written {
            Ok(count) => count,
            Err(Stopped::Enough) => return Ok(FINE),
            Err(Stopped::Failed(message)) => return Err(message),
        };
        eprintln!("{count} records exported");
        Ok(if count == 0 { NO } else { FINE })
    })
}

async fn export(
    store: &dyn Store,
    filter: &ValidationFilter,
    arguments: &ExportArgs,
    out: &mut dyn Write,
) -> Result<u64, Stopped> {
    let format = arguments.format;
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let progress = io::stderr().is_terminal();
    let mut count = 0;
    let mut page = PageRequest::first(PAGE);
    if format == Format::Har {
        har::begin(out)?;
    }
    'pages: loop {
        let found = store.list_validations(filter, &page).await;
        let found = found.map_err(|error| Stopped::Failed(error.to_string()))?;
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
    if format == Format::Har {
        har::end(out)?;
    }
    out.flush()?;
    Ok(count)
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Enough;
        }
        Self::Failed(format!("the export cannot be written: {error}"))
    }
}

fn write_record(
    format: Format,
    record: &ValidationRecord,
    first: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Jsonl => write_json(record, out),
        Format::Har => har::entry(record, first, out),
    }
}
