//! Writes every sample page, and the help page of every cause, as HTML, to be looked at in a browser: `cargo run --locked -p pages --example gallery -- out`.

#[path = "../tests/samples/mod.rs"]
#[expect(dead_code, reason = "the tests use more of the samples than the gallery does")]
mod samples;

use std::{env, fs, io, path::PathBuf};

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| "target/gallery".into()));
    fs::create_dir_all(&folder)?;
    let causes = samples::every_cause(domain::AppKind::ConnectedApp);
    for sample in samples::every_page().into_iter().chain(causes) {
        fs::write(folder.join(sample.name).with_extension("html"), sample.html)?;
    }
    Ok(())
}
