//! Defaults that come from the dev network on this machine.

use crate::{
    dev::{control, home::Home},
    status::{Endpoints, Status},
};
use anyhow::Context as _;
use std::path::Path;

/// The running dev network with its data in `folder`.
pub(super) fn dev_network(folder: &Path) -> anyhow::Result<(Status, Endpoints)> {
    let home = Home::at(folder)?;
    let status = control::status(&home)?;
    let endpoints = status.endpoints.clone().with_context(|| {
        format!(
            "no dev network runs with its data in {}: start one with `hyperhash dev up`, or say \
             where to connect (see --help)",
            home.folder().display()
        )
    })?;
    Ok((status, endpoints))
}
