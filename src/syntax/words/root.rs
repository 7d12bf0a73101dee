//! The words at the root of a file, and those blocks that only stand there.

use crate::base::Cron;
use crate::diag::Diagnostic;
use crate::syntax::ast::{Node, Prop};

use super::env::{DEPLOY_WORD, ENV_WORD, SNAPSHOT_WORD, TASK_WORD};
use super::row::{block, one, optional, prop, some, word};
use super::service::SERVICE_WORD;
use super::task::{DESC, GUARD_WORD, REQUIRES_WORD, WHEN_WORD};
use super::variable::{DOTENV, SECRETS_WORD, VARS_WORD};
use super::{Block, Kind, rule};

/// About the project as a whole.
pub static PROJECT: Block = block(
    "project",
    "Settings of the project as a whole.",
    &[word("logs", "how long the logs of runs are kept").props(&[prop("keep", Kind::Duration, "how long")])],
);

/// Where results are kept.
pub static CACHE: Block = block(
    "cache",
    "Where results are kept, and how many.",
    &[
        word("local", "the cache on this machine")
            .props(&[
                prop("max-size", Kind::Size, "the most it may hold; `\"20GiB\"` without it"),
                prop("max-age", Kind::Duration, "the longest a result may lie unused; `\"30d\"` without it"),
                prop("dir", Kind::Path, "where it lies, if not in the user's cache folder"),
            ])
            .example("local max-size=\"50GiB\" max-age=\"14d\""),
        word("remote", "a cache shared with other machines").args(&[one("url", Kind::Word)]).many().unbuilt(),
    ],
);

/// A step of the pipeline.
pub static STAGE: Block = block(
    "stage",
    "A step of the pipeline: what it runs, and under which conditions.",
    &[DESC, WHEN_WORD, GUARD_WORD, word("run", "what it runs").args(&[some("node", Kind::Reference)]).many()],
);

/// Where secrets are kept.
pub static STORE: Block = block(
    "store",
    "A place where secrets are kept, and how it is read and written.",
    &[
        REQUIRES_WORD,
        word("read", "the command that prints every secret of `$STORE_PATH`")
            .args(&[some("command", Kind::Command)])
            .props(&[prop("format", Kind::OneOf(&["json", "dotenv"]), "what it prints")]),
        word("write", "the command that stores standard input as the secret `$KEY`")
            .args(&[some("command", Kind::Command)]),
    ],
);

/// The root of a file.
pub static ROOT: Block = block("root", "The words that may stand at the root of a file.", &[
    word("project", "what the project is called")
        .args(&[optional("name", Kind::Name)])
        .props(&[
            prop("default-env", Kind::Name, "the environment of a target that names none"),
            prop("envrun", Kind::Version, "the versions of envrun that can read this file"),
        ])
        .body(&PROJECT)
        .example("project \"shop\" default-env=\"dev\" envrun=\">=0.1\""),
    word("include", "another file, a folder with its own Envfile, or a glob of such folders")
        .more(
            "A file's nodes join this project, with `as=` under that name and a dot: `notify.slack`. A folder is a project of its \
             own: its nodes are called `name:node`, run in its folder, and `as=` is the folder's name unless given.",
        )
        .args(&[one("path", Kind::Glob)])
        .props(&[prop("as", Kind::Name, "the name in front of its nodes")])
        .many()
        .example("include \"tasks/notify.kdl\" as=\"notify\"\ninclude \"services/*\""),
    VARS_WORD,
    SECRETS_WORD,
    DOTENV,
    REQUIRES_WORD,
    word("cache", "where results are kept").body(&CACHE),
    word("pool", "how many tasks of a kind may run at once")
        .args(&[one("name", Kind::Word), optional("depth", Kind::Positive)])
        .props(&[prop("depth", Kind::Positive, "how many, if it is not the second argument")])
        .rule(one_depth)
        .named("pool")
        .example("pool \"link\" 2"),
    ENV_WORD,
    word("stage", "a step of the pipeline")
        .args(&[one("name", Kind::Name)])
        .props(&[
            prop("env", Kind::Name, "the environment it runs in"),
            prop("after", Kind::Choices, "the stages before it, with `|` between them"),
        ])
        .body(&STAGE)
        .named("stage")
        .example("stage \"uat\" env=\"uat\" after=\"test\" { when { branch \"main\" }; run \"verify\" }"),
    TASK_WORD,
    SERVICE_WORD,
    DEPLOY_WORD,
    SNAPSHOT_WORD,
    word("schedule", "a node that runs at given times")
        .more(
            "`envrun schedule run` runs it on this machine, `envrun schedule export` writes it for systemd, cron, GitHub or Kubernetes, \
             `envrun schedule list` says what comes next: `docs/schedules.md`. Nobody is there to type the word of a `confirm`: such a run \
             is refused.",
        )
        .args(&[one("node", Kind::Reference)])
        .props(&[
            prop("cron", Kind::Word, "the times, in five fields (or six, with the second first): `*`, numbers, names, `a-b`, `*/n`, lists, `L` for the last day of a month"),
            prop("every", Kind::Duration, "the time from one run to the next, from a second up, counted from 1970 in UTC"),
            prop("tz", Kind::Word, "the time zone of `cron`, by its IANA name"),
            prop("catch-up", Kind::Bool, "`#true`: run once for any number of missed times"),
            prop("jitter", Kind::Duration, "begin up to this much later; shorter than the time between two runs"),
            prop("overlap", Kind::OneOf(&["skip", "queue", "allow"]), "what happens while the last run goes on; skip without it"),
            prop("on-fail", Kind::Reference, "the task that runs when it failed or was refused; in the environment of `<node>` if it names none"),
        ])
        .rule(one_time)
        .many()
        .example("schedule \"prod.backup\" cron=\"30 2 * * *\" tz=\"Europe/Berlin\" catch-up=#true"),
    word("store", "a place where secrets are kept")
        .more(
            "Its commands run in the project's folder and see `$STORE_PATH`, `$ENVRUN_ENV` and the variables of the environment that \
             are no secrets. `read` prints all secrets of the path; `write` gets one value on standard input and its name as `$KEY`. \
             A store without `write` is only read.",
        )
        .example(
            "store \"age\" {\n    requires { tool \"age\" }\n    read \"age\" \"-d\" \"-i\" \"key.txt\" \"${STORE_PATH}\"\n}",
        )
       .args(&[one("name", Kind::Name)]).body(&STORE).named("store"),
    word("state", "where records of stages and deploys are kept")
        .more(
            "Without it they lie in `.envrun/`, and count in this checkout. With it they lie in the refs `refs/envrun/stages` and \
             `refs/envrun/deploys` of that remote, which are no branches: CI jobs and laptops share them, and whoever writes one needs leave to push there.",
        )
        .props(&[prop("git", Kind::Word, "the git remote that holds them")])
        .example("state git=\"origin\""),
]);

fn one_depth(node: &Node, errors: &mut Vec<Diagnostic>) {
    match (node.args.get(1), node.prop("depth")) {
        (Some(arg), Some(prop)) => {
            errors.push(rule::contradiction("a pool has one depth", prop.key.span, arg.value.span));
        }
        (None, None) => errors.push(rule::missing(
            node,
            "the pool has no depth",
            "write how many may run at once: `pool \"link\" 2`",
        )),
        _ => {}
    }
}

fn wrong_cron(prop: &Prop) -> Option<Diagnostic> {
    let text = prop.value.value.as_str()?;
    let reason = Cron::parse(text).err()?;
    Some(
        Diagnostic::error("syntax/cron", format!("`{text}` names no time: {reason}"))
            .at(prop.value.span, "")
            .help("write for instance `\"30 2 * * *\"`, half past two every night"),
    )
}

fn one_time(node: &Node, errors: &mut Vec<Diagnostic>) {
    let (cron, every, tz) = (node.prop("cron"), node.prop("every"), node.prop("tz"));
    errors.extend(cron.and_then(wrong_cron));
    match (cron, every, tz) {
        (Some(cron), Some(every), _) => errors.push(rule::contradiction(
            "a schedule has `cron=` or `every=`, not both",
            every.key.span,
            cron.key.span,
        )),
        (None, None, _) => errors.push(rule::missing(
            node,
            "the schedule does not say when",
            "add `cron=\"0 2 * * *\" tz=\"UTC\"` or `every=\"1h\"`",
        )),
        (Some(_), None, None) => errors.push(rule::missing(
            node,
            "`cron=` needs a time zone",
            "add `tz=\"UTC\"`, or a zone such as `tz=\"Europe/Berlin\"`",
        )),
        (None, Some(every), Some(tz)) => errors.push(rule::contradiction(
            "`tz=` belongs to `cron=`; `every=` has no time zone",
            tz.key.span,
            every.key.span,
        )),
        _ => {}
    }
}
