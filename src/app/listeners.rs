//! The two listening sockets: opened here, taken over from the previous process, or inherited
//! from a parent process that keeps them open after our end (socket activation).
//!
//! They are bound before Pingora and axum start, so that a port in use is one clear line, and no
//! other process can take a port between a check and the start.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::error::StartError;
use super::handover::{Predecessor, Sockets};
use super::lifecycle::run_on_thread;
use crate::config::Config;

/// The sockets, and the process that waits for us to be ready.
pub(super) struct Listeners {
    pub(super) sockets: Sockets,
    pub(super) predecessor: Option<Predecessor>,
}

/// Listening sockets that our parent process passed to us.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<TcpListener>);

// === impl Inherited ===

impl Inherited {
    /// Takes them, once: the environment that names them changes, so there must be no threads yet.
    pub(super) fn take() -> Self {
        let mut given = ListenFd::from_env();
        let indices = 0..given.len();
        Self(indices.filter_map(|index| given.take_tcp_listener(index).ok().flatten()).collect())
    }

    /// The one bound to `address`.
    fn take_at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|listener| is_bound_to(listener, address))?;
        Some(self.0.swap_remove(index))
    }

    /// Logs those that no setting names.
    fn warn_unused(self) {
        for address in self.0.iter().filter_map(|listener| listener.local_addr().ok()) {
            let address = address.to_string();
            tracing::warn!(
                event = "inherited_socket_unused",
                address,
                "neither --listen nor --admin-listen names the address of this socket"
            );
        }
    }
}

// === impl Listeners ===

impl Listeners {
    /// Opens what was not `inherited`; with `take_over`, waits for a running process to hand over
    /// its own.
    pub(super) async fn open(
        config: &Config,
        take_over: bool,
        mut inherited: Inherited,
    ) -> Result<Self, StartError> {
        let (mut traffic, mut admin, mut predecessor) = (None, None, None);
        if take_over {
            let path = config.upgrade.socket.clone();
            tracing::info!(
                event = "waiting_for_predecessor",
                socket = %path.display(),
                "send SIGQUIT to the running process"
            );
            let (sockets, previous_process) =
                run_on_thread(move || Sockets::take_over(&path)).await?;
            (traffic, admin) = (Some(sockets.traffic), Some(sockets.admin));
            predecessor = Some(previous_process);
        }
        let (listen, admin_listen) = (config.traffic.listen, config.admin.listen);
        let traffic = traffic.or_else(|| inherited.take_at(listen));
        let admin = admin.or_else(|| inherited.take_at(admin_listen));
        inherited.warn_unused();
        let sockets = Sockets {
            traffic: listener(traffic, listen, "--listen or CVT_LISTEN")?,
            admin: listener(admin, admin_listen, "--admin-listen or CVT_METRICS_PORT")?,
        };
        Ok(Self { sockets, predecessor })
    }
}

/// The socket handed over or inherited, if it is bound to the wanted address; else a new one.
fn listener(
    handed_over: Option<TcpListener>,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, StartError> {
    let open = || -> io::Result<TcpListener> {
        let listener = match handed_over {
            Some(listener) if is_bound_to(&listener, address) => listener,
            _ => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|reason| StartError::Listen { address, reason, flag })
}

/// Any port will do where any was asked for.
fn is_bound_to(listener: &TcpListener, wanted: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|bound| {
        bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
    })
}
