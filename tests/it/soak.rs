//! The long haul: bodies of a gigabyte and streams of a million items, in memory that stays flat.
//! `tests/run --soak` runs it, in release mode.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};

use crate::support::documents::ANYTHING;
use crate::support::{Sidecar, SidecarSetup};

const BLOCK: usize = 1 << 20;
const BLOCKS: usize = 1024;
const ITEMS: usize = 1_000_000;
const MODES: [&str; 3] = ["off", "warn", "strict"];

/// A service for one exchange on one connection; what it has found out comes out at the end.
fn serve_once<T: Send + 'static>(
    serve: impl FnOnce(BufReader<TcpStream>) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = thread::spawn(move || {
        // Health checks connect and say nothing.
        let mut speaking = listener.incoming().map(|stream| {
            let mut stream = BufReader::with_capacity(BLOCK, stream.expect("a connection"));
            matches!(stream.fill_buf(), Ok([_, ..])).then_some(stream)
        });
        serve(speaking.find_map(|stream| stream).expect("a connection that speaks"))
    });
    (address, serving)
}

/// Reads a head off `stream`.
fn skip_head(stream: &mut impl BufRead) {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("a line"), 0, "the head broke off");
    }
}

/// A block that no compression makes small; each has its own number at the start.
fn block(number: usize) -> Vec<u8> {
    let byte = |i: usize| i.wrapping_mul(2_654_435_761).to_le_bytes()[2];
    let mut block: Vec<u8> = (0..BLOCK).map(byte).collect();
    block[..8].copy_from_slice(&(number as u64).to_be_bytes());
    block
}

fn write_blocks(mut to: impl Write) -> Vec<u8> {
    let mut hash = Sha256::new();
    for number in 0..BLOCKS {
        let block = block(number);
        hash.update(&block);
        to.write_all(&block).expect("the other side reads");
    }
    hash.finalize().to_vec()
}

fn hash_of(from: &mut impl Read) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut left = BLOCKS * BLOCK;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let most = left.min(buffer.len());
        let read = from.read(&mut buffer[..most]).expect("bytes");
        assert_ne!(read, 0, "the body broke off {left} bytes before its end");
        hash.update(&buffer[..read]);
        left -= read;
    }
    hash.finalize().to_vec()
}

/// A body in chunks, taken out of its framing as it arrives.
struct Chunks<R> {
    from: R,
    left: usize,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut line = String::new();
        if self.left == 0 {
            self.from.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's length");
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(buffer.len());
        let read = self.from.read(&mut buffer[..most])?;
        assert_ne!(read, 0, "the stream broke off");
        self.left -= read;
        if self.left == 0 {
            self.from.read_line(&mut line)?;
        }
        Ok(read)
    }
}

/// A number of `/proc/PID/status`, in KiB.
pub(crate) fn memory(sidecar: &Sidecar, name: &str) -> u64 {
    let path = format!("/proc/{}/status", sidecar.pid());
    let status = std::fs::read_to_string(path).expect("procfs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn connect(sidecar: &Sidecar) -> TcpStream {
    TcpStream::connect(sidecar.traffic).expect("a connection")
}

#[test]
#[ignore = "long haul: a gigabyte each way, in three modes"]
fn trap_t01_a_gigabyte_passes_each_way_in_bounded_memory() {
    for mode in MODES {
        let (address, upload) = serve_once(|mut stream| {
            skip_head(&mut stream);
            let hash = hash_of(&mut stream);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BLOCK * BLOCKS);
            stream.get_mut().write_all(head.as_bytes()).expect("the other side reads");
            (hash, write_blocks(stream.get_mut()))
        });
        let sidecar = SidecarSetup::new(ANYTHING, address).args(&["--mode", mode]).start();
        let idle = memory(&sidecar, "VmRSS:");
        let stream = connect(&sidecar);
        let mut reading = BufReader::new(stream.try_clone().expect("a second handle"));
        let downloaded = thread::spawn(move || {
            skip_head(&mut reading);
            hash_of(&mut reading)
        });
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {}\r\n\r\n",
            BLOCK * BLOCKS
        );
        (&stream).write_all(head.as_bytes()).expect("a head");
        let sent = write_blocks(&stream);
        let downloaded = downloaded.join().expect("the whole answer");
        let (received, answered) = upload.join().expect("the whole request");
        assert!(received == sent, "{mode}: the request changed");
        assert!(downloaded == answered, "{mode}: the answer changed");
        let peak = memory(&sidecar, "VmHWM:");
        println!("{mode}: {idle} KiB idle, {peak} KiB at most");
        assert!(peak < idle + (64 << 10), "{mode}: {peak} KiB, {idle} KiB idle");
    }
}

#[test]
#[ignore = "long haul: a million items of an event stream, in three modes"]
fn trap_t04_a_million_items_of_an_event_stream_pass_in_flat_memory() {
    for mode in MODES {
        let (address, producing) = serve_once(|mut stream| {
            skip_head(&mut stream);
            let mut stream = BufWriter::new(stream.into_inner());
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("a head");
            for number in 0..ITEMS {
                let item = format!("data: {{\"item\": {number}}}\n\n");
                write!(stream, "{:x}\r\n{item}\r\n", item.len()).expect("the other side reads");
            }
            stream.write_all(b"0\r\n\r\n").expect("an end");
            stream.flush().expect("an end");
        });
        let sidecar = SidecarSetup::new(ANYTHING, address).args(&["--mode", mode]).start();
        let mut stream = BufReader::new(connect(&sidecar));
        let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        stream.get_mut().write_all(request.as_bytes()).expect("a request");
        skip_head(&mut stream);
        let mut early = 0;
        let lines = BufReader::new(Chunks { from: stream, left: 0 }).lines();
        let items = lines.map(|line| line.expect("a line")).filter(|line| !line.is_empty());
        let mut count = 0;
        for line in items {
            assert_eq!(line, format!("data: {{\"item\": {count}}}"), "{mode}");
            count += 1;
            if count == ITEMS / 10 {
                early = memory(&sidecar, "VmRSS:");
            }
        }
        assert_eq!(count, ITEMS, "{mode}");
        let late = memory(&sidecar, "VmRSS:");
        producing.join().expect("the whole stream");
        println!("{mode}: {early} KiB after a tenth, {late} KiB at the end");
        assert!(
            late < early + (8 << 10),
            "{mode}: {early} KiB after a tenth, {late} KiB at the end"
        );
    }
}
