//! The pages for users: what they link to is there.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// The README and everything in `docs/`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    [root.join("README.md")].into_iter().chain(docs).collect()
}

/// The text without its code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    text.split("```").step_by(2).collect()
}

/// The names by which the headings of a page are linked to, as GitHub makes them.
fn anchors(page: &Path) -> HashSet<String> {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    prose(page)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|title| title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect())
        .collect()
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let (mut broken, mut followed) = (Vec::new(), 0);
    for page in pages() {
        for found in link.captures_iter(&prose(&page)) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let is_there = file.exists() && (anchor.is_empty() || anchors(&file).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {target}", page.display()));
            }
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were found");
    assert!(broken.is_empty(), "nothing is there:\n{}", broken.join("\n"));
}

#[test]
fn the_page_of_lead_systems_tells_of_every_preset() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lead-systems.md");
    let text = fs::read_to_string(page).unwrap();
    let untold: Vec<&str> =
        leadrelay::source::NAMES.into_iter().filter(|name| !text.contains(&format!("\n| `{name}` |"))).collect();
    assert!(untold.is_empty(), "no row tells of {untold:?}");
}
