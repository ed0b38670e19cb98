//! HTTP vocabulary.
