//! Custom fields that the mapping writes and a CRM does not have: which they are, and making them.

use std::sync::Arc;

use anyhow::Result;

use super::check::{Look, Unmetered, look, parts};
use super::connect;
use crate::clock::Clock;
use crate::config::{Config, DestinationConfig};
use crate::crm::{Crm, CrmError, FieldMaking, PermissionHolder};
use crate::domain::check::Finding;
use crate::domain::ids::DestinationName;
use crate::domain::missing::{NewField, Unmakeable, missing};

/// What one destination lacks.
pub struct Lacking {
    pub destination: DestinationName,
    pub fields: Vec<Lack>,
    pub unmakeable: Vec<Unmakeable>,
    /// By which our user gets the rights; or why there is none. Nothing is made without.
    pub holder: Result<PermissionHolder, String>,
    crm: Arc<dyn Crm>,
}

/// What the destinations lack, as far as they say.
#[derive(Default)]
pub struct Found {
    /// Those that lack nothing are not among them.
    pub lacking: Vec<Lacking>,
    /// Of destinations that could not be asked, or not of every object: why.
    pub unasked: Vec<(DestinationName, Finding)>,
}

/// A field that our user does not see.
#[derive(Clone, Debug)]
pub struct Lack {
    pub field: NewField,
    /// It is there already, and only has to be shown to our user.
    pub exists: bool,
}

/// What each destination lacks.
pub async fn find(config: &Config, permission_set: Option<&str>) -> Result<Found> {
    let Found { lacking: mut all, mut unasked } = Found::default();
    for (name, destination) in &config.destinations {
        let crm = connect(destination, &Clock::system(), Arc::new(Unmetered))?;
        let look = match look(destination, &*crm).await {
            Ok(look) => look,
            Err(unreachable) => {
                unasked.push((name.clone(), unreachable));
                continue;
            }
        };
        let (fields, unmakeable) = lacking(destination, &look);
        unasked.extend(look.failures.into_iter().map(|failure| (name.clone(), failure)));
        if fields.is_empty() && unmakeable.is_empty() {
            continue;
        }
        let existing = match crm.existing_fields(&fields).await {
            Ok(existing) => existing,
            Err(error) => {
                let holder = Err(format!("the CRM does not say which custom fields there are: {error}"));
                all.push(Lacking {
                    destination: name.clone(),
                    fields: lacks(fields, |_| false),
                    unmakeable,
                    holder,
                    crm,
                });
                continue;
            }
        };
        let exists = |field: &NewField| existing.contains(&(field.object.clone(), field.name.clone()));
        let holder = choose(crm.permission_holders().await, permission_set);
        all.push(Lacking { destination: name.clone(), fields: lacks(fields, exists), unmakeable, holder, crm });
    }
    Ok(Found { lacking: all, unasked })
}

fn lacks(fields: Vec<NewField>, exists: impl Fn(&NewField) -> bool) -> Vec<Lack> {
    fields.into_iter().map(|field| Lack { exists: exists(&field), field }).collect()
}

fn lacking(config: &DestinationConfig, look: &Look) -> (Vec<NewField>, Vec<Unmakeable>) {
    let (mut fields, mut unmakeable) = (Vec::new(), Vec::new());
    for part in parts(config, &look.kinds) {
        let (new, cannot) = missing(&part.rows, &part.object, part.written, part.delete_flag, &look.schema);
        fields.extend(new);
        unmakeable.extend(cannot);
    }
    (fields, unmakeable)
}

/// The permission set that was named, or the only one that there is.
fn choose(found: Result<Vec<PermissionHolder>, CrmError>, named: Option<&str>) -> Result<PermissionHolder, String> {
    let mut found =
        found.map_err(|error| format!("the CRM does not say which permission sets our user has: {error}"))?;
    let names = found.iter().map(|holder| holder.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(named) = named {
        let holder = found.into_iter().find(|holder| holder.name.eq_ignore_ascii_case(named));
        return holder.ok_or_else(|| {
            format!("our user has no permission set {named:?} that can be given more; it has: {}", or_none(&names))
        });
    }
    match found.len() {
        0 => Err("our user has no permission set of its own: make one in the CRM's setup and assign it to the integration user \
                  (README, step 3)"
            .to_owned()),
        1 => Ok(found.remove(0)),
        _ => Err(format!("our user has several permission sets; name the one to be given the fields: --permission-set NAME, of {names}")),
    }
}

fn or_none(names: &str) -> &str {
    if names.is_empty() { "none" } else { names }
}

impl Lacking {
    /// Makes the fields, one after the other, whatever became of those before; answers for each.
    pub async fn make(&self, holder: &PermissionHolder) -> Vec<Result<FieldMaking, CrmError>> {
        let mut made = Vec::new();
        for lack in &self.fields {
            made.push(self.crm.make_field(&lack.field, holder).await);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_permission_set_is_the_only_one_or_the_one_that_is_named() {
        let set = |name: &str| PermissionHolder { id: format!("id of {name}"), name: name.to_owned() };
        let check = |sets: &[&str], named: Option<&str>, expected: Result<&str, &str>| {
            let chosen = choose(Ok(sets.iter().map(|name| set(name)).collect()), named);
            match (chosen, expected) {
                (Ok(chosen), Ok(expected)) => assert_eq!(chosen.name, expected),
                (Err(told), Err(expected)) => assert!(told.contains(expected), "{told}"),
                (chosen, _) => panic!("{chosen:?}"),
            }
        };
        check(&["A"], None, Ok("A"));
        check(&[], None, Err("assign it"));
        check(&["A", "B"], None, Err("--permission-set NAME, of A, B"));
        check(&["A", "B"], Some("b"), Ok("B"));
        check(&["A"], Some("C"), Err("it has: A"));
        let refused = choose(Err(CrmError::Operator { code: "NO".into(), message: "no".into() }), None);
        assert!(refused.unwrap_err().contains("NO"));
    }
}
