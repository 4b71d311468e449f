//! The addresses of an upstream: which there are, which can be used, which is next.
//!
//! Invariants: an address that stays keeps its connections when others come or go; one that
//! is gone gets no new exchange, and its connections end with those that are under way. Where
//! no address is known to be good, all are tried: a wrong health check must not stop traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::config::upstream::Balance;
use crate::proxy::upstream::pool::{ConnectionPool, WorkerId, WorkerPools};

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// One address, shared by its pools.
pub struct UpstreamEndpoint {
    /// Where it is.
    pub address: SocketAddr,
    /// Which of the configured addresses led to it.
    pub address_index: usize,
    /// Whether it is called over TLS.
    pub encrypted: bool,
    state: AtomicU8,
    removed: AtomicBool,
    /// Whether it was seen to speak nothing newer than HTTP/1.1.
    http1_only: AtomicBool,
    in_flight: AtomicUsize,
}

/// An exchange under way at an address.
pub struct InFlightGuard(Arc<UpstreamEndpoint>);

/// Every address of one upstream.
pub struct UpstreamPeers {
    all: ArcSwap<Vec<Arc<UpstreamPeer>>>,
    next: AtomicUsize,
    balance: Balance,
}

struct UpstreamPeer {
    endpoint: Arc<UpstreamEndpoint>,
    pools: WorkerPools,
}

// === impl UpstreamEndpoint ===

impl UpstreamEndpoint {
    /// An address of which nothing is known yet.
    pub fn new(address: SocketAddr, address_index: usize, encrypted: bool) -> Self {
        Self {
            address,
            address_index,
            encrypted,
            state: AtomicU8::new(UNKNOWN),
            removed: AtomicBool::new(false),
            http1_only: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Whether the name no longer leads here.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Whether it was found good when it was last tried.
    pub fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    /// Whether it was never checked.
    pub fn is_unchecked(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UNKNOWN
    }

    /// Records its health; true if it changed.
    pub fn set_health(&self, up: bool) -> bool {
        let state = if up { UP } else { DOWN };
        self.state.swap(state, Ordering::Relaxed) != state
    }

    /// Whether it speaks nothing newer than HTTP/1.1, as far as is known.
    pub fn is_http1_only(&self) -> bool {
        self.http1_only.load(Ordering::Relaxed)
    }

    /// Records which HTTP it chose.
    pub fn set_http1_only(&self, http1: bool) {
        self.http1_only.store(http1, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        self.state.load(Ordering::Relaxed) != DOWN
    }

    fn begin_exchange(self: &Arc<Self>) -> InFlightGuard {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(self.clone())
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl UpstreamPeers ===

impl UpstreamPeers {
    /// No address yet.
    pub fn new(balance: Balance) -> Self {
        Self { all: ArcSwap::default(), next: AtomicUsize::new(0), balance }
    }

    /// The pool for the next exchange, at an address that was not `tried` yet.
    pub fn pick(
        &self,
        worker: WorkerId,
        tried: &[SocketAddr],
    ) -> Option<(Arc<ConnectionPool>, Option<InFlightGuard>)> {
        let all = self.all.load();
        if let [only] = all.as_slice() {
            return tried.is_empty().then(|| (only.pools.for_worker(worker).clone(), None));
        }
        let untried = |peer: &&Arc<UpstreamPeer>| !tried.contains(&peer.endpoint.address);
        let usable = |peer: &&Arc<UpstreamPeer>| untried(peer) && peer.endpoint.is_usable();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let rotation = || (0..all.len()).map(|step| &all[start.wrapping_add(step) % all.len()]);
        let peer = match self.balance {
            Balance::RoundRobin => rotation().find(usable),
            Balance::LeastConnections => rotation()
                .filter(usable)
                .min_by_key(|peer| peer.endpoint.in_flight.load(Ordering::Relaxed)),
        };
        let peer = peer.or_else(|| rotation().find(untried))?;
        let in_flight =
            (self.balance == Balance::LeastConnections).then(|| peer.endpoint.begin_exchange());
        Some((peer.pools.for_worker(worker).clone(), in_flight))
    }

    /// Evicts idle connections of every address.
    pub fn evict_idle(&self) {
        for peer in self.all.load().iter() {
            peer.pools.evict_idle();
        }
    }

    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.all.load().is_empty()
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.all.load().len()
    }

    /// Whether at least one address is known to be good.
    pub fn reachable(&self) -> bool {
        self.all.load().iter().any(|peer| peer.endpoint.is_up())
    }

    /// Every address.
    pub fn endpoints(&self) -> Vec<Arc<UpstreamEndpoint>> {
        self.all.load().iter().map(|peer| peer.endpoint.clone()).collect()
    }

    /// Makes `found` the addresses of the configured address `address_index`; true when they differ
    /// from those it had.
    pub fn replace(
        &self,
        address_index: usize,
        found: &[SocketAddr],
        encrypted: bool,
        pools: impl Fn(&Arc<UpstreamEndpoint>) -> WorkerPools,
    ) -> bool {
        let before = self.all.load_full();
        let stays = |peer: &&Arc<UpstreamPeer>| {
            peer.endpoint.address_index != address_index || found.contains(&peer.endpoint.address)
        };
        let known =
            |address: &&SocketAddr| before.iter().any(|peer| peer.endpoint.address == **address);
        let fresh: Vec<&SocketAddr> = found.iter().filter(|address| !known(address)).collect();
        if fresh.is_empty() && before.iter().all(|peer| stays(&peer)) {
            return false;
        }
        for peer in before.iter().filter(|peer| !stays(peer)) {
            peer.endpoint.removed.store(true, Ordering::Relaxed);
        }
        let mut after: Vec<Arc<UpstreamPeer>> = before.iter().filter(stays).cloned().collect();
        for address in fresh {
            let endpoint = Arc::new(UpstreamEndpoint::new(*address, address_index, encrypted));
            let pools = pools(&endpoint);
            after.push(Arc::new(UpstreamPeer { endpoint, pools }));
        }
        self.all.store(Arc::new(after));
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::clock::{Clock, SystemClock};
    use crate::proxy::upstream::pool::WorkerIds;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], 80))
    }

    fn peers(balance: Balance, addresses: &[u8]) -> UpstreamPeers {
        let peers = UpstreamPeers::new(balance);
        set(&peers, addresses);
        peers
    }

    fn set(peers: &UpstreamPeers, addresses: &[u8]) -> bool {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let found: Vec<SocketAddr> = addresses.iter().map(|n| address(*n)).collect();
        peers.replace(0, &found, false, |endpoint| {
            let idle = Duration::from_secs(1);
            WorkerPools::new(2, || ConnectionPool::new(endpoint.clone(), 1, idle, clock.clone()))
        })
    }

    fn picked(peers: &UpstreamPeers, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let worker = WorkerIds::default().current();
        peers.pick(worker, tried).map(|(pool, _)| pool.endpoint().address)
    }

    #[test]
    fn addresses_rotate_and_those_down_are_tried_last() {
        let peers = peers(Balance::RoundRobin, &[1, 2, 3]);
        let round: Vec<_> = (0..6).filter_map(|_| picked(&peers, &[])).collect();
        for n in 1..=3 {
            assert_eq!(round.iter().filter(|one| **one == address(n)).count(), 2, "{round:?}");
        }
        peers.endpoints()[1].set_health(false);
        assert!((0..9).all(|_| picked(&peers, &[]) != Some(address(2))));
        for endpoint in peers.endpoints() {
            endpoint.set_health(false);
        }
        assert!(picked(&peers, &[]).is_some(), "where all are down, all are tried");
        assert_eq!(picked(&peers, &[address(1), address(3)]), Some(address(2)));
        assert_eq!(picked(&peers, &[address(1), address(2), address(3)]), None);
    }

    #[test]
    fn the_address_with_the_fewest_exchanges_is_next() {
        let peers = peers(Balance::LeastConnections, &[1, 2]);
        let worker = WorkerIds::default().current();
        let held: Vec<_> = (0..6).filter_map(|_| peers.pick(worker, &[])).collect();
        let at =
            |n: u8| held.iter().filter(|(pool, _)| pool.endpoint().address == address(n)).count();
        assert_eq!((at(1), at(2)), (3, 3));
        let (ones, twos): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(pool, _)| pool.endpoint().address == address(1));
        drop(ones);
        assert!((0..3).all(|_| picked(&peers, &[]) == Some(address(1))));
        drop(twos);
    }

    #[test]
    fn an_address_that_is_resolved_again_keeps_its_endpoint() {
        let peers = peers(Balance::RoundRobin, &[1, 2]);
        let before = peers.endpoints();
        assert!(!set(&peers, &[2, 1]), "nothing changed");
        assert!(set(&peers, &[2, 3]));
        assert!(before[0].is_removed() && !before[1].is_removed());
        let after = peers.endpoints();
        assert!(Arc::ptr_eq(&before[1], &after[0]));
        assert_eq!(after[1].address, address(3));
    }
}
