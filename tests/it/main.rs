//! The program, run as a person runs it, and the house it is built in. One binary: it links once.

#[cfg(target_os = "linux")]
mod ade_platform;
#[cfg(target_os = "linux")]
mod again;
#[cfg(target_os = "linux")]
mod agent_orchestrator;
#[cfg(target_os = "linux")]
mod ai_sdlc;
#[cfg(target_os = "linux")]
mod apart;
#[cfg(unix)]
mod approval;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod audit;
mod bad_input;
#[cfg(target_os = "linux")]
mod change;
#[cfg(target_os = "linux")]
mod damage;
#[cfg(target_os = "linux")]
mod deploy;
mod dev;
#[cfg(unix)]
mod doctor;
#[cfg(target_os = "linux")]
mod dying;
mod ending;
#[cfg(unix)]
mod env;
#[cfg(unix)]
mod env_examples;
#[cfg(unix)]
mod env_made;
#[cfg(unix)]
mod env_sync;
#[cfg(unix)]
mod example;
#[cfg(unix)]
mod exchange;
mod explain;
#[cfg(target_os = "linux")]
mod fault;
mod hello_deploy;
#[cfg(target_os = "linux")]
mod instance;
#[cfg(target_os = "linux")]
mod interrupt;
mod jobserver;
#[cfg(target_os = "linux")]
mod journal;
#[cfg(target_os = "linux")]
mod kill;
mod load;
mod many;
mod matching;
mod model;
mod ninja;
#[cfg(target_os = "linux")]
mod pa_ecosystem;
#[cfg(target_os = "linux")]
mod page;
mod plan;
mod release;
#[cfg(unix)]
mod render;
#[cfg(target_os = "linux")]
mod restore;
#[cfg(target_os = "linux")]
mod rotate;
mod run;
mod sandbox;
#[cfg(unix)]
mod schedule;
mod screen;
#[cfg(unix)]
mod seal;
#[cfg(unix)]
mod secret;
mod service;
mod snapshot;
mod stage;
mod tidy;
#[cfg(unix)]
mod typed;
#[cfg(target_os = "linux")]
mod watch;
