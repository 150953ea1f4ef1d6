//! Field-level security: which of the fields made by the Tooling API the integration user sees.

use super::error::{Refusal, Refusals};
use super::ids;
use super::schema::{Kind, Object};
use super::table::RowId;
use super::value::{Value, now};
use super::world::{TableId, World};
use super::write::Changes;

/// The object whose records are permissions.
pub(super) const OBJECT: &str = "FieldPermissions";

impl World {
    /// Refuses a permission for a field that there is not, or that has one in this set already.
    pub fn check_permission(&self, table: TableId, row: Option<RowId>, changes: &Changes) -> Result<(), Refusals> {
        let held = &self.tables[table];
        if held.object.name != OBJECT {
            return Ok(());
        }
        let value = |name: &str| -> Option<&Value> {
            let (id, _) = held.object.find(name)?;
            match changes.iter().find(|(changed, _)| *changed == id) {
                Some((_, value)) => value.as_ref(),
                None => held.row(row?).values.get(&id),
            }
        };
        let text = |name: &str| value(name).and_then(Value::as_text).unwrap_or_default();
        let flag = |name: &str| value(name) == Some(&Value::Bool(true));
        let (object, field) = (text("SobjectType"), text("Field"));
        let known = field.split_once('.').and_then(|(kind, name)| {
            let target = self.table(kind).filter(|_| kind.eq_ignore_ascii_case(object))?;
            self.tables[target].object.find(name)
        });
        // A field that every record needs is open to everybody, and cannot be given to some.
        if known.is_none_or(|(_, field)| !field.nillable && field.kind != Kind::Boolean) {
            let message = format!("Field Name: bad value for restricted picklist field: {field}");
            return Err(Refusal::of_fields("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, &["Field"]).into());
        }
        if flag("PermissionsEdit") && !flag("PermissionsRead") {
            let message = "Permission Edit depends on permission(s): Read";
            return Err(Refusal::of_fields("FIELD_INTEGRITY_EXCEPTION", message, &["PermissionsEdit"]).into());
        }
        let twin = held.rows().iter().enumerate().find(|(place, other)| {
            let same = |name: &str| held.object.find(name).is_some_and(|(id, _)| other.values.get(&id) == value(name));
            Some(*place) != row && !other.deleted && same("ParentId") && same("Field")
        });
        match twin {
            Some((_, twin)) => {
                let message = format!(
                    "duplicate value found: <unknown> duplicates value on record with id: {}",
                    ids::short(&twin.id)
                );
                Err(Refusal::of_fields("DUPLICATE_VALUE", message, &[]).into())
            }
            None => Ok(()),
        }
    }

    /// Shows and hides the fields that go by permissions, after one of these changed.
    pub fn apply_permissions(&mut self) {
        let granted = self.granted();
        for table in &mut self.tables {
            let mut changed = false;
            let Object { name, fields, .. } = &mut table.object;
            for field in fields.iter_mut().filter(|field| field.by_permission && !field.removed) {
                let full = format!("{name}.{}", field.name);
                let held = granted.iter().filter(|(field, _)| field.eq_ignore_ascii_case(&full));
                let (seen, edited) = held.fold((false, false), |(_, edited), (_, edit)| (true, edited || *edit));
                changed |= field.hidden == seen || field.updateable != edited;
                (field.hidden, field.createable, field.updateable) = (!seen, edited, edited);
            }
            if changed {
                table.object.touch(now().as_second());
            }
        }
    }

    /// Takes back what was permitted of a field, as an org does when it is removed: another of its name begins without.
    pub fn withdraw_permissions(&mut self, field: &str) {
        let Some(table) = self.table(OBJECT) else { return };
        for row in 0..self.tables[table].rows().len() {
            let is_of_it = self.text(table, row, "Field").is_some_and(|named| named.eq_ignore_ascii_case(field));
            if is_of_it && !self.tables[table].row(row).deleted {
                let before = self.tables[table].row(row).clone();
                self.note_undo(table, row, Some(before));
                self.tables[table].bin(row);
            }
        }
    }

    /// Fields that the integration user may read, and whether it may write them.
    fn granted(&self) -> Vec<(String, bool)> {
        let (Some(sets), Some(permissions)) = (self.table("PermissionSetAssignment"), self.table(OBJECT)) else {
            return Vec::new();
        };
        let user = ids::user(ids::API_USER);
        let mine: Vec<&str> = (0..self.tables[sets].rows().len())
            .filter(|row| {
                !self.tables[sets].row(*row).deleted && self.text(sets, *row, "AssigneeId") == Some(user.as_str())
            })
            .filter_map(|row| self.text(sets, row, "PermissionSetId"))
            .collect();
        (0..self.tables[permissions].rows().len())
            .filter(|row| !self.tables[permissions].row(*row).deleted)
            .filter(|row| self.text(permissions, *row, "ParentId").is_some_and(|set| mine.contains(&set)))
            .filter(|row| self.flag(permissions, *row, "PermissionsRead"))
            .filter_map(|row| {
                let field = self.text(permissions, row, "Field")?.to_owned();
                Some((field, self.flag(permissions, row, "PermissionsEdit")))
            })
            .collect()
    }
}
