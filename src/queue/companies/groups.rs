//! Which leads of a batch are of one company.

use std::collections::{BTreeSet, HashMap};

/// Leads of one company, by their places.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub keys: BTreeSet<String>,
    pub places: Vec<usize>,
}

/// Puts together whose keys meet, directly or through others.
pub(super) fn groups(keys: impl IntoIterator<Item = (usize, BTreeSet<String>)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of: HashMap<String, usize> = HashMap::new();
    for (place, keys) in keys {
        let met: BTreeSet<usize> = keys.iter().filter_map(|key| group_of.get(key).copied()).collect();
        let home = met.first().copied().unwrap_or(groups.len());
        if home == groups.len() {
            groups.push(Group::default());
        }
        let mut joined = Group { keys, places: vec![place] };
        for other in met.into_iter().filter(|other| *other != home) {
            let other = groups.get_mut(other).map(std::mem::take).unwrap_or_default();
            joined.keys.extend(other.keys);
            joined.places.extend(other.places);
        }
        group_of.extend(joined.keys.iter().map(|key| (key.clone(), home)));
        if let Some(group) = groups.get_mut(home) {
            group.keys.extend(joined.keys);
            group.places.extend(joined.places);
        }
    }
    groups.retain(|group| !group.places.is_empty());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_whose_keys_meet_are_of_one_company() {
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        let wanted = [
            (0, keys(&["domain:a", "name:acme"])),
            (1, keys(&["domain:b"])),
            (2, keys(&["name:acme"])),
            (3, keys(&["domain:c", "name:coyote"])),
            (4, keys(&["domain:b", "name:coyote"])),
            (5, keys(&["domain:c"])),
        ];
        let mut places: Vec<Vec<usize>> = groups(wanted).into_iter().map(|group| group.places).collect();
        places.iter_mut().for_each(|places| places.sort_unstable());
        places.sort();
        assert_eq!(places, [vec![0, 2], vec![1, 3, 4, 5]]);
    }
}
