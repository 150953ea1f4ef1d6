//! Users as the owners that leads name.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::text;
use super::soql::{self, Key, Target};
use super::wire::{Row, full_id};
use super::{EMAIL, IS_ACTIVE};
use crate::domain::ids::{ObjectName, RecordId};
use crate::domain::mapping::{OwnerFound, Owners};
use crate::domain::matching::MatchKeys;

/// Every address that one of the keys names.
pub(super) fn addresses(keys: &[MatchKeys]) -> BTreeSet<&str> {
    keys.iter().flat_map(|keys| &keys.owners).map(String::as_str).collect()
}

/// The queries that find the users with these addresses; none without addresses.
pub(super) fn plan_queries(user: &ObjectName, addresses: &BTreeSet<&str>) -> Vec<String> {
    let columns = ["Id", EMAIL, IS_ACTIVE].map(str::to_owned).to_vec();
    let target = Target { object: user, columns, external_id: None, website: false };
    let keys: Vec<Key> = addresses.iter().map(|address| Key::Email((*address).to_owned())).collect();
    soql::find_by_keys(&target, &keys)
}

/// What was found of each address: inactive users count only where there is no active one.
pub(super) fn read(addresses: &BTreeSet<&str>, rows: &[Row]) -> Owners {
    let mut users: BTreeMap<String, Vec<(RecordId, bool)>> = BTreeMap::new();
    for row in rows {
        if let (Some(id), Some(address)) = (text(row, "Id"), text(row, EMAIL)) {
            let active = row.get(IS_ACTIVE).and_then(serde_json::Value::as_bool) == Some(true);
            users.entry(address.trim().to_lowercase()).or_default().push((full_id(id), active));
        }
    }
    let mut owners = Owners::default();
    for address in addresses {
        let found = users.get(*address).map_or(&[][..], Vec::as_slice);
        let mut active = found.iter().filter(|(_, active)| *active).map(|(id, _)| id);
        let known = match (active.next(), active.next()) {
            (Some(id), None) => OwnerFound::Active(id.clone()),
            (Some(_), Some(_)) => OwnerFound::Several,
            (None, _) if found.is_empty() => OwnerFound::Nobody,
            (None, _) => OwnerFound::Inactive,
        };
        owners.insert((*address).to_owned(), known);
    }
    owners
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_active_user_is_found_whatever_the_letter_case_and_never_another_one() {
        let row = |id: &str, email: &str, active: bool| {
            let json = json!({"Id": id, "Email": email, "IsActive": active});
            json.as_object().cloned().unwrap()
        };
        let rows = [
            row("0055e0000000003", "Sam@CRM.example", true),
            row("0055e0000000004", "sam@crm.example", false),
            row("0055e0000000005", "ines@crm.example", false),
            row("0055e0000000006", "twins@crm.example", true),
            row("0055e0000000007", "twins@crm.example", true),
        ];
        let asked = ["sam@crm.example", "ines@crm.example", "twins@crm.example", "nobody@crm.example"];
        let read = read(&asked.into(), &rows);
        let told: Vec<(&str, String)> =
            read.iter().map(|(address, found)| (address.as_str(), format!("{found:?}"))).collect();
        let sam = format!("{:?}", OwnerFound::Active(full_id("0055e0000000003")));
        assert_eq!(
            told,
            [
                ("ines@crm.example", "Inactive".to_owned()),
                ("nobody@crm.example", "Nobody".to_owned()),
                ("sam@crm.example", sam),
                ("twins@crm.example", "Several".to_owned()),
            ]
        );
        let queries = plan_queries(&"User".into(), &asked[..1].iter().copied().collect());
        assert_eq!(queries, ["SELECT Id,Email,IsActive FROM User WHERE Email IN ('sam@crm.example')"]);
    }
}
