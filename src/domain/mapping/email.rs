//! E-mail addresses: one, plain, in ASCII, as CRMs take them.

use std::borrow::Cow;

use email_address::{EmailAddress, Options};
use percent_encoding::percent_decode_str;

use crate::domain::record::FieldSchema;

use super::convert::{Invalid, Outcome};
use super::text;

/// Reads one address; `mailto:` and a display name are taken off, a non-ASCII domain is written in punycode, case is kept.
pub(super) fn convert(sent: &str, field: Option<&FieldSchema>) -> Outcome {
    let address = read(sent)?;
    text::fits(&address, field)?;
    Ok(text::whole(address))
}

/// The address in a text as a CRM takes it.
pub(in crate::domain) fn read(sent: &str) -> Result<String, Invalid> {
    let bare = bare_address(sent.trim())?;
    let (local, domain) =
        bare.rsplit_once('@').ok_or_else(|| invalid("holds no @; an address such as name@company.com is needed"))?;
    if local.starts_with('"') {
        return Err(invalid("has a quoted local part, which CRMs refuse; give another address"));
    }
    if bare.matches('@').count() > 1 || bare.contains([',', ';']) {
        return Err(Invalid::new("several_emails", "holds more than one address; keep one in the lead's field"));
    }
    if !local.is_ascii() {
        return Err(invalid("has letters outside ASCII before the @, which CRMs refuse; give another address"));
    }
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| invalid("has a domain that is no domain name"))?
    };
    let labels_hold = domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    });
    let top = domain.rsplit('.').next().unwrap_or_default();
    let top_holds = top.len() > 1 && !top.bytes().all(|byte| byte.is_ascii_digit());
    if !domain.contains('.') || !labels_hold || !top_holds {
        return Err(invalid("has a domain that cannot receive mail; one with a dot such as company.com is needed"));
    }
    let address = format!("{local}@{domain}");
    let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
    if address.len() > 254 || EmailAddress::parse_with_options(&address, options).is_err() {
        return Err(invalid("is no valid address; one such as name@company.com is needed"));
    }
    Ok(address)
}

/// The address as it was spelled, without what a mail program puts around it; a text that is no address as it is.
pub(in crate::domain) fn bare(text: &str) -> String {
    read(text).and_then(|_| bare_address(text.trim())).unwrap_or_else(|_| text.to_owned())
}

/// Without `mailto:`, its query and its escapes, without a display name.
fn bare_address(sent: &str) -> Result<String, Invalid> {
    let link = sent.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).and_then(|_| sent.get(7..));
    let sent = match link {
        None => Cow::Borrowed(sent),
        Some(link) => percent_decode_str(link.split('?').next().unwrap_or(link))
            .decode_utf8()
            .map_err(|_| invalid("is a link whose escapes are no text"))?,
    };
    match sent.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((display, _)) if display.contains('@') => {
            Err(Invalid::new("several_emails", "holds more than one address; keep one in the lead's field"))
        }
        Some((_, inner)) => Ok(inner.trim().to_owned()),
        None => Ok(sent.trim().to_owned()),
    }
}

fn invalid(message: &str) -> Invalid {
    Invalid::new("invalid_email", message)
}
