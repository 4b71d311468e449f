//! Instruments: logging and the metrics registry.
