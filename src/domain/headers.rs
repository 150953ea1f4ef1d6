//! The headers of a request, as far as verifying and reading it needs them.

use super::time::Timestamp;

/// Kept with an event that was accepted later than it came: when its request was received, in microseconds since 1970.
///
/// Folding goes by that moment, so that what a sender said in the meantime is not undone by what it had said before.
pub const RECEIVED_AT: &str = "leadrelay-received-at";

/// When the request of an event came, if it was accepted later than that.
pub fn received_at(headers: &(impl Headers + ?Sized)) -> Option<Timestamp> {
    headers.text(RECEIVED_AT)?.parse().ok().map(Timestamp::from_micros)
}

/// What HTTP takes for white space in a header.
pub const HEADER_SPACE: [char; 2] = [' ', '\t'];

/// Looks up a header by its name in any letter case.
pub trait Headers {
    /// The first value of this header.
    fn named(&self, name: &str) -> Option<&[u8]>;

    /// The first value of this header as text without white space around it.
    fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.named(name)?).ok().map(|text| text.trim_matches(HEADER_SPACE))
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
