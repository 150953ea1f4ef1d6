//! What an org works out by itself after a write: names, what a stage means, primary roles, and children that go along.

use rust_decimal::{Decimal, RoundingStrategy};

use super::error::Refusals;
use super::permissions;
use super::schema::{FieldId, stages};
use super::table::{By, RowId};
use super::value::Value;
use super::world::{TableId, World};
use super::write::Writer;

/// Which records go to the recycle bin with their parent.
const CHILDREN: &[(&str, &str, &str)] = &[
    ("Account", "Contact", "AccountId"),
    ("Account", "Opportunity", "AccountId"),
    ("Opportunity", "OpportunityContactRole", "OpportunityId"),
    ("Contact", "OpportunityContactRole", "ContactId"),
];

impl World {
    /// Sets what follows from other fields; `given` are those that the caller wrote.
    pub fn derive(&mut self, table: TableId, row: RowId, given: &[FieldId], writer: &Writer) {
        match self.tables[table].object.name {
            "Lead" | "Contact" | "User" => self.compose_name(table, row),
            "Opportunity" => self.derive_from_stage(table, row, given, writer),
            _ => {}
        }
    }

    fn compose_name(&mut self, table: TableId, row: RowId) {
        let parts = [self.text(table, row, "FirstName"), self.text(table, row, "LastName")];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        self.set_system(table, row, &[("Name", Value::text(name))]);
    }

    fn derive_from_stage(&mut self, table: TableId, row: RowId, given: &[FieldId], writer: &Writer) {
        let object = &self.tables[table].object;
        let wrote = |name: &str| object.find(name).is_some_and(|(id, _)| given.contains(&id));
        let (staged, likely, forecast) = (wrote("StageName"), wrote("Probability"), wrote("ForecastCategoryName"));
        let stage = stages::find(self.text(table, row, "StageName").unwrap_or_default());
        let mut values = vec![("IsClosed", Value::Bool(stage.closed)), ("IsWon", Value::Bool(stage.won))];
        if staged {
            values.push(("LastStageChangeDate", Value::Moment(writer.at.as_second())));
            if !likely {
                values.push(("Probability", Value::Number(stage.probability.into())));
            }
            if !forecast {
                values.push(("ForecastCategoryName", Value::text(stage.forecast)));
            }
        }
        self.set_system(table, row, &values);
        let number = |name: &str| match self.value(table, row, name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        let mut values = Vec::new();
        if let (Some(amount), Some(probability)) = (number("Amount"), number("Probability")) {
            // Both have at most 18 digits, so the product fits.
            let expected = amount.checked_mul(probability / Decimal::ONE_HUNDRED).unwrap_or_default();
            let expected = expected.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
            values.push(("ExpectedRevenue", Value::Number(expected)));
        }
        if let Some(Value::Date(close)) = self.value(table, row, "CloseDate") {
            let (year, quarter) = (close.year(), (close.month() - 1) / 3 + 1);
            values.push(("FiscalYear", Value::Number(year.into())));
            values.push(("FiscalQuarter", Value::Number(quarter.into())));
            values.push(("Fiscal", Value::text(format!("{year} {quarter}"))));
        }
        if let Some(name) = self.text(table, row, "ForecastCategoryName") {
            values.push(("ForecastCategory", Value::text(name)));
        }
        self.set_system(table, row, &values);
    }

    /// Makes and mends the records that follow from one that was written.
    pub fn follow_up(&mut self, table: TableId, row: RowId, created: bool, writer: &Writer) {
        match self.tables[table].object.name {
            permissions::OBJECT => self.apply_permissions(),
            "Opportunity" if created => {
                let Some(contact) = self.value(table, row, "ContactId").cloned() else { return };
                let opportunity = self.tables[table].row(row).id.to_string();
                let Some(roles) = self.table("OpportunityContactRole") else { return };
                let fields = [
                    ("OpportunityId", Value::text(opportunity)),
                    ("ContactId", contact),
                    ("IsPrimary", Value::Bool(true)),
                ];
                self.insert(roles, &fields, &Writer { by: By::Trigger, ..writer.clone() });
            }
            "OpportunityContactRole" if self.flag(table, row, "IsPrimary") => {
                let Some(opportunity) = self.value(table, row, "OpportunityId").cloned() else { return };
                let others = self.children(table, "OpportunityId", &opportunity);
                for other in others.into_iter().filter(|other| *other != row) {
                    self.amend(table, other, &[("IsPrimary", Some(Value::Bool(false)))], By::Trigger, writer);
                }
                let contact = self.value(table, row, "ContactId").cloned();
                if let Some((table, row)) = opportunity.as_text().and_then(|id| self.find_record(id)) {
                    self.amend(table, row, &[("ContactId", contact)], By::Trigger, writer);
                }
            }
            _ => {}
        }
    }

    /// Moves the children of a record to the recycle bin, as an org does with those of an account.
    pub fn delete_children(&mut self, table: TableId, row: RowId, writer: &Writer) -> Result<(), Refusals> {
        for (parent, child, field) in CHILDREN {
            if self.tables[table].object.name != *parent {
                continue;
            }
            let id = Value::text(self.tables[table].row(row).id.to_string());
            let Some(children) = self.table(child) else { continue };
            for row in self.children(children, field, &id) {
                self.delete(children, row, None, writer)?;
            }
        }
        Ok(())
    }

    /// Live rows whose reference names this record.
    pub fn children(&self, table: TableId, field: &str, parent: &Value) -> Vec<RowId> {
        let table = &self.tables[table];
        table.object.find(field).map_or_else(Vec::new, |(id, _)| table.holders(id, parent).collect())
    }

    /// Finds a record by its id, deleted or not.
    pub fn find_record(&self, id: &str) -> Option<(TableId, RowId)> {
        let table = self.table_of(id)?;
        Some((table, self.tables[table].find(id)?))
    }

    pub fn value(&self, table: TableId, row: RowId, name: &str) -> Option<&Value> {
        let table = &self.tables[table];
        table.row(row).values.get(&table.object.find(name)?.0)
    }

    pub fn text(&self, table: TableId, row: RowId, name: &str) -> Option<&str> {
        self.value(table, row, name)?.as_text()
    }

    pub fn flag(&self, table: TableId, row: RowId, name: &str) -> bool {
        self.value(table, row, name) == Some(&Value::Bool(true))
    }
}
