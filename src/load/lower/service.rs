//! What is special to a service.

use std::sync::Arc;

use crate::base::unit::parse_duration;
use crate::diag::{Diagnostic, Spanned};
use crate::model::{Probe, ProbeKind, Ready, Restart, Service, Task, Url};
use crate::syntax::ast::{self, Node};

use super::super::patch::{Patched, Word};
use super::{Lower, command, count_prop, is_on, text_prop, texts};

impl<'d> Lower<'d> {
    pub(super) fn service(&self, project: usize, patched: &Patched<'d>, task: Arc<Task>) -> Service {
        let mut service = Service {
            start: None,
            stop: None,
            log: None,
            ready: None,
            watch: Vec::new(),
            restart: None,
            urls: Vec::new(),
            task,
        };
        for word in &patched.words {
            let node = word.node;
            let run = || command(node).map(|command| Spanned::new(command, node.span));
            match node.name.value.as_str() {
                "start" => service.start = run(),
                "stop" => service.stop = run(),
                "log" => service.log = run(),
                "ready" => service.ready = Some(self.ready(project, word, &service.task)),
                "watch" => {
                    self.texts_are_known(project, word, &service.task.vars);
                    service.watch.extend(texts(node));
                }
                "restart" => service.restart = restart(node),
                "url" => {
                    self.texts_are_known(project, word, &service.task.vars);
                    let name = text_prop(node, "name");
                    service.urls.extend(texts(node).next().map(|url| Url { url, name }));
                }
                _ => {}
            }
        }
        service
    }

    fn ready(&self, project: usize, word: &Word<'d>, task: &Task) -> Ready {
        let mut ready = Ready { probes: Vec::new(), every: None, timeout: None, span: word.node.span };
        for row in word.node.children() {
            if row.name.value != "exec" {
                self.texts_are_known(project, &Word { node: row, ..*word }, &task.vars);
            }
            let text = texts(row).next().map(|text| text.value);
            let duration = || parse_duration(text.as_deref()?);
            let kind = match row.name.value.as_str() {
                "every" => {
                    ready.every = duration();
                    None
                }
                "timeout" => {
                    ready.timeout = duration();
                    None
                }
                "http" => {
                    self.is_plain(row, text.as_deref());
                    text.map(|url| ProbeKind::Http { url, status: count_prop(row, "status") })
                }
                "tcp" => text.map(ProbeKind::Tcp),
                "exec" => command(row).map(ProbeKind::Exec),
                "log" => text.map(ProbeKind::Log),
                "notify" => is_on(row).then_some(ProbeKind::Notify),
                _ => None,
            };
            ready.probes.extend(kind.map(|kind| Probe {
                kind,
                name: text_prop(row, "name"),
                span: row.span,
            }));
        }
        ready
    }
}

impl Lower<'_> {
    /// A probe that could never pass is told before anything is started.
    fn is_plain(&self, row: &Node, url: Option<&str>) {
        let Some(url) = url.filter(|url| url.starts_with("https:")) else { return };
        let message = "a probe asks plain HTTP: it knows no certificates";
        let help = format!(
            "write `exec \"curl\" \"-fsS\" \"{url}\"` (with `-k` for a certificate of your own making)"
        );
        self.say(Diagnostic::error("load/https", message).at(row.span, "").help(help));
    }
}

fn restart(node: &Node) -> Option<Restart> {
    let ast::Value::String(text) = &node.args.first()?.value.value else { return None };
    let when = ["never", "on-failure", "always"].into_iter().find(|when| when == text)?;
    Some(Restart { when, max: count_prop(node, "max"), span: node.span })
}
