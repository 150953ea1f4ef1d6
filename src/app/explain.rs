//! What an error code means and what to do about it: the adapter's words, and ours for what the queue itself finds.

use crate::config::DestinationKind;
use crate::crm::salesforce;
use crate::http::admin::state::Explanation;

/// Codes that no CRM gives: the queue's, the planner's and the store's.
const OWN: &[(&str, Explanation)] = &[
    (
        "delete_flag",
        Explanation {
            meaning: "The lead was deleted in the lead system, and the field that is to say so cannot.",
            remedy: "Name a checkbox, date, date and time or text field that we may write in records.delete_flag, and reload.",
        },
    ),
    (
        "filter_error",
        Explanation {
            meaning: "The destination's filter has no answer for this lead: it meets a value that it cannot compare or compute with.",
            remedy: "Write the filter so that it holds for such leads too, as in score != null && score >= 20; a held lead is \
                     looked at daily, and at once by an event or `sync`.",
        },
    ),
    (
        "filtered",
        Explanation {
            meaning: "The destination's filter does not hold for the lead, so it is left alone.",
            remedy: "Nothing: it is synced as soon as the filter holds for it. What was synced before stays in the CRM.",
        },
    ),
    (
        "inactive_owner",
        Explanation {
            meaning: "The lead's owner is an inactive user of the CRM, so the record keeps the owner that it has; the log's row says who.",
            remedy: "Activate the user, or give the lead another owner; then sync the lead.",
        },
    ),
    (
        "several_owners",
        Explanation {
            meaning: "Several active users of the CRM have the address of the lead's owner, so the record keeps the owner that it \
                      has; the log's row says the address.",
            remedy: "Give each user an address of its own; then sync the lead.",
        },
    ),
    (
        "unknown_source",
        Explanation {
            meaning: "The lead's source is not in the configuration, or has another name there, so its events cannot be read.",
            remedy: "Write its section [sources.NAME] again, and reload. The leads are then synced; those that are not \
                     wanted any more can be excluded.",
        },
    ),
    (
        "unknown_owner",
        Explanation {
            meaning: "No user of the CRM has the address of the lead's owner, so the record keeps the owner that it has; the \
                      log's row says the address.",
            remedy: "Give the user this address in the CRM, or the lead another owner; then sync the lead.",
        },
    ),
    (
        "internal_error",
        Explanation {
            meaning: "Something failed inside leadrelay while it handled this lead; the others went on.",
            remedy: "Report it with the log's line about it; a lead that is held is tried daily, and after an upgrade by `sync`.",
        },
    ),
    (
        "invalid_value",
        Explanation {
            meaning: "A row with on_invalid = \"hold\" has a value that its CRM field cannot take.",
            remedy: "Correct the value in the lead system, or change the row; the next event tries again.",
        },
    ),
    (
        "key_field_missing",
        Explanation {
            meaning: "The CRM field by which records are recognised is missing, or hidden from the integration user.",
            remedy: "Create the field again, or make it visible for the integration user; `leadrelay check` tells which. It is \
                     looked for every minute, and at once when the destination is resumed.",
        },
    ),
    (
        "lead_deleted",
        Explanation {
            meaning: "The lead was deleted in the lead system, so nothing is written for it.",
            remedy: "Nothing; records.on_delete says what becomes of its record.",
        },
    ),
    (
        "lead_excluded",
        Explanation {
            meaning: "A person excluded the lead from syncing.",
            remedy: "Nothing; `include` takes it in again.",
        },
    ),
    (
        "lease_too_short",
        Explanation {
            meaning: "Preparing a batch took nearly as long as its lease, so nothing was sent.",
            remedy: "Nothing if it passes by itself. Else look at the load of this machine, or raise retry.lease.",
        },
    ),
    (
        "match_conflict",
        Explanation {
            meaning: "Several records may be this person, or the one found contradicts the lead.",
            remedy: "Answer the lead's open conflict: a person decides which record it is.",
        },
    ),
    (
        "not_recorded",
        Explanation {
            meaning: "What was done for the lead could not be stored; it is looked up and planned again.",
            remedy: "Nothing if it passes by itself. Else look at the disk and the log's lines about the store.",
        },
    ),
    (
        "opportunity_gone",
        Explanation {
            meaning: "The opportunity that a sales rep made of the lead's record is no longer there, or our user may not see it, so the rows for it are not written.",
            remedy: "Nothing; if it is restored, what is blank is filled when the lead says something new of it.",
        },
    ),
    (
        "other_object",
        Explanation {
            meaning: "The lead is, or a person said that it is, a record of a kind that the mapping has no rows for.",
            remedy: "Nothing, to leave the record to the people who keep it. Else add rows for records of this kind and sync the \
                     lead, or unlink it.",
        },
    ),
    (
        "poison",
        Explanation {
            meaning: "leadrelay died each time it wrote this lead, at last with no other beside it.",
            remedy: "Report it with the lead's event and the log; after an upgrade, retry the dead letter.",
        },
    ),
    (
        "process_died",
        Explanation {
            meaning: "The process ended between a write and its answer; the write may have been carried out.",
            remedy: "Nothing: the next attempt looks first. If it goes on, find out what ends the process.",
        },
    ),
    (
        "record_converted",
        Explanation {
            meaning: "The record became another one in the CRM, of a kind that the mapping has no rows for.",
            remedy: "Add rows with on = [\"Contact\"], and sync the lead; else change what it became by hand. The lead stays held.",
        },
    ),
    (
        "record_gone",
        Explanation {
            meaning: "The lead's record was deleted in the CRM.",
            remedy: "Restore the record in the CRM and sync the lead; or link it by hand to another one, unlink it so that it is \
                     looked for again, or exclude it. records.on_crm_delete says what happens by itself.",
        },
    ),
    (
        "record_moved",
        Explanation {
            meaning: "The lead's record became another one in the CRM: it was converted or merged. The lead goes on as that one.",
            remedy: "Nothing.",
        },
    ),
    (
        "company_conflict",
        Explanation {
            meaning: "Several companies in the CRM may be the lead's; its record is written without one meanwhile.",
            remedy: "Answer the lead's open conflict: a person decides which company it is.",
        },
    ),
    (
        "shared_record",
        Explanation {
            meaning: "The lead's record belongs to another lead, and only its blanks are filled; or it may be another person's, and nothing is written.",
            remedy: "Answer the lead's open conflict: a person decides whether the two are one.",
        },
    ),
    (
        "unmapped_attribute",
        Explanation {
            meaning: "The lead has custom attributes that no row of the mapping takes, and records.unmapped is \"error\".",
            remedy: "Give each a row (direction = \"none\" documents it without syncing it), or set records.unmapped to \"drop\" or \
                     \"note\"; then retry the held leads.",
        },
    ),
    (
        "value_error",
        Explanation {
            meaning: "The `value` of a mapping row cannot be computed for this lead; the log's row says which and why.",
            remedy: "Write it so that it has a value for such leads too, as in \
                     [first_name, last_name].filter(n, n != null).join(\" \"), or correct the lead; the next event tries again.",
        },
    ),
];

const UNCONFIGURED: Explanation = Explanation {
    meaning: "The destination is not in the configuration any more.",
    remedy: "Nothing, unless it was taken out by mistake: then put it back.",
};

/// Explains a code that stands in the sync log of a destination; `None`: one that is not configured (any more).
pub(super) fn explain(kind: Option<&DestinationKind>, code: &str) -> Explanation {
    if let Some((_, own)) = OWN.iter().find(|(name, _)| *name == code) {
        return *own;
    }
    match kind {
        Some(DestinationKind::Salesforce(_)) => {
            let salesforce::Remedy { means, todo } = salesforce::remedy(code);
            Explanation { meaning: means, remedy: todo }
        }
        None => UNCONFIGURED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_the_queue_is_explained_whatever_became_of_its_destination() {
        for (code, explanation) in OWN {
            assert_eq!(explain(None, code), *explanation, "{code}");
        }
        assert_eq!(explain(None, "INVALID_FIELD"), UNCONFIGURED);
    }
}
