//! The admin listener, encrypted.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use crate::tls::Acceptor;

/// The longest a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes that may be under way at once; more wait in the listener's backlog.
const MAX_HANDSHAKES: usize = 64;
/// The pause after the system refuses a connection, such as when no descriptors are left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Hands out connections whose handshake is done. Handshakes run beside each other, so that a
/// slow caller delays no other.
pub(super) struct TlsListener {
    address: SocketAddr,
    secured: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

// === impl TlsListener ===

impl TlsListener {
    /// Accepts from `listener` until this is dropped.
    pub(super) fn new(listener: TcpListener, acceptor: Acceptor) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, secured) = mpsc::channel(MAX_HANDSHAKES);
        tokio::spawn(accept(listener, acceptor, sender));
        Ok(Self { address, secured })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.secured.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Acceptor,
    sender: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        // A permit of the channel is reserved before the handshake: that bounds handshakes too.
        let Ok(permit) = sender.clone().reserve_owned().await else { return };
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // The acceptor counts failures; nothing else is to be done.
            if let Ok(secured) = acceptor.accept(stream, HANDSHAKE_TIMEOUT).await {
                permit.send((secured.stream, peer));
            }
        });
    }
}
