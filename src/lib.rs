//! envrun: a declarative build graph and task runner.
//!
//! One `Envfile.kdl` describes environments, stages, tasks, services and deploys as one graph; one command takes an
//! edit to production. *A [`graph::Target`] selects [`model::Task`]s of an [`model::Envfile`]; resolved against an
//! environment they are [`graph::ConfiguredTask`]s in a [`graph::TaskGraph`]; a [`plan::Plan`] orders them; each becomes
//! an action whose fingerprint gives a [`cache::CacheKey`]; the action cache answers with a [`cache::ActionResult`] or
//! [`exec`] makes one; the [`event::Outcome`] is told in an [`event::Event`]; reporters listen.*
//!
//! The rooms below stand ground floor first. A room imports only rooms above it in this list (`tests/it/tidy.rs` holds it).
//!
//! | room | what is in it |
//! |---|---|
//! | [`base`] | paths, files, globs, digests, the clock: things std might have had; knows nothing of envrun |
//! | [`diag`] | source map, spans, diagnostics and how they are shown |
//! | [`syntax`] | KDL text to a tree, the table of words, the formatter |
//! | [`model`] | what an Envfile says, as plain data without KDL |
//! | [`vars`] | layers of values, dotenv files, interpolation |
//! | [`load`] | finds the Envfile, follows includes, lowers the tree to the model |
//! | [`secret`] | making secrets, the store `file`, the filter that hides them |
//! | [`graph`] | targets resolved against environments; the task graph and its pictures |
//! | [`cache`] | keys, results, blobs; store and restore |
//! | [`fingerprint`] | what a task's key is made of, and what changed since |
//! | [`plan`] | what this invocation will do, in which order, within which limits |
//! | [`exec`] | one command to one process group, and its end |
//! | [`preflight`] | conditions and requirements: what must hold before something runs |
//! | [`gitref`] | small files that checkouts share through a git ref |
//! | [`service`] | what stays up: supervisor, probes, restarts, logs |
//! | [`render`] | the content of files that other programs read |
//! | [`event`] | what can happen in a run, and the fold over it |
//! | [`record`] | run logs, history, durations, locks |
//! | [`schedule`] | nodes that run at given times: when, what is due, and how other programs say it |
//! | [`ledger`] | what went live where: the journal of every environment, and its lock |
//! | [`snapshot`] | copies of data: saved, proved, numbered, kept |
//! | [`report`] | listeners that find the words |
//! | [`engine`] | the scheduler, one action's life, the one writer of events |
//! | [`watch`] | what changes while a session goes on: folders watched, events gathered, what a path means |
//! | [`ops`] | what the program can do, with no terminal |
//! | [`cli`] | clap, the terminal, process exit |
//! | `fuzz` | what fuzzers feed, and what must hold then; only built for them and for tests |

pub mod base;
pub mod cache;
pub mod cli;
pub mod diag;
pub mod engine;
pub mod event;
pub mod exec;
pub mod fingerprint;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gitref;
pub mod graph;
pub mod ledger;
pub mod load;
pub mod model;
pub mod ops;
pub mod plan;
pub mod preflight;
pub mod record;
pub mod render;
pub mod report;
pub mod schedule;
pub mod secret;
pub mod service;
pub mod snapshot;
pub mod syntax;
pub mod vars;
pub mod watch;
