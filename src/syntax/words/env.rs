//! The words of an environment.

use super::deploy::{DEPLOY, SNAPSHOT};
use super::row::{block, one, prop, some, word};
use super::service::SERVICE_WORD;
use super::task::{DESC, GUARD_WORD, REQUIRES_WORD, WHEN_WORD};
use super::variable::{ARG, DOTENV, SECRETS_WORD, VARS_WORD};
use super::{Block, Kind, MATCH, TASK, Word};

/// `task`, wherever it may stand.
pub const TASK_WORD: Word = word("task", "something that runs once")
    .args(&[one("name", Kind::NodeName)])
    .body(&TASK)
    .named("node")
    .example(
        "task \"build\" {\n    needs \"install\"\n    inputs \"src/**\" \"package.json\"\n    outputs \"dist\"\n    run \"npm run build\"\n}",
    );

/// `deploy`, wherever a node may stand.
pub const DEPLOY_WORD: Word = word("deploy", "something that changes a live environment and can go back")
    .args(&[one("name", Kind::NodeName)])
    .body(&DEPLOY)
    .named("node");

/// `snapshot`, wherever a node may stand.
pub const SNAPSHOT_WORD: Word = word("snapshot", "data that is saved and can be put back")
    .args(&[one("name", Kind::NodeName)])
    .body(&SNAPSHOT)
    .named("node");

/// Patches what stands at the root.
pub static ENV: Block = block(
    "env",
    "What differs in this environment from what stands at the root of the file (or in the environment it extends).",
    &[
        DESC,
        ARG,
        word("ttl", "how long an environment made from this pattern may lie idle")
            .more("`envrun env gc` takes down those that were not used for longer.")
            .args(&[one("duration", Kind::Duration)])
            .example("ttl \"3d\""),
        word("match", "it is chosen under these conditions when none is named").body(&MATCH).many(),
        VARS_WORD,
        SECRETS_WORD,
        DOTENV,
        REQUIRES_WORD,
        GUARD_WORD,
        WHEN_WORD,
        TASK_WORD,
        SERVICE_WORD,
        DEPLOY_WORD,
        SNAPSHOT_WORD,
        word("on-create", "tasks that run when one is made from this pattern")
            .more("Several run as those of `envrun a b` do: side by side, but for what one `needs` of the other.")
            .args(&[some("task", Kind::Reference)])
            .many()
            .example("on-create \"db.create\""),
        word("on-destroy", "tasks that run before one is taken down")
            .more("Several run as those of `on-create` do. If one of them fails, the environment stays listed with the reason, and the next `destroy` or `gc` tries again.")
            .args(&[some("task", Kind::Reference)])
            .many()
            .example("on-destroy \"db.drop\""),
    ],
);

/// `env`, at the root.
pub const ENV_WORD: Word = word("env", "an environment: what differs in it")
    .more(
        "A node of the same name patches the inherited one: each word that is given replaces all inherited uses of that \
         word, the others are inherited, `word #null` takes a word away. `vars`, `secrets` and `requires` merge name by name.",
    )
    .args(&[one("name", Kind::Environment)])
    .props(&[
        prop("extends", Kind::Name, "the environment it patches, instead of the root"),
        prop("abstract", Kind::Bool, "`#true`: it is only there to be extended"),
        prop("ephemeral", Kind::Bool, "`#true`: it is a pattern that environments are made from, with `envrun env create`"),
    ])
    .body(&ENV)
    .named("environment")
    .example("env \"prod\" extends=\"base\" {\n    vars { LOG_LEVEL \"warning\" }\n    guard { branch \"main\"; clean }\n}");
