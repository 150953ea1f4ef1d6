//! The daily search for records that may be one person's: leads that share an address, or a name and the domain of a company's
//! address, and are two records all the same.
//!
//! People are walked through in the order of an index, so that those who share something are neighbours: what a search costs
//! grows with the leads, not with their pairs. Of many leads of one address each is compared with the first.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::DestinationName;
use crate::domain::mapping::domain::company_domain;
use crate::domain::time::Timestamp;
use crate::store::{LinkedPerson, PersonPlace, PersonRow, Same, Store, StoreResult, Suspect};

/// How many leads one step looks at.
const STEP: u32 = 5_000;
/// How many leads' records are read, and how many suspects written, at once.
const SOME: usize = 200;

/// One search at work.
#[derive(Debug)]
pub struct DuplicateSearch {
    began: Timestamp,
    same: Same,
    place: PersonPlace,
    /// The first record of each group of people that the last step did not see the end of.
    first: HashMap<(Group, DestinationName), LinkedPerson>,
    /// Leads looked at; each twice, by address and by name.
    pub looked_at: u64,
    /// Leads whose record may be the person of another one's.
    pub suspected: u64,
}

/// What people of one group have in common: the key that they are ordered by, and for names the domain.
type Group = (String, Option<String>);

impl DuplicateSearch {
    /// A search that found nothing yet.
    pub fn new(now: Timestamp) -> Self {
        let place = PersonPlace::default();
        Self { began: now, same: Same::Email, place, first: HashMap::new(), looked_at: 0, suspected: 0 }
    }

    /// Looks at the next few leads. `false`: the search is over, and what it did not find again is dropped.
    pub async fn step(&mut self, store: &dyn Store) -> StoreResult<bool> {
        let piece = store.people_after(self.same, &self.place, STEP).await?;
        let Some(last) = piece.people.last() else {
            if self.same == Same::NameAndDomain {
                return store.drop_suspects(self.began).await;
            }
            (self.same, self.place) = (Same::NameAndDomain, PersonPlace::default());
            self.first.clear();
            return Ok(true);
        };
        self.place = last.place.clone();
        self.looked_at += piece.looked_at;
        let people: Vec<(Group, PersonRow)> =
            piece.people.into_iter().filter_map(|person| Some((self.group(&person)?, person))).collect();
        let ending = self.place.key.to_lowercase();
        let members = worth_a_look(&people, &ending, &self.first);
        for some in members.chunks(SOME) {
            let leads: Vec<_> = some.iter().map(|(_, person)| person.lead()).collect();
            let groups: HashMap<_, _> = leads.iter().zip(some).map(|(lead, (group, _))| (lead, group)).collect();
            let mut suspects = Vec::new();
            for linked in store.linked_people(&leads).await? {
                if let Some(group) = groups.get(&linked.lead) {
                    suspects.extend(self.compare((*group).clone(), linked));
                }
            }
            for suspects in suspects.chunks(SOME) {
                self.suspected += store.suspect(suspects).await?;
            }
        }
        self.first.retain(|((key, _), _), _| *key == ending);
        Ok(true)
    }

    /// `None`: an address that is none, or a name without a company's address.
    fn group(&self, person: &PersonRow) -> Option<Group> {
        let key = person.place.key.to_lowercase();
        if key.is_empty() {
            return None;
        }
        match self.same {
            Same::Email => Some((key, None)),
            Same::NameAndDomain => Some((key, Some(company_domain(person.email.as_deref(), None)?))),
        }
    }

    /// Whether it is another record than the first of its group.
    fn compare(&mut self, group: Group, linked: LinkedPerson) -> Option<Suspect> {
        let first = self.first.entry((group, linked.destination.clone())).or_insert_with(|| linked.clone());
        (first.record.id != linked.record.id).then(|| Suspect {
            destination: linked.destination,
            lead: linked.lead,
            other: first.lead.clone(),
            same: self.same,
            found_at: self.began,
        })
    }
}

/// Those of a group with others, or whose group may go on before or behind the piece.
fn worth_a_look<'p>(
    people: &'p [(Group, PersonRow)],
    ending: &str,
    first: &HashMap<(Group, DestinationName), LinkedPerson>,
) -> Vec<&'p (Group, PersonRow)> {
    let mut sizes: HashMap<&Group, usize> = HashMap::new();
    for (group, _) in people {
        *sizes.entry(group).or_default() += 1;
    }
    let begun: HashSet<&Group> = first.keys().map(|(group, _)| group).collect();
    let is_worth = |group: &Group| sizes[group] > 1 || group.0 == ending || begun.contains(group);
    people.iter().filter(|(group, _)| is_worth(group)).collect()
}
