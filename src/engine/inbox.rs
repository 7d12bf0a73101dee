//! What the dispatcher has been told and has not taken in yet: signals first.
//!
//! Megabytes of output may be on their way to a terminal that is slow. Whoever asks to stop is not kept waiting for them.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::dispatcher::Message;

/// The messages that wait. In order, but for signals.
pub(super) struct Inbox<'a> {
    receive: &'a Receiver<Message>,
    signals: VecDeque<Message>,
    others: VecDeque<Message>,
}

impl<'a> Inbox<'a> {
    /// Nothing was taken out yet.
    pub(super) fn new(receive: &'a Receiver<Message>) -> Self {
        Self { receive, signals: VecDeque::new(), others: VecDeque::new() }
    }

    /// The next one that is there.
    pub(super) fn next_there(&mut self) -> Option<Message> {
        self.take_in();
        self.next_taken()
    }

    /// The next of those that were taken out already: they must not be left here, for nobody else hears of them.
    pub(super) fn next_taken(&mut self) -> Option<Message> {
        self.signals.pop_front().or_else(|| self.others.pop_front())
    }

    /// How many are there at this moment.
    pub(super) fn there(&mut self) -> usize {
        self.take_in();
        self.signals.len() + self.others.len()
    }

    fn take_in(&mut self) {
        // It comes to an end: output is bounded by the room that it takes until it is told.
        for message in self.receive.try_iter() {
            match message {
                Message::Signal(_) => self.signals.push_back(message),
                _ => self.others.push_back(message),
            }
        }
    }

    /// The next one, if it comes within that time.
    pub(super) fn next(&mut self, within: Duration) -> Option<Message> {
        self.next_there().or_else(|| match self.receive.recv_timeout(within) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the dispatcher holds a sender itself"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Notice;

    #[test]
    fn signals_overtake_and_nothing_else_does() {
        let (send, receive) = std::sync::mpsc::channel();
        let notice =
            |text: &str| Message::Notice(Notice { node: None, message: text.to_owned(), hint: None });
        for message in [notice("a"), notice("b"), Message::Signal(2), notice("c"), Message::Signal(15)] {
            send.send(message).unwrap();
        }
        let mut inbox = Inbox::new(&receive);
        let mut order = Vec::new();
        while let Some(message) = inbox.next_there() {
            order.push(match message {
                Message::Signal(signal) => signal.to_string(),
                Message::Notice(notice) => notice.message,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(order, ["2", "15", "a", "b", "c"]);
        assert!(inbox.next(Duration::ZERO).is_none());
        send.send(notice("d")).unwrap();
        assert_eq!(inbox.there(), 1);
    }
}
