//! What an object looks like: its fields with the flags that describe shows and the validation obeys.

pub(super) mod stages;
pub(super) mod standard;

/// The type of a field, with what describe calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Id,
    Text,
    TextArea,
    Email,
    Phone,
    Url,
    Picklist,
    MultiPicklist,
    Boolean,
    Int,
    Double,
    Currency,
    Percent,
    Date,
    DateTime,
    Reference,
    Address,
}

impl Kind {
    /// The word in describe, and in `POST /_sandbox/fields`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "string",
            Self::TextArea => "textarea",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Picklist => "picklist",
            Self::MultiPicklist => "multipicklist",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Reference => "reference",
            Self::Address => "address",
        }
    }

    pub fn soap_type(self) -> &'static str {
        match self {
            Self::Id | Self::Reference => "tns:ID",
            Self::Boolean => "xsd:boolean",
            Self::Int => "xsd:int",
            Self::Double | Self::Currency | Self::Percent => "xsd:double",
            Self::Date => "xsd:date",
            Self::DateTime => "xsd:dateTime",
            Self::Address => "urn:address",
            _ => "xsd:string",
        }
    }

    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::Text | Self::TextArea | Self::Email | Self::Phone | Self::Url | Self::Picklist | Self::MultiPicklist
        )
    }

    pub fn is_decimal(self) -> bool {
        matches!(self, Self::Double | Self::Currency | Self::Percent)
    }
}

/// Names a field inside its object for good, also after it was removed.
pub(super) type FieldId = u16;

/// One field of an object.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub name: String,
    pub label: String,
    pub kind: Kind,
    /// Longest text in characters; 18 for ids.
    pub length: usize,
    pub precision: u32,
    pub scale: u32,
    pub createable: bool,
    pub updateable: bool,
    pub nillable: bool,
    pub defaulted: bool,
    pub unique: bool,
    pub external_id: bool,
    pub case_sensitive: bool,
    pub id_lookup: bool,
    pub restricted: bool,
    pub filterable: bool,
    /// Kept in a hash index, so that equality and `IN` are no scan.
    pub indexed: bool,
    pub choices: Vec<Choice>,
    /// The field on whose value the choices depend.
    pub controller: Option<String>,
    pub default: Option<&'static str>,
    pub refers_to: Vec<&'static str>,
    /// Withheld from the API user by field-level security.
    pub hidden: bool,
    /// Shown and opened by permissions, not by itself.
    pub by_permission: bool,
    /// The number in its id, of a field that was made while the org ran.
    pub number: Option<u64>,
    pub removed: bool,
}

/// One value of a picklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub value: String,
    pub label: String,
    /// Values of the controlling field under which it may be chosen.
    pub valid_for: Vec<String>,
}

impl Choice {
    pub fn new(value: &str, label: &str) -> Self {
        Self { value: value.to_owned(), label: label.to_owned(), valid_for: Vec::new() }
    }
}

impl Field {
    pub fn new(name: &str, label: &str, kind: Kind, length: usize) -> Self {
        let reference = matches!(kind, Kind::Reference | Kind::Id);
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            length,
            precision: 0,
            scale: 0,
            createable: true,
            updateable: true,
            nillable: kind != Kind::Boolean && kind != Kind::Id,
            defaulted: kind == Kind::Boolean,
            unique: false,
            external_id: false,
            case_sensitive: reference,
            id_lookup: kind == Kind::Id,
            restricted: false,
            filterable: kind != Kind::Address && !(kind == Kind::TextArea && length > 255),
            indexed: false,
            choices: Vec::new(),
            controller: None,
            default: None,
            refers_to: Vec::new(),
            hidden: false,
            by_permission: false,
            number: None,
            removed: false,
        }
    }

    pub fn digits(mut self, precision: u32, scale: u32) -> Self {
        self.precision = precision;
        self.scale = scale;
        self
    }

    pub fn read_only(mut self) -> Self {
        self.createable = false;
        self.updateable = false;
        self
    }

    pub fn required(mut self) -> Self {
        self.nillable = false;
        self
    }

    pub fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }

    pub fn picklist(mut self, values: &[&str]) -> Self {
        self.choices = values.iter().map(|value| Choice::new(value, value)).collect();
        self
    }

    pub fn refers_to(mut self, objects: &[&'static str]) -> Self {
        self.refers_to = objects.to_vec();
        self
    }

    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// Whether it holds the code of a state or country, as the option of that name adds it to addresses.
    pub fn is_place_code(&self) -> bool {
        self.kind == Kind::Picklist
            && !self.is_custom()
            && (self.name.ends_with("StateCode") || self.name.ends_with("CountryCode"))
    }

    /// Whether a create without this field is refused.
    pub fn is_required(&self) -> bool {
        self.createable && !self.nillable && !self.defaulted && self.kind != Kind::Boolean
    }

    pub fn is_sortable(&self) -> bool {
        self.filterable && self.kind != Kind::MultiPicklist
    }

    /// `Account` for `AccountId`, the name under which a query or a write reaches the parent.
    pub fn relationship(&self) -> Option<String> {
        if self.kind != Kind::Reference {
            return None;
        }
        match self.name.strip_suffix("__c") {
            Some(stem) => Some(format!("{stem}__r")),
            None => self.name.strip_suffix("Id").map(str::to_owned),
        }
    }
}

/// One object: what is known of it without its rows.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub name: &'static str,
    pub label: &'static str,
    pub label_plural: &'static str,
    pub prefix: &'static str,
    /// Whether the org's assignment rules act on it.
    pub assigned_by_rules: bool,
    /// Whether records of it can be merged into one.
    pub mergeable: bool,
    /// Whether the API may write it at all.
    pub writable: bool,
    /// Part of how the org is set up, and no data of its own.
    pub setup: bool,
    /// All fields ever, removed ones too: a [`FieldId`] is the place in here.
    pub fields: Vec<Field>,
    /// When the description last changed, in whole seconds; every change moves it.
    pub changed_at: i64,
}

impl Object {
    /// An object that the API may write and that has nothing special.
    pub fn new(
        name: &'static str,
        labels: (&'static str, &'static str),
        prefix: &'static str,
        fields: Vec<Field>,
    ) -> Self {
        Self {
            name,
            label: labels.0,
            label_plural: labels.1,
            prefix,
            assigned_by_rules: false,
            mergeable: false,
            writable: true,
            setup: false,
            fields,
            changed_at: 0,
        }
    }

    /// Finds a field that exists, hidden or not; names ignore case.
    pub fn find(&self, name: &str) -> Option<(FieldId, &Field)> {
        self.live().find(|(_, field)| field.name.eq_ignore_ascii_case(name))
    }

    /// Finds a field that the API user may see.
    pub fn find_visible(&self, name: &str) -> Option<(FieldId, &Field)> {
        self.find(name).filter(|(_, field)| !field.hidden)
    }

    pub fn field(&self, id: FieldId) -> &Field {
        &self.fields[usize::from(id)]
    }

    /// Fields that were not removed.
    pub fn live(&self) -> impl Iterator<Item = (FieldId, &Field)> {
        (0u16..).zip(&self.fields).filter(|(_, field)| !field.removed)
    }

    pub fn visible(&self) -> impl Iterator<Item = (FieldId, &Field)> {
        self.live().filter(|(_, field)| !field.hidden)
    }

    /// Notes a change of the description; its stamp moves by at least a second, since conditional reads see no less.
    pub fn touch(&mut self, now: i64) {
        self.changed_at = now.max(self.changed_at + 1);
    }
}
