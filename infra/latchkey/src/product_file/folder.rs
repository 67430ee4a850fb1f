//! Reads all product files of a folder.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use domain::Product;

use super::{
    check_product,
    error::{FieldError, FileErrors},
};

/// Reads every `*.toml` of a folder, in the order of their names. Two files with one product are an error. All that is
/// wrong is said at once, over all files.
pub fn read_products(folder: &Path) -> Result<Vec<Product>, FileErrors> {
    check_products(folder).map(|(products, _)| products)
}

/// Reads every `*.toml` of a folder as [`read_products`] does: the products, and warnings. Where something is wrong, the
/// warnings are among the errors.
pub fn check_products(folder: &Path) -> Result<(Vec<Product>, FileErrors), FileErrors> {
    let (mut products, mut errors) = (Vec::<Product>::new(), FileErrors::default());
    let mut warnings = FileErrors::default();
    for file in &files_of(folder)? {
        let text =
            std::fs::read_to_string(file).map_err(|error| whole(file, format!("cannot be read: {error}")));
        match text.and_then(|text| check_product(file, &text)) {
            Ok((product, found)) => {
                warnings.0.extend(found.0);
                if products.iter().any(|other| other.id == product.id) {
                    let what = format!("product {} is in another file of this folder too", product.id);
                    errors.0.extend(whole(file, what).0);
                } else {
                    products.push(product);
                }
            }
            Err(wrong) => errors.0.extend(wrong.0),
        }
    }
    if errors.0.is_empty() {
        return Ok((products, warnings));
    }
    errors.0.extend(warnings.0);
    errors.0.sort_by(|one, other| one.file.cmp(&other.file));
    Err(errors)
}

/// The product files of a folder, in the order of their names: at least one.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, FileErrors> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let what = match error.kind() {
            ErrorKind::NotFound => {
                "there is no such folder. Name the one with the product files: latchkey apply FOLDER, or --products \
                 FOLDER"
                    .to_owned()
            }
            ErrorKind::NotADirectory => "not a folder: name the folder of the product files".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        whole(folder, what)
    })?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(whole(folder, "no product file (*.toml) is here".into()));
    }
    Ok(files)
}

/// What is wrong with a whole file or folder.
fn whole(path: &Path, what: String) -> FileErrors {
    FileErrors::of(path, vec![FieldError { line: 0, field: String::new(), what }])
}
