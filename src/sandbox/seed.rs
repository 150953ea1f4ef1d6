//! What an org has before anybody works in it: users, a queue, the statuses of leads.

use serde_json::{Value as Json, json};

use super::ids;
use super::schema::standard::{CONVERTED_STATUS, LEAD_STATUSES};
use super::value::now;
use super::world::World;
use super::write::Writer;

impl World {
    /// Fills the setup objects of an org that was just made.
    pub fn seed(&mut self) {
        let user = |first: &str, last: &str, active: bool| {
            let mail = format!("{}.{}@sandbox.example", first.to_lowercase(), last.to_lowercase());
            json!({
                "Username": mail, "Email": mail, "FirstName": first, "LastName": last, "IsActive": active,
                "CompanyName": "Sandbox", "TimeZoneSidKey": "GMT",
            })
        };
        // Their numbers are those in `ids`.
        let users = [
            user("Integration", "User", true),
            user("Casey", "Clerk", true),
            user("Sam", "Sales", true),
            user("Ines", "Former", false),
        ];
        self.seed_all("User", users);
        self.seed_all("Group", [json!({ "Name": "Inbound Leads", "DeveloperName": "Inbound_Leads", "Type": "Queue" })]);
        let status = |(place, label): (usize, &&str)| {
            json!({
                "MasterLabel": label, "ApiName": label, "SortOrder": place + 1, "IsDefault": place == 0,
                "IsConverted": *label == CONVERTED_STATUS,
            })
        };
        let statuses: Vec<Json> = LEAD_STATUSES.iter().enumerate().map(status).collect();
        self.seed_all("LeadStatus", statuses);
        self.seed_permissions();
        self.seed_duplicate_rules();
        self.writes = 0;
    }

    /// The integration user has the set of its profile and one more; a third belongs to somebody else.
    fn seed_permissions(&mut self) {
        let set = |name: &str, label: &str, profile: bool| json!({ "Name": name, "Label": label, "IsOwnedByProfile": profile, "IsCustom": true });
        let sets = [
            set("X00ex000000018ozh_128_09_43_34_1", "00ex000000018ozh_128_09_43_34_1", true),
            set("Integration", "Integration", false),
            set("Sales", "Sales", false),
        ];
        self.seed_all("PermissionSet", sets);
        let Some(table) = self.table("PermissionSet") else { return };
        let ids: Vec<String> = self.tables[table].rows().iter().map(|row| row.id.to_string()).collect();
        let users = [ids::API_USER, ids::API_USER, ids::CRM_USER].map(ids::user);
        let given = ids.iter().zip(users).map(|(set, user)| json!({ "PermissionSetId": set, "AssigneeId": user }));
        self.seed_all("PermissionSetAssignment", given.collect::<Vec<_>>());
    }

    pub fn seed_all(&mut self, object: &str, records: impl IntoIterator<Item = Json>) {
        let Some(table) = self.table(object) else { return };
        for record in records {
            let fields = record.as_object().cloned().unwrap_or_default();
            let made = self.create(table, &fields, &Writer::person(now()));
            debug_assert!(made.is_ok(), "{object}: {made:?}");
        }
    }
}
