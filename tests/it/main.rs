//! The program, run as a person runs it, and the house it is built in. One binary: it links once.

mod sandbox;
mod tidy;
