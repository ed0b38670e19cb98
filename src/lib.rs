//! Pacecar, a performance sidecar: one process in front of one web app.
//!
//! # Map
//!
//! - [`cli`]: the command line, and where the settings come from.
//! - [`config`]: `proxy.toml` read into what the program believes, with every problem named at once.
//! - [`header`]: the vocabulary of HTTP: heads, Cache-Control, dates, validators, forwarding fields.
//! - [`route`]: which policy and which endpoint name a request has.
//! - [`cache`]: what may be stored and reused, why not, and the store itself; [`cache::keyed`]: the app's own results.
//! - [`compress`]: content codings: which one a client gets, and the encoders; [`cache_headers`]: what clients are told
//!   about keeping an answer.
//! - [`profile`]: one sample per request, merged into percentiles per endpoint.
//! - [`query`]: the app's database queries: which there are, for which requests, and what is wrong with them.
//! - [`observe`]: what a cache would have answered, saved and got wrong.
//! - [`advice`]: what should be done, by which numbers: pure rules over snapshots of all these.
//! - [`task`]: work in the background: its states, the file that it survives restarts in, and who runs it.
//! - [`job`]: what the operator has done as tasks: warming up, purging, explaining a query, comparing two pages.
//! - [`rings`]: how what a request tells gets from its thread to where it is counted, without a lock.
//! - [`units`]: durations and sizes, as people write them.
//! - [`traffic`]: counters of the front door: connections, refusals, failures of the origin.
//! - [`state`]: every long-lived component, built once.
//! - [`server`]: the front door and the way of a request; the only place, with [`app`], that names pingora.
//! - [`admin`]: the admin port: JSON, metrics, health, the dashboard page; the receiver of spans.
//! - [`explain`]: asks PostgreSQL how it would execute the app's queries.
//! - [`app`]: the wiring; [`demo`]: a small web app to put Pacecar in front of.
//!
//! Arrows point one way: `main → app → {server, admin, explain} → state → domain → header`, and domain modules do not
//! know each other. `tests/layers.rs` holds the source to it.
//!
//! # Invariants
//!
//! - The origin's bytes reach the client unchanged unless a coding was negotiated; a cut answer is never stored nor shown as complete.
//! - One person's response never reaches another.
//! - When caching or profiling fails, the request still succeeds and the failure is counted.
//! - Every collection has a bound, and the bound is visible in the statistics.
//! - Foreign bytes cannot panic the process.
//!
//! Deliberately absent: global state (but for a few idle encoders that wait to be used again), a clock inside a decision,
//! and locks held across an await.

pub mod admin;
pub mod advice;
pub mod app;
pub mod cache;
pub mod cache_headers;
pub mod cli;
pub mod compress;
pub mod config;
pub mod demo;
pub mod explain;
pub mod header;
pub mod job;
pub mod observe;
pub mod profile;
pub mod query;
pub mod rings;
pub mod route;
pub mod server;
pub mod state;
pub mod task;
pub mod traffic;
pub mod units;
