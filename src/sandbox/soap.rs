//! The SOAP endpoint, for what REST has no resource for: login by password, conversion, merge.

use std::fmt::Write as _;
use std::sync::Arc;

use super::convert::Conversion;
use super::duplicates::OnDuplicates;
use super::error::{Refusal, Refusals};
use super::ids;
use super::table::By;
use super::value::now;
use super::wire::{Answer, Content};
use super::world::World;
use super::write::Writer;
use super::xml::{self, Element, escape};

/// Leads in one conversion, requests in one merge.
const MOST_LEADS: usize = 100;
const MOST_MERGES: usize = 200;

/// A call that was read: what is asked, and by which session.
#[derive(Debug)]
pub(super) struct SoapCall {
    operation: Element,
    session: Option<String>,
}

impl SoapCall {
    /// Reads the envelope.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = || Refusal::new(500, "UNKNOWN_EXCEPTION", "Envelope namespace or content is not understood");
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        let envelope = xml::parse(text).filter(|root| root.name == "Envelope").ok_or_else(malformed)?;
        let operation = envelope.child("Body").and_then(|body| body.children.first()).cloned().ok_or_else(malformed)?;
        let session = envelope.child("Header").and_then(|header| header.child("SessionHeader"));
        Ok(Self { operation, session: session.and_then(|header| header.text_of("sessionId")) })
    }

    /// Logging in is no call that counts.
    pub fn is_login(&self) -> bool {
        self.operation.name == "login"
    }

    /// Whether records are created, changed or deleted.
    pub fn asks_to_write(&self) -> bool {
        matches!(self.operation.name.as_str(), "convertLead" | "merge")
    }

    /// What it is counted under.
    pub fn endpoint(&self) -> &'static str {
        match self.operation.name.as_str() {
            "convertLead" => "soap/convertLead",
            "merge" => "soap/merge",
            _ => "soap/other",
        }
    }

    /// Hands out a session for any name and any password but the wrong one.
    pub fn login(&self, world: &mut World, path: &str, url: &str) -> Answer {
        world.usage.tokens += 1;
        if let Some(refusal) = world.faults.login() {
            return fault(&refusal);
        }
        let known = |name: &str| self.operation.text_of(name).filter(|text| text != "wrong");
        if known("username").is_none() || known("password").is_none() {
            let message = "Invalid username, password, security token; or user locked out.";
            return fault(&Refusal::new(500, "INVALID_LOGIN", message));
        }
        let token = world.sessions.issue();
        let (organisation, user) = (ids::make("00D", 0), ids::user(ids::API_USER));
        let name = self.operation.text_of("username").unwrap_or_default();
        let server = format!("{url}{path}/{}", ids::short(&organisation));
        envelope(&format!(
            "<loginResponse><result><metadataServerUrl>{}</metadataServerUrl><passwordExpired>false</passwordExpired><sandbox>true</sandbox>\
             <serverUrl>{server}</serverUrl><sessionId>{token}</sessionId><userId>{user}</userId>\
             <userInfo><organizationId>{organisation}</organizationId><organizationName>Sandbox</organizationName>\
             <sessionSecondsValid>7200</sessionSecondsValid><userId>{user}</userId><userName>{}</userName></userInfo></result></loginResponse>",
            server.replace("/Soap/u/", "/Soap/m/"),
            escape(&name),
        ))
    }

    /// The session that it names; tokens in the form of a JWT open REST only.
    pub fn session(&self) -> Result<String, Refusal> {
        let is_jwt = |token: &str| token.starts_with("ey") && token.split('.').count() == 3;
        self.session.clone().filter(|token| !is_jwt(token)).ok_or_else(Refusal::session)
    }

    /// Executes an operation of a session that is good.
    pub fn execute(self, world: &mut World, request: Arc<str>, target: &str) -> Answer {
        let writer = Writer {
            by: By::Api,
            at: now(),
            request: Some(request),
            method: "POST".to_owned(),
            target: target.to_owned(),
            assign: false,
            duplicates: OnDuplicates::default(),
        };
        match self.operation.name.as_str() {
            "convertLead" => convert(world, &self.operation, &writer),
            "merge" => merge(world, &self.operation, &writer),
            other => {
                let message = format!("No operation available for request {other}");
                fault(&Refusal::new(500, "INVALID_OPERATION", message))
            }
        }
    }
}

/// Turns an answer of the other kind into one that a SOAP client understands.
pub(super) fn translate(answer: Answer) -> Answer {
    let first = match &answer.content {
        Content::Json(body) => body.get(0).cloned(),
        _ => None,
    };
    let Some(error) = first else { return answer };
    let text = |name: &str| error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let mut translated = fault(&Refusal { code: text("errorCode").into(), ..Refusal::new(500, "", text("message")) });
    translated.headers = answer.headers;
    translated
}

/// What is wrong with the call as a whole.
pub(super) fn fault(refusal: &Refusal) -> Answer {
    let (code, message) = (escape(&refusal.code), escape(&refusal.message));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:sf=\"urn:fault.partner.soap.sforce.com\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {message}</faultstring><detail>\
         <sf:UnexpectedErrorFault xsi:type=\"sf:UnexpectedErrorFault\"><sf:exceptionCode>{code}</sf:exceptionCode>\
         <sf:exceptionMessage>{message}</sf:exceptionMessage></sf:UnexpectedErrorFault></detail></soapenv:Fault>\
         </soapenv:Body></soapenv:Envelope>"
    );
    Answer { status: 500, content: Content::Xml(body), headers: Vec::new() }
}

fn envelope(body: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns=\"urn:partner.soap.sforce.com\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}\
         </soapenv:Body></soapenv:Envelope>"
    );
    Answer { status: 200, content: Content::Xml(text), headers: Vec::new() }
}

fn convert(world: &mut World, operation: &Element, writer: &Writer) -> Answer {
    let wanted: Vec<&Element> = operation.children.iter().filter(|child| child.name == "leadConverts").collect();
    if wanted.len() > MOST_LEADS {
        let message = format!("convertLead takes at most {MOST_LEADS} leads");
        return fault(&Refusal::new(500, "EXCEEDED_LEAD_CONVERT_LIMIT", message));
    }
    let mut results = String::new();
    for asked in wanted {
        if let Some(name) = out_of_order(asked) {
            let message =
                format!("Element {{urn:partner.soap.sforce.com}}{name} invalid at this location in type LeadConvert");
            return fault(&Refusal::new(500, "UNKNOWN_EXCEPTION", message));
        }
        let flag = |name: &str| asked.text_of(name).as_deref() == Some("true");
        for name in
            ["convertedStatus", "doNotCreateOpportunity", "leadId", "overwriteLeadSource", "sendNotificationEmail"]
        {
            if asked.text_of(name).is_none() {
                let message = format!("Required element {name} is missing or empty in leadConverts");
                return fault(&Refusal::new(500, "MISSING_ARGUMENT", message));
            }
        }
        let conversion = Conversion {
            lead: asked.text_of("leadId").unwrap_or_default(),
            account: asked.text_of("accountId"),
            contact: asked.text_of("contactId"),
            opportunity: asked.text_of("opportunityId"),
            opportunity_name: asked.text_of("opportunityName"),
            without_opportunity: flag("doNotCreateOpportunity"),
            status: asked.text_of("convertedStatus"),
            owner: asked.text_of("ownerId"),
            overwrite_lead_source: flag("overwriteLeadSource"),
        };
        results.push_str("<result>");
        match world.convert(&conversion, writer) {
            Ok(made) => {
                element(&mut results, "accountId", Some(&made.account));
                element(&mut results, "contactId", Some(&made.contact));
                element(&mut results, "leadId", Some(&conversion.lead));
                element(&mut results, "opportunityId", made.opportunity.as_deref());
                element(&mut results, "success", Some("true"));
            }
            Err(refusals) => {
                element(&mut results, "accountId", None);
                element(&mut results, "contactId", None);
                errors(&mut results, &refusals);
                element(&mut results, "leadId", Some(&conversion.lead));
                element(&mut results, "opportunityId", None);
                element(&mut results, "success", Some("false"));
            }
        }
        results.push_str("</result>");
    }
    envelope(&format!("<convertLeadResponse>{results}</convertLeadResponse>"))
}

/// The first element of a `LeadConvert` that its type does not know, or not there: it is a sequence.
fn out_of_order(asked: &Element) -> Option<&str> {
    const SEQUENCE: [&str; 15] = [
        "accountId",
        "accountRecord",
        "bypassAccountDedupeCheck",
        "bypassContactDedupeCheck",
        "contactId",
        "contactRecord",
        "convertedStatus",
        "doNotCreateOpportunity",
        "leadId",
        "opportunityId",
        "opportunityName",
        "opportunityRecord",
        "overwriteLeadSource",
        "ownerId",
        "sendNotificationEmail",
    ];
    let mut sequence = SEQUENCE.iter();
    asked.children.iter().map(|child| child.name.as_str()).find(|name| !sequence.any(|next| next == name))
}

fn merge(world: &mut World, operation: &Element, writer: &Writer) -> Answer {
    let wanted: Vec<&Element> = operation.children.iter().filter(|child| child.name == "request").collect();
    if wanted.len() > MOST_MERGES {
        let message = format!("merge takes at most {MOST_MERGES} requests");
        return fault(&Refusal::new(500, "LIMIT_EXCEEDED", message));
    }
    let mut results = String::new();
    for asked in wanted {
        let master = asked.child("masterRecord").and_then(|record| record.text_of("Id")).unwrap_or_default();
        let losers: Vec<String> = asked
            .children
            .iter()
            .filter(|child| child.name == "recordToMergeIds")
            .map(|child| child.text.trim().to_owned())
            .collect();
        results.push_str("<result>");
        match world.merge(&master, &losers, writer) {
            Ok(moved) => {
                element(&mut results, "id", Some(&master));
                losers.iter().for_each(|id| element(&mut results, "mergedRecordIds", Some(id)));
                element(&mut results, "success", Some("true"));
                moved.iter().for_each(|id| element(&mut results, "updatedRelatedIds", Some(id)));
            }
            Err(refusals) => {
                errors(&mut results, &refusals);
                element(&mut results, "id", None);
                element(&mut results, "success", Some("false"));
            }
        }
        results.push_str("</result>");
    }
    envelope(&format!("<mergeResponse>{results}</mergeResponse>"))
}

fn errors(results: &mut String, refusals: &Refusals) {
    for refusal in refusals {
        results.push_str("<errors>");
        refusal.fields.iter().flatten().for_each(|field| element(results, "fields", Some(field)));
        element(results, "message", Some(&refusal.message));
        element(results, "statusCode", Some(&refusal.code));
        results.push_str("</errors>");
    }
}

fn element(results: &mut String, name: &str, text: Option<&str>) {
    let written = match text {
        Some(text) => write!(results, "<{name}>{}</{name}>", escape(text)),
        None => write!(results, "<{name} xsi:nil=\"true\"/>"),
    };
    debug_assert!(written.is_ok(), "a string takes everything");
}
