//! The JSON forms of domain types as both databases store them.
