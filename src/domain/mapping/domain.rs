//! Domains that stand for a company.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::{email, link};

/// Providers whose addresses say nothing of a company, one a line.
const FREE_MAIL: &str = include_str!("free_mail.txt");

static FREE_MAIL_DOMAINS: LazyLock<HashSet<String>> =
    LazyLock::new(|| FREE_MAIL.lines().map(str::to_ascii_lowercase).collect());

/// Sites where companies have a page but not their name.
const PLATFORMS: &[&str] = &[
    "facebook.com",
    "instagram.com",
    "linkedin.com",
    "twitter.com",
    "x.com",
    "youtube.com",
    "tiktok.com",
    "pinterest.com",
    "google.com",
    "goo.gl",
    "bit.ly",
    "linktr.ee",
    "xing.com",
    "yelp.com",
    "tripadvisor.com",
    "wa.me",
    "t.me",
];

/// Mailboxes of a function, not of a person.
const ROLES: &[&str] = &[
    "abuse",
    "accounting",
    "accounts",
    "admin",
    "administrator",
    "anfrage",
    "ask",
    "billing",
    "bonjour",
    "buchhaltung",
    "careers",
    "commercial",
    "contact",
    "contacto",
    "contato",
    "contatti",
    "customerservice",
    "enquiries",
    "enquiry",
    "finance",
    "hallo",
    "hello",
    "help",
    "helpdesk",
    "hi",
    "hola",
    "hostmaster",
    "hr",
    "info",
    "information",
    "inquiries",
    "inquiry",
    "invoice",
    "invoices",
    "jobs",
    "kontakt",
    "mail",
    "marketing",
    "media",
    "news",
    "newsletter",
    "no-reply",
    "noreply",
    "office",
    "orders",
    "post",
    "postmaster",
    "presse",
    "press",
    "privacy",
    "rechnung",
    "reception",
    "sales",
    "security",
    "service",
    "shop",
    "support",
    "team",
    "vendas",
    "ventas",
    "verkauf",
    "vertrieb",
    "webmaster",
    "welcome",
];

/// The registrable domain of the lead's company: of its e-mail address, unless that is free mail or a role; else of its website.
pub fn company_domain(email: Option<&str>, website: Option<&str>) -> Option<String> {
    let of_email = email
        .and_then(|sent| email::read(sent).ok())
        .filter(|address| !is_role_address(address))
        .and_then(|address| registrable(address.rsplit_once('@')?.1))
        .filter(|domain| !is_free_mail(domain));
    of_email.or_else(|| company_domain_of_site(website?))
}

/// The registrable domain of a company's website; none for a page on somebody else's site.
pub fn company_domain_of_site(website: &str) -> Option<String> {
    let (_, url) = link::read(website).ok()?;
    registrable(url.host_str()?).filter(|domain| !is_free_mail(domain) && !PLATFORMS.contains(&domain.as_str()))
}

/// The registrable domain in an e-mail address or a web address, in lower case and punycode.
pub fn of_text(text: &str) -> Option<String> {
    if let Ok(address) = email::read(text) {
        return registrable(address.rsplit_once('@')?.1);
    }
    let (_, url) = link::read(text).ok()?;
    registrable(url.host_str()?)
}

/// The part of a host name that somebody registered, by the public suffix list; a suffix nobody knows counts as one label.
pub fn registrable(host: &str) -> Option<String> {
    let host = idna::domain_to_ascii(host.trim_end_matches('.')).ok()?;
    if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
        return None;
    }
    psl::domain_str(&host).map(str::to_owned)
}

/// Whether anybody can have an address at this domain.
pub fn is_free_mail(domain: &str) -> bool {
    FREE_MAIL_DOMAINS.contains(&domain.to_ascii_lowercase())
}

/// Whether an address belongs to a function, such as `info@`.
pub fn is_role_address(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    ROLES.iter().any(|role| role.eq_ignore_ascii_case(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_company_is_known_by_its_own_domain_only() {
        #[track_caller]
        fn check(email: Option<&str>, website: Option<&str>, expected: Option<&str>) {
            assert_eq!(company_domain(email, website).as_deref(), expected);
        }
        check(Some("pepe@shop.eu.acme.example"), None, Some("acme.example"));
        check(Some("A@ACME.EXAMPLE"), None, Some("acme.example"));
        check(Some("a@mail.acme.co.uk"), None, Some("acme.co.uk"));
        check(Some("anna@müller-söhne.example"), None, Some("xn--mller-shne-kcb9d.example"));
        check(Some("zz.fictional@gmail.com"), None, None);
        check(Some("zz.fictional@googlemail.com"), Some("acme.example"), Some("acme.example"));
        check(Some("hello@acme.example"), None, None);
        check(None, Some("HTTP://WWW.ACME.EXAMPLE:80/"), Some("acme.example"));
        check(None, Some("https://www.acme.example/en?utm_source=x#top"), Some("acme.example"));
        check(None, Some("https://www.facebook.com/acme"), None);
        check(None, Some("https://192.0.2.1/"), None);
        check(None, Some("https://co.uk"), None);
        check(Some("not-an-email"), None, None);
    }
}
