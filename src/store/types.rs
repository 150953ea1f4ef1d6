//! What goes into the store and comes out of it.

mod events;
mod jobs;
mod lists;
mod log;
mod people;

pub use events::*;
pub use jobs::*;
pub use lists::*;
pub use log::*;
pub use people::*;
