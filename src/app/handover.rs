//! A new process takes the place of an old one without a connection being refused.
//!
//! The new one, started with `--upgrade`, prepares everything, waits at a socket for its
//! predecessor, and takes over its listening sockets; the old one, told by SIGQUIT, hands them
//! over, goes on serving until the new one says that it is ready, and only then drains. Both
//! accept from the same queue meanwhile, so no connection is refused or lost. Invariants: if
//! anything goes wrong on either side, the old process serves as before.
//!
//! The sockets travel as Pingora's hand-over sends them (`SCM_RIGHTS`), but not by its code: it
//! ends the process where something fails, waits a fixed five seconds instead of for an answer,
//! lets any process on the machine hand sockets to the new process, and closes those that are not
//! Pingora's own, such as the admin port.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// How long the new process waits for the old one, and the old one for the new to be ready.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// What the new process says when it takes traffic.
const READY: &[u8] = b"ready";
/// What the sockets are announced with; a number that changes with the form of the hand-over.
const GREETING: &[u8] = b"cvt-sidecar hand-over 1";

/// The listening sockets of a process.
#[derive(Debug)]
pub struct Sockets {
    /// Where traffic is taken.
    pub traffic: TcpListener,
    /// Where metrics and health are served.
    pub admin: TcpListener,
}

/// The old process, while it waits for us to be ready.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

/// Why sockets did not change hands.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The socket cannot be made or reached.
    #[error("{}: {reason}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },
    /// No process came in time.
    #[error("{}: no process came within {} s to hand over its sockets; send SIGQUIT to the old one", path.display(), TIMEOUT.as_secs())]
    TimedOut {
        /// The socket's path.
        path: PathBuf,
    },
    /// The other side is not a sidecar of ours, or broke off.
    #[error("the other process {0}")]
    Failed(&'static str),
}

// === impl Sockets ===

impl Sockets {
    /// The same sockets once more.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { traffic: self.traffic.try_clone()?, admin: self.admin.try_clone()? })
    }

    /// Waits at `path` for a predecessor and takes what it hands over. Blocking.
    pub(super) fn take_over(path: &Path) -> Result<(Self, Predecessor), HandoverError> {
        let failed = |reason| HandoverError::Socket { path: path.to_owned(), reason };
        // A socket left by a process that died has no owner.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let accepted = retry(|| match listener.accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            accepted => Some(accepted),
        });
        let _ = std::fs::remove_file(path);
        let Some(accepted) = accepted else {
            return Err(HandoverError::TimedOut { path: path.to_owned() });
        };
        let (stream, _) = accepted.map_err(failed)?;
        stream.set_nonblocking(false).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let is_ours = rustix::net::sockopt::socket_peercred(&stream)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid());
        if !is_ours {
            return Err(HandoverError::Failed("belongs to another user"));
        }
        Ok((receive(&stream)?, Predecessor(stream)))
    }

    /// Hands the sockets to the process that waits at `path`, and returns when it takes
    /// traffic. Blocking.
    pub(super) fn hand_over(&self, path: &Path) -> Result<(), HandoverError> {
        let failed = |reason| HandoverError::Socket { path: path.to_owned(), reason };
        let mut last = None;
        let connected = retry(|| match UnixStream::connect(path) {
            Ok(stream) => Some(stream),
            Err(error) => {
                last = Some(error);
                None
            }
        });
        let Some(mut stream) = connected else {
            return Err(failed(last.unwrap_or_else(|| io::ErrorKind::NotFound.into())));
        };
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        self.send(&stream).map_err(failed)?;
        let mut answer = [0; READY.len()];
        match stream.read_exact(&mut answer) {
            Ok(()) if answer == READY => Ok(()),
            _ => Err(HandoverError::Failed("did not get ready")),
        }
    }

    fn send(&self, stream: &UnixStream) -> io::Result<()> {
        let sockets = [self.traffic.as_fd(), self.admin.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let slices = [IoSlice::new(GREETING)];
        rustix::net::sendmsg(stream, &slices, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

fn receive(stream: &UnixStream) -> Result<Sockets, HandoverError> {
    let mut greeting = [0; GREETING.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut greeting)];
    let received = rustix::net::recvmsg(stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC);
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            sockets.extend(rights);
        }
    }
    if received.is_err() || greeting != GREETING {
        return Err(HandoverError::Failed("did not hand over sockets"));
    }
    let mut sockets = sockets.into_iter().map(TcpListener::from);
    match (sockets.next(), sockets.next()) {
        (Some(traffic), Some(admin)) => Ok(Sockets { traffic, admin }),
        _ => Err(HandoverError::Failed("did not hand over its sockets")),
    }
}

/// Asks until there is an answer or the timeout has passed.
fn retry<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let steps = TIMEOUT.as_millis() / RETRY_INTERVAL.as_millis();
    for _ in 0..steps {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(RETRY_INTERVAL);
    }
    None
}

// === impl Predecessor ===

impl Predecessor {
    /// Notifies it that we take traffic.
    pub(super) fn notify_ready(mut self) {
        if let Err(error) = self.0.write_all(READY) {
            tracing::warn!(event = "handover_unacknowledged", %error, "the old process is gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_waits_until_the_new_process_is_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("upgrade.sock");
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = Sockets { traffic: bind(), admin: bind() };
        let at = |sockets: &Sockets| {
            (sockets.traffic.local_addr().unwrap(), sockets.admin.local_addr().unwrap())
        };
        let expected = at(&sockets);
        let old = std::thread::spawn({
            let path = path.clone();
            move || sockets.hand_over(&path)
        });
        let (taken, predecessor) = Sockets::take_over(&path).unwrap();
        assert_eq!(at(&taken), expected);
        assert!(!old.is_finished(), "it did not wait");
        predecessor.notify_ready();
        old.join().unwrap().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_handover_to_a_process_that_dies_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("upgrade.sock");
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = Sockets { traffic: bind(), admin: bind() };
        let dies = std::thread::spawn({
            let path = path.clone();
            move || Sockets::take_over(&path).map(drop)
        });
        let failed = sockets.hand_over(&path).unwrap_err();
        assert!(failed.to_string().contains("did not get ready"), "{failed}");
        dies.join().unwrap().unwrap();
    }
}
