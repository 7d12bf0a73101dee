//! Replacing a secret, as a transaction.
//!
//! ```text
//! candidate ─▶ on-rotate with $NEW_SECRET ─▶ store ─▶ restart what uses it ─▶ verify ─▶ done
//!                  └──────────── any failure from here ────────────┘
//!                        store has the old one, on-rotate with the old one as $NEW_SECRET, restart
//! ```
//!
//! While a secret is being replaced, the candidate lies in `.envrun/secrets/<env>.rotating.env` and the value that it
//! replaces in `<env>.replaced.env`: if envrun is killed in the middle, its owner may know only the one or only the other,
//! and nobody else would. The next rotation first brings that one to an end: on if the candidate was stored, else back.
//! Until then every run that wants the secret says so.
//!
//! Invariant: a candidate is thrown away only when its owner is known to have the old value, or when what uses it was
//! proved with the new one.

use std::path::{Path, PathBuf};

use crate::base::fs::{self, FileLock};
use crate::model::{EnvName, NodeRef};
use crate::record::STATE_DIR;
use crate::report::Reporters;
use crate::secret::{FileStore, StoreError, generate};

use super::super::env::EnvValues;
use super::super::target::Asked;
use super::super::{Context, Problem, Project, run, service};
use super::tend::{all_kept, named, with_secrets};
use super::{Kept, Refused};

/// What a rotation needs of those who ask for it.
pub struct Rotation<'a> {
    /// Who listens to the tasks that are run.
    pub reporters: &'a mut dyn FnMut() -> Reporters,
    /// Says something.
    pub say: &'a mut dyn FnMut(&str),
}

/// What came of one secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotated {
    /// It has another value.
    Done,
    /// It has the value that it had: what failed.
    Back(String),
    /// Nobody knows which value its owner has: what failed, and where the candidate lies.
    Broken(String),
}

/// Replaces secrets of an environment: those that are named, or those that are due.
pub fn rotate(
    context: &Context,
    project: &mut Project,
    env: Option<&EnvName>,
    names: &[String],
    due: bool,
    rotation: &mut Rotation<'_>,
) -> Result<Vec<(String, Rotated)>, Problem> {
    let pending = Pending::of(project.root(), env);
    let lock = lock(project, env)?;
    let chosen = choose(context, project, env, names, due)?;
    let mut done = Vec::new();
    recover(context, project, env, &pending, rotation)?;
    if !pending.new.path().exists() {
        pending.old.remove()?;
    }
    for kept in chosen {
        let name = kept.spec.secret.name.to_string();
        let one = One { context, env, kept: &kept, pending: &pending };
        let rotated = one.rotate(project, rotation)?;
        let stop = matches!(rotated, Rotated::Broken(_));
        done.push((name, rotated));
        if stop {
            break;
        }
    }
    drop(lock);
    Ok(done)
}

/// What lies on the disk while a secret is replaced.
struct Pending {
    /// The candidates.
    new: FileStore,
    /// What they replace.
    old: FileStore,
}

impl Pending {
    fn of(root: &Path, env: Option<&EnvName>) -> Self {
        let env = env.map_or("", EnvName::as_str);
        let file =
            |kind| FileStore::own(root.join(STATE_DIR).join("secrets").join(format!("{env}.{kind}.env")));
        Self { new: file("rotating"), old: file("replaced") }
    }

    /// Nothing of this secret is pending any more.
    fn forget(&self, name: &str) -> Result<(), Problem> {
        // The candidate first: as long as it is there, the other one is needed.
        for file in [&self.new, &self.old] {
            if file.read()?.keys().all(|other| other == name) {
                file.remove()?;
            } else {
                file.update::<StoreError>(|text: &str| file.with(text, name, None).map(Some))?;
            }
        }
        Ok(())
    }
}

/// The secrets of an environment whose rotation was cut short: nobody rotates, and candidates are there.
pub fn cut_short(root: &Path, env: Option<&EnvName>) -> Vec<String> {
    let pending = Pending::of(root, env);
    if !pending.new.path().exists() {
        return Vec::new();
    }
    let goes_on = FileLock::is_taken(&lock_path(root, env));
    match pending.new.read() {
        Ok(candidates) if !goes_on => candidates.into_keys().collect(),
        _ => Vec::new(),
    }
}

/// Removes replaced values that no candidate is there for any longer: whoever was killed as a rotation began, or ended, left
/// them. Where somebody rotates, nothing is.
pub fn sweep_replaced(root: &Path) {
    let folder = root.join(STATE_DIR).join("secrets");
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(env) = name.to_str().and_then(|name| name.strip_suffix(".replaced.env")) else { continue };
        let lock = lock_of(root, if env.is_empty() { "_" } else { env });
        let Ok(Some(_lock)) = FileLock::take(&lock) else { continue };
        if !folder.join(format!("{env}.rotating.env")).exists() {
            // Whoever comes by next tries again.
            let _ = FileStore::own(entry.path()).remove();
        }
    }
}

fn lock_path(root: &Path, env: Option<&EnvName>) -> PathBuf {
    lock_of(root, env.map_or("_", EnvName::as_str))
}

fn lock_of(root: &Path, env: &str) -> PathBuf {
    root.join(STATE_DIR).join("env").join(env).join("rotate.lock")
}

/// One rotation at a time in an environment.
fn lock(project: &Project, env: Option<&EnvName>) -> Result<FileLock, Problem> {
    let path = lock_path(project.root(), env);
    fs::create_folder(path.parent().expect("it lies in a folder of the environment"))?;
    FileLock::take(&path)?.ok_or_else(|| Problem::Busy {
        message: match env {
            Some(env) => format!("the secrets of `{env}` are being replaced by another envrun"),
            None => "the secrets are being replaced by another envrun".into(),
        },
        hint: "wait until it is over".into(),
    })
}

fn choose(
    context: &Context,
    project: &mut Project,
    env: Option<&EnvName>,
    names: &[String],
    due: bool,
) -> Result<Vec<Kept>, Problem> {
    let values = EnvValues::read(context, project, env.cloned(), &[])?;
    with_secrets(context, project, |secrets| {
        let mut chosen = Vec::new();
        for name in names {
            let kept = named(secrets, &values, name)?;
            if kept.spec.secret.generate.is_none() {
                return Err(Problem::usage(
                    format!("`{name}` does not say how a new one is made"),
                    Some(format!("add `generate=\"password\"` to it, or {}", kept.hint())),
                ));
            }
            if !secrets.can_write(&kept) {
                return Err(Problem::Store(Refused {
                    store: kept.place.store.to_string(),
                    reason: format!("it can only be read, so `{name}` cannot be replaced"),
                    hint: None,
                    place: String::new(),
                }));
            }
            chosen.push(kept);
        }
        if names.is_empty() && !due {
            return Err(Problem::usage(
                "which secrets?",
                Some("name them, or `--due` for those that are older than their `rotate=`".into()),
            ));
        }
        if due {
            let made = secrets.made(env)?;
            let now = context.clock.now();
            for (_, _, kept) in all_kept(secrets, &values)? {
                let secret = &kept.spec.secret;
                let is_due = made.due(secret.name.as_str(), secret.rotate).is_some_and(|due| due <= now);
                let is_named = chosen.iter().any(|other: &Kept| other.id() == kept.id());
                if is_due && !is_named && secret.generate.is_some() && secrets.can_write(&kept) {
                    chosen.push(kept);
                }
            }
        }
        Ok(chosen)
    })
}

/// Brings to an end what a rotation left that was ended in the middle: on where the candidate is stored, else back.
fn recover(
    context: &Context,
    project: &mut Project,
    env: Option<&EnvName>,
    pending: &Pending,
    rotation: &mut Rotation<'_>,
) -> Result<(), Problem> {
    for (name, candidate) in pending.new.read()? {
        let replaced = pending.old.read()?.get(&name).cloned();
        context.redactor.learn(replaced.as_deref().into_iter().chain([candidate.as_str()]));
        let values = EnvValues::read(context, project, env.cloned(), &[])?;
        let (kept, current) = with_secrets(context, project, |secrets| {
            let kept = named(secrets, &values, &name)?;
            let value = secrets.value(&kept).map_err(Problem::Store)?;
            Ok((kept, value))
        })?;
        let one = One { context, env, kept: &kept, pending };
        let ended = if current.as_ref() == Some(&candidate) {
            (rotation.say)(&format!(
                "a rotation of `{name}` was ended in the middle: it is stored, so it goes on"
            ));
            match (one.settle(project, rotation, &candidate), &replaced) {
                (Ok(()), _) => one.note_made(project).map_err(|problem| problem.to_string()),
                (Err(failed), None) => Err(failed),
                (Err(failed), Some(old)) => {
                    (rotation.say)(&format!("`{name}`: {failed}; going back"));
                    one.back(project, rotation, (old, &candidate), true)
                        .map_err(|worse| format!("{failed}, and going back failed too: {worse}"))
                }
            }
        } else {
            (rotation.say)(&format!("a rotation of `{name}` was ended in the middle: it is taken back"));
            match (current, replaced) {
                (Some(old), _) => one.give_back(project, rotation, &old, &candidate),
                // What is left of a `write` that was cut short.
                (None, Some(old)) => one.back(project, rotation, (&old, &candidate), true),
                (None, None) => Err("nobody knows its old value any more".to_owned()),
            }
        };
        if let Err(failed) = ended {
            let message = format!(
                "`{name}`: an earlier rotation cannot be brought to an end ({failed}); the candidate is in {}",
                pending.new.path().display()
            );
            return Err(Problem::usage(
                message,
                Some(format!(
                    "see which value its owner has, store it with {}, and remove that file",
                    kept.hint()
                )),
            ));
        }
        pending.forget(&name)?;
    }
    Ok(())
}

/// One secret on its way.
struct One<'a> {
    context: &'a Context,
    env: Option<&'a EnvName>,
    kept: &'a Kept,
    pending: &'a Pending,
}

impl One<'_> {
    fn name(&self) -> &str {
        self.kept.spec.secret.name.as_str()
    }

    fn rotate(&self, project: &mut Project, rotation: &mut Rotation<'_>) -> Result<Rotated, Problem> {
        let secret = &self.kept.spec.secret;
        let old =
            with_secrets(self.context, project, |secrets| secrets.value(self.kept).map_err(Problem::Store))?;
        let Some(old) = old else {
            return Err(Problem::usage(
                format!("`{}` is not set, so there is nothing to replace", self.name()),
                Some(self.kept.generate_hint()),
            ));
        };
        let how = secret.generate.expect("only secrets that say how are chosen");
        let new = generate(how, secret.length).map_err(|error| Problem::System {
            doing: "draw a new secret",
            source: std::io::Error::other(error),
        })?;
        self.context.redactor.learn([new.as_str()]);
        // The old value first: with the candidate there, whoever comes later knows both.
        for (file, value) in [(&self.pending.old, &old), (&self.pending.new, &new)] {
            with_secrets(self.context, project, |secrets| secrets.prepare(file).map_err(Problem::Store))?;
            file.set(&[(self.name().to_owned(), value.clone())])?;
        }

        let mut stored = false;
        let failed = self.steps(project, rotation, (&old, &new), &mut stored);
        let failed = match failed {
            Ok(()) => {
                self.note_made(project)?;
                self.pending.forget(self.name())?;
                return Ok(Rotated::Done);
            }
            Err(failed) => failed,
        };
        (rotation.say)(&format!("`{}`: {failed}; going back", self.name()));
        match self.back(project, rotation, (&old, &new), stored) {
            Ok(()) => {
                self.pending.forget(self.name())?;
                Ok(Rotated::Back(failed))
            }
            Err(worse) => {
                let env = self.env.map_or_else(String::new, |env| format!(" {env}"));
                Ok(Rotated::Broken(format!(
                    "{failed}, and going back failed too: {worse}; the candidate is in {}. When what failed is mended, \
                     `envrun secret rotate{env} --due` brings it to an end",
                    self.pending.new.path().display()
                )))
            }
        }
    }

    /// Forward, step by step; what failed.
    fn steps(
        &self,
        project: &mut Project,
        rotation: &mut Rotation<'_>,
        (old, new): (&str, &str),
        stored: &mut bool,
    ) -> Result<(), String> {
        let secret = &self.kept.spec.secret;
        if let Some(task) = &secret.on_rotate {
            self.task(project, rotation, (task, "is rotated"), old, Some(new))?;
        }
        // Even a `write` that fails may have written.
        *stored = true;
        self.store(project, new)?;
        self.settle(project, rotation, new)
    }

    /// What uses the secret gets the new value, which is stored, and is proved with it.
    fn settle(&self, project: &mut Project, rotation: &mut Rotation<'_>, new: &str) -> Result<(), String> {
        self.restart(project, rotation)?;
        if let Some(task) = &self.kept.spec.secret.verify {
            self.task(project, rotation, (task, "was rotated, and is to be verified"), new, None)?;
        }
        Ok(())
    }

    /// Writes down when it was made, for `rotate=`.
    fn note_made(&self, project: &Project) -> Result<(), Problem> {
        with_secrets(self.context, project, |secrets| {
            secrets.note_made(&self.kept.place, [self.name()]);
            Ok(())
        })
    }

    /// Everything as it was.
    fn back(
        &self,
        project: &mut Project,
        rotation: &mut Rotation<'_>,
        (old, new): (&str, &str),
        stored: bool,
    ) -> Result<(), String> {
        if stored {
            self.store_back(project, old)?;
        }
        self.give_back(project, rotation, old, new)?;
        if stored {
            self.restart(project, rotation)?;
        }
        Ok(())
    }

    /// The owner of the secret is given the old value: as one who has the new one, and if it turns out that it never had,
    /// as one who has the old.
    fn give_back(
        &self,
        project: &mut Project,
        rotation: &mut Rotation<'_>,
        old: &str,
        new: &str,
    ) -> Result<(), String> {
        let Some(task) = &self.kept.spec.secret.on_rotate else { return Ok(()) };
        let task = (task, "gets its old value back");
        self.task(project, rotation, task, new, Some(old))
            .or_else(|_| self.task(project, rotation, task, old, Some(old)))
    }

    /// The services of the environment that are up see the value that is stored: what they are made of is part of what they
    /// are, so those that have another value now are started again, and the others are not.
    fn restart(&self, project: &mut Project, rotation: &mut Rotation<'_>) -> Result<(), String> {
        let listings = service::list(project, self.env.map_or(&[], std::slice::from_ref))
            .map_err(|problem| problem.to_string())?;
        let up = listings.iter().filter(|listing| listing.kept).flat_map(|listing| &listing.services);
        let up = up.filter(|status| !status.state.is_over());
        let targets: Vec<Asked> =
            up.map(|status| Asked { name: status.label.clone(), args: Vec::new() }).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let request = run::Request {
            targets,
            read_cache: true,
            write_cache: true,
            hold: service::hold(false),
            ..run::Request::default()
        };
        let reporters = (rotation.reporters)();
        match run::run(self.context, project, &request, reporters) {
            Ok((ending, _)) if ending.exit == 0 => Ok(()),
            Ok((ending, _)) => Err(format!("what uses it was not started again: status {}", ending.exit)),
            Err(problem) => Err(format!("what uses it was not started again: {problem}")),
        }
    }

    fn store(&self, project: &Project, value: &str) -> Result<(), String> {
        with_secrets(self.context, project, |secrets| {
            secrets.write(&self.kept.place, self.name(), value).map_err(Problem::Store)
        })
        .map_err(|problem| problem.to_string())
    }

    /// The store has the old value again, if it does not have it still.
    fn store_back(&self, project: &Project, old: &str) -> Result<(), String> {
        let there =
            with_secrets(self.context, project, |secrets| secrets.value(self.kept).map_err(Problem::Store));
        match there {
            Ok(Some(there)) if there == old => Ok(()),
            _ => self.store(project, old),
        }
    }

    /// Runs a task that sees `current` under the secret's own name, and `new` as `$NEW_SECRET`; why stands behind the
    /// secret's name.
    fn task(
        &self,
        project: &mut Project,
        rotation: &mut Rotation<'_>,
        (task, why): (&NodeRef, &str),
        current: &str,
        new: Option<&str>,
    ) -> Result<(), String> {
        let mut context = self.context.clone();
        if let Some(new) = new {
            context.caller.insert("NEW_SECRET".into(), new.into());
        }
        let env = task.env.as_ref().or(self.env);
        let name = env.map_or_else(|| task.path.to_string(), |env| format!("{env}.{}", task.path));
        let request = run::Request {
            targets: vec![Asked { name: name.clone(), args: Vec::new() }],
            force: crate::plan::Force::Targets,
            held: vec![(self.kept.id(), current.to_owned())],
            forced: Some(format!("{} {why}", self.name())),
            ..run::Request::default()
        };
        let reporters = (rotation.reporters)();
        match run::run(&context, project, &request, reporters) {
            Ok((ending, _)) if ending.exit == 0 => Ok(()),
            Ok((ending, _)) => Err(format!("`{name}` failed with status {}", ending.exit)),
            Err(problem) => Err(format!("`{name}` was not run: {problem}")),
        }
    }
}
