//! The shape of a statement as people read it.

use super::{
    sink::{Case, Sink},
    words,
};

/// A text that grows up to a bound.
pub(super) struct Text {
    text: String,
    most: usize,
    before: Joint,
    is_cut: bool,
}

/// What the token before leaves to the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// Nothing stands before, or what the next belongs to: an opening bracket or a full stop.
    Tight,
    /// A name or a value: what belongs to it stands beside it.
    Operand,
    /// A word that may be a function's name.
    Callable,
    Loose,
}

impl Text {
    pub(super) fn new(most: usize) -> Self {
        Self { text: String::new(), most, before: Joint::Tight, is_cut: false }
    }

    pub(super) fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push_str(" …");
        }
        self.text
    }
}

impl Sink for Text {
    type Mark = (usize, Joint);

    fn write(&mut self, token: &str, case: Case) {
        // The room for the mark of a cut, and for a blank.
        if self.is_cut || self.text.len() + token.len() + 5 > self.most {
            self.is_cut = true;
            return;
        }
        let belongs = match token {
            "," | ")" | "]" | ";" | "." => true,
            "[" | "::" => matches!(self.before, Joint::Operand | Joint::Callable),
            "(" => self.before == Joint::Callable,
            _ => false,
        };
        if !belongs && self.before != Joint::Tight {
            self.text.push(' ');
        }
        match case {
            Case::Lower => self.text.extend(token.chars().map(|character| character.to_ascii_lowercase())),
            Case::Kept => self.text.push_str(token),
        }
        self.before = match (token, case) {
            ("(" | "[" | "." | "::", _) => Joint::Tight,
            (")" | "]" | "?", _) => Joint::Operand,
            (word, Case::Lower) if words::is_no_function(word) => Joint::Loose,
            (_, Case::Lower) => Joint::Callable,
            (name, Case::Kept) if name.starts_with(['"', '`', '[']) => Joint::Callable,
            _ => Joint::Loose,
        };
    }

    fn mark(&self) -> (usize, Joint) {
        (self.text.len(), self.before)
    }

    fn reset(&mut self, (length, before): (usize, Joint)) {
        self.text.truncate(length);
        self.before = before;
    }
}
