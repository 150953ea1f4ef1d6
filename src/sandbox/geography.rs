//! State and country picklists: an option of an org under which addresses hold only what its list of places knows.

use std::sync::LazyLock;

use super::error::{Refusal, Refusals};
use super::schema::{Choice, Field, FieldId, Kind, Object};
use super::table::RowId;
use super::value::{Value, now};
use super::world::{TableId, World};
use super::write::Changes;

/// Longest code.
const CODE: usize = 10;

#[derive(Debug)]
struct Country {
    code: &'static str,
    label: &'static str,
    /// Codes and labels.
    states: Vec<(&'static str, &'static str)>,
}

static COUNTRIES: LazyLock<Vec<Country>> = LazyLock::new(|| {
    let mut countries: Vec<Country> = Vec::new();
    for line in include_str!("schema/countries.txt").lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&'static str> = line.split('\t').collect();
        match (parts.as_slice(), countries.last_mut()) {
            (["", code, label], Some(country)) => country.states.push((code, label)),
            ([code, label], _) => countries.push(Country { code, label, states: Vec::new() }),
            _ => {}
        }
    }
    countries
});

impl World {
    /// Switches the option on or off: every address gets, or loses, its codes.
    pub fn set_places(&mut self, on: bool) {
        if on == self.places {
            return;
        }
        self.places = on;
        for table in &mut self.tables {
            let sides = sides(&table.object);
            if sides.is_empty() {
                continue;
            }
            for side in &sides {
                for field in codes(side) {
                    match table.object.fields.iter_mut().find(|known| known.name == field.name) {
                        Some(known) => known.removed = !on,
                        None => table.object.fields.push(field),
                    }
                }
            }
            table.object.touch(now().as_second());
            table.reindex();
        }
        if on {
            self.fill_codes();
        }
    }

    /// Gives records that are there already the codes of the places whose names they hold.
    fn fill_codes(&mut self) {
        for table in 0..self.tables.len() {
            for side in sides(&self.tables[table].object) {
                for row in 0..self.tables[table].rows().len() {
                    let text = |name: &str| self.text(table, row, &format!("{side}{name}"));
                    let Some(country) = text("Country").and_then(country_of) else { continue };
                    let state = text("State").and_then(|state| state_of(country, state));
                    let (country_code, state_code) = (format!("{side}CountryCode"), format!("{side}StateCode"));
                    let mut values = vec![(country_code.as_str(), Value::text(country.code))];
                    values.extend(state.map(|(code, _)| (state_code.as_str(), Value::text(code))));
                    self.set_system(table, row, &values);
                }
            }
        }
    }

    /// Lets the names and codes of places in a write agree, or refuses what the list does not know.
    pub fn settle_places(&self, table: TableId, row: Option<RowId>, changes: &mut Changes) -> Result<(), Refusals> {
        if !self.places {
            return Ok(());
        }
        let refusals: Refusals = sides(&self.tables[table].object)
            .iter()
            .filter_map(|side| Address { world: self, table, row, side }.settle(changes).err())
            .collect();
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }
}

/// One address of a record that is about to be written.
struct Address<'a> {
    world: &'a World,
    table: TableId,
    row: Option<RowId>,
    side: &'a str,
}

impl Address<'_> {
    fn settle(&self, changes: &mut Changes) -> Result<(), Refusal> {
        let given = |part: &str| self.given(changes, part);
        let (country, country_code) = (given("Country"), given("CountryCode"));
        let (state, state_code) = (given("State"), given("StateCode"));
        if [&country, &country_code, &state, &state_code].iter().all(|given| given.is_none()) {
            return Ok(());
        }
        let named = self.pick(
            [&country, &country_code],
            |name| COUNTRIES.iter().find(|known| known.label.eq_ignore_ascii_case(name)),
            |code| COUNTRIES.iter().find(|known| known.code.eq_ignore_ascii_case(code)),
            |left, right| left.code == right.code,
            ["Country", "CountryCode"],
        )?;
        let country = match named {
            Some(named) => {
                self.put(changes, "Country", named.map(|country| country.label));
                self.put(changes, "CountryCode", named.map(|country| country.code));
                named
            }
            None => self.standing("CountryCode").and_then(country_of),
        };
        let Some(country) = country else {
            let part = if state_code.is_some() { "StateCode" } else { "State" };
            if state.flatten().is_some() || state_code.flatten().is_some() {
                let message = "A country/territory must be specified before specifying a state value for field";
                return Err(self.refusal(message, part));
            }
            self.put(changes, "State", None);
            self.put(changes, "StateCode", None);
            return Ok(());
        };
        let found = self.pick(
            [&state, &state_code],
            |name| country.states.iter().find(|(_, label)| label.eq_ignore_ascii_case(name)),
            |code| country.states.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)),
            |left, right| left.0 == right.0,
            ["State", "StateCode"],
        )?;
        match found {
            Some(found) => {
                self.put(changes, "State", found.map(|(_, label)| *label));
                self.put(changes, "StateCode", found.map(|(code, _)| *code));
            }
            None => {
                let standing = self.standing("State");
                if standing.is_some_and(|standing| state_of(country, standing).is_none()) {
                    let message = "The existing country/territory doesn't recognize the state value for field";
                    return Err(self.refusal(message, "State"));
                }
            }
        }
        Ok(())
    }

    /// The place that a name and a code mean together: `None` if neither was given, `Some(None)` if it was cleared.
    ///
    /// Where both are given and disagree, the code wins on a create and neither does on an update.
    fn pick<T: Copy>(
        &self,
        [name, code]: [&Option<Option<String>>; 2],
        by_name: impl Fn(&str) -> Option<T>,
        by_code: impl Fn(&str) -> Option<T>,
        same: impl Fn(T, T) -> bool,
        parts: [&str; 2],
    ) -> Result<Option<Option<T>>, Refusal> {
        let found = |given: &Option<Option<String>>, find: &dyn Fn(&str) -> Option<T>, part: &str| match given {
            Some(Some(text)) => find(text).ok_or_else(|| self.unknown(part)).map(Some),
            _ => Ok(None),
        };
        let coded = found(code, &by_code, parts[1])?;
        if let (Some(coded), None) = (coded, self.row) {
            return Ok(Some(Some(coded)));
        }
        let named = found(name, &by_name, parts[0])?;
        match (named, coded) {
            (Some(named), Some(coded)) if !same(named, coded) => Err(self.unknown(parts[0])),
            (Some(found), _) | (None, Some(found)) => Ok(Some(Some(found))),
            (None, None) if name.is_some() || code.is_some() => Ok(Some(None)),
            (None, None) => Ok(None),
        }
    }

    fn unknown(&self, part: &str) -> Refusal {
        let message = match part {
            "Country" | "CountryCode" => {
                "There's a problem with this country, even though it may appear correct. Please select a country/territory from the list \
                 of valid countries."
            }
            _ => {
                "There's a problem with this state, even though it may appear correct. Please select a state from the list of valid states."
            }
        };
        self.refusal(message, part)
    }

    fn refusal(&self, message: &str, part: &str) -> Refusal {
        let name = format!("{}{part}", self.side);
        let label = self.world.tables[self.table].object.find(&name).map_or(name.as_str(), |(_, field)| &field.label);
        Refusal::of_fields("FIELD_INTEGRITY_EXCEPTION", format!("{message}: {label}"), &[&name])
    }

    fn id(&self, part: &str) -> Option<FieldId> {
        self.world.tables[self.table].object.find(&format!("{}{part}", self.side)).map(|(id, _)| id)
    }

    fn given(&self, changes: &Changes, part: &str) -> Option<Option<String>> {
        let id = self.id(part)?;
        let (_, value) = changes.iter().find(|(given, _)| *given == id)?;
        Some(value.as_ref().and_then(Value::as_text).map(str::to_owned))
    }

    fn standing(&self, part: &str) -> Option<&str> {
        self.world.text(self.table, self.row?, &format!("{}{part}", self.side))
    }

    fn put(&self, changes: &mut Changes, part: &str, text: Option<&str>) {
        let Some(id) = self.id(part) else { return };
        changes.retain(|(given, _)| *given != id);
        changes.push((id, text.map(Value::text)));
    }
}

/// A country by its code or its name.
fn country_of(text: &str) -> Option<&'static Country> {
    let is_it =
        |country: &&Country| country.code.eq_ignore_ascii_case(text) || country.label.eq_ignore_ascii_case(text);
    COUNTRIES.iter().find(is_it)
}

fn state_of(country: &Country, text: &str) -> Option<(&'static str, &'static str)> {
    let mut states = country.states.iter().copied();
    states.find(|(code, label)| code.eq_ignore_ascii_case(text) || label.eq_ignore_ascii_case(text))
}

/// The addresses of an object: `Mailing` and the like.
fn sides(object: &Object) -> Vec<String> {
    let compounds = object.live().filter(|(_, field)| field.kind == Kind::Address);
    compounds.map(|(_, field)| field.name.trim_end_matches("Address").to_owned()).collect()
}

/// The fields that the option adds to an address.
fn codes(side: &str) -> [Field; 2] {
    let field = |part: &str, label: &str, choices: Vec<Choice>, controller: Option<String>| Field {
        restricted: true,
        choices,
        controller,
        ..Field::new(&format!("{side}{part}"), format!("{side} {label}").trim(), Kind::Picklist, CODE)
    };
    let countries = COUNTRIES.iter().map(|country| Choice::new(country.code, country.label)).collect();
    let states = COUNTRIES.iter().flat_map(|country| {
        let valid_for = vec![country.code.to_owned()];
        country
            .states
            .iter()
            .map(move |(code, label)| Choice { valid_for: valid_for.clone(), ..Choice::new(code, label) })
    });
    [
        field("StateCode", "State/Province Code", states.collect(), Some(format!("{side}CountryCode"))),
        field("CountryCode", "Country Code", countries, None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_places_is_read_whole() {
        assert_eq!(COUNTRIES.len(), 249);
        let states = |code: &str| country_of(code).map_or(0, |country| country.states.len());
        assert_eq!([states("US"), states("CA"), states("AU"), states("DE")], [51, 13, 8, 0]);
        assert_eq!(state_of(country_of("Australia").unwrap(), "wa"), Some(("WA", "Western Australia")));
        for country in COUNTRIES.iter() {
            assert!(country.code.len() == 2 && country.label.len() <= 80, "{country:?}");
        }
    }
}
