//! The two listening sockets: opened here, or taken over from the process before us.
//!
//! They are bound before Pingora and axum start, so that a port in use is one clear line, and no
//! other process can take a port between a first look and the start.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::StartError;
use super::handover::{Predecessor, Sockets};
use super::lifecycle::beside;
use crate::config::Config;

/// The sockets, and whoever waits for us to be ready.
pub(super) struct Listeners {
    pub(super) sockets: Sockets,
    pub(super) predecessor: Option<Predecessor>,
}

// === impl Listeners ===

impl Listeners {
    /// Opens them; with `take_over`, waits for a running process to hand over its own.
    pub(super) async fn open(config: &Config, take_over: bool) -> Result<Self, StartError> {
        let (mut traffic, mut admin, mut predecessor) = (None, None, None);
        if take_over {
            let path = config.upgrade.socket.clone();
            tracing::info!(
                event = "waiting_for_predecessor",
                socket = %path.display(),
                "send SIGQUIT to the running process"
            );
            let (sockets, before) = beside(move || Sockets::take_over(&path)).await?;
            (traffic, admin) = (Some(sockets.traffic), Some(sockets.admin));
            predecessor = Some(before);
        }
        let (listen, admin_listen) = (config.traffic.listen, config.admin.listen);
        let sockets = Sockets {
            traffic: listener(traffic, listen, "--listen or CVT_LISTEN")?,
            admin: listener(admin, admin_listen, "--admin-listen or CVT_METRICS_PORT")?,
        };
        Ok(Self { sockets, predecessor })
    }
}

/// The socket handed over, if it stands where one is wanted; else a new one.
fn listener(
    handed_over: Option<TcpListener>,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, StartError> {
    let open = || -> io::Result<TcpListener> {
        let listener = match handed_over {
            Some(listener) if stands_at(&listener, address) => listener,
            _ => TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|reason| StartError::Listen { address, reason, flag })
}

/// Any port will do where any was asked for.
fn stands_at(listener: &TcpListener, wanted: SocketAddr) -> bool {
    listener.local_addr().is_ok_and(|stands| {
        stands.ip() == wanted.ip() && (wanted.port() == 0 || stands.port() == wanted.port())
    })
}
