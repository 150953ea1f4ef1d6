//! Which leads are synced at all, before anything is looked up.

use super::{Action, SyncPlan, SyncRules};
use crate::domain::cel::Reading;
use crate::domain::lead::Lead;
use crate::domain::mapping::Covered;

/// The code of a lead that falls out of the destination's filter.
pub const FILTERED: &str = "filtered";

/// How many attributes are named in one sentence.
const NAMED: usize = 10;

/// The plan of a living lead that is left alone or held whatever the CRM holds; `None`: it is synced.
pub fn left_alone(lead: &Lead, rules: &SyncRules) -> Option<SyncPlan> {
    let hold = |code, detail| Some(SyncPlan::without_record(Action::Hold { code, detail }));
    if let Some(filter) = &rules.filter {
        match filter.holds(lead, Reading::Now) {
            Ok(true) => {}
            Ok(false) => {
                let detail =
                    format!("the filter {} does not hold for it; what was synced before stays", filter.source());
                return Some(SyncPlan::without_record(Action::Skip { code: FILTERED, detail }));
            }
            Err(error) => return hold("filter_error", format!("the filter {}: {error}", filter.source())),
        }
    }
    let covered = rules.refuses_beside.as_ref()?;
    let unmapped: Vec<&str> = unmapped(lead, covered).collect();
    let (first, more) = (unmapped.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "), unmapped.len());
    match more {
        0 => None,
        1..=NAMED => hold("unmapped_attribute", format!("no row of the mapping takes {first}")),
        _ => hold("unmapped_attribute", format!("no row of the mapping takes {first} and {} more", more - NAMED)),
    }
}

/// The paths of the custom attributes that have a value and that no row takes.
fn unmapped<'l>(lead: &'l Lead, covered: &Covered) -> impl Iterator<Item = &'l str> {
    let attributes = lead.fields.iter().filter(|(path, _)| path.starts_with("attributes."));
    attributes
        .filter(move |(path, field)| !field.value.says_nothing() && !covered.holds(path))
        .map(|(path, _)| path.as_str())
}
