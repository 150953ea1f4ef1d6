//! The stages of an opportunity, and what follows from each.

/// One stage.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct Stage {
    pub name: &'static str,
    pub probability: u32,
    pub forecast: &'static str,
    pub closed: bool,
    pub won: bool,
}

const fn open(name: &'static str, probability: u32) -> Stage {
    Stage { name, probability, forecast: "Pipeline", closed: false, won: false }
}

const STAGES: &[Stage] = &[
    open("Prospecting", 10),
    open("Qualification", 10),
    open("Needs Analysis", 20),
    open("Value Proposition", 50),
    open("Id. Decision Makers", 60),
    open("Perception Analysis", 70),
    open("Proposal/Price Quote", 75),
    open("Negotiation/Review", 90),
    Stage { name: "Closed Won", probability: 100, forecast: "Closed", closed: true, won: true },
    Stage { name: "Closed Lost", probability: 0, forecast: "Omitted", closed: true, won: false },
];

pub(in crate::sandbox) fn names() -> Vec<&'static str> {
    STAGES.iter().map(|stage| stage.name).collect()
}

/// What follows from a stage; the list is unrestricted, and a stage that is not on it is open and unlikely.
pub(in crate::sandbox) fn find(name: &str) -> Stage {
    STAGES.iter().find(|stage| stage.name == name).copied().unwrap_or(open("", 0))
}
