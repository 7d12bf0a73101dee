//! The secrets that B lacks: which they are, and how they are stored, or taken out again.

use std::sync::Arc;
use std::time::Duration;

use crate::exec::Processes;
use crate::secret::generate;
use crate::vars::{INVALID, Lookup, Values};

use super::super::super::secret::{Missing, Place, Secrets, open_all};
use super::super::super::{Context, Problem, Project};
use super::super::guard;
use super::reader::Reader;
use super::{Asked, Lacking, Plan};

/// How long the commands of stores have after each step of an interrupt.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores the secrets that B lacked.
pub type KeepSecrets<'k, 'u> = &'k mut dyn FnMut(&[(String, String)]) -> Result<Undo<'u>, Problem>;

/// Takes away what was stored a moment ago.
pub type Undo<'u> = Box<dyn FnOnce() -> Result<(), Problem> + 'u>;

/// Stores secrets that B lacked, each where the Envfile says that it is kept. One that is there by now stays as it is. If one
/// cannot be stored, those before it are taken out again.
pub fn keep_secrets<'u>(
    context: &'u Context,
    project: &'u Project,
    asked: &Asked,
    secrets: &[(String, String)],
) -> Result<Undo<'u>, Problem> {
    let (values, _) = Reader::new(context, project).values(&asked.project, &asked.to, None)?;
    let processes = Processes::new(PATIENCE);
    let mut store = Secrets::new(context, project, &processes);
    let kept = store.kept(&values).map_err(Problem::Store)?;
    let mut stored: Vec<(Place, String)> = Vec::new();
    for (name, value) in secrets {
        let Some(kept) = kept.iter().find(|kept| kept.spec.secret.name.as_str() == name) else { continue };
        let written = match store.value(kept) {
            Ok(Some(_)) => continue,
            Ok(None) => store.write(&kept.place, name, value),
            Err(refused) => Err(refused),
        };
        if let Err(refused) = written {
            forget(context, project, &stored)?;
            return Err(Problem::Store(refused));
        }
        store.note_made(&kept.place, [name.as_str()]);
        stored.push((kept.place.clone(), name.clone()));
    }
    processes.wait();
    processes.finish();
    Ok(Box::new(move || forget(context, project, &stored)))
}

fn forget(context: &Context, project: &Project, stored: &[(Place, String)]) -> Result<(), Problem> {
    let processes = Processes::new(PATIENCE);
    let mut store = Secrets::new(context, project, &processes);
    for (place, name) in stored {
        store.forget(place, std::slice::from_ref(name)).map_err(Problem::Store)?;
    }
    Ok(())
}

/// Values for the secrets that say how they are made.
pub fn generated(project: &Project, asked: &Asked, plan: &Plan) -> Result<Vec<(String, String)>, Problem> {
    let specs = project.envfile().secrets(Some(&asked.to));
    let mut made = Vec::new();
    for lacking in plan.secrets.iter().filter(|lacking| lacking.generated) {
        let spec = specs.iter().find(|spec| spec.secret.name.as_str() == lacking.name);
        let Some((how, length)) = spec.and_then(|spec| Some((spec.secret.generate?, spec.secret.length)))
        else {
            continue;
        };
        let value = generate(how, length).map_err(|error| Problem::System {
            doing: "make a secret",
            source: std::io::Error::other(error.to_string()),
        })?;
        made.push((lacking.name.clone(), value));
    }
    Ok(made)
}

/// The secrets that B must have and has not. B's guard is asked before its stores are.
pub(super) fn lacking(
    context: &Context,
    project: &Project,
    asked: &Asked,
    b: &Arc<Values>,
) -> Result<Vec<Lacking>, Problem> {
    if b.secrets().is_empty() {
        return Ok(Vec::new());
    }
    let what = format!("env sync {}", asked.to);
    let known = guard::ask(context, project, &asked.project, Some(&asked.to), b, &what)?;
    open_all(context, project, b, Missing::Leave, known)?;
    let processes = Processes::new(PATIENCE);
    let kept = Secrets::new(context, project, &processes).kept(b).map_err(Problem::Store)?;
    let missing = kept.into_iter().filter(|kept| {
        let name = kept.spec.secret.name.as_str();
        matches!(b.lookup(name), Lookup::Missing(wrong) if wrong.code != INVALID)
    });
    Ok(missing
        .map(|kept| Lacking {
            name: kept.spec.secret.name.to_string(),
            generated: kept.spec.secret.generate.is_some(),
            hint: kept.hint(),
        })
        .collect())
}
