//! The words that the configuration and the mapping document use, and which type may stand for which CRM field.

use crate::domain::record::CrmFieldKind;

use super::{ConflictRule, DateFormat, Direction, FieldType, OnInvalid, Take, TooLong};

macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),+ $(,)? })+) => {$(
        impl $name {
            /// Every word there is, for messages.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Reads the configuration's word.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The configuration's word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    )+};
}

words! {
    FieldType {
        Text = "text", Email = "email", Phone = "phone", Url = "url", Number = "number", Integer = "integer",
        Currency = "currency", Percent = "percent", Boolean = "boolean", Date = "date", DateTime = "datetime",
        Picklist = "picklist", MultiPicklist = "multi_picklist", Owner = "owner",
    }
    Direction { ToCrm = "to_crm", None = "none" }
    ConflictRule {
        LeadWins = "lead_wins", CrmWins = "crm_wins", LatestWins = "latest_wins", Review = "review", Merge = "merge",
    }
    Take { FirstName = "first_name", LastName = "last_name", Domain = "domain" }
    TooLong { Refuse = "refuse", Truncate = "truncate" }
    OnInvalid { Skip = "skip", Review = "review", Hold = "hold" }
}

impl DateFormat {
    /// Reads the configuration's word, or a pattern, which holds a `%`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "unix_s" => Some(Self::UnixSeconds),
            "unix_ms" => Some(Self::UnixMilliseconds),
            "rfc3339" => Some(Self::Rfc3339),
            pattern if pattern.contains('%') => Some(Self::Pattern(pattern.to_owned())),
            _ => None,
        }
    }

    /// The configuration's word, or the pattern.
    pub fn as_str(&self) -> &str {
        match self {
            Self::UnixSeconds => "unix_s",
            Self::UnixMilliseconds => "unix_ms",
            Self::Rfc3339 => "rfc3339",
            Self::Pattern(pattern) => pattern,
        }
    }
}

impl FieldType {
    /// The kind of CRM field that values of this type are compared as.
    pub const fn crm_kind(self) -> CrmFieldKind {
        match self {
            FieldType::Text => CrmFieldKind::Text,
            FieldType::Email => CrmFieldKind::Email,
            FieldType::Phone => CrmFieldKind::Phone,
            FieldType::Url => CrmFieldKind::Url,
            FieldType::Number => CrmFieldKind::Decimal,
            FieldType::Integer => CrmFieldKind::Integer,
            FieldType::Currency => CrmFieldKind::Currency,
            FieldType::Percent => CrmFieldKind::Percent,
            FieldType::Boolean => CrmFieldKind::Boolean,
            FieldType::Date => CrmFieldKind::Date,
            FieldType::DateTime => CrmFieldKind::DateTime,
            FieldType::Picklist => CrmFieldKind::Picklist,
            FieldType::MultiPicklist => CrmFieldKind::MultiPicklist,
            FieldType::Owner => CrmFieldKind::Reference,
        }
    }
}

/// Whether values of a row's type can stand in a CRM field of this kind: `text` in any text-like one, picklists included.
pub fn type_fits(row: FieldType, field: CrmFieldKind) -> bool {
    use CrmFieldKind as Kind;
    match row {
        FieldType::Text => matches!(
            field,
            Kind::Text | Kind::LongText | Kind::Email | Kind::Phone | Kind::Url | Kind::Picklist | Kind::MultiPicklist
        ),
        FieldType::Email => matches!(field, Kind::Email | Kind::Text | Kind::LongText),
        FieldType::Phone => matches!(field, Kind::Phone | Kind::Text | Kind::LongText),
        FieldType::Url => matches!(field, Kind::Url | Kind::Text | Kind::LongText),
        FieldType::Picklist => matches!(field, Kind::Picklist | Kind::Text | Kind::LongText),
        FieldType::MultiPicklist => field == Kind::MultiPicklist,
        FieldType::Number | FieldType::Integer => {
            matches!(field, Kind::Integer | Kind::Decimal | Kind::Currency | Kind::Percent)
        }
        FieldType::Currency => matches!(field, Kind::Currency | Kind::Decimal),
        FieldType::Percent => matches!(field, Kind::Percent | Kind::Decimal),
        FieldType::Boolean => field == Kind::Boolean,
        FieldType::Date => field == Kind::Date,
        FieldType::DateTime => field == Kind::DateTime,
        FieldType::Owner => field == Kind::Reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_as_itself() {
        for word in FieldType::WORDS {
            assert_eq!(FieldType::parse(word).map(FieldType::as_str), Some(*word));
        }
        assert_eq!(ConflictRule::parse("last_wins"), None);
        assert_eq!(Direction::parse("both"), None);
        assert_eq!(DateFormat::parse("%d/%m/%Y"), Some(DateFormat::Pattern("%d/%m/%Y".into())));
        assert_eq!(DateFormat::parse("iso"), None);
    }

    #[test]
    fn text_fits_what_is_written_as_text_and_nothing_else() {
        assert!(type_fits(FieldType::Text, CrmFieldKind::Picklist));
        assert!(!type_fits(FieldType::Text, CrmFieldKind::Decimal));
        assert!(!type_fits(FieldType::Text, CrmFieldKind::Reference));
        assert!(!type_fits(FieldType::Boolean, CrmFieldKind::Text));
    }
}
