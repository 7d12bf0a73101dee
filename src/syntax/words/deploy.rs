//! The words of a deploy and of a snapshot.

use super::row::{block, one, prop, some, word};
use super::task::{
    CALL, DESC, GUARD_WORD, NEEDS, ON_FAIL, ON_SUCCESS, RENDER, RUN, TIMEOUT, USES, WHEN_WORD,
};
use super::{Block, Kind, rule};
use crate::diag::Diagnostic;
use crate::syntax::ast::Node;

/// Changes a live environment.
pub static DEPLOY: Block = block(
    "deploy",
    "Something that changes a live environment, and can go back when its proof fails.",
    &[
        DESC,
        word("revision", "the revision that goes live; the current commit without it")
            .args(&[one("revision", Kind::Word)]),
        word("from", "the environment whose last good revision and bytes go live; never a rebuild")
            .args(&[one("env", Kind::Word)]),
        NEEDS,
        USES,
        word("snapshot", "data that is saved first").args(&[some("snapshot", Kind::Reference)]).many(),
        RUN,
        CALL,
        RENDER,
        word("verify", "tasks that must succeed before it counts as live")
            .args(&[some("task", Kind::Reference)])
            .props(&[prop("for", Kind::Duration, "how long they must go on succeeding")])
            .many()
            .example("verify \"health\" \"smoke\" for=\"60s\""),
        word("tag", "a git tag that marks the revision it replaces").args(&[one("name", Kind::Word)]),
        word("keep", "how many revisions stay ready to go back to").args(&[one("count", Kind::Positive)]),
        TIMEOUT,
        ON_FAIL,
        ON_SUCCESS,
        GUARD_WORD,
        WHEN_WORD,
    ],
)
.patches();

/// Saves data.
pub static SNAPSHOT: Block = block(
    "snapshot",
    "Data that is saved, and can be put back.",
    &[
        DESC,
        USES,
        word("save", "the command that writes the data into `$SNAPSHOT`")
            .args(&[some("command", Kind::Command)]),
        word("restore", "the command that puts the data of `$SNAPSHOT` back")
            .args(&[some("command", Kind::Command)]),
        word("verify", "the command that proves a stored copy").args(&[some("command", Kind::Command)]),
        word("keep", "how many are kept")
            .props(&[
                prop("last", Kind::Count, "the newest ones"),
                prop("daily", Kind::Count, "one for each of so many days"),
                prop("weekly", Kind::Count, "one for each of so many weeks"),
                prop("monthly", Kind::Count, "one for each of so many months"),
            ])
            .rule(some_count)
            .example("keep last=5 daily=7 weekly=4"),
    ],
)
.patches();

fn some_count(node: &Node, errors: &mut Vec<Diagnostic>) {
    if node.props.is_empty() {
        errors.push(rule::missing(
            node,
            "`keep` does not say how many",
            "write for instance `keep last=5 daily=7`",
        ));
    }
}
