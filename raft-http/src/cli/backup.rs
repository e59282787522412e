//! A copy of the whole state in a file.

use super::asking::{Asking, Endpoints, Request};
use super::print;
use crate::data_dir::sync_dir;
use crate::exit::{Code, Exit};
use crate::snapshots;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Copies what any of the endpoints gives; the file has its name only when it is whole and intact, and what failed is gone.
pub(super) fn run(asking: &Asking, file: &Path) -> Result<Exit, Exit> {
    let failed = |doing: &'static str| {
        move |error: io::Error| {
            Exit::new(Code::Io, format!("can't {doing} {:?}: {error}", file.display().to_string()))
        }
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part =
        NamedTempFile::with_prefix_in(".httpraft-backup-", parent).map_err(failed("make a file beside"))?;
    asking
        .run(async |endpoints| fetch(endpoints, part.as_file_mut()).await)?
        .map_err(failed("write what becomes"))?;
    part.as_file().sync_all().map_err(failed("sync what becomes"))?;
    let (cluster, snapshot, _) = snapshots::read_copy(part.path())?;
    part.persist(file).map_err(|error| failed("name")(error.error))?;
    sync_dir(parent).map_err(failed("sync the directory of"))?;
    let (last, size) = (snapshot.last(), snapshot.size);
    print(&format!(
        "{}: cluster {:016x} up to entry {last}, {size} bytes, verified",
        file.display(),
        cluster.0
    ))
}

async fn fetch(endpoints: &Endpoints, out: &mut File) -> Result<io::Result<()>, Exit> {
    let (_, mut opened) = endpoints.open(&Request::get("/v1/backup")).await?;
    // Shown on standard error, and only to people.
    let progress = ProgressBar::no_length();
    loop {
        let piece = opened.piece().await.map_err(|error| Exit::new(Code::Temporary, error))?;
        let Some(piece) = piece else { break };
        if let Err(error) = out.write_all(&piece) {
            return Ok(Err(error));
        }
        progress.inc(piece.len() as u64);
    }
    progress.finish_and_clear();
    Ok(Ok(()))
}
