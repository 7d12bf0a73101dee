//! What differs between two environments, and whether the Envfile says why.
//!
//! A difference is *explained* when somebody wrote it down where a review sees it:
//!
//! | difference | explained if |
//! |---|---|
//! | a variable has two values | an `env` block that only one of the two is made of gives one of them; or it is built from variables whose differences are explained |
//! | only one has it | only one declares it; or the other may do without (`required=#false`) |
//! | a secret has two values | always: they are meant to differ |
//! | only one has a secret | only one declares it; or the other may do without |
//! | nodes, `requires`, `guard` | always: they stand nowhere but in the Envfile |
//!
//! What is left comes from dotenv files, the caller's shell or a gap: that is what `--strict` refuses.
//!
//! Invariant: secrets are compared by a keyed hash, and nothing else of them leaves this file.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::{IndexMap, IndexSet};
use serde::Serialize;

use crate::fingerprint::SecretKey;
use crate::model::{EnvName, NodePath, ProjectName, Scope, VarName, VarType};
use crate::vars::{Form, Layer, Lookup, Origin, SEALED, Values, mentions};

use super::super::run::secret_key;
use super::super::{Context, Problem, Project};
use super::{EnvValues, MASK, label, typed};

/// What differs between two environments.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The one named first.
    pub a: String,
    /// The other.
    pub b: String,
    /// What differs, each name once.
    pub entries: Vec<Entry>,
    /// How many names stand for the same in both.
    pub equal: usize,
    /// Secrets that are the same in both.
    pub shared_secrets: Vec<String>,
    /// Secrets, and what is built from them, of which nobody knows what they are in one of the two.
    pub unread: Vec<String>,
    /// Why: the environments whose guard keeps their secrets, with its reason.
    pub guarded: BTreeMap<String, String>,
    /// Nodes.
    pub nodes: Parts,
    /// Rows of `requires`, as they are written.
    pub requires: Parts,
    /// Rows of `guard`, as they are written.
    pub guard: Parts,
}

/// A name that does not stand for the same in both.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The name, with its project's if that is not the root.
    pub name: String,
    /// In the one named first.
    pub a: Option<Side>,
    /// In the other.
    pub b: Option<Side>,
    /// It is a secret, or built from one.
    pub secret: bool,
    /// The Envfile says why.
    pub explained: bool,
}

/// What a name stands for in one of them.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// The value, in JSON's own types; of a secret a keyed fingerprint.
    pub value: serde_json::Value,
    /// Where it comes from: `file:line`, or who gave it.
    pub from: String,
}

/// What only one of them has, or both have in another form.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// Only the one named first.
    pub only_a: Vec<String>,
    /// Only the other.
    pub only_b: Vec<String>,
    /// Both, in another form.
    pub different: Vec<String>,
}

impl Difference {
    /// How many differences the Envfile does not explain.
    pub fn unexplained(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.explained).count()
    }
}

/// Compares two environments.
pub fn diff(
    context: &Context,
    project: &mut Project,
    a: &EnvName,
    b: &EnvName,
) -> Result<Difference, Problem> {
    let key = secret_key(&context.cache_dir)?;
    let of = [
        EnvValues::read(context, project, Some(a.clone()), &[])?,
        EnvValues::read(context, project, Some(b.clone()), &[])?,
    ];
    let mut guarded = BTreeMap::new();
    for (env, side) in [a, b].into_iter().zip(&of) {
        let unopened = side.open(context, project);
        if let Some(problem) = unopened.problems.into_iter().next() {
            return Err(problem);
        }
        guarded.extend(unopened.guarded.into_values().map(|reason| (env.to_string(), reason)));
    }
    let mut found = Difference {
        a: a.to_string(),
        b: b.to_string(),
        entries: Vec::new(),
        equal: 0,
        shared_secrets: Vec::new(),
        unread: Vec::new(),
        guarded,
        nodes: nodes(project, a, b),
        requires: Parts::default(),
        guard: Parts::default(),
    };
    let names: Vec<ProjectName> = project.envfile().projects.keys().cloned().collect();
    for owner in names {
        let (Some(left), Some(right)) = (of[0].of(&owner), of[1].of(&owner)) else { continue };
        let pair = Pair {
            project,
            key: &key,
            sides: [left, right],
            schema: [schema(project, &owner, a), schema(project, &owner, b)],
            own: [own_chain(project, a, b), own_chain(project, b, a)],
        };
        let names: IndexSet<&VarName> = left.own().chain(right.own()).map(|(name, _)| name).collect();
        for name in names {
            pair.compare(name, &label(&owner, name.as_str()), &mut found);
        }
        let rows = |env, of: fn(&Scope) -> Vec<crate::diag::Span>| written(project, &owner, env, of);
        let requires = |scope: &Scope| scope.requires.iter().map(|row| row.span).collect::<Vec<_>>();
        let guard = |scope: &Scope| scope.guard.iter().map(|row| row.span).collect::<Vec<_>>();
        found.requires.add(&rows(a, requires), &rows(b, requires));
        found.guard.add(&rows(a, guard), &rows(b, guard));
    }
    Ok(found)
}

/// The values of a project in both environments.
struct Pair<'a> {
    project: &'a Project,
    key: &'a SecretKey,
    sides: [&'a Values; 2],
    /// The names that each declares.
    schema: [BTreeSet<VarName>; 2],
    /// What each is made of and the other is not.
    own: [Vec<EnvName>; 2],
}

impl Pair<'_> {
    fn compare(&self, name: &VarName, label: &str, found: &mut Difference) {
        let lookups = self.sides.map(|values| values.lookup_own(name));
        let is_sealed =
            |lookup: &Option<&Lookup>| matches!(lookup, Some(Lookup::Missing(wrong)) if wrong.code == SEALED);
        if lookups.iter().any(is_sealed) {
            found.unread.push(label.to_owned());
            return;
        }
        let secret = self.is_secret(name);
        let texts = [0, 1].map(|at| lookups[at].and_then(Lookup::text));
        match texts {
            [Some(left), Some(right)] if left == right => {
                found.equal += 1;
                if secret {
                    found.shared_secrets.push(label.to_owned());
                }
                return;
            }
            [None, None] => {
                found.equal += 1;
                return;
            }
            _ => {}
        }
        let side = |at: usize| match &lookups[at] {
            Some(Lookup::Value { text, origin, .. }) => {
                let ty = self.sides[at].declared(name.as_str()).and_then(|declared| declared.asked.ty);
                Some(Side {
                    value: if secret {
                        self.fingerprint(text).into()
                    } else {
                        typed(ty.unwrap_or(VarType::String), text)
                    },
                    from: self.from(origin),
                })
            }
            _ => None,
        };
        let explained = self.is_explained(name.as_str(), &mut BTreeMap::new());
        found.entries.push(Entry { name: label.to_owned(), a: side(0), b: side(1), secret, explained });
    }

    fn is_secret(&self, name: &VarName) -> bool {
        self.sides.iter().any(|values| {
            values.declared(name.as_str()).is_some_and(|declared| declared.secret)
                || matches!(values.lookup(name.as_str()), Lookup::Value { secret: true, .. })
        })
    }

    fn from(&self, origin: &Origin) -> String {
        match origin.span {
            Some(span) => self.project.sources().place(span),
            None => origin.layer.to_string(),
        }
    }

    /// Enough of a keyed hash to tell secrets apart.
    fn fingerprint(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.key.0, text.as_bytes()).to_hex();
        format!("{MASK}{}", &hash.as_str()[..8])
    }

    /// Whether the Envfile says why a name differs. `known` are the names already asked about: a ring explains nothing.
    fn is_explained(&self, name: &str, known: &mut BTreeMap<String, bool>) -> bool {
        if let Some(known) = known.get(name) {
            return *known;
        }
        known.insert(name.to_owned(), false);
        let explained = self.explain(name, known);
        known.insert(name.to_owned(), explained);
        explained
    }

    fn explain(&self, name: &str, known: &mut BTreeMap<String, bool>) -> bool {
        let lookups = self.sides.map(|values| values.lookup(name));
        if lookups[0].text() == lookups[1].text() || name == "ENVRUN_ENV" {
            return true;
        }
        // Declared by one of them alone.
        if self.schema[0].contains(name) != self.schema[1].contains(name) {
            return true;
        }
        let declared = self.sides.map(|values| values.declared(name));
        let secret = declared.iter().flatten().any(|declared| declared.secret);
        if secret {
            let both = lookups.iter().all(|lookup| lookup.text().is_some());
            let may_miss = lookups.iter().any(|lookup| matches!(lookup, Lookup::Undeclared));
            return both || may_miss;
        }
        let given_by_its_own = (0..2).any(|at| match &lookups[at] {
            Lookup::Value { origin: Origin { layer: Layer::Env(env), .. }, .. } => self.own[at].contains(env),
            _ => false,
        });
        if given_by_its_own {
            return true;
        }
        let optional = declared.iter().flatten().any(|declared| declared.asked.optional);
        if optional && lookups.iter().any(|lookup| matches!(lookup, Lookup::Undeclared)) {
            return true;
        }
        let texts: Vec<&str> = declared.iter().flatten().filter_map(|declared| declared.built).collect();
        let built = texts.len() == 2;
        built
            && texts
                .iter()
                .flat_map(|text| mentions(text, Form::Text))
                .all(|mention| mention.name != name && self.is_explained(mention.name, known))
    }
}

/// The variables and secrets that an environment declares of a project.
pub(super) fn schema(project: &Project, owner: &ProjectName, env: &EnvName) -> BTreeSet<VarName> {
    let mut names = IndexSet::new();
    scopes(project, owner, env).for_each(|scope| scope.lay_names(&mut names));
    names.into_iter().cloned().collect()
}

/// What an environment is made of in a project, weakest first.
pub(super) fn scopes<'p>(
    project: &'p Project,
    owner: &ProjectName,
    env: &EnvName,
) -> impl Iterator<Item = &'p Scope> {
    let envfile = project.envfile();
    let chain = envfile.environments.get(env).map_or(&[][..], |env| &env.chain);
    envfile.projects.get(owner).into_iter().flat_map(move |project| {
        let overlays = chain.iter().filter_map(move |env| project.overlays.get(env));
        std::iter::once(&project.base).chain(overlays)
    })
}

/// The environments that `env` is made of and `other` is not.
fn own_chain(project: &Project, env: &EnvName, other: &EnvName) -> Vec<EnvName> {
    let chain = |env| project.envfile().environments.get(env).map_or(&[][..], |env| &env.chain);
    chain(env).iter().filter(|name| !chain(other).contains(name)).cloned().collect()
}

/// Rows of an environment as they are written, each on one line.
fn written(
    project: &Project,
    owner: &ProjectName,
    env: &EnvName,
    of: fn(&Scope) -> Vec<crate::diag::Span>,
) -> Vec<String> {
    let spans = scopes(project, owner, env).flat_map(of);
    let text = |span| project.sources().snippet(span).split_whitespace().collect::<Vec<_>>().join(" ");
    spans.map(text).collect()
}

fn nodes(project: &Project, a: &EnvName, b: &EnvName) -> Parts {
    let envfile = project.envfile();
    let of = |env| -> IndexMap<NodePath, _> {
        let nodes = envfile.node_paths().into_iter();
        nodes.filter_map(|path| Some((path.clone(), envfile.node(Some(env), &path)?))).collect()
    };
    let (left, right) = (of(a), of(b));
    let mut parts = Parts::default();
    for (path, node) in &left {
        match right.get(path) {
            None => parts.only_a.push(path.to_string()),
            Some(other) if other != node => parts.different.push(path.to_string()),
            Some(_) => {}
        }
    }
    parts.only_b.extend(right.keys().filter(|path| !left.contains_key(*path)).map(ToString::to_string));
    parts
}

impl Parts {
    fn add(&mut self, left: &[String], right: &[String]) {
        self.only_a.extend(left.iter().filter(|row| !right.contains(row)).cloned());
        self.only_b.extend(right.iter().filter(|row| !left.contains(row)).cloned());
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.only_a.is_empty() && self.only_b.is_empty() && self.different.is_empty()
    }
}
