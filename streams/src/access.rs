//! Who may do what: users with the least rights that their work takes, and what crosses the
//! borders between accounts. Derived from the same declarations as the streams.

mod borders;
mod link;
mod rights;
mod users;

pub use borders::{Border, Kind, borders};
pub use link::link_permissions;
pub use rights::{Permissions, Right};
pub use users::{User, leaf_users, users};

use users::LEAF_READER;
