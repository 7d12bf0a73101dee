//! Conditions: each is written here once, and used by the verbs `when`, `guard`, `match` and `requires`.

use crate::diag::Diagnostic;
use crate::syntax::ast::Node;

use super::row::{block, one, optional, prop, some, word};
use super::{Block, Kind, Prop, Word, rule};

const HINT: Prop = prop("hint", Kind::Text, "what to do when it does not hold");
const NAME: Prop = prop("name", Kind::Word, "what to call it in messages");

const BRANCH: Word = word("branch", "the checked-out branch is one of these; in CI, where a commit is checked out, the branch of the pipeline, of a fork `owner:branch`")
    .args(&[some("glob", Kind::Pattern)])
    .props(&[HINT])
    .many()
    .example("branch \"main\" \"release/*\"");
const TAG: Word =
    word("tag", "a tag at the current commit is one of these; without any, there is one at all")
        .args(&[super::row::any("glob", Kind::Pattern)])
        .props(&[HINT])
        .many();
const CLEAN: Word = word("clean", "the work tree has no change that is not committed").props(&[HINT]);
const PUSHED: Word = word(
    "pushed",
    "the current commit is on the branch's upstream; where no branch is checked out, on one of a remote",
)
.props(&[HINT]);
const CI: Word = word("ci", "it runs in CI (`CI` is set); `ci #false`: it does not")
    .args(&[optional("yes", Kind::Bool)])
    .props(&[HINT]);
const WINDOW: Word = word("window", "it is one of these times of the week")
    .more("Days and a time of day: `mon-thu 08:00-16:00`, `sat,sun 00:00-24:00`; without days, every day. Without `tz`, local time.")
    .args(&[some("times", Kind::Word)])
    .props(&[prop("tz", Kind::Word, "the time zone, by its IANA name"), HINT])
    .many()
    .example("window \"mon-thu 08:00-16:00\" tz=\"Europe/Berlin\"");
const DEPLOYED: Word = word("deployed", "the same artefacts are live and healthy in that environment")
    .args(&[one("env", Kind::Word)])
    .props(&[
        prop("within", Kind::Duration, "it went live no longer ago than this"),
        prop("for", Kind::Duration, "it has been live at least this long"),
        HINT,
    ])
    .many()
    .example("deployed \"uat\" within=\"7d\" for=\"30m\"");
const APPROVAL: Word = word("approval", "somebody else has approved this revision with a signed tag")
    .more(
        "A git tag `approve/<env>/<revision>`, or `approve/<env>/<revision>-<who>` where several approve, signed with an SSH \
         key and verified by git itself. The file has a line for each person, as `ssh-keygen` has it: \
         `bob@example.org ssh-ed25519 AAAA…`; patterns, several names on a line and certificate authorities do not count. \
         The author, the committer and the co-authors of the revision do not count, by their addresses and by their keys. \
         Who may approve is read from the committed revision, never from the work tree, and a change of the file counts \
         only when a revision that has it was approved by those of before: nobody adds himself. Who is taken out is out \
         at once. `--break-glass \"reason\"` passes it. It approves a commit: put `clean` beside it. In place of the \
         revision the tag may name the digest of a frozen plan (`envrun plan -o`): then it counts when `envrun apply` carries \
         out that plan, and for nothing else.",
    )
    .props(&[
        prop("signers", Kind::Path, "the file of allowed signers, relative to the declaring file").required(),
        prop("count", Kind::Positive, "how many must approve; one without it"),
        HINT,
    ])
    .example("approval signers=\"ops/allowed_signers\" count=2");
const CONFIRM: Word = word("confirm", "this word is typed; without a terminal, given by `--confirm`")
    .more("Asked when every other guard of the run has passed, once for each word. `--break-glass \"reason\"` passes it.")
    .args(&[one("word", Kind::Word)])
    .props(&[HINT])
    .example("confirm \"DELETE\"");
const EXEC: Word = word("exec", "this command succeeds")
    .args(&[some("command", Kind::Command)])
    .props(&[NAME, HINT])
    .many()
    .example("exec \"docker info\" name=\"docker daemon\" hint=\"start Docker\"");
const SET: Word = word("set", "each of these variables is set to something")
    .args(&[some("variable", Kind::Variable)])
    .props(&[HINT])
    .many();
const UNSET: Word = word("unset", "none of these variables is set to something")
    .args(&[some("variable", Kind::Variable)])
    .props(&[HINT])
    .many();
const OS: Word = word("os", "the system is one of these")
    .args(&[some("name", Kind::OneOf(&["linux", "macos", "windows", "freebsd", "netbsd", "openbsd"]))])
    .props(&[HINT])
    .many();
const HOST: Word = word("host", "the machine's name is one of these")
    .args(&[some("glob", Kind::Pattern)])
    .props(&[HINT])
    .many();
const FILE: Word =
    word("file", "each of these files exists").args(&[some("path", Kind::Path)]).props(&[HINT]).many();
const TOOL: Word = word("tool", "this program is found, in a version that fits")
    .args(&[one("program", Kind::Word)])
    .props(&[prop("version", Kind::Version, "the versions that fit"), HINT])
    .many()
    .more("The version is the first number with dots in what `--version` prints. Ranges: `>=3.12`, `>=1.2 <2`, `^1`, `~1.2`, `=1.2` (any 1.2.x).")
    .example("tool \"python3\" version=\">=3.12\" hint=\"pyenv install 3.12\"");
const REACH: Word = word("reach", "this address accepts a connection")
    .args(&[one("address", Kind::Word)])
    .props(&[NAME, HINT])
    .many()
    .more("`host:port`, or a URL, of which the host and the port are tried.")
    .example("reach \"db.internal:5432\"");
const CPU: Word = amount("cpu", "the machine has this many processors", NUMBERS);
const MEMORY: Word = amount("memory", "the machine has this much memory", SIZES);
const DISK: Word = amount("disk", "this much space is free where the project lies", SIZES);
const GPU: Word = amount("gpu", "the machine has this many graphics processors", NUMBERS);

const NUMBERS: &[Prop] = &[
    prop("min", Kind::Positive, "less than this fails"),
    prop("want", Kind::Positive, "less than this warns"),
    HINT,
];
const SIZES: &[Prop] = &[
    prop("min", Kind::Size, "less than this fails"),
    prop("want", Kind::Size, "less than this warns"),
    HINT,
];

const fn amount(name: &'static str, doc: &'static str, props: &'static [Prop]) -> Word {
    word(name, doc).props(props).rule(some_amount)
}

fn some_amount(node: &Node, errors: &mut Vec<Diagnostic>) {
    if node.prop("min").is_none() && node.prop("want").is_none() {
        errors.push(rule::missing(
            node,
            format!("`{}` says no amount", node.name.value),
            "write `min=` for what is required, `want=` for what is recommended",
        ));
    }
}

/// Skips.
pub static WHEN: Block = block(
    "when",
    "Conditions that must all hold; otherwise the node is skipped, and what needs it is skipped too, exit status 0. Nothing is made for what `branch`, `ci`, `os` or `host` skip; the others are asked when what the node needs is over.",
    &[BRANCH, TAG, CLEAN, PUSHED, CI, WINDOW, DEPLOYED, EXEC, SET, UNSET, OS, HOST, FILE],
);

/// Refuses.
pub static GUARD: Block = block(
    "guard",
    "Conditions that must all hold; otherwise the run is refused with exit status 3 before any process starts, listing \
     every condition that fails and what would satisfy it.",
    &[BRANCH, TAG, CLEAN, PUSHED, APPROVAL, CONFIRM, CI, WINDOW, DEPLOYED, EXEC, SET, UNSET, OS, HOST],
);

/// Chooses.
pub static MATCH: Block = block(
    "match",
    "Conditions under which this environment is chosen when none is named.",
    &[SET, UNSET, OS, HOST, EXEC, CI],
);

/// Advises.
pub static REQUIRES: Block = block(
    "requires",
    "What the machine must have: `min` fails, `want` warns, `hint` says what to do. All checks run; nothing stops at the \
     first that fails.",
    &[TOOL, CPU, MEMORY, DISK, GPU, FILE, REACH, EXEC, OS, SET],
);
