//! Turns `catalogue/` into Rust constants, so that nothing is parsed at run time. A fault in the catalogue stops
//! the build with one line for each: the file, the field and what is wrong.

use std::{env, fs, path::Path};

#[path = "build/check.rs"]
mod check;
#[path = "build/format.rs"]
mod format;
#[path = "src/words.rs"]
mod words;
#[path = "build/write.rs"]
mod write;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=catalogue");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/words.rs");

    let mut files = Vec::new();
    for folder in ["catalogue", "catalogue/causes", "catalogue/guides"] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.push((path.display().to_string(), fs::read_to_string(&path)?));
            }
        }
    }
    files.sort();

    let catalogue = format::read(&files).and_then(|catalogue| match check::faults(&catalogue) {
        faults if faults.is_empty() => Ok(catalogue),
        faults => Err(faults),
    });
    match catalogue {
        Ok(catalogue) => {
            let out = env::var_os("OUT_DIR").unwrap_or_default();
            fs::write(Path::new(&out).join("catalogue.rs"), write::rust(&catalogue))?;
            fs::write(Path::new(&out).join("guides.rs"), write::guides(&catalogue))
        }
        Err(faults) => {
            for fault in faults {
                println!("cargo::error={fault}");
            }
            Ok(())
        }
    }
}
