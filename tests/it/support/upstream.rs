//! A service that answers with exactly the bytes a test scripts.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Message, eventually};

/// What the service does next on a connection.
pub(crate) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits until the latch opens.
    Wait(Latch),
    /// Ends the connection in good order.
    Close,
    /// Ends the connection with a TCP reset.
    Reset,
    /// Says nothing more until the other side goes away.
    Hang,
}

/// Something that a test opens once.
#[derive(Clone, Default)]
pub(crate) struct Latch(Arc<(Mutex<bool>, Condvar)>);

/// A running service; stops when dropped.
pub(crate) struct ScriptedUpstream {
    address: SocketAddr,
    shared: Arc<ScriptState>,
    accepting: Option<JoinHandle<()>>,
}

type Script = dyn Fn(&Message) -> Vec<Step> + Send + Sync;

struct ScriptState {
    script: Box<Script>,
    received: Mutex<Vec<Message>>,
    connections: Mutex<Vec<Weak<TcpStream>>>,
    stopping: AtomicBool,
}

/// A whole response with a JSON body and a length.
pub(crate) fn json_answer(status: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())]
}

// === impl Latch ===

impl Latch {
    /// Lets everything that waits go on.
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("the latch") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.0.lock().expect("the latch");
        let patience = Duration::from_secs(20);
        let wait = self.0.1.wait_timeout_while(closed, patience, |open| !*open);
        assert!(!wait.expect("the latch").1.timed_out(), "the test did not open the latch");
    }
}

// === impl ScriptedUpstream ===

impl ScriptedUpstream {
    /// Starts a service on a free port; `script` answers each request.
    pub(crate) fn start(script: impl Fn(&Message) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// Starts a service on `address`.
    pub(crate) fn start_on(
        address: SocketAddr,
        script: impl Fn(&Message) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = eventually("the upstream's port", || {
            TcpListener::bind(address).map_err(|error| error.to_string())
        });
        let shared = Arc::new(ScriptState {
            script: Box::new(script),
            received: Mutex::default(),
            connections: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let address = listener.local_addr().expect("a bound address");
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Answers every request with the same bytes.
    pub(crate) fn fixed(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_| vec![Step::Send(answer.clone())])
    }

    /// Answers every request with the same JSON.
    pub(crate) fn json(status: &'static str, body: &'static str) -> Self {
        Self::start(move |_| json_answer(status, body))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything received so far.
    pub(crate) fn received(&self) -> Vec<Message> {
        self.shared.received.lock().expect("what was received").clone()
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().expect("connections").len()
    }

    /// Everything received, once it is at least `n` requests.
    #[track_caller]
    pub(crate) fn wait_for(&self, n: usize) -> Vec<Message> {
        eventually("requests at the upstream", || {
            let received = self.received();
            if received.len() >= n {
                Ok(received)
            } else {
                Err(format!("{} of {n}", received.len()))
            }
        })
    }

    /// Stops listening and ends every connection.
    pub(crate) fn stop(mut self) -> SocketAddr {
        self.shut();
        self.address
    }

    fn shut(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in self.shared.connections.lock().expect("connections").drain(..) {
            if let Some(connection) = connection.upgrade() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.shut();
    }
}

// === impl ScriptState ===

impl ScriptState {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let stream = Arc::new(stream);
            self.connections.lock().expect("connections").push(Arc::downgrade(&stream));
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.serve(&stream));
        }
    }

    fn serve(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut stream = BufReader::new(stream);
        while let Ok(Some(request)) = Message::read_request(&mut stream) {
            self.received.lock().expect("what was received").push(request.clone());
            for step in (self.script)(&request) {
                if !perform(step, &mut stream) {
                    return;
                }
            }
        }
    }
}

/// Performs one step; `false` when the connection is over.
fn perform(step: Step, stream: &mut BufReader<&TcpStream>) -> bool {
    match step {
        Step::Send(bytes) => stream.get_mut().write_all(&bytes).is_ok(),
        Step::Wait(gate) => {
            gate.pass();
            true
        }
        Step::Hang => {
            let _ = std::io::copy(stream, &mut std::io::sink());
            false
        }
        Step::Close => {
            let _ = stream.get_ref().shutdown(Shutdown::Both);
            false
        }
        Step::Reset => {
            let socket = socket2::SockRef::from(*stream.get_ref());
            let _ = socket.set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
            false
        }
    }
}
