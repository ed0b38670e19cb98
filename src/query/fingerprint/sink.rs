//! What is done with the tokens of a shape, apart from hashing them.

/// Where the tokens of a shape go, apart from the hash.
pub(super) trait Sink {
    /// A place to come back to.
    type Mark: Copy;
    /// Takes a token as it is written in the shape.
    fn write(&mut self, token: &str, case: Case);
    /// How much there is, to come back to.
    fn mark(&self) -> Self::Mark;
    /// Forgets what came after a mark.
    fn reset(&mut self, mark: Self::Mark);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// Small letters, whatever was written.
    Lower,
    /// As it was written.
    Kept,
}

/// For statements that are known, whose text is of no interest.
impl Sink for () {
    type Mark = ();

    fn write(&mut self, _: &str, _: Case) {}

    fn mark(&self) {}

    fn reset(&mut self, (): ()) {}
}
