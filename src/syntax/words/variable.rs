//! Variables and secrets, where they are declared, and the arguments of a task.

use crate::diag::Diagnostic;
use crate::syntax::ast::Node;

use super::row::{block, one, optional, prop, some, word};
use super::{ANY_NAME, Block, Kind, Prop, Word, rule};

/// The types a variable can be annotated with.
pub const TYPES: &[&str] = &["port", "url", "path", "duration", "size", "enum"];

const MIN: Prop = prop("min", Kind::Bound, "the least value");
const MAX: Prop = prop("max", Kind::Bound, "the greatest value");
const ONE_OF: Prop = prop("one-of", Kind::Choices, "the allowed values, with `|` between them");
const PATTERN: Prop = prop("pattern", Kind::Regex, "a regular expression that the whole value must match");
const DESC: Prop = prop("desc", Kind::Text, "what it is for");

static VAR: Word = word("NAME", "a variable and its value")
    .more(
        "The type is that of the value, or an annotation before the name: `(port)`, `(url)`, `(path)`, `(duration)`, \
         `(size)`, `(enum)`. A name without a value must get one from an environment, a dotenv file or `--set`. A value \
         may mention other variables as `${NAME}`. An environment changes the value, never the type; `#null` takes an \
         inherited name away.",
    )
    .args(&[optional("value", Kind::Nullable)])
    .props(&[
        MIN,
        MAX,
        ONE_OF,
        PATTERN,
        DESC,
        prop("required", Kind::Bool, "`#false`: it may stay without a value"),
    ])
    .types(TYPES)
    .named("variable")
    .example("(port)PORT 8080\nLOG_LEVEL \"info\" one-of=\"debug|info|error\"\nREPLICAS 1 min=1 max=10");

/// Declares and sets variables.
pub static VARS: Block =
    block("vars", "Variables, a line each. They reach commands as environment variables.", &[]).row(&VAR);

const NO_VALUE: &str =
    "a secret's value does not stand in the Envfile: take it out, and store it with `envrun secret set`";

static SECRET: Word = word("NAME", "a secret that is kept in a store, never in the Envfile")
    .args(&[optional("value", Kind::Refused(NO_VALUE))])
    .props(&[
        prop(
            "generate",
            Kind::OneOf(&["password", "hex", "base64", "uuid"]),
            "how to make one when it is missing",
        ),
        prop("length", Kind::Positive, "how long a generated one is"),
        prop("rotate", Kind::DurationOrNever, "how old it may get"),
        prop("on-rotate", Kind::Reference, "the task that tells its owner `$NEW_SECRET`"),
        prop("verify", Kind::Reference, "the task that proves that a new one works"),
        prop("required", Kind::Bool, "`#false`: it may be missing"),
        DESC,
    ])
    .named("variable")
    .more(
        "Made only when it is missing and something wants it, never overwritten. `length` counts characters of a `password` (32 \
         letters and digits without it) or of `hex` (64), and the random bytes behind `base64` (32). `rotate` is how old it may get \
         before `envrun doctor` and `secret rotate --due` say so. While it is replaced, `on-rotate` sees the old value under its own \
         name and the new one as `$NEW_SECRET`; `verify` runs when the new one is stored; if anything fails, both are told the old one again. `#null` takes an inherited secret away.",
    )
    .example("DB_PASSWORD generate=\"password\" length=32 rotate=\"90d\"");

/// Declares secrets.
pub static SECRETS: Block =
    block("secrets", "Secrets, a line each: what they are called and how they come to be.", &[]).row(&SECRET);

/// `vars`, wherever it may stand.
pub const VARS_WORD: Word = word("vars", "variables").body(&VARS).many();

/// `secrets`, wherever it may stand.
pub const SECRETS_WORD: Word = word("secrets", "secrets")
    .props(&[
        prop("store", Kind::Word, "the store they are kept in"),
        prop("path", Kind::Word, "where in the store"),
    ])
    .more(
        "`store=` holds for every secret of its environment, the inherited ones too; another `secrets` block may name another store \
         for its own rows. `file` is `.envrun/secrets/<env>.env` or the `path=`, `env` the process environment, anything else a \
         declared `store`. Without `store=` a secret is looked for in the file, then in the process environment. Stores are asked \
         when the guards of the environment have passed, and only for what mentions a secret.",
    )
    .body(&SECRETS)
    .many();

/// `dotenv`, wherever it may stand.
pub const DOTENV: Word = word("dotenv", "files of `NAME=value` lines to load")
    .more("Later files win over earlier ones; what the Envfile says for the environment wins over all of them. Never hidden by `.gitignore`.")
    .args(&[some("path", Kind::Path)])
    .props(&[prop("optional", Kind::Bool, "`#true`: a file may be missing")])
    .many()
    .example("dotenv \".env\" \".env.prod\" optional=#true");

/// `arg`, of a task or an ephemeral environment.
pub const ARG: Word = word("arg", "a positional argument; it arrives as `ARG_NAME`")
    .more("Checked before anything runs, shown in `--help`, and part of the key. Without a default it is required.")
    .args(&[one("name", Kind::Name)])
    .props(&[
        prop("default", Kind::Scalar, "its value when none is given"),
        ONE_OF,
        PATTERN,
        MIN,
        MAX,
        DESC,
        prop("env", Kind::Variable, "a variable of the caller that gives it when the command line does not"),
        prop("repeat", Kind::Bool, "`#true`: it takes all that are left, one per line"),
    ])
    .named("argument")
    .example("arg \"path\" default=\"tests\" desc=\"what to test\"");

/// `flag`, of a task.
pub const FLAG: Word = word("flag", "a switch `--name`; it arrives as `ARG_NAME=true`, or not at all")
    .args(&[one("name", Kind::Name)])
    .props(&[
        DESC,
        prop("env", Kind::Variable, "a variable of the caller that gives it when the command line does not"),
    ])
    .named("argument")
    .example("flag \"coverage\"\nrun \"pytest ${ARG_COVERAGE:+--cov}\"");

const EXCLUDE: Word = word("exclude", "a combination that is left out")
    .props(&[prop(ANY_NAME, Kind::Scalar, "an axis, and the value that is left out")])
    .rule(some_pair)
    .many()
    .unbuilt()
    .example("exclude python=\"3.11\" os=\"linux\"");

fn some_pair(node: &Node, errors: &mut Vec<Diagnostic>) {
    if node.props.is_empty() {
        errors.push(rule::missing(
            node,
            "`exclude` names no combination",
            "write the axes and their values: `exclude python=\"3.11\" os=\"linux\"`",
        ));
    }
}

static AXIS: Word = word("axis", "an axis and its values; one arrives as `MATRIX_AXIS`")
    .args(&[some("value", Kind::Scalar)])
    .named("axis")
    .unbuilt();

/// Multiplies a task.
pub static MATRIX: Block = block(
    "matrix",
    "Axes and their values: one instance of the task for each combination, called `test@python=3.12`.",
    &[EXCLUDE],
)
.row(&AXIS);
