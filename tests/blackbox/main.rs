//! Black-box tests: the real program over real sockets, one file per behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod access_log;
mod admin;
mod admin_guard;
mod apps;
mod browser;
mod cache;
mod cache_headers;
mod clear;
mod clients;
mod common;
mod compression;
mod compression_properties;
mod django;
mod drain;
mod explain;
mod express;
mod faults;
mod flood;
mod forwarding;
mod front_door;
mod harness;
mod head;
mod herd;
mod invalidation;
mod keyed;
mod large;
mod limits;
mod load;
mod metrics;
mod owners;
mod poisoning;
mod profile;
mod queue;
mod ranges;
mod reload;
mod revalidate;
mod stale;
mod stand_in;
mod targeted;
mod transparency;
mod upgrade;
mod upstreams;
mod vite;
mod wire;
