//! The field mapping document on paper.

use anyhow::Result;
use serde::Serialize;

use crate::cli::output::{self, visible};
use crate::domain::ids::DestinationName;
use crate::domain::mapping::documented::DocumentedRow;

/// Every line of every destination, in the mapping's order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Document {
    items: Vec<Line>,
}

/// One line, named as in the admin API.
#[derive(Debug, Serialize)]
struct Line {
    destination: String,
    lead_field: String,
    lead_format: Option<String>,
    crm_field: Option<String>,
    crm_label: Option<String>,
    crm_format: Option<String>,
    objects: Vec<String>,
    direction: &'static str,
    rule: Option<&'static str>,
    note: Option<String>,
}

const HEAD: [&str; 9] =
    ["lead field", "lead format", "object", "CRM field", "CRM label", "CRM format", "direction", "rule", "note"];

impl Document {
    pub(super) fn add(&mut self, destination: &DestinationName, rows: Vec<DocumentedRow>) {
        self.items.extend(rows.into_iter().map(|row| Line {
            destination: destination.to_string(),
            lead_field: row.lead,
            lead_format: Some(row.lead_format).filter(|format| !format.is_empty()),
            crm_field: row.crm,
            crm_label: row.label,
            crm_format: row.crm_format,
            objects: row.object.into_iter().collect(),
            direction: row.direction,
            rule: row.conflict,
            note: row.note,
        }));
    }

    pub(super) fn table(&self) -> String {
        let tables = self.destinations().map(|(name, lines)| {
            format!("{}\n{}\n", visible(name), output::table(HEAD, lines.iter().map(Line::cells)))
        });
        tables.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["destination"].into_iter().chain(HEAD))?;
        for line in &self.items {
            writer.write_record([line.destination.clone()].into_iter().chain(line.cells()).map(harmless))?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for (name, lines) in self.destinations() {
            text.push_str(&format!(
                "## {}\n\n| {} |\n|{}\n",
                for_markdown(name),
                HEAD.join(" | "),
                " --- |".repeat(HEAD.len())
            ));
            for line in lines {
                text.push_str(&format!("| {} |\n", line.cells().map(|cell| for_markdown(&cell)).join(" | ")));
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn html(&self) -> String {
        let mut text = PAGE.to_owned();
        for (name, lines) in self.destinations() {
            text.push_str(&format!("<h2>{}</h2>\n<table>\n<thead><tr>", for_html(name)));
            text.extend(HEAD.map(|title| format!("<th scope=\"col\">{title}</th>")));
            text.push_str("</tr></thead>\n<tbody>\n");
            for line in lines {
                text.push_str("<tr>");
                text.extend(line.cells().map(|cell| format!("<td>{}</td>", for_html(&cell))));
                text.push_str("</tr>\n");
            }
            text.push_str("</tbody>\n</table>\n");
        }
        text.push_str("</body>\n</html>\n");
        text
    }

    fn destinations(&self) -> impl Iterator<Item = (&str, &[Line])> {
        let groups = self.items.chunk_by(|a, b| a.destination == b.destination);
        groups.filter_map(|lines| Some((lines.first()?.destination.as_str(), lines)))
    }
}

impl Line {
    fn cells(&self) -> [String; 9] {
        let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
        [
            self.lead_field.clone(),
            text(&self.lead_format),
            self.objects.join(", "),
            text(&self.crm_field),
            text(&self.crm_label),
            text(&self.crm_format),
            self.direction.to_owned(),
            self.rule.unwrap_or_default().to_owned(),
            text(&self.note),
        ]
    }
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Field mapping</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; }
table { border-collapse: collapse; }
th, td { border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top; }
thead th { background: #f2f2f2; }
</style>
</head>
<body>
<h1>Field mapping</h1>
";

/// Keeps a spreadsheet from running what a sender named an attribute.
fn harmless(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

fn for_markdown(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for character in visible(cell).chars() {
        if matches!(character, '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

fn for_html(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for character in visible(cell).chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(lead: &str) -> Document {
        let mut document = Document::default();
        let row = DocumentedRow {
            lead: lead.into(),
            object: None,
            crm: None,
            label: None,
            lead_format: String::new(),
            crm_format: None,
            direction: "not synced",
            conflict: None,
            note: None,
        };
        document.add(&"salesforce".into(), vec![row]);
        document
    }

    #[test]
    fn a_hostile_attribute_name_is_only_text_in_every_format() {
        let document = document("=1+1<script>|\u{1b}[2J\n# x");
        let html = document.html();
        assert!(html.contains("<td>=1+1&lt;script&gt;|\\u{1b}[2J # x</td>"), "{html}");
        let markdown = document.markdown();
        assert!(markdown.contains("| =1+1\\<script\\>\\|\\\\u{1b}\\[2J # x |"), "{markdown}");
        let csv = document.csv().unwrap();
        assert!(csv.contains("salesforce,\"'=1+1<script>|"), "{csv}");
        assert!(!document.table().contains('\u{1b}'));
    }

    #[test]
    fn a_lead_field_without_a_row_stands_there_as_not_synced() {
        let csv = document("attributes.size").csv().unwrap();
        assert_eq!(
            csv,
            "destination,lead field,lead format,object,CRM field,CRM label,CRM format,direction,rule,note\n\
             salesforce,attributes.size,,,,,,not synced,,\n"
        );
    }
}
