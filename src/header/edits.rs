//! Edits of a response's head: what the client's copy has other than the origin's.

use super::{ResponseHead, fields::is};

/// Fields to take out of a head, and field lines to put at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    removed: Vec<&'static str>,
    added: Vec<(&'static str, Vec<u8>)>,
}

impl Edits {
    /// Takes every line with this name out.
    pub fn remove(&mut self, name: &'static str) {
        self.removed.push(name);
    }

    /// Puts a line at the end.
    pub fn add(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.added.push((name, value.into()));
    }

    /// Puts a line in the place of every line with its name.
    pub fn set(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.remove(name);
        self.add(name, value);
    }

    /// The fields that are taken out.
    pub fn removed(&self) -> &[&'static str] {
        &self.removed
    }

    /// The lines that are put at the end.
    pub fn added(&self) -> &[(&'static str, Vec<u8>)] {
        &self.added
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    /// The edited head; the very same bytes where nothing is to be done.
    pub fn apply(&self, head: &ResponseHead) -> ResponseHead {
        if self.is_empty() {
            return head.clone();
        }
        let mut out = head.without(|name| self.removed.iter().any(|removed| is(name, removed)));
        for (name, value) in &self.added {
            out.field(name.as_bytes(), value);
        }
        out.finish()
    }

    /// Whether the edited head is the origin's with more lines at its end.
    pub fn only_adds(&self) -> bool {
        self.removed.is_empty()
    }

    /// A head and its edited form. They share their bytes where lines were only added.
    pub fn apply_to_own(&self, head: ResponseHead) -> (ResponseHead, ResponseHead) {
        let edited = self.apply(&head);
        match self.only_adds() {
            true => (edited.beginning(head.bytes().len()), edited),
            false => (head, edited),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_out_and_put_at_the_end() {
        let head = ResponseHead::for_tests(200, "Cache-Control: a\r\nX: 1\r\ncache-control: b");
        let mut edits = Edits::default();
        edits.set("Cache-Control", "no-cache");
        edits.add("Vary", "Accept-Encoding");
        let expected = ResponseHead::for_tests(200, "X: 1\r\nCache-Control: no-cache\r\nVary: Accept-Encoding");
        assert_eq!(edits.apply(&head), expected);
    }

    #[test]
    fn lines_that_were_added_share_the_bytes_before_them() {
        let head = ResponseHead::for_tests(200, "X: 1");
        let mut edits = Edits::default();
        edits.add("Vary", "Accept-Encoding");
        let (own, edited) = edits.apply_to_own(head.clone());
        assert_eq!((own.bytes().as_ptr(), &own), (edited.bytes().as_ptr(), &head));
        edits.remove("X");
        let (own, edited) = edits.apply_to_own(head.clone());
        assert_eq!((own, edited), (head, ResponseHead::for_tests(200, "Vary: Accept-Encoding")));
    }

    #[test]
    fn without_edits_the_bytes_are_shared() {
        let head = ResponseHead::for_tests(200, "X: 1");
        assert_eq!(Edits::default().apply(&head).bytes().as_ptr(), head.bytes().as_ptr());
    }
}
