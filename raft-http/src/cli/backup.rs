//! A copy of the whole state in a file.

use super::asking::{Asking, Endpoints, Request};
use super::print;
use crate::exit::{Code, Exit};
use crate::snapshots;
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Copies what any of the endpoints gives; the file has its name only when it is whole and intact.
pub(super) fn run(asking: &Asking, file: &Path) -> Result<Exit, Exit> {
    let part = PathBuf::from(format!("{}.part", file.display()));
    let failed = |doing: &'static str| {
        let part = part.display().to_string();
        move |error: std::io::Error| Exit::new(Code::Io, format!("can't {doing} {part:?}: {error}"))
    };
    let mut out = File::create(&part).map_err(failed("create"))?;
    asking.run(async |endpoints| fetch(endpoints, &mut out).await)?.map_err(failed("write to"))?;
    out.sync_all().map_err(failed("sync"))?;
    let (cluster, snapshot, _) = snapshots::read_copy(&part)?;
    fs::rename(&part, file).map_err(failed("rename"))?;
    let (last, size) = (snapshot.last(), snapshot.size);
    print(&format!(
        "{}: cluster {:016x} up to entry {last}, {size} bytes, verified",
        file.display(),
        cluster.0
    ))
}

async fn fetch(endpoints: &Endpoints, out: &mut File) -> Result<std::io::Result<()>, Exit> {
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
