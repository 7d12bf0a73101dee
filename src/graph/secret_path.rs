//! Paths that mention a secret, which are refused: the name of a file is read by everybody who lists its folder, and stands in
//! the state that is kept of a task.

use crate::diag::{Diagnostic, Spanned};
use crate::model::{Content, Task};
use crate::vars::{Form, Lookup, TaskValues, Values, mentions};

use std::sync::Arc;

use super::{Called, rendered};

/// Says which paths of a task mention a secret, or a variable that is built from one.
pub(super) fn secret_paths(task: &Task, calls: &[Called], values: &Arc<Values>) -> Vec<Diagnostic> {
    let mut texts: Vec<(&str, &Spanned<String>)> = Vec::new();
    let lists = [
        ("inputs", task.inputs.as_ref()),
        ("outputs", task.outputs.as_ref()),
        ("depfile", Some(&task.depfile)),
    ];
    for (word, list) in lists {
        texts.extend(list.into_iter().flatten().map(|text| (word, text)));
    }
    texts.push(("dir", &task.dir));
    for render in rendered(task, calls) {
        texts.push(("render", &render.path));
        if let Content::Template(template) = &render.content {
            texts.push(("template", template));
        }
    }
    texts.retain(|(_, text)| text.value.contains('$'));
    if texts.is_empty() {
        return Vec::new();
    }
    let values = TaskValues::new(values, task, Vec::new());
    let is_secret = |name: &str| {
        matches!(values.lookup(name), Lookup::Value { secret: true, .. })
            || !values.secrets([name]).is_empty()
    };
    let found = texts.into_iter().filter_map(|(word, text)| {
        let name =
            mentions(&text.value, Form::Text).into_iter().find(|mention| is_secret(mention.name))?.name;
        let message = format!("`{word}` names a file after `{name}`, which is a secret");
        Some(Diagnostic::error("graph/secret-path", message).at(text.span, "").help(
            "names of files can be read by everybody who lists the folder: take a name that is no secret",
        ))
    });
    found.collect()
}
