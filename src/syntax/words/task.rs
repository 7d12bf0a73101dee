//! The words of a task; those it shares with other nodes are used from here.

use crate::diag::Diagnostic;
use crate::syntax::ast::Node;

use super::row::{block, one, optional, prop, some, word};
use super::variable::{ARG, FLAG, MATRIX, VARS_WORD};
use super::{Block, GUARD, Kind, Prop, REQUIRES, WHEN, Word, rule};

pub(super) const DESC: Word = word("desc", "what it is for, in one line").args(&[one("text", Kind::Text)]);
pub(super) const GROUP: Word =
    word("group", "the heading it is listed under").args(&[one("name", Kind::Word)]);
pub(super) const HIDDEN: Word = word("hidden", "it is not listed").args(&[optional("yes", Kind::Bool)]);
pub(super) const WHEN_WORD: Word =
    word("when", "it is skipped unless these conditions hold").body(&WHEN).many();
pub(super) const GUARD_WORD: Word =
    word("guard", "it is refused unless these conditions hold").body(&GUARD).many();
pub(super) const REQUIRES_WORD: Word = word("requires", "what the machine must have").body(&REQUIRES).many();
pub(super) const NEEDS: Word = word("needs", "what must be over, and well, before it begins")
    .more(
        "A task must have succeeded, a service be ready, a deploy be live, a snapshot be stored. The environment goes \
         along; a name with an environment pins it: `needs \"dev.e2e\"`. Outputs of needed tasks are inputs without being named.",
    )
    .args(&[some("node", Kind::Reference)])
    .props(&[prop("state", Kind::OneOf(&["started", "completed"]), "how far a needed service must be; ready without it")])
    .many()
    .example("needs \"install\" \"api:build\" \"dev.e2e\"");
pub(super) const USES: Word =
    word("uses", "variables that reach its commands beside those their text mentions")
        .args(&[some("variable", Kind::Variable)])
        .many();
pub(super) const RUN: Word = word("run", "a command")
    .more(
        "One string is shell text, run by `sh -eu`; two or more are a program and its arguments, without a shell. Several \
         actions (`run`, `call`, `render`, `load`) run in order and stop at the first that fails. What a command leaves \
         running (`&`, `nohup`) is ended with it; what is to stay, a server that a deploy starts, begins a session of its own \
         (`setsid`, a daemon, `systemd-run`), and the command waits until it answers.",
    )
    .args(&[some("command", Kind::Command)])
    .many()
    .example("run \"npm ci && npm run build\"\nrun \"npm\" \"run\" \"build\"");
pub(super) const CALL: Word = word("call", "another task's actions, in place, with this node's variables")
    .args(&[one("task", Kind::Reference)])
    .many();
pub(super) const RENDER: Word = word("render", "a file other programs read, written whole")
    .more(
        "The path is relative to `dir`. A `format` holds every declared variable and secret of the environment that has a \
         value, in the order declared, with the task's own `vars` over them, and what `uses` lists beside them; `json` keeps \
         numbers and booleans. A `template` is Jinja (minijinja, without `include`) with the same variables, the task's \
         arguments, and `ENVRUN_…` where it mentions one; ports and other numbers are numbers there, and a name that is not \
         declared is an error. Not rewritten if unchanged; mode 0600 if it holds a secret, and then refused as long as git \
         does not ignore it. A file changed by hand since, or that envrun did not write and git does not have, is not \
         overwritten without `--force` (`envrun env-file --force`): what would be lost is shown. A task with inputs or \
         outputs has the files it renders as outputs, their templates as inputs, and the values in its key; it is made \
         anew or left as it is, never restored from the cache.",
    )
    .args(&[one("path", Kind::Path)])
    .props(&[
        prop("format", Kind::OneOf(&["dotenv", "json", "k8s-secret", "shell"]), "this environment's variables in this format"),
        prop("template", Kind::Path, "a template to fill in"),
        prop("only", Kind::OneOf(&["vars", "secrets"]), "which of the variables; what is made from a secret is one"),
        prop("name", Kind::Word, "the name of the Kubernetes secret; `k8s-secret` needs it"),
        prop("namespace", Kind::Word, "its namespace"),
    ])
    .rule(format_or_template)
    .many()
    .example("render \".env.${ENVRUN_ENV}\" format=\"dotenv\"\nrender \"config.yaml\" template=\"config.yaml.j2\"");
pub(super) const DIR: Word =
    word("dir", "the folder it runs in, relative to the declaring file's").args(&[one("path", Kind::Path)]);
pub(super) const TIMEOUT: Word = word("timeout", "how long it may take")
    .args(&[one("duration", Kind::Duration)])
    .example("timeout \"5m\"");
pub(super) const ON_FAIL: Word =
    word("on-fail", "tasks that run when it failed")
        .more(
            "Their commands see `$ENVRUN_FAILED` (what failed), `$ENVRUN_REASON` (why) and `$ENVRUN_FAILED_RUN` (for \
             `envrun log`), unless they are cached.",
        )
        .args(&[some("task", Kind::Reference)])
        .many();
pub(super) const ON_SUCCESS: Word =
    word("on-success", "tasks that run when it succeeded").args(&[some("task", Kind::Reference)]).many();
pub(super) const HINT: Word = word("hint", "what to look at when it fails").args(&[one("text", Kind::Text)]);

const ON: Prop = prop("on", Kind::Failures, "which failures are tried again; all without it");

fn format_or_template(node: &Node, errors: &mut Vec<Diagnostic>) {
    match (node.prop("format"), node.prop("template")) {
        (Some(format), Some(template)) => errors.push(rule::contradiction(
            "`render` takes a format or a template, not both",
            template.key.span,
            format.key.span,
        )),
        (None, None) => errors.push(rule::missing(
            node,
            "`render` does not say what to write",
            "add `format=\"dotenv\"` (or `json`, `k8s-secret`, `shell`), or `template=\"…\"`",
        )),
        _ => {}
    }
    let is = |name: &str| node.prop("format").and_then(|format| format.value.value.as_str()) == Some(name);
    if is("k8s-secret") && node.prop("name").is_none() {
        errors.push(rule::missing(node, "a Kubernetes secret has a name", "add `name=\"…\"`"));
    }
    let only_in_secrets = ["name", "namespace"].into_iter().filter(|_| !is("k8s-secret"));
    let never_in_templates = ["only"].into_iter().filter(|_| node.prop("template").is_some());
    for prop in only_in_secrets.chain(never_in_templates).filter_map(|name| node.prop(name)) {
        let name = &prop.key.value;
        let message = format!("`{name}` means nothing here");
        let help = match name.as_str() {
            "only" => "a template mentions the variables that it wants",
            _ => "only a Kubernetes secret has one: `format=\"k8s-secret\"`",
        };
        errors.push(Diagnostic::error("syntax/contradiction", message).at(prop.key.span, "").help(help));
    }
}

/// Runs once.
pub static TASK: Block = block("task", "Something that runs once and is over when it has succeeded.", &[
    DESC,
    word("alias", "other names for it").args(&[some("name", Kind::NodeName)]).many(),
    GROUP,
    HIDDEN,
    ARG,
    FLAG,
    WHEN_WORD,
    GUARD_WORD,
    word("mutates", "it changes something outside: never cached, tried again only if asked, covered by the environment's `guard`")
        .args(&[optional("yes", Kind::Bool)]),
    REQUIRES_WORD,
    NEEDS,
    word("after", "what must be over before it begins, if it runs in this invocation at all")
        .args(&[some("node", Kind::Reference)])
        .many(),
    USES,
    word("inputs", "files it reads")
        .more(
            "Globs with `**`, `*`, `?`, `[…]`, `{a,b}`; a leading `!` excludes. Relative to `dir`, exact in case, `/` on every \
             system. `.gitignore` is respected for globs, never for a name written out.",
        )
        .args(&[some("glob", Kind::Glob)])
        .many()
        .example("inputs \"src/**\" \"package.json\" \"!**/*.test.ts\""),
    word("outputs", "files and folders it makes")
        .more("An output that is missing after the run fails the task.")
        .args(&[some("glob", Kind::Glob)])
        .many()
        .example("outputs \"dist\""),
    word("depfile", "files, in make's format, in which a command names what it has read")
        .more("What they name joins the inputs. A depfile that is missing after the run fails the task.")
        .args(&[some("path", Kind::Path)])
        .many()
        .example("depfile \"obj/a.d\"\nrun \"cc -MMD -MF obj/a.d -c a.c -o obj/a.o\""),
    word("tools", "programs whose content is part of the key").args(&[some("program", Kind::Word)]).many(),
    word("done", "it is already there if this command succeeds; what needs it goes on")
        .args(&[some("command", Kind::Command)]),
    RUN,
    CALL,
    RENDER,
    word("load", "a snapshot's data, put into this environment")
        .args(&[one("snapshot", Kind::Reference)])
        .props(&[
            prop("through", Kind::Reference, "the task that rewrites a private copy first and must succeed"),
            prop("at", Kind::Word, "a copy that was saved earlier: `latest`, a number, a day or a moment"),
            prop("within", Kind::Duration, "that copy is no older than this"),
        ])
        .many()
        .more(
            "The other environment's `save` writes into a private folder, its `verify` proves it, the task of `through=` \
             rewrites it in place (its `$SNAPSHOT`), and only then the `restore` of the snapshot of the same name here gets it. What is \
             here is saved before; where a `guard` protects the environment, nothing is replaced that could not be saved. The private \
             folder is removed in any case. The task counts as one that `mutates`. With `at=` nothing is saved in the other environment: \
             a copy that it has already is read whole and taken, which is also how a backup is proved to be one.",
        )
        .example("load \"production.db\" through=\"sanitise\""),
    DIR,
    word("shell", "the shell for shell text; `sh` without it").args(&[one("program", Kind::Word)]).example("shell \"bash\""),
    VARS_WORD,
    TIMEOUT,
    word("retry", "how often it is tried again when it fails")
        .args(&[one("times", Kind::Count)])
        .props(&[
            prop("every", Kind::Duration, "the pause before the next try"),
            prop("backoff", Kind::Number, "what the pause is multiplied with each time"),
            ON,
        ])
        .example("retry 3 every=\"2s\" backoff=2.0 on=\"exit:75|timeout\""),
    word("pool", "the pool it takes a place in").args(&[one("name", Kind::Word)]),
    word("matrix", "one instance for each combination of values").body(&MATRIX).unbuilt(),
    word("interactive", "it talks to the terminal: it runs alone, with standard input")
        .args(&[optional("yes", Kind::Bool)]),
    ON_FAIL,
    ON_SUCCESS,
    HINT,
    word("sandbox", "`strict`: a file of the project that it does not declare cannot be read")
        .more(
            "What is neither among `inputs`, nor an output of a task it needs, nor made by its own commands, cannot be opened or \
             executed: the command is told that it has no permission, and the file is named. With a `depfile`, which names its \
             inputs only afterwards, the task fails afterwards. Files outside of the project, and asking whether a file is \
             there, stay free. What it leaves running is ended with it. Programs that change what paths mean (`mount`, \
             `chroot`, `bwrap`) and `sudo` do not work in it. It finds what was forgotten, and is no fence against a program \
             that wants to get out: one thread can exchange a path that another one had looked at, a server that was there \
             before (docker, a language server, a compile daemon) reads for whoever asks it, and a second name of a file \
             that lies outside of the project is a file outside of the project. Linux, on x86-64 and aarch64; elsewhere \
             the task is not started. `envrun audit` finds what is missing, and declares it.",
        )
        .args(&[one("tier", Kind::OneOf(&["strict"]))])
        .example("sandbox \"strict\""),
    word("cache", "`#false`: it always runs").args(&[one("yes", Kind::Bool)]),
])
.patches();
