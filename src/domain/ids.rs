//! Names and keys of the domain, one type each, so that a lead ID is never passed for a record ID.

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }
    )+};
}

text_id! {
    /// A configured lead system: the `NAME` of `[sources.NAME]`.
    SourceName,
    /// A configured CRM: the `NAME` of `[destinations.NAME]`.
    DestinationName,
    /// The lead system's own ID of a lead, unique within its source.
    LeadId,
    /// The API name of a kind of CRM record: `Lead`, `Contact`.
    ObjectName,
    /// The CRM's own ID of a record.
    RecordId,
    /// The API name of a CRM field.
    FieldName,
    /// One HTTP request as both sides can find it again: the value of `x-request-id`.
    RequestId,
}

/// One lead of one source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeadKey {
    /// Where the lead comes from.
    pub source: SourceName,
    /// Its ID there.
    pub id: LeadId,
}

impl LeadKey {
    /// The lead `id` of `source`.
    pub fn new(source: impl Into<SourceName>, id: impl Into<LeadId>) -> Self {
        Self { source: source.into(), id: id.into() }
    }
}

impl fmt::Display for LeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.id)
    }
}

/// One record of one CRM.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordRef {
    /// What kind of record it is.
    pub object: ObjectName,
    /// Its ID in the CRM.
    pub id: RecordId,
}

/// The number under which an event is stored; also its place in the order of arrival. Shown as `evt_123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(pub i64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{}", self.0)
    }
}

impl std::str::FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.strip_prefix("evt_").and_then(|digits| digits.parse().ok()).map(Self).ok_or(())
    }
}
