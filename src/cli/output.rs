//! Results on stdout.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Writes a result to stdout, with a line break at its end. A reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let ending = if text.ends_with('\n') { "" } else { "\n" };
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(ending.as_bytes())).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write the result"),
    }
}

/// Says on stderr what is no result. Whoever does not read it has the result on stdout.
pub(super) fn note(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A result for machines.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).context("cannot write the result as JSON")?)
}

/// How wide a table is at most where no terminal says how wide it is.
const WIDTH: u16 = 100;

/// A table that wraps to the terminal's width, or to an ordinary one's where there is none.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    // A terminal may say that it has no columns at all.
    table.set_width(table.width().filter(|width| *width > 0).unwrap_or(WIDTH));
    table.set_header(head);
    for row in rows {
        table.add_row(row.map(|cell| visible(&cell)));
    }
    table.to_string()
}

/// What a sender or a CRM wrote, so that it cannot steer a terminal.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(' '),
            // Besides control characters: what turns the direction of text around.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => _ = write!(shown, "{}", character.escape_unicode()),
            _ if character.is_control() => _ = write!(shown, "{}", character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_an_ordinary_terminal() {
        let long = "a finding that says at length what is wrong, where it is, and why that matters ".repeat(4);
        let shown =
            table(["", "subject", "finding", "what to do"], [["error", "Lead.Email", &long, &long].map(str::to_owned)]);
        // Wherever the test runs, so wide as the terminal there.
        let most = Table::new().width().unwrap_or(WIDTH).into();
        assert!(shown.lines().all(|line| line.chars().count() <= most), "{shown}");
        assert!(shown.contains("Lead.Email"), "{shown}");
    }

    #[test]
    fn a_senders_text_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\u{202e}d – é"), "a\\u{1b}[2Jb c\\u{202e}d – é");
    }
}
