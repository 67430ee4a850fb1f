//! Makes the assets that the pages carry small: each answer has its style and its script in it.

use std::{env, error::Error, fs, path::Path};

const STYLES: [&str; 10] = [
    "frame.css",
    "acts.css",
    "marks.css",
    "forms.css",
    "lists.css",
    "steps.css",
    "help.css",
    "guide.css",
    "ops.css",
    "paper.css",
];
const SCRIPTS: [&str; 2] = ["steps.js", "help.js"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=assets");
    let out = env::var_os("OUT_DIR").ok_or("no OUT_DIR")?;
    let asset = |name: &str| fs::read_to_string(Path::new("assets").join(name));
    let keep = |name: &str, small: &str| fs::write(Path::new(&out).join(name), small);
    for name in STYLES {
        let small = minifier::css::minify(&asset(name)?)?.to_string();
        // What the minifier leaves: the last semicolon of a rule, the zero before a point.
        let small = small.replace(";}", "}").replace(":0.", ":.").replace(",0.", ",.").replace(" 0.", " .");
        // It takes the blanks around `+` in `clamp()` away, and a browser then drops the rule: `calc()` keeps them.
        if small.split('+').zip(small.split('+').skip(1)).any(|(before, after)| {
            before.ends_with(|c: char| c.is_ascii_alphanumeric())
                && after.starts_with(|c: char| c.is_ascii_digit())
        }) {
            return Err(format!("{name}: write arithmetic inside calc()").into());
        }
        keep(name, &small)?;
    }
    for name in SCRIPTS {
        keep(name, &minifier::js::minify(&asset(name)?).to_string())?;
    }
    Ok(())
}
