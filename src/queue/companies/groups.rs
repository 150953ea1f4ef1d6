//! Which leads of a batch are of one company.

use std::collections::{BTreeSet, HashMap};

use crate::domain::company::{CompanyKeys, are_apart};

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

/// Leads whose new company has the name of another one that is made before it, and that may not be the same: of which leads
/// the first company is, the others have to wait, so that they find it as if they had come later.
pub(super) fn namesakes<'a>(new: impl IntoIterator<Item = (usize, &'a CompanyKeys)>) -> BTreeSet<usize> {
    let keys: HashMap<usize, &CompanyKeys> = new.into_iter().collect();
    let mut places: Vec<usize> = keys.keys().copied().collect();
    places.sort_unstable();
    let (known, nowhere): (Vec<usize>, Vec<usize>) =
        places.into_iter().partition(|place| keys.get(place).is_some_and(|keys| !keys.domains.is_empty()));
    let domains = known.iter().filter_map(|place| Some((*place, keys.get(place)?.domains.clone())));
    let mut companies = groups(domains);
    companies.sort_by_key(|company| company.places.iter().min().copied());
    let mut made: Vec<(BTreeSet<String>, BTreeSet<String>)> = Vec::new();
    let mut waiting = BTreeSet::new();
    for Group { keys: domains, places } in companies {
        let names: BTreeSet<String> =
            places.iter().filter_map(|place| keys.get(place)).flat_map(|keys| keys.forms()).collect();
        let is_other = |(known, at): &(_, _)| !names.is_disjoint(known) && are_apart(&domains, at);
        if made.iter().any(is_other) {
            waiting.extend(places);
        } else {
            made.push((names, domains));
        }
    }
    // One without a domain would make one company of two.
    for place in nowhere {
        let names = keys.get(&place).map(|keys| keys.forms()).unwrap_or_default();
        let mut at = made.iter().filter(|(known, _)| !names.is_disjoint(known)).map(|(_, domains)| domains);
        if let Some(first) = at.next()
            && at.any(|other| are_apart(first, other))
        {
            waiting.insert(place);
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_new_companies_of_one_name_at_other_domains_the_first_is_made_and_the_others_wait() {
        #[track_caller]
        fn check(leads: &[(&str, &[&str])], waiting: &[usize]) {
            let keys = leads.iter().map(|(name, domains)| {
                let name = Some((*name).to_owned()).filter(|name| !name.is_empty());
                CompanyKeys::of(name, domains.iter().map(ToString::to_string).collect()).unwrap()
            });
            let keys: Vec<CompanyKeys> = keys.collect();
            let waits: Vec<usize> = namesakes(keys.iter().enumerate()).into_iter().collect();
            assert_eq!(waits, waiting, "{leads:?}");
        }
        check(&[("Phoenix GmbH", &["phoenix-a.com"]), ("Phoenix", &["phoenix-b.com"])], &[1]);
        check(&[("Phoenix", &["phoenix.com"]), ("Phoenix", &["phoenix.de"])], &[]);
        check(&[("Phoenix", &["a.com"]), ("Acme", &["b.com"])], &[]);
        check(&[("Phoenix", &[]), ("Phoenix", &["a.com"]), ("Phoenix", &["b.com"]), ("", &["b.com"])], &[2, 3]);
        check(&[("Phoenix", &["a.com"]), ("Phoenix", &["b.com"]), ("Phoenix", &["a.com", "b.com"])], &[]);
        // "Muller" and "Mueller" are not one name, but each is one with "Müller".
        check(&[("Muller", &["a.com"]), ("Mueller", &["b.com"]), ("Müller", &[])], &[2]);
    }

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
