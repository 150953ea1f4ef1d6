//! What goes into the store and comes out of it.

mod by_hand;
mod duplicates;
mod erasure;
mod events;
mod jobs;
mod lists;
mod log;
mod people;
mod refused;

pub use by_hand::*;
pub use duplicates::*;
pub use erasure::*;
pub use events::*;
pub use jobs::*;
pub use lists::*;
pub use log::*;
pub use people::*;
pub use refused::*;
