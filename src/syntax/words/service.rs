//! The words of a service and of its readiness.

use crate::diag::Diagnostic;
use crate::syntax::ast::Node;

use super::row::{block, one, optional, prop, some, word};
use super::task::{DESC, DIR, HINT, NEEDS, REQUIRES_WORD, RUN, TIMEOUT, USES};
use super::variable::VARS_WORD;
use super::{Block, Kind, Prop, Word, rule};

const NAME: Prop = prop("name", Kind::Word, "what to call it in messages");

/// Says when a service can be used.
pub static READY: Block = block(
    "ready",
    "Probes; the service is ready when all of them pass.",
    &[
        word("http", "this address answers with a good status")
            .args(&[one("url", Kind::Word)])
            .props(&[NAME, prop("status", Kind::Positive, "the status wanted; any below 400 without it")])
            .many(),
        word("tcp", "this address accepts a connection")
            .args(&[one("address", Kind::Word)])
            .props(&[NAME])
            .many(),
        word("exec", "this command succeeds").args(&[some("command", Kind::Command)]).props(&[NAME]).many(),
        word("log", "a line of its output matches")
            .args(&[one("pattern", Kind::Regex)])
            .props(&[NAME])
            .many(),
        word("notify", "it says so itself, as systemd's `sd_notify` has it")
            .args(&[optional("yes", Kind::Bool)]),
        word("every", "the pause between two tries").args(&[one("duration", Kind::Duration)]),
        TIMEOUT,
    ],
);

/// Stays up.
pub static SERVICE: Block = block(
    "service",
    "Something that stays up; what needs it begins when it is ready.",
    &[
        DESC,
        NEEDS,
        USES,
        RUN,
        word("start", "the command that starts somebody else's daemon")
            .args(&[some("command", Kind::Command)]),
        word("stop", "the command that stops it").args(&[some("command", Kind::Command)]),
        word("log", "the command that follows its log").args(&[some("command", Kind::Command)]),
        word(
            "ready",
            "when it can be used; without it, when each of its `(port)` variables accepts a connection",
        )
        .body(&READY),
        word("watch", "files whose change restarts it").args(&[some("glob", Kind::Glob)]).many(),
        word("restart", "when it is started again by itself")
            .args(&[one("when", Kind::OneOf(&["never", "on-failure", "always"]))])
            .props(&[prop("max", Kind::Count, "how often at the most")]),
        word("url", "where to find it").args(&[one("url", Kind::Word)]).props(&[NAME]).many(),
        VARS_WORD,
        REQUIRES_WORD,
        DIR,
        TIMEOUT,
        HINT,
    ],
)
.patches();

/// `service`, wherever it may stand.
pub const SERVICE_WORD: Word = word("service", "something that stays up")
    .args(&[one("name", Kind::NodeName)])
    .body(&SERVICE)
    .named("node")
    .rule(run_or_start);

fn run_or_start(node: &Node, errors: &mut Vec<Diagnostic>) {
    if let (Some(run), Some(start)) = (node.child("run"), node.child("start")) {
        let message = "a service is a child of envrun (`run`) or somebody else's daemon (`start`), not both";
        errors.push(rule::contradiction(message, start.name.span, run.name.span));
    }
}
