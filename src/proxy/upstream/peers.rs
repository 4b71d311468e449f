//! The addresses of an upstream: which there are, which can be used, which is next.
//!
//! What must hold: an address that stays keeps its connections when others come or go; one that
//! is gone gets no new exchange, and its connections end with those that are under way. Where
//! no address is known to be good, all are tried: a wrong health check must not stop traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::config::upstream::Balance;
use crate::proxy::pool::{Lane, Pool, Pools};

const UNKNOWN: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// One address, shared by its pools.
pub struct Target {
    /// Where it is.
    pub address: SocketAddr,
    /// Which of the configured addresses led to it.
    pub origin: usize,
    /// Whether it is called over TLS.
    pub encrypted: bool,
    state: AtomicU8,
    gone: AtomicBool,
    /// Whether it was seen to speak nothing newer than HTTP/1.1.
    http1: AtomicBool,
    occupied: AtomicUsize,
}

/// An exchange under way at an address.
pub struct Occupied(Arc<Target>);

/// Every address of one upstream.
pub struct Peers {
    all: ArcSwap<Vec<Arc<Peer>>>,
    next: AtomicUsize,
    balance: Balance,
}

struct Peer {
    target: Arc<Target>,
    pools: Pools,
}

// === impl Target ===

impl Target {
    /// An address of which nothing is known yet.
    pub fn new(address: SocketAddr, origin: usize, encrypted: bool) -> Self {
        Self {
            address,
            origin,
            encrypted,
            state: AtomicU8::new(UNKNOWN),
            gone: AtomicBool::new(false),
            http1: AtomicBool::new(false),
            occupied: AtomicUsize::new(0),
        }
    }

    /// Whether the name no longer leads here.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether it was found good when it was last tried.
    pub fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    /// Whether nothing was found out about it yet.
    pub fn is_new(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UNKNOWN
    }

    /// Notes what was found; true when that is news.
    pub fn found(&self, up: bool) -> bool {
        let state = if up { UP } else { DOWN };
        self.state.swap(state, Ordering::Relaxed) != state
    }

    /// Whether it speaks nothing newer than HTTP/1.1, as far as is known.
    pub fn is_http1(&self) -> bool {
        self.http1.load(Ordering::Relaxed)
    }

    /// Notes which HTTP it chose.
    pub fn speaks_http1(&self, http1: bool) {
        self.http1.store(http1, Ordering::Relaxed);
    }

    fn is_usable(&self) -> bool {
        self.state.load(Ordering::Relaxed) != DOWN
    }

    fn occupy(self: &Arc<Self>) -> Occupied {
        self.occupied.fetch_add(1, Ordering::Relaxed);
        Occupied(self.clone())
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.occupied.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Peers ===

impl Peers {
    /// No address yet.
    pub fn new(balance: Balance) -> Self {
        Self { all: ArcSwap::default(), next: AtomicUsize::new(0), balance }
    }

    /// The pool for the next exchange, at an address that was not `tried` yet.
    pub fn pick(&self, lane: Lane, tried: &[SocketAddr]) -> Option<(Arc<Pool>, Option<Occupied>)> {
        let all = self.all.load();
        if let [only] = all.as_slice() {
            return tried.is_empty().then(|| (only.pools.of(lane).clone(), None));
        }
        let untried = |peer: &&Arc<Peer>| !tried.contains(&peer.target.address);
        let usable = |peer: &&Arc<Peer>| untried(peer) && peer.target.is_usable();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = || (0..all.len()).map(|step| &all[start.wrapping_add(step) % all.len()]);
        let peer = match self.balance {
            Balance::RoundRobin => turn().find(usable),
            Balance::LeastConnections => turn()
                .filter(usable)
                .min_by_key(|peer| peer.target.occupied.load(Ordering::Relaxed)),
        };
        let peer = peer.or_else(|| turn().find(untried))?;
        let occupied = (self.balance == Balance::LeastConnections).then(|| peer.target.occupy());
        Some((peer.pools.of(lane).clone(), occupied))
    }

    /// Sweeps the pools of every address.
    pub fn sweep(&self) {
        for peer in self.all.load().iter() {
            peer.pools.sweep();
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
        self.all.load().iter().any(|peer| peer.target.is_up())
    }

    /// Every address.
    pub fn targets(&self) -> Vec<Arc<Target>> {
        self.all.load().iter().map(|peer| peer.target.clone()).collect()
    }

    /// Makes `found` the addresses of the configured address `origin`; true when they differ
    /// from those it had.
    pub fn replace(
        &self,
        origin: usize,
        found: &[SocketAddr],
        encrypted: bool,
        pools: impl Fn(&Arc<Target>) -> Pools,
    ) -> bool {
        let before = self.all.load_full();
        let stays = |peer: &&Arc<Peer>| {
            peer.target.origin != origin || found.contains(&peer.target.address)
        };
        let known =
            |address: &&SocketAddr| before.iter().any(|peer| peer.target.address == **address);
        let fresh: Vec<&SocketAddr> = found.iter().filter(|address| !known(address)).collect();
        if fresh.is_empty() && before.iter().all(|peer| stays(&peer)) {
            return false;
        }
        for peer in before.iter().filter(|peer| !stays(peer)) {
            peer.target.gone.store(true, Ordering::Relaxed);
        }
        let mut after: Vec<Arc<Peer>> = before.iter().filter(stays).cloned().collect();
        for address in fresh {
            let target = Arc::new(Target::new(*address, origin, encrypted));
            let pools = pools(&target);
            after.push(Arc::new(Peer { target, pools }));
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
    use crate::proxy::pool::Lanes;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], 80))
    }

    fn peers(balance: Balance, addresses: &[u8]) -> Peers {
        let peers = Peers::new(balance);
        set(&peers, addresses);
        peers
    }

    fn set(peers: &Peers, addresses: &[u8]) -> bool {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let found: Vec<SocketAddr> = addresses.iter().map(|n| address(*n)).collect();
        peers.replace(0, &found, false, |target| {
            let idle = Duration::from_secs(1);
            Pools::new(2, || Pool::new(target.clone(), 1, idle, clock.clone()))
        })
    }

    fn picked(peers: &Peers, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let lane = Lanes::default().mine();
        peers.pick(lane, tried).map(|(pool, _)| pool.target().address)
    }

    #[test]
    fn each_address_in_turn_and_those_that_are_down_last() {
        let peers = peers(Balance::RoundRobin, &[1, 2, 3]);
        let round: Vec<_> = (0..6).filter_map(|_| picked(&peers, &[])).collect();
        for n in 1..=3 {
            assert_eq!(round.iter().filter(|one| **one == address(n)).count(), 2, "{round:?}");
        }
        peers.targets()[1].found(false);
        assert!((0..9).all(|_| picked(&peers, &[]) != Some(address(2))));
        for target in peers.targets() {
            target.found(false);
        }
        assert!(picked(&peers, &[]).is_some(), "where all are down, all are tried");
        assert_eq!(picked(&peers, &[address(1), address(3)]), Some(address(2)));
        assert_eq!(picked(&peers, &[address(1), address(2), address(3)]), None);
    }

    #[test]
    fn the_address_with_the_fewest_exchanges_is_next() {
        let peers = peers(Balance::LeastConnections, &[1, 2]);
        let lane = Lanes::default().mine();
        let held: Vec<_> = (0..6).filter_map(|_| peers.pick(lane, &[])).collect();
        let at =
            |n: u8| held.iter().filter(|(pool, _)| pool.target().address == address(n)).count();
        assert_eq!((at(1), at(2)), (3, 3));
        let (ones, twos): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(pool, _)| pool.target().address == address(1));
        drop(ones);
        assert!((0..3).all(|_| picked(&peers, &[]) == Some(address(1))));
        drop(twos);
    }

    #[test]
    fn an_address_that_stays_stays_the_same() {
        let peers = peers(Balance::RoundRobin, &[1, 2]);
        let before = peers.targets();
        assert!(!set(&peers, &[2, 1]), "nothing changed");
        assert!(set(&peers, &[2, 3]));
        assert!(before[0].is_gone() && !before[1].is_gone());
        let after = peers.targets();
        assert!(Arc::ptr_eq(&before[1], &after[0]));
        assert_eq!(after[1].address, address(3));
    }
}
