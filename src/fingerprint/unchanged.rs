//! The shortest check: is everything what it was when the task last ran well?
//!
//! A key is made of a definition, of what the needs made, and of files. If the definition is the same word by word, if the
//! needs made the same, and if every file, folder and link that the last good run looked at or made holds what it held,
//! then a key made today would be the one of the record, and is not made. No pattern is read, no part is hashed by itself.
//!
//! It only ever says yes. Whatever differs, be it a space in a pattern, is left to [`Workspace::check`], which computes
//! the key and tells the difference.

use crate::base::Digest;
use crate::base::codec::Put;
use crate::model::Command;

use super::freshness::holds;
use super::manifest::FORMAT;
use super::record::Record;
use super::table::{PathId, Table};
use super::{Definition, Workspace};

impl Workspace {
    /// The digest of a task's outputs, if everything is as its last good run left it. `text` is [`Workspace::text_of`] its
    /// definition, `needs` are the outputs of the tasks that it needs, in any order. `None` says nothing.
    ///
    /// Not for a task with `tools`: each is found by walking the search path, and what it leads to is no row of the record.
    pub fn unchanged(
        &self,
        label: &str,
        text: &Digest,
        needs: impl IntoIterator<Item = Digest>,
    ) -> Option<Digest> {
        let asked = asked(text, needs);
        let epoch = self.epoch();
        let stale: Vec<PathId> = {
            let state = self.state();
            // A run that did not end well may have left something: the long way cleans up.
            if state.attempts.contains_key(label) {
                return None;
            }
            let record = state.record(label).filter(|record| record.asked() == asked)?;
            let table = &state.table;
            let stale: Vec<PathId> = record.ids().filter(|id| !table.entry(*id).is_fresh(epoch)).collect();
            if stale.is_empty() {
                return all_hold(table, &record);
            }
            stale
        };
        if !self.look_all(&stale).is_empty() {
            return None;
        }
        let state = self.state();
        let record = state.record(label).filter(|record| record.asked() == asked)?;
        all_hold(&state.table, &record)
    }

    /// What tells a definition with these outputs of its needs from any other, files apart.
    pub fn identity(&self, definition: &Definition, needs: impl IntoIterator<Item = Digest>) -> Digest {
        asked(&self.text_of(definition), needs)
    }

    /// The digest of all that a definition says, and of what the walk that finds its inputs rests on beside it.
    ///
    /// Keyed, because values of secrets are in it.
    pub fn text_of(&self, definition: &Definition) -> Digest {
        let Definition {
            label: _,
            commands,
            shell,
            dir,
            variables,
            inputs,
            outputs,
            depfiles,
            strict,
            tools,
            search_path: _,
        } = definition;
        let mut text = Vec::with_capacity(512);
        text.put(&[FORMAT]);
        text.put_digest(&self.usual.platform);
        text.put_digest(&self.outside_digest());
        text.put_int(commands.len() as u64);
        for command in commands {
            match command {
                Command::Shell(line) => {
                    text.put(&[0]);
                    text.put_bytes(line.as_bytes());
                }
                Command::Argv(words) => {
                    text.put(&[1]);
                    put_all(&mut text, words);
                }
            }
        }
        put_all(&mut text, shell.as_slice());
        text.put_bytes(dir.as_bytes());
        text.put_int(variables.len() as u64);
        for variable in variables {
            text.put_bytes(variable.name.as_bytes());
            text.put(&[u8::from(variable.value.is_some()), u8::from(variable.secret)]);
            text.put_bytes(variable.value.as_deref().unwrap_or_default());
        }
        [inputs, outputs, depfiles, tools].into_iter().for_each(|texts| put_all(&mut text, texts));
        text.put(&[u8::from(*strict)]);
        blake3::keyed_hash(&self.secrets.0, &text).into()
    }
}

fn put_all(to: &mut Vec<u8>, texts: &[String]) {
    to.put_int(texts.len() as u64);
    texts.iter().for_each(|text| to.put_bytes(text.as_bytes()));
}

/// The digest of all that goes into a key beside files: the definition's text, and the outputs of the needs as a set.
pub(super) fn asked(text: &Digest, needs: impl IntoIterator<Item = Digest>) -> Digest {
    let mut digests: Vec<Digest> = needs.into_iter().collect();
    digests.sort_unstable();
    let mut bytes = Vec::with_capacity(32 * (digests.len() + 1));
    bytes.put_digest(text);
    digests.iter().for_each(|digest| bytes.put_digest(digest));
    Digest::of(&bytes)
}

fn all_hold(table: &Table, record: &Record<'_>) -> Option<Digest> {
    record.all_rows().all(|row| holds(table, &row)).then(|| record.outputs_digest())
}
