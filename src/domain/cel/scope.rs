//! The names that an expression may use.
//!
//! A field of the lead goes by its name, a custom attribute by `attributes.NAME` or `attributes["a b"]`. `source` is the
//! configured source, `lead_id` the lead's ID there; a field that is itself called one of these, or whose name is no
//! name of the language, is `lead["…"]`. What is absent is null.

use std::collections::{BTreeMap, BTreeSet};

use super::Reading;
use super::operand::Operand;
use super::parser::Node;
use crate::domain::lead::Lead;

const ATTRIBUTES: &str = "attributes";
const LEAD: &str = "lead";
const SOURCE: &str = "source";
const LEAD_ID: &str = "lead_id";

/// The lead, and how its fields are read.
pub(super) struct Scope<'l> {
    pub lead: &'l Lead,
    pub reading: Reading,
}

impl Scope<'_> {
    /// What a name stands for.
    pub fn name(&self, name: &str) -> Operand {
        match name {
            SOURCE => Operand::Text(self.lead.key.source.to_string()),
            LEAD_ID => Operand::Text(self.lead.key.id.to_string()),
            ATTRIBUTES => self.attributes(),
            LEAD => {
                let plain = self.lead.fields.keys().filter(|name| attribute(name).is_none());
                let fields: BTreeMap<String, Operand> = plain.map(|name| (name.clone(), self.field(name))).collect();
                Operand::Map([(ATTRIBUTES.to_owned(), self.attributes())].into_iter().chain(fields).collect())
            }
            _ => self.field(name),
        }
    }

    /// What a field of `lead` or `attributes` stands for; `None`: the root is neither, or all of it is meant.
    pub fn field_of(&self, root: &str, field: &str) -> Option<Operand> {
        match (root, field) {
            (LEAD, ATTRIBUTES) => None,
            (LEAD, _) => Some(self.field(field)),
            (ATTRIBUTES, _) => Some(self.field(&format!("{ATTRIBUTES}.{field}"))),
            _ => None,
        }
    }

    fn attributes(&self) -> Operand {
        let named = self.lead.fields.keys().filter_map(|path| Some((attribute(path)?, path)));
        Operand::Map(named.map(|(name, path)| (name.to_owned(), self.field(path))).collect())
    }

    fn field(&self, path: &str) -> Operand {
        let value = match self.reading {
            Reading::Now => self.lead.get(path),
            Reading::Lasting => self.lead.get_lasting(path),
        };
        value.map_or(Operand::Null, Operand::of_field)
    }
}

fn attribute(path: &str) -> Option<&str> {
    path.strip_prefix(ATTRIBUTES)?.strip_prefix('.')
}

/// The field that a step goes to, where that is written down.
pub(super) fn written_step(node: &Node) -> Option<(&Node, &str)> {
    match node {
        Node::Field(value, field) | Node::Has(value, field) => Some((value, field)),
        Node::Index(value, key) => match &**key {
            Node::Text(key) => Some((value, key)),
            _ => None,
        },
        _ => None,
    }
}

/// Adds the paths of all lead fields that a tree names; `items` are the names of the loops around it.
pub(super) fn collect_reads<'n>(node: &'n Node, items: &mut Vec<&'n str>, reads: &mut BTreeSet<String>) {
    if let Some((Node::Name(root), field)) = written_step(node)
        && !items.contains(&root.as_str())
    {
        match root.as_str() {
            SOURCE | LEAD_ID => {}
            LEAD => drop(reads.insert(field.to_owned())),
            _ => drop(reads.insert(format!("{root}.{field}"))),
        }
        return;
    }
    match node {
        Node::Name(name) if items.contains(&name.as_str()) || name == SOURCE || name == LEAD_ID => {}
        Node::Name(name) => drop(reads.insert(name.clone())),
        Node::Each(_, each) => {
            collect_reads(&each.over, items, reads);
            items.push(&each.item);
            each.condition.iter().chain(&each.result).for_each(|node| collect_reads(node, items, reads));
            items.pop();
        }
        _ => node.children().into_iter().for_each(|node| collect_reads(node, items, reads)),
    }
}
