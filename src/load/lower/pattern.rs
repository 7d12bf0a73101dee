//! What is said of environments that are made from a pattern: arguments, `ttl`, what runs at their beginning and end.

use indexmap::IndexMap;

use crate::base::unit::parse_duration;
use crate::diag::Diagnostic;
use crate::model::{EnvName, Envfile, Pattern};

use super::super::patch::Word;
use super::{Lower, first_text};

/// The words that mean something only for a pattern.
const WORDS: &[&str] = &["arg", "ttl", "on-create", "on-destroy"];

impl<'d> Lower<'d> {
    /// Gives every environment what its own blocks say of making environments from it, over what it inherits: each word
    /// that is given displaces the inherited ones, as everywhere.
    pub(super) fn environments(&self, envfile: &mut Envfile) {
        let mut own: IndexMap<&'d EnvName, Vec<Word<'d>>> = IndexMap::new();
        for project in 0..self.declared.units.projects.len() {
            for (name, _) in &self.declared.environments {
                for &item in self.declared.blocks(project, name) {
                    let children = self.declared.units.node(item).children().iter();
                    let words = children.filter(|node| WORDS.contains(&node.name.value.as_str()));
                    let words = words.map(|node| Word { node, unit: item.unit, env: Some(name) });
                    own.entry(name).or_default().extend(words);
                }
            }
        }
        for (name, words) in &own {
            let environment = &self.declared.environments[*name];
            if let Some(word) = words.first().filter(|_| !environment.ephemeral && !environment.is_abstract) {
                let what = &word.node.name.value;
                self.say(
                    Diagnostic::error("load/pattern", format!("`{what}` counts only in a pattern, and `{name}` is none"))
                        .at(word.node.name.span, "")
                        .at(environment.span, "the environment")
                        .help("write `ephemeral=#true` behind its name: `envrun env create` then makes environments from it"),
                );
            }
        }
        let of = |name: &EnvName| own.get(name).map_or(&[][..], Vec::as_slice);
        for environment in envfile.environments.values_mut() {
            for name in &environment.chain {
                self.lay_pattern(of(name), &mut environment.pattern);
            }
        }
        for name in own.keys() {
            self.arguments(&envfile.environments[*name].pattern.args);
        }
    }

    fn lay_pattern(&self, words: &[Word<'d>], pattern: &mut Pattern) {
        let of = |name: &'static str| words.iter().filter(move |word| word.node.name.value == name);
        if of("arg").next().is_some() {
            pattern.args.clear();
            of("arg").for_each(|word| self.arg(word.node, false, &mut pattern.args));
        }
        if let Some(word) = of("ttl").next_back() {
            let said = first_text(word.node).and_then(|text| Some((parse_duration(text.value)?, text.span)));
            pattern.ttl = said.map(|(ttl, _)| ttl).filter(|ttl| !ttl.is_zero());
            if let (Some((_, span)), None) = (said, pattern.ttl) {
                self.nonsense(
                    "an environment cannot be left idle for no time: it would be gone as it is made",
                    span,
                    "take `ttl` out to keep it until somebody destroys it",
                );
            }
        }
        if of("on-create").next().is_some() {
            pattern.on_create = of("on-create").flat_map(|word| self.references(word)).collect();
        }
        if of("on-destroy").next().is_some() {
            pattern.on_destroy = of("on-destroy").flat_map(|word| self.references(word)).collect();
        }
    }
}
