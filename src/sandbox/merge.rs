//! Several records become one, and deleted ones come back.

use super::error::{Refusal, Refusals};
use super::schema::Kind;
use super::table::{By, Edit, Row, RowId};
use super::value::Value;
use super::world::{TableId, World};
use super::write::Writer;

/// Records that one merge may take away.
const LOSERS: usize = 2;

impl World {
    /// Merges records into a master: its values stay, children go over to it, the losers are deleted and name it.
    ///
    /// Nulls of the master are not filled. Gives the ids of the children.
    pub fn merge(&mut self, master: &str, losers: &[String], writer: &Writer) -> Result<Vec<String>, Refusals> {
        let invalid = |message: &str| Refusal::of_fields("INVALID_ID_FIELD", message, &[]);
        if !(1..=LOSERS).contains(&losers.len()) {
            return Err(invalid("a merge takes one or two records besides the master").into());
        }
        let kind = super::ids::canonical(master).and_then(|id| self.table_of(&id));
        let Some(object) = kind.map(|table| &self.tables[table].object).filter(|object| object.mergeable) else {
            let message = "entity type does not support merge";
            return Err(Refusal::of_fields("INVALID_TYPE_FOR_OPERATION", message, &[]).into());
        };
        let name = object.name;
        let (table, winner) = self.live(name, master)?;
        let mut rows = Vec::new();
        for loser in losers {
            let (_, row) = self.live(name, loser)?;
            if row == winner || rows.contains(&row) {
                return Err(invalid("the records of a merge must differ").into());
            }
            rows.push(row);
        }
        if rows.iter().chain([&winner]).any(|row| self.flag(table, *row, "IsConverted")) {
            let message = "cannot reference converted lead";
            return Err(Refusal::of_fields("CANNOT_UPDATE_CONVERTED_LEAD", message, &[]).into());
        }
        self.atomically(|world| {
            let master = world.tables[table].row(winner).id.to_string();
            let mut moved = Vec::new();
            for row in rows {
                moved.extend(world.adopt(table, row, &master, writer));
                world.delete(table, row, Some(&master), writer)?;
            }
            world.amend(table, winner, &[], writer.by, writer);
            Ok(moved)
        })
    }

    /// Lets all that refers to one record refer to another; what conversion left behind keeps the old name.
    fn adopt(&mut self, table: TableId, row: RowId, master: &str, writer: &Writer) -> Vec<String> {
        let (parent, loser) = (self.tables[table].object.name, Value::text(self.tables[table].row(row).id.to_string()));
        let mut moved = Vec::new();
        for child in 0..self.tables.len() {
            let object = &self.tables[child].object;
            let fields: Vec<(u16, String)> = object
                .live()
                .filter(|(_, field)| field.kind == Kind::Reference && field.refers_to.contains(&parent))
                .filter(|(_, field)| field.name != "MasterRecordId" && !field.name.starts_with("Converted"))
                .map(|(id, field)| (id, field.name.clone()))
                .collect();
            for (id, name) in fields {
                let held = self.tables[child].rows().iter().enumerate();
                let rows: Vec<RowId> = held
                    .filter(|(_, row)| !row.deleted && row.values.get(&id) == Some(&loser))
                    .map(|(place, _)| place)
                    .collect();
                for row in rows {
                    self.amend(child, row, &[(&name, Some(Value::text(master)))], By::Trigger, writer);
                    moved.push(self.tables[child].row(row).id.to_string());
                }
            }
        }
        moved
    }

    /// Takes a record out of the recycle bin, unless another one holds a unique value of it by now.
    pub fn undelete(&mut self, table: TableId, row: RowId, writer: &Writer) -> Result<(), Refusals> {
        let before = self.tables[table].row(row).clone();
        if !before.deleted {
            let message = "entity is not in the recycle bin";
            return Err(Refusal::of_fields("UNDELETE_FAILED", message, &[]).into());
        }
        let held = before.values.iter().map(|(id, value)| (*id, Some(value.clone()))).collect();
        self.check_unique(table, Some(row), &held)?;
        self.note_undo(table, row, Some(before.clone()));
        self.tables[table].restore(row, Row { deleted: false, ..before });
        self.writes += 1;
        let object = &self.tables[table].object;
        let changes: Vec<_> = [("IsDeleted", Some(Value::Bool(false))), ("MasterRecordId", None)]
            .into_iter()
            .filter_map(|(name, value)| Some((object.find(name)?.0, value)))
            .collect();
        self.tables[table].set(row, &changes);
        let edit = Edit { at: writer.at, by: writer.by, request: writer.request.clone(), changes };
        self.tables[table].remember(row, edit);
        self.stamp(table, row, writer);
        Ok(())
    }
}
