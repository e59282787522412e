//! A copy of the whole state in a file.

use super::asking::{Asking, Endpoints, Request};
use super::print;
use crate::data_dir::sync_dir;
use crate::exit::{Code, Exit};
use crate::signal::StopSignal;
use crate::snapshots;
use indicatif::ProgressBar;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Copies what any of the endpoints gives; the file has its name only when it is whole and intact, and what failed is gone.
pub(super) fn run(asking: &Asking, file: &Path) -> Result<Exit, Exit> {
    let failed = |doing: &'static str| {
        move |error: io::Error| Exit::new(Code::Io, format!("can't {doing} {}: {error}", file.display()))
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new()
        .prefix(".httpraft-backup-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(failed("make a file beside"))?;
    let fetched = asking.run(async |endpoints| {
        let mut stop = StopSignal::new().map_err(|error| Exit::new(Code::Io, error))?;
        tokio::select! {
            fetched = fetch(endpoints, part.as_file_mut()) => fetched,
            // The half file goes, too.
            () = stop.received() => Err(Exit::new(Code::Failed, "interrupted")),
        }
    })?;
    fetched.map_err(failed("write what becomes"))?;
    part.as_file().sync_all().map_err(failed("sync what becomes"))?;
    let (cluster, snapshot, _) = snapshots::read_copy(part.path()).map_err(|error| {
        let Exit { code, line } = error.into();
        Exit { code, line: format!("what came for {}: {line}", file.display()) }
    })?;
    part.persist(file).map_err(|error| failed("name")(error.error))?;
    sync_dir(parent).map_err(failed("make durable the name of"))?;
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
