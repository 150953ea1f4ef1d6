//! How settings are written as text: durations, sizes, shares, addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::reader::{Item, Wrong, alternatives, nearest};
use crate::domain::cel::Expression;

/// A share such as `2%`, exact to a hundredth of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Percent {
    hundredths: u32,
}

impl Percent {
    /// So many whole percent.
    pub const fn new(percent: u32) -> Self {
        Self { hundredths: percent.saturating_mul(100) }
    }

    /// In whole percent, rounded down.
    pub const fn whole(self) -> u32 {
        self.hundredths / 100
    }

    /// The share as a fraction: 0.02 for `2%`.
    pub fn as_fraction(self) -> f64 {
        f64::from(self.hundredths) / 10_000.0
    }

    /// This share of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        u64::try_from(u128::from(whole) * u128::from(self.hundredths) / 10_000).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hundredths / 100, self.hundredths % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// Reads a length of time: `5s`, `30m`, `0ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
    let (number, unit) = number_and_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?)).filter(|length| *length <= LONGEST)
}

/// A length of time.
pub(super) fn duration(item: &Item<'_>) -> Result<Duration, Wrong> {
    parse_duration(&item.text()?).ok_or_else(|| {
        Wrong::new(
            format!("{} is no length of time", item.shown()),
            "write a whole number and ms, s, m, h or d, such as \"30s\"",
        )
    })
}

/// A CEL expression over a lead.
pub(super) fn expression(item: &Item<'_>) -> Result<Expression, Wrong> {
    Expression::parse(&item.text()?).map_err(|mistake| Wrong::new(mistake.to_string(), mistake.remedy))
}

/// A length of time that is not nothing.
pub(super) fn positive_duration(item: &Item<'_>) -> Result<Duration, Wrong> {
    match duration(item)? {
        Duration::ZERO => Err(Wrong::new("must be longer than nothing", "write a length such as \"30s\"")),
        length => Ok(length),
    }
}

/// A number of bytes: `1MiB`, `64KiB`.
pub(super) fn size(item: &Item<'_>) -> Result<usize, Wrong> {
    const LARGEST: u64 = 64 * 1024 * 1024;
    let text = item.text()?;
    let bytes = number_and_unit(&text).and_then(|(number, unit)| {
        let factor = match unit {
            "B" => 1,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            _ => return None,
        };
        number.checked_mul(factor)
    });
    match bytes {
        Some(bytes @ 1..=LARGEST) => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
        Some(_) => Err(Wrong::new(format!("{} is out of bounds", item.shown()), "write a size from 1B to 64MiB")),
        None => Err(Wrong::new(
            format!("{} is no size", item.shown()),
            "write a whole number and B, KiB or MiB, such as \"1MiB\"",
        )),
    }
}

/// A share from `0%` to `100%`.
pub(super) fn percent(item: &Item<'_>) -> Result<Percent, Wrong> {
    let wrong =
        || Wrong::new(format!("{} is no share", item.shown()), "write a number from 0 to 100 and %, such as \"2%\"");
    let text = item.text()?;
    let number = text.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 {
        return Err(wrong());
    }
    let hundredths = format!("{whole}{part:0<2}").parse::<u32>().map_err(|_| wrong())?;
    Some(Percent { hundredths }).filter(|share| share.hundredths <= 10_000).ok_or_else(wrong)
}

/// A number and the unit behind it, without anything between.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    Some((number.parse().ok()?, unit))
}

/// Text that is not blank.
pub(super) fn filled_text(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    if text.trim().is_empty() {
        return Err(Wrong::new("must not be empty", "write a value, or leave the key out"));
    }
    Ok(text)
}

/// One of a few words, by what it stands for.
pub(super) fn one_of<T: Copy>(choices: &'static [(&'static str, T)]) -> impl Fn(&Item<'_>) -> Result<T, Wrong> {
    one_built_of(choices, &[])
}

/// One of a few words; those of `later` are known but not built yet.
pub(super) fn one_built_of<T: Copy>(
    choices: &'static [(&'static str, T)],
    later: &'static [&'static str],
) -> impl Fn(&Item<'_>) -> Result<T, Wrong> {
    move |item| {
        let text = item.text()?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        if later.contains(&text.as_str()) {
            return Err(Wrong::new(
                format!("{} is not built yet", item.shown()),
                format!("write {}", alternatives(&words)),
            ));
        }
        let remedy = match nearest(&text, &words) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("write {}", alternatives(&words)),
        };
        Err(Wrong::new(format!("{} is not known here", item.shown()), remedy))
    }
}

/// An address to listen on.
pub(super) fn socket_addr(item: &Item<'_>) -> Result<SocketAddr, Wrong> {
    item.text()?.parse().map_err(|_| {
        Wrong::new(
            format!("{} is no address to listen on", item.shown()),
            "write an IP address and a port, such as \"127.0.0.1:8080\"",
        )
    })
}

/// A network, or a single address as the network of itself.
pub(super) fn network(item: &Item<'_>) -> Result<IpNet, Wrong> {
    let text = item.text()?;
    text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        Wrong::new(format!("{} is no network", item.shown()), "write an address or a network such as \"10.0.0.0/8\"")
    })
}

/// A web address without a query. Its text is never shown: it may hold a password.
pub(super) fn web_address(item: &Item<'_>) -> Result<Url, Wrong> {
    let wrong = |problem: &str| Wrong::new(problem, "write an address such as \"https://example.com\"");
    let url = Url::parse(&item.text()?).map_err(|error| wrong(&format!("is no web address ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must have neither `?` nor `#`"));
    }
    Ok(url)
}

/// The address of a remote system: https, or http where the traffic stays on this machine.
pub(super) fn remote_address(item: &Item<'_>) -> Result<Url, Wrong> {
    let url = web_address(item)?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Wrong::new(
            "plain http:// would send credentials and leads in the clear",
            "write https://; http:// is for loopback addresses only",
        ));
    }
    Ok(url)
}

/// Whether the address is this machine, whatever a name server says.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The API name of a CRM object or field. It is put into queries, so nothing else may pass.
pub(super) fn api_name(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && text.len() <= 80 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Ok(text);
    }
    Err(Wrong::new(
        format!("{} is no API name", item.shown()),
        "write the name that the CRM's setup shows, such as \"Email\" or \"Lead_Score__c\"",
    ))
}

/// A place inside JSON.
pub(super) fn json_pointer(item: &Item<'_>) -> Result<String, Wrong> {
    let text = item.text()?;
    let escapes_are_known = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if escapes_are_known && (text.is_empty() || text.starts_with('/')) {
        return Ok(text);
    }
    Err(Wrong::new(
        format!("{} is no JSON pointer", item.shown()),
        "write \"/a/b\", with ~1 for / and ~0 for ~ in a name",
    ))
}
