//! Memory under floods.
