//! The headers of a request, as far as verifying and reading it needs them.

/// Looks up a header by its name in any letter case.
pub trait Headers {
    /// The first value of this header.
    fn named(&self, name: &str) -> Option<&[u8]>;

    /// The first value of this header as text without white space around it.
    fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.named(name)?).ok().map(str::trim)
    }
}

/// Headers as they are kept with an event.
impl Headers for [(String, String)] {
    fn named(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
    }
}

impl Headers for Vec<(String, String)> {
    fn named(&self, name: &str) -> Option<&[u8]> {
        self.as_slice().named(name)
    }
}
