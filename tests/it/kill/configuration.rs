//! The configuration of the service that is killed.

use sha2::{Digest, Sha256};

use super::service::{LEASE, SECRET, TOKEN};

pub fn configuration(store: &str, webhooks: u16, admin: u16, crm: &str) -> String {
    let sha256 = hex::encode(Sha256::digest(TOKEN));
    let rows: String = [
        ("name", "FirstName", "text", "lead_wins", "take = 'first_name'"),
        ("name", "LastName", "text", "lead_wins", "take = 'last_name'\ndefault = 'Unknown'"),
        ("email", "Email", "email", "lead_wins", ""),
        ("attributes.industry", "Industry_Detail__c", "text", "lead_wins", ""),
        ("attributes.company", "Company", "text", "crm_wins", "default = 'Unknown'"),
        ("description", "Description", "text", "lead_wins", ""),
        ("city", "City", "text", "lead_wins", ""),
        ("status", "Status", "picklist", "review", ""),
        ("source", "LeadSource", "picklist", "crm_wins", ""),
        ("score", "Lead_Score__c", "number", "lead_wins", ""),
    ]
    .map(|(lead, crm, kind, rule, more)| {
        format!(
            "[[destinations.salesforce.fields]]\nlead = '{lead}'\ncrm = '{crm}'\ntype = '{kind}'\nconflict = '{rule}'\n{more}\n"
        )
    })
    .concat();
    format!(
        r#"
[server]
listen = "127.0.0.1:{webhooks}"
[admin]
listen = "127.0.0.1:{admin}"
[[admin.tokens]]
name = "kill test"
role = "operator"
sha256 = "{sha256}"
[store]
url = "{store}"
allow_unsafe_server = true
[sources.klozeo]
preset = "klozeo"
secrets = ["{SECRET}"]
[destinations.salesforce]
kind = "salesforce"
login = {{ flow = "client_credentials", url = "{crm}", client_id = "a", client_secret = "b" }}
[destinations.salesforce.records]
external_id = "Lead_System_Id__c"
[destinations.salesforce.limits]
calls_per_day = 100000000
timeout = "1s"
[destinations.salesforce.retry]
first = "50ms"
longest = "500ms"
lease = "{lease}s"
{rows}"#,
        lease = LEASE.as_secs(),
    )
}
