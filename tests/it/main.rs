//! Integration tests: the house's own rules, and the real binary over real sockets.

mod floors;
