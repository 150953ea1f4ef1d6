//! What records became: a converted Lead its Contact, and an Opportunity beside it; a merged record the one that survived.

use std::collections::{BTreeMap, BTreeSet};

use super::Salesforce;
use super::find::{Found, Query, run_all};
use super::rows::{Reader, text};
use super::soql::{self, Key};
use super::wire::full_id;
use crate::crm::{CrmError, FindRequest};
use crate::domain::ids::{RecordId, RecordRef};

/// Reads what the records found became, and what became of linked ones that are not there, until nothing is open: no call
/// where there is nothing of that kind, and ordinarily two where there is.
pub(super) async fn follow(
    crm: &Salesforce,
    request: &FindRequest,
    readers: &[Reader<'_>],
    found: &mut Found,
) -> Result<(), CrmError> {
    let known = |keys: &crate::domain::matching::MatchKeys| keys.linked.clone().or_else(|| keys.chosen.clone());
    let asked: BTreeSet<RecordRef> = request.keys.iter().filter_map(known).map(full).collect();
    // By ID, and then by what became of them.
    let (mut read, mut buried) = (asked, BTreeSet::new());
    loop {
        let became = found.records.iter().filter_map(|record| record.became.clone()).map(full);
        let became = became.chain(found.opportunities.values().cloned());
        let open: BTreeSet<RecordRef> =
            became.chain(read.iter().cloned()).filter(|record| found.place(record).is_none()).collect();
        let to_read: BTreeSet<RecordRef> = open.iter().filter(|record| !read.contains(record)).cloned().collect();
        let missing = |record: &&RecordRef| read.contains(record) && !buried.contains(*record);
        let to_bury: BTreeSet<RecordRef> = open.iter().filter(missing).cloned().collect();
        if to_read.is_empty() && to_bury.is_empty() {
            return Ok(());
        }
        let mut queries = Vec::new();
        for (reader, ids) in by_object(readers, &to_read) {
            let keys: Vec<Key> = ids.into_iter().map(Key::Id).collect();
            queries
                .extend(soql::find_by_keys(&reader.target(), &keys).into_iter().map(|soql| Query::live(reader, soql)));
        }
        for (reader, ids) in by_object(readers, &to_bury).into_iter().filter(|(reader, _)| reader.has("MasterRecordId"))
        {
            let merged = soql::find_merged(reader.object, &ids).into_iter();
            queries.extend(merged.map(|soql| Query { reader, soql, all: true }));
        }
        for (query, (reader, rows)) in queries.iter().zip(run_all(crm, request, &queries).await?) {
            for row in &rows {
                match (query.all, text(row, "Id"), text(row, "MasterRecordId")) {
                    (false, ..) => found.add(reader, row),
                    (true, Some(id), Some(master)) => {
                        let of = |id: &str| RecordRef { object: reader.object.clone(), id: full_id(id) };
                        found.add_merged(of(id), of(master));
                    }
                    (true, ..) => {}
                }
            }
        }
        read.extend(to_read);
        buried.extend(to_bury);
    }
}

fn full(record: RecordRef) -> RecordRef {
    RecordRef { id: full_id(record.id.as_str()), ..record }
}

/// The IDs by the reader of their object; of an object that is not read nothing is asked.
fn by_object<'a>(readers: &'a [Reader<'a>], records: &BTreeSet<RecordRef>) -> Vec<(&'a Reader<'a>, Vec<RecordId>)> {
    let mut ids: BTreeMap<&str, Vec<RecordId>> = BTreeMap::new();
    for record in records {
        ids.entry(record.object.as_str()).or_default().push(record.id.clone());
    }
    readers.iter().filter_map(|reader| Some((reader, ids.remove(reader.object.as_str())?))).collect()
}
